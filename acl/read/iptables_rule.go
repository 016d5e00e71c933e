package read

import (
	"slices"
	"strings"

	"go4.org/netipx"

	"ippwatch/acl"
)

// An iptRule is a rule while it is read.
type iptRule struct {
	r     *iptReader
	table *iptRules
	rest  []iptWord
	dirs  acl.Direction

	rule    acl.Rule
	dir     acl.Direction
	parted  bool
	target  string
	goes    bool // -g
	limited bool
	limit   acl.Rate
	ports   bool // asks for ports
	partly  bool // has a condition of which the packets are not known
	whole   bool // with multiport, which does not match later fragments
}

// word takes the next word.
func (u *iptRule) word() string {
	if len(u.rest) == 0 {
		return ""
	}
	w := u.rest[0].word
	u.rest = u.rest[1:]
	return w
}

func (u *iptRule) also(m acl.Match) string {
	u.rule.Match = u.rule.Match.And(m)
	return ""
}

// iptModules are those that only announce options, which say what is asked for.
var iptModules = []string{"tcp", "udp", "comment", "limit", "multiport", "conntrack", "state"}

// iptPartly are modules of which the reader knows that they are conditions, and not
// which packets meet them; a rule with one is unsure.
var iptPartly = []string{
	"addrtype", "connlimit", "connmark", "dscp", "hashlimit", "helper", "icmp", "icmp6", "iprange", "length", "mac", "mark", "owner", "physdev", "pkttype",
	"recent", "rpfilter", "set", "socket", "statistic", "string", "time", "ttl", "u32",
}

// iptIgnored are targets that change nothing about whether a packet passes.
var iptIgnored = []string{"MARK", "CONNMARK", "TCPMSS", "DSCP", "TOS", "CLASSIFY", "NOTRACK", "CT", "TTL", "HL", "CHECKSUM", "CONNSECMARK", "SECMARK", "MASQUERADE", "SNAT", "AUDIT", "TRACE"}

// option reads one option with its values.
func (u *iptRule) option() string {
	not := false
	if u.rest[0].word == "!" && !u.rest[0].quoted {
		u.word()
		not = true
	}
	switch flag := u.word(); flag {
	case "-s", "--source", "--src":
		return u.addrs(not, false)
	case "-d", "--destination", "--dst":
		return u.addrs(not, true)
	case "-i", "--in-interface":
		return u.iface(not, true)
	case "-o", "--out-interface":
		return u.iface(not, false)
	case "-p", "--protocol", "--proto":
		return u.protocol(not)
	case "-f", "--fragment":
		if not {
			return u.also(acl.Match{Frag: acl.Whole | acl.First})
		}
		return u.also(acl.Match{Frag: acl.Later})
	case "-m", "--match":
		m := u.word()
		if slices.Contains(iptPartly, m) {
			u.partly, u.rule.Unsure = true, true
		} else if !slices.Contains(iptModules, m) {
			return "unknown match: " + m
		}
		return ""
	case "--sport", "--source-port", "--sports", "--source-ports":
		u.whole = u.whole || strings.HasSuffix(flag, "s")
		return u.portList(not, true, false)
	case "--dport", "--destination-port", "--dports", "--destination-ports":
		u.whole = u.whole || strings.HasSuffix(flag, "s")
		return u.portList(not, false, true)
	case "--tcp-flags":
		return u.flags(not, u.word(), u.word())
	case "--syn":
		return u.flags(not, "FIN,SYN,RST,ACK", "SYN")
	case "--ctstate", "--state":
		return u.state(not)
	case "--limit":
		u.limited = true
		n, per, _ := strings.Cut(u.word(), "/")
		if count, ok := number(n); ok && !not {
			u.limit = acl.Rate{N: int(count), Per: iptPer(per)}
		}
		return ""
	case "--limit-burst":
		u.word()
		return ""
	case "--comment":
		u.rule.Name = u.word()
		return ""
	case "--log-prefix", "--nflog-prefix":
		if p := strings.TrimSpace(u.word()); u.rule.Name == "" {
			u.rule.Name = p
		}
		return ""
	case "--log-level", "--nflog-group", "--nflog-threshold", "--nflog-size", "--reject-with":
		u.word()
		return ""
	case "--log-tcp-options", "--log-ip-options", "--log-uid", "--log-tcp-sequence":
		return ""
	case "-j", "--jump":
		u.target = u.word()
		if slices.Contains(iptIgnored, u.target) {
			u.rest = nil // its options concern nobody
		}
		return ""
	case "-g", "--goto":
		u.target, u.goes = u.word(), true
		return ""
	default:
		if u.target != "" {
			return "unknown target: " + u.target
		}
		if u.partly && strings.HasPrefix(flag, "--") {
			for len(u.rest) > 0 && !strings.HasPrefix(u.rest[0].word, "-") && u.rest[0].word != "!" {
				u.word()
			}
			return ""
		}
		return "unknown option: " + flag
	}
}

