package track

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

// one is the case of the first host of scan.
var one = exposure.Key{Addr: netip.MustParseAddr("10.0.0.0"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}

func order(s Step, day float64) Order {
	o := Order{Step: s, Actor: "j.doe", Evidence: "as agreed", At: at(day)}
	if s == Accept {
		o.Until = at(day + 30)
	}
	return o
}

func TestTakeMovesOneAxisAndTellsIt(t *testing.T) {
	tr, s := fresh(t)
	if _, err := tr.Fold(t.Context(), scan(1, at(0), "open-ipp")); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		step    Step
		contact exposure.Contact
		ruling  exposure.Ruling
		word    string
	}{
		{Notify, exposure.Notified, exposure.NoRuling, "notified"},
		{Notify, exposure.Notified, exposure.NoRuling, "notified"}, // a reminder is told, too
		{Bounce, exposure.Undeliverable, exposure.NoRuling, "undeliverable"},
		{Acknowledge, exposure.Acknowledged, exposure.NoRuling, "acknowledged"},
		{Claim, exposure.Claimed, exposure.NoRuling, "claimed fixed"},
		{Accept, exposure.Claimed, exposure.Accepted, "accepted risk"},
		{Dismiss, exposure.Claimed, exposure.FalsePositive, "false positive"},
		{Withdraw, exposure.Claimed, exposure.NoRuling, "claimed fixed"},
	} {
		taken, err := tr.Take(t.Context(), []exposure.Key{one}, order(c.step, float64(i)))
		if err != nil || len(taken) != 1 {
			t.Fatalf("%s: %v, %v", c.step, taken, err)
		}
		if e := taken[0]; e.Contact != c.contact || e.Ruling != c.ruling || e.Condition != exposure.Confirmed || e.Word() != c.word {
			t.Errorf("after %s: %s, %s, %s, %q; want %s, %s, confirmed, %q", c.step, e.Contact, e.Ruling, e.Condition, e.Word(), c.contact, c.ruling, c.word)
		}
	}
	n := 0
	for step, err := range s.Transitions(t.Context(), access.CLI(noon), store.Span{Key: one}) {
		if err != nil || step.Actor == "" || step.Evidence == "" || step.At.IsZero() {
			t.Errorf("step %+v, %v says too little", step, err)
		}
		n++
	}
	if n != 9 {
		t.Errorf("%d steps are told, want the birth and 8 orders", n)
	}
}

func TestTakeRefuses(t *testing.T) {
	tr, _ := fresh(t)
	if _, err := tr.Fold(t.Context(), scan(2, at(0), "open-ipp")); err != nil {
		t.Fatal(err)
	}
	nobody := one
	nobody.Addr = netip.MustParseAddr("192.0.2.77")
	forever := order(Accept, 1)
	forever.Until = time.Time{}
	silent := order(Dismiss, 1)
	silent.Evidence = ""
	for _, c := range []struct {
		name string
		key  exposure.Key
		o    Order
		want error
	}{
		{"what only an observation may do", one, order(ClearAgain, 1), ErrNoTransition},
		{"to see what nobody saw", one, order(See, 1), ErrNoTransition},
		{"to take back what was not decided", one, order(Withdraw, 1), ErrNoTransition},
		{"a risk accepted for ever", one, forever, ErrMissing},
		{"a verdict without a reason", one, silent, ErrMissing},
		{"a case that is not there", nobody, order(Notify, 1), ErrNoCase},
	} {
		if taken, err := tr.Take(t.Context(), []exposure.Key{c.key}, c.o); !errors.Is(err, c.want) || len(taken) > 0 {
			t.Errorf("%s: Take = %v, %v, want %v", c.name, taken, err, c.want)
		}
	}
	two := one
	two.Addr = two.Addr.Next()
	taken, err := tr.Take(t.Context(), []exposure.Key{nobody, one, two}, order(Notify, 1))
	if len(taken) != 2 || !errors.Is(err, ErrNoCase) {
		t.Errorf("with one of three not there, Take = %v, %v", taken, err)
	}
}

