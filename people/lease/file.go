package lease

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ippwatch/exposure"
	"ippwatch/space"
	"ippwatch/store"
)

// maxAssignments bounds a file: so many are kept in memory while it is read.
const maxAssignments = 5_000_000

const (
	maxName   = 300 // bytes of a customer
	maxErrors = 20
)

// customerColumns are the columns of a file of customers; address is another
// word for prefix.
var customerColumns = []string{"prefix", "address", "customer", "from", "to"}

// timeForms are how a time may be written; all but the first are UTC.
var timeForms = []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly}

// ParseTime reads a time as people and tables write it: RFC 3339, or a date with
// or without a time of day, in UTC.
func ParseTime(s string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, s); err == nil {
			if t = t.UTC(); t.Year() < 1970 || t.Year() > 2261 {
				return time.Time{}, fmt.Errorf("%q: want a year from 1970 to 2261", short(s))
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a time such as 2026-11-23T09:30:00Z, or 2026-11-23 09:30 in UTC", short(s))
}

// A File is the rows of a file of customers, sorted, no two with the same
// prefix and beginning.
type File struct {
	Rows []exposure.Assignment
	// Overlaps counts assignments of one prefix to different customers at one
	// time: from its beginning the later one is believed.
	Overlaps int
}

// Parse reads who has which address when: CSV with the columns prefix
// or address, customer, from and to. An empty from is "ever since", an empty to
// "still". An error names file, line and column, one line for each mistake, up
// to twenty; that one address belongs to two customers from the same moment on
// is one.
func Parse(name string, r io.Reader) (File, error) {
	l := reader{complaints: complaints{name: name}, names: make(map[string]string)}
	l.csv = csv.NewReader(r)
	l.csv.ReuseRecord, l.csv.FieldsPerRecord = true, -1
	l.read()
	if len(l.errs) == 0 {
		l.settle()
	}
	if err := l.err(); err != nil {
		return File{}, err
	}
	return File{l.rows, l.overlaps}, nil
}

// A reader is a file on its way.
type reader struct {
	complaints
	csv                        *csv.Reader
	prefix, customer, from, to int // columns
	width                      int
	names                      map[string]string // each customer once in memory
	rows                       []exposure.Assignment
	lines                      []int32 // beside rows
	overlaps                   int
}

func (l *reader) complain(i int, format string, args ...any) {
	line, column := l.csv.FieldPos(i)
	l.at(line, column, format, args...)
}

func (l *reader) read() {
	head, err := l.csv.Read()
	if err != nil {
		l.broken(err)
		return
	}
	if !l.heads(head) {
		return
	}
	for !l.more {
		row, err := l.csv.Read()
		switch {
		case err != nil:
			l.broken(err)
			return
		case len(row) != l.width:
			l.complain(0, "%d fields, and the head has %d", len(row), l.width)
		case len(l.rows) == maxAssignments:
			l.complain(0, "more than %d rows: split the file", maxAssignments)
			return
		default:
			l.row(row)
		}
	}
}

// broken says why the reading ended, if that was too early.
func (l *reader) broken(err error) {
	wrong, ok := errors.AsType[*csv.ParseError](err)
	switch {
	case ok:
		l.at(wrong.Line, wrong.Column, "%w", wrong.Err)
	case errors.Is(err, io.EOF) && l.width > 0:
	case errors.Is(err, io.EOF):
		l.at(1, 1, "the file is empty: want a head such as prefix,customer,from,to")
	default:
		l.at(1, 1, "%w", err)
	}
}

func (l *reader) heads(head []string) bool {
	l.width = len(head)
	l.prefix, l.customer, l.from, l.to = -1, -1, -1, -1
	for i, h := range head {
		at := map[string]*int{"prefix": &l.prefix, "address": &l.prefix, "customer": &l.customer, "from": &l.from, "to": &l.to}[strings.TrimPrefix(h, "\ufeff")]
		switch {
		case at == nil:
			l.complain(i, "unknown column %q: the columns are %s", short(h), strings.Join(customerColumns, ", "))
		case *at >= 0:
			l.complain(i, "the column %s stands there twice", h)
		default:
			*at = i
		}
	}
	if l.prefix < 0 || l.customer < 0 {
		l.complain(0, "the columns prefix (or address) and customer are needed")
	}
	return len(l.errs) == 0
}

func (l *reader) row(row []string) {
	var a exposure.Assignment
	var err error
	before := len(l.errs)
	if a.Prefix, err = space.Parse(strings.TrimSpace(row[l.prefix])); err != nil {
		l.complain(l.prefix, "prefix: %w", err)
	}
	a.Customer = l.named(strings.TrimSpace(row[l.customer]))
	a.From, a.To = l.time(row, l.from, "from"), l.time(row, l.to, "to")
	if !a.To.IsZero() && !a.From.Before(a.To) {
		l.complain(l.to, "to: %s is not after from, %s", a.To.Format(time.RFC3339), a.From.Format(time.RFC3339))
	}
	if len(l.errs) > before || l.more {
		return
	}
	line, _ := l.csv.FieldPos(0)
	l.rows, l.lines = append(l.rows, a), append(l.lines, int32(line))
}

func (l *reader) named(s string) string {
	name, ok := l.names[s]
	if ok {
		return name
	}
	switch {
	case s == "":
		l.complain(l.customer, "customer: is empty")
		return ""
	case len(s) > maxName:
		l.complain(l.customer, "customer: has %d bytes: the limit is %d", len(s), maxName)
		return ""
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		l.complain(l.customer, "customer: %q has a character that does not print", short(s))
		return ""
	}
	name = strings.Clone(s)
	l.names[name] = name
	return name
}

func (l *reader) time(row []string, i int, key string) time.Time {
	if i < 0 || strings.TrimSpace(row[i]) == "" {
		return time.Time{}
	}
	t, err := ParseTime(strings.TrimSpace(row[i]))
	if err != nil {
		l.complain(i, "%s: %w", key, err)
	}
	return t
}

func (l *reader) Len() int           { return len(l.rows) }
func (l *reader) Less(i, j int) bool { return store.CompareAssignments(l.rows[i], l.rows[j]) < 0 }
func (l *reader) Swap(i, j int) {
	l.rows[i], l.rows[j] = l.rows[j], l.rows[i]
	l.lines[i], l.lines[j] = l.lines[j], l.lines[i]
}

// settle sorts the rows, drops what stands there twice and finds what cannot be
// true.
func (l *reader) settle() {
	if len(l.rows) == 0 {
		l.at(1, 1, "the file has no row below the head")
		return
	}
	sort.Stable(l)
	kept := 0
	for i, a := range l.rows {
		if i == 0 {
			kept = 1
			continue
		}
		b := l.rows[kept-1]
		switch {
		case a.Prefix != b.Prefix:
		case a == b:
			continue
		case a.From.Equal(b.From):
			l.at(int(l.lines[i]), 1, "%s belongs to %s, and by line %d to %s, from the same time on",
				a.Prefix, until(a), l.lines[kept-1], until(b))
		case a.Customer != b.Customer && (b.To.IsZero() || a.From.Before(b.To)):
			l.overlaps++
		}
		l.rows[kept], l.lines[kept] = a, l.lines[i]
		kept++
	}
	l.rows = slices.Clip(l.rows[:kept])
}

// until is a customer and until when, for an error.
func until(a exposure.Assignment) string {
	if a.To.IsZero() {
		return a.Customer
	}
	return a.Customer + " until " + a.To.Format(time.RFC3339)
}

// complaints are what is wrong with a file.
type complaints struct {
	name string
	errs []complaint
	more bool // than maxErrors
}

// A complaint is a mistake and its place, both counted from 1.
type complaint struct {
	line, column int
	err          error
}

func (c *complaints) at(line, column int, format string, args ...any) {
	if c.more = c.more || len(c.errs) == maxErrors; !c.more {
		c.errs = append(c.errs, complaint{line, column, fmt.Errorf(format, args...)})
	}
}

// err returns the complaints in the order of the file, a line each, or nil.
func (c *complaints) err() error {
	slices.SortStableFunc(c.errs, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var all []error
	for _, one := range c.errs {
		all = append(all, fmt.Errorf("%s:%d:%d: %w", c.name, one.line, one.column, one.err))
	}
	if c.more {
		all = append(all, errors.New("and more of the kind"))
	}
	return errors.Join(all...)
}

// short returns the beginning of a text, for an error.
func short(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
