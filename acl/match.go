package acl

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// A Match is a condition on packets; all of its parts must hold, and a zero
// part always holds. What it asks of ports holds only where ports are to be
// seen: never in a later fragment, never in ICMP.
type Match struct {
	Family Family
	Dir    Direction
	Src    Nets
	Dst    Nets
	Proto  Ranges // of protocol numbers
	SPort  Ranges
	DPort  Ranges
	Frag   Frag
	Flags  FlagSet
	Ext    Ext
	// Never marks a condition that nothing meets, such as an empty list.
	Never bool
}

// Ext is what a Match wants to know of extension headers.
type Ext uint8

// Without is what a filter sees that looks only at the next header of the
// fixed IPv6 header; IPv4 packets and whole IPv6 packets can be without.
const (
	AnyExt Ext = iota
	Without
	With
)

// A FlagSet is a set of combinations of TCP flags. The zero FlagSet is any,
// and also asks for nothing: a packet need not be TCP.
type FlagSet uint16

// FlagsAre is the set of segments that have of the flags in mask exactly those
// in want, as nft's "tcp flags & mask == want".
func FlagsAre(mask, want Flags) FlagSet {
	var s FlagSet
	for i := range uint(16) {
		if flagsAt(i)&mask == want&mask {
			s |= 1 << i
		}
	}
	return s
}

// Initial is a segment that opens a connection: SYN and not ACK.
var Initial = FlagsAre(SYN|ACK, SYN)

// Established is what Cisco and Juniper call so: ACK or RST.
var Established = ^FlagsAre(ACK|RST, 0)

// Ranges are a set of numbers; nil is any number.
type Ranges []Range

// A Range is from First to Last, both included.
type Range struct{ First, Last uint16 }

// Number is the set of some numbers.
func Number(ns ...uint16) Ranges {
	rs := make(Ranges, len(ns))
	for i, n := range ns {
		rs[i] = Range{n, n}
	}
	return rs.merged()
}

// merged returns the set in ascending order, without overlap and without ranges
// that hold nothing.
func (rs Ranges) merged() Ranges {
	if rs == nil {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(rs), func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	all := Ranges{} // never nil: nothing is not anything
	for _, r := range sorted {
		if r.First > r.Last {
			continue // no number is in it
		}
		if n := len(all); n > 0 && int(r.First) <= int(all[n-1].Last)+1 {
			all[n-1].Last = max(all[n-1].Last, r.Last)
		} else {
			all = append(all, r)
		}
	}
	return all
}

// Not is all numbers up to last that are not in the set. Nothing is left of
// any: then the second value is false, and the Match is Never.
func (rs Ranges) Not(last uint16) (Ranges, bool) {
	if rs == nil {
		return nil, false
	}
	var all Ranges
	next := 0
	for _, r := range rs.merged() {
		if int(r.First) > next {
			all = append(all, Range{uint16(next), r.First - 1})
		}
		next = int(r.Last) + 1
	}
	if next <= int(last) {
		all = append(all, Range{uint16(next), last})
	}
	return all, all != nil
}

func (rs Ranges) has(n uint16) bool {
	return rs == nil || slices.ContainsFunc(rs, func(r Range) bool { return r.First <= n && n <= r.Last })
}

var ported = Number(TCP, UDP, dccp, sctp, udplite)

// Nets are a set of addresses of both families. The zero Nets is any address.
type Nets struct{ set *netipx.IPSet }

// NetsOf is the set of the addresses in the prefixes; no prefix, no address.
// IPv4-mapped prefixes and zones are for the caller to refuse.
func NetsOf(prefixes ...netip.Prefix) Nets {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p.Masked())
	}
	return built(&b)
}

// NetsFrom is the set of the addresses in the ranges.
func NetsFrom(ranges ...netipx.IPRange) Nets {
	var b netipx.IPSetBuilder
	for _, r := range ranges {
		b.AddRange(r)
	}
	return built(&b)
}

func built(b *netipx.IPSetBuilder) Nets {
	set, err := b.IPSet()
	if err != nil {
		return Nets{new(netipx.IPSet)} // only invalid prefixes are errors to the builder
	}
	return Nets{set}
}

// Any reports whether the set is all addresses, without having been restricted.
func (n Nets) Any() bool { return n.set == nil }

// Has reports whether the address is in the set.
func (n Nets) Has(a netip.Addr) bool { return n.set == nil || n.set.Contains(a) }

