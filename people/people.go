// Package people knows the organisations whose networks we look at, and tells
// which of them a host concerns.
package people

import (
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"ippwatch/exposure"
)

// A Directory finds the constituents of a host. The zero Directory knows
// nobody. It does not change, so any number of goroutines may ask.
type Directory struct {
	all       []exposure.Constituent
	sources   []map[string]string // beside all, where it is known: see Known
	networks  bart.Table[[]int]   // each an index into all, in its order
	asns      map[uint32][]int
	countries map[string][]int
}

// NewDirectory returns a directory of the constituents. Two may have the same
// network; the one that stands first is told first.
func NewDirectory(constituents []exposure.Constituent) *Directory {
	d := &Directory{all: constituents, asns: make(map[uint32][]int), countries: make(map[string][]int)}
	for i, c := range constituents {
		for _, p := range c.Networks {
			p = p.Masked()
			d.networks.Modify(p, func(here []int, _ bool) ([]int, bool) { return append(here, i), false })
		}
		for _, n := range c.ASNs {
			d.asns[n] = append(d.asns[n], i)
		}
		for _, country := range c.Countries {
			country = strings.ToUpper(country)
			d.countries[country] = append(d.countries[country], i)
		}
	}
	return d
}

// directory is NewDirectory, with who says what.
func directory(all []Known) *Directory {
	d := NewDirectory(own(all))
	for _, k := range all {
		d.sources = append(d.sources, k.Sources)
	}
	return d
}

// All returns the constituents in their order.
func (d *Directory) All() []exposure.Constituent { return d.all }

// A Reason is why a constituent is told of a host.
type Reason struct {
	Constituent exposure.Constituent `json:"-"`
	Name        string               `json:"constituent"`
	By          string               `json:"by"`               // network, asn or country
	What        string               `json:"what"`             // such as 198.51.100.0/24
	Source      string               `json:"source,omitempty"` // who says so
}

// Explain returns every constituent that the host concerns and why, each once
// and in the order in which they are told: those that name its network, longest
// prefix first, then those that name its AS, then those that name its country.
// Who knows the host best is told first.
func (d *Directory) Explain(addr netip.Addr, where exposure.Where) []Reason {
	var reasons []Reason
	seen := make(map[int]bool)
	take := func(indexes []int, by, what string) {
		for _, i := range indexes {
			if seen[i] {
				continue
			}
			seen[i] = true
			r := Reason{Constituent: d.all[i], Name: d.all[i].Name, By: by, What: what}
			if d.sources != nil {
				r.Source = d.sources[i][what]
			}
			reasons = append(reasons, r)
		}
	}
	if addr = addr.Unmap().WithZone(""); addr.IsValid() {
		for p, indexes := range d.networks.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
			take(indexes, "network", p.String())
		}
	}
	if where.ASN != 0 {
		take(d.asns[where.ASN], "asn", asn(where.ASN))
	}
	country := strings.ToUpper(where.Country)
	take(d.countries[country], "country", country)
	return reasons
}

// Match returns the constituents of [Directory.Explain] in its order.
func (d *Directory) Match(addr netip.Addr, where exposure.Where) []exposure.Constituent {
	var matched []exposure.Constituent
	for _, r := range d.Explain(addr, where) {
		matched = append(matched, r.Constituent)
	}
	return matched
}

// Names returns the names of the constituents that the observation concerns,
// the one that is told first at the head.
func (d *Directory) Names(o *exposure.Observation) []string {
	var names []string
	for _, c := range d.Match(o.Addr, o.Where) {
		names = append(names, c.Name)
	}
	return names
}
