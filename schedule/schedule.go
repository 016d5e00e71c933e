// Package schedule runs jobs at the times of the clock that a configuration
// names: one at a time of a kind, in however many processes, and once after a stop.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"ippwatch/exposure"
)

const (
	// DefaultLease is how long the holder of a lease may give no sign of life.
	DefaultLease = 15 * time.Second
	// beats is how many signs of life fall into a lease.
	beats = 5
	// wakeEvery bounds each sleep, because the clock may be set meanwhile and a
	// machine may have slept.
	wakeEvery = 20 * time.Second
	// late is how much later than planned a job begins that was not missed.
	late = time.Minute
	// mostAttempts bounds how often a job that did not end is begun again at
	// once: one that takes the daemon down with it waits for its next time.
	mostAttempts = 5
)

// ErrTimeLimit is why a job was ended that took longer than it may.
var ErrTimeLimit = errors.New("the time limit")

var (
	errDrained = errors.New("the daemon was stopped")
	errLost    = errors.New("another process has taken the job over")
)

// A Store keeps states and leases. Every method is one short transaction.
type Store interface {
	Job(ctx context.Context, kind string) (exposure.Job, bool, error)
	Lease(ctx context.Context, kind string) (exposure.Lease, bool, error)
	// Claim takes the lease and writes down that the job begins. It reports false
	// if the lease is held, unless by a holder that has not gone beyond stale, or
	// if the job is at another time of its plan than was.
	Claim(ctx context.Context, c exposure.Claim) (bool, error)
	// Beat gives a sign of life; it reports false if the lease is not held.
	Beat(ctx context.Context, kind, holder string, at time.Time) (bool, error)
	// Mark writes down where the job would go on.
	Mark(ctx context.Context, kind, holder, mark string) error
	// Finish writes down how the job ended and gives the lease back. Without the
	// lease it does nothing.
	Finish(ctx context.Context, holder string, j exposure.Job) error
	// Pass writes down that the times of the plan up to due are dealt with, if
	// nobody runs the job.
	Pass(ctx context.Context, kind string, due time.Time, note string) error
}

// A Turn is one run of a job.
type Turn struct {
	Due time.Time
	// Order is what somebody asked for beside the plan; nil: the plan did.
	Order *Order
	// Resumed: the run before did not end. Mark is where it said it would go on.
	Resumed bool
	Mark    string
	// Remember writes a new mark down.
	Remember func(ctx context.Context, mark string) error
	Log      *slog.Logger
}

// A Job is a kind of work and when it is done.
type Job struct {
	Kind    string
	Plan    Plan // the zero Plan: it runs when it is ordered, and never else
	CatchUp bool
	Jitter  time.Duration
	Limit   time.Duration // 0: none
	Now     bool          // it also runs when the scheduler begins
	// Work does it and says in a sentence what came of it. When the context ends
	// it stops as soon as it cleanly can.
	Work func(ctx context.Context, t Turn) (note string, err error)
}

// A Scheduler runs jobs. New is inert.
type Scheduler struct {
	Jobs   []Job
	Store  Store
	Holder string // names this process
	Now    func() time.Time
	Log    *slog.Logger
	Lease  time.Duration // 0: DefaultLease
	// Began and Ended are told of every run; they may be nil.
	Began func(kind string)
	Ended func(j exposure.Job, err error)

	mu     sync.Mutex // guards orders
	orders map[string][]Order
	bells  map[string]chan struct{}
}

// Run runs every job at its times until the context ends, and returns when those
// that were running have stopped.
func (s *Scheduler) Run(ctx context.Context) {
	if s.Lease == 0 {
		s.Lease = DefaultLease
	}
	var jobs sync.WaitGroup
	for i := range s.Jobs {
		k := keeper{Scheduler: s, job: s.Jobs[i], log: s.Log.With("job", s.Jobs[i].Kind), bell: s.bell(s.Jobs[i].Kind)}
		jobs.Go(func() { k.keep(ctx) })
	}
	jobs.Wait()
}

// A keeper keeps one kind of job.
type keeper struct {
	*Scheduler
	job  Job
	log  *slog.Logger
	bell <-chan struct{} // rings when there is an order

	begun    bool      // the run at the beginning was made
	jitterOf time.Time // the time of the plan
	jitter   time.Duration

	watched exposure.Lease // of another holder
	since   time.Time
}

