package read

import (
	"maps"
	"slices"
	"strings"

	"ippwatch/acl"
)

// rules are those of a filter.
func (r *junosReader) rules(family, name string) []acl.Rule {
	f := r.filters[family+" "+name]
	switch {
	case f == nil:
		r.at(place{}, "filter "+name, "there is no such filter here")
	case f.busy:
		r.at(f.where, "filter "+name, "the filter leads back to itself")
	case f.read != nil:
		return f.read
	default:
		if r.changes && !f.fresh {
			r.at(f.where, "filter "+name, "what the filter held before stays in it")
		}
		f.busy = true
		all := []acl.Rule{}
		for _, t := range f.terms {
			all = append(all, r.term(f, t)...)
		}
		if weight(all) > mostCalled {
			r.at(f.where, "filter "+name, tooManyCalls)
			all = []acl.Rule{{Action: acl.Permit, Unsure: true, Line: f.where.line}}
		}
		f.busy, f.read = false, all
		return all
	}
	return []acl.Rule{{Action: acl.Permit, Unsure: true}}
}

// A junosFrom collects the conditions of a term: several of one kind are
// alternatives, of different kinds all have to hold.
type junosFrom struct {
	match      acl.Match
	src, dst   junosNets
	either     junosNets    // address, prefix-list: of source or destination
	port       acl.Ranges   // of source or destination
	protos     []acl.Ranges // protocol, or -except
	flags      acl.FlagSet
	unsure     bool
	plainFlags bool // flags are looked at whatever the protocol is
}

// junosNets are addresses, of which the longest decides.
type junosNets struct {
	bits   []int
	except []bool
	nets   []acl.Nets
	asked  bool
}

func (n *junosNets) add(bits int, except bool, nets acl.Nets) {
	n.bits, n.except, n.nets, n.asked = append(n.bits, bits), append(n.except, except), append(n.nets, nets), true
}

func (n *junosNets) set() acl.Nets {
	if !n.asked {
		return acl.Nets{}
	}
	byBits := make(map[int][]int)
	for i, b := range n.bits {
		byBits[b] = append(byBits[b], i)
	}
	all := acl.NetsOf()
	for _, bits := range slices.Sorted(maps.Keys(byBits)) {
		var add, remove []acl.Nets
		for _, i := range byBits[bits] {
			if n.except[i] {
				remove = append(remove, n.nets[i])
			} else {
				add = append(add, n.nets[i])
			}
		}
		all = all.Or(acl.Union(add...))
		if remove != nil {
			all = all.And(acl.Union(remove...).Not())
		}
	}
	return all
}

// term reads a term; of one that is not understood it returns what must be
// feared of it.
func (r *junosReader) term(f *junosFilter, t *junosTerm) []acl.Rule {
	if t.filter != "" {
		rule := acl.Rule{Action: acl.Call, Rules: r.rules(f.family, t.filter), Line: t.where.line}
		for _, l := range slices.Concat(t.from, t.then) {
			r.at(l.place, strings.Join(l.words, " "), "stands beside a filter")
			rule.Unsure = true
		}
		return []acl.Rule{rule}
	}
	rule := acl.Rule{Name: t.name, Line: t.where.line}
	r.then(t, &rule)
	var from junosFrom
	for _, l := range t.from {
		if len(l.words) == 0 {
			continue
		}
		if why := from.condition(r, f.family, l.words); why != "" {
			r.at(l.place, strings.Join(l.words, " "), why)
			from.unsure = true
		}
	}
	return from.rules(rule)
}

