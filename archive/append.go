package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"ippwatch/archive/form"
	"ippwatch/exposure"
)

var (
	errNoID   = errors.New("no id")
	errNoTime = errors.New("no time, or one that nanoseconds since 1970 cannot hold")
	errZone   = errors.New("the zone of the address is too long")
)

// Batches of a write transaction: their size follows the time that the last one
// took, so that no writer holds the database for more than a tenth of a second.
const (
	leastBatch = 64
	firstBatch = 256
	mostBatch  = 512
	aimBatch   = 40 * time.Millisecond
)

// Append keeps the observations that the archive does not have yet, known by
// their ids, and says how many those were. When it fails, what was added
// stays: the same call may be made again. Times come back in UTC; of findings
// only the rule ids and the worst severity are kept.
func (a *Archive) Append(ctx context.Context, observations []exposure.Observation) (added int, err error) {
	order := make([]*exposure.Observation, len(observations))
	for i := range observations {
		o := &observations[i]
		if err := valid(o); err != nil {
			return 0, fmt.Errorf("append observation %q of %s: %w", o.ID, o.Target(), err)
		}
		order[i] = o
	}
	// In the order of the keys, neighbours fill the same page.
	slices.SortStableFunc(order, func(x, y *exposure.Observation) int {
		return cmp.Or(cmp.Compare(x.Run, y.Run), x.Addr.Compare(y.Addr))
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writer == nil {
		return 0, fmt.Errorf("append observations: %w", errClosed)
	}
	// While one batch is written, the next is made ready.
	w := a.writer
	w.ready = w.prepare(w.ready, w.next(&order))
	for len(w.ready) > 0 {
		if err := ctx.Err(); err != nil {
			return added, fmt.Errorf("append observations: %w", err)
		}
		batch := w.ready
		var wg sync.WaitGroup
		part := w.next(&order)
		wg.Go(func() { w.ready = w.prepare(w.spare, part) })
		count, err := w.appendRows(ctx, batch)
		wg.Wait()
		for i := range batch {
			batch[i].o = nil // the caller's
		}
		w.spare = batch
		if err != nil {
			return added, fmt.Errorf("append %d observations to %s: %w", len(batch), a.path, err)
		}
		added += count
	}
	return added, nil
}

// next cuts the next batch off order.
func (w *writer) next(order *[]*exposure.Observation) []*exposure.Observation {
	n := min(w.batch, len(*order))
	part := (*order)[:n]
	*order = (*order)[n:]
	return part
}

func valid(o *exposure.Observation) error {
	switch {
	case o.ID == "":
		return errNoID
	case o.Observed.Year() < 1970 || o.Observed.Year() > 2200:
		return errNoTime
	case len(o.Addr.Zone()) > 64:
		return errZone
	}
	return nil
}

// A row is an observation made ready to be written.
type row struct {
	o        *exposure.Observation
	observed int64 // Unix nanoseconds
	parts    form.Parts
	content  hash // of its stable part
	hash     hash // of its face
	kind     kind
	tags     string      // the body of its tag set
	id       exposure.ID // if it does not follow from the rest
}

// A preparer makes rows ready, for one goroutine.
type preparer struct {
	splitter form.Splitter
	scratch  form.Sink
}

// prepare does all that needs no database, on every processor. The rows are
// written over those of a former batch.
func (w *writer) prepare(rows []row, order []*exposure.Observation) []row {
	rows = slices.Grow(rows[:0], len(order))[:len(order)]
	workers := min(len(w.preparers), 1+len(order)/64)
	var wg sync.WaitGroup
	for i := range workers {
		from, to := i*len(rows)/workers, (i+1)*len(rows)/workers
		wg.Go(func() {
			for j := from; j < to; j++ {
				w.preparers[i].prepare(&rows[j], order[j])
			}
		})
	}
	wg.Wait()
	return rows
}

func (p *preparer) prepare(r *row, o *exposure.Observation) {
	if max(cap(r.parts.Stable), cap(r.parts.Moving)) > form.MaxBase {
		r.parts = form.Parts{} // one long body is not kept for ever
	}
	p.splitter.Split(&r.parts, o)
	*r = row{
		o:        o,
		observed: o.Observed.UnixNano(),
		parts:    r.parts,
		content:  hashOf(r.parts.Stable),
		kind:     kindOf(o),
		tags:     tagsOf(o.Findings),
	}
	if o.ID != exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt) {
		r.id = o.ID
	}
	r.hash = r.faceHash(&p.scratch)
}

// appendRows writes rows in one transaction and returns how many were new.
func (w *writer) appendRows(ctx context.Context, rows []row) (added int, err error) {
	err = w.immediately(ctx, func(ctx context.Context) error {
		defer w.pace(len(rows), time.Now())
		added = 0
		faces, err := w.faces(ctx, rows)
		if err != nil {
			return err
		}
		days := make(map[int64]bool)
		spans := make(map[string]*span)
		for i := range rows {
			r := &rows[i]
			run, err := w.run(ctx, r.o.Run, r.observed)
			if err != nil {
				return err
			}
			door, err := w.door(ctx, r.o)
			if err != nil {
				return err
			}
			if r.id != "" {
				fresh, err := w.addKnown(ctx, form.AppendID(nil, r.id))
				if err != nil {
					return err
				}
				if !fresh {
					continue
				}
			}
			key := form.Key{Addr: r.o.Addr, Door: door, Attempt: r.o.Attempt, ID: r.id}
			n, err := w.observations.add(ctx, run.id, key.Append(nil), r.observed-run.base, faces[i], []byte(r.parts.Moving))
			if err != nil {
				return err
			}
			added += n
			days[dayNumber(r.o.Observed)] = true
			s := spans[r.o.Run]
			if s == nil {
				s = &span{id: run.id, first: math.MaxInt64, last: math.MinInt64}
				spans[r.o.Run] = s
			}
			s.first, s.last = min(s.first, r.observed), max(s.last, r.observed)
		}
		n, err := w.observations.flush(ctx)
		if added += n; added == 0 || err != nil {
			return err
		}
		return w.touch(ctx, days, spans)
	})
	return added, err
}

// A span is the time that the observations of a run cover.
type span struct{ id, first, last int64 }

// touch marks the days for the next rollup and widens the spans of the runs.
func (w *writer) touch(ctx context.Context, days map[int64]bool, spans map[string]*span) error {
	for day := range days {
		if _, err := w.exec(ctx, `INSERT INTO day (day, changed, rolled) VALUES (?, 1, 0)
			ON CONFLICT (day) DO UPDATE SET changed = changed + 1`, day); err != nil {
			return err
		}
	}
	for _, s := range spans {
		if _, err := w.exec(ctx, `UPDATE run SET first = min(first, ?), last = max(last, ?) WHERE id = ?`, s.first, s.last, s.id); err != nil {
			return err
		}
	}
	return nil
}

// pace sets the size of the batches to come from the time that n rows took.
func (w *writer) pace(n int, began time.Time) {
	if took := time.Since(began); took > aimBatch {
		w.batch = max(leastBatch, int(float64(n)*float64(aimBatch)/float64(took)))
	} else if n >= w.batch {
		w.batch = min(mostBatch, w.batch*3/2)
	}
}
