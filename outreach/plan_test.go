package outreach

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

func each(list ...Case) iter.Seq2[Case, error] {
	return func(yield func(Case, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// situation is that of the town, without a store.
func situation(rules *Rules) Situation {
	d := people.NewDirectory(townPeople)
	return Situation{Now: noon, Run: "run", Rules: rules, Who: func(e *exposure.Exposure) (all []Party, err error) {
		for _, r := range d.Explain(e.Addr, e.Where) {
			all = append(all, Party{Constituent: r.Constituent, By: r.By})
		}
		return all, nil
	}}
}

func sent(id, to string, rung int, ago time.Duration) store.Delivery {
	at := noon.Add(-ago)
	return store.Delivery{
		Item: store.Item{Rung: rung, Cycle: 1}, Message: id, Kind: advisoryFirst, State: store.MessageSent, Recipient: "mail:" + to,
		Constituent: "north", Day: at.Format(time.DateOnly), Planned: at, Ended: at,
	}
}

func in(d store.Delivery, s store.MessageState, reason string) store.Delivery {
	d.State, d.Reason = s, reason
	return d
}

// TestDecide tells, for one case of north, who is told or why nobody is.
func TestDecide(t *testing.T) {
	const day = 24 * time.Hour
	type edit struct {
		c *Case
		r *Rules
		s *Situation
	}
	for _, c := range []struct {
		name string
		edit func(edit)
		want string
	}{
		{"a new case goes to the technical contact", func(edit) {}, "first to noc@north.example rung 1"},
		{"a host that says that it is simulated", func(e edit) { e.c.Simulated = true }, "simulated: the host says of itself that it is simulated"},
		{"simulated hosts on trial", func(e edit) { e.c.Simulated, e.r.Simulated = true, true }, "first to noc@north.example rung 1"},
		{"an accepted risk", func(e edit) {
			e.c.Ruling, e.c.RuledBy, e.c.RuledWhy, e.c.RuledUntil = exposure.Accepted, "j.doe", "a museum piece", noon.Add(day)
		}, "verdict until 2026-11-27T12:00:00Z: j.doe accepted the risk: a museum piece"},
		{"a false positive", func(e edit) { e.c.Ruling, e.c.RuledBy, e.c.RuledWhy = exposure.FalsePositive, "j.doe", "a honeypot" }, "verdict: j.doe says that it is none: a honeypot"},
		{"one clean probe without a control", func(e edit) { e.c.Condition = exposure.OneClean }, "condition: a probe found it closed, and nothing else answered in its run, so that it counts for no proof: verify it with --control"},
		{"one clean probe", func(e edit) { e.c.Condition, e.c.ClearedAt = exposure.OneClean, noon }, "condition: one probe found it closed; it is told of when the next sees it"},
		{"silence", func(e edit) { e.c.Condition = exposure.NotSeen }, "condition: the last scan met silence; it is told of when it is seen again"},
		{"nobody's address", func(e edit) { e.c.Addr, e.c.Where = netip.MustParseAddr("203.0.113.1"), exposure.Where{} }, "nobody: nobody answers for the address"},
		{"no rule for the severity", func(e edit) { e.r.Rules[0].Severity = exposure.Critical }, "no_rule: no rule is about it"},
		{"no rule for what feeds say", func(e edit) {
			e.c.Condition, e.r.Rules[0].Conditions = exposure.Reported, []exposure.Condition{exposure.Confirmed}
		}, "no_rule: no rule is about it"},
		{"no rule for the finding", func(e edit) { e.r.Rules[0].Findings = []string{"no-tls"} }, "no_rule: no rule is about it"},
		{"no rule for the country", func(e edit) { e.r.Rules[0].Countries = []string{"AT"} }, "no_rule: no rule is about it"},
		{"the second rule fits", func(e edit) {
			e.r.Rules = []Rule{{Name: "worst", Severity: exposure.Critical}, {Name: "rest", Language: "ja"}}
		}, "first to noc@north.example rung 1"},
		{"all is on hold", func(e edit) { e.s.Holds = []store.OutboxHold{{Who: "j.doe", Reason: "complaint"}} }, "on_hold: j.doe holds everything: complaint"},
		{"another rule is on hold", func(e edit) { e.s.Holds = []store.OutboxHold{{Rule: "other", Who: "j.doe"}} }, "first to noc@north.example rung 1"},
		{"on hold in the configuration", func(e edit) { e.r.Rules[0].Hold = true }, "on_hold: rule all is on hold in the configuration"},
		{"too new", func(e edit) { e.r.Rules[0].MinAge = Span(3 * day) }, "too_new until 2026-11-27T12:00:00Z: seen first 2d ago; rule all waits for 3d"},
		{"a message waits for approval", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, day), store.MessageHeld, "900 messages, and the limit is 500")}
		}, "waiting_for_approval: message M-1 of run  waits for approval: 900 messages, and the limit is 500"},
		{"a message is deferred", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, day), store.MessageDeferred, "rcpt: 451 greylisted")}
		}, "in_outbox: message M-1 is deferred: rcpt: 451 greylisted"},
		{"cancelled today", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, time.Hour), store.MessageCancelled, "cancelled by j.doe")}
		}, "cancelled: message M-1 was cancelled today: cancelled by j.doe"},
		{"cancelled yesterday", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, day), store.MessageCancelled, "cancelled by j.doe")}
		}, "first to noc@north.example rung 1"},
		{"dropped because it was out of date", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, time.Hour), store.MessageCancelled, stale+"x")}
		}, "first to noc@north.example rung 1"},
		{"told three days ago", func(e edit) { e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 3*day)} }, "not_yet until 2026-11-30T00:00:00Z: told 2026-11-23 (M-1); the next contact is told after 7d"},
		{"told a week ago: another contact", func(e edit) { e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 7*day)} }, "reminder to abuse@north.example rung 2"},
		{"a daily run that is a minute early today", func(e edit) { e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 7*day-time.Minute)} }, "reminder to abuse@north.example rung 2"},
		{"told twice: those above", func(e edit) {
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 21*day), sent("M-2", "abuse@north.example", 1, 14*day)}
		}, "escalation to boss@north.example rung 3"},
		{"nobody above: the CSIRT of the country", func(e edit) {
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 21*day), sent("M-2", "boss@north.example", 1, 14*day)}
		}, "escalation to cert@example.org rung 3"},
		{"told three times", func(e edit) {
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 60*day), sent("M-2", "abuse@north.example", 1, 50*day), sent("M-3", "boss@north.example", 2, 30*day)}
		}, "at_most: 3 messages were sent, the last 2026-10-27"},
		{"a shorter ladder", func(e edit) {
			e.r.Ladder = e.r.Ladder[:1]
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 60*day)}
		}, "end_of_ladder: everybody on the ladder was told, the last 2026-09-27"},
		{"it came back: the next contact, on the same rung", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, day), store.MessageBounced, "5.1.1 no such user")}
		}, "first to abuse@north.example rung 1"},
		{"nobody knows whether it arrived: it counts as told", func(e edit) {
			e.c.Past = []store.Delivery{in(sent("M-1", "noc@north.example", 0, day), store.MessageUncertain, "")}
		}, "not_yet until 2026-12-02T00:00:00Z: told 2026-11-25 (M-1); the next contact is told after 7d"},
		{"answered", func(e edit) {
			e.c.Contact, e.c.Answered = exposure.Acknowledged, noon.Add(-2*day)
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 8*day)}
		}, "answered until 2026-12-08T12:00:00Z: acknowledged 2026-11-24"},
		{"answered long ago, and still open", func(e edit) {
			e.c.Contact, e.c.Answered = exposure.Acknowledged, noon.Add(-20*day)
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 21*day)}
		}, "reminder to abuse@north.example rung 2"},
		{"of the control group", func(e edit) { e.r.Holdout.Percent, e.r.Holdout.Salt = 100, "x" }, "held_out: of the control group of 100 %"},
		{"too bad for the control group", func(e edit) {
			e.r.Holdout.Percent, e.r.Holdout.Salt, e.r.HoldoutExempt = 100, "x", exposure.High
		}, "first to noc@north.example rung 1"},
		{"who was told stays told, group or not", func(e edit) {
			e.r.Holdout.Percent, e.r.Holdout.Salt = 100, "x"
			e.c.Past = []store.Delivery{sent("M-1", "noc@north.example", 0, 7*day)}
		}, "reminder to abuse@north.example rung 2"},
		{"written to this morning", func(e edit) {
			e.s.Contacts = []store.LastContact{{Recipient: "mail:noc@north.example", Constituent: "north", At: noon.Add(-2 * time.Hour)}}
		}, "in_interval until 2026-11-27T00:00:00Z: noc@north.example was written to 2026-11-26"},
		{"written to yesterday, a minute later than today", func(e edit) {
			e.s.Contacts = []store.LastContact{{Recipient: "mail:noc@north.example", Constituent: "north", At: noon.Add(-day + time.Minute)}}
		}, "first to noc@north.example rung 1"},
		{"the contact has a message that waits", func(e edit) {
			e.s.Contacts = []store.LastContact{{Recipient: "mail:noc@north.example", Constituent: "north", Open: "M-9"}}
		}, "in_outbox: noc@north.example waits for message M-9"},
		{"outside the hours", func(e edit) { e.r.Hours = Hours{13 * time.Hour, 17 * time.Hour} }, "outside_hours until 2026-11-26T13:00:00Z: noc@north.example is written to on all days, 13:00-17:00 UTC"},
		{"a source that the rule does not allow", func(e edit) { e.r.Sources = []string{sourceImport} }, "no_contact: noc@north.example is known from own, and rule all does not allow that; abuse@north.example is known from own, and rule all does not allow that; boss@north.example is known from own, and rule all does not allow that; cert@example.org is known from own, and rule all does not allow that"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := DefaultRules()
			rules.Rules = []Rule{{Name: "all"}}
			one := Case{Exposure: hole("192.0.2.1", "open-ipp")}
			s := situation(&rules)
			c.edit(edit{&one, &rules, &s})
			for i := range one.Past {
				one.Past[i].Key = one.Key
			}
			p, err := Make(s, each(one))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range p.Messages {
				got = append(got, fmt.Sprintf("%s to %s rung %d", m.Kind, m.To.Address, m.Exposures[0].Rung+1))
			}
			for _, q := range p.Silences {
				until := ""
				if !q.Until.IsZero() {
					until = " until " + q.Until.UTC().Format(time.RFC3339)
				}
				got = append(got, q.Reason+until+": "+q.Detail)
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

func TestThanks(t *testing.T) {
	rules := DefaultRules()
	rules.Rules = []Rule{{Name: "all", Thanks: true}}
	one := Case{Exposure: hole("192.0.2.1", "open-ipp"), Past: []store.Delivery{sent("M-1", "noc@north.example", 0, 72*time.Hour)}}
	one.Condition, one.Contact = exposure.Fixed, exposure.Notified
	p, err := Make(situation(&rules), each(one))
	if err != nil || len(p.Messages) != 1 || p.Messages[0].Kind != advisoryFixed || p.Messages[0].To.Address != "noc@north.example" {
		t.Fatalf("%v, %+v: want thanks to noc@north.example", err, p.Messages)
	}
	thanked := sent("M-2", "noc@north.example", 0, 24*time.Hour)
	thanked.Kind = advisoryFixed
	one.Past = append(one.Past, thanked)
	if p, _ = Make(situation(&rules), each(one)); len(p.Messages) != 0 {
		t.Errorf("thanked twice: %+v", p.Messages)
	}
	one.Past, rules.Rules[0].Thanks = one.Past[:1], false
	if p, _ = Make(situation(&rules), each(one)); len(p.Messages) != 0 {
		t.Errorf("thanked without a rule: %+v", p.Messages)
	}
}

func TestApproval(t *testing.T) {
	rules := DefaultRules()
	for _, c := range []struct {
		name  string
		n     int
		usual []int
		want  string
	}{
		{"a usual day", 40, []int{20, 21, 19, 30, 20}, ""},
		{"more than three times the usual", 61, []int{20, 21, 19, 30, 20}, "61 messages, more than 3 times the usual 20"},
		{"nothing is usual yet", 400, []int{1, 1}, ""},
		{"few are never too many", 10, []int{1, 1, 1, 1, 1}, ""},
		{"an even number of days", 61, []int{20, 21, 19, 21, 20, 30}, ""},
		{"above the limit", 501, nil, "501 messages, and the limit is 500"},
	} {
		p := planner{Situation: Situation{Rules: &rules, Usual: c.usual}}
		if got := p.approval(c.n); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// a world is random people, leases and cases.
type world struct {
	directory *people.Directory
	leases    []exposure.Assignment
	cases     []Case
}

func cmpKeys(a, b exposure.Key) int {
	if c := a.Addr.Compare(b.Addr); c != 0 {
		return c
	}
	return strings.Compare(a.Rule, b.Rule)
}

func randomWorld(r *rand.Rand) world {
	var w world
	var list []exposure.Constituent
	address := func() string { return fmt.Sprintf("c%d@example.net", r.IntN(20)) } // some work for several
	for i := range 1 + r.IntN(25) {
		c := exposure.Constituent{Name: fmt.Sprintf("c%d", i)}
		for range r.IntN(4) {
			bits := 16 + r.IntN(17)
			c.Networks = append(c.Networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256))}), bits).Masked())
		}
		if r.IntN(4) == 0 {
			c.ASNs = append(c.ASNs, uint32(64500+r.IntN(4)))
		}
		if r.IntN(6) == 0 {
			c.Countries = append(c.Countries, []string{"DE", "AT"}[r.IntN(2)])
		}
		for range r.IntN(4) {
			contact := exposure.Recipient{
				Medium: exposure.ByMail, Address: address(), Source: exposure.OwnData,
				Role:   []string{"", "technical", "abuse", "management", "cert"}[r.IntN(5)],
				OptOut: r.IntN(10) == 0, Invalid: r.IntN(10) == 0, BusinessDays: r.IntN(4) == 0,
			}
			if !slices.ContainsFunc(c.Contacts, func(o exposure.Recipient) bool { return o.Key() == contact.Key() }) {
				c.Contacts = append(c.Contacts, contact)
			}
		}
		list = append(list, c)
	}
	w.directory = people.NewDirectory(list)
	for range r.IntN(10) {
		from := noon.Add(-time.Duration(r.IntN(100)) * time.Hour)
		w.leases = append(w.leases, exposure.Assignment{
			Prefix:   netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256))}), 24+r.IntN(9)).Masked(),
			Customer: list[r.IntN(len(list))].Name, From: from, To: from.Add(time.Duration(1+r.IntN(80)) * time.Hour),
		})
	}
	slices.SortFunc(w.leases, store.CompareAssignments)
	for range 1 + r.IntN(120) {
		e := hole(netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256))}).String(), []string{"open-ipp", "no-tls"}[r.IntN(2)])
		e.Where = exposure.Where{ASN: uint32(64500 + r.IntN(5)), Country: []string{"DE", "AT", "CH"}[r.IntN(3)]}
		e.LastSeen = noon.Add(-time.Duration(r.IntN(90)) * time.Hour)
		w.cases = append(w.cases, Case{Exposure: e})
	}
	slices.SortFunc(w.cases, func(a, b Case) int { return cmpKeys(a.Key, b.Key) })
	w.cases = slices.CompactFunc(w.cases, func(a, b Case) bool { return a.Key == b.Key })
	return w
}

