package acl

import (
	_ "embed" // the example
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"ippwatch/space"
)

// Limits on a policy file. A test reads one of 100,000 exceptions.
const (
	maxPolicy = 64 << 20
	maxNested = 4    // brackets within brackets: the parser's time grows with their square
	maxDashes = 20   // on one line, likewise
	maxTop    = 100  // keys at the margin
	maxText   = 300  // bytes of a text that stands in comments
	maxPorts  = 32   // each is a line on most routers
	maxIfaces = 64   // likewise
	maxRate   = 1000 // log lines in a second
	maxErrors = 20
	maxPairs  = 200_000 // of to and from in one exception that are compared
)

// ParsePolicy reads a policy file: YAML, strict. An error names the text, line
// and column, and there is one for each mistake, up to twenty.
func ParsePolicy(name string, text []byte) (Policy, error) {
	f := policyFile{name: name, policy: Policy{
		Name: "epf631", Ports: []uint16{631}, TCP: AllSegments, Log: Rate{5, "second"},
		Legs: Legs{InTCP: true, InUDP: true, OutUDP: true},
	}}
	if root := f.root(text); root != nil {
		f.mapping(root, f.keys(), "the policy")
		if len(f.errs) == 0 {
			f.whole(root)
		}
	}
	if len(f.errs) > 0 {
		return Policy{}, errors.Join(f.errs...)
	}
	return f.policy, nil
}

// A policyFile is a policy while it is read.
type policyFile struct {
	name   string
	policy Policy
	errs   []error
	more   bool
}

// A key is one of a mapping.
type key struct {
	name  string
	must  bool
	value func(ast.Node)
}

func (f *policyFile) keys() []key {
	p := &f.policy
	return []key{
		{"name", false, func(n ast.Node) { f.ident("name", n, &p.Name) }},
		{"profile", true, func(n ast.Node) { choice(f, "profile", n, &p.Profile, Profiles) }},
		{"interfaces", false, func(n ast.Node) { p.Interfaces = f.interfaces(n) }},
		{"owner", true, func(n ast.Node) { f.text("owner", n, &p.Owner) }},
		{"contact", true, func(n ast.Node) { f.text("contact", n, &p.Contact) }},
		{"review", true, func(n ast.Node) { f.day("review", n, &p.Review) }},
		{"networks", true, func(n ast.Node) { p.Networks = f.prefixes("networks", n) }},
		{"ports", false, func(n ast.Node) { p.Ports = f.ports(n) }},
		{"legs", false, f.legs},
		{"tcp", false, func(n ast.Node) { choice(f, "tcp", n, &p.TCP, []TCPMatch{AllSegments, SynOnly}) }},
		{"unknown_upper_layer", false, func(n ast.Node) { f.verdict("unknown_upper_layer", n, &p.Torn) }},
		{"log", false, f.log},
		{"one_family", false, func(n ast.Node) { f.text("one_family", n, &p.OneFamily) }},
		{"exceptions", false, f.exceptions},
	}
}

// root is the mapping at the top, or nil when the text is none.
func (f *policyFile) root(text []byte) *ast.MappingNode {
	s := strings.TrimPrefix(string(text), "\ufeff")
	switch {
	case len(s) > maxPolicy:
		f.at(1, 1, "the policy has %d bytes: the limit is %d", len(s), maxPolicy)
		return nil
	case !utf8.ValidString(s):
		f.at(1, 1, "the text is not UTF-8")
		return nil
	case strings.ContainsRune(s, 0):
		f.at(1, 1, "the text has a NUL")
		return nil
	}
	tokens := lexer.Tokenize(s)
	if t, why := costly(tokens); t != nil {
		f.at(t.Position.Line, t.Position.Column, "%s", why)
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if bad, ok := errors.AsType[yaml.Error](err); ok && bad.GetToken() != nil {
		first, _, _ := strings.Cut(bad.GetMessage(), "\n")
		f.at(bad.GetToken().Position.Line, bad.GetToken().Position.Column, "%s", first)
		return nil
	} else if err != nil {
		f.at(1, 1, "%s", err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			f.node(doc.Body, "a second document: one policy is one document")
			return nil
		}
		body = doc.Body
	}
	root, ok := body.(*ast.MappingNode)
	switch {
	case body == nil:
		f.at(1, 1, "the policy is empty")
	case !ok:
		f.node(body, "want keys and values, such as profile: edge, not %s", kind(body))
	}
	return root
}

// costly finds what the parser would read at great cost.
func costly(tokens token.Tokens) (*token.Token, string) {
	depth, dashes, top, line := 0, 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType:
			return t, "braces: write keys and values on lines of their own"
		case token.SequenceStartType:
			depth++
		case token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			dashes++
		case token.MappingValueType:
			if t.Prev != nil && t.Prev.Position.Column == 1 {
				top++
			}
		}
		switch {
		case depth > maxNested:
			return t, "too many brackets in brackets"
		case dashes > maxDashes:
			return t, "too many dashes on one line"
		case top > maxTop:
			return t, "too many keys at the margin"
		}
	}
	return nil, ""
}

