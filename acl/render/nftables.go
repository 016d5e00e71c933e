package render

import (
	"fmt"
	"strings"

	"ippwatch/acl"
)

// nftables writes one table of its own, which is loaded and removed as a whole;
// no other rule of the host is touched. Its chain stands before the usual
// filter (priority -150), where accept is not final: later chains still judge.
//
// "meta l4proto" finds the upper layer behind extension headers; "ip6 nexthdr"
// does not, and lets 631 pass behind eight bytes of hop-by-hop options
// (facts/filters-and-outreach.md 0.2).
var nftables = Platform{
	Name:      "nftables",
	Title:     "Linux nftables",
	Proven:    "Linux kernel, packets in network namespaces",
	Authority: "nft(8) 1.0.6",
	Bound:     true,
	Logs:      true,
	Write:     writeNftables,
}

func writeNftables(f acl.Form) (Output, error) {
	var t text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	t.line("# add and delete make loading the file again replace it in one step.")
	t.line("add table inet %s", f.Name)
	t.line("delete table inet %s", f.Name)
	t.line("table inet %s {", f.Name)
	for _, r := range f.Rules {
		if r.Count {
			t.line("\tcounter %s {", r.Name)
			t.line("\t}")
		}
	}
	for _, r := range f.Rules {
		nftSets(&t, r)
	}
	for _, c := range nftChains(f.At) {
		if err := c.write(&t, f); err != nil {
			return Output{}, err
		}
	}
	t.line("}")

	var undo text
	undo.line("# takes %s off; add makes it no error when it is gone already", f.Name)
	undo.line("add table inet %s", f.Name)
	undo.line("delete table inet %s", f.Name)
	file, back := f.Name+".nft", f.Name+"-rollback.nft"
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load:     []string{"nft -c -f " + file, "nft -f " + file},
		Confirm:  []string{"ippwatch filter apply --platform nftables --confirm-within 60s POLICY", "(nft itself has no way back of its own)"},
		Counters: []string{"nft list counters table inet " + f.Name},
		Undo:     []string{"nft -f " + back},
		Notes: []string{
			"accept ends only this chain: the other tables of the host still judge",
			"a rule set that is loaded at boot has to include the file: /etc/nftables.conf",
		},
	}, nil
}

func mode(f acl.Form) string {
	if f.CountOnly {
		return "count only, nothing is dropped"
	}
	return "enforced"
}

// nftSets writes a named set for each list of more than one prefix.
func nftSets(t *text, r acl.Rule) {
	for _, f := range families(r) {
		for _, side := range []struct {
			word string
			nets acl.Nets
		}{{"src", r.Match.Src}, {"dst", r.Match.Dst}} {
			if ps := side.nets.Prefixes(f); !side.nets.Any() && len(ps) > 1 {
				t.line("\tset %s {", nftSet(r, side.word, f))
				t.line("\t\ttype %s", map[acl.Family]string{acl.V4: "ipv4_addr", acl.V6: "ipv6_addr"}[f])
				t.line("\t\tflags interval")
				t.line("\t\telements = {")
				for _, p := range ps {
					t.line("\t\t\t%s,", p)
				}
				t.line("\t\t}")
				t.line("\t}")
			}
		}
	}
}

func nftSet(r acl.Rule, side string, f acl.Family) string {
	return fmt.Sprintf("%s_%s%s", r.Name, side, nftDigit[f])
}

var nftDigit = map[acl.Family]string{acl.V4: "4", acl.V6: "6"}

// An nftChain is a hook, with the match that tells which packets go which way.
type nftChain struct {
	hook string
	ways map[acl.Direction]string
}

