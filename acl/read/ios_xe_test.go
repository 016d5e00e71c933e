package read

import (
	"strings"
	"testing"

	"ippwatch/acl"
)

var (
	xeEdge     = acl.Attach{Profile: acl.Edge, Interfaces: []string{"TenGigabitEthernet0/0/0"}}
	xeCustomer = acl.Attach{Profile: acl.CustomerEdge, Interfaces: []string{"GigabitEthernet0/0/1.100"}}
)

var xeForeign = []foreign{
	{
		name: "a running configuration of an edge",
		at:   xeEdge,
		text: `Building configuration...

Current configuration : 9231 bytes
!
version 17.9
service timestamps log datetime msec
hostname edge1
!
banner motd ^CC
interface TenGigabitEthernet0/0/0
 no ip access-group EDGE-IN in
^C
!
object-group network PRINTERS
 description print service
 host 198.51.100.7
 198.51.100.16 255.255.255.240
 range 198.51.100.40 198.51.100.43
 group-object MORE
!
object-group network MORE
 198.51.100.64 255.255.255.192
!
object-group service PRINTING
 tcp eq 631
 tcp range 9100 9102
 udp source gt 1023 eq 631
!
interface Loopback0
 ip address 192.0.2.255 255.255.255.255
 ip access-group 10 in
!
interface TenGigabitEthernet0/0/0
 description transit; ip access-group NOTHING in
 ip address 192.0.2.2 255.255.255.252
 no ip redirects
 no ip proxy-arp
 ip access-group EDGE-IN in
 ip access-group 110 out
 ip verify unicast source reachable-via any
 load-interval 30
 ipv6 address 2001:DB8:FFFF::2/64
 ipv6 enable
 ipv6 traffic-filter EDGE6-IN in
 no shutdown
!
interface TenGigabitEthernet0/0/1
 ip access-group OTHER in
!
router bgp 64496
 neighbor 192.0.2.1 remote-as 64500
!
ip access-list extended EDGE-IN
 10 remark our printers are open to the partner
 20 permit object-group PRINTING 203.0.113.0 0.0.0.255 object-group PRINTERS
 30 permit tcp any any established
 35 deny   ip any any fragments
 40 deny   tcp any any eq 631 log
 50 deny   udp any any range 600 700
 60 permit tcp any 198.51.100.0 0.0.0.255 eq www 443 22
 70 deny   tcp any any lt 1024
 80 permit tcp any any gt 9000
 90 permit tcp any any neq 8080
 100 permit icmp any any echo-reply
 110 permit udp any any
access-list 10 permit 10.0.0.0 0.255.255.255
access-list 110 remark nothing prints at servers abroad
access-list 110 deny   udp any any eq 631
access-list 110 permit ip any any
access-list 700 permit 0000.0c00.0000 0000.0000.ffff
!
ipv6 access-list EDGE6-IN
 sequence 10 permit tcp any 2001:DB8:100:16::/64 eq 631
 sequence 20 deny tcp any any eq 631
 sequence 30 deny udp any any eq 631
 sequence 40 deny ipv6 any any undetermined-transport
 sequence 50 permit tcp any any
!
ip access-list logging interval 100
control-plane
 service-policy input COPP
!
line vty 0 4
 access-class 10 in
 ipv6 access-class VTY6 in
 transport input ssh
!
end
`,
		fates: []string{
			"in tcp 198.51.100.7 631 from 203.0.113.9 passes", "in tcp 198.51.100.17 631 from 203.0.113.9 passes", "in tcp 198.51.100.41 9101 from 203.0.113.9 passes",
			"in tcp 198.51.100.80 631 from 203.0.113.9 passes", "in tcp 198.51.100.44 631 from 203.0.113.9 dropped", "in udp 198.51.100.7 631 sport 1000 from 203.0.113.9 dropped",
			"in udp 198.51.100.7 631 sport 1024 from 203.0.113.9 passes",
			// A permit that asks for ports takes later fragments before line 35 does.
			"in tcp 198.51.100.7 631 later from 203.0.113.9 passes", "in tcp 198.51.100.8 631 later from 203.0.113.9 passes", "in udp 198.51.100.8 631 later dropped",
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 631 ack passes", "in udp 198.51.100.7 599 passes", "in udp 198.51.100.7 600 dropped", "in udp 198.51.100.7 701 passes",
			"in tcp 198.51.100.7 443 passes", "in tcp 198.51.101.7 443 dropped", "in tcp 198.51.100.7 23 dropped", "in tcp 198.51.100.7 1024 passes",
			"in tcp 198.51.100.7 8080 dropped", "in tcp 198.51.100.7 9001 passes", "in icmp 198.51.100.7 0 passes",
			"out udp 203.0.113.1 631 dropped", "out tcp 203.0.113.1 631 passes", "out udp 2001:db8:ffff::1 631 passes",
			"in tcp 2001:db8:100:16::1 631 passes", "in tcp 2001:db8:100:17::1 631 dropped", "in tcp 2001:db8:100:17::1 631 ext dropped", "in udp 2001:db8:100::1 53 dropped",
			"in tcp 2001:db8:100::1 80 ext passes",
		},
	},
	{
		name: "a sub-interface to a customer, and standard lists",
		at:   xeCustomer,
		text: `interface GigabitEthernet0/0/1
 no ip address
 negotiation auto
!
interface GigabitEthernet0/0/1.100
 encapsulation dot1Q 100
 ip address 198.51.100.1 255.255.255.0
 ip access-group FROM-CUSTOMER in
 ip access-group 12 out
!
ip access-list standard FROM-CUSTOMER
 10 permit 198.51.100.9
 20 deny   198.51.100.8 0.0.0.7
 30 permit 198.51.100.0 0.0.0.255
access-list 12 deny   host 203.0.113.66 log
access-list 12 permit any
`,
		fates: []string{
			"out udp 203.0.113.1 631 from 198.51.100.9 passes", "out udp 203.0.113.1 631 from 198.51.100.10 dropped", "out udp 203.0.113.1 631 later from 198.51.100.20 passes", "out udp 203.0.113.1 631 from 198.51.101.20 dropped",
			"in tcp 198.51.100.7 631 from 203.0.113.66 dropped", "in tcp 198.51.100.7 631 from 203.0.113.67 passes", "in tcp 2001:db8:100::7 631 passes",
		},
	},
	{
		name: "neighbour discovery passes before what is not written down is dropped",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ipv6 traffic-filter A in
 ipv6 traffic-filter B out
ipv6 access-list A
 permit tcp any any eq 80
ipv6 access-list B
 permit tcp any any eq 80
 deny ipv6 any any log
`,
		fates: []string{
			"in icmp6 2001:db8:100::7 0 passes", "out icmp6 2001:db8:ffff::7 0 dropped", "in udp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 80 passes",
			"in tcp 2001:db8:100::7 81 later passes", "in udp 2001:db8:100::7 81 later dropped",
		},
	},
	{
		name: "extension headers",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ipv6 traffic-filter A in
ipv6 access-list A
 deny ipv6 any any routing
 permit hbh any any
 permit ipv6 any host 2001:db8:100::7 dest-option
 permit ipv6 any host 2001:db8:100::8 auth
 permit tcp any any eq 80
 deny ipv6 any any
`,
		// Which header it is is not looked at: what may pass passes.
		fates: []string{
			"in tcp 2001:db8:100::7 631 ext passes", "in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::9 631 ext passes",
		},
	},
	{
		name: "numbers decide the order, not the text",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip access-group A in
ip access-list extended A
 20 deny tcp any any eq 631
 30 permit ip any any
 10 permit tcp any host 198.51.100.16 eq 631
 deny ip any any
`,
		fates: []string{"in tcp 198.51.100.16 631 passes", "in tcp 198.51.100.17 631 dropped", "in udp 198.51.100.17 631 passes"},
	},
	{
		name: "flags of TCP",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip access-group A in
ip access-list extended A
 deny tcp any host 198.51.100.1 eq 631 match-all +syn -ack
 permit tcp any host 198.51.100.2 eq 631 match-any +ack +rst
 permit tcp any host 198.51.100.3 eq 631 ack rst
 deny tcp any host 198.51.100.4 eq 631 match-all +psh +syn
 deny tcp any host 198.51.100.2
 deny tcp any host 198.51.100.3
 permit ip any any
`,
		fates: []string{
			"in tcp 198.51.100.1 631 dropped", "in tcp 198.51.100.1 631 ack passes", "in tcp 198.51.100.2 631 dropped", "in tcp 198.51.100.2 631 ack passes",
			"in tcp 198.51.100.3 631 dropped", "in tcp 198.51.100.3 631 ack passes", "in tcp 198.51.100.4 631 passes",
		},
	},
	{
		name: "wildcards that are no prefix",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip access-group A in
ip access-list extended A
 deny tcp any 198.51.100.1 0.0.2.254 eq 631
 deny udp any 0.0.0.1 255.255.255.254 eq 631
 permit ip any any
`,
		fates: []string{
			"in tcp 198.51.100.3 631 dropped", "in tcp 198.51.102.3 631 dropped", "in tcp 198.51.101.3 631 passes", "in tcp 198.51.100.2 631 passes",
			"in udp 198.51.100.3 631 passes", // more than is followed
		},
		unverified: []string{"unknown address: 0.0.0.1 255.255.255.254"},
	},
	{
		name: "a range of interfaces, as it is typed",
		at:   acl.Attach{Profile: acl.Edge, Interfaces: []string{"GigabitEthernet1/0/7"}},
		text: `interface range GigabitEthernet1/0/1 - 4, GigabitEthernet1/0/6 - 8
ip access-group A in
interface range Gi1/0/1-7
 no ip access-group B in
ip access-list extended A
deny tcp any any eq 631
permit ip any any
`,
		fates: []string{"in tcp 198.51.100.16 631 dropped", "in udp 198.51.100.17 631 passes"},
	},
	{
		name: "an abbreviated interface",
		at:   acl.Attach{Profile: acl.Edge, Interfaces: []string{"te0/0/0"}},
		text: "interface TenGigabitEthernet0/0/0\n ip access-group 101 in\ninterface TenGigabitEthernet0/0/0.5\n ip access-group 102 in\naccess-list 101 deny tcp any any eq 631\naccess-list 101 permit ip any any\n",
		fates: []string{
			"in tcp 198.51.100.16 631 dropped", "in udp 198.51.100.17 631 passes",
		},
	},
	{
		name: "the later binding and the later definition hold",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip access-group A in
 ip access-group B in
 ip access-group A out
 no ip access-group A out
ip access-list extended B
 permit ip any any
no ip access-list extended B
ip access-list extended B
 deny tcp any any eq 631
 permit ip any any
ip access-list extended A
 deny ip any any
`,
		fates: []string{"in tcp 198.51.100.16 631 dropped", "in udp 198.51.100.17 631 passes", "out udp 203.0.113.1 631 passes"},
	},
	{
		name: "what is not known is feared",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip address 192.0.2.2 255.255.255.252
 ip access-group A in
 ip access-group common C1 A out
 ipv6 traffic-filter GONE in
 ip nat inside
 ip policy route-map X
 service-policy input Y
 zone-member security OUTSIDE
 mpls ip
ip access-list extended A
 10 evaluate BACK
 20 deny tcp any any eq 631 time-range NIGHT
 30 deny udp any any eq ipp
 40 deny tcp any object-group NOBODY eq 631
 50 deny tcp any any eq 631 frobnicate
 60 deny 300 any any
 70 deny icmp any any eq 631
 80 deny tcp any 198.51.100.0/33
 90 permit tcp any any eq 631 dscp ef
 90 deny ip any any
 100
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 passes", "in tcp 2001:db8:100::7 631 passes", "out tcp 203.0.113.1 631 passes"},
		unverified: []string{
			"bound in a way", "ip nat", "ip policy", "service-policy", "zone-member", "mpls ip",
			"the number is taken", "a number without a line", "unknown line of a list: evaluate", "time-range NIGHT", "unknown port: ipp", "unknown group of addresses: NOBODY",
			"unknown word: frobnicate", "unknown protocol: 300", "ports of a protocol that has none", "unknown address: 198.51.100.0/33",
			"is not in the text: everything passes GONE",
		},
	},
	{
		name: "what shapes and what drops",
		at:   xeEdge,
		text: `policy-map WAN-OUT
 class VOICE
  priority percent 20
 class class-default
  fair-queue
  police cir 10000000 conform-action transmit exceed-action drop
  service-policy CHILD
policy-map CHILD
 class class-default
  shape average 100000000
policy-map BLOCK
 class PRINTING
  drop
policy-map BLOCK2
 class PRINTING
  police 8000 conform-action drop
policy-map LOOP
 class A
  service-policy LOOP
interface TenGigabitEthernet0/0/0
 service-policy output WAN-OUT
 service-policy input BLOCK
 service-policy input BLOCK2
 service-policy input LOOP
 service-policy input GONE
 service-policy type control X
`,
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"may filter: drop", "conform-action drop", "leads back", "not in the text", "type control"},
	},
	{
		name: "words that only look like others",
		at:   xeEdge,
		text: `interface TenGigabitEthernet0/0/0
 ip access-group A in
ip access-list extended A
 deny ipv6 any any
 deny tcp any any eq 631 log COOKIE
 deny udp any any eq 631 log hbh
 deny udp any any eq 632 log COOKIE strange
 permit ip any any
router bgp 1
permit tcp any any
ip access-group B in
`,
		fates:      []string{"in tcp 198.51.100.7 631 dropped", "in udp 198.51.100.7 631 passes", "in udp 198.51.100.7 632 passes"},
		unverified: []string{"stands under no interface", "stands under no interface", "unknown protocol: ipv6", "a header of IPv6", "unknown word: COOKIE"},
	},
	{
		name:       "groups that lead back to themselves, and hold what is no address",
		at:         xeEdge,
		text:       "object-group network A\n group-object B\n host 198.51.100.7\nobject-group network B\n group-object A\n host 2001:db8::1\nobject-group service S\n tcp eq 631\n group-object S\ninterface TenGigabitEthernet0/0/0\n ip access-group X in\nip access-list extended X\n permit tcp any object-group A\n permit object-group S any any\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 passes"},
		unverified: []string{"not known group-object A", "not an address", "not known group-object B", "unknown group of addresses: A", "not known group-object S", "unknown group of services: S"},
	},
	{
		name:       "an interface that is not there",
		at:         xeEdge,
		text:       "interface TenGigabitEthernet0/0/1\n ip access-group 101 in\naccess-list 101 deny ip any any\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"there is no interface TenGigabitEthernet0/0/0 in the text"},
	},
	{
		name:       "an abbreviation of two",
		at:         acl.Attach{Profile: acl.Edge, Interfaces: []string{"Tw1/0/1"}},
		text:       "interface TwentyFiveGigE1/0/1\n ip access-group 101 in\ninterface TwoGigabitEthernet1/0/1\naccess-list 101 deny ip any any\n",
		unverified: []string{"short for more than one"},
	},
	{
		name:       "packets that come in elsewhere",
		at:         xeEdge,
		text:       "interface TenGigabitEthernet0/0/0\n no ip address\n channel-group 1 mode active\ninterface TenGigabitEthernet0/0/0.7\n ip address 192.0.2.2 255.255.255.252\n",
		unverified: []string{"part of another", "has sub-interfaces and no address"},
	},
	{
		name:       "a banner without an end",
		at:         xeEdge,
		text:       "interface TenGigabitEthernet0/0/0\n ip access-group 101 in\nbanner motd #\naccess-list 101 deny ip any any\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"does not end", "is not in the text"},
	},
	{
		name:       "an empty list",
		at:         xeEdge,
		text:       "interface TenGigabitEthernet0/0/0\n ip access-group A in\nip access-list extended A\n remark nothing yet\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"the list is empty"},
	},
}

