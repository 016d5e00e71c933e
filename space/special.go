package space

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A Special is a block of addresses that the IANA registries set aside.
type Special struct {
	Prefix netip.Prefix
	Name   string // as the registry has it, such as "Private-Use"
	RFC    string // its authority, such as "RFC 1918"
}

// String returns the block with its name and authority.
func (s Special) String() string { return fmt.Sprintf("%s, %s, %s", bare(s.Prefix), s.Name, s.RFC) }

//go:embed special.csv
var specialCSV string

// specials are the blocks of special.csv, the most specific first.
var specials = sync.OnceValue(func() []Special {
	r := csv.NewReader(strings.NewReader(specialCSV))
	r.Comment = '#'
	r.FieldsPerRecord = 3
	rows, err := r.ReadAll()
	if err != nil {
		panic("space: special.csv: " + err.Error())
	}
	all := make([]Special, len(rows))
	for i, row := range rows {
		all[i] = Special{Prefix: netip.MustParsePrefix(row[0]), Name: row[1], RFC: row[2]}
	}
	slices.SortStableFunc(all, func(a, b Special) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return all
})

// SpecialDate returns the day, such as "2026-07-18", on which the embedded
// registries were current.
func SpecialDate() string {
	_, rest, _ := strings.Cut(specialCSV, "\n# Date: ")
	date, _, _ := strings.Cut(rest, "\n")
	return date
}

// SpecialPurpose returns the most specific special-purpose block that holds the
// address (RFC 6890, and multicast). Blocks that the registry calls globally
// reachable are among them: none is home to a print service.
func SpecialPurpose(a netip.Addr) (Special, bool) {
	return SpecialNetwork(netip.PrefixFrom(a, a.BitLen()))
}

// SpecialNetwork returns the most specific special-purpose block that the whole
// prefix lies in.
func SpecialNetwork(p netip.Prefix) (Special, bool) {
	for _, s := range specials() {
		if within(p, s.Prefix) {
			return s, true
		}
	}
	return Special{}, false
}
