package filter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
)

// others are lines of a running configuration that are about something else, or
// about filters that stand elsewhere: the i-th block of them, and what stands
// around all.
var others = map[string]struct {
	head, tail string
	block      func(i int) string
}{
	"nftables": {block: func(i int) string {
		return fmt.Sprintf("table ip other%d {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 10.%d.0.0/16, 192.168.0.0-192.168.3.7 }\n\t}\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tip saddr @s tcp dport { 22, 631 } ct state new counter packets 5 bytes 300 accept comment \"a %d\"\n\t}\n\tchain helper {\n\t\tmeta mark set 7\n\t}\n}\n", i, i%256, i)
	}},
	"iptables": {
		head: "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n", tail: "COMMIT\n",
		block: func(i int) string {
			return fmt.Sprintf(":chain%d - [0:0]\n-A chain%d -s 10.%d.%d.0/24 -p tcp -m tcp --dport 631 -m comment --comment \"customer %d\" -j ACCEPT\n-A INPUT -i eth%d -m set --match-set s%d src -j chain%d\n", i, i, i>>8&255, i&255, i, i%64, i, i)
		},
	},
	"ios-xe": {block: func(i int) string {
		return fmt.Sprintf("object-group network OG%d\n host 10.%d.%d.7\n!\nip access-list extended CUST%d\n 10 permit tcp any object-group OG%d eq 631\n 20 deny   tcp any any range 600 700 log\n 30 permit ip any any\n!\ninterface GigabitEthernet0/0/1.%d\n description customer %d\n encapsulation dot1Q %d\n ip access-group CUST%d out\n!\naccess-list 150 deny udp any host 10.%d.%d.8 eq 631\n", i, i>>8&255, i&255, i, i, i, i, i%4094, i, i>>8&255, i&255)
	}},
	"ios-xr": {block: func(i int) string {
		return fmt.Sprintf("object-group network ipv4 OG%d\n host 10.%d.%d.7\n!\nipv4 access-list CUST%d\n 10 permit tcp any net-group OG%d eq 631\n 20 deny tcp any any range 600 700 log\n 30 permit ipv4 any any\n!\ninterface Bundle-Ether1.%d\n description customer %d\n ipv4 access-group CUST%d egress\n!\nprefix-set P%d\n  10.%d.%d.0/24\nend-set\n!\n", i, i>>8&255, i&255, i, i, i, i, i, i, i>>8&255, i&255)
	}},
	"eos": {block: func(i int) string {
		return fmt.Sprintf("ip access-list CUST%d\n   counters per-entry\n   10 permit tcp any host 10.%d.%d.7 eq ipp\n   20 deny tcp any any range 600 700\n   30 permit ip any any\n!\ninterface Vlan%d\n   description customer %d\n   ip access-group CUST%d out\n!\nip route 10.%d.%d.0/24 Null0\n", i, i>>8&255, i&255, i, i, i, i>>8&255, i&255)
	}},
	"pf": {block: func(i int) string {
		return fmt.Sprintf("table <t%d> const { 10.%d.%d.0/24, !10.%d.%d.7 }\nset limit states %d\n# customer %d\n", i, i>>8&255, i&255, i>>8&255, i&255, i, i)
	}},
}

// A running configuration of 50 MB is read in a time that somebody waits for, and
// the filter in it is found.
func TestLargeConfigurations(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 50 MB a platform")
	}
	p := policy()
	p.Torn = false
	form := p.Form(now, false)
	for platform, other := range others {
		t.Run(platform, func(t *testing.T) {
			r := proven(t, platform, form)
			texts := make([]acl.Text, len(r.Texts))
			for i, ours := range r.Texts {
				var b strings.Builder
				b.WriteString(other.head)
				for n := 0; b.Len() < 50<<20/len(texts); n++ {
					b.WriteString(other.block(n))
				}
				b.WriteString(other.tail)
				b.WriteString(ours.Body)
				texts[i] = acl.Text{Name: ours.Name, Body: b.String()}
			}
			begun := spent()
			seen, err := Read(platform, texts, form.At)
			if err != nil {
				t.Fatal(err)
			}
			report := Check(form, seen)
			t.Logf("%s", spent()-begun)
			if took := spent() - begun; took > time.Minute {
				t.Errorf("took %s", took)
			}
			if !report.Fine() {
				t.Errorf("leaks %v, blocked %v, unverified %v", report.Leaks, report.Blocked, report.Unverified)
			}
			if len(report.Stages) == 0 {
				t.Error("the filter was not found")
			}
		})
	}
}
