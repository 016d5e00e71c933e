// Package campaign runs scans: it walks the targets in order, keeps the pace,
// hands each to an engine, and carries what comes back through where, judgement,
// archive and cases.
package campaign

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/space"
	"ippwatch/track"
)

// A Store is what a campaign keeps about runs. Every method is one short
// transaction.
type Store interface {
	CreateRun(ctx context.Context, r exposure.Run) error
	// FinishRun sets how far a run came; one that is Running again has no end.
	FinishRun(ctx context.Context, id string, state exposure.RunState, at time.Time) error
	Tick(ctx context.Context, leg exposure.Leg, t exposure.Tick) error
	LastTick(ctx context.Context, leg exposure.Leg) (exposure.Tick, bool, error)
	Reserve(ctx context.Context, run string, from, to uint64, at time.Time) error
	MarkSent(ctx context.Context, run string, from uint64, at time.Time) error
	Settle(ctx context.Context, run string, from uint64, at time.Time) error
	Unsettled(ctx context.Context, run string) ([]exposure.Batch, error)
}

// An Archive keeps observations. Appending one twice is harmless.
type Archive interface {
	Append(ctx context.Context, o []exposure.Observation) (added int, err error)
	Rollup(ctx context.Context, day time.Time) error
}

// A Grabber holds one conversation over TCP.
type Grabber interface {
	Grab(ctx context.Context, target netip.AddrPort) exposure.Observation
}

// A Prober asks over UDP. Batch returns when every packet of the batch was
// handed to the kernel, and how many targets it dealt with; what became of each
// reaches the handlers that the prober was made with, [Scan.Heard],
// [Scan.Skipped] and [Scan.Late], while Run runs. Drain returns when nobody is
// waited for any more.
type Prober interface {
	Run(ctx context.Context) error
	Batch(ctx context.Context, targets []netip.AddrPort) (int, error)
	Drain(ctx context.Context) error
}

// A Pacer spaces what is sent.
type Pacer interface {
	Wait(ctx context.Context, a netip.Addr) error
}

// A Scan is one run and the means to make it. New is inert; Run works until
// every target was asked or the context ends.
type Scan struct {
	Run   exposure.Run
	Set   space.Set
	Guard *space.Guard

	Store   Store
	Archive Archive
	Cases   *track.Tracker
	// Control is the operator's hand on a running scan: whether everything
	// pauses, and what is excluded.
	Control func(ctx context.Context) (paused bool, excluded []netip.Prefix, err error)
	Pacer   Pacer
	Grabber Grabber // nil: no TCP leg
	Prober  Prober  // nil: no UDP leg

	// Where fills in where the hosts are and whose.
	Where func(ctx context.Context, o []exposure.Observation)
	Judge func(o *exposure.Observation) []exposure.Finding
	// Known tells of a target with an open exposure: what such a host does is
	// kept even when it is silence.
	Known func(target netip.AddrPort, tr exposure.Transport) bool
	// KeepAll keeps and emits silence too.
	KeepAll bool
	// Source is what the run's observations are; empty is a scan.
	Source exposure.Source
	// Vouch returns what else than this run's answers shows that our network
	// works, "" if nothing does. May be nil. After is how far apart two clean
	// probes must be; zero is track.VerifyAfter.
	Vouch func(o *exposure.Observation) string
	After time.Duration
	// Kept yields what earlier processes of this run kept, without findings. It
	// may be nil for a run that has just begun.
	Kept func(ctx context.Context) iter.Seq2[exposure.Observation, error]
	// Beside are run while the scan runs and end before it does: they gather
	// late calls for former runs and hand them to Late.
	Beside []func(ctx context.Context)
	// Emit receives every observation that is kept, judged and stored, in
	// batches, from one goroutine.
	Emit func([]exposure.Observation) error
	// Progress is called about once a second, from one goroutine.
	Progress    func(Progress)
	Concurrency int
	Batch       int // UDP targets reserved at once: about a second's worth
	Now         func() time.Time

	results chan result
	room    chan struct{} // one for each conversation, and for each answer that is not yet kept
	door    sync.RWMutex  // of results
	open    bool
	count   counters
	heard   doors
	unsure  []exposure.Observation // of known doors, before anything else answered
}

// Total is how many targets the run has, over all its legs.
func (s *Scan) Total() uint64 {
	var n uint64
	if s.Grabber != nil {
		n += s.share(s.Set.Len() * uint64(len(s.Run.Ports)))
	}
	if s.Prober != nil {
		n += s.share(s.Set.Len())
	}
	return n
}

