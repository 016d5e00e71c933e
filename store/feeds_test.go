package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

func TestFeedRegister(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	in := exposure.Intake{
		Source: exposure.Shadowserver, Type: "scan_ipp", File: "2026-11-22-scan_ipp-x.csv", Begun: noon, Ended: noon.Add(time.Second),
		Outcome: exposure.Taken, Rows: 5, New: 2, Known: 1, Other: 1, Aside: 1, Day: day, Ref: "0a",
	}
	aside := exposure.Aside{
		Source: exposure.Shadowserver, Type: "scan_ipp", File: in.File, Line: 3, Reason: "no address", Row: "\x00\xff,", At: noon, Hash: "h",
	}
	if err := s.PutIntake(ctx, in, []exposure.Aside{aside}); err != nil {
		t.Fatal(err)
	}
	// The same bad row in another file, of an earlier day, that broke off.
	again, other := in, aside
	again.File, again.Day, again.Outcome, again.Ref, again.Ended = "b.csv", day.AddDate(0, 0, -3), exposure.Failed, "0b", noon.Add(time.Hour)
	other.File = "b.csv"
	if err := s.PutIntake(ctx, again, []exposure.Aside{other}); err != nil {
		t.Fatal(err)
	}
	intakes, err := s.Intakes(ctx, operator(), 10)
	if diff := cmp.Diff([]exposure.Intake{again, in}, intakes); diff != "" || err != nil {
		t.Errorf("Intakes (-want +got), %v:\n%s", err, diff)
	}
	asides, err := s.Asides(ctx, operator(), 10)
	if diff := cmp.Diff([]exposure.Aside{aside}, asides); diff != "" || err != nil {
		t.Errorf("Asides (-want +got), %v:\n%s", err, diff)
	}
	ages, err := s.FeedAges(ctx, operator())
	if diff := cmp.Diff([]exposure.FeedAge{{Source: exposure.Shadowserver, Type: "scan_ipp", Day: day, Taken: in.Ended}}, ages); diff != "" || err != nil {
		t.Errorf("FeedAges (-want +got), %v:\n%s", err, diff)
	}
	for ref, want := range map[string]bool{"0a": true, "0b": false, "": false, "0c": false} {
		if got, err := s.HasIntake(ctx, exposure.Shadowserver, ref); err != nil || got != want {
			t.Errorf("HasIntake(%q) = %t, %v", ref, got, err)
		}
	}
}

// TestTheLogDoesNotGrowWithWhatIsKnown takes the same directory in every day.
func TestTheLogDoesNotGrowWithWhatIsKnown(t *testing.T) {
	s := fresh(t)
	in := exposure.Intake{Source: exposure.Shadowserver, Type: "scan_ipp", File: "a.csv", Outcome: exposure.Taken, Rows: 2, New: 2, Begun: noon, Ended: noon}
	for day := range 30 {
		in.Ended = noon.AddDate(0, 0, day)
		if err := s.PutIntake(t.Context(), in, nil); err != nil {
			t.Fatal(err)
		}
		in.New, in.Known = 0, 2
	}
	got, err := s.Intakes(t.Context(), operator(), 99)
	if err != nil || len(got) != 2 || got[1].New != 2 || !got[0].Ended.Equal(noon.AddDate(0, 0, 29)) {
		t.Errorf("Intakes = %+v, %v, want the first and the last", got, err)
	}
}

func TestParkedFilesWait(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	p := exposure.ParkedFile{Digest: "d", Source: exposure.Shadowserver, Type: "scan_ssl", File: "a.csv", Bytes: 12, Reason: "not known", At: noon}
	if err := s.PutParked(ctx, p); err != nil {
		t.Fatal(err)
	}
	p.Kept = true
	for range 2 {
		if err := s.PutParked(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ParkedFiles(ctx, operator())
	if diff := cmp.Diff([]exposure.ParkedFile{p}, got); diff != "" || err != nil {
		t.Errorf("ParkedFiles (-want +got), %v:\n%s", err, diff)
	}
	if err := s.DropParked(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ParkedFiles(ctx, operator()); err != nil || len(got) != 0 {
		t.Errorf("ParkedFiles = %v, %v, want none", got, err)
	}
}

func TestFeedsAreShownToOperatorsOnly(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	if err := s.PutIntake(ctx, exposure.Intake{Source: exposure.CSV, Begun: noon, Ended: noon, Day: noon}, []exposure.Aside{{Hash: "h", At: noon}}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutParked(ctx, exposure.ParkedFile{Digest: "d", At: noon}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []access.View{{}, {Tier: access.Constituent}} {
		intakes, _ := s.Intakes(ctx, v, 9)
		asides, _ := s.Asides(ctx, v, 9)
		parked, _ := s.ParkedFiles(ctx, v)
		ages, _ := s.FeedAges(ctx, v)
		if n := len(intakes) + len(asides) + len(parked) + len(ages); n != 0 {
			t.Errorf("tier %d sees %d rows", v.Tier, n)
		}
	}
}
