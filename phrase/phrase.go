// Package phrase says in another language what ippwatch once said in English and
// kept: it knows a sentence again by its form.
//
// What is found is kept as a sentence, with what a host said of itself within it.
// A form is that sentence with names in braces where the rest differs, and stands
// beside what it means in a file for each language:
//
//	"UDP port {n} is closed: nothing listens there": "An UDP-Port {n} lauscht nichts."
//
// What stands in a gap is left as it is, but for the gap {said}, which is a sentence
// itself, and for gaps that have forms of their own, as {printers} has in
//
//	"printers = 1 printer": "1 Drucker"
//
// So old findings are read in a new language, and machines go on reading English.
package phrase

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Book has the forms of one language.
type Book struct {
	forms map[string][]form // by the name of the gap that they are for; "said": of sentences
}

// A form is one sentence with its gaps.
type form struct {
	english string
	head    string // what is before the first gap: most that does not fit is told by it
	holds   string // the longest piece between gaps, likewise
	fits    *regexp.Regexp
	gaps    []gap
	says    string
}

type gap struct {
	name   string
	quoted bool // a stranger's words: they stay as they are
}

var (
	braces = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)
	part   = regexp.MustCompile(`\A([a-z]+) = `)
)

// sentence is the name of the gap that holds a sentence.
const sentence = "said"

// Is reports whether a key of a file is a form; other keys are one word.
func Is(key string) bool { return strings.Contains(key, " ") }

// New reads forms. A gap {n}, {n1} ... is a number; one between quotation marks
// is what Go quotes; any other is whatever is there. {how1} and {how2} are gaps of
// the name how.
func New(says map[string]string) (*Book, error) {
	b := &Book{forms: make(map[string][]form)}
	for english, text := range says {
		of := sentence
		if m := part.FindStringSubmatch(english); m != nil {
			of, english = m[1], english[len(m[0]):]
		}
		f, err := read(english, text)
		if err != nil {
			return nil, err
		}
		b.forms[of] = append(b.forms[of], f)
	}
	for of, forms := range b.forms {
		// A list is taken apart before its parts are looked at, and what fits a form
		// that says more is not what one with wider gaps says.
		slices.SortFunc(forms, func(x, y form) int {
			if c := cmp.Compare(y.count(of), x.count(of)); c != 0 {
				return c
			}
			if c := cmp.Compare(fixed(y.english), fixed(x.english)); c != 0 {
				return c
			}
			return strings.Compare(x.english, y.english)
		})
	}
	return b, nil
}

// count is how many gaps of a name it has.
func (f form) count(name string) (n int) {
	for _, g := range f.gaps {
		if g.of() == name {
			n++
		}
	}
	return n
}

// of is the name for which there may be forms.
func (g gap) of() string { return strings.TrimRight(g.name, "0123456789") }

// fixed is how much of a form is the same in each sentence.
func fixed(english string) int { return len(braces.ReplaceAllString(english, "")) }

func read(english, text string) (form, error) {
	f := form{english: english, says: text}
	var expr strings.Builder
	expr.WriteString(`(?s)\A`)
	at := 0
	for _, piece := range braces.Split(english, -1) {
		if len(piece) > len(f.holds) {
			f.holds = piece
		}
	}
	for _, m := range braces.FindAllStringIndex(english, -1) {
		name := english[m[0]+1 : m[1]-1]
		if slices.ContainsFunc(f.gaps, func(g gap) bool { return g.name == name }) {
			return f, fmt.Errorf("%q has {%s} twice", english, name)
		}
		expr.WriteString(regexp.QuoteMeta(english[at:m[0]]))
		quoted := m[0] > 0 && english[m[0]-1] == '"' && m[1] < len(english) && english[m[1]] == '"'
		switch {
		case quoted:
			expr.WriteString(`((?:[^"\\]|\\.)*)`)
		case name[0] == 'n' && strings.Trim(name[1:], "0123456789") == "":
			expr.WriteString(`([0-9]+)`)
		default:
			expr.WriteString(`(.+?)`)
		}
		if len(f.gaps) == 0 {
			f.head = english[:m[0]]
		}
		f.gaps = append(f.gaps, gap{name, quoted})
		at = m[1]
	}
	if len(f.gaps) == 0 {
		f.head = english
	}
	expr.WriteString(regexp.QuoteMeta(english[at:]) + `\z`)
	var err error
	if f.fits, err = regexp.Compile(expr.String()); err != nil {
		return f, fmt.Errorf("form %q: %w", english, err)
	}
	for _, m := range braces.FindAllString(text, -1) {
		if !slices.ContainsFunc(f.gaps, func(g gap) bool { return "{"+g.name+"}" == m }) {
			return f, fmt.Errorf("%q says %s, and the form has no such gap", english, m)
		}
	}
	return f, nil
}

// Bounds of what is looked at: what a stranger made very long is shown as it is.
const (
	maxText  = 8 << 10
	maxDepth = 8
)

// Say returns a sentence in the language of the book; ok is false when no form
// fits, and then it is returned as it was.
func (b *Book) Say(english string) (said string, ok bool) {
	if b == nil || len(english) > maxText {
		return english, false
	}
	return b.say(sentence, english, maxDepth)
}

func (b *Book) say(of, english string, depth int) (string, bool) {
	for _, f := range b.forms[of] {
		if !strings.HasPrefix(english, f.head) || !strings.Contains(english, f.holds) {
			continue
		}
		m := f.fits.FindStringSubmatch(english)
		if m == nil {
			continue
		}
		pairs := make([]string, 0, 2*len(f.gaps))
		for j, g := range f.gaps {
			value := m[j+1]
			if !g.quoted && depth > 1 {
				value, _ = b.say(g.of(), value, depth-1)
			}
			pairs = append(pairs, "{"+g.name+"}", value)
		}
		return strings.NewReplacer(pairs...).Replace(f.says), true
	}
	return english, false
}
