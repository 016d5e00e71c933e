package shadowserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/feed/shadowserver/fake"
)

var window = Window{
	From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Types: []string{"scan_ipp"},
}

// play returns a fake API and a client of it that does not wait.
func play(t *testing.T) (*fake.Server, *Client) {
	t.Helper()
	s := fake.New()
	t.Cleanup(s.Close)
	s.Reports = []fake.Report{{Day: "2026-11-22", Type: "scan_ipp", File: "2026-11-22-scan_ipp-example-asn.csv", List: "example", Body: []byte("x")}}
	return s, client(t, fake.Key, fake.Secret, s.URI())
}

func client(t *testing.T, key, secret, uri string) *Client {
	t.Helper()
	c, err := NewClient(NewCredentials(key, secret, uri))
	if err != nil {
		t.Fatal(err)
	}
	c.wait = func(ctx context.Context, _ int) error { return ctx.Err() }
	return c
}

// secretFree fails if an error, or its hint, tells what opens a door.
func secretFree(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		if h, ok := e.(interface{ Hint() string }); ok {
			text += h.Hint()
		}
	}
	for _, secret := range []string{fake.Key, fake.Secret, "cap0000"} {
		if strings.Contains(text, secret) {
			t.Errorf("the error tells %q: %s", secret, text)
		}
	}
}

func TestListAndDownload(t *testing.T) {
	s, c := play(t)
	listed, err := c.List(t.Context(), window)
	if err != nil || len(listed) != 1 || listed[0].File != "2026-11-22-scan_ipp-example-asn.csv" {
		t.Fatalf("List = %v, %v", listed, err)
	}
	doc, body, err := c.Download(t.Context(), listed[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(doc.Reader); string(text) != "x" || err != nil || doc.Name != listed[0].File || doc.Ref != listed[0].Ref() {
		t.Errorf("Download = %q, %v as %q", text, err, doc.Name)
	}
	if strings.Contains(doc.Ref, "cap") || strings.Contains(fmt.Sprint(listed, c.cred), "cap0") {
		t.Errorf("%v tells what opens the report", listed)
	}
	if wrong := s.Wrong(); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestFaultsOfTheAPI(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fail  func(w http.ResponseWriter, r *http.Request, n int) bool
		want  string // of the error; "" for none
		asked int
	}{
		{"500 once", func(w http.ResponseWriter, _ *http.Request, n int) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return n == 1
		}, "", 2},
		{"500 for ever", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, "ask reports/list: HTTP 500", 3},
		{"200 with an error", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			_, _ = io.WriteString(w, `{"error":"No supported report filters found for `+fake.Key+`"}`)
			return true
		}, `HTTP 200: "No supported report filters found for [secret]"`, 1},
		{"a secret that has expired", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"expired"}`)
			return true
		}, `HTTP 401: "expired"`, 1},
		{"a body that breaks off", func(w http.ResponseWriter, _ *http.Request, n int) bool {
			if n > 2 {
				return false
			}
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `[{"id":"cap`)
			return true
		}, "", 3},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			_, _ = io.WriteString(w, "<html>")
			return true
		}, "no JSON", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := play(t)
			fail := tt.fail
			s.Fail = func(w http.ResponseWriter, r *http.Request, n int) bool {
				if tt.name == "500 once" && n > 1 {
					return false
				}
				return fail(w, r, n)
			}
			_, err := c.List(t.Context(), window)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("List: %v, want %q", err, tt.want)
			}
			secretFree(t, err)
			if n := s.Asked("/api2/reports/list"); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
}

func TestWrongSecretIsRefused(t *testing.T) {
	s, _ := play(t)
	_, err := client(t, fake.Key, "another", s.URI()).List(t.Context(), window)
	if e, ok := errors.AsType[*APIError](err); !ok || e.Status != 401 || !strings.Contains(e.Hint(), "secret") {
		t.Errorf("List with another secret: %v", err)
	}
	_, err = client(t, "another-key", fake.Secret, s.URI()).List(t.Context(), window)
	if err == nil || strings.Contains(err.Error(), "another-key") {
		t.Errorf("List with another key: %v", err)
	}
}

// TestRedirectsAreNotFollowed holds that neither key nor link go elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, c := play(t)
		s.Fail = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, elsewhere.URL, status)
			return true
		}
		_, err := c.List(t.Context(), window)
		if err == nil {
			t.Errorf("%d was followed", status)
		}
		secretFree(t, err)
		if _, _, err := c.Download(t.Context(), Listed{ID: "cap0000", File: "f", URL: s.Link(0)}); err == nil {
			t.Errorf("%d of a download was followed", status)
		} else {
			secretFree(t, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("somebody else was asked")
	}
}

// TestNobodyThere holds that the errors of net/http, which name URLs, are cut.
func TestNobodyThere(t *testing.T) {
	c := client(t, fake.Key, fake.Secret, "http://127.0.0.1:1/api2/")
	_, err := c.List(t.Context(), window)
	if err == nil {
		t.Error("nobody has a list")
	}
	secretFree(t, err)
	_, _, err = c.Download(t.Context(), Listed{ID: "cap0000", File: "f", URL: "http://127.0.0.1:1/cap0000"})
	if err == nil {
		t.Error("nobody has a report")
	}
	secretFree(t, err)
	for _, link := range []string{"http://dl.shadowserver.org/cap0000", "ftp://x/cap0000", ":cap0000", "file:///etc/passwd"} {
		if _, _, err := c.Fetch(t.Context(), link); err == nil {
			t.Errorf("Fetch(%s) = nil", link)
		} else {
			secretFree(t, err)
		}
	}
}

