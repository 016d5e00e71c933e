package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
)

// A Header is the names of the columns, in lower case.
type Header []string

// PeekHeader reads the header of a table without taking it from the buffer.
func PeekHeader(r *bufio.Reader, comma byte) (Header, error) {
	head, err := r.Peek(1 << 16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if strings.HasPrefix(string(head), "\xff\xfe") || strings.HasPrefix(string(head), "\xfe\xff") {
		return nil, errUTF16
	}
	rec, err := NewCSVReader(NewBuffer(strings.NewReader(string(head))), comma).Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errEmpty
	case err != nil:
		return nil, err
	case rec.Broken != "":
		return nil, fmt.Errorf("line %d: the header: %s", rec.Line, rec.Broken)
	}
	h := newHeader(rec.Fields)
	for i, name := range h {
		if name != "" && slices.Contains(h[:i], name) {
			return nil, fmt.Errorf("line %d: the header has the column %q twice", rec.Line, Clip(name, 40))
		}
	}
	return h, nil
}

// Mistakes of a whole file.
var (
	errUTF16 = errors.New("it is in UTF-16; want UTF-8")
	errEmpty = errors.New("it is empty: not even a header")
)

func newHeader(fields []string) Header {
	h := make(Header, len(fields))
	for i, f := range fields {
		h[i] = strings.ToLower(strings.Trim(strings.ReplaceAll(f, "\x00", ""), " \t\ufeff"))
	}
	return h
}

// Has reports whether all the columns are there.
func (h Header) Has(names ...string) bool {
	for _, name := range names {
		if !slices.Contains(h, name) {
			return false
		}
	}
	return true
}

// A Columns is one row by the names of its columns. What is empty is absent.
type Columns struct {
	values map[string]string
	used   map[string]bool
	fault  string // the first thing that was wrong
}

// columns names the fields of a record. Blanks around a value and NUL bytes
// are no part of it: feeds have had both (facts/shadowserver.md 1.5).
func (h Header) columns(fields []string) *Columns {
	c := &Columns{values: make(map[string]string, len(h)), used: make(map[string]bool, len(h))}
	for i, name := range h {
		value := fields[i]
		if strings.IndexByte(value, 0) >= 0 {
			value = strings.ReplaceAll(value, "\x00", "")
		}
		if value = strings.TrimSpace(value); value == "" || name == "" {
			continue
		}
		if _, twice := c.values[name]; !twice {
			c.values[name] = value
		}
	}
	return c
}

