package archive

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// AppendCensuses keeps the censuses that the archive does not have yet, as
// [Archive.AppendVisits] does with visits.
func (a *Archive) AppendCensuses(ctx context.Context, censuses []exposure.Census) (added int, err error) {
	for part := range slices.Chunk(censuses, visitBatch) {
		if err := ctx.Err(); err != nil {
			return added, fmt.Errorf("append censuses: %w", err)
		}
		n := 0
		err := a.change(ctx, func(ctx context.Context, w *writer) error {
			n = 0
			for i := range part {
				one, err := w.census(ctx, &part[i])
				if err != nil {
					return fmt.Errorf("census %q: %w", part[i].ID, err)
				}
				n += one
			}
			return nil
		})
		if err != nil {
			return added, fmt.Errorf("append %d censuses to %s: %w", len(part), a.path, err)
		}
		added += n
	}
	return added, nil
}

func (w *writer) census(ctx context.Context, c *exposure.Census) (int, error) {
	switch {
	case c.ID == "":
		return 0, errNoID
	case c.Began.Year() < 1970 || c.Began.Year() > 2200:
		return 0, errNoTime
	}
	body, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	return inserted(w.exec(ctx, `INSERT INTO census (id, began, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		form.AppendID(nil, c.ID), c.Began.UnixNano(), body))
}

// Censuses yields what sensors counted from a time up to another one, in the
// order of time; a zero time is no bound. Only the operator sees it. An error is
// the last that it yields.
func (a *Archive) Censuses(ctx context.Context, view access.View, from, to time.Time) iter.Seq2[exposure.Census, error] {
	return func(yield func(exposure.Census, error) bool) {
		if view.Tier != access.Operator {
			return
		}
		query, args := `SELECT body FROM census WHERE began >= ?`, []any{nanoseconds(from)}
		if !to.IsZero() {
			query, args = query+` AND began < ?`, append(args, nanoseconds(to))
		}
		rows, err := a.read.QueryContext(ctx, query+` ORDER BY began, id`, args...)
		if err != nil {
			yield(exposure.Census{}, fmt.Errorf("read censuses of %s: %w", a.path, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var c exposure.Census
			var body sql.RawBytes
			err := rows.Scan(&body)
			if err == nil {
				err = json.Unmarshal(body, &c)
			}
			if err != nil {
				yield(c, fmt.Errorf("read censuses of %s: %w", a.path, err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(exposure.Census{}, fmt.Errorf("read censuses of %s: %w", a.path, err))
		}
	}
}

// bareCensuses takes the addresses and hosts out of the censuses before a time.
// The counts stay, as those of days do.
func (a *Archive) bareCensuses(ctx context.Context, before int64) error {
	for {
		var ids, bodies [][]byte
		err := a.each(ctx, `SELECT id, body FROM census WHERE began < ? AND (json_extract(body, '$.top_sources') IS NOT NULL OR json_extract(body, '$.top_hosts') IS NOT NULL) LIMIT ?`,
			[]any{before, pruneRows}, func(rows *sql.Rows) error {
				var id, body []byte
				var c exposure.Census
				if err := rows.Scan(&id, &body); err != nil {
					return err
				}
				if err := json.Unmarshal(body, &c); err != nil {
					return err
				}
				c.TopSources, c.TopHosts = nil, nil
				body, err := json.Marshal(&c)
				ids, bodies = append(ids, id), append(bodies, body)
				return err
			})
		if err != nil || len(ids) == 0 {
			return err
		}
		err = a.change(ctx, func(ctx context.Context, w *writer) error {
			for i := range ids {
				if _, err := w.exec(ctx, `UPDATE census SET body = ? WHERE id = ?`, bodies[i], ids[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
