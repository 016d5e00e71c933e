package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"ippwatch/access"
)

// A CallKind is why a call-back was counted and not believed.
type CallKind string

// Kinds of calls that are not believed.
const (
	Forged   CallKind = "forged"   // the token was not made by us
	Expired  CallKind = "expired"  // its key was too old
	Replayed CallKind = "replayed" // it came more often than a cups-browsed calls
)

// Calls is how many calls of one kind came on one day.
type Calls struct {
	Day  string   `json:"day"` // 2026-11-23, UTC
	Kind CallKind `json:"kind"`
	N    uint64   `json:"n"`
}

// CountCalls counts n calls that are not believed.
func (s *Store) CountCalls(ctx context.Context, kind CallKind, n uint64, at time.Time) error {
	if n == 0 {
		return nil
	}
	what := fmt.Sprintf("count %d %s calls", n, kind)
	if n > math.MaxInt32 {
		return fmt.Errorf("%s: more than there can be", what)
	}
	return s.change(ctx, what, func(q *Queries) error {
		return q.countCalls(ctx, countCallsParams{Day: day(at), Kind: string(kind), N: int64(n)})
	})
}

// CallsSince returns the counts of the days since the given time; none to a
// view below operator.
func (s *Store) CallsSince(ctx context.Context, v access.View, since time.Time) ([]Calls, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.callsSince(ctx, day(since))
	if err != nil {
		return nil, fmt.Errorf("read counts of calls: %w", explain(err))
	}
	var out []Calls
	for _, row := range rows {
		out = append(out, Calls{Day: row.Day, Kind: CallKind(row.Kind), N: uint64(row.N)})
	}
	return out, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
