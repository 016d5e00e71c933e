package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// readNftables reads what "nft -f" takes and "nft list ruleset" prints. Every
// base chain at a hook on the path of the packets is a stage: they must pass
// all of them. Packets are taken for the first ones of a conversation, so that
// "ct state established" matches none.
func readNftables(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	r := nftReader{place: at, vars: make(map[string][]token), byName: make(map[string]*nftTable), added: make(map[string][]token)}
	for _, t := range texts {
		r.name, r.tokens, r.pos = t.Name, nftLexicon.tokens(t), 0
		r.file()
	}
	return r.filter(), nil
}

type nftReader struct {
	doubts
	place  acl.Attach
	tokens []token
	pos    int
	name   string // of the text
	vars   map[string][]token
	tables []*nftTable
	byName map[string]*nftTable
	added  map[string][]token // tables that are added and not deleted again
}

type nftTable struct {
	family, name string
	dormant      bool
	chains       []*nftChain
	sets         map[string]nftSet
}

// An nftChain is a chain; a base chain has a hook.
type nftChain struct {
	name, kind, hook string
	devices          []string
	drop             bool // the policy
	rules            [][]token
	where            place
	busy             bool // is being read: a chain that jumps to itself
	read             map[acl.Direction][]acl.Rule
}

// An nftSet is a named list. Words that change while the firewall runs, such
// as elements with a timeout, make it unsure.
type nftSet struct {
	words  []token
	unsure bool
}

var nftLexicon = lexicon{blanks: " \t", singles: "{}();,=<>&|^!", doubles: []string{"!=", "==", "<=", ">="}}

// statement takes the tokens up to the next newline or semicolon that stands
// in no braces, or before the brace that closes or the one that opens a block.
func (r *nftReader) statement() []token {
	start, depth := r.pos, 0
	for ; r.pos < len(r.tokens); r.pos++ {
		t := r.tokens[r.pos]
		switch {
		case t.is("{"):
			depth++
		case t.is("}") && depth == 0:
			return r.tokens[start:r.pos]
		case t.is("}"):
			depth--
		case t.is("\n", ";") && depth == 0:
			s := r.tokens[start:r.pos]
			r.pos++
			return s
		}
	}
	return r.tokens[start:r.pos]
}

func (r *nftReader) peek() token {
	if r.pos < len(r.tokens) {
		return r.tokens[r.pos]
	}
	return token{word: "\x00"}
}

// block takes the head of a block, such as "chain x", if one stands here.
func (r *nftReader) block(head string, n int) ([]token, bool) {
	if !r.peek().is(head) || r.pos+n >= len(r.tokens) || !r.tokens[r.pos+n].is("{") {
		return nil, false
	}
	words := r.tokens[r.pos : r.pos+n]
	r.pos += n + 1
	return words, true
}

func (r *nftReader) doubt(tokens []token, why string) {
	if len(tokens) > 0 {
		r.at(place{r.name, int(tokens[0].line)}, nftText(tokens), why)
	}
}

func nftText(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		if t.word == "\n" {
			continue
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		if t.quoted {
			b.WriteString(`"` + t.word + `"`)
		} else {
			b.WriteString(t.word)
		}
	}
	return b.String()
}

func (r *nftReader) file() {
	for r.pos < len(r.tokens) {
		if words, ok := r.block("table", 3); ok {
			r.table(words[1].word, words[2].word)
			continue
		}
		if words, ok := r.block("table", 2); ok {
			r.table("ip", words[1].word)
			continue
		}
		if t := r.peek(); t.is("}") {
			r.doubt([]token{t}, "a brace that closes nothing")
			r.pos++
			continue
		}
		r.command(r.statement())
	}
}

// command reads what stands outside of tables.
func (r *nftReader) command(s []token) {
	switch {
	case len(s) == 0:
	case s[0].is("define") && len(s) > 3 && s[2].is("="):
		r.vars[s[1].word] = s[3:]
	case s[0].is("flush") && len(s) == 2 && s[1].is("ruleset"):
		r.tables = nil
		clear(r.byName)
	case s[0].is("add", "create", "delete", "destroy", "flush") && len(s) > 2 && len(s) < 5 && s[1].is("table"):
		family, name := "ip", s[len(s)-1].word
		if len(s) == 4 {
			family = s[2].word
		}
		r.wholeTable(s, family+" "+name)
	default:
		r.doubt(s, "not a table: write the rules as nft list ruleset prints them")
	}
}

