package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Risk is something that is allowed and probably not meant, with the reason
// why it matters.
type Risk struct {
	Line   int    `json:"line,omitempty"` // in the policy; 0: of the whole
	About  string `json:"about"`
	Risk   string `json:"risk"`
	Advice string `json:"advice"`
}

// When an end is so near or so far that somebody should look.
const (
	soon = 14 * 24 * time.Hour
	long = 366 * 24 * time.Hour
)

// Lint returns the risks of a policy at a time, in the order of the file.
func (p Policy) Lint(now time.Time) []Risk {
	all := slices.Concat(p.lintWhole(now), p.lintLegs(), p.lintExceptions(now))
	slices.SortStableFunc(all, func(a, b Risk) int { return a.Line - b.Line })
	return all
}

func (p Policy) lintWhole(now time.Time) []Risk {
	var all []Risk
	if p.OneFamily != "" {
		all = append(all, Risk{
			About: "one_family", Risk: fmt.Sprintf("the filter is for %s alone (%s)", familiesOf(p.Networks), p.OneFamily),
			Advice: "a host with an address of the other family stays open at it; ask again when the networks get one",
		})
	}
	switch left := p.Review.Sub(now); {
	case left <= 0:
		all = append(all, Risk{
			About: "review", Risk: "the review was due on " + lastDay(p.Review),
			Advice: "ask whether the reason for the filter still stands (BITAG 2013), and write the next date",
		})
	case left > 2*long:
		all = append(all, Risk{About: "review", Risk: "the review is more than two years away", Advice: "a filter that nobody looks at outlives its reason"})
	}
	for _, n := range p.Networks {
		if n.Bits() == 0 {
			all = append(all, Risk{
				About: "networks", Risk: n.String() + " is the whole Internet",
				Advice: "name your own networks: transit of others is not yours to filter, and FlowSpec without own prefixes is refused",
			})
		}
	}
	for i, n := range p.Networks {
		for j, m := range p.Networks {
			if i != j && m.Overlaps(n) && (m.Bits() < n.Bits() || m == n && j < i) {
				all = append(all, Risk{About: "networks", Risk: fmt.Sprintf("%s lies within %s", n, m), Advice: "one of them is enough"})
				break
			}
		}
		if len(p.Networks) > 2000 {
			break // the platforms join them anyway
		}
	}
	if p.Log.N > 100 && p.Log.Per == "second" {
		all = append(all, Risk{About: "log", Risk: fmt.Sprintf("%d log lines in a second for each rule", p.Log.N), Advice: "counters tell how much, a few lines tell who"})
	}
	return all
}

func (p Policy) lintLegs() []Risk {
	var all []Risk
	risk := func(leg, what, advice string) {
		all = append(all, Risk{About: "legs", Risk: leg + " " + what, Advice: advice})
	}
	if !p.Legs.InUDP {
		risk("in_udp", "is permitted", "one UDP packet makes a cups-browsed call back (CVE-2024-47176); nobody needs it from the Internet")
	}
	if !p.Legs.InTCP {
		risk("in_tcp", "is permitted", "every printer and CUPS server with an address of yours is open to the Internet")
	}
	if p.Legs.OutTCP {
		risk("out_tcp", "is dropped", "printing at servers on the Internet is legitimate; and it does not stop a call-back, which goes to any port")
	}
	if p.Legs.InTCP && p.TCP == AllSegments && !p.Profile.Inward() && p.Profile != Host {
		risk("in_tcp", "drops every segment to port 631, and so the answers to a client inside that has 631 as its own port",
			"rare, since it is below 1024; tcp: syn-only spares them where the platform can tell")
	}
	if p.Legs.InUDP || p.Legs.OutUDP {
		for _, port := range p.Ports {
			if port >= 1024 {
				risk("udp", fmt.Sprintf("port %d is one that clients use as their own", port),
					"answers of DNS and of others to such a client are dropped, one in some 64,000; they look like a fault that comes and goes")
			}
		}
	}
	return all
}