func iptPer(word string) string {
	switch word {
	case "s", "sec", "second":
		return "second"
	case "m", "min", "minute":
		return "minute"
	case "h", "hour":
		return "hour"
	}
	return word
}

// finish turns the target into an action.
func (u *iptRule) finish() string {
	limited := u.limited
	switch u.target {
	case "":
		u.rule.Action = acl.Next
		return ""
	case "LOG", "NFLOG", "ULOG":
		u.rule.Action, limited = acl.Next, false
		if u.rule.Log = u.limit; !u.limited {
			u.rule.Log = acl.Rate{Per: "packet"}
		}
	case "ACCEPT":
		u.rule.Action = acl.Permit
	case "DROP", "REJECT":
		u.rule.Action = acl.Drop
	case "RETURN":
		u.rule.Action = acl.Return
	default:
		if slices.Contains(iptIgnored, u.target) {
			u.rule.Action = acl.Next
			return ""
		}
		if strings.ToUpper(u.target) == u.target && u.table.chains[u.target] == nil {
			if _, ok := u.table.chains[u.target]; !ok {
				return "unknown target: " + u.target
			}
		}
		rules, why := u.r.rules(u.table, u.target)
		if why != "" {
			return why
		}
		u.rule.Action, u.rule.Rules = acl.Call, rules
		if u.goes {
			u.rule.Action = acl.Goto
		}
	}
	u.rule.Unsure = u.rule.Unsure || limited
	if u.ports && u.rule.Match.Proto == nil {
		return "ports without a protocol"
	}
	return ""
}

func (u *iptRule) addrs(not, dst bool) string {
	var rs []netipx.IPRange
	for _, w := range strings.Split(u.word(), ",") {
		r, ok := span(iptMask(w))
		if !ok || r.From().Is4() != (u.r.family == acl.V4) {
			return "unknown address: " + w
		}
		rs = append(rs, r)
	}
	nets := acl.NetsFrom(rs...)
	if not {
		nets = nets.Not()
	}
	if dst {
		return u.also(acl.Match{Dst: nets})
	}
	return u.also(acl.Match{Src: nets})
}

// iptMask turns a dotted mask into a length: 198.51.100.0/255.255.255.0.
func iptMask(word string) string {
	addr, mask, ok := strings.Cut(word, "/")
	if !ok || !strings.Contains(mask, ".") {
		return word
	}
	m, ok := prefix(mask)
	if !ok || !m.Addr().Is4() {
		return word
	}
	b := m.Addr().As4()
	bits, rest := 0, false
	for _, octet := range b {
		for i := 7; i >= 0; i-- {
			set := octet&(1<<i) != 0
			if set && rest {
				return word // no prefix: span refuses it
			}
			if set {
				bits++
			} else {
				rest = true
			}
		}
	}
	return addr + "/" + itoa(bits)
}

var iptProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136,
}

