package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"golang.org/x/net/html"

	"ippwatch/access"
	"ippwatch/gate"
)

// catalogues are the texts of all parts in a language, by key.
func catalogues(t *testing.T, lang string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var files []string
	for _, pattern := range []string{"../../*/texts", "../../*/*/texts"} {
		found, err := filepath.Glob(filepath.Join(pattern, lang+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts := make(map[string]string)
		if err := yaml.Unmarshal(b, &texts); err != nil {
			t.Fatal(err)
		}
		for key, text := range texts {
			all[key] = text
		}
	}
	if len(all) == 0 {
		t.Fatalf("no texts in %s", lang)
	}
	return all
}

// ask returns a page as somebody sees it in a language.
func (c *city) ask(t *testing.T, g *gate.Gate, path string, role access.Role, lang string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ippwatch.test"+path, nil)
	r.AddCookie(&http.Cookie{Name: "lang", Value: lang})
	for _, reader := range cityRoles[1:] {
		if reader.role == role {
			cookie, _ := c.login(reader.name)
			r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		}
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code >= 400 {
		t.Errorf("%s to %s: %d", path, role, w.Code)
	}
	return w.Body.String()
}

// spoken are the texts that somebody reads or hears in a page: not what is code.
func spoken(page string) []string {
	var all []string
	say := func(s string) {
		if s = strings.Join(strings.Fields(s), " "); s != "" {
			all = append(all, s)
		}
	}
	quiet := 0
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return all
		}
		token := z.Token()
		switch kind {
		case html.TextToken:
			if quiet == 0 {
				say(token.Data)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range token.Attr {
				if slices.Contains([]string{"title", "aria-label", "alt", "data-label", "aria-description"}, a.Key) {
					say(a.Val)
				}
			}
			if kind == html.StartTagToken && unspoken(token.Data) {
				quiet++
			}
		case html.EndTagToken:
			if unspoken(token.Data) {
				quiet--
			}
		}
	}
}

func unspoken(element string) bool {
	return slices.Contains([]string{"script", "style", "code", "pre", "time"}, element)
}

var braces = regexp.MustCompile(`\\\{[a-z_]+\\\}`)

// german holds that whoever reads German reads nothing in English that there is a
// German text for.
func (c *city) german(t *testing.T) {
	en, de := catalogues(t, "en"), catalogues(t, "de")
	inGerman := make(map[string]bool)
	for _, text := range de {
		inGerman[strings.Join(strings.Fields(text), " ")] = true
	}
	left := make(map[string]string) // English text: key
	var patterns []*regexp.Regexp
	for key, text := range en {
		text = strings.Join(strings.Fields(text), " ")
		if inGerman[text] || len(text) < 5 || key == "language.name" {
			continue
		}
		left[text] = key
		if strings.Contains(text, "{") && len(braces.ReplaceAllString(regexp.QuoteMeta(text), "")) > 12 {
			patterns = append(patterns, regexp.MustCompile("^"+braces.ReplaceAllString(regexp.QuoteMeta(text), ".+")+"$"))
		}
	}
	for _, role := range []access.Role{access.RolePublic, access.RoleConstituent, access.RoleOperator} {
		for _, path := range c.pages(role) {
			body := c.ask(t, c.gate, path, role, "de")
			if strings.Contains(body, "⟦") {
				t.Errorf("%s for %s has a text that is not there: %.80s", path, role, body[strings.Index(body, "⟦"):])
			}
			if !strings.Contains(body, `<html lang="de"`) && !strings.Contains(body, "http-equiv") && body != "" && !strings.HasPrefix(body, "<a href") {
				t.Errorf("%s for %s does not say that it is German", path, role)
			}
			for _, text := range spoken(body) {
				if strings.HasPrefix(path, "/settings") && !strings.Contains(text, " ") {
					continue // names of settings and of checks, as the command line has them
				}
				key, english := left[text]
				if english || slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(text) }) {
					t.Errorf("%s for %s says in English: %q %s", path, role, text, key)
				}
			}
		}
	}
}

// ownLanguage gives the site a language by file, as an administrator would, that
// marks each text; some of them it leaves out.
func (c *city) ownLanguage(t *testing.T) {
	dir := t.TempDir()
	var file strings.Builder
	missing := ""
	for key, text := range catalogues(t, "en") {
		switch {
		case key == "layout.skip":
			missing = text
			continue
		case key == "language.name":
			text = "Esperanto"
		case key != "language.thousands":
			text = "⟪" + text + "⟫"
		}
		line, err := yaml.Marshal(map[string]string{key: text})
		if err != nil {
			t.Fatal(err)
		}
		file.Write(line)
	}
	if err := os.WriteFile(filepath.Join(dir, "eo.yaml"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	english := c.gate
	defer func() { c.gate = english }()
	c.gate = c.site(dir)
	g := c.gate
	for _, path := range c.pages(access.RoleOperator) {
		body := c.ask(t, g, path, access.RoleOperator, "eo")
		if strings.HasPrefix(body, "<a href") || body == "" { // elsewhere
			continue
		}
		if !strings.Contains(body, `<html lang="eo"`) || !strings.Contains(body, missing) || !strings.Contains(body, "⟪") {
			t.Errorf("%s is not in the language of the file, or lacks what the file does not say", path)
		}
	}
	if body := c.ask(t, g, "/preferences", access.RolePublic, "en"); !strings.Contains(body, "Esperanto") {
		t.Error("nobody can choose it")
	}
}

var (
	action  = regexp.MustCompile(`(?s)\{\{-? ?/\*.*?\*/ ?-?\}\}|\{\{.*?\}\}|<noscript>.*?</noscript>`)
	english = regexp.MustCompile(`[A-Za-z]{2,}`)
	// proper names and formats are the same in every language.
	proper = regexp.MustCompile(`\b(openapi\.(?:json|yaml)|ippwatch|DB-IP|UTC|CSV|JSON|NDJSON|SVG|PNG|HTML|ASN|API|URL|PDF|RSS|Atom|AS|IP|CIDR|IPP|CUPS|OpenAPI|DOT|CSAF|TCP|UDP|UUID|ID|MB|kB)\b`)
)

// TestTemplatesSayNothing holds that what people read stands in the catalogues.
func TestTemplatesSayNothing(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../*/pages/*.html", "../../*/*/pages/*.html"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no pages")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range spoken(action.ReplaceAllString(string(b), " ")) {
			if word := english.FindString(proper.ReplaceAllString(text, "")); word != "" && !strings.Contains(text, `="`) { // an attribute inside an action
				t.Errorf("%s says %q itself: put it into the texts", file, text)
			}
		}
	}
}
