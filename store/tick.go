package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"ippwatch/exposure"
)

// Tick keeps how far a leg is. A leg that rests costs no row, and one that
// moves costs one a second, so that a scan of weeks stays small.
func (s *Store) Tick(ctx context.Context, l exposure.Leg, t exposure.Tick) error {
	what := fmt.Sprintf("keep tick of run %s, %s", l.Run, l.Probe)
	if t.Handed > math.MaxInt64 || t.Finished > math.MaxInt64 {
		return fmt.Errorf("%s: position %d is too large", what, max(t.Handed, t.Finished))
	}
	return s.change(ctx, what, func(q *Queries) error {
		next := putTickParams{
			RunID: l.Run, Probe: string(l.Probe), At: instant{t.At}, Until: instant{t.At},
			Handed: int64(t.Handed), Finished: int64(t.Finished),
		}
		was, err := q.lastTick(ctx, lastTickParams{RunID: l.Run, Probe: string(l.Probe)})
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case was.Handed == next.Handed && was.Finished == next.Finished:
			next.Seq, next.At = was.Seq, was.At
		case was.At.Equal(was.Until.Time) && was.At.Unix() == t.At.Unix() && was.Handed <= next.Handed:
			next.Seq = was.Seq
		default:
			next.Seq = was.Seq + 1
		}
		return q.putTick(ctx, next)
	})
}

// LastTick returns the last tick of the leg, and false if it has none.
func (s *Store) LastTick(ctx context.Context, l exposure.Leg) (exposure.Tick, bool, error) {
	row, err := s.read.lastTick(ctx, lastTickParams{RunID: l.Run, Probe: string(l.Probe)})
	if errors.Is(err, sql.ErrNoRows) {
		return exposure.Tick{}, false, nil
	}
	if err != nil {
		return exposure.Tick{}, false, fmt.Errorf("read last tick of run %s, %s: %w", l.Run, l.Probe, explain(err))
	}
	return tick(row.Until.Time, row.Handed, row.Finished), true, nil
}

// A Passage is one time that a leg went past a position: it was handed to the
// engine between the two ticks. Before is zero if the leg had just begun.
type Passage struct{ Before, After exposure.Tick }

// Ticks returns the passages of a position: none if it was not handed to the
// engine, and more than one if a resumed leg went over it again.
func (s *Store) Ticks(ctx context.Context, l exposure.Leg, position uint64) ([]Passage, error) {
	if position > math.MaxInt64 {
		return nil, nil // Tick keeps none as large
	}
	rows, err := s.read.passages(ctx, passagesParams{RunID: l.Run, Probe: string(l.Probe), Position: int64(position)})
	if err != nil {
		return nil, fmt.Errorf("read ticks of run %s, %s: %w", l.Run, l.Probe, explain(err))
	}
	var out []Passage
	for _, row := range rows {
		out = append(out, Passage{
			Before: tick(row.BeforeUntil.Time, row.BeforeHanded, row.BeforeFinished),
			After:  tick(row.At.Time, row.Handed, row.Finished),
		})
	}
	return out, nil
}

func tick(at time.Time, handed, finished int64) exposure.Tick {
	return exposure.Tick{At: at, Handed: uint64(handed), Finished: uint64(finished)}
}
