package read

import (
	"slices"
	"strconv"
	"strings"

	"ippwatch/acl"
)

// readFlowBird reads the static flows of a configuration of BIRD 2. They hold at
// every interface where FlowSpec is enabled. That they are announced as they
// stand is said by protocols of BGP that export all of their table.
func readFlowBird(texts []acl.Text, _ acl.Attach) (acl.Filter, error) {
	r := birdReader{tables: make(map[string]acl.Family), used: make(map[string]place)}
	for _, t := range texts {
		r.tokens, r.pos = birdTokens(t), 0
		r.file()
	}
	for table, p := range r.used {
		if _, ok := r.tables[table]; !ok {
			r.at(p, table, "there is no such table")
		}
	}
	f := acl.Filter{Stages: flows(r.flows), Unverified: r.lines, Skipped: r.skipped}
	if len(r.empty) > 0 {
		f.Stages = append(f.Stages, acl.Stage{Name: "without flows", Rules: r.empty, Default: acl.Permit})
	}
	return f, nil
}

type birdReader struct {
	doubts
	tokens  []birdToken
	pos     int
	tables  map[string]acl.Family
	used    map[string]place
	flows   []flow
	empty   []acl.Rule // protocols without a route
	skipped int
}

type birdToken struct {
	word string
	place
}

// birdTokens takes a text apart: words, and the signs by themselves.
func birdTokens(t acl.Text) []birdToken {
	var all []birdToken
	n, comment := 0, false
	for line := range strings.Lines(t.Body) {
		n++
		line = strings.TrimRight(line, "\r\n")
		for line != "" {
			if comment {
				_, rest, closed := strings.Cut(line, "*/")
				if comment, line = !closed, rest; !closed {
					break
				}
				continue
			}
			end := 1
			switch c := line[0]; {
			case c == ' ' || c == '\t':
				line = line[1:]
				continue
			case c == '#':
				line = ""
				continue
			case strings.HasPrefix(line, "/*"):
				comment, line = true, line[2:]
				continue
			case c == '"':
				_, rest, _ := strings.Cut(line[1:], `"`)
				end = len(line) - len(rest)
			case slices.Contains([]string{"||", "&&", ">=", "<=", "!=", ".."}, line[:min(2, len(line))]):
				end = 2
			case strings.IndexByte("{}()[];,=<>!/", c) < 0:
				if end = strings.IndexAny(line, " \t#\"{}()[];,=<>!/|&"); end <= 0 {
					end = max(1, len(line))
				}
				if i := strings.Index(line[:end], ".."); i > 0 {
					end = i
				}
			}
			all = append(all, birdToken{line[:end], place{t.Name, n}})
			line = line[end:]
		}
	}
	return all
}

func (r *birdReader) peek(i int) string {
	if r.pos+i < len(r.tokens) {
		return r.tokens[r.pos+i].word
	}
	return ""
}

// statement takes the tokens up to the semicolon, blocks included; what begins
// with one of the words of a block that needs no semicolon ends with its brace.
func (r *birdReader) statement() []birdToken {
	start, depth := r.pos, 0
	block := slices.Contains([]string{"protocol", "template", "function", "filter"}, r.peek(0))
	for ; r.pos < len(r.tokens); r.pos++ {
		switch r.tokens[r.pos].word {
		case "{":
			depth++
		case "}":
			depth--
			if depth == 0 && block {
				r.pos++
				return r.tokens[start:r.pos]
			}
			if depth < 0 {
				r.pos++
				return r.tokens[start:r.pos]
			}
		case ";":
			if depth == 0 {
				r.pos++
				return r.tokens[start : r.pos-1]
			}
		}
	}
	if r.pos > start {
		r.at(r.tokens[start].place, birdText(r.tokens[start:r.pos]), "the text ends within a statement")
	}
	return r.tokens[start:r.pos]
}

func birdText(s []birdToken) string {
	words := make([]string, len(s))
	for i, t := range s {
		words[i] = t.word
	}
	return strings.Join(words[:min(len(words), 60)], " ")
}

