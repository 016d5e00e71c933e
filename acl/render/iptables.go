package render

import (
	"fmt"
	"strings"

	"ippwatch/acl"
)

// iptables writes two files, for iptables-restore and ip6tables-restore: chains
// of its own, and a jump to them from the head of FORWARD (INPUT and OUTPUT of a
// host). What is excepted returns to the chain that jumped, so that the other
// rules of the host still judge it. ip6tables finds the upper layer behind
// extension headers by itself.
var iptables = Platform{
	Name:      "iptables",
	Title:     "Linux iptables and ip6tables",
	Proven:    "Linux kernel, packets in network namespaces",
	Authority: "iptables(8), iptables-extensions(8) 1.8.9",
	Bound:     true,
	Logs:      true,
	Most:      20000, // the kernel takes more; a packet goes through the lines one by one
	Write:     writeIptables,
}

// iptablesMost is how long a log prefix may be (iptables-extensions, LOG).
const iptablesPrefix = 29

func writeIptables(f acl.Form) (Output, error) {
	var out Output
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		command, end := "iptables", "v4"
		if family == acl.V6 {
			command, end = "ip6tables", "v6"
		}
		var t, undo text
		t.line("# %s: exploitable ports, %s, for %s-restore --noflush. Made by ippwatch filter render; do not edit.", f.Name, mode(f), command)
		t.line("*filter")
		undo.line("# takes %s off, with %s-restore --noflush", f.Name, command)
		undo.line("*filter")
		jumps := iptJumps(f)
		chains := iptChains(f)
		for _, dir := range chains {
			t.line(":%s - [0:0]", iptChain(f, dir))
			undo.line(":%s - [0:0]", iptChain(f, dir))
		}
		// The last one that is inserted at the head is the first one there.
		for i := len(jumps) - 1; i >= 0; i-- {
			t.line("-I %s 1 %s", jumps[i].from, jumps[i].rest)
		}
		for _, j := range jumps {
			undo.line("-D %s %s", j.from, j.rest)
		}
		for _, dir := range chains {
			if err := iptRules(&t, f, dir, family); err != nil {
				return Output{}, err
			}
			undo.line("-X %s", iptChain(f, dir))
		}
		t.line("COMMIT")
		undo.line("COMMIT")
		file, back := f.Name+"."+end, f.Name+"-rollback."+end
		out.Texts = append(out.Texts, acl.Text{Name: file, Body: t.String()})
		out.Rollback = append(out.Rollback, acl.Text{Name: back, Body: undo.String()})
		out.Load = append(out.Load, fmt.Sprintf("%s-restore --noflush --test %s && %s-restore --noflush %s", command, file, command, file))
		out.Confirm = append(out.Confirm, fmt.Sprintf("%s-apply has a way back, for whole rule sets: %s-save > all.%s, add the file, %s-apply all.%s", command, command, end, command, end))
		out.Counters = append(out.Counters, fmt.Sprintf("%s-save -c | grep %s_", command, f.Name))
		out.Undo = append(out.Undo, fmt.Sprintf("%s-restore --noflush %s", command, back))
	}
	out.Notes = []string{
		"to load it again, take it off first: cat " + f.Name + "-rollback.v4 " + f.Name + ".v4 | iptables-restore --noflush (and the same for v6)",
		"both files belong together: one family alone leaves the other open",
	}
	return out, nil
}

type iptJump struct{ from, rest string }

// iptChains are the directions about which there is something to say.
func iptChains(f acl.Form) []acl.Direction {
	var all []acl.Direction
	for _, dir := range []acl.Direction{acl.In, acl.Out} {
		if f.Directions()&dir != 0 {
			all = append(all, dir)
		}
	}
	return all
}

func iptChain(f acl.Form, dir acl.Direction) string { return f.Name + "_" + dir.String() }

