package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ippwatch/exposure"
)

// The environment that turns the test binary into another process at work on
// the directory.
const (
	envWork = "IPPWATCH_STORE_TEST"
	envDir  = "IPPWATCH_STORE_TEST_DIR"
)

// rounds is how often each process adds a sighting to each of crowd exposures.
const rounds, crowd = 30, 50

func TestMain(m *testing.M) {
	work, ok := map[string]func(context.Context, *Store) error{"fold": fold, "hang": hang}[os.Getenv(envWork)]
	if !ok {
		os.Exit(m.Run())
	}
	s, err := Open(context.Background(), os.Getenv(envDir))
	if err == nil {
		err = work(context.Background(), s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func crowdDoors() []netip.AddrPort {
	var doors []netip.AddrPort
	for i := range crowd {
		doors = append(doors, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 631))
	}
	return doors
}

// fold adds sightings, as a scan and an ingest do at the same time.
func fold(ctx context.Context, s *Store) error {
	for range rounds {
		err := s.Apply(ctx, crowdDoors(), func(prior []exposure.Exposure, _ map[exposure.Key]time.Time) (es []exposure.Exposure, steps []exposure.Transition) {
			known := make(map[netip.Addr]exposure.Exposure)
			for _, e := range prior {
				known[e.Addr] = e
			}
			for _, d := range crowdDoors() {
				e, ok := known[d.Addr()]
				if !ok {
					e = sample(d.Addr().String(), "open-ipp")
					e.TimesSeen = 0
				}
				e.TimesSeen++
				es = append(es, e)
				steps = append(steps, birth(e))
			}
			return es, steps
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hang writes far more than the cache holds, says so, and never commits.
func hang(ctx context.Context, s *Store) error {
	return s.change(ctx, "hang", func(q *Queries) error {
		for i := range 20_000 {
			e := sample("10.0.0.1", "open-ipp")
			e.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			if err := q.putExposure(ctx, exposureParamsOf(&e, noon)); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(os.Stdout, "in the middle\n"); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, os.Stdin) // which stays open until we are killed
		return err
	})
}

func other(t *testing.T, dir, work string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envWork+"="+work, envDir+"="+dir)
	cmd.Stderr = t.Output()
	return cmd
}

func TestTwoProcessesLoseNoSighting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data") // not there: both make it
	a, b := other(t, dir, "fold"), other(t, dir, "fold")
	for _, cmd := range []*exec.Cmd{a, b} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range []*exec.Cmd{a, b} {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	s := open0(t, dir)
	es := all(t, s, operator(), Filter{})
	if len(es) != crowd {
		t.Fatalf("%d exposures, want %d", len(es), crowd)
	}
	for _, e := range es {
		if e.TimesSeen != 2*rounds {
			t.Errorf("%s was seen %d times, want %d", e.Addr, e.TimesSeen, 2*rounds)
		}
	}
	steps := 0
	for _, err := range s.Transitions(t.Context(), operator(), Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		steps++
	}
	if want := 2 * rounds * crowd; steps != want {
		t.Errorf("%d steps, want %d", steps, want)
	}
}

func TestAKilledProcessLeavesTheDatabaseWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open0(t, dir)
	put(t, s, sample("192.0.2.1", "open-ipp"))

	cmd := other(t, dir, "hang")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "in the middle\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	if got := len(all(t, s, operator(), Filter{})); got != 1 {
		t.Errorf("a reader sees %d exposures of an open transaction, want 1", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed

	put(t, s, sample("192.0.2.2", "open-ipp")) // the lock died with its owner
	again := open0(t, dir)
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(all(t, again, operator(), Filter{})); got != 2 {
		t.Errorf("%d exposures after the kill, want the 2 that were committed", got)
	}
}

func TestADamagedDatabaseIsFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := fold(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 2; i < len(b)/2+8192; i++ { // two whole pages
		b[i] = 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), dir)
	if err != nil {
		return // found at once
	}
	if s.Check(t.Context()) == nil {
		t.Error("Check finds nothing wrong")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
