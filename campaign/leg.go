package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/space"
)

// A leg is the walk of one probe over the targets of a run.
type leg struct {
	id        exposure.Leg
	transport exposure.Transport
	order     *space.Order
	walk      func(ctx context.Context) error

	// begin is where the walk goes on, and kept are the positions from there on
	// of which an earlier process of the run kept an observation: what was in
	// flight when it ended. Neither changes while the leg is walked.
	begin uint64
	kept  map[uint64]struct{}
	// left are the batches of the UDP leg that an earlier process left behind.
	left []exposure.Batch

	mu       sync.Mutex
	handed   uint64
	finished uint64              // every position below is done
	ahead    map[uint64]struct{} // done at or above finished; no more than are in flight
	batches  []*batch            // of the UDP leg, in order of From
}

// batch is a reserved range of a UDP leg and how many of its positions still
// wait for an answer.
type batch struct {
	from, to uint64
	left     int
	sent     bool
}

// legs are the walks that the run has, each at the place where it was left.
func (s *Scan) legs(ctx context.Context) ([]*leg, error) {
	var legs []*leg
	if s.Grabber != nil {
		l, err := s.leg(ctx, exposure.ProbeIPP, exposure.TCP, s.Run.Ports)
		if err != nil {
			return nil, err
		}
		// What was in flight is asked again.
		l.handed = l.begin
		l.walk = func(ctx context.Context) error { return s.walkTCP(ctx, l) }
		legs = append(legs, l)
	}
	if s.Prober != nil {
		l, err := s.leg(ctx, exposure.ProbeBrowse, exposure.UDP, []uint16{s.Run.UDPPort})
		if err != nil {
			return nil, err
		}
		// What was reserved may have been asked, and is not asked again.
		if l.left, err = s.Store.Unsettled(ctx, s.Run.ID); err != nil {
			return nil, err
		}
		for _, b := range l.left {
			if err := l.within(b.To); err != nil {
				return nil, err
			}
			l.handed = max(l.handed, b.To)
		}
		l.walk = func(ctx context.Context) error { return s.walkUDP(ctx, l) }
		legs = append(legs, l)
	}
	for _, l := range legs {
		s.count.total(l.order.Len(), l.handed, l.finished)
	}
	return legs, nil
}

func (s *Scan) leg(ctx context.Context, p exposure.Probe, tr exposure.Transport, ports []uint16) (*leg, error) {
	order, err := space.NewOrder(s.Set, ports, append([]byte(tr), s.Run.Seed...), s.Run.Shard, s.Run.Shards)
	if err != nil {
		return nil, err
	}
	l := &leg{
		id: exposure.Leg{Run: s.Run.ID, Probe: p}, transport: tr, order: order,
		kept: make(map[uint64]struct{}), ahead: make(map[uint64]struct{}),
	}
	t, _, err := s.Store.LastTick(ctx, l.id)
	if err != nil {
		return nil, err
	}
	if err := l.within(max(t.Handed, t.Finished)); err != nil {
		return nil, err
	}
	l.begin, l.finished, l.handed = t.Finished, t.Finished, max(t.Handed, t.Finished)
	return l, nil
}

// within refuses a position that the order does not have: another binary may
// have computed another set from the same scope.
func (l *leg) within(end uint64) error {
	if end > l.order.Len() {
		return fmt.Errorf("run %s: %s: it was at position %d, and there are %d targets", l.id.Run, l.id.Probe, end, l.order.Len())
	}
	return nil
}

// recall takes up what earlier processes of this run kept: which known doors
// were not silent, and what was done when they ended and had not yet been
// written down as done. That is kept once more, which adds nothing where it was
// kept whole.
func (s *Scan) recall(ctx context.Context, legs []*leg) error {
	if s.Kept == nil {
		return nil
	}
	for o, err := range s.Kept(ctx) {
		if err != nil {
			return fmt.Errorf("read what run %s has kept: %w", s.Run.ID, err)
		}
		s.count.touch(&o)
		s.hear(&o)
		for _, l := range legs {
			if l.transport != o.Transport {
				continue
			}
			if pos, ok := l.order.Position(o.Target()); ok && pos >= l.begin {
				l.kept[pos] = struct{}{}
				s.hand(result{obs: o, late: true})
			}
		}
	}
	return nil
}

