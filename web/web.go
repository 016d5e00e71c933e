// Package web is the site in which all pages stand: their frame, texts, styles
// and the pages that every visitor needs.
//
// Other packages bring theirs as a [Part]. A page works without a script, loads
// nothing from any other host, and says nothing that is not in a catalogue.
package web

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/store"
)

//go:embed all:pages texts assets
var own embed.FS

// Options are what the site needs.
type Options struct {
	Store   *store.Store
	Gate    *gate.Gate
	Version string
	// Texts is a directory with catalogues of further languages; empty: none.
	Texts string
	// Generated says on every page that nothing of what it shows is real.
	Generated bool
}

// A Part is some pages of the site.
type Part struct {
	// FS has pages/*.html, texts/LANGUAGE.yaml and assets/*; each may be missing.
	FS     fs.FS
	Nav    []Link
	Routes []gate.Route
}

// A Link leads from the navigation to a page.
type Link struct {
	Path  string
	Text  string // key of the catalogue
	Roles []access.Role
	Order int    // small ones first
	Group string // one of groups
	// Key is the letter that goes there after "g"; empty: none.
	Key string
}

// A Site is all pages. It is put together before it serves.
type Site struct {
	Options
	parts  []Part
	nav    []Link
	books  map[string]catalogue
	tags   []string // languages, English first
	chosen *languages
	pages  map[string]*template.Template
	assets map[string]*asset // by name
	hashed map[string]*asset // by the name with the hash
	search []access.Role     // who may search, if there is a search
}

// New returns the site with its own pages.
func New(o Options) (*Site, error) {
	s := &Site{
		Options: o, books: make(map[string]catalogue), pages: make(map[string]*template.Template),
		assets: make(map[string]*asset), hashed: make(map[string]*asset),
	}
	if err := s.Add(s.own()); err != nil {
		return nil, err
	}
	o.Gate.Page = s.problem
	return s, nil
}

// Add adds a part, and its routes to the gate.
func (s *Site) Add(p Part) error {
	if p.FS != nil {
		if err := s.readTexts(p.FS, "texts"); err != nil {
			return err
		}
		if err := s.readAssets(p.FS); err != nil {
			return err
		}
	}
	s.parts = append(s.parts, p)
	s.nav = append(s.nav, p.Nav...)
	for _, r := range p.Routes {
		if r.Pattern == searchPath {
			s.search = r.Roles
		}
	}
	slices.SortStableFunc(s.nav, func(a, b Link) int { return cmp.Compare(a.Order, b.Order) })
	return s.Gate.Add(p.Routes...)
}

// searchPath is where the box in the head of every page sends what is searched.
const searchPath = "/search"