// Of is the set without the addresses of the other family. Of any, it is all
// addresses of the family.
func (n Nets) Of(f Family) Nets {
	var b netipx.IPSetBuilder
	if n.set == nil {
		b.AddPrefix(everything(f))
		return built(&b)
	}
	for _, r := range n.set.Ranges() {
		if r.From().Is4() == (f == V4) {
			b.AddRange(r)
		}
	}
	return built(&b)
}

func everything(f Family) netip.Prefix {
	if f == V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// Prefixes are the fewest prefixes of one family that make up the set, in
// order; those of any are 0.0.0.0/0 or ::/0.
func (n Nets) Prefixes(f Family) []netip.Prefix {
	if n.set == nil {
		return []netip.Prefix{everything(f)}
	}
	var all []netip.Prefix
	for _, p := range n.set.Prefixes() {
		if p.Addr().Is4() == (f == V4) {
			all = append(all, p)
		}
	}
	return all
}

// Ranges are the ranges of one family that make up the set, in order.
func (n Nets) Ranges(f Family) []netipx.IPRange {
	if n.set == nil {
		return []netipx.IPRange{netipx.RangeOfPrefix(everything(f))}
	}
	var all []netipx.IPRange
	for _, r := range n.set.Ranges() {
		if r.From().Is4() == (f == V4) {
			all = append(all, r)
		}
	}
	return all
}

// Not is the set of all other addresses, of both families.
func (n Nets) Not() Nets {
	if n.set == nil {
		return NetsOf()
	}
	var b netipx.IPSetBuilder
	b.AddPrefix(everything(V4))
	b.AddPrefix(everything(V6))
	b.RemoveSet(n.set)
	return built(&b)
}

// Or is the set of the addresses that are in one of the two.
func (n Nets) Or(m Nets) Nets {
	if n.set == nil || m.set == nil {
		return Nets{}
	}
	var b netipx.IPSetBuilder
	b.AddSet(n.set)
	b.AddSet(m.set)
	return built(&b)
}

// Union is the set of the addresses that are in one of the list.
func Union(list ...Nets) Nets {
	var b netipx.IPSetBuilder
	for _, n := range list {
		if n.set == nil {
			return Nets{}
		}
		b.AddSet(n.set)
	}
	return built(&b)
}

// And is the set of the addresses that are in both.
func (n Nets) And(m Nets) Nets {
	switch {
	case n.set == nil:
		return m
	case m.set == nil:
		return n
	}
	var b netipx.IPSetBuilder
	b.AddSet(n.set)
	b.Intersect(m.set)
	return built(&b)
}

// Empty reports whether no address is in the set.
func (n Nets) Empty() bool { return n.set != nil && len(n.set.Ranges()) == 0 }

// Families tells of which families there are addresses in the set.
func (n Nets) Families() Family {
	if n.set == nil {
		return V4 | V6
	}
	var f Family
	if rs := n.set.Ranges(); len(rs) > 0 {
		// In order: IPv4 comes first.
		if rs[0].From().Is4() {
			f |= V4
		}
		if rs[len(rs)-1].From().Is6() {
			f |= V6
		}
	}
	return f
}

// Families tells of which families the match can match packets.
func (m Match) Families() Family {
	f := m.Src.Families() & m.Dst.Families()
	if m.Family != 0 {
		f &= m.Family
	}
	return f
}

// And is the condition that both hold.
func (m Match) And(o Match) Match {
	m.Never = m.Never || o.Never
	m.Src, m.Dst = m.Src.And(o.Src), m.Dst.And(o.Dst)
	m.Proto, m.SPort, m.DPort = andRanges(m.Proto, o.Proto), andRanges(m.SPort, o.SPort), andRanges(m.DPort, o.DPort)
	andBits(&m.Family, o.Family, &m.Never)
	andBits(&m.Dir, o.Dir, &m.Never)
	andBits(&m.Frag, o.Frag, &m.Never)
	andBits(&m.Flags, o.Flags, &m.Never)
	switch {
	case m.Ext == AnyExt:
		m.Ext = o.Ext
	case o.Ext != AnyExt && o.Ext != m.Ext:
		m.Never = true
	}
	return m
}

// andBits intersects two sets of which zero is everything.
func andBits[T ~uint8 | ~uint16](a *T, b T, never *bool) {
	switch {
	case *a == 0:
		*a = b
	case b == 0:
	case *a&b == 0:
		*never = true
	default:
		*a &= b
	}
}

func andRanges(a, b Ranges) Ranges {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return a.and(b)
}

// Has reports whether the packet meets the condition. It is the definition;
// what the diagrams do is compared with it in a test.
func (m Match) Has(p Packet) bool {
	ports := m.SPort != nil || m.DPort != nil
	switch {
	case m.Never,
		m.Family != 0 && m.Family&p.Family() == 0,
		m.Dir != 0 && m.Dir&p.Dir == 0,
		m.Frag != 0 && m.Frag&p.Frag == 0,
		!m.Src.Has(p.Src), !m.Dst.Has(p.Dst),
		m.Proto != nil && (p.Frag == Torn || !m.Proto.has(uint16(p.Proto))),
		ports && (!p.seen() || !m.SPort.has(p.SPort) || !m.DPort.has(p.DPort)),
		m.Flags != 0 && (!p.seen() || p.Proto != TCP || m.Flags&(1<<p.Flags.index()) == 0),
		m.Ext == With && !p.Ext, m.Ext == Without && p.Ext:
		return false
	}
	return true
}

// String is the condition in words, such as
// "in tcp to 198.51.100.0/24 port 631". What is not asked for is not said.
func (m Match) String() string {
	if m.Never {
		return "nothing"
	}
	var words []string
	add := func(some bool, format string, args ...any) {
		if some {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(m.Dir == In || m.Dir == Out, "%s", m.Dir)
	add(m.Family == V4 || m.Family == V6, "%s", m.Family)
	if m.Proto != nil {
		words = append(words, m.Proto.words(map[uint16]string{TCP: "tcp", UDP: "udp"}))
	}
	add(!m.Src.Any(), "from %s", m.Src)
	add(m.SPort != nil, "from port %s", m.SPort.words(nil))
	add(!m.Dst.Any(), "to %s", m.Dst)
	add(m.DPort != nil, "port %s", m.DPort.words(nil))
	add(m.Flags != 0, "%s", m.Flags)
	add(m.Frag != 0, "%s", m.Frag)
	add(m.Ext == With && m.Frag&(First|Later|Torn) == 0, "behind an extension header")
	add(m.Ext == Without && m.Family != V4, "without extension headers")
	if words == nil {
		return "everything"
	}
	return strings.Join(words, " ")
}

// fewWords is how much of a list is said.
const fewWords = 4

func (rs Ranges) words(names map[uint16]string) string {
	words := make([]string, 0, len(rs))
	for _, r := range rs {
		switch {
		case r.First != r.Last:
			words = append(words, fmt.Sprintf("%d-%d", r.First, r.Last))
		case names[r.First] != "":
			words = append(words, names[r.First])
		default:
			words = append(words, fmt.Sprint(r.First))
		}
	}
	return few(words)
}

func few(words []string) string {
	if n := len(words) - fewWords; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:fewWords], ", "), n)
	}
	return strings.Join(words, ", ")
}

