package read

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"ippwatch/acl"
)

// A flow is a FlowSpec route: conditions that all have to hold, and what becomes
// of the packets.
type flow struct {
	family acl.Family
	parts  []flowPart // in ascending order of their types
	rule   acl.Rule   // without the match
}

// A flowPart is a component (RFC 8955, section 4.2.2; RFC 8956, section 3).
type flowPart struct {
	kind   byte
	prefix netip.Prefix // of the types 1 and 2
	offset byte         // of IPv6, RFC 8956, section 3.1
	items  []flowItem
}

// A flowItem is an operator and a value.
type flowItem struct {
	op    byte
	value uint64
}

// The types of components.
const (
	flowDst      = 1
	flowSrc      = 2
	flowProto    = 3 // of IPv6: the upper-layer protocol, behind extension headers
	flowPort     = 4
	flowDstPort  = 5
	flowSrcPort  = 6
	flowTCPFlags = 9
	flowFragment = 12
)

// The bits of operators (RFC 8955, section 4.2.1). Those of bitmask operators
// are in the places of equal and greater.
const (
	flowAnd     = 0x40
	flowLess    = 0x04
	flowGreater = 0x02
	flowEqual   = 0x01
	flowNot     = 0x02
	flowExact   = 0x01
)

// flows puts routes in their order and makes a stage of each family.
func flows(all []flow) []acl.Stage {
	var stages []acl.Stage
	slices.SortStableFunc(all, compareFlows)
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		s := acl.Stage{Name: "FlowSpec " + family.String(), On: acl.Match{Family: family}, Default: acl.Permit}
		for _, f := range all {
			if f.family == family {
				s.Rules = append(s.Rules, f.rules()...)
			}
		}
		if s.Rules != nil {
			stages = append(stages, s)
		}
	}
	return stages
}

// compareFlows is the order of RFC 8955, section 5.1, and of RFC 8956, section 4:
// the lower type first, a more specific prefix first, and else the lower bytes;
// a flow that has a component more comes first.
func compareFlows(a, b flow) int {
	if c := cmp.Compare(a.family, b.family); c != 0 {
		return c
	}
	for i := range min(len(a.parts), len(b.parts)) {
		x, y := a.parts[i], b.parts[i]
		if c := cmp.Compare(x.kind, y.kind); c != 0 {
			return c
		}
		if x.kind == flowDst || x.kind == flowSrc {
			if c := comparePrefixes(x, y); c != 0 {
				return c
			}
			continue
		}
		p, q := x.bytes(), y.bytes()
		n := min(len(p), len(q))
		if c := bytes.Compare(p[:n], q[:n]); c != 0 {
			return c
		}
		if c := cmp.Compare(len(q), len(p)); c != 0 {
			return c // the longer one first
		}
	}
	return cmp.Compare(len(b.parts), len(a.parts))
}

func comparePrefixes(x, y flowPart) int {
	if c := cmp.Compare(x.offset, y.offset); c != 0 {
		return c
	}
	if x.prefix.Overlaps(y.prefix) {
		return cmp.Compare(y.prefix.Bits(), x.prefix.Bits())
	}
	return x.prefix.Addr().Compare(y.prefix.Addr())
}

// bytes are the operators and values as they are sent.
func (p flowPart) bytes() []byte {
	var b []byte
	for i, item := range p.items {
		op := item.op &^ 0xb0
		if i == len(p.items)-1 {
			op |= 0x80
		}
		switch {
		case item.value < 1<<8:
			b = append(b, op, byte(item.value))
		case item.value < 1<<16:
			b = append(b, op|0x10, byte(item.value>>8), byte(item.value))
		default:
			b = append(b, op|0x20, byte(item.value>>24), byte(item.value>>16), byte(item.value>>8), byte(item.value))
		}
	}
	return b
}

