package campaign_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/space"
	"ippwatch/store"
)

func TestEveryTargetIsAskedOnce(t *testing.T) {
	tests := []struct {
		name     string
		networks []string
		exclude  []string
		ports    []uint16
		shards   int
	}{
		{"one network", []string{"10.1.0.0/24"}, nil, []uint16{631}, 1},
		{"two ports", []string{"10.1.0.0/26"}, nil, []uint16{631, 8631}, 1},
		{"holes in it", []string{"10.1.0.0/25", "10.9.0.7/32", "10.3.0.0/28"}, []string{"10.1.0.16/28", "10.1.0.99/32"}, []uint16{631}, 1},
		{"three shards, two ports and holes", []string{"10.1.0.0/26", "10.3.0.0/30"}, []string{"10.1.0.8/29"}, []uint16{8631, 631}, 3},
		{"a small network of IPv6", []string{"fd00::/122"}, nil, []uint16{631}, 2},
		{"more shards than targets", []string{"10.1.0.0/32"}, nil, []uint16{631}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.networks...)
			for _, p := range tt.exclude {
				w.scope.Exclude = append(w.scope.Exclude, netip.MustParsePrefix(p))
			}
			var err error
			if w.set, _, err = w.scope.Set(time.Now(), nil, nil); err != nil {
				t.Fatal(err)
			}
			w.run.Ports, w.run.Shards = tt.ports, tt.shards
			id := w.run.ID
			asked := make(map[netip.AddrPort]int)
			for shard := range tt.shards {
				w.run.ID, w.run.Shard = id+string(rune('a'+shard)), shard
				w.begin(t)
				g := &fakeGrabber{w: w}
				s := w.scan(t)
				s.Grabber = g
				sum := wholly(t, s)
				if got := s.Total(); got != sum.Sent {
					t.Errorf("shard %d: total = %d, and %d were asked", shard, got, sum.Sent)
				}
				if sum.Sent != sum.Total || int(sum.Total) != g.total() || int(sum.Answered) > g.total() {
					t.Errorf("shard %d: sum = %+v, %d were asked", shard, sum.Progress, g.total())
				}
				if got := len(w.verdicts(t)); got != g.total() {
					t.Errorf("shard %d: %d targets are kept, want %d", shard, got, g.total())
				}
				for target, n := range g.times() {
					asked[target] += n
				}
			}
			want := make(map[netip.AddrPort]int)
			for _, target := range targets(w.set, tt.ports...) {
				want[target] = 1
			}
			if diff := cmp.Diff(want, asked, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("targets asked (-want +got):\n%s", diff)
			}
		})
	}
}

