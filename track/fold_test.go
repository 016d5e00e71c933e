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

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// judge clears every rule when the door is closed, and "open-cups" also when
// the host refuses.
type judge struct{}

func (judge) Cleared(rule string, o *exposure.Observation) (bool, string) {
	switch {
	case o.Verdict == exposure.Closed:
		return true, "the port is closed"
	case o.Verdict == exposure.Restricted && rule == "open-cups":
		return true, "answered 403"
	}
	return false, "cannot tell"
}

// controlled judges observations of runs in which another host answered.
var controlled = Judge{Rules: judge{}, Control: func(*exposure.Observation) string { return "192.0.2.99 answered" }}

// look is an observation of one door at a time; with rules it found them, and
// otherwise it has the verdict.
func look(src exposure.Source, at time.Time, v exposure.Verdict, rules ...string) exposure.Observation {
	o := exposure.Observation{
		Observed: at, Received: at, Run: "r1", Source: src, Addr: netip.MustParseAddr("192.0.2.1"),
		Port: 631, Transport: exposure.TCP, Verdict: v,
	}
	o.ID = exposure.ID(fmt.Sprint(src, at.UnixNano(), v, rules))
	for _, r := range rules {
		o.Findings = append(o.Findings, exposure.Finding{Rule: r, Severity: exposure.High, Evidence: "saw " + r})
	}
	return o
}

// apply folds in order and returns the end and all steps.
func apply(prior Prior, os ...exposure.Observation) (Prior, []exposure.Transition) {
	p := maps.Clone(prior)
	if p == nil {
		p = make(Prior)
	}
	var all []exposure.Transition
	for i := range os {
		changed, steps := Fold(p, &os[i], controlled)
		for _, k := range changed {
			p[k.Key] = k
		}
		all = append(all, steps...)
	}
	return p, all
}

const day = 24 * time.Hour

// at returns the time so many days after noon.
func at(days float64) time.Time { return noon.Add(time.Duration(days * float64(day))) }

func TestFold(t *testing.T) {
	const rule = "open-cups"
	seen := func(days float64) exposure.Observation {
		return look(exposure.Scan, at(days), exposure.Answered, rule)
	}
	feed := func(days float64) exposure.Observation {
		return look(exposure.Shadowserver, at(days), exposure.Answered, rule)
	}
	shut := func(days float64) exposure.Observation { return look(exposure.Scan, at(days), exposure.Closed) }
	quiet := func(days float64) exposure.Observation { return look(exposure.Scan, at(days), exposure.NoAnswer) }
	refused := func(days float64) exposure.Observation {
		return look(exposure.Verification, at(days), exposure.Restricted, "ipp-restricted")
	}
	for _, c := range []struct {
		name  string
		given []exposure.Observation
		want  exposure.Condition
		cycle int
		times int
		first float64
		last  float64
	}{
		{"a scan confirms", []exposure.Observation{seen(0)}, exposure.Confirmed, 1, 1, 0, 0},
		{"a feed reports", []exposure.Observation{feed(0)}, exposure.Reported, 1, 1, 0, 0},
		{"a scan confirms what a feed reported", []exposure.Observation{feed(0), seen(1)}, exposure.Confirmed, 1, 2, 0, 1},
		{"a feed never lowers what we saw", []exposure.Observation{seen(0), feed(1)}, exposure.Confirmed, 1, 2, 0, 1},
		{"an audit confirms", []exposure.Observation{look(exposure.Audit, at(0), exposure.Answered, rule)}, exposure.Confirmed, 1, 1, 0, 0},
		{"one clean probe is no fix", []exposure.Observation{seen(0), shut(1)}, exposure.OneClean, 1, 1, 0, 0},
		{"a second within the day is none", []exposure.Observation{seen(0), shut(1), shut(1.9)}, exposure.OneClean, 1, 1, 0, 0},
		{"a second after a day is the fix", []exposure.Observation{seen(0), shut(1), shut(1.5), shut(2)}, exposure.Fixed, 1, 1, 0, 0},
		{"an answer of another kind clears too", []exposure.Observation{seen(0), refused(1), refused(2)}, exposure.Fixed, 1, 1, 0, 0},
		{"silence clears nothing", []exposure.Observation{seen(0), quiet(1), quiet(2)}, exposure.Confirmed, 1, 1, 0, 0},
		{"silence does not stand in for the second clean probe", []exposure.Observation{seen(0), shut(1), quiet(3)}, exposure.OneClean, 1, 1, 0, 0},
		{"absence from a feed fixes nothing", []exposure.Observation{seen(0), look(exposure.Shadowserver, at(1), exposure.Closed), look(exposure.Shadowserver, at(2), exposure.Closed)}, exposure.Confirmed, 1, 1, 0, 0},
		{"seen after one clean probe", []exposure.Observation{seen(0), shut(1), seen(2)}, exposure.Confirmed, 1, 2, 0, 2},
		{"the day begins anew after that", []exposure.Observation{seen(0), shut(1), seen(2), shut(2.5)}, exposure.OneClean, 1, 2, 0, 2},
		{"seen after the fix opens the next cycle", []exposure.Observation{seen(0), shut(1), shut(2), seen(9)}, exposure.Confirmed, 2, 2, 0, 9},
		{"a feed does not undo the fix, but its sighting counts", []exposure.Observation{seen(0), shut(1), shut(2), feed(9)}, exposure.Fixed, 1, 2, 0, 9},
		{"a sighting from before the clean probe comes late", []exposure.Observation{seen(0), shut(2), seen(1)}, exposure.OneClean, 1, 2, 0, 1},
		{"a clean probe from before the sighting comes late", []exposure.Observation{seen(2), shut(1)}, exposure.Confirmed, 1, 1, 2, 2},
		{"an older sighting moves only the beginning", []exposure.Observation{seen(2), seen(1)}, exposure.Confirmed, 1, 1, 1, 2},
		{"a sighting between two is not counted late", []exposure.Observation{seen(0), seen(2), seen(1)}, exposure.Confirmed, 1, 2, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := apply(nil, c.given...)
			got := p[exposure.Key{Addr: c.given[0].Addr, Transport: exposure.TCP, Port: 631, Rule: rule}]
			if got.Condition != c.want || got.Cycle != c.cycle || got.TimesSeen != c.times {
				t.Errorf("condition %s, cycle %d, seen %d; want %s, %d, %d", got.Condition, got.Cycle, got.TimesSeen, c.want, c.cycle, c.times)
			}
			if !got.FirstSeen.Equal(at(c.first)) || !got.LastSeen.Equal(at(c.last)) {
				t.Errorf("first %v, last %v; want %v, %v", got.FirstSeen, got.LastSeen, at(c.first), at(c.last))
			}
		})
	}
}

