package web

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ippwatch/gate"
)

// A Table says what a listing has: its columns, what it may be narrowed to, and
// what may be done with rows that somebody chose. Make one for each request, or
// keep one that nobody changes.
type Table struct {
	Name    string // of the element, and of files: cases
	Title   string // key of the catalogue
	Key     string // where a page has several tables, before each parameter: "v" makes ?v-sort=
	Columns []Column
	Fields  []Field
	// Sort is the order unless the visitor says otherwise, such as "-seen".
	Sort string
	// Empty is the key of what to do when there is nothing; with a filter that
	// finds nothing, the page says that by itself.
	Empty string
	// Actions are what may be done with chosen rows, which are sent to Post.
	Actions []Action
	Post    string
	// Acts is the key of what stands above buttons of each row, where the page
	// writes its rows itself.
	Acts string
	// Count counts all rows that the query takes, or so many that it is enough:
	// then more. Nil: the page does not say how many there are.
	Count func(q Query) (n int64, more bool, err error)
	// Limit is how many rows a page has unless the visitor says otherwise; 0: 50.
	Limit int
	// Path is that of the page, where it is shown in answer to a form that was sent
	// elsewhere.
	Path string
}

// A Column is one of a table.
type Column struct {
	Name   string // in ?sort= and in exports; it stays
	Text   string // key of the catalogue
	Sorts  bool   // it may be sorted by
	Number bool   // it stands to the right
	Long   bool   // it may wrap
	Head   bool   // it names the row
	Export bool   // it is in exports alone
}

// A FieldKind is how a filter is asked for.
type FieldKind string

// Kinds of fields.
const (
	Words  FieldKind = "words"  // free text
	Choice FieldKind = "choice" // one of the options
	Many   FieldKind = "many"   // any of the options
	Date   FieldKind = "date"   // 2026-11-26
	Number FieldKind = "number" // not negative
	Flag   FieldKind = "flag"   // there or not
)

// A Field is one filter, in the query string under its name.
type Field struct {
	Name    string
	Text    string // key of the catalogue
	Kind    FieldKind
	Options []Option
	Hint    string // an example, as it is: 198.51.100.0/24
	// Hidden is not asked for in the form; a link may set it.
	Hidden bool
}

// An Option is one value of a choice.
type Option struct {
	Value string
	Text  string // key of the catalogue; empty: the value as it is
}

// Choices makes options of words, whose texts are PREFIX.WORD.
func Choices[T ~string](prefix string, words ...T) []Option {
	all := make([]Option, 0, len(words))
	for _, w := range words {
		o := Option{Value: string(w)}
		if prefix != "" {
			o.Text = prefix + "." + string(w)
		}
		all = append(all, o)
	}
	return all
}

// An Action is a button under a table.
type Action struct {
	Name string // the value of "action"
	Text string // key of the catalogue
}

// A Row is one line of a listing.
type Row struct {
	ID    string // for choosing it; and where the next page begins
	After string // where the next page begins, if that is not the ID
	Cells []Cell // one for each column
	Of    any    // what it is of, for a page that writes its rows itself
}

// A Cell is what stands in a row. Strings may be a stranger's.
type Cell struct {
	// Value is a string, a number, a time, a bool, a []string or something with a
	// String method. It is what is exported, sorted by, and shown.
	Value any
	Key   string // shows this text of the catalogue instead
	Text  string // shows this instead
	Link  string // a page of ours
	Badge string // a class: critical, high ... or "plain"
	Code  bool
	Day   bool   // of a time, shows the day alone
	Note  string // a second line
}

// Bounds of what a query may say.
const (
	maxWord  = 256
	maxLimit = 500
)

var limits = []int{25, 50, 100, 250, maxLimit}

// A Query is what a visitor wants of a table, read from the address and checked.
type Query struct {
	Sort  string // the column
	Down  bool   // from the greatest
	After string // go on behind this row; empty: from the start
	Limit int    // 0: all, for an export
	// Format is empty for a page, or csv, json or ndjson.
	Format string
	values map[string][]string
	shown  int // rows on the pages before
}

// Get returns the value of a field, or "".
func (q Query) Get(field string) string {
	if all := q.values[field]; len(all) > 0 {
		return all[0]
	}
	return ""
}

// All returns the values of a field.
func (q Query) All(field string) []string { return q.values[field] }

// Has reports whether the value is among those of the field.
func (q Query) Has(field, value string) bool { return slices.Contains(q.values[field], value) }

// Narrowed reports whether any field is set.
func (q Query) Narrowed() bool { return len(q.values) > 0 }

// Day returns the value of a date; zero when there is none.
func (q Query) Day(field string) time.Time {
	t, _ := time.Parse(time.DateOnly, q.Get(field)) // Read has checked it
	return t
}

