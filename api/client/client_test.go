package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "ippwatch/api/v1"
)

// A far is a server that plays a script: one handler a request.
type far struct {
	*httptest.Server
	mu     sync.Mutex // a handler that breaks its connection may still run when the next begins
	asked  []*http.Request
	bodies []string
	waited []time.Duration
}

func play(t *testing.T, script ...http.HandlerFunc) (*far, *Client) {
	t.Helper()
	f := &far{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.asked, f.bodies = append(f.asked, r), append(f.bodies, string(body))
		n := len(f.asked)
		f.mu.Unlock()
		if n > len(script) {
			t.Errorf("request %d: %s %s", n, r.Method, r.URL)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		script[n-1](w, r)
	}))
	t.Cleanup(f.Close)
	c, err := New(Options{URL: f.URL, Key: "ippwatch_x_y", Agent: "test", Wait: func(_ context.Context, d time.Duration) error {
		f.waited = append(f.waited, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // a test's client reads it, or not
	}
}

func cut(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestPages(t *testing.T) {
	f, c := play(t,
		says(200, `{"items":[{"case":"A"},{"case":"B"}],"next":"n1"}`),
		says(200, `{"items":[{"case":"C"}]}`))
	var got []string
	q := v1.CaseQuery{State: "all", Rules: []string{"open-ipp", "open-cups"}, ASNs: []uint32{64500}, Since: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), Moved: true}
	for k, err := range c.Cases(t.Context(), q, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, k.Case)
	}
	if diff := cmp.Diff([]string{"A", "B", "C"}, got); diff != "" {
		t.Error(diff)
	}
	want := url.Values{"state": {"all"}, "rule": {"open-ipp", "open-cups"}, "asn": {"64500"}, "since": {"2026-11-23T09:00:00Z"}, "moved": {"true"}, "limit": {"500"}}
	if diff := cmp.Diff(want, f.asked[0].URL.Query()); diff != "" {
		t.Error(diff)
	}
	if f.asked[1].URL.Query().Get("after") != "n1" || f.asked[0].Header.Get("Authorization") != "Bearer ippwatch_x_y" || f.asked[0].URL.Path != "/api/v1/cases" {
		t.Errorf("second: %s %v", f.asked[1].URL, f.asked[1].Header)
	}
}

func TestMost(t *testing.T) {
	f, c := play(t, says(200, `{"items":[{"case":"A"},{"case":"B"}],"next":"n1"}`))
	n := 0
	for _, err := range c.Cases(t.Context(), v1.CaseQuery{}, 2) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 || len(f.asked) != 1 || f.asked[0].URL.Query().Get("limit") != "2" {
		t.Errorf("%d cases, asked %d times", n, len(f.asked))
	}
}

// TestAskedAgain holds what is asked again, after which time, and that a change has
// the same word each time.
func TestAskedAgain(t *testing.T) {
	f, c := play(t,
		says(429, `{}`, "Retry-After", "7"),
		says(503, `{}`),
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		says(409, `{"code":"in-progress"}`, "Retry-After", "1"),
		says(200, `{"case":"A"}`))
	got, err := c.Act(t.Context(), "A", "dismiss", "why", time.Time{}, `"tag"`)
	if err != nil || got.Case.Case != "A" {
		t.Fatal(got, err)
	}
	// What is lost with its connection net/http asks again by itself, if it is new.
	last := len(f.waited) - 1
	if last < 2 || last > 3 || f.waited[0] != 7*time.Second || f.waited[1] < 500*time.Millisecond || f.waited[1] > time.Second || f.waited[last] < time.Second {
		t.Errorf("waited %v", f.waited)
	}
	words := make(map[string]bool)
	for i, r := range f.asked {
		words[r.Header.Get("Idempotency-Key")] = true
		if f.bodies[i] != `{"reason":"why"}` || r.Header.Get("If-Match") != `"tag"` {
			t.Errorf("request %d: %s %v", i, f.bodies[i], r.Header)
		}
	}
	if len(words) != 1 || words[""] {
		t.Errorf("words %v", words)
	}
}

func TestNotAskedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		script http.HandlerFunc
		want   string
	}{
		"a mistake":            {says(422, `{"status":422,"detail":"query.limit: no"}`), "query.limit: no"},
		"a conflict":           {says(409, `{"status":409,"detail":"no such transition"}`), "no such transition"},
		"come back in an hour": {says(503, `{"status":503,"detail":"busy"}`, "Retry-After", "3600"), "busy (request "},
		"a redirect":           {says(302, ``, "Location", "https://elsewhere.example/"), "the server answered 302 Found, and not as ippwatch does: is it one?"},
		"no ippwatch":          {says(404, `<html>`, "Content-Type", "text/html"), "the server answered 404 Not Found, and not as ippwatch does: is it one?"},
	} {
		f, c := play(t, test.script)
		_, err := c.Me(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), strings.TrimSuffix(test.want, " (request ")) || len(f.asked) != 1 {
			t.Errorf("%s: %v, asked %d times", name, err, len(f.asked))
		}
	}
}

