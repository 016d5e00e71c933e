package acl

import (
	_ "embed" // the example
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"ippwatch/space"
	"ippwatch/strict"
)

// Limits on a policy file. A test reads one of 100,000 exceptions.
const (
	maxPolicy = 64 << 20
	maxText   = 300     // bytes of a text that stands in comments
	maxPorts  = 32      // each is a line on most routers
	maxIfaces = 64      // likewise
	maxRate   = 1000    // log lines in a second
	maxPairs  = 200_000 // of to and from in one exception that are compared
)

// ParsePolicy reads a policy file: YAML, strict. An error names the text, line
// and column, and there is one for each mistake, up to twenty.
func ParsePolicy(name string, text []byte) (Policy, error) {
	f := policyFile{File: strict.File{Name: name}, policy: Policy{
		Name: "epf631", Ports: []uint16{631}, TCP: AllSegments, Log: Rate{5, "second"},
		Legs: Legs{InTCP: true, InUDP: true, OutUDP: true},
	}}
	root := f.YAML(text, maxPolicy)
	if root != nil {
		f.Keys(root, "the policy", f.keys())
	} else if f.Mistakes() == 0 {
		f.At(1, 1, "the policy is empty")
	}
	if f.Mistakes() == 0 {
		f.whole(root)
	}
	if err := f.Err(); err != nil {
		return Policy{}, err
	}
	return f.policy, nil
}

// A policyFile is a policy while it is read.
type policyFile struct {
	strict.File
	policy Policy
}

func (f *policyFile) keys() []strict.Key {
	p := &f.policy
	return []strict.Key{
		{Name: "name", Read: func(n ast.Node) { f.ident("name", n, &p.Name) }},
		{Name: "profile", Must: true, Read: func(n ast.Node) { choice(f, "profile", n, &p.Profile, Profiles) }},
		{Name: "interfaces", Read: func(n ast.Node) { p.Interfaces = f.interfaces(n) }},
		{Name: "owner", Must: true, Read: func(n ast.Node) { f.text("owner", n, &p.Owner) }},
		{Name: "contact", Must: true, Read: func(n ast.Node) { f.text("contact", n, &p.Contact) }},
		{Name: "review", Must: true, Read: func(n ast.Node) { f.day("review", n, &p.Review) }},
		{Name: "networks", Must: true, Read: func(n ast.Node) { p.Networks = f.prefixes("networks", n) }},
		{Name: "ports", Read: func(n ast.Node) { p.Ports = f.ports(n) }},
		{Name: "legs", Read: f.legs},
		{Name: "tcp", Read: func(n ast.Node) { choice(f, "tcp", n, &p.TCP, []TCPMatch{AllSegments, SynOnly}) }},
		{Name: "unknown_upper_layer", Read: func(n ast.Node) { f.verdict("unknown_upper_layer", n, &p.Torn) }},
		{Name: "log", Read: f.log},
		{Name: "one_family", Read: func(n ast.Node) { f.text("one_family", n, &p.OneFamily) }},
		{Name: "exceptions", Read: f.exceptions},
	}
}

// text reads words that will stand in comments of configurations: one line
// that prints. A number is the number of a ticket.
func (f *policyFile) text(key string, n ast.Node, to *string) {
	if number, ok := n.(*ast.IntegerNode); ok && len(number.GetToken().Value) <= maxText {
		*to = number.GetToken().Value
	} else if s := f.Line(key, n, maxText); s != "" {
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
		f.Node(n, "%s: %s: want epf and then small letters and digits, 16 in all, such as epf631", key, strict.Quote(s))
		return
	}
	*to = s
}

func choice[T ~string](f *policyFile, key string, n ast.Node, to *T, all []T) {
	s, _ := strict.Word(n)
	if !slices.Contains(all, T(s)) {
		names := make([]string, len(all))
		for i, one := range all {
			names[i] = string(one)
		}
		f.Node(n, "%s: %s: want %s", key, strict.Shown(n), strings.Join(names, ", "))
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
	s, _ := strict.Word(n)
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(s))
	if err != nil || t.Year() < 2000 || t.Year() > 9998 {
		f.Node(n, "%s: %s: want a day such as 2027-05-31", key, strict.Shown(n))
		return
	}
	*to = t.AddDate(0, 0, 1)
}

func (f *policyFile) list(key string, n ast.Node) []ast.Node {
	f.filled(key, n)
	return f.List(key, n)
}

func (f *policyFile) filled(key string, n ast.Node) {
	if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == 0 {
		f.Node(n, "%s: the list is empty", key)
	}
}

func (f *policyFile) prefixes(key string, n ast.Node) []netip.Prefix {
	f.filled(key, n)
	return space.Prefixes(&f.File, key, n)
}

