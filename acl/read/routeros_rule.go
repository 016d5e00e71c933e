package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// A rosRule is a rule while it is read.
type rosRule struct {
	r      *rosReader
	dirs   acl.Direction
	dir    acl.Direction
	parted bool
	rule   acl.Rule
	port   acl.Ranges // of either side
	ports  bool
	limit  string
}

func (r *rosReader) ruleFor(l rosLine, dirs acl.Direction) (rules []acl.Rule, parted bool) {
	u := rosRule{r: r, dirs: dirs, dir: dirs}
	u.rule.Line = l.line
	why := ""
	for _, p := range l.props {
		if one := u.property(p); one != "" {
			why = one
		}
	}
	if one := u.act(l); one != "" {
		why = one
	}
	if u.ports && u.rule.Match.Proto == nil && why == "" {
		why = "ports without a protocol: other protocols have other bytes there"
	}
	if why != "" {
		r.at(l.place, l.text, why)
		u.rule.Unsure = true
		if u.rule.Action != acl.Drop {
			u.rule.Action, u.rule.Rules = acl.Permit, nil
		}
	}
	u.rule.Match = u.rule.Match.And(acl.Match{Dir: u.dir, Never: u.dir == 0})
	// Every rule has a counter; those with a name are read under it.
	u.rule.Count = u.rule.Name != "" && u.rule.Action != acl.Next && u.rule.Action != acl.Call
	if u.port == nil {
		return []acl.Rule{u.rule}, u.parted
	}
	src, dst := u.rule, u.rule
	src.Match = src.Match.And(acl.Match{SPort: u.port})
	dst.Match = dst.Match.And(acl.Match{DPort: u.port})
	return []acl.Rule{src, dst}, u.parted
}

// rosIgnored are properties that match nothing.
var rosIgnored = []string{
	"chain", "action", "log-prefix", "jump-target", "reject-with", "address-list", "address-list-timeout", "place-before", "disabled", "hw-offload",
}

// rosNarrow are known matchers that are narrower than what is compared here.
var rosNarrow = []string{
	"dst-limit", "packet-size", "tcp-mss", "ttl", "hop-limit", "dscp", "content", "layer7-protocol", "icmp-options", "time", "random", "nth", "psd", "connection-limit",
	"connection-rate", "connection-bytes", "connection-mark", "connection-type", "packet-mark", "routing-mark", "routing-table", "src-mac-address", "ingress-priority", "priority",
	"dst-address-type", "src-address-type", "ipsec-policy", "hotspot", "tls-host", "realm", "p2p", "in-bridge-port", "out-bridge-port", "in-bridge-port-list", "out-bridge-port-list",
	"headers", "ipv4-options", "per-connection-classifier", "helper",
}

func (u *rosRule) also(m acl.Match) string {
	u.rule.Match = u.rule.Match.And(m)
	return ""
}

func (u *rosRule) property(p rosProp) string {
	value, not := strings.CutPrefix(p.value, "!")
	switch p.key {
	case "comment":
		if !strings.ContainsAny(p.value, " \t") {
			u.rule.Name = p.value
		}
		return ""
	case "log":
		if p.value == "yes" {
			u.rule.Log = acl.Rate{Per: "packet"}
		}
		return ""
	case "limit":
		u.limit = p.value
		return ""
	case "protocol":
		return u.protocol(value, not)
	case "src-address", "dst-address":
		return u.address(p.key[:4], value, not)
	case "src-address-list", "dst-address-list":
		return u.addressList(p.key[:4], value, not)
	case "src-port", "dst-port", "port":
		return u.portList(p.key, value, not)
	case "in-interface", "out-interface", "in-interface-list", "out-interface-list":
		return u.iface(p.key, value, not)
	case "tcp-flags":
		return u.flags(p.value)
	case "fragment":
		if (p.value == "yes") != not {
			return u.also(acl.Match{Frag: acl.Later})
		}
		return u.also(acl.Match{Frag: acl.Whole | acl.First})
	case "connection-state":
		return u.state(value, not)
	case "connection-nat-state":
		// Nothing has another destination, or a rule that gives it is unverified.
		if u.rule.Unsure = u.rule.Unsure || u.r.natted; value == "dstnat" && !not && !u.r.natted {
			return u.also(acl.Match{Never: true})
		}
		return ""
	}
	if slices.Contains(rosIgnored, p.key) {
		return ""
	}
	if slices.Contains(rosNarrow, p.key) {
		u.rule.Unsure = true
		return ""
	}
	return "unknown property: " + p.key
}

// act turns the action, and a limit, into what becomes of the packet.
func (u *rosRule) act(l rosLine) string {
	action := l.get("action")
	logs := action == "log"
	if u.limit != "" && !logs {
		u.rule.Unsure = true
	}
	switch action {
	case "", "accept":
		u.rule.Action = acl.Permit
	case "drop", "reject", "tarpit":
		u.rule.Action = acl.Drop
	case "return":
		u.rule.Action = acl.Return
	case "log":
		u.rule.Action, u.rule.Log = acl.Next, acl.Rate{Per: "packet"}
		if u.limit != "" {
			u.rule.Log = rosRate(u.limit)
		}
	case "passthrough", "add-src-to-address-list", "add-dst-to-address-list", "fasttrack-connection", "notrack":
		// Fasttrack is for the packets that follow, if the first one passes.
		u.rule.Action = acl.Next
	case "jump":
		rules, why := u.r.rules(l.get("jump-target"))
		if why != "" {
			return why
		}
		u.rule.Action, u.rule.Rules = acl.Call, rules
	default:
		return "unknown action: " + action
	}
	return ""
}

