package read

import (
	"slices"
	"strings"

	"go4.org/netipx"

	"ippwatch/acl"
)

// An nftRule is a rule while it is read, from left to right.
type nftRule struct {
	r     *nftReader
	table *nftTable
	rest  []token
	dirs  acl.Direction // of the packets that come to the chain

	rule    acl.Rule
	dir     acl.Direction // what the interfaces leave of dirs
	parted  bool          // an interface says different things of the directions
	limit   acl.Rate      // of the statements that follow
	limited bool
	bare    bool // ports without a protocol
	decided bool
	vmap    []acl.Rule // verdicts by the value of a field
}

// rule reads one rule; of one that it does not understand it returns what must
// be feared of it.
func (r *nftReader) rule(t *nftTable, tokens []token, dirs acl.Direction) []acl.Rule {
	rules, parted := r.ruleFor(t, tokens, dirs)
	if !parted || dirs != acl.In|acl.Out {
		return rules
	}
	known := r.lines
	in, _ := r.ruleFor(t, tokens, acl.In)
	out, _ := r.ruleFor(t, tokens, acl.Out)
	r.lines = known
	return append(in, out...)
}

func (r *nftReader) ruleFor(t *nftTable, tokens []token, dirs acl.Direction) (rules []acl.Rule, parted bool) {
	u := &nftRule{r: r, table: t, rest: r.expand(tokens), dirs: dirs, dir: dirs}
	u.rule.Line = int(tokens[0].line)
	why := ""
	for len(u.rest) > 0 && why == "" {
		why = u.part()
	}
	if why == "" && u.bare {
		why = "ports without a protocol: other protocols have other bytes there"
	}
	if why != "" {
		r.doubt(tokens, why)
		u.rule.Unsure = true
		if !u.decided {
			u.rule.Action = acl.Permit
			if slices.ContainsFunc(u.rest, func(t token) bool { return t.is("drop", "reject") }) {
				u.rule.Action = acl.Drop
			}
		}
	}
	// A rule of a chain for one direction says so even if nothing in it does.
	u.rule.Match = u.rule.Match.And(acl.Match{Dir: u.dir, Never: u.dir == 0})
	if u.vmap != nil {
		for _, one := range u.vmap {
			one.Match, one.Line = one.Match.And(u.rule.Match), u.rule.Line
			one.Unsure = one.Unsure || u.rule.Unsure
			rules = append(rules, one)
		}
		return rules, u.parted
	}
	if u.rule.Action == acl.Next && u.rule.Log == (acl.Rate{}) && !u.rule.Count {
		return nil, u.parted
	}
	return []acl.Rule{u.rule}, u.parted
}

// expand puts the values of variables in their places.
func (r *nftReader) expand(tokens []token) []token {
	variable := func(t token) bool { return !t.quoted && strings.HasPrefix(t.word, "$") }
	if !slices.ContainsFunc(tokens, variable) {
		return tokens
	}
	var all []token
	for _, t := range tokens {
		if value, ok := r.vars[strings.TrimPrefix(t.word, "$")]; ok && variable(t) {
			all = append(all, value...)
		} else {
			all = append(all, t)
		}
	}
	return all
}

// accept takes the words if they stand next.
func (u *nftRule) accept(words ...string) bool {
	if len(u.rest) < len(words) {
		return false
	}
	for i, w := range words {
		if !u.rest[i].is(w) {
			return false
		}
	}
	u.rest = u.rest[len(words):]
	return true
}

// word takes the next word; at the end it is empty.
func (u *nftRule) word() token {
	if len(u.rest) == 0 {
		return token{}
	}
	t := u.rest[0]
	u.rest = u.rest[1:]
	return t
}

