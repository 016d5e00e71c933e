package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/acl"
)

// A Flow is one FlowSpec route: what it matches, and whether that is dropped.
// It has no place of its own: a router puts flows in the order of RFC 8955,
// section 5.1, and the first that matches decides (no traffic-action says
// otherwise). Flows sees to it that an exception comes before every drop that
// it is about.
type Flow struct {
	Rule         string // of the policy
	Family       acl.Family
	Dst, Src     netip.Prefix // the zero prefix: any
	Proto        acl.Ranges
	SPort, DPort acl.Ranges
	Initial      bool // SYN without ACK
	Drop         bool
}

// FlowsMost is how many flows are written: routers have room for a few
// thousand in all.
const FlowsMost = 3000

// Flows turns the rules of a form into flows. RFC 8955 has no negation, and no
// order of one's own; what it has is that a more specific prefix comes first,
// and a flow that names a source before one that does not. So an exception is
// written once for each drop that it is an exception to, with the part of that
// drop's prefixes that it is about: either its destination is more specific, or
// its destination is the same and its source is more specific or there. Where
// both are the same, nothing is left to drop, and the drop is left out.
func Flows(f acl.Form) ([]Flow, error) {
	if f.At.Profile == acl.Host {
		return nil, cannot("the profile host: FlowSpec is for routers")
	}
	var all []Flow
	taken := make(map[string]bool)
	add := func(r acl.Rule, m acl.Match, drop, late bool) error {
		some, err := flowsOf(r, m, drop)
		if err != nil {
			return err
		}
		before := all
		for _, one := range some {
			within := func(other Flow) bool {
				return !other.Drop && other.Rule == r.Name && other.Dst.IsValid() && other.has(one)
			}
			key := one.key()
			if taken[key] || late && slices.ContainsFunc(before, within) {
				continue
			}
			taken[key] = true
			all = append(all, one)
		}
		if len(all) > FlowsMost {
			return cannot("the policy comes to more flows than a router takes: %d; give exceptions as fewer prefixes", FlowsMost)
		}
		return nil
	}
	for i, r := range f.Rules {
		if flowDrops(r) {
			if err := add(r, r.Match, r.Action == acl.Drop, false); err != nil {
				return nil, err
			}
			continue
		}
		for _, d := range f.Rules[i+1:] {
			if !flowDrops(d) {
				continue
			}
			m := r.Match.And(d.Match)
			if m.Never || m.Src.Empty() || m.Dst.Empty() || m.Proto != nil && len(m.Proto) == 0 || m.DPort != nil && len(m.DPort) == 0 {
				continue
			}
			// A drop that names no destination comes after all flows that do: what the
			// exception has written already is enough.
			if err := add(r, m, false, d.Match.Dst.Any()); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// flowDrops reports whether the rule drops, or counts what will be dropped.
func flowDrops(r acl.Rule) bool {
	return r.Action == acl.Drop || strings.HasSuffix(r.Name, acl.HitSuffix)
}

func flowsOf(r acl.Rule, m acl.Match, drop bool) ([]Flow, error) {
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil || m.Dir != 0 {
		return nil, cannot("%s: a match on fragments, extension headers, a direction or no protocol", r.Name)
	}
	if m.Flags != 0 && m.Flags != acl.Initial {
		return nil, cannot("%s: these TCP flags", r.Name)
	}
	for _, p := range m.Proto {
		if p.First != p.Last || p.First != acl.TCP && p.First != acl.UDP || m.Flags != 0 && p.First != acl.TCP {
			return nil, cannot("%s: protocols other than TCP and UDP", r.Name)
		}
	}
	var all []Flow
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		if m.Families()&family == 0 {
			continue
		}
		for _, dst := range flowPrefixes(m.Dst, family) {
			for _, src := range flowPrefixes(m.Src, family) {
				all = append(all, Flow{
					Rule: r.Name, Family: family, Dst: dst, Src: src, Proto: m.Proto, SPort: m.SPort, DPort: m.DPort, Initial: m.Flags == acl.Initial, Drop: drop,
				})
			}
		}
	}
	return all, nil
}

func flowPrefixes(n acl.Nets, family acl.Family) []netip.Prefix {
	if n.Any() {
		return []netip.Prefix{{}}
	}
	return n.Prefixes(family)
}

// key is what the flow matches: two with one key are one route.
func (f Flow) key() string {
	return fmt.Sprint(f.Family, f.Dst, f.Src, f.Proto, f.SPort, f.DPort, f.Initial)
}

// has reports whether every packet of the other flow is one of this.
func (f Flow) has(o Flow) bool {
	in := func(outer, inner netip.Prefix) bool {
		return !outer.IsValid() || inner.IsValid() && outer.Bits() <= inner.Bits() && outer.Overlaps(inner)
	}
	for _, p := range o.Proto {
		if !slices.Contains(f.Proto, p) {
			return false
		}
	}
	return f.Family == o.Family && in(f.Dst, o.Dst) && in(f.Src, o.Src) && (!f.Initial || o.Initial) && slices.Equal(f.DPort, o.DPort) && slices.Equal(f.SPort, o.SPort)
}

// String is the flow in words.
func (f Flow) String() string {
	var words []string
	if f.Dst.IsValid() {
		words = append(words, "to "+f.Dst.String())
	}
	if f.Src.IsValid() {
		words = append(words, "from "+f.Src.String())
	}
	words = append(words, strings.Join(flowProtos(f), ","))
	if f.SPort != nil {
		words = append(words, "source port "+flowPorts(f.SPort))
	}
	if f.DPort != nil {
		words = append(words, "port "+flowPorts(f.DPort))
	}
	if f.Initial {
		words = append(words, "SYN without ACK")
	}
	return strings.Join(words, " ")
}

func flowProtos(f Flow) []string {
	return words(f.Proto, func(p acl.Range) string { return map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First] })
}

func flowPorts(rs acl.Ranges) string { return strings.Join(words(rs, nftRange), ",") }

const flowAuthority = "RFC 8955, RFC 8956"

var flowNotes = []string{
	"flows have no direction: they hold for whatever arrives at an interface where FlowSpec is enabled, also between your own networks; enable it where the policy is meant (at the edge), or everywhere",
	"a receiver validates (RFC 8955, section 6; RFC 9117): a flow needs a destination of which you originate the route; flows of the legs out_udp and out_tcp have none, and are taken only where validation is off",
	"Junos before 16.1, or without routing-options flow term-order standard, has an order of its own: exceptions may come too late there",
	"on all receivers set a limit of FlowSpec routes: a mistake here drops packets everywhere",
}
