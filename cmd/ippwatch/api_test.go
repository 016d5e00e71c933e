package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/access"
	"ippwatch/acl"
	"ippwatch/api"
	v1 "ippwatch/api/v1"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/track"
)

// fill gives the town something of everything: observations, visits, a scan, a
// message and exclusions, for each constituent that it has.
func (c *town) fill() *town {
	c.t.Helper()
	ctx, at := c.t.Context(), c.now.Add(-2*time.Hour).Truncate(time.Second)
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	run := exposure.Run{ID: at.Format("20060102T150405Z-abcdef"), State: exposure.Done, Started: at, Ended: at.Add(time.Hour), ContactPoint: "noc@example.net", Scope: "networks: []", Ports: []uint16{631}, Shards: 1, Seed: []byte{1}}
	must(c.h.store.CreateRun(ctx, run))
	must(c.h.store.FinishRun(ctx, run.ID, exposure.Done, run.Ended))
	var messages []store.Message
	for i, name := range []string{"customer-a", "customer-b"} {
		e, ok := c.cases[name]
		if !ok {
			continue
		}
		secret := secretOf(name)
		code := exposure.StatusCode(0)
		o := exposure.Observation{
			V: exposure.Version, Run: run.ID, Observed: at, Received: at, Source: exposure.Scan, Vantage: "here", // a minute later may be another day
			Addr: e.Addr, Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			HTTP: &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1", Pages: map[string]int{"/admin": 403}},
			IPP:  &exposure.IPP{Version: "2.0", Status: code, Exchanges: []exposure.Exchange{{Operation: "CUPS-Get-Printers", Path: "/", Status: &code}}},
			CUPS: &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4.2", Queues: true}, TLS: &exposure.TLS{Offered: true, Certificate: &exposure.Certificate{SHA256: "aa"}},
			Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-name": {secret}, "printer-uuid": {"urn:uuid:4509a320-00a0-008f-00b6-00251100000" + fmt.Sprint(i)}}}},
			Where:    e.Where, Findings: []exposure.Finding{{Rule: "open-ipp", Severity: exposure.High, Evidence: secret}},
		}
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
		silent := o
		silent.HTTP, silent.IPP, silent.CUPS, silent.TLS, silent.Printers, silent.Findings = nil, nil, nil, nil, nil, nil
		silent.Transport, silent.Probe, silent.Verdict = exposure.UDP, exposure.ProbeBrowse, exposure.NoCallback
		silent.ID = exposure.NewID(o.Run, o.Target(), silent.Transport, silent.Probe, 0)
		_, err := c.h.archive.Append(ctx, []exposure.Observation{o, silent})
		must(err)
		v := exposure.Visit{
			V: 1, Observed: at, Received: at, Source: exposure.Sensor, Sensor: "s1", Kind: exposure.Knock, Addr: e.Addr, Port: 4000, Spoofable: true, Transport: exposure.UDP,
			Door: 631, Class: exposure.Solicitation, Where: e.Where, Browse: &exposure.Browse{URI: "http://192.0.2.1/", Info: secret},
		}
		if i == 0 {
			v.Callback = &exposure.Solicited{URL: "http://192.0.2.1/", Host: "192.0.2.1", Addr: netip.MustParseAddr("192.0.2.1"), Relation: exposure.ToThird}
		}
		v.ID = exposure.NewVisitID(&v)
		_, err = c.h.archive.AppendVisits(ctx, []exposure.Visit{v})
		must(err)
		must(c.h.store.Exclude(ctx, netip.PrefixFrom(e.Addr, 32), secret, "j.doe", at))
		_, err = c.h.tracker().Take(ctx, []exposure.Key{e.Key}, track.Order{Step: track.Acknowledge, Actor: "j.doe", Evidence: secret, At: at})
		must(err)
		messages = append(messages, store.Message{
			ID: fmt.Sprintf("M-0123456789A%d", i), Key: name, Kind: "first", Rule: "all", Constituent: name, Day: at.Format(time.DateOnly), Planned: at, Next: at,
			To: exposure.Recipient{Medium: exposure.ByMail, Address: "noc@" + name + ".example"}, Exposures: []store.Item{{Key: e.Key, Cycle: 1, By: "all"}},
		})
	}
	_, err := c.h.store.PutRun(ctx, "N-1", messages, store.MessagePlanned, "")
	must(err)
	must(c.h.archive.Rollup(ctx, at))
	return c
}