func TestAcceptedRiskExpires(t *testing.T) {
	tr, _ := fresh(t)
	if _, err := tr.Fold(t.Context(), scan(1, at(0), "open-ipp")); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Take(t.Context(), []exposure.Key{one}, order(Accept, 1)); err != nil {
		t.Fatal(err)
	}
	// A scan and a feed see it meanwhile: the verdict stays.
	for _, src := range []exposure.Source{exposure.Scan, exposure.Shadowserver} {
		o := scan(1, at(5), "open-ipp")
		o[0].Source, o[0].ID = src, exposure.ID(src)
		if _, err := tr.Fold(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if back, err := tr.Expire(t.Context(), at(30)); err != nil || len(back) != 0 {
		t.Fatalf("a day early, Expire = %v, %v", back, err)
	}
	back, err := tr.Expire(t.Context(), at(31))
	if err != nil || len(back) != 1 || back[0].Ruling != exposure.NoRuling || !back[0].Work() {
		t.Fatalf("Expire = %+v, %v", back, err)
	}
	if again, err := tr.Expire(t.Context(), at(32)); err != nil || len(again) != 0 {
		t.Errorf("Expire again = %v, %v", again, err)
	}
}

// TestRandomLives drives three axes at once. Whatever happens in whatever order,
// each step that is told stands in the table of its axis, and what is kept is
// the end of what was told.
func TestRandomLives(t *testing.T) {
	tr, s := fresh(t)
	rnd := rand.New(rand.NewPCG(7, 11))
	orders := slices.Sorted(maps.Keys(axes))
	reached := make(map[string]bool)
	for i := range 1500 {
		day := float64(i) / 2
		if rnd.IntN(2) == 0 {
			o := look([]exposure.Source{exposure.Scan, exposure.Verification, exposure.Shadowserver, exposure.Audit}[rnd.IntN(4)], at(day), exposure.Answered)
			o.Addr, o.ID = one.Addr, exposure.ID(fmt.Sprint(i))
			if rnd.IntN(3) == 0 {
				o.Findings = []exposure.Finding{{Rule: one.Rule, Severity: exposure.High, Evidence: "saw it"}}
			} else {
				o.Verdict = []exposure.Verdict{exposure.Closed, exposure.Closed, exposure.NoAnswer}[rnd.IntN(3)]
			}
			if _, err := tr.Fold(t.Context(), []exposure.Observation{o}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		_, err := tr.Take(t.Context(), []exposure.Key{one}, order(orders[rnd.IntN(len(orders))], day))
		if err != nil && !errors.Is(err, ErrNoTransition) && !errors.Is(err, ErrNoCase) {
			t.Fatal(err)
		}
	}
	last := map[exposure.Axis]string{exposure.AxisContact: string(exposure.NotContacted), exposure.AxisVerdict: string(exposure.NoRuling)}
	for step, err := range s.Transitions(t.Context(), access.CLI(noon), store.Span{Key: one}) {
		if err != nil {
			t.Fatal(err)
		}
		if step.From != last[step.Axis] {
			t.Fatalf("step %+v does not begin at %q", step, last[step.Axis])
		}
		if !leads(step) {
			t.Fatalf("step %+v stands in no table", step)
		}
		last[step.Axis] = step.To
		reached[step.To] = true
	}
	e, err := s.Exposure(t.Context(), access.CLI(noon), one)
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Condition) != last[exposure.AxisCondition] || string(e.Contact) != last[exposure.AxisContact] || string(e.Ruling) != last[exposure.AxisVerdict] {
		t.Errorf("kept %s, %s, %s; told %v", e.Condition, e.Contact, e.Ruling, last)
	}
	for _, word := range []string{"confirmed", "one_clean", "fixed", "filtered", "notified", "claimed", "undeliverable", "accepted", "false_positive"} {
		if !reached[word] {
			t.Errorf("no life reached %s: the test proves little", word)
		}
	}
}

func leads(step exposure.Transition) bool {
	switch step.Axis {
	case exposure.AxisCondition:
		return slices.Contains(slices.Collect(maps.Values(next[exposure.Condition(step.From)])), exposure.Condition(step.To))
	case exposure.AxisContact:
		return slices.Contains(slices.Collect(maps.Values(contacts[exposure.Contact(step.From)])), exposure.Contact(step.To))
	case exposure.AxisVerdict:
		return slices.Contains(slices.Collect(maps.Values(rulings[exposure.Ruling(step.From)])), exposure.Ruling(step.To))
	}
	return false
}

func TestNoProofWithoutAControl(t *testing.T) {
	const rule = "open-cups"
	key := exposure.Key{Addr: netip.MustParseAddr("192.0.2.1"), Transport: exposure.TCP, Port: 631, Rule: rule}
	prior, _ := apply(nil, look(exposure.Scan, at(0), exposure.Answered, rule))
	alone := Judge{Rules: judge{}}
	closed := func(day float64) exposure.Observation { return look(exposure.Verification, at(day), exposure.Closed) }
	fold := func(j Judge, day float64, want exposure.Condition) {
		t.Helper()
		o := closed(day)
		changed, _ := Fold(prior, &o, j)
		for _, k := range changed {
			prior[k.Key] = k
		}
		if got := prior[key].Condition; got != want {
			t.Errorf("on day %v: %s, want %s", day, got, want)
		}
	}
	fold(alone, 1, exposure.Confirmed)
	fold(alone, 3, exposure.Confirmed)     // nothing else answered on either day
	fold(controlled, 4, exposure.OneClean) // the first that counts
	fold(controlled, 4.5, exposure.OneClean)
	fold(alone, 6, exposure.OneClean)
	fold(controlled, 7, exposure.Fixed)
}

func TestAClaimIsRefutedByOurOwnProbeOnly(t *testing.T) {
	tr, s := fresh(t)
	if _, err := tr.Fold(t.Context(), scan(1, at(0), "open-ipp")); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Take(t.Context(), []exposure.Key{one}, order(Claim, 1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		src  exposure.Source
		want exposure.Contact
	}{{exposure.Shadowserver, exposure.Claimed}, {exposure.Verification, exposure.Acknowledged}} {
		o := scan(1, at(2), "open-ipp")
		o[0].Source, o[0].ID = c.src, exposure.ID(c.src)
		o[0].Observed = at(2).Add(time.Duration(len(c.want)) * time.Minute)
		if _, err := tr.Fold(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if e, err := s.Exposure(t.Context(), access.CLI(noon), one); err != nil || e.Contact != c.want {
			t.Errorf("seen by %s after the claim: contact %s, %v; want %s", c.src, e.Contact, err, c.want)
		}
	}
}
