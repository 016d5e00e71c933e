package shadowserver_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/access"
	"ippwatch/api/shadowserver"
	"ippwatch/archive"
	"ippwatch/edition"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/report"
	"ippwatch/store"
)

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// A post is a server with two constituents and a day of hosts, and its keys.
type post struct {
	t       *testing.T
	now     time.Time
	store   *store.Store
	archive *archive.Archive
	server  *httptest.Server
	keys    map[string]key
}

type key struct{ id, secret string }

const hostileName = "=HYPERLINK(\"http://192.0.2.1\")\x1b[31m\u202e<script>\n"

func observation(addr string, at time.Time, edit func(o *exposure.Observation)) exposure.Observation {
	o := exposure.Observation{
		V: exposure.Version, Observed: at, Received: at, Run: "20261122T090000Z-0001", Source: exposure.Scan, Vantage: "outside",
		Addr: netip.MustParseAddr(addr), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		IPP:      &exposure.IPP{Version: "2.0"},
		Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-name": {"office"}, "printer-make-and-model": {"HP LaserJet 4250"}}}},
		Where:    exposure.Where{Country: "DE", City: "Frankfurt am Main", ASN: 64500},
	}
	if edit != nil {
		edit(&o)
	}
	o.ID = exposure.ID(fmt.Sprintf("%s-%s-%d", addr, o.Transport, at.Unix()))
	return o
}

func open(t *testing.T) *post {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	p := &post{t: t, now: day.AddDate(0, 0, 1).Add(12 * time.Hour), keys: make(map[string]key)}
	var err error
	if p.store, err = store.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.archive, err = archive.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.archive.Close() })
	all, err := people.ParseConstituents("c.yaml", []byte(`
constituents:
  - {name: customer-a, title: Customer A, networks: [198.51.100.0/24, "2001:db8:a::/48"]}
  - {name: customer-b, title: Customer B, networks: [203.0.113.0/24]}
`))
	if err != nil {
		t.Fatal(err)
	}
	registry := people.NewRegistry(p.store)
	hand := people.Hand{View: access.CLI(p.now), Who: "test", At: p.now}
	if _, err := registry.Import(t.Context(), hand, "c", "c.yaml", all, false); err != nil {
		t.Fatal(err)
	}
	at := day.Add(9 * time.Hour)
	udp := func(o *exposure.Observation) {
		o.Transport, o.Probe, o.Verdict, o.IPP, o.Printers = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack, nil, nil
		o.Callback = &exposure.Callback{From: o.Addr, UserAgent: "CUPS/2.4.2 (Linux 6.1.0; x86_64) IPP/2.0", Posts: 1, Connections: 1}
	}
	p.add(
		observation("198.51.100.7", at, nil),
		observation("198.51.100.8", at.Add(time.Minute), func(o *exposure.Observation) { o.Where.Country, o.Where.City, o.Where.ASN = "US", "", 64501 }),
		observation("198.51.100.7", at.Add(2*time.Minute), udp),
		observation("2001:db8:a::7", at, nil),
		observation("203.0.113.9", at, func(o *exposure.Observation) { o.Printers[0].Attributes["printer-name"] = []string{hostileName} }),
		observation("192.0.2.5", at, nil),
		observation("198.51.100.7", at.AddDate(0, 0, 1), nil), // of a day that goes on
	)
	for name, k := range map[string]store.APIKey{
		"a": {Role: access.RoleConstituent, Constituent: "customer-a"}, "b": {Role: access.RoleConstituent, Constituent: "customer-b"},
		"operator": {Role: access.RoleOperator},
	} {
		k.Kind, k.Label, k.Scopes = store.KeyHMAC, name, []access.Right{access.Read}
		made, secret, err := p.store.AddKey(t.Context(), k, "test", p.now)
		if err != nil {
			t.Fatal(err)
		}
		p.keys[name] = key{made.ID, secret}
	}
	g, err := gate.New(gate.Options{
		Keeper: p.store, Now: func() time.Time { return p.now }, Log: slog.New(slog.DiscardHandler),
		Views: func(ctx context.Context, role access.Role, constituent, who string, at time.Time) (access.View, error) {
			return registry.View(ctx, role, constituent, who, nil, at)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := shadowserver.Add(shadowserver.Options{Gate: g, Store: p.store, Archive: p.archive, People: people.NewRegistry(p.store)}); err != nil {
		t.Fatal(err)
	}
	p.server = httptest.NewServer(g)
	t.Cleanup(p.server.Close)
	return p
}

func (p *post) add(observations ...exposure.Observation) {
	p.t.Helper()
	if _, err := p.archive.Append(p.t.Context(), observations); err != nil {
		p.t.Fatal(err)
	}
}

func sign(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// send sends bytes as a client of the name does, and reads the answer.
func (p *post) send(request []byte) (status int, header http.Header, body []byte) {
	p.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(p.t.Context(), "tcp", p.server.Listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		p.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		p.t.Fatal(err)
	}
	if res.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			p.t.Fatal(err)
		}
	}
	return res.StatusCode, res.Header, body
}

// recorded is a request of a client, with this key and this report.
func (p *post) recorded(file, who, id string) []byte {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file+".http"))
	if err != nil {
		p.t.Fatal(err)
	}
	head, body, _ := bytes.Cut(text, []byte("\n\n"))
	body = bytes.ReplaceAll(body, []byte("KEYKEYKEYKEY"), []byte(p.keys[who].id))
	mac := "HMAC2" + strings.Repeat("-", 59)
	head = bytes.ReplaceAll(head, []byte(mac), []byte(sign(p.keys[who].secret, body)))
	head = bytes.ReplaceAll(head, []byte("GET /ID "), []byte("GET /"+id+" "))
	head = bytes.ReplaceAll(head, []byte("\n"), []byte("\r\n"))
	return slices.Concat(head, []byte("\r\n\r\n"), body)
}