func (f *policyFile) interfaces(n ast.Node) []string {
	var all []string
	for _, item := range f.list("interfaces", n) {
		s, _ := strict.Word(item)
		if len(all) == maxIfaces {
			f.Node(item, "interfaces: more than %d", maxIfaces)
			return nil
		}
		if !InterfaceName(s) {
			f.Node(item, "interfaces: %s: want the name of an interface as the platform has it, such as TenGigE0/0/0/0", strict.Shown(item))
			continue
		}
		if slices.Contains(all, s) {
			f.Node(item, "interfaces: %s is listed twice", strict.Quote(s))
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
		s, _ := strict.Word(item)
		port, err := strconv.ParseUint(s, 10, 16)
		switch {
		case err != nil || port == 0:
			f.Node(item, "ports: %s: want a number from 1 to %d", strict.Shown(item), math.MaxUint16)
		case slices.Contains(all, uint16(port)):
			f.Node(item, "ports: %d is listed twice", port)
		case len(all) == maxPorts:
			f.Node(item, "ports: more than %d", maxPorts)
			return nil
		default:
			all = append(all, uint16(port))
		}
	}
	return all
}

func (f *policyFile) legs(n ast.Node) {
	var keys []strict.Key
	for _, leg := range AllLegs {
		keys = append(keys, strict.Key{Name: leg.Name, Read: func(n ast.Node) { f.verdict("legs: "+leg.Name, n, leg.of(&f.policy.Legs)) }})
	}
	f.Keys(n, "legs", keys)
}

// log reads "5/second" or "none". A log without bound is refused: on an edge it
// is a second attack.
func (f *policyFile) log(n ast.Node) {
	s, _ := strict.Word(n)
	if s == "none" {
		f.policy.Log = Rate{}
		return
	}
	count, per, _ := strings.Cut(s, "/")
	rate, err := strconv.Atoi(count)
	if err != nil || rate < 1 || rate > maxRate || !slices.Contains([]string{"second", "minute", "hour"}, per) {
		f.Node(n, "log: %s: want none, or at most %d/second, such as 5/second: a log without bound falls over with the attack that it tells of", strict.Shown(n), maxRate)
		return
	}
	f.policy.Log = Rate{rate, per}
}

func (f *policyFile) exceptions(n ast.Node) {
	for _, item := range f.List("exceptions", n) {
		e := Exception{Line: strict.PlaceOf(item).Line}
		before := f.Mistakes()
		f.Keys(item, "the exception", f.exceptionKeys(&e))
		switch {
		case f.Full():
			return
		case f.Mistakes() > before:
		case e.To == nil && e.From == nil:
			f.Node(item, "the exception: it has neither to nor from: that would be the end of the filter")
		case e.To != nil && e.From != nil && familiesOf(e.To) != familiesOf(e.From):
			f.Node(item, "the exception: to has %s and from has %s: no packet goes from one to the other; write one exception for each family",
				familiesOf(e.To), familiesOf(e.From))
		}
		f.policy.Exceptions = append(f.policy.Exceptions, e)
	}
}

// Kinds are what an exception can be for.
var Kinds = []string{"print-server", "partner", "scanner", "case", "other"}

func (f *policyFile) exceptionKeys(e *Exception) []strict.Key {
	return []strict.Key{
		{Name: "to", Read: func(n ast.Node) { e.To = f.prefixes("to", n) }},
		{Name: "from", Read: func(n ast.Node) { e.From = f.prefixes("from", n) }},
		{Name: "legs", Read: func(n ast.Node) { e.Legs = f.legNames(n) }},
		{Name: "kind", Must: true, Read: func(n ast.Node) { choice(f, "kind", n, &e.Kind, Kinds) }},
		{Name: "owner", Must: true, Read: func(n ast.Node) { f.text("owner", n, &e.Owner) }},
		{Name: "ticket", Must: true, Read: func(n ast.Node) { f.text("ticket", n, &e.Ticket) }},
		{Name: "expires", Must: true, Read: func(n ast.Node) { f.day("expires", n, &e.Expires) }},
		{Name: "reason", Read: func(n ast.Node) { f.text("reason", n, &e.Reason) }},
		{Name: "case", Read: func(n ast.Node) { f.text("case", n, &e.Case) }},
	}
}

func (f *policyFile) legNames(n ast.Node) []string {
	var all []string
	for _, item := range f.list("legs", n) {
		s, _ := strict.Word(item)
		if !slices.ContainsFunc(AllLegs, func(l Leg) bool { return l.Name == s }) {
			f.Node(item, "legs: %s: want in_tcp, in_udp, out_udp or out_tcp", strict.Shown(item))
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
func (f *policyFile) whole(root ast.Node) {
	p := &f.policy
	at := func(name string) ast.Node {
		for _, v := range f.Pairs(root, "") {
			if v.Key.GetToken().Value == name {
				return v.Value
			}
		}
		return root
	}
	if got := familiesOf(p.Networks); got != V4|V6 && p.OneFamily == "" {
		f.Node(at("networks"), "networks: %s only: the other family would stay open; add its networks, or say why there are none: one_family: \"no IPv6 here\"", got)
	} else if got == V4|V6 && p.OneFamily != "" {
		f.Node(at("one_family"), "one_family: networks has both")
	}
	if p.Profile != Host && p.Interfaces == nil {
		f.Node(root, "the policy: interfaces is missing: a filter of the profile %s is bound to some", p.Profile)
	}
	if p.Legs == (Legs{}) {
		f.Node(at("legs"), "legs: nothing is dropped: the policy does nothing")
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
					f.At(e.Line, 1, "the exceptions in lines %d and %d are for the same packets and end at different times: which of them holds?", before.line, e.Line)
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
