package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"ippwatch/archive"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/grab"
	"ippwatch/probe"
	"ippwatch/rule"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/track"
)

// fewSilent is the short walk that the long one is compared with: as many as
// fill every channel and slot.
const fewSilent = 10_000

func silentTitle(o options) string {
	return fmt.Sprintf("silence: the whole campaign over %d addresses, in process, with a connect that ends at once without an answer", o.Silent)
}

// measureSilent walks a few and many addresses, each in a process of its own.
// On loopback nobody is silent: what does not listen refuses. So the connect is
// replaced, and everything around it is real.
func measureSilent(ctx context.Context, o options) ([]figure, error) {
	few := o
	few.Silent = fewSilent
	before, err := inWorker(ctx, "silent", few)
	if err != nil {
		return nil, err
	}
	after, err := inWorker(ctx, "silent", o)
	if err != nil {
		return nil, err
	}
	if len(before) == 0 || len(after) == 0 {
		return nil, errors.New("the walk tells nothing")
	}
	// Resident memory has the collector's slack in it, which a short walk never
	// fills; what is live tells whether anything grows.
	grown := after[1].Value - before[1].Value
	short, long := number(fewSilent), number(float64(o.Silent))
	return []figure{
		{What: "resident with " + short + " addresses, at most", Value: before[0].Value, Unit: "MB"},
		{What: "resident with " + long + " addresses, at most", Value: after[0].Value, Unit: "MB", Most: 100},
		{What: "live at the last of " + short, Value: before[1].Value, Unit: "MB"},
		{What: "live at the last of " + long, Value: after[1].Value, Unit: "MB"},
		{What: "live memory that each further address adds", Value: grown * mega / float64(max(o.Silent-fewSilent, 1)), Unit: "B", Most: 1},
		after[2], after[3],
	}, nil
}

// walkSilence runs a campaign over addresses that never answer.
func walkSilence(ctx context.Context, o options) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	far := &nobody{left: int64(o.Silent)}
	scan, done, err := silentScan(ctx, filepath.Join(dir, "data"), o, far)
	if err != nil {
		return nil, err
	}
	used, err := cpuUsed()
	if err != nil {
		return nil, errors.Join(err, done())
	}
	if err := scan.Begin(ctx); err != nil {
		return nil, errors.Join(err, done())
	}
	began := time.Now()
	sum, err := scan.Do(ctx)
	took := time.Since(began)
	if err := errors.Join(err, done()); err != nil {
		return nil, err
	}
	if n := sum.Verdicts[exposure.NoAnswer]; n != o.Silent {
		return nil, fmt.Errorf("%d of %d addresses were silent: %v", n, o.Silent, sum.Verdicts)
	}
	after, err := cpuUsed()
	if err != nil {
		return nil, err
	}
	memory, err := peakMemory()
	if err != nil {
		return nil, err
	}
	n := float64(o.Silent)
	return []figure{
		{What: "resident", Value: memory / mega, Unit: "MB"},
		{What: "live", Value: float64(far.live) / mega, Unit: "MB"},
		{What: "speed, without the waiting", Value: n / took.Seconds(), Unit: "addresses/s"},
		{What: "CPU", Value: (after - used).Seconds() * 1e6 / n, Unit: "us/address"},
	}, nil
}

// silentScan is a campaign as ippwatch scan makes it, but for the connect.
func silentScan(ctx context.Context, data string, o options, far *nobody) (*campaign.Scan, func() error, error) {
	now := time.Now()
	scope := space.Scope{
		AuthorisedBy: "the user of bench", Contact: "nobody@example.net", Expires: now.Add(24 * time.Hour),
		Networks: networks(netip.MustParseAddr("127.0.0.0"), o.Silent), // nothing is sent to them
	}
	set, _, err := scope.Set(now, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	guard := space.NewGuard(scope, set)
	st, err := store.Open(ctx, data)
	if err != nil {
		return nil, nil, err
	}
	ar, err := archive.Open(ctx, data)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	run := exposure.Run{
		ID: "bench", State: exposure.Running, Started: now.UTC(), Vantage: "bench",
		AuthorisedBy: scope.AuthorisedBy, ContactPoint: scope.Contact, Expires: scope.Expires,
		Scope: string(scope.Format()), Ports: []uint16{631}, Shards: 1, Seed: []byte("0123456789abcdef"),
	}
	const unlimited = 1_000_000_000
	return &campaign.Scan{
		Run: run, Set: set, Guard: guard, Store: st, Archive: ar, Cases: track.New(st, unasked{}),
		Control: func(ctx context.Context) (bool, []netip.Prefix, error) {
			c, err := st.Control(ctx)
			return c.Paused, c.Excluded, err
		},
		Pacer: probe.PerSecond(unlimited).PerNetwork(unlimited),
		Where: func(context.Context, []exposure.Observation) {}, Judge: rule.Judge,
		Known:       func(netip.AddrPort, exposure.Transport) bool { return false },
		Concurrency: o.Flight, Batch: o.Flight, Now: time.Now,
		Grabber: grab.New(grab.Options{Run: run.ID, Vantage: run.Vantage, Gate: guard, Dial: far.dial}),
	}, func() error { return errors.Join(ar.Close(), st.Close()) }, nil
}

// nobody is the far end: it never answers, and looks at our memory when it is
// asked for the last time.
type nobody struct {
	mu   sync.Mutex
	left int64
	live uint64 // bytes
}

// dial is a connect that timed out.
func (n *nobody) dial(context.Context, netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.left--; n.left == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		n.live = m.HeapAlloc
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// unasked answers the tracker, which has no cases to ask about.
type unasked struct{}

func (unasked) Cleared(string, *exposure.Observation) (bool, string) { return false, "" }