// A slow host holds the checkpoint back; those behind it that answered are not
// asked again for that.
func TestStopAndResumeAsksTheRest(t *testing.T) {
	w := newWorld(t, "10.1.0.0/24")
	w.begin(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first := &fakeGrabber{w: w}
	var slow netip.AddrPort
	first.says = func(ctx context.Context, target netip.AddrPort) exposure.Verdict {
		first.mu.Lock()
		n := len(first.asked)
		if n == 5 {
			slow = target
		}
		mine := target == slow
		first.mu.Unlock()
		if n > 150 {
			stop()
		}
		if !mine {
			return exposure.Answered
		}
		<-ctx.Done()
		return exposure.Interrupted
	}
	s := w.scan(t)
	s.Grabber = first
	sum, err := s.Do(ctx)
	if !errors.Is(err, context.Canceled) || sum.Complete {
		t.Fatalf("Do() = complete %t, %v, want it cancelled", sum.Complete, err)
	}
	if got := w.state(t); got != exposure.Stopped {
		t.Errorf("the run is %s, want stopped", got)
	}

	second := &fakeGrabber{w: w}
	second.says = func(context.Context, netip.AddrPort) exposure.Verdict {
		if got := w.state(t); got != exposure.Running {
			t.Errorf("a resumed run is %s, want running", got)
		}
		return exposure.Answered
	}
	s = w.scan(t)
	s.Grabber = second
	wholly(t, s)
	if got := w.state(t); got != exposure.Done {
		t.Errorf("the run is %s, want done", got)
	}
	before, then := first.times(), second.times()
	for _, target := range targets(w.set, 631) {
		switch n := before[target] + then[target]; {
		case n == 0:
			t.Errorf("%s was forgotten", target)
		case n > 1 && !first.broken[target], n > 2:
			t.Errorf("%s was asked %d times", target, n)
		}
	}
	if then[slow] != 1 {
		t.Errorf("%s, which was in flight, was asked %d times by the second process, want once", slow, then[slow])
	}
	if got := len(w.verdicts(t)); got != 256 {
		t.Errorf("%d hosts are kept, want 256", got)
	}
}

func TestTheSameRunDoneTwiceAddsNothing(t *testing.T) {
	w := newWorld(t, "10.1.0.0/26")
	w.begin(t)
	s := w.scan(t)
	s.Grabber = &fakeGrabber{w: w}
	wholly(t, s)
	before := exposures(t, w)
	if len(before) == 0 {
		t.Fatal("no case came of it")
	}

	t.Run("from its end", func(t *testing.T) {
		g := &fakeGrabber{w: w}
		s := w.scan(t)
		s.Grabber = g
		wholly(t, s)
		if g.total() != 0 {
			t.Errorf("%d targets were asked again", g.total())
		}
	})
	t.Run("asking all again", func(t *testing.T) {
		s := w.scan(t)
		s.Grabber = &fakeGrabber{w: w}
		s.Kept = nil
		s.Store = forgetful{w.store}
		wholly(t, s)
	})
	if diff := cmp.Diff(before, exposures(t, w), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("the cases changed (-before +after):\n%s", diff)
	}
	for target, got := range w.verdicts(t) {
		if len(got) != 1 {
			t.Errorf("%s is kept as %v, want once", target, got)
		}
	}
}

// forgetful has lost all ticks.
type forgetful struct{ *store.Store }

func (forgetful) LastTick(context.Context, exposure.Leg) (exposure.Tick, bool, error) {
	return exposure.Tick{}, false, nil
}

func exposures(t testing.TB, w *world) []exposure.Exposure {
	t.Helper()
	var all []exposure.Exposure
	for e, err := range w.store.Exposures(context.Background(), w.view(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestAnExclusionBindsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.1.0.0/24")
		w.begin(t)
		g := &fakeGrabber{w: w}
		s := w.scan(t)
		s.Grabber, s.Pacer = g, everySo(20*time.Millisecond)
		closed := netip.MustParsePrefix("10.1.0.0/25")
		var at time.Time
		var excluding sync.WaitGroup
		excluding.Go(func() {
			time.Sleep(1700 * time.Millisecond)
			if err := w.store.Exclude(t.Context(), closed, "asked by mail", "test", time.Now()); err != nil {
				t.Error(err)
			}
			at = time.Now()
		})
		sum := wholly(t, s)
		excluding.Wait()
		inside := 0
		for target, asked := range g.asked {
			if !closed.Contains(target.Addr()) {
				continue
			}
			inside++
			if late := asked[0].Sub(at); late > time.Second {
				t.Errorf("%s was asked %v after it was excluded", target, late)
			}
		}
		if inside == 0 || sum.Skipped != uint64(128-inside) || sum.Sent != uint64(128+inside) {
			t.Errorf("%d of the excluded were asked before; skipped %d, sent %d of 256", inside, sum.Skipped, sum.Sent)
		}
	})
}

func TestAPauseStopsSendingAndNothingIsLost(t *testing.T) {
	tests := []struct {
		name  string
		begin time.Duration
	}{
		{"paused at its start", 0},
		{"paused on the way", 1700 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.1.0.0/24")
				w.begin(t)
				g := &fakeGrabber{w: w}
				s := w.scan(t)
				g.says = func(_ context.Context, target netip.AddrPort) exposure.Verdict {
					time.Sleep(50 * time.Millisecond) // then grab's gate is asked
					if s.Guard.Allow(target.Addr(), time.Now()) != nil {
						return exposure.Interrupted
					}
					return exposure.Answered
				}
				s.Grabber, s.Pacer = g, everySo(20*time.Millisecond)
				shown := false
				s.Progress = func(p campaign.Progress) { shown = shown || p.Paused }
				var from, to time.Time
				order := func() {
					from = time.Now()
					if err := w.store.Pause(t.Context(), "test", "complaint", from); err != nil {
						t.Error(err)
					}
				}
				if tt.begin == 0 {
					order()
				}
				go func() {
					if tt.begin > 0 {
						time.Sleep(tt.begin)
						order()
					}
					time.Sleep(10 * time.Minute)
					to = time.Now()
					if err := w.store.Resume(t.Context(), "test", to); err != nil {
						t.Error(err)
					}
				}()
				wholly(t, s)
				for target, asked := range g.asked {
					for _, at := range asked {
						if at.Sub(from) > time.Second && at.Before(to) {
							t.Errorf("%s was asked %v after the pause began", target, at.Sub(from))
						}
					}
				}
				if !shown || len(g.asked) != 256 || to.IsZero() {
					t.Errorf("shown as paused: %t; %d targets were asked, want 256", shown, len(g.asked))
				}
				for target, got := range w.verdicts(t) {
					if !slices.Equal(got, []exposure.Verdict{exposure.Answered}) {
						t.Errorf("%s is kept as %v", target, got)
					}
				}
			})
		})
	}
}

