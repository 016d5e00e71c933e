package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"ippwatch/exposure"
)

func TestClosedIsWhatIsNotOpen(t *testing.T) {
	for _, c := range []exposure.Condition{
		exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen,
		exposure.Fixed, exposure.Filtered, exposure.Lapsed,
	} {
		if c.Open() == slices.Contains(closed, c) {
			t.Errorf("%s: open is %v", c, c.Open())
		}
	}
}

// closedCase is a case in a condition since a time, with its step.
func closedCase(t *testing.T, s *Store, addr string, c exposure.Condition, since time.Time, ruling exposure.Ruling) exposure.Exposure {
	t.Helper()
	e := sample(addr, "open-ipp")
	e.Condition, e.Ruling = c, ruling
	step := exposure.Transition{Key: e.Key, Axis: exposure.AxisCondition, From: "", To: string(c), Actor: "test", At: since}
	err := s.Apply(t.Context(), []netip.AddrPort{netip.AddrPortFrom(e.Addr, e.Port)}, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return []exposure.Exposure{e}, []exposure.Transition{step}
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPruneCasesAndTheirHistory(t *testing.T) {
	s := fresh(t)
	old, late := noon.AddDate(-3, 0, 0), noon.AddDate(0, -1, 0)
	closedCase(t, s, "192.0.2.1", exposure.Fixed, old, exposure.NoRuling)
	closedCase(t, s, "192.0.2.2", exposure.Lapsed, old, exposure.NoRuling)
	closedCase(t, s, "192.0.2.3", exposure.Confirmed, old, exposure.NoRuling)  // open
	closedCase(t, s, "192.0.2.4", exposure.Fixed, late, exposure.NoRuling)     // of late
	closedCase(t, s, "192.0.2.5", exposure.Fixed, old, exposure.FalsePositive) // a human's word
	closedCase(t, s, "192.0.2.6", exposure.Fixed, old, exposure.NoRuling)      // held
	held := []netip.Prefix{netip.MustParsePrefix("192.0.2.6/31")}
	before := noon.AddDate(-2, 0, 0)
	for _, dry := range []bool{true, false} {
		if p, err := s.PruneCases(t.Context(), before, held, dry); err != nil || p != (exposure.Pruned{Removed: 2, Held: 1}) {
			t.Fatalf("PruneCases = %+v, %v (dry %v)", p, err, dry)
		}
	}
	var left []string
	for _, e := range all(t, s, operator(), Filter{}) {
		left = append(left, e.Addr.String())
	}
	if got := strings.Join(left, " "); got != "192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6" {
		t.Errorf("left are %s", got)
	}
	for _, dry := range []bool{true, false} {
		// Those of 1 and 2, which are gone, and of 5, which is closed.
		if p, err := s.PruneTransitions(t.Context(), before, held, dry); err != nil || p != (exposure.Pruned{Removed: 3, Held: 1}) {
			t.Fatalf("PruneTransitions = %+v, %v (dry %v)", p, err, dry)
		}
	}
	steps := 0
	for _, err := range s.Transitions(t.Context(), operator(), Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		steps++
	}
	if steps != 3 {
		t.Errorf("%d steps are left, want those of 3, 4 and 6", steps)
	}
}

func TestPruneRuns(t *testing.T) {
	s := fresh(t)
	for i, at := range []time.Time{noon.AddDate(-4, 0, 0), noon.AddDate(-4, 0, 1), noon} {
		id := fmt.Sprintf("run-%d", i)
		if err := s.CreateRun(t.Context(), exposure.Run{ID: id, State: exposure.Done, Started: at}); err != nil {
			t.Fatal(err)
		}
		for n := range 1201 {
			now := at.Add(time.Duration(n) * time.Second)
			if err := s.Tick(t.Context(), exposure.Leg{Run: id, Probe: exposure.ProbeIPP}, exposure.Tick{At: now, Handed: uint64(n), Finished: uint64(n)}); err != nil {
				t.Fatal(err)
			}
			if n%400 == 0 {
				if err := s.Reserve(t.Context(), id, uint64(n), uint64(n+400), now); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	held := func(r exposure.Run) bool { return r.ID == "run-1" }
	for _, dry := range []bool{true, false} {
		if p, err := s.PruneRuns(t.Context(), noon.AddDate(-3, 0, 0), held, dry); err != nil || p != (exposure.Pruned{Removed: 1, Held: 1}) {
			t.Fatalf("PruneRuns = %+v, %v (dry %v)", p, err, dry)
		}
	}
	for table, want := range map[string]int{"runs": 2, "ticks": 2 * 1201, "batches": 2 * 4} {
		var n int
		if err := s.reads.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != want {
			t.Errorf("%s has %d rows, %v, want %d", table, n, err, want)
		}
	}
}

func TestPruneTheRest(t *testing.T) {
	s := fresh(t)
	for n := range 1100 {
		at := noon.AddDate(0, 0, -n)
		if err := s.Record(t.Context(), Action{At: at, Who: "me", What: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := s.PruneAudit(t.Context(), noon.AddDate(0, 0, -99), false); err != nil || p.Removed != 1000 {
		t.Errorf("PruneAudit = %+v, %v", p, err)
	}
	if err := s.PutKey(t.Context(), "run", []byte("secret"), noon); err != nil {
		t.Fatal(err)
	}
	if p, err := s.PruneKeys(t.Context(), noon.Add(time.Hour), false); err != nil || p.Removed != 0 {
		t.Errorf("PruneKeys = %+v, %v", p, err)
	}
	if p, err := s.PruneKeys(t.Context(), noon.Add(25*time.Hour), false); err != nil || p.Removed != 1 {
		t.Errorf("PruneKeys = %+v, %v", p, err)
	}
	if err := s.Raise(t.Context(), exposure.Alert{Name: "a", Began: noon}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.PruneAlerts(t.Context(), noon.AddDate(9, 0, 0), false); err != nil || p.Removed != 0 {
		t.Errorf("an open alert: PruneAlerts = %+v, %v", p, err)
	}
	if err := s.Clear(t.Context(), "a", noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if p, err := s.PruneAlerts(t.Context(), noon.AddDate(9, 0, 0), false); err != nil || p.Removed != 1 {
		t.Errorf("PruneAlerts = %+v, %v", p, err)
	}
}

func TestHolds(t *testing.T) {
	s := fresh(t)
	h := exposure.Hold{What: "192.0.2.0/24", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Reason: "case 4711", Who: "me", At: noon}
	if err := s.AddHold(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	h.At = noon.UTC()
	if got, err := s.Holds(t.Context(), operator()); err != nil || len(got) != 1 || got[0] != h {
		t.Errorf("Holds = %+v, %v", got, err)
	}
	for _, want := range []bool{true, false} {
		if was, err := s.RemoveHold(t.Context(), h.What, "me", noon); err != nil || was != want {
			t.Errorf("RemoveHold = %v, %v, want %v", was, err, want)
		}
	}
}

// TestAMigrationIsPrecededByACopy opens a database of the first schema.
func TestAMigrationIsPrecededByACopy(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	atSchema1(t, path)
	s := open0(t, dir)
	if s.Saved() == "" {
		t.Fatal("there is no copy")
	}
	if info, err := os.Stat(s.Saved()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	if v, err := s.Version(t.Context()); err != nil || v < 6 {
		t.Errorf("Version = %d, %v", v, err)
	}
	if got, err := s.Exclusions(t.Context(), operator()); err != nil || len(got) != 1 {
		t.Errorf("Exclusions = %v, %v", got, err)
	}
	// Put back in its place, the copy is what there was.
	other := t.TempDir()
	if err := os.Chmod(other, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.Saved())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, File), text, 0o600); err != nil {
		t.Fatal(err)
	}
	b := open0(t, other)
	if got, err := b.Exclusions(t.Context(), operator()); err != nil || len(got) != 1 || !strings.Contains(b.Saved(), "cases-schema1-") {
		t.Errorf("Exclusions = %v, %v; saved %q", got, err, b.Saved())
	}
	if again := open0(t, dir); again.Saved() != "" {
		t.Errorf("a database of this schema was copied to %s", again.Saved())
	}
}

// TestADatabaseThatIsBeingMadeIsNotCopied opens one that another process is
// making: it has the first schema and nothing in it.
func TestADatabaseThatIsBeingMadeIsNotCopied(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	atSchema1(t, path)
	db, err := sql.Open("sqlite", source(path, "immediate"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "DELETE FROM exclusions")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if s := open0(t, dir); s.Saved() != "" {
		t.Errorf("nothing was copied to %s", s.Saved())
	}
}

func TestTwoCopiesAreKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cases-schema1-20240101T000000Z.db", "cases-schema3-20230101T000000Z.db", "cases-schema2-20250101T000000Z.db", "cases-mine.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	atSchema1(t, filepath.Join(dir, File))
	s := open0(t, dir)
	names, err := filepath.Glob(filepath.Join(dir, "cases-*"))
	want := []string{filepath.Join(dir, "cases-mine.db"), s.Saved(), filepath.Join(dir, "cases-schema2-20250101T000000Z.db")}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("the directory has %q, want %q", names, want)
	}
}

// atSchema1 makes a database as the first ippwatch did, with an exclusion in it.
func atSchema1(t *testing.T, path string) {
	t.Helper()
	if err := own(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", source(path, "immediate", "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO exclusions (prefix, reason, who, at) VALUES ('192.0.2.0/24', 'asked', 'me', 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
