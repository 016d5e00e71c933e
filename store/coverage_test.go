package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

// TestCoverage tells on which days somebody looked, also to the public.
func TestCoverage(t *testing.T) {
	s := fresh(t)
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for _, r := range []struct {
		id     string
		begins time.Duration
		ends   time.Duration
		state  exposure.RunState
		source string
	}{
		{"over midnight", 20 * time.Hour, 30 * time.Hour, exposure.Done, ""},
		{"stopped", 75 * time.Hour, 76 * time.Hour, exposure.Stopped, ""},
		{"one case", 97 * time.Hour, 98 * time.Hour, exposure.Done, "verification"},
	} {
		run := exposure.Run{ID: r.id, State: exposure.Running, Started: day.Add(r.begins), Seed: []byte{1}}
		if r.source != "" {
			run.Options = map[string]string{"source": r.source}
		}
		if err := s.CreateRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if err := s.FinishRun(t.Context(), r.id, r.state, day.Add(r.ends)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.CoverageState(t.Context(), access.View{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutIntake(t.Context(), exposure.Intake{
		Source: exposure.Shadowserver, Type: "scan_ipp", File: "x.csv", Begun: day, Ended: day, Outcome: exposure.Taken, Day: day.AddDate(0, 0, 2),
	}, nil); err != nil {
		t.Fatal(err)
	}
	if after, err := s.CoverageState(t.Context(), access.View{}); err != nil || after == before {
		t.Errorf("the state stays %q, %v", after, err)
	}
	got, err := s.Coverage(t.Context(), access.View{}, day, day.AddDate(0, 0, 9))
	if err != nil {
		t.Fatal(err)
	}
	want := []Coverage{
		{day, exposure.Scan, true},
		{day.AddDate(0, 0, 1), exposure.Scan, true},
		{day.AddDate(0, 0, 2), exposure.Shadowserver, true},
		{day.AddDate(0, 0, 3), exposure.Scan, false},
		{day.AddDate(0, 0, 4), exposure.Verification, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