func TestAScopeThatExpiresEndsTheRun(t *testing.T) {
	tests := []struct {
		name  string
		hosts string
		after time.Duration
	}{
		{"on the way", "10.1.0.0/24", 1500 * time.Millisecond},
		{"under the last conversations", "10.1.0.0/30", 150 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.hosts)
				w.scope.Expires = time.Now().Add(tt.after)
				w.begin(t)
				g := &fakeGrabber{w: w}
				s := w.scan(t)
				g.says = func(_ context.Context, target netip.AddrPort) exposure.Verdict {
					time.Sleep(200 * time.Millisecond)
					if s.Guard.Allow(target.Addr(), time.Now()) != nil {
						return exposure.Interrupted
					}
					return exposure.Answered
				}
				s.Grabber, s.Pacer = g, everySo(20*time.Millisecond)
				sum, err := s.Do(t.Context())
				if !errors.Is(err, campaign.ErrExpired) || sum.Complete || w.state(t) != exposure.Stopped {
					t.Errorf("Do() = complete %t, %v; the run is %s; want ErrExpired and stopped", sum.Complete, err, w.state(t))
				}
				for target, asked := range g.asked {
					if asked[0].After(w.scope.Expires) {
						t.Errorf("%s was asked after the scope had expired", target)
					}
				}
			})
		})
	}
}

func TestAFullDiskIsAnErrorAndResumeCompletes(t *testing.T) {
	tests := []struct {
		name string
		fill func(*campaign.Scan)
	}{
		{"the archive is full", func(s *campaign.Scan) { s.Archive = failingArchive{s.Archive} }},
		{"no tick can be written", func(s *campaign.Scan) { s.Store = &failingStore{Store: s.Store, fills: after(1, "tick")} }},
		{"the end cannot be written", func(s *campaign.Scan) { s.Store = &failingStore{Store: s.Store, fills: after(1, "finish")} }},
		{"nothing can be written", func(s *campaign.Scan) { s.Store = &failingStore{Store: s.Store, fills: after(0, "finish")} }},
		{"nobody reads what is emitted", func(s *campaign.Scan) {
			s.Emit = func([]exposure.Observation) error { return errFull }
		}},
		{"what was kept cannot be read", func(s *campaign.Scan) {
			s.Control = func(context.Context) (bool, []netip.Prefix, error) { return false, nil, errFull }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "10.1.0.0/24")
				w.begin(t)
				s := w.scan(t)
				s.Grabber, s.Pacer = &fakeGrabber{w: w}, everySo(20*time.Millisecond)
				tt.fill(s)
				sum, err := s.Do(t.Context())
				if !errors.Is(err, errFull) || sum.Complete {
					t.Fatalf("Do() = complete %t, %v, want %v", sum.Complete, err, errFull)
				}
				if w.state(t) == exposure.Done {
					t.Error("the run is done")
				}
				s = w.scan(t)
				s.Grabber = &fakeGrabber{w: w}
				wholly(t, s)
				if got := len(w.verdicts(t)); got != 256 {
					t.Errorf("%d hosts are kept, want 256", got)
				}
				if got := len(exposures(t, w)); got < 256 {
					t.Errorf("%d cases, want one for each host at least", got)
				}
			})
		})
	}
}

