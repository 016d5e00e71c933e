package read

import (
	"fmt"
	"strings"
	"testing"

	"ippwatch/acl"
)

var nftForeign = []foreign{
	{
		name:  "nothing filters",
		text:  "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n",
		fates: []string{"in tcp 198.51.100.7 631 passes"},
	},
	{
		name: "the next header hides behind an extension header",
		text: `table ip6 edge {
	chain forward {
		type filter hook forward priority 0; policy accept;
		ip6 nexthdr udp udp dport 631 drop
		ip6 nexthdr tcp tcp dport 631 drop
	}
}
`,
		fates: []string{
			"in udp 2001:db8:100::7 631 dropped", "in udp 2001:db8:100::7 631 ext passes", "in udp 2001:db8:100::7 631 first passes",
			"in tcp 2001:db8:100::7 631 ext passes", "in tcp 198.51.100.7 631 passes",
		},
	},
	{
		name: "a firewall as distributions ship it",
		text: `#!/usr/sbin/nft -f

flush ruleset

define WAN = "wan"
define PRINTERS = { 198.51.100.16/28, 198.51.100.40-198.51.100.44 }

table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan" masquerade
	}
}
table inet filter {
	set blocked {
		type ipv4_addr
		flags timeout
		elements = { 192.0.2.1 timeout 1h expires 59m }
	}
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname != $WAN accept
		ip saddr @blocked drop comment "changes while it runs"
		ip daddr $PRINTERS tcp dport { 631, 9100-9102 } counter packets 12 bytes 720 accept
		tcp dport { 22, http, https } accept
		ip protocol icmp icmp type { echo-request, echo-reply } accept
		icmp type 3 meta mark set 7 accept
		ip protocol icmp accept
		meta l4proto ipv6-icmp accept
		log prefix "denied: " level warn
	}
	chain output {
		type filter hook output priority filter; policy accept;
	}
}
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.16 631 passes", "in tcp 198.51.100.44 631 passes", "in tcp 198.51.100.45 631 dropped",
			"in tcp 198.51.100.16 9101 passes", "in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 80 passes", "in icmp 198.51.100.7 0 passes",
			"in tcp 198.51.100.7 631 ack dropped", "out udp 192.0.2.9 631 passes",
		},
	},
	{
		name: "a chain that others jump to, and back",
		text: `table inet t {
	chain ipp {
		ip daddr 198.51.100.16 return
		counter drop
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname "wan" tcp dport 631 jump ipp
		iifname "wan" udp dport 600-631 goto ipp
		udp dport 631 drop
	}
}
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.16 631 passes", "in udp 198.51.100.16 631 passes", "in udp 198.51.100.7 600 dropped",
			"out udp 203.0.113.1 631 dropped", "out tcp 203.0.113.1 631 passes",
		},
	},
	{
		name: "all tables on the way have to let pass",
		text: `table ip raw {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname "wan" udp dport 631 drop
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy accept;
		tcp dport 631 accept
	}
}
table netdev early {
	chain ingress {
		type filter hook ingress device "wan" priority -500; policy accept;
		tcp dport 631 tcp flags & (fin | syn | rst | ack) == syn drop
	}
	chain elsewhere {
		type filter hook ingress device "lan" priority -500; policy drop;
	}
}
`,
		fates: []string{
			"in udp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 631 ack passes", "in tcp 2001:db8:100::7 631 dropped",
			"out tcp 192.0.2.9 631 passes",
		},
	},
	{
		name: "a table that sleeps",
		text: "table inet t {\n\tflags dormant\n\tchain f {\n\t\ttype filter hook forward priority 0; policy drop;\n\t}\n}\n",
		fates: []string{
			"in tcp 198.51.100.7 631 passes",
		},
	},
	{
		name: "on a host",
		at:   acl.Attach{Profile: acl.Host},
		text: `table inet filter {
	chain input {
		type filter hook input priority 0; policy drop;
		iif "lo" accept
		ct state established,related accept
		ip6 saddr 2001:db8:ffff::/48 tcp dport ipp accept
		tcp dport 22 limit rate 10/minute accept
	}
}
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 2001:db8:100::7 631 passes", "in tcp 2001:db8:100::7 631 from 2001:db8::1 dropped",
			"in tcp 198.51.100.7 22 passes", "out tcp 192.0.2.9 631 passes",
		},
	},
	{
		name: "what is not known is feared",
		text: `table inet t {
	chain forward {
		type filter hook forward priority 0; policy accept;
		tcp dport 631 socket transparent 1 accept
		tcp dport 631 meta mark 7 drop
		ip daddr 198.51.100.7 meta pkttype != unicast drop
		th dport 631 drop
		udp dport @nowhere drop
		udp dport 631 drop
		frobnicate
	}
	frob x {
	}
}
add rule inet t forward tcp dport 631 accept
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 dropped"},
		unverified: []string{
			"unknown in a table", "not a table", "unknown word: socket", "ports without a protocol", "there is no set @nowhere", "unknown word: frobnicate",
		},
	},
	{
		name:       "a port that is sent elsewhere",
		text:       "table ip nat {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\ttcp dport 8631 dnat to 198.51.100.7:631\n\t}\n}\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"unknown word: dnat"},
	},
	{
		name:       "a block that does not end",
		text:       "table inet t {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n",
		fates:      []string{"in tcp 198.51.100.7 631 dropped"},
		unverified: []string{"the text ends within a block", "the text ends within a block"},
	},
	{
		name:       "a chain that leads to itself",
		text:       "table inet t {\n\tchain a {\n\t\tjump a\n\t}\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\tjump a\n\t}\n}\n",
		unverified: []string{"the chain leads back to itself"},
	},
}

func TestNftables(t *testing.T) {
	for _, f := range nftForeign {
		f.run(t, readNftables)
	}
}

func FuzzReadNftables(f *testing.F) {
	var seeds []string
	for _, one := range nftForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readNftables, seeds...)
}

// Chains that each jump twice to the next are a million lists after twenty; the
// reader says so in time.
func TestNftablesThatCallsTooMuch(t *testing.T) {
	var b strings.Builder
	b.WriteString("table inet t {\n")
	for i := range 40 {
		fmt.Fprintf(&b, "\tchain c%d {\n\t\tjump c%d\n\t\ttcp dport %d jump c%d\n\t}\n", i, i+1, i+1, i+1)
	}
	b.WriteString("\tchain c40 {\n\t\ttcp dport 631 drop\n\t}\n\tchain f {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tjump c0\n\t}\n}\n")
	got, err := readNftables([]acl.Text{{Name: "x", Body: b.String()}}, edge)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Unverified) == 0 || got.Unverified[0].Why != tooManyCalls {
		t.Errorf("unverified %v", got.Unverified)
	}
	_ = acl.Compare(acl.Filter{}, got)
}
