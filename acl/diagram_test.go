package acl

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A dice makes conditions and packets that are likely to meet.
type dice struct{ *rand.Rand }

func pickOne[T any](d dice, all ...T) T { return all[d.IntN(len(all))] }

func (d dice) nets() Nets {
	if d.IntN(3) == 0 {
		return Nets{}
	}
	var ps []netip.Prefix
	for range d.IntN(4) {
		ps = append(ps, netip.MustParsePrefix(pickOne(d,
			"198.51.100.0/24", "198.51.100.16/28", "198.51.100.128/25", "0.0.0.0/0", "2001:db8::/32", "2001:db8:100:16::/64", "::/0", "192.0.2.1/32")))
	}
	n := NetsOf(ps...)
	if d.IntN(4) == 0 {
		return n.Not()
	}
	return n
}

func (d dice) match() Match {
	m := Match{
		Family: pickOne(d, 0, 0, V4, V6), Dir: pickOne[Direction](d, 0, 0, In, Out),
		Src: d.nets(), Dst: d.nets(), Ext: pickOne(d, AnyExt, AnyExt, Without, With),
		Frag:  pickOne[Frag](d, 0, 0, 0, Whole, First|Later, Torn, Whole|Torn),
		Flags: pickOne[FlagSet](d, 0, 0, 0, Initial, Established, FlagsAre(FIN|SYN, FIN)),
		Never: d.IntN(20) == 0,
	}
	if d.IntN(3) > 0 {
		m.Proto = pickOne(d, Number(TCP), Number(UDP), Number(TCP, UDP), Number(1), Ranges{{0, 255}}, Ranges{{7, 20}}, Ranges{{17, 300}}, Ranges{{300, 400}}, Ranges{{0, 65535}}, Ranges{})
	}
	if d.IntN(2) == 0 {
		m.DPort = pickOne(d, Number(631), Number(630, 632), Ranges{{600, 700}}, Ranges{{0, 630}, {632, 65535}}, Ranges{{700, 600}, {80, 80}}, Ranges{{9, 3}})
	}
	if d.IntN(6) == 0 {
		m.SPort = pickOne(d, Number(631), Ranges{{1024, 65535}})
	}
	return m
}

func (d dice) rules(depth int) []Rule {
	var all []Rule
	for range d.IntN(6) {
		r := Rule{Match: d.match(), Action: Action(d.IntN(6)), Unsure: d.IntN(8) == 0}
		if d.IntN(5) == 0 {
			r.Name = "epf_x" + HitSuffix
		}
		if r.Action == Call || r.Action == Goto {
			if depth == 0 {
				r.Action = Permit
			} else {
				r.Rules = d.rules(depth - 1)
			}
		}
		all = append(all, r)
	}
	return all
}

func (d dice) filter() Filter {
	var f Filter
	for range 1 + d.IntN(2) {
		s := Stage{Name: "s", Rules: d.rules(2), Order: pickOne(d, FirstMatch, FirstMatch, DenyWins, AllowOnly), Default: pickOne(d, Permit, Drop)}
		if d.IntN(2) == 0 {
			s.On = Match{Family: pickOne[Family](d, 0, V4, V6), Dir: pickOne[Direction](d, 0, In, Out)}
		}
		f.Stages = append(f.Stages, s)
	}
	return f
}

// packet is one that there is.
func (d dice) packet() Packet {
	p := Packet{
		Dir: pickOne(d, In, Out), Proto: pickOne[uint8](d, TCP, TCP, UDP, UDP, 1, 58, 132),
		Frag: pickOne(d, Whole, Whole, First, Later), Ext: d.IntN(2) == 0,
		SPort: pickOne[uint16](d, 631, 40000, 1023), DPort: pickOne[uint16](d, 630, 631, 632, 80, 0, 65535),
		Flags: flagsAt(uint(d.IntN(16))),
	}
	if d.IntN(2) == 0 {
		p.Dst = netip.MustParseAddr(pickOne(d, "198.51.100.15", "198.51.100.16", "198.51.100.31", "198.51.100.32", "198.51.99.255", "0.0.0.0", "255.255.255.255"))
		p.Src = netip.MustParseAddr(pickOne(d, "192.0.2.1", "192.0.2.2", "198.51.100.129"))
		p.Ext = false
	} else {
		p.Dst = netip.MustParseAddr(pickOne(d, "2001:db8:100:16::", "2001:db8:100:16:ffff:ffff:ffff:ffff", "2001:db8:100:17::", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
		p.Src = netip.MustParseAddr(pickOne(d, "2001:db8::1", "2001:db9::"))
		if d.IntN(10) == 0 {
			p.Frag = Torn
		}
		p.Ext = p.Ext || p.Frag != Whole
	}
	if !p.seen() {
		p.SPort, p.DPort = 0, 0
	}
	if !p.seen() || p.Proto != TCP {
		p.Flags = 0
	}
	if p.Frag == Torn {
		p.Proto = 0
	}
	return p
}

func TestDiagramsAndWalksAgree(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(6, 31))}
	for range 2000 {
		filter := d.filter()
		f := newForest()
		r := f.outcomes(filter)
		for range 50 {
			p := d.packet()
			if got, _ := filter.Walk(p); got != Outcome(f.at(r, p)) {
				t.Fatalf("%s: the walk says %s, the diagram %s\n%+v", p, got, Outcome(f.at(r, p)), filter)
			}
			if f.at(f.real(true), p) != yes {
				t.Fatalf("%s is said not to exist", p)
			}
		}
	}
}