// What was archived and not folded when the process died is folded by the one
// that goes on.
func TestAKillBetweenArchiveAndCasesLosesNoCase(t *testing.T) {
	w := newWorld(t, "10.1.0.0/28")
	w.begin(t)
	var kept []exposure.Observation
	for _, target := range targets(w.set, 631) {
		kept = append(kept, tcp(w.run, target, exposure.Answered, time.Now()))
	}
	if _, err := w.archive.Append(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	g := &fakeGrabber{w: w}
	s := w.scan(t)
	s.Grabber = g
	wholly(t, s)
	open := 0
	for _, e := range exposures(t, w) {
		if e.Rule == "open-ipp" && e.TimesSeen == 1 {
			open++
		}
	}
	if open != 16 || g.total() != 0 {
		t.Errorf("%d cases, want 16; %d hosts were asked again, want none", open, g.total())
	}
}

func TestASlowReaderHoldsUpAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.1.0.0/21")
		w.begin(t)
		s := w.scan(t)
		s.Grabber, s.Concurrency = &fakeGrabber{w: w}, 8
		emitted := make(map[netip.AddrPort]int)
		s.Emit = func(os []exposure.Observation) error {
			time.Sleep(30 * time.Second)
			for _, o := range os {
				emitted[o.Target()]++
			}
			return nil
		}
		wholly(t, s)
		if len(emitted) != 2048 {
			t.Errorf("%d hosts were emitted, want 2048", len(emitted))
		}
		for target, n := range emitted {
			if n != 1 {
				t.Errorf("%s was emitted %d times", target, n)
			}
		}
	})
}

func TestSilenceMarksOnlyTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.1.0.0/28")
		w.begin(t)
		s := w.scan(t)
		s.Grabber = &fakeGrabber{w: w}
		wholly(t, s)
		time.Sleep(24 * time.Hour)

		// The next day. Of each host what it does, and whether silence was met.
		w.run.ID, w.run.Started = "20261124T093000Z-7f3a", time.Now()
		w.begin(t)
		addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 0, n}) }
		says := map[netip.Addr]exposure.Verdict{
			addr(0): exposure.NoAnswer, addr(1): exposure.NotIPP, addr(2): exposure.Unreachable, addr(3): exposure.Interrupted,
			addr(4): exposure.Tarpit, addr(5): exposure.Restricted, addr(6): exposure.Closed, addr(7): exposure.NoAnswer,
		}
		if err := w.store.Exclude(t.Context(), netip.PrefixFrom(addr(8), 32), "", "test", time.Now()); err != nil {
			t.Fatal(err)
		}
		// Most is heard by a first process that stops, and the end is a second one's.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		g := &fakeGrabber{w: w}
		g.says = func(ctx context.Context, target netip.AddrPort) exposure.Verdict {
			if target.Addr() == addr(15) && ctx.Err() == nil && len(g.times()) >= 15 {
				stop()
				return exposure.Interrupted
			}
			if v, ok := says[target.Addr()]; ok {
				return v
			}
			return exposure.Answered
		}
		w.run.Seed = lastIs(t, w, addr(15))
		s = w.scan(t)
		s.Grabber, s.Pacer = g, everySo(time.Second)
		if _, err := s.Do(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Do() = %v, want it cancelled", err)
		}
		s = w.scan(t)
		s.Grabber = g
		wholly(t, s)

		want := make(map[netip.Addr]exposure.Condition)
		for i := range byte(16) {
			want[addr(i)] = exposure.Confirmed
		}
		want[addr(0)], want[addr(7)], want[addr(6)] = exposure.NotSeen, exposure.NotSeen, exposure.OneClean
		got := make(map[netip.Addr]exposure.Condition)
		for _, e := range exposures(t, w) {
			if e.Rule == "open-ipp" {
				got[e.Addr] = e.Condition
			}
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	})
}

