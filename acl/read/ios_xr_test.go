package read

import (
	"testing"

	"ippwatch/acl"
)

var xrEdge = acl.Attach{Profile: acl.Edge, Interfaces: []string{"HundredGigE0/0/0/0"}}

var xrForeign = []foreign{
	{
		name: "a running configuration of an edge",
		at:   xrEdge,
		text: `Thu Nov 26 12:00:00.000 UTC
Building configuration...
!! IOS XR Configuration 7.9.2
!! Last configuration change at Thu Nov 26 11:58:12 2026 by admin
!
hostname edge2
banner login c
interface HundredGigE0/0/0/0
 no ipv4 access-group EDGE-IN ingress
c
logging trap informational
ipv4 access-list log-update rate 3
object-group port PRINTING
 eq 631
 range 9100 9102
 gt 60000
 object-group NOISE
!
object-group port NOISE
 neq 1
!
object-group port ONLY
 eq 631
 lt 5
!
object-group network ipv4 PRINTERS
 description print service
 host 198.51.100.7
 198.51.100.16/28
 198.51.100.40 255.255.255.252
 range 198.51.100.44 198.51.100.45
 object-group MORE
!
object-group network ipv4 MORE
 10 198.51.100.64/26
!
object-group network ipv6 PRINTERS
 2001:db8:100:16::/64
 host 2001:db8:100::7
!
ipv4 access-list EDGE-IN
 10 remark partner
 20 permit tcp net-group PARTNERS net-group PRINTERS port-group PRINTING
 30 permit tcp any net-group PRINTERS port-group ONLY established
 40 deny tcp any any eq 631 log
 50 deny udp any eq 5353 any
 60 deny udp any any eq 631 log-input
 70 permit icmp any any echo-reply
 80 permit tcp any 198.51.100.0 0.0.0.255 eq www
 90 permit ipv4 any 198.51.100.0/25 fragment-type is-fragment
 100 permit udp any 198.51.100.128/25 fragments
 110 permit udp any range 1000 2000 any capture
!
ipv4 access-list EMPTY
!
object-group network ipv4 PARTNERS
 203.0.113.0/24
!
ipv6 access-list EDGE6-IN
 10 permit tcp any net-group PRINTERS eq 631
 20 deny tcp any any eq 631
 30 deny udp any any eq 631
 40 permit ipv6 any any
!
ipv4 access-list CPP
 10 deny ipv4 any any
!
interface Bundle-Ether1
 ipv4 access-group CPP ingress
!
interface MgmtEth0/RP0/CPU0/0
 ipv4 address 192.0.2.200 255.255.255.0
 ipv4 access-group CPP ingress
!
interface HundredGigE0/0/0/0
 description transit
 cdp
 mtu 9216
 ipv4 address 192.0.2.2 255.255.255.252
 ipv4 verify unicast source reachable-via any
 ipv6 address 2001:db8:ffff::2/64
 flow ipv4 monitor M sampler S ingress
 load-interval 30
 ethernet oam
  profile P
 !
 ipv4 access-group EDGE-IN ingress hardware-count interface-statistics
 ipv6 access-group EDGE6-IN ingress compress level 3
!
interface HundredGigE0/0/0/0.100 l2transport
 encapsulation dot1q 100
!
route-policy PASS
  if destination in (198.51.100.0/24) then
    pass
  else
    drop
  endif
end-policy
!
control-plane
 management-plane
  inband
   interface all
    allow SSH peer
!
line default
 access-class ingress VTY
!
end
`,
		fates: []string{
			"in tcp 198.51.100.7 631 from 203.0.113.9 passes", "in tcp 198.51.100.17 9101 from 203.0.113.9 passes", "in tcp 198.51.100.41 60001 from 203.0.113.9 passes",
			"in tcp 198.51.100.45 22 from 203.0.113.9 passes", "in tcp 198.51.100.70 22 from 203.0.113.9 passes", "in tcp 198.51.100.46 631 from 203.0.113.9 dropped",
			"in tcp 198.51.100.7 1 from 203.0.113.9 dropped", "in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 631 ack passes", "in tcp 198.51.100.7 4 ack passes",
			"in udp 198.51.100.8 631 sport 1500 dropped", "in udp 198.51.100.8 632 sport 1500 passes", "in udp 198.51.100.8 632 sport 5353 dropped", "in udp 198.51.100.8 631 later passes",
			"in tcp 198.51.100.8 80 passes", "in tcp 198.51.100.8 81 dropped", "in tcp 198.51.100.8 81 first passes", "in tcp 198.51.100.200 81 first dropped", "in udp 198.51.100.200 81 later passes",
			"in tcp 2001:db8:100::7 631 passes", "in tcp 2001:db8:100::8 631 dropped", "in tcp 2001:db8:100::8 631 ext dropped", "in tcp 2001:db8:100::8 80 passes",
			"out tcp 203.0.113.9 631 passes",
		},
	},
	{
		name: "groups of the same name in both families, before what they are for",
		at:   xrEdge,
		text: `interface HundredGigE0/0/0/0
 ipv4 access-group A ingress
 ipv6 access-group A egress
!
ipv4 access-list A
 10 deny tcp any net-group A eq 631
 20 permit ipv4 any any
!
ipv6 access-list A
 10 deny tcp any net-group A eq 631
 20 permit ipv6 any any
!
object-group network ipv4 A
 198.51.100.0/24
!
object-group network ipv6 A
 2001:db8:100::/48
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.101.7 631 passes", "in tcp 2001:db8:100::7 631 passes", "out tcp 2001:db8:100::7 631 dropped",
		},
	},
	{
		name: "what is not known is feared",
		at:   xrEdge,
		text: `apply-group EDGE
interface HundredGigE0/0/0/0
 ipv4 address 192.0.2.2 255.255.255.252
 ipv4 access-group common C A ingress
 ipv4 access-group A ingress reverse
 ipv4 access-group EMPTY ingress
 ipv6 access-group A ingress
 service-policy input Q
 bundle id 3 mode active
ipv4 access-list EMPTY
!
ipv6 access-list A
 10 permit ipv6 any any nexthop1 ipv6 2001:db8::1
 20 deny tcp any any port-group NONE
 30 deny tcp any net-group NONE eq 631
 40 deny tcp any any eq 631 hop-by-hop
 50 deny udp any any eq 631 packet-length range 1 5
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in tcp 2001:db8:100::7 631 passes", "in udp 2001:db8:100::7 631 passes"},
		unverified: []string{
			"from elsewhere", "bound in a way", "bound in a way", "service-policy", "part of another", "the list is empty", "unknown word: nexthop1", "unknown group of ports", "unknown group of addresses",
		},
	},
	{
		name:       "ports that lead back to themselves",
		at:         xrEdge,
		text:       "object-group port A\n object-group B\nobject-group port B\n object-group A\ninterface HundredGigE0/0/0/0\n ipv4 access-group L ingress\nipv4 access-list L\n 10 deny tcp any any port-group A\n 20 permit ipv4 any any\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"not ports of the group", "not ports of the group", "unknown group of ports: A"},
	},
	{
		name:  "an interface that is not there yet",
		at:    xrEdge,
		text:  "interface preconfigure HundredGigE0/0/0/0\n ipv4 access-group L egress\nipv4 access-list L\n 10 deny udp any any eq 631\n 20 permit ipv4 any any\n",
		fates: []string{"out udp 203.0.113.9 631 dropped", "out tcp 203.0.113.9 631 passes"},
	},
}

func TestIOSXR(t *testing.T) {
	for _, f := range xrForeign {
		f.run(t, readXR)
	}
}

func FuzzReadIOSXR(f *testing.F) {
	fuzz(f, atWan(readXR), ciscoSeeds(xrForeign)...)
}