// part reads one match or statement and returns what it does not know.
func (u *nftRule) part() string {
	switch {
	case u.accept("meta", "nfproto"):
		return u.field(nftNfproto)
	case u.accept("meta", "l4proto"):
		return u.field(nftProto)
	case u.accept("meta", "protocol"), u.accept("ether", "type"):
		return u.field(nftEtherType)
	case u.accept("ip", "protocol"):
		u.also(acl.Match{Family: acl.V4})
		return u.field(nftProto)
	case u.accept("ip6", "nexthdr"):
		return u.field(nftNextHeader)
	case u.accept("ip", "saddr"):
		return u.field(nftAddrs(acl.V4, false))
	case u.accept("ip", "daddr"):
		return u.field(nftAddrs(acl.V4, true))
	case u.accept("ip6", "saddr"):
		return u.field(nftAddrs(acl.V6, false))
	case u.accept("ip6", "daddr"):
		return u.field(nftAddrs(acl.V6, true))
	case u.accept("th", "sport"):
		u.bare = u.bare || u.rule.Match.Proto == nil
		return u.ports(nil, false)
	case u.accept("th", "dport"):
		u.bare = u.bare || u.rule.Match.Proto == nil
		return u.ports(nil, true)
	case u.accept("tcp", "sport"):
		return u.ports(acl.Number(6), false)
	case u.accept("tcp", "dport"):
		return u.ports(acl.Number(6), true)
	case u.accept("udp", "sport"):
		return u.ports(acl.Number(17), false)
	case u.accept("udp", "dport"):
		return u.ports(acl.Number(17), true)
	case u.accept("tcp", "flags"):
		return u.flags()
	case u.accept("iifname"), u.accept("meta", "iifname"), u.accept("iif"), u.accept("meta", "iif"):
		return u.iface(true)
	case u.accept("oifname"), u.accept("meta", "oifname"), u.accept("oif"), u.accept("meta", "oif"):
		return u.iface(false)
	case u.accept("ct", "state"):
		return u.ctState()
	case u.accept("ip", "frag-off", "&", "0x1fff", "!=", "0"), u.accept("ip", "frag-off", "&", "8191", "!=", "0"):
		u.also(acl.Match{Family: acl.V4, Frag: acl.Later})
		return ""
	case u.accept("frag", "frag-off", "!=", "0"), u.accept("exthdr", "frag", "frag-off", "!=", "0"):
		u.also(acl.Match{Family: acl.V6, Frag: acl.Later})
		return ""
	case u.accept("exthdr", "frag", "exists"):
		u.also(acl.Match{Family: acl.V6, Frag: acl.First | acl.Later})
		return ""
	}
	for _, partly := range nftPartly {
		if u.accept(partly.words...) {
			return u.partly(partly.proto)
		}
	}
	return u.statement()
}

// nftPartly are fields of which the reader knows that they are conditions, and not
// which packets meet them; a rule with one is unsure.
var nftPartly = []struct {
	words []string
	proto uint16 // of which it is a field; 0: of any
}{
	{[]string{"icmp", "type"}, 1},
	{[]string{"icmp", "code"}, 1},
	{[]string{"icmpv6", "type"}, 58},
	{[]string{"icmpv6", "code"}, 58},
	{[]string{"meta", "mark"}, 0},
	{[]string{"meta", "pkttype"}, 0},
	{[]string{"meta", "skuid"}, 0},
	{[]string{"meta", "iifgroup"}, 0},
	{[]string{"ct", "status"}, 0},
	{[]string{"ct", "mark"}, 0},
	{[]string{"ct", "direction"}, 0},
	{[]string{"ip", "dscp"}, 0},
	{[]string{"ip6", "dscp"}, 0},
	{[]string{"ip", "ttl"}, 0},
	{[]string{"ip6", "hoplimit"}, 0},
	{[]string{"ip", "length"}, 0},
	{[]string{"ether", "saddr"}, 0},
}

func (u *nftRule) partly(proto uint16) string {
	if u.accept("set") { // "meta mark set 7" changes no fate
		_, _, why := u.values()
		return why
	}
	var m acl.Match
	if proto != 0 {
		m.Proto = acl.Number(proto)
	}
	return u.field(func([]token, bool) (acl.Match, bool, string) { return m, true, "" })
}