// A probe is a request to an operation, made with what a town has.
type apiProbe struct {
	query  []string // each is asked; none: without one
	fill   map[string]string
	body   string
	status int // 0: 200
}

// apiProbes are requests to each operation that succeed; {A} is the address,
// {CASE} the name of the case, {DAY} today, of whoever is asked about.
var apiProbes = map[string]apiProbe{
	"GET /api/v1/cases":                        {query: []string{"", "?state=all", "?severity=low&limit=1&country=de", "?condition=confirmed&contact=acknowledged&verdict=none", "?prefix={A}", "?rule=open-ipp&since={DAY}T00:00:00Z&state=all"}},
	"GET /api/v1/cases/export":                 {query: []string{"?state=all"}},
	"GET /api/v1/changes":                      {query: []string{"?since=2020-01-01T00:00:00Z"}},
	"GET /api/v1/hosts/{address}/observations": {query: []string{"", "?from=2020-01-01T00:00:00Z&limit=1"}},
	"GET /api/v1/observations":                 {query: []string{"", "?limit=1", "?tag=open-ipp&source=scan&transport=tcp&verdict=answered", "?prefix={A}"}},
	"GET /api/v1/visits":                       {query: []string{"", "?kind=knock&address={A}", "?limit=1"}},
	"GET /api/v1/customers/count":              {query: []string{"?date={DAY}"}},
	"GET /api/v1/messages":                     {query: []string{"", "?state=planned&limit=1"}},
	"GET /api/v1/messages/{id}":                {fill: map[string]string{"id": "M-0123456789A0"}},
	"GET /api/v1/reports":                      {query: []string{"?date={DAY}", "?date={DAY}&type=scan_ipp&format=csv&empty=true", "?date={DAY}&format=html"}},
	"GET /api/v1/reports/{file}":               {query: []string{"", "?extended=true&spreadsheet=true"}, fill: map[string]string{"file": "{DAY}-scan_ipp-customer-a.csv"}},
	"GET /api/v1/counts":                       {query: []string{"?from={DAY}", "?from=2020-01-01&to=2020-01-05&by=country", "?from={DAY}&by=country&by=tag&by=source", "?from={DAY}&tag=ipp&country=DE"}},
	"GET /api/v1/metrics":                      {query: []string{"", "?by=constituent&since=2020-01-01T00:00:00Z"}},
	"GET /api/v1/runs/{id}":                    {fill: map[string]string{"id": "{RUN}"}},
	"GET /api/v1/surges":                       {query: []string{"", "?days=90"}},
	"GET /api/v1/audit":                        {query: []string{"?limit=5", "?what=exclude&who=j.doe"}},
	"POST /api/v1/cases/{case}/accept":         {body: `{"reason":"r","until":"{SOON}"}`},
	"POST /api/v1/cases/{case}/dismiss":        {body: `{"reason":"r"}`},
	"POST /api/v1/cases/{case}/withdraw":       {body: `{"reason":"r"}`},
	"POST /api/v1/cases/{case}/acknowledge":    {body: `{"reason":"r"}`},
	"POST /api/v1/cases/{case}/claim":          {body: `{"reason":"r"}`},
	"POST /api/v1/cases/{case}/assign":         {body: `{"to":"m.roe"}`},
	"POST /api/v1/cases/{case}/untie":          {body: `{"reason":"r"}`, status: 409},
	"POST /api/v1/cases/act":                   {body: `{"act":"dismiss","cases":["{CASE}","000000000000"],"reason":"r"}`},
	"POST /api/v1/cases/tie":                   {body: `{"date":"{DAY}"}`},
	"POST /api/v1/messages/{id}/hold":          {body: `{"reason":"r"}`, fill: map[string]string{"id": "M-0123456789A0"}},
	"POST /api/v1/messages/{id}/release":       {body: `{"reason":"r"}`, fill: map[string]string{"id": "M-0123456789A0"}},
	"POST /api/v1/messages/{id}/cancel":        {body: `{"reason":"r"}`, fill: map[string]string{"id": "M-0123456789A0"}},
	"POST /api/v1/outbox/hold":                 {body: `{"rule":"all","reason":"r"}`},
	"POST /api/v1/outbox/release":              {body: `{"rule":"all"}`},
	"POST /api/v1/exclusions":                  {body: `{"prefix":"192.0.2.0/24","reason":"r"}`, status: 201},
	"POST /api/v1/filters/render":              {body: `{"platform":"nftables","policy":"{POLICY}"}`},
	"POST /api/v1/filters/check":               {body: `{"platform":"nftables","interfaces":["wan"],"files":[{"name":"a.nft","body":"table inet filter {}"}]}`},
}

