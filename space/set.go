package space

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// A Set is an immutable, numbered set of addresses, IPv4 first, each family in
// ascending order. It costs 24 bytes per contiguous range, however many
// addresses are in it. Only [Scope.Set] makes one, so that whoever holds a Set
// knows that somebody authorised it. The zero Set is empty.
type Set struct {
	v4, v6 line
}

// A line is one family: the first address of each range, and how many
// addresses come before it.
type line struct {
	from  []number
	start []uint64
	n     uint64
}

func newSet(ranges spans) (Set, error) {
	var s Set
	for _, r := range ranges {
		l := &s.v6
		if r.From().Is4() {
			l = &s.v4
		}
		l.from = append(l.from, numberOf(r.From()))
		l.start = append(l.start, l.n)
		l.n = addUpTo(l.n, size(r.From(), r.To()))
	}
	s.v4.clip()
	s.v6.clip()
	if s.v6.n > maxAddrs6 || s.Len() > maxAddrs {
		return Set{}, tooLarge(ranges)
	}
	return s, nil
}

func (l *line) clip() {
	l.from, l.start = slices.Clip(l.from), slices.Clip(l.start)
}

// tooLarge names the largest range.
func tooLarge(ranges spans) error {
	largest := slices.MaxFunc(ranges, func(a, b netipx.IPRange) int {
		if a.From().Is4() != b.From().Is4() {
			return a.From().BitLen() - b.From().BitLen() // IPv6 is what makes sets large
		}
		return numberOf(a.To()).minus(numberOf(a.From())).compare(numberOf(b.To()).minus(numberOf(b.From())))
	})
	what := largest.String()
	if p, ok := largest.Prefix(); ok {
		what = p.String()
	}
	return hintError{
		err: fmt.Errorf("%s: %w: the limit is 2^24 IPv6 addresses, and 2^32 of both", what, ErrTooLarge),
		hint: "name the IPv6 hosts as targets, in a list of addresses, " +
			"or give prefixes of /104 and longer; the target 0.0.0.0/0 is the IPv4 part of the scope",
	}
}

// Len returns the number of addresses.
func (s Set) Len() uint64 { return addUpTo(s.v4.n, s.v6.n) }

// At returns the address with the number i. It panics unless i < Len.
func (s Set) At(i uint64) netip.Addr {
	if i < s.v4.n {
		from, off := s.v4.at(i)
		return from.plus4(off)
	}
	if i -= s.v4.n; i >= s.v6.n {
		panic("space: Set.At: no address has that number")
	}
	from, off := s.v6.at(i)
	return from.plus(off)
}

// Index returns the number of the address. An address with a zone and an
// IPv4-mapped one are in no set.
func (s Set) Index(a netip.Addr) (uint64, bool) {
	switch {
	case a.Is4():
		return s.v4.index(numberOf(a))
	case a.Is6() && a.Zone() == "":
		i, ok := s.v6.index(numberOf(a))
		return s.v4.n + i, ok
	}
	return 0, false
}

// Contains reports whether the address is in the set.
func (s Set) Contains(a netip.Addr) bool {
	_, ok := s.Index(a)
	return ok
}

// Ranges returns the contiguous ranges in order.
func (s Set) Ranges() []netipx.IPRange {
	all := make([]netipx.IPRange, 0, len(s.v4.from)+len(s.v6.from))
	for i, from := range s.v4.from {
		all = append(all, netipx.IPRangeFrom(from.plus4(0), from.plus4(s.v4.size(i)-1)))
	}
	for i, from := range s.v6.from {
		all = append(all, netipx.IPRangeFrom(from.plus(0), from.plus(s.v6.size(i)-1)))
	}
	return all
}

// Prefixes returns the fewest prefixes that make up the set, in order.
func (s Set) Prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, r := range s.Ranges() {
		all = r.AppendPrefixes(all)
	}
	return all
}

// at returns the range that holds number i, and the place of i in it.
func (l *line) at(i uint64) (number, uint64) {
	k, found := slices.BinarySearch(l.start, i)
	if !found {
		k--
	}
	return l.from[k], i - l.start[k]
}

func (l *line) index(n number) (uint64, bool) {
	k, found := slices.BinarySearchFunc(l.from, n, number.compare)
	if !found {
		k--
	}
	if k < 0 {
		return 0, false
	}
	off := n.since(l.from[k])
	return l.start[k] + off, off < l.size(k)
}

// size returns the number of addresses in the range k.
func (l *line) size(k int) uint64 {
	if k+1 < len(l.start) {
		return l.start[k+1] - l.start[k]
	}
	return l.n - l.start[k]
}