func (u *nftRule) statement() string {
	t := u.word()
	if t.quoted {
		return "unknown word: " + t.word
	}
	switch t.word {
	case "accept":
		return u.decide(acl.Permit)
	case "drop":
		return u.decide(acl.Drop)
	case "masquerade", "snat":
		u.rest = nil // another source, behind all that filters
		return ""
	case "reject":
		u.rest = nil // with what, does not matter
		return u.decide(acl.Drop)
	case "return":
		return u.decide(acl.Return)
	case "jump":
		return u.jump(acl.Call)
	case "goto":
		return u.jump(acl.Goto)
	case "continue", "notrack":
		return ""
	case "comment":
		u.word()
		return ""
	case "counter":
		u.rule.Count = true
		if u.accept("name") {
			u.rule.Name = u.word().word
		} else if u.accept("packets") {
			u.word()
			u.accept("bytes")
			u.word()
		}
		return ""
	case "log":
		return u.log()
	case "limit":
		return u.rate()
	}
	return "unknown word: " + t.word
}

func (u *nftRule) also(m acl.Match) { u.rule.Match = u.rule.Match.And(m) }

func (u *nftRule) decide(a acl.Action) string {
	u.rule.Action, u.decided = a, true
	u.rule.Unsure = u.rule.Unsure || u.limited
	return ""
}

func (u *nftRule) jump(a acl.Action) string {
	rules, why := u.r.called(u.table, u.word().word, u.dirs)
	if why != "" {
		return why
	}
	u.rule.Rules = rules
	return u.decide(a)
}

// called are the rules of a chain to which another one leads.
func (r *nftReader) called(t *nftTable, name string, dirs acl.Direction) ([]acl.Rule, string) {
	i := slices.IndexFunc(t.chains, func(c *nftChain) bool { return c.name == name })
	switch {
	case i < 0:
		return nil, "there is no chain " + name
	case t.chains[i].busy:
		return nil, "the chain leads back to itself"
	}
	return r.rules(t, t.chains[i], dirs), ""
}

func (u *nftRule) log() string {
	u.rule.Log = acl.Rate{Per: "packet"}
	if u.limited {
		u.rule.Log = u.limit
	}
	for {
		switch {
		case u.accept("prefix"):
			if u.rule.Name == "" {
				u.rule.Name = strings.TrimSpace(u.word().word)
			} else {
				u.word()
			}
		case u.accept("level"), u.accept("group"), u.accept("snaplen"), u.accept("queue-threshold"), u.accept("flags"):
			u.word()
		default:
			return ""
		}
	}
}

// rate reads "limit rate 5/second burst 10 packets".
func (u *nftRule) rate() string {
	u.limited = true
	if !u.accept("rate") {
		return "limit without rate"
	}
	over := u.accept("over")
	n, per, _ := strings.Cut(u.word().word, "/")
	count, ok := number(n)
	if u.accept("burst") {
		u.word()
		u.word()
	}
	if !ok || over {
		u.limit = acl.Rate{Per: "packet"}
		return ""
	}
	u.limit = acl.Rate{N: int(count), Per: per}
	return ""
}

// field reads the values behind a field and joins what they mean to the rule.
func (u *nftRule) field(meaning func(words []token, not bool) (acl.Match, bool, string)) string {
	if u.accept("vmap") {
		return u.verdicts(meaning)
	}
	not := u.accept("!=")
	if !not {
		u.accept("==")
	}
	words, unsure, why := u.values()
	if why != "" {
		return why
	}
	m, maybe, why := meaning(words, not)
	u.also(m)
	u.rule.Unsure = u.rule.Unsure || unsure || maybe
	return why
}

