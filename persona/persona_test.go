package persona_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenPrinting/goipp"

	"ippwatch/exposure"
	"ippwatch/persona"
	"ippwatch/wire/browse"
)

// street opens the whole street for one test.
func street(t *testing.T) *persona.Neighbourhood {
	t.Helper()
	n, err := persona.Open(t.Context(), persona.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func host(t *testing.T, n *persona.Neighbourhood, name string) persona.Host {
	t.Helper()
	for _, h := range n.Hosts() {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("no persona %q on the street", name)
	return persona.Host{}
}

// client follows nothing, verifies nothing and keeps no connection.
func client() *http.Client {
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type question struct {
	scheme, path string
	op           goipp.Op
	version      goipp.Version
	asked        []string
	limit        int
}

func (q question) encode(t testing.TB, at netip.AddrPort) []byte {
	t.Helper()
	if q.version == 0 {
		q.version = goipp.MakeVersion(2, 0)
	}
	m := goipp.NewRequest(q.version, q.op, 42)
	m.Operation.Add(goipp.MakeAttribute("attributes-charset", goipp.TagCharset, goipp.String("utf-8")))
	m.Operation.Add(goipp.MakeAttribute("attributes-natural-language", goipp.TagLanguage, goipp.String("en")))
	m.Operation.Add(goipp.MakeAttribute("printer-uri", goipp.TagURI, goipp.String(fmt.Sprintf("ipp://%s%s", at, q.path))))
	if q.limit > 0 {
		m.Operation.Add(goipp.MakeAttribute("limit", goipp.TagInteger, goipp.Integer(q.limit)))
	}
	if len(q.asked) > 0 {
		a := goipp.Attribute{Name: "requested-attributes"}
		for _, name := range q.asked {
			a.Values.Add(goipp.TagKeyword, goipp.String(name))
		}
		m.Operation.Add(a)
	}
	b, err := m.EncodeBytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A reply is what is left of a response when its body was read.
type reply struct {
	status   int
	header   http.Header
	length   int64
	encoding []string
	proto    string
	last     bool // the connection is closed after it
	tls      *tls.ConnectionState
}

// ask posts the question; r is nil when nothing came back, m when it was no IPP.
func ask(t *testing.T, h persona.Host, q question) (r *reply, m *goipp.Message, err error) {
	t.Helper()
	at := netip.AddrPortFrom(h.Addr, h.Port)
	if q.scheme == "" {
		q.scheme = "http"
	}
	if q.path == "" {
		q.path = "/"
	}
	resp, err := client().Post(fmt.Sprintf("%s://%s%s", q.scheme, at, q.path), "application/ipp", bytes.NewReader(q.encode(t, at)))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	r = &reply{resp.StatusCode, resp.Header, resp.ContentLength, resp.TransferEncoding, resp.Proto, resp.Close, resp.TLS}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return r, nil, err
	}
	if resp.Header.Get("Content-Type") != "application/ipp" {
		return r, nil, nil
	}
	m = new(goipp.Message)
	if err := m.DecodeBytes(body); err != nil {
		return r, nil, err
	}
	return r, m, nil
}

func value(m *goipp.Message, name string) string {
	for _, a := range m.Printer {
		if a.Name == name {
			return a.Values.String()
		}
	}
	return ""
}

func count(m *goipp.Message, tag goipp.Tag) int {
	n := 0
	for _, g := range m.Groups {
		if g.Tag == tag {
			n++
		}
	}
	return n
}

func TestStreetIsWholeAndTruthful(t *testing.T) {
	cast := persona.Street()
	if len(cast) < 44 {
		t.Errorf("the street has %d personas, want at least 44", len(cast))
	}
	seen := make(map[string]bool)
	for _, p := range cast {
		if seen[p.Name] || p.Name == "" || p.About == "" {
			t.Errorf("persona %q: name twice, or no name, or no description %q", p.Name, p.About)
		}
		seen[p.Name] = true
		if len(p.Truth.TCP) == 0 || p.Truth.UDP == "" {
			t.Errorf("%s: no truth over TCP %v or UDP %q", p.Name, p.Truth.TCP, p.Truth.UDP)
		}
		if !slices.IsSorted(p.Truth.Rules) {
			t.Errorf("%s: rules are not sorted: %v", p.Name, p.Truth.Rules)
		}
	}
}

// Every persona that may be answered gives a stranger a plain exchange that
// says so, and everything that speaks HTTP says that it is simulated.
func TestEveryPersonaActsAsItsTruthSays(t *testing.T) {
	n := street(t)
	for _, h := range n.Hosts() {
		if strings.HasPrefix(h.Name, "odd-tarpit") || h.Name == "mute" {
			continue // these take time: see below
		}
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			q := question{op: goipp.OpGetPrinterAttributes}
			switch h.Name {
			case "device-zephyr":
				q.path = "/ipp/print"
			case "device-ricado", "device-xenon":
				q.version = goipp.MakeVersion(1, 1)
			case "cups-upgrade", "device-tls-only":
				q.scheme = "https"
			}
			r, m, err := ask(t, h, q)
			if r != nil && !strings.Contains(r.header.Get("Server"), exposure.SimulatedMark) {
				t.Errorf("Server: %q does not say %q", r.header.Get("Server"), exposure.SimulatedMark)
			}
			var got exposure.Verdict
			switch {
			case err != nil && r == nil && h.Name == "odd-half-head":
				got = exposure.Malformed
			case err != nil && r == nil && h.Name == "ssh-banner":
				got = exposure.NotIPP
			case err != nil && r == nil:
				got = exposure.Closed
			case err != nil:
				got = exposure.Malformed
			case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusUpgradeRequired:
				got = exposure.Restricted
			case m == nil:
				got = exposure.NotIPP
			default:
				got = exposure.Answered
			}
			if !slices.Contains(h.Truth.TCP, got) {
				t.Errorf("it gave %q (%v), the truth is %q", got, err, h.Truth.TCP)
			}
		})
	}
}

func TestCUPSListsItsQueues(t *testing.T) {
	n := street(t)
	for _, test := range []struct {
		name, host   string
		question     question
		status       goipp.Status
		groups       int
		attribute    string
		wantContains string
	}{
		{"all queues", "cups-office", question{op: goipp.OpCupsGetPrinters}, goipp.StatusOk, 3, "device-uri", "socket://192.0.2.9:9100"},
		{"a limit", "cups-printserver", question{op: goipp.OpCupsGetPrinters, limit: 5}, goipp.StatusOk, 5, "printer-organization", "Example Works"},
		{"one queue by its path", "cups-school", question{op: goipp.OpGetPrinterAttributes, path: "/printers/library"}, goipp.StatusOk, 1, "printer-info", "Library"},
		{"the root is not a printer", "cups-office", question{op: goipp.OpGetPrinterAttributes}, goipp.StatusErrorNotFound, 0, "", ""},
		{"no queue at all", "cups-empty", question{op: goipp.OpCupsGetPrinters}, goipp.StatusErrorNotFound, 0, "", ""},
		{"no classes", "cups-office", question{op: goipp.OpCupsGetClasses}, goipp.StatusOk, 0, "", ""},
		{"the default", "cups-office", question{op: goipp.OpCupsGetDefault}, goipp.StatusOk, 1, "printer-name", "office"},
		{"an old version", "cups-ancient", question{op: goipp.OpCupsGetPrinters, version: goipp.MakeVersion(1, 1)}, goipp.StatusOk, 1, "cups-version", "1.7.5"},
		{"a version from the future", "cups-office", question{op: goipp.OpCupsGetPrinters, version: goipp.MakeVersion(9, 9)}, goipp.StatusErrorVersionNotSupported, 0, "", ""},
		{"an operation of another service", "cups-office", question{op: goipp.OpGetSystemAttributes}, goipp.StatusErrorOperationNotSupported, 0, "", ""},
		{"over TLS after 426", "cups-upgrade", question{op: goipp.OpCupsGetPrinters, scheme: "https"}, goipp.StatusOk, 1, "printer-name", "desk"},
		{"a device does not list", "device-hartwell", question{op: goipp.OpCupsGetPrinters}, goipp.StatusErrorOperationNotSupported, 0, "", ""},
		{"ippeveprinter does not list either", "device-ippeve", question{op: goipp.OpCupsGetPrinters}, goipp.StatusErrorOperationNotSupported, 0, "", ""},
		{"a device at another path", "device-lexington", question{op: goipp.OpGetPrinterAttributes, path: "/ipp/print"}, goipp.StatusErrorNotFound, 0, "", ""},
		{"a device of IPP 1.1", "device-xenon", question{op: goipp.OpGetPrinterAttributes, path: "/ipp/print"}, goipp.StatusErrorVersionNotSupported, 0, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, m, err := ask(t, host(t, n, test.host), test.question)
			if err != nil || m == nil {
				t.Fatalf("ask(%s) = %v, %v", test.host, m, err)
			}
			if got := goipp.Status(m.Code); got != test.status || m.RequestID != 42 {
				t.Errorf("status = %v of request %d, want %v of 42", got, m.RequestID, test.status)
			}
			if got := count(m, goipp.TagPrinterGroup); got != test.groups {
				t.Errorf("%d printers, want %d", got, test.groups)
			}
			if got := value(m, test.attribute); !strings.Contains(got, test.wantContains) {
				t.Errorf("%s = %q, want %q in it", test.attribute, got, test.wantContains)
			}
		})
	}
}

func TestOnlyWhatWasAskedForIsTold(t *testing.T) {
	h := host(t, street(t), "cups-office")
	_, m, err := ask(t, h, question{op: goipp.OpCupsGetPrinters, asked: []string{"printer-name", "printer-location", "x-none"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range m.Printer[:2] {
		names = append(names, a.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"printer-location", "printer-name"}) || len(m.Printer) != 6 {
		t.Errorf("asked for 2 attributes of 3 queues, got %d: %v", len(m.Printer), names)
	}
}

func TestAnswerIsAboutAsLongAsThatOfRealCUPS(t *testing.T) {
	h := host(t, street(t), "cups-admin")
	r, _, err := ask(t, h, question{op: goipp.OpCupsGetPrinters})
	if err != nil {
		t.Fatal(err)
	}
	// captures/tcp/t5/gpa-all-printers-office is 8.9 kB for a raw queue.
	if r.length < 7500 || r.length > 11000 {
		t.Errorf("one queue takes %d bytes, want about 9,000", r.length)
	}
}

func TestJobsAndAdminPages(t *testing.T) {
	n := street(t)
	_, m, err := ask(t, host(t, n, "cups-office"), question{op: goipp.OpGetJobs, limit: 1, asked: []string{"job-id"}})
	if err != nil || count(m, goipp.TagJobGroup) != 1 || len(m.Job) != 1 {
		t.Errorf("Get-Jobs with limit 1 = %v, %v, want one job with its id", m, err)
	}
	for _, test := range []struct {
		host, path string
		status     int
	}{
		{"cups-office", "/", 200},
		{"cups-office", "/admin", 403},
		{"cups-admin", "/admin", 200},
		{"cups-admin", "/admin/conf/cupsd.conf", 401},
		{"cups-disclosed", "/admin/conf/cupsd.conf", 200},
		{"cups-disclosed", "/admin/log/error_log", 200},
		{"cups-denied", "/", 403},
		{"cups-password", "/", 401},
		{"cups-upgrade", "/", 426},
		{"device-ippeve-password", "/", 401},
		{"odd-redirect", "/", 302},
		{"web-server", "/", 200},
	} {
		h := host(t, n, test.host)
		resp, err := client().Get(fmt.Sprintf("http://%s:%d%s", h.Addr, h.Port, test.path))
		if err != nil {
			t.Errorf("GET %s of %s: %v", test.path, test.host, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status {
			t.Errorf("GET %s of %s = %d, %v, want %d", test.path, test.host, resp.StatusCode, err, test.status)
		}
		if strings.HasPrefix(test.host, "cups-") && test.status >= 400 && !strings.Contains(string(body), " - CUPS v2.4.2</TITLE>") {
			t.Errorf("GET %s of %s: the page's title does not tell the version: %s", test.path, test.host, body)
		}
	}
}

func TestOptionsIsAnsweredEvenWhereAllIsRefused(t *testing.T) {
	h := host(t, street(t), "cups-denied")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, fmt.Sprintf("http://%s:%d/", h.Addr, h.Port), nil)
	if err != nil {
		t.Fatal(err)
	}
	for hostname, want := range map[string]int{"": 200, "printer.example": 400} {
		req.Host = hostname
		resp, err := client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("OPTIONS with Host %q = %d, want %d", hostname, resp.StatusCode, want)
		}
	}
}

func TestCertificates(t *testing.T) {
	n := street(t)
	for _, test := range []struct {
		host string
		bad  func(*x509.Certificate) bool
	}{
		{"cups-office", func(c *x509.Certificate) bool { return time.Now().After(c.NotAfter) }},
		{"cups-expired", func(c *x509.Certificate) bool { return time.Now().Before(c.NotAfter) }},
		{"device-tls-only", func(c *x509.Certificate) bool { return time.Now().Before(c.NotAfter) }},
		{"device-canonet", func(c *x509.Certificate) bool { return c.PublicKeyAlgorithm != x509.RSA }},
	} {
		h := host(t, n, test.host)
		r, _, err := ask(t, h, question{scheme: "https", op: goipp.OpGetPrinterAttributes})
		if err != nil {
			t.Errorf("%s over TLS: %v", test.host, err)
			continue
		}
		leaf := r.tls.PeerCertificates[0]
		if test.bad(leaf) || leaf.Subject.Organization[0] != exposure.SimulatedMark {
			t.Errorf("%s: wrong certificate: %s until %s", test.host, leaf.Subject, leaf.NotAfter)
		}
	}
	if _, _, err := ask(t, host(t, n, "device-tls-only"), question{op: goipp.OpGetPrinterAttributes}); err == nil {
		t.Error("device-tls-only answered in plain")
	}
	if _, _, err := ask(t, host(t, n, "device-brookner"), question{scheme: "https", op: goipp.OpGetPrinterAttributes}); err == nil {
		t.Error("device-brookner answered over TLS")
	}
}

func TestMannersOnTheWire(t *testing.T) {
	n := street(t)
	for _, test := range []struct {
		host string
		ok   func(*reply) bool
	}{
		{"odd-chunked", func(r *reply) bool { return slices.Equal(r.encoding, []string{"chunked"}) }},
		{"odd-until-close", func(r *reply) bool {
			return r.length == -1 && r.last && len(r.encoding) == 0
		}},
		{"odd-http10", func(r *reply) bool { return r.proto == "HTTP/1.0" }},
		{"odd-interim", func(r *reply) bool { return r.status == http.StatusOK }},
		{"cups-office", func(r *reply) bool { return r.length > 0 }},
	} {
		r, m, err := ask(t, host(t, n, test.host), question{op: goipp.OpGetPrinterAttributes})
		if err != nil || m == nil || !test.ok(r) {
			t.Errorf("%s: %v, message %v, error %v", test.host, r, m != nil, err)
		}
	}
	started := time.Now()
	if _, m, err := ask(t, host(t, n, "odd-slow"), question{op: goipp.OpGetPrinterAttributes}); err != nil || m == nil || time.Since(started) < 600*time.Millisecond {
		t.Errorf("odd-slow answered after %v: %v", time.Since(started), err)
	}
}

func TestHostileBytesArriveAsTheyAre(t *testing.T) {
	n := street(t)
	_, m, err := ask(t, host(t, n, "odd-hostile"), question{op: goipp.OpGetPrinterAttributes})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"printer-name": "\x1b[2J", "printer-location": "\u202e", "printer-info": "=cmd|", "printer-make-and-model": "<script>",
		"printer-state-message": strings.Repeat("long ", 2000),
	} {
		if got := value(m, name); !strings.Contains(got, want) {
			t.Errorf("%s = %q, want %q in it", name, got, want)
		}
	}
	if _, m, err = ask(t, host(t, n, "odd-nul"), question{op: goipp.OpGetPrinterAttributes}); err != nil || value(m, "printer-name") != "a\x00b" {
		t.Errorf("odd-nul: %v, want a NUL in the name", err)
	}
}

func TestTarpitIsSlowAndEndsWithTheStreet(t *testing.T) {
	n := street(t)
	for _, test := range []struct {
		host     string
		complete bool // of the head
	}{{"odd-tarpit", false}, {"odd-tarpit-body", true}} {
		h := host(t, n, test.host)
		at := netip.AddrPortFrom(h.Addr, h.Port)
		conn := dial(t, at)
		body := question{op: goipp.OpGetPrinterAttributes, path: "/"}.encode(t, at)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n\r\n%s", at, len(body), body)
		r := bufio.NewReader(conn)
		if test.complete {
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			for line := ""; line != "\r\n"; {
				var err error
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatalf("%s: %q, %v within the head", test.host, line, err)
				}
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if !errors.Is(err, os.ErrDeadlineExceeded) || bytes.Contains(got, []byte("\r\n\r\n")) {
			t.Errorf("%s sent %q (%v) in 300 ms", test.host, got, err)
		}
	}
	n.Close()
}

func dial(t testing.TB, at netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestNotPrinters(t *testing.T) {
	n := street(t)
	for _, test := range []struct {
		host, want string
		reset      bool
	}{{"ssh-banner", "SSH-2.0-", false}, {"hang-up", "", false}, {"reset", "", true}} {
		h := host(t, n, test.host)
		conn, err := net.Dial("tcp", netip.AddrPortFrom(h.Addr, h.Port).String())
		if err != nil {
			if !test.reset {
				t.Errorf("%s: %v", test.host, err)
			}
			continue
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		read, err := conn.Read(buf)
		conn.Close()
		if !strings.HasPrefix(string(buf[:read]), test.want) || test.want == "" && err == nil {
			t.Errorf("%s sent %q, %v", test.host, buf[:read], err)
		}
	}
}

func TestEndlessBodyIsNotReadToItsEnd(t *testing.T) {
	h := host(t, street(t), "odd-endless")
	resp, err := client().Post(fmt.Sprintf("http://%s:%d/", h.Addr, h.Port), "application/ipp", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.CopyN(io.Discard, resp.Body, 1<<20)
	if err != nil || resp.ContentLength != 1<<30 {
		t.Errorf("read %d of %d: %v", got, resp.ContentLength, err)
	}
}

// probe sends a browse packet to the host that names the server.
func probe(t *testing.T, h persona.Host, uri string) {
	t.Helper()
	conn, err := net.Dial("udp4", netip.AddrPortFrom(h.Addr, h.UDP).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(browse.Append(nil, browse.Packet{State: 3, URI: uri, Location: "lab", Info: "test", MakeModel: "m"})); err != nil {
		t.Fatal(err)
	}
}

// A call is one POST that reached us.
type call struct {
	from  netip.Addr
	head  *http.Request
	asked *goipp.Message
}

// listen collects calls on a loopback address.
func listen(t *testing.T) (netip.AddrPort, <-chan call) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan call, 64)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := new(goipp.Message)
		if err := m.Decode(r.Body); err != nil {
			t.Errorf("call is no IPP: %v", err)
		}
		calls <- call{from: netip.MustParseAddrPort(r.RemoteAddr).Addr(), head: r, asked: m}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNotFound)
	})}
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { server.Close() })
	return netip.MustParseAddrPort(l.Addr().String()), calls
}

func TestCUPSBrowsedCallsBack(t *testing.T) {
	n := street(t)
	at, calls := listen(t)
	for _, h := range n.Hosts() {
		if h.Truth.UDP != exposure.CalledBack {
			continue
		}
		t.Run(h.Name, func(t *testing.T) {
			path := "/printers/token-of-" + h.Name
			probe(t, h, fmt.Sprintf("http://%s%s", at, path))
			probe(t, h, fmt.Sprintf("http://%s%s", at, path)) // the same within 300 s is not called again
			for i := range h.Truth.Posts {
				c := next(t, calls)
				if c.head.URL.Path != path || !strings.Contains(c.head.UserAgent(), exposure.SimulatedMark) ||
					!strings.HasPrefix(c.head.UserAgent(), "CUPS/2.") || goipp.Op(c.asked.Code) != goipp.OpGetPrinterAttributes {
					t.Errorf("call %d: %s by %q, %v", i, c.head.URL, c.head.UserAgent(), goipp.Op(c.asked.Code))
				}
				if natted := h.Name == "browsed-natted"; (c.from == h.Addr) == natted {
					t.Errorf("call %d comes from %s, the host is %s", i, c.from, h.Addr)
				}
			}
			// What comes next is that of a new token: nothing of the old is left.
			probe(t, h, fmt.Sprintf("http://%s/printers/second-%s", at, h.Name))
			for range h.Truth.Posts {
				if c := next(t, calls); c.head.URL.Path != "/printers/second-"+h.Name {
					t.Errorf("a call too many: %s", c.head.URL)
				}
			}
		})
	}
}

func next(t *testing.T, calls <-chan call) call {
	t.Helper()
	select {
	case c := <-calls:
		return c
	case <-time.After(time.Minute):
		t.Fatal("no call within a minute")
		return call{}
	}
}

// The daemon reads packets one after the other, so a call for the second packet
// means that the first was dealt with.
func TestCUPSBrowsedCallsNobodyElse(t *testing.T) {
	n := street(t)
	at, calls := listen(t)
	h := host(t, n, "browsed-server")
	for _, uri := range []string{
		"http://192.0.2.1:8632/printers/other", "http://localhost:8632/printers/name", "http://[2001:db8::1]:8632/printers/six",
		fmt.Sprintf("http://%s/ipp/print", at), "garbage",
	} {
		probe(t, h, uri)
	}
	probe(t, h, fmt.Sprintf("http://%s/printers/last", at))
	if c := next(t, calls); c.head.URL.Path != "/printers/last" {
		t.Errorf("first call is for %s, want the last packet's", c.head.URL)
	}
}

func TestUDPElsewhere(t *testing.T) {
	n := street(t)
	at, calls := listen(t)
	deaf := host(t, n, "browsed-elsewhere")
	if deaf.UDP != 0 {
		probe(t, deaf, fmt.Sprintf("http://%s/printers/deaf", at))
	}
	h := host(t, n, "cups-office")
	if h.UDP == 0 {
		t.Skip("hosts have no UDP port of their own on this system")
	}
	conn, err := net.Dial("udp4", netip.AddrPortFrom(h.Addr, h.UDP).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("0 3 x")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a closed UDP port answered %v, want an ICMP error", err)
	}
	select {
	case c := <-calls:
		t.Errorf("the deaf one called: %s", c.head.URL)
	default:
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	// At ports that are another's in each process: the first free ones may be
	// another street's as soon as this one has closed.
	port := uint16(10000 + os.Getpid()%10000)
	n, err := persona.Open(t.Context(), persona.Options{Port: port, UDPPort: port})
	if err != nil {
		t.Fatal(err)
	}
	// Somebody stands at every door when the street closes.
	for _, h := range n.Hosts() {
		if conn, err := net.Dial("tcp", netip.AddrPortFrom(h.Addr, h.Port).String()); err == nil {
			defer conn.Close()
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ipp\r\nContent-Length: 3\r\n\r\nab")
		}
	}
	n.Close()
	settle(t, before)
	for _, h := range n.Hosts() {
		if conn, err := net.Dial("tcp", netip.AddrPortFrom(h.Addr, h.Port).String()); err == nil {
			conn.Close()
			t.Errorf("%s still listens", h.Name)
		}
	}
	n.Close() // twice is once
}

func TestTheContextClosesTheStreet(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	n, err := persona.Open(ctx, persona.Options{})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	cancel()
	settle(t, before)
	n.Close()
}

// settle waits until no more goroutines run than before.
func settle(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines are left, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestPortInUse(t *testing.T) {
	n := street(t)
	port := n.Ports()[0]
	if _, err := persona.Open(t.Context(), persona.Options{Port: port}); err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)) {
		t.Errorf("Open at port %d, in use = %v, want an error that names it", port, err)
	}
	second, err := persona.Open(t.Context(), persona.Options{})
	if err != nil {
		t.Fatalf("Open at any port while one is in use: %v", err)
	}
	defer second.Close()
	if second.Ports()[0] == port || second.UDPPort() == n.UDPPort() {
		t.Errorf("two streets at port %d", port)
	}
}

func TestEveryHostLiesInTheNetworks(t *testing.T) {
	n := street(t)
	for _, h := range n.Hosts() {
		if !slices.ContainsFunc(n.Networks(), func(p netip.Prefix) bool { return p.Contains(h.Addr) }) || !h.Addr.IsLoopback() {
			t.Errorf("%s at %s lies outside %v", h.Name, h.Addr, n.Networks())
		}
		if !slices.Contains(n.Ports(), h.Port) {
			t.Errorf("%s at port %d, which is none of %v", h.Name, h.Port, n.Ports())
		}
	}
}
