package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ippwatch/exposure"
	"ippwatch/gate"
)

// plainTables are those that neither sort nor export, by what stands above them
// in English, each with the reason. All others do.
var plainTables = map[string]string{
	"Keys":                               "the help of a page: it is no data",
	"Charts":                             "the figures of a chart beside it, in the order of time",
	"/ Since yesterday":                  "ten counts; each leads to the list of what it counts",
	"/ Open cases by severity":           "five counts beside their bars, the worst first",
	"/ Jobs":                             "an excerpt: /settings has them all",
	"/ Latest scans":                     "an excerpt: /scans has them all",
	"/outreach The outbox":               "ten counts; each narrows the list below",
	"/constituents/{constituent} Cases":  "five counts beside their bars, the worst first",
	"/verification Latest verifications": "an excerpt: /scans has them all",
	"/account Sessions":                  "the visitor's own few sessions, each with its button",
	"/api/v1/{$}":                        "a reference, in the order of the document",
}

// unindexed are columns of a table that may have millions of rows, which no index
// has in their order: its filters find what they say.
var unindexed = map[string][]string{"/cases Cases": {"Case", "State", "What is wrong", "Place", "First seen", "Assigned to"}}

// freeColumns are of words that somebody wrote, or of what has no order.
var freeColumns = []string{"Detail", "Reason", "Evidence", "Findings", "Choose", "Action", "Mostly", "What it brought"}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func elements(n *html.Node, names ...string) []*html.Node {
	var all []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && slices.Contains(names, d.Data) {
			all = append(all, d)
		}
	}
	return all
}

var spaces = regexp.MustCompile(`\s+`)

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(spaces.ReplaceAllString(b.String(), " "))
}

// around is the section, or what stands for it, that a table is in.
func around(n *html.Node) *html.Node {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Type == html.ElementNode && slices.Contains([]string{"section", "dialog", "main"}, p.Data) {
			return p
		}
	}
	return n
}

