package main

import (
	"bytes"
	"crypto/tls"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"ippwatch/access"
	"ippwatch/demo"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/persona"
	"ippwatch/store"
)

// An estate is a shop with one print service, somebody else's print services
// beside it, a mail server, and ippwatch serve over all of it.
type estate struct {
	*service
	daemon *served
	base   string
	shop   netip.AddrPort // its print service
	close  func()         // the shop closes it
	post   *postbox
	hood   *persona.Neighbourhood
}

// freeAddr is a port of loopback that nobody has or will get by chance.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

// openCupsd starts a cupsd of this machine's package that answers at 127.0.0.1.
func openCupsd(t *testing.T, cupsd string) (netip.AddrPort, func()) {
	t.Helper()
	at, dir := freeAddr(t), t.TempDir()
	for _, name := range []string{"cache", "run", "spool", "ssl", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"cups-files.conf": strings.ReplaceAll("ServerRoot DIR\nServerKeychain DIR/ssl\nStateDir DIR/run\nRequestRoot DIR/spool\nCacheDir DIR/cache\nTempDir DIR/tmp\n"+
			"AccessLog DIR/access_log\nPageLog DIR/page_log\nErrorLog stderr\nPrintcap\n", "DIR", dir),
		"cupsd.conf": fmt.Sprintf("Listen %s\nServerName localhost\nBrowsing No\nBrowseLocalProtocols none\nWebInterface No\nLogLevel error\nMaxLogSize 0\n"+
			"<Location />\n  Order allow,deny\n  Allow localhost\n</Location>\n", at),
		"printers.conf": "<Printer counter>\nInfo Till of the shop\nDeviceURI socket://192.0.2.9:9100\nState Stopped\nAccepting No\nShared Yes\n</Printer>\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(cupsd, "-f", "-c", filepath.Join(dir, "cupsd.conf"), "-s", filepath.Join(dir, "cups-files.conf"))
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "tmp"), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + filepath.Join(dir, "no-bus")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	once := sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	t.Cleanup(once)
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			_ = c.Close()
			return at, once
		}
	}
	t.Fatalf("cupsd does not answer at %s", at)
	return at, once
}

// openEstate plays it all, scans, and lets the mails go.
func openEstate(t *testing.T) *estate {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers for all of 127.0.0.0/8")
	}
	dir, err := os.MkdirTemp("", "owner-") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := &estate{service: &service{t: t, dir: dir}, post: openPostbox(t, dir)}
	var cast []persona.Persona
	for _, p := range persona.Street() {
		if p.Name == "device-lexington" {
			cast = append(cast, p)
		}
	}
	if e.hood, err = openOnOnePort(cast); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.hood.Close)
	other := e.hood.Hosts()[0]
	if cupsd := demo.FindCUPS(); cupsd != "" {
		e.shop, e.close = openCupsd(t, cupsd)
	} else {
		withoutCUPS(t, "no cupsd: apt-get install --no-install-recommends cups; go test ./cmd/ippwatch")
	}
	web := freeAddr(t)
	e.base = "http://" + web.String()
	e.write("scope.yaml", fmt.Sprintf("authorised_by: a test\ncontact: noc@example.net\nexpires: 2199-12-31\nnetworks: [127.0.0.1, %s]\n", other.Addr))
	e.write("people.yaml", fmt.Sprintf(`
constituents:
  - name: corner-shop
    title: Corner Shop
    networks: [127.0.0.1/32]
    contacts: [{address: owner@shop.example, role: technical}]
  - name: neighbour
    networks: [%s/32]
    contacts: [{address: admin@neighbour.example, role: technical}]
`, other.Addr))
	e.write("ippwatch.yaml", fmt.Sprintf(`
data: data
scope: scope.yaml
scan: {ports: [%d, %d], rate: 1000, per_network: 1000, timeout: 20s}
mail: {host: 127.0.0.1, port: %d, ca_file: ca.pem, from: Example CSIRT <csirt@example.org>, domain: notify.example.org, secret_file: mail.secret,
  unsubscribe: {url: "https://ippwatch.example/unsubscribe"}}
outreach: {sender: {organisation: Example CSIRT, contact: csirt@example.org}, simulated: true, rules: [{name: all}]}
web: {listen: "%s", url: "%s", rate: 0}
metrics: {listen: ""}
log: {level: debug}
`, e.shop.Port(), other.Port, e.post.port, web, e.base))
	e.run("constituents", "import", "people.yaml")
	e.run("scan", "--scope", "scope.yaml", "--vantage", "test")
	e.run("notify", "--send")
	e.daemon = e.start()
	e.daemon.says(`"web":"http`)
	return e
}