// apiRoutes are the operations, in the order in which they were added.
func (c *town) apiRoutes() []gate.Route {
	var all []gate.Route
	for _, r := range c.gate.Routes() {
		if strings.HasPrefix(r.Pattern, api.Root+"/") && r.Kind != gate.Page {
			all = append(all, r)
		}
	}
	return all
}

// requests are those of a route about what belongs to the constituent.
func (c *town) requests(route gate.Route, constituent string) (paths []string, body string, status int) {
	p := apiProbes[route.Method+" "+route.Pattern]
	policy, err := json.Marshal(acl.Example(c.now))
	if err != nil {
		c.t.Fatal(err)
	}
	e := exposure.Exposure{Key: exposure.Key{Addr: netip.MustParseAddr(placeOf[constituent]), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}}
	at := c.now.Add(-2 * time.Hour)
	with := strings.NewReplacer("{A}", e.Addr.String(), "{CASE}", e.Case(), "{DAY}", at.Format(time.DateOnly), "{SOON}", c.now.AddDate(0, 3, 0).Format(time.DateOnly),
		"{RUN}", at.Truncate(time.Second).Format("20060102T150405Z-abcdef"), `"{POLICY}"`, string(policy), "customer-a", constituent)
	path := wildcard.ReplaceAllStringFunc(route.Pattern, func(w string) string {
		name := wildcard.FindStringSubmatch(w)[1]
		if own, ok := p.fill[name]; ok {
			return with.Replace(own)
		}
		return map[string]string{"case": e.Case(), "address": e.Addr.String(), "constituent": constituent, "id": "none", "file": "none"}[name]
	})
	if p.query == nil {
		p.query = []string{""}
	}
	for _, q := range p.query {
		paths = append(paths, path+with.Replace(q))
	}
	if p.status == 0 {
		p.status = http.StatusOK
	}
	return paths, with.Replace(p.body), p.status
}

