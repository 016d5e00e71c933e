package archive

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// pruneRows is how many rows one transaction removes.
const pruneRows = 500

// Prune removes the observations of the UTC days before that of the given time,
// unless their address is in one of the held prefixes, and what is then in the
// dictionaries for nobody. It works in short transactions and may be stopped and
// begun again. The counts of the days stay: each day is counted a last time
// before it goes. With dry it only counts.
//
// Space becomes free inside the file, which does not shrink.
func (a *Archive) Prune(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	cut := dayNumber(before)
	if !dry {
		if err := a.closeDays(ctx, cut); err != nil {
			return sum, fmt.Errorf("prune %s: %w", a.path, err)
		}
	}
	runs, err := a.runsBefore(ctx, cut*secondsPerDay*int64(time.Second))
	if err != nil {
		return sum, fmt.Errorf("prune %s: list runs: %w", a.path, err)
	}
	for _, r := range runs {
		part, err := a.pruneRun(ctx, r, cut, held, dry)
		sum.Removed, sum.Held = sum.Removed+part.Removed, sum.Held+part.Held
		if err != nil {
			return sum, fmt.Errorf("prune run %s: %w", r.name, err)
		}
	}
	visits, err := a.pruneVisits(ctx, cut, held, dry)
	sum.Add(visits)
	if err != nil {
		return sum, fmt.Errorf("prune visits of %s: %w", a.path, err)
	}
	if dry {
		return sum, nil
	}
	if err := a.bareCensuses(ctx, cut*secondsPerDay*int64(time.Second)); err != nil {
		return sum, fmt.Errorf("prune censuses of %s: %w", a.path, err)
	}
	if err := a.sweep(ctx); err != nil {
		return sum, fmt.Errorf("prune dictionaries of %s: %w", a.path, err)
	}
	return sum, nil
}

// closeDays counts the days a last time and closes their counts.
func (a *Archive) closeDays(ctx context.Context, cut int64) error {
	var dirty []int64
	err := a.each(ctx, `SELECT day FROM day WHERE day < ? AND NOT pruned AND changed > rolled ORDER BY day`, []any{cut}, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		dirty = append(dirty, n)
		return err
	})
	if err != nil {
		return err
	}
	for _, day := range dirty {
		if err := a.rollup(ctx, day); err != nil {
			return err
		}
	}
	return a.change(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, `UPDATE day SET pruned = 1 WHERE day < ? AND NOT pruned`, cut)
		return err
	})
}

type oldRun struct {
	id, base int64
	name     string
}

func (a *Archive) runsBefore(ctx context.Context, cut int64) ([]oldRun, error) {
	var runs []oldRun
	err := a.each(ctx, `SELECT id, base, name FROM run WHERE first < ? ORDER BY id`, []any{cut}, func(rows *sql.Rows) error {
		var r oldRun
		err := rows.Scan(&r.id, &r.base, &r.name)
		runs = append(runs, r)
		return err
	})
	return runs, err
}

// pruneRun removes the old observations of one run, in the order of their keys.
func (a *Archive) pruneRun(ctx context.Context, r oldRun, cut int64, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	cutoff := cut*secondsPerDay*int64(time.Second) - r.base
	for after := []byte{}; ; {
		keys, err := a.oldKeys(ctx, r.id, cutoff, after)
		if err != nil || len(keys) == 0 {
			if err == nil && !dry {
				err = a.dropRun(ctx, r.id)
			}
			return sum, err
		}
		after = keys[len(keys)-1]
		part := keys[:0]
		for _, raw := range keys {
			k, err := form.ParseKey(raw)
			if err != nil {
				return sum, err
			}
			if slices.ContainsFunc(held, func(p netip.Prefix) bool { return p.Contains(k.Addr.WithZone("")) }) {
				sum.Held++
			} else {
				part = append(part, raw)
			}
		}
		if !dry {
			if err := a.dropKeys(ctx, r.id, part); err != nil {
				return sum, err
			}
		}
		sum.Removed += int64(len(part))
	}
}

