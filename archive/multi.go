package archive

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// multiRows is how many rows one statement inserts: the costs of a statement
// are then those of its rows.
const multiRows = 48

// A multi inserts the rows of one table many at a time.
type multi struct {
	w         *writer
	one, many string // statements
	columns   int
	args      []any
}

// newMulti inserts into a table and its columns, with what is done otherwise.
func newMulti(w *writer, into, otherwise string) *multi {
	columns := strings.Count(into, ",") + 1
	tuple := `(?` + strings.Repeat(`, ?`, columns-1) + `)`
	insert := `INSERT INTO ` + into + ` VALUES ` + tuple
	return &multi{w: w, one: insert + otherwise, many: insert + strings.Repeat(`, `+tuple, multiRows-1) + otherwise, columns: columns}
}

// add takes one row and returns how many rows came into the table by that. The
// values are good until flush.
func (m *multi) add(ctx context.Context, values ...any) (int, error) {
	if m.args = append(m.args, values...); len(m.args) < multiRows*m.columns {
		return 0, nil
	}
	defer m.forget()
	return inserted(m.w.exec(ctx, m.many, m.args...))
}

// flush inserts the rows that are left.
func (m *multi) flush(ctx context.Context) (added int, err error) {
	defer m.forget()
	for args := range slices.Chunk(m.args, m.columns) {
		n, err := inserted(m.w.exec(ctx, m.one, args...))
		if added += n; err != nil {
			return added, err
		}
	}
	return added, nil
}

func (m *multi) forget() {
	clear(m.args)
	m.args = m.args[:0]
}

func inserted(r sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}
