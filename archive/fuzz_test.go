package archive

import (
	"maps"
	"testing"
)

// FuzzSheet reads sheets of the rollup that nobody wrote.
func FuzzSheet(f *testing.F) {
	cells := map[cell]tally{
		{country: "DE", asn: 1}: {1, 2}, {country: "DE", asn: 64496}: {3, 4}, {country: "", asn: 5}: {-1, 0},
	}
	f.Add(string(sheetsOf(cells)[sheet{}]))
	f.Fuzz(func(t *testing.T, body string) {
		first := make(map[cell]tally)
		if readSheet(sheet{}, body, func(c cell, n tally) { first[c] = n }) != nil {
			return
		}
		second := make(map[cell]tally)
		err := readSheet(sheet{}, string(sheetsOf(first)[sheet{}]), func(c cell, n tally) { second[c] = n })
		if err != nil || !maps.Equal(first, second) {
			t.Errorf("%q is %v, then %v, %v", body, first, second, err)
		}
	})
}