func iptJumps(f acl.Form) []iptJump {
	var all []iptJump
	for _, dir := range iptChains(f) {
		to := "-j " + iptChain(f, dir)
		if f.At.Profile == acl.Host {
			hook, flag := "INPUT", "-i"
			if dir == acl.Out {
				hook, flag = "OUTPUT", "-o"
			}
			if len(f.At.Interfaces) == 0 {
				all = append(all, iptJump{hook, to})
			}
			for _, iface := range f.At.Interfaces {
				all = append(all, iptJump{hook, flag + " " + iface + " " + to})
			}
			continue
		}
		flag := "-o"
		if dir == f.At.Profile.Arriving() {
			flag = "-i"
		}
		for _, iface := range f.At.Interfaces {
			all = append(all, iptJump{"FORWARD", flag + " " + iface + " " + to})
		}
	}
	return all
}

func iptRules(t *text, f acl.Form, dir acl.Direction, family acl.Family) error {
	for _, r := range f.Rules {
		if r.Match.Families()&family == 0 || r.Match.Dir != 0 && r.Match.Dir&dir == 0 {
			continue
		}
		t.comment("#", r.Why)
		matches, err := iptMatches(r, family)
		if err != nil {
			return err
		}
		target := "RETURN"
		if r.Action == acl.Drop {
			target = "DROP"
		}
		if len(r.Name)+1 > iptablesPrefix {
			return cannot("%s: a log prefix of more than %d bytes: give the policy a shorter name", r.Name, iptablesPrefix)
		}
		head := "-A " + iptChain(f, dir)
		for _, m := range matches {
			if r.Log.N > 0 {
				t.line("%s %s -m limit --limit %d/%s -j LOG --log-prefix %q", head, m, r.Log.N, r.Log.Per, r.Name+" ")
			}
			t.line("%s %s -m comment --comment %q -j %s", head, m, r.Name, target)
		}
	}
	return nil
}

// iptMatches are the conditions of the rule, of which each line has one.
func iptMatches(r acl.Rule, family acl.Family) ([]string, error) {
	m := r.Match
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil {
		return nil, cannot("%s: a match on fragments, extension headers or no protocol", r.Name)
	}
	var all []string
	for _, src := range iptAddrs("-s", m.Src, family) {
		for _, dst := range iptAddrs("-d", m.Dst, family) {
			for _, p := range m.Proto {
				name := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
				if name == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
					return nil, cannot("%s: protocols other than TCP and UDP", r.Name)
				}
				line := src + dst + "-p " + name
				ports, err := iptPorts(m)
				if err != nil {
					return nil, err
				}
				line += ports
				switch m.Flags {
				case 0:
				case acl.Initial:
					line += " --tcp-flags SYN,ACK SYN"
				default:
					return nil, cannot("%s: these TCP flags", r.Name)
				}
				all = append(all, line)
			}
		}
	}
	return all, nil
}

func iptAddrs(flag string, n acl.Nets, family acl.Family) []string {
	if n.Any() {
		return []string{""}
	}
	var all []string
	for _, p := range n.Prefixes(family) {
		all = append(all, flag+" "+p.String()+" ")
	}
	return all
}

// iptPorts writes ports with multiport, which takes 15 (a range counts as two).
// The plain --dport is translated for nf_tables, which takes the bytes of a later
// fragment for ports (package lab shows it); multiport looks at none.
func iptPorts(m acl.Match) (string, error) {
	var b strings.Builder
	for _, side := range []struct {
		flag  string
		ports acl.Ranges
	}{{"sport", m.SPort}, {"dport", m.DPort}} {
		n := 0
		names := words(side.ports, func(r acl.Range) string {
			n++
			if r.First == r.Last {
				return fmt.Sprint(r.First)
			}
			n++
			return fmt.Sprintf("%d:%d", r.First, r.Last)
		})
		switch {
		case n > 15:
			return "", cannot("more than 15 ports in one filter: it takes 15")
		case len(names) > 0:
			fmt.Fprintf(&b, " -m multiport --%ss %s", side.flag, strings.Join(names, ","))
		}
	}
	return b.String(), nil
}
