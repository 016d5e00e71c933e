package archive

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// retagRows is how many observations get new tags in one transaction.
const retagRows = 128

// Retag judges every kept observation that the query asks for again, run by
// run, and keeps the new tags; it says how many changed. It reads and judges
// outside of its short write transactions, and may be stopped and begun again.
// Limit and After of the query do not count here.
func (a *Archive) Retag(ctx context.Context, q Query, judge func(*exposure.Observation) []exposure.Finding) (changed int, err error) {
	runs := []string{q.Run}
	if q.Run == "" {
		if runs, err = a.runs(ctx); err != nil {
			return 0, fmt.Errorf("judge again: list runs: %w", err)
		}
	}
	q.Limit, q.After = 0, ""
	for _, q.Run = range runs {
		n, err := a.retagRun(ctx, q, judge)
		changed += n
		if err != nil {
			return changed, fmt.Errorf("judge run %s again: %w", q.Run, err)
		}
	}
	return changed, nil
}

func (a *Archive) runs(ctx context.Context) ([]string, error) {
	var names []string
	err := a.each(ctx, `SELECT name FROM run ORDER BY id`, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

func (a *Archive) retagRun(ctx context.Context, q Query, judge func(*exposure.Observation) []exposure.Finding) (changed int, err error) {
	var stale []retagging
	for rec, err := range a.Observations(ctx, access.View{Tier: access.Operator}, q) {
		if err != nil {
			return changed, err
		}
		tags := tagsOf(judge(&rec.Observation))
		if tags == tagBody(rec.Worst, rec.Tags) {
			continue
		}
		if stale = append(stale, retagging{rec, tags}); len(stale) < retagRows {
			continue
		}
		n, err := a.retag(ctx, stale)
		changed += n
		if err != nil {
			return changed, err
		}
		stale = stale[:0]
	}
	n, err := a.retag(ctx, stale)
	return changed + n, err
}

type retagging struct {
	Record
	tags string
}

func (a *Archive) retag(ctx context.Context, stale []retagging) (changed int, err error) {
	err = a.change(ctx, func(ctx context.Context, w *writer) error {
		changed = 0
		days := make(map[int64]bool)
		for i := range stale {
			did, err := w.retag(ctx, &stale[i])
			if err != nil {
				return err
			}
			if did {
				changed++
				days[dayNumber(time.Unix(0, stale[i].ref.at))] = true
			}
		}
		return w.touch(ctx, days, nil)
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

// retag gives one observation the face with the new tags, unless its tags were
// changed since it was read.
func (w *writer) retag(ctx context.Context, r *retagging) (bool, error) {
	was, err := w.tagset(ctx, tagBody(r.Worst, r.Tags))
	if err != nil {
		return false, err
	}
	// It may have been pruned meanwhile, and its content with it.
	var there int
	err = w.scan(ctx, `SELECT count(*) FROM observation o JOIN face f ON f.id = o.face
		WHERE o.run = ? AND o.key = ? AND f.content = ? AND f.place = ?`, []any{r.ref.run, r.ref.raw, r.ref.content, r.ref.place}, &there)
	if err != nil || there == 0 {
		return false, err
	}
	row := row{o: &r.Observation, kind: kindOf(&r.Observation), tags: r.tags}
	var content []byte
	if err := w.scan(ctx, `SELECT hash FROM content WHERE id = ?`, []any{r.ref.content}, &content); err != nil {
		return false, err
	}
	if len(content) != len(hash{}) {
		return false, form.ErrTorn
	}
	row.content = hash(content)
	row.hash = row.faceHash(new(form.Sink))
	face, err := w.retaggedFace(ctx, r, row.hash)
	if err != nil {
		return false, err
	}
	res, err := w.exec(ctx, `UPDATE observation SET face = ? WHERE run = ? AND key = ?
		AND (SELECT tags FROM face WHERE id = observation.face) = ?`, face, r.ref.run, r.ref.raw, was)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func (w *writer) retaggedFace(ctx context.Context, r *retagging, h hash) (int64, error) {
	tags, err := w.tagset(ctx, r.tags)
	if err != nil {
		return 0, err
	}
	return w.entry(ctx, `SELECT id FROM face WHERE hash = ?`, []any{h[:]},
		w.newFaces.one, []any{nil, h[:], r.ref.content, r.ref.place, r.ref.kind, tags})
}
