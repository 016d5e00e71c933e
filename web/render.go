package web

import (
	"bytes"
	"fmt"
	"net/http"

	"ippwatch/gate"
)

// Render is [Site.Page] for a part that keeps finished pages: it returns the page
// instead of sending it. What it returns has the visitor in it: kept pages are for
// strangers, one for each language and theme.
func (s *Site) Render(r *http.Request, v *gate.Visit, name string, data any) ([]byte, error) {
	page, ok := s.pages[name]
	if !ok {
		return nil, fmt.Errorf("no page %s", name)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, "layout", s.sheet(r, v, name, data)); err != nil {
		return nil, fmt.Errorf("write page %s: %w", name, err)
	}
	return still(b.Bytes()), nil
}

// Sheet is what the template of a page gets, for texts in what is no page.
func (s *Site) Sheet(r *http.Request, v *gate.Visit, name string) *Sheet {
	return s.sheet(r, v, name, nil)
}

// Appearance names all that makes one stranger's page differ from another's.
func (s *Site) Appearance(r *http.Request, v *gate.Visit) string {
	return s.Language(r, v) + " " + theme(v.Cookie(r, themeCookie))
}