// ask calls a method and returns the status and the answer.
func (p *post) ask(who, method string, request any) (int, string) {
	p.t.Helper()
	k := p.keys[who]
	object := map[string]any{}
	if text, ok := request.(string); ok {
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			p.t.Fatal(err)
		}
	}
	object["apikey"] = k.id
	body, err := json.Marshal(object)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.server.URL+"/api2/"+method, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("HMAC2", sign(k.secret, body))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

func (p *post) get(url string) (int, string, http.Header) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

type listed struct{ ID, Type, File, Report, Timestamp, URL string }

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestRecordedClients sends what the clients send, byte for byte.
func TestRecordedClients(t *testing.T) {
	p := open(t)
	for _, tt := range []struct {
		file, who string
		status    int
		want      string // in the answer
	}{
		{"call-api-ping", "a", 200, `{"pong":"2026-11-23 12:00:00Z"}`},
		{"call-api-key-info", "a", 200, `"user":"customer-a","status":"active","access":["reports"],"query_count":"0","query_limit":"0"}]`},
		{"call-api-subscribed", "a", 200, `["customer-a"]`},
		{"call-api-subscribed", "operator", 200, `["customer-a","customer-b","unassigned"]`},
		{"call-api-types", "a", 200, `["scan_ipp","scan6_ipp","special","scan_cups_browsed"]`},
		{"call-api-types", "b", 200, `["scan_ipp"]`},
		{"call-api-types-detail", "b", 200, `[{"type":"scan_ipp","name":"Open-IPP",`},
		{"call-api-query", "a", 200, `"ip":"198.51.100.7"`},
		{"call-api-query", "b", 400, `{"error":"No supported report filters found: the key is not subscribed to \"customer-a\"`},
		{"call-api-stats", "a", 200, `[["date","type","events"],["2026-11-22","scan_ipp",2],["2026-11-22","scan6_ipp",1],["2026-11-22","special",1]]`},
		{"call-api-stats", "operator", 200, `["2026-11-22","scan_ipp",4]`},
		{"call-api-schema", "b", 200, `"title":"Open-IPP"`},
		{"call-api-pl-list", "b", 200, `"file":"2026-11-22-scan_ipp-customer-b.csv"`},
		{"report-manager-list", "b", 200, `"type":"scan_ipp","file":"2026-11-22-scan_ipp-customer-b.csv","report":"customer-b","timestamp":"2026-11-22"`},
		{"report-manager-list-filtered", "a", 200, `"file":"2026-11-22-scan_ipp-customer-a.csv"`},
		{"ecs-logger-list", "operator", 200, `"file":"2026-11-22-scan_ipp-unassigned.csv"`},
		{"intelmq-2-list", "a", 200, `"file":"2026-11-22-special-customer-a.csv"`},
		{"intelmq-2-list", "b", 400, `{"error":"No supported report filters found`},
		{"intelmq-2-download", "a", 404, `reports/download is gone`},
		{"intelmq-3-list", "a", 200, `"file":"2026-11-22-scan6_ipp-customer-a.csv"`},
		{"intelmq-3-list-unset", "b", 200, `"file":"2026-11-22-scan_ipp-customer-b.csv"`},
		{"govcert-query", "a", 200, `[{"type":"scan_ipp","timestamp":"2026-11-23 09:00:00"`},
		{"amcert-query", "a", 200, `"ip":"198.51.100.7"`},
	} {
		t.Run(tt.file+" of "+tt.who, func(t *testing.T) {
			status, header, body := p.send(p.recorded(tt.file, tt.who, ""))
			if status != tt.status || !strings.Contains(string(body), tt.want) {
				t.Errorf("%d %s\nwant %d and %s", status, body, tt.status, tt.want)
			}
			if got := header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q", got)
			}
			if tt.who == "b" && bytes.Contains(body, []byte("198.51.100")) {
				t.Errorf("b is told of a's: %s", body)
			}
		})
	}
}

