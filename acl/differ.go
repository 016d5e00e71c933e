package acl

import (
	"cmp"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// A Difference is a set of packets that two filters treat differently, each all
// of it alike, and one packet of it.
type Difference struct {
	A, B    Outcome
	Packets Match
	Witness Packet
}

// Worst reports whether the second filter lets pass what the first one drops.
func (d Difference) Worst() bool { return d.B.Passes() && !d.A.Passes() }

// MaxDifferences bounds what is told of two filters that have little in common.
const MaxDifferences = 200

// Compare returns what the second filter does otherwise than the first, worst
// first, and nothing if they are the same for every packet. Torn packets are
// compared if both can tell them.
func Compare(a, b Filter) []Difference {
	f := newForest()
	return f.compare(f.outcomes(a), f.outcomes(b), f.real(a.Torn && b.Torn))
}

// certain is Compare for a proof: what the second filter does is not said if it may
// do something else, be it for the better or the worse.
func certain(a, b Filter) []Difference {
	differences := Compare(a, b)
	if len(differences) > 0 {
		return differences
	}
	f := newForest()
	f.harsh = true
	return f.compare(f.outcomes(a), f.outcomes(b), f.real(a.Torn && b.Torn))
}

// Within is Compare for the packets alone that one of the conditions names.
func Within(a, b Filter, some []Match) []Difference {
	f := newForest()
	among := no
	for _, m := range some {
		among = f.or(among, f.match(m))
	}
	a, b = a.about(some), b.about(some)
	return f.compare(f.outcomes(a), f.outcomes(b), f.and(among, f.real(a.Torn && b.Torn)))
}

// about is the filter without the rules that have no packet in common with any
// of the conditions: of a list of 20,000 lines, few are about one port.
func (f Filter) about(some []Match) Filter {
	// Policies have few kinds of conditions, and many addresses.
	var kinds []Match
	seen := make(map[string]bool)
	for _, m := range some {
		m.Src, m.Dst = Nets{}, Nets{}
		if key := m.key(); !seen[key] {
			seen[key] = true
			kinds = append(kinds, m)
		}
	}
	f.Stages = slices.Clone(f.Stages)
	for i := range f.Stages {
		f.Stages[i].Rules = about(f.Stages[i].Rules, kinds)
	}
	return f
}

func about(rules []Rule, kinds []Match) []Rule {
	all := make([]Rule, 0, len(rules))
	for _, r := range rules {
		m := r.Match
		m.Src, m.Dst = Nets{}, Nets{}
		if !slices.ContainsFunc(kinds, m.meets) {
			continue
		}
		if r.Rules != nil {
			r.Rules = about(r.Rules, kinds)
		}
		all = append(all, r)
	}
	return all
}

// meets reports whether a packet may meet both conditions, addresses apart.
func (m Match) meets(o Match) bool {
	both := m.And(o)
	some := func(rs Ranges) bool { return rs == nil || len(rs.merged()) > 0 }
	return !both.Never && some(both.Proto) && some(both.SPort) && some(both.DPort)
}

func (f *forest) compare(a, b, among ref) []Difference {
	if a == b {
		return nil
	}
	var all []Difference
	for x := Dropped; x <= Passed; x++ {
		for y := Dropped; y <= Passed; y++ {
			if x == y {
				continue
			}
			set := f.and(f.and(f.only(a, x), f.only(b, y)), among)
			for m, p := range f.boxes(set) {
				if len(all) == MaxDifferences {
					break
				}
				all = append(all, Difference{A: x, B: y, Packets: m, Witness: p})
			}
		}
	}
	slices.SortStableFunc(all, worseFirst)
	return all
}

// worseFirst puts first what lets pass, comes from outside, and is what a
// sender would try first.
func worseFirst(a, b Difference) int {
	return cmp.Or(
		first(a.Worst(), b.Worst()),
		cmp.Compare(a.Witness.Dir, b.Witness.Dir),
		cmp.Compare(a.Witness.Frag, b.Witness.Frag),
		first(!a.Witness.Ext, !b.Witness.Ext),
		cmp.Compare(a.Witness.Family(), b.Witness.Family()),
		first(a.Witness.Flags == SYN, b.Witness.Flags == SYN),
		cmp.Compare(a.Witness.Proto, b.Witness.Proto),
		cmp.Compare(a.Witness.DPort, b.Witness.DPort),
	)
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// boxes yields the set as conditions that have no packet in common, with a
// packet of each.
func (f *forest) boxes(r ref) func(yield func(Match, Packet) bool) {
	return func(yield func(Match, Packet) bool) {
		f.descend(r, make(map[field][]span), yield)
	}
}

func (f *forest) descend(r ref, path map[field][]span, yield func(Match, Packet) bool) bool {
	switch {
	case r == no:
		return true
	case r < f.leaves:
		return yield(boxOf(path), pick(path))
	}
	n := f.nodes[r]
	// The edges that lead to one node are one box.
	var order []ref
	lists := make(map[ref][]span)
	var from value
	for _, e := range n.edges {
		if _, seen := lists[e.to]; !seen {
			order = append(order, e.to)
		}
		lists[e.to] = append(lists[e.to], span{from, e.last})
		from = e.last.next()
	}
	for _, to := range order {
		path[n.field] = lists[to]
		if !f.descend(to, path, yield) {
			return false
		}
	}
	delete(path, n.field)
	return true
}

func boxOf(path map[field][]span) Match {
	var m Match
	bits := func(by field) (set uint) {
		for _, s := range path[by] {
			for i := s.first.lo; i <= s.last.lo; i++ {
				set |= 1 << i
			}
		}
		return set
	}
	numbers := func(by field) (rs Ranges) {
		for _, s := range path[by] {
			rs = append(rs, Range{uint16(s.first.lo), uint16(s.last.lo)})
		}
		return rs
	}
	nets := func(fields ...field) Nets {
		var rs []netipx.IPRange
		for _, by := range fields {
			for _, s := range path[by] {
				rs = append(rs, netipx.IPRangeFrom(s.first.addr(by), s.last.addr(by)))
			}
		}
		if rs == nil {
			return Nets{}
		}
		return NetsFrom(rs...)
	}
	m.Family, m.Dir, m.Frag, m.Flags = Family(bits(byFamily)), Direction(bits(byDir)), Frag(bits(byFrag)), FlagSet(bits(byFlags))
	if ext := path[byExt]; len(ext) == 1 && ext[0].first == ext[0].last {
		m.Ext = Without + Ext(ext[0].first.lo)
	}
	m.Proto, m.SPort, m.DPort = numbers(byProto), numbers(bySPort), numbers(byDPort)
	m.Src, m.Dst = nets(bySrc4, bySrc6), nets(byDst4, byDst6)
	return m
}

// What a witness has where the set does not say: a packet that a reader knows
// when it is seen. Of several, the first that is in the set.
var (
	usualProto = []uint64{TCP, UDP}
	usualFlags = []uint64{uint64(SYN.index())}
	usualDPort = []uint64{631}
	usualSPort = []uint64{40000, 631}
	outside4   = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")}
	outside6   = []netip.Addr{netip.MustParseAddr("2001:db8:ffff::1")}
)

func pick(path map[field][]span) Packet {
	number := func(by field, usual ...uint64) uint64 {
		spans, asked := path[by]
		if !asked {
			return append(usual, 0)[0]
		}
		for _, u := range usual {
			for _, s := range spans {
				if s.first.lo <= u && u <= s.last.lo {
					return u
				}
			}
		}
		return spans[0].first.lo
	}
	address := func(by field, usual []netip.Addr) netip.Addr {
		spans, asked := path[by]
		if !asked {
			return usual[0]
		}
		for _, u := range usual {
			for _, s := range spans {
				if v := addrValue(u); s.first.compare(v) <= 0 && v.compare(s.last) <= 0 {
					return u
				}
			}
		}
		// The network's own address looks like no host; the next one does.
		if s := spans[0]; s.first != s.last {
			return s.first.next().addr(by)
		}
		return spans[0].first.addr(by)
	}
	p := Packet{
		Dir:   Direction(1 << number(byDir, 0)),
		Frag:  Frag(1 << number(byFrag, 0)),
		Ext:   number(byExt, 0) == 1,
		Proto: uint8(number(byProto, usualProto...)),
		Flags: flagsAt(uint(number(byFlags, usualFlags...))),
		DPort: uint16(number(byDPort, usualDPort...)),
		SPort: uint16(number(bySPort, usualSPort...)),
	}
	if number(byFamily, 0) == 0 {
		p.Dst, p.Src = address(byDst4, outside4), address(bySrc4, outside4)
	} else {
		p.Dst, p.Src = address(byDst6, outside6), address(bySrc6, outside6)
	}
	if !p.seen() {
		p.SPort, p.DPort = 0, 0
	}
	if !p.seen() || p.Proto != TCP {
		p.Flags = 0
	}
	if p.Frag == Torn {
		p.Proto = 0
	}
	return p
}

// Drops are conditions without a packet in common that together are what the
// filter drops: the list of blocks for a platform where a block beats every
// allow, with the exceptions left out of them.
func Drops(filter Filter) []Match { return parts(filter, Dropped) }

// Passes are the same of what it lets pass: the list of allows for a platform
// that has nothing else.
func Passes(filter Filter) []Match { return parts(filter, Passed) }

func parts(filter Filter, o Outcome) []Match {
	f := newForest()
	var all []Match
	for m := range f.boxes(f.and(f.only(f.outcomes(filter), o), f.real(filter.Torn))) {
		all = append(all, m)
	}
	return all
}
