package read

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ippwatch/acl"
)

// readPF reads pf.conf, the text of an anchor, and what "pfctl -sr" prints. A
// forwarded packet is judged twice, where it comes in and where it goes out, so
// that each direction has two stages. A text is taken for that of an anchor if
// another one has the anchor's name, and else for a part of the main rules.
// Packets are taken for the first ones of a conversation.
func readPF(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	r := pfReader{place: at, macros: make(map[string][]token), tables: make(map[string]pfSet), anchors: make(map[string]acl.Text)}
	named := make(map[string]bool)
	for _, t := range texts {
		r.anchors[strings.TrimSuffix(filepath.Base(t.Name), ".conf")] = t
		for line := range strings.Lines(t.Body) {
			if words := strings.Fields(line); len(words) > 1 && words[0] == "anchor" {
				named[strings.Trim(words[1], `"`)] = true
			}
		}
	}
	for _, t := range texts {
		if !named[strings.TrimSuffix(filepath.Base(t.Name), ".conf")] {
			r.name = t.Name
			r.statements(pfLexicon.tokens(t), acl.Match{}, "", nil)
		}
	}
	return r.filter(), nil
}

type pfReader struct {
	doubts
	place   acl.Attach
	name    string // of the text
	macros  map[string][]token
	tables  map[string]pfSet
	anchors map[string]acl.Text
	skip    []string // interfaces that are not filtered at all
	rules   []pfRule
	skipped int
	depth   int
}

// A pfSet is a table. Of one whose addresses stand in a file, or that changes
// while the firewall runs, they are not known.
type pfSet struct {
	nets   acl.Nets
	unsure bool
}

var pfLexicon = lexicon{blanks: " \t,", singles: "{}()=!<>", doubles: []string{"!=", "<=", ">=", "><", "<>"}}

func pfText(tokens []token) string {
	words := make([]string, 0, len(tokens))
	for _, t := range tokens {
		if t.word != "\n" {
			words = append(words, t.word)
		}
	}
	return strings.Join(words, " ")
}

func (r *pfReader) doubt(s []token, why string) {
	if len(s) > 0 {
		r.at(place{r.name, int(s[0].line)}, pfText(s), why)
	}
}

// statements reads lines; those of an anchor hold for what comes to it.
func (r *pfReader) statements(tokens []token, base acl.Match, way string, on []pfIface) {
	r.depth++
	defer func() { r.depth-- }()
	for len(tokens) > 0 {
		depth, n := 0, 0
		for n < len(tokens) {
			t := tokens[n]
			if t.is("{") {
				depth++
			} else if t.is("}") {
				depth--
			} else if t.is("\n") && depth <= 0 {
				break
			}
			n++
		}
		s := tokens[:n]
		tokens = tokens[min(n+1, len(tokens)):]
		if depth != 0 {
			r.doubt(s, "a brace has no partner")
			continue
		}
		if len(s) > 0 {
			r.statement(r.expand(s), base, way, on)
		}
	}
}

// expand puts the values of macros in their places.
func (r *pfReader) expand(s []token) []token {
	macro := func(t token) bool { return !t.quoted && strings.HasPrefix(t.word, "$") }
	if !slices.ContainsFunc(s, macro) {
		return s
	}
	var all []token
	for _, t := range s {
		if value, ok := r.macros[strings.TrimPrefix(t.word, "$")]; ok && macro(t) {
			for _, v := range value {
				v.line = t.line
				all = append(all, v)
			}
		} else {
			all = append(all, t)
		}
	}
	return all
}

func (r *pfReader) statement(s []token, base acl.Match, way string, on []pfIface) {
	first := s[0]
	switch {
	case len(s) > 1 && s[1].is("="):
		// The value is a text, of which the quotes are no part.
		var value []token
		for _, t := range s[2:] {
			if t.quoted {
				value = append(value, pfLexicon.tokens(acl.Text{Body: t.word})...)
			} else {
				value = append(value, t)
			}
		}
		value = slices.DeleteFunc(value, func(t token) bool { return t.is("\n") })
		r.macros[first.word] = value
	case first.is("table"):
		r.table(s)
	case first.is("set"):
		if len(s) > 2 && s[1].is("skip") {
			for _, t := range s[3:] {
				if !t.is("{", "}") {
					r.skip = append(r.skip, t.word)
				}
			}
			return
		}
		r.skipped++
	case first.is("scrub", "nat", "queue", "altq", "nat-anchor") || first.is("no") && len(s) > 1 && !s[1].is("rdr"):
		r.skipped++
	case first.is("anchor"):
		r.anchor(s, base, way, on)
	case first.is("pass", "block", "match"):
		r.rule(s, base, way, on)
	case first.is("antispoof"):
		r.skipped++ // drops what claims to come from inside
	default:
		r.doubt(s, "unknown statement")
	}
}