// call makes a request of a program with a session: more headers may be given.
func (c *town) call(method, path, name, body string, headers ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, "http://ippwatch.test"+path, strings.NewReader(body))
	if key := c.keys[name]; key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	} else if name != "public" {
		cookie, csrf := c.login(name)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
		if method != http.MethodGet {
			r.Header.Set(gate.TokenHeader, csrf)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c.asked++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.1:4000", c.asked/250, c.asked%250)
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

// A contract is the served OpenAPI document, against which answers are held.
type contract struct {
	t   *testing.T
	doc map[string]any
	c   *jsonschema.Compiler
}

func readContract(t *testing.T, c *town) *contract {
	t.Helper()
	w := c.call("GET", api.Root+"/openapi.json", "public", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("openapi.json: %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	value, err := jsonschema.UnmarshalJSON(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc := value.(map[string]any)
	// For clients a further field is no mistake; here it is.
	for _, s := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if s := s.(map[string]any); s["properties"] != nil {
			s["additionalProperties"] = false
		}
	}
	k := jsonschema.NewCompiler()
	k.DefaultDraft(jsonschema.Draft2020)
	k.AssertFormat()
	if err := k.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &contract{t, doc, k}
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// holds checks that the document describes the answer.
func (k *contract) holds(route gate.Route, w *httptest.ResponseRecorder) {
	k.t.Helper()
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	status := fmt.Sprint(w.Code)
	if kind == "application/problem+json" {
		status = "default"
	}
	at := fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%s/content/%s/schema", pointer.Replace(route.Pattern), strings.ToLower(route.Method), status, pointer.Replace(kind))
	s, err := k.c.Compile(at)
	if err != nil {
		k.t.Errorf("%s %s answers %d %s, which the document does not have: %v", route.Method, route.Pattern, w.Code, kind, err)
		return
	}
	lines := [][]byte{w.Body.Bytes()}
	switch kind {
	case "application/x-ndjson":
		lines = bytes.Split(bytes.TrimSuffix(w.Body.Bytes(), []byte("\n")), []byte("\n"))
	case "application/json", "application/problem+json":
	default:
		return // a file
	}
	for _, line := range lines {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err == nil {
			err = s.Validate(value)
		}
		if err != nil {
			k.t.Errorf("%s %s: %v\n%.2000s", route.Method, route.Pattern, err, line)
			return
		}
	}
}

// TestOpenAPI holds the document against the schema of OpenAPI 3.1, its two forms
// against each other, and its paths against the golden list: what is on it stays.
func TestOpenAPI(t *testing.T) {
	c := newTown(t)
	k := readContract(t, c)
	text, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	m := jsonschema.NewCompiler()
	if err := m.AddResource("meta.json", meta); err != nil {
		t.Fatal(err)
	}
	s, err := m.Compile("meta.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(k.doc); err != nil {
		t.Errorf("the document is not OpenAPI 3.1: %v", err)
	}
	for name := range k.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := k.c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	// Form against form.
	var fromJSON, fromYAML any
	if err := json.Unmarshal(c.call("GET", api.Root+"/openapi.json", "public", "").Body.Bytes(), &fromJSON); err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(c.call("GET", api.Root+"/openapi.yaml", "public", "").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(asJSON, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("JSON and YAML differ (-json +yaml):\n%.3000s", diff)
	}
	// Document against router.
	var got strings.Builder
	ids := make(map[string]bool)
	for _, r := range c.apiRoutes() {
		op, ok := k.doc["paths"].(map[string]any)[r.Pattern].(map[string]any)[strings.ToLower(r.Method)].(map[string]any)
		if !ok {
			t.Errorf("%s %s is served and not described", r.Method, r.Pattern)
			continue
		}
		id := op["operationId"].(string)
		if ids[id] {
			t.Errorf("two operations are called %s", id)
		}
		ids[id] = true
		var names []string
		if all, ok := op["parameters"].([]any); ok {
			for _, p := range all {
				p := p.(map[string]any)
				names = append(names, fmt.Sprintf("%s:%s", p["in"], p["name"]))
			}
		}
		slices.Sort(names)
		fmt.Fprintf(&got, "%s %s %s %s\n", r.Method, r.Pattern, id, strings.Join(names, " "))
	}
	const file = "testdata/openapi.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the contract has changed; what was promised stays (-want +got):\n%s", diff)
	}
}

// TestAPIAnswersAsDescribed asks every operation as an operator, and holds each
// answer against the document.
func TestAPIAnswersAsDescribed(t *testing.T) {
	c := newTown(t).fill()
	k := readContract(t, c)
	for _, route := range c.apiRoutes() {
		paths, body, status := c.requests(route, "customer-a")
		for _, path := range paths {
			w := c.call(route.Method, path, "operator", body)
			if w.Code != status {
				t.Errorf("%s %s: %d, want %d\n%.500s", route.Method, path, w.Code, status, w.Body)
			}
			k.holds(route, w)
			if route.Method == http.MethodGet && status == http.StatusOK {
				tag := w.Header().Get("ETag")
				again := c.call(route.Method, path, "operator", "", "If-None-Match", tag)
				stable := !strings.Contains(path, "/audit") && !strings.Contains(path, "/export") // they grow by being asked, and are streams
				if stable && (tag == "" || again.Code != http.StatusNotModified || again.Body.Len() != 0) {
					t.Errorf("%s with If-None-Match %q: %d %.80s", path, tag, again.Code, again.Body)
				}
			}
			if route.Kind == gate.Stream {
				w := c.call(route.Method, path, "operator", "", "Accept", "application/x-ndjson")
				k.holds(route, w)
				if !strings.Contains(w.Body.String(), `{"complete":true,"count":`) {
					t.Errorf("%s as NDJSON has no end: %.300s", path, w.Body)
				}
			}
		}
		// What is wrong is told with its place.
		w := c.call(route.Method, paths[0], "public", "")
		k.holds(route, w)
		sep := "?"
		if strings.Contains(paths[0], "?") {
			sep = "&"
		}
		w = c.call(route.Method, paths[0]+sep+"nonsense=1", "operator", body)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"location":"query.nonsense"`) {
			t.Errorf("%s %s with a parameter that is none: %d %s", route.Method, paths[0], w.Code, w.Body)
		}
		k.holds(route, w)
		if route.Kind == gate.Stream && !strings.HasSuffix(route.Pattern, "/export") {
			for _, after := range []string{"x", "WyJ4Il0", "bnVsbA", "WyJsaXN0LWNhc2VzIiwieCIsInkiLCJ6Iiwia" + "yJd"} {
				w := c.call(route.Method, paths[0]+sep+"after="+after, "operator", "")
				if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "query.after") {
					t.Errorf("%s after %s: %d %s", paths[0], after, w.Code, w.Body)
				}
			}
		}
		if route.Method == http.MethodPost {
			for _, bad := range []string{"{", "[]", `{"nonsense":1}`, `null`} {
				if w := c.call(route.Method, paths[0], "operator", bad); w.Code != 400 && w.Code != 422 && (bad != "null" || w.Code >= 500) {
					t.Errorf("%s %s with the body %s: %d %s", route.Method, paths[0], bad, w.Code, w.Body)
				}
			}
		}
	}
}

var instance = regexp.MustCompile(`"instance":"[A-Z2-7]{12}"`)

// seenBy is all of an answer that does not differ from one request to the next.
func seenBy(w *httptest.ResponseRecorder) string {
	h := w.Header().Clone()
	for _, name := range []string{"X-Request-Id", "Set-Cookie"} {
		h.Del(name)
	}
	var b bytes.Buffer
	_ = h.Write(&b) // memory takes all
	return fmt.Sprintf("%d\n%s\n%s", w.Code, b.String(), instance.ReplaceAllString(w.Body.String(), ""))
}

// TestAPITenancy asks every operation that a constituent may use, about its own and
// about another's, in a town where the other has hosts and in one where it has none.
// What customer-a is answered must not differ by a byte: neither a case, nor a count,
// a place, an ETag or an error tells of the other.
func TestAPITenancy(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	both := newTownOf(t, now, config.Default().Web, "customer-a", "customer-b").fill()
	alone := newTownOf(t, now, config.Default().Web, "customer-a").fill()
	asked := 0
	for _, route := range both.apiRoutes() {
		if !slices.Contains(route.Roles, access.RoleConstituent) {
			continue
		}
		for _, of := range []string{"customer-a", "customer-b"} {
			paths, body, _ := both.requests(route, of)
			for _, path := range paths {
				for _, accept := range []string{"application/json", "application/x-ndjson"} {
					one, other := both.call(route.Method, path, "customer-a", body, "Accept", accept), alone.call(route.Method, path, "customer-a", body, "Accept", accept)
					asked++
					if diff := cmp.Diff(seenBy(other), seenBy(one)); diff != "" {
						t.Errorf("%s %s tells customer-a of customer-b (-alone +both):\n%s", route.Method, path, diff)
					}
					if text := one.Body.String(); strings.Contains(text, secretOf("customer-b")) {
						t.Errorf("%s %s shows customer-a what is customer-b's", route.Method, path)
					}
				}
			}
		}
	}
	if asked < 80 {
		t.Errorf("only %d requests were made", asked)
	}
	// And it is not that nobody sees anything.
	for path, want := range map[string]string{
		"/cases": secretOf("customer-a"), "/observations": secretOf("customer-a"), "/visits": secretOf("customer-a"), "/exclusions": secretOf("customer-a"),
		"/hosts/198.51.100.10": secretOf("customer-a"), "/counts?from=" + now.Add(-2*time.Hour).Format(time.DateOnly): `"addresses":1`,
		"/reports?date=" + now.Add(-2*time.Hour).Format(time.DateOnly): `"rows":1`, "/me": `"networks":["198.51.100.0/24"]`,
	} {
		if w := both.call("GET", api.Root+path, "customer-a", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("GET %s for its own: %d, want %s\n%.600s", path, w.Code, want, w.Body)
		}
	}
}

// TestAPIPages turns pages while cases come and go, and exports more than one read
// takes.
func TestAPIPages(t *testing.T) {
	c := newTown(t)
	many := func(from, n int) {
		t.Helper()
		var cases []exposure.Exposure
		var doors []netip.AddrPort
		for i := from; i < from+n; i++ {
			e := c.cases["customer-a"]
			e.Addr = netip.AddrFrom4([4]byte{203, 0, byte(i / 250), byte(i % 250)})
			cases, doors = append(cases, e), append(doors, netip.AddrPortFrom(e.Addr, e.Port))
		}
		if err := c.h.store.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return cases, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	many(10, 1190) // behind the two of the town
	var got []string
	next, pages := api.Root+"/cases?limit=100", 0
	for ; next != ""; pages++ {
		w := c.call("GET", next, "analyst", "")
		var page v1.Page[v1.Case]
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK {
			t.Fatalf("GET %s: %d %v %s", next, w.Code, err, w.Body)
		}
		for _, k := range page.Items {
			got = append(got, k.Case)
		}
		next = ""
		if link := regexp.MustCompile(`^<(.*)>; rel="next"$`).FindStringSubmatch(w.Header().Get("Link")); link != nil {
			next = link[1]
			if page.Next == "" || !strings.Contains(next, "after="+page.Next) {
				t.Errorf("Link %s and next %s differ", next, page.Next)
			}
		}
		if pages == 3 {
			many(0, 10) // before all of them
		}
	}
	if len(got) != 1192 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 1192 || pages != 12 {
		t.Errorf("%d cases on %d pages, want 1192 on 12, each once", len(got), pages)
	}
	w := c.call("GET", api.Root+"/cases/export", "analyst", "")
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != 1203 || lines[1202] != `{"complete":true,"count":1202}` {
		t.Errorf("the export has %d lines and ends with %s", len(lines), lines[len(lines)-1])
	}
	// Who goes away gets no last line.
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://ippwatch.test"+api.Root+"/cases/export", nil)
	cookie, _ := c.login("analyst")
	r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	gone := &leaver{ResponseRecorder: httptest.NewRecorder(), cancel: cancel}
	func() {
		defer func() { _ = recover() }() // the connection is broken off
		c.gate.ServeHTTP(gone, r)
	}()
	if text := gone.Body.String(); strings.Contains(text, `"complete":true`) || !strings.Contains(text, `"case"`) {
		t.Errorf("a stream that was cut looks whole: %.100s ... %s", text, text[max(0, len(text)-100):])
	}
}

// A leaver goes away after the first write.
type leaver struct {
	*httptest.ResponseRecorder
	cancel context.CancelFunc
}

func (l *leaver) Write(b []byte) (int, error) {
	defer l.cancel()
	return l.ResponseRecorder.Write(b)
}

// TestAPIRepeats sends changes more than once.
func TestAPIRepeats(t *testing.T) {
	c := newTown(t)
	name := c.cases["customer-a"].Case()
	path := api.Root + "/cases/" + name + "/acknowledge"
	steps := func() int {
		n := 0
		for _, err := range c.h.store.Transitions(t.Context(), access.CLI(c.now), store.Span{Key: c.cases["customer-a"].Key}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	first := c.call("POST", path, "analyst", `{"reason":"called"}`, "Idempotency-Key", "k1")
	again := c.call("POST", path, "analyst", `{"reason":"called"}`, "Idempotency-Key", "k1")
	if first.Code != 200 || again.Code != 200 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" || first.Header().Get("ETag") != again.Header().Get("ETag") || steps() != 1 {
		t.Errorf("the same twice: %d %d, %d steps\n%s\n%s", first.Code, again.Code, steps(), first.Body, again.Body)
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"another body":    c.call("POST", path, "analyst", `{"reason":"mailed"}`, "Idempotency-Key", "k1"),
		"another address": c.call("POST", strings.Replace(path, "acknowledge", "claim", 1), "analyst", `{"reason":"called"}`, "Idempotency-Key", "k1"),
	} {
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"code":"idempotency-key-reused"`) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if w := c.call("POST", path, "operator", `{"reason":"called"}`, "Idempotency-Key", "k1"); w.Code != 200 || w.Header().Get("Idempotency-Replayed") != "" || steps() != 2 {
		t.Errorf("the same word of somebody else: %d, %d steps", w.Code, steps())
	}
	if w := c.call("POST", path, "customer-b", `{"reason":"called"}`, "Idempotency-Key", "k1"); w.Code != http.StatusNotFound {
		t.Errorf("another's case: %d", w.Code)
	}
	// A failure is the same failure; a word that cannot be one is told.
	for range 2 {
		if w := c.call("POST", api.Root+"/cases/"+name+"/withdraw", "analyst", `{}`, "Idempotency-Key", "k2"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "reason") {
			t.Errorf("a failure: %d %s", w.Code, w.Body)
		}
	}
	if w := c.call("POST", path, "analyst", `{"reason":"x"}`, "Idempotency-Key", strings.Repeat("k", 300)); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a long word: %d", w.Code)
	}
	// Many at once: it is done once, and the others hear the same or that it is being done.
	before := steps()
	var wg sync.WaitGroup
	codes := make(chan int, 8)
	key := c.keys["change-key"]
	for range cap(codes) {
		wg.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "http://ippwatch.test"+path, strings.NewReader(`{"reason":"at once"}`))
			r.Header.Set("Authorization", "Bearer "+key)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", "k3")
			w := httptest.NewRecorder()
			c.gate.ServeHTTP(w, r)
			codes <- w.Code
		})
	}
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK && code != http.StatusConflict {
			t.Errorf("one of many: %d", code)
		}
	}
	if steps() != before+1 {
		t.Errorf("many at once made %d steps", steps()-before)
	}
	// A day later the word is free.
	c.now = c.now.Add(25 * time.Hour)
	if w := c.call("POST", path, "analyst", `{"reason":"again"}`, "Idempotency-Key", "k1"); w.Code != 200 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("a day later: %d %s", w.Code, w.Body)
	}
}