// wholeTable reads "add table", which makes "delete table" no mistake where
// there is none, and "delete table", without which what the table held stays.
func (r *nftReader) wholeTable(s []token, name string) {
	switch {
	case s[0].is("add"):
		r.added[name] = s
	case s[0].is("destroy"), s[0].is("delete") && r.added[name] != nil:
		delete(r.added, name)
		delete(r.byName, name)
		r.tables = slices.DeleteFunc(r.tables, func(t *nftTable) bool { return t.family+" "+t.name == name })
	case s[0].is("delete"):
		r.doubt(s, "fails where there is no such table")
	default:
		r.doubt(s, "unknown for a whole table")
	}
}

func (r *nftReader) table(family, name string) {
	if s := r.added[family+" "+name]; s != nil {
		r.doubt(s, "what the table held before stays in it")
	}
	t := r.byName[family+" "+name] // written in two places, it is one
	if t == nil {
		t = &nftTable{family: family, name: name, sets: make(map[string]nftSet)}
		r.tables = append(r.tables, t)
		r.byName[family+" "+name] = t
	}
	for r.pos < len(r.tokens) && !r.peek().is("}") {
		if words, ok := r.block("chain", 2); ok {
			r.chain(t, words)
			continue
		}
		if words, ok := r.block("set", 2); ok {
			r.set(t, words[1].word)
			continue
		}
		if words, ok := r.block("map", 2); ok {
			t.sets[words[1].word] = nftSet{unsure: true}
			r.skip()
			continue
		}
		other := false
		for _, object := range []string{"counter", "quota", "limit"} {
			if _, ok := r.block(object, 2); ok {
				r.skip()
				other = true
			}
		}
		if !other {
			s := r.statement()
			switch {
			case len(s) == 0 || s[0].is("comment"):
			case len(s) == 2 && s[0].is("flags") && s[1].is("dormant"):
				t.dormant = true
			case len(s) == 2 && s[0].is("flags") && s[1].is("owner", "persist"):
			default:
				r.doubt(s, "unknown in a table")
			}
		}
	}
	r.close()
}

// skip passes over the rest of a block.
func (r *nftReader) skip() {
	for depth := 0; r.pos < len(r.tokens); r.pos++ {
		switch t := r.tokens[r.pos]; {
		case t.is("{"):
			depth++
		case t.is("}") && depth == 0:
			r.pos++
			return
		case t.is("}"):
			depth--
		}
	}
	r.close()
}

// close takes the brace that ends a block.
func (r *nftReader) close() {
	if r.pos < len(r.tokens) {
		r.pos++
		return
	}
	if n := len(r.tokens); n > 0 {
		r.doubt(r.tokens[n-1:], "the text ends within a block")
	}
}

func (r *nftReader) set(t *nftTable, name string) {
	var s nftSet
	typed, interval := false, false
	head := r.tokens[r.pos-3 : r.pos-1]
	for r.pos < len(r.tokens) && !r.peek().is("}") {
		line := r.statement()
		switch {
		case len(line) == 0:
		case line[0].is("elements") && len(line) > 3 && line[1].is("=") && line[2].is("{"):
			s.words = append(s.words, line[3:len(line)-1]...)
		case line[0].is("flags"):
			for _, flag := range line[1:] {
				s.unsure = s.unsure || flag.is("timeout", "dynamic")
				interval = interval || flag.is("interval")
			}
		case line[0].is("type", "typeof"):
			typed = true
		case line[0].is("size", "auto-merge", "comment", "policy", "counter", "gc-interval"):
		default:
			s.unsure = true
			r.doubt(line, "unknown in a set")
		}
	}
	r.close()
	ranged := slices.ContainsFunc(s.words, func(t token) bool { return strings.ContainsAny(t.word, "/-") })
	if !typed {
		r.doubt(head, "a set without a type is not loaded")
	} else if ranged && !interval {
		r.doubt(head, "a set with prefixes or ranges and without flags interval is not loaded")
	}
	t.sets[name] = s
}

