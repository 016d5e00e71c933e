package read

import (
	"strings"

	"ippwatch/acl"
)

// readXR reads what "show running-config" prints on IOS-XR.
func readXR(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	return readCisco(&dialectXR, texts, at)
}

var dialectXR = dialect{
	open:     openXR,
	bind:     bindXR,
	harmless: harmlessXR,
	warned:   []string{"apply-group"},
	group: func(kind string, family acl.Family, name string) string {
		if kind == "network" {
			kind = map[acl.Family]string{acl.V4: "ipv4", acl.V6: "ipv6"}[family]
		}
		return kind + " " + name
	},
	counted: true,
	bundle:  "bundle id",
}

func openXR(words []string) opening {
	w := append(words, "", "", "", "")
	family := map[string]acl.Family{"ipv4": acl.V4, "ipv6": acl.V6}
	switch {
	case w[0] == "interface" && w[1] != "":
		return opening{section: inInterface, name: interfaceName(words[1:])}
	case family[w[0]] != 0 && w[1] == "access-list" && len(words) == 3:
		return opening{section: inList, family: family[w[0]], name: w[2]}
	case w[0] == "object-group" && w[1] == "network" && family[w[2]] != 0 && len(words) == 4:
		return opening{section: inGroup, name: w[2] + " " + w[3]}
	case w[0] == "object-group" && w[1] == "port" && len(words) == 3:
		return opening{section: inGroup, name: "port " + w[2]}
	case w[0] == "policy-map" && len(words) == 2:
		return opening{section: inPolicy, name: w[1]}
	}
	return opening{}
}

func bindXR(words []string) (binding, bool) {
	b := binding{family: acl.V4}
	switch strings.Join(words[:min(2, len(words))], " ") {
	case "ipv4 access-group":
	case "ipv6 access-group":
		b.family = acl.V6
	default:
		return b, false
	}
	b.why = "a list is bound in a way that is not understood"
	if len(words) < 4 || words[3] != "ingress" && words[3] != "egress" {
		return b, true
	}
	for i := 4; i < len(words); i++ {
		switch words[i] {
		case "hardware-count", "interface-statistics":
		case "compress": // compress level N
			i += 2
		default:
			return b, true
		}
	}
	return binding{family: b.family, name: words[2], arrives: words[3] == "ingress"}, true
}

// harmlessXR begin statements at an interface; see harmlessXE for what is not
// among them. l2transport makes it a port that bridges.
var harmlessXR = []string{
	"description", "mtu", "bandwidth", "negotiation", "speed", "duplex", "load-interval", "carrier-delay", "dampening", "encapsulation dot1q",
	"vrf", "ipv4 address", "ipv4 mtu", "ipv4 unreachables", "ipv4 directed-broadcast", "ipv4 point-to-point", "ipv4 unnumbered", "ipv4 verify unicast",
	"ipv4 helper-address", "ipv4 mask-reply", "ipv4 redirects",
	"ipv6 address", "ipv6 enable", "ipv6 nd", "ipv6 mtu", "ipv6 unnumbered", "ipv6 unreachables", "ipv6 verify unicast",
	"bundle minimum-active", "bundle load-balancing", "bundle wait-while", "bundle maximum-active", "lacp", "bfd", "cdp", "lldp", "flow", "logging", "snmp-server",
	"mac-address", "flow-control", "proxy-arp", "arp", "local-proxy-arp", "frequency", "ptp", "ethernet", "macsec", "fec", "lldp", "tcp",
}