func TestFoldTellsWhoAndWhy(t *testing.T) {
	o, c := look(exposure.Scan, at(0), exposure.Answered, "open-cups"), look(exposure.Verification, at(1), exposure.Closed)
	o.Where, o.Simulated = exposure.Where{Country: "DE"}, true
	p, steps := apply(nil, o, c)
	key := exposure.Key{Addr: o.Addr, Transport: exposure.TCP, Port: 631, Rule: "open-cups"}
	want := []exposure.Transition{
		{Key: key, Axis: exposure.AxisCondition, To: "confirmed", Cycle: 1, Actor: "scan r1", Evidence: "saw open-cups", At: at(0)},
		{Key: key, Axis: exposure.AxisCondition, From: "confirmed", To: "one_clean", Cycle: 1, Actor: "verification r1", Evidence: "the port is closed; control: 192.0.2.99 answered", At: at(1)},
	}
	equate := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if d := cmp.Diff(want, steps, equate); d != "" {
		t.Errorf("steps differ (-want +got):\n%s", d)
	}
	wantEnd := Known{Since: at(1), Exposure: exposure.Exposure{
		Key: key, Severity: exposure.High, Condition: exposure.OneClean, Contact: exposure.NotContacted, Ruling: exposure.NoRuling,
		Cycle: 1, FirstSeen: at(0), LastSeen: at(0), TimesSeen: 1, Evidence: "saw open-cups", Last: o.ID,
		Where: o.Where, Simulated: true, ClearedAt: at(1),
	}}
	if d := cmp.Diff(wantEnd, p[key], equate); d != "" {
		t.Errorf("the exposure differs (-want +got):\n%s", d)
	}
}

func TestFoldLeavesOtherDoorsAlone(t *testing.T) {
	a := look(exposure.Scan, at(0), exposure.Answered, "open-cups")
	b, c, d := a, a, a
	b.Port, c.Transport, d.Addr = 8631, exposure.UDP, netip.MustParseAddr("192.0.2.2")
	prior, _ := apply(nil, a, b, c, d)
	o := look(exposure.Scan, at(1), exposure.Closed)
	changed, _ := Fold(prior, &o, controlled)
	if len(prior) != 4 || len(changed) != 1 || changed[0].Key != (exposure.Key{Addr: a.Addr, Transport: exposure.TCP, Port: 631, Rule: "open-cups"}) {
		t.Errorf("of %d exposures, %v changed; want only those of the door", len(prior), changed)
	}
}

func TestNextIsTheWholeLife(t *testing.T) {
	for _, c := range []struct {
		from exposure.Condition
		step Step
	}{
		{unborn, Clear},
		{unborn, Miss},
		{unborn, Lapse},
		{exposure.Confirmed, ClearAgain},
		{exposure.Reported, ClearAgain},
		{exposure.Fixed, Lapse},
		{exposure.Filtered, Lapse},
		{exposure.Lapsed, Lapse},
		{exposure.Fixed, Filter},
		{"no such condition", See},
	} {
		if to, err := Next(c.from, c.step); !errors.Is(err, ErrNoTransition) {
			t.Errorf("Next(%q, %q) = %q, %v, want ErrNoTransition", c.from, c.step, to, err)
		}
	}
	for from, steps := range next {
		for step, to := range steps {
			if got, err := Next(from, step); got != to || err != nil {
				t.Errorf("Next(%q, %q) = %q, %v, want %q", from, step, got, err, to)
			}
			if to == exposure.Fixed && from != exposure.Fixed && (step != ClearAgain || from != exposure.OneClean) {
				t.Errorf("%q fixes %q: only a second clean probe may", step, from)
			}
			if step == See && to != exposure.Confirmed {
				t.Errorf("what we see ends in %q", to)
			}
		}
	}
}

