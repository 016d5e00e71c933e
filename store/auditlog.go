package store

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
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

// A StepCount is how often cases took one step.
type StepCount struct {
	Axis     exposure.Axis
	From, To string
	N        int64
}

// StepCounts counts the steps since the time; nothing to a view below operator.
func (s *Store) StepCounts(ctx context.Context, v access.View, since time.Time) ([]StepCount, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.reads.QueryContext(ctx, "SELECT axis, was, became, count(*) FROM transitions WHERE at >= ? GROUP BY axis, was, became", instant{since}.nanoseconds())
	if err != nil {
		return nil, fmt.Errorf("count steps: %w", explain(err))
	}
	defer rows.Close()
	var all []StepCount
	for rows.Next() {
		var c StepCount
		if err := rows.Scan(&c.Axis, &c.From, &c.To, &c.N); err != nil {
			return nil, fmt.Errorf("count steps: %w", explain(err))
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count steps: %w", explain(err))
	}
	return all, nil
}

// CasesOfDevice returns cases of the device that says that this is its uuid, as
// far as the view may see them.
func (s *Store) CasesOfDevice(ctx context.Context, v access.View, device string, limit int) ([]exposure.Exposure, error) {
	rows, err := s.caseRows(ctx, "exposures INDEXED BY exposures_device", term{"device = ? AND device <> ''", []any{strings.ToLower(device)}}, fmt.Sprintf(" LIMIT %d", limit))
	if err != nil {
		return nil, fmt.Errorf("read cases of a device: %w", explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read cases of a device: %w", explain(err))
	}
	return out, nil
}

// CasesSaying returns cases whose evidence or host name has the text in it, upper
// and lower case alike, as far as the view may see them: that is how a printer's
// name is found. It reads all cases of the view until there are enough.
func (s *Store) CasesSaying(ctx context.Context, v access.View, text string, limit int) ([]exposure.Exposure, error) {
	if v.Tier != access.Operator {
		var out []exposure.Exposure
		text = strings.ToLower(text)
		for e, err := range s.Exposures(ctx, v, Filter{}) {
			if err != nil {
				return out, err
			}
			if strings.Contains(strings.ToLower(e.Evidence), text) || strings.Contains(strings.ToLower(e.Where.Hostname), text) {
				if out = append(out, e); len(out) == limit {
					break
				}
			}
		}
		return out, nil
	}
	rows, err := s.caseRows(ctx, "exposures", term{
		"moved_to = '' AND (instr(lower(evidence), lower(?)) > 0 OR instr(lower(hostname), lower(?)) > 0)", []any{text, text},
	}, fmt.Sprintf(" LIMIT %d", limit))
	if err != nil {
		return nil, fmt.Errorf("read cases that say %q: %w", text, explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read cases that say %q: %w", text, explain(err))
	}
	return out, nil
}