// values takes one value, a list in braces, or the name of a set.
func (u *nftRule) values() (words []token, unsure bool, why string) {
	first := u.word()
	switch {
	case first.is("&", "|", "^", "<", ">", "<=", ">=", ""):
		return nil, false, "arithmetic"
	case first.is("{"):
		for depth := 1; depth > 0; {
			t := u.word()
			switch {
			case t.word == "" && !t.quoted:
				return nil, false, "a list without end"
			case t.is("}"):
				depth--
			case t.is("{"):
				depth++
			}
			if depth > 0 {
				words = append(words, t)
			}
		}
	case strings.HasPrefix(first.word, "@") && !first.quoted:
		s, ok := u.table.sets[first.word[1:]]
		if !ok {
			return nil, false, "there is no set " + first.word
		}
		words, unsure = s.words, s.unsure
	default:
		words = []token{first}
		for u.accept(",") {
			words = append(words, u.word())
		}
		return words, false, ""
	}
	elements, changing := nftElements(words)
	return elements, unsure || changing, ""
}

// nftElements are the values of a list without their commas, counters and
// comments. One that times out is a value that may be gone.
func nftElements(words []token) (values []token, changing bool) {
	begin := true
	for _, t := range words {
		switch {
		case t.is("\n"):
		case t.is(","):
			begin = true
		case begin:
			values = append(values, t)
			begin = false
		case t.is("timeout", "expires"):
			changing = true
		}
	}
	return values, changing
}

// verdicts reads { 631 : drop, 22 : jump x }.
func (u *nftRule) verdicts(meaning func([]token, bool) (acl.Match, bool, string)) string {
	if !u.accept("{") {
		return "a map of verdicts that has a name"
	}
	u.vmap = []acl.Rule{}
	for !u.accept("}") {
		if u.accept(",") || u.accept("\n") {
			continue
		}
		key := u.word()
		if !u.accept(":") {
			return "a map of verdicts"
		}
		m, unsure, why := meaning([]token{key}, false)
		if why != "" {
			return why
		}
		one := acl.Rule{Match: m, Unsure: unsure}
		switch verdict := u.word(); verdict.word {
		case "accept":
			one.Action = acl.Permit
		case "drop":
			one.Action = acl.Drop
		case "return":
			one.Action = acl.Return
		case "continue":
			one.Action = acl.Next
		case "jump", "goto":
			one.Action = map[string]acl.Action{"jump": acl.Call, "goto": acl.Goto}[verdict.word]
			if one.Rules, why = u.r.called(u.table, u.word().word, u.dirs); why != "" {
				return why
			}
		default:
			return "unknown verdict: " + verdict.word
		}
		u.vmap = append(u.vmap, one)
	}
	u.decided = true
	return ""
}

// ctState: the packets that are judged begin a conversation.
func (u *nftRule) ctState() string {
	return u.field(func(words []token, not bool) (acl.Match, bool, string) {
		fresh, maybe := false, false
		for _, w := range words {
			switch w.word {
			case "new":
				fresh = true
			case "established", "related", "invalid":
			case "untracked":
				maybe = true
			default:
				return acl.Match{}, false, "unknown state: " + w.word
			}
		}
		return acl.Match{Never: fresh == not && !maybe}, maybe, ""
	})
}

// iface judges a match on interfaces, which tells the direction of a packet.
func (u *nftRule) iface(arriving bool) string {
	not := u.accept("!=")
	if !not {
		u.accept("==")
	}
	names, unsure, why := u.values()
	if why != "" {
		return why
	}
	for _, d := range []acl.Direction{acl.In, acl.Out} {
		if u.dirs&d == 0 {
			continue
		}
		is, known := u.r.meets(names, d, arriving)
		switch {
		case !known || unsure:
			u.rule.Unsure, u.parted = true, true
		case is == not:
			u.dir &^= d
		}
	}
	return ""
}

