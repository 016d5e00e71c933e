package plant

import (
	"cmp"
	"maps"
	"slices"
)

// counted is a word and how often it came.
type counted struct {
	Name string
	N    int64
}

// most are the n most frequent.
func most[K ~string](m map[K]int64, n int) []counted {
	all := make([]counted, 0, len(m))
	for k, v := range m {
		all = append(all, counted{string(k), v})
	}
	slices.SortFunc(all, func(a, b counted) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Name, b.Name)) })
	return all[:min(n, len(all))]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