func (p Policy) lintExceptions(now time.Time) []Risk {
	var all []Risk
	scanner := map[string]bool{}
	networks := NetsOf(p.Networks...)
	var spoken []claimed
	for _, e := range p.Exceptions {
		risk := func(what, advice string) {
			all = append(all, Risk{Line: e.Line, About: "exception " + e.Ticket, Risk: what, Advice: advice})
		}
		left := e.Expires.Sub(now)
		switch {
		case left <= 0:
			risk("expired on "+lastDay(e.Expires)+" and is left out", "remove it, or renew it with its owner "+e.Owner)
		case left < soon:
			risk("ends on "+lastDay(e.Expires), "ask "+e.Owner+" whether it is still needed: on the day after, the traffic is dropped")
		case left > long:
			risk("holds for more than a year, until "+lastDay(e.Expires), "a year is enough to be asked again")
		}
		for _, leg := range AllLegs {
			if slices.Contains(e.Legs, leg.Name) && !p.Legs.Drops(leg) {
				risk(leg.Name+" is permitted anyway", "the exception does nothing there")
			}
			if e.Kind == "scanner" && e.To == nil && e.Opens(leg) && left > 0 {
				scanner[leg.Name] = true
			}
		}
		if e.To != nil && !e.outward() {
			if to := NetsOf(e.To...); to.And(networks).Empty() {
				risk("is to none of the networks", "it does nothing; is the prefix mistyped?")
			} else if e.From == nil && networks.And(to.Not()).Empty() {
				risk("opens all of the networks", "it undoes the filter; name the servers")
			}
		}
		if left > 0 {
			spoken = append(spoken, claimed{e, e.Line})
		}
	}
	all = append(all, overlaps(spoken)...)
	for _, leg := range AllLegs {
		if leg.Dir == In && p.Legs.Drops(leg) && !scanner[leg.Name] && p.Profile != Segment && p.Profile != Host {
			all = append(all, Risk{
				About: "exceptions", Risk: "no exception lets a scanner through on " + leg.Name,
				Advice: "then fixed means we cannot see: add one of kind scanner for your own scanner and for Shadowserver, and verify from an address without",
			})
		}
	}
	return all
}

// outward reports whether the exception is only about what goes out.
func (e Exception) outward() bool {
	return e.Legs != nil && !slices.ContainsFunc(e.Legs, func(name string) bool { return strings.HasPrefix(name, "in_") })
}

type claimed struct {
	e    Exception
	line int
}

// overlaps are exceptions of which one has the packets of another: when one
// ends, the other still lets them pass.
func overlaps(all []claimed) []Risk {
	type owned struct {
		prefix netip.Prefix
		by     Exception
	}
	var to []owned
	for _, c := range all {
		if c.e.From == nil {
			for _, p := range c.e.To {
				to = append(to, owned{p, c.e})
			}
		}
	}
	slices.SortStableFunc(to, func(a, b owned) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return a.prefix.Bits() - b.prefix.Bits()
	})
	var risks []Risk
	var open []owned
	for _, o := range to {
		for len(open) > 0 && !open[len(open)-1].prefix.Contains(o.prefix.Addr()) {
			open = open[:len(open)-1]
		}
		if n := len(open); n > 0 && open[n-1].by.Line != o.by.Line && len(risks) < 100 {
			outer := open[n-1]
			risks = append(risks, Risk{
				Line: o.by.Line, About: "exception " + o.by.Ticket,
				Risk:   fmt.Sprintf("%s lies within %s of the exception in line %d (%s)", o.prefix, outer.prefix, outer.by.Line, outer.by.Ticket),
				Advice: "when this one ends, the other still lets the packets through",
			})
		}
		open = append(open, o)
	}
	return risks
}

// lastDay is the day before the moment at which something does not hold any more.
func lastDay(t time.Time) string { return t.Add(-time.Second).UTC().Format(time.DateOnly) }