func (r *birdReader) file() {
	for r.pos < len(r.tokens) {
		s := r.statement()
		if len(s) == 0 {
			continue
		}
		switch first := s[0].word; {
		case (first == "flow4" || first == "flow6") && len(s) >= 3 && s[1].word == "table":
			r.tables[s[2].word] = birdFamily[first]
		case first == "protocol" && len(s) > 2:
			r.protocol(s)
		case first == "include":
			r.at(s[0].place, birdText(s), "the file that is included is not here: give it, too")
		case slices.Contains([]string{
			"log", "router", "define", "ipv4", "ipv6", "table", "template", "function", "filter", "timeformat", "debug", "watchdog", "roa4", "roa6", "vpn4", "vpn6",
			"mpls", "attribute", "eval", "mrtdump", "listen", "graceful", "hostname", "threads", "cli",
		}, first):
			r.skipped++
		default:
			r.at(s[0].place, birdText(s), "not a statement of BIRD that is known")
		}
	}
}

var birdFamily = map[string]acl.Family{"flow4": acl.V4, "flow6": acl.V6}

// protocol reads "protocol static NAME { ... }", and looks at what protocols of
// BGP export.
func (r *birdReader) protocol(s []birdToken) {
	open := slices.IndexFunc(s, func(t birdToken) bool { return t.word == "{" })
	if open < 0 || s[len(s)-1].word != "}" {
		r.at(s[0].place, birdText(s), "a protocol without its block")
		return
	}
	kind, name := s[1].word, ""
	if open == 3 {
		name = s[2].word
	}
	inner := birdReader{tokens: s[open+1 : len(s)-1]}
	var body [][]birdToken
	for inner.pos < len(inner.tokens) {
		if one := inner.statement(); len(one) > 0 {
			body = append(body, one)
		}
	}
	switch kind {
	case "static":
		r.static(s[0].place, name, body)
	case "bgp":
		for _, one := range body {
			if birdFamily[one[0].word] != 0 {
				r.exports(one)
			}
		}
		r.skipped++
	case "pipe":
		r.at(s[0].place, birdText(s[:open]), "a pipe may change flows")
	default:
		r.skipped++
	}
}

// exports looks for "export all" in a channel of flows.
func (r *birdReader) exports(s []birdToken) {
	for i, t := range s {
		if t.word == "export" && (i+1 >= len(s) || s[i+1].word != "all") {
			r.at(t.place, birdText(s), "exports not all of its flows, or changes them")
		}
		if t.word == "import" && (i+1 >= len(s) || s[i+1].word != "none") {
			r.at(t.place, birdText(s), "flows of others are announced as well")
		}
	}
}

// static reads routes. The name of a rule is that of its protocol, without the
// family at its end.
func (r *birdReader) static(p place, name string, body [][]birdToken) {
	rule := name
	for _, end := range []string{"_4", "_6"} {
		rule = strings.TrimSuffix(rule, end)
	}
	table := ""
	for _, s := range body {
		if s[0].word == "disabled" {
			r.skipped++
			return
		}
		if birdFamily[s[0].word] != 0 {
			if len(s) == 5 && s[1].word == "{" && s[2].word == "table" {
				s = append(slices.Clone(s), birdToken{})
			}
			if len(s) < 6 || s[2].word != "table" {
				r.at(s[0].place, birdText(s), "a channel of flows without a table")
				continue
			}
			table = s[3].word
			r.used[table] = s[0].place
			if len(s) > 6 {
				r.at(s[0].place, birdText(s), "a channel that says more than its table")
			}
		}
	}
	routes := 0
	for _, s := range body {
		if s[0].word != "route" {
			if birdFamily[s[0].word] == 0 && !slices.Contains([]string{"ipv4", "ipv6", "check", "igp", "description", "preference"}, s[0].word) {
				r.at(s[0].place, birdText(s), "unknown in a static protocol")
			}
			continue
		}
		if len(s) < 4 || birdFamily[s[1].word] == 0 {
			r.skipped++
			continue
		}
		routes++
		if family, ok := r.tables[table]; ok && family != birdFamily[s[1].word] {
			r.at(s[0].place, birdText(s), "a route of another family than its table")
		}
		f, why := birdRoute(s)
		f.rule.Name, f.rule.Line = rule, s[0].line
		if table == "" {
			why = "the protocol has no table of flows"
		}
		if why != "" {
			r.at(s[0].place, birdText(s), why)
			f.rule.Unsure = true
		}
		r.flows = append(r.flows, f)
	}
	if routes == 0 && table != "" {
		r.empty = append(r.empty, acl.Rule{Name: rule, Line: p.line, Match: acl.Match{Never: true}, Action: acl.Next})
	}
}

