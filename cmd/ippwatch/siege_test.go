package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	log  journal               // of the site
	done map[*gate.Gate]string // what somebody did with cases, at a site
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
	own := c.write("ippwatch.yaml", "web: {url: 'http://ippwatch.test'}\n") // for links in mails
	c.typedIn("notify", "--config", own, "--rules", rules, "--mail-config", filepath.Join(c.dir, "mail.yaml"), "--send")
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
	c.h = newHouse(st, ar)
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
	c.hear()
	c.gate = c.site("")
}

// hear gives the archive what a sensor heard: visits with every hostile name.
func (c *city) hear() {
	at := c.now.Truncate(time.Minute).Add(-10 * time.Minute)
	health := exposure.Census{V: exposure.Version, Sensor: citySensor, Began: at, Ended: at.Add(time.Minute), Transport: exposure.UDP, Health: &exposure.Health{}}
	health.ID = exposure.NewCensusID(&health)
	var visits []exposure.Visit
	for i, h := range persona.HostileNames {
		v := exposure.Visit{
			V: exposure.Version, Observed: at, Source: exposure.Sensor, Sensor: citySensor, Kind: exposure.Knock,
			Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}), Port: 4000, Spoofable: true, Transport: exposure.UDP, Door: 631, Count: 1,
			Class: exposure.Solicitation, Severity: exposure.High, Reasons: []string{"callback"}, Evidence: []string{"asks to be called: " + h.Text},
			UserAgent: h.Text, Browse: &exposure.Browse{URI: "ipp://" + h.Text, Info: h.Text},
			Callback: &exposure.Solicited{URL: "ipp://" + h.Text, Host: h.Text, Port: 631, Relation: exposure.ToName},
		}
		v.ID = exposure.NewVisitID(&v)
		visits = append(visits, v)
	}
	_, err := c.h.archive.AppendCensuses(c.t.Context(), []exposure.Census{health})
	if err == nil {
		_, err = c.h.archive.AppendVisits(c.t.Context(), visits)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

const citySensor = "edge-1"

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

// examples is the one table of what stands for the wildcards of routes: first by
// the pattern, whole, several where one does not show all; then by wildcard. A
// page without an example fails the test.
func (c *city) examples() (byPattern map[string][]string, byWildcard map[string]string) {
	e := c.cases["library"]
	message := "none"
	for m, err := range c.h.store.Messages(c.t.Context(), access.CLI(c.now), store.MessageFilter{Limit: 1}) {
		if err != nil {
			c.t.Fatal(err)
		}
		message = m.ID
	}
	runs, err := c.h.store.Runs(c.t.Context(), access.CLI(c.now), 1)
	if err != nil || len(runs) != 1 {
		c.t.Fatal(runs, err)
	}
	byPattern = map[string][]string{
		"/login": {"/login", "/login?next=/account"},
		"/statistics/combined/{view}/{$}": {
			"/statistics/combined/map/", "/statistics/combined/tree/", "/statistics/combined/time-series/?date_range=7", "/statistics/combined/table/",
			"/statistics/combined/bar/", "/statistics/combined/map/?source=scan&tag=ipp&geo=DE",
		},
		"/search":              {"/search?q=" + e.Addr.String(), "/search?q=hostile"},
		"/outreach/{id}":       {"/outreach/" + message},
		"/cases/done/{id}":     {"/cases/done/" + c.deed()},
		"/sensors/{name}":      {"/sensors/" + citySensor},
		"/scans/asked":         {"/scans/asked?address=" + e.Addr.String()},
		"/o/{token}":           {"/o/" + c.inMail("/o/")},
		"/o/{token}/filter":    {"/o/" + c.inMail("/o/") + "/filter"},
		"/unsubscribe/{token}": {"/unsubscribe/" + c.inMail("/unsubscribe/")},
	}
	byWildcard = map[string]string{
		"case": e.Case(), "addr": e.Addr.String(), "address": e.Addr.String(), "constituent": "library", "run": runs[0].ID,
	}
	return byPattern, byWildcard
}

// inMail returns the token behind the path in the mail to the library.
func (c *city) inMail(path string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, "mails", "noc@library.example.eml"))
	if err != nil {
		c.t.Fatal(err)
	}
	whole := strings.ReplaceAll(string(b), "=\n", "") // as quoted-printable breaks lines
	m := regexp.MustCompile(regexp.QuoteMeta("http://ippwatch.test"+path) + `([A-Za-z0-9_-]+)`).FindStringSubmatch(whole)
	if m == nil {
		return "not-in-the-mail"
	}
	return m[1]
}

// deed is something that an operator did with a case, if that can be done: its
// reason is hostile, for another operator may read it.
func (c *city) deed() string {
	c.t.Helper()
	const to = "/cases/do"
	if id, ok := c.done[c.gate]; ok || !slices.ContainsFunc(c.gate.Routes(), func(r gate.Route) bool { return r.Pattern == to }) {
		return id
	}
	cookie, csrf := c.login("olga")
	e := c.cases["townhall"]
	form := url.Values{gate.TokenField: {csrf}, "action": {"acknowledge"}, "row": {e.Case()}, "reason": {persona.HostileNames[1].Text}}
	if len(c.done) > 0 {
		form.Set("action", "assign")
		form.Set("to", "j.doe")
	}
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://ippwatch.test"+to, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	id := w.Header().Get("Location")[strings.LastIndex(w.Header().Get("Location"), "/")+1:]
	if w.Code != http.StatusSeeOther {
		c.t.Errorf("POST %s: %d %.2000s", to, w.Code, w.Body)
	}
	if c.done == nil {
		c.done = make(map[*gate.Gate]string)
	}
	c.done[c.gate] = id
	return id
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
