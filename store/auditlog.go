package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"
	"time"

	"ippwatch/access"
)

// An AuditFilter narrows the audit log. The zero filter takes all.
type AuditFilter struct {
	Since, Before time.Time
	Who, What     string // exactly
	Text          string // is in the detail
	Order         AuditOrder
	Up            bool  // from the oldest, from A to Z
	After         int64 // go on behind this entry, in the order
	Size          int   // 0: all
}

// An AuditOrder is what the audit log is ordered by. What is alike in it is
// ordered by time, in the same direction.
type AuditOrder string

// Orders of the audit log; each has an index.
const (
	AuditByTime AuditOrder = ""
	AuditByWho  AuditOrder = "who"
	AuditByWhat AuditOrder = "what"
)

// A Noted action has its place in the audit log.
type Noted struct {
	Seq int64
	Action
}

// auditPage is how many entries are read at once.
const auditPage = 500

// AuditLog returns what was done, the newest first unless the filter has another
// order; nothing to a view that may not
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
			rows, err := s.auditRows(ctx, where, f, after)
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

// page is the query for one page of the log.
func (f AuditFilter) page(where term, after int64) (term, error) {
	columns, behind := "seq", "seq"
	switch f.Order {
	case AuditByTime:
	case AuditByWho, AuditByWhat:
		columns = string(f.Order) + ", seq"
		behind = fmt.Sprintf("(%s, seq)", f.Order)
	default:
		return term{}, fmt.Errorf("order %q: there is none", f.Order)
	}
	than, way := "<", " DESC"
	if f.Up {
		than, way = ">", ""
	}
	if after > 0 {
		if f.Order == AuditByTime {
			where = both(where, term{"seq " + than + " ?", []any{after}})
		} else {
			where = both(where, term{fmt.Sprintf("%s %s ((SELECT %s FROM audit WHERE seq = ?), ?)", behind, than, f.Order), []any{after, after}})
		}
	}
	q := "SELECT seq, at, who, what, detail FROM audit"
	if where.text != "" {
		q += " WHERE " + where.text
	}
	q += " ORDER BY " + strings.ReplaceAll(columns, ",", way+",") + way
	return term{q + fmt.Sprintf(" LIMIT %d", auditPage), where.args}, nil
}

func (s *Store) auditRows(ctx context.Context, where term, f AuditFilter, after int64) ([]Noted, error) {
	q, err := f.page(where, after)
	if err != nil {
		return nil, err
	}
	return rowsOf(ctx, s, q, func(rows *sql.Rows) (n Noted, err error) {
		var at instant
		err = rows.Scan(&n.Seq, &at, &n.Who, &n.What, &n.Detail)
		n.At = at.Time
		return n, err
	})
}