func (u *iptRule) protocol(not bool) string {
	word := u.word()
	if word == "all" || word == "0" {
		if not {
			return u.also(acl.Match{Never: true})
		}
		return ""
	}
	n, ok := iptProtocols[word]
	if !ok {
		if n, ok = number(word); !ok || n > 255 {
			return "unknown protocol: " + word
		}
	}
	rs := acl.Number(n)
	if not {
		rs, _ = rs.Not(255)
	}
	return u.also(acl.Match{Proto: rs})
}

var iptServices = map[string]uint16{
	"ssh": 22, "smtp": 25, "domain": 53, "http": 80, "ntp": 123, "snmp": 161, "bgp": 179, "https": 443, "printer": 515, "ipp": 631,
}

// portList reads 631, 600:700 or, for multiport, several with commas.
func (u *iptRule) portList(not, src, dst bool) string {
	u.ports = true
	one := func(s string) (uint16, bool) {
		if n, ok := iptServices[s]; ok {
			return n, true
		}
		return number(s)
	}
	rs := acl.Ranges{}
	for _, w := range strings.Split(u.word(), ",") {
		from, to, ranged := strings.Cut(w, ":")
		if !ranged {
			to = from
		}
		if from == "" {
			from = "0"
		}
		if to == "" {
			to = "65535"
		}
		a, ok := one(from)
		b, fine := one(to)
		if !ok || !fine || a > b {
			return "unknown port: " + w
		}
		rs = append(rs, acl.Range{First: a, Last: b})
	}
	if not {
		var some bool
		if rs, some = rs.Not(65535); !some {
			return u.also(acl.Match{Never: true})
		}
	}
	if src {
		u.also(acl.Match{SPort: rs})
	}
	if dst {
		u.also(acl.Match{DPort: rs})
	}
	return ""
}

func (u *iptRule) flags(not bool, mask, want string) string {
	bits := func(list string) (f acl.Flags, ok bool) {
		if list == "NONE" {
			return 0, true
		}
		for _, w := range strings.Split(list, ",") {
			bit, known := map[string]acl.Flags{"FIN": acl.FIN, "SYN": acl.SYN, "RST": acl.RST, "ACK": acl.ACK}[w]
			if !known {
				return 0, false
			}
			f |= bit
		}
		return f, true
	}
	m, ok := bits(mask)
	w, fine := bits(want)
	if !ok || !fine {
		return "flags that are not looked at: " + mask + " " + want
	}
	set := acl.FlagsAre(m, w)
	if not {
		set = ^set
	}
	if set == 0 || w&^m != 0 {
		return u.also(acl.Match{Never: true})
	}
	return u.also(acl.Match{Flags: set})
}

// state: the packets that are judged begin a conversation.
func (u *iptRule) state(not bool) string {
	fresh := false
	for _, w := range strings.Split(u.word(), ",") {
		switch w {
		case "NEW":
			fresh = true
		case "ESTABLISHED", "RELATED", "INVALID":
		case "UNTRACKED", "SNAT", "DNAT":
			u.rule.Unsure = true
			return ""
		default:
			return "unknown state: " + w
		}
	}
	return u.also(acl.Match{Never: fresh == not})
}

// iface judges a match on an interface, which tells the direction of a packet.
func (u *iptRule) iface(not, arriving bool) string {
	name := u.word()
	stem, wild := strings.CutSuffix(name, "+")
	named := func(iface string) bool { return iface == name || wild && strings.HasPrefix(iface, stem) }
	at := u.r.place
	for _, d := range []acl.Direction{acl.In, acl.Out} {
		if u.dirs&d == 0 {
			continue
		}
		here := at.Profile.Arriving() == d == arriving
		if at.Profile == acl.Host {
			here = len(at.Interfaces) > 0
		}
		n := len(slices.DeleteFunc(slices.Clone(at.Interfaces), func(i string) bool { return !named(i) }))
		is, known := false, true
		switch {
		case here:
			is, known = n > 0, n == 0 || n == len(at.Interfaces)
		case name != "lo" && (wild || n == 0 && !slices.Contains(at.Others, name)):
			known = false
		}
		switch {
		case !known:
			u.rule.Unsure, u.parted = true, true
		case is == not:
			u.dir &^= d
		}
	}
	return ""
}