func (f *policyFile) at(line, column int, format string, args ...any) {
	if len(f.errs) < maxErrors {
		f.errs = append(f.errs, fmt.Errorf("%s:%d:%d: %s", f.name, line, column, fmt.Sprintf(format, args...)))
	} else if !f.more {
		f.more = true
		f.errs = append(f.errs, errors.New("and more of the kind"))
	}
}

func (f *policyFile) node(n ast.Node, format string, args ...any) {
	at := token0(n).Position
	f.at(at.Line, at.Column, format, args...)
}

// token0 is the first token of a node; that of a mapping is its first colon.
func token0(n ast.Node) *token.Token {
	for {
		switch m := n.(type) {
		case *ast.MappingNode:
			if len(m.Values) == 0 {
				return m.GetToken()
			}
			n = m.Values[0].Key
		case *ast.MappingValueNode:
			n = m.Key
		default:
			return n.GetToken()
		}
	}
}

// mapping reads keys and values; what names it in complaints.
func (f *policyFile) mapping(n *ast.MappingNode, keys []key, what string) {
	seen := make(map[string]bool)
	for _, v := range n.Values {
		name := v.Key.GetToken().Value
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		if i < 0 {
			f.node(v.Key, "unknown key %s%s", quote(name), near(name, keys))
			continue
		}
		seen[name] = true
		if _, null := v.Value.(*ast.NullNode); null {
			if keys[i].must {
				f.node(v.Key, "%s is empty", name)
			}
			continue // the key alone, as people leave it
		}
		keys[i].value(v.Value)
	}
	for _, k := range keys {
		if k.must && !seen[k.name] {
			f.node(n, "%s: %s is missing", what, k.name)
		}
	}
}

func near(name string, keys []key) string {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
		if a, b := strings.ToLower(strings.Trim(name, "s")), strings.Trim(k.name, "s"); a == b || len(a) > 3 && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b)) {
			return ": did you mean " + k.name + "?"
		}
	}
	return ": the keys are " + strings.Join(names, ", ")
}

func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// kind names what a node is, for somebody who does not know YAML well.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a key and its value"
	case *ast.NullNode:
		return "nothing"
	}
	return "this"
}

// text reads words that will stand in comments of configurations: one line
// that prints.
func (f *policyFile) text(key string, n ast.Node, to *string) {
	s, ok := scalar(n)
	s = strings.TrimSpace(s)
	switch {
	case !ok:
		f.node(n, "%s: want text, not %s: put it in quotes", key, kind(n))
	case s == "":
		f.node(n, "%s is empty", key)
	case len(s) > maxText:
		f.node(n, "%s has %d bytes: the limit is %d", key, len(s), maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }):
		f.node(n, "%s: %s has a character that does not print", key, quote(s))
	default:
		*to = s
	}
}

// ident reads the beginning of all names. Every platform takes these
// characters, and none has a keyword that begins with epf.
func (f *policyFile) ident(key string, n ast.Node, to *string) {
	var s string
	if f.text(key, n, &s); s == "" {
		return
	}
	strange := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if !strings.HasPrefix(s, "epf") || strings.ContainsFunc(s, strange) || len(s) > 16 {
		f.node(n, "%s: %s: want epf and then small letters and digits, 16 in all, such as epf631", key, quote(s))
		return
	}
	*to = s
}

func choice[T ~string](f *policyFile, key string, n ast.Node, to *T, all []T) {
	s, _ := scalar(n)
	if !slices.Contains(all, T(s)) {
		names := make([]string, len(all))
		for i, one := range all {
			names[i] = string(one)
		}
		f.node(n, "%s: %s: want %s", key, quote(token0(n).Value), strings.Join(names, ", "))
		return
	}
	*to = T(s)
}

func (f *policyFile) verdict(key string, n ast.Node, drop *bool) {
	var word string
	if choice(f, key, n, &word, []string{"drop", "permit"}); word != "" {
		*drop = word == "drop"
	}
}

// day reads the last day on which something holds, in UTC.
func (f *policyFile) day(key string, n ast.Node, to *time.Time) {
	s, _ := scalar(n)
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(s))
	if err != nil || t.Year() < 2000 || t.Year() > 9998 {
		f.node(n, "%s: %s: want a day such as 2027-05-31", key, quote(token0(n).Value))
		return
	}
	*to = t.AddDate(0, 0, 1)
}

