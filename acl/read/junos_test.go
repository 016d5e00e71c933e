package read

import (
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
)

var transit = acl.Attach{Profile: acl.Edge, Interfaces: []string{"xe-0/0/0.100"}}

var junosForeign = []foreign{
	{
		name: "an edge with braces, as show configuration prints it",
		at:   transit,
		text: `## Last commit: 2026-10-02 08:11:09 UTC by noc
version 21.4R3.15;
system {
    host-name edge1;
    login { message "filter { input X; }"; }
}
interfaces {
    xe-0/0/0 {
        description "transit; do not touch { }";
        vlan-tagging;
        unit 100 {
            description transit1;
            vlan-id 100;
            family inet {
                mtu 1500;
                filter {
                    input-list [ EDGE-IN LAST ];
                }
                address 192.0.2.2/30;
            }
            family inet6 {
                filter {
                    input EDGE-IN6;
                    output EDGE-OUT6;
                }
                address 2001:db8:ffff::2/64;
            }
            family mpls;
        }
        unit 200 {
            family inet {
                filter {
                    input NOTHING-HERE;
                }
            }
        }
    }
    lo0 {
        unit 0 {
            family inet {
                filter {
                    input PROTECT-RE;
                }
            }
        }
    }
}
policy-options {
    prefix-list PRINTERS {
        198.51.100.16/28;
        /* the new one */
        198.51.100.64/32;
        2001:db8:100:16::/64;
    }
    policy-statement EXPORT { then reject; }
}
firewall {
    family inet {
        filter EDGE-IN {
            interface-specific;
            term established {
                from {
                    protocol tcp;
                    tcp-established;
                }
                then {
                    count established;
                    next term;
                }
            }
            term printers {
                from {
                    destination-prefix-list {
                        PRINTERS;
                    }
                    protocol [ tcp udp ];
                    destination-port [ 631 9100-9102 ];
                }
                then {
                    policer LIMIT;
                    count printers;
                    accept;
                }
            }
            term ipp {
                from {
                    protocol [ tcp udp ];
                    destination-port 631;
                }
                then {
                    count ipp;
                    log;
                    discard;
                }
            }
        }
        filter LAST {
            inactive: term never {
                then discard;
            }
            term rest {
                then accept;
            }
        }
        filter PROTECT-RE { term x { then discard; } }
    }
    family inet6 {
        filter EDGE-IN6 {
            term ipp {
                from {
                    next-header [ tcp udp ];
                    destination-port 631;
                }
                then discard;
            }
            term rest { then accept; }
        }
        filter EDGE-OUT6 {
            term ipp {
                from {
                    payload-protocol udp;
                    port 631;
                }
                then reject administratively-prohibited;
            }
            term rest { then count rest; }
        }
    }
    policer LIMIT { if-exceeding { bandwidth-limit 10m; burst-size-limit 100k; } then discard; }
}
protocols { bgp { group x { neighbor 192.0.2.1; } } }
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.17 631 passes", "in tcp 198.51.100.64 631 passes", "in udp 198.51.100.65 631 dropped",
			"in tcp 198.51.100.7 630 passes", "in tcp 198.51.100.7 631 ack dropped", "in udp 198.51.100.7 631 first dropped", "in udp 198.51.100.7 631 later passes",
			"in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 631 ext passes", "in tcp 2001:db8:100::7 632 passes",
			"out udp 2001:db8:ffff::1 631 dropped", "out udp 2001:db8:ffff::1 631 ext dropped", "out udp 2001:db8:ffff::1 53 sport 631 dropped", "out tcp 2001:db8:ffff::1 631 passes",
			"out udp 192.0.2.1 631 passes",
		},
	},
	{
		name: "set statements, next term, address lists with except, and the default",
		text: `set version 20.2R3
set interfaces wan unit 0 family inet filter input EPF
set interfaces wan unit 0 family inet6 filter input-chain [ A6 B6 ]
set firewall family inet filter EPF term count from destination-port 631
set firewall family inet filter EPF term count from protocol tcp
set firewall family inet filter EPF term count then count seen
set firewall family inet filter EPF term count then next term
set firewall family inet filter EPF term nets from destination-address 198.51.100.0/24
set firewall family inet filter EPF term nets from destination-address 198.51.100.16/28 except
set firewall family inet filter EPF term nets from destination-address 198.51.100.20/32
set firewall family inet filter EPF term nets from destination-port 631
set firewall family inet filter EPF term nets from protocol-except icmp
set firewall family inet filter EPF term nets then discard
set firewall family inet filter EPF term some from protocol [ tcp udp ]
set firewall family inet filter EPF term some then accept
set firewall family inet6 filter A6 term a from payload-protocol tcp
set firewall family inet6 filter A6 term a from tcp-flags "(syn & !ack)"
set firewall family inet6 filter A6 term a from destination-port 600-631
set firewall family inet6 filter A6 term a then discard
set firewall family inet6 filter A6 term b then accept
set firewall family inet6 filter B6 term a from payload-protocol udp
set firewall family inet6 filter B6 term a from source-port-except 1024-65535
set firewall family inet6 filter B6 term a then discard
set firewall family inet6 filter B6 term b then accept
`,
		fates: []string{
			"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.16 631 passes", "in tcp 198.51.100.20 631 dropped", "in icmp 198.51.100.7 0 dropped",
			"in tcp 203.0.113.7 631 passes", "in tcp 198.51.100.7 632 passes",
			"in tcp 2001:db8:100::7 631 dropped", "in tcp 2001:db8:100::7 631 ack passes", "in udp 2001:db8:100::7 631 passes", "in udp 2001:db8:100::7 631 sport 53 dropped",
		},
	},
	{
		name: "a change to an interface that has a filter",
		text: `delete firewall family inet filter epf631_in4
set firewall family inet filter epf631_in4 term a from protocol tcp
set firewall family inet filter epf631_in4 term a from destination-port 631
set firewall family inet filter epf631_in4 term a then discard
set firewall family inet filter OLD term a then accept
delete interfaces wan unit 0 family inet filter input OLD
set interfaces wan unit 0 family inet filter input-list [ epf631_in4 OLD ]
`,
		fates:      []string{"in tcp 198.51.100.7 631 dropped", "in tcp 198.51.100.7 80 passes"},
		unverified: []string{"what the filter held before"},
	},
	{
		name: "filters within filters, and terms that are switched off",
		text: `set interfaces wan unit 0 family inet filter input OUTER
set firewall filter OUTER term a filter INNER
set firewall filter OUTER term z then accept
set firewall family inet filter INNER term a from protocol udp
set firewall family inet filter INNER term a from port 631
set firewall family inet filter INNER term a then discard
set firewall family inet filter INNER term b then discard
deactivate firewall family inet filter INNER term b
`,
		fates: []string{"in udp 198.51.100.7 631 dropped", "in udp 198.51.100.7 53 sport 631 dropped", "in tcp 198.51.100.7 631 passes"},
	},
	{
		name: "groups: one that has no filter is none of our business, the others are",
		text: `groups {
    names { system { host-name x; } }
    edge { interfaces { <*> { unit <*> { family inet { filter { input G; } } } } } }
}
apply-groups [ names edge ];
interfaces { wan { apply-groups edge; unit 0 { family inet { apply-groups edge; address 192.0.2.2/30; } } } }
firewall { family inet { filter X { apply-groups edge; } } }
`,
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"inherits from a group", "inherits from a group", "inherits from a group"},
	},
	{
		name: "a list that is bound and not there, and another logical unit",
		text: "set interfaces wan unit 7 family inet filter input A\nset interfaces wan unit 0 family inet filter input A\n",
		fates: []string{
			"in tcp 198.51.100.7 631 passes",
		},
		unverified: []string{"there is no such filter"},
	},
	{
		name: "what is not known is feared",
		text: `set interfaces wan unit 0 family inet filter input A
set interfaces wan unit 0 family inet frobnicate
set interfaces wan unit 0 service input service-set NAT
set security policies from-zone a to-zone b policy x then permit
set forwarding-options family inet filter input F
set policy-options prefix-list P apply-path "protocols bgp group <*> neighbor <*>"
set firewall family inet filter A term a from source-prefix-list P
set firewall family inet filter A term a from protocol tcp
set firewall family inet filter A term a then discard
set firewall family inet filter A term b from protocol tcp
set firewall family inet filter A term b from frob 7
set firewall family inet filter A term b then accept
set firewall family inet filter A term c from destination-port 631
set firewall family inet filter A term c then discard
set firewall family inet filter A term d from dscp ef
set firewall family inet filter A term d then discard
set firewall family inet filter A term e then teleport
insert firewall family inet filter A term e before term a
`,
		fates: []string{"in tcp 198.51.100.7 631 passes", "in udp 198.51.100.7 631 dropped"},
		unverified: []string{
			"frobnicate", "unknown at this interface", "policies of zones", "forwarding table", "only set, delete", "unknown condition", "unknown action",
		},
	},
	{
		name: "the text ends early, and another language",
		text: "firewall { family inet { filter A {\n",
		fates: []string{
			"in tcp 198.51.100.7 631 passes",
		},
		unverified: []string{"the text ends"},
	},
	{
		name:       "the name of the interface has a mistake",
		at:         acl.Attach{Profile: acl.Edge, Interfaces: []string{"xe-0/0/1.0"}},
		text:       "set interfaces xe-0/0/0 unit 0 family inet filter input A\nset interfaces xe-0/0/1 unit 7 family inet filter input A\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"no interface of that name"},
	},
	{
		name:       "another language",
		text:       "ip access-list extended A;\n",
		fates:      []string{"in tcp 198.51.100.7 631 passes"},
		unverified: []string{"not a statement of Junos"},
	},
}

func TestJunos(t *testing.T) {
	for _, f := range junosForeign {
		f.run(t, readJunos)
	}
}

// A configuration of 10 MB, most of which is about other things, is read in one
// pass.
func TestJunosLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("10 MB")
	}
	var b strings.Builder
	b.WriteString("policy-options {\n")
	for i := 0; b.Len() < 5<<20; i++ {
		b.WriteString("    prefix-list L" + itoa(i) + " {\n        198.51.100.0/24;\n        203.0.113.0/24;\n    }\n")
	}
	b.WriteString("}\nfirewall {\n    family inet {\n")
	for i := 0; b.Len() < 10<<20; i++ {
		b.WriteString("        filter F" + itoa(i) + " {\n            term a {\n                from {\n                    protocol tcp;\n                    destination-port 631;\n                }\n                then discard;\n            }\n        }\n")
	}
	b.WriteString("    }\n}\ninterfaces { wan { unit 0 { family inet { filter { input F7; } } } } }\n")
	begun := time.Now()
	f, err := readJunos([]acl.Text{{Name: "running", Body: b.String()}}, edge)
	if err != nil || len(f.Unverified) > 0 || len(f.Stages) != 1 {
		t.Fatalf("%v %v", err, f.Unverified)
	}
	// Another pass for each statement would take hours; a machine that is busy has
	// taken more than a minute.
	if took := time.Since(begun); took > 5*time.Minute {
		t.Errorf("took %s", took)
	} else {
		t.Logf("took %s", took)
	}
}

func FuzzReadJunos(f *testing.F) {
	var seeds []string
	for _, one := range junosForeign {
		seeds = append(seeds, one.text)
	}
	fuzz(f, readJunos, seeds...)
}
