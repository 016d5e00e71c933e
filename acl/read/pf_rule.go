package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// A pfRule is a rule of pf; lists in braces make it match if one element does.
type pfRule struct {
	r    *pfReader
	rest []token

	acl.Match
	action acl.Action
	quick  bool
	way    string // in, out, or both when empty
	on     []pfIface
	unsure bool
	// A pass for TCP looks at the first segment alone, unless flags says more.
	anyFlags bool
	flags    acl.FlagSet
	noState  bool
	label    string
	from, to bool // were read
	log      bool
	line     int
}

type pfIface struct {
	name string
	not  bool
}

func (r *pfReader) rule(s []token, base acl.Match, way string, on []pfIface) {
	u := pfRule{r: r, rest: s[1:], way: way, on: on, line: int(s[0].line)}
	u.Match = base
	switch s[0].word {
	case "pass":
		u.action = acl.Permit
	case "block":
		u.action = acl.Drop
		if u.accept("return") || u.accept("return-rst") || u.accept("return-icmp") || u.accept("return-icmp6") {
			u.brackets()
		}
		u.accept("drop")
	}
	for len(u.rest) > 0 {
		if why := u.part(); why != "" {
			r.doubt(s, why)
			u.unsure = true
			break
		}
	}
	r.rules = append(r.rules, u)
}

func (u *pfRule) accept(word string) bool {
	if len(u.rest) > 0 && u.rest[0].is(word) {
		u.rest = u.rest[1:]
		return true
	}
	return false
}

func (u *pfRule) take() token {
	if len(u.rest) == 0 {
		return token{}
	}
	t := u.rest[0]
	u.rest = u.rest[1:]
	return t
}

// brackets passes over ( ... ).
func (u *pfRule) brackets() {
	if !u.accept("(") {
		return
	}
	for len(u.rest) > 0 && !u.accept(")") {
		u.take()
	}
}

// list takes one element, or those in braces; a "!" stands before what it
// denies.
func (u *pfRule) list() []token {
	if !u.accept("{") {
		if u.accept("!") {
			t := u.take()
			return []token{{word: "!", line: t.line}, t}
		}
		return []token{u.take()}
	}
	var all []token
	for len(u.rest) > 0 && !u.accept("}") {
		if t := u.take(); !t.is("\n") {
			all = append(all, t)
		}
	}
	return all
}

// pfHarmless are options that change nothing about whether a packet passes,
// with how many words follow them.
var pfHarmless = map[string]int{
	"tag": 1, "rtable": 1, "queue": 1, "allow-opts": 0, "ridentifier": 1, "dnpipe": 1, "dnqueue": 1, "max-mss": 1, "min-ttl": 1,
}

func (u *pfRule) part() string {
	t := u.take()
	if t.quoted {
		return "unknown word: " + t.word
	}
	switch t.word {
	case "in", "out":
		if u.way != "" && u.way != t.word {
			u.Never = true
		}
		u.way = t.word
	case "log":
		u.log = true
		u.brackets()
	case "quick":
		u.quick = true
	case "on":
		return u.interfaces()
	case "inet":
		u.also(acl.Match{Family: acl.V4})
	case "inet6":
		u.also(acl.Match{Family: acl.V6})
	case "proto":
		return u.protocol()
	case "all":
	case "from":
		return u.side(false)
	case "to":
		return u.side(true)
	case "flags":
		return u.flagsOption()
	case "no":
		if !u.accept("state") {
			return "unknown word: no"
		}
		u.noState = true
	case "keep", "modulate":
		u.accept("state")
		u.brackets()
	case "synproxy":
		u.accept("state")
		u.brackets()
	case "label":
		u.label = u.take().word
	case "fragment":
		u.also(acl.Match{Frag: acl.First | acl.Later})
		u.unsure = true
	case "set":
		u.brackets()
	case "route-to", "reply-to", "dup-to":
		if !u.accept("(") {
			u.take()
			break
		}
		for len(u.rest) > 0 && !u.accept(")") {
			u.take()
		}
	case "icmp-type", "icmp6-type":
		u.list()
		u.unsure = true
	case "probability", "tagged", "received-on", "user", "group", "os":
		u.list()
		u.unsure = true
	case "once":
		u.unsure = true
	default:
		n, ok := pfHarmless[t.word]
		if !ok {
			return "unknown word: " + t.word
		}
		for range n {
			u.list()
		}
	}
	return ""
}

func (u *pfRule) also(m acl.Match) { u.Match = u.And(m) }