func (f *policyFile) list(key string, n ast.Node) []ast.Node {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.node(n, "%s: want a list, a dash before each element, not %s", key, kind(n))
		return nil
	}
	if len(list.Values) == 0 {
		f.node(n, "%s: the list is empty", key)
	}
	return list.Values
}

func (f *policyFile) prefixes(key string, n ast.Node) []netip.Prefix {
	var all []netip.Prefix
	for _, item := range f.list(key, n) {
		s, ok := scalar(item)
		if !ok {
			hint := ""
			if m, ok := item.(*ast.MappingNode); ok && len(m.Values) > 0 {
				hint = fmt.Sprintf(": write %q, in quotes", token0(m).Value+":")
			}
			f.node(item, "%s: want a prefix or an address, not %s%s", key, kind(item), hint)
			continue
		}
		p, err := space.Parse(s)
		if err != nil {
			f.node(item, "%s: %s", key, err)
			continue
		}
		all = append(all, p)
	}
	return all
}

func (f *policyFile) interfaces(n ast.Node) []string {
	var all []string
	for _, item := range f.list("interfaces", n) {
		s, _ := scalar(item)
		if len(all) == maxIfaces {
			f.node(item, "interfaces: more than %d", maxIfaces)
			return nil
		}
		if !InterfaceName(s) {
			f.node(item, "interfaces: %s: want the name of an interface as the platform has it, such as TenGigE0/0/0/0", quote(token0(item).Value))
			continue
		}
		if slices.Contains(all, s) {
			f.node(item, "interfaces: %s is listed twice", quote(s))
			continue
		}
		all = append(all, s)
	}
	return all
}

// InterfaceName reports whether an interface may have the name on some
// platform; such a name needs quotes on none.
func InterfaceName(s string) bool {
	strange := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("/._:-@", r)
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s[:1], func(r rune) bool { return strange(r) || strings.ContainsRune("/.:-@", r) }) &&
		!strings.ContainsFunc(s, strange)
}

func (f *policyFile) ports(n ast.Node) []uint16 {
	var all []uint16
	for _, item := range f.list("ports", n) {
		s, _ := scalar(item)
		port, err := strconv.ParseUint(s, 10, 16)
		switch {
		case err != nil || port == 0:
			f.node(item, "ports: %s: want a number from 1 to %d", quote(token0(item).Value), math.MaxUint16)
		case slices.Contains(all, uint16(port)):
			f.node(item, "ports: %d is listed twice", port)
		case len(all) == maxPorts:
			f.node(item, "ports: more than %d", maxPorts)
			return nil
		default:
			all = append(all, uint16(port))
		}
	}
	return all
}

func (f *policyFile) legs(n ast.Node) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		f.node(n, "legs: want keys and values, such as in_tcp: drop, not %s", kind(n))
		return
	}
	var keys []key
	for _, leg := range AllLegs {
		keys = append(keys, key{leg.Name, false, func(n ast.Node) { f.verdict("legs: "+leg.Name, n, leg.of(&f.policy.Legs)) }})
	}
	f.mapping(m, keys, "legs")
}

// log reads "5/second" or "none". A log without bound is refused: on an edge it
// is a second attack.
func (f *policyFile) log(n ast.Node) {
	s, _ := scalar(n)
	if s == "none" {
		f.policy.Log = Rate{}
		return
	}
	count, per, _ := strings.Cut(s, "/")
	rate, err := strconv.Atoi(count)
	if err != nil || rate < 1 || rate > maxRate || !slices.Contains([]string{"second", "minute", "hour"}, per) {
		f.node(n, "log: %s: want none, or at most %d/second, such as 5/second: a log without bound falls over with the attack that it tells of", quote(token0(n).Value), maxRate)
		return
	}
	f.policy.Log = Rate{rate, per}
}

func (f *policyFile) exceptions(n ast.Node) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.node(n, "exceptions: want a list, a dash before each exception, not %s", kind(n))
		return
	}
	for _, item := range list.Values {
		m, ok := item.(*ast.MappingNode)
		if !ok {
			f.node(item, "exceptions: want keys and values, such as to: [198.51.100.16/28], not %s", kind(item))
			continue
		}
		e := Exception{Line: token0(m).Position.Line}
		before := len(f.errs)
		f.mapping(m, f.exceptionKeys(&e), "the exception")
		switch {
		case len(f.errs) > before:
		case e.To == nil && e.From == nil:
			f.node(m, "the exception: it has neither to nor from: that would be the end of the filter")
		case e.To != nil && e.From != nil && familiesOf(e.To) != familiesOf(e.From):
			f.node(m, "the exception: to has %s and from has %s: no packet goes from one to the other; write one exception for each family",
				familiesOf(e.To), familiesOf(e.From))
		}
		f.policy.Exceptions = append(f.policy.Exceptions, e)
		if f.more {
			return
		}
	}
}

