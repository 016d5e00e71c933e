package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"ippwatch/access"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
)

// visit asks for a page, or sends a form, as somebody.
func (c *town) visit(who, method, path string, form url.Values) *httptest.ResponseRecorder {
	c.t.Helper()
	cookie, csrf := c.login(who)
	r := httptest.NewRequestWithContext(c.t.Context(), method, "http://ippwatch.test"+path, http.NoBody)
	if method == http.MethodPost {
		form.Set(gate.TokenField, csrf)
		r.Body = io.NopCloser(strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

// TestOfficeSearch types what people type.
func TestOfficeSearch(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	own := c.cases["customer-a"]
	for _, try := range []struct{ who, what, leads string }{
		{"operator", "198.51.100.101", "/hosts/198.51.100.101"},
		{"operator", "[2001:db8::1]", "/hosts/2001:db8::1"},
		{"operator", "198.51.100.0/24", "/cases?net=198.51.100.0%2F24&show=all"},
		{"operator", "AS64496", "/cases?show=all&asn=64496"},
		{"operator", "as 64496", "/cases?show=all&asn=64496"},
		{"operator", own.Case(), "/cases/" + own.Case() + "?at=198.51.100.10"},
		{"operator", strings.ToLower(own.Case()), "/cases/" + own.Case() + "?at=198.51.100.10"},
		{"operator", "m-0123456789ab", "/outreach/M-0123456789AB"},
		{"operator", "20261124T093000Z-7f3a20", "/scans/20261124T093000Z-7f3a20"},
		{"operator", "customer-b", "/constituents/customer-b"},
		{"operator", "abuse@customer-a", "/constituents/customer-a"},
		{"operator", "DE", "/cases?country=DE"},
		{"operator", "no-tls", "/cases?rule=no-tls"},
		{"operator", "customer", ""},
		{"operator", "nobody knows this", ""},
		{"customer-a", "198.51.100.10", "/hosts/198.51.100.10"},
		{"customer-a", own.Case(), "/cases/" + own.Case() + "?at=198.51.100.10"},
		{"customer-a", "203.0.113.10", ""},
		{"customer-b", own.Case(), ""},
		{"customer-a", "customer-b", ""},
	} {
		w := c.visit(try.who, http.MethodGet, "/search?q="+url.QueryEscape(try.what), nil)
		if got := w.Header().Get("Location"); got != try.leads || try.leads == "" && w.Code != http.StatusOK {
			t.Errorf("%s searches %q: %d, leads to %q, want %q", try.who, try.what, w.Code, got, try.leads)
		}
	}

	// What a printer calls itself is in the evidence; only who may see the case finds it.
	e, err := c.h.store.Exposure(t.Context(), access.CLI(c.now), own.Key)
	if err != nil || len(e.Evidence) < 8 {
		t.Fatalf("%q, %v", e.Evidence, err)
	}
	words := "/search?q=" + url.QueryEscape(strings.ToUpper(e.Evidence[2:min(len(e.Evidence), 60)]))
	for who, finds := range map[string]bool{"operator": true, "customer-a": true, "customer-b": false} {
		w := c.visit(who, http.MethodGet, words, nil)
		if got := strings.Contains(w.Body.String()+w.Header().Get("Location"), "/cases/"+own.Case()); got != finds {
			t.Errorf("%s searches for what is said in a case: %d, finds it: %v", who, w.Code, got)
		}
	}
}

// TestOfficeBulk accepts, dismisses and assigns in bulk, and takes each back.
func TestOfficeBulk(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	count := func(ruling exposure.Ruling, assignee string) (n int) {
		t.Helper()
		for _, err := range c.h.store.Exposures(t.Context(), access.CLI(c.now), store.Filter{Rulings: []exposure.Ruling{ruling}, Assignee: assignee}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	do := func(form url.Values) string {
		t.Helper()
		w := c.visit("analyst", http.MethodPost, "/cases/do", form)
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%v: %d %s", form, w.Code, w.Body)
		}
		return w.Header().Get("Location")
	}
	undo := func(done string) {
		t.Helper()
		if w := c.visit("operator", http.MethodPost, done+"/undo", url.Values{}); w.Code != http.StatusNotFound {
			t.Errorf("another undoes it: %d", w.Code)
		}
		if w := c.visit("analyst", http.MethodPost, done+"/undo", url.Values{}); w.Code != http.StatusSeeOther {
			t.Errorf("undo: %d", w.Code)
		}
		if w := c.visit("analyst", http.MethodPost, done+"/undo", url.Values{}); w.Code != http.StatusNotFound {
			t.Errorf("undo twice: %d", w.Code)
		}
	}

	preview := c.visit("analyst", http.MethodPost, "/cases/bulk", url.Values{"action": {"accept"}, "all": {"1"}, "filter": {"severity=low"}}).Body.String()
	if !strings.Contains(preview, "12 chosen; 12 of them take this step") || count(exposure.Accepted, "") != 0 {
		t.Errorf("the preview counts wrong, or does something:\n%s", preview)
	}
	until := c.now.AddDate(0, 1, 0).Format("2006-01-02")
	accept := url.Values{"action": {"accept"}, "all": {"1"}, "filter": {"severity=low"}, "expect": {"12"}, "reason": {"press office"}, "until": {until}}
	for name, wrong := range map[string]url.Values{
		"no reason":    {"reason": {" "}},
		"a past day":   {"until": {"2020-01-01"}},
		"too long":     {"until": {c.now.AddDate(4, 0, 0).Format("2006-01-02")}},
		"other cases":  {"expect": {"11"}},
		"nobody fits":  {"action": {"withdraw"}},
		"an odd order": {"action": {"close"}},
	} {
		form := url.Values{}
		for _, part := range []url.Values{accept, wrong} {
			for k, v := range part {
				form[k] = v
			}
		}
		if w := c.visit("analyst", http.MethodPost, "/cases/do", form); w.Code != http.StatusUnprocessableEntity && w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	done := do(accept)
	if n := count(exposure.Accepted, ""); n != 12 {
		t.Errorf("%d are accepted", n)
	}
	if page := c.visit("analyst", http.MethodGet, done, nil).Body.String(); !strings.Contains(page, "It is done.") || !strings.Contains(page, `id="undo"`) {
		t.Errorf("the page about it:\n%s", page)
	}
	if w := c.visit("operator", http.MethodGet, done, nil); w.Code != http.StatusNotFound {
		t.Errorf("another sees it: %d", w.Code)
	}
	undo(done)
	if n := count(exposure.Accepted, ""); n != 0 {
		t.Errorf("%d are accepted after the undo", n)
	}

	// A verdict that was there before comes back with its reason.
	e := c.cases["customer-a"]
	do(url.Values{"action": {"dismiss"}, "row": {e.Case()}, "reason": {"our honeypot"}})
	done = do(url.Values{"action": {"withdraw"}, "row": {e.Case()}, "reason": {"a mistake"}})
	c.serve(config.Default().Web) // and when the daemon began anew meanwhile
	undo(done)
	if e, err := c.h.store.Exposure(t.Context(), access.CLI(c.now), e.Key); err != nil || e.Ruling != exposure.FalsePositive || !strings.Contains(e.RuledWhy, "our honeypot") {
		t.Errorf("the verdict is %s %q, %v", e.Ruling, e.RuledWhy, err)
	}
	undo(do(url.Values{"action": {"assign"}, "all": {"1"}, "filter": {"severity=critical"}, "to": {"m.roe"}}))
	if n := count(exposure.NoRuling, "m.roe"); n != 0 {
		t.Errorf("%d are assigned after the undo", n)
	}
	do(url.Values{"action": {"assign"}, "row": {e.Case()}, "to": {"m.roe"}})
	if n := count(exposure.FalsePositive, "m.roe"); n != 1 {
		t.Errorf("%d are assigned", n)
	}
	log := c.visit("auditor", http.MethodGet, "/audit?who=analyst&format=csv", nil).Body.String()
	for _, want := range []string{"accept cases", "undo accept cases", "12 cases: press office", "assign cases"} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log lacks %q:\n%s", want, log)
		}
	}
}

// TestOfficeExports writes every listing in every form, as far as somebody may
// see it, and notes who took it.
func TestOfficeExports(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	for _, path := range []string{
		"/cases?", "/hosts?", "/constituents?", "/outreach?", "/audit?", "/hosts/198.51.100.100?o-", "/intake?p-", "/intake?s-", "/intake?f-",
	} {
		for _, format := range []string{"csv", "json", "ndjson"} {
			w := c.visit("operator", http.MethodGet, path+"format="+format, nil)
			if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment;") {
				t.Errorf("%sformat=%s: %d %s", path, format, w.Code, w.Header())
			}
			if strings.Contains(w.Body.String(), "\n=") || strings.Contains(w.Body.String(), "⟦") {
				t.Errorf("%sformat=%s: %s", path, format, w.Body)
			}
		}
	}
	if own := c.visit("customer-b", http.MethodGet, "/cases?format=ndjson", nil).Body.String(); strings.Count(own, "\n") != 1 || !strings.Contains(own, "203.0.113.10") {
		t.Errorf("customer-b exports %q", own)
	}
	if log := c.visit("auditor", http.MethodGet, "/audit?what=export", nil).Body.String(); !strings.Contains(log, "/hosts/198.51.100.100 observations csv") {
		t.Error("the audit log does not say who exported what")
	}
	for _, bad := range []string{
		"/cases?net=x", "/cases?asn=99999999999", "/cases?after=x", "/cases?constituent=nobody", "/cases?condition=x", "/audit?after=x", "/audit?since=x", "/hosts/198.51.100.1?at=x",
	} {
		if w := c.visit("operator", http.MethodGet, bad, nil); w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d", bad, w.Code)
		}
	}
}

// TestOfficePeople edits a constituent by hand, and takes it back.
func TestOfficePeople(t *testing.T) {
	c := newTown(t)
	page := func() string {
		return c.visit("operator", http.MethodGet, "/constituents/customer-a", nil).Body.String()
	}
	send := func(what string, form url.Values) *httptest.ResponseRecorder {
		return c.visit("operator", http.MethodPost, "/constituents/customer-a/"+what, form)
	}
	for _, step := range []struct {
		what  string
		form  url.Values
		want  string
		never string
	}{
		{"set", url.Values{"field": {"networks"}, "value": {"192.0.2.0/24"}}, "192.0.2.0/24", ""},
		{"contact", url.Values{"address": {"abuse@customer-a.example"}, "role": {"abuse"}}, "abuse@customer-a.example", ""},
		{"mark", url.Values{"address": {"abuse@customer-a.example"}, "status": {"opt-out"}, "reason": {"asked by telephone"}}, "asked by telephone", ""},
		{"mark", url.Values{"address": {"abuse@customer-a.example"}, "off": {"1"}}, "abuse@customer-a.example", "opt-out: asked"},
		{"undo", url.Values{}, "198.51.100.0/24", "<code>192.0.2.0/24</code>"},
	} {
		if w := send(step.what, step.form); w.Code != http.StatusSeeOther {
			t.Errorf("%s %v: %d %s", step.what, step.form, w.Code, w.Body)
		}
		if got := page(); !strings.Contains(got, step.want) || step.never != "" && strings.Contains(got, step.never) {
			t.Errorf("after %s %v the page lacks %q, or has %q:\n%s", step.what, step.form, step.want, step.never, got)
		}
	}
	if w := send("set", url.Values{"field": {"networks"}, "value": {"192.0.2.1/24"}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `role="alert"`) {
		t.Errorf("a network that is none: %d", w.Code)
	}
}

// TestOfficeOutreach holds, releases, approves and cancels.
func TestOfficeOutreach(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	send := func(path string, form url.Values) int { return c.visit("analyst", http.MethodPost, path, form).Code }
	state := func() store.MessageState {
		t.Helper()
		m, err := c.h.store.Message(t.Context(), access.CLI(c.now), "M-0123456789AB")
		if err != nil {
			t.Fatal(err)
		}
		return m.State
	}
	if code := send("/outreach/hold", url.Values{"reason": {"complaint"}}); code != http.StatusSeeOther {
		t.Errorf("hold: %d", code)
	}
	if page := c.visit("auditor", http.MethodGet, "/outreach", nil).Body.String(); !strings.Contains(page, "complaint") || strings.Contains(page, `name="off"`) {
		t.Error("an auditor does not see the hold, or may lift it")
	}
	if code := send("/outreach/hold", url.Values{"off": {"1"}}); code != http.StatusSeeOther {
		t.Errorf("release: %d", code)
	}
	if code := send("/outreach/M-0123456789AB/retry", url.Values{}); code != http.StatusConflict {
		t.Errorf("a retry of what waits for approval: %d", code)
	}
	if code := send("/outreach/M-0123456789AB/approve", url.Values{}); code != http.StatusSeeOther || state() != store.MessageApproved {
		t.Errorf("approve: %d, %s", code, state())
	}
	if code := send("/outreach/M-0123456789AB/cancel", url.Values{"reason": {"told by telephone"}}); code != http.StatusSeeOther || state() != store.MessageCancelled {
		t.Errorf("cancel: %d, %s", code, state())
	}
	for _, path := range []string{"/outreach/plan", "/outreach/M-0123456789AB"} {
		if w := c.visit("operator", http.MethodGet, path, nil); w.Code != http.StatusOK {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
}
