package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// errHeld ends a transaction that finds the lease with another.
var errHeld = errors.New("the lease is held by another process")

// Job returns what is known of a kind of job, and false if it never was due.
func (s *Store) Job(ctx context.Context, kind string) (exposure.Job, bool, error) {
	row, err := s.read.jobOf(ctx, kind)
	if errors.Is(err, sql.ErrNoRows) {
		return exposure.Job{}, false, nil
	}
	if err != nil {
		return exposure.Job{}, false, fmt.Errorf("read job %s: %w", kind, explain(err))
	}
	return row.job(), true, nil
}

// Jobs returns all kinds that were ever due; none to a view below operator.
func (s *Store) Jobs(ctx context.Context, v access.View) ([]exposure.Job, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.jobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", explain(err))
	}
	var out []exposure.Job
	for _, row := range rows {
		out = append(out, row.job())
	}
	return out, nil
}

func (row jobRow) job() exposure.Job {
	return exposure.Job{
		Kind: row.Kind, Due: row.Due.Time, Started: row.Started.Time, Ended: row.Ended.Time, Succeeded: row.Succeeded.Time,
		State: exposure.RunState(row.Outcome), Note: row.Note, Mark: row.Mark, Attempts: int(row.Attempts),
	}
}

func jobParams(j exposure.Job) putJobParams {
	return putJobParams{
		Kind: j.Kind, Due: instant{j.Due}, Started: instant{j.Started}, Ended: instant{j.Ended}, Succeeded: instant{j.Succeeded},
		Outcome: string(j.State), Note: j.Note, Mark: j.Mark, Attempts: int64(j.Attempts),
	}
}

// Lease returns who runs a kind of job, and false if nobody does.
func (s *Store) Lease(ctx context.Context, kind string) (exposure.Lease, bool, error) {
	return lease(ctx, s.read, kind)
}

func lease(ctx context.Context, q *Queries, kind string) (exposure.Lease, bool, error) {
	row, err := q.leaseOf(ctx, kind)
	if errors.Is(err, sql.ErrNoRows) {
		return exposure.Lease{}, false, nil
	}
	if err != nil {
		return exposure.Lease{}, false, fmt.Errorf("read lease of %s: %w", kind, explain(err))
	}
	return row.lease(), true, nil
}

func (row leaseRow) lease() exposure.Lease {
	return exposure.Lease{Kind: row.Kind, Holder: row.Holder, Beats: row.Beats, Since: row.Since.Time, Beat: row.Beat.Time}
}

// Leases returns who runs what; nothing to a view below operator.
func (s *Store) Leases(ctx context.Context, v access.View) ([]exposure.Lease, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", explain(err))
	}
	var out []exposure.Lease
	for _, row := range rows {
		out = append(out, row.lease())
	}
	return out, nil
}

// Claim takes the lease of a kind and writes down that the job begins. It
// reports false if another holds the lease, or dealt with the job meanwhile.
func (s *Store) Claim(ctx context.Context, c exposure.Claim) (bool, error) {
	err := s.change(ctx, "claim job "+c.Kind, func(q *Queries) error {
		held, is, err := lease(ctx, q, c.Kind)
		switch {
		case err != nil:
			return err
		case is && (c.Stale == nil || held.Holder != c.Stale.Holder || held.Beats != c.Stale.Beats):
			return errHeld
		case is:
			if _, err := q.dropLease(ctx, dropLeaseParams{Kind: c.Kind, Holder: held.Holder}); err != nil {
				return err
			}
		}
		var j exposure.Job
		row, err := q.jobOf(ctx, c.Kind)
		if err == nil {
			j = row.job()
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if !j.Due.Equal(c.Was) {
			return errHeld
		}
		if j.State == exposure.Done || j.State == exposure.JobFailed {
			j.Attempts = 0
		}
		j.Kind, j.Due, j.Started, j.Ended, j.State, j.Note = c.Kind, c.Due, c.At, time.Time{}, exposure.Running, ""
		j.Attempts++
		if err := q.putJob(ctx, jobParams(j)); err != nil {
			return err
		}
		return q.putLease(ctx, putLeaseParams{Kind: c.Kind, Holder: c.Holder, Since: instant{c.At}, Beat: instant{c.At}})
	})
	if errors.Is(err, errHeld) {
		return false, nil
	}
	return err == nil, err
}

// Hold takes the lease of a kind for work that is not on the schedule, such as a
// command typed by hand. It reports false if another holds it.
func (s *Store) Hold(ctx context.Context, kind, holder string, at time.Time) (bool, error) {
	err := s.change(ctx, "take lease of "+kind, func(q *Queries) error {
		if _, is, err := lease(ctx, q, kind); err != nil || is {
			return errors.Join(err, errHeld)
		}
		return q.putLease(ctx, putLeaseParams{Kind: kind, Holder: holder, Since: instant{at}, Beat: instant{at}})
	})
	if errors.Is(err, errHeld) {
		return false, nil
	}
	return err == nil, err
}

// Release gives a lease back that [Store.Hold] has taken.
func (s *Store) Release(ctx context.Context, kind, holder string) error {
	return s.change(ctx, "give lease of "+kind+" back", func(q *Queries) error {
		_, err := q.dropLease(ctx, dropLeaseParams{Kind: kind, Holder: holder})
		return err
	})
}

// Beat gives a sign of life of the holder. It reports false if the lease is not
// its own any more.
func (s *Store) Beat(ctx context.Context, kind, holder string, at time.Time) (bool, error) {
	var n int64
	err := s.change(ctx, "beat for "+kind, func(q *Queries) (err error) {
		n, err = q.beatLease(ctx, beatLeaseParams{Beat: instant{at}, Kind: kind, Holder: holder})
		return err
	})
	return n > 0, err
}

// Mark writes down where a job goes on that does not end by itself.
func (s *Store) Mark(ctx context.Context, kind, holder, mark string) error {
	return s.change(ctx, "mark job "+kind, func(q *Queries) error {
		if held, is, err := lease(ctx, q, kind); err != nil || !is || held.Holder != holder {
			return errors.Join(err, errHeld)
		}
		return q.markJob(ctx, markJobParams{Mark: mark, Kind: kind})
	})
}

// Finish writes down how a job ended and gives its lease back. It does nothing
// if the lease is another's by now.
func (s *Store) Finish(ctx context.Context, holder string, j exposure.Job) error {
	return s.change(ctx, "finish job "+j.Kind, func(q *Queries) error {
		n, err := q.dropLease(ctx, dropLeaseParams{Kind: j.Kind, Holder: holder})
		if err != nil || n == 0 {
			return err
		}
		return q.putJob(ctx, jobParams(j))
	})
}

// Pass writes down that the times of the schedule up to due are dealt with,
// unless somebody runs the job.
func (s *Store) Pass(ctx context.Context, kind string, due time.Time, note string) error {
	return s.change(ctx, "pass job "+kind, func(q *Queries) error {
		if _, is, err := lease(ctx, q, kind); err != nil || is {
			return err
		}
		j := exposure.Job{Kind: kind}
		row, err := q.jobOf(ctx, kind)
		if err == nil {
			j = row.job()
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if j.State == exposure.Running || j.State == exposure.Stopped {
			j.State = exposure.JobFailed
		}
		j.Due, j.Note = due, note
		return q.putJob(ctx, jobParams(j))
	})
}

// Touch writes the time, to find out whether writing is possible.
func (s *Store) Touch(ctx context.Context, at time.Time) error {
	return s.change(ctx, "write to the store", func(q *Queries) error { return q.touch(ctx, instant{at}) })
}
