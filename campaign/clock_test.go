package campaign_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/space"
)

// A wallClock is one that somebody sets while the scan runs. It has no monotonic
// reading to lean on, as times that come out of the store have none.
type wallClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.ahead)
}

func (c *wallClock) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = ahead
}

// A tickWatcher remembers the ticks.
type tickWatcher struct {
	campaign.Store
	mu    sync.Mutex
	ticks []exposure.Tick
}

func (w *tickWatcher) Tick(ctx context.Context, leg exposure.Leg, tick exposure.Tick) error {
	w.mu.Lock()
	w.ticks = append(w.ticks, tick)
	w.mu.Unlock()
	return w.Store.Tick(ctx, leg, tick)
}

// next returns after one more tick, or in the end without.
func (w *tickWatcher) next(ctx context.Context) {
	seen := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.ticks)
	}
	for before, end := seen(), time.Now().Add(time.Minute); seen() == before && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(5 * time.Millisecond)
	}
}

// TestClockIsSetInMidRun sets the clock back an hour and then forward a day.
func TestClockIsSetInMidRun(t *testing.T) {
	w := newWorld(t, "10.1.0.0/24")
	w.begin(t)
	clock := &wallClock{}
	var mu sync.Mutex
	asked := make(map[netip.AddrPort]time.Time)
	g := &fakeGrabber{w: w}
	watcher := &tickWatcher{Store: w.store}
	g.says = func(ctx context.Context, target netip.AddrPort) exposure.Verdict {
		mu.Lock()
		defer mu.Unlock()
		asked[target] = clock.now()
		switch len(asked) {
		case 100:
			clock.set(-time.Hour)
		case 200:
			watcher.next(ctx) // else nobody could tell the two apart
			clock.set(24 * time.Hour)
		}
		return exposure.Answered
	}
	s := w.scan(t)
	s.Grabber, s.Store, s.Now, s.Pacer, s.Concurrency = g, watcher, clock.now, everySo(time.Millisecond), 1
	wholly(t, s)

	for _, target := range targets(w.set, 631) {
		if n := g.times()[target]; n != 1 {
			t.Errorf("%s was asked %d times", target, n)
		}
	}
	if got := len(w.verdicts(t)); got != 256 {
		t.Errorf("%d hosts are kept, want 256", got)
	}
	for i, tick := range watcher.ticks[1:] {
		before := watcher.ticks[i]
		if tick.Handed < before.Handed || tick.Finished < before.Finished {
			t.Errorf("tick %+v after %+v: it went back", tick, before)
		}
	}
	// Between two ticks the clock was set at most once, so that a target's time
	// is near one of the two, or between them.
	checkPassages(t, w, s, asked)
}

func checkPassages(t *testing.T, w *world, s *campaign.Scan, asked map[netip.AddrPort]time.Time) {
	t.Helper()
	const slack = 10 * time.Second // a tick is due every second, if the machine has the time
	order, err := space.NewOrder(w.set, w.run.Ports, append([]byte("tcp"), w.run.Seed...), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	for target, at := range asked {
		pos, ok := order.Position(target)
		passages, err := w.store.Ticks(t.Context(), exposure.Leg{Run: s.Run.ID, Probe: exposure.ProbeIPP}, pos)
		if !ok || err != nil || len(passages) != 1 {
			t.Errorf("%s: passages %v, %v, want one", target, passages, err)
			continue
		}
		from, to := passages[0].Before.At, passages[0].After.At
		if from.IsZero() {
			from = s.Run.Started
		}
		if to.Before(from) {
			from, to = to, from
		}
		if at.Before(from.Add(-slack)) || at.After(to.Add(slack)) {
			t.Errorf("%s was asked at %v, the ticks say %v to %v", target, at, from, to)
		}
	}
}

// TestScopeEndsWhenTheClockSaysSo sets the clock forward past the end of the
// scope, and back again: nobody is asked in between, and nobody is lost.
func TestScopeEndsWhenTheClockSaysSo(t *testing.T) {
	w := newWorld(t, "10.1.0.0/25")
	w.begin(t)
	clock := &wallClock{}
	first := &fakeGrabber{w: w}
	first.says = func(context.Context, netip.AddrPort) exposure.Verdict {
		if first.total() == 40 {
			clock.set(72 * time.Hour)
		}
		return exposure.Answered
	}
	s := w.scan(t)
	s.Grabber, s.Now, s.Pacer, s.Concurrency = first, clock.now, everySo(2*time.Millisecond), 1
	sum, err := s.Do(t.Context())
	if !errors.Is(err, campaign.ErrExpired) || sum.Complete {
		t.Fatalf("Do() = complete %t, %v, want %v", sum.Complete, err, campaign.ErrExpired)
	}
	// One was past the check of the scope, and waited for its slot.
	if n := first.total(); n > 42 {
		t.Errorf("%d were asked, want 40 and who was on the way", n)
	}
	if got := w.state(t); got != exposure.Stopped {
		t.Errorf("the run is %s, want stopped", got)
	}

	clock.set(0)
	second := &fakeGrabber{w: w}
	s = w.scan(t)
	s.Grabber, s.Now = second, clock.now
	wholly(t, s)
	for _, target := range targets(w.set, 631) {
		if n := first.times()[target] + second.times()[target]; n != 1 {
			t.Errorf("%s was asked %d times", target, n)
		}
	}
}