// birdRoute reads "route flow4 { dst ...; } { bgp_ext_community.add(...); }".
func birdRoute(s []birdToken) (f flow, why string) {
	f.family, f.rule.Action = birdFamily[s[1].word], acl.Permit
	closing := slices.IndexFunc(s, func(t birdToken) bool { return t.word == "}" })
	if s[2].word != "{" || closing < 0 {
		return f, "a flow without its block"
	}
	inner := birdReader{tokens: s[3:closing]}
	for inner.pos < len(inner.tokens) {
		one := inner.statement()
		if len(one) == 0 {
			continue
		}
		p, bad := birdPart(one, f.family)
		if bad != "" {
			why = bad
			continue
		}
		f.parts = append(f.parts, p)
	}
	slices.SortStableFunc(f.parts, func(a, b flowPart) int { return int(a.kind) - int(b.kind) })
	rest := s[closing+1:]
	if len(rest) == 0 {
		return f, why
	}
	if len(rest) < 2 || rest[0].word != "{" || rest[len(rest)-1].word != "}" {
		return f, "unknown behind a flow"
	}
	var communities []uint64
	attrs := birdReader{tokens: rest[1 : len(rest)-1]}
	for attrs.pos < len(attrs.tokens) {
		one := attrs.statement()
		if len(one) == 0 {
			continue
		}
		c, ok := birdCommunity(one)
		if !ok {
			return f, "unknown attribute"
		}
		communities = append(communities, c)
	}
	if bad := flowAction(&f.rule, communities); bad != "" {
		why = bad
	}
	return f, why
}

// birdCommunity reads "bgp_ext_community.add((generic, 0x80060000, 0x0))".
func birdCommunity(s []birdToken) (uint64, bool) {
	words := make([]string, len(s))
	for i, t := range s {
		words[i] = t.word
	}
	if len(words) != 10 || strings.Join(words[:5], "") != "bgp_ext_community.add((generic," || words[6] != "," || words[8] != ")" || words[9] != ")" {
		return 0, false
	}
	high, err := strconv.ParseUint(words[5], 0, 32)
	low, fault := strconv.ParseUint(words[7], 0, 32)
	return high<<32 | low, err == nil && fault == nil
}

// birdPart reads a component; some have names of two words.
func birdPart(s []birdToken, family acl.Family) (flowPart, string) {
	words := make([]string, len(s))
	for i, t := range s {
		words[i] = t.word
	}
	two := strings.Join(words[:min(2, len(words))], " ")
	kind, ok := map[string]byte{"next header": flowProto, "icmp type": 7, "icmp code": 8, "tcp flags": flowTCPFlags}[two]
	rest := words[min(2, len(words)):]
	if !ok {
		kind, ok = map[string]byte{"dst": flowDst, "src": flowSrc, "proto": flowProto, "port": flowPort, "dport": flowDstPort, "sport": flowSrcPort, "length": 10, "dscp": 11, "fragment": flowFragment, "label": 13}[words[0]]
		rest = words[1:]
	}
	p := flowPart{kind: kind}
	switch {
	case !ok || len(rest) == 0:
		return p, "unknown component: " + two
	case kind == flowDst || kind == flowSrc:
		return birdPrefix(p, rest, family)
	case kind == flowFragment:
		return birdFragments(p, rest)
	case kind == flowTCPFlags:
		return birdFlags(p, rest)
	case kind != flowProto && kind != flowPort && kind != flowDstPort && kind != flowSrcPort:
		p.items = []flowItem{{}} // narrower than what is compared here
		return p, ""
	}
	return birdNumbers(p, rest)
}

