package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// An srosEntry is an entry of a filter while its statements are read; all of
// its conditions have to hold.
type srosEntry struct {
	name    string
	match   acl.Match
	either  []acl.Match // conditions on source or destination
	lists   []srosList
	proto   bool
	start   map[string]uint16 // of ranges, by side, whose end stands in another line
	end     map[string]uint16
	mask    acl.Flags
	want    acl.Flags
	action  acl.Action
	acts    bool // an entry without an action is inactive
	log     bool
	unsure  bool
	where   place
	entered bool
}

// An srosList is a match list that an entry names; it may be written later.
type srosList struct {
	side, kind, name string
	where            place
}

func (r *srosReader) inEntry(e *srosEntry, w []string, p place, text string) {
	why := ""
	switch w[0] {
	case "description":
		if len(w) == 2 && !strings.ContainsAny(w[1], " \t") {
			e.name = w[1]
		}
	case "log":
		e.log = true
	case "match":
		for rest := w[1:]; len(rest) > 0 && why == ""; {
			rest, why = e.condition(rest, p)
		}
	case "action":
		why = e.do(w[1:])
	case "filter-sample", "interface-sample", "sample-profile", "collect-stats", "pbr-down-action-override", "sticky-dest", "egress-pbr":
	default:
		why = "unknown in an entry"
	}
	if why != "" {
		e.unsure = true
		r.at(p, text, why)
	}
}

// do reads an action. Forwarding elsewhere lets pass, whatever is there.
func (e *srosEntry) do(w []string) string {
	if len(w) == 0 {
		return ""
	}
	e.acts = true
	switch w[0] {
	case "accept":
		e.action = acl.Permit
	case "drop":
		e.action = acl.Drop
	case "ignore-match":
		e.action = acl.Next
	case "forward":
		e.action = acl.Permit
		return ""
	default:
		e.action = acl.Permit
		return "unknown action"
	}
	if len(w) > 1 {
		e.action = acl.Permit // drop-when, accept-when: on the length, the TTL or a pattern
		return "an action with a condition"
	}
	return ""
}

// condition takes one condition off the words.
func (e *srosEntry) condition(w []string, p place) (rest []string, why string) {
	value := func(n int) []string {
		if len(w) < n+1 {
			return nil
		}
		return w[1 : n+1]
	}
	switch word := w[0]; word {
	case "protocol", "next-header":
		v := value(1)
		if v == nil {
			return nil, "a protocol without a value"
		}
		return w[2:], e.protocol(word, v[0])
	case "src-ip", "dst-ip", "ip":
		v := value(2)
		if v == nil {
			return nil, "" // the head of a block
		}
		return w[3:], e.address(strings.TrimSuffix(word, "ip"), v, p)
	case "src-port", "dst-port", "port":
		return e.port(strings.TrimSuffix(word, "port"), w[1:], p)
	case "tcp-flags":
		v := value(2)
		if v == nil {
			return nil, ""
		}
		return w[3:], e.flag(v[0], v[1])
	case "tcp-syn", "tcp-ack":
		v := value(1)
		if v == nil {
			return nil, "a flag without a value"
		}
		return w[2:], e.flag(strings.TrimPrefix(word, "tcp-"), v[0])
	case "fragment":
		v := value(1)
		frag := map[string]acl.Frag{"true": acl.First | acl.Later, "false": acl.Whole, "first-only": acl.First, "non-first-only": acl.Later}
		if v == nil || frag[v[0]] == 0 {
			return nil, "unknown fragments"
		}
		e.match = e.match.And(acl.Match{Frag: frag[v[0]]})
		return w[2:], ""
	case "icmp", "dscp", "ip-option", "option-present", "multiple-option", "packet-length", "ttl", "hop-limit", "extension-header", "flow-label", "src-mac", "src-route-option",
		"destination-class", "router-instance":
		e.unsure = true // known, and narrower than what is compared here
		return nil, ""
	}
	return nil, "unknown condition"
}

