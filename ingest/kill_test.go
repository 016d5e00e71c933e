package ingest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed/shadowserver"
)

// envDir turns the test binary into another process that takes a report in.
const envDir = "IPPWATCH_INGEST_TEST_DIR"

const killedRows = 3000

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child takes the report in, and says on stdout how far it read.
func child(ctx context.Context, dir string) error {
	w, err := openWorld(ctx, dir)
	if err != nil {
		return err
	}
	said := io.TeeReader(stream(killedRows, day), os.Stdout)
	if _, err := w.service.Take(ctx, one("2026-11-22-scan_ipp-x.csv", said), shadowserver.Parse); err != nil {
		return err
	}
	return w.close()
}

// TestKill kills a process that takes a report in, at several places, and takes
// the whole in at last: it is as if nothing had happened.
func TestKill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), envDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, out, int64(1+round*300_000)); err != nil && round < 3 {
			t.Logf("round %d: %v", round, err)
		}
		time.Sleep(time.Duration(round*30) * time.Millisecond) // anywhere in a batch
		_ = cmd.Process.Kill()                                 // it may have ended
		_ = cmd.Wait()                                         // as above
	}
	w, err := openWorld(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.store.Check(t.Context()); err != nil {
		t.Errorf("the cases are not whole: %v", err)
	}
	if problems, err := w.archive.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("the observations are not whole: %v, %v", problems, err)
	}
	in := w.take(t, "2026-11-22-scan_ipp-x.csv", reportOf(killedRows, day))
	if in.New+in.Known != killedRows || in.Aside != 0 {
		t.Errorf("at last: %s", counts(in))
	}
	if n := len(w.observations(t)); n != killedRows {
		t.Errorf("%d observations, want %d", n, killedRows)
	}
	hosts := make(map[string]bool)
	for k, e := range w.exposures(t) {
		if e.TimesSeen != 1 || e.Cycle != 1 {
			t.Errorf("%v was seen %d times in cycle %d", k, e.TimesSeen, e.Cycle)
		}
		if k.Rule == "open-ipp" {
			hosts[k.Addr.String()] = true
		}
	}
	if len(hosts) != killedRows {
		t.Errorf("%d hosts are reported open, want %d", len(hosts), killedRows)
	}
	births := 0
	for s, err := range w.store.TransitionsSince(t.Context(), operator, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if s.To == string(exposure.Reported) {
			births++
		}
	}
	if n := len(w.exposures(t)); births != n {
		t.Errorf("%d births of %d cases", births, n)
	}
}
