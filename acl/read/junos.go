package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// readJunos reads what "show configuration" prints, with braces or as set
// statements, and what "load set" takes. Every list that is bound to the
// interface is a stage; a packet that no term of it matches is discarded. What
// stands in groups is not followed: "| display inheritance" prints it in its place.
func readJunos(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	r := junosReader{
		place: at, units: make(map[string]bool), filters: make(map[string]*junosFilter), lists: make(map[string]*junosPrefixes),
		seen: make(map[string]bool), groups: make(map[string]bool), inherits: make(map[string]place), bound: make(map[junosPoint][]string),
	}
	for _, name := range at.Interfaces {
		device, unit := name, "0"
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			device, unit = name[:i], name[i+1:]
		}
		r.units[device+" "+unit] = true
		r.units[device] = true
	}
	for _, t := range texts {
		r.text(t)
	}
	return r.filter(), nil
}

type junosReader struct {
	doubts
	place    acl.Attach
	units    map[string]bool // "xe-0/0/0 0", and "xe-0/0/0" itself
	filters  map[string]*junosFilter
	lists    map[string]*junosPrefixes
	groups   map[string]bool  // by name: whether there is something of a filter in it
	inherits map[string]place // groups that all of the configuration inherits from
	bound    map[junosPoint][]string
	points   []junosPoint
	changes  bool // the text changes what is there, and is not all of it
	secured  bool
	seen     map[string]bool // interfaces that the text speaks of, ours alone
	others   bool            // it speaks of others
	skipped  int
}

// A junosPoint is where filters are bound.
type junosPoint struct{ family, way string } // "inet", "input-list"

type junosFilter struct {
	family, name string
	terms        []*junosTerm
	byName       map[string]*junosTerm
	fresh        bool // was deleted before it was written
	where        place
	busy         bool
	read         []acl.Rule
}

type junosTerm struct {
	name       string
	from, then []junosLine
	filter     string
	where      place
}

// A junosLine is a statement below from or then.
type junosLine struct {
	words []string
	place
}

// A junosPrefixes is a prefix list.
type junosPrefixes struct {
	prefixes []string
	unsure   bool // filled in by the router, from elsewhere in its configuration
}

// A junosToken is a word, or one of { } ; [ ].
type junosToken struct {
	word   string
	quoted bool
	line   int
}

// text reads both forms: a line that begins with a command of the set form is
// one statement, everything else has braces.
func (r *junosReader) text(t acl.Text) {
	var stack [][]string // words of the blocks around
	off := 0             // blocks around that are inactive
	var words []junosToken
	comment := false
	n := 0
	for line := range strings.Lines(t.Body) {
		n++
		line = strings.TrimSpace(line)
		if len(words) == 0 && len(stack) == 0 && !comment {
			command, rest, _ := strings.Cut(line, " ")
			if slices.Contains(junosCommands, command) {
				r.command(command, junosWords(junosTokens(rest, n, &comment)), place{t.Name, n}, line)
				continue
			}
		}
		for _, token := range junosTokens(line, n, &comment) {
			here := place{t.Name, token.line}
			switch {
			case token.quoted || !slices.Contains([]string{"{", "}", ";"}, token.word):
				words = append(words, token)
			case token.word == "{":
				head := junosWords(words)
				if len(head) > 0 && head[0] == "inactive:" || off > 0 {
					off++
				}
				stack, words = append(stack, head), nil
			case token.word == "}":
				if len(stack) == 0 || len(words) > 0 {
					r.at(here, line, "a brace that closes nothing")
					return
				}
				if stack, off = stack[:len(stack)-1], max(0, off-1); len(stack) == 0 {
					off = 0
				}
			default:
				all := junosWords(words)
				words = nil
				if off > 0 || len(all) > 0 && all[0] == "inactive:" {
					r.skipped++
					continue
				}
				r.spread(junosPath(stack, all), here)
			}
		}
	}
	if len(stack) > 0 || len(words) > 0 || comment {
		r.at(place{t.Name, n}, "", "the text ends within a statement")
	}
}

var junosCommands = []string{"set", "delete", "deactivate", "activate", "insert", "edit", "top", "up", "exit", "rename", "copy", "replace", "protect", "unprotect", "annotate", "wildcard", "load", "commit", "rollback"}

// junosPath is the whole statement; a tag such as "replace:" is no part of it.
func junosPath(stack [][]string, leaf []string) []string {
	var all []string
	for _, words := range append(slices.Clone(stack), leaf) {
		for len(words) > 0 && (words[0] == "replace:" || words[0] == "protect:") {
			words = words[1:]
		}
		all = append(all, words...)
	}
	return all
}

