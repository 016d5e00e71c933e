package report

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
)

// Options change how a report for machines is written.
type Options struct {
	// Extended appends our own columns.
	Extended bool
	// Spreadsheet defuses formulas, for files that people open. It changes
	// values: files for machines are written without it.
	Spreadsheet bool
}

// CSV writes the rows that belong into the report and returns their number. The
// dialect is Shadowserver's (facts/shadowserver.md 1.5): every header and every
// text in quotes, what looks like a number and what is empty bare, LF, UTF-8.
//
// Values are exact but for what one stranger could use to make the whole file
// unreadable: NUL and bytes that are not UTF-8 become U+FFFD.
func CSV(w io.Writer, t Type, rows iter.Seq[Row], opt Options) (int, error) {
	b := bufio.NewWriter(w)
	columns := t.columns(opt.Extended)
	if len(columns) == 0 {
		return 0, fmt.Errorf("write %q: %w", t, errNoColumns)
	}
	line := []byte(nil)
	for i, c := range columns {
		line = next(line, i)
		line = append(line, `"`+c.name+`"`...)
	}
	n := 0
	if _, err := b.Write(append(line, '\n')); err != nil {
		return n, fmt.Errorf("write %s: %w", t, err)
	}
	for r := range rows {
		if !t.Holds(&r.Observation) {
			continue
		}
		line = line[:0]
		for i, c := range columns {
			line = next(line, i)
			line = append(line, field(c.value(&r), opt.Spreadsheet)...)
		}
		if _, err := b.Write(append(line, '\n')); err != nil {
			return n, fmt.Errorf("write %s: %w", t, err)
		}
		n++
	}
	if err := b.Flush(); err != nil {
		return n, fmt.Errorf("write %s: %w", t, err)
	}
	return n, nil
}

// next appends the comma before every field but the first.
func next(line []byte, i int) []byte {
	if i == 0 {
		return line
	}
	return append(line, ',')
}

var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// field returns one value in the dialect.
func field(value string, spreadsheet bool) string {
	if value == "" || len(value) < 32 && number.MatchString(value) {
		return value
	}
	value = readable(value)
	if spreadsheet {
		value = Defused(value)
	}
	return `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
}

// readable returns the value as UTF-8 without NUL.
func readable(value string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(value, "\ufffd"), "\x00", "\ufffd")
}

// Defused returns a value that no spreadsheet takes for a formula. The full
// width signs are formulas to East Asian versions of Excel.
func Defused(value string) string {
	for _, sign := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(value, sign) {
			return "'" + value
		}
	}
	return value
}
