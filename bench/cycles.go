package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/retention"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/track"
)

// cyclesWord is the first argument that asks for simulated daily cycles.
const cyclesWord = "cycles"

// A town is the hosts of a simulation. Each day some move away, and as many
// others come.
type town struct {
	r     *rand.Rand
	hosts []resident
	next  uint32
}

type resident struct {
	addr netip.Addr
	seed uint64
}

func newTown(hosts int) *town {
	t := &town{r: rand.New(rand.NewPCG(1, 2)), next: 1}
	for range hosts {
		t.hosts = append(t.hosts, t.resident())
	}
	return t
}

func (t *town) resident() resident {
	t.next++
	n := t.next
	return resident{netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), t.r.Uint64()}
}

func (t *town) churn(share float64) {
	for range int(share * float64(len(t.hosts))) {
		t.hosts[t.r.IntN(len(t.hosts))] = t.resident()
	}
}

// day yields what a scan of the day sees, judged, in batches as the sink has them.
func (t *town) day(run string, at time.Time, keep func([]exposure.Observation) error) error {
	const batch = 1000
	all := make([]exposure.Observation, 0, batch)
	for i, h := range t.hosts {
		all = append(all, t.observe(h, run, at.Add(time.Duration(i)*time.Millisecond)))
		if len(all) == batch || i == len(t.hosts)-1 {
			if err := keep(all); err != nil {
				return err
			}
			all = all[:0]
		}
	}
	return nil
}

func (*town) observe(h resident, run string, at time.Time) exposure.Observation {
	model := []string{"LaserThing 400", "InkThing 7", "LabelThing", "PlotThing A0"}[h.seed%4]
	// Many of a kind, and something of its own.
	name := fmt.Sprintf("%s-%04x", strings.ReplaceAll(model, " ", "-"), h.seed>>48)
	o := exposure.Observation{
		V: exposure.Version, Run: run, Observed: at, Received: at, Source: exposure.Scan, Vantage: "bench",
		Addr: h.addr, Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		Where: exposure.Where{Country: []string{"DE", "US", "JP", "BR", "FR"}[h.seed%5], ASN: 64496 + uint32(h.seed>>8%200)},
		IPP:   &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}},
		Printers: []exposure.Printer{{Attributes: map[string][]string{
			"printer-name": {name}, "printer-make-and-model": {model}, "printer-uuid": {fmt.Sprintf("urn:uuid:%016x", h.seed)},
			"printer-up-time": {fmt.Sprint(at.Unix() % 1e6)}, "printer-state": {"3"}, "operations-supported": {"2", "4", "8", "9", "10", "11"},
		}}},
	}
	o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	o.Findings = rule.Judge(&o)
	return o
}

// cycles runs days of scans of a town and prints what they leave in memory and
// on disk.
func cycles(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	fl := flag.NewFlagSet("bench cycles", flag.ContinueOnError)
	fl.SetOutput(errs)
	hosts := fl.Int("hosts", 100_000, "hosts that answer")
	days := fl.Int("days", 30, "days")
	churn := fl.Float64("churn", 0.02, "share of the hosts that change each day")
	keep := fl.Int("keep", 0, "days that observations and closed cases are kept; 0: for ever")
	limit := fl.Duration("limit", 30*time.Minute, "give up after this time")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *hosts < 100 || *hosts > 1<<22 || *days < 1 || *days > 1000 || *churn < 0 || *churn > 1 || *keep < 0 {
		return errors.New("cycles: want 100 to 4194304 hosts, 1 to 1000 days and a churn of 0 to 1")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done after %v: see -limit", *limit))
	defer cancel()
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	y := &year{dir: filepath.Join(dir, "data"), town: newTown(*hosts), keep: retention.Days(*keep), out: out}
	if err := y.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, y.archive.Close(), y.store.Close()) }()
	fmt.Fprintf(out, "%s\n%d hosts, %.1f %% of them new each day; archive and cases of one process\n\n", machine(), *hosts, 100**churn)
	fmt.Fprintln(out, "day  seconds  live MB  resident MB  cases.db MB  observations.db MB  open  closed")
	for day := range *days {
		if err := y.cycle(ctx, day); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		y.town.churn(*churn)
	}
	return nil
}

// A year is the data directory of a simulation.
type year struct {
	dir     string
	town    *town
	keep    retention.Days
	out     io.Writer
	store   *store.Store
	archive *archive.Archive
	cases   *track.Tracker
}

func (y *year) open(ctx context.Context) (err error) {
	if y.store, err = store.Open(ctx, y.dir); err != nil {
		return err
	}
	if y.archive, err = archive.Open(ctx, y.dir); err != nil {
		return errors.Join(err, y.store.Close())
	}
	y.cases = track.New(y.store, unasked{})
	return nil
}

// cycle is one day: a scan, what its end brings about, and a prune.
func (y *year) cycle(ctx context.Context, day int) error {
	began := time.Now()
	at := time.Date(2026, 1, 1, 3, 30, 0, 0, time.UTC).AddDate(0, 0, day)
	run := exposure.Run{ID: at.Format("20060102T150405Z-bench"), State: exposure.Running, Started: at}
	if err := y.store.CreateRun(ctx, run); err != nil {
		return err
	}
	err := y.town.day(run.ID, at, func(all []exposure.Observation) error {
		if _, err := y.archive.Append(ctx, all); err != nil {
			return err
		}
		_, err := y.cases.Fold(ctx, all)
		return err
	})
	if err != nil {
		return err
	}
	end := at.Add(2 * time.Hour)
	if err := y.archive.Rollup(ctx, at); err != nil {
		return err
	}
	if _, err := y.cases.Miss(ctx, run, func(exposure.Key) bool { return true }, end); err != nil {
		return err
	}
	if _, err := y.cases.Lapse(ctx, end); err != nil {
		return err
	}
	if err := y.store.FinishRun(ctx, run.ID, exposure.Done, end); err != nil {
		return err
	}
	p := retention.Pruner{
		Policy: retention.Policy{Observations: y.keep, Cases: y.keep, Transitions: y.keep}, Store: y.store, Archive: y.archive,
	}
	if _, err := p.Prune(ctx, end, false); err != nil {
		return err
	}
	return y.line(ctx, day, time.Since(began))
}

// line prints what a day has left behind.
func (y *year) line(ctx context.Context, day int, took time.Duration) error {
	vitals, err := y.store.Vitals(ctx, access.CLI(time.Now()))
	if err != nil {
		return err
	}
	open, closed := int64(0), int64(0)
	for _, e := range vitals.Exposures {
		if e.Condition.Open() {
			open += e.N
		} else {
			closed += e.N
		}
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	resident, err := residentMemory()
	if err != nil {
		return err
	}
	sizes := make([]float64, 2)
	for i, file := range []string{store.File, archive.File} {
		info, err := os.Stat(filepath.Join(y.dir, file))
		if err != nil {
			return err
		}
		sizes[i] = float64(info.Size()) / mega
	}
	fmt.Fprintf(y.out, "%3d  %7.1f  %7.1f  %11.1f  %11.1f  %18.1f  %d  %d\n",
		day+1, took.Seconds(), float64(m.HeapAlloc)/mega, resident/mega, sizes[0], sizes[1], open, closed)
	return nil
}
