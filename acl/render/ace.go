package render

import (
	"fmt"
	"net/netip"
	"strings"

	"ippwatch/acl"
)

// An aceList is a list of one family and direction as IOS-XE, IOS-XR and EOS
// have them: numbered lines, the first that fits decides, and what none decides
// is dropped, so that the last line has to permit.
type aceList struct {
	name    string
	family  acl.Family
	arrives bool // at the interfaces
	lines   []aceLine
}

// An aceLine is a remark or a rule.
type aceLine struct {
	remark bool
	words  string
}

// An aceStyle is how a platform writes addresses: one or more words for a set,
// which multiply the lines. Nothing is said of any.
type aceStyle func(r acl.Rule, side string, nets acl.Nets, f acl.Family) []string

// mostRemark is how long a remark may be (IOS: 100).
const mostRemark = 100

// mostACE is how many lines a policy may come to. Boxes differ, and small ones
// have room for less; none is known that has it for more without a word.
const mostACE = 10_000

// aceAny is "any protocol" by family.
type aceAny map[acl.Family]string

// aceLists are the lists of a form. There are none for the profile host: what a
// router sends to itself is judged elsewhere.
func aceLists(f acl.Form, style aceStyle, anyProto aceAny) ([]aceList, error) {
	if f.At.Profile == acl.Host {
		return nil, cannot("the profile host: a router guards itself by control-plane policing; filter at its interfaces")
	}
	var all []aceList
	for _, dir := range []acl.Direction{acl.In, acl.Out} {
		for _, family := range []acl.Family{acl.V4, acl.V6} {
			l := aceList{
				name:   fmt.Sprintf("%s_%s_v%s", f.Name, dir, map[acl.Family]string{acl.V4: "4", acl.V6: "6"}[family]),
				family: family, arrives: dir == f.At.Profile.Arriving(),
			}
			if err := l.fill(f, dir, style, anyProto[family]); err != nil {
				return nil, err
			}
			if l.lines != nil {
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// fill writes the rules of one family and direction.
func (l *aceList) fill(f acl.Form, dir acl.Direction, style aceStyle, anyProto string) error {
	named, permits := false, false
	var lines []aceLine
	remark := func(words string) { lines = append(lines, aceLine{true, remarkOf(words)}) }
	for _, r := range f.Rules {
		if r.Match.Families()&l.family == 0 || r.Match.Dir != 0 && r.Match.Dir&dir == 0 {
			continue
		}
		aces, answers, err := style.aces(r, l.family, anyProto)
		if err != nil {
			return err
		}
		if answers != nil {
			if named {
				remark("not the first segment: passes, and is not counted")
			}
			for _, a := range answers {
				lines = append(lines, aceLine{false, a})
			}
		}
		why, more, _ := strings.Cut(r.Why, "\n")
		if more != "" {
			why = fmt.Sprintf("%d reasons, see the policy", strings.Count(r.Why, "\n")+1)
		}
		remark(r.Name + ": " + why)
		for _, a := range aces {
			lines = append(lines, aceLine{false, a})
		}
		named, permits = true, permits || r.Action == acl.Permit || answers != nil
	}
	if lines == nil {
		return nil
	}
	if permits {
		// A permit that asks for a port also takes later fragments, whatever their
		// port was (Cisco, "Access Control Lists and IP Fragments"): they would be
		// counted as what they are not, above all in a list that only counts.
		// Without their first one they are of no use to anybody.
		l.lines = append(l.lines, aceLine{false, "permit " + anyProto + " any any fragments"})
	}
	remark("everything else passes")
	l.lines = append(append(l.lines, lines...), aceLine{false, "permit " + anyProto + " any any"})
	return nil
}

// remarkOf is a remark that can be pasted: a question mark would call for help.
func remarkOf(words string) string {
	words = remarkLine(words)
	if len(words) <= mostRemark {
		return words
	}
	return words[:strings.LastIndexByte(words[:mostRemark], ' ')] // the name is shorter
}

// aces are the lines of a rule. Those of answers go before and let pass what the
// rule is not about: these platforms cannot say SYN without ACK in one line of
// IPv6, but ACK first and SYN then is the same.
func (s aceStyle) aces(r acl.Rule, f acl.Family, anyProto string) (aces, answers []string, err error) {
	m := r.Match
	action := "permit"
	if r.Action == acl.Drop {
		action = "deny"
	}
	srcs, dsts := s(r, "src", m.Src, f), s(r, "dst", m.Dst, f)
	if m.Frag == acl.Torn && f == acl.V6 && m.Proto == nil && r.Action == acl.Drop {
		for _, src := range srcs {
			for _, dst := range dsts {
				aces = append(aces, fmt.Sprintf("deny %s %s %s undetermined-transport", anyProto, src, dst))
			}
		}
		return aces, nil, nil
	}
	if m.Frag != 0 || m.Ext != acl.AnyExt || m.Never || m.Proto == nil || m.Flags != 0 && m.Flags != acl.Initial {
		return nil, nil, cannot("%s: a match on fragments, extension headers, these flags or no protocol", r.Name)
	}
	for _, p := range m.Proto {
		proto := map[uint16]string{acl.TCP: "tcp", acl.UDP: "udp"}[p.First]
		if proto == "" || p.First != p.Last || m.Flags != 0 && p.First != acl.TCP {
			return nil, nil, cannot("%s: protocols other than TCP and UDP", r.Name)
		}
		for _, src := range srcs {
			for _, sport := range acePorts(m.SPort) {
				for _, dst := range dsts {
					for _, dport := range acePorts(m.DPort) {
						line := proto + " " + src + sport + " " + dst + dport
						if m.Flags == acl.Initial {
							answers = append(answers, "permit "+line+" ack")
							line += " syn"
						}
						aces = append(aces, action+" "+line)
					}
				}
			}
		}
	}
	return aces, answers, nil
}

func acePorts(rs acl.Ranges) []string {
	if rs == nil {
		return []string{""}
	}
	return words(rs, func(r acl.Range) string {
		if r.First == r.Last {
			return fmt.Sprintf(" eq %d", r.First)
		}
		return fmt.Sprintf(" range %d %d", r.First, r.Last)
	})
}

// aceWildcard writes a prefix with a wildcard mask, as IOS does.
func aceWildcard(p netip.Prefix) string {
	if p.IsSingleIP() {
		return "host " + p.Addr().String()
	}
	return p.Addr().String() + " " + netip.AddrFrom4(hostBits(p.Bits())).String()
}

// hostBits has a 1 for each bit behind the prefix.
func hostBits(bits int) [4]byte {
	n := uint32(1)<<(32-bits) - 1
	return [4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// acePrefix writes a prefix of either family with its length.
func acePrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return "host " + p.Addr().String()
	}
	return p.String()
}

// aceComments writes the reasons of all rules where a person reads the file; a
// device forgets them.
func aceComments(t *text, f acl.Form, platform string) {
	t.line("! %s: exploitable ports, %s, for %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f), platform)
	for _, r := range f.Rules {
		for line := range strings.Lines(r.Why) {
			t.line("! %s: %s", r.Name, remarkLine(line))
		}
	}
}

// remarkLine is text that no device takes for more than text.
func remarkLine(line string) string { return strings.ReplaceAll(plain(line), "?", ".") }

// aceGroups are the sets of a form that are named, and those names.
func aceGroups(f acl.Form, family acl.Family, write func(name string, ps []netip.Prefix)) {
	for _, r := range f.Rules {
		if r.Match.Families()&family == 0 {
			continue
		}
		for _, side := range []struct {
			word string
			nets acl.Nets
		}{{"src", r.Match.Src}, {"dst", r.Match.Dst}} {
			if ps := side.nets.Prefixes(family); !side.nets.Any() && len(ps) > 1 {
				write(aceGroup(r, side.word, family), ps)
			}
		}
	}
}

func aceGroup(r acl.Rule, side string, f acl.Family) string {
	return fmt.Sprintf("%s_%s%s", r.Name, side, map[acl.Family]string{acl.V4: "4", acl.V6: "6"}[f])
}