// keep waits and works until the context ends.
func (k *keeper) keep(ctx context.Context) {
	announced := time.Time{}
	for ctx.Err() == nil {
		nap, err := k.look(ctx, &announced)
		if err != nil && ctx.Err() == nil {
			k.log.Error("cannot look at the schedule", "err", err.Error())
			nap = wakeEvery
		}
		k.rest(ctx, nap)
	}
}

func (k *keeper) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-k.bell:
	}
}

// look does what is to be done now, and returns how long there is nothing else.
func (k *keeper) look(ctx context.Context, announced *time.Time) (time.Duration, error) {
	stale, held, err := k.lease(ctx)
	if err != nil || held {
		return min(wakeEvery, k.Lease/beats), err
	}
	st, known, err := k.Store.Job(ctx, k.job.Kind)
	if err != nil {
		return 0, err
	}
	now := k.Now()
	t := k.job.next(st, known, now)
	if k.job.Now && !k.begun && !t.resumed {
		t = todo{do: run, at: now, why: "it is asked for"}
	}
	switch t.do {
	case pass:
		k.log.Info("not run", "why", t.why)
		return 0, k.Store.Pass(ctx, k.job.Kind, now, t.why)
	case wait:
		at := t.at.Add(k.spread(t.at))
		if left := at.Sub(now); left > 0 {
			if order := k.waiting(k.job.Kind); order != nil {
				// The plan goes on as if it had not been: what it is about to do may be
				// more than was asked for.
				t = todo{do: run, at: st.Due, order: order, why: "it was ordered by " + order.Who}
				break
			}
			if k.job.Plan.spec == nil {
				return min(left, wakeEvery), nil
			}
			if !announced.Equal(at) {
				*announced = at
				k.log.Info("waits", "next", at.In(k.job.Plan.Zone()).Format(time.RFC3339))
			}
			return min(left, wakeEvery), nil
		}
	case run:
	}
	c := exposure.Claim{Kind: k.job.Kind, Holder: k.Holder, Was: st.Due, Due: t.at, At: now, Stale: stale}
	got, err := k.Store.Claim(ctx, c)
	if err != nil || !got {
		return min(wakeEvery, k.Lease/beats), err
	}
	k.begun = true
	if t.order != nil {
		k.taken(k.job.Kind)
	}
	k.work(ctx, st, c, t)
	return 0, nil
}

// lease tells whether another process runs the job, and returns its lease if
// that process has given no sign of life for as long as we have watched.
func (k *keeper) lease(ctx context.Context) (stale *exposure.Lease, held bool, err error) {
	l, held, err := k.Store.Lease(ctx, k.job.Kind)
	if err != nil || !held {
		k.watched = exposure.Lease{}
		return nil, false, err
	}
	if l.Holder != k.watched.Holder || l.Beats != k.watched.Beats {
		k.watched, k.since = l, time.Now()
		return nil, true, nil
	}
	if time.Since(k.since) < k.Lease { // monotonic
		return nil, true, nil
	}
	k.log.Warn("the process that ran it is gone", "holder", l.Holder, "last_sign", l.Beat)
	return &l, false, nil
}

// What is to be done about a job.
const (
	wait = iota
	run
	pass
)

type todo struct {
	do      int
	at      time.Time // of the plan
	resumed bool
	order   *Order
	why     string
}

// next decides; it is all there is to decide.
func (j *Job) next(st exposure.Job, known bool, now time.Time) todo {
	switch {
	case !known || st.Due.IsZero():
		if j.Plan.spec == nil {
			return todo{do: pass, why: "it is new: it runs when it is ordered"}
		}
		return todo{do: pass, why: "it is new: it waits for its first time"}
	case (st.State == exposure.Running || st.State == exposure.Stopped) && st.Attempts < mostAttempts:
		return todo{do: run, at: st.Due, resumed: true}
	case j.Plan.spec == nil:
		return todo{do: wait, at: now.Add(wakeEvery)}
	}
	if st.Due.After(now) && j.Plan.Next(now).Before(st.Due) {
		return todo{do: pass, why: "the clock was set back"}
	}
	at := j.Plan.Next(st.Due)
	switch missed := now.Sub(at); {
	case missed <= late+j.Jitter:
		return todo{do: wait, at: at}
	case j.CatchUp:
		return todo{do: run, at: now, why: "catches up"}
	}
	return todo{do: pass, why: "its time was missed by " + now.Sub(at).Round(time.Second).String() + ", and it is not to catch up"}
}

