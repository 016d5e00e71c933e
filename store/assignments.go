package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go4.org/netipx"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A million assignments go in by statements of so many rows, in transactions of
// so many statements: nobody else writes for a fifth of a second at most.
const (
	assignmentRows       = 100
	assignmentStatements = 100
)

// An AssignmentImport is all that one source says at one time about who has
// which address.
type AssignmentImport struct {
	Import
	Rows []exposure.Assignment // sorted by CompareAssignments, no two with the same prefix and From
	// Complete says that what goes on is among the rows: an assignment of the
	// source that went on and is not there ends at the time of the import.
	Complete bool
}

// An AssignmentResult is what an import did.
type AssignmentResult struct {
	Added, Changed, Ended, Same int
}

// CompareAssignments orders by prefix, then by beginning.
func CompareAssignments(a, b exposure.Assignment) int {
	return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), a.From.Compare(b.From))
}

// ImportAssignments keeps what a source says. It is many short transactions: one
// that was killed has kept a part, says so ([Import].Done), and again it
// finishes.
func (s *Store) ImportAssignments(ctx context.Context, in AssignmentImport) (r AssignmentResult, err error) {
	what := "import assignments of " + in.Source
	in.Kind, in.Done = ImportCustomers, false
	err = s.change(ctx, what, func(q *Queries) error { return q.putImport(ctx, importParams(in.Import)) })
	if err != nil {
		return r, err
	}
	before, err := s.countAssignments(ctx)
	if err != nil {
		return r, fmt.Errorf("%s: %w", what, explain(err))
	}
	touched := 0
	for chunk := range slices.Chunk(in.Rows, assignmentRows*assignmentStatements) {
		n, err := s.putAssignments(ctx, in.Source, chunk)
		if touched += n; err != nil {
			return r, fmt.Errorf("%s: %w", what, explain(err))
		}
	}
	after, err := s.countAssignments(ctx)
	if err != nil {
		return r, fmt.Errorf("%s: %w", what, explain(err))
	}
	r.Added = after - before
	r.Changed = touched - r.Added
	r.Same = len(in.Rows) - touched
	if in.Complete {
		if r.Ended, err = s.endAbsent(ctx, in); err != nil {
			return r, fmt.Errorf("%s: %w", what, explain(err))
		}
	}
	in.Done = true
	return r, s.change(ctx, what, func(q *Queries) error {
		if err := q.putImport(ctx, importParams(in.Import)); err != nil {
			return err
		}
		return record(ctx, q, []Action{{
			At: in.At, Who: in.Who, What: "import customers",
			Detail: fmt.Sprintf("%s from %s: %d added, %d changed, %d ended, %d the same", in.Source, in.File, r.Added, r.Changed, r.Ended, r.Same),
		}})
	})
}

func (s *Store) countAssignments(ctx context.Context) (n int, err error) {
	err = s.reads.QueryRowContext(ctx, `SELECT count(*) FROM assignments`).Scan(&n)
	return n, err
}

// putAssignments keeps the rows in one transaction and returns how many of them
// were not there, or different.
func (s *Store) putAssignments(ctx context.Context, source string, rows []exposure.Assignment) (touched int, err error) {
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, and otherwise the first error tells
	// To read a statement of so many rows takes as long as to run it.
	full, err := tx.PrepareContext(ctx, putAssignmentRows(assignmentRows))
	if err != nil {
		return 0, err
	}
	defer full.Close()
	for chunk := range slices.Chunk(rows, assignmentRows) {
		args := make([]any, 0, 6*len(chunk))
		for _, a := range chunk {
			args = append(args, address{a.Prefix.Addr()}, a.Prefix.Bits(), instant{a.From}, source, instant{a.To}, a.Customer)
		}
		var done sql.Result
		if len(chunk) == assignmentRows {
			done, err = full.ExecContext(ctx, args...)
		} else {
			done, err = tx.ExecContext(ctx, putAssignmentRows(len(chunk)), args...)
		}
		if err != nil {
			return 0, err
		}
		n, err := done.RowsAffected()
		if err != nil {
			return 0, err
		}
		touched += int(n)
	}
	return touched, tx.Commit()
}

// putAssignmentRows is the statement for n rows: the costs of a statement are
// those of its rows.
func putAssignmentRows(n int) string {
	return `INSERT INTO assignments (lo, bits, since, source, until, customer) VALUES (?, ?, ?, ?, ?, ?)` +
		strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, n-1) +
		` ON CONFLICT (lo, bits, since, source) DO UPDATE SET until = excluded.until, customer = excluded.customer
		WHERE until <> excluded.until OR customer <> excluded.customer`
}