// junosTokens takes a line apart; comment tells that one is open.
func junosTokens(line string, n int, comment *bool) []junosToken {
	var all []junosToken
	for line != "" {
		if *comment {
			_, rest, closed := strings.Cut(line, "*/")
			if !closed {
				return all
			}
			*comment, line = false, rest
			continue
		}
		switch c := line[0]; {
		case c == ' ' || c == '\t':
			line = line[1:]
		case c == '#':
			return all
		case strings.HasPrefix(line, "/*"):
			*comment, line = true, line[2:]
		case c == '"':
			word, rest, _ := strings.Cut(line[1:], `"`)
			all = append(all, junosToken{word, true, n})
			line = rest
		case strings.IndexByte("{};[]", c) >= 0:
			all = append(all, junosToken{line[:1], false, n})
			line = line[1:]
		default:
			end := strings.IndexAny(line, " \t{};[]#\"")
			if end <= 0 {
				end = len(line)
			}
			all = append(all, junosToken{line[:end], false, n})
			line = line[end:]
		}
	}
	return all
}

func junosWords(tokens []junosToken) []string {
	words := make([]string, len(tokens))
	for i, t := range tokens {
		words[i] = t.word
	}
	return words
}

// spread makes one statement of each element of "[ a b ]".
func (r *junosReader) spread(words []string, p place) {
	from := slices.Index(words, "[")
	if from < 0 {
		r.statement(words, p)
		return
	}
	to := slices.Index(words, "]")
	if to < from {
		r.at(p, strings.Join(words, " "), "a list that does not end")
		return
	}
	for _, one := range words[from+1 : to] {
		r.statement(slices.Concat(words[:from:from], []string{one}, words[to+1:]), p)
	}
}

func (r *junosReader) command(command string, words []string, p place, line string) {
	switch command {
	case "set":
		r.spread(words, p)
	case "delete":
		r.delete(words, p, line)
	case "deactivate":
		r.remove(words, p, line)
	case "top", "commit":
	case "annotate":
		r.skipped++
	default:
		r.at(p, line, "only set, delete and deactivate are followed: give what show configuration prints")
	}
}

// delete begins a filter anew.
func (r *junosReader) delete(words []string, p place, line string) {
	if family, rest := junosFamilyOf(words); len(rest) == 2 && rest[0] == "filter" {
		r.changes = true
		f := r.named(family, rest[1], p)
		*f = junosFilter{family: family, name: rest[1], byName: make(map[string]*junosTerm), fresh: true, where: p}
		return
	}
	r.remove(words, p, line)
}

// remove takes away a term or a binding.
func (r *junosReader) remove(words []string, p place, line string) {
	if family, rest := junosFamilyOf(words); len(rest) > 1 && rest[0] == "filter" {
		f := r.named(family, rest[1], p)
		if len(rest) == 4 && rest[2] == "term" && f.byName[rest[3]] != nil {
			t := f.byName[rest[3]]
			delete(f.byName, rest[3])
			f.terms = slices.DeleteFunc(f.terms, func(o *junosTerm) bool { return o == t })
			return
		}
		if len(rest) == 2 {
			delete(r.filters, family+" "+rest[1])
			return
		}
	}
	switch {
	case len(words) == 0:
		r.at(p, line, "takes away everything")
	case words[0] == "interfaces" && len(words) > 7 && words[2] == "unit" && words[4] == "family" && words[6] == "filter":
		if !r.units[words[1]+" "+words[3]] {
			r.skipped++
			return
		}
		point := junosPoint{words[5], words[7]}
		if len(words) == 8 {
			r.bound[point] = nil
		} else {
			r.bound[point] = slices.DeleteFunc(r.bound[point], func(s string) bool { return s == words[8] })
		}
	case words[0] == "firewall" || words[0] == "policy-options" || words[0] == "interfaces" && (len(words) < 2 || r.units[words[1]]):
		r.at(p, line, "takes away something that is not known")
	default:
		r.skipped++
	}
}

// junosFamilyOf takes "firewall family inet" off; without a family it is inet.
func junosFamilyOf(words []string) (family string, rest []string) {
	switch {
	case len(words) > 3 && words[0] == "firewall" && words[1] == "family":
		return words[2], words[3:]
	case len(words) > 1 && words[0] == "firewall":
		return "inet", words[1:]
	}
	return "", nil
}

func (r *junosReader) named(family, name string, p place) *junosFilter {
	key := family + " " + name
	if r.filters[key] == nil {
		r.filters[key] = &junosFilter{family: family, name: name, byName: make(map[string]*junosTerm), where: p}
	}
	return r.filters[key]
}