func (u *pfRule) interfaces() string {
	not := false
	for _, t := range u.list() {
		switch {
		case t.is("!"):
			not = true
			continue
		case t.is("any"):
			u.on = nil
		case t.is("rdomain"):
			return "rdomain"
		default:
			u.on = append(slices.Clip(u.on), pfIface{t.word, not})
		}
		not = false
	}
	return ""
}

var pfProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "ipv6-icmp": 58,
	"ospf": 89, "carp": 112, "pfsync": 240, "sctp": 132,
}

func (u *pfRule) protocol() string {
	rs := acl.Ranges{}
	for _, t := range u.list() {
		n, ok := pfProtocols[t.word]
		if !ok {
			if n, ok = number(t.word); !ok || n > 255 {
				return "unknown protocol: " + t.word
			}
		}
		rs = append(rs, acl.Range{First: n, Last: n})
	}
	u.also(acl.Match{Proto: rs})
	return ""
}

// side reads addresses and ports behind from or to.
func (u *pfRule) side(dst bool) string {
	if dst && u.to || !dst && (u.from || u.to) {
		return "from and to stand once, in this order"
	}
	u.from, u.to = u.from || !dst, u.to || dst
	if len(u.rest) > 0 && !u.rest[0].is("port") {
		nets, unsure, why := u.addresses()
		if why != "" {
			return why
		}
		u.unsure = u.unsure || unsure
		if dst {
			u.also(acl.Match{Dst: nets})
		} else {
			u.also(acl.Match{Src: nets})
		}
	}
	if !u.accept("port") {
		return ""
	}
	rs, why := u.portList()
	if why != "" {
		return why
	}
	if u.Proto == nil {
		// pf wants a protocol with ports.
		return "ports without a protocol"
	}
	if dst {
		u.also(acl.Match{DPort: rs})
	} else {
		u.also(acl.Match{SPort: rs})
	}
	return ""
}

func (u *pfRule) addresses() (nets acl.Nets, unsure bool, why string) {
	var all []acl.Nets
	braces := u.accept("{")
	for {
		not := u.accept("!")
		nets, maybe, why := u.address()
		if why != "" {
			return nets, true, why
		}
		if not {
			nets = nets.Not()
		}
		all, unsure = append(all, nets), unsure || maybe
		if !braces {
			break
		}
		for u.accept("\n") {
			continue
		}
		if u.accept("}") {
			break
		}
		if len(u.rest) == 0 {
			return nets, true, "a list without end"
		}
	}
	return acl.Union(all...), unsure, ""
}

func (u *pfRule) address() (acl.Nets, bool, string) {
	t := u.take()
	switch {
	case t.is("any"):
		return acl.Nets{}, false, ""
	case t.is("self", "no-route", "urpf-failed"):
		return acl.Nets{}, true, ""
	case t.is("("): // the addresses of an interface, as they are then
		for len(u.rest) > 0 && !u.accept(")") {
			u.take()
		}
		return acl.Nets{}, true, ""
	case t.is("<"):
		name := u.take().word
		if !u.accept(">") {
			return acl.Nets{}, true, "a table without end"
		}
		set, ok := u.r.tables[name]
		if !ok {
			return acl.Nets{}, true, "there is no table " + name
		}
		if set.unsure {
			return acl.Nets{}, true, ""
		}
		return set.nets, false, ""
	}
	r, ok := span(t.word)
	if !ok {
		return acl.Nets{}, true, "unknown address: " + t.word
	}
	return acl.NetsFrom(r), false, ""
}

var pfServices = map[string]uint16{
	"ssh": 22, "smtp": 25, "domain": 53, "http": 80, "ntp": 123, "snmp": 161, "bgp": 179, "https": 443, "printer": 515, "ipp": 631,
}

func pfPort(word string) (uint16, bool) {
	if n, ok := pfServices[word]; ok {
		return n, true
	}
	return number(word)
}

// portList reads 631, = 631, 600:700, > 1023, 1 >< 10, and lists of them.
func (u *pfRule) portList() (acl.Ranges, string) {
	rs := acl.Ranges{}
	braces := u.accept("{")
	for {
		one, why := u.portRange()
		if why != "" {
			return nil, why
		}
		rs = append(rs, one...)
		if !braces {
			return rs, ""
		}
		for u.accept("\n") {
			continue
		}
		if u.accept("}") {
			return rs, ""
		}
		if len(u.rest) == 0 {
			return nil, "a list without end"
		}
	}
}

