package read

import (
	"slices"
	"strings"

	"go4.org/netipx"

	"ippwatch/acl"
)

// readRouterOS reads what "/export" prints, and scripts of "add" lines. The
// tables raw and filter are stages; a chain that says nothing more accepts.
// Packets are taken for the first ones of a conversation, so that "accept
// established" and fasttrack match none.
func readRouterOS(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	r := rosReader{
		place: at, chains: make(map[rosChain][]rosLine), heads: make(map[rosChain][]rosLine), lists: make(map[rosChain]*rosList), members: make(map[string][]string), joined: make(map[string]rosLine),
	}
	for _, t := range texts {
		r.text(t)
	}
	return r.filter(), nil
}

type rosReader struct {
	doubts
	place   acl.Attach
	chains  map[rosChain][]rosLine
	heads   map[rosChain][]rosLine // put first, the last one of all first
	lists   map[rosChain]*rosList  // address lists, by family and name
	members map[string][]string    // of interface lists
	joined  map[string]rosLine     // interface lists that include or exclude others
	natted  bool
	skipped int

	family acl.Family
	table  string
	dirs   acl.Direction
	busy   []string
	read   map[string][]acl.Rule
}

// A rosChain is a chain of a table, or an address list.
type rosChain struct {
	family acl.Family
	table  string
	name   string
}

type rosLine struct {
	place
	text  string
	props []rosProp
}

// A rosProp is key=value; a word without "=" has no value.
type rosProp struct {
	key, value string
}

