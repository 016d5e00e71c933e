package lab_test

import (
	"net/netip"
	"testing"

	"ippwatch/acl"
	"ippwatch/filter"
	"ippwatch/lab"
)

// foreignRules are rule sets as others write them. They keep no state: the
// packets are sent once each, and connection tracking would put fragments together.
var foreignRules = []struct {
	name, platform string
	texts          []acl.Text
}{
	{"verdict maps, chains and ranges", "nftables", []acl.Text{{Name: "a.nft", Body: `define CUSTOMERS = { 192.0.2.64-192.0.2.95, 192.0.2.128/25 }
table inet edge {
	set partners {
		type ipv4_addr
		flags interval
		elements = { 198.18.2.10, 198.18.2.64/26 }
	}
	chain printing {
		ip saddr @partners return
		ip6 saddr 2001:db8:ffff::10 accept
		tcp dport 630-631 counter drop
		udp dport vmap { 631 : drop, 632 : goto quiet, 630 : continue }
	}
	chain quiet {
		ip daddr != 192.0.2.80/28 drop
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "eth0" ip daddr $CUSTOMERS jump printing
		iifname "eth0" ip6 daddr 2001:db8:300:40::/58 goto printing
		iifname != "eth0" meta l4proto { tcp, udp } th dport 631 drop
	}
}
`}}},
	{"all tables on the way", "nftables", []acl.Text{{Name: "b.nft", Body: `table ip raw {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname "eth0" udp dport { 631, 632 } ip daddr 192.0.2.64/26 drop
		ip frag-off & 0x1fff != 0 ip saddr 198.18.2.1 drop
	}
}
table netdev early {
	chain ingress {
		type filter hook ingress device "eth0" priority -500; policy accept;
		tcp flags & (syn | ack) == syn tcp dport 631 drop
	}
}
table ip6 filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		exthdr frag exists drop
		ip6 nexthdr { tcp, 253 } accept
		udp dport != 631 accept
		oifname "eth0" accept
	}
	chain post {
		type filter hook postrouting priority 0; policy accept;
		oifname "eth0" tcp sport 40000 tcp flags syn / fin,syn,rst,ack drop
	}
}
`}}},
	{"ports that are denied", "nftables", []acl.Text{{Name: "n.nft", Body: `table inet edge {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "eth0" ip daddr 192.0.2.64/26 udp dport != 632 drop
		iifname "eth0" ip6 daddr 2001:db8:300:40::/58 udp dport != 632 drop
		oifname "eth0" tcp dport != 631 drop
		oifname "eth0" udp dport < 631 drop
	}
}
`}}},
	{"chains, masks and negations", "iptables", []acl.Text{{Name: "c.v4", Body: `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i eth0 -s 198.18.2.1/32 -f -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:printing - [0:0]
:partners - [0:0]
-A FORWARD ! -i eth0 -p udp -m udp --dport 631 -j DROP
-A FORWARD -i eth0 ! -d 192.0.2.0/255.255.255.192 -p tcp -m multiport --dports 600:631,700 -j printing
-A FORWARD -i eth0 -d 192.0.2.64/26 -p udp -m udp ! --dport 632 -g partners
-A FORWARD -p udp -m udp --dport 632 -s 198.18.2.10/32 -j DROP
-A printing -s 198.18.2.64/26 -j RETURN
-A printing -p tcp --tcp-flags SYN,ACK SYN -j DROP
-A partners -s 198.18.2.10/32 -j ACCEPT
-A partners -j DROP
COMMIT
`}, {Name: "c.v6", Body: `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -o eth0 -j ACCEPT
-A FORWARD -p udp -m udp --dport 631 -j DROP
-A FORWARD -p tcp -m tcp --dport 631 -d 2001:db8:300:50::/64 -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 631 --syn -j REJECT --reject-with tcp-reset
-A FORWARD -p tcp -j ACCEPT
-A FORWARD -p udp -m udp --sport 40000 -j ACCEPT
COMMIT
`}}},
}

// TestLaterFragmentsAreReadAsPorts sends later fragments that have 631 where a
// first one would have the port. Linux 6.18 takes it for the port and drops them,
// and likewise takes other bytes for another port; the readers leave it open.
func TestLaterFragmentsAreReadAsPorts(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	text := acl.Text{Name: "x.nft", Body: "table ip x {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tudp dport 631 drop\n\t\tip daddr 192.0.2.64/26 udp dport != 632 drop\n\t}\n}\n"}
	seen, err := filter.Read("nftables", []acl.Text{text}, acl.Attach{Profile: acl.Edge, Interfaces: []string{"eth0"}})
	if err != nil {
		t.Fatal(err)
	}
	c := cross(t)
	c.load("nftables", []acl.Text{text})
	var all []sent
	for i, to := range []struct{ addr, port string }{{"192.0.2.1", "\x00\x00\x02\x77...."}, {"192.0.2.1", "\x00\x00\x02\x78...."}, {"192.0.2.64", "\x00\x00\x02\x77...."}, {"192.0.2.64", "\x00\x00\x02\x78...."}} {
		p := acl.Packet{Dir: acl.In, Src: netip.MustParseAddr("198.18.2.1"), Dst: netip.MustParseAddr(to.addr), Proto: acl.UDP, Frag: acl.Later}
		wire := c.build(p, "", i)
		copy(wire[20:], to.port)
		all = append(all, sent{Packet: p, wire: wire})
		if !unsure(seen[0].Filter, p) {
			t.Errorf("%s: the reader is sure of it", p)
		}
	}
	c.send(all)
	got := make(map[int]bool)
	await(t, "the fragment with 632 in it", func() bool {
		c.arrived(all, got)
		return got[3]
	})
	t.Logf("of fragments with 631, 632, 631 and 632 in them arrive: %v %v %v %v", got[0], got[1], got[2], got[3])
}

// TestReadersKnowWhatTheKernelDoes holds what the readers say of rules that others
// wrote against what the kernel does with thousands of packets, before it was
// loaded and as it is printed after.
func TestReadersKnowWhatTheKernelDoes(t *testing.T) {
	at := acl.Attach{Profile: acl.Edge, Interfaces: []string{"eth0"}}
	for _, rules := range foreignRules {
		t.Run(rules.name, func(t *testing.T) {
			t.Parallel()
			lab.Need(t, "nft", "iptables", "ip6tables")
			seen, err := filter.Read(rules.platform, rules.texts, at)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range seen[0].Unverified {
				t.Errorf("unverified: %s:%d: %s (%s)", l.File, l.Number, l.Text, l.Why)
			}
			c := cross(t)
			c.load(rules.platform, rules.texts)
			c.compare(seen[0].Filter)

			printed, err := filter.Read(rules.platform, c.running(rules.platform), at)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range printed[0].Unverified {
				t.Errorf("unverified as printed: %s:%d: %s (%s)", l.File, l.Number, l.Text, l.Why)
			}
			for _, d := range acl.Compare(seen[0].Filter, printed[0].Filter) {
				t.Errorf("written %s, printed %s: %s", d.A, d.B, d.Witness)
			}
		})
	}
}