func TestDownloadsThatFail(t *testing.T) {
	s, c := play(t)
	s.Fail = func(w http.ResponseWriter, r *http.Request, n int) bool {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/cap"):
			return false
		case n == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "begun")
		return true
	}
	doc, body, err := c.Download(t.Context(), Listed{File: "f", URL: s.Link(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(doc.Reader); string(text) != "begun" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that breaks off = %q, %v", text, err)
	}
	if _, _, err := c.Download(t.Context(), Listed{ID: "cap0007", File: "f", URL: s.URL + "/other"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a report that is gone: %v", err)
	}
}

// A drip is a body that never goes on.
type drip struct{ ctx context.Context }

func (d drip) Read([]byte) (int, error) {
	<-d.ctx.Done()
	return 0, d.ctx.Err()
}

func (drip) Close() error { return nil }

type dripping struct{}

func (dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: drip{r.Context()}, Request: r}, nil
}

func TestADownloadThatStopsMovingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, fake.Key, fake.Secret, "https://example.net/")
		c.http = &http.Client{Transport: dripping{}}
		doc, body, err := c.Fetch(t.Context(), "https://dl.shadowserver.org/cap0000")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		began := time.Now()
		if _, err := io.ReadAll(doc.Reader); !errors.Is(err, errStalled) || time.Since(began) != stall {
			t.Errorf("after %s: %v, want %v after %s", time.Since(began), err, errStalled, stall)
		}
	})
}

// TestListGoesRoundTheLimit has more reports than one query may name.
func TestListGoesRoundTheLimit(t *testing.T) {
	s, c := play(t)
	s.Reports = nil
	for i := range 25_000 {
		s.Reports = append(s.Reports, fake.Report{
			Day: fmt.Sprintf("2026-11-2%d", i%2), Type: []string{"scan_ipp", "special"}[i/2%2], File: fmt.Sprint(i), List: "example",
		})
	}
	for _, types := range [][]string{nil, {"scan_ipp", "special"}} {
		w := window
		w.Types = types
		listed, err := c.List(t.Context(), w)
		if err != nil || len(listed) != 25_000 {
			t.Errorf("List of %v = %d, %v, want all", types, len(listed), err)
		}
	}
	for i := range s.Reports {
		s.Reports[i].Day, s.Reports[i].Type = "2026-11-20", "scan_ipp"
	}
	if _, err := c.List(t.Context(), window); !errors.Is(err, ErrCut) {
		t.Errorf("List of a day that is cut = %v, want ErrCut", err)
	}
}

func TestWhyNone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *fake.Server, w *Window)
		want   string
	}{
		{"the key was ended", func(s *fake.Server, _ *Window) { s.Status = "disabled" }, `not active but "disabled"`},
		{"the key is for something else", func(s *fake.Server, _ *Window) { s.Access = []string{"honeypot"} }, "may not read reports"},
		{"no subscription", func(s *fake.Server, _ *Window) { s.Subscribed = nil }, "subscribed to no list"},
		{"another list", func(_ *fake.Server, w *Window) { w.Lists = []string{"narnia"} }, `not subscribed to the list "narnia", but to ["example"]`},
		{"another type", func(_ *fake.Server, w *Window) { w.Types = []string{"scan6_ipp"} }, "the filter is too narrow"},
		{"another time", func(*fake.Server, *Window) {}, "none of 2026-11-20 to 2026-11-22"},
	} {
		s, c := play(t)
		w := window
		tt.change(s, &w)
		if why, err := c.WhyNone(t.Context(), w); err != nil || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %q, %v, want %q", tt.name, why, err, tt.want)
		}
	}
}

func TestReadCredentials(t *testing.T) {
	none := func(string) string { return "" }
	file := filepath.Join(t.TempDir(), "api")
	write := func(text string, mode os.FileMode) {
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, text, want string }{
		{"as their tools write it", "[api]\nkey = a\nsecret = b\nuri = https://example.net/api2\n", ""},
		{"quotes, comments and CRLF", "# mine\r\n[api]\r\nkey='a'\r\nsecret=\"b\"\r\nuri=https://example.net/api2/\r\n", ""},
		{"no secret", "[api]\nkey = a-key-that-is-long\n", "no secret in section [api]"},
		{"another section", "[smtp]\nkey = a\nsecret = b\n", "no key in section [api]"},
		{"no ini", "a-key-that-is-long", "line 1: want NAME = VALUE"},
	} {
		write(tt.text, 0o600)
		c, err := ReadCredentials(file, none)
		switch {
		case tt.want == "" && (err != nil || c != Credentials{"a", "b", "https://example.net/api2/"}):
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "a-key")):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if runtime.GOOS != "windows" {
		write("[api]\nkey = a\nsecret = b\n", 0o644)
		if _, err := ReadCredentials(file, none); err == nil || !strings.Contains(err.Error(), "others can read it") {
			t.Errorf("a file that others can read: %v", err)
		}
	}
	env := map[string]string{EnvKey: "k", EnvSecret: "s"}
	if c, err := ReadCredentials("/nonexistent", func(n string) string { return env[n] }); err != nil || c != (Credentials{"k", "s", DefaultURI}) {
		t.Errorf("from the environment: %v", err)
	}
	if _, err := ReadCredentials("/nonexistent", none); err == nil {
		t.Error("no file gave credentials")
	}
	for _, uri := range []string{"http://example.net/", "ftp://127.0.0.1/", "nonsense", "://"} {
		if _, err := NewClient(NewCredentials("k", "s", uri)); err == nil {
			t.Errorf("NewClient(%q) = nil", uri)
		}
	}
}
