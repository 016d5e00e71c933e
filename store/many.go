package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// manyRows is how many rows one statement writes. What a statement costs beside
// its rows is the same for one and for many; above some dozens nothing is gained.
const manyRows = 32

// A many is a statement of queries.sql that writes one row, and the same for
// many rows: sqlc has no words for that in SQLite.
type many struct {
	columns      int
	one, several *sql.Stmt
}

func prepareMany(ctx context.Context, db *sql.DB, text string) (many, error) {
	const values = "VALUES ("
	head, rest, ok := strings.Cut(text, values)
	tuple, tail, whole := strings.Cut(rest, ")")
	if !ok || !whole {
		return many{}, fmt.Errorf("no row in %q", text)
	}
	m := many{columns: strings.Count(tuple, "?")}
	var err error
	if m.one, err = db.PrepareContext(ctx, text); err != nil {
		return many{}, err
	}
	several := head + values + tuple + ")" + strings.Repeat(", ("+tuple+")", manyRows-1) + tail
	if m.several, err = db.PrepareContext(ctx, several); err != nil {
		return many{}, errors.Join(err, m.one.Close())
	}
	return m, nil
}

func (m many) close() error { return errors.Join(m.one.Close(), m.several.Close()) }

// A gathering stands between the generated methods and a transaction. Rows of
// the statements that it knows wait until there are many, or until flush; what
// else is executed, and what is read, does not see them before.
type gathering struct {
	*sql.Tx
	known   map[string]many
	waiting map[string][]any // values of the rows, by statement
}

// ExecContext takes a row, or executes at once what is not known.
func (g *gathering) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	m, ok := g.known[text]
	if !ok {
		return g.Tx.ExecContext(ctx, text, args...)
	}
	rows := g.waiting[text]
	if rows == nil {
		rows = make([]any, 0, manyRows*m.columns)
	}
	if rows = append(rows, args...); len(rows) == cap(rows) {
		stmt := g.StmtContext(ctx, m.several) //nolint:sqlclosecheck // the end of the transaction closes it
		if _, err := stmt.ExecContext(ctx, rows...); err != nil {
			return nil, err
		}
		rows = rows[:0]
	}
	g.waiting[text] = rows
	return driver.ResultNoRows, nil
}

// flush writes what waits.
func (g *gathering) flush(ctx context.Context) error {
	for text, rows := range g.waiting {
		m := g.known[text]
		one := g.StmtContext(ctx, m.one)
		for row := range slices.Chunk(rows, m.columns) {
			if _, err := one.ExecContext(ctx, row...); err != nil {
				return err
			}
		}
		g.waiting[text] = rows[:0]
	}
	return nil
}