// pruneVisits removes the visits at sensors of the days before cut.
func (a *Archive) pruneVisits(ctx context.Context, cut int64, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	var sum exposure.Pruned
	at, id := int64(math.MinInt64), []byte{}
	for {
		var ids [][]byte
		n := 0
		err := a.each(ctx, `SELECT observed, id, addr FROM visit WHERE (observed, id) > (?, ?) AND observed < ? ORDER BY observed, id LIMIT ?`,
			[]any{at, id, cut * secondsPerDay * int64(time.Second), pruneRows}, func(rows *sql.Rows) error {
				var raw, addr []byte
				if err := rows.Scan(&at, &raw, &addr); err != nil {
					return err
				}
				n++
				id = raw
				k, err := form.ParseKey(append(addr, 0)) // the address alone is the beginning of a key
				if err != nil {
					return err
				}
				if slices.ContainsFunc(held, func(p netip.Prefix) bool { return p.Contains(k.Addr.WithZone("")) }) {
					sum.Held++
				} else {
					ids = append(ids, raw)
				}
				return nil
			})
		if err != nil || n == 0 {
			return sum, err
		}
		if !dry {
			err := a.change(ctx, func(ctx context.Context, w *writer) error {
				for _, id := range ids {
					if _, err := w.exec(ctx, `DELETE FROM visit WHERE id = ?`, id); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return sum, err
			}
		}
		sum.Removed += int64(len(ids))
	}
}

func (a *Archive) oldKeys(ctx context.Context, run, cutoff int64, after []byte) ([][]byte, error) {
	var keys [][]byte
	err := a.each(ctx, `SELECT key FROM observation WHERE run = ? AND key > ? AND observed < ? ORDER BY key LIMIT ?`,
		[]any{run, after, cutoff, pruneRows}, func(rows *sql.Rows) error {
			var raw []byte
			err := rows.Scan(&raw)
			keys = append(keys, raw)
			return err
		})
	return keys, err
}

func (a *Archive) dropKeys(ctx context.Context, run int64, keys [][]byte) error {
	return a.change(ctx, func(ctx context.Context, w *writer) error {
		for _, raw := range keys {
			if _, err := w.exec(ctx, `DELETE FROM observation WHERE run = ? AND key = ?`, run, raw); err != nil {
				return err
			}
			k, err := form.ParseKey(raw)
			if err != nil {
				return err
			}
			if k.ID == "" {
				continue
			}
			if _, err := w.exec(ctx, `DELETE FROM known WHERE id = ?`, form.AppendID(nil, k.ID)); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropRun forgets a run that has no observations any more. Writers remember
// numbers of runs, and the newest stays, so that no number is given twice.
func (a *Archive) dropRun(ctx context.Context, run int64) error {
	return a.change(ctx, func(ctx context.Context, w *writer) error {
		n, err := inserted(w.exec(ctx, `DELETE FROM run WHERE id = ? AND id < (SELECT max(id) FROM run)
			AND NOT EXISTS (SELECT 1 FROM observation WHERE run = ?)`, run, run))
		if err != nil || n == 0 {
			return err
		}
		return w.raiseEpoch(ctx)
	})
}

// raiseEpoch tells all writers to forget what they remember.
func (w *writer) raiseEpoch(ctx context.Context) error {
	w.forget()
	_, err := w.exec(ctx, `UPDATE epoch SET n = n + 1`)
	return err
}

// learnEpoch is called at the beginning of each transaction: what was remembered
// may have been removed by another process.
func (w *writer) learnEpoch(ctx context.Context) error {
	var n int64
	if err := w.scan(ctx, `SELECT n FROM epoch`, nil, &n); err != nil {
		return err
	}
	if n != w.epoch {
		w.forget()
		w.epoch = n
	}
	return nil
}

// A dictionary is a table whose rows are referred to from others.
type dictionary struct {
	table string
	hide  string   // makes a row one that no writer looks for
	users []string // queries for the numbers that are in use
}

// dictionaries in the order in which they can be swept: what is used by the rows
// of an earlier one comes later. Doors, kinds and tags are few, and say nothing
// of a host.
var dictionaries = []dictionary{
	{
		"face", `UPDATE face SET hash = randomblob(16) WHERE id = ?`,
		[]string{`SELECT DISTINCT face FROM observation`},
	},
	{
		"content", `UPDATE content SET hash = randomblob(16), stem = random() WHERE id = ?`,
		[]string{`SELECT DISTINCT content FROM face`, `SELECT DISTINCT base FROM content WHERE base IS NOT NULL`},
	},
	{
		"place", `UPDATE place SET hash = randomblob(16) WHERE id = ?`,
		[]string{`SELECT DISTINCT place FROM face`},
	},
}

// sweep removes the entries of the dictionaries that nothing refers to. The last
// of each stays, so that no number is ever given to another.
func (a *Archive) sweep(ctx context.Context) error {
	for _, d := range dictionaries {
		for {
			n, err := a.sweepTable(ctx, d)
			if err != nil {
				return err
			}
			// A content may have been the base of one that went now.
			if n == 0 || d.table != "content" {
				break
			}
		}
	}
	return nil
}

// sweepTable takes two looks. What nobody uses at the first is hidden, so that no
// writer finds it any more; what nobody has used until the second is removed. An
// entry that was taken up in between stays, and is only not found again.
func (a *Archive) sweepTable(ctx context.Context, d dictionary) (int64, error) {
	used, err := a.used(ctx, d)
	if err != nil {
		return 0, err
	}
	var idle []int64
	err = a.each(ctx, `SELECT id FROM `+d.table+` WHERE id < (SELECT max(id) FROM `+d.table+`)`, nil, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		if !used.has(id) {
			idle = append(idle, id)
		}
		return err
	})
	if err != nil || len(idle) == 0 {
		return 0, err
	}
	if _, err := a.entries(ctx, d.hide, idle); err != nil {
		return 0, err
	}
	if used, err = a.used(ctx, d); err != nil {
		return 0, err
	}
	idle = slices.DeleteFunc(idle, used.has)
	return a.entries(ctx, `DELETE FROM `+d.table+` WHERE id = ?`, idle)
}

// used returns the numbers that something refers to.
func (a *Archive) used(ctx context.Context, d dictionary) (bits, error) {
	var used bits
	for _, q := range d.users {
		err := a.each(ctx, q, nil, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			used.set(id)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return used, nil
}

// entries runs a statement for each number, in short transactions.
func (a *Archive) entries(ctx context.Context, statement string, ids []int64) (done int64, err error) {
	for part := range slices.Chunk(ids, pruneRows) {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		var n int64
		err := a.change(ctx, func(ctx context.Context, w *writer) error {
			n = 0
			for _, id := range part {
				one, err := inserted(w.exec(ctx, statement, id))
				if err != nil {
					return err
				}
				n += int64(one)
			}
			return w.raiseEpoch(ctx)
		})
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// A bits is a set of numbers from 0 on.
type bits []uint64

func (b *bits) set(n int64) {
	if n < 0 {
		return
	}
	for int64(len(*b)) <= n/64 {
		*b = append(*b, make([]uint64, max(64, len(*b)/2))...)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bits) has(n int64) bool { return n >= 0 && n/64 < int64(len(b)) && b[n/64]&(1<<(n%64)) != 0 }

// Last returns when the newest observation was made; zero if there is none.
func (a *Archive) Last(ctx context.Context) (time.Time, error) {
	var n sql.NullInt64
	if err := a.read.QueryRowContext(ctx, `SELECT max(last) FROM run`).Scan(&n); err != nil {
		return time.Time{}, fmt.Errorf("look for the newest observation: %w", err)
	}
	if !n.Valid {
		return time.Time{}, nil
	}
	return time.Unix(0, n.Int64).UTC(), nil
}