// TestEveryTableSortsAndExports walks all pages as an operator: a table of data
// has links that sort it, each of which works, and one that sends it as a file.
// It is asked as a browser without a script asks.
func TestEveryTableSortsAndExports(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	c.hear(t)
	if err := c.h.store.CreateRun(t.Context(), exposure.Run{ID: "20261125T093000Z-7f3a29", State: exposure.Done, Started: c.now.Add(-time.Hour), Seed: []byte{1}, Options: map[string]string{"source": string(exposure.Verification)}}); err != nil {
		t.Fatal(err)
	}
	places := map[string][]string{
		"/hosts/{address}":                {"/hosts/198.51.100.100"},
		"/scans/asked":                    {"/scans/asked?address=198.51.100.10"},
		"/statistics/combined/{view}/{$}": {"/statistics/combined/table/", "/statistics/combined/bar/", "/statistics/combined/time-series/"},
		"/outreach/{id}":                  {"/outreach/M-0123456789AB"},
		"/sensors/{name}":                 {"/sensors/edge-1"},
		"/scans/{run}":                    {"/scans/20261124T093000Z-7f3a20"},
	}
	used := map[string]bool{"/ Jobs": true} // a town without a daemon has none
	seen := 0
	for _, route := range c.gate.Routes() {
		if route.Method != http.MethodGet || route.Kind != gate.Page {
			continue
		}
		paths := places[route.Pattern]
		if paths == nil {
			paths = []string{c.path(route.Pattern, "customer-a")}
		}
		get := func(path string) (*html.Node, int, string) {
			w := c.ask(route, path, "operator")
			body := w.Body.String()
			doc, err := html.Parse(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			return doc, w.Code, body
		}
		for _, path := range paths {
			doc, _, body := get(path)
			for begun := time.Now(); strings.Contains(body, "The figures are being computed for the first time.") && time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
				doc, _, body = get(path) // what is counted beside
			}
			for _, table := range elements(doc, "table") {
				name := nameOfTable(table, route.Pattern)
				if _, plain := plainTables[name]; plain {
					used[name] = true
					continue
				}
				if strings.HasPrefix(route.Pattern, "/statistics") {
					seen++
					statisticsSort(t, name, doc, table)
					continue
				}
				seen++
				links, free := sortLinks(table)
				if len(links) == 0 {
					t.Errorf("%s: the table %q has no link that sorts it; make it a web.Table, or say in plainTables why not", path, name)
					continue
				}
				for _, head := range free {
					used[head] = true
					if !slices.Contains(freeColumns, head) && !slices.Contains(unindexed[name], head) {
						t.Errorf("%s: the table %q does not sort by %q; if that has no order, say so in freeColumns", path, name, head)
					}
				}
				var file string
				for _, a := range elements(around(table), "a") {
					if u, err := url.Parse(attribute(a, "href")); err == nil && strings.HasSuffix(u.RawQuery, "format=csv") || strings.Contains(attribute(a, "href"), "format=csv&") {
						file = attribute(a, "href")
					}
				}
				if file == "" {
					t.Errorf("%s: the table %q has no export", path, name)
				} else if w := c.ask(route, file, "operator"); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
					t.Errorf("GET %s = %d %s, want the table %q as a file", file, w.Code, w.Header().Get("Content-Type"), name)
				}
				id := attribute(around(table), "id")
				for _, link := range links {
					doc, code, _ := get(link)
					var sorted []string
					for _, section := range elements(doc, "section") {
						if attribute(section, "id") == id {
							for _, th := range elements(section, "th") {
								if way := attribute(th, "aria-sort"); way != "" {
									sorted = append(sorted, way)
								}
							}
						}
					}
					if code != http.StatusOK || len(sorted) != 1 {
						t.Errorf("GET %s = %d with aria-sort %q, want the table %q sorted by one column", link, code, sorted, name)
					}
				}
			}
		}
	}
	for name := range plainTables {
		if !used[name] {
			t.Errorf("plainTables has %q, and no page has that table", name)
		}
	}
	for _, head := range freeColumns {
		if !used[head] {
			t.Errorf("freeColumns has %q, and each table sorts by it", head)
		}
	}
	if seen < 20 {
		t.Errorf("%d tables were looked at, want more: the town is empty", seen)
	}
}

// nameOfTable is by what plainTables knows a table.
func nameOfTable(table *html.Node, pattern string) string {
	at := around(table)
	if attribute(at, "id") == "keys" {
		return "Keys"
	}
	for p := table.Parent; p != nil; p = p.Parent {
		if p.Data == "details" && strings.Contains(attribute(p, "class"), "figures") {
			return "Charts"
		}
	}
	if pattern == "/api/v1/{$}" {
		return pattern
	}
	heads := elements(at, "h2", "h1")
	if len(heads) == 0 {
		return pattern
	}
	return strings.TrimSuffix(pattern, "{$}") + " " + textOf(heads[0])
}

// sortLinks are the links that sort a table, and the columns that have none.
func sortLinks(table *html.Node) (links, free []string) {
	for _, th := range elements(table, "th") {
		if attribute(th, "scope") != "col" {
			continue
		}
		link := ""
		for _, a := range elements(th, "a") {
			if u, err := url.Parse(attribute(a, "href")); err == nil && strings.Contains(u.RawQuery, "sort=") {
				link = attribute(a, "href")
			}
		}
		if link == "" {
			free = append(free, textOf(th))
		} else {
			links = append(links, link)
		}
	}
	return links, free
}

// statisticsSort looks at a table of the dashboard, whose files stand below the
// definitions.
func statisticsSort(t *testing.T, name string, doc, table *html.Node) {
	t.Helper()
	links, _ := sortLinks(table)
	if len(links) == 0 {
		t.Errorf("the table %q has no link that sorts it", name)
	}
	if !slices.ContainsFunc(elements(doc, "a"), func(a *html.Node) bool { return strings.Contains(attribute(a, "href"), "format=csv") }) {
		t.Errorf("the page of the table %q has no export", name)
	}
}
