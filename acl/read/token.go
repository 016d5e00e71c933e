package read

import (
	"slices"
	"strings"

	"ippwatch/acl"
)

// A token is a word of nftables or pf, which tear their text apart alike. It is
// small, since a large text has many; the reader knows the file.
type token struct {
	word   string
	line   int32
	quoted bool
}

// is reports whether the token is one of the words, and not in quotes.
func (t token) is(words ...string) bool { return !t.quoted && slices.Contains(words, t.word) }

// A lexicon says what ends a word.
type lexicon struct {
	blanks  string   // stand between words
	singles string   // are words by themselves
	doubles []string // are words by themselves, of two characters
}

// tokens takes a text apart. A newline is a token: it ends a rule.
func (x lexicon) tokens(t acl.Text) []token {
	var all []token
	here := int32(0)
	ends := x.blanks + x.singles + `"#`
	for text := range strings.Lines(t.Body) {
		here++
		text = strings.TrimRight(text, "\r\n")
		goesOn := strings.HasSuffix(text, "\\")
		text = strings.TrimSuffix(text, "\\")
		for text != "" {
			switch c := text[:1]; {
			case strings.Contains(x.blanks, c):
				text = text[1:]
			case c == "#":
				text = ""
			case c == `"`:
				word, rest, _ := strings.Cut(text[1:], `"`)
				all = append(all, token{word, here, true})
				text = rest
			case len(text) > 1 && slices.Contains(x.doubles, text[:2]):
				all = append(all, token{text[:2], here, false})
				text = text[2:]
			case strings.Contains(x.singles, c):
				all = append(all, token{c, here, false})
				text = text[1:]
			default:
				n := strings.IndexAny(text, ends)
				if n < 0 {
					n = len(text)
				}
				all = append(all, token{text[:n], here, false})
				text = text[n:]
			}
		}
		if !goesOn {
			all = append(all, token{"\n", here, false})
		}
	}
	return all
}