// rules are the flow as rules; a port of either side makes two.
func (f flow) rules() []acl.Rule {
	m, unsure := acl.Match{Family: f.family}, f.rule.Unsure
	var either acl.Ranges
	ports := false
	for _, p := range f.parts {
		switch p.kind {
		case flowDst, flowSrc:
			if p.offset != 0 {
				unsure = true
				continue
			}
			one := acl.Match{Dst: acl.NetsOf(p.prefix)}
			if p.kind == flowSrc {
				one = acl.Match{Src: acl.NetsOf(p.prefix)}
			}
			m = m.And(one)
		case flowProto:
			m = m.And(acl.Match{Proto: p.numbers(255)})
		case flowPort:
			either, ports = p.numbers(65535), true
		case flowDstPort:
			m, ports = m.And(acl.Match{DPort: p.numbers(65535)}), true
		case flowSrcPort:
			m, ports = m.And(acl.Match{SPort: p.numbers(65535)}), true
		case flowTCPFlags:
			set, ok := p.flags()
			m, unsure = m.And(acl.Match{Proto: acl.Number(acl.TCP), Flags: set}), unsure || !ok
			m.Never = m.Never || ok && set == 0
		case flowFragment:
			frag, ok := p.fragments()
			m, unsure = m.And(acl.Match{Frag: frag}), unsure || !ok
			m.Never = m.Never || ok && frag == 0
		default:
			unsure = true // ICMP, length, DSCP, flow label: narrower than what is compared here
		}
	}
	if ports {
		m = m.And(acl.Match{Proto: acl.Number(acl.TCP, acl.UDP)}) // RFC 8955, section 4.2.2.4
	}
	rule := f.rule
	rule.Unsure = unsure
	if either == nil {
		rule.Match = m
		return []acl.Rule{rule}
	}
	src, dst := rule, rule
	src.Match, dst.Match = m.And(acl.Match{SPort: either}), m.And(acl.Match{DPort: either})
	return []acl.Rule{src, dst}
}

// numbers evaluates numeric operators: those with the and bit belong to the one
// before, the groups are alternatives.
func (p flowPart) numbers(last uint16) acl.Ranges {
	var all acl.Ranges
	group := acl.Ranges{{First: 0, Last: last}}
	for i, item := range p.items {
		if i > 0 && item.op&flowAnd == 0 {
			all = append(all, group...)
			group = acl.Ranges{{First: 0, Last: last}}
		}
		one := acl.Ranges{}
		value := min(item.value, 1<<20)
		if item.op&flowLess != 0 && value > 0 {
			one = append(one, acl.Range{First: 0, Last: uint16(min(value-1, uint64(last)))})
		}
		if item.op&flowEqual != 0 && value <= uint64(last) {
			one = append(one, acl.Range{First: uint16(value), Last: uint16(value)})
		}
		if item.op&flowGreater != 0 && value < uint64(last) {
			one = append(one, acl.Range{First: uint16(value) + 1, Last: last})
		}
		group = acl.Match{DPort: group}.And(acl.Match{DPort: one}).DPort
	}
	all = append(all, group...)
	if all == nil {
		return acl.Ranges{}
	}
	return all
}

// holds evaluates bitmask operators for a value.
func (p flowPart) holds(value uint64) bool {
	all, group := false, true
	for i, item := range p.items {
		if i > 0 && item.op&flowAnd == 0 {
			all, group = all || group, true
		}
		one := value&item.value != 0
		if item.op&flowExact != 0 {
			one = value&item.value == item.value
		}
		group = group && one != (item.op&flowNot != 0)
	}
	return all || group
}

// flags are the segments for which the operators hold; not if they ask for flags
// that are not looked at.
func (p flowPart) flags() (set acl.FlagSet, ok bool) {
	for _, item := range p.items {
		if item.value&^uint64(acl.FIN|acl.SYN|acl.RST|acl.ACK) != 0 {
			return 0, false
		}
	}
	for i := range acl.Flags(0x20) {
		if i&8 == 0 && p.holds(uint64(i)) {
			set |= acl.FlagsAre(acl.FIN|acl.SYN|acl.RST|acl.ACK, i)
		}
	}
	return set, true
}

// fragments: bit 1 is a fragment that is not the first, bit 2 the first one.
func (p flowPart) fragments() (frag acl.Frag, ok bool) {
	for _, item := range p.items {
		if item.value&^6 != 0 {
			return 0, false // don't fragment, last fragment
		}
	}
	for kind, bits := range map[acl.Frag]uint64{acl.Whole: 0, acl.First: 4, acl.Later: 2} {
		if p.holds(bits) {
			frag |= kind
		}
	}
	return frag, true
}

// flowAction is what communities say: each is a type of two bytes and a value of
// six (RFC 8955, section 7).
func flowAction(rule *acl.Rule, communities []uint64) (why string) {
	rule.Action = acl.Permit // RFC 8955, section 7: without an action, accept
	further := false
	for _, c := range communities {
		switch c >> 48 {
		case 0x8006, 0x800c: // traffic-rate in bytes, in packets
			// A float: of 0 both signs are 0. Another rate lets some pass.
			if c&0x7fffffff == 0 {
				rule.Action = acl.Drop
			}
		case 0x8007: // traffic-action
			// The last bit, when set: later flows are looked at as well.
			further = further || c&1 != 0
		case 0x8009: // traffic-marking
		case 0x8008, 0x8108, 0x8208:
			return "sends packets elsewhere"
		default:
			if c>>56 == 0x80 {
				return "unknown action"
			}
		}
	}
	if further && rule.Action == acl.Permit {
		rule.Action = acl.Next
	}
	return ""
}
