package acl

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// A diagram is a decision diagram over the fields of a packet (Gouda and Liu,
// "Structured firewall design", 2007): each node asks for one field and has an
// edge for each range of values, always in the order of the fields below, and
// the leaves are outcomes. Nodes are shared and never redundant, so that two
// filters are equal exactly when they are the same node. A list of prefixes is
// one node; that is what makes 500 exceptions cheap, where lists of disjoint
// boxes grow with the square.

// A ref names a node; those below leaves are leaves.
type ref int32

// The leaves are outcomes, of which a set of packets has only the two outer;
// behind them may stand the numbers of names.
const (
	no       = ref(Dropped)
	yes      = ref(Passed)
	outcomes = 3
)

// A field is one dimension. IPv4 and IPv6 addresses are fields of their own, so
// that no edge has values that no packet has.
type field uint8

const (
	byFamily field = iota
	byDir
	byExt
	byFrag
	byProto
	byFlags
	byDPort
	bySPort
	byDst4
	bySrc4
	byDst6
	bySrc6
	leaf
)

// A value is of a field: an IPv6 address needs all of it.
type value struct{ hi, lo uint64 }

func (v value) compare(w value) int {
	switch {
	case v.hi != w.hi && v.hi < w.hi, v.hi == w.hi && v.lo < w.lo:
		return -1
	case v == w:
		return 0
	}
	return 1
}

func (v value) next() value {
	v.lo++
	if v.lo == 0 {
		v.hi++
	}
	return v
}

func (v value) previous() value {
	if v.lo == 0 {
		v.hi--
	}
	v.lo--
	return v
}

func of(n uint64) value { return value{0, n} }

// last is the largest value of each field.
var last = [...]value{
	byFamily: of(1), byDir: of(1), byExt: of(1), byFrag: of(3), byProto: of(255), byFlags: of(15),
	byDPort: of(math.MaxUint16), bySPort: of(math.MaxUint16),
	byDst4: of(math.MaxUint32), bySrc4: of(math.MaxUint32),
	byDst6: {math.MaxUint64, math.MaxUint64}, bySrc6: {math.MaxUint64, math.MaxUint64},
}

