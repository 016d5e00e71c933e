package read

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"ippwatch/acl"
)

var birdForeign = []foreign{
	{
		name: "flows of an operator, out of their order",
		text: `log syslog all;
router id 192.0.2.10;
flow4 table f4;
flow6 table f6;
/* what is announced
   to the edge */
protocol bgp edge1 {
	local as 64500;
	neighbor 192.0.2.1 as 64500;
	flow4 { table f4; import none; export all; };
	flow6 { table f6; import none; export all; };
}
protocol device { }
protocol static drops {
	flow4 { table f4; };
	route flow4 { dst 198.51.100.0/24; proto = 6 || = 17; dport = 631, 9100..9102; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	route flow4 { src 203.0.113.0/24; port > 18 && < 20; } { bgp_ext_community.add((generic, 0x80060000, 0x80000000)); };
	route flow4 { dst 198.51.100.16/28; dport = 631; };
	route flow4 { dst 198.51.100.64/32; proto = 6; tcp flags 0x02/0x12; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	route flow4 { dst 198.51.100.65/32; proto = 6; fragment is_fragment; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	route flow4 { dst 198.51.100.66/32; proto = 6; } { bgp_ext_community.add((generic, 0x80060000, 0x49742400)); };
}
protocol static drops6 {
	flow6 { table f6; };
	route flow6 { dst 2001:db8:100::/48; next header = 6; dport = 631; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	route flow6 { dst 2001:db8:100:16::/64; } { bgp_ext_community.add((generic, 0x80070000, 0x1)); };
}
protocol static off {
	disabled;
	flow4 { table f4; };
	route flow4 { dst 0.0.0.0/0; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
}
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 9101 dropped", "in tcp 198.51.100.7 9103 passes", "in udp 198.51.100.7 631 dropped", "in tcp 198.51.100.17 631 passes",
			"in tcp 198.51.100.17 9100 dropped", "in udp 198.51.100.7 53 from 203.0.113.9 sport 19 dropped", "in udp 198.51.100.7 53 from 203.0.113.9 sport 20 passes",
			"in tcp 198.51.100.64 80 dropped", "in tcp 198.51.100.64 80 ack passes", "in tcp 198.51.100.65 80 passes", "in tcp 198.51.100.65 0 later dropped", "in tcp 198.51.100.66 631 passes",
			"out tcp 198.51.100.7 631 dropped", "in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 631 ext dropped", "in tcp 2001:db8:100:16::7 631 dropped", "in icmp 198.51.100.7 0 passes",
		},
	},
	{
		name: "a source alone comes after every destination",
		text: `flow4 table f4;
protocol static a {
	flow4 { table f4; };
	route flow4 { src 192.0.2.1/32; };
	route flow4 { dst 0.0.0.0/0; proto = 6; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
}
`,
		fates: []string{"in tcp 198.51.100.7 631 dropped"},
	},
	{
		name: "what is not known is feared",
		text: `include "others.conf";
flow4 table f4;
protocol bgp edge1 {
	flow4 { table f4; import all; export filter { bgp_ext_community.empty; accept; }; };
}
protocol pipe p { table f4; peer table f5; }
protocol static a {
	flow4 { table f4; };
	flow4 { table nowhere; };
	route flow4 { dst 198.51.100.0/24; frob = 7; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	route flow4 { dst 198.51.100.0/24; } { bgp_ext_community.add((generic, 0x80080000, 0x1)); };
	route flow4 { dst 198.51.100.0/24; } { bgp_local_pref = 200; };
	route flow4 { dst 2001:db8::/32; };
	route flow4 { tcp flags ! 0x02/0x02 || 0x10/0x10; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
	frobnicate;
}
nonsense { };
protocol static b {
`,
		fates: []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{
			"included is not here", "flows of others", "exports not all", "a pipe", "unknown component", "sends packets elsewhere", "unknown attribute", "unknown prefix", "flags with operators", "frobnicate",
			"not a statement of BIRD", "ends within a statement", "without its block", "no such table",
		},
	},
}

func TestFlowBird(t *testing.T) {
	for _, f := range birdForeign {
		f.run(t, readFlowBird)
	}
}

var gobgpForeign = []foreign{
	{
		name: "commands of an operator",
		text: `#!/bin/sh -e
set -u
gobgp global rib -a ipv4-flowspec add match destination 198.51.100.0/24 protocol tcp udp destination-port '==631' '>=9100' '&<=9102' then discard
gobgp global rib add -a ipv4-flowspec match destination 198.51.100.16/28 then accept
gobgp global rib -a ipv4-flowspec add match source 203.0.113.0/24 port ==19 then rate-limit 0
gobgp global rib -a ipv4-flowspec add match destination 203.0.113.7/32 protocol tcp tcp-flags S '&!A' then discard
gobgp global rib -a ipv4-flowspec add match destination 203.0.113.8/32 fragment is-fragment then rate-limit 1000 as 64500
gobgp global rib -a ipv6-flowspec add match destination 2001:db8:100::/48 protocol tcp destination-port 631 then discard
gobgp global rib -a ipv6-flowspec add match destination 2001:db8:100:16::/64 dscp 46 then accept
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in udp 198.51.100.7 9102 dropped", "in udp 198.51.100.7 9103 passes", "in tcp 198.51.100.17 631 passes", "in udp 192.0.2.7 53 from 203.0.113.9 sport 19 dropped",
			"in tcp 203.0.113.7 631 dropped", "in tcp 203.0.113.7 631 ack passes", "in tcp 203.0.113.8 631 later passes", "in tcp 2001:db8:100::7 631 ext dropped", "in tcp 2001:db8:100:16::7 631 passes",
		},
	},
	{
		name: "what is not known is feared",
		text: `gobgp global rib -a ipv4 add 198.51.100.0/24
gobgp global rib -a ipv4-flowspec del match destination 198.51.100.0/24
gobgp global rib -a ipv4-flowspec add match destination 198.51.100.0/24 frob 7 then discard
gobgp global rib -a ipv4-flowspec add match destination 198.51.100.0/24 then redirect 64500:1
gobgp global rib -a ipv4-flowspec add match destination-port <>7 then discard
gobgp neighbor
curl example.net
`,
		fates: []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{
			"not a family", "only add match", "unknown prefix", "unknown action: redirect", "unknown value", "not a command", "not a command",
		},
	},
}

func TestFlowGoBGP(t *testing.T) {
	for _, f := range gobgpForeign {
		f.run(t, readFlowGoBGP)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples are those of RFC 8955, section 4.3, and RFC 8956, section 3.8.
func TestFlowRoutes(t *testing.T) {
	const drop = 0x8006_0000_0000_0000
	for _, c := range []struct {
		name, nlri  string
		family      acl.Family
		communities []uint64
		packet      string
	}{
		{"packets to 192.0.2.0/24 and port 25", "01 18 c0 00 02 03 81 06 04 81 19", acl.V4, []uint64{drop}, "in tcp 192.0.2.7 25 dropped"},
		{"another port", "01 18 c0 00 02 03 81 06 04 81 19", acl.V4, []uint64{drop}, "in tcp 192.0.2.7 26 passes"},
		{"a rate is no drop", "01 18 c0 00 02 03 81 06 04 81 19", acl.V4, []uint64{0x8006_0000_4b18_9680}, "in tcp 192.0.2.7 25 passes"},
		{"no action", "01 18 c0 00 02 03 81 06 04 81 19", acl.V4, nil, "in tcp 192.0.2.7 25 passes"},
		{"ports 137 to 139 or 8080", "01 18 c0 00 02 02 08 cb 04 03 89 45 8b 91 1f 90", acl.V4, []uint64{drop}, "in tcp 192.0.2.7 138 from 203.0.113.9 dropped"},
		{"port 8080", "01 18 c0 00 02 02 08 cb 04 03 89 45 8b 91 1f 90", acl.V4, []uint64{drop}, "in udp 192.0.2.7 8080 from 203.0.113.9 dropped"},
		{"port 140", "01 18 c0 00 02 02 08 cb 04 03 89 45 8b 91 1f 90", acl.V4, []uint64{drop}, "in udp 192.0.2.7 140 from 203.0.113.9 passes"},
		{"first fragments to a host and first ones", "01 20 c0 00 02 01 0c 80 05", acl.V4, []uint64{drop}, "in udp 192.0.2.1 631 first passes"},
		{"behind an extension header", "01 30 00 20 01 0d b8 01 00 03 81 06 05 91 02 77", acl.V6, []uint64{drop}, "in tcp 2001:db8:100::7 631 ext dropped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.nlri)
			b = append([]byte{byte(len(b))}, b...)
			f, err := FlowRoutes([]FlowRoute{{Family: c.family, NLRI: b, Communities: c.communities}})
			if err != nil {
				t.Fatal(err)
			}
			p, want := packet(t, c.packet)
			if o, _ := f.Walk(p); o.String() != want {
				t.Errorf("%s is %s, want %s", p, o, want)
			}
		})
	}
}

// The order of RFC 8955, section 5.1: each before the next.
func TestFlowOrder(t *testing.T) {
	dst := func(p string) flowPart { return flowPart{kind: flowDst, prefix: netip.MustParsePrefix(p)} }
	src := func(p string) flowPart { return flowPart{kind: flowSrc, prefix: netip.MustParsePrefix(p)} }
	port := func(n uint64) flowPart { return flowPart{kind: flowDstPort, items: []flowItem{{flowEqual, n}}} }
	order := []flow{
		{parts: []flowPart{dst("192.0.2.0/25"), src("203.0.113.0/24")}},
		{parts: []flowPart{dst("192.0.2.0/25"), port(631)}},
		{parts: []flowPart{dst("192.0.2.0/25")}},
		{parts: []flowPart{dst("192.0.2.0/24"), src("203.0.113.7/32")}},
		{parts: []flowPart{dst("192.0.2.0/24"), src("203.0.113.0/24")}},
		{parts: []flowPart{dst("192.0.2.0/24"), port(25)}},
		{parts: []flowPart{dst("192.0.2.0/24"), port(80)}},
		{parts: []flowPart{dst("198.51.100.0/24")}},
		{parts: []flowPart{src("192.0.2.0/24")}},
		{parts: []flowPart{port(25)}},
	}
	for i, a := range order {
		for j, b := range order {
			a.family, b.family = acl.V4, acl.V4
			if got := compareFlows(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("flows %d and %d: %d", i, j, got)
			}
		}
	}
}

func FuzzReadFlowBird(f *testing.F) {
	var seeds []string
	for _, one := range birdForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readFlowBird, seeds...)
}

func FuzzReadFlowGoBGP(f *testing.F) {
	var seeds []string
	for _, one := range gobgpForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readFlowGoBGP, seeds...)
}

// What is read of a route can be compared, and its parts are written back as
// the bytes that they were, but for lengths that are longer than they need to be.
func FuzzFlowRoute(f *testing.F) {
	for _, s := range []string{"0b 01 18 c0 00 02 03 81 06 04 81 19", "10 01 30 00 20 01 0d b8 01 00 03 81 06 05 91 02 77", "08 01 20 c0 00 02 01 0c 80 05", "f0 00"} {
		f.Add(unhex(f, s), true, uint64(0x8006_0000_0000_0000))
	}
	f.Fuzz(func(t *testing.T, b []byte, four bool, community uint64) {
		if len(b) > 500 {
			return
		}
		family := acl.V6
		if four {
			family = acl.V4
		}
		got, err := FlowRoutes([]FlowRoute{{Family: family, NLRI: b, Communities: []uint64{community}}})
		if err != nil {
			return
		}
		one, _ := decodeFlow(family, b)
		if c := compareFlows(one, one); c != 0 {
			t.Fatalf("a flow comes %d before itself", c)
		}
		for _, d := range acl.Compare(acl.Filter{}, got) {
			if o, _ := got.Walk(d.Witness); o != d.B {
				t.Fatalf("%s: the walk says %s, the diagram %s", d.Witness, o, d.B)
			}
		}
	})
}
