package tally

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// candidate is a confirmed case of high severity, open for a day, told to
// nobody, with the changes.
func candidate(addr string, change ...func(*Candidate)) *Candidate {
	c := &Candidate{
		Exposure: exposure.Exposure{
			Key:      exposure.Key{Addr: netip.MustParseAddr(addr), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
			Severity: exposure.High, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling,
			Cycle: 1, FirstSeen: at(0), LastSeen: at(1),
		},
		Opened: at(0),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func TestWhatIsWorseIsWorthMore(t *testing.T) {
	base := candidate("192.0.2.1")
	points := func(c *Candidate) int {
		p, _ := score(c)
		return p.Sum()
	}
	for name, worse := range map[string]func(*Candidate){
		"critical above high":          func(c *Candidate) { c.Severity = exposure.Critical },
		"older":                        func(c *Candidate) { c.LastSeen = at(30) },
		"amplifies":                    func(c *Candidate) { c.Ratio = 9 },
		"came back":                    func(c *Candidate) { c.Cycle = 2 },
		"a call-back above a sighting": func(c *Candidate) { c.Transport = exposure.UDP },
	} {
		if c := candidate("192.0.2.1", worse); points(c) <= points(base) {
			t.Errorf("%s: %d points, as good as %d", name, points(c), points(base))
		}
	}
	for name, better := range map[string]func(*Candidate){
		"reported below confirmed":    func(c *Candidate) { c.Condition = exposure.Reported },
		"silent below confirmed":      func(c *Candidate) { c.Condition = exposure.NotSeen },
		"once clean below confirmed":  func(c *Candidate) { c.Condition = exposure.OneClean },
		"told below nobody told":      func(c *Candidate) { c.Contact = exposure.Notified },
		"answered below told":         func(c *Candidate) { c.Contact = exposure.Acknowledged },
		"a version below what we saw": func(c *Candidate) { c.Rule = versionRule },
	} {
		if c := candidate("192.0.2.1", better); points(c) >= points(base) {
			t.Errorf("%s: %d points, as bad as %d", name, points(c), points(base))
		}
	}
}

func TestEveryPointIsExplained(t *testing.T) {
	r := NewRanking(false, 0)
	r.Add(candidate("192.0.2.1", func(c *Candidate) { c.LastSeen, c.Cycle, c.Contact = at(400), 9, exposure.Undeliverable }), "north")
	r.Add(candidate("192.0.2.2"), "north")
	udp := candidate("192.0.2.3", func(c *Candidate) {
		c.Rule, c.Transport, c.Severity, c.Ratio, c.LastSeen = "cups-browsed-callback", exposure.UDP, exposure.Critical, 1e9, at(15)
	})
	r.Add(udp, "north")
	got := r.List()[0]
	want := "cups-browsed-callback at 192.0.2.3: critical +50, it called us +30, open 15 days +2, sends 1000000000.0 bytes for one +20, nobody told yet +15, 3 hosts +5"
	if got.Why != want || got.Points != 122 || got.Parts.Sum() != 122 {
		t.Errorf("%d points: %s\nwant 122: %s", got.Points, got.Why, want)
	}
	if len(got.Numbers) != 3 || got.Numbers[0] != udp.Case() {
		t.Errorf("case numbers %v, want %s first", got.Numbers, udp.Case())
	}
	say := "At 192.0.2.3, UDP port 631, one UDP packet makes the host call an address of a stranger's choice; " +
		"it has been so for 15 days, and was on 2026-09-16; 2 more hosts of yours have this or another fault; " +
		"please switch cups-browsed off; hardly any host needs it."
	if got.Say != say {
		t.Errorf("say %q\nwant %q", got.Say, say)
	}
}

func TestNobodyIsCalledAboutWhatIsDecided(t *testing.T) {
	r := NewRanking(true, 0)
	for _, f := range []func(*Candidate){
		func(c *Candidate) { c.Ruling = exposure.Accepted },
		func(c *Candidate) { c.Ruling = exposure.FalsePositive },
		func(c *Candidate) { c.Condition = exposure.Fixed },
		func(c *Candidate) { c.Condition = exposure.Filtered },
		func(c *Candidate) { c.Condition = exposure.Lapsed },
		func(c *Candidate) { c.Severity = exposure.Info },
		func(c *Candidate) { c.MovedTo = netip.MustParseAddr("192.0.2.9") },
	} {
		r.Add(candidate("192.0.2.1", f), "")
	}
	if list := r.List(); len(list) != 0 {
		t.Errorf("the list is %+v", list)
	}
}

// TestTheHeadOfTheListIsTheSame holds that to keep the first few only changes
// nothing about them, and that hosts may have any number of cases.
func TestTheHeadOfTheListIsTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	var cases []*Candidate
	addr := netip.MustParseAddr("192.0.2.0")
	for range 2000 {
		if rnd.IntN(3) > 0 {
			addr = addr.Next()
		}
		cases = append(cases, candidate(addr.String(), func(c *Candidate) {
			c.Severity = exposure.Severities[rnd.IntN(4)]
			c.LastSeen = at(float64(rnd.IntN(200)))
			c.Contact = []exposure.Contact{exposure.NotContacted, exposure.Notified, exposure.Claimed}[rnd.IntN(3)]
			c.Rule = rule.All[rnd.IntN(len(rule.All))].ID
		}))
	}
	list := func(byHost bool, limit int) []Ranked {
		r := NewRanking(byHost, limit)
		for i, c := range cases {
			r.Add(c, string(rune('a'+i%7)))
		}
		return r.List()
	}
	for _, byHost := range []bool{true, false} {
		all, head := list(byHost, 0), list(byHost, 5)
		equate := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		if d := cmp.Diff(all[:5], head, equate, cmp.AllowUnexported(Ranked{}, scored{})); d != "" {
			t.Errorf("by host %t (-all +head):\n%s", byHost, d)
		}
		if !slices.IsSortedFunc(all, func(a, b Ranked) int { return b.Points - a.Points }) {
			t.Errorf("by host %t: the list is not in order", byHost)
		}
		for _, r := range all {
			sum := 0
			for word := range strings.FieldsSeq(strings.ReplaceAll(r.Why, ",", "")) {
				if n, ok := strings.CutPrefix(word, "+"); ok {
					sum += number10(n)
				}
			}
			if sum != r.Points || r.Points != r.Parts.Sum() {
				t.Fatalf("%d points, and %d are explained: %s", r.Points, sum, r.Why)
			}
			if strings.Contains(r.Say, "\n") || !strings.HasSuffix(r.Say, ".") {
				t.Fatalf("say %q", r.Say)
			}
		}
	}
}

func number10(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}
