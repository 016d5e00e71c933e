package web

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/gate"
)

// A Listing is one page of a table.
type Listing struct {
	*Table
	Query
	Rows  []Row
	Extra any // what else the page shows
	// Total is how many rows there are in all, or more; -1: nobody counted.
	Total int64
	More  bool // there are more than Total
	next  string
	path  string
	all   url.Values // of the address, those of other tables too
}

// List answers for a page that is a table: the page, whose .Data is a *Listing
// that {{template "table" (.Table .Data)}} shows, or an export.
func (s *Site) List(w http.ResponseWriter, r *http.Request, v *gate.Visit, page string, t *Table, rows Rows, extra any) error {
	l, err := s.Listing(r, t, rows)
	if err != nil {
		return err
	}
	if l.Format != "" {
		return s.Export(w, r, v, t, l.Query, rows)
	}
	l.Extra = extra
	return s.Page(w, r, v, page, l)
}

// Listing reads one page of a table, for a page that shows more than one. It
// reads no rows when an export is wanted: see Format, and [Site.Export].
func (s *Site) Listing(r *http.Request, t *Table, rows Rows) (*Listing, error) {
	q, err := t.Read(r)
	if err != nil {
		return nil, err
	}
	l := &Listing{Table: t, Query: q, Total: -1, path: cmp.Or(t.Path, r.URL.EscapedPath()), all: r.URL.Query()}
	if q.Format != "" {
		return l, nil
	}
	for row, err := range rows(q) {
		if err != nil {
			return nil, err
		}
		if len(l.Rows) == q.Limit {
			last := l.Rows[q.Limit-1]
			l.next = cmp.Or(last.After, last.ID)
			break
		}
		if len(row.Cells) != len(t.Columns) {
			return nil, fmt.Errorf("table %s: a row of %d cells for %d columns", t.Name, len(row.Cells), len(t.Columns))
		}
		l.Rows = append(l.Rows, row)
	}
	if t.Count != nil {
		if l.Total, l.More, err = t.Count(q); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Sorted yields rows that are all in memory in the order and from the place that
// the query says. Filtering them is the caller's.
func Sorted(t *Table, q Query, rows []Row) iter.Seq2[Row, error] {
	if at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == q.Sort }); at >= 0 {
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(a, b Row) int {
			c := compareValues(a.Cells[at].Value, b.Cells[at].Value)
			if q.Down {
				return -c
			}
			return c
		})
	}
	if q.After != "" {
		rows = rows[slices.IndexFunc(rows, func(r Row) bool { return cmp.Or(r.After, r.ID) == q.After })+1:]
	}
	return func(yield func(Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// A ranked value has an order of its own, the greatest first: exposure.Severity.
type ranked interface{ Rank() int }

// compareValues orders what cells have.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case ranked:
		if b, ok := b.(ranked); ok {
			return cmp.Compare(b.Rank(), a.Rank())
		}
	case netip.Addr:
		if b, ok := b.(netip.Addr); ok {
			return a.Compare(b)
		}
	case netip.AddrPort:
		if b, ok := b.(netip.AddrPort); ok {
			return a.Compare(b)
		}
	case netip.Prefix:
		if b, ok := b.(netip.Prefix); ok {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Compare(b)
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(strings.ToLower(a), strings.ToLower(b))
		}
	}
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			return cmp.Compare(x, y)
		}
	}
	if x, ok := a.(float64); ok {
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	}
	return strings.Compare(strings.ToLower(plain(a)), strings.ToLower(plain(b)))
}

func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint32:
		return int64(v), true
	case uint16:
		return int64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// plain writes a value as machines want it; nothing for a time that is not.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []string:
		return strings.Join(v, " ")
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

// link is the address of the page with other parameters of this table; empty
// values are left out.
func (l *Listing) link(pairs ...string) string {
	values := maps.Clone(l.all)
	for i := 0; i+1 < len(pairs); i += 2 {
		name := l.param(pairs[i])
		if pairs[i+1] == "" {
			values.Del(name)
		} else {
			values.Set(name, pairs[i+1])
		}
	}
	if q := values.Encode(); q != "" {
		return l.path + "?" + q
	}
	return l.path
}

