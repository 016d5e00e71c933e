package main

import (
	"archive/zip"
	"bytes"
	"database/sql"
	"encoding/json"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/acl"
	"ippwatch/exposure"
	"ippwatch/filter"
	"ippwatch/gate"
	"ippwatch/store"
)

// post sends a form as somebody.
func (c *town) post(path, name string, form url.Values, files map[string]string) *httptest.ResponseRecorder {
	c.t.Helper()
	cookie, csrf := c.login(name)
	var body bytes.Buffer
	kind := "application/x-www-form-urlencoded"
	if files == nil {
		form = cloneForm(form)
		form.Set(gate.TokenField, csrf)
		body.WriteString(form.Encode())
	} else {
		m := multipart.NewWriter(&body)
		must := func(err error) {
			if err != nil {
				c.t.Fatal(err)
			}
		}
		must(m.WriteField(gate.TokenField, csrf))
		for key, values := range form {
			for _, value := range values {
				must(m.WriteField(key, value))
			}
		}
		for field, text := range files {
			w, err := m.CreateFormFile(field, "running.conf")
			must(err)
			_, err = io.WriteString(w, text)
			must(err)
		}
		must(m.Close())
		kind = m.FormDataContentType()
	}
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://ippwatch.test"+path, &body)
	r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

func cloneForm(form url.Values) url.Values {
	all := url.Values{}
	for key, values := range form {
		all[key] = slices.Clone(values)
	}
	return all
}

// get reads a page as somebody.
func (c *town) get(path, name string) *httptest.ResponseRecorder {
	return c.ask(gate.Route{Method: http.MethodGet}, path, name)
}

var pre = regexp.MustCompile(`(?s)<h3>([^<]*)</h3><pre tabindex="0">(.*?)</pre>`)

// TestPagesRenderAsTheCommandDoes writes the same policy for every platform on the
// page, as a file to download, and by the command.
func TestPagesRenderAsTheCommandDoes(t *testing.T) {
	c := newTown(t)
	policy := acl.Example(time.Now())
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, platform := range filter.Names() {
		t.Run(platform, func(t *testing.T) {
			dir := t.TempDir()
			_, stderr, code := typed(t.Context(), "filter", "render", "--platform", platform, "--enforce", "--out", dir, file)
			form := url.Values{"platform": {platform}, "policy": {policy}, "enforce": {"1"}}
			w := c.post("/filters/render", "analyst", form, nil)
			if code != exitDone {
				if w.Code != http.StatusUnprocessableEntity {
					t.Fatalf("the command refuses (%s), the page answers %d", stderr, w.Code)
				}
				return
			}
			if w.Code != http.StatusOK {
				t.Fatalf("the page answers %d: %s", w.Code, w.Body)
			}
			onPage := make(map[string]string)
			for _, m := range pre.FindAllStringSubmatch(w.Body.String(), -1) {
				onPage[html.UnescapeString(m[1])] = html.UnescapeString(m[2])
			}
			unpacked := unzip(t, c.post("/filters/download", "analyst", form, nil).Body.Bytes())
			written, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(written) != len(unpacked) {
				t.Errorf("the command writes %d files, the download has %d", len(written), len(unpacked))
			}
			for _, e := range written {
				text, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				if unpacked[e.Name()] != string(text) {
					t.Errorf("%s: the download is another:\n%s\nthe command:\n%s", e.Name(), unpacked[e.Name()], text)
				}
				if !strings.HasSuffix(e.Name(), "-how.txt") && strings.TrimSpace(onPage[e.Name()]) != strings.TrimSpace(string(text)) {
					t.Errorf("%s: the page shows another:\n%s", e.Name(), onPage[e.Name()])
				}
			}
		})
	}
}

func unzip(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(text)
	}
	return all
}

// leaky lets one host through, has a line that nobody understands, and a name
// that is a script.
const leaky = `table inet "<script>" {
	chain in {
		type filter hook forward priority 0; policy accept;
		iifname "wan" ip daddr 198.51.100.7 tcp dport 631 accept
		iifname "wan" tcp dport 631 drop
		iifname "wan" meta mark 0x17 udp dport 631 drop
	}
}
`