// then reads actions; a term without one that ends the walk accepts.
func (r *junosReader) then(t *junosTerm, rule *acl.Rule) {
	rule.Action = acl.Permit
	for _, l := range t.then {
		if len(l.words) == 0 {
			continue
		}
		switch w := l.words; {
		case w[0] == "accept":
			rule.Action = acl.Permit
		case w[0] == "discard" || w[0] == "reject":
			rule.Action = acl.Drop
		case w[0] == "next" && len(w) == 2 && w[1] == "term":
			rule.Action = acl.Next
		case w[0] == "count" && len(w) == 2:
			rule.Count, rule.Name = true, w[1]
		case w[0] == "log" || w[0] == "syslog":
			rule.Log = acl.Rate{Per: "packet"}
		case slices.Contains([]string{"policer", "three-color-policer", "hierarchical-policer", "forwarding-class", "loss-priority", "dscp", "traffic-class", "sample", "port-mirror", "packet-mode", "service-accounting", "prefix-action", "logical-system", "routing-instance", "topology", "next-ip", "next-ip6", "next-interface", "load-balance", "no-mitigation"}, w[0]):
			// A policer drops what is too much, which closes nothing; the others
			// mark, copy, or choose another way out.
		default:
			r.at(l.place, strings.Join(w, " "), "unknown action")
			rule.Unsure = true
		}
	}
}

// condition reads one statement below from.
func (u *junosFrom) condition(r *junosReader, family string, w []string) string {
	if len(w) > 3 || len(w) == 3 && w[2] != "except" {
		return "unknown condition"
	}
	except := len(w) == 3
	word := w[0]
	switch len(w) {
	case 1:
		return u.flag(family, word)
	default:
		side := map[string]*junosNets{"source-": &u.src, "destination-": &u.dst, "": &u.either}
		for prefix, nets := range side {
			switch word {
			case prefix + "address":
				return nets.address(family, w[1], except)
			case prefix + "prefix-list":
				return u.prefixList(r, nets, family, w[1], except)
			}
		}
	}
	if except {
		return "unknown condition"
	}
	name, not := strings.CutSuffix(word, "-except")
	switch name {
	case "protocol", "payload-protocol", "next-header":
		return u.proto(family, name, w[1], not)
	case "destination-port", "source-port", "port":
		return u.ports(name, w[1], not)
	case "tcp-flags":
		set, ok := junosFlags(w[1])
		if !ok {
			return "unknown flags"
		}
		u.flags, u.plainFlags = set, true
		return ""
	case "icmp-type", "icmp-code", "icmp-type-code", "dscp", "precedence", "traffic-class", "packet-length", "ttl", "hop-limit", "fragment-flags", "fragment-offset",
		"ip-options", "forwarding-class", "loss-priority", "interface", "interface-group", "interface-set", "esp-spi", "ah-spi", "flexible-match-mask", "flexible-match-range",
		"extension-header", "source-class", "destination-class", "rat-type":
		u.unsure = true // known, and narrower than what is compared here
		return ""
	}
	return "unknown condition"
}

// flag reads a condition without a value.
func (u *junosFrom) flag(family, word string) string {
	switch word {
	case "tcp-initial":
		u.flags, u.plainFlags = acl.Initial, true
	case "tcp-established":
		u.flags, u.plainFlags = acl.Established, true
	case "is-fragment":
		u.match = u.match.And(acl.Match{Frag: acl.Later})
	case "first-fragment":
		u.match = u.match.And(acl.Match{Frag: acl.First})
	case "service-filter-hit":
		u.unsure = true
	default:
		return "unknown condition"
	}
	if family == "inet6" && strings.HasSuffix(word, "fragment") {
		return "unknown for IPv6"
	}
	return ""
}

func (n *junosNets) address(family, word string, except bool) string {
	p, ok := prefix(word)
	if !ok || p.Addr().Is4() != (family == "inet") {
		n.add(0, true, acl.NetsOf())
		return "unknown address"
	}
	n.add(p.Bits(), except, acl.NetsOf(p))
	return ""
}

