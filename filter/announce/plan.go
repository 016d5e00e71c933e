// Package announce sends the flows of a filter to a BGP peer, for as long as was
// said, and takes them back.
package announce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"ippwatch/acl"
	"ippwatch/acl/read"
	"ippwatch/acl/render"
)

// A Plan is what would be sent, proven.
type Plan struct {
	Routes []Route
	Notes  []string
}

// A Route is a flow with the bytes that go out for it.
type Route struct {
	render.Flow
	NLRI        []byte // with its length, as in RFC 8955, section 4.1
	Communities [][]byte

	family bgp.Family
	path   *bgp.FlowSpecNLRI
}

// Action is what the routers do.
func (r Route) Action() string {
	if r.Drop {
		return "drop"
	}
	return "accept"
}

var (
	// ErrForeign is for a flow that is not about one's own prefixes alone.
	ErrForeign = errors.New("not within your own prefixes")
	// ErrMany is for more flows than were allowed.
	ErrMany = errors.New("too many flows")
	// ErrUnproven is for bytes that do not do what the policy says: a mistake in
	// ippwatch.
	ErrUnproven = errors.New("the routes were read back and are not what the policy says: nothing is sent")
)

// New turns a form into routes. Every flow has to have its destination, or, if it
// names none, its source within the prefixes: who announces others' makes
// packets vanish that are none of his business. The bytes are decoded by
// acl/read, which shares nothing with the encoder, and proven.
func New(form acl.Form, own []netip.Prefix, most int) (Plan, error) {
	platform, _ := render.ByName("flowspec-bird")
	form, notes := platform.Fit(form)
	flows, err := render.Flows(form)
	if err != nil {
		return Plan{}, err
	}
	if len(flows) > most {
		return Plan{}, fmt.Errorf("%w: the policy comes to %d, and %d are allowed", ErrMany, len(flows), most)
	}
	p := Plan{Notes: notes}
	for _, f := range flows {
		if !within(f, own) {
			return Plan{}, fmt.Errorf("%s: %s: %w", f.Rule, f, ErrForeign)
		}
		r, err := encode(f)
		if err != nil {
			return Plan{}, fmt.Errorf("%s: %w", f, err)
		}
		p.Routes = append(p.Routes, r)
	}
	if slices.ContainsFunc(p.Routes, func(r Route) bool { return !r.Dst.IsValid() }) {
		p.Notes = append(p.Notes, "routes without a destination (legs out_udp, out_tcp) are taken only where receivers do not validate them (RFC 8955, section 6)")
	}
	return p, p.prove(form)
}

func within(f render.Flow, own []netip.Prefix) bool {
	about := f.Dst
	if !about.IsValid() {
		about = f.Src
	}
	return about.IsValid() && slices.ContainsFunc(own, func(o netip.Prefix) bool {
		return o.Bits() <= about.Bits() && o.Contains(about.Addr())
	})
}

// Operators of a list (RFC 8955, section 4.2.1).
const (
	and     = 0x40
	atLeast = 0x03
	atMost  = 0x05
	equal   = 0x01
	not     = 0x02
	exact   = 0x01
)

func encode(f render.Flow) (Route, error) {
	r := Route{Flow: f, family: bgp.RF_FS_IPv4_UC}
	if f.Family == acl.V6 {
		r.family = bgp.RF_FS_IPv6_UC
	}
	var parts []bgp.FlowSpecComponentInterface
	for _, side := range []struct {
		prefix netip.Prefix
		four   func(*bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface
		six    func(*bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface
	}{
		{
			f.Dst, func(p *bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface { return bgp.NewFlowSpecDestinationPrefix(p) },
			func(p *bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface {
				return bgp.NewFlowSpecDestinationPrefix6(p, 0)
			},
		},
		{
			f.Src, func(p *bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface { return bgp.NewFlowSpecSourcePrefix(p) },
			func(p *bgp.IPAddrPrefix) bgp.FlowSpecComponentInterface { return bgp.NewFlowSpecSourcePrefix6(p, 0) },
		},
	} {
		if !side.prefix.IsValid() {
			continue
		}
		p, err := bgp.NewIPAddrPrefix(side.prefix)
		if err != nil {
			return r, err
		}
		if f.Family == acl.V6 {
			parts = append(parts, side.six(p))
		} else {
			parts = append(parts, side.four(p))
		}
	}
	parts = append(parts, numbers(bgp.FLOW_SPEC_TYPE_IP_PROTO, f.Proto))
	if f.DPort != nil {
		parts = append(parts, numbers(bgp.FLOW_SPEC_TYPE_DST_PORT, f.DPort))
	}
	if f.SPort != nil {
		parts = append(parts, numbers(bgp.FLOW_SPEC_TYPE_SRC_PORT, f.SPort))
	}
	if f.Initial {
		parts = append(parts, bgp.NewFlowSpecComponent(bgp.FLOW_SPEC_TYPE_TCP_FLAG, []*bgp.FlowSpecComponentItem{
			bgp.NewFlowSpecComponentItem(exact, uint64(acl.SYN)), bgp.NewFlowSpecComponentItem(and|not, uint64(acl.ACK)),
		}))
	}
	var err error
	if r.path, err = bgp.NewFlowSpecUnicast(r.family, parts); err != nil {
		return r, err
	}
	if r.NLRI, err = r.path.Serialize(); err != nil {
		return r, err
	}
	if f.Drop {
		community, err := bgp.NewTrafficRateExtended(0, 0).Serialize()
		if err != nil {
			return r, err
		}
		r.Communities = append(r.Communities, community)
	}
	return r, nil
}

func numbers(kind bgp.BGPFlowSpecType, rs acl.Ranges) bgp.FlowSpecComponentInterface {
	var items []*bgp.FlowSpecComponentItem
	for _, r := range rs {
		if r.First == r.Last {
			items = append(items, bgp.NewFlowSpecComponentItem(equal, uint64(r.First)))
			continue
		}
		items = append(items, bgp.NewFlowSpecComponentItem(atLeast, uint64(r.First)), bgp.NewFlowSpecComponentItem(and|atMost, uint64(r.Last)))
	}
	return bgp.NewFlowSpecComponent(kind, items)
}

// prove decodes the bytes and compares them with the form.
func (p Plan) prove(form acl.Form) error {
	var routes []read.FlowRoute
	written := make(map[string]bool)
	for _, r := range p.Routes {
		one := read.FlowRoute{Rule: r.Rule, Family: r.Family, NLRI: r.NLRI}
		for _, c := range r.Communities {
			one.Communities = append(one.Communities, binary.BigEndian.Uint64(c))
		}
		routes = append(routes, one)
		written[r.Rule] = true
	}
	got, err := read.FlowRoutes(routes)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	// An exception to nothing that is dropped needs no flow.
	form.Rules = slices.Clone(form.Rules)
	for i, r := range form.Rules {
		if !written[r.Name] {
			form.Rules[i].Name = ""
		}
	}
	proof := acl.Prove(form, got)
	switch {
	case len(proof.Differences) > 0:
		d := proof.Differences[0]
		return fmt.Errorf("%w: %s: the policy says %s, the routes say %s", ErrUnproven, d.Witness, d.A, d.B)
	case !proof.Proven():
		return fmt.Errorf("%w: %v %v", ErrUnproven, proof.Lost, proof.Unverified)
	}
	return nil
}
