package archive

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Environment of a child: the test binary, run again as another process.
const (
	childDir  = "ARCHIVE_TEST_DIR"
	childFrom = "ARCHIVE_TEST_FROM"
)

const childBatch = 250

// TestMain lets this binary be a child of its own tests.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, appendForEver(context.Background(), dir))
	os.Exit(1)
}

// appendForEver appends batches until it is killed, and says on stdout how many
// observations Append has returned for.
func appendForEver(ctx context.Context, dir string) error {
	day, err := strconv.Atoi(os.Getenv(childFrom))
	if err != nil {
		return err
	}
	a, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	for done := 0; ; day++ {
		for part := range slices.Chunk(newNeighbourhood(2000).at(day), childBatch) {
			if _, err := a.Append(ctx, part); err != nil {
				return err
			}
			done += len(part)
			fmt.Printf("kept %d\n", done)
		}
	}
}

// startChild starts a child that appends to dir; lines come from its stdout.
func startChild(t *testing.T, dir string, day int) (child *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child = exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), childDir+"="+dir, childFrom+"="+strconv.Itoa(day))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

// TestKill kills a process in the middle of its work: what Append returned for
// is there, and at most the batch that was under way more or less.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		child, lines := startChild(t, dir, 100*round)
		kept := 0
		for kept < 1500+700*round && lines.Scan() {
			if n, err := fmt.Sscanf(lines.Text(), "kept %d", &kept); n != 1 || err != nil {
				t.Fatalf("child says %q", lines.Text())
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had said before it died
			if n, _ := fmt.Sscanf(lines.Text(), "kept %d", &kept); n != 1 {
				break
			}
		}
		_ = child.Wait() // it was killed

		a := open(t, dir)
		if problems, err := a.Check(t.Context()); err != nil || len(problems) > 0 {
			t.Fatalf("Check = %q, %v", problems, err)
		}
		got := 0
		for day := range 60 {
			run := Query{Run: fmt.Sprintf("2026-run-%d", 100*round+day)}
			n := len(collect(t, a.Observations(t.Context(), operator, run)))
			if got += n; n == 0 {
				break
			}
		}
		if kept < 1500 || got < kept || got > kept+childBatch {
			t.Fatalf("%d are there after %d were kept", got, kept)
		}
	}
}

// TestTwoProcesses writes from another process and this one at once.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	child, lines := startChild(t, dir, 0)
	a := open(t, dir)
	for part := range slices.Chunk(newNeighbourhood(3000).at(1000), 100) {
		if n := keep(t, a, part...); n != len(part) {
			t.Fatalf("Append of %d = %d", len(part), n)
		}
	}
	kept := 0
	for kept < 1000 && lines.Scan() {
		if n, err := fmt.Sscanf(lines.Text(), "kept %d", &kept); n != 1 || err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if n := len(collect(t, a.Observations(t.Context(), operator, Query{Run: "2026-run-1000"}))); n != 3000 {
		t.Errorf("%d of ours are there, want 3000", n)
	}
	if problems, err := a.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("Check = %q, %v", problems, err)
	}
}

// TestOpenAtOnce opens a fresh directory many times at once.
func TestOpenAtOnce(t *testing.T) {
	dir := t.TempDir()
	all := newNeighbourhood(400).at(0)
	archives := make([]*Archive, 6)
	var wg sync.WaitGroup
	for i := range archives {
		wg.Go(func() {
			a, err := Open(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			archives[i] = a
			// Everybody adds the same, and everybody rolls it up.
			if _, err := a.Append(t.Context(), all); err != nil {
				t.Error(err)
			}
			if err := a.Rollup(t.Context(), firstDay); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	a := archives[0]
	if n := len(collect(t, a.Observations(t.Context(), operator, Query{}))); n != len(all) {
		t.Errorf("kept %d, want %d", n, len(all))
	}
	rollDirty(t, a)
	c := counts(t, a, operator, CountQuery{From: firstDay, To: firstDay.Add(time.Hour)})
	if len(c) != 1 || c[0].Addresses != int64(len(all)) {
		t.Errorf("Counts = %+v", c)
	}
	for _, a := range archives {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
