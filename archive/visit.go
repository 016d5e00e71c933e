package archive

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// visitBatch is how many visits are written in one transaction.
const visitBatch = 256

// AppendVisits keeps the visits that the archive does not have yet, known by
// their ids, and says how many those were. When it fails, what was added stays:
// the same call may be made again.
func (a *Archive) AppendVisits(ctx context.Context, visits []exposure.Visit) (added int, err error) {
	for part := range slices.Chunk(visits, visitBatch) {
		if err := ctx.Err(); err != nil {
			return added, fmt.Errorf("append visits: %w", err)
		}
		n := 0
		err := a.change(ctx, func(ctx context.Context, w *writer) error {
			n = 0
			for i := range part {
				one, err := w.visit(ctx, &part[i])
				if err != nil {
					return fmt.Errorf("visit %q of %s: %w", part[i].ID, part[i].Addr, err)
				}
				n += one
			}
			return nil
		})
		if err != nil {
			return added, fmt.Errorf("append %d visits to %s: %w", len(part), a.path, err)
		}
		added += n
	}
	return added, nil
}

func (w *writer) visit(ctx context.Context, v *exposure.Visit) (int, error) {
	switch {
	case v.ID == "":
		return 0, errNoID
	case v.Observed.Year() < 1970 || v.Observed.Year() > 2200:
		return 0, errNoTime
	case len(v.Addr.Zone()) > 64:
		return 0, errZone
	}
	body, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return inserted(w.exec(ctx, `INSERT INTO visit (id, observed, addr, source, kind, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		form.AppendID(nil, v.ID), v.Observed.UnixNano(), form.AddrBytes(v.Addr), blob(v.Source), blob(v.Kind), body))
}

// A VisitQuery narrows which visits are read. Zero fields do not narrow.
type VisitQuery struct {
	From, To time.Time // From <= Observed < To
	Source   exposure.Source
	Kind     exposure.VisitKind
	Sensor   string
	Newest   bool       // the last first; not with After
	Addr     netip.Addr // of the stranger
	Limit    int
	After    VisitPlace // go on behind this one; zero: from the start
}

// A VisitPlace is a place in the order of visits, behind one of them.
type VisitPlace struct {
	At time.Time
	ID exposure.ID
}

// Visits yields the visits that the view may see, in the order of time: a
// constituent's are those that carry an address of its networks, and the public
// sees none. An error is the last that it yields.
func (a *Archive) Visits(ctx context.Context, view access.View, q VisitQuery) iter.Seq2[exposure.Visit, error] {
	return func(yield func(exposure.Visit, error) bool) {
		if view.Tier == access.Public {
			return
		}
		query, args := visitSelect(q)
		rows, err := a.read.QueryContext(ctx, query, args...)
		if err != nil {
			yield(exposure.Visit{}, fmt.Errorf("read visits of %s: %w", a.path, err))
			return
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			v, err := scanVisit(rows)
			if err != nil {
				yield(exposure.Visit{}, fmt.Errorf("read visits of %s: %w", a.path, err))
				return
			}
			if !view.Sees(v.Addr, v.Observed) {
				continue
			}
			n++
			if !yield(v, nil) || n == q.Limit {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(exposure.Visit{}, fmt.Errorf("read visits of %s: %w", a.path, err))
		}
	}
}

// visitSelect is the query in SQL, without what only the view can say.
func visitSelect(q VisitQuery) (query string, args []any) {
	where := clause{parts: []string{`observed >= ?`}, args: []any{nanoseconds(q.From)}}
	if !q.To.IsZero() {
		where.and(`observed < ?`, nanoseconds(q.To))
	}
	if q.Source != "" {
		where.and(`source = ?`, blob(q.Source))
	}
	if q.Kind != "" {
		where.and(`kind = ?`, blob(q.Kind))
	}
	if q.Sensor != "" {
		where.and(`json_extract(CAST(body AS TEXT), '$.sensor') = ?`, q.Sensor)
	}
	if q.Addr.IsValid() {
		where.and(`addr = ?`, form.AddrBytes(q.Addr))
	}
	if !q.After.At.IsZero() {
		where.and(`(observed, id) > (?, ?)`, nanoseconds(q.After.At), form.AppendID(nil, q.After.ID))
	}
	order := ` ORDER BY observed, id`
	if q.Newest {
		order = ` ORDER BY observed DESC, id DESC`
	}
	return `SELECT body FROM visit WHERE ` + strings.Join(where.parts, ` AND `) + order, where.args
}

func scanVisit(rows *sql.Rows) (v exposure.Visit, err error) {
	var body sql.RawBytes
	if err := rows.Scan(&body); err != nil {
		return v, err
	}
	err = json.Unmarshal(body, &v)
	return v, err
}
