package read

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ippwatch/acl"
)

// An ace is a line of a list while it is read: permit or deny, a protocol, a
// source and a destination with their ports, and what else has to hold. What
// stands last restricts most, so that a word that is not known leaves a rule
// that matches too much: it is marked Unsure.
type ace struct {
	r      *ciscoReader
	family acl.Family
	words  []string

	rule   acl.Rule
	protos acl.Ranges // nil: any
	alts   []service  // instead of protocols and ports
	flags  acl.FlagSet
	ports  bool // asks for ports or flags
	why    string
}

// An aceLine is a line of a list with its place in it.
type aceLine struct {
	ciscoLine
	number int
	words  []string
}

// rules are those of a list, in the order of their numbers. A remark that begins
// with a word such as epf631_in_tcp names the lines up to the next remark.
func (r *ciscoReader) rules(list *ciscoList, family acl.Family) []acl.Rule {
	lines := make([]aceLine, 0, len(list.lines))
	last, counted := 0, r.d.counted
	taken := make(map[int]bool, len(list.lines))
	for _, l := range list.lines {
		a := aceLine{l, last, strings.Fields(l.text)}
		explicit := a.takeNumber()
		switch {
		case len(a.words) == 0:
			r.at(l.place, l.text, "a number without a line")
			continue
		case a.words[0] == "counters" || a.words[0] == "statistics":
			counted = true
			continue
		case a.words[0] == "exit":
			continue
		case explicit && taken[a.number]:
			r.at(l.place, l.text, "the number is taken: which of the two lines is in the list is not known")
		case !explicit && a.words[0] != "remark":
			a.number = last + 10
		}
		if a.words[0] != "remark" || explicit {
			taken[a.number] = true
		}
		last = max(last, a.number)
		lines = append(lines, a)
	}
	slices.SortStableFunc(lines, func(a, b aceLine) int { return cmp.Compare(a.number, b.number) })
	var all []acl.Rule
	name := ""
	for _, l := range lines {
		if l.words[0] == "remark" {
			name = remarked(l.words[1:])
			continue
		}
		for _, rule := range r.line(l, family, list.standard) {
			rule.Name, rule.Count = name, counted && name != ""
			all = append(all, rule)
		}
	}
	return all
}

// takeNumber takes the number off the line.
func (l *aceLine) takeNumber() bool {
	words := l.words
	if words[0] == "sequence" && len(words) > 1 {
		words = words[1:]
	}
	n, err := parseNumber(words[0])
	if err != nil {
		return false
	}
	l.number, l.words = n, words[1:]
	return true
}

func parseNumber(word string) (int, error) {
	n, err := strconv.ParseUint(word, 10, 31)
	return int(n), err
}

// remarked is the name that a remark gives: its first word, with a colon.
func remarked(words []string) string {
	if len(words) == 0 {
		return ""
	}
	strange := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' }
	name, ok := strings.CutSuffix(words[0], ":")
	if !ok || !strings.Contains(name, "_") || strings.ContainsFunc(name, strange) {
		return ""
	}
	return name
}

// line is what one line does; a list of protocols makes it more than one rule.
func (r *ciscoReader) line(l aceLine, family acl.Family, standard bool) []acl.Rule {
	a := ace{r: r, family: family, words: l.words[1:]}
	a.rule.Line = l.line
	switch l.words[0] {
	case "permit":
		a.rule.Action = acl.Permit
	case "deny":
		a.rule.Action = acl.Drop
	default:
		// evaluate, dynamic: permits, made elsewhere. What is not known may permit.
		r.at(l.place, l.text, "unknown line of a list: "+l.words[0])
		return []acl.Rule{{Action: acl.Permit, Unsure: true, Line: l.line}}
	}
	if standard {
		a.source()
	} else {
		a.extended()
	}
	for a.why == "" && len(a.words) > 0 {
		a.option()
	}
	if a.why != "" {
		r.at(l.place, l.text, a.why)
		a.rule.Unsure = true
	}
	return a.finish()
}

