package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/store"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// toys is a table of which a test knows all.
func toys() *Table {
	return &Table{
		Name: "toys", Title: "toys.title", Sort: "-seen", Empty: "toys.empty", Limit: 2, Post: "/toys/do",
		Columns: []Column{
			{Name: "name", Text: "toys.name", Sorts: true, Head: true},
			{Name: "n", Text: "toys.n", Number: true, Sorts: true},
			{Name: "seen", Text: "toys.seen", Sorts: true},
			{Name: "raw", Text: "toys.raw", Export: true},
		},
		Fields: []Field{
			{Name: "q", Text: "toys.name", Kind: Words},
			{Name: "kind", Text: "toys.kind", Kind: Many, Options: Choices("toys", "car", "doll")},
			{Name: "since", Text: "toys.seen", Kind: Date},
			{Name: "least", Text: "toys.n", Kind: Number},
		},
		Actions: []Action{{Name: "mend", Text: "toys.mend"}},
	}
}

const hostile = `=HYPERLINK("http://203.0.113.1")<script>alert(1)</script>`

func toyRows(names ...string) []Row {
	var rows []Row
	for i, name := range names {
		rows = append(rows, Row{ID: name, Cells: []Cell{
			{Value: name, Link: "/toys/" + url.PathEscape(name)}, {Value: i}, {Value: noon.Add(time.Duration(i) * time.Hour)}, {Value: []string{"a", "b"}},
		}})
	}
	return rows
}

func fields(t *testing.T, query string) (Query, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return toys().ReadValues(values)
}

func TestReadTable(t *testing.T) {
	q, err := fields(t, "kind=car&kind=doll&kind=car&q=+a+&least=7&since=2026-11-20&sort=n&limit=100&after=x&n=50&other=1")
	if err != nil {
		t.Fatal(err)
	}
	if len(q.All("kind")) != 2 || q.Get("q") != "a" || q.Int("least") != 7 || q.Day("since").Day() != 20 || q.Sort != "n" || q.Down || q.Limit != 100 || q.After != "x" {
		t.Errorf("read %+v", q)
	}
	if q, err = fields(t, ""); err != nil || q.Sort != "seen" || !q.Down || q.Limit != 2 || q.Narrowed() {
		t.Errorf("nothing reads as %+v, %v", q, err)
	}
	if q, err = fields(t, "format=csv&after=x&limit=3"); err != nil || q.Limit != 0 || q.After != "" {
		t.Errorf("an export reads as %+v, %v", q, err)
	}
	for _, bad := range []string{
		"sort=raw", "sort=-", "sort=nothing", "kind=ball", "since=26.11.2026", "least=-1", "least=x", "limit=0", "limit=501", "limit=x", "format=pdf",
		"q=" + strings.Repeat("x", 300), "q=%ff", "after=%ff",
	} {
		_, err := fields(t, bad)
		if p, ok := errors.AsType[*gate.Problem](err); !ok || p.Status != http.StatusBadRequest {
			t.Errorf("?%s: %v, want a bad request", bad, err)
		}
	}
}

