package web

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// still takes from a page what moves: escapes of terminals, for whoever copies
// it, and the signs that turn the direction of reading, by which a stranger's
// name rearranges the words around it. No text of ours has them.
func still(page []byte) []byte {
	if bytes.IndexFunc(page, moves) < 0 && utf8.Valid(page) {
		return page
	}
	return []byte(Visible(string(page)))
}

func moves(c rune) bool {
	switch {
	case c == '\n', c == '\t', c == '\r':
		return false
	case c < ' ', c == 0x7f, c >= 0x80 && c < 0xa0: // control characters
		return true
	case c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069: // embeddings, overrides, isolates
		return true
	case c == 0xfeff, c == 0x200e, c == 0x200f, c == 0x061c: // marks of direction
		return true
	}
	return false
}

// Visible returns the text with a sign in the place of each character that moves
// the cursor or the direction of reading, and of each byte that is no text.
func Visible(s string) string {
	return strings.Map(func(c rune) rune {
		if moves(c) {
			return '\ufffd'
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
}
