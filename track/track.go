// Package track follows exposures: it folds what was observed into cases that
// live for years.
package track

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"sync/atomic"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// How many exposures are changed in one write transaction, during which no other
// process can write: as many as fit into aim, by the time that the last ones took.
const (
	least = 300
	first = 500
	most  = 4000
	aim   = 120 * time.Millisecond
)

// lapseAfter is how long an exposure may go unseen before it lapses.
const lapseAfter = 60 * 24 * time.Hour

// Rules answer whether a hole is closed; package rule does.
type Rules interface {
	// Cleared reports whether the observation shows that the rule's hole is
	// closed, and why. It reports false if it cannot tell.
	Cleared(rule string, o *exposure.Observation) (cleared bool, why string)
}

// A Store keeps exposures; package store does.
type Store interface {
	// Apply lets fold change the exposures at the doors, and nobody else
	// meanwhile; since is when each entered its condition.
	Apply(ctx context.Context, doors []netip.AddrPort,
		fold func(prior []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition)) error
	// ExposuresIn returns all exposures in these conditions, in the order of
	// their keys. They may be changed while they are listed.
	ExposuresIn(ctx context.Context, v access.View, conditions ...exposure.Condition) iter.Seq2[exposure.Exposure, error]
	// AcceptedUntil returns the exposures whose risk was accepted until then.
	AcceptedUntil(ctx context.Context, at time.Time) ([]exposure.Exposure, error)
	// ExposuresUnseen returns all exposures in these conditions that were last
	// seen before the given time, in the order of their keys. They may be changed
	// while they are listed.
	ExposuresUnseen(ctx context.Context, v access.View, before time.Time, conditions ...exposure.Condition) iter.Seq2[exposure.Exposure, error]
	// TransitionsSince returns the steps since the given time, the oldest first.
	TransitionsSince(ctx context.Context, v access.View, since time.Time) iter.Seq2[exposure.Transition, error]
}

// A Tracker folds observations into the exposures of a store.
type Tracker struct {
	store Store
	judge Judge
	chunk *atomic.Int64 // exposures in the next transaction
}

// New returns a tracker whose observations come from runs without a control.
func New(s Store, r Rules) *Tracker {
	t := &Tracker{store: s, judge: Judge{Rules: r}, chunk: new(atomic.Int64)}
	t.chunk.Store(first)
	return t
}

// Controlled returns a tracker for the observations of runs in which other
// hosts answered as they should: see [Judge].
func (t *Tracker) Controlled(control func(*exposure.Observation) string, after time.Duration) *Tracker {
	c := *t
	c.judge.Control, c.judge.After = control, after
	return &c
}

// pace sets the size of the transactions to come from the time that one of n
// took.
func (t *Tracker) pace(n int, took time.Duration) {
	switch size := t.chunk.Load(); {
	case took > aim:
		t.chunk.Store(max(least, int64(float64(n)*float64(aim)/float64(took))))
	case int64(n) >= size:
		t.chunk.Store(min(most, size*3/2))
	}
}

// Fold folds judged observations into the store, in the order given. Folding an
// observation again changes nothing, so after an error all may be given again.
// The summary counts what was kept.
func (t *Tracker) Fold(ctx context.Context, observations []exposure.Observation) (Summary, error) {
	var sum Summary
	for len(observations) > 0 {
		n, weight := portion(observations, int(t.chunk.Load()))
		part, took, err := t.fold(ctx, observations[:n])
		if err != nil {
			return sum, fmt.Errorf("fold observations: %w", err)
		}
		t.pace(weight, took)
		part.Observations = n
		sum.add(part)
		observations = observations[n:]
	}
	return sum, nil
}

// portion returns how many of the observations, at least one, go into one
// transaction of a size, and what they weigh.
func portion(observations []exposure.Observation, size int) (n, weight int) {
	for n < len(observations) && weight < size {
		weight += 1 + len(observations[n].Findings)
		n++
	}
	return n, weight
}

// A door is where exposures are judged together.
type door struct {
	netip.AddrPort
	exposure.Transport
}

// fold also returns how long nobody else could write.
func (t *Tracker) fold(ctx context.Context, observations []exposure.Observation) (sum Summary, took time.Duration, err error) {
	doors := make([]netip.AddrPort, len(observations))
	for i := range observations {
		doors[i] = observations[i].Target()
	}
	var begun time.Time
	err = t.store.Apply(ctx, doors, func(known []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		begun = time.Now()
		prior := make(map[door]Prior, len(observations))
		at := func(d door) Prior {
			p, ok := prior[d]
			if !ok {
				p = make(Prior)
				prior[d] = p
			}
			return p
		}
		for _, e := range known {
			at(door{netip.AddrPortFrom(e.Addr, e.Port), e.Transport})[e.Key] = Known{e, since[e.Key]}
		}
		// A key is changed once, but by a door that was seen twice.
		changed := make([]exposure.Exposure, 0, 2*len(observations))
		place := make(map[exposure.Key]int, 2*len(observations))
		var steps []exposure.Transition
		for i := range observations {
			o := &observations[i]
			p := at(door{o.Target(), o.Transport})
			news, moved := Fold(p, o, t.judge)
			for _, k := range news {
				if k.TimesSeen > p[k.Key].TimesSeen {
					sum.Sightings++
				}
				p[k.Key] = k
				if n, again := place[k.Key]; again {
					changed[n] = k.Exposure
				} else {
					place[k.Key] = len(changed)
					changed = append(changed, k.Exposure)
				}
			}
			steps = append(steps, moved...)
		}
		for _, m := range steps {
			sum.count(m)
		}
		return changed, steps
	})
	return sum, time.Since(begun), err
}
