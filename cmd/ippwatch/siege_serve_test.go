package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

// A visitor is somebody with a browser that shows what the server says.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

// visit logs in at a daemon as its operator.
func (s *service) visit(d *served) *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	v := &visitor{s.t, d.says(`"web":"(http[^"]+)/"`)[1], &http.Client{Jar: jar, Timeout: 2 * time.Minute}}
	v.t.Cleanup(v.client.CloseIdleConnections)
	if code, page := v.post("/login", url.Values{"name": {"olga"}, "password": {townPassword}}); code != http.StatusOK || !strings.Contains(page, "/logout") {
		s.t.Fatalf("cannot log in: %d\n%s", code, page)
	}
	return v
}

// do returns the status, the header and the page.
func (v *visitor) do(r *http.Request, err error) (int, http.Header, string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	res, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func (v *visitor) get(path string) (int, string) {
	v.t.Helper()
	code, _, page := v.do(http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil))
	return code, page
}

var hiddenToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form as the page before it would; a 503 must say when to come
// again.
func (v *visitor) post(path string, form url.Values) (int, string) {
	v.t.Helper()
	from := path
	if strings.HasPrefix(path, "/account/") {
		from = "/account"
	}
	if _, page := v.get(from); hiddenToken.MatchString(page) {
		form.Set("csrf", hiddenToken.FindStringSubmatch(page)[1])
	}
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.base+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	code, header, page := v.do(r, err)
	if code == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
		v.t.Errorf("POST %s does not say when to come again", path)
	}
	return code, page
}

// withPages is a service with a daemon that serves pages, and an operator.
func withPages(t *testing.T, dir string) (*service, *served) {
	t.Helper()
	s := newService(t, dir, "metrics: {listen: ''}\nweb: {listen: '127.0.0.1:0', rate: 0}\n")
	st := s.open()
	if err := st.AddAccount(t.Context(), store.Account{Name: "olga", Role: access.RoleOperator}, townPassword, "j.doe", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return s, s.start()
}

// TestPagesOnAFullDisk: what is read is shown, what is changed says what to do,
// and nothing is lost.
func TestPagesOnAFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("a small disk of its own needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no small disk here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	s, d := withPages(t, dir)
	v := s.visit(d)
	filler := filepath.Join(dir, "filler")
	// What SQLite has in its files already is room for a few more writes.
	if err := fill(filler); err != nil {
		t.Fatal(err)
	}
	code, page := http.StatusOK, ""
	for range 500 {
		if code, page = v.post("/login", url.Values{"name": {strings.Repeat("nobody ", 9)}, "password": {"wrong"}}); code != http.StatusOK && code != http.StatusUnauthorized {
			break
		}
	}
	if code != http.StatusServiceUnavailable || !strings.Contains(page, "The disk is full") || !strings.Contains(page, "Make room") || strings.Contains(page, "goroutine") {
		t.Errorf("a change on a full disk: %d\n%s", code, page)
	}
	for _, path := range []string{"/", "/account", "/preferences"} {
		if code, page := v.get(path); code != http.StatusOK || !strings.Contains(page, "olga") {
			t.Errorf("GET %s on a full disk: %d\n%.500s", path, code, page)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if code, page := v.post("/account/sessions/end", url.Values{}); code != http.StatusOK || !strings.Contains(page, "/logout") {
		t.Errorf("with space again: %d\n%.500s", code, page)
	}
	if err := d.ends(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := s.open().Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPagesWhileSomebodyHoldsTheDatabase locks it as an open sqlite3 shell would:
// for a short time, then for longer than anybody waits.
func TestPagesWhileSomebodyHoldsTheDatabase(t *testing.T) {
	t.Parallel()
	s, d := withPages(t, t.TempDir())
	v := s.visit(d)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "data", store.File)+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	hold := func() func() {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
			_ = conn.Close() // ROLLBACK tells
		}
	}
	letGo := hold()
	timer := time.AfterFunc(time.Second, letGo)
	defer timer.Stop()
	if code, page := v.post("/account/sessions/end", url.Values{}); code != http.StatusOK {
		t.Errorf("a change that waits a second: %d\n%s", code, page)
	}
	letGo = hold()
	for _, path := range []string{"/", "/account"} {
		if code, page := v.get(path); code != http.StatusOK || !strings.Contains(page, "olga") {
			t.Errorf("GET %s while the database is locked: %d\n%.500s", path, code, page)
		}
	}
	if code, page := v.post("/account/sessions/end", url.Values{}); code != http.StatusServiceUnavailable || !strings.Contains(page, "Somebody else holds the database") {
		t.Errorf("a change that waits for ever: %d\n%s", code, page)
	}
	letGo()
	if code, page := v.post("/account/sessions/end", url.Values{}); code != http.StatusOK {
		t.Errorf("a change when it is free again: %d\n%s", code, page)
	}
	if err := d.ends(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// TestPagesDrain: SIGTERM lets what has begun come to its end, and takes nothing
// new.
func TestPagesDrain(t *testing.T) {
	t.Parallel()
	s, d := withPages(t, t.TempDir())
	v := s.visit(d)
	// A form whose body is still on its way: "100 Continue" says that somebody
	// waits for it.
	_, page := v.get("/preferences")
	form := url.Values{"csrf": {hiddenToken.FindStringSubmatch(page)[1]}, "lang": {"de"}, "theme": {"dark"}, "back": {"/"}}.Encode()
	at, err := url.Parse(v.base)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, c := range v.client.Jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /preferences HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		at.Host, strings.Join(cookies, "; "), len(form))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v: want that it waits for the form", line, err)
	}
	_, _ = answers.ReadString('\n') // an empty one
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.says(`"msg":"stops`)
	for {
		other, err := net.Dial("tcp", at.Host)
		if err != nil {
			break // nobody listens any more
		}
		_ = other.Close()
		time.Sleep(10 * time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal("it still listens")
		}
	}
	if _, err := io.WriteString(conn, form); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatalf("what had begun was cut off: %v", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("what had begun ends with %s", res.Status)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
