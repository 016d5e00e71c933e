package filter

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ippwatch/acl"
	"ippwatch/acl/render"
)

// randomPolicy is one that a person might write.
func randomPolicy(d *rand.Rand) acl.Policy {
	prefix := func(v4 bool) netip.Prefix {
		if v4 {
			a := netip.AddrFrom4([4]byte{198, 51, 100, byte(d.Uint32())})
			return netip.PrefixFrom(a, 24+d.IntN(9)).Masked()
		}
		b := netip.MustParseAddr("2001:db8:100::").As16()
		b[6], b[7], b[15] = byte(d.Uint32()), byte(d.Uint32()), byte(d.Uint32())
		return netip.PrefixFrom(netip.AddrFrom16(b), 48+d.IntN(81)).Masked()
	}
	list := func(some bool) (ps []netip.Prefix) {
		for range 1 + d.IntN(3) {
			if some {
				ps = append(ps, prefix(true), prefix(false))
			}
		}
		return ps
	}
	p := acl.Policy{
		Name: "epf631", Profile: acl.Profiles[d.IntN(3)], Interfaces: []string{"wan"}, Networks: list(true), Ports: []uint16{631},
		Legs: acl.Legs{InTCP: d.IntN(4) > 0, InUDP: true, OutTCP: d.IntN(4) == 0, OutUDP: d.IntN(4) > 0},
		TCP:  acl.AllSegments, Torn: d.IntN(2) == 0,
	}
	if d.IntN(3) == 0 {
		p.TCP = acl.SynOnly
	}
	if d.IntN(2) == 0 {
		p.Log = acl.Rate{N: 1 + d.IntN(100), Per: []string{"second", "minute", "hour"}[d.IntN(3)]}
	}
	if d.IntN(4) == 0 {
		p.Ports = append(p.Ports, 9100, 515)
	}
	if d.IntN(4) == 0 {
		p.Interfaces = append(p.Interfaces, "lan7")
	}
	for range d.IntN(5) {
		to := list(d.IntN(3) > 0)
		e := acl.Exception{To: to, From: list(to == nil || d.IntN(3) == 0), Kind: "other", Owner: "a", Ticket: "T"}
		if d.IntN(2) == 0 {
			e.Legs = []string{acl.AllLegs[d.IntN(4)].Name}
		}
		p.Exceptions = append(p.Exceptions, e)
	}
	return p
}

// Whatever a policy says, a platform either does that or refuses.
func TestAnyPolicyIsProvenOrRefused(t *testing.T) {
	for _, p := range render.All {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			d := rand.New(rand.NewPCG(63, 1))
			refused := 0
			const n = 150
			for range n {
				form := randomPolicy(d).Form(now, d.IntN(3) == 0)
				_, err := Render(p.Name, form)
				if errors.Is(err, acl.ErrCannot) {
					refused++
				} else if err != nil {
					t.Fatalf("%v\n%+v", err, form)
				}
			}
			if refused > n*2/3 {
				t.Errorf("%d of %d are refused", refused, n)
			}
		})
	}
}

// Owners, tickets and reasons are somebody's words. Whatever they are, they stay
// in comments: the text is proven, and nothing of it is understood as a rule.
func TestWordsOfOthersStayComments(t *testing.T) {
	for _, words := range []string{
		`a"; accept; }`, "permit ip any any", "x */ pass quick all /*", "`reboot` $(reboot)", "\"\n permit ip any any\n\"", "\\", "ä€😀\x1b[31m", "#!/bin/sh", "%s%n", "}\n}\ntable inet x {", "remark epf631_in_tcp: x",
	} {
		p := policy()
		p.Torn = false
		for i := range p.Exceptions {
			p.Exceptions[i].Owner, p.Exceptions[i].Ticket, p.Exceptions[i].Kind = words, words, words
		}
		for _, platform := range render.All {
			for _, countOnly := range []bool{false, true} {
				if _, err := Render(platform.Name, p.Form(now, countOnly)); err != nil && !errors.Is(err, acl.ErrCannot) {
					t.Errorf("%s with %q: %v", platform.Name, words, err)
				}
			}
		}
	}
}
