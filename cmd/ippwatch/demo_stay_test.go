package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ippwatch/demo/year"
	"ippwatch/feed/shadowserver"
	"ippwatch/screen"
)

// A stayed is one process of ippwatch demo --stay.
type stayed struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  journal
	errs journal
}

// stay starts it and waits until it is open, and until the accounts came whole
// through the other pipe.
func stay(t *testing.T, tmp string, args ...string) (d *stayed, base string) {
	t.Helper()
	d = &stayed{t: t}
	d.cmd = exec.Command(os.Args[0], append([]string{"demo", "--stay", "--format", "json", "--listen", "127.0.0.1:0", "--hosts", "20", "--scaled"}, args...)...)
	d.cmd.Env = append(os.Environ(), asMain+"=yes", "TMPDIR="+tmp)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.errs
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // it may have ended
		_ = d.cmd.Wait()
		if t.Failed() {
			t.Logf("it said\n%s", d.errs.String())
		}
	})
	open := regexp.MustCompile(`Open (http://127\.0\.0\.1:\d+)/`)
	for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(50 * time.Millisecond) {
		if m := open.FindStringSubmatch(d.errs.String()); m != nil && json.Valid([]byte(d.out.String())) {
			return d, m[1]
		}
	}
	t.Fatal("it never opened")
	return nil, ""
}

// end interrupts it, and it must end by itself.
func (d *stayed) end() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("after Ctrl-C: %v", err)
	}
}

// A guest looks at the site.
type guest struct {
	t    *testing.T
	http http.Client
	base string
}

func (g *guest) get(path, language string) (int, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.base+path, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept-Language", language)
	r.Header.Set("Accept", "text/html")
	return g.do(r)
}

func (g *guest) do(r *http.Request) (int, string) {
	g.t.Helper()
	res, err := g.http.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

var tokenField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (g *guest) login(name, password string) (int, string) {
	g.t.Helper()
	_, page := g.get("/login", "en")
	m := tokenField.FindStringSubmatch(page)
	if m == nil {
		g.t.Fatalf("no form:\n%s", page)
	}
	form := url.Values{"csrf": {m[1]}, "name": {name}, "password": {password}}
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.base+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept-Language", "en")
	return g.do(r)
}

// TestDemoStay opens the generated year, looks at it, and ends it with Ctrl-C.
func TestDemoStay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGINT to send")
	}
	tmp := t.TempDir()
	d, base := stay(t, tmp)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, http: http.Client{Jar: jar}, base: base}
	const english, german = "Generated data: a year that never was.", "Erzeugte Daten: ein Jahr, das es nie gab."
	for _, path := range []string{"/login", "/nothing-here", "/preferences"} {
		if _, page := g.get(path, "en"); !strings.Contains(page, english) {
			t.Errorf("%s does not say that it is generated:\n%s", path, page)
		}
	}
	if _, page := g.get("/login", "de"); !strings.Contains(page, german) {
		t.Errorf("in German it does not say so:\n%s", page)
	}
	var accounts []demoAccount
	if err := json.Unmarshal([]byte(d.out.String()), &accounts); err != nil || len(accounts) != 5 {
		t.Fatalf("accounts: %v\n%s", err, d.out.String())
	}
	for _, a := range accounts {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		g.http.Jar = jar
		if status, page := g.login(a.Name, a.Password); status != http.StatusOK || !strings.Contains(page, english) || strings.Contains(page, "<script>alert") {
			t.Errorf("%s logs in: %d\n%s", a.Name, status, page)
		}
	}
	d.reports(base)
	d.end()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// reports pulls the special report by Shadowserver's API.
func (d *stayed) reports(base string) {
	d.t.Helper()
	m := regexp.MustCompile(`key = (\w+), secret = (\w+)`).FindStringSubmatch(d.errs.String())
	if m == nil {
		d.t.Fatal("no key was told")
	}
	c, err := shadowserver.NewClient(shadowserver.NewCredentials(m[1], m[2], base+"/api2/"))
	if err != nil {
		d.t.Fatal(err)
	}
	listed, err := c.List(d.t.Context(), shadowserver.Window{From: year.Special, To: year.Special, Types: []string{"special"}})
	if err != nil || len(listed) == 0 {
		d.t.Fatalf("special reports: %v %v", listed, err)
	}
	for _, l := range listed {
		if !strings.HasSuffix(l.File, "-simulated.csv") {
			d.t.Errorf("the name %s does not say that it is generated", l.File)
		}
	}
}

// TestDemoStayKeeps keeps the year where --data says, and opens it again without
// writing it anew.
func TestDemoStayKeeps(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGINT to send")
	}
	data := filepath.Join(t.TempDir(), "kept")
	d, _ := stay(t, t.TempDir(), "--data", data)
	first := d.out.String()
	d.end()
	if !strings.Contains(d.errs.String(), "Kept in "+data) || !generated(data) {
		t.Errorf("it said\n%s", d.errs.String())
	}
	d, _ = stay(t, t.TempDir(), "--data", data)
	if strings.Contains(d.errs.String(), "writing a generated year") || d.out.String() == first {
		t.Errorf("the second time it said\n%s%s", d.errs.String(), d.out.String())
	}
	d.end()
	// What others see of it says so, too.
	if text, err := os.ReadFile(filepath.Join(data, generatedFile)); err != nil || !strings.Contains(string(text), "Nothing here is real") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestDemoStayRefuses(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	if err := os.MkdirAll(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"want a loopback address":     {"--stay", "--listen", "0.0.0.0:8631"},
		"want 10 to 1000000":          {"--stay", "--hosts", "1"},
		"--hosts goes with --stay":    {"--hosts", "20"},
		"has something else in it":    {"--stay", "--data", full},
		"none of the others can be":   {"--stay", "--keep", "x"},
		"want a loopback address and": {"--stay", "--listen", "localhost"},
	} {
		var b bytes.Buffer
		s := &street{in: strings.NewReader(""), now: time.Now, Screen: screen.Screen{Out: &b, Err: &b}}
		root := s.root()
		root.SetArgs(append([]string{"demo"}, args...))
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("demo %s: %v, want %q", strings.Join(args, " "), err, want)
		}
	}
}