// spread returns by how much this process is later than planned.
func (k *keeper) spread(at time.Time) time.Duration {
	if !k.jitterOf.Equal(at) && k.job.Jitter > 0 {
		k.jitterOf, k.jitter = at, rand.N(k.job.Jitter) //nolint:gosec // nobody gains by guessing it
	}
	return k.jitter
}

// work runs the job and writes down how it ended.
func (k *keeper) work(ctx context.Context, before exposure.Job, c exposure.Claim, t todo) {
	if k.Began != nil {
		k.Began(c.Kind)
	}
	k.log.Info("begins", "due", c.Due, "resumed", t.resumed, "why", t.why)
	// The context of the job ends for a reason, and what is written about it
	// afterwards is written in any case.
	whole := context.WithoutCancel(ctx)
	working, end := context.WithCancelCause(whole)
	defer end(nil)
	defer context.AfterFunc(ctx, func() { end(errDrained) })()
	if k.job.Limit > 0 {
		limit := time.AfterFunc(k.job.Limit, func() {
			end(fmt.Errorf("not done after %s: %w", k.job.Limit, ErrTimeLimit))
		})
		defer limit.Stop()
	}
	var beating sync.WaitGroup
	alive, dead := context.WithCancel(whole)
	beating.Go(func() { k.beat(alive, end) })

	st := exposure.Job{Kind: c.Kind, Due: c.Due, Started: c.At, Succeeded: before.Succeeded, Mark: before.Mark, Attempts: before.Attempts + 1}
	if !t.resumed {
		st.Attempts = 1
	}
	if t.order != nil {
		st.Mark = "" // what an earlier run left is not what was ordered
	}
	note, err := k.attempt(working, Turn{
		Due: c.Due, Order: t.order, Resumed: t.resumed, Mark: st.Mark, Log: k.log,
		Remember: func(ctx context.Context, mark string) error {
			st.Mark = mark
			return k.Store.Mark(context.WithoutCancel(ctx), c.Kind, k.Holder, mark)
		},
	})
	dead()
	beating.Wait()
	st.Ended, st.Note = k.Now(), note
	switch cause := context.Cause(working); {
	case err == nil:
		st.State, st.Succeeded, st.Mark, st.Attempts = exposure.Done, st.Ended, "", 0
	case errors.Is(cause, errDrained):
		// A daemon that is told to stop is no daemon that was brought down.
		st.State, st.Note, st.Attempts = exposure.Stopped, err.Error(), before.Attempts
	case cause != nil:
		err = fmt.Errorf("%w: %w", cause, err)
		st.State, st.Note = exposure.JobFailed, err.Error()
	default:
		st.State, st.Note = exposure.JobFailed, err.Error()
	}
	if t.order != nil && st.State == exposure.JobFailed {
		st.Mark = "" // the plan does not go on with a part
	}
	// An order may be for a part of what the plan would do: it takes no time of
	// the plan's.
	if st.State != exposure.Stopped && t.order == nil && k.job.Plan.spec != nil && !k.job.Plan.Next(st.Due).After(st.Ended) {
		k.log.Warn("its next time passed while it ran", "planned", k.job.Plan.Next(st.Due))
		st.Due = st.Ended
	}
	if failed := k.Store.Finish(whole, k.Holder, st); failed != nil {
		k.log.Error("cannot write down how it ended", "err", failed.Error())
	}
	k.tell(st, err)
}

func (k *keeper) tell(st exposure.Job, err error) {
	took := st.Ended.Sub(st.Started).Round(time.Millisecond).String()
	switch st.State {
	case exposure.JobFailed:
		k.log.Error("failed", "took", took, "err", st.Note)
	default:
		k.log.Info(string(st.State), "took", took, "note", st.Note)
	}
	if k.Ended != nil {
		k.Ended(st, err)
	}
}

// attempt runs the work; a panic of one job is not the end of the others.
func (k *keeper) attempt(ctx context.Context, t Turn) (note string, err error) {
	defer func() {
		if p := recover(); p != nil {
			k.log.Error("panic", "value", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return k.job.Work(ctx, t)
}

// beat gives signs of life until the job has ended, and ends the job when it
// cannot: another process would take it over.
func (k *keeper) beat(ctx context.Context, end context.CancelCauseFunc) {
	ticks := time.NewTicker(k.Lease / beats)
	defer ticks.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		held, err := k.Store.Beat(ctx, k.job.Kind, k.Holder, k.Now())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && held:
			last = time.Now()
		case err == nil:
			end(errLost)
			return
		case time.Since(last) >= k.Lease:
			end(fmt.Errorf("no sign of life could be written: %w", err))
			return
		}
	}
}