// Each calls read for every row of a table, and sets aside those that read, or
// the columns that it asked for, find fault with.
func Each(r *bufio.Reader, comma byte, read func(c *Columns) Row) func(yield func(Row, error) bool) {
	return func(yield func(Row, error) bool) {
		rows := NewCSVReader(r, comma)
		var h Header
		for {
			rec, err := rows.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Row{Line: rows.line}, err)
				return
			}
			if h == nil {
				h = newHeader(rec.Fields)
				rows.width = len(h)
				continue
			}
			var row Row
			switch {
			case rec.Broken != "":
				row = aside(rec.Line, rec.Broken, rec.Raw)
			case len(rec.Fields) != len(h):
				row = aside(rec.Line, fmt.Sprintf("it has %d columns, the header %d", len(rec.Fields), len(h)), rec.Raw)
			default:
				c := h.columns(rec.Fields)
				row = read(c)
				row.Line = rec.Line
				if c.fault != "" {
					row = aside(rec.Line, c.fault, rec.Raw)
				}
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// ID returns the id of the row; see [exposure.NewFeedID].
func (c *Columns) ID(s exposure.Source, kind string) exposure.ID {
	return exposure.NewFeedID(s, kind, c.values)
}

// Fault says that the row cannot be read. The first one counts.
func (c *Columns) Fault(format string, args ...any) {
	if c.fault == "" {
		c.fault = fmt.Sprintf(format, args...)
	}
}

// Text returns the value, bounded, and notes that it has its place.
func (c *Columns) Text(name string) string {
	c.used[name] = true
	return Clip(c.values[name], MaxText)
}

// Look is [Columns.Text] for a value that has no place of its own.
func (c *Columns) Look(name string) string { return Clip(c.values[name], MaxText) }

// Rest returns the columns that have no other place.
func (c *Columns) Rest(kind string) *exposure.FeedRow {
	f := &exposure.FeedRow{Type: kind}
	var names []string
	for name := range c.values {
		if !c.used[name] {
			names = append(names, name)
		}
	}
	if len(names) > mostKept {
		slices.Sort(names)
		names = names[:mostKept]
	}
	for _, name := range names {
		if f.Columns == nil {
			f.Columns = make(map[string]string, len(names))
		}
		f.Columns[Clip(name, 64)] = Clip(c.values[name], MaxColumn)
	}
	return f
}

// Addr returns an address. What some feeds write for none is a fault.
func (c *Columns) Addr(name string) netip.Addr {
	text := c.Text(name)
	if text == "" {
		c.Fault("no address in column %s", name)
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.IsUnspecified() {
		c.Fault("%s %s is no address of a host", name, brief(text))
		return netip.Addr{}
	}
	return a.Unmap()
}

// MaybeAddr is [Columns.Addr] for one that need not be there.
func (c *Columns) MaybeAddr(name string) netip.Addr {
	a, err := netip.ParseAddr(c.Text(name))
	if err != nil || a.Zone() != "" || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}

// Port returns a port; what is empty is the one that the report is about.
func (c *Columns) Port(name string, empty uint16) uint16 {
	text := c.Text(name)
	if text == "" {
		return empty
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		c.Fault("%s %s is no port", name, brief(text))
	}
	return uint16(n)
}

// Number returns a number that need not be there, or 0.
func (c *Columns) Number(name string) int64 {
	n, err := strconv.ParseInt(c.Look(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	c.used[name] = true
	return n
}

// ASN returns a number of an AS; "AS64500" is read too. 0 is unknown.
func (c *Columns) ASN(name string) uint32 {
	text := c.Text(name)
	if len(text) > 2 && strings.EqualFold(text[:2], "as") {
		text = text[2:]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// Country returns ISO 3166-1 alpha-2, or "": feeds have written UK.
func (c *Columns) Country(name string) string { return country(c.Text(name)) }

func country(text string) string {
	text = strings.ToUpper(text)
	if text == "UK" {
		return "GB"
	}
	if len(text) != 2 || text[0] < 'A' || text[0] > 'Z' || text[1] < 'A' || text[1] > 'Z' {
		return ""
	}
	return text
}

// Time returns a time that must be there and not be in the future. One without
// a zone is in UTC.
func (c *Columns) Time(name string, received time.Time) time.Time {
	text := c.Text(name)
	if text == "" {
		c.Fault("no time in column %s", name)
		return time.Time{}
	}
	t, ok := parseTime(text)
	if !ok {
		c.Fault("%s %s is no time", name, brief(text))
		return t
	}
	c.checkTime(name, t, received)
	return t
}

func (c *Columns) checkTime(name string, t, received time.Time) {
	if why := implausible(t, received); why != "" {
		c.Fault("%s %s %s", name, t.Format(time.DateTime), why)
	}
}

// implausible says what is wrong with a time, or "".
func implausible(t, received time.Time) string {
	switch {
	case t.After(received.Add(future)):
		return "is in the future"
	case t.Year() < 1990:
		return "is before there was IPP"
	}
	return ""
}

// MaybeTime is [Columns.Time] for one that need not be there.
func (c *Columns) MaybeTime(name string) time.Time {
	t, ok := parseTime(c.Look(name))
	if !ok {
		return time.Time{}
	}
	c.used[name] = true
	return t
}

func parseTime(text string) (time.Time, bool) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, " UTC"), "+00")
	for _, layout := range []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// Lines of what a stranger wrote go into reasons: short, and with everything
// that is not printable escaped.
func brief(text string) string { return strconv.Quote(Clip(text, 60)) }