// meets tells whether the packets of a direction arrive at (or leave by) one of
// the interfaces. It is not known if only some of ours are named, or if the
// packets use another side of the router of which nothing is said.
func (r *nftReader) meets(names []token, d acl.Direction, arriving bool) (is, known bool) {
	ours := r.place.Interfaces
	named := func(iface string) bool {
		return slices.ContainsFunc(names, func(t token) bool {
			stem, wild := strings.CutSuffix(t.word, "*")
			return t.word == iface || wild && strings.HasPrefix(iface, stem)
		})
	}
	here := r.place.Profile.Arriving() == d == arriving
	if r.place.Profile == acl.Host {
		here = len(ours) > 0
	}
	if !here {
		// Any interface but ours and the loopback.
		for _, t := range names {
			if t.word != "lo" && !slices.Contains(ours, t.word) && !slices.Contains(r.place.Others, t.word) {
				return false, false
			}
		}
		return false, true
	}
	n := 0
	for _, iface := range ours {
		if named(iface) {
			n++
		}
	}
	return n > 0, n == 0 || n == len(ours)
}

var nftFlagBits = map[string]acl.Flags{"fin": acl.FIN, "syn": acl.SYN, "rst": acl.RST, "ack": acl.ACK}

// flags reads "tcp flags & (syn | ack) == syn", "tcp flags syn / syn,ack" and
// "tcp flags syn", which is true if one of them is set.
func (u *nftRule) flags() string {
	u.also(acl.Match{Proto: acl.Number(6)})
	if u.accept("&") {
		mask, ok := u.flagBits()
		not := u.accept("!=")
		if !ok || !not && !u.accept("==") {
			return "unknown flags"
		}
		want, ok := u.flagBits()
		return u.flagsAre(mask, want, not, ok)
	}
	not := u.accept("!=")
	if u.accept("==") {
		return "flags that are compared with all eight" // PSH and URG are not looked at
	}
	want, ok := u.flagBits()
	if u.accept("/") {
		mask, fine := u.flagBits()
		return u.flagsAre(mask, want, not, ok && fine)
	}
	if !ok || not {
		return "unknown flags"
	}
	u.also(acl.Match{Flags: ^acl.FlagsAre(want, 0)})
	return ""
}

func (u *nftRule) flagsAre(mask, want acl.Flags, not, ok bool) string {
	set := acl.FlagsAre(mask, want)
	if not {
		set = ^set
	}
	switch {
	case !ok:
		return "unknown flags"
	case set == 0 || want&^mask != 0:
		u.also(acl.Match{Never: true})
	default:
		u.also(acl.Match{Flags: set})
	}
	return ""
}

// flagBits reads flags between commas or bars, in brackets or not.
func (u *nftRule) flagBits() (acl.Flags, bool) {
	var f acl.Flags
	in := u.accept("(")
	for {
		t := u.word()
		bit, ok := nftFlagBits[t.word]
		if t.is("0x0", "0") {
			bit, ok = 0, true
		}
		if !ok {
			return 0, false
		}
		f |= bit
		if !u.accept("|") && !u.accept(",") {
			break
		}
	}
	return f, !in || u.accept(")")
}

var nftProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "vrrp": 112, "comp": 108, "sctp": 132, "udplite": 136,
}

var nftServices = map[string]uint16{
	"ssh": 22, "smtp": 25, "domain": 53, "http": 80, "ntp": 123, "snmp": 161, "bgp": 179, "https": 443, "printer": 515, "ipp": 631,
}

// nftNumbers reads numbers, ranges and names.
func nftNumbers(words []token, names map[string]uint16) (acl.Ranges, string) {
	rs := acl.Ranges{}
	for _, w := range words {
		one := func(s string) (uint16, bool) {
			if n, ok := names[s]; ok {
				return n, true
			}
			return number(s)
		}
		if n, ok := one(w.word); ok {
			rs = append(rs, acl.Range{First: n, Last: n})
			continue
		}
		a, b, _ := strings.Cut(w.word, "-")
		from, ok := one(a)
		to, fine := one(b)
		if !ok || !fine || from > to {
			return nil, "unknown number: " + w.word
		}
		rs = append(rs, acl.Range{First: from, Last: to})
	}
	return rs, ""
}

func nftProto(words []token, not bool) (acl.Match, bool, string) {
	rs, why := nftNumbers(words, nftProtocols)
	if not && why == "" {
		var some bool
		if rs, some = rs.Not(255); !some {
			return acl.Match{Never: true}, false, ""
		}
	}
	return acl.Match{Proto: rs}, false, why
}