func TestSorted(t *testing.T) {
	rows := toyRows("b", "C", "a", "d")
	for query, want := range map[string]string{
		"sort=name": "abCd", "sort=-name": "dCba", "sort=n": "bCad", "": "daCb", "sort=name&after=b": "Cd", "sort=name&after=d": "", "sort=name&after=gone": "abCd",
	} {
		q, err := fields(t, query)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for r, err := range Sorted(toys(), q, rows) {
			if err != nil {
				t.Fatal(err)
			}
			got += r.ID
		}
		if got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
}

// toyShop is a site with one table, for everybody.
func toyShop(t *testing.T, rows func(t *Table) Rows) (*gate.Gate, *store.Store) {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	config := gate.Default()
	config.Rate = 0
	g, err := gate.New(gate.Options{
		Config: config, Keeper: st, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
		Views: func(_ context.Context, role access.Role, _, who string, at time.Time) (access.View, error) {
			return role.View(who, at), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	site, err := New(Options{Store: st, Gate: g, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	texts := "toys.title: Toys\ntoys.empty: Buy one.\ntoys.name: Name\ntoys.n: Number\ntoys.seen: Seen\ntoys.raw: Raw\ntoys.kind: Kind\ntoys.car: Car\ntoys.doll: Doll\ntoys.mend: Mend\n"
	if err := site.Add(Part{
		FS: fstest.MapFS{
			"pages/toys.html":     {Data: []byte(`{{define "content"}}<h1>{{.Title}}</h1>{{template "table" (.Table .Data)}}{{end}}`)},
			"pages/toyboxes.html": {Data: []byte(`{{define "content"}}<h1>{{.T "toys.title"}}</h1>{{range .Data}}{{template "table" ($.Table .)}}{{end}}{{end}}`)},
			"texts/en.yaml":       {Data: []byte(texts)}, "texts/de.yaml": {Data: []byte(texts)},
		},
		Nav: []Link{{Path: "/toys", Group: "work", Text: "toys.title", Roles: access.Roles, Order: 1, Key: "y"}},
		Routes: []gate.Route{
			{Method: "GET", Pattern: "/toys", Kind: gate.Page, Roles: access.Roles, Serve: func(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
				table := toys()
				return site.List(w, r, v, "toys", table, rows(table), nil)
			}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	if err := site.Close(); err != nil {
		t.Fatal(err)
	}
	if err := site.Missing("en", "de"); err != nil {
		t.Error(err)
	}
	return g, st
}

func inMemory(names ...string) func(*Table) Rows {
	return func(t *Table) Rows {
		return func(q Query) iter.Seq2[Row, error] { return Sorted(t, q, toyRows(names...)) }
	}
}

func get(t *testing.T, g *gate.Gate, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w
}

func TestTablePage(t *testing.T) {
	g, _ := toyShop(t, inMemory("a", "b", hostile))
	page := get(t, g, "/toys?sort=name&kind=car").Body.String()
	for _, want := range []string{
		`aria-sort="ascending"`, `href="/toys?kind=car&amp;sort=-name"`, `<a class="button quiet" href="/toys?after=a&amp;kind=car&amp;n=2&amp;sort=name" rel="next">`,
		`&lt;script&gt;alert(1)`, `Rows 1 to 2.`, `There are more.`, `href="/toys?format=csv&amp;kind=car&amp;sort=name"`, `Kind: Car`,
		`name="filter" value="kind=car"`, `<button name="action" value="mend"`, `data-key="y"`, `<option value="name" selected>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, bad := range []string{"<script>alert", "⟦", "raw"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	second := get(t, g, "/toys?after=a&kind=car&n=2&sort=name").Body.String()
	for _, want := range []string{"Rows 3 to 3.", `rel="first"`, `>b</a>`} {
		if !strings.Contains(second, want) {
			t.Errorf("the second page lacks %s", want)
		}
	}
	if strings.Contains(second, `rel="next"`) {
		t.Error("behind the last row there is more")
	}
	if t.Failed() {
		t.Log(page)
	}
	if w := get(t, g, "/toys?sort=nothing"); w.Code != http.StatusBadRequest {
		t.Errorf("an order that is not: %d", w.Code)
	}
}

func TestTableEmpty(t *testing.T) {
	g, _ := toyShop(t, inMemory())
	if page := get(t, g, "/toys").Body.String(); !strings.Contains(page, "Buy one.") || strings.Contains(page, "format=csv") {
		t.Error("an empty table does not say what to do, or exports nothing")
	}
	if page := get(t, g, "/toys?q=x").Body.String(); !strings.Contains(page, "Nothing fits the filter.") {
		t.Error("a filter that finds nothing does not say so")
	}
}

func TestExport(t *testing.T) {
	g, _ := toyShop(t, inMemory("a", hostile, "b\x00\xff"))
	w := get(t, g, "/toys?format=csv&sort=n")
	want := "name,n,seen,raw\r\n" +
		"a,0,2026-11-26T12:00:00Z,a b\r\n" +
		`"'=HYPERLINK(""http://203.0.113.1"")<script>alert(1)</script>",1,2026-11-26T13:00:00Z,a b` + "\r\n" +
		"b\ufffd\ufffd,2,2026-11-26T14:00:00Z,a b\r\n"
	if got := w.Body.String(); got != want {
		t.Errorf("csv is %q,\nwant %q", got, want)
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="ippwatch-toys-2026-11-26.csv"` {
		t.Errorf("it is called %s", got)
	}
	var all []map[string]any
	if err := json.Unmarshal(get(t, g, "/toys?format=json&sort=n").Body.Bytes(), &all); err != nil || len(all) != 3 || all[1]["name"] != hostile || all[0]["n"] != 0.0 {
		t.Errorf("json is %v, %v", all, err)
	}
	lines := strings.Split(strings.TrimSpace(get(t, g, "/toys?format=ndjson&sort=n").Body.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `{"name":"a","n":0,"seen":"2026-11-26T12:00:00Z","raw":["a","b"]}`) {
		t.Errorf("ndjson is %q", lines)
	}
}

// TestExportWhole exports more than a page or a buffer holds, and breaks off when
// the rows do: half a file must not pass for a whole one.
func TestExportWhole(t *testing.T) {
	broken := errors.New("the disk is gone")
	rows := func(fail bool) func(*Table) Rows {
		return func(*Table) Rows {
			return func(q Query) iter.Seq2[Row, error] {
				return func(yield func(Row, error) bool) {
					if q.Limit != 0 {
						yield(Row{}, errors.New("an export has a limit"))
						return
					}
					for i := range 20_000 {
						if !yield(toyRows(fmt.Sprintf("toy %d", i))[0], nil) {
							return
						}
					}
					if fail {
						yield(Row{}, broken)
					}
				}
			}
		}
	}
	g, _ := toyShop(t, rows(false))
	if n := strings.Count(get(t, g, "/toys?format=ndjson").Body.String(), "\n"); n != 20_000 {
		t.Errorf("%d rows", n)
	}
	g, _ = toyShop(t, rows(true))
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // it is compared so in net/http
			t.Error("half a file passes for a whole one")
		}
	}()
	get(t, g, "/toys?format=ndjson")
}

func TestTwoKeys(t *testing.T) {
	s := &Site{nav: []Link{{Path: "/a", Key: "a"}, {Path: "/b"}, {Path: "/c", Key: "a"}}}
	if err := s.checkKeys(); err == nil {
		t.Error("two pages have one key")
	}
}
