package read

import (
	"net/netip"
	"strings"

	"go4.org/netipx"

	"ippwatch/acl"
)

// mostNested bounds how deep groups may lead into each other.
const mostNested = 16

// groupNets is a group of addresses, once it is understood.
type groupNets struct {
	nets acl.Nets
	ok   bool
	busy bool
}

// group is the addresses of a group; not ok when a part of it is not known.
func (r *ciscoReader) group(name string, family acl.Family, depth int) (acl.Nets, bool) {
	key := listKey{family, name}
	if g, done := r.nets[key]; done {
		return g.nets, g.ok && !g.busy
	}
	list := r.groups[r.d.group("network", family, name)]
	if list == nil || depth > mostNested {
		return acl.Nets{}, false
	}
	r.nets[key] = groupNets{busy: true}
	g := groupNets{ok: true}
	var rs []netipx.IPRange
	parts := []acl.Nets{acl.NetsOf()}
	for _, l := range list.lines {
		words := numbered(strings.Fields(l.text))
		if len(words) == 0 || words[0] == "description" || words[0] == "exit" {
			continue
		}
		if (words[0] == "group-object" || words[0] == "object-group") && len(words) == 2 {
			nets, ok := r.group(words[1], family, depth+1)
			if !ok {
				r.at(l.place, l.text, "a group that is not known")
				g.ok = false
			}
			parts = append(parts, nets)
			continue
		}
		got, ok := member(words, family)
		if !ok {
			r.at(l.place, l.text, "not an address of the group")
			g.ok = false
			continue
		}
		rs = append(rs, got...)
	}
	g.nets = acl.Union(append(parts, acl.NetsFrom(rs...))...)
	if !g.ok {
		g.nets = acl.Nets{}
	}
	r.nets[key] = g
	return g.nets, g.ok
}

// numbered takes off the number that stands before the line of a list.
func numbered(words []string) []string {
	if len(words) > 1 && words[0] == "sequence" {
		words = words[1:]
	}
	if len(words) > 1 {
		if _, err := parseNumber(words[0]); err == nil {
			return words[1:]
		}
	}
	return words
}

// member is a line of a group: host A, range A B, A MASK (a mask of the network
// here, not a wildcard), A/length, any.
func member(words []string, family acl.Family) ([]netipx.IPRange, bool) {
	var r netipx.IPRange
	switch {
	case words[0] == "any" && len(words) == 1:
		if family == acl.V4 {
			return []netipx.IPRange{netipx.RangeOfPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0))}, true
		}
		return []netipx.IPRange{netipx.RangeOfPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0))}, true
	case words[0] == "host" && len(words) == 2:
		a, err := netip.ParseAddr(words[1])
		if err != nil {
			return nil, false
		}
		r = netipx.IPRangeFrom(a, a)
	case words[0] == "range" && len(words) == 3:
		a, err := netip.ParseAddr(words[1])
		b, err2 := netip.ParseAddr(words[2])
		if r = netipx.IPRangeFrom(a, b); err != nil || err2 != nil {
			return nil, false
		}
	case len(words) == 2:
		a, err := netip.ParseAddr(words[0])
		mask, err2 := netip.ParseAddr(words[1])
		if err != nil || err2 != nil || !a.Is4() || !mask.Is4() {
			return nil, false
		}
		return wild(a, inverted(mask))
	case len(words) == 1:
		p, ok := prefix(words[0])
		if !ok {
			return nil, false
		}
		r = netipx.RangeOfPrefix(p)
	}
	return []netipx.IPRange{r}, r.IsValid() && r.From().Is4() == (family == acl.V4) && r.From().Zone() == "" && !r.From().Is4In6()
}

func inverted(mask netip.Addr) netip.Addr {
	b := mask.As4()
	for i := range b {
		b[i] = ^b[i]
	}
	return netip.AddrFrom4(b)
}

// mostWild is how many bits of a wildcard mask may be scattered: each doubles
// the list.
const mostWild = 10

