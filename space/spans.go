package space

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Spans are ranges in ascending order, IPv4 first, that neither touch nor
// overlap: what [netipx.IPSet.Ranges] returns.
type spans []netipx.IPRange

// from returns the index of the first range that ends at a or after it.
func (s spans) from(a netip.Addr) int {
	i, _ := slices.BinarySearchFunc(s, a, func(r netipx.IPRange, a netip.Addr) int { return r.To().Compare(a) })
	return i
}

// overlap reports whether any range shares an address with r.
func (s spans) overlap(r netipx.IPRange) bool {
	i := s.from(r.From())
	return i < len(s) && s[i].From().Compare(r.To()) <= 0
}

// count returns how many addresses of r the ranges hold, math.MaxUint64 for
// that or more.
func (s spans) count(r netipx.IPRange) uint64 {
	var n uint64
	for i := s.from(r.From()); i < len(s) && s[i].From().Compare(r.To()) <= 0; i++ {
		from, to := s[i].From(), s[i].To()
		if from.Less(r.From()) {
			from = r.From()
		}
		if r.To().Less(to) {
			to = r.To()
		}
		n = addUpTo(n, size(from, to))
	}
	return n
}

// A number is an address as an integer of 128 bits.
type number struct{ hi, lo uint64 }

func numberOf(a netip.Addr) number {
	if a.Is4() {
		b := a.As4()
		return number{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (n number) compare(m number) int {
	switch {
	case n.hi < m.hi || n.hi == m.hi && n.lo < m.lo:
		return -1
	case n == m:
		return 0
	}
	return 1
}

// since returns n-m for an m that is not larger, math.MaxUint64 for that or more.
func (n number) since(m number) uint64 {
	d := n.minus(m)
	if d.hi > 0 {
		return math.MaxUint64
	}
	return d.lo
}

// plus returns n+i as an IPv6 address.
func (n number) plus(i uint64) netip.Addr {
	lo, carry := bits.Add64(n.lo, i, 0)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.hi+carry)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b)
}

// plus4 returns n+i as an IPv4 address.
func (n number) plus4(i uint64) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n.lo+i))
	return netip.AddrFrom4(b)
}

// size returns the number of addresses from one to the other, both included.
func size(from, to netip.Addr) uint64 {
	return addUpTo(numberOf(to).since(numberOf(from)), 1)
}

// addUpTo adds, and stays at math.MaxUint64 instead of wrapping.
func addUpTo(n, m uint64) uint64 {
	sum, carry := bits.Add64(n, m, 0)
	if carry > 0 {
		return math.MaxUint64
	}
	return sum
}

// minus returns n-m for an m that is not larger.
func (n number) minus(m number) number {
	lo, borrow := bits.Sub64(n.lo, m.lo, 0)
	hi, _ := bits.Sub64(n.hi, m.hi, borrow)
	return number{hi, lo}
}
