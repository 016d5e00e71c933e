package store

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

// TestALeaseBoundsACase: of a case that began under one customer and goes on
// under the next, each sees what was found at its time, and no more.
func TestALeaseBoundsACase(t *testing.T) {
	s := fresh(t)
	day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	e := sample("192.0.2.1", "open-ipp")
	e.Cycle, e.TimesSeen, e.FirstSeen, e.LastSeen = 2, 9, day(0), day(12)
	e.Condition = exposure.Fixed
	step := func(n int, axis exposure.Axis, from, to string, cycle int) exposure.Transition {
		return exposure.Transition{Key: e.Key, Axis: axis, From: from, To: to, Cycle: cycle, Actor: "test", At: day(n)}
	}
	steps := []exposure.Transition{
		step(0, exposure.AxisCondition, "", "confirmed", 1),
		step(1, exposure.AxisContact, "none", "notified", 1),
		step(2, exposure.AxisVerdict, "none", "accepted", 1),
		step(3, exposure.AxisCondition, "confirmed", "fixed", 1),
		step(11, exposure.AxisCondition, "fixed", "confirmed", 2),
		step(13, exposure.AxisContact, "notified", "claimed", 2),
		step(25, exposure.AxisCondition, "confirmed", "fixed", 2),
	}
	err := s.Apply(t.Context(), []netip.AddrPort{netip.AddrPortFrom(e.Addr, e.Port)}, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		e.Contact, e.Ruling = exposure.Claimed, exposure.Accepted
		return []exposure.Exposure{e}, steps
	})
	if err != nil {
		t.Fatal(err)
	}
	lease := func(from, to time.Time) access.View {
		return access.View{Who: "customer", Tier: access.Constituent, Windows: []access.Window{{Prefix: netip.MustParsePrefix("192.0.2.1/32"), From: from, To: to}}}
	}
	second := lease(day(10), day(20))

	want := e
	want.FirstSeen, want.TimesSeen, want.Cycle = day(10), 1, 1
	want.Condition, want.Contact, want.Ruling = exposure.Confirmed, exposure.Claimed, exposure.NoRuling
	want.RuledBy, want.RuledWhy, want.RuledUntil, want.Assignee = "", "", time.Time{}, ""
	want.ClearedAt, want.SilentAt, want.MovedFrom = time.Time{}, time.Time{}, netip.Addr{}
	got, err := s.Exposure(t.Context(), second, e.Key)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(want, got, equateAddrs); d != "" {
		t.Errorf("the second customer's case (-want +got):\n%s", d)
	}
	if at, err := s.ExposuresAt(t.Context(), second, netip.AddrPortFrom(e.Addr, e.Port)); err != nil || len(at) != 1 || at[0] != got {
		t.Errorf("ExposuresAt = %v, %v, want the same", at, err)
	}
	if named, err := s.ExposuresNamed(t.Context(), second, e.Case()); err != nil || len(named) != 1 || named[0] != got {
		t.Errorf("ExposuresNamed = %v, %v, want the same", named, err)
	}
	if listed := all(t, s, second, Filter{}); len(listed) != 1 || listed[0] != got {
		t.Errorf("Exposures = %v, want the same", listed)
	}
	if fixed := all(t, s, second, Filter{Conditions: []exposure.Condition{exposure.Fixed}}); len(fixed) != 0 {
		t.Errorf("the second customer learns of a later fix: %v", fixed)
	}
	if ruled := all(t, s, second, Filter{Rulings: []exposure.Ruling{exposure.Accepted}}); len(ruled) != 0 {
		t.Errorf("the second customer learns what was decided about the first: %v", ruled)
	}

	var history []exposure.Transition
	for tr, err := range s.Transitions(t.Context(), second, Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		history = append(history, tr)
	}
	wantHistory := []exposure.Transition{
		step(11, exposure.AxisCondition, "", "confirmed", 1),
		step(13, exposure.AxisContact, "", "claimed", 1),
	}
	if d := gocmp.Diff(wantHistory, history, equateAddrs); d != "" {
		t.Errorf("the second customer's history (-want +got):\n%s", d)
	}

	// The last sighting is not the first customer's, nor anything of the case now.
	first := lease(day(-5), day(5))
	if _, err := s.Exposure(t.Context(), first, e.Key); !errors.Is(err, ErrNoExposure) {
		t.Errorf("the first customer's Exposure = %v, want ErrNoExposure", err)
	}
	if listed := all(t, s, first, Filter{}); len(listed) != 0 {
		t.Errorf("the first customer sees %v", listed)
	}
	n := 0
	for _, err := range s.Transitions(t.Context(), first, Span{Key: e.Key}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 4 {
		t.Errorf("the first customer sees %d steps, want 4 of its own", n)
	}
	whole, err := s.Exposure(t.Context(), operator(), e.Key)
	if err != nil || whole != e {
		t.Errorf("the operator sees %v, %v, want all", whole, err)
	}
}
