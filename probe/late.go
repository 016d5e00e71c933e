package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"ippwatch/callback"
	"ippwatch/exposure"
)

const (
	// LateAttempt is added to the attempt of a late observation: it is one of
	// its own, beside the silence that was observed before, and needs an id of
	// its own.
	LateAttempt = 2

	// quiet is how long nobody may have called before a late caller is
	// observed; the second burst of a call comes after 0.33 s (facts/cups.md 1.6).
	quiet   = 2 * time.Second
	maxLate = 1 << 16
)

// An Origin is what the observations of one run have in common.
type Origin struct {
	Run     string
	Source  exposure.Source
	Vantage string
	Wording Wording
}

// observation returns what is common to all observations of the target.
func (o Origin) observation(target netip.AddrPort, attempt uint8, verdict exposure.Verdict, at time.Time) exposure.Observation {
	return exposure.Observation{
		V:         exposure.Version,
		ID:        exposure.NewID(o.Run, target, exposure.UDP, exposure.ProbeBrowse, int(attempt)),
		Observed:  at.UTC(),
		Received:  time.Now().UTC(),
		Run:       o.Run,
		Source:    o.Source,
		Vantage:   o.Vantage,
		Addr:      target.Addr(),
		Port:      target.Port(),
		Transport: exposure.UDP,
		Probe:     exposure.ProbeBrowse,
		Attempt:   int(attempt),
		Verdict:   verdict,
	}
}

// called returns the observation of a host that called back for the packet of
// that attempt, sent at that time.
func (o Origin) called(target netip.AddrPort, attempt uint8, sent time.Time, tally *callback.Tally) exposure.Observation {
	obs := o.observation(target, attempt, exposure.CalledBack, tally.First())
	obs.Callback = tally.Callback(sent, o.Wording.Size(attempt))
	obs.Callback.Queue = o.Wording.Queue(attempt)
	obs.Simulated = tally.Simulated() && obs.Addr.IsLoopback()
	return obs
}

// A Late gathers calls for which nobody waits any more, and observes each
// caller once it is quiet. The campaign makes one for every run whose key is
// still kept, so that the call is credited to the run that asked.
type Late struct {
	origin  Origin
	observe func(exposure.Observation)

	mu      sync.Mutex
	callers map[lateCaller]*callback.Tally
	wake    chan struct{}
}

type lateCaller struct {
	target  netip.AddrPort
	attempt uint8
	sealed  time.Time
}

// NewLate returns a Late that hands its observations to observe, one at a time.
func NewLate(origin Origin, observe func(exposure.Observation)) *Late {
	return &Late{
		origin:  origin,
		observe: observe,
		callers: make(map[lateCaller]*callback.Tally),
		wake:    make(chan struct{}, 1),
	}
}

// Heard takes a call; it is a handler for [callback.Server.Credit].
func (l *Late) Heard(c callback.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := lateCaller{c.Token.Target, c.Token.Attempt, c.Token.Sealed}
	tally, known := l.callers[key]
	if !known {
		if len(l.callers) >= maxLate {
			return // so many within two seconds are not late callers
		}
		tally = &callback.Tally{}
		l.callers[key] = tally
	}
	tally.Add(c)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run observes callers until the context ends, and then those that are left.
func (l *Late) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			l.flush(time.Time{})
			return
		case <-l.wake:
		}
		for {
			next, more := l.flush(time.Now())
			if !more || sleepUntil(ctx, next) != nil {
				break
			}
		}
	}
}

// flush observes those who have been quiet for long enough at now, or all if
// now is zero. It returns when the next one will be.
func (l *Late) flush(now time.Time) (next time.Time, more bool) {
	var due []exposure.Observation
	l.mu.Lock()
	for key, tally := range l.callers {
		ripe := tally.Last().Add(quiet)
		if !now.IsZero() && now.Before(ripe) {
			if !more || ripe.Before(next) {
				next, more = ripe, true
			}
			continue
		}
		delete(l.callers, key)
		obs := l.origin.called(key.target, key.attempt, key.sealed, tally)
		obs.Callback.Late = true
		obs.Attempt += LateAttempt
		obs.ID = exposure.NewID(obs.Run, key.target, exposure.UDP, exposure.ProbeBrowse, obs.Attempt)
		due = append(due, obs)
	}
	l.mu.Unlock()
	for _, obs := range due {
		l.observe(obs)
	}
	return next, more
}