// TestPagesCheckAsTheCommandDoes holds the same text against the same policy.
func TestPagesCheckAsTheCommandDoes(t *testing.T) {
	c := newTown(t)
	file := filepath.Join(t.TempDir(), "running.conf")
	text := strings.ReplaceAll(leaky, `"<script>"`, "edge")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := typed(t.Context(), "filter", "check", "--platform", "nftables", "--interface", "wan", "--format", "ndjson", file)
	form := url.Values{"platform": {"nftables"}, "interface": {"wan"}}
	for how, w := range map[string]*httptest.ResponseRecorder{
		"uploaded": c.post("/filters/check", "auditor", form, map[string]string{"text_file": text}),
		"pasted":   c.post("/filters/check", "auditor", with(form, "text", text), nil),
	} {
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d: %s", how, w.Code, w.Body)
		}
		page := html.UnescapeString(w.Body.String())
		at, rows := 0, 0
		for line := range strings.Lines(stdout) {
			var row filter.Row
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			rows++
			for _, part := range []string{row.Packets, row.Witness, row.By, row.Why} {
				i := strings.Index(page[at:], part)
				if i < 0 {
					t.Fatalf("%s: the page has no %q where the command has it, in\n%s", how, part, page)
				}
				at += i
			}
		}
		if got := strings.Count(page, "Such as <code>"); rows == 0 || got > rows {
			t.Errorf("%s: the page has %d sets of packets, the command %d rows", how, got, rows)
		}
	}
	if w := c.post("/filters/check", "auditor", with(form, "text", leaky), nil); strings.Contains(w.Body.String(), "<script>\"") {
		t.Error("what was pasted stands in the page as it is")
	}
}

func with(form url.Values, key, value string) url.Values {
	form = cloneForm(form)
	form.Set(key, value)
	return form
}

// TestPagesCompareAsTheCommandDoes compares a policy with what a mutation made of
// its filter.
func TestPagesCompareAsTheCommandDoes(t *testing.T) {
	c := newTown(t)
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(acl.Example(time.Now())), 0o600); err != nil {
		t.Fatal(err)
	}
	rendered, stderr, code := typed(t.Context(), "filter", "render", "--platform", "nftables", "--enforce", policy)
	if code != exitDone {
		t.Fatal(stderr)
	}
	mutated := strings.Replace(rendered, "dport 631", "dport 632", 1)
	changed := filepath.Join(dir, "changed.nft")
	if err := os.WriteFile(changed, []byte(mutated), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := typed(t.Context(), "filter", "diff", policy, "nftables:"+changed, "--format", "ndjson")
	w := c.post("/filters/compare", "operator", url.Values{
		"platform_a": {"policy"}, "text_a": {acl.Example(time.Now())}, "platform_b": {"nftables"}, "text_b": {mutated},
	}, nil)
	page := html.UnescapeString(w.Body.String())
	rows := 0
	for line := range strings.Lines(stdout) {
		var row filter.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows++
		if !strings.Contains(page, row.Witness) || !strings.Contains(page, row.Packets) {
			t.Errorf("the page has no %+v", row)
		}
	}
	if got := strings.Count(page, "Such as <code>"); got != rows || rows == 0 {
		t.Errorf("the page has %d differences, the command %d", got, rows)
	}
	// The same text is not handed out as the policy's.
	w = c.post("/filters/prove", "operator", url.Values{"platform": {"nftables"}, "policy": {acl.Example(time.Now())}, "enforce": {"1"}, "text": {mutated}}, nil)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `id="refused"`) || !strings.Contains(w.Body.String(), "Such as") {
		t.Errorf("a mutated text: %d", w.Code)
	}
	w = c.post("/filters/prove", "operator", url.Values{"platform": {"nftables"}, "policy": {acl.Example(time.Now())}, "enforce": {"1"}, "text": {rendered}}, nil)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `id="proven"`) {
		t.Errorf("the text as it was written: %d", w.Code)
	}
}

