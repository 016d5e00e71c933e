package space

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"
)

// When a scope ends so soon or so late that a person may not have meant it.
const (
	soon = 7 * 24 * time.Hour
	late = 366 * 24 * time.Hour
)

// As many networks that are too large are named; a country has thousands.
const fewLarge = 3

// Lint returns a warning for each thing that is allowed and probably not meant,
// in words for the author of the file.
func (s Scope) Lint(now time.Time) []string {
	var all []string
	warn := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }

	switch left := s.Expires.Sub(now); {
	case left <= 0:
		warn("expires: the scope expired at %s", s.Expires.UTC().Format(time.RFC3339))
	case left < soon:
		warn("expires: the scope ends in less than 7 days, at %s", s.Expires.UTC().Format(time.RFC3339))
	case left > late:
		warn("expires: the scope ends in more than a year, at %s", s.Expires.UTC().Format(time.RFC3339))
	}
	for _, n := range nested(s.Networks) {
		warn("networks: %s %s", bare(n.inner), n.relation())
	}
	for _, n := range nested(s.Exclude) {
		warn("exclude: %s %s", bare(n.inner), n.relation())
	}
	large := 0
	networks, left := merge(s.Networks, nil), merge(s.Networks, s.Exclude)
	for _, p := range s.Networks {
		r := netipx.RangeOfPrefix(p)
		if special, ok := SpecialNetwork(p); ok {
			warn("networks: %s is special-purpose (%s) and will be probed because it is named", bare(p), special)
		}
		switch n := left.count(r); {
		case n == 0:
			warn("networks: %s is excluded as a whole", bare(p))
		case p.Addr().Is6() && n > maxAddrs6:
			if large++; large <= fewLarge {
				warn("networks: %s is too large to enumerate: scans need targets in it", bare(p))
			}
		}
	}
	if large > fewLarge {
		warn("networks: %d more are too large to enumerate", large-fewLarge)
	}
	for _, p := range s.Exclude {
		if !networks.overlap(netipx.RangeOfPrefix(p)) {
			warn("exclude: %s covers nothing: no network touches it", bare(p))
		}
	}
	return all
}

// merge returns the ranges of the one list less the other, passing over zero
// prefixes.
func merge(add, remove []netip.Prefix) spans {
	var b netipx.IPSetBuilder
	for _, p := range add {
		if p, ok := canonical(p); ok {
			b.AddPrefix(p)
		}
	}
	for _, p := range remove {
		if p, ok := canonical(p); ok {
			b.RemovePrefix(p)
		}
	}
	set, err := b.IPSet()
	if err != nil {
		return nil // only zero prefixes are errors to the builder
	}
	return set.Ranges()
}

// A nest is a prefix that adds nothing because another one holds it.
type nest struct{ inner, outer netip.Prefix }

func (n nest) relation() string {
	if n.inner == n.outer {
		return "is listed twice"
	}
	return "lies within " + n.outer.String()
}

// nested returns each prefix that lies in another one, with the narrowest of
// these. Prefixes nest or are apart, so one pass with a stack finds all.
func nested(prefixes []netip.Prefix) []nest {
	sorted := slices.SortedFunc(slices.Values(prefixes), func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var all []nest
	var open []netip.Prefix
	for _, p := range sorted {
		for len(open) > 0 && !within(p, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			all = append(all, nest{p, open[len(open)-1]})
		}
		open = append(open, p)
	}
	return all
}
