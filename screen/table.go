package screen

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A Table is aligned text. Cells are made printable here and nowhere else.
type Table struct {
	Head []string
	Rows [][]string
	// Paint colours a finished cell; nil paints nothing.
	Paint func(column int, cell string) string
}

// CellMax is the widest a cell may be, lastMax that of the last column, which
// pushes nothing aside; what is longer is cut with an ellipsis.
const (
	CellMax = 60
	lastMax = 240
)

// Write writes the table, the head in capitals.
func (t Table) Write(w io.Writer) error {
	width := make([]int, len(t.Head))
	for i, h := range t.Head {
		width[i] = utf8.RuneCountInString(h)
	}
	rows := make([][]string, len(t.Rows))
	for n, r := range t.Rows {
		rows[n] = make([]string, len(r))
		for i, c := range r {
			rows[n][i] = Clip(Printable(c), lastMax)
			if i < len(r)-1 {
				rows[n][i] = Clip(rows[n][i], CellMax)
				width[i] = max(width[i], utf8.RuneCountInString(rows[n][i]))
			}
		}
	}
	var b strings.Builder
	line := func(cells []string, paint func(int, string) string) {
		for i, c := range cells {
			shown := c
			if paint != nil {
				shown = paint(i, c)
			}
			b.WriteString(shown)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteByte('\n')
	}
	head := make([]string, len(t.Head))
	for i, h := range t.Head {
		head[i] = strings.ToUpper(strings.ReplaceAll(h, "_", " "))
	}
	line(head, nil)
	for _, r := range rows {
		line(r, t.Paint)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
