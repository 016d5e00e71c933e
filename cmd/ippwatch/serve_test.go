package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/store"
)

// A service is a directory for ippwatch serve, and the processes that serve it.
type service struct {
	t   *testing.T
	dir string
}

// newService has a scope of /23 at a port where nobody listens: at 50 a second a
// scan lasts ten seconds, so that a busy machine looks at it while it runs. Nor may
// such a machine make a lease look forsaken.
func newService(t *testing.T, dir, more string) *service {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers for all of 127.0.0.0/8, and has the signals")
	}
	s := &service{t: t, dir: dir}
	s.write("scope.yaml", "authorised_by: a test\ncontact: noc@example.net\nexpires: 2199-12-31\nnetworks: [127.80.0.0/23]\n")
	s.write("ippwatch.yaml", `
data: data
scope: scope.yaml
scan: {ports: [1], rate: 50, per_network: 50}
backup: {dir: backups}
schedule:
  lease: 10s
  jobs:
    scan: {cron: "30 3 1 1 *"}
    backup: {cron: "30 4 1 1 *"}
    prune: {cron: "30 5 1 1 *"}
`+more)
	return s
}

func (s *service) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// A served is one process of ippwatch serve and what it has logged.
type served struct {
	s   *service
	cmd *exec.Cmd
	journal
}

// start starts a daemon; args run jobs at once.
func (s *service) start(args ...string) *served {
	s.t.Helper()
	d := &served{s: s}
	d.cmd = exec.Command(os.Args[0], append([]string{"serve", "--config", "ippwatch.yaml"}, args...)...)
	d.cmd.Dir, d.cmd.Stderr = s.dir, d
	d.cmd.Env = append(os.Environ(), asMain+"=yes")
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // it may have ended
		_ = d.cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("a daemon said\n%s", d)
		}
	})
	return d
}

// says waits until the log matches.
func (d *served) says(pattern string) []string {
	d.s.t.Helper()
	want := regexp.MustCompile(pattern)
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		if m := want.FindStringSubmatch(d.String()); m != nil {
			return m
		}
	}
	d.s.t.Fatalf("the daemon never said %q:\n%s", pattern, d)
	return nil
}

// ends sends a signal and waits for the end.
func (d *served) ends(sig os.Signal) error {
	d.s.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.s.t.Fatal(err)
	}
	return d.cmd.Wait()
}

// open opens what the daemons have written.
func (s *service) open() *store.Store {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), filepath.Join(s.dir, "data"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = st.Close() })
	return st
}

// theRun is the one scan that was made, and every address of it asked once and
// no more than a moment's worth of them twice.
func (s *service) theRun(st *store.Store) exposure.Run {
	s.t.Helper()
	runs, err := st.Runs(s.t.Context(), access.CLI(time.Now()), 10)
	if err != nil || len(runs) != 1 {
		s.t.Fatalf("%d runs, %v: want one that went on", len(runs), err)
	}
	return runs[0]
}

// midway waits until it is written down that a part of the run is done.
func (s *service) midway(st *store.Store, run string) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		at, _, err := st.LastTick(s.t.Context(), exposure.Leg{Run: run, Probe: exposure.ProbeIPP})
		if err != nil {
			s.t.Fatal(err)
		}
		if at.Finished > 0 {
			return
		}
	}
	s.t.Fatalf("nothing of run %s is done", run)
}