// TestFiltersRefuseTooMuch sends more than anybody's configuration has.
func TestFiltersRefuseTooMuch(t *testing.T) {
	c := newTown(t)
	w := c.post("/filters/check", "analyst", url.Values{"platform": {"nftables"}, "interface": {"wan"}}, map[string]string{"text_file": strings.Repeat("# a line\n", 12<<20/9)})
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "Too large") {
		t.Errorf("12 MiB: %d: %.300s", w.Code, w.Body)
	}
	// And what is allowed is read in the time that it has, or says that it took too long.
	w = c.post("/filters/check", "analyst", url.Values{"platform": {"nftables"}, "interface": {"wan"}}, map[string]string{"text_file": strings.Repeat("# a line\n", 9<<20/9)})
	if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
		t.Errorf("9 MiB: %d: %.300s", w.Code, w.Body)
	}
}

// TestOrdersStayInTheScope asks for what the scope does not authorise.
func TestOrdersStayInTheScope(t *testing.T) {
	c := newTown(t)
	c.runs(t, nil)
	for _, targets := range []string{"198.51.100.10", "127.0.63.1 203.0.113.1", "nonsense"} {
		w := c.post("/scans", "operator", url.Values{"targets": {targets}}, nil)
		if w.Code != http.StatusUnprocessableEntity {
			t.Errorf("a scan of %q: %d", targets, w.Code)
		}
	}
	outside := c.cases["customer-a"].Case()
	w := c.post("/verification/look", "analyst", url.Values{"row": {outside}, "action": {"look"}}, nil)
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "outside of") {
		t.Errorf("a case outside of the scope: %d", w.Code)
	}
	for name, want := range map[string]int{"analyst": http.StatusForbidden, "auditor": http.StatusForbidden, "customer-a": http.StatusForbidden} {
		if w := c.post("/scans", name, url.Values{}, nil); w.Code != want {
			t.Errorf("%s starts a scan: %d", name, w.Code)
		}
	}
	actions, err := c.h.store.Audit(t.Context(), access.CLI(c.now), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actions {
		if a.What == "order" {
			t.Errorf("an order that was refused is in the audit log: %+v", a)
		}
	}
}

// TestTheDaemonDoesWhatIsOrdered scans a part of the scope and looks again at what
// it found.
func TestTheDaemonDoesWhatIsOrdered(t *testing.T) {
	c := newTown(t)
	n := c.runs(t, nil)
	host := n.Hosts()[0].Addr
	if w := c.post("/scans", "operator", url.Values{"targets": {host.String()}}, nil); w.Code != http.StatusSeeOther {
		t.Fatalf("start: %d: %s", w.Code, w.Body)
	}
	run := c.awaitJob("scan")
	if len(run.Targets) != 1 || run.Targets[0].Addr() != host || run.AuthorisedBy != "a test" {
		t.Errorf("the run is %+v", run)
	}
	var found []exposure.Exposure
	f := store.Work()
	for e, err := range c.h.store.Exposures(t.Context(), access.CLI(c.now), f) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Addr == host {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		t.Fatalf("nothing was found at %s", host)
	}
	if w := c.post("/verification/look", "analyst", url.Values{"row": {found[0].Case()}, "action": {"look"}}, nil); w.Code != http.StatusSeeOther {
		t.Fatalf("look again: %d: %s", w.Code, w.Body)
	}
	run = c.awaitJob("verify")
	for _, p := range run.Targets {
		if p.Addr() != host && p.Addr().String() != "127.0.63.1" { // the control
			t.Errorf("it asked %s", p)
		}
	}
	if run.Options["source"] != string(exposure.Verification) {
		t.Errorf("the last run is no verification: %+v", run)
	}
	actions, err := c.h.store.Audit(t.Context(), access.CLI(c.now), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var orders []string
	for _, a := range actions {
		if a.What == "order" {
			orders = append(orders, a.Who)
		}
	}
	if !slices.Equal(orders, []string{"analyst", "operator"}) { // the newest first
		t.Errorf("the audit log has orders of %q", orders)
	}
	// What we sent is told, and to whom it concerns alone.
	if page := c.get("/scans/asked?address="+host.String(), "auditor").Body.String(); !strings.Contains(page, run.ID) {
		t.Errorf("asked tells nothing of %s", run.ID)
	}
	if w := c.get("/scans/asked?address="+host.String(), "customer-a"); w.Code != http.StatusNotFound {
		t.Errorf("a constituent asks about another's address: %d", w.Code)
	}
	if page := c.get("/settings", "auditor").Body.String(); !strings.Contains(page, "asked 1") {
		t.Error("the settings do not tell what came of the scan")
	}
}

// awaitJob waits until a job that was ordered is done, and returns the last run.
func (c *town) awaitJob(kind string) exposure.Run {
	c.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		j, _, err := c.h.store.Job(c.t.Context(), kind)
		if err != nil {
			c.t.Fatal(err)
		}
		if j.State == exposure.JobFailed {
			c.t.Fatalf("the job failed: %s", j.Note)
		}
		if j.State != exposure.Done {
			continue
		}
		runs, err := c.h.store.Runs(c.t.Context(), access.CLI(c.now), 1)
		if err != nil || len(runs) == 0 {
			c.t.Fatalf("Runs = %v, %v", runs, err)
		}
		return runs[0]
	}
	c.t.Fatalf("%s is not done", kind)
	return exposure.Run{}
}

