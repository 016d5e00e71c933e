package gate

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const right = "correct horse battery"

// A stage is a gate over a real store, at a time that the test sets.
type stage struct {
	*Gate
	t     *testing.T
	store *store.Store
	now   time.Time
	log   bytes.Buffer
}

// newStage has an account of each role, named by it.
func newStage(t *testing.T, change func(*Config), routes ...Route) *stage {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{t: t, store: st, now: noon}
	c := Default()
	if change != nil {
		change(&c)
	}
	s.Gate, err = New(Options{
		Config: c, Keeper: st, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Views: func(_ context.Context, role access.Role, constituent, who string, at time.Time) (access.View, error) {
			v := role.View(who, at)
			if constituent == "a" {
				v.Networks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
			}
			return v, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(routes...); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) account(name string, role access.Role, constituent string) {
	s.t.Helper()
	if err := s.store.AddAccount(s.t.Context(), store.Account{Name: name, Role: role, Constituent: constituent}, right, "j.doe", s.now); err != nil {
		s.t.Fatal(err)
	}
}

// session returns the cookie of a session and its CSRF token.
func (s *stage) session(name string) (*http.Cookie, string) {
	s.t.Helper()
	token, err := s.store.BeginSession(s.t.Context(), name, "192.0.2.1", "", s.Config.Life(), s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	sess, _, err := s.store.Session(s.t.Context(), token, s.Config.Life(), s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Cookie{Name: "session", Value: token}, base64.RawURLEncoding.EncodeToString(append(make([]byte, csrfBytes), sess.CSRF...))
}

func (s *stage) key(kind store.KeyKind, role access.Role, scopes ...access.Right) (store.APIKey, string) {
	s.t.Helper()
	k, secret, err := s.store.AddKey(s.t.Context(), store.APIKey{Kind: kind, Label: "test", Role: role, Scopes: scopes}, "j.doe", s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return k, secret
}

func (s *stage) do(method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://ippwatch.test"+path, nil)
	r.RemoteAddr = "192.0.2.1:4000"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func from(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }

func has(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }

func body(contentType, text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.Header.Set("Content-Type", contentType)
	}
}

// says answers with who came and what the path had.
func says(w http.ResponseWriter, r *http.Request, v *Visit) error {
	return Send(w, r, 0, "text/plain", Private, fmt.Appendf(nil, "%s %s %v %s", v.Who, v.View.Role, v.View.Networks, r.PathValue("x")))
}

func get(pattern string, kind Kind, roles ...access.Role) Route {
	return Route{Method: "GET", Pattern: pattern, Kind: kind, Roles: roles, Serve: says}
}

func TestAddRefuses(t *testing.T) {
	good := get("/x", Page, access.Roles...)
	for name, change := range map[string]func(*Route){
		"nobody may use it":             func(r *Route) { r.Roles = nil },
		"a role that is not known":      func(r *Route) { r.Roles = []access.Role{"root"} },
		"the role of ourselves":         func(r *Route) { r.Roles = []access.Role{""} },
		"no kind":                       func(r *Route) { r.Kind = "" },
		"a method that is none":         func(r *Route) { r.Method = "BREW" },
		"any method":                    func(r *Route) { r.Method = "" },
		"a host":                        func(r *Route) { r.Pattern = "host/x" },
		"nobody serves it":              func(r *Route) { r.Serve = nil },
		"a page that changes":           func(r *Route) { r.Method = "POST" },
		"a form that only shows":        func(r *Route) { r.Kind = Form },
		"a right that the role has not": func(r *Route) { r.Needs = access.Change },
		"an asset for some":             func(r *Route) { r.Kind, r.Roles = Asset, []access.Role{access.RoleAnalyst} },
	} {
		r := good
		change(&r)
		s := newStage(t, nil)
		if err := s.Add(r); err == nil {
			t.Errorf("%s: taken", name)
		}
		if len(s.Routes()) != 0 {
			t.Errorf("%s: it is there", name)
		}
	}
	s := newStage(t, nil, good)
	if err := s.Add(good); err == nil {
		t.Error("a route twice is taken")
	}
}

func TestWhoComes(t *testing.T) {
	s := newStage(t, nil,
		get("/page/{x}", Page, access.RoleAnalyst, access.RoleOperator), get("/all", Page, access.Roles...), get("/api/{x}", API, access.Named...),
		Route{Method: "GET", Pattern: "/log", Kind: API, Roles: []access.Role{access.RoleOperator, access.RoleAuditor}, Needs: access.Audit, Serve: says},
	)
	s.account("ann", access.RoleAnalyst, "")
	s.account("noc", access.RoleConstituent, "a")
	s.account("boss", access.RoleOperator, "")
	ann, _ := s.session("ann")
	noc, _ := s.session("noc")
	boss, _ := s.session("boss")
	_, reader := s.key(store.KeyBearer, access.RoleOperator, access.Read)
	_, auditor := s.key(store.KeyBearer, access.RoleOperator, access.Read, access.Audit)
	for _, test := range []struct {
		name, path string
		who        func(*http.Request)
		status     int
		want       string
	}{
		{"a stranger", "/all", from("192.0.2.9:1"), 200, " public [] "},
		{"a stranger at a page", "/page/a%20b?c=d", from("192.0.2.9:1"), 303, "/login?next=%2Fpage%2Fa%2520b%3Fc%3Dd"},
		{"a stranger at an API", "/api/x", from("192.0.2.9:1"), 401, `"code":"unauthorised"`},
		{"an analyst", "/page/a%20b", has(ann), 200, "ann analyst [] a b"},
		{"a constituent at a page of others", "/page/x", has(noc), 403, `your role may not`},
		{"a constituent has its view", "/api/x", has(noc), 200, "noc constituent [198.51.100.0/24] x"},
		{"an operator and the log", "/log", has(boss), 200, "boss operator [] "},
		{"an analyst and the log", "/log", has(ann), 403, "forbidden"},
		{"a key", "/api/x", header("Authorization", "Bearer "+reader), 200, " operator [] x"},
		{"a key, in small letters", "/api/x", header("Authorization", "bearer "+reader), 200, " operator [] x"},
		{"a key without the scope", "/log", header("Authorization", "Bearer "+reader), 403, "forbidden"},
		{"a key with the scope", "/log", header("Authorization", "Bearer "+auditor), 200, " operator [] "},
		{"a wrong key", "/api/x", header("Authorization", "Bearer "+reader+"x"), 401, "unauthorised"},
		{"a password", "/api/x", header("Authorization", "Basic YTpi"), 401, "unauthorised"},
		{"a key at a page", "/page/x", header("Authorization", "Bearer "+reader), 401, "keys are for the API"},
		{"a cookie that somebody made up", "/page/x", has(&http.Cookie{Name: "session", Value: "x"}), 303, "/login"},
		{"nothing is there", "/nothing", has(ann), 404, "not-found"},
		{"a dot path", "/../all", has(ann), 307, "/all"},
	} {
		w := s.do("GET", test.path, test.who)
		got := w.Body.String() + w.Header().Get("Location")
		if w.Code != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s: %d %s, want %d %s", test.name, w.Code, got, test.status, test.want)
		}
	}
	if w := s.do("POST", "/all", has(ann)); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("a method that is not there: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := s.do("HEAD", "/all", has(ann)); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
	for name, end := range map[string]error{
		"disabled":       s.store.Disable(t.Context(), "ann", "j.doe", s.now),
		"a new password": s.store.SetPassword(t.Context(), "boss", right+"!", "j.doe", s.now),
	} {
		if end != nil {
			t.Fatal(name, end)
		}
	}
	for name, c := range map[string]*http.Cookie{"disabled": ann, "a new password": boss} {
		if w := s.do("GET", "/page/x", has(c)); w.Code != 303 || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s: %d, the session goes on", name, w.Code)
		}
	}
	s.now = noon.Add(s.Config.Idle)
	if w := s.do("GET", "/api/x", has(noc)); w.Code != 401 {
		t.Errorf("a session that nobody used: %d", w.Code)
	}
}

// TestLogIn holds that all refusals are the same, to the byte and in what is done
// for them.
func TestLogIn(t *testing.T) {
	var s *stage
	s = newStage(t, func(c *Config) { c.Rate = 0 }, Route{Method: "POST", Pattern: "/in", Kind: Form, Roles: access.Roles, Written: "login", Serve: func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		err := s.LogIn(w, r, v, r.PostFormValue("name"), r.PostFormValue("password"))
		if errors.Is(err, store.ErrRefused) {
			return &Problem{Status: 401, Code: "refused", Detail: err.Error()}
		}
		if err != nil {
			return err
		}
		return SeeOther("/")
	}})
	s.account("ann", access.RoleAnalyst, "")
	s.account("gone", access.RoleAnalyst, "")
	s.account("locked", access.RoleAnalyst, "")
	if err := s.store.Disable(t.Context(), "gone", "j.doe", s.now); err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, csrfBytes)
	in := func(name, password string, more ...func(*http.Request)) *httptest.ResponseRecorder {
		form := url.Values{"name": {name}, "password": {password}, TokenField: {base64.RawURLEncoding.EncodeToString(make([]byte, 2*csrfBytes))}}
		return s.do("POST", "/in", append(more, body("application/x-www-form-urlencoded", form.Encode()),
			has(&http.Cookie{Name: "csrf", Value: base64.RawURLEncoding.EncodeToString(secret)}))...)
	}
	for range 6 {
		in("locked", "wrong horse battery")
	}
	var same string
	for name, c := range map[string][2]string{
		"a wrong password": {"ann", "wrong horse battery"}, "not known": {"bob", right}, "disabled": {"gone", right}, "locked": {"locked", right}, "nothing": {"", ""},
	} {
		w := in(c[0], c[1])
		w.Header().Del("X-Request-Id")
		got := fmt.Sprint(w.Code, w.Header(), strings.Split(w.Body.String(), `"instance"`)[0])
		if same == "" {
			same = got
		}
		if w.Code != 401 || got != same {
			t.Errorf("%s is told apart:\n%s\n%s", name, got, same)
		}
	}
	w := in("ann", right)
	cookies := w.Result().Cookies()
	if w.Code != 303 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Secure || cookies[0].Name != "session" {
		t.Fatalf("logged in: %d, %v", w.Code, cookies)
	}
	// A session that somebody planted is over after the login.
	again := s.do("POST", "/in", has(cookies[0]), body("application/x-www-form-urlencoded", ""))
	if again.Code != 403 {
		t.Errorf("a session and no token: %d", again.Code)
	}
	if strings.Contains(s.log.String(), right) || strings.Contains(s.log.String(), cookies[0].Value) {
		t.Error("the log has a secret")
	}
}

func TestCookiesOverTLS(t *testing.T) {
	s := newStage(t, func(c *Config) { c.TrustedProxies = []string{"192.0.2.1"} }, Route{
		Method: "GET", Pattern: "/", Kind: Page, Roles: access.Roles,
		Serve: func(w http.ResponseWriter, r *http.Request, v *Visit) error {
			return Send(w, r, 0, "text/plain", Private, []byte(v.CSRF(r)))
		},
	})
	plain, secure := s.do("GET", "/"), s.do("GET", "/", header("X-Forwarded-Proto", "https"), header("X-Forwarded-For", "198.51.100.7"))
	if c := plain.Result().Cookies()[0]; c.Secure || c.Name != "csrf" || plain.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("without TLS: %v", c)
	}
	if c := secure.Result().Cookies()[0]; !c.Secure || c.Name != "__Host-csrf" || c.Path != "/" || c.Domain != "" || secure.Header().Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS: %v", c)
	}
	// A claim of somebody who is no proxy of ours.
	if c := s.do("GET", "/", from("192.0.2.2:1"), header("X-Forwarded-Proto", "https")).Result().Cookies()[0]; c.Secure {
		t.Errorf("a stranger says that it is TLS, and is believed: %v", c)
	}
}

func TestClient(t *testing.T) {
	s := newStage(t, func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "2001:db8::1"} })
	for _, test := range []struct{ name, remote, forwarded, want string }{
		{"no proxy", "192.0.2.1:1", "", "192.0.2.1"},
		{"a stranger's claim", "192.0.2.1:1", "198.51.100.7", "192.0.2.1"},
		{"our proxy", "10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"our proxy behind a stranger's claim", "10.0.0.1:1", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"two proxies of ours", "10.0.0.1:1", "198.51.100.7, 10.2.2.2", "198.51.100.7"},
		{"our proxy says nothing", "10.0.0.1:1", "", "10.0.0.1"},
		{"our proxy says nonsense", "10.0.0.1:1", "198.51.100.7, unknown", "10.0.0.1"},
		{"over IPv6", "[2001:db8::1]:1", "2001:db8:5::1", "2001:db8:5::1"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1", "", "192.0.2.1"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if got, _ := s.client(r); got.String() != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Rate = 1 }, get("/", Page, access.Roles...),
		Route{Method: "GET", Pattern: "/dear", Kind: Page, Roles: access.Roles, Costly: true, Serve: says})
	ask := func(path, addr string) int { return s.do("GET", path, from(addr)).Code }
	for i := range 10 {
		if got := ask("/", "192.0.2.1:1"); got != 200 {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	w := s.do("GET", "/", from("192.0.2.1:2"))
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the eleventh at once: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if got := ask("/", "192.0.2.2:1"); got != 200 {
		t.Errorf("a neighbour: %d", got)
	}
	for i := range 10 {
		if got := ask("/", fmt.Sprintf("[2001:db8::%x]:1", i+1)); got != 200 {
			t.Fatalf("request %d of a /64: %d", i, got)
		}
	}
	if got := ask("/", "[2001:db8::ffff]:1"); got != 429 {
		t.Errorf("the eleventh of a /64: %d", got)
	}
	if got := ask("/", "[2001:db8:0:1::1]:1"); got != 200 {
		t.Errorf("the next /64: %d", got)
	}
	s.now = noon.Add(2 * time.Second)
	if a, b, c := ask("/", "192.0.2.1:1"), ask("/", "192.0.2.1:1"), ask("/", "192.0.2.1:1"); a != 200 || b != 200 || c != 429 {
		t.Errorf("after two seconds: %d %d %d", a, b, c)
	}
	dear := 0
	for i := range 60 {
		s.now = s.now.Add(time.Second)
		if ask("/dear", "198.51.100.1:1") == 200 {
			dear++
		}
		_ = i
	}
	if dear < costlyPerMinute || dear > 2*costlyPerMinute {
		t.Errorf("%d costly ones in a minute", dear)
	}
}

func TestTheLimiterForgets(t *testing.T) {
	l := newLimiter[int](1, 1)
	for i := range 3 * maxBuckets {
		l.take(i, noon)
	}
	if n := len(l.buckets); n > maxBuckets {
		t.Errorf("%d buckets", n)
	}
}

func TestBodies(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request, _ *Visit) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return Send(w, r, 0, "text/plain", Private, fmt.Append(nil, len(b)))
	}
	s := newStage(t, nil, Route{Method: "POST", Pattern: "/x", Kind: API, Roles: access.Named, Needs: access.Read, MaxBody: 100, Serve: read})
	_, key := s.key(store.KeyBearer, access.RoleAnalyst, access.Read)
	auth := header("Authorization", "Bearer "+key)
	if w := s.do("POST", "/x", auth, body("text/plain", strings.Repeat("x", 100))); w.Code != 200 || w.Body.String() != "100" {
		t.Errorf("what fits: %d %s", w.Code, w.Body)
	}
	if w := s.do("POST", "/x", auth, body("text/plain", strings.Repeat("x", 101))); w.Code != 413 {
		t.Errorf("what says that it is too long: %d", w.Code)
	}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	if w := s.do("POST", "/x", auth, body("text/plain", strings.Repeat("x", 101)), chunked); w.Code != 413 {
		t.Errorf("what does not say it: %d", w.Code)
	}
}

func TestSigned(t *testing.T) {
	s := newStage(t, nil, Route{Method: "POST", Pattern: "/api2/x", Kind: Signed, Roles: access.Named, Written: "nothing", Serve: func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		return Send(w, r, 0, "text/plain", Private, append([]byte(v.Who+" "), b...))
	}})
	k, secret := s.key(store.KeyHMAC, access.RoleAnalyst, access.Read)
	text := `{ "apikey":"` + k.ID + `", "x":1}`
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	mac := hex.EncodeToString(h.Sum(nil))
	if w := s.do("POST", "/api2/x", body("application/json", text), header("HMAC2", mac)); w.Code != 200 || w.Body.String() != "key "+k.ID+" "+text {
		t.Errorf("signed: %d %s", w.Code, w.Body)
	}
	ann := func() *http.Cookie { s.account("ann", access.RoleAnalyst, ""); c, _ := s.session("ann"); return c }()
	for name, change := range map[string][]func(*http.Request){
		"another body": {body("application/json", text+" "), header("HMAC2", mac)}, "no signature": {body("application/json", text)},
		"a session": {body("application/json", `{}`), has(ann)},
	} {
		if w := s.do("POST", "/api2/x", change...); w.Code != 401 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := s.do("POST", "/api2/x", body("application/json", "nonsense")); w.Code != 401 {
		t.Errorf("nonsense: %d", w.Code)
	}
}

func TestWhatIsWrittenDown(t *testing.T) {
	s := newStage(t, nil,
		Route{Method: "GET", Pattern: "/hosts/{x}", Kind: API, Roles: access.Roles, Personal: true, Serve: says},
		Route{Method: "POST", Pattern: "/change/{x}", Kind: API, Roles: access.Named, Serve: says},
		Route{Method: "POST", Pattern: "/own", Kind: API, Roles: access.Named, Written: "itself", Serve: says},
		Route{Method: "GET", Pattern: "/o/{token}", Kind: Page, Roles: access.Roles, Personal: true, Serve: says},
	)
	_, key := s.key(store.KeyBearer, access.RoleAnalyst, access.Read)
	auth := header("Authorization", "Bearer "+key)
	s.do("GET", "/hosts/198.51.100.7?q=secret", auth)
	s.do("GET", "/hosts/198.51.100.8")
	s.do("POST", "/change/1", auth)
	s.do("POST", "/own", auth)
	s.do("GET", "/o/very-secret")
	log, err := s.store.Audit(t.Context(), access.CLI(noon), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range log {
		if a.What != "key add" {
			got = append(got, a.What+" "+a.Detail)
		}
	}
	if want := []string{"change POST /change/1", "look GET /hosts/198.51.100.7"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("written down: %q, want %q", got, want)
	}
	for _, secret := range []string{key, "q=secret", "very-secret"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	// What cannot be written down does not happen.
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if w := s.do("POST", "/change/1", auth); w.Code != 500 || strings.Contains(w.Body.String(), "analyst") {
		t.Errorf("without the log: %d %s", w.Code, w.Body)
	}
}

func TestPanics(t *testing.T) {
	s := newStage(t, nil,
		Route{Method: "GET", Pattern: "/early", Kind: API, Roles: access.Roles, Serve: func(http.ResponseWriter, *http.Request, *Visit) error { panic("secret") }},
		Route{Method: "GET", Pattern: "/late", Kind: API, Roles: access.Roles, Serve: func(w http.ResponseWriter, _ *http.Request, _ *Visit) error {
			_, _ = w.Write([]byte("half"))
			panic("late")
		}},
		Route{Method: "GET", Pattern: "/error", Kind: API, Roles: access.Roles, Serve: func(http.ResponseWriter, *http.Request, *Visit) error { return errors.New("secret of ours") }},
	)
	for _, path := range []string{"/early", "/error"} {
		w := s.do("GET", path)
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if !strings.Contains(s.log.String(), w.Header().Get("X-Request-Id")) || !strings.Contains(s.log.String(), "secret") {
			t.Errorf("%s: the log does not have it: %s", path, s.log.String())
		}
	}
	func() {
		defer func() {
			if wrong := recover(); wrong != http.ErrAbortHandler { //nolint:errorlint // as net/http does
				t.Errorf("an answer that had begun ends with %v", wrong)
			}
		}()
		s.do("GET", "/late")
	}()
}

func TestSend(t *testing.T) {
	text := strings.Repeat("all work and no play ", 100)
	s := newStage(t, nil, Route{Method: "GET", Pattern: "/x", Kind: API, Roles: access.Roles, Serve: func(w http.ResponseWriter, r *http.Request, _ *Visit) error {
		return Send(w, r, 0, "text/plain", "public, max-age=60", []byte(text))
	}})
	plain := s.do("GET", "/x")
	tag := plain.Header().Get("ETag")
	if plain.Body.String() != text || tag == "" || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("plain: %v", plain.Header())
	}
	squeezed := s.do("GET", "/x", header("Accept-Encoding", "br, gzip;q=0.8"))
	z, err := gzip.NewReader(squeezed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != text || squeezed.Header().Get("ETag") != tag || !strings.Contains(squeezed.Header().Get("Vary"), "Accept-Encoding") {
		t.Errorf("compressed: %v %v", squeezed.Header(), err)
	}
	if w := s.do("GET", "/x", header("Accept-Encoding", "gzip;q=0")); w.Body.String() != text {
		t.Error("compressed for who does not take it")
	}
	for _, has := range []string{tag, "*", `"x", ` + tag, strings.TrimPrefix(tag, "W/")} {
		if w := s.do("GET", "/x", header("If-None-Match", has)); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("If-None-Match %s: %d with %d bytes", has, w.Code, w.Body.Len())
		}
	}
}

func TestHost(t *testing.T) {
	s := newStage(t, func(c *Config) { c.URL = "https://print.example" }, get("/", Page, access.Roles...))
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	if w := s.do("GET", "/", host("Print.Example")); w.Code != 200 {
		t.Errorf("our name: %d", w.Code)
	}
	if w := s.do("GET", "/", host("evil.example")); w.Code != 421 {
		t.Errorf("another name: %d", w.Code)
	}
}

func TestLocalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/cases?x=1": "/cases?x=1", "": "/", "cases": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"/a\nb": "/", `/a\b`: "/", "/\x7f": "/", "javascript:alert(1)": "/", "/" + strings.Repeat("x", 3000): "/",
	} {
		if got := LocalPath(in); got != want {
			t.Errorf("LocalPath(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "//x", `/\x`, "/a?b", "/\t/x"} {
		f.Add(s)
	}
	base, err := url.Parse("http://ours.test/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := base.Parse(LocalPath(s))
		if err == nil && (u.Host != "ours.test" || u.Scheme != "http") {
			t.Errorf("LocalPath(%q) leads to %s", s, u)
		}
	})
}