// TestAPIIfMatch changes a case that another has changed.
func TestAPIIfMatch(t *testing.T) {
	c := newTown(t)
	path := api.Root + "/cases/" + c.cases["customer-a"].Case()
	tag := c.call("GET", path, "analyst", "").Header().Get("ETag")
	if strings.HasPrefix(tag, "W/") || len(tag) < 20 {
		t.Fatalf("ETag %s cannot stand in If-Match", tag)
	}
	w := c.call("POST", path+"/assign", "analyst", `{"to":"m.roe"}`, "If-Match", tag)
	if w.Code != http.StatusOK {
		t.Fatalf("as it was read: %d %s", w.Code, w.Body)
	}
	if got := c.call("GET", path, "analyst", "").Header().Get("ETag"); got != w.Header().Get("ETag") || got == tag {
		t.Errorf("the answer's ETag %s, the case's %s, before %s", w.Header().Get("ETag"), got, tag)
	}
	for _, act := range []string{`/assign {"to":"x"}`, `/dismiss {"reason":"x"}`} {
		at, body, _ := strings.Cut(act, " ")
		if w := c.call("POST", path+at, "analyst", body, "If-Match", tag); w.Code != http.StatusPreconditionFailed || !strings.Contains(w.Body.String(), `"code":"changed"`) {
			t.Errorf("%s as it is not any more: %d %s", at, w.Code, w.Body)
		}
	}
	if w := c.call("POST", path+"/dismiss", "analyst", `{"reason":"x"}`, "If-Match", "*"); w.Code != http.StatusOK {
		t.Errorf("whatever it is: %d", w.Code)
	}
}