// table reads "table <name> const { 198.51.100.0/24, !198.51.100.16 }": of the
// entries that hold an address the longest decides.
func (r *pfReader) table(s []token) {
	if len(s) < 4 || !s[1].is("<") || !s[3].is(">") {
		r.doubt(s, "a table without a name")
		return
	}
	type entry struct {
		bits int
		not  bool
		nets acl.Nets
	}
	var entries []entry
	var set pfSet
	not, inside := false, false
	for _, t := range s[4:] {
		switch {
		case t.is("{"):
			inside = true
		case t.is("}"):
			inside = false
		case !inside && t.is("const", "counters"):
		case !inside && t.is("persist", "file"):
			set.unsure = true
		case !inside && t.quoted: // the name of the file
		case inside && t.is("!"):
			not = true
		case inside:
			p, ok := prefix(t.word)
			if !ok {
				r.doubt(s, "unknown address: "+t.word)
				set.unsure = true
				break
			}
			bits := p.Bits()
			entries = append(entries, entry{bits, not, acl.NetsOf(p)})
			not = false
		default:
			r.doubt(s, "unknown in a table: "+t.word)
			set.unsure = true
		}
	}
	set.nets = pfEntries(len(entries), func(i int) (int, bool, acl.Nets) { return entries[i].bits, entries[i].not, entries[i].nets })
	r.tables[s[2].word] = set
}

// pfEntries joins entries from the shortest to the longest prefix.
func pfEntries(n int, entry func(int) (bits int, not bool, nets acl.Nets)) acl.Nets {
	byBits := make(map[int][]int)
	some := false
	for i := range n {
		bits, not, _ := entry(i)
		byBits[bits] = append(byBits[bits], i)
		some = some || not
	}
	nets := acl.NetsOf()
	for _, bits := range slices.Sorted(maps.Keys(byBits)) {
		var add, remove []acl.Nets
		for _, i := range byBits[bits] {
			_, not, one := entry(i)
			if not {
				remove = append(remove, one)
			} else {
				add = append(add, one)
			}
		}
		nets = nets.Or(acl.Union(add...))
		if some {
			nets = nets.And(acl.Union(remove...).Not())
		}
	}
	return nets
}

// anchor reads rules in braces, or the text that has the anchor's name.
func (r *pfReader) anchor(s []token, base acl.Match, way string, on []pfIface) {
	u := pfRule{r: r, way: way, on: on}
	u.Match = base
	u.rest = s[1:]
	name := ""
	if len(u.rest) > 0 && (u.rest[0].quoted || !u.rest[0].is("{", "in", "out", "on", "quick", "inet", "inet6", "proto", "from", "all")) {
		name = u.take().word
	}
	var inside []token
	defer func(name string) { r.name = name }(r.name)
	from := r.name
	if n := slices.IndexFunc(u.rest, func(t token) bool { return t.is("{") }); n >= 0 && len(u.rest) > n+1 && u.rest[n+1].is("\n") {
		inside = u.rest[n+1 : len(u.rest)-1]
		u.rest = u.rest[:n]
	} else if text, ok := r.anchors[name]; ok && r.depth < 8 {
		inside, from = pfLexicon.tokens(text), text.Name
	} else {
		r.doubt(s, "the rules of the anchor are not here: add what pfctl -a "+name+" -sr prints as "+name+".conf")
		return
	}
	for len(u.rest) > 0 {
		if why := u.part(); why != "" {
			r.doubt(s, why)
			return
		}
	}
	if u.unsure || u.quick {
		r.doubt(s, "an anchor that is quick or whose condition is not known")
	}
	r.name = from
	r.statements(inside, u.Match, u.way, u.on)
}

// filter puts the rules into the order in which the first one decides: those
// that are quick, and behind them the others, the last one first.
func (r *pfReader) filter() acl.Filter {
	var f acl.Filter
	type hook struct {
		way string
		dir acl.Direction
	}
	hooks := []hook{{"in", acl.In}, {"out", acl.In}, {"in", acl.Out}, {"out", acl.Out}}
	if r.place.Profile == acl.Host {
		hooks = []hook{{"in", acl.In}, {"out", acl.Out}}
	}
	if len(r.rules) == 0 {
		hooks = nil
	}
	for _, h := range hooks {
		here := h.way == "in" == (h.dir == r.place.Profile.Arriving())
		if r.place.Profile == acl.Host {
			here = len(r.place.Interfaces) > 0
		}
		if here && slices.ContainsFunc(r.skip, func(s string) bool { return slices.Contains(r.place.Interfaces, s) }) {
			continue
		}
		s := acl.Stage{Name: "pf " + h.way, On: acl.Match{Dir: h.dir}, Default: acl.Permit}
		for _, u := range r.rules {
			if u.quick {
				s.Rules = append(s.Rules, u.at(h.way, here)...)
			}
		}
		for _, u := range slices.Backward(r.rules) {
			if !u.quick {
				s.Rules = append(s.Rules, u.at(h.way, here)...)
			}
		}
		if len(s.Rules) > 0 {
			f.Stages = append(f.Stages, s)
		}
	}
	f.Unverified, f.Skipped = r.lines, r.skipped
	return f
}
