package render

import (
	"fmt"
	"net/netip"

	"ippwatch/acl"
)

// iosXR writes named lists with numbered lines and object-groups of both
// families. "Any protocol" is ipv4 here, not ip.
var iosXR = Platform{
	Name:      "ios-xr",
	Title:     "Cisco IOS-XR",
	Authority: "IOS XR IP Addresses and Services Command Reference: permit (IPv4), permit (IPv6), object-group network; Cisco-IOS-XR-um-ipv4-access-list-cfg of 7.9.2",
	Bound:     true,
	Most:      mostACE,
	Write:     writeXR,
}

func writeXR(f acl.Form) (Output, error) {
	style := func(r acl.Rule, side string, nets acl.Nets, family acl.Family) []string {
		ps := nets.Prefixes(family)
		switch {
		case nets.Any():
			return []string{"any"}
		case len(ps) > 1:
			return []string{"net-group " + aceGroup(r, side, family)}
		case family == acl.V4:
			return []string{aceWildcard(ps[0])}
		}
		return []string{acePrefix(ps[0])}
	}
	lists, err := aceLists(f, style, aceAny{acl.V4: "ipv4", acl.V6: "ipv6"})
	if err != nil {
		return Output{}, err
	}
	var t, undo, groups text
	aceComments(&t, f, "IOS-XR")
	undo.line("! takes %s off", f.Name)
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		aceGroups(f, family, func(name string, ps []netip.Prefix) {
			t.line("object-group network %s %s", wordXR(family), name)
			for _, p := range ps {
				t.line(" %s", acePrefix(p))
			}
			t.line("!")
			groups.line("no object-group network %s %s", wordXR(family), name)
		})
	}
	var gone text
	for _, l := range lists {
		t.line("%s access-list %s", wordXR(l.family), l.name)
		for i, line := range l.lines {
			mark := ""
			if line.remark {
				mark = "remark "
			}
			t.line(" %d %s%s", 10*(i+1), mark, line.words)
		}
		t.line("!")
		gone.line("no %s access-list %s", wordXR(l.family), l.name)
	}
	for _, iface := range f.At.Interfaces {
		t.line("interface %s", iface)
		undo.line("interface %s", iface)
		for _, l := range lists {
			t.line(" %s", bindWordsXR(l))
			undo.line(" no %s", bindWordsXR(l))
		}
		t.line("!")
		undo.line("!")
	}
	undo.WriteString(gone.String() + groups.String())
	file, back := f.Name+"-ios-xr.cfg", f.Name+"-ios-xr-rollback.cfg"
	out := Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load: []string{
			"configure", "load harddisk:" + back + "   (when an older one of this name is there; nothing happens before the commit)",
			"load harddisk:" + file, "show commit changes diff", "show configuration failed   (after the commit, when it complains)",
		},
		Confirm: []string{"commit confirmed 300   (in five minutes all is as before)", "commit   (when printing and everything else still works)"},
		Undo:    []string{"configure", "load harddisk:" + back, "commit", "(or rollback configuration last 1)"},
		Notes: append([]string{
			"counters: ASR 9000, NCS and 8000 count in hardware; where the list shows none, add hardware-count behind ingress and egress",
			"NCS 540 and 5500 count only deny unless hw-module profile stats acl-permit is set, which takes a reload: without it a filter that only counts shows nothing there",
			"IPv6: a line with a protocol asks for the upper layer; how deep a line card looks behind extension headers differs: send a probe behind a hop-by-hop header before you trust it",
		}, aceNotes(f, lists)...),
	}
	for _, l := range lists {
		way := "egress"
		if l.arrives {
			way = "ingress"
		}
		out.Counters = append(out.Counters, fmt.Sprintf("show access-lists %s %s hardware %s location 0/0/CPU0", wordXR(l.family), l.name, way))
	}
	return out, nil
}

func wordXR(f acl.Family) string { return map[acl.Family]string{acl.V4: "ipv4", acl.V6: "ipv6"}[f] }

func bindWordsXR(l aceList) string {
	way := "egress"
	if l.arrives {
		way = "ingress"
	}
	return fmt.Sprintf("%s access-group %s %s", wordXR(l.family), l.name, way)
}