// TestAPIPublicCounts shows the public counts by country, and none that are small.
func TestAPIPublicCounts(t *testing.T) {
	site := config.Default().Web
	site.Public = true
	c := newTownOf(t, time.Now().UTC(), site, "customer-a").fill()
	at := c.now.Add(-2 * time.Hour)
	var more []exposure.Observation
	for country, n := range map[string]int{"US": 9, "FR": 7, "SE": 6} {
		for i := range n {
			o := exposure.Observation{
				V: 1, Run: "r", Observed: at, Received: at, Source: exposure.Scan, Addr: netip.AddrFrom4([4]byte{192, country[0], country[1], byte(i)}), Port: 631,
				Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered, Where: exposure.Where{Country: country, ASN: 64500},
			}
			o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
			more = append(more, o)
		}
	}
	if _, err := c.h.archive.Append(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if err := c.h.archive.Rollup(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	path := api.Root + "/counts?from=" + at.Format(time.DateOnly)
	var got v1.Counts
	w := c.call("GET", path+"&by=country", "public", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	shown := make(map[string]string)
	for _, n := range got.Items {
		shown[n.Country] = "-"
		if n.Addresses != nil {
			shown[n.Country] = fmt.Sprint(*n.Addresses)
		}
	}
	// DE has one; SE, the next, would tell it by the sum.
	if diff := cmp.Diff(map[string]string{"US": "9", "FR": "7", "SE": "-", "DE": "-"}, shown); diff != "" || got.SmallCell != 5 {
		t.Errorf("the public sees (-want +got), below %d nothing:\n%s", got.SmallCell, diff)
	}
	if w := c.call("GET", path+"&by=asn", "public", ""); w.Code != http.StatusForbidden {
		t.Errorf("by AS for the public: %d", w.Code)
	}
	if w := c.call("GET", path+"&by=asn", "analyst", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"asn":64500`) {
		t.Errorf("by AS for an analyst: %d %s", w.Code, w.Body)
	}
}

// TestAPIRateLimit asks too much and is told when to come again.
func TestAPIRateLimit(t *testing.T) {
	c := newTown(t)
	s := &street{now: func() time.Time { return c.now }, config: config.Default()}
	s.config.Web.Rate = 1
	g, err := s.newSite(c.h, c.gate.Log)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://ippwatch.test"+api.Root+"/me", nil)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
	w := ask()
	if got, policy := w.Header().Get("RateLimit"), w.Header().Get("RateLimit-Policy"); got != `"requests";r=9;t=1` || policy != `"requests";q=10;w=10` {
		t.Errorf("RateLimit: %s, Policy: %s", got, policy)
	}
	for range 9 {
		w = ask()
	}
	if w.Header().Get("RateLimit") != `"requests";r=0;t=1` {
		t.Errorf("the last one: %s", w.Header().Get("RateLimit"))
	}
	if w = ask(); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("one too many: %d %v", w.Code, w.Header())
	}
	c.now = c.now.Add(time.Second)
	if w = ask(); w.Code != http.StatusOK {
		t.Errorf("a second later: %d", w.Code)
	}
}