// share is how many of n targets of a leg are of the run's shard, as
// [space.Order.Len] has it.
func (s *Scan) share(n uint64) uint64 {
	shard, shards := uint64(s.Run.Shard), uint64(max(s.Run.Shards, 1))
	if n <= shard {
		return 0
	}
	return (n - shard + shards - 1) / shards
}

// Progress is how far a scan is. Answered and Found are of this process alone,
// the targets of the whole run.
type Progress struct {
	At, Started time.Time
	Total       uint64 // targets of all legs
	Sent        uint64 // handed to an engine
	Finished    uint64
	Answered    uint64 // hosts that sent anything
	Found       uint64 // hosts with a finding at or above low
	Skipped     uint64 // excluded while the scan ran; not among Sent
	Paused      bool
}

// A Summary is what a scan came to.
type Summary struct {
	Progress
	Severity map[exposure.Severity]int // hosts by their worst finding
	Verdicts map[exposure.Verdict]int
	Unproven int // doors with a case that did not show it while nothing else answered: the case stays as it was
	Complete bool
}

// ErrExpired is returned when the scope ran out under a running scan.
var ErrExpired = errors.New("the scope has expired")

// result is what an engine hands to the sink: an observation, and the position
// that is done with it.
type result struct {
	leg *leg // nil: find the place by the target
	pos uint64
	obs exposure.Observation // V is 0 when nothing was sent
	at  netip.AddrPort       // the target, when nothing was sent
	// waited: the position is one of those for which its batch waits.
	waited bool
	// late: the position is not done by it.
	late bool
	// room: it holds a place until it is kept.
	room bool
}

// Begin writes the run down. It is called once for a new run, never to resume.
func (s *Scan) Begin(ctx context.Context) error {
	if err := s.Store.CreateRun(ctx, s.Run); err != nil {
		return fmt.Errorf("begin run %s: %w", s.Run.ID, err)
	}
	return nil
}

// Do walks what is left of the run. When ctx ends it stops cleanly, keeps what
// it has and returns the context's error; the run can be resumed. It is called
// once.
func (s *Scan) Do(ctx context.Context) (Summary, error) {
	s.count.start(s.Now())
	legs, err := s.setOut(ctx)
	if err != nil {
		return s.end(context.WithoutCancel(ctx), nil, err)
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	aside, endAside := context.WithCancel(context.WithoutCancel(ctx))
	defer endAside()

	var watching, sinking, walking, besides sync.WaitGroup
	s.openDoor()
	watching.Go(func() { s.watch(work, cancel) })
	// The sink outlives the context: what was heard before a stop is kept.
	sinking.Go(func() { s.sink(context.WithoutCancel(ctx), work, legs, cancel) })
	for _, run := range s.Beside {
		besides.Go(func() { run(aside) })
	}
	if err := s.recall(work, legs); err != nil {
		cancel(err)
	}
	for _, l := range legs {
		walking.Go(func() {
			if err := l.walk(work); err != nil {
				cancel(err)
			}
		})
	}
	walking.Wait()
	endAside()
	besides.Wait()
	s.shutDoor()
	sinking.Wait()
	failure := context.Cause(work)
	cancel(nil)
	watching.Wait()
	return s.end(context.WithoutCancel(ctx), legs, failure)
}

// setOut finds where the legs were left, and writes down that they go on from
// there: what a resumed leg goes over again has been passed twice.
func (s *Scan) setOut(ctx context.Context) ([]*leg, error) {
	if err := s.Store.FinishRun(ctx, s.Run.ID, exposure.Running, s.Now()); err != nil {
		return nil, err
	}
	legs, err := s.legs(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	return legs, s.tick(ctx, legs)
}

// end writes down how the run ended and, when it was complete, what it missed.
// A run whose end could not be written down can be resumed, to end again.
func (s *Scan) end(ctx context.Context, legs []*leg, failure error) (Summary, error) {
	now := s.Now()
	err := errors.Join(failure, s.tick(ctx, legs))
	for _, day := range s.count.days() {
		err = errors.Join(err, s.Archive.Rollup(ctx, day))
	}
	if err == nil {
		err = s.age(ctx, legs, now)
	}
	state := exposure.Stopped
	if err == nil {
		state = exposure.Done
	}
	err = errors.Join(err, s.Store.FinishRun(ctx, s.Run.ID, state, now))
	sum := s.count.summary(now)
	sum.Complete, sum.Unproven = err == nil, s.unproven()
	return sum, err
}

// age notes what a complete run met with silence, and what nobody has seen for
// too long.
func (s *Scan) age(ctx context.Context, legs []*leg, now time.Time) error {
	for _, l := range legs {
		if t := l.tick(s.Now); t.Finished < l.order.Len() {
			return fmt.Errorf("run %s: %s: nothing is known of position %d of %d", s.Run.ID, l.id.Probe, t.Finished, l.order.Len())
		}
	}
	if _, err := s.Cases.Miss(ctx, s.Run, s.silent(legs), now); err != nil {
		return err
	}
	_, err := s.Cases.Lapse(ctx, now)
	return err
}

// silent tells at which doors this run asked and heard nothing at all, while
// others answered. Of a door that nobody knew when it was asked, only what spoke
// was kept.
func (s *Scan) silent(legs []*leg) func(exposure.Key) bool {
	return func(k exposure.Key) bool {
		target := netip.AddrPortFrom(k.Addr, k.Port)
		if !s.Known(target, k.Transport) || s.heard.has(target, k.Transport) || s.forbidden(k.Addr) {
			return false
		}
		if s.control(&exposure.Observation{Addr: k.Addr, Port: k.Port, Transport: k.Transport}) == "" {
			return false
		}
		for _, l := range legs {
			if l.transport != k.Transport {
				continue
			}
			if _, ok := l.order.Position(target); ok {
				return true
			}
		}
		return false
	}
}

// forbidden reports whether this address, and not every one, may not be asked.
func (s *Scan) forbidden(a netip.Addr) bool {
	err := s.Guard.Allow(a, s.Now())
	return err != nil && !errors.Is(err, space.ErrPaused) && !errors.Is(err, space.ErrExpired)
}

// watch binds exclusions and pauses on the running scan within half a second
// (DESIGN.md, rule 12), and reports progress once a second.
func (s *Scan) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			// An operator's stop that cannot be read must be taken as a stop.
			cancel(err)
			return
		}
		if n%2 == 0 && s.Progress != nil {
			s.Progress(s.count.progress(s.Now()))
		}
	}
}

