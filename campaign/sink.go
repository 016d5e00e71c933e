package campaign

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"ippwatch/exposure"
)

const (
	// flushEvery bounds what a kill -9 can lose; a position counts as finished
	// only after its observation was stored.
	flushEvery = 250 * time.Millisecond
	flushAt    = 256
	tickEvery  = time.Second
	// resultsAhead may wait for the sink.
	resultsAhead = 256
	// leastRoom is how many conversations may at least be in flight or have an
	// answer that waits to be kept, at some 30 kB each.
	leastRoom = 512
)

// A load is results on their way into the records.
type load struct {
	results []result
	kept    []exposure.Observation // judged: those of the results that are kept
}

// sink is the one place where observations become records: one load is
// judged while the one before is written. It ends when the engines have ended and
// everything was kept. Its own context has no end; work is that of the engines,
// for what need not be waited for after a stop.
func (s *Scan) sink(ctx, work context.Context, legs []*leg, cancel context.CancelCauseFunc) {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	judged := make(chan load)
	var writing sync.WaitGroup
	writing.Go(func() { s.write(ctx, legs, judged, cancel) })
	defer writing.Wait()
	defer close(judged)
	var pending []result
	// Also of nothing: batches may be settled since.
	pass := func() {
		judged <- s.judge(work, pending)
		pending = nil
	}
	for {
		select {
		case r, open := <-s.results:
			if !open {
				pass()
				return
			}
			if pending = append(pending, r); len(pending) >= flushAt {
				pass()
			}
		case <-flush.C:
			pass()
		}
	}
}

// write keeps the loads in their order, and once a second how far it is.
func (s *Scan) write(ctx context.Context, legs []*leg, judged <-chan load, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	failed := false
	try := func(f func() error) {
		if failed {
			return
		}
		if err := f(); err != nil {
			// From here nothing is marked as done, so that a resumed run asks
			// again; what the engines still hand in must not block them.
			failed = true
			cancel(err)
		}
	}
	for {
		select {
		case d, open := <-judged:
			if !open {
				return
			}
			try(func() error { return s.keep(ctx, legs, d) })
			for i := range d.results {
				if d.results[i].room {
					<-s.room
				}
			}
		case <-tick.C:
			try(func() error { return s.tick(ctx, legs) })
		}
	}
}

// judge says what is to be kept of the results, where that is and what is wrong
// with it, and counts all of them.
func (s *Scan) judge(work context.Context, results []result) load {
	d := load{results: results, kept: make([]exposure.Observation, 0, len(results))}
	from := make([]int, 0, len(results))
	for i := range results {
		o := &results[i].obs
		if o.V == 0 {
			continue
		}
		s.hear(o)
		if s.keeps(o) {
			d.kept = append(d.kept, *o)
			from = append(from, i)
		}
	}
	if len(d.kept) > 0 {
		s.Where(work, d.kept)
	}
	for i := range d.kept {
		s.count.touch(&d.kept[i])
		d.kept[i].Findings = s.Judge(&d.kept[i])
		results[from[i]].obs.Findings = d.kept[i].Findings
	}
	for i := range results {
		if results[i].obs.V != 0 {
			s.count.add(&results[i].obs, results[i].late)
		}
	}
	return d
}

// keep stores and emits a load, then marks its positions as finished.
func (s *Scan) keep(ctx context.Context, legs []*leg, d load) error {
	if len(d.kept) > 0 {
		if err := s.record(ctx, d.kept); err != nil {
			return err
		}
		if s.Emit != nil {
			if err := s.Emit(d.kept); err != nil {
				return fmt.Errorf("write observations: %w", err)
			}
		}
	}
	for i := range d.results {
		if d.results[i].late {
			continue
		}
		if l, pos := place(legs, &d.results[i]); l != nil {
			l.finish(pos, d.results[i].waited)
		}
	}
	return s.settle(ctx, legs)
}

// record writes a batch into the archive and into the cases, which are two
// files and need not wait for each other. What only one of them got before a
// crash, the other gets when the run is resumed.
func (s *Scan) record(ctx context.Context, kept []exposure.Observation) error {
	var folding sync.WaitGroup
	var folded error
	folding.Go(func() { folded = s.fold(ctx, kept) })
	_, err := s.Archive.Append(ctx, kept)
	folding.Wait()
	if err != nil {
		return fmt.Errorf("keep observations: %w", err)
	}
	if folded != nil {
		return fmt.Errorf("fold into cases: %w", folded)
	}
	return nil
}

// keeps says whether an observation is worth a record. Silence of an unknown
// address is not: the ticks of the run remember that it was asked.
func (s *Scan) keeps(o *exposure.Observation) bool {
	return s.KeepAll || o.Verdict.Spoke() || o.Verdict == exposure.Interrupted || s.Known(o.Target(), o.Transport)
}

// hear notes a door with a case that was not silent.
func (s *Scan) hear(o *exposure.Observation) {
	if !silence(o.Verdict) && s.Known(o.Target(), o.Transport) {
		s.heard.add(o.Target(), o.Transport)
	}
}

// silence reports whether nothing at all came back.
func silence(v exposure.Verdict) bool {
	return v == exposure.NoAnswer || v == exposure.NoCallback
}

// settle writes down the batches whose waiting has ended. The tick comes first:
// a position below it that is in no unsettled batch is done.
func (s *Scan) settle(ctx context.Context, legs []*leg) error {
	for _, l := range legs {
		settled := l.settled()
		if len(settled) == 0 {
			continue
		}
		if err := s.tick(ctx, []*leg{l}); err != nil {
			return err
		}
		for _, from := range settled {
			if err := s.Store.Settle(ctx, s.Run.ID, from, s.Now()); err != nil {
				return fmt.Errorf("settle batch: %w", err)
			}
		}
	}
	return nil
}

// tick writes down where the legs are, also when they rest: the last tick of a
// run tells when it was alive, and narrows the time at which a host was asked.
func (s *Scan) tick(ctx context.Context, legs []*leg) error {
	for _, l := range legs {
		if err := s.Store.Tick(ctx, l.id, l.tick(s.Now)); err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
	}
	return nil
}

// place finds the position of a result; what the prober hands in has none yet.
func place(legs []*leg, r *result) (*leg, uint64) {
	if r.leg != nil {
		return r.leg, r.pos
	}
	target := r.at
	if r.obs.V != 0 {
		target = r.obs.Target()
	}
	for _, l := range legs {
		if l.transport == exposure.UDP {
			if pos, ok := l.order.Position(target); ok {
				return l, pos
			}
		}
	}
	return nil, 0
}

// doors are those with a case at which the run met anything but
// silence, or was not allowed to wait for it.
type doors struct {
	mu sync.Mutex
	by map[door]struct{}
}

type door struct {
	target netip.AddrPort
	tr     exposure.Transport
}

func (h *doors) add(target netip.AddrPort, tr exposure.Transport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = make(map[door]struct{})
	}
	h.by[door{target, tr}] = struct{}{}
}

func (h *doors) has(target netip.AddrPort, tr exposure.Transport) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.by[door{target, tr}]
	return ok
}