// Int returns the value of a number; 0 when there is none.
func (q Query) Int(field string) int64 {
	n, _ := strconv.ParseInt(q.Get(field), 10, 64) // Read has checked it
	return n
}

// ValuesOf returns the values of a field as words of a type.
func ValuesOf[T ~string](q Query, field string) []T {
	var all []T
	for _, v := range q.All(field) {
		all = append(all, T(v))
	}
	return all
}

func (t *Table) param(name string) string {
	if t.Key == "" {
		return name
	}
	return t.Key + "-" + name
}

// Read reads what the visitor wants from the address.
func (t *Table) Read(r *http.Request) (Query, error) { return t.ReadValues(r.URL.Query()) }

// ReadFilter reads the filter that came with chosen rows, as the form under the
// table sends it.
func (t *Table) ReadFilter(r *http.Request) (Query, error) {
	values, err := url.ParseQuery(r.PostFormValue("filter"))
	if err != nil {
		return Query{}, gate.Bad("filter: %s", err.Error())
	}
	return t.ReadValues(values)
}

// ReadValues reads what the visitor wants from parameters.
func (t *Table) ReadValues(values url.Values) (Query, error) {
	q := Query{values: make(map[string][]string), After: values.Get(t.param("after")), Format: values.Get(t.param("format"))}
	sort := values.Get(t.param("sort"))
	if sort == "" {
		sort = t.Sort
	}
	q.Sort, q.Down = strings.TrimPrefix(sort, "-"), strings.HasPrefix(sort, "-")
	if sort != "" && !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == q.Sort && (c.Sorts || sort == t.Sort) }) {
		return q, gate.Bad("%s %q: want one of %s", t.param("sort"), clip(q.Sort), strings.Join(t.sortable(), ", "))
	}
	if len(q.After) > 4*maxWord || !utf8.ValidString(q.After) {
		return q, gate.Bad("%s: that is no place in this list", t.param("after"))
	}
	if n := values.Get(t.param("n")); q.After != "" && n != "" {
		q.shown, _ = strconv.Atoi(n) // it is only for show
		q.shown = max(q.shown, 0)
	}
	switch q.Format {
	case "", "html":
		q.Format = ""
		q.Limit = t.Limit
		if q.Limit == 0 {
			q.Limit = 50
		}
		if l := values.Get(t.param("limit")); l != "" {
			n, err := strconv.Atoi(l)
			if err != nil || n < 1 || n > maxLimit {
				return q, gate.Bad("%s %q: want a number from 1 to %d", t.param("limit"), clip(l), maxLimit)
			}
			q.Limit = n
		}
	case "csv", "json", "ndjson":
		q.After = ""
	default:
		return q, gate.Bad("%s %q: want csv, json or ndjson", t.param("format"), clip(q.Format))
	}
	for _, f := range t.Fields {
		words, err := f.read(values[t.param(f.Name)])
		if err != nil {
			return q, gate.Bad("%s %s", t.param(f.Name), err.Error())
		}
		if len(words) > 0 {
			q.values[f.Name] = words
		}
	}
	return q, nil
}

// clip shortens what a visitor typed, for telling why it cannot be.
func clip(s string) string { return s[:min(len(s), 60)] }

func (t *Table) sortable() []string {
	var all []string
	for _, c := range t.Columns {
		if c.Sorts {
			all = append(all, c.Name)
		}
	}
	return all
}

// read returns the values that are set, if they can be.
func (f Field) read(values []string) ([]string, error) {
	var words []string
	for _, w := range values {
		w = strings.TrimSpace(w)
		if w == "" || slices.Contains(words, w) {
			continue
		}
		if len(w) > maxWord || !utf8.ValidString(w) {
			return nil, fmt.Errorf("%q: that is too long, or no text", clip(w))
		}
		switch f.Kind {
		case Choice, Many:
			if !slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == w }) {
				return nil, fmt.Errorf("%q: there is no such choice", clip(w))
			}
		case Date:
			if _, err := time.Parse(time.DateOnly, w); err != nil {
				return nil, fmt.Errorf("%q: want a day such as 2026-11-26", clip(w))
			}
		case Number:
			if n, err := strconv.ParseInt(w, 10, 64); err != nil || n < 0 {
				return nil, fmt.Errorf("%q: want a number", clip(w))
			}
		case Words, Flag:
		}
		words = append(words, w)
		if f.Kind != Many {
			break
		}
	}
	return words, nil
}

// Rows yields the rows that a query takes, in its order, from behind its After.
// It need not stop at the Limit: the table takes one row more than it shows, and
// an export takes all.
type Rows func(q Query) iter.Seq2[Row, error]
