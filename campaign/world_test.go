package campaign_test

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/track"
)

// A world is a data directory with the real store, archive, tracker and rules,
// and a run in it.
type world struct {
	store   *store.Store
	archive *archive.Archive
	scope   space.Scope
	set     space.Set
	run     exposure.Run
}

// book answers the tracker's questions out of package rule, as the command does.
type book struct{}

func (book) Cleared(id string, o *exposure.Observation) (bool, string) {
	r, ok := rule.ByID(id)
	if !ok {
		return false, ""
	}
	answer, why := r.Cleared(o)
	return answer == rule.Yes, why
}

// open opens the data directory.
func open(ctx context.Context, dir string, networks ...string) (*world, error) {
	w := &world{}
	var err error
	if w.store, err = store.Open(ctx, dir); err != nil {
		return nil, err
	}
	if w.archive, err = archive.Open(ctx, dir); err != nil {
		return nil, errors.Join(err, w.store.Close())
	}
	w.scope = space.Scope{AuthorisedBy: "the test", Contact: "noc@example.org", Expires: time.Now().Add(48 * time.Hour)}
	for _, n := range networks {
		w.scope.Networks = append(w.scope.Networks, netip.MustParsePrefix(n))
	}
	w.run = exposure.Run{
		ID: "20261123T093000Z-7f3a", State: exposure.Running, Started: time.Now(), Vantage: "lab",
		AuthorisedBy: w.scope.AuthorisedBy, ContactPoint: w.scope.Contact, Expires: w.scope.Expires,
		Ports: []uint16{631}, UDPPort: 631, Shards: 1, Seed: []byte("seed"),
	}
	w.set, _, err = w.scope.Set(time.Now(), nil, nil)
	return w, err
}

func (w *world) close() error { return errors.Join(w.archive.Close(), w.store.Close()) }

// newWorld is a world in a directory of its own.
func newWorld(t testing.TB, networks ...string) *world {
	t.Helper()
	w, err := open(t.Context(), filepath.Join(t.TempDir(), "data"), networks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) view() access.View { return access.CLI(time.Now()) }

// A freePacer stands in for probe's: nothing is sent, so nothing need wait.
type freePacer struct{}

func (freePacer) Wait(ctx context.Context, _ netip.Addr) error { return ctx.Err() }

// everySo stands in for probe's pacer: one target after the other.
type everySo time.Duration

func (d everySo) Wait(ctx context.Context, _ netip.Addr) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(d)):
		return nil
	}
}

// scan is a scan of the world's run as a new process would make it.
func (w *world) scan(t testing.TB) *campaign.Scan {
	t.Helper()
	known := make(map[exposure.Key]bool)
	open := []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen}
	for e, err := range w.store.ExposuresIn(context.Background(), w.view(), open...) {
		if err != nil {
			t.Fatal(err)
		}
		known[exposure.Key{Addr: e.Addr, Port: e.Port, Transport: e.Transport}] = true
	}
	return w.bare(func(a netip.AddrPort, tr exposure.Transport) bool {
		return known[exposure.Key{Addr: a.Addr(), Port: a.Port(), Transport: tr}]
	})
}

func (w *world) bare(known func(netip.AddrPort, exposure.Transport) bool) *campaign.Scan {
	return &campaign.Scan{
		Run: w.run, Set: w.set, Guard: space.NewGuard(w.scope, w.set),
		Store: w.store, Archive: w.archive, Cases: track.New(w.store, book{}),
		Control: func(ctx context.Context) (bool, []netip.Prefix, error) {
			c, err := w.store.Control(ctx)
			return c.Paused, c.Excluded, err
		},
		Pacer: freePacer{}, Where: func(context.Context, []exposure.Observation) {}, Judge: rule.Judge,
		Known: known, Kept: w.kept, Concurrency: 16, Batch: 16, Now: time.Now,
	}
}

// kept are the observations of the run in the archive.
func (w *world) kept(ctx context.Context) iter.Seq2[exposure.Observation, error] {
	return func(yield func(exposure.Observation, error) bool) {
		for r, err := range w.archive.Observations(ctx, w.view(), archive.Query{Run: w.run.ID}) {
			if !yield(r.Observation, err) {
				return
			}
		}
	}
}

// verdicts are what the archive has of the run, by target.
func (w *world) verdicts(t testing.TB) map[netip.AddrPort][]exposure.Verdict {
	t.Helper()
	got := make(map[netip.AddrPort][]exposure.Verdict)
	for o, err := range w.kept(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		got[o.Target()] = append(got[o.Target()], o.Verdict)
	}
	return got
}