// What Compare says is different, is; and what is different, it says.
func TestCompareTellsEveryDifference(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(63, 1))}
	found := 0
	for range 1000 {
		a, b := d.filter(), d.filter()
		a.Torn, b.Torn = true, true
		differences := Compare(a, b)
		for _, one := range differences {
			was, _ := a.Walk(one.Witness)
			is, _ := b.Walk(one.Witness)
			if was != one.A || is != one.B || was == is {
				t.Fatalf("witness %s: A %s B %s, told %s and %s", one.Witness, was, is, one.A, one.B)
			}
			if !one.Packets.Has(one.Witness) {
				t.Fatalf("witness %s is not of %s", one.Witness, one.Packets)
			}
		}
		if len(differences) >= MaxDifferences {
			continue
		}
		for range 100 {
			p := d.packet()
			was, _ := a.Walk(p)
			is, _ := b.Walk(p)
			told := false
			for _, one := range differences {
				told = told || one.Packets.Has(p)
			}
			if told != (was != is) {
				t.Fatalf("%s: A %s B %s, told %v", p, was, is, told)
			}
			if told {
				found++
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d packets were different: the dice are too even", found)
	}
}

// Rules that are about other packets are left out of a comparison of some; what
// it tells of those may not change.
func TestWithinLeavesOutWhatIsNotAsked(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(4, 4))}
	left, found := 0, 0
	for range 1000 {
		a, b := d.filter(), d.filter()
		a.Torn, b.Torn = true, true
		some := []Match{d.match(), d.match()}
		for i, s := range a.about(some).Stages {
			left += len(a.Stages[i].Rules) - len(s.Rules)
		}
		differences := Within(a, b, some)
		if len(differences) >= MaxDifferences {
			continue
		}
		for range 100 {
			p := d.packet()
			was, _ := a.Walk(p)
			is, _ := b.Walk(p)
			told := slices.ContainsFunc(differences, func(one Difference) bool { return one.Packets.Has(p) })
			if want := was != is && (some[0].Has(p) || some[1].Has(p)); told != want {
				t.Fatalf("%s: A %s B %s, told %v, want %v", p, was, is, told, want)
			}
			if told {
				found++
			}
		}
	}
	if left < 1000 || found < 300 {
		t.Errorf("only %d rules are left out, %d packets different: the dice are too even", left, found)
	}
}

// A platform where a block beats every allow gets blocks with the exceptions
// cut out of them; one that has only allows gets the rest of the world.
func TestPlatformsOfAnotherOrder(t *testing.T) {
	prefixes := func(words ...string) (ps []netip.Prefix) {
		for _, w := range words {
			ps = append(ps, netip.MustParsePrefix(w))
		}
		return ps
	}
	p := Policy{
		Name: "epf631", Profile: Host, Networks: prefixes("198.51.100.0/24", "2001:db8:100::/48"), Ports: []uint16{631},
		Legs: Legs{InTCP: true, InUDP: true, OutUDP: true}, TCP: SynOnly,
		Exceptions: []Exception{
			{To: prefixes("198.51.100.16/28", "2001:db8:100:16::/64"), Legs: []string{"in_tcp"}},
			{From: prefixes("192.0.2.10/32", "2001:db8:ffff::10/128")},
			{From: prefixes("203.0.113.0/24"), To: prefixes("198.51.100.7/32")},
		},
	}
	form := p.Form(day("2027-01-01"), false)
	want := form.Filter()

	toys := map[string]func() Stage{
		"deny wins": func() Stage {
			s := Stage{Order: DenyWins, Default: Permit}
			for _, m := range Drops(want) {
				s.Rules = append(s.Rules, Rule{Match: m, Action: Drop})
			}
			return s
		},
		"allow only": func() Stage {
			s := Stage{Order: AllowOnly, Default: Drop}
			for _, m := range Passes(want) {
				s.Rules = append(s.Rules, Rule{Match: m, Action: Permit})
			}
			return s
		},
	}
	for name, toy := range toys {
		t.Run(name, func(t *testing.T) {
			s := toy()
			if d := Compare(want, Filter{Stages: []Stage{s}}); len(d) > 0 {
				t.Fatalf("differs: %s: %s, want %s", d[0].Witness, d[0].B, d[0].A)
			}
			if len(s.Rules) > 60 {
				t.Errorf("%d rules", len(s.Rules))
			}
			// Without any one of them it is another filter.
			for i := range s.Rules {
				less := s
				less.Rules = append(append([]Rule{}, s.Rules[:i]...), s.Rules[i+1:]...)
				if len(Compare(want, Filter{Stages: []Stage{less}})) == 0 {
					t.Errorf("rule %d may be left out: %s", i, s.Rules[i].Match)
				}
			}
		})
	}

	// The rules of the form, in their order, are wrong on both.
	for _, order := range []Order{DenyWins, AllowOnly} {
		if len(Compare(want, Filter{Stages: []Stage{{Rules: form.Rules, Order: order, Default: Permit}}})) == 0 {
			t.Errorf("order %d: the form as it is does not differ", order)
		}
	}
}