// SortLink leads to the same rows in the order of the column; the other way round
// when that is their order.
func (l *Listing) SortLink(c Column) string {
	by := c.Name
	if l.Query.Sort == c.Name && !l.Down {
		by = "-" + by
	}
	return l.link("sort", by, "after", "", "n", "")
}

// AriaSort says how the column is sorted, in ARIA's words.
func (l *Listing) AriaSort(c Column) string {
	switch {
	case l.Query.Sort != c.Name:
		return ""
	case l.Down:
		return "descending"
	}
	return "ascending"
}

// Sorting is the order in the form of ?sort=.
func (l *Listing) Sorting() string {
	if l.Down {
		return "-" + l.Query.Sort
	}
	return l.Query.Sort
}

// Next leads to the rows behind these; empty when there are none.
func (l *Listing) Next() string {
	if l.next == "" {
		return ""
	}
	return l.link("after", l.next, "n", strconv.Itoa(l.shown+len(l.Rows)))
}

// First leads back to the first rows; empty when these are.
func (l *Listing) First() string {
	if l.After == "" {
		return ""
	}
	return l.link("after", "", "n", "")
}

// From and To are the places of the first and of the last row.
func (l *Listing) From() int64 { return int64(l.shown + 1) }

// To is the place of the last row.
func (l *Listing) To() int64 { return int64(l.shown + len(l.Rows)) }

// ExportLink leads to all rows of the filter as a file.
func (l *Listing) ExportLink(format string) string {
	return l.link("format", format, "after", "", "n", "", "limit", "")
}

// Formats are those of exports.
func (l *Listing) Formats() []string { return []string{"csv", "json", "ndjson"} }

// Limits are the sizes of a page that are offered.
func (l *Listing) Limits() []int {
	if slices.Contains(limits, l.Query.Limit) {
		return limits
	}
	return append([]int{l.Query.Limit}, limits...)
}

// Here is the address of the form with the filters.
func (l *Listing) Here() string { return l.path }

// A Pair is a hidden field of a form.
type Pair struct{ Name, Value string }

// Kept are the parameters that are no filter of this table, which its form hands
// on.
func (l *Listing) Kept() []Pair {
	mine := []string{l.param("after"), l.param("n"), l.param("format"), l.param("sort"), l.param("limit")}
	for _, f := range l.Fields {
		if !f.Hidden {
			mine = append(mine, l.param(f.Name))
		}
	}
	var kept []Pair
	for _, name := range slices.Sorted(maps.Keys(l.all)) {
		if !slices.Contains(mine, name) {
			for _, value := range l.all[name] {
				kept = append(kept, Pair{name, value})
			}
		}
	}
	return kept
}

// Param is the name of a parameter of this table.
func (l *Listing) Param(name string) string { return l.param(name) }

// Filter is the filter for the form of chosen rows; [Table.ReadFilter] reads it.
func (l *Listing) Filter() string {
	values := make(url.Values)
	for name, words := range l.values {
		values[l.param(name)] = words
	}
	return values.Encode()
}

// A Chip is one filter that is set, and the address without it.
type Chip struct {
	Field  Field
	Option Option
	Link   string
}

// Chips are the filters that are set.
func (l *Listing) Chips() []Chip {
	var chips []Chip
	for _, f := range l.Fields {
		for _, w := range l.values[f.Name] {
			o := Option{Value: w}
			if i := slices.IndexFunc(f.Options, func(o Option) bool { return o.Value == w }); i >= 0 {
				o = f.Options[i]
			}
			chips = append(chips, Chip{f, o, l.without(f.Name, w)})
		}
	}
	return chips
}

func (l *Listing) without(field, value string) string {
	values := maps.Clone(l.all)
	name := l.param(field)
	values[name] = slices.DeleteFunc(slices.Clone(values[name]), func(w string) bool { return strings.TrimSpace(w) == value })
	values.Del(l.param("after"))
	values.Del(l.param("n"))
	if q := values.Encode(); q != "" {
		return l.path + "?" + q
	}
	return l.path
}