// endAbsent ends the assignments of the source that went on and are not among
// the rows.
func (s *Store) endAbsent(ctx context.Context, in AssignmentImport) (ended int, err error) {
	arg := openAssignmentsParams{Source: in.Source, AfterLo: []byte{0}, AfterBits: -1, AfterSince: -1, N: assignmentRows * assignmentStatements}
	for {
		rows, err := s.read.openAssignments(ctx, arg)
		if err != nil {
			return ended, err
		}
		var absent []assignmentRow
		for _, row := range rows {
			if _, there := slices.BinarySearchFunc(in.Rows, row.assignment(), CompareAssignments); !there && row.Since.Before(in.At) {
				absent = append(absent, row)
			}
		}
		err = s.change(ctx, "end assignments of "+in.Source, func(q *Queries) error {
			for _, row := range absent {
				err := q.endAssignment(ctx, endAssignmentParams{Until: instant{in.At}, Lo: row.Lo, Bits: row.Bits, Since: row.Since, Source: row.Source})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return ended, err
		}
		ended += len(absent)
		if int64(len(rows)) < arg.N {
			return ended, nil
		}
		end := rows[len(rows)-1]
		arg.AfterLo, arg.AfterBits, arg.AfterSince = end.Lo.bytes(), end.Bits, end.Since.nanoseconds()
	}
}

// ForgetAssignments forgets all that a source said, and reports how much it was.
func (s *Store) ForgetAssignments(ctx context.Context, source, who string, at time.Time) (dropped int, err error) {
	what := "forget assignments of " + source
	for {
		var n int64
		err := s.change(ctx, what, func(q *Queries) (err error) {
			n, err = q.dropAssignments(ctx, dropAssignmentsParams{Source: source, Limit: assignmentRows * assignmentStatements})
			return err
		})
		if err != nil {
			return dropped, err
		}
		if dropped += int(n); n == 0 {
			break
		}
	}
	return dropped, s.change(ctx, what, func(q *Queries) error {
		if _, err := q.dropImport(ctx, dropImportParams{Kind: ImportCustomers, Source: source}); err != nil {
			return err
		}
		return record(ctx, q, []Action{{At: at, Who: who, What: "forget customers", Detail: fmt.Sprintf("%s: %d assignments", source, dropped)}})
	})
}

// AssignmentsOf returns every assignment of a prefix that holds the address, at
// whatever time; none to a view below operator, as it names customers.
func (s *Store) AssignmentsOf(ctx context.Context, v access.View, a netip.Addr) ([]exposure.Assignment, error) {
	if v.Tier != access.Operator || !a.IsValid() {
		return nil, nil
	}
	a = a.Unmap().WithZone("")
	var los []string
	for bits := range a.BitLen() + 1 {
		p, err := a.Prefix(bits)
		if err != nil {
			return nil, err
		}
		if lo := hex.EncodeToString(address{p.Addr()}.bytes()); len(los) == 0 || los[len(los)-1] != lo {
			los = append(los, lo)
		}
	}
	in, err := list(los, nil)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.assignmentsFrom(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read assignments of %s: %w", a, explain(err))
	}
	var all []exposure.Assignment
	for _, row := range rows {
		if one := row.assignment(); one.Prefix.Contains(a) {
			all = append(all, one)
		}
	}
	return all, nil
}

// AssignmentsDuring returns the assignments that are in force at any moment of
// from <= t < to, in the order of prefixes; none to a view below operator. It
// ends at the first error.
func (s *Store) AssignmentsDuring(ctx context.Context, v access.View, from, to time.Time) iter.Seq2[exposure.Assignment, error] {
	return func(yield func(exposure.Assignment, error) bool) {
		if v.Tier != access.Operator {
			return
		}
		arg := assignmentsDuringParams{
			AfterLo: []byte{0}, AfterBits: -1, AfterSince: -1, Began: instant{from}.nanoseconds(), Ended: instant{to}.nanoseconds(), N: 10 * page,
		}
		for {
			rows, err := s.read.assignmentsDuring(ctx, arg)
			if err != nil {
				yield(exposure.Assignment{}, fmt.Errorf("read assignments: %w", explain(err)))
				return
			}
			for _, row := range rows {
				if !yield(row.assignment(), nil) {
					return
				}
			}
			if int64(len(rows)) < arg.N {
				return
			}
			end := rows[len(rows)-1]
			arg.AfterLo, arg.AfterBits, arg.AfterSince, arg.AfterSource = end.Lo.bytes(), end.Bits, end.Since.nanoseconds(), end.Source
		}
	}
}

// AssignmentsOfCustomer returns the newest assignments of a customer; none to a
// view below operator.
func (s *Store) AssignmentsOfCustomer(ctx context.Context, v access.View, customer string, limit int) ([]exposure.Assignment, error) {
	if v.Tier != access.Operator || customer == "" {
		return nil, nil
	}
	rows, err := s.read.assignmentsOfCustomer(ctx, assignmentsOfCustomerParams{Customer: customer, N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read assignments of %s: %w", customer, explain(err))
	}
	all := make([]exposure.Assignment, 0, len(rows))
	for _, row := range rows {
		all = append(all, row.assignment())
	}
	return all, nil
}

// AssignmentsInside returns assignments of smaller parts of the prefix to others
// than the customer, up to the limit; none to a view below operator.
func (s *Store) AssignmentsInside(ctx context.Context, v access.View, within netip.Prefix, customer string, limit int) ([]exposure.Assignment, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	in := netipx.RangeOfPrefix(within)
	rows, err := s.read.assignmentsInside(ctx, assignmentsInsideParams{
		Lo: address{in.From()}, Hi: address{in.To()}, Bits: int64(within.Bits()), Customer: customer, N: int64(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("read assignments in %s: %w", within, explain(err))
	}
	all := make([]exposure.Assignment, 0, len(rows))
	for _, row := range rows {
		all = append(all, row.assignment())
	}
	return all, nil
}

func (row assignmentRow) assignment() exposure.Assignment {
	return exposure.Assignment{
		Prefix: netip.PrefixFrom(row.Lo.Addr, int(row.Bits)), Customer: row.Customer,
		From: row.Since.Time, To: row.Until.Time, Source: row.Source,
	}
}