func TestServeKilledGoesOn(t *testing.T) {
	t.Parallel()
	s := newService(t, t.TempDir(), "metrics: {listen: ''}\n")
	first := s.start("--now", "scan")
	run := first.says(`"msg":"run ([^:]+): 512 targets`)[1]
	st := s.open()
	s.midway(st, run)
	if err := first.ends(syscall.SIGKILL); err == nil {
		t.Fatal("a killed daemon ended well")
	}
	before, _, err := st.LastTick(t.Context(), exposure.Leg{Run: run, Probe: exposure.ProbeIPP})
	if err != nil || before.Finished == 0 || before.Finished >= 512 {
		t.Fatalf("killed at %+v, %v", before, err)
	}
	second := s.start()
	second.says(`the process that ran it is gone`)
	second.says(`"msg":"begins","job":"scan","due":"[^"]+","resumed":true`)
	second.says(`"msg":"done","job":"scan".*run ` + run + `: asked`)
	if err := second.ends(syscall.SIGTERM); err != nil {
		t.Errorf("the second ended with %v", err)
	}
	if r := s.theRun(st); r.State != exposure.Done || r.ID != run {
		t.Errorf("the run is %+v", r)
	}
	if err := st.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServeDrains(t *testing.T) {
	t.Parallel()
	s := newService(t, t.TempDir(), "metrics: {listen: '127.0.0.1:0'}\n")
	first := s.start("--now", "scan")
	at := first.says(`"metrics":"([^"]+)"`)[1]
	st := s.open()
	s.midway(st, first.says(`"msg":"run ([^:]+): 512 targets`)[1])
	get := func(path string) string {
		res, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(res.StatusCode, " ", string(text))
	}
	if got := get("/readyz"); got != `200 {"ready":true,"problems":[]}`+"\n" {
		t.Errorf("/readyz: %s", got)
	}
	if got := get("/metrics"); !strings.Contains(got, `ippwatch_job_last_outcome{job="scan",outcome="running"} 1`) {
		t.Errorf("/metrics has no running scan:\n%s", got)
	}
	if err := first.ends(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	first.says(`"msg":"stopped","job":"scan"`)
	first.says(`"msg":"ended"`)
	if r := s.theRun(st); r.State != exposure.Stopped {
		t.Errorf("the run is %s", r.State)
	}
	if leases, err := st.Leases(t.Context(), access.CLI(time.Now())); err != nil || len(leases) > 0 {
		t.Errorf("leases are left: %v, %v", leases, err)
	}
	second := s.start()
	second.says(`"resumed":true`)
	second.says(`"msg":"done","job":"scan"`)
	if err := second.ends(os.Interrupt); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
	if r := s.theRun(st); r.State != exposure.Done {
		t.Errorf("the run is %s", r.State)
	}
}

func TestServeTwice(t *testing.T) {
	t.Parallel()
	s := newService(t, t.TempDir(), "metrics: {listen: ''}\n")
	first := s.start("--now", "scan")
	first.says(`"msg":"run [^:]+: 512 targets`)
	second := s.start()
	second.says(`"msg":"begins","version"`)
	first.says(`"msg":"done","job":"scan"`)
	// Each line of the schedule was dealt with by one of them.
	second.says(`"msg":"waits","job":"scan"`)
	if strings.Contains(second.String(), `"msg":"begins","job"`) {
		t.Errorf("the second ran a job, too:\n%s", second)
	}
	s.theRun(s.open())
	for _, d := range []*served{first, second} {
		if err := d.ends(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
}

// TestServeOnAFullDisk fills the disk under a daemon, and frees it again.
func TestServeOnAFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("a small disk of its own needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no small disk here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	s := newService(t, dir, "metrics: {listen: '127.0.0.1:0'}\nalerts: {disk_free_mb: 2}\n")
	d := s.start("--now", "scan")
	at := d.says(`"metrics":"([^"]+)"`)[1]
	d.says(`"msg":"run [^:]+: 512 targets`)
	filler := filepath.Join(dir, "filler")
	if err := fill(filler); err != nil {
		t.Fatal(err)
	}
	d.says(`"msg":"failed","job":"scan".*full`)
	ready := func() int {
		res, err := http.Get("http://" + at + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if code := ready(); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz on a full disk: %d", code)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// What could not be written down is taken over from ourselves, and goes on.
	d.says(`"resumed":true`)
	d.says(`"msg":"done","job":"scan"`)
	if code := ready(); code != http.StatusOK {
		t.Errorf("/readyz with space again: %d", code)
	}
	if err := d.ends(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	st := s.open()
	if err := st.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if r := s.theRun(st); r.State != exposure.Done {
		t.Errorf("the run is %s", r.State)
	}
}

// fill writes until nothing more fits.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				return errors.Join(err, f.Close())
			}
			size /= 2
		}
	}
	return f.Close()
}

// TestRestoreOfABackupDuringWrites writes while a backup is made, and restores it
// elsewhere: what is in it is whole, and is of one moment of each database.
func TestRestoreOfABackupDuringWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var said bytes.Buffer
	at := func(data string, args ...string) int {
		s := &street{in: strings.NewReader(""), Screen: screen.Screen{Out: &said, Err: &said}, now: time.Now}
		root := s.root()
		root.SetArgs(append([]string{"--data", data}, args...))
		return s.exit(root.ExecuteContext(t.Context()))
	}
	data := filepath.Join(dir, "data")
	st, err := store.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ar, err := archive.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer ar.Close()
	s := &street{now: time.Now}
	h := newHouse(st, ar)
	tracker := h.tracker()
	writing, stop := context.WithCancel(t.Context())
	written := make(chan int, 1)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(written) // also after an error: nobody waits for ever
		for n := 0; writing.Err() == nil; n++ {
			all := observations(n*50, 50)
			if _, err := ar.Append(t.Context(), all); err != nil {
				t.Error(err)
				return
			}
			if _, err := tracker.Fold(t.Context(), all); err != nil {
				t.Error(err)
				return
			}
			if n == 20 {
				written <- n
			}
		}
	})
	<-written
	before := counted(t, s, h)
	tar := filepath.Join(dir, "backup.tar")
	if code := at(data, "backup", "--out", tar); code != exitDone {
		t.Fatalf("backup: %d\n%s", code, &said)
	}
	after := counted(t, s, h)
	stop()
	group.Wait()
	restored := filepath.Join(dir, "restored")
	if code := at(restored, "restore", tar); code != exitDone {
		t.Fatalf("restore: %d\n%s", code, &said)
	}
	said.Reset()
	if code := at(restored, "doctor", "--format", "json"); code != exitDone {
		t.Errorf("doctor: %d\n%s", code, &said)
	}
	var rows []diagnosis
	if err := json.Unmarshal(said.Bytes(), &rows); err != nil || len(rows) == 0 || rows[0] != (diagnosis{"data", fine, restored + " is whole"}) {
		t.Errorf("doctor says %v, %v", rows, err)
	}
	st2, err := store.Open(t.Context(), restored)
	if err != nil {
		t.Fatal(err)
	}
	defer st2.Close()
	ar2, err := archive.Open(t.Context(), restored)
	if err != nil {
		t.Fatal(err)
	}
	defer ar2.Close()
	got := counted(t, s, newHouse(st2, ar2))
	if got.cases < before.cases || got.cases > after.cases || got.observations < before.observations || got.observations > after.observations {
		t.Errorf("restored are %+v; before the backup there were %+v, after it %+v", got, before, after)
	}
	if got.cases != got.transitions {
		t.Errorf("%d cases have %d beginnings", got.cases, got.transitions)
	}

	// And when nobody writes, it is the same.
	quiet := filepath.Join(dir, "quiet.tar")
	if code := at(data, "backup", "--out", quiet); code != exitDone {
		t.Fatalf("backup: %d\n%s", code, &said)
	}
	same := filepath.Join(dir, "same")
	if code := at(same, "restore", quiet); code != exitDone {
		t.Fatalf("restore: %d\n%s", code, &said)
	}
	st3, err := store.Open(t.Context(), same)
	if err != nil {
		t.Fatal(err)
	}
	defer st3.Close()
	ar3, err := archive.Open(t.Context(), same)
	if err != nil {
		t.Fatal(err)
	}
	defer ar3.Close()
	if got, want := counted(t, s, newHouse(st3, ar3)), counted(t, s, h); got != want {
		t.Errorf("restored are %+v, want %+v", got, want)
	}
}