func (u *pfRule) portRange() (acl.Ranges, string) {
	op := ""
	for _, o := range []string{"=", "!=", "<", ">", "<=", ">=", "!"} {
		if u.accept(o) {
			op = o
			break
		}
	}
	if op == "!" && u.accept("=") {
		op = "!="
	}
	word := u.take().word
	from, to, ranged := strings.Cut(word, ":")
	a, ok := pfPort(from)
	if !ok {
		return nil, "unknown port: " + word
	}
	b := a
	if ranged {
		if b, ok = pfPort(to); !ok || b < a {
			return nil, "unknown port: " + word
		}
	}
	between, outside := u.accept("><"), false
	if !between {
		outside = u.accept("<>")
	}
	if between || outside {
		if b, ok = pfPort(u.take().word); !ok || b <= a {
			return nil, "unknown port: " + word
		}
	}
	switch {
	case between && b == a+1:
		return acl.Ranges{}, ""
	case between:
		return acl.Ranges{{First: a + 1, Last: b - 1}}, ""
	case outside:
		rs, _ := acl.Ranges{{First: a, Last: b}}.Not(65535)
		return rs, ""
	}
	switch op {
	case "", "=":
		return acl.Ranges{{First: a, Last: b}}, ""
	case "!=":
		rs, _ := acl.Ranges{{First: a, Last: b}}.Not(65535)
		return rs, ""
	case "<=":
		return acl.Ranges{{First: 0, Last: a}}, ""
	case ">=":
		return acl.Ranges{{First: a, Last: 65535}}, ""
	case "<":
		if a == 0 {
			return acl.Ranges{}, ""
		}
		return acl.Ranges{{First: 0, Last: a - 1}}, ""
	case ">":
		if a == 65535 {
			return acl.Ranges{}, ""
		}
		return acl.Ranges{{First: a + 1, Last: 65535}}, ""
	}
	return nil, "unknown port: " + op
}

// flagsOption reads "flags S/SA" and "flags any".
func (u *pfRule) flagsOption() string {
	word := u.take().word
	if word == "any" {
		u.anyFlags = true
		return ""
	}
	bits := func(letters string) (f acl.Flags, ok bool) {
		for _, c := range letters {
			bit, known := map[rune]acl.Flags{'F': acl.FIN, 'S': acl.SYN, 'R': acl.RST, 'A': acl.ACK}[c]
			if !known {
				return 0, false
			}
			f |= bit
		}
		return f, true
	}
	w, m, _ := strings.Cut(word, "/")
	want, ok := bits(w)
	mask, fine := bits(m)
	if !ok || !fine || mask == 0 {
		return "flags that are not looked at: " + word
	}
	if want&^mask != 0 {
		u.Never = true
		return ""
	}
	u.flags = acl.FlagsAre(mask, want)
	return ""
}

// at is the rule where packets come in or go out, at our interface or another.
func (u *pfRule) at(way string, here bool) []acl.Rule {
	if u.way != "" && u.way != way || u.action == acl.Next {
		return nil
	}
	rule := acl.Rule{Name: u.label, Match: u.Match, Action: u.action, Unsure: u.unsure, Line: u.line, Count: u.label != ""}
	if u.log {
		rule.Log = acl.Rate{Per: "packet"}
	}
	is, known := u.meets(here)
	switch {
	case !known:
		rule.Unsure = true
	case !is:
		return nil
	}
	if u.flags != 0 {
		rule.Match = rule.Match.And(acl.Match{Flags: u.flags})
		return []acl.Rule{rule}
	}
	if u.action == acl.Drop || u.anyFlags || u.noState {
		return []acl.Rule{rule}
	}
	// A pass that keeps state is for "flags S/SA" unless it says otherwise; what
	// is not TCP has none.
	first, other := rule, rule
	first.Match = first.Match.And(acl.Match{Proto: acl.Number(6), Flags: acl.Initial})
	noTCP, _ := acl.Number(6).Not(255)
	other.Match = other.Match.And(acl.Match{Proto: noTCP})
	return []acl.Rule{first, other}
}

// meets tells whether the rule is for the interface at which the packets are.
func (u *pfRule) meets(here bool) (is, known bool) {
	if u.on == nil {
		return true, true
	}
	at := u.r.place
	ours := slices.Concat(at.Interfaces, at.Others)
	known = true
	for _, iface := range u.on {
		named := slices.Contains(at.Interfaces, iface.name)
		switch {
		case here && named != iface.not:
			return true, true
		case here && !named && !strings.ContainsAny(iface.name, "0123456789") && !slices.Contains(ours, iface.name):
			known = false // the name may be a group, such as egress
		case !here && !iface.not && iface.name != "lo" && iface.name != "lo0" && !slices.Contains(ours, iface.name):
			known = false
		case !here && iface.not:
			known = slices.Contains(ours, iface.name)
			is = is || known
		}
	}
	return is, known
}