// rosRate reads "5/1m,10:packet"; without a time it is a second.
func rosRate(limit string) acl.Rate {
	rate, _, _ := strings.Cut(limit, ",")
	n, per, _ := strings.Cut(rate, "/")
	count, ok := number(n)
	if !ok {
		return acl.Rate{Per: "packet"}
	}
	if word, known := map[string]string{"": "second", "1s": "second", "1m": "minute", "1h": "hour"}[per]; known {
		per = word
	}
	return acl.Rate{N: int(count), Per: per}
}

var rosProtocols = map[string]uint16{
	"icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "ip-encap": 4, "st": 5, "tcp": 6, "egp": 8, "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29,
	"dccp": 33, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41, "ipv6-encap": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "ipsec-esp": 50, "ipsec-ah": 51,
	"rspf": 73, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "vmtp": 81, "ospf": 89, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udp-lite": 136,
}

func (u *rosRule) protocol(word string, not bool) string {
	n, ok := rosProtocols[word]
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

func (u *rosRule) side(side string, nets acl.Nets, not bool) string {
	if not {
		nets = nets.Not()
	}
	if side == "src-" {
		return u.also(acl.Match{Src: nets})
	}
	return u.also(acl.Match{Dst: nets})
}

func (u *rosRule) address(side, word string, not bool) string {
	one, ok := span(word)
	if !ok || one.From().Is4() != (u.r.family == acl.V4) {
		return "unknown address: " + word
	}
	return u.side(side, acl.NetsFrom(one), not)
}

func (u *rosRule) addressList(side, name string, not bool) string {
	list := u.r.lists[rosChain{u.r.family, "list", name}]
	if list == nil {
		// Nothing is in it, as far as can be seen: rules may fill it.
		u.rule.Unsure = true
		return ""
	}
	if list.unsure {
		u.rule.Unsure = true
		return ""
	}
	return u.side(side, acl.NetsFrom(list.ranges...), not)
}

// portList reads 631,9100-9102.
func (u *rosRule) portList(key, value string, not bool) string {
	u.ports = true
	rs := acl.Ranges{}
	for _, w := range strings.Split(value, ",") {
		from, to, ranged := strings.Cut(w, "-")
		if !ranged {
			to = from
		}
		a, ok := number(from)
		b, fine := number(to)
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
	switch key {
	case "src-port":
		return u.also(acl.Match{SPort: rs})
	case "dst-port":
		return u.also(acl.Match{DPort: rs})
	}
	if not {
		return u.also(acl.Match{SPort: rs, DPort: rs})
	}
	u.port = rs
	return ""
}

// flags reads syn,!ack.
func (u *rosRule) flags(value string) string {
	var mask, want acl.Flags
	for _, w := range strings.Split(value, ",") {
		name, not := strings.CutPrefix(w, "!")
		bit, ok := map[string]acl.Flags{"fin": acl.FIN, "syn": acl.SYN, "rst": acl.RST, "ack": acl.ACK}[name]
		if !ok {
			return "flags that are not looked at: " + value
		}
		mask |= bit
		if !not {
			want |= bit
		}
	}
	return u.also(acl.Match{Flags: acl.FlagsAre(mask, want)})
}

// state: the packets that are judged begin a conversation.
func (u *rosRule) state(value string, not bool) string {
	fresh := false
	for _, w := range strings.Split(value, ",") {
		switch w {
		case "new":
			fresh = true
		case "established", "related":
		case "invalid", "untracked":
			// A first packet that is no SYN may be invalid, one from a raw rule
			// untracked: neither is looked at.
			if w == "untracked" {
				u.rule.Unsure = true
			}
		default:
			return "unknown state: " + w
		}
	}
	if fresh == not && !u.rule.Unsure {
		return u.also(acl.Match{Never: true})
	}
	return ""
}

// iface reads an interface, or a list of them.
func (u *rosRule) iface(key, value string, not bool) string {
	names := []string{value}
	if strings.HasSuffix(key, "-list") {
		if value == "all" || value == "none" {
			if (value == "none") != not {
				return u.also(acl.Match{Never: true})
			}
			return ""
		}
		if _, joined := u.r.joined[value]; joined || value == "dynamic" || value == "static" {
			u.rule.Unsure = true
			return ""
		}
		names = u.r.members[value]
	}
	for _, d := range []acl.Direction{acl.In, acl.Out} {
		if u.dirs&d == 0 {
			continue
		}
		is, known := u.r.meets(names, d, strings.HasPrefix(key, "in-"))
		switch {
		case !known:
			u.rule.Unsure, u.parted = true, true
		case is == not:
			u.dir &^= d
		}
	}
	if u.dir != u.dirs {
		u.parted = true
	}
	return ""
}

// meets tells whether the packets of a direction arrive at (or leave by) one of
// the interfaces. It is not known if only some of ours are named, or if the
// packets use another side of the router of which nothing is said.
func (r *rosReader) meets(names []string, d acl.Direction, arriving bool) (is, known bool) {
	ours := r.place.Interfaces
	here := r.place.Profile.Arriving() == d == arriving
	if r.place.Profile == acl.Host {
		here = len(ours) > 0
	}
	if !here {
		// Any interface but ours and the loopback.
		for _, name := range names {
			if name != "lo" && !slices.Contains(ours, name) && !slices.Contains(r.place.Others, name) {
				return false, false
			}
		}
		return false, true
	}
	n := 0
	for _, iface := range ours {
		if slices.Contains(names, iface) {
			n++
		}
	}
	return n > 0, n == 0 || n == len(ours)
}