type counts struct{ cases, transitions, observations int }

func counted(t *testing.T, s *street, h *house) counts {
	t.Helper()
	var c counts
	for _, err := range h.store.Exposures(t.Context(), s.view(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		c.cases++
	}
	for _, err := range h.store.Transitions(t.Context(), s.view(), store.Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		c.transitions++
	}
	stats, err := h.archive.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.observations = int(stats.Observations)
	return c
}

// observations are n hosts from the i-th on, each with a finding.
func observations(i, n int) []exposure.Observation {
	at := time.Now().UTC()
	all := make([]exposure.Observation, n)
	for j := range all {
		o := &all[j]
		*o = exposure.Observation{
			V: exposure.Version, Run: "run", Observed: at, Received: at, Source: exposure.Scan, Vantage: "test",
			Addr: addrOf(i + j), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			Findings: []exposure.Finding{{Rule: "open-ipp", Severity: exposure.Medium, Evidence: "it answered"}},
		}
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	}
	return all
}

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

// TestServePages serves the site beside the jobs, and what it logs has no secret.
func TestServePages(t *testing.T) {
	t.Parallel()
	s := newService(t, t.TempDir(), "metrics: {listen: ''}\nweb: {listen: '127.0.0.1:0', tls: {cert: none.pem, key: none.pem}}\n")
	d := s.start()
	if err := d.cmd.Wait(); err == nil {
		t.Error("it serves without its certificate")
	}
	d.says(`serve pages: read certificate: .*none.pem: no such file`)

	s = newService(t, t.TempDir(), "metrics: {listen: ''}\n")
	d = s.start("--listen", "127.0.0.1:0", "--now", "backup")
	at := d.says(`"web":"(http://[^"]+/)"`)[1]
	d.says(`"msg":"done","job":"backup"`)
	res, err := http.Get(at + "login?next=%2Fsecret") //nolint:gosec // it is ours
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("<h1>Log in</h1>")) {
		t.Errorf("GET /login: %d %s %v", res.StatusCode, text, err)
	}
	d.says(`"msg":"request".*"path":"/login","status":200`)
	if strings.Contains(d.String(), "secret") {
		t.Error("the log has the query")
	}
	if err := d.ends(syscall.SIGTERM); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
