package advisory

import (
	"strings"
)

// DocumentMail returns an advisory of [Texts.Document] as a mail in plain text.
func DocumentMail(document string) Mail {
	var m Mail
	var b strings.Builder
	lines := strings.Split(document, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```"):
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
				b.WriteString("    " + strings.ReplaceAll(lines[i], "\t", "  ") + "\n")
			}
		case strings.HasPrefix(line, "|"):
			from := i
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|") {
				i++
			}
			b.WriteString(listed(lines[from : i+1]))
		case strings.HasPrefix(line, "# "):
			m.Subject = unmarked(line[2:])
			b.WriteString(underlined(m.Subject, "="))
		case strings.HasPrefix(line, "## "):
			b.WriteString(underlined(unmarked(line[3:]), "-"))
		case strings.HasPrefix(line, "### "):
			b.WriteString(fold(unmarked(line[4:]), "", "") + "\n")
		case strings.HasPrefix(line, "- "):
			b.WriteString(fold(unmarked(line[2:]), "- ", "  ") + "\n")
		default:
			b.WriteString(fold(unmarked(line), "", "") + "\n")
		}
	}
	m.Text = tidy(b.String())
	return m
}

func underlined(text, with string) string {
	return fold(text, "", "") + "\n" + strings.Repeat(with, min(textWidth, textCells(text))) + "\n"
}

// listed turns a table into a list, as a mail has no columns: the first cell
// of a row, and then each other with the word of its column.
func listed(table []string) string {
	head := cellsOf(table[0])
	var b strings.Builder
	for _, line := range table[min(2, len(table)):] {
		cells := cellsOf(line)
		var rest []string
		for i := 1; i < min(len(cells), len(head)); i++ {
			rest = append(rest, unmarked(head[i])+" "+unmarked(cells[i]))
		}
		b.WriteString(fold(unmarked(cells[0])+": "+strings.Join(rest, "; "), "- ", "  ") + "\n")
	}
	return b.String()
}

// cellsOf splits a row of a table at its bars, but not at those that are escaped.
func cellsOf(line string) []string {
	var cells []string
	var cell strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			cell.WriteString(line[i : i+2])
			i++
		case line[i] == '|':
			cells = append(cells, strings.TrimSpace(cell.String()))
			cell.Reset()
		default:
			cell.WriteByte(line[i])
		}
	}
	if len(cells) > 0 {
		cells = cells[1:] // what stands before the first bar
	}
	if len(cells) == 0 {
		return []string{""}
	}
	return cells
}

// unmarked takes the marks of emphasis and code away, and the escapes.
func unmarked(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && strings.IndexByte("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case strings.HasPrefix(text[i:], "**"):
			i++
		case text[i] == '`':
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}
