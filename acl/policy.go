package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Policy is what a person wants, before it is rules.
type Policy struct {
	Name       string // begins every name; "epf631" unless the file says otherwise
	Profile    Profile
	Interfaces []string
	Owner      string
	Contact    string // where a customer asks for an exception
	Review     time.Time
	Networks   []netip.Prefix // that are protected
	Ports      []uint16
	Legs       Legs
	TCP        TCPMatch
	Log        Rate
	OneFamily  string // why the networks are of one family
	Torn       bool   // drop IPv6 packets whose upper layer cannot be known, where the platform can
	Exceptions []Exception
}

// Legs tell what becomes of each way through the filter: true is drop.
type Legs struct{ InTCP, InUDP, OutTCP, OutUDP bool }

// A Leg is one way through the filter.
type Leg struct {
	Name  string // as in the file
	Dir   Direction
	Proto uint16
	of    func(*Legs) *bool
}

// AllLegs are the ways, in the order of the file.
var AllLegs = []Leg{
	{"in_tcp", In, TCP, func(l *Legs) *bool { return &l.InTCP }},
	{"in_udp", In, UDP, func(l *Legs) *bool { return &l.InUDP }},
	{"out_udp", Out, UDP, func(l *Legs) *bool { return &l.OutUDP }},
	{"out_tcp", Out, TCP, func(l *Legs) *bool { return &l.OutTCP }},
}

// Drops reports whether the leg is dropped.
func (l Legs) Drops(leg Leg) bool { return *leg.of(&l) }

// TCPMatch is which segments a TCP leg drops.
type TCPMatch string

// AllSegments is the default. SynOnly spares the answers to a client inside that
// happens to use the port as its own; routers that keep no state cannot tell
// them otherwise.
const (
	AllSegments TCPMatch = "all"
	SynOnly     TCPMatch = "syn-only"
)

// An Exception lets pass what a leg would drop.
type Exception struct {
	To, From []netip.Prefix // none: any
	Legs     []string       // none: all that are dropped and fit
	Kind     string         // print-server, partner, scanner, case
	Owner    string
	Ticket   string
	Reason   string
	Expires  time.Time // the first moment at which it does not hold any more
	Case     string    // reference of the case that is opened when it ends
	Line     int       // in the file
}

// Form turns the policy into rules, with the exceptions that hold at the time.
// The order is: exceptions, then drops; everything else passes.
func (p Policy) Form(now time.Time, countOnly bool) Form {
	f := Form{
		Name: p.Name, At: Attach{Profile: p.Profile, Interfaces: p.Interfaces}, Networks: NetsOf(p.Networks...),
		CountOnly: countOnly, Torn: p.Torn,
	}
	f.Rules = append(f.Rules, p.exempt(now)...)
	for _, leg := range AllLegs {
		if p.Legs.Drops(leg) {
			f.Rules = append(f.Rules, p.drop(leg, countOnly))
		}
	}
	if p.Torn {
		torn := Rule{
			Name: p.Name + "_torn", Match: Match{Family: V6, Dir: In, Dst: f.Networks, Frag: Torn}, Action: Drop, Count: true,
			Why: "the chain of headers is not complete: the port cannot be known (RFC 7112)",
		}
		f.Rules = append(f.Rules, mark(torn, countOnly))
	}
	return f
}

// mark makes a rule that drops one that only counts, if that is wanted.
func mark(r Rule, countOnly bool) Rule {
	if countOnly {
		r.Name += HitSuffix
		r.Action = Permit
	}
	return r
}

var whyLeg = map[string]string{
	"in_tcp":  "IPP from the Internet: nobody there has a printer here",
	"in_udp":  "one UDP packet makes cups-browsed call back (CVE-2024-47176); no use on the Internet is known",
	"out_udp": "an infected or misconfigured sender; its packets would make others call back",
	"out_tcp": "printing at servers on the Internet; legitimate, and dropped because the policy says so",
}

func (p Policy) drop(leg Leg, countOnly bool) Rule {
	r := Rule{Name: p.Name + "_" + leg.Name, Match: p.leg(leg), Action: Drop, Count: true, Log: p.Log, Why: whyLeg[leg.Name]}
	return mark(r, countOnly)
}

