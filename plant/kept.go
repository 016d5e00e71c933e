package plant

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"sync"
	"time"

	"ippwatch/gate"
	"ippwatch/schedule"
	"ippwatch/web"
)

// A kept value is computed beside the requests: who asks gets the last one, and
// waits a moment only when there is none.
type kept[T any] struct {
	mu      sync.Mutex // guards the rest
	value   T
	at      time.Time // when it was computed; zero: never
	took    time.Duration
	err     error
	failed  time.Time
	running chan struct{} // closed when the computation ends; nil: none
}

const (
	// patience is how long a request waits for a first value.
	patience = 3 * time.Second
	// again is how long after a failure it is tried again.
	again = 10 * time.Second
	// share: what takes a second is computed every twenty at most.
	share = 20
)

// get returns the value, and begins a new computation when it is older than
// maxAge. ready is false while there is none yet.
func (k *kept[T]) get(ctx context.Context, p *Plant, maxAge time.Duration, compute func(ctx context.Context, last T) (T, error)) (value T, at time.Time, ready bool, err error) {
	now := p.Now()
	k.mu.Lock()
	stale := k.at.IsZero() || now.Sub(k.at) > max(maxAge, share*k.took)
	if stale && k.running == nil && p.ctx.Err() == nil && (k.failed.IsZero() || now.Sub(k.failed) > again) {
		done := make(chan struct{})
		k.running = done
		last := k.value
		p.beside.Go(func() {
			began := time.Now()
			value, err := compute(p.ctx, last)
			k.mu.Lock()
			defer k.mu.Unlock()
			k.running, k.took = nil, time.Since(began)
			if k.err = err; err == nil {
				k.value, k.at, k.failed = value, p.Now(), time.Time{}
			} else {
				k.failed = p.Now()
				if p.ctx.Err() == nil {
					p.Log.Error("cannot compute what a page shows", "err", err.Error())
				}
			}
			close(done)
		})
	}
	running, had := k.running, !k.at.IsZero()
	k.mu.Unlock()
	if !had && running != nil {
		wait := time.NewTimer(patience)
		defer wait.Stop()
		select {
		case <-running:
		case <-wait.C:
		case <-ctx.Done():
			return value, at, false, ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at.IsZero() {
		return k.value, k.at, false, k.err
	}
	return k.value, k.at, true, nil
}

// list reads one page of a table whose rows are all in memory; done: it was sent
// as a file.
func (p *Plant) list(w http.ResponseWriter, r *http.Request, v *gate.Visit, t *web.Table, all func(web.Query) ([]web.Row, error)) (l *web.Listing, done bool, err error) {
	rows := func(q web.Query) iter.Seq2[web.Row, error] {
		found, err := all(q)
		if err != nil {
			return func(yield func(web.Row, error) bool) { yield(web.Row{}, err) }
		}
		return web.Few(t, found)(q)
	}
	return p.site.Part(w, r, v, t, rows)
}

// few reads one page of a table of these rows.
func (p *Plant) few(w http.ResponseWriter, r *http.Request, v *gate.Visit, t *web.Table, rows []web.Row) (l *web.Listing, done bool, err error) {
	return p.site.Part(w, r, v, t, web.Few(t, rows))
}

// orderProblem says why an order was not taken.
func orderProblem(kind string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, schedule.ErrNotRun):
		return &gate.Problem{Status: 409, Code: "not-run", Detail: "this daemon does not run the job " + kind, Hint: "the configuration plans it, or names what it needs: scope"}
	case errors.Is(err, schedule.ErrWaiting):
		return &gate.Problem{Status: 409, Code: "waiting", Detail: "the same is waiting already"}
	case errors.Is(err, schedule.ErrTooMany):
		return &gate.Problem{Status: 409, Code: "many-wait", Detail: "too many orders wait for the job " + kind}
	}
	return err
}
