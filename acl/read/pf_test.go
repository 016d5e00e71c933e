package read

import (
	"testing"

	"ippwatch/acl"
)

var pfForeign = []foreign{
	{
		name: "the last rule decides, unless one is quick",
		text: `ext_if = "wan"
printers = "{ 198.51.100.16/28, 2001:db8:100:16::/64 }"
table <partners> const { 192.0.2.0/24, !192.0.2.128/25 }
set skip on lo0
set block-policy drop
scrub in all
block in on $ext_if all
pass in on $ext_if proto tcp from any to any port { 80 443 631 }
block in quick on $ext_if proto tcp from any to ! 198.51.100.16/28 port = 631
block in quick on $ext_if inet6 proto tcp to any port ipp
pass in quick on $ext_if proto udp from <partners> to any port 600:700
pass out keep state
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.16 631 passes", "in tcp 198.51.100.7 80 passes", "in tcp 198.51.100.7 22 dropped",
			"in tcp 198.51.100.7 80 ack dropped", "in tcp 2001:db8:100:16::1 631 dropped",
			"in udp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 from 192.0.2.129 dropped", "in udp 198.51.100.7 701 dropped",
			"out tcp 203.0.113.1 631 passes",
		},
	},
	{
		name: "a forwarded packet is judged twice",
		text: "block out on lan\npass out on lan inet proto tcp to port 631\nblock in on wan proto udp\n",
		at:   acl.Attach{Profile: acl.Edge, Interfaces: []string{"wan"}, Others: []string{"lan"}},
		fates: []string{
			"in udp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 631 passes",
		},
	},
	{
		name: "an anchor whose text is here",
		text: "==== pf.conf\nanchor \"epf631\"\npass\n==== epf631.conf\nblock drop in quick on wan proto { tcp udp } from any to any port 631 label \"epf631_in\"\n",
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in udp 2001:db8:100::7 631 dropped", "in udp 198.51.100.7 632 passes",
		},
	},
	{
		name: "an anchor in place, and one of which the text is not here",
		text: "anchor \"x\" in on wan {\n  block quick proto tcp to port 631\n}\nanchor \"ftp-proxy/*\"\n",
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "out tcp 203.0.113.1 631 passes",
		},
		unverified: []string{"the rules of the anchor are not here"},
	},
	{
		name:  "an interface that is not filtered",
		text:  "set skip on { lo0 wan }\nblock all\n",
		fates: []string{"in tcp 198.51.100.7 631 dropped"}, // where it goes out, it is
	},
	{
		name:  "on a host",
		at:    acl.Attach{Profile: acl.Host},
		text:  "block in\npass in proto tcp to port > 1023\npass in proto tcp to port 600 >< 632\npass out\n",
		fates: []string{"in tcp 198.51.100.7 631 passes", "in tcp 198.51.100.7 632 dropped", "in tcp 198.51.100.7 1024 passes", "in tcp 198.51.100.7 600 dropped", "out udp 192.0.2.9 631 passes"},
	},
	{
		name: "what is not known is feared",
		text: `table <files> persist file "/etc/printers"
block in on wan proto tcp to port 631
pass in on wan proto tcp to <files> port 631
pass in on wan proto tcp to ! <nowhere> port 631
block in quick on wan proto tcp to (em0) port 631 frob
rdr pass on wan proto tcp to port 8631 -> 198.51.100.7 port 631
block in to port 631
`,
		fates: []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{
			"there is no table nowhere", "unknown word: frob", "unknown statement", "ports without a protocol",
		},
	},
}

func TestPF(t *testing.T) {
	for _, f := range pfForeign {
		f.run(t, readPF)
	}
}

func FuzzReadPF(f *testing.F) {
	var seeds []string
	for _, one := range pfForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readPF, seeds...)
}