// look reads the operator's switch once.
func (s *Scan) look(ctx context.Context) error {
	paused, excluded, err := s.Control(ctx)
	if err != nil {
		return fmt.Errorf("read exclusions: %w", err)
	}
	s.Guard.SetExcluded(excluded) // first: the end of a pause may be what else is new
	s.Guard.SetPaused(paused)
	s.count.pause(paused)
	return nil
}

// Heard takes from the prober what became of a target.
func (s *Scan) Heard(o exposure.Observation) {
	s.hand(result{obs: o, waited: true})
}

// Skipped takes from the prober a target that nothing was sent to.
func (s *Scan) Skipped(target netip.AddrPort, _ error) {
	s.count.unsend()
	s.leave(target, exposure.UDP)
	s.hand(result{at: target, waited: true})
}

// leave counts a target that is left alone. Its case did not meet silence.
func (s *Scan) leave(target netip.AddrPort, tr exposure.Transport) {
	s.count.skip()
	if s.Known(target, tr) {
		s.heard.add(target, tr)
	}
}

// Late takes a call for which nobody waited any more, of this run or of one
// that ended in the last 24 hours.
func (s *Scan) Late(o exposure.Observation) {
	s.hand(result{obs: o, late: true})
}

// hand gives the sink a result; what comes before the beginning or after the
// end of the run is nobody's.
func (s *Scan) hand(r result) {
	s.door.RLock()
	defer s.door.RUnlock()
	if s.open {
		s.results <- r
	}
}

func (s *Scan) openDoor() {
	s.door.Lock()
	defer s.door.Unlock()
	s.open = true
	s.results = make(chan result, resultsAhead)
	s.room = make(chan struct{}, max(s.Concurrency, leastRoom))
}

// shutDoor ends the sink. Whoever is handing something in is let finish.
func (s *Scan) shutDoor() {
	s.door.Lock()
	defer s.door.Unlock()
	s.open = false
	close(s.results)
}

// A Gate is a guard as a prober wants it: it tells what holds all sending from
// what forbids one address.
type Gate struct{ *space.Guard }

// Allow is asked at the last moment before each send.
func (g Gate) Allow(a netip.Addr, now time.Time) error {
	err := g.Guard.Allow(a, now)
	if errors.Is(err, space.ErrPaused) || errors.Is(err, space.ErrExpired) {
		return fmt.Errorf("%w: %w", probe.ErrHold, err)
	}
	return err
}
