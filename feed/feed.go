// Package feed is the door for what other people saw: the form in which every
// source yields its rows, and the small sources themselves.
package feed

import (
	"bufio"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"ippwatch/exposure"
)

// A Document is one file, open to be read once from its beginning.
type Document struct {
	Name string // as the user knows it; of a file in a zip "reports.zip/NAME"
	Ref  string // see [exposure.Intake]
	io.Reader
}

// A Table is a document whose kind was recognised.
type Table struct {
	Type string // of the report
	// Unknown says why nobody can read it yet. Then Rows is nil, nothing was
	// read, and the document is parked.
	Unknown string
	// Mixed says that some of the rows may be of a kind that is not known yet:
	// if there are any, the document is parked when the rest was taken in.
	Mixed bool
	// Rows yields each row. An error is the last: the document broke off.
	Rows iter.Seq2[Row, error]
}

// A Parser recognises a document, whose beginning it peeks at, and reads it.
// Received is the time at which we learn of what is in it.
type Parser func(name string, r *bufio.Reader, received time.Time) (Table, error)

// A Row is what one row became: an observation, a visit, set aside, or neither
// because it is about something else than printing.
type Row struct {
	Line        int // where it begins, from 1
	Observation *exposure.Observation
	Visit       *exposure.Visit
	Aside       string // why it could not be read
	Raw         string // of a row that was set aside, its beginning
}

// Bounds of what is taken from one row.
const (
	MaxRow     = 1 << 18 // bytes
	MaxText    = 4096    // bytes of a value that is a fact
	MaxColumn  = 1024    // bytes of a value that has no other place
	MaxColumns = 512     // columns of a table
	mostKept   = 64      // columns that have no other place
	mostRaw    = 512     // bytes of a row that is set aside
)

// future is how far a clock may be ahead of ours. A later time would hide every
// true sighting that comes before it.
const future = 48 * time.Hour

// Clip returns at most limit bytes of s, whole characters only.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// aside returns a row that is set aside.
func aside(line int, reason, raw string) Row {
	return Row{Line: line, Aside: reason, Raw: Clip(raw, mostRaw)}
}
