package web

import (
	"bytes"
	"fmt"
	"net/http"

	"ippwatch/gate"
)

// Block writes one block of a page as text, for an event of a stream.
func (s *Site) Block(r *http.Request, v *gate.Visit, name, block string, data any) (string, error) {
	page, ok := s.pages[name]
	if !ok {
		return "", fmt.Errorf("no page %s", name)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, block, s.sheet(r, v, name, data)); err != nil {
		return "", fmt.Errorf("write page %s: %w", name, err)
	}
	return b.String(), nil
}

// Text is the text of a key in the language of the visitor, for what is no page.
func (s *Site) Text(r *http.Request, v *gate.Visit, key string, args ...any) string {
	return s.books[s.Language(r, v)].text(key, args...)
}

// Has reports whether there is a text of the key in the language of the visitor.
func (s *Site) Has(r *http.Request, v *gate.Visit, key string) bool {
	_, ok := s.books[s.Language(r, v)].texts[key]
	return ok
}
