package store

import (
	"context"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// PutIntake writes down what became of a file of a feed, with the rows that
// were set aside, and how far the feed has come.
func (s *Store) PutIntake(ctx context.Context, in exposure.Intake, asides []exposure.Aside) error {
	return s.change(ctx, "note feed file "+in.File, func(q *Queries) error {
		for _, a := range asides {
			if err := q.putAside(ctx, putAsideParams{
				Hash: a.Hash, Source: string(a.Source), Type: a.Type, File: a.File,
				Line: int64(a.Line), Reason: a.Reason, Head: append([]byte{}, a.Row...), At: instant{a.At},
			}); err != nil {
				return err
			}
		}
		if !in.Day.IsZero() {
			if err := q.putFeedDay(ctx, putFeedDayParams{
				Source: string(in.Source), Type: in.Type, Day: instant{midnight(in.Day)}, Taken: instant{in.Ended},
			}); err != nil {
				return err
			}
		}
		if in.New == 0 && in.Ref == "" {
			if err := q.dropIdleIntake(ctx, dropIdleIntakeParams{
				Source: string(in.Source), Type: in.Type, File: in.File, Outcome: string(in.Outcome),
			}); err != nil {
				return err
			}
		}
		return q.putIntake(ctx, putIntakeParams{
			Source: string(in.Source), Type: in.Type, File: in.File, Ref: in.Ref,
			Begun: instant{in.Begun}, Ended: instant{in.Ended}, Outcome: string(in.Outcome), Error: in.Error,
			Rows: int64(in.Rows), Fresh: int64(in.New), Known: int64(in.Known), Other: int64(in.Other),
			Aside: int64(in.Aside), Day: instant{midnight(in.Day)},
		})
	})
}

func midnight(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(24 * time.Hour)
}

// Intakes returns the last files of feeds, the newest first; none to a view
// below operator.
func (s *Store) Intakes(ctx context.Context, v access.View, limit int) ([]exposure.Intake, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.intakes(ctx, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("read feed files: %w", explain(err))
	}
	var out []exposure.Intake
	for _, r := range rows {
		out = append(out, exposure.Intake{
			Source: exposure.Source(r.Source), Type: r.Type, File: r.File, Ref: r.Ref,
			Begun: r.Begun.Time, Ended: r.Ended.Time, Outcome: exposure.Outcome(r.Outcome), Error: r.Error,
			Rows: int(r.Rows), New: int(r.Fresh), Known: int(r.Known), Other: int(r.Other), Aside: int(r.Aside), Day: r.Day.Time,
		})
	}
	return out, nil
}

// HasIntake reports whether what the ref stands for was taken in, or parked,
// to its end.
func (s *Store) HasIntake(ctx context.Context, source exposure.Source, ref string) (bool, error) {
	found, err := s.read.hasIntake(ctx, hasIntakeParams{Source: string(source), Ref: ref})
	if err != nil {
		return false, fmt.Errorf("look for a feed file: %w", explain(err))
	}
	return found, nil
}

// Asides returns the rows of feeds that were set aside, the newest first; none
// to a view below operator.
func (s *Store) Asides(ctx context.Context, v access.View, limit int) ([]exposure.Aside, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.asides(ctx, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("read rows set aside: %w", explain(err))
	}
	var out []exposure.Aside
	for _, r := range rows {
		out = append(out, exposure.Aside{
			Source: exposure.Source(r.Source), Type: r.Type, File: r.File, Line: int(r.Line),
			Reason: r.Reason, Row: string(r.Head), At: r.At.Time, Hash: r.Hash,
		})
	}
	return out, nil
}

// PutParked writes down that a file waits until its type is known.
func (s *Store) PutParked(ctx context.Context, p exposure.ParkedFile) error {
	return s.change(ctx, "park feed file "+p.File, func(q *Queries) error {
		arg := putParkedParams{
			Digest: p.Digest, Source: string(p.Source), Type: p.Type, File: p.File, Bytes: p.Bytes, Reason: p.Reason, At: instant{p.At},
		}
		if p.Kept {
			arg.Kept = 1
		}
		return q.putParked(ctx, arg)
	})
}

// ParkedFiles returns the files that wait, the oldest first; none to a view
// below operator.
func (s *Store) ParkedFiles(ctx context.Context, v access.View) ([]exposure.ParkedFile, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.parked(ctx)
	if err != nil {
		return nil, fmt.Errorf("read parked files: %w", explain(err))
	}
	var out []exposure.ParkedFile
	for _, r := range rows {
		out = append(out, exposure.ParkedFile{
			Digest: r.Digest, Source: exposure.Source(r.Source), Type: r.Type, File: r.File,
			Bytes: r.Bytes, Kept: r.Kept != 0, Reason: r.Reason, At: r.At.Time,
		})
	}
	return out, nil
}

// DropParked forgets a file that waits no longer.
func (s *Store) DropParked(ctx context.Context, digest string) error {
	return s.change(ctx, "drop parked file "+digest, func(q *Queries) error { return q.dropParked(ctx, digest) })
}

// FeedAges returns, for each source and type, the last day for which data came;
// none to a view below operator.
func (s *Store) FeedAges(ctx context.Context, v access.View) ([]exposure.FeedAge, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.feedDays(ctx)
	if err != nil {
		return nil, fmt.Errorf("read ages of feeds: %w", explain(err))
	}
	var out []exposure.FeedAge
	for _, r := range rows {
		out = append(out, exposure.FeedAge{Source: exposure.Source(r.Source), Type: r.Type, Day: r.Day.Time, Taken: r.Taken.Time})
	}
	return out, nil
}