// ready waits while the operator pauses. It returns skip when the address may
// not be asked any more, and an error when nothing may.
func (s *Scan) ready(ctx context.Context, a netip.Addr) (skip bool, err error) {
	for {
		err := s.Guard.Allow(a, s.Now())
		switch {
		case err == nil:
			return false, ctx.Err()
		case errors.Is(err, space.ErrExpired):
			return false, ErrExpired
		case !errors.Is(err, space.ErrPaused):
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// walkTCP hands every target to the grabber, Concurrency at a time, and fewer
// while the sink is behind.
func (s *Scan) walkTCP(ctx context.Context, l *leg) error {
	var flying sync.WaitGroup
	broken := make(chan error, 1) // the first conversation that could not be held
	err := s.converseAll(ctx, l, &flying, broken)
	flying.Wait()
	if err == nil && len(broken) > 0 {
		err = <-broken
	}
	return err
}

func (s *Scan) converseAll(ctx context.Context, l *leg, flying *sync.WaitGroup, broken chan<- error) error {
	slots := make(chan struct{}, max(s.Concurrency, 1))
	for pos := l.begin; pos < l.order.Len(); pos++ {
		if _, done := l.kept[pos]; done {
			s.count.finish()
			l.hand(pos + 1)
			s.hand(result{leg: l, pos: pos})
			continue
		}
		target := l.order.At(pos)
		skip, err := s.ready(ctx, target.Addr())
		if err != nil {
			return err
		}
		if skip {
			s.leave(target, l.transport)
			l.hand(pos + 1)
			s.hand(result{leg: l, pos: pos})
			continue
		}
		if err := s.Pacer.Wait(ctx, target.Addr()); err != nil {
			return err
		}
		for _, places := range []chan struct{}{s.room, slots} {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		l.hand(pos + 1)
		s.count.send(1)
		flying.Go(func() {
			defer func() { <-slots }()
			o, err := s.converse(ctx, target)
			r := result{leg: l, pos: pos, obs: o, room: err == nil && o.V != 0 && s.keeps(&o)}
			if !r.room {
				<-s.room
			}
			if err == nil {
				s.hand(r)
				return
			}
			select {
			case broken <- err:
			default:
			}
		})
	}
	return nil
}

// converse holds the conversation, again if a pause or a fault of this machine
// broke it off. After an error the position stays unfinished, and a resumed run
// asks again.
func (s *Scan) converse(ctx context.Context, target netip.AddrPort) (exposure.Observation, error) {
	for try := 1; ; try++ {
		o := s.Grabber.Grab(ctx, target)
		if o.Verdict != exposure.Interrupted {
			return o, nil
		}
		skip, err := s.ready(ctx, target.Addr())
		if err != nil {
			return o, err
		}
		if skip {
			s.count.unsend()
			s.leave(target, exposure.TCP)
			return exposure.Observation{}, nil
		}
		if try == 3 {
			return o, nil
		}
		if err := s.Pacer.Wait(ctx, target.Addr()); err != nil {
			return o, err
		}
	}
}

// walkUDP reserves a batch, commits, and only then sends it: a host that may
// have been sent a packet is never forgotten, and never asked twice in a run
// (DESIGN.md, rules 2 and 6).
func (s *Scan) walkUDP(ctx context.Context, l *leg) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var engine sync.WaitGroup
	var broken error // of the engine, rather than what it brought about
	engine.Go(func() {
		if broken = s.Prober.Run(running); broken != nil {
			stop()
		}
	})
	err := s.sendAll(running, l)
	if err == nil {
		err = s.Prober.Drain(running)
	}
	stop()
	engine.Wait()
	if broken != nil {
		return fmt.Errorf("ask over UDP: %w", broken)
	}
	return err
}

func (s *Scan) sendAll(ctx context.Context, l *leg) error {
	for pos := s.interrupted(l); pos < l.order.Len(); {
		to := min(pos+uint64(max(s.Batch, 1)), l.order.Len())
		places, err := s.candidates(ctx, l, pos, to)
		if err != nil {
			return err
		}
		if err := s.sendBatch(ctx, l, pos, to, places); err != nil {
			return err
		}
		pos = to
	}
	return nil
}

// candidates are the positions of a batch that may be asked; the others are
// finished at once.
func (s *Scan) candidates(ctx context.Context, l *leg, from, to uint64) ([]uint64, error) {
	places := make([]uint64, 0, to-from)
	for pos := from; pos < to; pos++ {
		target := l.order.At(pos)
		skip, err := s.ready(ctx, target.Addr())
		if err != nil {
			return nil, err
		}
		if skip {
			s.leave(target, l.transport)
			s.hand(result{leg: l, pos: pos})
			continue
		}
		places = append(places, pos)
	}
	return places, nil
}

func (s *Scan) sendBatch(ctx context.Context, l *leg, from, to uint64, places []uint64) error {
	if err := s.Store.Reserve(ctx, s.Run.ID, from, to, s.Now()); err != nil {
		return err
	}
	l.reserve(from, to, len(places))
	sent, err := s.sendEach(ctx, l, places)
	if err == nil {
		err = s.Store.MarkSent(context.WithoutCancel(ctx), s.Run.ID, from, s.Now())
	}
	// What was reserved and not sent waits for the next run, as it would after a
	// kill -9: nobody may reserve it again.
	for _, pos := range places[sent:] {
		now := s.Now()
		s.hand(result{leg: l, pos: pos, waited: true, obs: s.unknown(l.order.At(pos), now, "the scan was stopped before it asked")})
	}
	l.hand(to)
	l.sent(from)
	return err
}

// sendEach asks one target after the other, so that the ticks tell when. It
// returns how many were dealt with.
func (s *Scan) sendEach(ctx context.Context, l *leg, places []uint64) (int, error) {
	for i := 0; i < len(places); {
		target := l.order.At(places[i])
		s.count.send(1)
		n, err := s.Prober.Batch(ctx, []netip.AddrPort{target})
		if n > 0 {
			l.hand(places[i] + 1)
			i++
		} else {
			s.count.unsend()
		}
		if errors.Is(err, probe.ErrHold) {
			// The pause may end; an address that was excluded meanwhile is the
			// gate's business.
			_, err = s.ready(ctx, target.Addr())
		}
		if err != nil {
			return i, err
		}
	}
	return len(places), nil
}

// interrupted takes up what an earlier process of this run left behind: hosts
// that were reserved and whose waiting did not end. Whether they called is not
// known, and they wait for the next run. All others that were reserved are
// done. It returns the first position that was not reserved.
func (s *Scan) interrupted(l *leg) (next uint64) {
	pos := l.begin
	done := func(to uint64) {
		for ; pos < to; pos++ {
			s.count.finish()
			s.hand(result{leg: l, pos: pos})
		}
	}
	next = l.handed
	for _, b := range l.left {
		done(b.From)
		l.reserve(b.From, b.To, int(b.To-min(pos, b.To)))
		l.sent(b.From)
		for ; pos < b.To; pos++ {
			s.hand(s.leftBehind(l, pos, b))
		}
	}
	done(next)
	return next
}

// leftBehind is what is known of a position in a batch that an earlier process
// left behind.
func (s *Scan) leftBehind(l *leg, pos uint64, b exposure.Batch) result {
	r := result{leg: l, pos: pos, waited: true}
	target := l.order.At(pos)
	if _, done := l.kept[pos]; done {
		s.count.finish()
	} else if s.forbidden(target.Addr()) {
		s.count.unsend()
		s.leave(target, l.transport)
	} else {
		// Nobody knows when the waiting ended, but it began after this.
		r.obs = s.unknown(target, b.Reserved, "the scan was ended before it could know")
	}
	return r
}

// unknown is the observation of a host of which the run cannot know whether it
// calls.
func (s *Scan) unknown(target netip.AddrPort, at time.Time, reason string) exposure.Observation {
	return exposure.Observation{
		V: exposure.Version, ID: exposure.NewID(s.Run.ID, target, exposure.UDP, exposure.ProbeBrowse, 0),
		Observed: at.UTC(), Received: s.Now().UTC(), Run: s.Run.ID, Source: cmp.Or(s.Source, exposure.Scan), Vantage: s.Run.Vantage,
		Addr: target.Addr(), Port: target.Port(), Transport: exposure.UDP, Probe: exposure.ProbeBrowse,
		Verdict: exposure.Interrupted, Reason: reason,
	}
}

func (l *leg) hand(next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handed = max(l.handed, next)
}

func (l *leg) reserve(from, to uint64, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, &batch{from: from, to: to, left: waiting})
}

func (l *leg) sent(from uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		if b.from == from {
			b.sent = true
		}
	}
}

// finish marks a position as done.
func (l *leg) finish(pos uint64, waited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pos >= l.finished {
		l.ahead[pos] = struct{}{}
	}
	for {
		if _, ok := l.ahead[l.finished]; !ok {
			break
		}
		delete(l.ahead, l.finished)
		l.finished++
	}
	if !waited {
		return
	}
	for _, b := range l.batches {
		if b.from <= pos && pos < b.to {
			b.left--
			return
		}
	}
}

// settled removes and returns the batches whose waiting has ended.
func (l *leg) settled() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var from []uint64
	open := l.batches[:0]
	for _, b := range l.batches {
		if b.sent && b.left <= 0 {
			from = append(from, b.from)
		} else {
			open = append(open, b)
		}
	}
	l.batches = open
	return from
}

// tick returns where the leg is. The time is that of no earlier position.
func (l *leg) tick(now func() time.Time) exposure.Tick {
	l.mu.Lock()
	defer l.mu.Unlock()
	return exposure.Tick{At: now(), Handed: l.handed, Finished: l.finished}
}
