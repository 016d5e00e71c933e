package web

import (
	"iter"
	"net/http"
	"slices"
	"strings"

	"ippwatch/gate"
)

// Find is the filter of a table whose rows are all in memory: words that stand in
// one of the cells. [Few] obeys it.
func Find() Field { return Field{Name: "find", Text: "listing.find", Kind: Words} }

// Few makes the rows of a table of those that are all in memory: narrowed by its
// field [Find], in the order of the query.
func Few(t *Table, all []Row) Rows {
	return func(q Query) iter.Seq2[Row, error] {
		words := strings.ToLower(q.Get("find"))
		if words == "" {
			return Sorted(t, q, all)
		}
		return Sorted(t, q, slices.DeleteFunc(slices.Clone(all), func(r Row) bool {
			return !slices.ContainsFunc(r.Cells, func(c Cell) bool {
				return strings.Contains(strings.ToLower(plain(c.Value)), words) || strings.Contains(strings.ToLower(c.Text), words)
			})
		}))
	}
}

// Part reads one table of a page that has more than it. Done: it was sent as a file, and
// there is nothing left to show.
func (s *Site) Part(w http.ResponseWriter, r *http.Request, v *gate.Visit, t *Table, rows Rows) (l *Listing, done bool, err error) {
	l, err = s.Listing(r, t, rows)
	if err != nil {
		return nil, false, err
	}
	if l.Format != "" {
		return nil, true, s.Export(w, r, v, t, l.Query, rows)
	}
	return l, false, nil
}