// TestNobodySeesAnothersHosts plans for random people and cases: no message holds
// a case for which its constituent does not answer, no contact who opted out or
// does not work gets one, each recipient gets one for each constituent, every
// case is told or its silence explained, and the same plan has the same keys.
func TestNobodySeesAnothersHosts(t *testing.T) {
	messages, leased := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(r)
		rules := DefaultRules()
		rules.Rules = []Rule{{Name: "high", Severity: exposure.High, Findings: []string{"open-ipp"}}, {Name: "rest"}}
		plan := func() Plan {
			roll := &roll{o: &Office{Directory: w.directory, customers: make(map[string]exposure.Constituent)}, now: noon}
			for _, c := range w.directory.All() {
				roll.o.customers[c.Name] = c
			}
			next, stop := iter.Pull2(func(yield func(exposure.Assignment, error) bool) {
				for _, a := range w.leases {
					if !yield(a, nil) {
						return
					}
				}
			})
			defer stop()
			roll.next = next
			roll.advance()
			s := Situation{Now: noon, Run: "run", Rules: &rules, Who: func(e *exposure.Exposure) ([]Party, error) { return roll.who(t.Context(), e) }}
			p, err := Make(s, each(w.cases...))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p := plan()
		if diff := cmp.Diff(p, plan(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("seed %d: two plans differ:\n%s", seed, diff)
		}
		told := make(map[exposure.Key]int)
		groups := make(map[string]bool)
		for _, m := range p.Messages {
			messages++
			g := m.To.Key() + " " + m.Constituent
			if groups[g] {
				t.Fatalf("seed %d: two messages for %s", seed, g)
			}
			groups[g] = true
			if m.To.OptOut || m.To.Invalid {
				t.Fatalf("seed %d: a message to %+v", seed, m.To)
			}
			for _, x := range m.Exposures {
				told[x.Key]++
				e := w.cases[slices.IndexFunc(w.cases, func(c Case) bool { return c.Key == x.Key })].Exposure
				by := responsible(&w, &e, m.Constituent)
				if by == "" {
					t.Fatalf("seed %d: %s is told of %s, for which it does not answer", seed, m.Constituent, e.Addr)
				}
				if by == ByLease {
					leased++
				}
			}
		}
		for _, q := range p.Silences {
			told[q.Key]++
			if q.Reason == "" || q.Detail == "" {
				t.Fatalf("seed %d: a silence without a word: %+v", seed, q)
			}
		}
		for _, c := range w.cases {
			if told[c.Key] != 1 {
				t.Fatalf("seed %d: %s stands in the plan %d times", seed, c.Addr, told[c.Key])
			}
		}
	}
	if messages < 1000 || leased < 50 {
		t.Errorf("%d messages and %d cases of leases: the worlds are too empty to show anything", messages, leased)
	}
}

// responsible says by what the constituent answers for the exposure, written
// without the code that is tested.
func responsible(w *world, e *exposure.Exposure, name string) string {
	for _, a := range w.leases {
		if a.Customer == name && a.Prefix.Contains(e.Addr) && !e.LastSeen.Before(a.From) && e.LastSeen.Before(a.To) {
			return ByLease
		}
	}
	for _, c := range w.directory.All() {
		if c.Name != name {
			continue
		}
		for _, n := range c.Networks {
			if n.Contains(e.Addr) {
				return ByNetwork
			}
		}
		if slices.Contains(c.ASNs, e.Where.ASN) {
			return ByASN
		}
		if slices.Contains(c.Countries, e.Where.Country) {
			return ByCountry
		}
	}
	return ""
}

// TestPartyView holds that a party's view shows the exposure to whom it is
// responsible and nothing else.
func TestPartyView(t *testing.T) {
	e := hole("192.0.2.1", "open-ipp")
	p := Party{By: ByLease, Window: access.Window{Prefix: netip.MustParsePrefix("192.0.2.1/32"), From: noon.Add(-2 * time.Hour), To: noon}}
	v := p.view(&e, noon)
	if !v.Sees(e.Addr, noon.Add(-time.Hour)) || v.Sees(e.Addr, noon.Add(-3*time.Hour)) || v.Sees(e.Addr, noon) {
		t.Errorf("a lease shows another time")
	}
	other := Party{By: ByNetwork, Constituent: exposure.Constituent{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	if v := other.view(&e, noon); v.Host(e.Addr) {
		t.Errorf("a stranger's view shows the host")
	}
}