// TestRecordedDownloads gets reports as the clients do: without a signature, from
// the host and the id.
func TestRecordedDownloads(t *testing.T) {
	p := open(t)
	_, _, text := p.send(p.recorded("report-manager-list-filtered", "a", ""))
	all := decode[[]listed](t, string(text))
	if len(all) != 1 {
		t.Fatalf("listed %v", all)
	}
	for _, file := range []string{"report-manager-download", "intelmq-3-download"} {
		status, header, body := p.send(p.recorded(file, "a", all[0].ID))
		if header.Get("Content-Encoding") == "gzip" != (file == "intelmq-3-download") {
			t.Errorf("%s: Content-Encoding = %q", file, header.Get("Content-Encoding"))
		}
		if status != http.StatusOK || header.Get("Content-Type") != "text/csv; charset=utf-8" {
			t.Errorf("%s: %d, %v: %s", file, status, header, body)
		}
	}
	status, body, h := p.get(p.server.URL + "/" + all[0].ID)
	if status != http.StatusOK || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" ||
		h.Get("Content-Disposition") != `attachment; filename="2026-11-22-scan_ipp-customer-a.csv"` {
		t.Errorf("%d %v", status, h)
	}
	if want := p.written("a", report.ScanIPP); body != want {
		t.Errorf("the report is\n%s\nand is written as\n%s", body, want)
	}
}

// written is the report as ippwatch report writes it.
func (p *post) written(who string, kind report.Type) string {
	p.t.Helper()
	rows, err := edition.Rows(p.t.Context(), access.CLI(p.now), p.archive, p.store, day, archive.Query{})
	if err != nil {
		p.t.Fatal(err)
	}
	d, err := people.NewRegistry(p.store).Directory(p.t.Context(), access.CLI(p.now))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, share := range edition.Shares(rows, d) {
		if share.Name == "customer-"+who {
			var b bytes.Buffer
			if _, err := report.CSV(&b, kind, slices.Values(share.Rows), report.Options{}); err != nil {
				p.t.Fatal(err)
			}
			return b.String()
		}
	}
	return ""
}