// wild is the set of addresses that agree where the wildcard has a 0. It need
// not be one range: 0.0.1.255 is two networks.
func wild(a, mask netip.Addr) ([]netipx.IPRange, bool) {
	m := number32(mask)
	tail := 0
	for tail < 32 && m>>tail&1 == 1 {
		tail++
	}
	var scattered []int
	for bit := tail; bit < 32; bit++ {
		if m>>bit&1 == 1 {
			scattered = append(scattered, bit)
		}
	}
	if len(scattered) > mostWild {
		return nil, false
	}
	base := number32(a) &^ m
	all := make([]netipx.IPRange, 0, 1<<len(scattered))
	for some := range uint32(1) << len(scattered) {
		at := base
		for i, bit := range scattered {
			at |= some >> i & 1 << bit
		}
		all = append(all, netipx.RangeOfPrefix(netip.PrefixFrom(addr32(at), 32-tail)))
	}
	return all, true
}

func number32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func addr32(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// A service is one of a group of protocols with their ports.
type service struct{ proto, sport, dport acl.Ranges }

type groupServices struct {
	list []service
	ok   bool
	busy bool
}

// services are the protocols and ports of a group of services, IOS-XE's
// "object-group service".
func (r *ciscoReader) services(name string, depth int) ([]service, bool) {
	if g, done := r.ranks[name]; done {
		return g.list, g.ok && !g.busy
	}
	list := r.groups[r.d.group("service", 0, name)]
	if list == nil || depth > mostNested {
		return nil, false
	}
	r.ranks[name] = groupServices{busy: true}
	g := groupServices{ok: true}
	for _, l := range list.lines {
		words := strings.Fields(l.text)
		if words[0] == "description" || words[0] == "exit" {
			continue
		}
		if words[0] == "group-object" && len(words) == 2 {
			more, ok := r.services(words[1], depth+1)
			if !ok || len(g.list)+len(more) > mostDoubts {
				r.at(l.place, l.text, "a group that is not known")
				g.ok = false
				continue
			}
			g.list = append(g.list, more...)
			continue
		}
		s, why := r.service(words)
		if why != "" {
			r.at(l.place, l.text, why)
			g.ok = false
			continue
		}
		g.list = append(g.list, s)
	}
	r.ranks[name] = g
	return g.list, g.ok
}

// service reads tcp eq 631, tcp source range 1 2 eq 631, tcp-udp eq 631, ip.
func (r *ciscoReader) service(words []string) (service, string) {
	var s service
	if words[0] == "tcp-udp" {
		s.proto = acl.Number(acl.TCP, acl.UDP)
	} else {
		protos, ok := protocol(words[0], acl.V4)
		if !ok {
			return s, "unknown protocol: " + words[0]
		}
		s.proto = protos
	}
	a := ace{r: r, words: words[1:], protos: s.proto}
	if len(a.words) > 0 && a.words[0] == "source" {
		a.words = a.words[1:]
		s.sport = a.portList()
	}
	s.dport = a.portList()
	if a.why == "" && len(a.words) > 0 {
		a.why = "unknown word: " + a.words[0]
	}
	return s, a.why
}

// portGroup is IOS-XR's "object-group port".
func (r *ciscoReader) portGroup(name string, depth int) (acl.Ranges, bool) {
	if ports, done := r.ports[name]; done {
		return ports, ports != nil
	}
	list := r.groups[r.d.group("port", 0, name)]
	if list == nil || depth > mostNested {
		return nil, false
	}
	r.ports[name] = nil // it may lead back to itself
	all := acl.Ranges{}
	for _, l := range list.lines {
		words := strings.Fields(l.text)
		var ports acl.Ranges
		switch {
		case words[0] == "description" || words[0] == "exit":
			continue
		case words[0] == "object-group" && len(words) == 2:
			ports, _ = r.portGroup(words[1], depth+1)
		default:
			a := ace{r: r, words: words, protos: acl.Number(acl.TCP, acl.UDP)}
			if ports = a.portList(); a.why != "" || len(a.words) > 0 {
				ports = nil
			}
		}
		if ports == nil || len(all)+len(ports) > mostDoubts {
			r.at(l.place, l.text, "not ports of the group")
			return nil, false
		}
		all = append(all, ports...)
	}
	r.ports[name] = all
	return all, true
}
