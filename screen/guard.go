package screen

import (
	"io"
	"strings"
	"unicode/utf8"
)

// A guard writes to a terminal what was meant for a machine. Files are exact;
// on a screen the bytes of strangers must not move the cursor, colour or hide.
type guard struct {
	w    io.Writer
	tail []byte // of a character that is not complete yet
}

func (g *guard) Write(b []byte) (int, error) {
	text := append(g.tail, b...)
	end := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if at := len(text) - i; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				end = at
			}
			break
		}
	}
	var shown strings.Builder
	for line := range strings.Lines(string(text[:end])) {
		body, broken := strings.CutSuffix(line, "\n")
		shown.WriteString(Printable(body))
		if broken {
			shown.WriteByte('\n')
		}
	}
	g.tail = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(g.w, shown.String()); err != nil {
		return 0, err
	}
	return len(b), nil
}