func birdPrefix(p flowPart, w []string, family acl.Family) (flowPart, string) {
	if len(w) == 5 && w[3] == "offset" {
		n, err := strconv.ParseUint(w[4], 10, 7)
		if err != nil {
			return p, "unknown offset"
		}
		p.offset, w = byte(n), w[:3]
	}
	one, ok := prefix(strings.Join(w, ""))
	if !ok || one.Addr().Is4() != (family == acl.V4) {
		return p, "unknown prefix: " + strings.Join(w, "")
	}
	p.prefix = one
	return p, ""
}

// birdNumbers reads "= 6 || >= 600 && <= 700" and "6, 17, 600..700".
func birdNumbers(p flowPart, w []string) (flowPart, string) {
	and := byte(0)
	for len(w) > 0 {
		op, known := map[string]byte{"=": flowEqual, "<": flowLess, ">": flowGreater, "<=": flowLess | flowEqual, ">=": flowGreater | flowEqual, "!=": flowLess | flowGreater}[w[0]]
		if known {
			w = w[1:]
		} else {
			op = flowEqual
		}
		if len(w) == 0 {
			return p, "an operator without a value"
		}
		n, err := strconv.ParseUint(w[0], 0, 32)
		if err != nil {
			return p, "unknown number: " + w[0]
		}
		if len(w) > 2 && w[1] == ".." {
			to, err := strconv.ParseUint(w[2], 0, 32)
			if err != nil || op != flowEqual || and != 0 {
				return p, "unknown range"
			}
			p.items = append(p.items, flowItem{flowGreater | flowEqual, n}, flowItem{flowAnd | flowLess | flowEqual, to})
			w = w[3:]
		} else {
			p.items = append(p.items, flowItem{and | op, n})
			w = w[1:]
		}
		if len(w) == 0 {
			return p, ""
		}
		switch w[0] {
		case "||", ",":
			and = 0
		case "&&":
			and = flowAnd
		default:
			return p, "unknown operator: " + w[0]
		}
		if w = w[1:]; len(w) == 0 {
			return p, "an operator without a value"
		}
	}
	return p, ""
}

// birdFlags reads "0x02/0x12": the bits of the mask are those of the value.
func birdFlags(p flowPart, w []string) (flowPart, string) {
	if len(w) != 3 || w[1] != "/" {
		return p, "flags with operators"
	}
	value, err := strconv.ParseUint(w[0], 0, 16)
	mask, fault := strconv.ParseUint(w[2], 0, 16)
	if err != nil || fault != nil || mask == 0 {
		return p, "unknown flags"
	}
	p.items = []flowItem{{flowExact, value & mask}}
	if rest := mask &^ value; rest != 0 {
		p.items = append(p.items, flowItem{flowAnd | flowNot, rest})
	}
	return p, ""
}

func birdFragments(p flowPart, w []string) (flowPart, string) {
	and, not := byte(0), byte(0)
	for _, word := range w {
		switch word {
		case "||", ",":
			and, not = 0, 0
		case "&&":
			and, not = flowAnd, 0
		case "!":
			not = flowNot
		default:
			bit, ok := map[string]uint64{"dont_fragment": 1, "is_fragment": 2, "first_fragment": 4, "last_fragment": 8}[word]
			if !ok {
				return p, "unknown fragments: " + word
			}
			p.items = append(p.items, flowItem{and | not, bit})
		}
	}
	return p, ""
}