var srosProtocols = map[string]acl.Ranges{
	"icmp": acl.Number(1), "igmp": acl.Number(2), "ip": acl.Number(4), "tcp": acl.Number(6), "egp": acl.Number(8), "igp": acl.Number(9), "udp": acl.Number(17),
	"rdp": acl.Number(27), "ipv6": acl.Number(41), "idrp": acl.Number(45), "rsvp": acl.Number(46), "gre": acl.Number(47), "ipv6-icmp": acl.Number(58), "ipv6-no-nxt": acl.Number(59),
	"eigrp": acl.Number(88), "ospf-igp": acl.Number(89), "ether-ip": acl.Number(97), "encap": acl.Number(98), "pim": acl.Number(103), "vrrp": acl.Number(112), "l2tp": acl.Number(115),
	"ptp": acl.Number(123), "isis": acl.Number(124), "crtp": acl.Number(126), "crudp": acl.Number(127), "sctp": acl.Number(132), "tcp-udp": acl.Number(6, 17),
}

// protocol reads protocol (IPv4) and next-header, which sees the IPv6 header
// alone.
func (e *srosEntry) protocol(word, value string) string {
	rs, ok := srosProtocols[value]
	if n, fine := number(value); !ok && fine && n < 256 {
		rs, ok = acl.Number(n), true
	}
	if !ok {
		return "unknown protocol"
	}
	e.proto = true
	m := acl.Match{Proto: rs}
	if word == "next-header" {
		m.Ext = acl.Without
	}
	e.match = e.match.And(m)
	return ""
}

// side is the condition that a side of the packet is so.
func srosSide(side string, nets acl.Nets) []acl.Match {
	switch side {
	case "src-":
		return []acl.Match{{Src: nets}}
	case "dst-":
		return []acl.Match{{Dst: nets}}
	}
	return []acl.Match{{Src: nets}, {Dst: nets}}
}

func (e *srosEntry) also(ms []acl.Match) {
	if len(ms) == 1 {
		e.match = e.match.And(ms[0])
		return
	}
	e.either = append(e.either, ms...)
}

func (e *srosEntry) address(side string, v []string, p place) string {
	switch v[0] {
	case "address":
		one, ok := prefix(v[1])
		if !ok {
			return "unknown address"
		}
		if side == "" && e.either != nil {
			return "two conditions on both sides"
		}
		e.also(srosSide(side, acl.NetsOf(one)))
		return ""
	case "ip-prefix-list", "ipv6-prefix-list":
		e.lists = append(e.lists, srosList{side, v[0], v[1], p})
		return ""
	}
	return "unknown address" // a mask that is no prefix
}

func (e *srosEntry) port(side string, w []string, p place) (rest []string, why string) {
	if len(w) < 2 {
		return nil, "" // the head of a block
	}
	if w[0] == "port-list" {
		e.lists = append(e.lists, srosList{side, w[0], w[1], p})
		return w[2:], ""
	}
	if w[0] == "range" {
		if len(w) < 3 {
			return nil, ""
		}
		n, ok := number(w[2])
		switch {
		case ok && w[1] == "start":
			e.start = with(e.start, side, n)
		case ok && w[1] == "end":
			e.end = with(e.end, side, n)
		default:
			return nil, "unknown range"
		}
		return w[3:], ""
	}
	n, ok := number(w[1])
	switch {
	case ok && w[0] == "eq":
		e.also(srosPort(side, acl.Number(n)))
	case ok && w[0] == "lt" && n > 0:
		e.also(srosPort(side, acl.Ranges{{First: 0, Last: n - 1}}))
	case ok && w[0] == "gt" && n < 65535:
		e.also(srosPort(side, acl.Ranges{{First: n + 1, Last: 65535}}))
	default:
		return nil, "unknown ports"
	}
	return w[2:], ""
}

func with(m map[string]uint16, key string, n uint16) map[string]uint16 {
	if m == nil {
		m = make(map[string]uint16)
	}
	m[key] = n
	return m
}