func (r *nftReader) chain(t *nftTable, head []token) {
	c := &nftChain{name: head[1].word, where: place{r.name, int(head[0].line)}, read: make(map[acl.Direction][]acl.Rule)}
	t.chains = append(t.chains, c)
	for r.pos < len(r.tokens) && !r.peek().is("}") {
		s := r.statement()
		switch {
		case len(s) == 0 || s[0].is("comment"):
		case s[0].is("type") && len(s) > 3 && s[2].is("hook"):
			c.kind, c.hook = s[1].word, s[3].word
			for i := 4; i < len(s); i++ {
				if s[i].is("device", "devices") {
					c.devices = nftNames(s[i+1:])
				}
			}
		case s[0].is("policy") && len(s) == 2:
			c.drop = s[1].is("drop")
			if !s[1].is("drop", "accept") {
				r.doubt(s, "unknown policy")
			}
		default:
			c.rules = append(c.rules, s)
		}
	}
	r.close()
}

// nftNames are the names in "wan", in { "wan", "lan" } or = { wan } up to the
// word priority.
func nftNames(s []token) []string {
	var names []string
	for _, t := range s {
		if t.is("priority") {
			break
		}
		if !t.is("{", "}", ",", "=", "==", "!=") {
			names = append(names, t.word)
		}
	}
	return names
}

// hooks on the path, with the directions of the packets that come by.
func (r *nftReader) hooks(c *nftChain) (dirs acl.Direction, unsure bool) {
	const both = acl.In | acl.Out
	host := r.place.Profile == acl.Host
	arriving := r.place.Profile.Arriving()
	ours := len(c.devices) == 0
	for _, d := range c.devices {
		ours = ours || slices.Contains(r.place.Interfaces, d)
	}
	switch c.hook {
	case "forward":
		if !host {
			return both, false
		}
	case "input":
		if host {
			return acl.In, false
		}
	case "output":
		if host {
			return acl.Out, false
		}
	case "prerouting":
		if host {
			return acl.In, false
		}
		return both, false
	case "postrouting":
		if host {
			return acl.Out, false
		}
		return both, false
	case "ingress":
		if ours {
			return arriving, len(r.place.Interfaces) != 1
		}
		return both &^ arriving, true
	case "egress":
		if ours {
			return both &^ arriving, len(r.place.Interfaces) != 1
		}
		return arriving, true
	}
	return 0, false
}

func (r *nftReader) filter() acl.Filter {
	var f acl.Filter
	for _, t := range r.tables {
		family, ok := nftFamilies[t.family]
		if t.dormant || t.family == "arp" {
			continue
		}
		for _, c := range t.chains {
			dirs, unsure := r.hooks(c)
			if c.hook == "" || dirs == 0 {
				continue
			}
			if !ok {
				r.at(c.where, "table "+t.family+" "+t.name, "this family is not known")
				continue
			}
			s := acl.Stage{
				Name: t.name + " " + c.name, On: acl.Match{Family: family, Dir: dirs},
				Rules: r.rules(t, c, dirs), Default: acl.Permit,
			}
			if c.drop && !unsure {
				s.Default = acl.Drop
			}
			if unsure {
				s.Rules = doubtful(s.Rules)
			}
			if c.kind == "nat" {
				s.Default = acl.Permit // the policy of a nat chain is for what it does not translate
			}
			f.Stages = append(f.Stages, s)
		}
	}
	f.Unverified = r.lines
	return f
}

// doubtful marks rules of which it is not known whether the packets see them.
func doubtful(rules []acl.Rule) []acl.Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Unsure = true
	}
	return rules
}

var nftFamilies = map[string]acl.Family{"ip": acl.V4, "ip6": acl.V6, "inet": acl.V4 | acl.V6, "netdev": acl.V4 | acl.V6}

func (r *nftReader) rules(t *nftTable, c *nftChain, dirs acl.Direction) []acl.Rule {
	if all, ok := c.read[dirs]; ok {
		return all // many jump here: what is unknown in it is told once
	}
	c.busy = true
	r.name = c.where.file
	var all []acl.Rule
	var past acl.Family // of which no later fragment comes to the rules that follow
	for _, tokens := range c.rules {
		for _, one := range r.rule(t, tokens, dirs) {
			past |= decidesLater(one, dirs)
			if one.Match.Families()&^past == 0 {
				all = append(all, one)
			} else {
				all = append(all, garbled(one)...)
			}
		}
	}
	c.busy = false
	if weight(all) > mostCalled {
		r.at(c.where, "chain "+c.name, tooManyCalls)
		all = []acl.Rule{{Action: acl.Permit, Unsure: true, Line: c.where.line}}
	}
	c.read[dirs] = all
	return all
}
