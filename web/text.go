package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/text/language"

	"ippwatch/gate"
	"ippwatch/phrase"
)

// A catalogue is the texts of one language by key, behind it those of English.
type catalogue struct {
	tag   string
	texts map[string]string
	says  map[string]string // of an English sentence that is kept: what it means
	book  *phrase.Book      // the same, to look it up
	sep   string            // between thousands
}

// A Language is one that there is.
type Language struct{ Tag, Name string }

// languages finds the best for a visitor.
type languages struct {
	matcher language.Matcher
	tags    []string
}

const english = "en"

// readTexts adds the catalogues of a directory: a file for each language, flat
// YAML, a text for each key.
func (s *Site) readTexts(fsys fs.FS, dir string) error {
	names, err := fs.Glob(fsys, path.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("read texts: %w", err)
		}
		tag := strings.TrimSuffix(path.Base(name), ".yaml")
		if t, err := language.Parse(tag); err != nil || t.String() != tag {
			return fmt.Errorf("read texts: %s: %q is not a language such as fr or pt-BR", name, tag)
		}
		var texts map[string]string
		if err := yaml.UnmarshalWithOptions(b, &texts, yaml.Strict()); err != nil {
			return fmt.Errorf("read texts: %s: %w", name, err)
		}
		if err := s.addTexts(tag, texts, dir == "."); err != nil {
			return fmt.Errorf("read texts: %s: %w", name, err)
		}
	}
	return nil
}

// place is where a key belongs: one with a space is an English sentence that is
// kept with what was found, see package phrase.
func (c catalogue) place(key string) map[string]string {
	if phrase.Is(key) {
		return c.says
	}
	return c.texts
}

// addTexts adds texts to the catalogue of a language.
func (s *Site) addTexts(tag string, texts map[string]string, better bool) error {
	book, ok := s.books[tag]
	if !ok {
		book = catalogue{tag: tag, texts: make(map[string]string), says: make(map[string]string)}
	}
	for key, text := range texts {
		into := book.place(key)
		if _, twice := into[key]; twice && !better { // a user's file may say it better
			return fmt.Errorf("there are two texts %s", key)
		}
		into[key] = text
	}
	s.books[tag] = book
	return nil
}

// lend adds what a language does not say yet, if it is one of the site.
func (s *Site) lend(tag string, texts map[string]string) {
	book, ok := s.books[tag]
	if !ok {
		return
	}
	for key, text := range texts {
		into := book.place(key)
		if _, better := into[key]; !better {
			into[key] = text
		}
	}
}

// speak makes the catalogues ready: what a language does not say is said in
// English.
func (s *Site) speak() error {
	s.tags = []string{english}
	for tag := range s.books {
		if tag != english {
			s.tags = append(s.tags, tag)
		}
	}
	slices.Sort(s.tags[1:])
	var tags []language.Tag
	for _, tag := range s.tags {
		tags = append(tags, language.Make(tag))
		book := s.books[tag]
		for key, text := range s.books[english].texts {
			if _, ok := book.texts[key]; !ok {
				book.texts[key] = text
			}
		}
		book.sep = book.texts["language.thousands"]
		var err error
		if book.book, err = phrase.New(book.says); err != nil {
			return fmt.Errorf("texts of %s: %w", tag, err)
		}
		s.books[tag] = book
	}
	s.chosen = &languages{language.NewMatcher(tags), s.tags}
	return nil
}

func (s *Site) languages() []Language {
	var all []Language
	for _, tag := range s.tags {
		all = append(all, Language{tag, s.books[tag].texts["language.name"]})
	}
	return all
}

const (
	langCookie  = "lang"
	themeCookie = "theme"
	keysCookie  = "keys"
)

// Language is that of the visitor: chosen, or what the browser asks for.
func (s *Site) Language(r *http.Request, v *gate.Visit) string {
	if tag := v.Cookie(r, langCookie); slices.Contains(s.tags, tag) {
		return tag
	}
	wanted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(wanted) == 0 {
		return english
	}
	_, i, confidence := s.chosen.matcher.Match(wanted...)
	if confidence == language.No {
		return english
	}
	return s.chosen.tags[i]
}

// text returns the text with its values. A key that is not known is shown, so
// that it is found; a test sees to it that there is none.
func (c catalogue) text(key string, args ...any) string {
	text, ok := c.texts[key]
	if !ok {
		return "⟦" + key + "⟧"
	}
	for i := 0; i+1 < len(args); i += 2 {
		text = strings.ReplaceAll(text, "{"+fmt.Sprint(args[i])+"}", fmt.Sprint(args[i+1]))
	}
	return text
}

func (c catalogue) count(key string, n int64, args ...any) string {
	if n == 1 {
		return c.text(key+".one", args...)
	}
	return c.text(key+".other", args...)
}

func (c catalogue) number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	head := ""
	if n < 0 {
		head, digits = "−", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + c.sep + digits[i:]
	}
	return head + digits
}

// A Said is a sentence for the eyes, and its language if that is not the page's.
type Said struct{ Text, Lang string }

// Said says in the visitor's language what ippwatch said in English when it kept
// it. What no form of the catalogue fits stays English, and says so to who reads
// it aloud (WCAG 2.2, success criterion 3.1.2).
func (c catalogue) said(sentence string) Said {
	if c.tag == english || sentence == "" {
		return Said{Text: sentence}
	}
	if text, ok := c.book.Say(sentence); ok {
		return Said{Text: text}
	}
	return Said{Text: sentence, Lang: english}
}

// word is the text PREFIX.WORD, or the word itself where there is none: words come
// from files, feeds and plug-ins, too.
func (c catalogue) word(prefix, word string) string {
	if text, ok := c.texts[wordKey(prefix, word)]; ok {
		return text
	}
	return word
}

func wordKey(prefix, word string) string {
	return prefix + "." + strings.ReplaceAll(word, " ", "_")
}

// errTexts is for tests of parts: see [Missing].
var errTexts = errors.New("texts are missing")

// Missing complains about keys that only some of the languages have.
func (s *Site) Missing(tags ...string) error {
	var wrong []string
	for _, p := range s.parts {
		if p.FS == nil {
			continue
		}
		said := make(map[string]map[string]string)
		for _, tag := range tags {
			b, err := fs.ReadFile(p.FS, "texts/"+tag+".yaml")
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			var texts map[string]string
			if err := yaml.Unmarshal(b, &texts); err != nil {
				return err
			}
			said[tag] = texts
		}
		for tag, texts := range said {
			for key := range texts {
				for _, other := range tags {
					if _, ok := said[other][key]; !ok && !phrase.Is(key) {
						wrong = append(wrong, fmt.Sprintf("%s has %s, %s has not", tag, key, other))
					}
				}
			}
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("%w:\n%s", errTexts, strings.Join(wrong, "\n"))
	}
	return nil
}