// junosTop are the parts of a configuration in which no filter of packets that
// pass through stands.
var junosTop = []string{
	"access", "accounting-options", "applications", "apply-macro", "bridge-domains", "chassis", "class-of-service", "diameter",
	"dynamic-profiles", "ethernet-switching-options", "event-options", "jsrc", "multi-chassis", "multicast-snooping-options", "poe",
	"protocols", "routing-options", "services", "smtp", "snmp", "switch-options", "system", "version", "virtual-chassis", "vlans", "vmhost", "wlan",
}

func (r *junosReader) statement(words []string, p place) {
	if len(words) == 0 {
		return
	}
	text := func() string { return strings.Join(words, " ") }
	switch first := words[0]; {
	case first == "firewall":
		r.firewall(words, p)
	case first == "policy-options":
		if len(words) > 3 && words[1] == "prefix-list" {
			r.prefixList(words[2], words[3:])
			return
		}
		r.skipped++
	case first == "interfaces":
		r.interfaces(words, p)
	case first == "groups":
		r.skipped++
		if len(words) > 2 {
			touches := slices.Contains([]string{"firewall", "interfaces", "policy-options", "forwarding-options", "apply-groups"}, words[2])
			r.groups[words[1]] = r.groups[words[1]] || touches
		}
	case first == "apply-groups":
		r.inherits[strings.Join(words[1:], " ")] = p
	case first == "forwarding-options" && len(words) > 3 && words[1] == "family" && words[3] == "filter",
		first == "routing-instances" && slices.Contains(words, "forwarding-options") && slices.Contains(words, "filter"):
		r.at(p, text(), "a filter of the forwarding table")
	case first == "logical-systems" || first == "tenants" || first == "routing-instances" || first == "forwarding-options":
		if (first == "logical-systems" || first == "tenants") && len(words) > 3 && words[2] == "interfaces" && r.units[words[3]] {
			r.at(p, text(), "the interface is in a logical system: give the configuration of that alone")
			return
		}
		r.skipped++
	case first == "security":
		if !r.secured && len(words) > 1 && (words[1] == "policies" || words[1] == "zones" || words[1] == "nat") {
			r.secured = true
			r.at(p, text(), "policies of zones keep state and are not read")
			return
		}
		r.skipped++
	case slices.Contains(junosTop, first):
		r.skipped++
	default:
		r.at(p, text(), "not a statement of Junos that is known")
	}
}

func (r *junosReader) prefixList(name string, rest []string) {
	l := r.lists[name]
	if l == nil {
		l = &junosPrefixes{}
		r.lists[name] = l
	}
	if len(rest) == 1 && rest[0] != "apply-groups" {
		l.prefixes = append(l.prefixes, rest[0])
		return
	}
	l.unsure = true // apply-path, apply-groups
}

func (r *junosReader) firewall(words []string, p place) {
	family, rest := junosFamilyOf(words)
	if len(rest) > 0 && rest[0] == "apply-groups" || len(words) > 3 && words[1] == "family" && words[3] == "apply-groups" {
		r.at(p, strings.Join(words, " "), junosInherits)
		return
	}
	if len(rest) < 3 || rest[0] != "filter" {
		r.skipped++ // policers and other filters, which count when they are named
		return
	}
	f := r.named(family, rest[1], p)
	term := func(name string) *junosTerm {
		t := f.byName[name]
		if t == nil {
			t = &junosTerm{name: name, where: p}
			f.byName[name] = t
			f.terms = append(f.terms, t)
		}
		return t
	}
	if rest[2] != "term" || len(rest) < 5 {
		if !slices.Contains([]string{"interface-specific", "physical-interface-filter", "accounting-profile", "enhanced-mode", "fast-filter-lookup", "instance-shared"}, rest[2]) {
			t := term(strings.Join(rest[2:], " "))
			t.from = append(t.from, junosLine{rest[2:], p})
		}
		return
	}
	t := term(rest[3])
	switch rest[4] {
	case "from":
		t.from = append(t.from, junosLine{rest[5:], p})
	case "then":
		t.then = append(t.then, junosLine{rest[5:], p})
	case "filter":
		if len(rest) == 6 {
			t.filter = rest[5]
			return
		}
		fallthrough
	default:
		t.from = append(t.from, junosLine{rest[4:], p})
	}
}

const junosInherits = "inherits from a group: give what show configuration | display inheritance prints"

// junosHarmless are statements of a unit and of a family at which no filter
// stands.
var junosHarmless = []string{
	"description", "disable", "enable", "bandwidth", "vlan-id", "vlan-tags", "encapsulation", "traps", "no-traps", "point-to-point", "tunnel", "address", "mtu",
	"no-redirects", "no-redirects-ipv6", "no-neighbor-learn", "unnumbered-address", "primary", "rpf-check", "sampling", "mac-validate", "dad-disable",
	"arp-resp", "statistics", "family", "policer", "proxy-arp", "alias", "accounting-profile", "targeted-broadcast", "dhcp", "dhcpv6-client", "nd6-stale-time", "tcp-mss",
}

