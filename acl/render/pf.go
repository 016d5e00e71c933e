package render

import (
	"fmt"
	"strings"

	"ippwatch/acl"
)

// pf writes the text of an anchor. In pf the last rule that matches decides,
// unless a rule is quick; all of these are. A pass that is quick is final for
// the whole rule set, which the notes say.
var pf = Platform{
	Name:      "pf",
	Title:     "pf of OpenBSD, FreeBSD and pfSense",
	Authority: "pf.conf(5) of OpenBSD 7.5 and FreeBSD 14",
	Bound:     true,
	// pf logs every packet of a rule or none.
	Logs:  false,
	Write: writePF,
}

func writePF(f acl.Form) (Output, error) {
	var t text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	for _, r := range f.Rules {
		pfTables(&t, r)
	}
	for _, r := range f.Rules {
		for _, dir := range []acl.Direction{acl.In, acl.Out} {
			if r.Match.Dir != 0 && r.Match.Dir&dir == 0 {
				continue
			}
			if err := pfRule(&t, f, r, dir); err != nil {
				return Output{}, err
			}
		}
	}
	file := f.Name + ".conf"
	var undo text
	undo.line("# an empty anchor: pfctl -a %s -f %s-rollback.conf does the same as pfctl -a %s -F all", f.Name, f.Name, f.Name)
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: f.Name + "-rollback.conf", Body: undo.String()}},
		Load: []string{
			fmt.Sprintf("once, above the other rules of /etc/pf.conf: anchor %q", f.Name),
			fmt.Sprintf("pfctl -n -a %s -f %s && pfctl -a %s -f %s", f.Name, file, f.Name, file),
		},
		Confirm: []string{
			"pf has no way back of its own; before loading, from another shell or with at(1):",
			fmt.Sprintf("(sleep 300; pfctl -a %s -F all) &", f.Name),
		},
		Counters: []string{fmt.Sprintf("pfctl -a %s -vsl", f.Name)},
		Undo:     []string{fmt.Sprintf("pfctl -a %s -F all", f.Name)},
		Notes: []string{
			"an exception passes at once: the rules behind the anchor do not see it any more",
			"the rules keep no state, so that an asymmetric edge works",
			"pf by itself drops packets with IP options and some extension headers, excepted or not (allow-opts)",
			"FreeBSD before 14 reassembles fragments only with: scrub in all fragment reassemble",
		},
	}, nil
}

func pfTable(r acl.Rule, side string) string { return r.Name + "_" + side }

// pfTables writes a table for each list of more than one prefix; a table has
// both families.
func pfTables(t *text, r acl.Rule) {
	for _, side := range []struct {
		word string
		nets acl.Nets
	}{{"src", r.Match.Src}, {"dst", r.Match.Dst}} {
		if side.nets.Any() {
			continue
		}
		ps := append(prefixWords(side.nets.Prefixes(acl.V4)), prefixWords(side.nets.Prefixes(acl.V6))...)
		if len(ps) > 1 {
			t.line("table <%s> const { %s }", pfTable(r, side.word), strings.Join(ps, ", "))
		}
	}
}

func pfRule(t *text, f acl.Form, r acl.Rule, dir acl.Direction) error {
	m := r.Match
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil {
		return cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	// A table name has 31 bytes.
	if len(r.Name)+4 > 31 {
		return cannot("%s: a name of more than 27 bytes: give the policy a shorter one", r.Name)
	}
	t.comment("#", r.Why)
	way := "out"
	if f.At.Profile == acl.Host && dir == acl.In || f.At.Profile != acl.Host && dir == f.At.Profile.Arriving() {
		way = "in"
	}
	action, state := "block drop", ""
	if r.Action == acl.Permit {
		action, state = "pass", " no state"
	}
	on := ""
	if len(f.At.Interfaces) > 0 {
		on = " on " + pfList(f.At.Interfaces)
	}
	for _, p := range m.Proto {
		name := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
		if name == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
			return cannot("%s: protocols other than TCP and UDP", r.Name)
		}
		flags := ""
		switch {
		case m.Flags == acl.Initial:
			flags = " flags S/SA"
		case m.Flags != 0:
			return cannot("%s: these TCP flags", r.Name)
		case r.Action == acl.Permit && p.First == acl.TCP:
			flags = " flags any" // else a pass is for S/SA alone
		}
		t.line("%s %s quick%s proto %s from %s%s to %s%s%s%s label %q", action, way, on, name,
			pfSide(r, "src", m.Src), pfPorts(m.SPort), pfSide(r, "dst", m.Dst), pfPorts(m.DPort), flags, state, r.Name)
	}
	return nil
}

func pfSide(r acl.Rule, word string, n acl.Nets) string {
	if n.Any() {
		return "any"
	}
	ps := append(n.Prefixes(acl.V4), n.Prefixes(acl.V6)...)
	if len(ps) == 1 {
		return ps[0].String()
	}
	return "<" + pfTable(r, word) + ">"
}

func pfPorts(rs acl.Ranges) string {
	if rs == nil {
		return ""
	}
	return " port " + pfList(words(rs, func(r acl.Range) string {
		if r.First == r.Last {
			return fmt.Sprint(r.First)
		}
		return fmt.Sprintf("%d:%d", r.First, r.Last)
	}))
}

func pfList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}