// leg is what the leg is about.
func (p Policy) leg(leg Leg) Match {
	m := Match{Dir: leg.Dir, Proto: Number(leg.Proto), DPort: Number(p.Ports...)}
	if leg.Dir == In {
		m.Dst = NetsOf(p.Networks...)
	} else {
		m.Src = NetsOf(p.Networks...)
	}
	if leg.Proto == TCP && p.TCP == SynOnly {
		m.Flags = Initial
	}
	return m
}

// exempt are the rules of the exceptions that hold. Those that open the same
// legs and have no From are one rule with a list, and likewise those that have
// no To: a router has room for few lines.
func (p Policy) exempt(now time.Time) []Rule {
	var all []Rule
	at := make(map[string]int)
	parts := make(map[string][]Exception)
	for i, e := range p.Exceptions {
		if !e.Holds(now) {
			continue
		}
		for _, dir := range []Direction{In, Out} {
			protos := p.opens(e, dir)
			if protos == nil {
				continue
			}
			r := Rule{
				Match:  Match{Dir: dir, Proto: protos, DPort: Number(p.Ports...), Dst: orAny(e.To), Src: orAny(e.From)},
				Action: Permit, Count: true, Why: e.String(),
			}
			key := fmt.Sprint(dir, protos)
			switch {
			case e.From == nil:
				key += "to"
			case e.To == nil:
				key += "from"
			default:
				key += fmt.Sprint(i)
			}
			if _, ok := at[key]; !ok {
				at[key] = len(all)
				all = append(all, r)
			}
			parts[key] = append(parts[key], e)
		}
	}
	for key, j := range at {
		all[j].Name = fmt.Sprintf("%s_x%d", p.Name, j+1)
		var to, from []netip.Prefix
		var why []string
		for _, e := range parts[key] {
			to, from = append(to, e.To...), append(from, e.From...)
			why = append(why, e.String())
		}
		all[j].Match.Dst, all[j].Match.Src = orAny(to), orAny(from)
		all[j].Why = fewLines(why)
	}
	return all
}

// fewLines keeps a comment short: whoever wants all of a hundred tickets has the
// policy.
func fewLines(lines []string) string {
	const most = 20
	lines = slices.Compact(lines)
	if n := len(lines) - most; n > 0 {
		lines = append(lines[:most:most], fmt.Sprintf("and %d more: see the policy", n))
	}
	return strings.Join(lines, "\n")
}

func orAny(ps []netip.Prefix) Nets {
	if ps == nil {
		return Nets{}
	}
	return NetsOf(ps...)
}

// opens are the protocols of the legs in one direction that the exception opens.
func (p Policy) opens(e Exception, dir Direction) Ranges {
	var protos []uint16
	for _, leg := range AllLegs {
		if leg.Dir == dir && p.Legs.Drops(leg) && e.Opens(leg) {
			protos = append(protos, leg.Proto)
		}
	}
	if protos == nil {
		return nil
	}
	return Number(protos...)
}

// Opens reports whether the exception is about the leg. One that names none is
// about those that come in.
func (e Exception) Opens(leg Leg) bool {
	if e.Legs == nil {
		return leg.Dir == In
	}
	for _, name := range e.Legs {
		if name == leg.Name {
			return true
		}
	}
	return false
}

// Holds reports whether the exception has not ended.
func (e Exception) Holds(now time.Time) bool { return e.Expires.IsZero() || now.Before(e.Expires) }

// LastDay is the last day on which the exception holds, in UTC.
func (e Exception) LastDay() string { return lastDay(e.Expires) }

// String is the exception in one line for a comment of the rendered text: whoever
// finds the line on a router wants to know whom to ask.
func (e Exception) String() string {
	var words []string
	for _, w := range []string{e.Kind, e.Owner, e.Ticket} {
		if w != "" {
			words = append(words, w)
		}
	}
	if !e.Expires.IsZero() {
		words = append(words, "until "+e.LastDay())
	}
	return strings.Join(words, ", ")
}