// lastIs returns a seed with which the address comes last.
func lastIs(t testing.TB, w *world, a netip.Addr) []byte {
	t.Helper()
	for n := range byte(255) {
		seed := []byte{n}
		order, err := space.NewOrder(w.set, w.run.Ports, append([]byte("tcp"), seed...), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if order.At(order.Len()-1).Addr() == a {
			return seed
		}
	}
	t.Fatal("no seed")
	return nil
}

func TestACompleteRunLapsesWhatIsLongUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.1.0.0/30")
		w.begin(t)
		s := w.scan(t)
		s.Grabber = &fakeGrabber{w: w}
		wholly(t, s)
		time.Sleep(61 * 24 * time.Hour)

		other, err := open(t.Context(), t.TempDir()+"/data", "10.2.0.0/30") // for its scope alone
		if err != nil {
			t.Fatal(err)
		}
		if err := other.close(); err != nil {
			t.Fatal(err)
		}
		w.scope, w.set = other.scope, other.set
		w.run.ID, w.run.Started = "20270123T093000Z-7f3a", time.Now()
		w.begin(t)
		s = w.scan(t)
		s.Grabber = &fakeGrabber{w: w}
		wholly(t, s)
		for _, e := range exposures(t, w) {
			want := exposure.Confirmed
			if e.Addr.As4()[1] == 1 {
				want = exposure.Lapsed
			}
			if e.Condition != want {
				t.Errorf("%s %s is %s, want %s", e.Addr, e.Rule, e.Condition, want)
			}
		}
	})
}

// TestTheTicksTellWhen is what "ippwatch asked" rests on: every time at which a
// host was asked lies within one of its passages, also when a leg goes over a
// host a second time, and around a pause.
func TestTheTicksTellWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10.1.0.0/24")
		w.begin(t)
		asked := make(map[netip.AddrPort][]time.Time)
		for process := range 2 {
			ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
			g := &fakeGrabber{w: w, says: func(ctx context.Context, target netip.AddrPort) exposure.Verdict {
				if target.Addr().As4()[3]%8 == 0 { // as slow as a tarpit
					select {
					case <-ctx.Done():
						return exposure.Interrupted
					case <-time.After(2 * time.Second):
					}
				}
				return exposure.NoAnswer // so that it is asked again
			}}
			s := w.scan(t)
			s.Grabber, s.Pacer, s.Concurrency = g, everySo(20*time.Millisecond), 100
			if process == 0 {
				if _, err := s.Do(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("Do() = %v", err)
				}
				time.Sleep(24 * time.Hour)
			} else {
				go func() {
					time.Sleep(time.Second)
					_ = w.store.Pause(t.Context(), "test", "", time.Now())
					time.Sleep(10 * time.Minute)
					_ = w.store.Resume(t.Context(), "test", time.Now())
				}()
				wholly(t, s)
			}
			stop()
			for target, at := range g.asked {
				asked[target] = append(asked[target], at...)
			}
		}
		order, err := space.NewOrder(w.set, w.run.Ports, append([]byte("tcp"), w.run.Seed...), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		twice := 0
		for _, target := range slices.Collect(maps.Keys(asked)) {
			if len(asked[target]) > 1 {
				twice++
			}
			pos, _ := order.Position(target)
			passages, err := w.store.Ticks(t.Context(), exposure.Leg{Run: w.run.ID, Probe: exposure.ProbeIPP}, pos)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range asked[target] {
				if !slices.ContainsFunc(passages, func(p store.Passage) bool {
					return !at.Before(p.Before.At) && !at.After(p.After.At) && p.After.At.Sub(p.Before.At) < 20*time.Minute || p.Before.At.IsZero() && !at.After(p.After.At)
				}) {
					t.Errorf("%s was asked at %v, which is in none of %v", target, at, passages)
				}
			}
		}
		if twice == 0 {
			t.Error("no host was asked twice: the test shows less than it should")
		}
	})
}
