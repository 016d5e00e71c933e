package read

import (
	"testing"

	"ippwatch/acl"
)

var srosForeign = []foreign{
	{
		name: "an edge with braces, as admin show configuration prints it",
		text: `# TiMOS-C-22.7.R1 cpm/hops64 Nokia 7750 SR Copyright (c) 2000-2022 Nokia.
# Configuration format version 22.7 revision 0

configure {
    card 1 {
        card-type iom4-e
    }
    filter {
        match-list {
            ip-prefix-list "PRINTERS" {
                description "may be reached"
                prefix 198.51.100.16/28 { }
                prefix 198.51.100.64/32 { }
                prefix-exclude 198.51.100.20/32 { }
            }
            port-list "PRINTING" {
                port 515 { }
                port 631 { }
                range start 9100 end 9102 { }
            }
        }
        ip-filter "EDGE-IN" {
            default-action accept
            scope template
            embed {
                filter "COMMON" offset 1000 {
                }
            }
            entry 20 {
                description "all others"
                log 101
                match {
                    protocol tcp-udp
                    dst-port {
                        port-list "PRINTING"
                    }
                }
                action {
                    drop
                }
            }
            entry 10 {
                description "printers"
                match {
                    protocol tcp
                    dst-ip {
                        ip-prefix-list "PRINTERS"
                    }
                    dst-port {
                        eq 631
                    }
                }
                action {
                    accept
                }
            }
            entry 15 {
                description "without an action: inactive"
                match {
                    protocol tcp
                }
            }
        }
        ip-filter "COMMON" {
            scope embedded
            entry 7 {
                match {
                    protocol udp
                    src-port {
                        range {
                            start 19
                            end 20
                        }
                    }
                }
                action {
                    drop
                }
            }
        }
        ipv6-filter "EDGE-IN6" {
            entry 10 {
                match {
                    next-header tcp
                    dst-port {
                        eq 631
                    }
                    tcp-flags {
                        syn true
                        ack false
                    }
                }
                action {
                    drop
                }
            }
            entry 20 {
                action {
                    accept
                }
            }
        }
    }
    router "Base" {
        interface "system" {
            ipv4 {
                primary {
                    address 192.0.2.250
                    prefix-length 32
                }
            }
        }
        interface "wan" {
            admin-state enable
            port 1/1/c1/1
            ingress {
                filter {
                    ip "EDGE-IN"
                    ipv6 "EDGE-IN6"
                }
            }
            ipv4 {
                primary {
                    address 192.0.2.2
                    prefix-length 30
                }
            }
        }
        isis 0 {
            interface "wan" {
                level-capability 2
            }
        }
    }
}
persistent-indices {
    description "Persistent indices are maintained by the system and must not be modified."
}
# Finished 2026-10-01T08:00:00.0Z
`,
		fates: []string{
			"in tcp 198.51.100.17 631 passes", "in tcp 198.51.100.20 631 dropped", "in udp 198.51.100.17 631 dropped", "in tcp 198.51.100.7 9101 dropped", "in tcp 198.51.100.7 9103 passes",
			"in udp 198.51.100.7 53 sport 19 dropped", "in udp 198.51.100.7 53 sport 21 passes", "in tcp 198.51.100.7 631 later passes",
			"in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 631 ack passes", "in tcp 2001:db8:100::7 631 ext passes", "in udp 2001:db8:100::7 631 passes",
			"out tcp 192.0.2.9 631 passes",
		},
	},
	{
		name: "flat, the default is drop, on a SAP of a service",
		text: `/configure filter ip-filter "X" entry 10 match protocol udp dst-port lt 632
/configure filter ip-filter "X" entry 10 action accept
/configure filter ip-filter "X" entry 20 match protocol 6 dst-port gt 632
/configure filter ip-filter "X" entry 20 action forward next-hop nh-ip-address 192.0.2.1
/configure filter ip-filter "X" entry 30 match protocol icmp
/configure filter ip-filter "X" entry 30 match icmp type 8
/configure filter ip-filter "X" entry 30 action accept
/configure service ies "inet" interface "wan" sap 1/1/c2/1:100 ingress filter ip "X"
/configure service ies "inet" interface "other" sap 1/1/c2/1:200 ingress filter ip "Y"
`,
		fates: []string{
			"in udp 198.51.100.7 631 passes", "in udp 198.51.100.7 632 dropped", "in tcp 198.51.100.7 632 dropped", "in tcp 198.51.100.7 9100 passes", "in udp 198.51.100.7 631 later passes",
		},
	},
	{
		name: "a customer edge, both ways, with ports of either side",
		at:   acl.Attach{Profile: acl.CustomerEdge, Interfaces: []string{"wan"}},
		text: `/configure filter ip-filter "X" default-action accept
/configure filter ip-filter "X" entry 10 match protocol udp
/configure filter ip-filter "X" entry 10 match port eq 631
/configure filter ip-filter "X" entry 10 action drop
/configure filter ip-filter "Y" default-action accept
/configure filter ip-filter "Y" entry 10 match protocol tcp
/configure filter ip-filter "Y" entry 10 match ip address 198.51.100.7/32
/configure filter ip-filter "Y" entry 10 match dst-port range start 600
/configure filter ip-filter "Y" entry 10 match dst-port range end 700
/configure filter ip-filter "Y" entry 10 action drop
/configure router "Base" interface "wan" ingress filter ip "X"
/configure router "Base" interface "wan" egress filter ip "Y"
`,
		fates: []string{
			"out udp 192.0.2.9 53 sport 631 dropped", "out udp 192.0.2.9 631 dropped", "out tcp 192.0.2.9 631 passes", "in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.8 631 passes",
		},
	},
	{
		name: "what is not known is feared",
		text: `/configure apply-groups ["edge"]
/configure filter match-list ip-prefix-list "PEERS" apply-path bgp-peers 1 group "^x"
/configure filter ip-filter "X" default-action accept
/configure filter ip-filter "X" chain-to-system-filter true
/configure filter ip-filter "X" entry 5 match protocol tcp src-ip ip-prefix-list "PEERS"
/configure filter ip-filter "X" entry 5 action accept
/configure filter ip-filter "X" entry 10 match dst-port eq 631
/configure filter ip-filter "X" entry 10 action drop
/configure filter ip-filter "X" entry 20 match protocol udp frob 7
/configure filter ip-filter "X" entry 20 action drop
/configure filter ip-filter "X" entry 30 match protocol udp
/configure filter ip-filter "X" entry 30 action drop packet-length gt 100
/configure filter ip-filter "X" entry 40 match protocol udp src-ip ip-prefix-list "NOWHERE"
/configure filter ip-filter "X" entry 40 action drop
/configure filter ip-filter "X" embed flowspec offset 1000
/configure router "Base" interface "wan" ingress filter ip "X"
/configure router "Base" interface "wan" ingress filter ipv6 "Z"
/configure router "Base" interface "wan" teleport
exit all
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 passes"},
		unverified: []string{
			"inherits from a group", "chain-to-system-filter", "unknown condition", "an action with a condition", "unknown in a filter", "teleport", "not a statement of the MD-CLI",
			"ports without a protocol", "no such list", "no such filter",
		},
	},
	{
		name:       "the name of the interface has a mistake",
		text:       "/configure router \"Base\" interface \"transit\" ingress filter ip \"X\"\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"no interface of that name"},
	},
	{
		name:       "classic CLI",
		text:       "        ip-filter 10 name \"10\" create\n            default-action forward\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"not a statement of the MD-CLI", "not a statement of the MD-CLI"},
	},
}

func TestSROS(t *testing.T) {
	for _, f := range srosForeign {
		f.run(t, readSROS)
	}
}

func FuzzReadSROS(f *testing.F) {
	var seeds []string
	for _, one := range srosForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readSROS, seeds...)
}
