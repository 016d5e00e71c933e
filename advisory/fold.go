package advisory

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// cells is how many columns a character takes: two where it is as wide as an
// ideograph.
func cells(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func textCells(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// Characters that begin no line, and that end none (JIS X 4051).
const (
	notFirst = "、。，．・：；？！）］｝」』】〉》〕ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々〜～…%％"
	notLast  = "（［｛「『【〈《〔"
)

// pieces splits a word at every place where a line may end within it: between
// ideographs, as Japanese is written without blanks.
func pieces(word string) []string {
	var out []string
	start := 0
	prev := utf8.RuneError
	for i, r := range word {
		if i > 0 && (cells(prev) == 2 || cells(r) == 2) && !strings.ContainsRune(notFirst, r) && !strings.ContainsRune(notLast, prev) {
			out = append(out, word[start:i])
			start = i
		}
		prev = r
	}
	return append(out, word[start:])
}

// fold breaks a paragraph into lines of at most textWidth columns: head stands
// before the first, indent before the others.
func fold(text, head, indent string) string {
	var b strings.Builder
	b.WriteString(head)
	column, empty := textCells(head), true
	for word := range strings.FieldsSeq(text) {
		for i, piece := range pieces(word) {
			n := textCells(piece)
			blank := 0
			if i == 0 && !empty {
				blank = 1
			}
			if !empty && column+blank+n > textWidth {
				b.WriteString("\n" + indent)
				column, blank = textCells(indent), 0
			}
			b.WriteString(strings.Repeat(" ", blank) + piece)
			column += blank + n
			empty = false
		}
	}
	return b.String()
}

// paragraphs splits prose at its empty lines.
func paragraphs(text string) []string {
	var out []string
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
