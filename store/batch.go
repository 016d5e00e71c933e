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

// Reserve keeps, before anything is sent, that the positions from <= position <
// to of the run's UDP leg are about to be. It refuses a position that was
// reserved before: a host gets one packet a run (DESIGN.md, rule 2).
func (s *Store) Reserve(ctx context.Context, run string, from, to uint64, at time.Time) error {
	what := fmt.Sprintf("reserve positions %d to %d of run %s", from, to, run)
	if from >= to || to > math.MaxInt64 {
		return fmt.Errorf("%s: not a range", what)
	}
	return s.change(ctx, what, func(q *Queries) error {
		// Batches do not overlap, so the last that begins below to tells.
		b, err := q.batchBelow(ctx, batchBelowParams{RunID: run, Lo: int64(to)})
		if err == nil && b.Hi > int64(from) {
			return fmt.Errorf("positions %d to %d are reserved already", b.Lo, b.Hi)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return q.reserve(ctx, reserveParams{RunID: run, Lo: int64(from), Hi: int64(to), Reserved: instant{at}})
	})
}

// MarkSent keeps that the batch that begins at from was sent.
func (s *Store) MarkSent(ctx context.Context, run string, from uint64, at time.Time) error {
	return s.change(ctx, fmt.Sprintf("mark batch %d of run %s sent", from, run), func(q *Queries) error {
		return touched(q.markSent(ctx, markSentParams{Sent: instant{at}, RunID: run, Lo: int64(from)}))
	})
}

// Settle keeps that the waiting for the batch that begins at from has ended and
// that every host in it has its verdict.
func (s *Store) Settle(ctx context.Context, run string, from uint64, at time.Time) error {
	return s.change(ctx, fmt.Sprintf("settle batch %d of run %s", from, run), func(q *Queries) error {
		return touched(q.settle(ctx, settleParams{Settled: instant{at}, RunID: run, Lo: int64(from)}))
	})
}

func touched(rows int64, err error) error {
	if err == nil && rows == 0 {
		err = errors.New("no such batch")
	}
	return err
}

// Unsettled returns the batches of the run whose hosts have no verdict, in
// order. If no scan is at work on the run, they were interrupted.
func (s *Store) Unsettled(ctx context.Context, run string) ([]exposure.Batch, error) {
	rows, err := s.read.unsettled(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("read unsettled batches of run %s: %w", run, explain(err))
	}
	var out []exposure.Batch
	for _, row := range rows {
		out = append(out, exposure.Batch{
			From: uint64(row.Lo), To: uint64(row.Hi),
			Reserved: row.Reserved.Time, Sent: row.Sent.Time, Settled: row.Settled.Time,
		})
	}
	return out, nil
}
