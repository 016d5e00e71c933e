package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Span narrows the history. The zero Span takes all of it.
type Span struct {
	Since, Until time.Time    // Since <= at < Until; zero: no bound
	Key          exposure.Key // of one exposure; zero: of all
}

// Transitions returns the steps of exposures that the view may see, the oldest
// first. It ends at the first error.
func (s *Store) Transitions(ctx context.Context, v access.View, f Span) iter.Seq2[exposure.Transition, error] {
	return func(yield func(exposure.Transition, error) bool) {
		if v.Tier == access.Public {
			return
		}
		arg := transitionsSinceParams{AfterAt: -1, AfterSeq: -1, Until: endOfTime(), N: page}
		if !f.Since.IsZero() {
			arg.AfterAt = instant{f.Since}.nanoseconds()
		}
		if !f.Until.IsZero() {
			arg.Until = instant{f.Until}
		}
		shown := make(firsts)
		for {
			rows, err := s.history(ctx, f.Key, arg)
			if err != nil {
				yield(exposure.Transition{}, fmt.Errorf("read history: %w", explain(err)))
				return
			}
			for _, row := range rows {
				w, ok := v.Window(row.Addr.Addr, row.At.Time)
				if ok && !yield(shown.clip(row.transition(), w), nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
			end := rows[page-1]
			arg.AfterAt, arg.AfterSeq = end.At.nanoseconds(), end.Seq
		}
	}
}

func (s *Store) history(ctx context.Context, k exposure.Key, arg transitionsSinceParams) ([]transitionRow, error) {
	if k == (exposure.Key{}) {
		return s.read.transitionsSince(ctx, arg)
	}
	return s.read.transitionsOf(ctx, transitionsOfParams{
		Addr: address{k.Addr}, Transport: string(k.Transport), Port: int64(k.Port), Rule: k.Rule,
		AfterAt: arg.AfterAt, AfterSeq: arg.AfterSeq, Until: arg.Until, N: arg.N,
	})
}

func transitionParams(t exposure.Transition) putTransitionParams {
	return putTransitionParams{
		Addr: address{t.Addr}, Transport: string(t.Transport), Port: int64(t.Port), Rule: t.Rule,
		Axis: string(t.Axis), Was: t.From, Became: t.To, Cycle: int64(t.Cycle),
		Actor: t.Actor, Evidence: t.Evidence, At: instant{t.At},
	}
}

func (row transitionRow) transition() exposure.Transition {
	return exposure.Transition{
		Key: exposure.Key{
			Addr: row.Addr.Addr, Transport: exposure.Transport(row.Transport), Port: uint16(row.Port), Rule: row.Rule,
		},
		Axis: exposure.Axis(row.Axis), From: row.Was, To: row.Became, Cycle: int(row.Cycle),
		Actor: row.Actor, Evidence: row.Evidence, At: row.At.Time,
	}
}

// TransitionsSince returns the steps since the given time that the view may
// see, as [Store.Transitions] does.
func (s *Store) TransitionsSince(ctx context.Context, v access.View, since time.Time) iter.Seq2[exposure.Transition, error] {
	return s.Transitions(ctx, v, Span{Since: since})
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
	q := term{"SELECT axis, was, became, count(*) FROM transitions WHERE at >= ? GROUP BY axis, was, became", []any{instant{since}.nanoseconds()}}
	all, err := rowsOf(ctx, s, q, func(rows *sql.Rows) (c StepCount, err error) {
		err = rows.Scan(&c.Axis, &c.From, &c.To, &c.N)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count steps: %w", explain(err))
	}
	return all, nil
}