func TestIOSXE(t *testing.T) {
	for _, f := range xeForeign {
		f.run(t, readXE)
	}
}

// A list without a bound on its log is told from one with it.
func TestIOSXELog(t *testing.T) {
	const text = "interface TenGigabitEthernet0/0/0\n ip access-group 101 in\naccess-list 101 deny tcp any any eq 631 log\naccess-list 101 permit ip any any log-input\n"
	for bound, want := range map[string]acl.Rate{
		"":                                      {Per: "packet"},
		"ip access-list logging interval 100\n": {N: 10, Per: "second"},
		"logging rate-limit 7\n":                {N: 7, Per: "second"},
	} {
		got, err := readXE([]acl.Text{{Name: "running", Body: text + bound}}, xeEdge)
		if err != nil || len(got.Stages) != 1 || got.Stages[0].Rules[0].Log != want || got.Stages[0].Rules[len(got.Stages[0].Rules)-1].Log != want {
			t.Errorf("%q: %+v, %v, want %v", bound, got, err, want)
		}
	}
}

func TestIOSXEHost(t *testing.T) {
	if _, err := readXE(nil, acl.Attach{Profile: acl.Host}); err == nil || !strings.Contains(err.Error(), "host") {
		t.Errorf("the profile host: %v", err)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		names, mine string
		rank        int
		known       bool
	}{
		{"Ethernet1", "Ethernet1", 2, true},
		{"Et1", "Ethernet1", 1, true},
		{"ethernet1", "Et1", 1, true},
		{"Ethernet1", "Ethernet11", 0, true},
		{"Ethernet1-4,7", "Ethernet4", 2, true},
		{"Ethernet1-4,7", "Ethernet7", 2, true},
		{"Ethernet1-4,7", "Ethernet5", 0, true},
		{"Ethernet1/1-1/4", "Ethernet1/3", 2, true},
		{"Ethernet1/1-4", "Ethernet2/3", 0, true},
		{"Port-Channel1-3", "Port-Channel2", 2, true},
		{"Gi1/0/1-4,Te1/1/1", "TenGigabitEthernet1/1/1", 1, true},
		{"Vlan10", "Vlan1", 0, true},
		{"GigabitEthernet0/0.100", "GigabitEthernet0/0", 0, true},
		{"Ethernet1-x", "Ethernet3", 0, false},
		{"wan", "wan", 2, true},
		{"WAN", "wan", 1, true},
		{"T1", "Tunnel1", 0, true}, // too short to be told
	} {
		if rank, known := covers(c.names, c.mine); rank != c.rank || known != c.known {
			t.Errorf("covers(%q, %q) = %d, %v, want %d, %v", c.names, c.mine, rank, known, c.rank, c.known)
		}
	}
}

func FuzzReadIOSXE(f *testing.F) {
	fuzz(f, atWan(readXE), ciscoSeeds(xeForeign)...)
}

// atWan reads the seeds at the interface that they have.
func atWan(read func([]acl.Text, acl.Attach) (acl.Filter, error)) func([]acl.Text, acl.Attach) (acl.Filter, error) {
	return func(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
		return read(texts[:1], at)
	}
}

func ciscoSeeds(all []foreign) []string {
	var seeds []string
	for _, one := range all {
		text := one.text
		for _, iface := range one.at.Interfaces {
			text = strings.ReplaceAll(text, iface, "wan")
		}
		if len(text) <= 4000 {
			seeds = append(seeds, text)
		}
	}
	return seeds
}
