// Package screen writes what the commands have to say: listings in every
// format, tables, notes, and how far the work has come.
package screen

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Formats are the forms in which every listing can be had.
var Formats = []string{"table", "json", "ndjson", "csv"}

// A Screen is where a command writes, and how the user wants it. The data goes
// to Out, everything else to Err.
type Screen struct {
	Out, Err    io.Writer
	Format      string // one of Formats
	Quiet       bool   // no progress and no notes
	OutTerminal bool
	ErrTerminal bool
}

// Note tells the user something beside the data.
func (s *Screen) Note(format string, args ...any) {
	if !s.Quiet {
		fmt.Fprintf(s.Err, format+"\n", args...)
	}
}

// Machine is where a machine format is written to.
func (s *Screen) Machine() io.Writer {
	if s.OutTerminal {
		return &guard{w: s.Out}
	}
	return s.Out
}

// Document writes one value as JSON for a person to read, too.
func (s *Screen) Document(value any) error {
	e := json.NewEncoder(s.Machine())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// Stamp is a time in a cell, to the second: short and in UTC in a table, RFC
// 3339 elsewhere, and nothing when it has not come.
func (s *Screen) Stamp(t time.Time) string {
	switch {
	case s.Format == "table":
		return Stamp(t)
	case t.IsZero():
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// SGR codes of the colours, by severity.
var colours = map[string]string{
	"critical": "1;31", "high": "31", "medium": "33", "low": "36", "info": "2",
}

// Colour paints a cell as its word wants it, where colours are seen and wanted.
func (s *Screen) Colour(word, cell string) string {
	code, ok := colours[word]
	if !ok || !s.OutTerminal || os.Getenv("NO_COLOR") != "" {
		return cell
	}
	return "\x1b[" + code + "m" + cell + "\x1b[0m"
}