func nftChains(at acl.Attach) []nftChain {
	if at.Profile == acl.Host {
		in, out := "", ""
		if len(at.Interfaces) > 0 {
			in, out = "iifname "+nftList(nftQuoted(at.Interfaces))+" ", "oifname "+nftList(nftQuoted(at.Interfaces))+" "
		}
		return []nftChain{
			{"input", map[acl.Direction]string{acl.In: in}},
			{"output", map[acl.Direction]string{acl.Out: out}},
		}
	}
	ifaces := nftList(nftQuoted(at.Interfaces))
	return []nftChain{{"forward", map[acl.Direction]string{
		at.Profile.Arriving(): "iifname " + ifaces + " ",
		at.Profile.Leaving():  "oifname " + ifaces + " ",
	}}}
}

func nftQuoted(names []string) []string {
	return words(names, func(n string) string { return `"` + n + `"` })
}

func nftList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

func (c nftChain) write(t *text, f acl.Form) error {
	t.line("\tchain %s_%s {", f.Name, c.hook)
	t.line("\t\ttype filter hook %s priority -150; policy accept;", c.hook)
	// Linux takes the bytes of a later fragment for ports: without these two lines
	// one in 65,536 of any service would be taken for 631 (package lab shows it).
	t.comment("\t\t#", "later fragments have no ports, whatever stands there")
	t.line("\t\tip frag-off & 0x1fff != 0 accept")
	t.line("\t\tfrag frag-off != 0 accept")
	for _, r := range f.Rules {
		for _, dir := range []acl.Direction{acl.In, acl.Out} {
			way, ok := c.ways[dir]
			if !ok || r.Match.Dir != 0 && r.Match.Dir&dir == 0 {
				continue
			}
			if err := nftRule(t, r, way); err != nil {
				return err
			}
		}
	}
	t.line("\t}")
	return nil
}

func nftRule(t *text, r acl.Rule, way string) error {
	t.comment("\t\t#", r.Why)
	for _, f := range families(r) {
		match, err := nftMatch(r, f)
		if err != nil {
			return err
		}
		if r.Log.N > 0 {
			t.line("\t\t%s%slimit rate %d/%s log prefix %q", way, match, r.Log.N, r.Log.Per, r.Name+" ")
		}
		count := ""
		if r.Count {
			count = "counter name " + r.Name + " "
		}
		verdict := "accept"
		if r.Action == acl.Drop {
			verdict = "drop"
		}
		t.line("\t\t%s%s%s%s", way, match, count, verdict)
	}
	return nil
}

func nftMatch(r acl.Rule, f acl.Family) (string, error) {
	m := r.Match
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil {
		return "", cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	protos := words(m.Proto, func(p acl.Range) string { return map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First] })
	for _, p := range m.Proto {
		if p.First != p.Last || p.First != acl.TCP && p.First != acl.UDP {
			return "", cannot("%s: protocols other than TCP and UDP", r.Name)
		}
	}
	var b strings.Builder
	family := "ip"
	fmt.Fprintf(&b, "meta nfproto ipv%s ", nftDigit[f])
	if f == acl.V6 {
		family = "ip6"
	}
	for _, side := range []struct {
		word, field string
		nets        acl.Nets
	}{{"src", "saddr", m.Src}, {"dst", "daddr", m.Dst}} {
		if side.nets.Any() {
			continue
		}
		ps := side.nets.Prefixes(f)
		if len(ps) == 1 {
			fmt.Fprintf(&b, "%s %s %s ", family, side.field, ps[0])
		} else {
			fmt.Fprintf(&b, "%s %s @%s ", family, side.field, nftSet(r, side.word, f))
		}
	}
	fmt.Fprintf(&b, "meta l4proto %s ", nftList(protos))
	if m.Flags == acl.Initial {
		b.WriteString("tcp flags & (syn | ack) == syn ")
	} else if m.Flags != 0 {
		return "", cannot("%s: these TCP flags", r.Name)
	}
	for _, side := range []struct {
		field string
		ports acl.Ranges
	}{{"sport", m.SPort}, {"dport", m.DPort}} {
		if side.ports != nil {
			fmt.Fprintf(&b, "th %s %s ", side.field, nftList(words(side.ports, nftRange)))
		}
	}
	return b.String(), nil
}

func nftRange(r acl.Range) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}
