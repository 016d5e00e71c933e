package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	"ippwatch/access"
)

// An AuditFilter narrows the audit log. The zero filter takes all.
type AuditFilter struct {
	Since, Before time.Time
	Who, What     string // exactly
	Text          string // is in the detail
	After         int64  // go on behind this entry, towards the past
	Size          int    // 0: all
}

// A Noted action has its place in the audit log.
type Noted struct {
	Seq int64
	Action
}

// auditPage is how many entries are read at once.
const auditPage = 500

// AuditLog returns what was done, the newest first; nothing to a view that may not
// read it. It ends at the first error.
func (s *Store) AuditLog(ctx context.Context, v access.View, f AuditFilter) iter.Seq2[Noted, error] {
	return func(yield func(Noted, error) bool) {
		if !v.May(access.Audit) {
			return
		}
		where := term{}
		for _, b := range []struct {
			at   time.Time
			text string
		}{{f.Since, "at >= ?"}, {f.Before, "at < ?"}} {
			if !b.at.IsZero() {
				where = both(where, term{b.text, []any{b.at.UnixNano()}})
			}
		}
		for _, b := range []struct{ text, value string }{{"who = ?", f.Who}, {"what = ?", f.What}, {"instr(lower(detail), lower(?)) > 0", f.Text}} {
			if b.value != "" {
				where = both(where, term{b.text, []any{b.value}})
			}
		}
		left := f.Size
		for after := f.After; ; {
			rows, err := s.auditRows(ctx, where, after)
			if err != nil {
				yield(Noted{}, fmt.Errorf("read audit log: %w", explain(err)))
				return
			}
			for _, n := range rows {
				if !yield(n, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
				after = n.Seq
			}
			if len(rows) < auditPage {
				return
			}
		}
	}
}

func (s *Store) auditRows(ctx context.Context, where term, after int64) ([]Noted, error) {
	if after > 0 {
		where = both(where, term{"seq < ?", []any{after}})
	}
	q := "SELECT seq, at, who, what, detail FROM audit"
	if where.text != "" {
		q += " WHERE " + where.text
	}
	rows, err := s.reads.QueryContext(ctx, q+fmt.Sprintf(" ORDER BY seq DESC LIMIT %d", auditPage), where.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Noted
	for rows.Next() {
		var n Noted
		var at instant
		if err := rows.Scan(&n.Seq, &at, &n.Who, &n.What, &n.Detail); err != nil {
			return nil, err
		}
		n.At = at.Time
		all = append(all, n)
	}
	return all, rows.Err()
}