// TestAKeyIsShownOnce makes one, uses it, and revokes it.
func TestAKeyIsShownOnce(t *testing.T) {
	c := newTown(t)
	w := c.post("/settings/keys", "operator", url.Values{"label": {"SIEM"}, "role": {"analyst"}, "kind": {"bearer"}, "scope": {"read"}, "expires": {c.now.AddDate(0, 1, 0).Format(time.DateOnly)}}, nil)
	m := regexp.MustCompile(`<code id="secret">([^<]+)</code>`).FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusCreated || m == nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	k, err := c.h.store.Key(t.Context(), m[1], c.now)
	if err != nil || k.Label != "SIEM" || k.Role != access.RoleAnalyst {
		t.Fatalf("the key is %+v, %v", k, err)
	}
	if page := c.get("/settings/keys", "operator").Body.String(); strings.Contains(page, m[1]) || !strings.Contains(page, "SIEM") {
		t.Error("the list does not have the key, or its secret")
	}
	if w := c.post("/settings/keys/revoke", "operator", url.Values{"row": {k.ID}, "action": {"revoke"}}, nil); w.Code != http.StatusSeeOther {
		t.Fatalf("revoke: %d", w.Code)
	}
	if _, err := c.h.store.Key(t.Context(), m[1], c.now); err == nil {
		t.Error("the key still opens")
	}
	// Nobody shuts himself out.
	if w := c.post("/settings/accounts/state", "operator", url.Values{"row": {"analyst", "operator"}, "action": {"disable"}}, nil); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("the operator shuts his own account: %d", w.Code)
	}
	if w := c.post("/settings/accounts/state", "operator", url.Values{"row": {"analyst"}, "action": {"disable"}}, nil); w.Code != http.StatusSeeOther {
		t.Errorf("the operator shuts another's account: %d", w.Code)
	}
}

// TestADatabaseThatIsHeld is what an operator sees while a shell or a backup tool
// holds the cases: forms say so and change nothing, pages stay up.
func TestADatabaseThatIsHeld(t *testing.T) {
	t.Parallel() // it waits as long as the store does
	c := newTown(t)
	cookie, csrf := c.login("operator")
	db, err := sql.Open("sqlite", filepath.Join(c.dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://ippwatch.test"+path, strings.NewReader(body))
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		return w
	}
	w := ask(http.MethodPost, "/scans/pause", url.Values{"csrf": {csrf}, "do": {"pause"}}.Encode())
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Somebody else holds the database") {
		t.Errorf("a form: %d: %s", w.Code, w.Body)
	}
	for _, path := range []string{"/scans", "/sensors", "/surges", "/metrics", "/filters", "/settings"} {
		if w := ask(http.MethodGet, path, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestPlantSpeaksGerman reads every page of the plant in German, and finds no text
// that is missing.
func TestPlantSpeaksGerman(t *testing.T) {
	c := newTown(t)
	c.hear(t)
	for _, page := range plantPages {
		cookie, _ := c.login("operator")
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ippwatch.test"+page.path, nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		r.Header.Set("Accept-Language", "de")
		w := httptest.NewRecorder()
		c.gate.ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `lang="de"`) || strings.Contains(w.Body.String(), "⟦") {
			t.Errorf("%s: %d: %s", page.path, w.Code, w.Body)
		}
	}
}
