package archive

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"ippwatch/exposure"
)

func checked(t *testing.T, a *Archive) {
	t.Helper()
	problems, err := a.Check(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("Check = %q, %v", problems, err)
	}
}

func TestPruneKeepsTheCounts(t *testing.T) {
	a := open(t, t.TempDir())
	n := newNeighbourhood(60)
	for day := range 8 {
		keep(t, a, n.at(day)...)
	}
	from, to := Day(n.at(0)[0].Observed)
	for day := range 6 { // two are never rolled up before the prune
		if err := a.Rollup(t.Context(), from.AddDate(0, 0, day)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := a.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	everything := CountQuery{From: from, To: to.AddDate(0, 0, 20), By: []Dimension{ByCountry, ByASN}}
	rollDirty(t, a)
	want := counts(t, a, operator, everything)

	cut := from.AddDate(0, 0, 5)
	held := []netip.Prefix{netip.PrefixFrom(n.at(0)[0].Addr, n.at(0)[0].Addr.BitLen())}
	would, err := a.Prune(t.Context(), cut, held, true)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := a.Stats(t.Context()); after.Observations != before.Observations {
		t.Fatalf("a dry prune removed %d observations", before.Observations-after.Observations)
	}
	did, err := a.Prune(t.Context(), cut, held, false)
	if err != nil || did != would || did.Removed == 0 || did.Held == 0 {
		t.Fatalf("Prune = %+v, %v, want %+v", did, err, would)
	}
	checked(t, a)
	if diff := cmp.Diff(want, counts(t, a, operator, everything)); diff != "" {
		t.Errorf("the counts changed:\n%s", diff)
	}
	left := collect(t, a.Observations(t.Context(), operator, Query{}))
	if int64(len(left)) != before.Observations-did.Removed {
		t.Errorf("%d observations are left of %d after %d were removed", len(left), before.Observations, did.Removed)
	}
	for _, r := range left {
		if r.Observed.Before(cut) && !held[0].Contains(r.Addr) {
			t.Errorf("%s of %s is left", r.Addr, r.Observed)
		}
	}
	after, err := a.Stats(t.Context())
	if err != nil || after.Contents >= before.Contents || after.DirtyDays != 0 {
		t.Errorf("Stats = %+v, %v; before %+v", after, err, before)
	}
	// A day that was pruned is not counted again, whatever comes in late.
	late := n.at(0)[1]
	late.Run, late.ID = "late", exposure.NewID("late", late.Target(), late.Transport, late.Probe, 0)
	keep(t, a, late)
	rollDirty(t, a)
	if diff := cmp.Diff(want, counts(t, a, operator, everything)); diff != "" {
		t.Errorf("the counts changed after a late observation:\n%s", diff)
	}
	if again, err := a.Prune(t.Context(), cut, held, false); err != nil || again.Removed != 1 {
		t.Errorf("the second Prune = %+v, %v, want the late one", again, err)
	}
	checked(t, a)
}

func TestPruneForgetsIdsOfFeeds(t *testing.T) {
	a := open(t, t.TempDir())
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	row := func(o *exposure.Observation) { o.Source, o.ID, o.Run = exposure.Shadowserver, "feed-row-1", "" }
	keep(t, a, seen("192.0.2.1", at, row), seen("192.0.2.2", at.AddDate(0, 0, 3)))
	if n := keep(t, a, seen("192.0.2.1", at, row)); n != 0 {
		t.Fatalf("the row was added %d times more", n)
	}
	if p, err := a.Prune(t.Context(), at.AddDate(0, 0, 2), nil, false); err != nil || p.Removed != 1 {
		t.Fatalf("Prune = %+v, %v", p, err)
	}
	var known int
	if err := a.read.QueryRowContext(t.Context(), `SELECT count(*) FROM known`).Scan(&known); err != nil || known != 0 {
		t.Errorf("%d ids are known, %v", known, err)
	}
}

// TestPruneBesideWriters prunes while another process, as it were, writes hosts
// that look as those that go.
func TestPruneBesideWriters(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	n := newNeighbourhood(150)
	for day := range 4 {
		keep(t, a, n.at(day)...)
	}
	first := n.at(0)[0].Observed
	var writing sync.WaitGroup
	writing.Go(func() {
		for day := 4; day < 12; day++ {
			all := n.at(day)
			// They look as on the first day: what the prune takes away is taken up.
			for i, o := range n.at(day % 2) {
				at := o.Observed.AddDate(0, 0, 20+day)
				o.Observed, o.Received, o.Run = at, at, "again-"+at.Format("0102")
				o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt)
				all = append(all, o)
				if i%20 == 0 {
					_, _ = b.Append(context.Background(), all)
					all = all[:0]
				}
			}
			if _, err := b.Append(context.Background(), all); err != nil {
				t.Error(err)
			}
		}
	})
	for day := 1; day < 5; day++ {
		for range 3 {
			if _, err := a.Prune(t.Context(), first.AddDate(0, 0, day), nil, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	writing.Wait()
	checked(t, a)
	for _, x := range []*Archive{a, b} {
		for _, r := range collect(t, x.Observations(t.Context(), operator, Query{})) {
			if r.Observed.Before(first.AddDate(0, 0, 3).Truncate(24 * time.Hour)) {
				t.Fatalf("%s of %s is left", r.Addr, r.Observed)
			}
		}
	}
}

func TestPruneStoppedGoesOn(t *testing.T) {
	a := open(t, t.TempDir())
	n := newNeighbourhood(1200)
	keep(t, a, n.at(0)...)
	keep(t, a, n.at(1)...)
	first := n.at(0)[0].Observed
	ctx, cancel := context.WithCancel(t.Context())
	stopped := false
	for range 20 {
		cancel() // it works as far as it gets
		_, err := a.Prune(ctx, first.AddDate(0, 0, 1), nil, false)
		stopped = stopped || errors.Is(err, context.Canceled)
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
		if _, err := a.Prune(ctx, first.AddDate(0, 0, 1), nil, false); err == nil {
			break
		}
		checked(t, a)
	}
	cancel()
	if !stopped {
		t.Error("nothing stopped it")
	}
	if _, err := a.Prune(t.Context(), first.AddDate(0, 0, 1), nil, false); err != nil {
		t.Fatal(err)
	}
	checked(t, a)
	if left := len(collect(t, a.Observations(t.Context(), operator, Query{}))); left != len(n.at(1)) {
		t.Errorf("%d observations are left, want %d", left, len(n.at(1)))
	}
}

// old makes an archive of the first schema.
func old(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, File)
	if err := ensureFile(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(wal)"))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO tag (name) VALUES (x'6162')`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAMigrationIsPrecededByACopy(t *testing.T) {
	dir := t.TempDir()
	old(t, dir)
	a := open(t, dir)
	if a.Saved() == "" {
		t.Fatal("there is no copy")
	}
	info, err := os.Stat(a.Saved())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v", info.Mode(), err)
	}
	keep(t, a, seen("192.0.2.1", time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)))
	checked(t, a)

	// Put back, the copy is what there was; it is migrated anew.
	other := t.TempDir()
	text, err := os.ReadFile(a.Saved())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, File), text, 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, other)
	if got := collect(t, b.Observations(t.Context(), operator, Query{})); len(got) > 0 || b.Saved() == "" {
		t.Errorf("the copy has %d observations; %q", len(got), b.Saved())
	}
	if c := open(t, dir); c.Saved() != "" {
		t.Errorf("an archive of this schema was copied to %s", c.Saved())
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); !slices.ContainsFunc(names, func(n string) bool { return n == a.Saved() }) {
		t.Errorf("the directory has %q", names)
	}
}

func TestPruneVisits(t *testing.T) {
	a := open(t, t.TempDir())
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	var all []exposure.Visit
	for day := range 5 {
		for host := range 300 {
			v := exposure.Visit{
				V: 1, ID: exposure.ID(at.AddDate(0, 0, day).Format("visit-0102-") + string(rune('A'+host))), Observed: at.AddDate(0, 0, day), Received: at,
				Source: exposure.Shadowserver, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}),
			}
			all = append(all, v)
		}
	}
	if n, err := a.AppendVisits(t.Context(), all); err != nil || n != len(all) {
		t.Fatalf("AppendVisits = %d, %v", n, err)
	}
	held := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	for _, dry := range []bool{true, false} {
		// 7 and 263 have the same address.
		if p, err := a.Prune(t.Context(), at.AddDate(0, 0, 3), held, dry); err != nil || p != (exposure.Pruned{Removed: 3 * 298, Held: 3 * 2}) {
			t.Fatalf("Prune = %+v, %v (dry %v)", p, err, dry)
		}
	}
	if p, err := a.Prune(t.Context(), at.AddDate(0, 0, 3), nil, false); err != nil || p.Removed != 6 {
		t.Errorf("Prune = %+v, %v", p, err)
	}
}