// prefixList adds those of the family: a list may have both.
func (u *junosFrom) prefixList(r *junosReader, n *junosNets, family, name string, except bool) string {
	l := r.lists[name]
	if l == nil {
		n.add(0, true, acl.NetsOf())
		return "there is no prefix-list " + name
	}
	n.asked = true
	for _, word := range l.prefixes {
		p, ok := prefix(word)
		if !ok {
			return "unknown address in prefix-list " + name + ": " + word
		}
		if p.Addr().Is4() == (family == "inet") {
			n.add(p.Bits(), except, acl.NetsOf(p))
		}
	}
	if l.unsure {
		*n = junosNets{} // anything may be in it
		u.unsure = true
	}
	return ""
}

var junosProtocols = map[string]uint16{
	"hop-by-hop": 0, "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "ipv6": 41, "routing": 43, "fragment": 44, "rsvp": 46,
	"gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "icmpv6": 58, "no-next-header": 59, "dstopts": 60, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132,
}

// proto reads protocol (IPv4), payload-protocol, which finds the upper layer of
// IPv6, and next-header, which sees the fixed header alone.
func (u *junosFrom) proto(family, name, word string, not bool) string {
	if (name == "protocol") != (family == "inet") {
		return name + " is not for this family"
	}
	rs, why := junosNumbers(word, junosProtocols)
	if why != "" {
		return why
	}
	if name == "next-header" {
		if not || slices.ContainsFunc(rs, func(r acl.Range) bool {
			return slices.ContainsFunc([]uint16{0, 43, 44, 60, 135}, func(ext uint16) bool { return r.First <= ext && ext <= r.Last })
		}) {
			u.unsure = true
			return ""
		}
		u.match.Ext = acl.Without
	}
	if not {
		some := false
		if rs, some = rs.Not(255); !some {
			u.match.Never = true
		}
	}
	// Several values of an -except exclude each other: all of them have to hold.
	if not && len(u.protos) > 0 {
		u.match = u.match.And(acl.Match{Proto: rs})
		return ""
	}
	u.protos = append(u.protos, rs)
	return ""
}

var junosPorts = map[string]uint16{
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "tacacs": 49, "domain": 53, "tacacs-ds": 65, "bootps": 67, "dhcp": 67, "bootpc": 68,
	"tftp": 69, "finger": 79, "http": 80, "kerberos-sec": 88, "pop3": 110, "sunrpc": 111, "ident": 113, "nntp": 119, "ntp": 123, "netbios-ns": 137,
	"netbios-dgm": 138, "netbios-ssn": 139, "imap": 143, "snmp": 161, "snmptrap": 162, "xdmcp": 177, "bgp": 179, "ldap": 389, "mobileip-agent": 434,
	"https": 443, "snpp": 444, "biff": 512, "exec": 512, "login": 513, "who": 513, "cmd": 514, "syslog": 514, "printer": 515, "talk": 517, "ntalk": 518,
	"rip": 520, "timed": 525, "klogin": 543, "kshell": 544, "msdp": 639, "ldp": 646, "krb-prop": 754, "krbupdate": 760, "kpasswd": 761, "socks": 1080,
	"afs": 1483, "pptp": 1723, "radius": 1812, "radacct": 1813, "nfsd": 2049, "eklogin": 2105, "ekshell": 2106, "rkinit": 2108, "cvspserver": 2401,
}

func (u *junosFrom) ports(name, word string, not bool) string {
	rs, why := junosNumbers(word, junosPorts)
	if why != "" {
		return why
	}
	field := map[string]*acl.Ranges{"destination-port": &u.match.DPort, "source-port": &u.match.SPort, "port": &u.port}[name]
	if not {
		if name == "port" {
			u.unsure = true
			return ""
		}
		rs, _ = rs.Not(65535)
		m := acl.Match{DPort: rs}
		if name == "source-port" {
			m = acl.Match{SPort: rs}
		}
		u.match = u.match.And(m)
		return ""
	}
	*field = append(*field, rs...)
	return ""
}

