package render

import (
	"fmt"
	"slices"
	"strings"

	"ippwatch/acl"
)

// routerOS writes a script: chains of its own, and jumps to them from the head
// of forward, before fasttrack and "accept established" of the usual
// configuration. What is excepted returns, so that the other rules still judge.
// The jumps come last: until then nothing is filtered.
//
// A rule takes one protocol. The raw table would be cheaper, but has no
// out-interface, and with notrack no fragment is put together again.
var routerOS = Platform{
	Name:      "routeros",
	Title:     "MikroTik RouterOS 7",
	Authority: "RouterOS manual: Filter, Common Firewall Matchers and Actions, Address-lists",
	Bound:     true,
	Logs:      true,
	Most:      20000, // prefixes in lists are cheap; a router has little memory
	Write:     writeRouterOS,
}

// rosPorts is how many ports a matcher takes.
const rosPorts = 15

func writeRouterOS(f acl.Form) (Output, error) {
	if f.At.Profile == acl.Host {
		return Output{}, cannot("the profile host: a router filters what it forwards; chain=input is for the router itself")
	}
	var t, undo text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	undo.line("# takes %s off", f.Name)
	out := Output{}
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		menu := map[acl.Family]string{acl.V4: "/ip firewall", acl.V6: "/ipv6 firewall"}[family]
		if !slices.ContainsFunc(f.Rules, func(r acl.Rule) bool { return r.Match.Families()&family != 0 }) {
			continue
		}
		rosLists(&t, f, menu, family)
		t.line("%s filter", menu)
		for _, dir := range []acl.Direction{acl.In, acl.Out} {
			if err := rosChain(&t, f, dir, family); err != nil {
				return Output{}, err
			}
		}
		for _, dir := range []acl.Direction{acl.In, acl.Out} {
			rosJumps(&t, f, dir, family)
		}
		// Of the jumps first: a chain in which nothing stands any more drops nothing.
		undo.line("%s filter remove [find where comment=\"%s-jump\"]", menu, f.Name)
		undo.line("%s filter remove [find where comment~\"^%s_\"]", menu, f.Name)
		undo.line("%s address-list remove [find where list~\"^%s_\"]", menu, f.Name)
		out.Counters = append(out.Counters, fmt.Sprintf("%s filter print stats where comment~\"^%s_\"", menu, f.Name))
	}
	file, back := f.Name+".rsc", f.Name+"-rollback.rsc"
	out.Texts = []acl.Text{{Name: file, Body: t.String()}}
	out.Rollback = []acl.Text{{Name: back, Body: undo.String()}}
	out.Load = []string{"copy both files to the router", "import file-name=" + file + " verbose=yes dry-run", "import file-name=" + file}
	out.Confirm = []string{
		"Ctrl+X (safe mode) before import: if the session ends before Ctrl+X is pressed again, the router takes everything back; it holds 100 changes, with more use the scheduler:",
		fmt.Sprintf("/system scheduler add name=%s-back on-event=\"/import %s; /system scheduler remove %s-back\" interval=5m, and remove it when all is well", f.Name, back, f.Name),
	}
	out.Undo = []string{"import file-name=" + back}
	out.Notes = []string{
		"place-before=0 needs a rule to stand before: on a router without any filter rule take these words out of the last lines",
		"connections that are established go on through fasttrack until they end; to end them: /ip firewall connection remove [find where dst-address~\":631\"], and the same in /ipv6",
		"what a switch chip forwards (l3-hw-offloading) and what fast path forwards without connection tracking does not come by here",
		"to load it again, import " + back + " first",
	}
	return out, nil
}

func rosList(r acl.Rule, side string) string { return r.Name + "_" + side }

// rosLists writes a list for each side that has more than one prefix.
func rosLists(t *text, f acl.Form, menu string, family acl.Family) {
	head := false
	for _, r := range f.Rules {
		for _, side := range []struct {
			word string
			nets acl.Nets
		}{{"src", r.Match.Src}, {"dst", r.Match.Dst}} {
			ps := side.nets.Prefixes(family)
			if r.Match.Families()&family == 0 || side.nets.Any() || len(ps) < 2 {
				continue
			}
			if !head {
				t.line("%s address-list", menu)
				head = true
			}
			for _, p := range ps {
				t.line("add address=%s list=%s", p, rosList(r, side.word))
			}
		}
	}
}

func rosChain(t *text, f acl.Form, dir acl.Direction, family acl.Family) error {
	for _, r := range f.Rules {
		if !says(r, dir, family) {
			continue
		}
		matches, err := rosMatches(r, family)
		if err != nil {
			return err
		}
		t.comment("#", r.Why)
		action := "return"
		if r.Action == acl.Drop {
			action = "drop"
		}
		chain := f.Name + "_" + dir.String()
		for _, m := range matches {
			if r.Log.N > 0 {
				per := map[string]string{"second": "1s", "minute": "1m", "hour": "1h"}[r.Log.Per]
				t.line("add action=log chain=%s comment=%s limit=%d/%s,5:packet log-prefix=%s %s", chain, r.Name, r.Log.N, per, r.Name, m)
			}
			t.line("add action=%s chain=%s comment=%s %s", action, chain, r.Name, m)
		}
	}
	return nil
}

func rosJumps(t *text, f acl.Form, dir acl.Direction, family acl.Family) {
	if !slices.ContainsFunc(f.Rules, func(r acl.Rule) bool { return says(r, dir, family) }) {
		return
	}
	way := "out-interface"
	if dir == f.At.Profile.Arriving() {
		way = "in-interface"
	}
	for _, iface := range f.At.Interfaces {
		t.line("add action=jump chain=forward comment=%s-jump %s=%s jump-target=%s_%s place-before=0", f.Name, way, iface, f.Name, dir)
	}
}

// rosMatches are the conditions of the rule, one line for each protocol.
func rosMatches(r acl.Rule, family acl.Family) ([]string, error) {
	m := r.Match
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil {
		return nil, cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	var b strings.Builder
	for _, side := range []struct {
		word string
		nets acl.Nets
	}{{"src", m.Src}, {"dst", m.Dst}} {
		if ps := side.nets.Prefixes(family); side.nets.Any() {
			continue
		} else if len(ps) == 1 {
			fmt.Fprintf(&b, "%s-address=%s ", side.word, ps[0])
		} else {
			fmt.Fprintf(&b, "%s-address-list=%s ", side.word, rosList(r, side.word))
		}
	}
	for _, side := range []struct {
		word  string
		ports acl.Ranges
	}{{"src", m.SPort}, {"dst", m.DPort}} {
		if len(side.ports) > rosPorts {
			return nil, cannot("%s: more than %d ports", r.Name, rosPorts)
		}
		if side.ports != nil {
			fmt.Fprintf(&b, "%s-port=%s ", side.word, strings.Join(words(side.ports, nftRange), ","))
		}
	}
	switch m.Flags {
	case 0:
	case acl.Initial:
		b.WriteString("tcp-flags=syn,!ack ")
	default:
		return nil, cannot("%s: these TCP flags", r.Name)
	}
	var all []string
	for _, p := range m.Proto {
		name := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
		if name == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
			return nil, cannot("%s: protocols other than TCP and UDP", r.Name)
		}
		all = append(all, b.String()+"protocol="+name)
	}
	return all, nil
}