func srosPort(side string, ports acl.Ranges) []acl.Match {
	switch side {
	case "src-":
		return []acl.Match{{SPort: ports}}
	case "dst-":
		return []acl.Match{{DPort: ports}}
	}
	return []acl.Match{{SPort: ports}, {DPort: ports}}
}

func (e *srosEntry) flag(name, value string) string {
	bit := map[string]acl.Flags{"syn": acl.SYN, "ack": acl.ACK, "rst": acl.RST, "fin": acl.FIN}[name]
	if bit == 0 && slices.Contains([]string{"psh", "urg", "ece", "cwr", "ns"}, name) {
		e.unsure = true // not looked at here
		return ""
	}
	if bit == 0 || value != "true" && value != "false" {
		return "unknown flags"
	}
	e.mask |= bit
	if value == "true" {
		e.want |= bit
	}
	return ""
}

// entry makes rules of what was read.
func (r *srosReader) entry(kind string, e *srosEntry) []acl.Rule {
	rule := acl.Rule{Name: e.name, Line: e.where.line, Action: e.action, Count: e.name != ""}
	if e.log {
		rule.Log = acl.Rate{Per: "packet"}
	}
	if !e.entered {
		e.entered = true
		r.complete(kind, e)
	}
	if !e.acts {
		return nil
	}
	if e.mask != 0 {
		e.match = e.match.And(acl.Match{Flags: acl.FlagsAre(e.mask, e.want)})
	}
	matches := []acl.Match{e.match}
	if e.either != nil {
		matches = nil
		for _, m := range e.either {
			matches = append(matches, e.match.And(m))
		}
	}
	var all []acl.Rule
	for _, m := range matches {
		rule.Match, rule.Unsure = m, e.unsure
		all = append(all, rule)
		// A later fragment is taken for one with ports 0 (Router Configuration
		// Guide, "Operational note for fragmented traffic").
		if zero(m.DPort) && zero(m.SPort) && (m.DPort != nil || m.SPort != nil) {
			later := rule
			later.Match.DPort, later.Match.SPort, later.Unsure = nil, nil, true
			later.Match = later.Match.And(acl.Match{Frag: acl.Later})
			all = append(all, later)
		}
	}
	return all
}

// zero reports whether port 0 is among the ports.
func zero(rs acl.Ranges) bool {
	return rs == nil || slices.ContainsFunc(rs, func(r acl.Range) bool { return r.First == 0 })
}

// complete looks up the lists of an entry.
func (r *srosReader) complete(kind string, e *srosEntry) {
	doubt := func(p place, text, why string) {
		e.unsure = true
		r.at(p, text, why)
	}
	for side, from := range e.start {
		to, ok := e.end[side]
		if !ok || from > to {
			doubt(e.where, "range", "a range without an end")
			continue
		}
		e.also(srosPort(side, acl.Ranges{{First: from, Last: to}}))
	}
	for side := range e.end {
		if _, ok := e.start[side]; !ok {
			doubt(e.where, "range", "a range without a start")
		}
	}
	for _, l := range e.lists {
		if l.kind == "port-list" {
			ports := r.ports[l.name]
			if ports == nil {
				doubt(l.where, l.name, "there is no such port list")
				continue
			}
			e.also(srosPort(l.side, ports.ranges))
			continue
		}
		nets := r.prefixes[l.kind+" "+l.name]
		switch {
		case nets == nil:
			doubt(l.where, l.name, "there is no such list")
		case nets.unsure:
			e.unsure = true
		default:
			set := acl.Union(nets.in...)
			if nets.out != nil {
				set = set.And(acl.Union(nets.out...).Not())
			}
			e.also(srosSide(l.side, set))
		}
	}
	if len(e.either) > 2 {
		doubt(e.where, "match", "two conditions on both sides")
	}
	asks := e.match.DPort != nil || e.match.SPort != nil || e.mask != 0
	for _, m := range e.either {
		asks = asks || m.DPort != nil || m.SPort != nil
	}
	if asks && !e.proto {
		doubt(e.where, kind, "ports without a protocol: other protocols have other bytes there")
	}
}
