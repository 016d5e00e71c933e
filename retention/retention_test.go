package retention_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/retention"
	"ippwatch/store"
)

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func TestDays(t *testing.T) {
	for _, c := range []struct {
		name, in, out string
		bad           bool
	}{
		{"days", "400d", "400d", false},
		{"for ever", "forever", "forever", false},
		{"none", "0d", "", true},
		{"no unit", "30", "", true},
		{"hours", "30h", "", true},
		{"less than none", "-3d", "", true},
		{"more than a calendar", "99999999d", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d retention.Days
			err := d.UnmarshalText([]byte(c.in))
			if (err != nil) != c.bad || err == nil && d.String() != c.out {
				t.Errorf("UnmarshalText(%q) = %s, %v", c.in, d, err)
			}
		})
	}
	if before, ends := retention.Days(2).Before(now); !ends || !before.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Before = %s, %v", before, ends)
	}
	if _, ends := retention.Days(0).Before(now); ends {
		t.Error("for ever ends")
	}
}

func observation(addr, run string, at time.Time) exposure.Observation {
	o := exposure.Observation{
		V: 1, Run: run, Observed: at, Received: at, Source: exposure.Scan, Addr: netip.MustParseAddr(addr), Port: 631,
		Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
	}
	o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	return o
}

// TestPrune prunes a directory of three years, with and without a hold.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ar, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ar.Close()
	asked := map[string]netip.Prefix{}
	for i, years := range []int{4, 2, 0} {
		at := now.AddDate(-years, 0, 0)
		id := at.Format("2006")
		asked[id] = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i) * 64}), 26)
		if err := st.CreateRun(t.Context(), exposure.Run{ID: id, State: exposure.Done, Started: at}); err != nil {
			t.Fatal(err)
		}
		if err := st.Record(t.Context(), store.Action{At: at.AddDate(-2, 0, 0), Who: "me", What: "pause"}); err != nil {
			t.Fatal(err)
		}
		all := []exposure.Observation{observation("192.0.2.1", id, at), observation("192.0.2.70", id, at)}
		if _, err := ar.Append(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	p := retention.Pruner{
		Policy: retention.Default(), Store: st, Archive: ar,
		Asked: func(r exposure.Run) ([]netip.Prefix, error) { return []netip.Prefix{asked[r.ID]}, nil },
		More:  []retention.Class{{Name: "parked files"}}, // kept for ever
	}
	check := func(dry bool, want map[string][2]int64) {
		t.Helper()
		lines, err := p.Prune(t.Context(), now, dry)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string][2]int64)
		for _, l := range lines {
			if l.Removed+l.Held > 0 {
				got[l.Class] = [2]int64{l.Removed, l.Held}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Prune (dry %v) (-want +got):\n%s", dry, diff)
		}
	}
	if err := st.AddHold(t.Context(), exposure.Hold{What: "192.0.2.1/32", Prefix: netip.MustParsePrefix("192.0.2.1/32"), At: now}); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]int64{"observations": {2, 2}, "runs": {0, 1}, "audit log": {0, 1}}
	check(true, want)
	check(true, want)
	check(false, want)
	if _, err := st.RemoveHold(t.Context(), "192.0.2.1/32", "me", now); err != nil {
		t.Fatal(err)
	}
	check(false, map[string][2]int64{"observations": {2, 0}, "runs": {1, 0}, "audit log": {1, 0}})
	check(false, map[string][2]int64{})
	if problems, err := ar.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Error(slices.Concat(problems), err)
	}
}