// interfaces reads what stands at ours.
func (r *junosReader) interfaces(words []string, p place) {
	text := strings.Join(words, " ")
	if len(words) < 3 {
		if len(words) == 2 && words[1] != "apply-groups" {
			r.skipped++
			return
		}
		r.at(p, text, junosInherits)
		return
	}
	switch {
	case words[1] == "apply-groups":
		r.at(p, text, junosInherits)
		return
	case words[1] == "interface-range" && slices.Contains(words, "filter"):
		r.at(p, text, "a filter for a range of interfaces")
		return
	case !r.units[words[1]]:
		r.others = true
		r.skipped++
		return
	case words[2] != "unit":
		if words[2] == "apply-groups" {
			r.at(p, text, junosInherits)
			return
		}
		r.skipped++ // of the device: speed, gigether-options, link-mode ...
		return
	case len(words) < 5 || !r.units[words[1]+" "+words[3]]:
		r.others = true
		r.skipped++
		return
	}
	r.seen[words[1]+" "+words[3]] = true
	switch rest := words[4:]; {
	case rest[0] == "family" && len(rest) > 4 && rest[2] == "filter":
		r.bind(rest[1], rest[3:], p, text)
	case rest[0] == "filter" && len(rest) > 2:
		r.bind("any", rest[1:], p, text)
	case rest[0] == "family" && (len(rest) < 3 || slices.Contains(junosHarmless, rest[2])):
		r.skipped++
	case rest[0] != "family" && slices.Contains(junosHarmless, rest[0]):
		r.skipped++
	case slices.Contains(rest, "apply-groups"):
		r.at(p, text, junosInherits)
	default:
		r.at(p, text, "unknown at this interface")
	}
}

// mostListed is how many filters a list takes.
const mostListed = 16

func (r *junosReader) bind(family string, words []string, p place, text string) {
	way := words[0]
	if !slices.Contains([]string{"input", "output", "input-list", "output-list", "input-chain", "output-chain"}, way) {
		if way != "group" {
			r.at(p, text, "unknown way to bind a filter")
		}
		return
	}
	if len(words) > 2 && words[2] != "precedence" {
		r.at(p, text, "unknown: "+strings.Join(words[2:], " "))
		return
	}
	point := junosPoint{family, way}
	if !slices.Contains(r.points, point) {
		r.points = append(r.points, point)
	}
	switch {
	case !strings.Contains(way, "-"):
		r.bound[point] = []string{words[1]} // the last one stands
	case len(r.bound[point]) > mostListed:
		r.at(p, text, "more filters than a list takes")
	case !slices.Contains(r.bound[point], words[1]):
		r.bound[point] = append(r.bound[point], words[1])
	}
}

func (r *junosReader) filter() acl.Filter {
	for names, p := range r.inherits {
		if touches, known := r.groups[names]; touches || !known {
			r.at(p, "apply-groups "+names, junosInherits)
		}
	}
	if len(r.seen) == 0 && r.others {
		r.at(place{}, strings.Join(r.place.Interfaces, " "), "there is no interface of that name in the text, though there are others")
	}
	var f acl.Filter
	for _, point := range r.points {
		names := r.bound[point]
		if len(names) == 0 {
			continue
		}
		family, ok := map[string]acl.Family{"inet": acl.V4, "inet6": acl.V6}[point.family]
		way, _, listed := strings.Cut(point.way, "-")
		if !ok {
			if point.family == "any" {
				r.at(place{}, point.way+" "+names[0], "a filter for any family")
			}
			continue // mpls, ccc, bridge: not of these packets
		}
		if listed && len(r.bound[junosPoint{point.family, way}]) > 0 {
			r.at(place{}, point.way, "both "+way+" and "+point.way+" are bound")
		}
		dir := r.place.Profile.Leaving()
		if way == "input" {
			dir = r.place.Profile.Arriving()
		}
		on := acl.Match{Family: family, Dir: dir}
		if strings.HasSuffix(point.way, "-chain") {
			for _, name := range names {
				f.Stages = append(f.Stages, acl.Stage{Name: "filter " + name, On: on, Rules: r.rules(point.family, name), Default: acl.Drop})
			}
			continue
		}
		s := acl.Stage{Name: "filter " + strings.Join(names, " "), On: on, Default: acl.Drop}
		for _, name := range names {
			s.Rules = append(s.Rules, r.rules(point.family, name)...)
		}
		f.Stages = append(f.Stages, s)
	}
	f.Unverified, f.Skipped = r.lines, r.skipped
	return f
}
