package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ippwatch/answer"
	"ippwatch/demo"
	"ippwatch/exposure"
	"ippwatch/found"
	"ippwatch/screen"
)

// needCUPS returns the cupsd that is installed here, or skips the test.
func needCUPS(t *testing.T) string {
	t.Helper()
	cupsd := demo.FindCUPS()
	if cupsd == "" {
		withoutCUPS(t, "no cupsd: apt-get install --no-install-recommends cups; go test -run 'Demo' ./cmd/ippwatch")
	}
	return cupsd
}

// withoutCUPS skips the test; where IPPWATCH_LAB is "require" it fails instead.
func withoutCUPS(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("IPPWATCH_LAB") == "require" {
		t.Fatalf("%s (and IPPWATCH_LAB=require)", why)
	}
	t.Skip(why)
}

// tempDir is where the demo puts its files during the test.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "share"))
	return dir
}

// TestDemoLeavesNothingBehind plays the demo of a machine without CUPS.
func TestDemoLeavesNothingBehind(t *testing.T) {
	dir := tempDir(t)
	var out, errs bytes.Buffer
	s := &street{in: strings.NewReader(""), now: time.Now, Screen: screen.Screen{Out: &out, Err: &errs, Format: "table"}}
	if err := s.demo(t.Context(), "", ""); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	for _, want := range []string{"[simulated]", "they are nobody's printers", "cups-browsed-callback", "scan_cups_browsed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(errs.String(), "real CUPS") {
		t.Errorf("there is no CUPS, and the demo speaks of it:\n%s", errs.String())
	}
	nothingIn(t, dir)
}

// TestDemoStopped: who stops the demo is not told to resume a scan of a street
// that is gone, in a directory that is gone too.
func TestDemoStopped(t *testing.T) {
	dir := tempDir(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	errs := &trigger{word: "call-backs are heard", pull: stop}
	s := &street{in: strings.NewReader(""), now: time.Now, Screen: screen.Screen{Out: io.Discard, Err: errs, Format: "table"}}
	err := s.demo(ctx, "", "")
	if err == nil || err.Error() != "the demo was stopped before its end" || len(answer.Hints(err)) > 0 {
		t.Errorf("a demo that is stopped returns %v with hints %q", err, answer.Hints(err))
	}
	nothingIn(t, dir)
}

// A trigger is pulled when a word is written.
type trigger struct {
	word string
	pull func()
}

func (w *trigger) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.word)) {
		w.pull()
	}
	return len(b), nil
}

// TestDemoKeeps plays the demo as a user types it, with the real CUPS where
// there is one, and keeps what it made.
func TestDemoKeeps(t *testing.T) {
	dir := tempDir(t)
	keep := filepath.Join(t.TempDir(), "kept")
	stdout, stderr, code := typed(t.Context(), "demo", "--keep", keep, "--format", "ndjson")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	nothingIn(t, dir)
	for _, name := range []string{"scope.yaml", "constituents.yaml", "data/cases.db", "data/observations.db", "reports/*-scan_ipp-*-simulated.csv", "reports/*.html"} {
		if found, err := filepath.Glob(filepath.Join(keep, name)); err != nil || len(found) == 0 {
			t.Errorf("%s was not kept: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(keep, "cups")); err == nil {
		t.Error("the directory of the real CUPS was kept; it is neither data nor report")
	}
	if _, stderr, code := typed(t.Context(), "demo", "--keep", keep); code != exitFailed || !strings.Contains(stderr, "not empty") {
		t.Errorf("the same directory again: exit %d, %q", code, stderr)
	}
	t.Run("the real CUPS", func(t *testing.T) {
		needCUPS(t)
		if _, why, left := strings.Cut(stderr, "CUPS of this machine is left out: "); left {
			withoutCUPS(t, why) // a security module, perhaps
		}
		if !strings.Contains(stderr, "not simulated: the real CUPS of this machine") {
			t.Fatalf("it is not announced:\n%s", stderr)
		}
		var cups []exposure.Observation
		for line := range strings.Lines(stdout) {
			var o exposure.Observation
			// The report's lines follow those of the scan.
			if err := json.Unmarshal([]byte(line), &o); err == nil && o.Addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
				cups = append(cups, o)
			}
		}
		if len(cups) != 1 {
			t.Fatalf("%d observations of it, want 1: %+v", len(cups), cups)
		}
		o := cups[0]
		if o.Verdict != exposure.Answered || o.Simulated || o.CUPS == nil || !o.CUPS.Queues || len(o.Printers) != 1 {
			t.Errorf("it answered %+v", o)
		}
		ids := strings.Join(found.Rules(o.Findings), " ")
		for _, id := range []string{"open-ipp", "open-cups"} {
			if !strings.Contains(ids, id) {
				t.Errorf("findings %q, want %s among them", ids, id)
			}
		}
		// Nobody can print on it or change it, and it says so.
		for _, id := range []string{"anonymous-print", "admin-pages", "config-disclosed", "log-disclosed"} {
			if strings.Contains(ids, id) {
				t.Errorf("findings %q, want no %s", ids, id)
			}
		}
	})
}

// nothingIn checks that no file is in the directory, and that no process has a
// name of it on its command line.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
	if runtime.GOOS != "linux" {
		return
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lines {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(dir)) {
			t.Errorf("%s was left behind: %q", filepath.Dir(name), text)
		}
	}
}
