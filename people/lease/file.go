package lease

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/strict"
)

// maxAssignments bounds a file: so many are kept in memory while it is read.
const maxAssignments = 5_000_000

const maxName = 300 // bytes of a customer

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
				return time.Time{}, fmt.Errorf("%s: want a year from 1970 to 2261", strict.Quote(s))
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: want a time such as 2026-11-23T09:30:00Z, or 2026-11-23 09:30 in UTC", strict.Quote(s))
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
	l := reader{File: strict.File{Name: name}, names: make(map[string]string)}
	l.csv = csv.NewReader(r)
	l.csv.ReuseRecord, l.csv.FieldsPerRecord = true, -1
	l.read()
	if l.Mistakes() == 0 {
		l.settle()
	}
	if err := l.Err(); err != nil {
		return File{}, err
	}
	return File{l.rows, l.overlaps}, nil
}

// A reader is a file on its way.
type reader struct {
	strict.File
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
	l.At(line, column, format, args...)
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
	for !l.Full() {
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
		l.At(wrong.Line, wrong.Column, "%w", wrong.Err)
	case errors.Is(err, io.EOF) && l.width > 0:
	case errors.Is(err, io.EOF):
		l.At(1, 1, "the file is empty: want a head such as prefix,customer,from,to")
	default:
		l.At(1, 1, "%w", err)
	}
}

func (l *reader) heads(head []string) bool {
	l.width = len(head)
	l.prefix, l.customer, l.from, l.to = -1, -1, -1, -1
	for i, h := range head {
		at := map[string]*int{"prefix": &l.prefix, "address": &l.prefix, "customer": &l.customer, "from": &l.from, "to": &l.to}[strings.TrimPrefix(h, "\ufeff")]
		switch {
		case at == nil:
			l.complain(i, "unknown column %s: the columns are %s", strict.Quote(h), strings.Join(customerColumns, ", "))
		case *at >= 0:
			l.complain(i, "the column %s stands there twice", h)
		default:
			*at = i
		}
	}
	if l.prefix < 0 || l.customer < 0 {
		l.complain(0, "the columns prefix (or address) and customer are needed")
	}
	return l.Mistakes() == 0
}

func (l *reader) row(row []string) {
	var a exposure.Assignment
	var err error
	before := l.Mistakes()
	if a.Prefix, err = space.Parse(strings.TrimSpace(row[l.prefix])); err != nil {
		l.complain(l.prefix, "prefix: %w", err)
	}
	a.Customer = l.named(strings.TrimSpace(row[l.customer]))
	a.From, a.To = l.time(row, l.from, "from"), l.time(row, l.to, "to")
	if !a.To.IsZero() && !a.From.Before(a.To) {
		l.complain(l.to, "to: %s is not after from, %s", a.To.Format(time.RFC3339), a.From.Format(time.RFC3339))
	}
	if l.Mistakes() > before || l.Full() {
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
	if s == "" {
		l.complain(l.customer, "customer: is empty")
		return ""
	}
	if err := strict.CheckLine(s, maxName); err != nil {
		l.complain(l.customer, "customer: %w", err)
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
		l.At(1, 1, "the file has no row below the head")
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
			l.At(int(l.lines[i]), 1, "%s belongs to %s, and by line %d to %s, from the same time on",
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
