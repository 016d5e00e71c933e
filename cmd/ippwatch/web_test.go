package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
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
	"ippwatch/people"
	"ippwatch/store"
)

// A town is a data directory with two constituents, a case of each, an account
// of each role, and the site over it.
type town struct {
	t     *testing.T
	h     *house
	gate  *gate.Gate
	now   time.Time
	cases map[string]exposure.Exposure // by constituent
	keys  map[string]string            // by the name that the matrix has for them
	asked int
	dir   string
}

// matrixKeys are the keys of the matrix: of an operator, whose role may do everything.
var matrixKeys = []string{"read-key", "expired-key", "revoked-key"}

// addKeys makes them.
func (c *town) addKeys() {
	c.t.Helper()
	c.keys = make(map[string]string)
	for _, name := range append([]string{"change-key"}, matrixKeys...) {
		k := store.APIKey{Kind: store.KeyBearer, Label: name, Role: access.RoleOperator, Scopes: []access.Right{access.Read}}
		if name == "change-key" {
			k.Scopes = append(k.Scopes, access.Change, access.Answer)
		}
		if name == "expired-key" {
			k.Expires = c.now.Add(-time.Minute)
		}
		k, secret, err := c.h.store.AddKey(c.t.Context(), k, "j.doe", c.now.Add(-time.Hour))
		if err == nil && name == "revoked-key" {
			err = c.h.store.RevokeKey(c.t.Context(), k.ID, "j.doe", c.now)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		c.keys[name] = secret
	}
}

// readers are who asks, by the name that the matrix has for them.
var readers = []struct {
	name        string
	role        access.Role
	constituent string
}{
	{"public", access.RolePublic, ""},
	{"customer-a", access.RoleConstituent, "customer-a"},
	{"customer-b", access.RoleConstituent, "customer-b"},
	{"analyst", access.RoleAnalyst, ""},
	{"operator", access.RoleOperator, ""},
	{"auditor", access.RoleAuditor, ""},
}

// secretOf is a name that only the constituent's own case has.
func secretOf(constituent string) string { return "printer-of-" + constituent }

var placeOf = map[string]string{"customer-a": "198.51.100.10", "customer-b": "203.0.113.10"}

const townPassword = "correct horse battery"

func newTown(t *testing.T) *town {
	return newTownOf(t, time.Now().UTC(), config.Default().Web, "customer-a", "customer-b")
}

// newTownOf is a town at a time, with some of the constituents.
func newTownOf(t *testing.T, now time.Time, site gate.Config, names ...string) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ar, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, h: newHouse(st, ar), now: now, cases: make(map[string]exposure.Exposure), dir: dir}
	t.Cleanup(func() {
		if err := c.h.Close(); err != nil {
			t.Error(err)
		}
	})
	all, err := people.ParseConstituents("town.yaml", []byte(`
constituents:
  - {name: customer-a, title: Customer A, networks: [198.51.100.0/24]}
  - {name: customer-b, title: Customer B, networks: [203.0.113.0/24]}
`))
	if err != nil {
		t.Fatal(err)
	}
	hand := people.Hand{View: access.CLI(c.now), Who: "j.doe", At: c.now}
	if _, err := people.NewRegistry(st).Import(t.Context(), hand, "town", "town.yaml", all, false); err != nil {
		t.Fatal(err)
	}
	var cases []exposure.Exposure
	var doors []netip.AddrPort
	for _, name := range names {
		at := placeOf[name]
		e := exposure.Exposure{
			Key:      exposure.Key{Addr: netip.MustParseAddr(at), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
			Severity: exposure.High, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
			FirstSeen: c.now.Add(-48 * time.Hour), LastSeen: c.now.Add(-time.Hour), TimesSeen: 2,
			Evidence: secretOf(name), Device: secretOf(name), Where: exposure.Where{Country: "DE", Hostname: secretOf(name) + ".example.net"},
		}
		c.cases[name] = e
		cases, doors = append(cases, e), append(doors, netip.AddrPortFrom(e.Addr, e.Port))
	}
	if err := st.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return cases, nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range readers[1:] {
		if r.constituent != "" && !slices.Contains(names, r.constituent) {
			continue
		}
		if err := st.AddAccount(t.Context(), store.Account{Name: r.name, Role: r.role, Constituent: r.constituent}, townPassword, "j.doe", c.now); err != nil {
			t.Fatal(err)
		}
	}
	c.serve(site)
	c.addKeys()
	return c
}

