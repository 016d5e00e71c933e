package read

import (
	"strings"

	"ippwatch/acl"
)

// readXE reads what "show running-config" prints on IOS-XE.
func readXE(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	return readCisco(&dialectXE, texts, at)
}

var dialectXE = dialect{
	open:     openXE,
	bind:     bindXE,
	harmless: harmlessXE,
	warned:   []string{"template"},
	group:    func(_ string, _ acl.Family, name string) string { return name }, // all kinds have one name space
	counted:  true,
	cookies:  true,
	torn:     true,
	bundle:   "channel-group",
}

func openXE(words []string) opening {
	w := append(words, "", "", "", "")
	switch {
	case w[0] == "interface" && w[1] != "":
		return opening{section: inInterface, name: interfaceName(words[1:])}
	case w[0] == "ip" && w[1] == "access-list" && (w[2] == "extended" || w[2] == "standard") && len(words) == 4:
		return opening{section: inList, family: acl.V4, name: w[3], standard: w[2] == "standard"}
	case w[0] == "ipv6" && w[1] == "access-list" && len(words) == 3:
		return opening{section: inList, family: acl.V6, name: w[2]}
	case w[0] == "access-list" && len(words) > 1:
		n, ok := number(w[1])
		standard := n < 100 || n >= 1300 && n < 2000
		if known := standard || n < 200 || n >= 2000 && n < 2700; !ok || !known {
			return opening{} // of MAC addresses, of IPX
		}
		return opening{section: inList, family: acl.V4, name: w[1], standard: standard, rest: strings.Join(words[2:], " ")}
	case w[0] == "object-group" && len(words) == 3:
		return opening{section: inGroup, name: w[2]}
	case w[0] == "policy-map" && len(words) == 2:
		return opening{section: inPolicy, name: w[1]}
	}
	return opening{}
}

func bindXE(words []string) (binding, bool) {
	return bindInOut(words, "ip access-group", "ipv6 traffic-filter")
}

// harmlessXE begin statements at an interface. Not among them, since packets
// may come by the lists: mpls (labelled packets are not asked), switchport and
// service instance (bridged), ip nat and ip policy (sent elsewhere),
// zone-member (may drop). A service-policy is looked at by itself.
var harmlessXE = []string{
	"description", "mtu", "bandwidth", "delay", "negotiation", "speed", "duplex", "media-type", "load-interval", "carrier-delay", "dampening",
	"encapsulation dot1q", "encapsulation dot1Q", "encapsulation ppp", "encapsulation hdlc", "vrf forwarding", "ip vrf forwarding",
	"ip address", "ip unnumbered", "ipv6 unnumbered", "ip mtu", "ip redirects", "ip unreachables", "ip proxy-arp", "ip directed-broadcast", "ip ospf", "ip router", "ip pim", "ip igmp",
	"ip flow", "ip verify unicast", "ip tcp adjust-mss", "ip load-sharing", "ip helper-address", "ip dhcp", "ip arp", "ip hello-interval",
	"ip hold-time", "ip authentication", "ip summary-address", "ip rip", "ip rsvp", "ip split-horizon", "ip route-cache", "ip nbar protocol-discovery",
	"ip bfd", "ip mroute-cache", "ip mask-reply", "ip information-reply", "ip cef",
	"ipv6 address", "ipv6 enable", "ipv6 nd", "ipv6 mtu", "ipv6 ospf", "ipv6 router", "ipv6 tcp adjust-mss", "ipv6 verify unicast", "ipv6 flow",
	"ipv6 pim", "ipv6 mld", "ipv6 redirects", "ipv6 unreachables", "ipv6 dhcp", "ipv6 eigrp", "ipv6 rip",
	"isis", "ospfv3", "bfd", "standby", "vrrp", "glbp", "cdp", "lldp", "udld", "spanning-tree", "storm-control", "lacp", "fec", "plim", "hold-queue",
	"keepalive", "arp", "logging event", "snmp", "flowcontrol", "mac-address", "transceiver", "tx-ring-limit", "clock", "macsec", "mka",
	"ntp", "history", "peer default", "ppp", "power", "trust", "cts", "aggregate", "port-channel", "load-balancing",
}
