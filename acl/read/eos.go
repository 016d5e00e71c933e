package read

import (
	"ippwatch/acl"
)

// readEOS reads what "show running-config" prints on Arista EOS.
func readEOS(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	return readCisco(&dialectEOS, texts, at)
}

var dialectEOS = dialect{
	open:     openEOS,
	bind:     bindEOS,
	harmless: harmlessEOS,
	warned:   []string{"vlan-access-map"},
	ports:    []map[string]uint16{eosPorts},
	group:    func(_ string, _ acl.Family, name string) string { return name },
	bundle:   "channel-group",
}

func openEOS(words []string) opening {
	w := append(words, "", "", "", "")
	family := map[string]acl.Family{"ip": acl.V4, "ipv6": acl.V6}[w[0]]
	switch {
	case w[0] == "interface" && w[1] != "":
		return opening{section: inInterface, name: interfaceName(words[1:])}
	case family != 0 && w[1] == "access-list" && w[2] == "standard" && len(words) == 4:
		return opening{section: inList, family: family, name: w[3], standard: true}
	case family != 0 && w[1] == "access-list" && len(words) == 3:
		return opening{section: inList, family: family, name: w[2]}
	case w[0] == "policy-map" && w[1] == "type" && (w[2] == "quality-of-service" || w[2] == "qos") && len(words) == 4:
		return opening{section: inPolicy, name: w[3]}
	case w[0] == "policy-map" && len(words) == 2:
		return opening{section: inPolicy, name: w[1]}
	}
	return opening{}
}

func bindEOS(words []string) (binding, bool) {
	return bindInOut(words, "ip access-group", "ipv6 access-group")
}

// harmlessEOS begin statements at an interface; see harmlessXE for what is not
// among them. traffic-policy may drop.
var harmlessEOS = []string{
	"description", "mtu", "l2 mtu", "bandwidth", "speed", "load-interval", "link-debounce", "encapsulation dot1q", "vrf", "no switchport",
	"ip address", "ip unnumbered", "ip ospf", "ip proxy-arp", "ip pim", "pim", "ip igmp", "ip helper-address", "ip verify unicast", "ip icmp", "ip local-proxy-arp",
	"ip attached-host", "ip virtual-router", "ip dhcp", "ip tcp", "ip arp",
	"ipv6 address", "ipv6 enable", "ipv6 nd", "ipv6 ospf", "ipv6 virtual-router", "ipv6 verify unicast", "ipv6 dhcp",
	"isis", "ospfv3", "bfd", "vrrp", "lldp", "lacp", "spanning-tree", "storm-control", "sflow", "flow tracker", "snmp", "logging event", "mac-address",
	"error-correction", "flowcontrol", "ptp", "qos", "transceiver", "port-channel", "arp", "mld", "ntp", "unidirectional", "hardware",
}