func TestHostileNameIsExactInTheFileAndHarmlessInJSON(t *testing.T) {
	p := open(t)
	_, text := p.ask("b", "reports/list", `{"date":"2026-11-22"}`)
	_, body, _ := p.get(decode[[]listed](t, text)[0].URL)
	if !strings.Contains(body, strings.ReplaceAll(hostileName, `"`, `""`)) {
		t.Errorf("the name is not as it was said:\n%q", body)
	}
	_, text = p.ask("b", "reports/query", `{"date":"2026-11-22","query":{"ip":"203.0.113.9"}}`)
	if got := decode[[]map[string]any](t, text); len(got) != 1 || got[0]["printer_name"] != hostileName {
		t.Errorf("query: %s", text)
	}
}

func TestQuery(t *testing.T) {
	p := open(t)
	for _, tt := range []struct {
		name, who, ask string
		status         int
		want           string
	}{
		{"a network", "a", `{"date":"2026-11-22","query":{"ip":"198.51.100.0/29"},"sort":"descending"}`, 200, `"ip":"198.51.100.7"`},
		{"another's network", "b", `{"query":{"ip":"198.51.100.7"}}`, 400, "No supported report filters found"},
		{"no place", "a", `{"query":{"tag":"ipp"}}`, 400, "No supported report filters found"},
		{"nothing", "a", `{}`, 400, "No supported report filters found"},
		{"a field that is not", "a", `{"query":{"geo":"DE","colour":"red"}}`, 400, `no row has a field \"colour\"`},
		{"another's country gives nothing", "b", `{"date":"2026-11-22","query":{"geo":"US"}}`, 200, `[]`},
		{"a field that one type has", "operator", `{"date":"2026-11-22","query":{"geo":"DE","status":"vulnerable"}}`, 200, `[{"type":"special"`},
		{"the asn as a number", "a", `{"date":"2026-11-22","query":{"asn":64501}}`, 200, `"ip":"198.51.100.8"`},
		{"the asn as people write it", "a", `{"date":"2026-11-22","query":{"asn":"AS64501"}}`, 200, `"ip":"198.51.100.8"`},
		{"facets", "operator", `{"date":"2026-11-22","query":{"asn":["|64500","|64501"]},"facet":"geo","limit":"1"}`, 200, `[{"value":"DE","count":5}]`},
		{"facets of tags", "a", `{"date":"2026-11-22","query":{"ip":"198.51.100.7"},"facet":"tag"}`, 200, `{"value":"cups","count":1}`},
		{"a facet that is not", "a", `{"query":{"geo":"DE"},"facet":"colour"}`, 400, `no row has that field`},
		{"the second page", "a", `{"date":"2026-11-22","query":{"geo":["DE","US"]},"limit":2,"page":"2"}`, 200, `"timestamp":"2026-11-22 09:0`},
		{"a page behind the last", "a", `{"date":"2026-11-22","query":{"geo":"DE"},"page":7}`, 200, `[]`},
		{"a page far behind", "a", `{"date":"2026-11-22","query":{"geo":"DE"},"page":1000000000}`, 200, `[]`},
		{"a list of another", "operator", `{"report":"customer-b","date":"2026-11-22","query":{"tag":"ipp"}}`, 200, `"ip":"203.0.113.9"`},
		{"hosts of nobody", "operator", `{"report":"unassigned","date":"2026-11-22","query":{"tag":"ipp"}}`, 200, `[{"type":"scan_ipp","timestamp":"2026-11-22 09:00:00","severity":"high","ip":"192.0.2.5"`},
		{"days backwards", "a", `{"date":"2026-11-22:2026-11-21","query":{"geo":"DE"}}`, 400, "ends before it begins"},
		{"a year", "a", `{"date":"2025-11-22:2026-11-21","query":{"geo":"DE"}}`, 400, "31 days at most"},
		{"no day", "a", `{"date":"yesterday","query":{"geo":"DE"}}`, 400, "want YYYY-MM-DD"},
		{"no order", "a", `{"date":"2026-11-22","query":{"geo":"DE"},"sort":"up"}`, 400, "ascending or descending"},
		{"no address", "a", `{"query":{"ip":"printer"}}`, 400, "want an address or a network"},
		{"a query that is no object", "a", `{"query":"geo"}`, 400, "the request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, text := p.ask(tt.who, "reports/query", tt.ask)
			if status != tt.status || !strings.Contains(text, tt.want) || tt.want == "[]" && text != "[]" {
				t.Errorf("%d %s\nwant %d and %s", status, text, tt.status, tt.want)
			}
			if status != http.StatusOK {
				if e := decode[map[string]string](t, text); len(e) != 1 || e["error"] == "" {
					t.Errorf("the error is %s", text)
				}
			}
		})
	}
}