// run types a command; what it says is returned.
func (e *estate) run(args ...string) string {
	e.t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "--config", "ippwatch.yaml")...)
	cmd.Dir, cmd.Env = e.dir, append(os.Environ(), asMain+"=yes")
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.t.Fatalf("ippwatch %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A postbox is a mail server that keeps what it takes.
type postbox struct {
	port int

	mu    sync.Mutex
	mails map[string][][]byte // by recipient
}

func openPostbox(t *testing.T, dir string) *postbox {
	t.Helper()
	p := &postbox{mails: make(map[string][][]byte)}
	cert, ca, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letterbox{p: p}, nil }))
	s.Domain, s.MaxMessageBytes, s.ErrorLog = "mail.example.org", 20<<20, log.New(io.Discard, "", 0)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = s.Close(); _ = l.Close(); <-done })
	for name, text := range map[string][]byte{"ca.pem": ca, "mail.secret": []byte(strings.Repeat("nobody guesses this", 3))} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// A letterbox is one session of a postbox.
type letterbox struct {
	p  *postbox
	to string
}

func (b *letterbox) Mail(string, *smtp.MailOptions) error      { return nil }
func (b *letterbox) Rcpt(to string, _ *smtp.RcptOptions) error { b.to = to; return nil }
func (b *letterbox) Reset()                                    {}
func (b *letterbox) Logout() error                             { return nil }

func (b *letterbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.p.mails[b.to] = append(b.p.mails[b.to], text)
	return err
}

// takes waits for the nth mail to somebody.
func (p *postbox) takes(t *testing.T, to string, n int) []byte {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		p.mu.Lock()
		all := p.mails[to]
		p.mu.Unlock()
		if len(all) >= n {
			return all[n-1]
		}
	}
	t.Fatalf("no mail %d to %s", n, to)
	return nil
}

var linkInText = regexp.MustCompile(`http://[0-9.:]+(/o/([A-Za-z0-9_-]{43}))`)

// linkIn is the path of the page to which a mail leads, as its reader clicks it.
func linkIn(t *testing.T, text []byte) (path, token string) {
	t.Helper()
	plain, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(text)))
	if err != nil && len(plain) == 0 {
		t.Fatal(err)
	}
	m := linkInText.FindSubmatch(plain)
	if m == nil {
		t.Fatalf("no link in\n%s", text)
	}
	return string(m[1]), string(m[2])
}

// link is the path of the shop's page.
func (e *estate) link() (path, token string) {
	e.t.Helper()
	return linkIn(e.t, e.post.takes(e.t, "owner@shop.example", 1))
}

// A caller is a browser without a script.
type caller struct {
	t    *testing.T
	base string
	c    *http.Client
}

func (e *estate) guest() *caller {
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return &caller{e.t, e.base, &http.Client{Jar: jar, Timeout: patience}}
}

func (g *caller) get(path string) (int, string, http.Header) {
	g.t.Helper()
	return g.do(http.MethodGet, path, "")
}

func (g *caller) do(method, path, form string) (int, string, http.Header) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.base+path, strings.NewReader(form))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := g.c.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form of a page.
func (g *caller) post(page, action string, values url.Values) (int, string) {
	g.t.Helper()
	_, body, _ := g.get(page)
	if m := csrfField.FindStringSubmatch(body); m != nil {
		values.Set("csrf", m[1])
	}
	status, body, _ := g.do(http.MethodPost, action, values.Encode())
	return status, body
}

// shopCases are those of the shop's door.
func (e *estate) shopCases(st *store.Store) []exposure.Exposure {
	e.t.Helper()
	all, err := st.ExposuresAt(e.t.Context(), access.CLI(time.Now()), e.shop)
	if err != nil || len(all) == 0 {
		e.t.Fatalf("cases at %s: %v, %v", e.shop, all, err)
	}
	return all
}

