package store

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

func aRun(id string, started time.Time) exposure.Run {
	return exposure.Run{
		ID: id, State: exposure.Running, Started: started, Vantage: "lab", AuthorisedBy: "A. Person",
		ContactPoint: "noc@example.net", Expires: noon.AddDate(1, 0, 0), Scope: "networks: [192.0.2.0/24]\n",
		Targets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")},
		Ports:   []uint16{631, 8631}, UDPPort: 631, UDP: true, Shards: 1, Seed: []byte{1, 2, 3},
		Options: map[string]string{"jobs": "true"},
	}
}

var equatePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestARunIsKeptWholeAndOnce(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	want := aRun("r1", noon)
	if err := s.CreateRun(ctx, want); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateRun(ctx, want); err == nil {
		t.Error("a run is created twice")
	}
	if err := s.CreateRun(ctx, aRun("r2", noon.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	check := func(want exposure.Run) {
		t.Helper()
		got, err := s.Run(ctx, operator(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, equatePrefixes); d != "" {
			t.Errorf("the run differs (-want +got):\n%s", d)
		}
	}
	check(want)

	want.State, want.Ended = exposure.Stopped, noon.Add(time.Minute)
	if err := s.FinishRun(ctx, "r1", exposure.Stopped, want.Ended); err != nil {
		t.Fatal(err)
	}
	check(want)
	want.State, want.Ended = exposure.Running, time.Time{}
	if err := s.FinishRun(ctx, "r1", exposure.Running, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	check(want)
	if err := s.FinishRun(ctx, "r3", exposure.Done, noon); !errors.Is(err, ErrNoRun) {
		t.Errorf("FinishRun of nothing = %v, want ErrNoRun", err)
	}

	runs, err := s.Runs(ctx, operator(), 10)
	if err != nil || len(runs) != 2 || runs[0].ID != "r2" {
		t.Errorf("Runs = %v, %v, want r2 before r1", runs, err)
	}
	theirs := access.View{Tier: access.Constituent, Networks: want.Targets}
	if _, err := s.Run(ctx, theirs, "r1"); !errors.Is(err, ErrNoRun) {
		t.Errorf("Run for a constituent = %v, want ErrNoRun", err)
	}
	if runs, err := s.Runs(ctx, theirs, 10); err != nil || len(runs) != 0 {
		t.Errorf("Runs for a constituent = %v, %v, want none", runs, err)
	}
}

func TestTicksAnswerWhenAPositionWasHanded(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	leg := exposure.Leg{Run: "r1", Probe: exposure.ProbeIPP}
	base := noon.Truncate(time.Second)
	at := func(seconds float64) time.Time { return base.Add(time.Duration(seconds * float64(time.Second))) }
	if _, ok, err := s.LastTick(ctx, leg); ok || err != nil {
		t.Fatalf("LastTick of a leg without one = %v, %v", ok, err)
	}
	for _, tick := range []exposure.Tick{
		{At: at(1), Handed: 100, Finished: 50},
		{At: at(2), Handed: 200, Finished: 150},
		{At: at(2.5), Handed: 250, Finished: 160}, // the same second
		{At: at(3), Handed: 250, Finished: 160},   // rests ...
		{At: at(60), Handed: 250, Finished: 160},
		{At: at(61), Handed: 250, Finished: 250},
		{At: at(70), Handed: 300, Finished: 260},
		{At: at(5), Handed: 400, Finished: 300},  // the clock jumps back
		{At: at(90), Handed: 320, Finished: 300}, // resumed from what was finished
		{At: at(91), Handed: 450, Finished: 400},
	} {
		if err := s.Tick(ctx, leg, tick); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tick(ctx, exposure.Leg{Run: "r1", Probe: exposure.ProbeBrowse}, exposure.Tick{At: at(1), Handed: 9999}); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := s.reads.QueryRowContext(ctx, "SELECT count(*) FROM ticks WHERE probe = 'ipp'").Scan(&rows); err != nil || rows != 7 {
		t.Errorf("%d rows, %v, want 7: one a second, none for a rest", rows, err)
	}
	last, ok, err := s.LastTick(ctx, leg)
	if d := cmp.Diff(exposure.Tick{At: at(91), Handed: 450, Finished: 400}, last); d != "" || !ok || err != nil {
		t.Errorf("LastTick differs, %v, %v:\n%s", ok, err, d)
	}

	for _, c := range []struct {
		name     string
		position uint64
		want     []Passage
	}{
		{"before the first tick", 0, []Passage{{After: exposure.Tick{At: at(1), Handed: 100, Finished: 50}}}},
		{"in a second with two ticks", 220, []Passage{{
			Before: exposure.Tick{At: at(1), Handed: 100, Finished: 50},
			After:  exposure.Tick{At: at(2.5), Handed: 250, Finished: 160},
		}}},
		{"after a long rest", 250, []Passage{{
			Before: exposure.Tick{At: at(61), Handed: 250, Finished: 250},
			After:  exposure.Tick{At: at(70), Handed: 300, Finished: 260},
		}}},
		{"gone over again by a resumed leg", 330, []Passage{
			{Before: exposure.Tick{At: at(70), Handed: 300, Finished: 260}, After: exposure.Tick{At: at(5), Handed: 400, Finished: 300}},
			{Before: exposure.Tick{At: at(90), Handed: 320, Finished: 300}, After: exposure.Tick{At: at(91), Handed: 450, Finished: 400}},
		}},
		{"not handed yet", 450, nil},
		{"beyond what is kept", 1 << 63, nil},
	} {
		got, err := s.Ticks(ctx, leg, c.position)
		if err != nil {
			t.Fatal(err)
		}
		// The row of the second that had two ticks was moved to the later one,
		// and then rested until 60 s.
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: Ticks(%d) differs (-want +got):\n%s", c.name, c.position, d)
		}
	}
	if err := s.Tick(ctx, leg, exposure.Tick{At: at(99), Handed: 1 << 63}); err == nil {
		t.Error("a position that does not fit is kept")
	}
}

func TestABatchIsReservedOnceAndSettled(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	for _, r := range [][2]uint64{{0, 100}, {100, 150}, {200, 300}} {
		if err := s.Reserve(ctx, "r1", r[0], r[1], noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range [][2]uint64{{0, 1}, {99, 101}, {100, 150}, {150, 201}, {299, 400}, {0, 1000}, {5, 5}, {9, 8}, {0, 1 << 63}} {
		if err := s.Reserve(ctx, "r1", r[0], r[1], noon); err == nil {
			t.Errorf("Reserve(%d, %d) succeeds", r[0], r[1])
		}
	}
	if err := s.Reserve(ctx, "r1", 150, 200, noon); err != nil {
		t.Errorf("a gap cannot be reserved: %v", err)
	}
	if err := s.Reserve(ctx, "r2", 0, 100, noon); err != nil {
		t.Errorf("another run is in the way: %v", err)
	}
	if err := s.MarkSent(ctx, "r1", 0, noon.Add(time.Second)); err != nil {
		t.Error(err)
	}
	if err := s.MarkSent(ctx, "r1", 100, noon.Add(2*time.Second)); err != nil {
		t.Error(err)
	}
	if err := s.Settle(ctx, "r1", 0, noon.Add(3*time.Second)); err != nil {
		t.Error(err)
	}
	for _, f := range []func() error{
		func() error { return s.MarkSent(ctx, "r1", 7, noon) },
		func() error { return s.Settle(ctx, "r9", 0, noon) },
	} {
		if f() == nil {
			t.Error("a batch that is not there is changed")
		}
	}
	got, err := s.Unsettled(ctx, "r1")
	if err != nil {
		t.Fatal(err)
	}
	want := []exposure.Batch{
		{From: 100, To: 150, Reserved: noon, Sent: noon.Add(2 * time.Second)},
		{From: 150, To: 200, Reserved: noon},
		{From: 200, To: 300, Reserved: noon},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Unsettled differs (-want +got):\n%s", d)
	}
}

func TestAKeyLivesForADay(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	puts := []struct {
		run string
		at  time.Time
	}{{"r1", noon}, {"r2", noon.Add(time.Hour)}, {"r1", noon.Add(23 * time.Hour)}}
	for i, p := range puts {
		if err := s.PutKey(ctx, p.run, bytes.Repeat([]byte{byte(i)}, 32), p.at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		after time.Duration
		want  []byte // first byte of each
	}{
		{"all valid, the newest first", 23*time.Hour + time.Minute, []byte{2, 1, 0}},
		{"the first expires at the end of its day", 24 * time.Hour, []byte{2, 1}},
		{"only the last", 30 * time.Hour, []byte{2}},
		{"none", 47 * time.Hour, nil},
	} {
		keys, err := s.Keys(ctx, noon.Add(c.after))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, k := range keys {
			if p := puts[k.Secret[0]]; k.Run != p.run || !k.Made.Equal(p.at) || len(k.Secret) != 32 {
				t.Errorf("%s: key %+v differs from what was put", c.name, k)
			}
			got = append(got, k.Secret[0])
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: Keys = %v, want %v", c.name, got, c.want)
		}
	}
	if err := s.PutKey(ctx, "r3", make([]byte, 32), noon.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := s.reads.QueryRowContext(ctx, "SELECT count(*) FROM keys").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d keys are left, %v, want 1: dead keys are forgotten", rows, err)
	}
}

func TestCallsAreCountedByDay(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	for n := range uint64(3) {
		if err := s.CountCalls(ctx, Forged, n, noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CountCalls(ctx, Expired, 1, noon.AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	got, err := s.CallsSince(ctx, operator(), noon.AddDate(0, 0, -1))
	want := []Calls{{"2026-11-22", Expired, 1}, {"2026-11-23", Forged, 3}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("CallsSince differs, %v:\n%s", err, d)
	}
	if got, _ := s.CallsSince(ctx, operator(), noon); len(got) != 1 {
		t.Errorf("CallsSince(today) = %v, want one", got)
	}
	if got, err := s.CallsSince(ctx, access.View{}, noon); err != nil || len(got) != 0 {
		t.Errorf("the public sees %v, %v", got, err)
	}
}