// TestLinks holds what opens a report, for how long, and what does not.
func TestLinks(t *testing.T) {
	p := open(t)
	list := func(who string) []listed {
		_, text := p.ask(who, "reports/list", `{"date":"2026-11-22"}`)
		return decode[[]listed](t, text)
	}
	all := list("a")
	if again := list("a"); !slices.Equal(all, again) {
		t.Errorf("another list gives other links: clients would get everything again")
	}
	link := all[0].URL
	if len(all) != 3 || strings.Contains(link, "customer") || strings.Contains(link, p.keys["a"].id) || len(link) < len(p.server.URL)+40 {
		t.Fatalf("links: %v", all)
	}
	for name, url := range map[string]string{
		"one more letter": link + "A", "one less": link[:len(link)-2], "none": p.server.URL + "/dl/none",
		"another letter": link[:len(link)-5] + string(link[len(link)-5]^1) + link[len(link)-4:],
	} {
		if status, body, _ := p.get(url); status != http.StatusNotFound || !strings.HasPrefix(body, `{"error":`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	p.now = day.AddDate(0, 0, 20)
	if status, _, _ := p.get(link); status != http.StatusOK {
		t.Errorf("after three weeks: %d", status)
	}
	p.now = day.AddDate(0, 0, 31)
	if status, body, _ := p.get(link); status != http.StatusGone || !strings.Contains(body, "reports/list gives another") {
		t.Errorf("after a month: %d %s", status, body)
	}
	old := list("a")[0].URL
	if status, _, _ := p.get(old); status != http.StatusOK || old == link {
		t.Errorf("an old report that is listed anew: %d", status)
	}
	if err := p.store.RevokeKey(t.Context(), p.keys["a"].id, "test", p.now); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := p.get(old); status != http.StatusNotFound {
		t.Errorf("a link of a key that is revoked: %d", status)
	}
	if status, text := p.ask("a", "test/ping", nil); status != http.StatusUnauthorized || !strings.HasPrefix(text, `{"error":`) {
		t.Errorf("a revoked key: %d %s", status, text)
	}
}

// TestLinkOfAMovedConstituent: what the holder sees is asked when the link is
// used.
func TestLinkOfAMovedConstituent(t *testing.T) {
	p := open(t)
	_, text := p.ask("b", "reports/list", `{"date":"2026-11-22"}`)
	link := decode[[]listed](t, text)[0].URL
	p.now = p.now.Add(10 * time.Minute) // the shelf has forgotten
	all, err := people.ParseConstituents("c.yaml", []byte("constituents: [{name: customer-b, networks: [203.0.113.128/25]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	hand := people.Hand{View: access.CLI(p.now), Who: "test", At: p.now}
	if _, err := people.NewRegistry(p.store).Import(t.Context(), hand, "c", "c.yaml", all, false); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := p.get(link); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
}

func TestWhoMay(t *testing.T) {
	p := open(t)
	request := p.recorded("call-api-ping", "a", "")
	for name, edit := range map[string]func([]byte) []byte{
		"another body": func(b []byte) []byte { return bytes.Replace(b, []byte(`{"apikey"`), []byte("{ \"apikey\""), 1) },
		"no signature": func(b []byte) []byte { return bytes.Replace(b, []byte("Hmac2"), []byte("Hmac3"), 1) },
		"no JSON":      func(b []byte) []byte { return bytes.Replace(b, []byte(`{"`), []byte(`["`), 1) },
	} {
		b := edit(bytes.Clone(request))
		if name == "another body" {
			b = bytes.Replace(b, []byte("Content-Length: 26"), []byte("Content-Length: 27"), 1)
		}
		if status, _, body := p.send(b); status != http.StatusUnauthorized || !bytes.HasPrefix(body, []byte(`{"error":`)) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _, _ := p.send(request); status != http.StatusOK {
		t.Errorf("unchanged: %d", status)
	}
}

func TestListWindow(t *testing.T) {
	p := open(t)
	for _, tt := range []struct{ ask, want string }{
		{`{}`, "2026-11-22"}, // the day before
		{`{"date":"2026-11-21:2026-11-24"}`, "2026-11-22"}, // IntelMQ's: two days back, one ahead
		{`{"date":"2026-11-23"}`, ""},                      // goes on
		{`{"date":"2026-11-22:now","limit":"1"}`, "2026-11-22"},
	} {
		_, text := p.ask("b", "reports/list", tt.ask)
		var days []string
		for _, l := range decode[[]listed](t, text) {
			days = append(days, l.Timestamp)
		}
		if got := strings.Join(days, " "); got != tt.want {
			t.Errorf("%s lists %q, want %q", tt.ask, got, tt.want)
		}
	}
	_, text := p.ask("a", "reports/list", `{"types":["scan_cups_browsed","scan_ssl"]}`)
	if got := decode[[]listed](t, text); len(got) != 1 || got[0].Type != "scan_cups_browsed" {
		t.Errorf("our own type, when it is named: %s", text)
	}
	if _, text = p.ask("a", "reports/list", `{"types":["scan_ssl"]}`); text != "[]" {
		t.Errorf("a type that we do not make: %s", text)
	}
}

// TestSchema holds that what a query gives is what the schema says.
func TestSchema(t *testing.T) {
	p := open(t)
	for _, kind := range report.Types {
		status, text := p.ask("operator", "reports/schema", fmt.Sprintf(`{"type":%q}`, kind))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", kind, status, text)
		}
		if strings.Contains(text, `"description":""`) {
			t.Errorf("%s: a column has no description: %s", kind, text)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("s.json", doc); err != nil {
			t.Fatal(err)
		}
		schema, err := c.Compile("s.json")
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		_, text = p.ask("operator", "reports/query", fmt.Sprintf(`{"date":"2026-11-22","type":%q,"query":{"asn":[64500,64501]}}`, kind))
		events := decode[[]any](t, text)
		if len(events) == 0 {
			t.Errorf("%s: no event", kind)
		}
		for _, e := range events {
			if err := schema.Validate(e); err != nil {
				t.Errorf("%s: %v is not what the schema says: %v", kind, e, err)
			}
		}
	}
	if status, _ := p.ask("a", "reports/schema", `{"type":"scan_ssl"}`); status != http.StatusBadRequest {
		t.Errorf("a type that we do not make: %d", status)
	}
}

// TestLooksAreWrittenDown: a report that left is in the audit log.
func TestLooksAreWrittenDown(t *testing.T) {
	p := open(t)
	_, text := p.ask("a", "reports/list", `{"date":"2026-11-22","type":"scan_ipp"}`)
	_, _, _ = p.get(decode[[]listed](t, text)[0].URL)
	_, _ = p.ask("a", "reports/query", `{"query":{"geo":"DE"}}`)
	looks := map[string]bool{}
	entries, err := p.store.Audit(t.Context(), access.CLI(p.now), time.Time{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.What == "look" && e.Who == "key "+p.keys["a"].id {
			looks[e.Detail] = true
		}
	}
	if !looks["GET report 2026-11-22-scan_ipp-customer-a.csv"] || !looks["POST /api2/reports/query"] {
		t.Errorf("looks: %v", looks)
	}
}
