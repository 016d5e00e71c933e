package render

import (
	"fmt"
	"slices"

	"ippwatch/acl"
)

// sros writes flat statements of the MD-CLI, each with its whole context. An
// interface takes one filter for a family and direction; its default-action is
// drop unless it says accept.
//
// The next-header of an ipv6-filter is that of the IPv6 header itself: behind
// an extension header the port is not found (Router Configuration Guide,
// "IPv4/IPv6 filter policy entry match criteria"). That is why it is Shallow.
var sros = Platform{
	Name:      "sros",
	Title:     "Nokia SR OS, MD-CLI",
	Authority: "7x50 Router Configuration Guide 22.7, filter policies; nokia-conf-filter",
	Bound:     true,
	Shallow:   true,
	// A filter log takes every packet of an entry.
	Logs:  false,
	Most:  65535, // entries have numbers up to 2097151, line cards room for fewer
	Write: writeSROS,
}

// srosStep is between the numbers of entries.
const srosStep = 10

// An srosList is a filter for one direction and family.
type srosList struct {
	dir     acl.Direction
	family  acl.Family
	name    string
	kind    string // ip-filter, ipv6-filter
	binding string // ip, ipv6
	prefix  string // ip-prefix-list
	proto   string
}

func srosLists(f acl.Form) []srosList {
	var all []srosList
	for _, dir := range []acl.Direction{acl.In, acl.Out} {
		for _, family := range []acl.Family{acl.V4, acl.V6} {
			if !slices.ContainsFunc(f.Rules, func(r acl.Rule) bool { return says(r, dir, family) }) {
				continue
			}
			l := srosList{dir, family, f.Name + "_" + dir.String() + "4", "ip-filter", "ip", "ip-prefix-list", "protocol"}
			if family == acl.V6 {
				l = srosList{dir, family, f.Name + "_" + dir.String() + "6", "ipv6-filter", "ipv6", "ipv6-prefix-list", "next-header"}
			}
			all = append(all, l)
		}
	}
	return all
}

func writeSROS(f acl.Form) (Output, error) {
	if f.At.Profile == acl.Host {
		return Output{}, cannot("the profile host: a router filters at its interfaces; for the router itself there are CPM filters")
	}
	var t, lists, undo text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	undo.line("# takes %s off, in exclusive configuration mode", f.Name)
	undo.line("/configure")
	var out Output
	for _, l := range srosLists(f) {
		way := "egress"
		if l.dir == f.At.Profile.Arriving() {
			way = "ingress"
		}
		for _, iface := range f.At.Interfaces {
			undo.line("delete router \"Base\" interface %q %s filter %s", iface, way, l.binding)
		}
		undo.line("delete filter %s %q", l.kind, l.name)
		if err := srosFilter(&lists, f, l); err != nil {
			return Output{}, err
		}
		for _, iface := range f.At.Interfaces {
			lists.line("/configure router \"Base\" interface %q %s filter %s %q", iface, way, l.binding, l.name)
		}
		out.Counters = append(out.Counters, fmt.Sprintf("show filter %s %q counters", l.binding, l.name))
	}
	for _, r := range f.Rules {
		srosPrefixLists(&t, &undo, r)
	}
	file, back := f.Name+".cfg", f.Name+"-rollback.cfg"
	out.Texts = []acl.Text{{Name: file, Body: t.String() + lists.String()}}
	out.Rollback = []acl.Text{{Name: back, Body: undo.String()}}
	out.Load = []string{"edit-config exclusive", "exec " + file, "compare", "validate"}
	out.Confirm = []string{"commit confirmed 5", "commit confirmed accept within 5 minutes keeps it; otherwise the router goes back by itself"}
	out.Undo = []string{"edit-config exclusive", "exec " + back, "commit"}
	out.Notes = []string{
		"an interface has one filter for each family and direction: where it has one, do not bind ours; give ours scope embedded, and the other embed filter NAME offset N before its entries",
		"to load it again, exec " + back + " first and commit once: both are one change",
		"interfaces are those of router \"Base\"; for a service bind the filters to its SAP",
	}
	return out, nil
}

// says reports whether a rule is about packets of the direction and family.
func says(r acl.Rule, dir acl.Direction, family acl.Family) bool {
	return r.Match.Families()&family != 0 && (r.Match.Dir == 0 || r.Match.Dir&dir != 0)
}