// nftNextHeader sees the first header alone: behind an extension header it finds
// no TCP and no UDP, and in a fragment it finds the fragment header.
func nftNextHeader(words []token, not bool) (acl.Match, bool, string) {
	m, _, why := nftProto(words, false)
	for _, r := range m.Proto {
		for _, ext := range []uint16{0, 43, 44, 60, 135} {
			if r.First <= ext && ext <= r.Last {
				return acl.Match{Family: acl.V6}, true, why
			}
		}
	}
	if not {
		return acl.Match{Family: acl.V6}, true, why
	}
	m.Family, m.Ext = acl.V6, acl.Without
	return m, false, why
}

func nftNfproto(words []token, not bool) (acl.Match, bool, string) {
	return nftFamily(words, not, map[string]acl.Family{"ipv4": acl.V4, "2": acl.V4, "ipv6": acl.V6, "10": acl.V6})
}

func nftEtherType(words []token, not bool) (acl.Match, bool, string) {
	return nftFamily(words, not, map[string]acl.Family{"ip": acl.V4, "0x0800": acl.V4, "ip6": acl.V6, "0x86dd": acl.V6})
}

func nftFamily(words []token, not bool, names map[string]acl.Family) (acl.Match, bool, string) {
	var f acl.Family
	for _, w := range words {
		one, ok := names[w.word]
		if !ok {
			return acl.Match{}, false, "unknown family: " + w.word
		}
		f |= one
	}
	if not {
		f ^= acl.V4 | acl.V6
	}
	return acl.Match{Family: f, Never: f == 0}, false, ""
}

func nftAddrs(f acl.Family, dst bool) func([]token, bool) (acl.Match, bool, string) {
	return func(words []token, not bool) (acl.Match, bool, string) {
		var rs []netipx.IPRange
		for _, w := range words {
			r, ok := span(w.word)
			if !ok || r.From().Is4() != (f == acl.V4) {
				return acl.Match{Family: f}, false, "unknown address: " + w.word
			}
			rs = append(rs, r)
		}
		nets := acl.NetsFrom(rs...)
		if not {
			nets = nets.Not()
		}
		if dst {
			return acl.Match{Family: f, Dst: nets}, false, ""
		}
		return acl.Match{Family: f, Src: nets}, false, ""
	}
}

// ports reads "dport 631" and "dport < 1024".
func (u *nftRule) ports(proto acl.Ranges, dst bool) string {
	for _, op := range []string{"<", "<=", ">", ">="} {
		if !u.accept(op) {
			continue
		}
		w := u.word()
		rs, why := nftNumbers([]token{w}, nftServices)
		if why != "" || len(rs) != 1 || rs[0].First != rs[0].Last {
			return "unknown number: " + w.word
		}
		n := int(rs[0].First)
		from, to := 0, n
		switch op {
		case "<":
			to = n - 1
		case ">":
			from, to = n+1, 65535
		case ">=":
			from, to = n, 65535
		}
		u.also(acl.Match{Proto: proto, Never: from > to})
		if from > to {
			return ""
		}
		rs = acl.Ranges{{First: uint16(from), Last: uint16(to)}}
		if dst {
			u.also(acl.Match{DPort: rs})
		} else {
			u.also(acl.Match{SPort: rs})
		}
		return ""
	}
	return u.field(nftPorts(proto, dst))
}

func nftPorts(proto acl.Ranges, dst bool) func([]token, bool) (acl.Match, bool, string) {
	return func(words []token, not bool) (acl.Match, bool, string) {
		rs, why := nftNumbers(words, nftServices)
		if why == "" && not {
			var some bool
			if rs, some = rs.Not(65535); !some {
				return acl.Match{Proto: proto, Never: true}, false, ""
			}
		}
		if dst {
			return acl.Match{Proto: proto, DPort: rs}, false, why
		}
		return acl.Match{Proto: proto, SPort: rs}, false, why
	}
}
