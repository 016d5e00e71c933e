package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/persona"
	"ippwatch/screen"
	"ippwatch/store"
)

// A city is a data directory in which everything has happened, by the commands
// that a user types: hostile printers and good ones were scanned, a feed reported
// them, their owners were written to. The site stands over it.
type city struct {
	town
	dir  string
	hood neighbourhood
	log  journal // of the site
}

// cityRoles are who walks through it. The constituent answers for half of the
// street.
var cityRoles = []struct {
	name        string
	role        access.Role
	constituent string
}{
	{"public", access.RolePublic, ""},
	{"carla", access.RoleConstituent, "library"},
	{"olga", access.RoleOperator, ""},
}

// typedIn types a command into the city, which must do it.
func (c *city) typedIn(args ...string) (stdout, stderr string) {
	c.t.Helper()
	stdout, stderr, code := typed(c.t.Context(), append([]string{"--data", c.hood.data}, args...)...)
	if code != exitDone {
		c.t.Fatalf("ippwatch %q: exit %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// write writes a file beside the data directory.
func (c *city) write(name, text string) string {
	c.t.Helper()
	name = filepath.Join(c.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

const cityPeople = `
constituents:
  - name: library
    title: "Library <b>of</b> Example"
    networks: [127.0.63.0/24, 127.0.64.0/24, 127.0.65.0/24]
    contacts: [{address: noc@library.example, role: technical}]
  - name: townhall
    title: Town Hall
    language: de
    networks: [127.0.66.0/24, 127.0.67.0/24, 127.0.68.0/24]
    contacts: [{address: abuse@townhall.example, role: abuse}]
`

const cityOutreach = `
sender:
  organisation: Example CSIRT
  contact: csirt@example.org
rules:
  - name: open
    severity: medium
    findings: [open-ipp]
`

// openCity builds the city. What a part of the site needs to have something to
// show is added here.
func openCity(t *testing.T) *city {
	t.Helper()
	street := append(persona.Hostile(), persona.Street()[:6]...)
	c := &city{dir: t.TempDir(), hood: openStreet(t, street)}
	c.town = town{t: t, now: time.Now().UTC(), cases: make(map[string]exposure.Exposure)}
	_, end, err := startPost(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	people, rules := c.write("people.yaml", cityPeople), c.write("outreach.yaml", cityOutreach)
	stdout, stderr, code := typed(t.Context(), c.hood.scan("--udp")...)
	if code != exitDone {
		t.Fatalf("scan: exit %d\n%s%s", code, stdout, stderr)
	}
	c.typedIn("constituents", "import", people)
	// The report for machines is in the dialect of the feed, and so are its names.
	c.typedIn("report", "--type", "scan_ipp", "--out", filepath.Join(c.dir, "feed"))
	c.typedIn("ingest", "shadowserver", filepath.Join(c.dir, "feed"))
	c.typedIn("notify", "--rules", rules, "--mail-config", filepath.Join(c.dir, "mail.yaml"), "--send")
	c.open()
	return c
}

// open puts the site over the data.
func (c *city) open() {
	t := c.t
	st, err := store.Open(t.Context(), c.hood.data)
	if err != nil {
		t.Fatal(err)
	}
	ar, err := archive.Open(t.Context(), c.hood.data)
	if err != nil {
		t.Fatal(err)
	}
	c.h = &house{st, ar}
	t.Cleanup(func() {
		if err := c.h.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, r := range cityRoles[1:] {
		if err := st.AddAccount(t.Context(), store.Account{Name: r.name, Role: r.role, Constituent: r.constituent}, townPassword, "j.doe", c.now); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range st.Exposures(t.Context(), access.CLI(c.now), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		name := "townhall"
		if netip.MustParsePrefix("127.0.63.0/24").Contains(e.Addr) {
			name = "library"
		}
		c.cases[name] = e
	}
	if len(c.cases) != 2 {
		t.Fatalf("the city has cases of %q only", slices.Collect(maps.Keys(c.cases)))
	}
	for _, h := range persona.HostileNames[:4] { // an error may quote what a host said
		if err := st.Raise(t.Context(), exposure.Alert{Name: "job-failed " + h.Mark(), Began: c.now.Add(-time.Hour), Detail: h.Text, Step: "look at " + h.Text}); err != nil {
			t.Fatal(err)
		}
	}
	c.gate = c.site("")
}

// site is a site over the data, with a directory of further languages or none.
func (c *city) site(texts string) *gate.Gate {
	c.t.Helper()
	s := &street{now: time.Now, data: c.hood.data, config: config.Default(), Screen: screen.Screen{Out: io.Discard, Err: &c.log}}
	s.config.Web.Rate = 0 // the tests ask much from one place
	s.config.Web.Public = true
	s.config.Web.Texts = texts
	g, err := s.newSite(c.h, s.logger())
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

// A journal keeps what many write.
type journal struct {
	mu sync.Mutex
	b  strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// examples is the one table of what stands for the wildcards of routes: first by
// the pattern, whole, several where one does not show all; then by wildcard. A
// page without an example fails the test.
func (c *city) examples() (byPattern map[string][]string, byWildcard map[string]string) {
	e := c.cases["library"]
	return map[string][]string{
			"/login": {"/login", "/login?next=/account"},
			"/statistics/combined/{view}/{$}": {
				"/statistics/combined/map/", "/statistics/combined/tree/", "/statistics/combined/time-series/?date_range=7", "/statistics/combined/table/",
				"/statistics/combined/bar/", "/statistics/combined/map/?source=scan&tag=ipp&geo=DE",
			},
		}, map[string]string{
			"view": "map", "case": e.Case(), "addr": e.Addr.String(), "address": e.Addr.String(), "constituent": "library", "name": "library",
		}
}

// pages are the addresses of all pages that a role may see, each with an example
// for what is wild in it.
func (c *city) pages(role access.Role) []string {
	c.t.Helper()
	byPattern, byWildcard := c.examples()
	var all []string
	for _, route := range c.gate.Routes() {
		if route.Kind != gate.Page || route.Method != http.MethodGet || !slices.Contains(route.Roles, role) {
			continue
		}
		if paths, ok := byPattern[route.Pattern]; ok {
			all = append(all, paths...)
			continue
		}
		all = append(all, wildcard.ReplaceAllStringFunc(strings.Replace(route.Pattern, "{$}", "", 1), func(w string) string {
			name := wildcard.FindStringSubmatch(w)[1]
			value, ok := byWildcard[name]
			if !ok {
				c.t.Errorf("page %s: say in city.examples what stands for {%s}", route.Pattern, name)
			}
			return value
		}))
	}
	return all
}

// slug is a path as a part of a file's name.
func slug(path string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.Trim(path, "/"))
	if s == "" {
		s = "first"
	}
	return fmt.Sprintf("%.60s", s)
}