// TestFoldKeepsItsPromises folds random observations, some of them twice, some
// out of order, and checks after each what must hold always.
func TestFoldKeepsItsPromises(t *testing.T) {
	sources := []exposure.Source{exposure.Scan, exposure.Scan, exposure.Verification, exposure.Audit, exposure.Shadowserver}
	verdicts := []exposure.Verdict{exposure.Answered, exposure.Closed, exposure.Closed, exposure.Restricted, exposure.NoAnswer}
	rules := []string{"open-ipp", "open-cups", "no-tls"}
	reached := make(map[exposure.Condition]bool)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := make(Prior)
		var past []exposure.Observation
		for i := range 60 {
			var o exposure.Observation
			if len(past) > 0 && r.IntN(5) == 0 {
				o = past[r.IntN(len(past))]
			} else {
				o = look(sources[r.IntN(5)], at(float64(i)/2+r.Float64()*3), verdicts[r.IntN(5)])
				if o.Verdict == exposure.Answered {
					o = look(o.Source, o.Observed, o.Verdict, rules[:1+r.IntN(3)]...)
				}
				past = append(past, o)
			}
			before := maps.Clone(p)
			changed, steps := Fold(p, &o, controlled)
			if !maps.Equal(before, p) {
				t.Fatalf("seed %d: Fold changed its argument", seed)
			}
			check(t, p, changed, steps)
			for _, k := range changed {
				p[k.Key] = k
				reached[k.Condition] = true
			}
			if again, steps := Fold(p, &o, controlled); len(again)+len(steps) > 0 {
				t.Fatalf("seed %d: the same observation again changes %+v: %+v", seed, again, o)
			}
		}
	}
	for _, c := range []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.Fixed} {
		if !reached[c] {
			t.Errorf("no sequence reached %s: the test proves little", c)
		}
	}
}

func check(t *testing.T, prior Prior, changed []Known, steps []exposure.Transition) {
	t.Helper()
	moved := make(map[exposure.Key]exposure.Transition)
	for _, s := range steps {
		if s.Axis != exposure.AxisCondition {
			if _, err := NextContact(exposure.Contact(s.From), Reopen); s.Axis != exposure.AxisContact || err != nil || s.From == s.To {
				t.Fatalf("an observation takes step %+v", s)
			}
			continue
		}
		if _, twice := moved[s.Key]; twice {
			t.Fatalf("one observation moves %v twice", s.Key)
		}
		moved[s.Key] = s
		reachable := slices.Contains(slices.Collect(maps.Values(next[exposure.Condition(s.From)])), exposure.Condition(s.To))
		if !reachable || s.From == s.To || s.Actor == "" || s.Evidence == "" || s.At.IsZero() {
			t.Fatalf("step %+v is not in the table, or says too little", s)
		}
	}
	for _, k := range changed {
		was := prior[k.Key]
		s, stepped := moved[k.Key]
		delete(moved, k.Key)
		switch {
		case k.FirstSeen.After(k.LastSeen):
			t.Fatalf("first seen %v after last %v", k.FirstSeen, k.LastSeen)
		case was.TimesSeen > 0 && (k.FirstSeen.After(was.FirstSeen) || k.LastSeen.Before(was.LastSeen)):
			t.Fatalf("%+v shrinks to %+v", was, k)
		case k.TimesSeen < was.TimesSeen || k.TimesSeen > was.TimesSeen+1:
			t.Fatalf("seen %d times, then %d", was.TimesSeen, k.TimesSeen)
		case was.TimesSeen > 0 && (k.Ruling != was.Ruling || k.RuledWhy != was.RuledWhy || k.Assignee != was.Assignee):
			t.Fatalf("an observation changes what people decided: %+v to %+v", was, k)
		case k.Cycle < was.Cycle || k.Cycle > was.Cycle+1:
			t.Fatalf("cycle %d, then %d", was.Cycle, k.Cycle)
		case k.Since.Before(was.Since):
			t.Fatalf("entered at %v, then at %v", was.Since, k.Since)
		case stepped != (was.Condition != k.Condition):
			t.Fatalf("%s to %s: step %+v", was.Condition, k.Condition, s)
		case stepped && (s.From != string(was.Condition) || s.To != string(k.Condition) || s.Cycle != k.Cycle || !s.At.Equal(k.Since)):
			t.Fatalf("step %+v does not lead from %+v to %+v", s, was, k)
		case k.Condition == exposure.Fixed && stepped && k.Since.Sub(was.Since) < VerifyAfter:
			t.Fatalf("fixed %v after the first clean probe", k.Since.Sub(was.Since))
		}
	}
	if len(moved) > 0 {
		t.Fatalf("steps without a change: %+v", moved)
	}
}
