package render

import (
	"fmt"
	"slices"
	"strings"

	"ippwatch/acl"
)

// junos writes set statements. Each list is two filters, bound as one input-list
// or output-list: the rules, and one that accepts the rest, whose place an
// operator's own filter may take. In a list an accept is final, so that the
// filters behind it do not see what was excepted.
//
// IPv6 rules look at payload-protocol, which finds the upper layer behind
// extension headers; next-header looks at the fixed header alone.
var junos = Platform{
	Name:  "junos",
	Title: "Juniper Junos (MX, PTX, SRX stateless)",
	Authority: "Junos Routing Policies, Firewall Filters and Traffic Policers: match conditions for IPv4 and IPv6, " +
		"multiple filters as a list",
	Bound: true,
	// A term logs every packet or none.
	Logs: false,
	// The manual tells of filters with more than 4000 terms that work; prefixes of
	// one term cost less.
	Most:  20000,
	Write: writeJunos,
}

// A junosList is a filter for one direction and family.
type junosList struct {
	dir    acl.Direction
	family acl.Family
	name   string
	rest   string // the filter that accepts what the first one leaves
}

func junosLists(f acl.Form) []junosList {
	var all []junosList
	for _, dir := range []acl.Direction{acl.In, acl.Out} {
		for _, family := range []acl.Family{acl.V4, acl.V6} {
			if slices.ContainsFunc(f.Rules, func(r acl.Rule) bool { return says(r, dir, family) }) {
				end := junosDigit[family]
				all = append(all, junosList{dir, family, f.Name + "_" + dir.String() + end, f.Name + "_rest" + end})
			}
		}
	}
	return all
}

var (
	junosDigit  = map[acl.Family]string{acl.V4: "4", acl.V6: "6"}
	junosFamily = map[acl.Family]string{acl.V4: "inet", acl.V6: "inet6"}
)

func writeJunos(f acl.Form) (Output, error) {
	if f.At.Profile == acl.Host {
		return Output{}, cannot("the profile host: a router filters at its interfaces; for the router itself bind the filter to lo0")
	}
	lists := junosLists(f)
	var t, undo text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	t.line("# load set: delete makes loading it again replace the filters (a warning where there is none).")
	undo.line("# takes %s off, with load set", f.Name)
	bind := junosBindings(f, lists)
	for _, b := range bind {
		undo.line("delete %s", b)
	}
	rests := make(map[string]bool)
	for _, l := range lists {
		for _, name := range []string{l.name, l.rest} {
			if !rests[name] {
				t.line("delete firewall family %s filter %s", junosFamily[l.family], name)
				undo.line("delete firewall family %s filter %s", junosFamily[l.family], name)
			}
			rests[name] = true
		}
	}
	clear(rests)
	for _, l := range lists {
		if err := junosFilter(&t, f, l); err != nil {
			return Output{}, err
		}
		if !rests[l.rest] {
			t.line("set firewall family %s filter %s term %s-rest then accept", junosFamily[l.family], l.rest, f.Name)
		}
		rests[l.rest] = true
	}
	for _, b := range bind {
		t.line("set %s", b)
	}
	file, back := f.Name+".set", f.Name+"-rollback.set"
	out := Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load: []string{
			"configure exclusive", "load set " + file, "show | compare", "commit check",
		},
		Confirm: []string{"commit confirmed 5", "commit within 5 minutes keeps it; otherwise the router goes back by itself"},
		Undo:    []string{"configure exclusive", "load set " + back, "commit confirmed 5", "commit"},
		Notes: []string{
			"an interface that has a filter keeps it only in a list: take filter input NAME away and put NAME in the place of " + f.Name + "_rest4, " + f.Name + "_rest6; the commit fails where both input and input-list stand",
			"in a list accept is final: what is excepted does not reach the filters behind; input-chain (MX with MPC, 18.4R1; PTX Evolved 21.4R1) presents it to them",
			"payload-protocol is for MX and PTX; EX, QFX and ACX have next-header alone, behind which extension headers hide the port: there this filter does not commit",
		},
	}
	for _, iface := range f.At.Interfaces {
		name, unit := junosUnit(iface)
		for _, l := range lists {
			end := map[string]string{"input-list": "i", "output-list": "o"}[junosWay(f, l)]
			out.Counters = append(out.Counters, fmt.Sprintf("show firewall filter %s.%s-%s-%s", name, unit, junosFamily[l.family], end))
		}
	}
	out.Counters = append(out.Counters, "show firewall | match "+f.Name)
	return out, nil
}

// junosUnit takes an interface apart: xe-0/0/0.100 is unit 100, without a dot
// it is unit 0.
func junosUnit(iface string) (name, unit string) {
	if i := strings.LastIndexByte(iface, '.'); i > 0 {
		return iface[:i], iface[i+1:]
	}
	return iface, "0"
}

func junosWay(f acl.Form, l junosList) string {
	if l.dir == f.At.Profile.Arriving() {
		return "input-list"
	}
	return "output-list"
}

func junosBindings(f acl.Form, lists []junosList) []string {
	var all []string
	for _, iface := range f.At.Interfaces {
		name, unit := junosUnit(iface)
		for _, l := range lists {
			for _, filter := range []string{l.name, l.rest} {
				all = append(all, fmt.Sprintf("interfaces %s unit %s family %s filter %s %s", name, unit, junosFamily[l.family], junosWay(f, l), filter))
			}
		}
	}
	return all
}

func junosFilter(t *text, f acl.Form, l junosList) error {
	for _, r := range f.Rules {
		if !says(r, l.dir, l.family) {
			continue
		}
		from, err := junosFrom(r, l.family)
		if err != nil {
			return err
		}
		t.comment("#", r.Why)
		term := fmt.Sprintf("set firewall family %s filter %s term %s", junosFamily[l.family], l.name, r.Name)
		for _, line := range from {
			t.line("%s from %s", term, line)
		}
		if r.Count {
			t.line("%s then count %s", term, r.Name)
		}
		if r.Action == acl.Drop {
			t.line("%s then discard", term)
		} else {
			t.line("%s then accept", term)
		}
	}
	return nil
}

// junosFrom are the conditions of a term; of several with one keyword one has
// to hold, of different ones all.
func junosFrom(r acl.Rule, family acl.Family) ([]string, error) {
	m := r.Match
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil {
		return nil, cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	var all []string
	for _, side := range []struct {
		word string
		nets acl.Nets
	}{{"source-address", m.Src}, {"destination-address", m.Dst}} {
		if !side.nets.Any() {
			for _, p := range side.nets.Prefixes(family) {
				all = append(all, side.word+" "+p.String())
			}
		}
	}
	proto := map[acl.Family]string{acl.V4: "protocol", acl.V6: "payload-protocol"}[family]
	for _, p := range m.Proto {
		name := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
		if name == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
			return nil, cannot("%s: protocols other than TCP and UDP", r.Name)
		}
		all = append(all, proto+" "+name)
	}
	for _, side := range []struct {
		word  string
		ports acl.Ranges
	}{{"source-port", m.SPort}, {"destination-port", m.DPort}} {
		for _, p := range side.ports {
			word := fmt.Sprint(p.First)
			if p.First != p.Last {
				word = fmt.Sprintf("%d-%d", p.First, p.Last)
			}
			all = append(all, side.word+" "+word)
		}
	}
	switch m.Flags {
	case 0:
	case acl.Initial:
		all = append(all, "tcp-initial")
	default:
		return nil, cannot("%s: these TCP flags", r.Name)
	}
	return all, nil
}
