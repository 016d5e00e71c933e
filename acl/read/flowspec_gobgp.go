package read

import (
	"slices"
	"strconv"
	"strings"

	"ippwatch/acl"
)

// readFlowGoBGP reads commands "gobgp global rib add -a ipv4-flowspec match ...
// then ...". They hold at every interface where FlowSpec is enabled.
func readFlowGoBGP(texts []acl.Text, _ acl.Attach) (acl.Filter, error) {
	var d doubts
	var all []flow
	skipped := 0
	for _, t := range texts {
		n := 0
		for line := range strings.Lines(t.Body) {
			n++
			line = strings.TrimSpace(line)
			here := place{t.Name, n}
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			words := shellWords(line)
			if len(words) < 3 || words[0] != "gobgp" || words[2] != "rib" {
				if len(words) > 0 && words[0] == "set" {
					skipped++
					continue
				}
				d.at(here, line, "not a command of gobgp")
				continue
			}
			one, why := gobgpFlow(words[3:])
			if why != "" {
				d.at(here, line, why)
				one.rule.Unsure = true
			}
			if one.family != 0 {
				one.rule.Line = n
				all = append(all, one)
			}
		}
	}
	return acl.Filter{Stages: flows(all), Unverified: d.lines, Skipped: skipped}, nil
}

// shellWords takes a command apart; quotes of both kinds hold a word together.
func shellWords(line string) []string {
	var all []string
	var word strings.Builder
	quote, some := byte(0), false
	for i := range len(line) {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, some = c, true
		case c == ' ' || c == '\t':
			if some {
				all = append(all, word.String())
				word.Reset()
				some = false
			}
		default:
			word.WriteByte(c)
			some = true
		}
	}
	if some {
		all = append(all, word.String())
	}
	return all
}

// gobgpKinds are the words of GoBGP for components.
var gobgpKinds = map[string]byte{
	"destination": flowDst, "source": flowSrc, "protocol": flowProto, "port": flowPort, "destination-port": flowDstPort, "source-port": flowSrcPort,
	"icmp-type": 7, "icmp-code": 8, "tcp-flags": flowTCPFlags, "packet-length": 10, "dscp": 11, "fragment": flowFragment, "label": 13,
}

// gobgpFlow reads "-a ipv4-flowspec add match ... then ...".
func gobgpFlow(w []string) (f flow, why string) {
	f.rule.Action = acl.Permit
	for i := 0; i+1 < len(w); i++ {
		if w[i] == "-a" {
			f.family = map[string]acl.Family{"ipv4-flowspec": acl.V4, "ipv6-flowspec": acl.V6}[w[i+1]]
			w = slices.Delete(slices.Clone(w), i, i+2)
			break
		}
	}
	if f.family == 0 {
		return f, "not a family of FlowSpec that is known"
	}
	if len(w) < 2 || w[0] != "add" || w[1] != "match" {
		f.family = 0
		return f, "only add match is followed"
	}
	then := slices.Index(w, "then")
	if then < 0 {
		then = len(w)
	}
	for rest := w[2:then]; len(rest) > 0 && why == ""; {
		kind, ok := gobgpKinds[rest[0]]
		if !ok {
			return f, "unknown component: " + rest[0]
		}
		n := 1
		for n < len(rest) && gobgpKinds[rest[n]] == 0 {
			n++
		}
		var p flowPart
		if p, why = gobgpPart(kind, rest[1:n], f.family); why == "" {
			f.parts = append(f.parts, p)
		}
		rest = rest[n:]
	}
	slices.SortStableFunc(f.parts, func(a, b flowPart) int { return int(a.kind) - int(b.kind) })
	if one := gobgpThen(&f.rule, w[min(then+1, len(w)):]); one != "" {
		why = one
	}
	return f, why
}

func gobgpPart(kind byte, values []string, family acl.Family) (flowPart, string) {
	p := flowPart{kind: kind}
	if len(values) == 0 {
		return p, "a component without a value"
	}
	if kind == flowDst || kind == flowSrc {
		one, ok := prefix(values[0])
		if !ok || one.Addr().Is4() != (family == acl.V4) || len(values) > 2 {
			return p, "unknown prefix: " + values[0]
		}
		p.prefix = one
		if len(values) == 2 {
			offset, err := strconv.ParseUint(values[1], 10, 7)
			if err != nil {
				return p, "unknown offset: " + values[1]
			}
			p.offset = byte(offset)
		}
		return p, ""
	}
	for _, v := range values {
		item, ok := gobgpItem(kind, v)
		if !ok {
			return p, "unknown value: " + v
		}
		p.items = append(p.items, item)
	}
	return p, ""
}

var gobgpProtocols = map[string]uint64{"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "rsvp": 46, "gre": 47, "ospf": 89, "pim": 103, "sctp": 132}

var gobgpFragments = map[string]uint64{"not-a-fragment": 0, "dont-fragment": 1, "is-fragment": 2, "first-fragment": 4, "last-fragment": 8}

// gobgpItem reads "&<=700", "tcp", "&!A".
func gobgpItem(kind byte, text string) (item flowItem, ok bool) {
	if rest, and := strings.CutPrefix(text, "&"); and {
		item.op, text = flowAnd, rest
	}
	bits := kind == flowTCPFlags || kind == flowFragment
	value := strings.TrimLeft(text, "<>=!")
	switch op := text[:len(text)-len(value)]; {
	case bits && op == "":
	case bits && op == "=":
		item.op |= flowExact
	case bits && op == "!":
		item.op |= flowNot
	case bits && op == "!=":
		item.op |= flowNot | flowExact
	case bits:
		return item, false
	default:
		code, known := map[string]byte{
			"": flowEqual, "==": flowEqual, "=": flowEqual, "<": flowLess, "<=": flowLess | flowEqual, ">": flowGreater, ">=": flowGreater | flowEqual, "!=": flowLess | flowGreater,
		}[op]
		if !known {
			return item, false
		}
		item.op |= code
	}
	switch kind {
	case flowTCPFlags:
		for _, letter := range value {
			bit := strings.IndexRune("FSRPAUEC", letter)
			if bit < 0 {
				return item, false
			}
			item.value |= 1 << bit
		}
		return item, value != ""
	case flowFragment:
		item.value, ok = gobgpFragments[value]
		return item, ok
	}
	if n, known := gobgpProtocols[value]; known && kind == flowProto {
		item.value = n
		return item, true
	}
	n, err := strconv.ParseUint(value, 10, 32)
	item.value = n
	return item, err == nil
}

func gobgpThen(rule *acl.Rule, w []string) string {
	for len(w) > 0 {
		switch word := w[0]; {
		case word == "accept":
		case word == "discard":
			rule.Action = acl.Drop
		case word == "rate-limit" && len(w) > 1:
			if rate, err := strconv.ParseFloat(w[1], 64); err != nil || rate == 0 {
				rule.Action = acl.Drop
			}
			if w = w[1:]; len(w) > 2 && w[1] == "as" {
				w = w[2:]
			}
		case word == "mark" && len(w) > 1:
			w = w[1:]
		case word == "action" && len(w) > 1:
			// The bit is called terminal and does the opposite: with it, later flows
			// are looked at as well.
			if strings.Contains(w[1], "terminal") && rule.Action == acl.Permit {
				rule.Action = acl.Next
			}
			w = w[1:]
		default:
			return "unknown action: " + word
		}
		w = w[1:]
	}
	return ""
}