func TestGivesUp(t *testing.T) {
	var script []http.HandlerFunc
	for range 5 {
		script = append(script, says(503, `{"status":503,"detail":"busy","instance":"ABC"}`))
	}
	f, c := play(t, script...)
	_, err := c.Version(t.Context())
	if !Is(err, 503) || err.Error() != "busy (request ABC)" || len(f.waited) != 4 {
		t.Errorf("%v after %v", err, f.waited)
	}
}

func TestExport(t *testing.T) {
	for name, test := range map[string]struct {
		script http.HandlerFunc
		n      int
		want   string
	}{
		"whole":           {says(200, "{\"case\":\"A\"}\n{\"case\":\"B\"}\n{\"complete\":true,\"count\":2}\n"), 2, ""},
		"empty":           {says(200, "{\"complete\":true,\"count\":0}\n"), 0, ""},
		"cut by a line":   {says(200, "{\"case\":\"A\"}\n"), 1, ErrCut.Error()},
		"cut in a line":   {cut("{\"case\":\"A\"}\n{\"ca"), 1, ""},
		"one is missing":  {says(200, "{\"case\":\"A\"}\n{\"complete\":true,\"count\":2}\n"), 1, ErrCut.Error()},
		"failed half-way": {says(200, "{\"case\":\"A\"}\n{\"complete\":false,\"count\":1,\"problem\":{\"status\":500,\"code\":\"internal\",\"detail\":\"it ended early\"}}\n"), 1, "it ended early"},
	} {
		_, c := play(t, test.script)
		n := 0
		var failed error
		for _, err := range c.ExportCases(t.Context(), v1.CaseQuery{}) {
			if err != nil {
				failed = err
				break
			}
			n++
		}
		if n != test.n || test.want != "" && (failed == nil || !strings.HasPrefix(failed.Error(), test.want)) || (failed == nil) != (name == "whole" || name == "empty") {
			t.Errorf("%s: %d, %v", name, n, failed)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, c := play(t)
	c.Wait = wait
	if _, err := c.Me(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNew(t *testing.T) {
	for u, ok := range map[string]bool{
		"https://ippwatch.example.net": true, "https://ippwatch.example.net/": true, "https://ippwatch.example.net/api/v1/": true,
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, "http://[::1]:8080": true,
		"http://ippwatch.example.net": false, "ippwatch.example.net": false, "ftp://x": false, "": false, "https://u:p@x": false, "https://x/?a=b": false,
	} {
		if _, err := New(Options{URL: u, Key: "k"}); (err == nil) != ok {
			t.Errorf("New(%s): %v", u, err)
		}
	}
	if _, err := New(Options{URL: "https://x", Key: "a\nb"}); err == nil {
		t.Error("a key with a line break is taken")
	}
	if _, err := New(Options{URL: "http://ippwatch.example.net"}); err != nil {
		t.Errorf("without a key: %v", err)
	}
}

func TestKey(t *testing.T) {
	t.Setenv(KeyVariable, " ippwatch_a_b\n")
	if k, err := Key(""); k != "ippwatch_a_b" || err != nil {
		t.Errorf("from the environment: %q %v", k, err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("ippwatch_c_d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := Key(file); k != "ippwatch_c_d" || err != nil {
		t.Errorf("from a file: %q %v", k, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(file, 0o644); err != nil { //nolint:gosec // that is what is tested
			t.Fatal(err)
		}
		if _, err := Key(file); err == nil || !strings.Contains(err.Error(), "others may read it") {
			t.Errorf("a file for all: %v", err)
		}
	}
	if _, err := Key(file + "x"); err == nil {
		t.Error("no file, no error")
	}
}

func TestPath(t *testing.T) {
	if got := path("hosts", "2001:db8::1", "a/b?c"); got != "/hosts/2001:db8::1/a%2Fb%3Fc" {
		t.Errorf("path = %s", got)
	}
	f, c := play(t, says(200, `{"ip":"2001:db8::1"}`))
	if _, err := c.Constituent(t.Context(), "../a b"); err != nil || f.asked[0].URL.EscapedPath() != "/api/v1/constituents/..%2Fa%20b" {
		t.Errorf("%v %v", f.asked[0].URL.EscapedPath(), err)
	}
}