func srosPrefixes(r acl.Rule, side string, l acl.Family) string {
	return fmt.Sprintf("%s_%s%s", r.Name, side, map[acl.Family]string{acl.V4: "4", acl.V6: "6"}[l])
}

// srosPrefixLists writes a list for each side that has more than one prefix.
func srosPrefixLists(t, undo *text, r acl.Rule) {
	for _, family := range families(r) {
		kind := map[acl.Family]string{acl.V4: "ip-prefix-list", acl.V6: "ipv6-prefix-list"}[family]
		for _, side := range []struct {
			word string
			nets acl.Nets
		}{{"src", r.Match.Src}, {"dst", r.Match.Dst}} {
			ps := side.nets.Prefixes(family)
			if side.nets.Any() || len(ps) < 2 {
				continue
			}
			name := srosPrefixes(r, side.word, family)
			for _, p := range ps {
				t.line("/configure filter match-list %s %q prefix %s", kind, name, p)
			}
			undo.line("delete filter match-list %s %q", kind, name)
		}
	}
}

func srosFilter(t *text, f acl.Form, l srosList) error {
	head := fmt.Sprintf("/configure filter %s %q", l.kind, l.name)
	t.line("%s default-action accept", head)
	n := 0
	for _, r := range f.Rules {
		if !says(r, l.dir, l.family) {
			continue
		}
		if len(r.Name) > 80 {
			return cannot("%s: a description of more than 80 bytes: give the policy a shorter name", r.Name)
		}
		matches, err := srosMatches(r, l)
		if err != nil {
			return err
		}
		t.comment("#", r.Why)
		for _, match := range matches {
			n += srosStep
			t.line("%s entry %d description %q", head, n, r.Name)
			for _, m := range match {
				t.line("%s entry %d match %s", head, n, m)
			}
			action := "accept"
			if r.Action == acl.Drop {
				action = "drop"
			}
			t.line("%s entry %d action %s", head, n, action)
		}
	}
	return nil
}

// srosMatches are the conditions of a rule: an entry has one port or range of
// each side.
func srosMatches(r acl.Rule, l srosList) ([][]string, error) {
	m := r.Match
	if m.Frag != 0 || m.Ext == acl.With || m.Never || m.Proto == nil {
		return nil, cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	if l.family == acl.V6 && m.Ext != acl.Without {
		return nil, cannot("%s: the upper layer behind IPv6 extension headers", r.Name)
	}
	var match []string
	word := ""
	for _, p := range m.Proto {
		name := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
		if name == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
			return nil, cannot("%s: protocols other than TCP and UDP", r.Name)
		}
		word += name
	}
	match = append(match, l.proto+" "+map[string]string{"tcp": "tcp", "udp": "udp", "tcpudp": "tcp-udp"}[word])
	for _, side := range []struct {
		word string
		nets acl.Nets
	}{{"src", m.Src}, {"dst", m.Dst}} {
		if ps := side.nets.Prefixes(l.family); side.nets.Any() {
			continue
		} else if len(ps) == 1 {
			match = append(match, side.word+"-ip address "+ps[0].String())
		} else {
			match = append(match, fmt.Sprintf("%s-ip %s %q", side.word, l.prefix, srosPrefixes(r, side.word, l.family)))
		}
	}
	switch m.Flags {
	case 0:
	case acl.Initial:
		match = append(match, "tcp-flags syn true", "tcp-flags ack false")
	default:
		return nil, cannot("%s: these TCP flags", r.Name)
	}
	all := [][]string{match}
	for _, side := range []struct {
		word  string
		ports acl.Ranges
	}{{"src-port", m.SPort}, {"dst-port", m.DPort}} {
		if side.ports == nil {
			continue
		}
		var more [][]string
		for _, one := range all {
			for _, p := range side.ports {
				words := []string{fmt.Sprintf("%s eq %d", side.word, p.First)}
				if p.First != p.Last {
					words = []string{fmt.Sprintf("%s range start %d", side.word, p.First), fmt.Sprintf("%s range end %d", side.word, p.Last)}
				}
				more = append(more, slices.Concat(one, words))
			}
		}
		all = more
	}
	return all, nil
}
