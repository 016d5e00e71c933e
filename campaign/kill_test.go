package campaign_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ippwatch/callback"
	"ippwatch/exposure"
	"ippwatch/space"
)

// The environment that turns the test binary into another process that scans
// slowly with the data directory.
const (
	envDir  = "IPPWATCH_CAMPAIGN_TEST_DIR"
	envPort = "IPPWATCH_CAMPAIGN_TEST_PORT"
)

const killed = "127.3.0.0/25"

// child begins the run, and is killed before it ends.
func child(dir string) int {
	if err := scanSlowly(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func scanSlowly(ctx context.Context, dir string) error {
	w, err := open(ctx, dir, killed)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(os.Getenv(envPort), 10, 16)
	if err != nil {
		return err
	}
	w.run.UDP, w.run.UDPPort = true, uint16(port)
	keys, err := w.store.Keys(ctx, time.Now())
	if err != nil {
		return err
	}
	key, err := callback.NewKey(w.run.ID, keys[0].Secret)
	if err != nil {
		return err
	}
	s := w.bare(unknown)
	s.KeepAll, s.Batch = true, 10
	_, end, err := leg{rate: 20, grace: time.Second}.wire(ctx, s, key)
	if err != nil {
		return err
	}
	defer end()
	if err := s.Begin(ctx); err != nil {
		return err
	}
	_, err = s.Do(ctx)
	return err
}

func TestAfterKill9NobodyIsAskedTwiceAndNobodyIsCalledSilent(t *testing.T) {
	secret := callback.NewSecret()
	dir := filepath.Join(t.TempDir(), "data")
	w, err := open(t.Context(), dir, killed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	if err := w.store.PutKey(t.Context(), w.run.ID, secret, time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := callback.NewKey(w.run.ID, secret)
	if err != nil {
		t.Fatal(err)
	}
	st := newStreet(t, key, nil)
	w.run.UDP, w.run.UDPPort = true, st.port

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envDir+"="+dir, fmt.Sprintf("%s=%d", envPort, st.port))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "packets of the child", func() bool { return st.total() >= 70 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	died := time.Now()

	if err := w.store.Check(t.Context()); err != nil {
		t.Errorf("the database is not whole: %v", err)
	}
	left, err := w.store.Unsettled(t.Context(), w.run.ID)
	if err != nil || len(left) == 0 {
		t.Fatalf("Unsettled() = %v, %v, want batches", left, err)
	}
	before := w.verdicts(t)
	asked := st.counts()
	s := udpScan(t, w, key, leg{rate: 1000, grace: time.Second})
	wholly(t, s)
	checkOnce(t, w, st)

	// Who was reserved and not heard of to the end is interrupted; the others
	// have a verdict of their own.
	after := w.verdicts(t)
	for target, got := range after {
		want := exposure.NoCallback
		if asked[target] > 0 && len(before[target]) == 0 {
			want = exposure.Interrupted
		}
		if got[0] != want && asked[target] > 0 {
			t.Errorf("%s, asked before the kill and then kept as %v, is kept as %v, want %s", target, before[target], got, want)
		}
	}
	if n := count(after, exposure.Interrupted); n == 0 || n > 60 {
		t.Errorf("%d hosts are interrupted, want those of the last batches", n)
	}
	order, err := space.NewOrder(w.set, []uint16{st.port}, append([]byte("udp"), w.run.Seed...), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	const slack = 100 * time.Millisecond // until the street, or the walk, looks at its clock
	for target, at := range st.at {
		pos, _ := order.Position(target)
		passages, err := w.store.Ticks(t.Context(), exposure.Leg{Run: w.run.ID, Probe: exposure.ProbeBrowse}, pos)
		if err != nil || len(passages) != 1 || at.Before(passages[0].Before.At.Add(-slack)) || at.After(passages[0].After.At.Add(slack)) {
			t.Errorf("%s was asked at %v, the ticks say %v, %v", target, at, passages, err)
		}
	}
	for o, err := range w.kept(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if o.Verdict == exposure.Interrupted && o.Observed.After(died) {
			t.Errorf("%s was interrupted at %v, after the process had died", o.Addr, o.Observed)
		}
	}
}