func (w *world) state(t testing.TB) exposure.RunState {
	t.Helper()
	r, err := w.store.Run(context.Background(), w.view(), w.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

// begin writes the run down.
func (w *world) begin(t testing.TB) {
	t.Helper()
	if err := w.scan(t).Begin(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// wholly makes the scan and fails the test unless it is complete.
func wholly(t testing.TB, s *campaign.Scan) campaign.Summary {
	t.Helper()
	sum, err := s.Do(t.Context())
	if err != nil {
		t.Fatalf("Do() = %v", err)
	}
	if !sum.Complete || sum.Finished != sum.Total {
		t.Fatalf("Do() = complete %t, %d finished of %d", sum.Complete, sum.Finished, sum.Total)
	}
	return sum
}

// A fakeGrabber stands in for package grab: it sends nothing, says of each
// target what it is told to, and remembers whom it was told to ask and when.
type fakeGrabber struct {
	w *world
	// says is the verdict; answered if nil.
	says func(ctx context.Context, target netip.AddrPort) exposure.Verdict

	mu     sync.Mutex
	asked  map[netip.AddrPort][]time.Time
	broken map[netip.AddrPort]bool // those whose last conversation was interrupted
}

func (g *fakeGrabber) Grab(ctx context.Context, target netip.AddrPort) exposure.Observation {
	g.mu.Lock()
	if g.asked == nil {
		g.asked, g.broken = make(map[netip.AddrPort][]time.Time), make(map[netip.AddrPort]bool)
	}
	g.asked[target] = append(g.asked[target], time.Now())
	g.mu.Unlock()
	verdict := exposure.Answered
	if g.says != nil {
		verdict = g.says(ctx, target)
	}
	g.mu.Lock()
	g.broken[target] = verdict == exposure.Interrupted
	g.mu.Unlock()
	return tcp(g.w.run, target, verdict, time.Now())
}

// times returns how often each target was asked.
func (g *fakeGrabber) times() map[netip.AddrPort]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := make(map[netip.AddrPort]int)
	for target, at := range g.asked {
		n[target] = len(at)
	}
	return n
}

func (g *fakeGrabber) total() int {
	n := 0
	for _, times := range g.times() {
		n += times
	}
	return n
}

// tcp is an observation as grab makes it.
func tcp(run exposure.Run, target netip.AddrPort, v exposure.Verdict, at time.Time) exposure.Observation {
	return exposure.Observation{
		V: exposure.Version, ID: exposure.NewID(run.ID, target, exposure.TCP, exposure.ProbeIPP, 0),
		Observed: at.UTC(), Received: at.UTC(), Run: run.ID, Source: exposure.Scan, Vantage: run.Vantage,
		Addr: target.Addr(), Port: target.Port(), Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: v,
	}
}

// targets are all targets of the set on the ports.
func targets(set space.Set, ports ...uint16) []netip.AddrPort {
	var all []netip.AddrPort
	for i := range set.Len() {
		for _, p := range ports {
			all = append(all, netip.AddrPortFrom(set.At(i), p))
		}
	}
	return all
}

// until polls; the scan works beside.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}

// A failing store fails from some write on, as one does whose disk is full.
type failingStore struct {
	campaign.Store
	mu   sync.Mutex
	full bool
	// fills says at which write the disk is full.
	fills func(method string) bool
}

var errFull = errors.New("database or disk is full")

func (f *failingStore) fail(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full = f.full || f.fills(method); f.full {
		return errFull
	}
	return nil
}

func (f *failingStore) FinishRun(ctx context.Context, id string, state exposure.RunState, at time.Time) error {
	if err := f.fail("finish"); err != nil {
		return err
	}
	return f.Store.FinishRun(ctx, id, state, at)
}

func (f *failingStore) Tick(ctx context.Context, leg exposure.Leg, tick exposure.Tick) error {
	if err := f.fail("tick"); err != nil {
		return err
	}
	return f.Store.Tick(ctx, leg, tick)
}

func (f *failingStore) Reserve(ctx context.Context, run string, from, to uint64, at time.Time) error {
	if err := f.fail("reserve"); err != nil {
		return err
	}
	return f.Store.Reserve(ctx, run, from, to, at)
}

func (f *failingStore) MarkSent(ctx context.Context, run string, from uint64, at time.Time) error {
	if err := f.fail("sent"); err != nil {
		return err
	}
	return f.Store.MarkSent(ctx, run, from, at)
}

func (f *failingStore) Settle(ctx context.Context, run string, from uint64, at time.Time) error {
	if err := f.fail("settle"); err != nil {
		return err
	}
	return f.Store.Settle(ctx, run, from, at)
}

// A failingArchive is full from the first observation on.
type failingArchive struct{ campaign.Archive }

func (failingArchive) Append(context.Context, []exposure.Observation) (int, error) {
	return 0, errFull
}

// after lets n writes of the method pass, and fails at the next one and at every
// write from then on.
func after(n int, method string) func(string) bool {
	return func(m string) bool {
		if m == method {
			n--
		}
		return n < 0
	}
}

// unknown is a data directory without cases.
func unknown(netip.AddrPort, exposure.Transport) bool { return false }

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}
