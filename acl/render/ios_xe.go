package render

import (
	"fmt"
	"net/netip"

	"ippwatch/acl"
)

// iosXE writes named lists with numbered lines, and object-groups where a rule
// of IPv4 has more than one prefix; those of IPv6 are newer than many a router.
// The upper layer is found behind IPv6 extension headers; a packet in which it
// cannot be found fits no line with a protocol and needs undetermined-transport,
// which there is with deny alone (facts/filters-and-outreach.md 1.2).
var iosXE = Platform{
	Name:      "ios-xe",
	Title:     "Cisco IOS-XE",
	Authority: "Cisco IOS Security Command Reference: access-list (IP extended), deny (IPv6), ipv6 traffic-filter; Access Control Lists and IP Fragments",
	Bound:     true,
	Torn:      true,
	TornDrops: true,
	Most:      mostACE,
	Write:     writeXE,
}

func writeXE(f acl.Form) (Output, error) {
	style := func(r acl.Rule, side string, nets acl.Nets, family acl.Family) []string {
		ps := nets.Prefixes(family)
		switch {
		case nets.Any():
			return []string{"any"}
		case family == acl.V6:
			return words(ps, acePrefix)
		case len(ps) == 1:
			return []string{aceWildcard(ps[0])}
		}
		return []string{"object-group " + aceGroup(r, side, family)}
	}
	lists, err := aceLists(f, style, aceAny{acl.V4: "ip", acl.V6: "ipv6"})
	if err != nil {
		return Output{}, err
	}
	var t, undo, groups text
	aceComments(&t, f, "IOS-XE")
	undo.line("! takes %s off", f.Name)
	aceGroups(f, acl.V4, func(name string, ps []netip.Prefix) {
		t.line("object-group network %s", name)
		for _, p := range ps {
			if p.IsSingleIP() {
				t.line(" host %s", p.Addr())
			} else {
				t.line(" %s %s", p.Addr(), netmask(p.Bits()))
			}
		}
		groups.line("no object-group network %s", name)
	})
	var gone text
	for _, l := range lists {
		head, number := "ip access-list extended", ""
		if l.family == acl.V6 {
			head, number = "ipv6 access-list", "sequence "
		}
		t.line("%s %s", head, l.name)
		for i, line := range l.lines {
			switch {
			case !line.remark:
				t.line(" %s%d %s", number, 10*(i+1), line.words)
			case l.family == acl.V6: // takes the number that comes next
				t.line(" remark %s", line.words)
			default:
				t.line(" %d remark %s", 10*(i+1), line.words)
			}
		}
		gone.line("no %s %s", head, l.name)
	}
	for _, iface := range f.At.Interfaces {
		t.line("interface %s", iface)
		undo.line("interface %s", iface)
		for _, l := range lists {
			t.line(" %s", bindWordsXE(l))
			undo.line(" no %s", bindWordsXE(l))
		}
	}
	undo.WriteString(gone.String() + groups.String())
	file, back := f.Name+"-ios-xe.cfg", f.Name+"-ios-xe-rollback.cfg"
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load: []string{
			"show running-config | section interface   (a list that is bound already would be replaced: see notes)",
			"copy bootflash:" + back + " running-config   (when an older one of this name is there)",
			"copy bootflash:" + file + " running-config",
		},
		Confirm: []string{
			"archive, path bootflash:before-epf   (once, in configuration mode: the revert timer needs it)",
			"configure terminal revert timer 5   (then load, by pasting or from another session: in five minutes all is as before)",
			"configure confirm   (when printing and everything else still works), write memory",
		},
		Counters: words(lists, func(l aceList) string {
			if l.family == acl.V6 {
				return "show ipv6 access-list " + l.name
			}
			return "show ip access-lists " + l.name
		}),
		Undo:  []string{"copy bootflash:" + back + " running-config"},
		Notes: append(notesXE(f), aceNotes(f, lists)...),
	}, nil
}

func bindWordsXE(l aceList) string {
	way := "out"
	if l.arrives {
		way = "in"
	}
	if l.family == acl.V6 {
		return fmt.Sprintf("ipv6 traffic-filter %s %s", l.name, way)
	}
	return fmt.Sprintf("ip access-group %s %s", l.name, way)
}

func notesXE(acl.Form) []string {
	return []string{
		"the numbers of matches stand behind the numbered lines, the names of the rules in the remarks (show running-config | section access-list); clear access-list counters begins anew",
		"on hardware that forwards by itself the lines may show few of the matches: show platform hardware qfp active feature acl, show platform software fed active acl",
		"IPv6: the upper layer is found behind extension headers; a chain that hides it is dropped when the policy has unknown_upper_layer: drop (undetermined-transport)",
	}
}

// aceNotes are what the three platforms have in common.
func aceNotes(f acl.Form, lists []aceList) []string {
	notes := []string{
		"one list for each family and direction: binding these takes off a list that is bound in the same place; to keep one, put its lines before the last line here, and check the result with ippwatch filter check",
		"packets of sub-interfaces, of VLANs and of bundles are judged at those: name them in the policy, not the port",
	}
	for _, l := range lists {
		if !l.arrives {
			notes = append(notes, "a list for what goes out does not see what the router itself sends")
			break
		}
	}
	if f.CountOnly {
		notes = append(notes, "later fragments pass by a line of their own and are not counted: a permit with a port would take them for 631")
	}
	return notes
}

// netmask is the mask of a network, which object-groups of IOS-XE want.
func netmask(bits int) netip.Addr {
	b := hostBits(bits)
	for i := range b {
		b[i] = ^b[i]
	}
	return netip.AddrFrom4(b)
}