// serve makes the site over the town; once more, it knows what a daemon knows
// after its restart.
func (c *town) serve(site gate.Config) {
	c.t.Helper()
	s := &street{now: func() time.Time { return c.now }, config: config.Default(), data: c.dir}
	s.config.Web = site
	s.config.Web.Rate = 0 // the tests ask much from one place
	var err error
	if c.gate, err = s.newSite(c.h, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(s.plant.Close)
}

// login returns the cookie of a new session and a CSRF token of it.
func (c *town) login(name string) (cookie, csrf string) {
	c.t.Helper()
	life := c.gate.Config.Life()
	token, err := c.h.store.BeginSession(c.t.Context(), name, "192.0.2.1", "test", life, c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	sess, _, err := c.h.store.Session(c.t.Context(), token, life, c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	return token, csrfOf(sess.CSRF)
}

// csrfOf masks a secret with zeros, which is as good a mask as any.
func csrfOf(secret []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(make([]byte, len(secret)), secret...))
}

var wildcard = regexp.MustCompile(`\{([a-z_]+)(\.\.\.)?\}`)

// path fills the wildcards of a pattern with what belongs to the constituent.
func (c *town) path(pattern, constituent string) string {
	k := c.cases[constituent]
	fills := map[string]string{
		"file": "none", "case": k.Case(), "address": k.Addr.String(), "constituent": constituent, "token": "none", "id": "none", "method": "none",
		"view": "map", "run": "none", "name": "none", "order": "approve",
	}
	return wildcard.ReplaceAllStringFunc(strings.Replace(pattern, "{$}", "", 1), func(w string) string {
		name := wildcard.FindStringSubmatch(w)[1]
		value, ok := fills[name]
		if !ok {
			c.t.Errorf("route %s: say in town.path what {%s} stands for", pattern, name)
		}
		return value
	})
}

// ask makes a request as somebody, with all that a browser of ours would send.
func (c *town) ask(route gate.Route, path, name string) *httptest.ResponseRecorder {
	c.t.Helper()
	c.asked++
	form := url.Values{}
	r := httptest.NewRequestWithContext(c.t.Context(), route.Method, "http://ippwatch.test"+path, nil)
	secret := make([]byte, 32)
	if key := c.keys[name]; key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	} else if name == "public" {
		r.AddCookie(&http.Cookie{Name: "csrf", Value: base64.RawURLEncoding.EncodeToString(secret)})
		form.Set(gate.TokenField, csrfOf(secret))
	} else {
		cookie, csrf := c.login(name)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		form.Set(gate.TokenField, csrf)
	}
	if route.Method != http.MethodGet {
		r.Body = io.NopCloser(strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(gate.TokenHeader, form.Get(gate.TokenField))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.1:4000", c.asked/250, c.asked%250) // a limit of one is not that of another
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

// verdict is what the gate said of who asks; "ok" is that the route was reached.
func verdict(w *httptest.ResponseRecorder) string {
	switch {
	case w.Code == http.StatusSeeOther && strings.HasPrefix(w.Header().Get("Location"), "/login") && w.Header().Get("Clear-Site-Data") == "":
		return "login"
	case w.Code == http.StatusUnauthorized:
		return "401"
	case w.Code == http.StatusForbidden:
		return "403"
	case w.Code >= 500:
		return "failed"
	}
	return "ok"
}

// TestRoutes is the matrix of every route against every reader. It enumerates the
// router: a route without its line fails, and so does a line without a route.
func TestRoutes(t *testing.T) {
	c := newTown(t)
	const file = "testdata/routes.txt"
	var got strings.Builder
	for _, route := range c.gate.Routes() {
		fmt.Fprintf(&got, "%s %s %s:", route.Method, route.Pattern, route.Kind)
		for _, reader := range readers {
			fmt.Fprintf(&got, " %s=%s", reader.name, verdict(c.ask(route, c.path(route.Pattern, "customer-a"), reader.name)))
		}
		for _, key := range matrixKeys {
			fmt.Fprintf(&got, " %s=%s", key, verdict(c.ask(route, c.path(route.Pattern, "customer-a"), key)))
		}
		got.WriteByte('\n')
	}
	if strings.Contains(got.String(), "=failed") {
		t.Errorf("a route failed:\n%s", got.String())
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wants, gots := strings.Split(strings.TrimSpace(string(want)), "\n"), strings.Split(strings.TrimSpace(got.String()), "\n")
	for _, line := range gots {
		if !slices.Contains(wants, line) {
			t.Errorf("not in %s: %s", file, line)
		}
	}
	for _, line := range wants {
		if !slices.Contains(gots, line) {
			t.Errorf("%s has what is not so: %s", file, line)
		}
	}
}

// TestTheMatrixIsWhatTheRoutesSay computes the matrix a second time from what the
// routes declare.
func TestTheMatrixIsWhatTheRoutesSay(t *testing.T) {
	c := newTown(t)
	for _, route := range c.gate.Routes() {
		for _, reader := range readers {
			got := verdict(c.ask(route, c.path(route.Pattern, "customer-a"), reader.name))
			allowed := slices.Contains(route.Roles, reader.role)
			if route.Kind == gate.Signed {
				allowed = false // none of them signs
			}
			if route.Pattern == "/login" && route.Method == http.MethodPost && got == "401" {
				continue // nobody gave a password
			}
			if allowed != (got == "ok") {
				t.Errorf("%s %s to %s: %s, the route says %t", route.Method, route.Pattern, reader.name, got, allowed)
			}
		}
		for _, key := range matrixKeys {
			// A key is for the API alone, has its scopes alone, and opens nothing when it
			// is over, not even what is open to strangers.
			want := "401"
			switch {
			case route.Kind == gate.Asset: // nobody is looked for behind it
				want = "ok"
			case key != "read-key" || route.Kind != gate.API && route.Kind != gate.Stream:
			case !slices.Contains(route.Roles, access.RoleOperator) || route.Needs != access.Read:
				want = "403"
			default:
				want = "ok"
			}
			if got := verdict(c.ask(route, c.path(route.Pattern, "customer-a"), key)); got != want {
				t.Errorf("%s %s to the %s: %s, want %s", route.Method, route.Pattern, key, got, want)
			}
		}
	}
}

// TestNobodySeesAnothersHosts asks every page and every API of the role
// constituent for what is another's, as HTML and as whatever else.
func TestNobodySeesAnothersHosts(t *testing.T) {
	c := newTown(t)
	other := map[string]string{"customer-a": "customer-b", "customer-b": "customer-a"}
	for _, route := range c.gate.Routes() {
		if route.Method != http.MethodGet {
			continue
		}
		for _, name := range []string{"public", "customer-a", "customer-b"} {
			for _, of := range []string{"customer-a", "customer-b"} {
				body := c.ask(route, c.path(route.Pattern, of), name).Body.String()
				for _, owner := range []string{"customer-a", "customer-b"} {
					if name != owner && (strings.Contains(body, secretOf(owner)) || name == other[owner] && strings.Contains(body, placeOf[owner])) {
						t.Errorf("GET %s shows %s what is %s's", route.Pattern, name, owner)
					}
				}
			}
		}
	}
	// And it is not that nobody sees anything.
	today := c.ask(gate.Route{Method: "GET"}, "/", "customer-a").Body.String()
	if !strings.Contains(today, `<span class="figure">1</span>open case<`) {
		t.Errorf("customer-a does not see its one case:\n%s", today)
	}
	if today = c.ask(gate.Route{Method: "GET"}, "/", "analyst").Body.String(); !strings.Contains(today, `<span class="figure">2</span>open cases<`) {
		t.Errorf("an analyst does not see both:\n%s", today)
	}
}

// TestEveryFormNeedsItsToken sends every change without a token, with another
// session's, and from another site.
func TestEveryFormNeedsItsToken(t *testing.T) {
	c := newTown(t)
	for _, route := range c.gate.Routes() {
		if route.Method == http.MethodGet || route.Tokenless != "" || route.Kind == gate.Signed {
			continue
		}
		reader := "operator"
		if !slices.Contains(route.Roles, access.RoleOperator) {
			reader = "customer-a"
		}
		cookie, own := c.login(reader)
		_, others := c.login(reader)
		for name, try := range map[string]struct{ token, site, origin string }{
			"no token":                         {"", "same-origin", ""},
			"another session's":                {others, "same-origin", ""},
			"half a token":                     {own[:len(own)/2], "same-origin", ""},
			"another site":                     {own, "cross-site", ""},
			"a neighbour":                      {own, "same-site", ""},
			"an old browser, from elsewhere":   {own, "", "https://evil.example"},
			"an old browser, from nowhere":     {own, "", "null"},
			"no token, and a browser too old":  {"", "", ""},
			"no token, but it says we sent it": {"", "", "http://ippwatch.test"},
		} {
			body := url.Values{gate.TokenField: {try.token}}.Encode()
			r := httptest.NewRequestWithContext(t.Context(), route.Method, "http://ippwatch.test"+c.path(route.Pattern, "customer-a"), strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for header, value := range map[string]string{"Sec-Fetch-Site": try.site, "Origin": try.origin, gate.TokenHeader: try.token} {
				if value != "" {
					r.Header.Set(header, value)
				}
			}
			r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
			w := httptest.NewRecorder()
			c.gate.ServeHTTP(w, r)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s %s with %s: %d, want 403", route.Method, route.Pattern, name, w.Code)
			}
		}
	}
}

// TestWhatEveryRouteSays holds what no route may forget.
func TestWhatEveryRouteSays(t *testing.T) {
	c := newTown(t)
	for _, route := range c.gate.Routes() {
		h := c.ask(route, c.path(route.Pattern, "customer-a"), "operator").Header()
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s %s: %s = %q, want %q", route.Method, route.Pattern, header, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s %s: the policy %q has no %s", route.Method, route.Pattern, policy, part)
			}
		}
		if route.Kind != gate.Asset && h.Get("Cache-Control") == "" && h.Get("Location") == "" {
			t.Errorf("%s %s does not say whether it may be kept", route.Method, route.Pattern)
		}
		if referrer := h.Get("Referrer-Policy"); referrer != "same-origin" && referrer != "no-referrer" {
			t.Errorf("%s %s: Referrer-Policy = %q", route.Method, route.Pattern, referrer)
		}
		if referrer := h.Get("Referrer-Policy"); strings.Contains(route.Pattern, "{token") && referrer != "no-referrer" {
			t.Errorf("%s %s has a secret in its address: Referrer-Policy = %q", route.Method, route.Pattern, referrer)
		}
	}
}

// elsewhere finds what a page would load from another host, and what the policy
// forbids.
var elsewhere = regexp.MustCompile(`(?i)(src|action)="(https?:)?//|<link[^>]+href="(https?:)?//|<script>|<script [^>]*>[^<]|<style|\sstyle="|\son[a-z]+="|javascript:`)

// TestPagesStandAlone looks at every page for what it may not have.
func TestPagesStandAlone(t *testing.T) {
	c := newTown(t)
	for _, route := range c.gate.Routes() {
		if route.Kind != gate.Page {
			continue
		}
		for _, reader := range readers {
			body := c.ask(route, c.path(route.Pattern, "customer-a"), reader.name).Body.String()
			if found := elsewhere.FindString(body); found != "" {
				t.Errorf("GET %s for %s has %q", route.Pattern, reader.name, found)
			}
			if i := strings.Index(body, "⟦"); i >= 0 {
				t.Errorf("GET %s for %s has a text that is not there: %.60s", route.Pattern, reader.name, body[i:])
			}
		}
	}
}

// TestTexts holds that English and German are complete.
func TestTexts(t *testing.T) {
	c := newTown(t)
	g, err := gate.New(gate.Options{Config: gate.Default(), Keeper: c.h.store, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	site, err := (&street{config: config.Default()}).parts(c.h, g)
	if err != nil {
		t.Fatal(err)
	}
	if err := site.Missing("en", "de"); err != nil {
		t.Error(err)
	}
}

// TestChangePassword changes a password with two browsers open: the other one is
// out, this one goes on with another token.
func TestChangePassword(t *testing.T) {
	c := newTown(t)
	here, csrf := c.login("analyst")
	there, _ := c.login("analyst")
	page := func(cookie string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ippwatch.test/account", nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		return w.Code
	}
	change := func(old, fresh, again string) *httptest.ResponseRecorder {
		form := url.Values{gate.TokenField: {csrf}, "old": {old}, "new": {fresh}, "again": {again}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://ippwatch.test/account/password", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "session", Value: here})
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		return w
	}
	const fresh = "correct horse staple"
	for name, try := range map[string]struct{ old, fresh, again, want string }{
		"a wrong old one":    {"wrong horse battery", fresh, fresh, "The present password is wrong"},
		"two that differ":    {townPassword, fresh, fresh + "!", "The two new passwords differ"},
		"one that is short":  {townPassword, "short", "short", "The new password does not fit: 12 characters"},
		"one with the name":  {townPassword, "the analyst's own", "the analyst's own", "The new password does not fit"},
		"nothing in nothing": {"", "", "", "The present password is wrong"},
	} {
		if w := change(try.old, try.fresh, try.again); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), try.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if page(here) != http.StatusOK || page(there) != http.StatusOK {
		t.Error("a mistake ends a session")
	}
	w := change(townPassword, fresh, fresh)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 || cookies[0].Value == here {
		t.Fatalf("changed: %d %v", w.Code, cookies)
	}
	if page(here) == http.StatusOK || page(there) == http.StatusOK || page(cookies[0].Value) != http.StatusOK {
		t.Error("the old sessions go on, or the new one does not")
	}
	if _, err := c.h.store.Login(t.Context(), "analyst", fresh, c.now); err != nil {
		t.Errorf("the new password: %v", err)
	}
}
