package read

import (
	"testing"

	"ippwatch/acl"
)

var rosForeign = []foreign{
	{
		name: "an export of a usual configuration",
		at:   acl.Attach{Profile: acl.Edge, Interfaces: []string{"ether1"}, Others: []string{"ether2"}},
		text: `# 2026-11-20 10:11:12 by RouterOS 7.16.1
# software id = AAAA-BBBB
#
# model = CCR2004-16G-2S+
/interface bridge
add name=bridge
/interface list
add name=WAN
add name=LAN
/interface list member
add interface=ether1 list=WAN
add interface=ether2 list=WAN
add interface=bridge list=LAN
/ip address
add address=192.0.2.2/30 interface=ether1 network=192.0.2.0
/ip firewall address-list
add address=198.51.100.16/28 comment="print servers" list=printers
add address=198.51.100.64 list=printers
add address=198.51.100.80-198.51.100.82 list=printers
add address=203.0.113.0/24 disabled=yes list=printers
/ip firewall filter
add action=fasttrack-connection chain=forward comment="defconf: fasttrack" \
    connection-state=established,related hw-offload=yes
add action=accept chain=forward comment="defconf: accept established,related, \
    untracked" connection-state=established,related
add action=drop chain=forward comment="defconf: drop invalid" \
    connection-state=invalid
add action=jump chain=forward in-interface-list=WAN jump-target=from-wan
add action=drop chain=forward in-interface-list=WAN connection-nat-state=!dstnat connection-state=new dst-address=198.51.100.128/25
add action=accept chain=from-wan dst-address-list=printers dst-port=631,9100-9102 protocol=tcp
add action=drop chain=from-wan comment=ipp dst-port=631 log=yes protocol=tcp
add action=drop chain=from-wan comment=ipp dst-port=631 protocol=udp
add action=return chain=from-wan
add action=drop chain=input in-interface-list=!LAN
/ip firewall nat
add action=masquerade chain=srcnat out-interface-list=WAN
/ip firewall raw
add action=drop chain=prerouting in-interface=ether1 port=19 protocol=udp
/ip firewall service-port
set ftp disabled=yes
/ipv6 firewall filter
add action=accept chain=forward connection-state=established,related
add action=reject chain=forward dst-port=631 in-interface=ether1 protocol=tcp reject-with=icmp-admin-prohibited tcp-flags=syn,!ack
add action=drop chain=forward out-interface=ether1 protocol=udp dst-port=631
/system identity
set name=edge
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.17 631 passes", "in tcp 198.51.100.64 631 passes", "in tcp 198.51.100.81 9101 passes", "in tcp 198.51.100.83 631 dropped",
			"in udp 198.51.100.17 631 dropped", "in tcp 198.51.100.7 80 passes", "in tcp 198.51.100.200 80 dropped", "in udp 198.51.100.7 53 sport 19 dropped", "in udp 198.51.100.7 19 dropped",
			"in tcp 203.0.113.7 631 dropped", "out tcp 192.0.2.9 631 passes",
			"in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 631 ext dropped", "in tcp 2001:db8:100::7 631 ack passes", "in udp 2001:db8:100::7 631 passes", "out udp 2001:db8:ffff::1 631 dropped",
		},
	},
	{
		name: "commands with their whole path, and rules that are put first",
		text: `/ip/firewall/filter/add chain=forward action=accept protocol=tcp
/ip firewall filter add chain=forward action=drop protocol=tcp dst-port=631 place-before=0
/ip/firewall/filter
add chain=forward action=drop protocol=udp src-address=!192.0.2.0/24 dst-port=!1-630,632-65535
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 632 passes", "in udp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 from 203.0.113.9 dropped", "in udp 198.51.100.7 632 from 203.0.113.9 passes",
		},
	},
	{
		name: "behind a switch chip and with another destination",
		text: `/interface ethernet switch
set 0 l3-hw-offloading=yes
/ip firewall nat
add action=dst-nat chain=dstnat dst-port=8631 protocol=tcp to-addresses=198.51.100.7 to-ports=631
add action=dst-nat chain=dstnat disabled=yes to-addresses=198.51.100.7
`,
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"switch chip", "another destination"},
	},
	{
		name: "what is not known is feared",
		text: `add chain=forward action=drop
/ip firewall address-list
add list=names address=printer.example.net
/ip firewall filter
add chain=forward action=accept dst-address-list=names
add chain=forward action=drop dst-port=631
add chain=forward action=drop frob=yes protocol=udp
add chain=forward action=jump jump-target=nowhere
add chain=forward action=jump jump-target=self
add chain=self action=jump jump-target=self
add chain=forward action=drop place-before=[find comment="x y"]
set [find comment="x"] action=accept
add chain=forward action=teleport
add chain=forward action=drop in-interface-list=dynamic
add chain=forward action=drop limit=10,5:packet
add chain=forward action=drop \
`,
		at:    acl.Attach{Profile: acl.Edge, Interfaces: []string{"wan"}},
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 passes"},
		unverified: []string{
			"outside of a menu", "stands before a rule", "changes rules", "ends within a line", "ports without a protocol", "unknown property: frob", "there is no chain nowhere", "leads back to itself", "unknown action: teleport",
		},
	},
}

func TestRouterOS(t *testing.T) {
	for _, f := range rosForeign {
		f.run(t, readRouterOS)
	}
}

func FuzzReadRouterOS(f *testing.F) {
	var seeds []string
	for _, one := range rosForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readRouterOS, seeds...)
}
