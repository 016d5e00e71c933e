package screen

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
)

// A Listing is rows of the same kind, printable in every format: JSON forms
// carry the values whole, table and CSV the cells of the columns.
type Listing[T any] struct {
	Columns []string
	Cells   func(T) []string
	Empty   string // what a table says when there are no rows
}

// Show writes the rows in the format of the screen.
func (l Listing[T]) Show(s *Screen, rows []T) error {
	switch s.Format {
	case "json":
		if rows == nil {
			rows = []T{}
		}
		return s.Document(rows)
	case "ndjson":
		e := json.NewEncoder(s.Machine())
		e.SetEscapeHTML(false)
		for _, r := range rows {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		w := csv.NewWriter(s.Machine())
		_ = w.Write(l.Columns) // Error tells
		for _, r := range rows {
			_ = w.Write(l.Cells(r)) // as above
		}
		w.Flush()
		return w.Error()
	}
	if len(rows) == 0 {
		fmt.Fprintln(s.Out, l.Empty)
		return nil
	}
	t := Table{Head: l.Columns}
	for _, r := range rows {
		t.Rows = append(t.Rows, l.Cells(r))
	}
	return t.Write(s.Out)
}

// ShowOne writes what there is one of: in JSON an object, not a list.
func (l Listing[T]) ShowOne(s *Screen, row T) error {
	if s.Format == "json" {
		return s.Document(row)
	}
	return l.Show(s, []T{row})
}
