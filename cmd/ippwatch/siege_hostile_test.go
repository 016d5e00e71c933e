package main

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"ippwatch/gate"
	"ippwatch/persona"
	"ippwatch/screen"
)

// onTerminal types a command into the city with a terminal on both sides.
func (c *city) onTerminal(args ...string) string {
	c.t.Helper()
	var out journal // a scan draws its bar while it shows what it finds
	s := &street{in: strings.NewReader(""), now: time.Now, Screen: screen.Screen{Out: &out, Err: &out, OutTerminal: true, ErrTerminal: true}}
	root := s.root()
	root.SetArgs(append([]string{"--data", c.hood.data}, args...))
	if code := s.exit(root.ExecuteContext(c.t.Context())); code != exitDone {
		c.t.Errorf("ippwatch %q: exit %d\n%.2000s", args, code, out.String())
	}
	return out.String()
}

var (
	// acting are the characters that do something to a terminal or to the order of
	// what is read.
	acting = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}\x{feff}]`)
	// tooLong is more of a stranger's text than anybody keeps or shows.
	tooLong = regexp.MustCompile(`W{1000}W{30}|(<b>longer|&lt;b&gt;longer){120}`)
)

// ownInk is what we draw on terminals: a bar, and colours of severities.
var ownInk = regexp.MustCompile(`\r\x1b\[K|\x1b\[\d+(?:;\d+)?m(critical|high|medium|low|info) *\x1b\[0m`)

// still holds that a text does nothing when it is shown, and has an end.
func still(t *testing.T, what, text string) {
	t.Helper()
	text = ownInk.ReplaceAllString(text, "$1")
	if at := acting.FindStringIndex(text); at != nil {
		t.Errorf("%s has %q: %q", what, text[at[0]:at[1]], text[max(0, at[0]-60):min(len(text), at[1]+20)])
	}
	bounded(t, what, text)
}

func bounded(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s is not UTF-8", what)
	}
	if tooLong.MatchString(text) {
		t.Errorf("%s shows a name of 10 kB", what)
	}
}

// inert holds that a page has no element, attribute or address that a stranger
// brought.
func inert(t *testing.T, what, page string) {
	t.Helper()
	if !utf8.ValidString(page) {
		t.Errorf("%s is not UTF-8", what)
	}
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		token := z.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		src := ""
		for _, a := range token.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") {
				t.Errorf("%s has the attribute %s=%.60q", what, a.Key, a.Val)
			}
			if slices.Contains([]string{"src", "href", "action", "formaction", "srcset", "style", "xlink:href", "hx-get", "hx-post", "sse-connect"}, a.Key) {
				u, err := url.Parse(value) // in the query of an address of ours it is a value
				if err != nil || strings.HasSuffix(u.Host, "evil.invalid") || strings.HasPrefix(value, "javascript:") {
					t.Errorf("%s leads to %.80q", what, a.Val)
				}
			}
			if a.Key == "src" {
				src = a.Val
			}
		}
		if slices.Contains([]string{"iframe", "object", "embed", "base", "frame"}, token.Data) || token.Data == "script" && !strings.HasPrefix(src, "/assets/") ||
			token.Data == "img" && (!strings.HasPrefix(src, "/") || strings.HasPrefix(src, "//")) && !strings.HasPrefix(src, "data:image/") {
			t.Errorf("%s has %s", what, token)
		}
	}
}

// exact is what a machine file may have of a name: all of it, but for what is no
// UTF-8, for which one mark stands a byte or a run of them.
func exact(h persona.HostileName) []string {
	each := strings.Map(func(r rune) rune { return r }, h.Text) // as range does: a mark a byte
	return []string{each, strings.ToValidUTF8(h.Text, "\ufffd")}
}

// TestHostileNames follows the names from a scan through everything that writes
// text; TestBrowserCity does so for a browser.
func TestHostileNames(t *testing.T) {
	c := openCity(t)
	t.Run("a terminal", c.terminal)
	t.Run("machine files", c.machineFiles)
	t.Run("spreadsheets", c.spreadsheets)
	t.Run("reports as pages", c.pageReports)
	t.Run("mails", c.mails)
	t.Run("pages", c.inertPages)
	t.Run("the API", c.machineAnswers)
	t.Run("what is asked", c.reflections)
}

// terminal looks at every listing in every format.
func (c *city) terminal(t *testing.T) {
	e := c.cases["library"]
	listings := [][]string{
		{"cases", "list"},
		{"cases", "show", e.Case()},
		{"changes"},
		{"runs"},
		{"rank"},
		{"metrics"},
		{"ingest", "log"},
		{"ingest", "aside"},
		{"ingest", "ages"},
		{"constituents", "list"},
		{"constituents", "show", "library"},
		{"constituents", "log"},
		{"constituents", "who", e.Addr.String()},
		{"notify", "outbox"},
		{"asked", e.Addr.String()},
		{"doctor"},
		{"rules"},
		{"surges"},
		{"exclude", "list"},
		{"hold", "list"},
		{"judge"},
	}
	seen := ""
	for _, args := range listings {
		for _, format := range screen.Formats {
			out := c.onTerminal(append(args, "--format", format)...)
			still(t, strings.Join(args, " ")+" as "+format, out)
			seen += out
		}
	}
	for _, args := range [][]string{
		c.hood.scan("--udp", "--all"), c.hood.scan("--udp", "--all", "--format", "ndjson"),
		{"report", "--type", "scan_ipp", "--for", "library"},
		{"report", "--type", "scan_ipp", "--for", "library", "--format", "html"},
		{"advisory", "--all"},
		{"advisory", "--for", "library", "--format", "mail", "--language", "de"},
		{"advisory", "--for", "library", "--language", "ja"},
	} {
		if args[0] == "--data" { // the helper names it
			args = args[2:]
		}
		out := c.onTerminal(args...)
		still(t, strings.Join(args[:2], " "), out)
		seen += out
	}
	for _, h := range persona.HostileNames {
		if !strings.Contains(seen, h.Mark()) {
			t.Errorf("%s was nowhere to be seen", h.Name)
		}
	}
}

// machineFiles holds that what programs read is what was said, to the byte.
func (c *city) machineFiles(t *testing.T) {
	dir := t.TempDir()
	c.typedIn("report", "--type", "scan_ipp", "--format", "csv,ndjson", "--extended", "--out", dir)
	cells, fields := make(map[string]bool), make(map[string]bool)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bounded(t, filepath.Base(file), string(b))
		if strings.HasSuffix(file, ".csv") {
			rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, row := range rows {
				for _, cell := range row {
					cells[cell] = true
				}
			}
			continue
		}
		for line := range strings.Lines(string(b)) {
			row := make(map[string]any)
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, value := range row {
				if s, ok := value.(string); ok {
					fields[s] = true
				}
			}
		}
	}
	for _, h := range persona.HostileNames {
		if len(h.Text) > 1000 {
			continue
		}
		// A reader of CSV takes CR LF for one LF, and no table has a NUL.
		inCSV := strings.NewReplacer("\r\n", "\n", "\x00", "\ufffd")
		if !slices.ContainsFunc(exact(h), func(want string) bool { return cells[inCSV.Replace(want)] }) {
			t.Errorf("no CSV has %s as it was: %q", h.Name, h.Text)
		}
		if !slices.ContainsFunc(exact(h), func(want string) bool { return fields[want] }) {
			t.Errorf("no NDJSON has %s as it was: %q", h.Name, h.Text)
		}
	}
}

// defused holds that a spreadsheet computes nothing in a file.
func defused(t *testing.T, what string, b []byte) {
	t.Helper()
	bounded(t, what, string(b))
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Errorf("%s: %d rows, %v", what, len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n|", rune(cell[0])) || acting.MatchString(strings.ReplaceAll(cell, "\r\n", "")) && strings.ContainsAny(cell[:1], "=+-@") {
				t.Errorf("%s: a spreadsheet takes %.60q for a formula", what, cell)
			}
		}
	}
}

func (c *city) spreadsheets(t *testing.T) {
	dir := t.TempDir()
	c.typedIn("report", "--type", "all", "--format", "csv", "--extended", "--spreadsheet", "--out", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		defused(t, filepath.Base(file), b)
	}
}

func (c *city) pageReports(t *testing.T) {
	dir := t.TempDir()
	c.typedIn("report", "--type", "all", "--format", "html", "--out", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := ""
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		inert(t, filepath.Base(file), string(b))
		still(t, filepath.Base(file), string(b))
		seen += string(b)
	}
	for _, h := range persona.HostileNames {
		if !strings.Contains(seen, h.Mark()) {
			t.Errorf("no page has %s", h.Name)
		}
	}
}

// mails looks at what the mail server took, as a mail program takes it apart.
func (c *city) mails(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(c.dir, "mails", "*.eml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d mails, want one for each constituent, %v: %q", len(files), err, files)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if len(m.Header["Bcc"])+len(m.Header["Cc"]) > 0 || len(m.Header["To"]) != 1 || len(m.Header["Subject"]) != 1 {
			t.Errorf("%s has headers of a stranger: %v", name, m.Header)
		}
		for key, values := range m.Header {
			still(t, name+" "+key, strings.Join(values, " "))
		}
		parts := 0
		takeApart(t, name, m.Header.Get("Content-Type"), "", m.Body, func(kind string, body []byte) {
			parts++
			switch kind {
			case "text/html":
				inert(t, name+" "+kind, string(body))
				still(t, name+" "+kind, strings.ReplaceAll(string(body), "\r\n", "\n"))
			case "text/csv":
				defused(t, name+" "+kind, body)
			default:
				still(t, name+" "+kind, strings.ReplaceAll(string(body), "\r\n", "\n"))
			}
		})
		if parts != 3 {
			t.Errorf("%s has %d parts, want text, page and table", name, parts)
		}
		for line := range bytes.Lines(b) {
			if len(line) > 998+2 { // RFC 5322, section 2.1.1
				t.Errorf("%s has a line of %d bytes", name, len(line))
			}
		}
	}
}

// takeApart hands on each part of a mail, decoded.
func takeApart(t *testing.T, name, contentType, encoding string, body io.Reader, f func(kind string, body []byte)) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			takeApart(t, name, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, f)
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	f(kind, b)
}

// inertPages looks at the bytes of every page, feed and file that the site has.
func (c *city) inertPages(t *testing.T) {
	for _, reader := range cityRoles {
		for _, path := range c.pages(reader.role) {
			page := c.ask(t, c.gate, path, reader.role, "en")
			inert(t, path+" for "+reader.name, page)
			still(t, path+" for "+reader.name, strings.ReplaceAll(page, "\r\n", "\n")) // a letter has both
		}
	}
}

// machineAnswers holds that programs get the names to the byte, in JSON that no
// browser takes for a page.
func (c *city) machineAnswers(t *testing.T) {
	cookie, _ := c.login("olga")
	fields := make(map[string]bool)
	for _, path := range []string{"/api/v1/observations?limit=500", "/api/v1/observations/export", "/api/v1/cases?limit=500", "/api/v1/cases/export", "/api/v1/visits", "/api/v1/hosts/" + c.cases["library"].Addr.String()} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ippwatch.test"+path, nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		kind := w.Header().Get("Content-Type")
		if w.Code != http.StatusOK || kind != "application/json" && kind != "application/x-ndjson" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: %d, %q, %q", path, w.Code, kind, w.Header().Get("X-Content-Type-Options"))
		}
		if path != "/api/v1/visits" { // hear gave the archive more than a sensor would
			bounded(t, path, w.Body.String())
		}
		d := json.NewDecoder(w.Body)
		for {
			var v any
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("GET %s: %v", path, err)
				break
			}
			gather(v, fields)
		}
	}
	for _, h := range persona.HostileNames {
		if !slices.ContainsFunc(exact(h), func(want string) bool { return fields[want] }) && len(h.Text) < 1000 {
			t.Errorf("%s did not come whole", h.Name)
		}
	}
}

// gather notes every text in a JSON value.
func gather(v any, texts map[string]bool) {
	switch v := v.(type) {
	case string:
		texts[v] = true
	case []any:
		for _, one := range v {
			gather(one, texts)
		}
	case map[string]any:
		for _, one := range v {
			gather(one, texts)
		}
	}
}

// reflections asks for the names themselves: in addresses, queries and forms. What
// comes back does nothing, and the log has a line for each.
func (c *city) reflections(t *testing.T) {
	before := strings.Count(c.log.String(), "\n")
	asked := 0
	ask := func(r *http.Request) {
		asked++
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		what := r.Method + " " + r.URL.Path[:min(len(r.URL.Path), 40)]
		if w.Code >= 500 {
			t.Errorf("%.80q: %d", what, w.Code)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			inert(t, what, w.Body.String())
		}
		for name, values := range w.Header() {
			still(t, what+" "+name, strings.Join(values, " "))
		}
	}
	cookie, _ := c.login("olga")
	for _, h := range persona.HostileNames {
		text := h.Text[:min(len(h.Text), 4000)]
		for _, path := range []string{
			"/" + url.PathEscape(text), "/search?q=" + url.QueryEscape(text), "/cases?q=" + url.QueryEscape(text), "/hosts/" + url.PathEscape(text),
			"/cases/" + url.PathEscape(text), "/login?next=" + url.QueryEscape(text), "/preferences?back=" + url.QueryEscape("/"+text), "/o/" + url.PathEscape(text),
			"/statistics/combined/map/?geo=" + url.QueryEscape(text) + "&tag=" + url.QueryEscape(text), "/api/v1/cases?q=" + url.QueryEscape(text),
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ippwatch.test"+path, nil)
			r.Header.Set("User-Agent", text)
			r.Header.Set("Accept", "text/html")
			r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
			ask(r)
		}
		secret := make([]byte, 32)
		form := url.Values{gate.TokenField: {csrfOf(secret)}, "name": {text}, "password": {text}, "next": {text}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://ippwatch.test/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "csrf", Value: base64.RawURLEncoding.EncodeToString(secret)})
		ask(r)
	}
	lines := strings.Split(strings.TrimSuffix(c.log.String(), "\n"), "\n")[before:]
	if len(lines) < asked {
		t.Errorf("the log has %d lines for %d requests", len(lines), asked)
	}
	for _, line := range lines {
		still(t, "the log", line)
		var entry struct{ Msg, Level string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "forged" {
			t.Errorf("the log has the line %.200q: %v", line, err)
		}
	}
}
