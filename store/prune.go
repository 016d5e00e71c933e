package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/exposure"
)

// pruneRows is how many rows one transaction removes.
const pruneRows = 500

// closed are the conditions of cases that nobody works on.
var closed = []exposure.Condition{exposure.Fixed, exposure.Filtered, exposure.Lapsed}

func heldBy(held []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(held, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// PruneCases removes the cases that were closed before the given time, unless a
// human has ruled on one or its address is held. Like all its kind it works in
// short transactions, may be stopped and begun again, and with dry only counts.
func (s *Store) PruneCases(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	in, err := list(closed, nil)
	if err != nil {
		return sum, err
	}
	arg := closedBeforeParams{Conditions: in, Before: instant{before}, AfterSince: -1, AfterAddr: []byte{}, AfterPort: -1, N: pruneRows}
	for {
		rows, err := s.read.closedBefore(ctx, arg)
		if err != nil {
			return sum, fmt.Errorf("prune cases: %w", explain(err))
		}
		if len(rows) == 0 {
			return sum, nil
		}
		end := rows[len(rows)-1]
		arg.AfterSince, arg.AfterAddr, arg.AfterTransport = end.Since.nanoseconds(), end.Addr.bytes(), end.Transport
		arg.AfterPort, arg.AfterRule = end.Port, end.Rule
		all := len(rows)
		rows = slices.DeleteFunc(rows, func(r closedBeforeRow) bool { return heldBy(held, r.Addr.Addr) })
		sum.Held += int64(all - len(rows))
		if dry {
			sum.Removed += int64(len(rows))
			continue
		}
		var removed int64
		err = s.change(ctx, "prune cases", func(q *Queries) error {
			removed = 0
			for _, r := range rows {
				// Somebody may have seen it again meanwhile.
				n, err := q.dropExposure(ctx, dropExposureParams{
					Addr: r.Addr, Transport: r.Transport, Port: r.Port, Rule: r.Rule, Conditions: in, Before: instant{before},
				})
				if err != nil {
					return err
				}
				removed += n
			}
			return nil
		})
		if err != nil {
			return sum, err
		}
		sum.Removed += removed
	}
}

// PruneTransitions removes the steps before the given time of cases that are not
// open.
func (s *Store) PruneTransitions(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	in, err := list(closed, nil)
	if err != nil {
		return sum, err
	}
	arg := transitionsBeforeParams{Conditions: in, Before: instant{before}, After: -1, N: pruneRows}
	for {
		rows, err := s.read.transitionsBefore(ctx, arg)
		if err != nil {
			return sum, fmt.Errorf("prune transitions: %w", explain(err))
		}
		if len(rows) == 0 {
			return sum, nil
		}
		arg.After = rows[len(rows)-1].Seq
		var seqs []int64
		for _, r := range rows {
			switch {
			case r.Open != 0: // the history of an open case is no rest
			case heldBy(held, r.Addr.Addr):
				sum.Held++
			default:
				seqs = append(seqs, r.Seq)
			}
		}
		if !dry && len(seqs) > 0 {
			err := s.change(ctx, "prune transitions", func(q *Queries) error {
				for _, seq := range seqs {
					if _, err := q.dropTransition(ctx, seq); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return sum, err
			}
		}
		sum.Removed += int64(len(seqs))
	}
}

// PruneRuns removes the runs that began before the given time,
// with their ticks and batches, unless held says so of one.
func (s *Store) PruneRuns(ctx context.Context, before time.Time, held func(exposure.Run) bool, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	arg := runsBeforeParams{Before: instant{before}, AfterStarted: -1, N: page}
	for {
		rows, err := s.read.runsBefore(ctx, arg)
		if err != nil {
			return sum, fmt.Errorf("prune runs: %w", explain(err))
		}
		if len(rows) == 0 {
			return sum, nil
		}
		end := rows[len(rows)-1]
		arg.AfterStarted, arg.AfterID = end.Started.nanoseconds(), end.ID
		for _, row := range rows {
			r, err := row.run()
			if err != nil {
				return sum, err
			}
			if held(r) {
				sum.Held++
				continue
			}
			if sum.Removed++; dry {
				continue
			}
			if err := s.dropRun(ctx, r.ID); err != nil {
				return sum, err
			}
		}
	}
}

// dropRun removes a run, last of all the run itself: until then it is there to
// be removed.
func (s *Store) dropRun(ctx context.Context, id string) error {
	for _, part := range []string{
		`DELETE FROM ticks WHERE run_id = ?1 AND (probe, seq) IN (SELECT probe, seq FROM ticks WHERE run_id = ?1 LIMIT ?2)`,
		`DELETE FROM batches WHERE run_id = ?1 AND lo IN (SELECT lo FROM batches WHERE run_id = ?1 LIMIT ?2)`,
		`DELETE FROM keys WHERE run_id = ?1 AND ?2 > 0`,
	} {
		for {
			var n int64
			err := s.change(ctx, "prune run "+id, func(q *Queries) error {
				res, err := q.db.ExecContext(ctx, part, id, pruneRows)
				if err != nil {
					return err
				}
				n, err = res.RowsAffected()
				return err
			})
			if err != nil {
				return err
			}
			if n < pruneRows {
				break
			}
		}
	}
	return s.change(ctx, "prune run "+id, func(q *Queries) error {
		_, err := q.dropRun(ctx, id)
		return err
	})
}

// PruneAudit removes the entries of the audit log before the given time.
func (s *Store) PruneAudit(ctx context.Context, before time.Time, dry bool) (exposure.Pruned, error) {
	n, err := s.read.countAuditBefore(ctx, instant{before})
	if err != nil || dry {
		return exposure.Pruned{Removed: n}, explain(err)
	}
	return s.dropChunks(ctx, "prune audit log", func(q *Queries) (int64, error) {
		return q.dropAuditBefore(ctx, dropAuditBeforeParams{Before: instant{before}, N: pruneRows})
	})
}

// PruneKeys removes the keys of call-backs that can be credited no more.
func (s *Store) PruneKeys(ctx context.Context, at time.Time, dry bool) (exposure.Pruned, error) {
	before := instant{at.Add(-keyLife)}
	n, err := s.read.countKeysBefore(ctx, before)
	if err != nil || dry || n == 0 {
		return exposure.Pruned{Removed: n}, explain(err)
	}
	err = s.change(ctx, "prune keys", func(q *Queries) error {
		n, err = q.dropKeysBefore(ctx, before)
		return err
	})
	return exposure.Pruned{Removed: n}, err
}

// PruneAlerts removes the alerts that ended before the given time.
func (s *Store) PruneAlerts(ctx context.Context, before time.Time, dry bool) (exposure.Pruned, error) {
	n, err := s.read.countAlertsBefore(ctx, instant{before})
	if err != nil || dry {
		return exposure.Pruned{Removed: n}, explain(err)
	}
	return s.dropChunks(ctx, "prune alerts", func(q *Queries) (int64, error) {
		if err := q.dropToldBefore(ctx, dropToldBeforeParams{Before: instant{before}, N: pruneRows}); err != nil {
			return 0, err
		}
		return q.dropAlertsBefore(ctx, dropAlertsBeforeParams{Before: instant{before}, N: pruneRows})
	})
}

// dropChunks repeats a short transaction until it finds nothing more.
func (s *Store) dropChunks(ctx context.Context, what string, drop func(*Queries) (int64, error)) (exposure.Pruned, error) {
	var sum exposure.Pruned
	for {
		var n int64
		err := s.change(ctx, what, func(q *Queries) (err error) {
			n, err = drop(q)
			return err
		})
		if err != nil || n == 0 {
			return sum, err
		}
		sum.Removed += n
	}
}
