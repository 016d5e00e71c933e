package filter

import (
	"fmt"
	"net/netip"

	"ippwatch/acl"
)

// AnyNetwork is the policy of whoever has written none: 631 over TCP and UDP.
func AnyNetwork(at acl.Attach) acl.Policy {
	return acl.Policy{
		Name: "epf631", Profile: at.Profile, Interfaces: at.Interfaces, Ports: []uint16{631}, TCP: acl.AllSegments,
		Networks: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
		Legs:     acl.Legs{InTCP: true, InUDP: true, OutUDP: true},
	}
}

// Decided names the rule of a text that decided about the packets of a leak.
func (l Leak) Decided() string {
	r := l.By
	switch {
	case r.Line == 0 && r.Name == "":
		return "no filter"
	case r.Line == 0:
		return "the end of " + r.Name
	case r.Name == "":
		return fmt.Sprintf("line %d", r.Line)
	}
	return fmt.Sprintf("line %d, %s", r.Line, r.Name)
}