// Close ends the putting together: it reads all pages, and complains about what
// does not fit.
func (s *Site) Close() error {
	if s.Texts != "" {
		if err := s.readTexts(os.DirFS(s.Texts), "."); err != nil {
			return fmt.Errorf("web.texts: %w", err)
		}
	}
	s.speak()
	if err := s.checkKeys(); err != nil {
		return err
	}
	if err := s.checkGroups(); err != nil {
		return err
	}
	base := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"int64": func(n int) int64 { return int64(n) }})
	var pages []string
	from := make(map[string]fs.FS)
	for _, p := range s.parts {
		if p.FS == nil {
			continue
		}
		names, err := fs.Glob(p.FS, "pages/*.html")
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(path.Base(name), "_") { // for all pages
				if _, err := base.ParseFS(p.FS, name); err != nil {
					return fmt.Errorf("read page %s: %w", name, err)
				}
				continue
			}
			if _, twice := from[name]; twice {
				return fmt.Errorf("read page %s: there are two of this name", name)
			}
			from[name] = p.FS
			pages = append(pages, name)
		}
	}
	for _, name := range pages {
		page, err := base.Clone()
		if err == nil {
			_, err = page.ParseFS(from[name], name)
		}
		if err != nil {
			return fmt.Errorf("read page %s: %w", name, err)
		}
		s.pages[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return nil
}

// checkKeys complains about two pages with one key.
func (s *Site) checkKeys() error {
	to := make(map[string]string)
	for _, l := range s.nav {
		if l.Key == "" {
			continue
		}
		if other, taken := to[l.Key]; taken {
			return fmt.Errorf("key %q: it goes to %s and to %s", l.Key, other, l.Path)
		}
		to[l.Key] = l.Path
	}
	return nil
}

// groups are the parts of the navigation, in their order: the daily work, what is
// measured, what protects, what everybody may see, and the house itself. Their
// texts are nav.GROUP.
var groups = []string{"work", "measure", "protect", "public", "house"}

// checkGroups complains about a link that is in none of them.
func (s *Site) checkGroups() error {
	for _, l := range s.nav {
		if !slices.Contains(groups, l.Group) {
			return fmt.Errorf("navigation: %s is in the group %q: want one of %s", l.Path, l.Group, strings.Join(groups, ", "))
		}
	}
	return nil
}

// A Sheet is what a template gets as its dot.
type Sheet struct {
	site *Site
	r    *http.Request
	book catalogue

	Visit *gate.Visit
	Name  string // of the page
	Lang  string
	Theme string // auto, light, dark
	Keys  string // on, off: whether single letters do something
	Path  string // with the query, to come back to
	Data  any
	Nav   []Item
	// Searches says that the visitor may search; Sought is what for.
	Searches bool
	Sought   string
}

// An Item is a link of the navigation as one visitor sees it.
type Item struct {
	Path, Text, Key string
	Here            bool
	group           string
}

// A Menu is a group of the navigation as one visitor sees it.
type Menu struct {
	Text  string
	Items []Item
	Open  bool // from the start: the page is there, or it is the first
}

// fewItems are so few that they stand in one list.
const fewItems = 7

// Menus are the groups of the navigation; one without a name when that is enough.
func (s *Sheet) Menus() []Menu {
	if len(s.Nav) <= fewItems {
		return []Menu{{Items: s.Nav, Open: true}}
	}
	var all []Menu
	for _, group := range groups {
		m := Menu{Text: s.T("nav." + group), Open: len(all) == 0}
		for _, i := range s.Nav {
			if i.group == group {
				m.Items = append(m.Items, i)
				m.Open = m.Open || i.Here
			}
		}
		if len(m.Items) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// A Show says how a page is shown.
type Show struct {
	Status int    // 0: 200
	Cache  string // empty: nobody keeps it
}

// Page shows a page: pages/NAME.html, which defines "content". Its title is the
// text NAME.title.
func (s *Site) Page(w http.ResponseWriter, r *http.Request, v *gate.Visit, name string, data any, how ...Show) error {
	return s.show(w, r, v, name, "layout", data, how...)
}

// Fragment shows one block of a page alone, for a script that puts it in its
// place.
func (s *Site) Fragment(w http.ResponseWriter, r *http.Request, v *gate.Visit, name, block string, data any) error {
	return s.show(w, r, v, name, block, data)
}

func (s *Site) show(w http.ResponseWriter, r *http.Request, v *gate.Visit, name, block string, data any, how ...Show) error {
	show := Show{Cache: gate.Private}
	if len(how) > 0 {
		show.Status, show.Cache = how[0].Status, cmp.Or(how[0].Cache, show.Cache)
	}
	page, ok := s.pages[name]
	if !ok {
		return fmt.Errorf("no page %s", name)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, block, s.sheet(r, v, name, data)); err != nil {
		return fmt.Errorf("write page %s: %w", name, err)
	}
	w.Header().Add("Vary", "Cookie, Accept-Language")
	return gate.Send(w, r, show.Status, "text/html; charset=utf-8", show.Cache, still(b.Bytes()))
}

func (s *Site) sheet(r *http.Request, v *gate.Visit, name string, data any) *Sheet {
	lang := s.Language(r, v)
	sh := &Sheet{
		site: s, r: r, book: s.books[lang], Visit: v, Name: name, Lang: lang, Theme: theme(v.Cookie(r, themeCookie)), Data: data,
		Path: r.URL.RequestURI(), Keys: keys(v.Cookie(r, keysCookie)), Searches: v.LoggedIn() && slices.Contains(s.search, v.Role),
	}
	if r.URL.Path == searchPath {
		sh.Sought = r.URL.Query().Get("q")
	}
	if r.Method != http.MethodGet || name == "problem" || v.Route != nil && strings.Contains(v.Route.Pattern, "{token") {
		sh.Path = "/" // nowhere to come back to
	}
	for _, l := range s.nav {
		if slices.Contains(l.Roles, v.Role) {
			here := r.URL.Path == l.Path || l.Path != "/" && strings.HasPrefix(r.URL.Path, strings.TrimSuffix(l.Path, "/")+"/")
			sh.Nav = append(sh.Nav, Item{Path: l.Path, Text: sh.T(l.Text), Key: l.Key, Here: here, group: l.Group})
		}
	}
	return sh
}

// problem shows people why a request was not served.
func (s *Site) problem(w http.ResponseWriter, r *http.Request, v *gate.Visit, p *gate.Problem) {
	if err := s.Page(w, r, v, "problem", p, Show{Status: p.Status}); err != nil {
		s.Gate.Log.Error("cannot show a problem", "request", v.ID, "err", err.Error())
		gate.WriteProblem(w, *p)
	}
}

// T is the text of a key in the language of the visitor; args are names and
// values for what stands in braces.
func (s *Sheet) T(key string, args ...any) string { return s.book.text(key, args...) }

// N is the text of a number of things: KEY.one or KEY.other.
func (s *Sheet) N(key string, n int64, args ...any) string {
	return s.book.count(key, n, append([]any{"n", s.Number(n)}, args...)...)
}

// Has reports whether there is a text of the key.
func (s *Sheet) Has(key string) bool { _, ok := s.book.texts[key]; return ok }

// Title is the title of the page.
func (s *Sheet) Title() string { return s.T(s.Name + ".title") }

// Asset is the address of a file of ours.
func (s *Sheet) Asset(name string) (string, error) { return s.site.Asset(name) }

// CSRF is the hidden field that every form has.
func (s *Sheet) CSRF() template.HTML {
	return template.HTML(`<input type="hidden" name="` + gate.TokenField + `" value="` + s.Visit.CSRF(s.r) + `">`) //nolint:gosec // it is base64
}

// CSRFToken is the token for a script, which sends it in X-CSRF-Token.
func (s *Sheet) CSRFToken() string { return s.Visit.CSRF(s.r) }

// Number writes a number as the language does.
func (s *Sheet) Number(n int64) string { return s.book.number(n) }

// Time writes a time, in UTC; "-" for none.
func (s *Sheet) Time(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("2006-01-02 15:04") + ` UTC</time>`) //nolint:gosec // it is digits
}

// Day writes a day, in UTC; "-" for none.
func (s *Sheet) Day(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return template.HTML(`<time>` + t.UTC().Format(time.DateOnly) + `</time>`) //nolint:gosec // it is digits
}

// May reports whether the visitor may do it: read, answer, change, administer,
// audit.
func (s *Sheet) May(what string) bool { return s.Visit.May(access.Right(what)) }

// Generated reports whether nothing of what is shown is real.
func (s *Sheet) Generated() bool { return s.site.Generated }

// Themes are those that there are.
func (s *Sheet) Themes() []string { return []string{"auto", "light", "dark"} }

// Languages are those that there are, with their own names.
func (s *Sheet) Languages() []Language { return s.site.languages() }

// Version is that of ippwatch.
func (s *Sheet) Version() string { return s.site.Version }