// condition waits until every case of the shop's door has it.
func (e *estate) condition(st *store.Store, want exposure.Condition) {
	e.t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		all := e.shopCases(st)
		if !slices.ContainsFunc(all, func(x exposure.Exposure) bool { return x.Condition != want }) {
			return
		}
		if time.Since(began) > patience {
			e.t.Fatalf("the cases are %v, want %s", all, want)
		}
	}
}

// runs counts the runs that there were.
func (e *estate) runs(st *store.Store) int {
	e.t.Helper()
	all, err := st.Runs(e.t.Context(), access.CLI(time.Now()), 100)
	if err != nil {
		e.t.Fatal(err)
	}
	return len(all)
}

// outcome reloads the page until a check has ended, as a browser without a
// script does.
func (g *caller) outcome(path, want string) string {
	g.t.Helper()
	body := ""
	for began := time.Now(); time.Since(began) < patience; time.Sleep(200 * time.Millisecond) {
		_, body, _ = g.get(path)
		if strings.Contains(body, want) {
			return body
		}
	}
	g.t.Fatalf("the page never said %q:\n%s", want, body)
	return body
}

// TestOwnerClosesTheDoor goes the whole way without a script: a mail from a real
// server, the link in it, the button, a real cupsd that is still open, and is
// closed. Then what the owner may say, and undo.
func TestOwnerClosesTheDoor(t *testing.T) {
	e := openEstate(t)
	st := e.open()
	path, token := e.link()
	door := url.Values{"door": {e.shop.String() + "/tcp"}}

	// A program that looks for harm in mails opens every link, several times.
	before := len(e.audit(st))
	scanner := e.guest()
	for range 3 {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			for _, at := range []string{path, path + "/filter", path + "/check", path + "/stop", path + "/again"} {
				scanner.do(method, at, "")
			}
		}
	}
	if got := e.audit(st); len(got) != before {
		t.Errorf("opening the link wrote down %v", got[:len(got)-before])
	}
	if l := e.theLink(st); l.Uses != 0 || !l.Used.IsZero() {
		t.Errorf("opening the link counts as using it: %+v", l)
	}
	for _, x := range e.shopCases(st) {
		if x.Contact != exposure.Notified || x.Condition != exposure.Confirmed {
			t.Errorf("opening the link made case %s %s, %s", x.Case(), x.Condition, x.Contact)
		}
	}

	g := e.guest()
	status, body, header := g.get(path)
	if status != http.StatusOK || header.Get("Referrer-Policy") != "no-referrer" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page: %d %v", status, header)
	}
	for _, want := range []string{"A print service of yours answers the whole Internet", "For Corner Shop", "127.0.0.1", "Check again now", "cupsctl --no-share-printers", "Example CSIRT"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(body, e.hood.Hosts()[0].Addr.String()) {
		t.Error("the page names the neighbour's host")
	}

	// Another's door, and none.
	for name, at := range map[string]string{"the neighbour's door": fmt.Sprintf("%s:%d/tcp", e.hood.Hosts()[0].Addr, e.hood.Hosts()[0].Port), "no door": "", "a port of the shop": "127.0.0.1:22/tcp"} {
		if status, body := g.post(path, path+"/check", url.Values{"door": {at}}); status != http.StatusNotFound || strings.Contains(body, "Check again") {
			t.Errorf("%s: %d", name, status)
		}
	}
	runs := e.runs(st)

	// It is open still.
	if status, _ := g.post(path, path+"/check", door); status != http.StatusOK {
		t.Fatalf("check: %d", status)
	}
	g.outcome(path, "It is still open.")
	e.condition(st, exposure.Confirmed)
	for _, x := range e.shopCases(st) {
		if x.Contact != exposure.Acknowledged {
			t.Errorf("case %s is %s", x.Case(), x.Contact)
		}
	}
	e.history(st, "owner via link "+e.theLink(st).ID, "asked for a look at "+e.shop.String()+"/tcp")
	if e.runs(st) == runs {
		t.Error("nothing was asked")
	}
	// Too soon: nothing is sent.
	runs = e.runs(st)
	if status, body := g.post(path, path+"/check", door); status != http.StatusTooManyRequests || !strings.Contains(body, "looked at a moment ago") {
		t.Errorf("at once again: %d", status)
	}
	if e.runs(st) != runs {
		t.Error("a check that comes too soon is made")
	}

	// What is excluded is not asked, whoever presses a button.
	e.run("exclude", "add", "127.0.0.1/32", "--reason", "a test")
	e.ageChecks()
	if status, _ := g.post(path, path+"/check", door); status != http.StatusOK {
		t.Fatalf("check: %d", status)
	}
	g.outcome(path, "Nothing was sent to it.")
	e.run("exclude", "remove", "127.0.0.1/32")

	// It must stay open, and then not.
	ask := url.Values{"door": door["door"], "kind": {"accept"}, "reason": {"<script>alert(1)</script> the till needs it"}, "until": {time.Now().AddDate(0, 1, 0).Format(time.DateOnly)}}
	if _, body := g.post(path, path+"/plea", ask); !strings.Contains(body, "being read by a person") || strings.Contains(body, "<script>alert") {
		t.Errorf("a plea: %s", body)
	}
	pleas, err := st.Pleas(t.Context(), access.CLI(time.Now()), store.PleaOpen, 10)
	if err != nil || len(pleas) != len(e.shopCases(st)) {
		t.Fatalf("%d pleas, %v", len(pleas), err)
	}
	for _, x := range e.shopCases(st) {
		if x.Ruling != exposure.NoRuling {
			t.Errorf("an owner alone accepts the risk of %s", x.Case())
		}
	}
	if _, body := g.post(path, path+"/withdraw", url.Values{"door": door["door"], "kind": {"accept"}}); !strings.Contains(body, "taken back") {
		t.Errorf("withdrawn: %s", body)
	}

	// No mail, and then again.
	if _, body := g.post(path, path+"/stop", url.Values{}); !strings.Contains(body, "We do not write to you any more") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("stopped: %s", body)
	}
	if out := e.run("constituents", "contact", "list"); !strings.Contains(out, "owner@shop.example") || !strings.Contains(out, "opt") {
		t.Errorf("the contact is\n%s", out)
	}
	runs = e.runs(st)
	g.post(path, path+"/check", door)
	if e.runs(st) != runs {
		t.Error("one who wants no mail has a door looked at")
	}
	if _, body := g.post(path, path+"/resume", url.Values{}); !strings.Contains(body, "We write to you again") || !strings.Contains(body, "Check again now") {
		t.Errorf("resumed: %s", body)
	}

	// The shop closes it.
	e.close()
	e.ageChecks()
	if status, _ := g.post(path, path+"/check", door); status != http.StatusOK {
		t.Fatalf("check: %d", status)
	}
	g.outcome(path, "It is closed.")
	e.condition(st, exposure.OneClean)
	if strings.Contains(g.outcome(path, "we found it closed"), e.hood.Hosts()[0].Addr.String()) {
		t.Error("the page names the control")
	}

	// Nobody finds the token in what we wrote.
	for name, text := range map[string]string{"the log": e.daemon.String(), "the listing": e.run("links", "list", "--format", "json")} {
		if strings.Contains(text, token) {
			t.Errorf("%s has the token", name)
		}
	}
	if !strings.Contains(e.daemon.String(), `/o/{token}/check`) {
		t.Error("the log does not tell of the requests")
	}
	if err := e.daemon.ends(os.Interrupt); err != nil {
		t.Errorf("the daemon: %v", err)
	}
	for _, name := range []string{"cases.db", "cases.db-wal", "observations.db"} {
		content, err := os.ReadFile(filepath.Join(e.dir, "data", name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if name == "cases.db-wal" {
			continue // the log of changes has what was written before it was blanked, until it is folded in
		}
		if bytes.Contains(content, []byte(token)) {
			t.Errorf("%s has the token", name)
		}
	}
}

// ageChecks lets the checks that there were be of some time ago.
func (e *estate) ageChecks() {
	e.t.Helper()
	e.exec("UPDATE checks SET asked = asked - 7200000000000")
}

// exec changes what no command changes: time.
func (e *estate) exec(statement string, args ...any) {
	e.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(e.dir, "data", store.File)+"?_pragma=busy_timeout(20000)")
	if err != nil {
		e.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(e.t.Context(), statement, args...); err != nil {
		e.t.Fatal(err)
	}
}

func (e *estate) audit(st *store.Store) []store.Action {
	e.t.Helper()
	all, err := st.Audit(e.t.Context(), access.CLI(time.Now()), time.Time{}, 1000)
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// theLink is the one of the shop.
func (e *estate) theLink(st *store.Store) store.Link {
	e.t.Helper()
	all, err := st.Links(e.t.Context(), access.CLI(time.Now()), "mail:owner@shop.example", 10)
	if err != nil || len(all) == 0 {
		e.t.Fatalf("links: %v, %v", all, err)
	}
	return all[0]
}

// history holds that every case of the shop has a step of the actor.
func (e *estate) history(st *store.Store, actor, evidence string) {
	e.t.Helper()
	for _, x := range e.shopCases(st) {
		found := false
		for s, err := range st.Transitions(e.t.Context(), access.CLI(time.Now()), store.Span{Key: x.Key}) {
			if err != nil {
				e.t.Fatal(err)
			}
			found = found || s.Actor == actor && strings.Contains(s.Evidence, evidence)
		}
		if !found {
			e.t.Errorf("case %s has no step of %s with %q", x.Case(), actor, evidence)
		}
	}
}

// TestAddressMovedBetween opens a page, lets the address become another's, and
// presses the button: nothing is shown and nothing is sent. Expired and revoked
// links, unknown ones and forged ones are told apart by nobody.
func TestAddressMovedBetween(t *testing.T) {
	e := openEstate(t)
	st := e.open()
	path, token := e.link()
	g := e.guest()
	door := url.Values{"door": {e.shop.String() + "/tcp"}}
	_, page, _ := g.get(path)
	csrf := csrfField.FindStringSubmatch(page)
	if csrf == nil {
		t.Fatalf("no form in\n%s", page)
	}
	runs := e.runs(st)

	// Whoever is nearer has it now.
	e.run("constituents", "set", "corner-shop", "--remove-network", "127.0.0.1/32", "--network", "127.0.0.2/32")
	status, moved, _ := g.do(http.MethodPost, path+"/check", url.Values{"door": door["door"], "csrf": {csrf[1]}}.Encode())
	if status != http.StatusNotFound || strings.Contains(moved, "127.0.0.1") || e.runs(st) != runs {
		t.Errorf("moved: %d, %d runs more\n%s", status, e.runs(st)-runs, moved)
	}
	// A stranger with a token that nobody has, and one that somebody changed.
	forged := "A" + token[1:]
	if forged == token {
		forged = "B" + token[1:]
	}
	faces := map[string]string{"moved": moved}
	for name, at := range map[string]string{"moved, opened": path, "unknown": "/o/" + strings.Repeat("A", 43), "forged": "/o/" + forged, "short": "/o/x", "long": "/o/" + strings.Repeat("y", 300)} {
		status, body, header := g.get(at)
		if status != http.StatusNotFound || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", name, status, header)
		}
		faces[name] = body
	}
	e.run("constituents", "undo", "corner-shop")
	if status, _, _ := g.get(path); status != http.StatusOK {
		t.Errorf("back again: %d", status)
	}
	// The contact has another role.
	e.run("constituents", "contact", "set", "corner-shop", "owner@shop.example", "--role", "management")
	if _, faces["role"], _ = g.get(path); strings.Contains(faces["role"], "Corner Shop") {
		t.Error("a contact in another role sees the page")
	}
	e.run("constituents", "undo", "corner-shop")
	// A device that moved.
	link := e.theLink(st)
	e.run("links", "revoke", link.ID)
	_, faces["revoked"], _ = g.get(path)
	again := func(name, at string) {
		t.Helper()
		status, body := g.post(at, at+"/again", url.Values{})
		if status != http.StatusNotFound {
			t.Errorf("again, %s: %d", name, status)
		}
		faces["again "+name] = body
	}
	again("unknown", "/o/"+strings.Repeat("A", 43))
	again("revoked", path)
	// One that expired is sent again, to the address that it was for.
	second := e.run("links", "send", link.ID)
	if !strings.Contains(second, "is on its way to owner@shop.example") {
		t.Errorf("links send: %s", second)
	}
	mail2 := e.post.takes(t, "owner@shop.example", 2)
	fresh, _ := linkIn(t, mail2)
	if status, _, _ := g.get(fresh); status != http.StatusOK {
		t.Errorf("the second link: %d", status)
	}
	// A person of ours sent that; who has only the old mail waits for a day.
	e.exec("UPDATE links SET resent = 0")
	e.exec("UPDATE links SET expires = ? WHERE id = ?", time.Now().Add(-time.Minute).UnixNano(), e.theLink(st).ID)
	_, faces["expired"], _ = g.get(fresh)
	again("expired", fresh)
	if status, _, _ := g.get(linkOf(t, e.post.takes(t, "owner@shop.example", 3))); status != http.StatusOK {
		t.Errorf("the third link: %d", status)
	}
	again("expired, once more", fresh) // not within a day
	e.daemon.says("no new link is sent")
	e.post.mu.Lock()
	if n := len(e.post.mails["owner@shop.example"]); n != 3 {
		t.Errorf("%d mails to the owner, want 3", n)
	}
	if n := len(e.post.mails["admin@neighbour.example"]); n != 1 {
		t.Errorf("%d mails to the neighbour, want 1", n)
	}
	e.post.mu.Unlock()
	// All of them look the same, but for what is different each time.
	alike := regexp.MustCompile(`value="[A-Za-z0-9_-]{80,}"|/o/[A-Za-z0-9_-]+`)
	for name, body := range faces {
		want := "moved"
		if strings.HasPrefix(name, "again") {
			want = "again unknown"
		}
		if alike.ReplaceAllString(body, "") != alike.ReplaceAllString(faces[want], "") {
			t.Errorf("%s looks unlike %s:\n%s\n%s", name, want, body, faces[want])
		}
	}

	// One click (RFC 8058): no page before it, no cookie, no token but its own.
	m, err := mail.ReadMessage(bytes.NewReader(e.post.takes(t, "owner@shop.example", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("List-Unsubscribe-Post: %q", m.Header.Get("List-Unsubscribe-Post"))
	}
	one := regexp.MustCompile(`<https://ippwatch\.example(/unsubscribe/[a-z0-9]+)>`).FindStringSubmatch(m.Header.Get("List-Unsubscribe"))
	if one == nil {
		t.Fatalf("List-Unsubscribe: %q", m.Header.Get("List-Unsubscribe"))
	}
	opted := func() bool {
		return strings.Contains(e.run("constituents", "contact", "list", "--format", "csv"), "owner@shop.example,opt")
	}
	if status, body, _ := e.guest().get(one[1]); status != http.StatusOK || !strings.Contains(body, "Yes, stop them") || opted() {
		t.Errorf("opening it: %d, opted out %t", status, opted())
	}
	bare := &http.Client{Timeout: patience}
	click := func(at string) (int, string) {
		res, err := bare.Post(e.base+at, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	wrong, unlike := click("/unsubscribe/" + strings.Repeat("a", 32))
	if opted() {
		t.Error("a token of nobody opts somebody out")
	}
	status, like := click(one[1])
	alike = regexp.MustCompile(`value="[A-Za-z0-9_-]{80,}"|/unsubscribe/[a-z0-9]+`)
	if status != http.StatusOK || wrong != status || alike.ReplaceAllString(like, "") != alike.ReplaceAllString(unlike, "") {
		t.Errorf("one click: %d and %d\n%s\n%s", status, wrong, like, unlike)
	}
	if !opted() {
		t.Errorf("one click opts nobody out:\n%s", e.run("constituents", "contact", "list"))
	}
}

func linkOf(t *testing.T, text []byte) string {
	t.Helper()
	path, _ := linkIn(t, text)
	return path
}

// TestOnlyTheOneClickHasNoToken goes over the router: RFC 8058 wants one address
// that takes a change without a page before it, and there is one.
func TestOnlyTheOneClickHasNoToken(t *testing.T) {
	c := newTown(t)
	var open []string
	for _, route := range c.gate.Routes() {
		if route.Method != http.MethodGet && route.Tokenless != "" {
			open = append(open, route.Method+" "+route.Pattern)
		}
	}
	if want := []string{"POST /unsubscribe/{token}"}; !slices.Equal(open, want) {
		t.Errorf("without a token are %q, want %q", open, want)
	}
	// It takes a post with nothing but its address.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://ippwatch.test/unsubscribe/none", strings.NewReader("List-Unsubscribe=One-Click"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	if w.Code != http.StatusOK || len(w.Result().Cookies()) == 0 && !strings.Contains(w.Body.String(), "Done.") {
		t.Errorf("one click: %d\n%s", w.Code, w.Body)
	}
}

// TestOwnersAskAndAnalystsDecide is what an owner asks for, what becomes of it when
// somebody of ours agrees, and both ways back.
func TestOwnersAskAndAnalystsDecide(t *testing.T) {
	c := newTown(t)
	st, e := c.h.store, c.cases["customer-a"]
	registry := people.NewRegistry(st)
	hand := people.Hand{View: access.CLI(c.now), Who: "j.doe", At: c.now}
	if _, err := registry.SetContact(t.Context(), hand, "customer-a", "it@customer-a.example", true, []people.Field{{Key: "role", Value: "technical"}}); err != nil {
		t.Fatal(err)
	}
	// A link that names another's case, too, shows its own.
	_, token, err := st.AddLink(t.Context(), store.Link{
		Contact: "mail:it@customer-a.example", Constituent: "customer-a", Role: "technical", Expires: c.now.Add(time.Hour),
		Places: []store.Place{{Key: e.Key, Nearest: "customer-a"}, {Key: c.cases["customer-b"].Key, Nearest: "customer-b"}},
	}, "outreach", c.now)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, who string) string {
		t.Helper()
		return c.ask(gate.Route{Method: http.MethodGet}, path, who).Body.String()
	}
	post := func(path, who string, form url.Values) (int, string) {
		t.Helper()
		w := c.send(path, who, form)
		return w.Code, w.Body.String()
	}
	page, door := "/o/"+token, url.Values{"door": {"198.51.100.10:631/tcp"}}
	body := get(page, "public")
	if !strings.Contains(body, secretOf("customer-a")) || strings.Contains(body, secretOf("customer-b")) || strings.Contains(body, placeOf["customer-b"]) {
		t.Errorf("the page shows\n%s", body)
	}
	if !strings.Contains(body, "One address of that mail is not shown any more") {
		t.Error("it does not say that something is left out")
	}
	if status, _ := post(page+"/check", "public", url.Values{"door": {"203.0.113.10:631/tcp"}}); status != http.StatusNotFound {
		t.Errorf("a look at another's door: %d", status)
	}
	if err := st.Pause(t.Context(), "j.doe", "complaint", c.now); err != nil {
		t.Fatal(err)
	}
	if status, body := post(page+"/check", "public", door); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopped by hand") {
		t.Errorf("a look while all sending is paused: %d", status)
	}
	if all, err := st.ChecksOf(t.Context(), access.CLI(c.now), "", 10); err != nil || len(all) != 0 {
		t.Errorf("checks: %v, %v", all, err)
	}
	ruling := func(want exposure.Ruling, by string) {
		t.Helper()
		now, err := st.Exposure(t.Context(), access.CLI(c.now), e.Key)
		if err != nil || now.Ruling != want || now.RuledBy != by {
			t.Errorf("the verdict is %s by %q, %v; want %s by %q", now.Ruling, now.RuledBy, err, want, by)
		}
	}
	plea := func() store.Plea {
		t.Helper()
		all, err := st.Pleas(t.Context(), access.CLI(c.now), store.PleaOpen, 10)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d pleas wait, %v", len(all), err)
		}
		return all[0]
	}

	// What cannot be.
	until := c.now.AddDate(0, 2, 0).Format(time.DateOnly)
	for name, form := range map[string]url.Values{
		"no reason": {"kind": {"accept"}, "until": {until}}, "no day": {"kind": {"accept"}, "reason": {"x"}},
		"the past": {"kind": {"accept"}, "reason": {"x"}, "until": {"2020-01-01"}}, "for ever": {"kind": {"accept"}, "reason": {"x"}, "until": {"2999-01-01"}},
		"no kind": {"reason": {"x"}},
	} {
		form["door"] = door["door"]
		if status, _ := post(page+"/plea", "public", form); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
			t.Errorf("a plea with %s: %d", name, status)
		}
	}

	// It has to stay open: nobody but one of ours accepts the risk.
	ask := url.Values{"door": door["door"], "kind": {"accept"}, "reason": {"the till\nneeds <b>it</b>"}, "until": {until}}
	if status, _ := post(page+"/plea", "public", ask); status != http.StatusSeeOther {
		t.Fatalf("a plea: %d", status)
	}
	ruling(exposure.NoRuling, "")
	p := plea()
	if list := get("/pleas", "analyst"); !strings.Contains(list, "the till needs &lt;b&gt;it&lt;/b&gt;") || !strings.Contains(list, "Accept the risk") {
		t.Errorf("an analyst reads\n%s", list)
	}
	if list := get("/pleas", "auditor"); !strings.Contains(list, "the till needs") || strings.Contains(list, "Accept the risk") {
		t.Error("an auditor may decide, or does not see it")
	}
	if status, _ := post("/pleas/"+p.ID, "analyst", url.Values{"decision": {"grant"}, "answer": {"until the new till"}}); status != http.StatusSeeOther {
		t.Fatalf("granted: %d", status)
	}
	ruling(exposure.Accepted, "analyst")
	if status, _ := post("/pleas/"+p.ID, "operator", url.Values{"decision": {"refuse"}}); status != http.StatusConflict {
		t.Errorf("decided twice: %d", status)
	}
	if body = get(page, "public"); !strings.Contains(body, "stays open, as decided") || !strings.Contains(body, "until the new till") || !strings.Contains(body, "Take it back") {
		t.Errorf("the owner reads\n%s", body)
	}
	if status, _ := post(page+"/withdraw", "public", url.Values{"door": door["door"], "kind": {"accept"}}); status != http.StatusSeeOther {
		t.Errorf("taken back: %d", status)
	}
	ruling(exposure.NoRuling, "")

	// It is not theirs: it goes when one of ours agrees, and comes back with that.
	if status, _ := post(page+"/plea", "public", url.Values{"door": door["door"], "kind": {"not-mine"}, "reason": {"sold in May"}}); status != http.StatusSeeOther {
		t.Fatalf("not mine: %d", status)
	}
	if !strings.Contains(get(page, "public"), "sold in May") {
		t.Error("an open plea is not shown to who made it")
	}
	p = plea()
	if status, _ := post("/pleas/"+p.ID, "operator", url.Values{"decision": {"grant"}}); status != http.StatusSeeOther {
		t.Fatalf("granted: %d", status)
	}
	if w := c.ask(gate.Route{Method: http.MethodGet}, page, "public"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), secretOf("customer-a")) {
		t.Errorf("what is not theirs any more: %d", w.Code)
	}
	if status, _ := post("/pleas/"+p.ID, "operator", url.Values{"decision": {"reopen"}}); status != http.StatusSeeOther {
		t.Errorf("reopened: %d", status)
	}
	if !strings.Contains(get(page, "public"), secretOf("customer-a")) {
		t.Error("a decision that was taken back still hides it")
	}
	// Who did what is in the history of the case.
	var actors []string
	for s, err := range st.Transitions(t.Context(), access.CLI(c.now), store.Span{Key: e.Key}) {
		if err != nil {
			t.Fatal(err)
		}
		actors = append(actors, s.Actor)
	}
	links, err := st.Links(t.Context(), access.CLI(c.now), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	owner := "owner via link " + links[0].ID
	if want := []string{owner, "analyst", owner, owner, owner, "operator"}; !slices.Equal(actors, want) {
		t.Errorf("the history is of %q, want %q", actors, want)
	}
}

// send posts a form as somebody who has the page open.
func (c *town) send(path, name string, form url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	c.asked++
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://ippwatch.test"+path, nil)
	if name == "public" {
		secret := make([]byte, 32)
		r.AddCookie(&http.Cookie{Name: "csrf", Value: base64.RawURLEncoding.EncodeToString(secret)})
		form.Set(gate.TokenField, csrfOf(secret))
	} else {
		cookie, csrf := c.login(name)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		form.Set(gate.TokenField, csrf)
	}
	r.Body = io.NopCloser(strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.1:4000", c.asked/250, c.asked%250)
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}