func (l rosLine) get(key string) string {
	for _, p := range l.props {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

type rosList struct {
	ranges []netipx.IPRange
	unsure bool // names, or addresses that come and go
}

// text joins lines that go on, and follows the menus.
func (r *rosReader) text(t acl.Text) {
	menu, n := "", 0
	var held strings.Builder
	begin := 0
	for line := range strings.Lines(t.Body) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if held.Len() == 0 {
			begin = n
		} else {
			line = strings.TrimLeft(line, " \t")
		}
		if rest, ok := strings.CutSuffix(line, "\\"); ok {
			held.WriteString(rest)
			if held.Len() == 0 {
				held.WriteByte(' ')
			}
			continue
		}
		held.WriteString(line)
		whole := strings.TrimSpace(held.String())
		held.Reset()
		if whole == "" || strings.HasPrefix(whole, "#") {
			continue
		}
		menu = r.line(menu, whole, place{t.Name, begin})
	}
	if held.Len() > 0 {
		r.at(place{t.Name, n}, held.String(), "the text ends within a line")
	}
}

// rosVerbs are commands of a menu.
var rosVerbs = []string{"add", "set", "remove", "move", "disable", "enable", "unset", "print", "export", "comment", "edit", "reset-counters", "reset-counters-all"}

// line takes a menu, a command, or both in one: "/ip/firewall/filter/add x=y".
func (r *rosReader) line(menu, text string, p place) string {
	rest := text
	if strings.HasPrefix(text, "/") {
		menu = ""
		for rest != "" {
			rest = strings.TrimLeft(rest, " /")
			n := strings.IndexAny(rest, " /")
			if n < 0 {
				n = len(rest)
			}
			word := rest[:n]
			if slices.Contains(rosVerbs, word) || strings.ContainsAny(word, "=[\"") {
				break
			}
			menu += "/" + word
			rest = rest[n:]
		}
		if rest = strings.TrimSpace(rest); rest == "" {
			return menu
		}
	}
	verb, rest, _ := strings.Cut(rest, " ")
	r.command(menu, verb, rosLine{p, text, rosProps(rest)})
	return menu
}

// rosProps takes "a=b c=\"d e\"" apart. In brackets stands a command whose answer
// is the value.
func rosProps(text string) []rosProp {
	var all []rosProp
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeft(text, " \t") {
		n := strings.IndexAny(text, "= \t")
		if n < 0 || text[n] != '=' {
			if n < 0 {
				n = len(text)
			}
			if text[0] == '[' {
				n = len(text)
			}
			all = append(all, rosProp{key: text[:n]})
			text = text[n:]
			continue
		}
		key := text[:n]
		text = text[n+1:]
		var value strings.Builder
		quoted := strings.HasPrefix(text, "\"")
		i := 0
		if strings.HasPrefix(text, "[") {
			i = max(0, strings.LastIndexByte(text, ']'))
			value.WriteString(text[:i])
		}
		if quoted {
			i = 1
		}
		for ; i < len(text); i++ {
			c := text[i]
			if quoted && c == '\\' && i+1 < len(text) {
				i++
				value.WriteByte(text[i])
				continue
			}
			if quoted && c == '"' {
				i++
				break
			}
			if !quoted && (c == ' ' || c == '\t') {
				break
			}
			value.WriteByte(c)
		}
		text = text[i:]
		all = append(all, rosProp{key, value.String()})
	}
	return all
}

func (r *rosReader) command(menu, verb string, l rosLine) {
	family := acl.V4
	name, ok := strings.CutPrefix(menu, "/ip/firewall/")
	if !ok {
		if name, ok = strings.CutPrefix(menu, "/ipv6/firewall/"); ok {
			family = acl.V6
		}
	}
	switch {
	case menu == "":
		r.at(l.place, l.text, "outside of a menu: give what /export prints")
	case menu == "/interface/list/member":
		if verb == "add" && l.get("disabled") != "yes" {
			r.members[l.get("list")] = append(r.members[l.get("list")], l.get("interface"))
		}
		r.skipped++
	case menu == "/interface/list":
		if verb == "add" && (l.get("include") != "" || l.get("exclude") != "") {
			r.joined[l.get("name")] = l
		}
		r.skipped++
	case strings.Contains(l.text, "l3-hw-offloading=yes"):
		r.at(l.place, l.text, "what the switch chip forwards does not reach the firewall")
	case !ok || name != "filter" && name != "raw" && name != "nat" && name != "address-list":
		r.skipped++
	case verb == "print" || verb == "export":
	case verb != "add":
		r.at(l.place, l.text, "changes rules that are there: give what /export prints")
	case l.get("disabled") == "yes":
		r.skipped++
	case name == "address-list":
		r.address(family, l)
	case name == "nat":
		if slices.Contains([]string{"dst-nat", "redirect", "netmap", "same"}, l.get("action")) && l.get("chain") != "srcnat" {
			r.natted = true
			r.at(l.place, l.text, "gives packets another destination")
			return
		}
		r.skipped++
	default:
		r.add(rosChain{family, name, l.get("chain")}, l)
	}
}

func (r *rosReader) add(c rosChain, l rosLine) {
	switch at := l.get("place-before"); at {
	case "":
		r.chains[c] = append(r.chains[c], l)
	case "0":
		r.heads[c] = append(r.heads[c], l)
	default:
		r.at(l.place, l.text, "stands before a rule that is not known")
		r.chains[c] = append(r.chains[c], l)
	}
}

// address reads an entry of an address list: a prefix, a range, or a name.
func (r *rosReader) address(family acl.Family, l rosLine) {
	key := rosChain{family, "list", l.get("list")}
	list := r.lists[key]
	if list == nil {
		list = &rosList{}
		r.lists[key] = list
	}
	one, ok := span(l.get("address"))
	if !ok || one.From().Is4() != (family == acl.V4) || l.get("timeout") != "" {
		list.unsure = true
		return
	}
	list.ranges = append(list.ranges, one)
}

func (r *rosReader) filter() acl.Filter {
	for c, first := range r.heads {
		slices.Reverse(first)
		r.chains[c] = slices.Concat(first, r.chains[c])
	}
	var f acl.Filter
	host := r.place.Profile == acl.Host
	for _, family := range []acl.Family{acl.V4, acl.V6} {
		for _, hook := range []struct {
			table, chain string
			dirs         acl.Direction
			host         bool
		}{
			{"raw", "prerouting", acl.In | acl.Out, false},
			{"filter", "forward", acl.In | acl.Out, false},
			{"raw", "prerouting", acl.In, true},
			{"filter", "input", acl.In, true},
			{"raw", "output", acl.Out, true},
			{"filter", "output", acl.Out, true},
		} {
			if hook.host != host || len(r.chains[rosChain{family, hook.table, hook.chain}]) == 0 {
				continue
			}
			r.family, r.table, r.dirs, r.read = family, hook.table, hook.dirs, make(map[string][]acl.Rule)
			s := acl.Stage{Name: hook.table + " " + hook.chain, On: acl.Match{Family: family, Dir: hook.dirs}, Default: acl.Permit}
			s.Rules, _ = r.rules(hook.chain)
			f.Stages = append(f.Stages, s)
		}
	}
	f.Unverified, f.Skipped = r.lines, r.skipped
	return f
}

func (r *rosReader) rules(chain string) ([]acl.Rule, string) {
	if rules, ok := r.read[chain]; ok {
		return rules, ""
	}
	lines, ok := r.chains[rosChain{r.family, r.table, chain}]
	switch {
	case !ok:
		return nil, "there is no chain " + chain
	case slices.Contains(r.busy, chain):
		return nil, "the chain leads back to itself"
	}
	r.busy = append(r.busy, chain)
	all := []acl.Rule{}
	for _, l := range lines {
		all = append(all, r.rule(l)...)
	}
	r.busy = r.busy[:len(r.busy)-1]
	if weight(all) > mostCalled {
		r.at(lines[0].place, "chain="+chain, tooManyCalls)
		all = []acl.Rule{{Action: acl.Permit, Unsure: true, Line: lines[0].line}}
	}
	r.read[chain] = all
	return all, ""
}

// rule reads a rule, once for each direction if its interfaces say different
// things of them.
func (r *rosReader) rule(l rosLine) []acl.Rule {
	one, parted := r.ruleFor(l, r.dirs)
	if !parted || r.dirs != acl.In|acl.Out {
		return one
	}
	known := r.lines
	in, _ := r.ruleFor(l, acl.In)
	out, _ := r.ruleFor(l, acl.Out)
	r.lines = known
	return append(in, out...)
}
