package acl

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// proofs are texts that a reader may have found for one form. Not all of those
// that drop the right packets keep the right books.
func TestProveBooks(t *testing.T) {
	nets := NetsOf(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48"))
	tcp := Match{Dir: In, Dst: nets, Proto: Number(TCP), DPort: Number(631)}
	rate := Rate{5, "second"}
	form := Form{Name: "epf631", Networks: nets, Rules: []Rule{
		{Name: "epf631_in_tcp", Match: tcp, Action: Drop, Count: true, Log: rate},
		{Name: "epf631_in_udp", Match: Match{Dir: In, Dst: nets, Proto: Number(UDP), DPort: Number(631)}, Action: Drop, Count: true},
	}}
	udp := form.Rules[1]
	drop, count, log := Rule{Match: tcp, Action: Drop}, Rule{Name: "epf631_in_tcp", Match: tcp, Count: true}, Rule{Name: "epf631_in_tcp", Match: tcp, Log: rate}
	counted := Rule{Name: "epf631_in_tcp", Match: tcp, Action: Drop, Count: true}
	stage := func(rules ...Rule) Stage { return Stage{Name: "s", Rules: rules, Default: Permit} }
	unsure := func(r Rule) Rule { r.Unsure = true; return r }
	every := Rule{Log: Rate{Per: "packet"}}

	for _, c := range []struct {
		name   string
		read   Filter
		proven bool
		lost   string
	}{
		{"one line for all", Filter{Stages: []Stage{stage(form.Rules...)}}, true, ""},
		{"log, count and drop in lines of their own", Filter{Stages: []Stage{stage(log, count, drop, udp)}}, true, ""},
		{"in two stages", Filter{Stages: []Stage{stage(log, counted), stage(udp)}}, true, ""},
		{"a line that logs everything has no name", Filter{Stages: []Stage{stage(log, counted, udp, every)}}, false, "logged"},
		{"a second log has no bound", Filter{Stages: []Stage{stage(log, Rule{Name: "epf631_in_tcp", Match: tcp, Log: every.Log}, counted, udp)}}, false, "logged"},
		{"counted twice", Filter{Stages: []Stage{stage(log, count, counted, udp)}}, false, "counted"},
		{"counted under two names", Filter{Stages: []Stage{stage(log, count, Rule{Name: "epf631_in_udp", Match: tcp, Count: true}, drop, udp)}}, false, "counted"},
		{"the counter stands behind a stage that drops", Filter{Stages: []Stage{stage(drop), stage(log, counted, udp)}}, false, "counted"},
		{"some are counted", Filter{Stages: []Stage{stage(log, unsure(count), drop, udp)}}, false, "counted"},
		{"some are dropped before they are counted", Filter{Stages: []Stage{stage(unsure(drop), log, counted, udp)}}, false, "counted"},
		{"some are logged", Filter{Stages: []Stage{stage(unsure(log), counted, udp)}}, false, "logged"},
		{
			"an order in which a block beats every allow",
			Filter{Stages: []Stage{{Name: "s", Order: DenyWins, Default: Permit, Rules: []Rule{{Action: Permit}, form.Rules[0], udp}}}},
			true, "",
		},
		{"torn packets are dropped and the policy lets them pass", Filter{Torn: true, Stages: []Stage{stage(log, counted, udp, Rule{Match: Match{Family: V6, Frag: Torn}, Action: Drop})}}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Prove(form, c.read)
			if p.Proven() != c.proven {
				t.Errorf("Proven() = %v, want %v: %+v", p.Proven(), c.proven, p)
			}
			if lost := strings.Join(p.Lost, "\n"); !strings.Contains(lost, c.lost) {
				t.Errorf("lost is %q, want something of %q", lost, c.lost)
			}
		})
	}
}

// keeps walks one packet through a list and says under which names it is kept;
// the second value tells that the walk ended within.
func keeps(rules []Rule, p Packet) (names []string, ended, left bool) {
	for _, r := range rules {
		if !r.Match.Has(p) {
			continue
		}
		if r.Name != "" && r.Count {
			names = append(names, r.Name)
		}
		switch r.Action {
		case Next:
		case Permit, Drop:
			return names, true, false
		case Return:
			return names, false, true
		case Call, Goto:
			more, end, _ := keeps(r.Rules, p)
			names = append(names, more...)
			if end || r.Action == Goto {
				return names, end, true
			}
		}
	}
	return names, false, false
}

func TestBooksAndWalksAgree(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(11, 26))}
	var name func([]Rule)
	name = func(rules []Rule) {
		for i := range rules {
			r := &rules[i]
			r.Unsure, r.Name, r.Count = false, pickOne(d, "", "a", "b", "c"), d.IntN(2) == 0
			name(r.Rules)
		}
	}
	some := 0
	for range 1500 {
		filter := d.filter()
		for i := range filter.Stages {
			filter.Stages[i].Order = FirstMatch
			name(filter.Stages[i].Rules)
		}
		l := newLedger()
		books := l.books(filter, func(r Rule) string {
			if r.Count {
				return r.Name
			}
			return ""
		})
		for range 50 {
			p := d.packet()
			var want []string
			for _, s := range filter.Stages {
				if !s.On.Has(p) {
					continue
				}
				names, _, _ := keeps(s.Rules, p)
				want = append(want, names...)
				if s.walk(p).fate == Dropped {
					break
				}
			}
			slices.Sort(want)
			if got := l.entries(l.at(books, p)); !slices.Equal(got, want) {
				t.Fatalf("%s: kept as %q, the walk says %q\n%+v", p, got, want, filter)
			}
			some += len(want)
		}
	}
	if some < 1000 {
		t.Errorf("only %d entries: the dice are too even", some)
	}
}

