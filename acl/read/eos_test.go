package read

import (
	"testing"

	"ippwatch/acl"
)

var eosEdge = acl.Attach{Profile: acl.Edge, Interfaces: []string{"Ethernet1"}}

var eosForeign = []foreign{
	{
		name: "a running configuration of an edge",
		at:   eosEdge,
		text: `! Command: show running-config
! device: edge3 (DCS-7280SR3-48YC8, EOS-4.31.2F)
!
! boot system flash:/EOS-4.31.2F.swi
!
event-handler up
   action bash
interface Ethernet1
   no ip access-group EDGE-IN in
EOF
   delay 0
!
hostname edge3
!
banner login
ip access-list EDGE-IN
   5 permit ip any any
EOF
!
interface Ethernet1
   description transit
   mtu 9214
   no switchport
   ip address 192.0.2.2/30
   ip access-group EDGE-IN in
   ipv6 enable
   ipv6 address 2001:db8:ffff::2/64
   ipv6 access-group EDGE6-IN in
   sflow enable
!
interface Ethernet2
   ip access-group default-control-plane-acl in
!
interface Port-Channel1
   switchport access vlan 10
   ip access-group OTHER in
!
ip access-list EDGE-IN
   counters per-entry
   10 remark print_service: open to the partner
   20 permit tcp 203.0.113.0/24 host 198.51.100.7 eq ipp
   30 permit tcp any any established
   40 deny tcp any any eq ipp printer log
   50 deny udp any any range snmp ipp
   60 permit udp any eq domain any gt 1023
   70 permit tcp any 198.51.100.0/24 eq www https ssh
   80 permit icmp any any
   90 permit vrrp any any
   100 permit tcp any 198.51.100.0 0.0.0.127 lt 20
!
ip access-list standard VTY
   10 permit 192.0.2.0/24
!
ipv6 access-list EDGE6-IN
   10 permit icmpv6 any any
   20 permit tcp any host 2001:db8:100::7 eq 631
   30 deny tcp any any eq ipp
   40 deny udp any any eq ipp
   50 permit ipv6 any any
!
system control-plane
   ip access-group VTY in
!
management ssh
   ip access-group VTY in
!
end
`,
		fates: []string{
			"in tcp 198.51.100.7 631 from 203.0.113.9 passes", "in tcp 198.51.100.8 631 from 203.0.113.9 dropped", "in tcp 198.51.100.8 631 ack passes", "in tcp 198.51.100.8 515 dropped",
			"in udp 198.51.100.8 631 sport 53 dropped", "in udp 198.51.100.8 160 sport 53 dropped", "in udp 198.51.100.8 1024 sport 53 passes", "in tcp 198.51.100.8 443 passes", "in tcp 198.51.100.8 19 passes",
			"in tcp 198.51.100.200 19 dropped", "in icmp 198.51.100.8 0 passes", "in tcp 2001:db8:100::7 631 passes", "in tcp 2001:db8:100::8 631 dropped", "in udp 2001:db8:100::8 631 ext dropped",
			"in udp 2001:db8:100::8 53 passes", "out tcp 203.0.113.9 631 passes",
		},
	},
	{
		name: "a range of interfaces and a standard list",
		at:   acl.Attach{Profile: acl.Segment, Interfaces: []string{"Ethernet3/2"}},
		text: "interface Ethernet3/1-4,7\n   ip access-group S in\nip access-list standard S\n   deny host 198.51.100.9\n   permit 198.51.100.0/24\n",
		fates: []string{
			"out tcp 203.0.113.9 631 from 198.51.100.9 dropped", "out tcp 203.0.113.9 631 from 198.51.100.10 passes", "out tcp 203.0.113.9 631 from 198.51.101.10 dropped",
		},
	},
	{
		name: "what is not known is feared",
		at:   eosEdge,
		text: `interface Ethernet1-x
interface Ethernet1
   switchport
   ip address 192.0.2.2/30
   ip access-group A in
   ip access-group B in vrf C
   traffic-policy input T
   channel-group 3 mode active
ip access-list A
   10 deny tcp any any eq 631 tracked
   20 deny udp any any eq nosuchport
   30 permit response traffic nat
   40 deny ip any any
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 passes"},
		unverified: []string{
			"a range of interfaces", "switchport", "bound in a way", "traffic-policy", "part of another", "unknown word: tracked", "unknown port: nosuchport", "unknown protocol: response",
		},
	},
}

func TestEOS(t *testing.T) {
	for _, f := range eosForeign {
		f.run(t, readEOS)
	}
}

// A line is counted where the list says so, and under the name of its remark.
func TestEOSCounters(t *testing.T) {
	for _, counted := range []bool{true, false} {
		text := "interface Ethernet1\n   ip access-group A in\nip access-list A\n"
		if counted {
			text += "   counters per-entry\n"
		}
		text += "   remark epf631_in_tcp: a reason\n   deny tcp any any eq 631\n   remark Everything else\n   permit ip any any\n"
		got, err := readEOS([]acl.Text{{Name: "running", Body: text}}, eosEdge)
		if err != nil || len(got.Unverified) > 0 {
			t.Fatal(err, got.Unverified)
		}
		rules := got.Stages[0].Rules
		if rules[0].Name != "epf631_in_tcp" || rules[0].Count != counted || rules[1].Name != "" || rules[1].Count {
			t.Errorf("counted %v: %+v", counted, rules)
		}
	}
}

func FuzzReadEOS(f *testing.F) {
	fuzz(f, atWan(readEOS), ciscoSeeds(eosForeign)...)
}
