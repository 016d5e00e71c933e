package track

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

func fresh(t testing.TB) (*Tracker, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(s, judge{}).Controlled(controlled.Control, 0), s
}

// scan is what a scan of n hosts finds at a time.
func scan(n int, at time.Time, rules ...string) []exposure.Observation {
	var os []exposure.Observation
	for i := range n {
		o := look(exposure.Scan, at, exposure.Answered, rules...)
		o.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		o.ID = exposure.ID(fmt.Sprint(o.Addr, at.UnixNano()))
		os = append(os, o)
	}
	return os
}

func conditions(t *testing.T, s *store.Store) map[exposure.Condition]int {
	t.Helper()
	got := make(map[exposure.Condition]int)
	for e, err := range s.Exposures(t.Context(), access.CLI(noon), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Condition]++
	}
	return got
}

func TestTheDaysOfANetwork(t *testing.T) {
	tr, s := fresh(t)
	ctx := t.Context()
	const hosts = 250 // more than one transaction
	fold := func(name string, os []exposure.Observation, want Summary) {
		t.Helper()
		want.Observations = len(os)
		got, err := tr.Fold(ctx, os)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: Fold = %+v, want %+v", name, got, want)
		}
	}
	first := scan(hosts, at(0), "open-ipp", "no-tls")
	fold("the first scan", first, Summary{Sightings: 2 * hosts, New: 2 * hosts})
	fold("the same again", first, Summary{})
	fold("the second scan", scan(hosts, at(1), "open-ipp", "no-tls"), Summary{Sightings: 2 * hosts})

	// On day 2 the first 100 are closed, 100 answer, and 50 are silent.
	third := scan(200, at(2), "open-ipp", "no-tls")
	for i := range 100 {
		third[i].Verdict, third[i].Findings = exposure.Closed, nil
	}
	fold("a mixed scan", third, Summary{Sightings: 200, Clean: 200})
	answered := make(map[netip.Addr]bool)
	for _, o := range third {
		answered[o.Addr] = true
	}
	run := exposure.Run{ID: "r3", Started: at(2).Add(-time.Minute)}
	silent := func(k exposure.Key) bool { return !answered[k.Addr] }
	for i, want := range []Summary{{Silent: 100}, {}} {
		got, err := tr.Miss(ctx, run, silent, at(2).Add(time.Minute))
		if err != nil || got != want {
			t.Errorf("Miss, time %d = %+v, %v, want %+v", i+1, got, err, want)
		}
	}
	want := map[exposure.Condition]int{exposure.OneClean: 200, exposure.Confirmed: 200, exposure.NotSeen: 100}
	if d := cmp.Diff(want, conditions(t, s)); d != "" {
		t.Errorf("day 2 differs (-want +got):\n%s", d)
	}

	for i := range third {
		third[i].Observed, third[i].ID = at(3), third[i].ID+"'"
	}
	fold("the proof of the fixes", third[:100], Summary{Fixed: 200})
	fold("the silent speak", scan(hosts, at(3), "open-ipp")[200:], Summary{Sightings: 50, Back: 50})

	for i, want := range []Summary{{Lapsed: 250}, {}} { // all but what spoke on day 3
		got, err := tr.Lapse(ctx, at(62))
		if err != nil || got != want {
			t.Errorf("Lapse, time %d = %+v, %v, want %+v", i+1, got, err, want)
		}
	}
	want = map[exposure.Condition]int{exposure.Fixed: 200, exposure.Confirmed: 50, exposure.Lapsed: 250}
	if d := cmp.Diff(want, conditions(t, s)); d != "" {
		t.Errorf("day 62 differs (-want +got):\n%s", d)
	}
	fold("seen after all", scan(201, at(70), "open-ipp"), Summary{Sightings: 201, Back: 200})
	e, err := s.Exposure(ctx, access.CLI(noon), exposure.Key{Addr: netip.MustParseAddr("10.0.0.0"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"})
	if err != nil || e.Cycle != 2 || e.TimesSeen != 3 {
		t.Errorf("the first host: cycle %d, seen %d, %v; want 2, 3", e.Cycle, e.TimesSeen, err)
	}
}

func TestMissLeavesAloneWhatWasSeenSince(t *testing.T) {
	tr, s := fresh(t)
	if _, err := tr.Fold(t.Context(), scan(3, at(1), "open-ipp")); err != nil {
		t.Fatal(err)
	}
	all := func(exposure.Key) bool { return true }
	got, err := tr.Miss(t.Context(), exposure.Run{ID: "r", Started: at(1).Add(-time.Second)}, all, at(2))
	if err != nil || got != (Summary{}) {
		t.Errorf("Miss = %+v, %v, want nothing: all were seen after the run began", got, err)
	}
	if d := cmp.Diff(map[exposure.Condition]int{exposure.Confirmed: 3}, conditions(t, s)); d != "" {
		t.Error(d)
	}
}

func TestChangesTellTheNetEffect(t *testing.T) {
	tr, _ := fresh(t)
	ctx := t.Context()
	one := func(host byte, at time.Time, v exposure.Verdict, rules ...string) exposure.Observation {
		o := look(exposure.Scan, at, v, rules...)
		o.Addr = netip.AddrFrom4([4]byte{192, 0, 2, host})
		return o
	}
	fold := func(os ...exposure.Observation) {
		t.Helper()
		if _, err := tr.Fold(ctx, os); err != nil {
			t.Fatal(err)
		}
	}
	miss := func(host byte, start, at time.Time) {
		t.Helper()
		silent := func(k exposure.Key) bool { return k.Addr.As4()[3] == host }
		if _, err := tr.Miss(ctx, exposure.Run{ID: "r", Started: start}, silent, at); err != nil {
			t.Fatal(err)
		}
	}
	const r = "open-ipp"
	for h := range byte(6) {
		fold(one(h, at(0), exposure.Answered, r))
	}
	fold(one(5, at(1), exposure.Closed))
	miss(4, at(1), at(1))
	// The window begins at day 2.
	fold(one(1, at(2.5), exposure.Closed))                                           // closed
	miss(2, at(2.5), at(2.6))                                                        // silent
	fold(one(3, at(2.5), exposure.Closed), one(3, at(2.7), exposure.Answered, r))    // left and came back
	fold(one(4, at(2.5), exposure.Answered, r))                                      // back
	fold(one(5, at(2.5), exposure.Closed))                                           // verified
	fold(one(6, at(2.5), exposure.Answered, r))                                      // new
	fold(one(7, at(2.5), exposure.Answered, r), one(7, at(2.6), exposure.Closed))    // came and went
	fold(one(8, at(2.5), exposure.Answered, r), one(8, at(2.6), exposure.NoAnswer))  // new, then no news
	fold(look(exposure.Shadowserver, at(2.5), exposure.Answered, "reported-by-one")) // new, by a feed

	show := func(ts []exposure.Transition) (out []string) {
		for _, s := range ts {
			out = append(out, fmt.Sprintf("%d: %s to %s", s.Addr.As4()[3], s.From, s.To))
		}
		return out
	}
	c, err := tr.Changes(ctx, access.CLI(noon), at(2))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{"new": show(c.New), "back": show(c.Back), "silent": show(c.Silent), "closed": show(c.Closed)}
	want := map[string][]string{
		"new":    {"1:  to reported", "6:  to confirmed", "8:  to confirmed"},
		"back":   {"4: not_seen to confirmed"},
		"silent": {"2: confirmed to not_seen"},
		"closed": {"1: confirmed to one_clean", "5: one_clean to fixed", "7:  to one_clean"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Changes differ (-want +got):\n%s", d)
	}
	c, err = tr.Changes(ctx, access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.4/31")}}, at(2))
	if err != nil || len(c.New)+len(c.Silent) != 0 || len(c.Back) != 1 || len(c.Closed) != 1 {
		t.Errorf("a constituent sees %+v, %v, want its own two changes", c, err)
	}
}

func TestAFailedFoldCountsNothing(t *testing.T) {
	tr, s := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sum, err := tr.Fold(ctx, scan(3, at(0), "open-ipp"))
	if !errors.Is(err, context.Canceled) || sum != (Summary{}) {
		t.Errorf("Fold = %+v, %v, want nothing and context.Canceled", sum, err)
	}
	if got := conditions(t, s); len(got) != 0 {
		t.Errorf("a failed Fold kept %v", got)
	}
}

func BenchmarkFold(b *testing.B) {
	tr, _ := fresh(b)
	const hosts = 10_000
	n := 0
	for b.Loop() {
		sum, err := tr.Fold(b.Context(), scan(hosts, noon.Add(time.Duration(n)*time.Hour), "open-ipp", "no-tls"))
		if err != nil {
			b.Fatal(err)
		}
		n += sum.Sightings
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "exposures/s")
}

// Nobody else writes during a transaction, so its size follows the time that
// the last one took.
func TestTransactionsKeepToTheirTime(t *testing.T) {
	tr, _ := fresh(t)
	for range 10 {
		tr.pace(int(tr.chunk.Load()), aim/2)
	}
	if n := tr.chunk.Load(); n != most {
		t.Errorf("after quick ones: %d exposures, want %d", n, most)
	}
	tr.pace(10, aim/2)
	if n := tr.chunk.Load(); n != most {
		t.Errorf("after a small one: %d exposures, want %d", n, most)
	}
	tr.pace(most, 2*aim)
	if n := tr.chunk.Load(); n != most/2 {
		t.Errorf("after one of twice the time: %d exposures, want %d", n, most/2)
	}
	tr.pace(most, time.Minute)
	if n := tr.chunk.Load(); n != least {
		t.Errorf("after an endless one: %d exposures, want %d", n, least)
	}
}