// junosNumbers reads a number, a name, or two with a dash.
func junosNumbers(word string, names map[string]uint16) (acl.Ranges, string) {
	one := func(s string) (uint16, bool) {
		if n, ok := names[s]; ok {
			return n, true
		}
		return number(s)
	}
	if n, ok := one(word); ok {
		return acl.Number(n), ""
	}
	a, b, _ := strings.Cut(word, "-")
	from, ok := one(a)
	to, fine := one(b)
	if !ok || !fine || from > to {
		return nil, "unknown number: " + word
	}
	return acl.Ranges{{First: from, Last: to}}, ""
}

// rules are the term as rules: what is about source or destination is two.
func (u *junosFrom) rules(rule acl.Rule) []acl.Rule {
	m := u.match
	m.Src, m.Dst = u.src.set(), u.dst.set()
	var protos acl.Ranges
	for _, rs := range u.protos {
		protos = append(protos, rs...)
	}
	if protos != nil {
		m = m.And(acl.Match{Proto: protos})
	}
	if u.flags != 0 {
		m = m.And(acl.Match{Flags: u.flags})
	}
	matches := []acl.Match{m}
	also := func(a, b acl.Match) {
		var all []acl.Match
		for _, m := range matches {
			all = append(all, m.And(a), m.And(b))
		}
		matches = all
	}
	if u.either.asked {
		also(acl.Match{Src: u.either.set()}, acl.Match{Dst: u.either.set()})
	}
	if u.port != nil {
		also(acl.Match{SPort: u.port}, acl.Match{DPort: u.port})
	}
	var all []acl.Rule
	for _, m := range matches {
		one := rule
		one.Match, one.Unsure = m, rule.Unsure || u.unsure
		all = append(all, one)
	}
	// Without a protocol the bytes are looked at whatever they are.
	if (u.port != nil || u.match.DPort != nil || u.match.SPort != nil || u.plainFlags) && protos == nil {
		one := rule
		one.Match, one.Unsure = m, true
		one.Match.DPort, one.Match.SPort, one.Match.Flags = nil, nil, 0
		all = append(all, one)
	}
	return all
}

// junosFlags evaluates "(syn & !ack) | rst" for every segment.
func junosFlags(text string) (acl.FlagSet, bool) {
	var set acl.FlagSet
	bits := map[string]acl.Flags{"fin": acl.FIN, "syn": acl.SYN, "rst": acl.RST, "ack": acl.ACK, "0x1": acl.FIN, "0x2": acl.SYN, "0x4": acl.RST, "0x10": acl.ACK}
	known := true
	for i := range acl.Flags(0x20) {
		if i&8 != 0 { // PSH is not looked at
			continue
		}
		p := junosExpr{text: strings.ReplaceAll(text, " ", ""), has: func(word string) bool {
			bit, ok := bits[word]
			known = known && ok
			return i&bit != 0
		}}
		value := p.or()
		if p.text != "" || p.failed {
			return 0, false
		}
		if value {
			set |= acl.FlagsAre(acl.FIN|acl.SYN|acl.RST|acl.ACK, i)
		}
	}
	return set, known && set != 0
}

type junosExpr struct {
	text   string
	has    func(word string) bool
	depth  int
	failed bool
}

func (p *junosExpr) accept(words ...string) bool {
	for _, w := range words {
		if rest, ok := strings.CutPrefix(p.text, w); ok {
			p.text = rest
			return true
		}
	}
	return false
}

func (p *junosExpr) or() bool {
	v := p.and()
	for p.accept("|", ",") {
		other := p.and()
		v = v || other
	}
	return v
}

func (p *junosExpr) and() bool {
	v := p.not()
	for p.accept("&", "+") {
		other := p.not()
		v = v && other
	}
	return v
}

func (p *junosExpr) not() bool {
	if p.depth++; p.depth > 100 {
		p.failed = true
		return false
	}
	if p.accept("!") {
		return !p.not()
	}
	if p.accept("(") {
		v := p.or()
		p.failed = p.failed || !p.accept(")")
		return v
	}
	n := strings.IndexAny(p.text, "|,&+!()")
	if n < 0 {
		n = len(p.text)
	}
	word := p.text[:n]
	p.text = p.text[n:]
	return p.has(word)
}