func addrValue(a netip.Addr) value {
	if a.Is4() {
		b := a.As4()
		return of(uint64(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (v value) addr(f field) netip.Addr {
	if f == byDst4 || f == bySrc4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(v.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	return netip.AddrFrom16(b)
}

// An edge leads on for the values from behind the edge before it up to last.
type edge struct {
	last value
	to   ref
}

type node struct {
	field field
	edges []edge
}

// A forest holds the nodes of diagrams that are compared with each other.
type forest struct {
	leaves ref // those below are
	// harsh takes what an unsure rule may do for the worse: it may drop. Otherwise
	// for the better: it may let pass, which is what has to be feared.
	harsh bool
	nodes []node
	seed  maphash.Seed
	known map[uint64][]ref
	// What was computed before: (if, then, else) and the worse of two.
	chosen map[[3]ref]ref
	least  map[[2]ref]ref
}

func newForest() *forest { return newForestOf(0) }

// newForestOf has leaves for the numbers of so many names.
func newForestOf(names int) *forest {
	f := &forest{
		leaves: ref(outcomes + names), nodes: make([]node, outcomes+names), seed: maphash.MakeSeed(), known: make(map[uint64][]ref),
		chosen: make(map[[3]ref]ref), least: make(map[[2]ref]ref),
	}
	for i := range f.nodes {
		f.nodes[i].field = leaf
	}
	return f
}

// node returns the node with the edges, which it takes over.
func (f *forest) node(by field, edges []edge) ref {
	kept := edges[:0]
	for _, e := range edges {
		if n := len(kept); n > 0 && kept[n-1].to == e.to {
			kept[n-1].last = e.last
		} else {
			kept = append(kept, e)
		}
	}
	if len(kept) == 1 {
		return kept[0].to
	}
	var h maphash.Hash
	h.SetSeed(f.seed)
	var b [20]byte
	for _, e := range kept {
		binary.LittleEndian.PutUint64(b[:], e.last.hi)
		binary.LittleEndian.PutUint64(b[8:], e.last.lo)
		binary.LittleEndian.PutUint32(b[16:], uint32(e.to))
		_, _ = h.Write(b[:])
	}
	_ = h.WriteByte(byte(by))
	sum := h.Sum64()
	for _, r := range f.known[sum] {
		if f.nodes[r].field == by && slices.Equal(f.nodes[r].edges, kept) {
			return r
		}
	}
	r := ref(len(f.nodes))
	f.nodes = append(f.nodes, node{by, slices.Clip(kept)})
	f.known[sum] = append(f.known[sum], r)
	return r
}

// along returns the edges of the node r for a field that it may not ask for.
func (f *forest) along(r ref, by field) []edge {
	if f.nodes[r].field == by {
		return f.nodes[r].edges
	}
	return []edge{{last[by], r}}
}

// choose is the diagram that is then where cond is yes, and otherwise els.
func (f *forest) choose(cond, then, els ref) ref {
	switch {
	case cond == yes || then == els:
		return then
	case cond == no:
		return els
	case then == yes && els == no:
		return cond
	}
	key := [3]ref{cond, then, els}
	if r, ok := f.chosen[key]; ok {
		return r
	}
	by := min(f.nodes[cond].field, f.nodes[then].field, f.nodes[els].field)
	c, t, e := f.along(cond, by), f.along(then, by), f.along(els, by)
	edges := make([]edge, 0, max(len(c), len(t), len(e)))
	for len(c) > 0 {
		end := c[0].last
		if t[0].last.compare(end) < 0 {
			end = t[0].last
		}
		if e[0].last.compare(end) < 0 {
			end = e[0].last
		}
		edges = append(edges, edge{end, f.choose(c[0].to, t[0].to, e[0].to)})
		c, t, e = after(c, end), after(t, end), after(e, end)
	}
	r := f.node(by, edges)
	f.chosen[key] = r
	return r
}

func after(edges []edge, end value) []edge {
	if edges[0].last == end {
		return edges[1:]
	}
	return edges
}

// worse is, for each packet, the worse outcome of the two.
func (f *forest) worse(a, b ref) ref {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == b || a == no:
		return a
	case b < f.leaves:
		return a // both are leaves
	case a == yes:
		return b
	}
	key := [2]ref{a, b}
	if r, ok := f.least[key]; ok {
		return r
	}
	by := min(f.nodes[a].field, f.nodes[b].field)
	x, y := f.along(a, by), f.along(b, by)
	var edges []edge
	for len(x) > 0 {
		end := x[0].last
		if y[0].last.compare(end) < 0 {
			end = y[0].last
		}
		edges = append(edges, edge{end, f.worse(x[0].to, y[0].to)})
		x, y = after(x, end), after(y, end)
	}
	r := f.node(by, edges)
	f.least[key] = r
	return r
}

// only is yes where the outcome is o, and no elsewhere.
func (f *forest) only(r ref, o Outcome) ref {
	return f.leavesTo(r, func(leaf ref) ref {
		if leaf == ref(o) {
			return yes
		}
		return no
	})
}

// leavesTo replaces each leaf.
func (f *forest) leavesTo(r ref, to func(ref) ref) ref {
	done := make(map[ref]ref)
	var replace func(ref) ref
	replace = func(r ref) ref {
		if r < f.leaves {
			return to(r)
		}
		if done, ok := done[r]; ok {
			return done
		}
		n := f.nodes[r]
		edges := make([]edge, len(n.edges))
		for i, e := range n.edges {
			edges[i] = edge{e.last, replace(e.to)}
		}
		done[r] = f.node(n.field, edges)
		return done[r]
	}
	return replace(r)
}

func (f *forest) and(a, b ref) ref { return f.choose(a, b, no) }
func (f *forest) or(a, b ref) ref  { return f.choose(a, yes, b) }

// better is, for each packet, the better outcome of the two.
func (f *forest) better(a, b ref) ref {
	turn := func(leaf ref) ref { return yes - leaf }
	return f.leavesTo(f.worse(f.leavesTo(a, turn), f.leavesTo(b, turn)), turn)
}

// unequal is the set of the packets for which two diagrams have other leaves.
func (f *forest) unequal(a, b ref) ref {
	done := make(map[[2]ref]ref)
	var differ func(a, b ref) ref
	differ = func(a, b ref) ref {
		switch {
		case a == b:
			return no
		case a < f.leaves && b < f.leaves:
			return yes
		}
		if r, ok := done[[2]ref{a, b}]; ok {
			return r
		}
		by := min(f.nodes[a].field, f.nodes[b].field)
		x, y := f.along(a, by), f.along(b, by)
		var edges []edge
		for len(x) > 0 {
			end := x[0].last
			if y[0].last.compare(end) < 0 {
				end = y[0].last
			}
			edges = append(edges, edge{end, differ(x[0].to, y[0].to)})
			x, y = after(x, end), after(y, end)
		}
		r := f.node(by, edges)
		done[[2]ref{a, b}] = r
		return r
	}
	return differ(a, b)
}

// at is the leaf to which one packet comes.
func (f *forest) at(r ref, p Packet) ref {
	for r >= f.leaves {
		n := f.nodes[r]
		v := p.value(n.field)
		i, found := slices.BinarySearchFunc(n.edges, v, func(e edge, v value) int { return e.last.compare(v) })
		_ = found // the edge of the next larger value holds it otherwise
		r = n.edges[i].to
	}
	return r
}

func (p Packet) value(by field) value {
	switch by {
	case byFamily:
		return of(uint64(p.Family() - 1))
	case byDir:
		return of(uint64(bits.TrailingZeros8(uint8(p.Dir))))
	case byExt:
		if p.Ext {
			return of(1)
		}
	case byFrag:
		return of(uint64(bits.TrailingZeros8(uint8(p.Frag))))
	case byProto:
		return of(uint64(p.Proto))
	case byFlags:
		return of(uint64(p.Flags.index()))
	case byDPort:
		return of(uint64(p.DPort))
	case bySPort:
		return of(uint64(p.SPort))
	case byDst4, byDst6:
		return addrValue(p.Dst)
	case bySrc4, bySrc6:
		return addrValue(p.Src)
	case leaf:
	}
	return value{}
}

// among asks for one field: in the ranges on to yes, outside no.
func (f *forest) among(by field, ranges []span, yes ref) ref {
	var edges []edge
	var next value
	more := true // next is a value of the field
	for _, s := range ranges {
		if s.first.compare(next) > 0 {
			edges = append(edges, edge{s.first.previous(), no})
		}
		edges = append(edges, edge{s.last, yes})
		next, more = s.last.next(), s.last != last[by]
	}
	if more {
		edges = append(edges, edge{last[by], no})
	}
	return f.node(by, edges)
}

type span struct{ first, last value }

func one(n uint64) []span { return []span{{of(n), of(n)}} }

func numberSpans(rs Ranges) []span {
	rs = rs.merged()
	spans := make([]span, len(rs))
	for i, r := range rs {
		spans[i] = span{of(uint64(r.First)), of(uint64(r.Last))}
	}
	return spans
}

func addrSpans(rs []netipx.IPRange) []span {
	spans := make([]span, len(rs))
	for i, r := range rs {
		spans[i] = span{addrValue(r.From()), addrValue(r.To())}
	}
	return spans
}

// bitSpans are the places of the bits in a set of n.
func bitSpans(set uint, n int) []span {
	var spans []span
	for i := range n {
		if set&(1<<i) != 0 {
			spans = append(spans, one(uint64(i))...)
		}
	}
	return spans
}

// match is the set of the packets that meet the condition.
func (f *forest) match(m Match) ref {
	if m.Never {
		return no
	}
	r := no
	for i, family := range []Family{V4, V6} {
		if m.Family != 0 && m.Family&family == 0 {
			continue
		}
		r = f.or(r, f.among(byFamily, one(uint64(i)), f.matchFamily(m, family)))
	}
	return r
}

// matchFamily builds from the last field to the first.
func (f *forest) matchFamily(m Match, family Family) ref {
	dst, src := byDst4, bySrc4
	if family == V6 {
		dst, src = byDst6, bySrc6
	}
	r := yes
	if !m.Src.Any() {
		r = f.among(src, addrSpans(m.Src.Ranges(family)), r)
	}
	if !m.Dst.Any() {
		r = f.among(dst, addrSpans(m.Dst.Ranges(family)), r)
	}
	frags := m.Frag
	if frags == 0 {
		frags = Whole | First | Later | Torn
	}
	proto := m.Proto
	if m.SPort != nil {
		r = f.among(bySPort, numberSpans(m.SPort), r)
	}
	if m.DPort != nil {
		r = f.among(byDPort, numberSpans(m.DPort), r)
	}
	if m.SPort != nil || m.DPort != nil || m.Flags != 0 {
		frags &= Whole | First
		proto = proto.and(ported)
	}
	if m.Flags != 0 {
		r = f.among(byFlags, bitSpans(uint(m.Flags), 16), r)
		proto = proto.and(Number(TCP))
	}
	if proto != nil {
		r = f.among(byProto, numberSpans(proto.and(Ranges{{0, 255}})), r) // there are no others
		frags &^= Torn
	}
	r = f.among(byFrag, bitSpans(uint(frags), 4), r)
	if m.Ext != AnyExt {
		r = f.among(byExt, one(uint64(m.Ext-Without)), r)
	}
	if m.Dir != 0 {
		r = f.among(byDir, bitSpans(uint(m.Dir), 2), r)
	}
	return r
}

// and is what is in both sets; nil is all numbers, and the result never is.
func (rs Ranges) and(other Ranges) Ranges {
	if rs == nil {
		return other
	}
	all := Ranges{}
	for _, a := range rs.merged() {
		for _, b := range other {
			if first, last := max(a.First, b.First), min(a.Last, b.Last); first <= last {
				all = append(all, Range{first, last})
			}
		}
	}
	return all
}

// real is the set of the packets that there are: IPv4 has no extension headers
// and no torn packets, and an IPv6 fragment has an extension header, which is
// how it is one. Torn packets are left out unless they are asked for.
func (f *forest) real(torn bool) ref {
	v4 := f.match(Match{Family: V4, Frag: Whole | First | Later, Ext: Without})
	whole := f.match(Match{Family: V6, Frag: Whole})
	frags := First | Later
	if torn {
		frags |= Torn
	}
	return f.or(v4, f.or(whole, f.match(Match{Family: V6, Frag: frags, Ext: With})))
}
