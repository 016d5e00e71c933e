package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"ippwatch/archive"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/grab"
	"ippwatch/probe"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/space"
)

// newScan puts the engines together for a run. The function that it returns
// ends them.
func (s *street) newScan(ctx context.Context, h *house, f *scanFlags, run exposure.Run) (*campaign.Scan, func(), error) {
	set, guard, err := s.territory(ctx, h, run)
	if err != nil {
		return nil, nil, err
	}
	if err := raiseFiles(f.concurrency + spareFiles); err != nil {
		return nil, nil, err
	}
	where, err := f.where.open()
	if err != nil {
		return nil, nil, err
	}
	known, err := s.knownDoors(ctx, h)
	if err != nil {
		return nil, nil, errors.Join(err, where.Close())
	}
	pacer := probe.PerSecond(f.rate).PerNetwork(f.perNetwork)
	scan := &campaign.Scan{
		Run: run, Set: set, Guard: guard,
		Store: h.store, Archive: h.archive, Cases: h.tracker(), Pacer: pacer,
		Control: func(ctx context.Context) (bool, []netip.Prefix, error) {
			c, err := h.store.Control(ctx)
			return c.Paused, c.Excluded, err
		},
		Where: f.where.fill(where), Judge: rule.Judge,
		Known: func(target netip.AddrPort, tr exposure.Transport) bool {
			_, ok := known[doorKey{target, tr}]
			return ok
		},
		Kept:    func(ctx context.Context) iter.Seq2[exposure.Observation, error] { return s.kept(ctx, h, run.ID) },
		KeepAll: f.all, Concurrency: f.concurrency, Batch: max(f.rate/2, 1), // TCP shares the pace: about a second
		Now: s.now, Source: runSource(run),
	}
	if len(run.Ports) > 0 {
		scan.Grabber = grab.New(grab.Options{
			Run: run.ID, Source: runSource(run), Vantage: run.Vantage, Version: version(), Contact: run.ContactPoint,
			Timeout: f.timeout, Admin: f.admin, Jobs: f.jobs, Gate: guard,
		})
	}
	done := func() { _ = where.Close() }
	if !f.udp {
		return scan, done, nil
	}
	ended, err := s.addUDP(ctx, h, f, scan, pacer)
	if err != nil {
		done()
		return nil, nil, err
	}
	return scan, func() { ended(); done() }, nil
}

// droppedShown is how many of the networks that are left out are named.
const droppedShown = 10

// spareFiles are open files that are not conversations: databases, streams.
const spareFiles = 64

// territory is what a run may ask, and the guard over it.
func (s *street) territory(ctx context.Context, h *house, run exposure.Run) (space.Set, *space.Guard, error) {
	name := run.Options["scope"]
	scope, err := space.ParseScope(name, []byte(run.Scope))
	if err != nil {
		return space.Set{}, nil, err
	}
	if scope.Expired(s.now()) != nil {
		return space.Set{}, nil, hint(fmt.Errorf("%s: the authorisation expired at %s UTC", name, screen.Stamp(scope.Expires)),
			"begin a new scan with a scope that is authorised anew")
	}
	// The order of a resumed run is that of its beginning: what the store excludes
	// is the guard's business.
	set, dropped, err := scope.Set(run.Started, run.Targets, nil)
	if err != nil {
		return space.Set{}, nil, hint(err, "ippwatch scope check %s says what the scope has", shellWord(name))
	}
	if set.Len() == 0 {
		err := fmt.Errorf("%s: nothing is left to ask", name)
		for _, d := range dropped[:min(len(dropped), droppedShown)] {
			err = errors.Join(err, fmt.Errorf("not asked: %s", d))
		}
		return space.Set{}, nil, hint(err, "ippwatch scope check %s", shellWord(name))
	}
	for _, d := range dropped[:min(len(dropped), droppedShown)] {
		s.Note("not asked: %s", screen.Printable(d.String()))
	}
	if more := len(dropped) - droppedShown; more > 0 {
		s.Note("not asked: and %d more of the kind", more)
	}
	guard := space.NewGuard(scope, set)
	c, err := h.store.Control(ctx)
	if err != nil {
		return space.Set{}, nil, err
	}
	guard.SetPaused(c.Paused)
	guard.SetExcluded(c.Excluded)
	if c.Paused {
		s.Note("all sending is paused: the scan waits for %s", s.again("pause --off"))
	}
	return set, guard, nil
}

// kept are the observations of a run that the archive has already.
func (s *street) kept(ctx context.Context, h *house, run string) iter.Seq2[exposure.Observation, error] {
	return func(yield func(exposure.Observation, error) bool) {
		for r, err := range h.archive.Observations(ctx, s.view(), archive.Query{Run: run}) {
			if !yield(r.Observation, err) {
				return
			}
		}
	}
}

type doorKey struct {
	target netip.AddrPort
	tr     exposure.Transport
}

// knownDoors are the doors with an open case: what happens there is kept even
// when it is silence.
func (s *street) knownDoors(ctx context.Context, h *house) (map[doorKey]struct{}, error) {
	known := make(map[doorKey]struct{})
	open := []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen}
	for e, err := range h.store.ExposuresIn(ctx, s.view(), open...) {
		if err != nil {
			return nil, err
		}
		known[door(e.Key)] = struct{}{}
	}
	return known, nil
}