// String is the set as prefixes, and not all of them when there are many.
func (n Nets) String() string {
	if n.set == nil {
		return "any address"
	}
	ps := n.set.Prefixes()
	if len(ps) == 0 {
		return "no address"
	}
	names := func(ps []netip.Prefix) string {
		words := make([]string, len(ps))
		for i, p := range ps {
			words[i] = p.String()
			if p.IsSingleIP() {
				words[i] = p.Addr().String()
			}
		}
		return few(words)
	}
	// All of a network but a few is said so.
	if f := n.Families(); len(ps) > fewWords && f != V4|V6 {
		around := ps[0]
		for !around.Contains(ps[len(ps)-1].Addr()) {
			around = netip.PrefixFrom(around.Addr(), around.Bits()-1).Masked()
		}
		if rest := NetsOf(around).And(n.Not()).Prefixes(f); len(rest) <= fewWords {
			if around.Bits() == 0 {
				return "any address but " + names(rest)
			}
			return around.String() + " but " + names(rest)
		}
	}
	return names(ps)
}

// String is the set in words.
func (s FlagSet) String() string {
	switch s {
	case 0:
		return "any flags"
	case Initial:
		return "SYN without ACK"
	case ^Initial:
		return "not the first segment"
	case Established:
		return "ACK or RST"
	}
	var words []string
	for i := range uint(16) {
		if s&(1<<i) != 0 {
			words = append(words, flagsAt(i).String())
		}
	}
	return few(words)
}