// finish makes the rules. A permit that asks for ports lets pass later fragments,
// too, whose ports nobody sees, if the rest fits; a deny does not drop them
// (Cisco, "Access Control Lists and IP Fragments").
func (a *ace) finish() []acl.Rule {
	alts := a.alts
	if alts == nil {
		alts = []service{{a.protos, a.rule.Match.SPort, a.rule.Match.DPort}}
	}
	var all []acl.Rule
	for _, s := range alts {
		one := a.rule
		m := &one.Match
		m.Proto, m.SPort, m.DPort, m.Flags = s.proto, s.sport, s.dport, a.flags
		l4 := a.ports || s.sport != nil || s.dport != nil
		if l4 && one.Action == acl.Permit && m.Frag == 0 {
			later := one
			later.Match.SPort, later.Match.DPort, later.Match.Flags, later.Match.Frag = nil, nil, 0, acl.Later
			later.Log = acl.Rate{}
			all = append(all, later)
		}
		all = append(all, one)
	}
	return all
}

func (a *ace) fail(why string) { a.why = cmp.Or(a.why, why) }

// next takes a word.
func (a *ace) next() string {
	if len(a.words) == 0 {
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w
}

func (a *ace) peek() string {
	if len(a.words) == 0 {
		return ""
	}
	return a.words[0]
}

// source is the only condition of a standard list.
func (a *ace) source() {
	if p, err := netip.ParseAddr(a.peek()); err == nil && p.Is4() {
		if m, err := netip.ParseAddr(append(a.words, "", "")[1]); err != nil || !m.Is4() {
			a.next()
			a.rule.Match.Src = acl.NetsOf(netip.PrefixFrom(p, 32))
			return
		}
	}
	a.rule.Match.Src = a.addrs()
}

func (a *ace) extended() {
	word := a.next()
	if word == "object-group" {
		name := a.next()
		alts, ok := a.r.services(name, 0)
		a.r.spread += len(alts)
		switch {
		case !ok || alts == nil:
			a.fail("unknown group of services: " + name)
		case a.r.spread > mostCalled:
			a.fail("groups of services come to too many rules: " + name)
		default:
			a.alts = alts
		}
	} else {
		var ok bool
		a.protos, ok = protocol(word, a.family)
		if !ok {
			a.fail("unknown protocol: " + word)
		}
		if word == "hbh" || word == "ahp" && a.family == acl.V6 {
			a.rule.Match.Ext, a.rule.Unsure, a.protos = acl.With, true, nil
		}
	}
	if a.why != "" {
		return
	}
	a.rule.Match.Src = a.addrs()
	a.rule.Match.SPort = a.portList()
	a.rule.Match.Dst = a.addrs()
	a.rule.Match.DPort = a.portList()
	if a.why == "" && (a.rule.Match.SPort != nil || a.rule.Match.DPort != nil) && !hasPorts(a.protos) {
		a.fail("ports of a protocol that has none")
	}
}

func hasPorts(protos acl.Ranges) bool {
	return protos != nil && !slices.ContainsFunc(protos, func(r acl.Range) bool {
		return r.First != r.Last || !slices.Contains([]uint16{acl.TCP, acl.UDP, 33, 132}, r.First)
	})
}

// addrs reads any, host A, A WILDCARD, A/length, object-group NAME.
func (a *ace) addrs() acl.Nets {
	if a.why != "" {
		return acl.Nets{}
	}
	word := a.next()
	switch word {
	case "any", "any4", "any6":
		return acl.Nets{}
	case "object-group", "net-group":
		name := a.next()
		nets, ok := a.r.group(name, a.family, 0)
		if !ok {
			a.fail("unknown group of addresses: " + name)
		}
		return nets
	case "host":
		word = a.next()
		if strings.Contains(word, "/") {
			break
		}
		if p, ok := prefix(word); ok && p.Addr().Is4() == (a.family == acl.V4) {
			return acl.NetsOf(p)
		}
	default:
		if p, ok := prefix(word); ok && strings.Contains(word, "/") && p.Addr().Is4() == (a.family == acl.V4) {
			return acl.NetsOf(p)
		}
		addr, err := netip.ParseAddr(word)
		mask, err2 := netip.ParseAddr(a.peek())
		if err == nil && err2 == nil && addr.Is4() && mask.Is4() && a.family == acl.V4 {
			a.next()
			if rs, ok := wild(addr, mask); ok && a.r.spread+len(rs) <= mostCalled {
				if len(rs) > 1 {
					a.r.spread += len(rs)
				}
				return acl.NetsFrom(rs...)
			}
			word += " " + mask.String()
		}
	}
	a.fail("unknown address: " + word)
	return acl.Nets{}
}

// portList reads eq, neq, gt, lt, range and port-group; nil where there is none.
func (a *ace) portList() acl.Ranges {
	if a.why != "" {
		return nil
	}
	switch op := a.peek(); op {
	case "eq", "neq":
		a.next()
		rs := acl.Ranges{}
		for {
			n, ok := a.port(a.peek())
			if !ok {
				break
			}
			a.next()
			rs = append(rs, acl.Range{First: n, Last: n})
		}
		if len(rs) == 0 {
			a.fail("unknown port: " + a.peek())
			return nil
		}
		if op == "neq" {
			rs, _ = rs.Not(65535) // never all of them: a line is not so long
		}
		return rs
	case "gt", "lt":
		a.next()
		word := a.next()
		n, ok := a.port(word)
		switch {
		case ok && op == "gt" && n < 65535:
			return acl.Ranges{{First: n + 1, Last: 65535}}
		case ok && op == "lt" && n > 0:
			return acl.Ranges{{First: 0, Last: n - 1}}
		}
		a.fail("unknown port: " + word)
	case "range":
		a.next()
		from, to := a.next(), a.next()
		lo, ok := a.port(from)
		hi, ok2 := a.port(to)
		if !ok || !ok2 {
			a.fail("unknown port: " + from + " " + to)
			return nil
		}
		return acl.Ranges{{First: min(lo, hi), Last: max(lo, hi)}}
	case "port-group", "portgroup":
		a.next()
		name := a.next()
		rs, ok := a.r.portGroup(name, 0)
		if !ok {
			a.fail("unknown group of ports: " + name)
			return nil
		}
		return rs
	}
	return nil
}

// port reads a number or a name. A name that means one port of TCP and another
// of UDP is of the protocol of the line.
func (a *ace) port(word string) (uint16, bool) {
	if n, ok := number(word); ok {
		return n, true
	}
	word = strings.ToLower(word)
	for _, table := range a.r.d.ports {
		if n, ok := table[word]; ok {
			return n, true
		}
	}
	for _, r := range a.protos {
		if n, ok := portsOf[r.First][word]; ok {
			return n, true
		}
	}
	return 0, false
}

// option reads what stands behind the addresses.
func (a *ace) option() {
	m := &a.rule.Match
	switch word := a.next(); word {
	case "log", "log-input":
		a.rule.Log = a.r.log
		if a.r.d.cookies && len(a.words) == 1 && !slices.Contains(optionWords, a.words[0]) {
			a.next() // a word that stands in the log
		}
	case "established":
		a.flag(acl.Established)
	case "ack", "fin", "rst", "syn", "psh", "urg":
		a.anyFlag(word)
	case "match-any", "match-all":
		a.flagList(word == "match-all")
	case "fragments":
		*m = m.And(acl.Match{Frag: acl.Later})
	case "undetermined-transport":
		*m = m.And(acl.Match{Frag: acl.Torn})
	case "is-fragment", "first-fragment", "last-fragment":
		*m = m.And(acl.Match{Frag: map[string]acl.Frag{
			"is-fragment": acl.First | acl.Later, "first-fragment": acl.First, "last-fragment": acl.Later,
		}[word]})
		a.rule.Unsure = a.rule.Unsure || word == "last-fragment"
	case "fragment-type": // the kind follows
	case "routing", "hbh", "hop-by-hop", "dest-option", "destopts", "auth", "authen", "mobility":
		a.behind(word)
	case "routing-type", "dest-option-type", "mobility-type":
		a.behind(word)
		a.next()
	case "dscp", "precedence", "tos", "option", "flow-label", "ttl", "packet-length", "fragment-offset":
		a.some(word)
	case "dont-fragment":
		a.rule.Unsure = true
	case "capture", "icmp-off", "icmp-on":
	case "counter":
		a.next()
	case "time-range":
		a.fail("only at some times: time-range " + a.next())
	default:
		a.typed(word)
	}
}

// behind asks for an extension header of one kind: some of the packets that have
// any.
func (a *ace) behind(word string) {
	if a.family != acl.V6 {
		a.fail("a header of IPv6 in a list of IPv4: " + word)
		return
	}
	a.rule.Match = a.rule.Match.And(acl.Match{Ext: acl.With})
	a.rule.Unsure = true
}

// optionWords are those that are no cookie behind log.
var optionWords = strings.Fields(`log log-input established ack fin rst syn psh urg match-any match-all fragments undetermined-transport
	is-fragment first-fragment last-fragment fragment-type routing hbh hop-by-hop dest-option destopts auth authen mobility routing-type
	dest-option-type mobility-type dscp precedence tos option flow-label ttl packet-length fragment-offset dont-fragment capture icmp-off
	icmp-on counter time-range reflect sequence`)

// some skips a condition on a field that is not looked at, with its value.
func (a *ace) some(word string) {
	a.rule.Unsure = true
	switch a.next() {
	case "eq", "gt", "lt", "neq":
		a.next()
	case "range":
		a.next()
		a.next()
	case "":
		a.fail("a value is missing: " + word)
	}
}

// typed reads the type of ICMP, which is not looked at, or fails.
func (a *ace) typed(word string) {
	icmp := len(a.protos) == 1 && (a.protos[0].First == 1 || a.protos[0].First == 58 || a.protos[0].First == 2)
	_, numeric := number(word)
	if icmp && (numeric || slices.Contains(icmpTypes, word)) {
		a.rule.Unsure = true
		return
	}
	a.fail("unknown word: " + word)
}

// flag asks for flags of TCP.
func (a *ace) flag(set acl.FlagSet) {
	if len(a.protos) != 1 || a.protos[0] != (acl.Range{First: acl.TCP, Last: acl.TCP}) {
		a.fail("flags of TCP in another protocol")
		return
	}
	a.flags, a.ports = set, true
}

var aceFlags = map[string]acl.Flags{"ack": acl.ACK, "fin": acl.FIN, "rst": acl.RST, "syn": acl.SYN}

// anyFlag reads flags in the old manner, of which one has to be set.
func (a *ace) anyFlag(first string) {
	words := []string{first}
	for _, w := range a.words {
		if aceFlags[w] == 0 && w != "psh" && w != "urg" {
			break
		}
		words = append(words, w)
	}
	a.words = a.words[len(words)-1:]
	var set acl.FlagSet
	for _, w := range words {
		f := aceFlags[w]
		if f == 0 { // psh and urg are not looked at: any segment may have them
			a.rule.Unsure = true
			set = acl.FlagsAre(0, 0)
			break
		}
		set |= acl.FlagsAre(f, f)
	}
	a.flag(set)
}

// flagList reads +syn -ack.
func (a *ace) flagList(all bool) {
	set, some := acl.FlagSet(0), false
	if all {
		set = acl.FlagsAre(0, 0)
	}
	for w := a.peek(); w != "" && (w[0] == '+' || w[0] == '-'); w = a.peek() {
		a.next()
		some = true
		f := aceFlags[w[1:]]
		one := acl.FlagsAre(f, f)
		switch {
		case f == 0 && w[1:] != "psh" && w[1:] != "urg":
			a.fail("unknown flag: " + w)
			return
		case f == 0:
			a.rule.Unsure = true
			one = acl.FlagsAre(0, 0)
		case w[0] == '-':
			one = acl.FlagsAre(f, 0)
		}
		if all {
			set &= one
		} else {
			set |= one
		}
	}
	if !some {
		a.fail("flags are missing")
		return
	}
	if set == 0 { // +syn -syn
		a.rule.Match.Never = true
		return
	}
	a.flag(set)
}
