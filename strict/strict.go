// Package strict reads the texts that people write for ippwatch, YAML above all,
// and tells every mistake with its place: file, line and column.
package strict

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// most complaints are told: a text with more of them is not what it was taken for.
const most = 20

// A File is a text while it is read, and what is wrong with it, so that a person
// mends all of it at once.
type File struct {
	Name string
	errs []complaint
	more bool // than most
}

// A Place is one in a text, both counted from 1.
type Place struct{ Line, Column int }

type complaint struct {
	Place
	err error
}

// At complains about a place.
func (f *File) At(line, column int, format string, args ...any) {
	f.add(Place{line, column}, fmt.Errorf("%s:%d:%d: %w", f.Name, line, column, fmt.Errorf(format, args...)))
}

// Add complains about the text as a whole, before all places.
func (f *File) Add(err error) { f.add(Place{}, err) }

func (f *File) add(p Place, err error) {
	if f.more = f.more || len(f.errs) == most; !f.more {
		f.errs = append(f.errs, complaint{p, err})
	}
}

// Mistakes counts the complaints.
func (f *File) Mistakes() int { return len(f.errs) }

// Full reports whether it is of no use to read on.
func (f *File) Full() bool { return f.more }

// Err returns the complaints in the order of the text, a line each, or nil.
func (f *File) Err() error {
	slices.SortStableFunc(f.errs, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var all []error
	for _, c := range f.errs {
		all = append(all, c.err)
	}
	if f.more {
		all = append(all, errors.New("and more of the kind"))
	}
	return errors.Join(all...)
}

// Plain returns the text without the byte order mark that editors on Windows
// leave, or complains: about one of more bytes than the limit, or that is none.
func (f *File) Plain(text []byte, limit int) (string, bool) {
	s := strings.TrimPrefix(string(text), "\ufeff")
	if len(s) > limit {
		f.At(1, 1, "the file has %d bytes: the limit is %d", len(s), limit)
		return "", false
	}
	if nul := strings.IndexByte(s, 0); nul >= 0 {
		f.At(1+strings.Count(s[:nul], "\n"), 1, "the text has a NUL")
		return "", false
	}
	if utf8.ValidString(s) {
		return s, true
	}
	line := 0
	for text := range strings.Lines(s) {
		if line++; !utf8.ValidString(text) {
			break
		}
	}
	f.At(line, 1, "the text is not UTF-8")
	return "", false
}

// CheckLine refuses what pages, mails and terminals cannot show on one line.
func CheckLine(s string, limit int) error { return check(s, limit, false) }

func check(s string, limit int, lines bool) error {
	strange := func(r rune) bool { return !unicode.IsGraphic(r) && (!lines || r != '\n') }
	if len(s) > limit {
		return fmt.Errorf("has %d bytes: the limit is %d", len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", Quote(s))
	}
	if at := strings.IndexFunc(s, strange); at >= 0 {
		return fmt.Errorf("%s has a character that does not print", Quote(s[max(0, at-20):]))
	}
	return nil
}

// Quote shows what somebody wrote: escaped, and not all of it when it is long.
func Quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return strconv.Quote(s)
}

// secrets are names under which people write secrets into a file.
var secrets = []string{"secret", "password", "passwd", "token", "apikey", "api_key", "key", "hmac"}

// advice says what may have been meant by a key that there is not.
func advice(key string, keys []string) string {
	lower := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	nearest, least := "", 4
	for _, k := range keys {
		if strings.HasSuffix(k, "_file") && slices.Contains(secrets, lower) && (strings.HasPrefix(k, lower) || strings.Contains(k, "secret")) {
			return ": secrets do not stand in this file: name the file that has it with " + k
		}
		if d := distance(lower, k); d < least && d <= max(1, len(k)/2) {
			nearest, least = k, d
		}
	}
	if nearest != "" {
		return ": did you mean " + nearest + "?"
	}
	return ": the keys are " + strings.Join(keys, ", ")
}

// distance is Levenshtein's, for words of a key's length.
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
