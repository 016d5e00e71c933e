package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

func operator() access.View { return access.CLI(noon) }

// open0 opens the store in the directory, and closes it when the test ends.
func open0(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fresh opens a store in a directory of its own.
func fresh(t testing.TB) *Store {
	t.Helper()
	return open0(t, filepath.Join(t.TempDir(), "data"))
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b c?d#e%f")
	s := open0(t, dir)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o700 {
		t.Errorf("mode = %04o, want 0700", mode)
	}
	if _, err := os.Stat(filepath.Join(dir, File)); err != nil {
		t.Errorf("the database is not where the directory says: %v", err)
	}
	if v, err := s.Version(t.Context()); err != nil || v != latest(t) {
		t.Errorf("Version() = %d, %v, want %d", v, err, latest(t))
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	var mode string
	if err := s.writes.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode = %q, %v, want wal", mode, err)
	}
}

func TestOpenRefusesAWideDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such bits")
	}
	for _, mode := range []fs.FileMode{0o750, 0o701, 0o755} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil { // past the umask
			t.Fatal(err)
		}
		_, err := Open(t.Context(), dir)
		if !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("Open(mode %04o) = %v, want a refusal", mode, err)
		}
		hint, ok := errors.AsType[interface {
			error
			Hint() string
		}](err)
		if !ok || !strings.Contains(hint.Hint(), "chmod 0700") || !strings.Contains(hint.Hint(), dir) {
			t.Errorf("the hint of %v does not say what to do", err)
		}
		if _, err := os.Stat(filepath.Join(dir, File)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a database was made in a wide directory")
		}
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open0(t, dir)
	if _, err := s.writes.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir)
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "999") {
		t.Errorf("Open = %v, want ErrNewer that names the schema", err)
	}
}

func TestOpenSaysWhatIsNoDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %v, want an error that names the file", err)
	}
	if _, ok := errors.AsType[*hinted](err); !ok {
		t.Errorf("Open = %v: no hint", err)
	}
}

func TestManyMayOpenAnEmptyDirectoryAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if v, err := s.Version(t.Context()); err != nil || v != latest(t) {
				t.Errorf("Version() = %d, %v, want %d", v, err, latest(t))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestAWriteEndsWithItsContext(t *testing.T) {
	s := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.change(t.Context(), "hold the lock", func(*Queries) error {
		cancel()
		return s.Pause(ctx, "cli", "waits for the lock", noon)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a write behind another = %v, want context.Canceled", err)
	}
}

func TestBackupIsWholeAndReplacesNothing(t *testing.T) {
	s := fresh(t)
	put(t, s, sample("192.0.2.1", "open-ipp"))
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the backup = %04o, want 0600", info.Mode().Perm())
	}
	copied := open0(t, dir)
	if got := len(all(t, copied, operator(), Filter{})); got != 1 {
		t.Errorf("the backup holds %d exposures, want 1", got)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup onto a file = %v, want a refusal", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "none", "x.db")); err == nil {
		t.Error("Backup into a directory that is not there succeeds")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 3 { // the database, its -wal and -shm
		t.Errorf("the backup left %v, %v", files, err)
	}
}

func TestAFullDiskLosesNothingThatWasKept(t *testing.T) {
	s := fresh(t)
	put(t, s, sample("192.0.2.1", "open-ipp"))
	var pages int
	if err := s.writes.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if _, err := s.writes.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count=%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages)
	err := fold(t.Context(), s)
	if hint, ok := errors.AsType[*hinted](err); !ok || !strings.Contains(hint.Hint(), "space") {
		t.Fatalf("a write to a full disk = %v, want an error that says to free space", err)
	}
	if got := len(all(t, s, operator(), Filter{})); got != 1 {
		t.Errorf("%d exposures on the full disk, want 1", got)
	}
	limit(1 << 20)
	if err := fold(t.Context(), s); err != nil {
		t.Errorf("a write when there is space again: %v", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhatTheWorldIsToldIsOnTheDisk looks at how the mark is written behind which
// a mail leaves: a commit that a power cut loses would send it again.
func TestWhatTheWorldIsToldIsOnTheDisk(t *testing.T) {
	s := fresh(t)
	how := func(q interface {
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	},
	) (n int) {
		t.Helper()
		if err := q.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const normal, full = 1, 2 // https://sqlite.org/pragma.html#pragma_synchronous
	var within int
	if err := s.surely(t.Context(), "look", func(tx *sql.Tx) error { within = how(tx); return nil }); err != nil {
		t.Fatal(err)
	}
	if after := how(s.writes); within != full || after != normal {
		t.Errorf("synchronous is %d within and %d behind it, want %d and %d", within, after, full, normal)
	}
	if err := s.BeginMessage(t.Context(), "M-000000000000", noon); !errors.Is(err, ErrMoved) {
		t.Errorf("a message that is not there begins: %v", err)
	}
	if after := how(s.writes); after != normal {
		t.Errorf("synchronous is %d behind a change that failed", after)
	}
}

// sample returns an exposure with every field set.
func sample(addr, rule string) exposure.Exposure {
	return exposure.Exposure{
		Key:      exposure.Key{Addr: netip.MustParseAddr(addr), Transport: exposure.TCP, Port: 631, Rule: rule},
		Severity: exposure.High, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling,
		Cycle: 1, FirstSeen: noon, LastSeen: noon.Add(time.Hour), TimesSeen: 2, Evidence: "it answered", Last: "abc",
		Where:     exposure.Where{Country: "DE", Region: "BE", City: "Berlin", ASN: 4200000000, ASName: "EXAMPLE", Hostname: "p.example"},
		Simulated: true,
		Device:    "urn:uuid:4c8b0f6e-52a1-4d0e-9a66-1f6f1c7a9b01", ClearedAt: noon.Add(2 * time.Hour), SilentAt: noon.Add(3 * time.Hour),
		RuledBy: "j.doe", RuledWhy: "behind a firewall", RuledUntil: noon.Add(4 * time.Hour), Assignee: "m.roe",
		MovedFrom: netip.MustParseAddr("192.0.2.250"),
	}
}

// birth is the first step of the exposure.
func birth(e exposure.Exposure) exposure.Transition {
	return exposure.Transition{
		Key: e.Key, Axis: exposure.AxisCondition, To: string(e.Condition), Cycle: e.Cycle,
		Actor: "scan r1", Evidence: e.Evidence, At: e.FirstSeen,
	}
}

// put keeps exposures, each with its birth.
// latest is the newest schema.
func latest(t testing.TB) (version int64) {
	t.Helper()
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var n int64
		if _, err := fmt.Sscanf(f.Name(), "%d_", &n); err != nil {
			t.Fatal(err)
		}
		version = max(version, n)
	}
	return version
}

func put(t testing.TB, s *Store, es ...exposure.Exposure) {
	t.Helper()
	for len(es) > 0 {
		n := min(maxDoors, len(es))
		var doors []netip.AddrPort
		var steps []exposure.Transition
		for _, e := range es[:n] {
			doors = append(doors, netip.AddrPortFrom(e.Addr, e.Port))
			steps = append(steps, birth(e))
		}
		err := s.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return es[:n], steps
		})
		if err != nil {
			t.Fatal(err)
		}
		es = es[n:]
	}
}

func all(t testing.TB, s *Store, v access.View, f Filter) []exposure.Exposure {
	t.Helper()
	var out []exposure.Exposure
	for e, err := range s.Exposures(t.Context(), v, f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}