// Kinds are what an exception can be for.
var Kinds = []string{"print-server", "partner", "scanner", "case", "other"}

func (f *policyFile) exceptionKeys(e *Exception) []key {
	return []key{
		{"to", false, func(n ast.Node) { e.To = f.prefixes("to", n) }},
		{"from", false, func(n ast.Node) { e.From = f.prefixes("from", n) }},
		{"legs", false, func(n ast.Node) { e.Legs = f.legNames(n) }},
		{"kind", true, func(n ast.Node) { choice(f, "kind", n, &e.Kind, Kinds) }},
		{"owner", true, func(n ast.Node) { f.text("owner", n, &e.Owner) }},
		{"ticket", true, func(n ast.Node) { f.text("ticket", n, &e.Ticket) }},
		{"expires", true, func(n ast.Node) { f.day("expires", n, &e.Expires) }},
		{"reason", false, func(n ast.Node) { f.text("reason", n, &e.Reason) }},
		{"case", false, func(n ast.Node) { f.text("case", n, &e.Case) }},
	}
}

func (f *policyFile) legNames(n ast.Node) []string {
	var all []string
	for _, item := range f.list("legs", n) {
		s, _ := scalar(item)
		if !slices.ContainsFunc(AllLegs, func(l Leg) bool { return l.Name == s }) {
			f.node(item, "legs: %s: want in_tcp, in_udp, out_udp or out_tcp", quote(token0(item).Value))
			continue
		}
		all = append(all, s)
	}
	return all
}

func familiesOf(ps []netip.Prefix) Family {
	var f Family
	for _, p := range ps {
		if p.Addr().Is4() {
			f |= V4
		} else {
			f |= V6
		}
	}
	return f
}

// whole complains about what needs more than one key.
func (f *policyFile) whole(root *ast.MappingNode) {
	p := &f.policy
	at := func(name string) ast.Node {
		for _, v := range root.Values {
			if v.Key.GetToken().Value == name {
				return v.Value
			}
		}
		return root
	}
	if got := familiesOf(p.Networks); got != V4|V6 && p.OneFamily == "" {
		f.node(at("networks"), "networks: %s only: the other family would stay open; add its networks, or say why there are none: one_family: \"no IPv6 here\"", got)
	} else if got == V4|V6 && p.OneFamily != "" {
		f.node(at("one_family"), "one_family: networks has both")
	}
	if p.Profile != Host && p.Interfaces == nil {
		f.node(root, "the policy: interfaces is missing: a filter of the profile %s is bound to some", p.Profile)
	}
	if p.Legs == (Legs{}) {
		f.node(at("legs"), "legs: nothing is dropped: the policy does nothing")
	}
	f.contradictions()
}

// contradictions are exceptions for the same packets that end at different
// times: one of them is not meant.
func (f *policyFile) contradictions() {
	type claim struct {
		line    int
		expires time.Time
	}
	said := make(map[string]claim)
	for _, e := range f.policy.Exceptions {
		legs := slices.Sorted(slices.Values(e.Legs))
		tos, froms := orNone(e.To), orNone(e.From)
		if len(tos)*len(froms) > maxPairs {
			continue // no person wrote that, and lint still tells of overlaps
		}
		for _, to := range tos {
			for _, from := range froms {
				key := fmt.Sprint(to, from, legs)
				before, ok := said[key]
				if ok && !before.expires.Equal(e.Expires) {
					f.at(e.Line, 1, "the exceptions in lines %d and %d are for the same packets and end at different times: which of them holds?", before.line, e.Line)
				}
				if !ok {
					said[key] = claim{e.Line, e.Expires}
				}
			}
		}
	}
}

// orNone is a list that is walked once when it is empty.
func orNone(ps []netip.Prefix) []netip.Prefix {
	if len(ps) == 0 {
		return []netip.Prefix{{}}
	}
	return ps
}

// quote shows what somebody wrote: escaped, and not all of it when it is long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

//go:embed example.yaml
var example string

// Example is a commented policy file that drops 631 into documentation networks,
// to be reviewed in half a year.
func Example(now time.Time) string {
	return strings.NewReplacer(
		"{{review}}", now.AddDate(0, 6, 0).UTC().Format(time.DateOnly),
		"{{expires}}", now.AddDate(0, 6, 0).UTC().Format(time.DateOnly),
	).Replace(example)
}