// Clear leads to all rows.
func (l *Listing) Clear() string {
	pairs := []string{"after", "", "n", ""}
	for _, f := range l.Fields {
		pairs = append(pairs, f.Name, "")
	}
	return l.link(pairs...)
}

// Shown are the columns that a page has.
func (l *Listing) Shown() []Column {
	return slices.DeleteFunc(slices.Clone(l.Columns), func(c Column) bool { return c.Export })
}

// A Spot is a cell with its column.
type Spot struct {
	Cell
	Column Column
}

// Spots are the cells of a row that a page shows.
func (l *Listing) Spots(r Row) []Spot {
	var spots []Spot
	for i, c := range l.Columns {
		if !c.Export {
			spots = append(spots, Spot{r.Cells[i], c})
		}
	}
	return spots
}

// A TableSheet is what the template "table" gets as its dot.
type TableSheet struct {
	*Sheet
	*Listing
}

// Table makes a sheet for one table of a page.
func (s *Sheet) Table(l *Listing) TableSheet { return TableSheet{s, l} }

// Show writes what a cell shows.
func (s *Sheet) Show(c Cell) any {
	switch {
	case c.Key != "":
		return s.T(c.Key)
	case c.Text != "":
		return c.Text
	case c.Prefix != "":
		var words []string
		for _, word := range wordsOf(c.Value) {
			words = append(words, s.Word(c.Prefix, word))
		}
		if len(words) > 0 {
			return strings.Join(words, ", ")
		}
	}
	switch v := c.Value.(type) {
	case time.Time:
		if c.Day {
			return s.Day(v)
		}
		return s.Time(v)
	case bool:
		if v {
			return s.T("listing.yes")
		}
		return s.T("listing.no")
	case []string:
		return strings.Join(v, ", ")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	if n, ok := asInt(c.Value); ok {
		return s.Number(n)
	}
	if text := plain(c.Value); text != "" {
		return text
	}
	return "–"
}

// mostSaid is how much of a sentence a cell shows, in bytes: strangers' words stand
// in it. An export has all.
const mostSaid = 600

// A CellSheet is what the template "cell" gets as its dot.
type CellSheet struct {
	Cell  Cell
	Shown any
	Says  []Said // instead of Shown
}

// Cell makes a sheet for one cell.
func (s *Sheet) Cell(c Cell) CellSheet {
	sheet := CellSheet{Cell: c}
	if c.Kept {
		sentences := wordsOf(c.Value)
		if c.Text != "" {
			sentences = []string{c.Text}
		}
		for _, one := range sentences {
			said := s.Say(one)
			if len(said.Text) > mostSaid {
				said.Text = strings.ToValidUTF8(said.Text[:mostSaid], "") + "…"
			}
			sheet.Says = append(sheet.Says, said)
		}
	}
	if len(sheet.Says) == 0 {
		sheet.Shown = s.Show(c)
	}
	return sheet
}

// wordsOf are the words of a cell that has some.
func wordsOf(value any) []string {
	switch v := value.(type) {
	case []string:
		return v
	case nil:
		return nil
	}
	if text := plain(value); text != "" {
		return []string{text}
	}
	return nil
}

// Asked are the fields that the form has.
func (l *Listing) Asked() []Field {
	return slices.DeleteFunc(slices.Clone(l.Fields), func(f Field) bool { return f.Hidden })
}

// Sortable are the columns by which a visitor may sort.
func (l *Listing) Sortable() []Column {
	return slices.DeleteFunc(slices.Clone(l.Columns), func(c Column) bool { return !c.Sorts })
}

// An Its is a sheet for a template that shows one thing.
type Its struct {
	*Sheet
	It any
}

// With makes a sheet for a template of a part: {{template "x" (.With .Data.Y)}}.
func (s *Sheet) With(it any) Its { return Its{s, it} }