// Runs of rules that do the same are joined: what they come to may not change.
func TestRunsAreJoined(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(5, 5))}
	joined := 0
	for range 500 {
		var rules []Rule
		for range 1 + d.IntN(3) {
			action, base := pickOne(d, Permit, Drop, Next), d.match()
			for range 1 + d.IntN(6) {
				r := Rule{Match: base, Action: action, Name: pickOne(d, "", "", "a", "x"+HitSuffix), Count: true, Unsure: d.IntN(10) == 0}
				switch d.IntN(4) {
				case 0:
					r.Match.Src = d.nets()
				case 1:
					r.Match = d.match()
				default:
					r.Match.Dst = d.nets()
				}
				rules = append(rules, r)
			}
		}
		joined += len(rules) - len(squeeze(rules, false))
		filter := Filter{Stages: []Stage{{Rules: rules, Default: pickOne(d, Permit, Drop)}}}
		f := newForest()
		all := f.outcomes(filter)
		for range 60 {
			p := d.packet()
			if got, _ := filter.Walk(p); got != Outcome(f.at(all, p)) {
				t.Fatalf("%s: the walk says %s, the diagram %s\n%+v", p, got, Outcome(f.at(all, p)), rules)
			}
		}
		l := newLedger()
		for i := range rules {
			rules[i].Unsure = false
		}
		books := l.books(filter, func(r Rule) string { return r.Name })
		for range 60 {
			p := d.packet()
			want, _, _ := keeps(rules, p)
			slices.Sort(want)
			if got := l.entries(l.at(books, p)); !slices.Equal(got, want) {
				t.Fatalf("%s: kept as %q, the walk says %q\n%+v", p, got, want, rules)
			}
		}
	}
	if joined < 200 {
		t.Errorf("only %d rules were joined", joined)
	}
}

// No number is not any number.
func TestNoNumber(t *testing.T) {
	for _, rs := range []Ranges{Number(), Ranges{}.merged(), Ranges{{5, 3}}.merged(), Number(6).and(Number(17))} {
		if rs == nil || rs.has(0) || rs.has(5) {
			t.Errorf("%#v is some number", rs)
		}
		if all, ok := rs.Not(255); !ok || !all.has(0) || !all.has(255) {
			t.Errorf("what is not in %#v is %v, %v", rs, all, ok)
		}
	}
}

// What is proven has, packet by packet, the fate and the books of the form,
// whatever was done to the text.
func TestWhatIsProvenIsTheSame(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(63, 11))}
	names := []string{"epf631_a", "epf631_b", "epf631_c"}
	wide := func() Match { // that many packets meet
		m := d.match()
		m.Src, m.Never, m.SPort, m.Frag = Nets{}, false, nil, 0
		if d.IntN(2) == 0 {
			m.Dst, m.Ext, m.Flags = Nets{}, AnyExt, 0
		}
		return m
	}
	plain := func() Rule {
		r := Rule{Match: wide(), Action: pickOne(d, Permit, Drop), Name: pickOne(d, names...), Count: true}
		if d.IntN(3) == 0 {
			r.Log = Rate{5, "second"}
		}
		return r
	}
	logged := func(rules []Rule) []Rule {
		logs := slices.Clone(rules)
		for i := range logs {
			logs[i].Count = logs[i].Log != Rate{}
		}
		return logs
	}
	proven, different := 0, 0
	for range 1500 {
		var rules []Rule
		for range 2 + d.IntN(5) {
			rules = append(rules, plain())
		}
		form := Form{Name: "epf631", Rules: rules, Torn: true}
		text := slices.Clone(rules)
		i, j := d.IntN(len(text)), d.IntN(len(text))
		switch d.IntN(8) {
		case 0:
			text[i], text[j] = text[j], text[i]
		case 1:
			text = slices.Delete(text, i, i+1)
		case 2:
			text = slices.Insert(text, i, text[j])
		case 3:
			text[i].Match = wide()
		case 4:
			text = slices.Insert(text, i, Rule{Match: wide(), Name: pickOne(d, names...), Count: d.IntN(2) == 0, Log: pickOne(d, Rate{}, Rate{5, "second"})})
		case 5: // a count or a log in a line of its own
			count := text[i]
			count.Action, count.Log = Next, Rate{}
			text[i].Count = false
			text = slices.Insert(text, i, count)
		case 6:
			text[i].Name = pickOne(d, names...)
		case 7: // two lines for one
			half := text[i]
			half.Match = half.Match.And(Match{Family: V4})
			text[i].Match = text[i].Match.And(Match{Family: V6})
			text = slices.Insert(text, i, half)
		}
		read := Filter{Torn: true, Stages: []Stage{{Rules: text, Default: Permit}}}
		p := Prove(form, read)
		for range 150 {
			packet := d.packet()
			want, _ := form.Filter().Walk(packet)
			got, _ := read.Walk(packet)
			same := want == got
			for _, pair := range [][2][]Rule{{rules, text}, {logged(rules), logged(text)}} {
				a, _, _ := keeps(pair[0], packet)
				b, _, _ := keeps(pair[1], packet)
				slices.Sort(a)
				slices.Sort(b)
				same = same && slices.Equal(a, b)
			}
			if !same {
				different++
				if p.Proven() {
					t.Fatalf("%s is treated otherwise, and it is proven:\n%+v\n%+v", packet, rules, text)
				}
				break
			}
		}
		if p.Proven() {
			proven++
		}
	}
	if proven < 300 || different < 300 {
		t.Errorf("%d are proven, %d differ: the dice are too even", proven, different)
	}
}
