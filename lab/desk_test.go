package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/lab"
	"ippwatch/wire/ipp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// besides are the suites that ipptool ships and that a stranger may run.
var besides = []string{
	"ipp-1.1", "ipp-2.0", "get-printer-attributes", "get-printer-attributes-suite", "get-printer-description-attributes",
	"get-job-template-attributes", "get-jobs", "get-completed-jobs", "validate-job", "print-job", "create-job",
	"get-printers", "print-uri", "identify-printer",
}

// suites copies ipptool's suites, with the sample documents that Debian leaves out.
func suites(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("/usr/share/cups/ipptool")); err != nil {
		t.Fatal(err)
	}
	// ippeveprinter prints one job at a time, and says that it is busy to who comes
	// too soon after the last.
	for _, suite := range []string{"ipp-1.1.test", "print-job.test", "create-job.test"} {
		text, err := os.ReadFile(filepath.Join(dir, suite))
		if err != nil {
			t.Fatal(err)
		}
		patient := regexp.MustCompile(`(?m)^(\s*OPERATION (Create|Print)-(Job|URI))$`).ReplaceAll(text, []byte("$1\n\tDELAY 0.5"))
		if err := os.WriteFile(filepath.Join(dir, suite), patient, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"document-a4.pdf": "%PDF-1.4\n", "document-letter.pdf": "%PDF-1.4\n", "document-a4.ps": "%!\n", "document-letter.ps": "%!\n",
		"color.jpg": "\xff\xd8\xff\xe0", "gray.jpg": "\xff\xd8\xff\xe0", "testfile.txt": "a page\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// can runs a suite until nothing fails, at most so often: a test that a service
// has passed once it can pass. ippeveprinter prints one job at a time, and who
// asks too soon after the last finds it busy all the same, on a slow machine.
func can(t *testing.T, dir string, s side, suite string) (names []string, results map[string]string) {
	t.Helper()
	const often = 4
	results = make(map[string]string)
	for range often {
		more, now := ipptool(t, dir, s.uri(), s.kind, suite)
		failed := false
		for _, n := range more {
			if results[n] == "" {
				names = append(names, n)
			}
			if now[n] == "PASS" || results[n] == "" || results[n] == "SKIP" {
				results[n] = now[n]
			}
			failed = failed || results[n] == "FAIL"
		}
		if !failed {
			break
		}
	}
	return names, results
}

// ipptool runs a suite and returns "PASS", "FAIL" or "SKIP" by the name of the
// test, with a number where a name comes again.
func ipptool(t *testing.T, dir, uri, kind, suite string) (names []string, results map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ipptool", "-t", "-I", "-T", "10", "-f", "testfile.txt", "-d", "filetype="+kind, uri, suite+".test")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatalf("ipptool %s: %v", suite, err)
	}
	results = make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " [")
		result, _, end := strings.Cut(rest, "]")
		if !ok || !end || !slices.Contains([]string{"PASS", "FAIL", "SKIP"}, result) {
			continue
		}
		name = strings.TrimSpace(name)
		for n, base := 2, name; results[name] != ""; n++ {
			name = fmt.Sprintf("%s (%d)", base, n)
		}
		names = append(names, name)
		results[name] = result
	}
	if len(results) == 0 {
		t.Fatalf("ipptool %s says nothing:\n%s", suite, out)
	}
	return names, results
}

// openDesk starts a desk where the test stands, and returns what it saw.
func openDesk(t *testing.T, f desk.Face, port uint16) (at netip.AddrPort, seen func() []exposure.Visit) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(lab.Here4, port).String())
	if err != nil {
		t.Fatal(err)
	}
	visits := make(chan exposure.Visit, 1<<16)
	dir := t.TempDir()
	spool, err := desk.OpenSpool(filepath.Join(dir, "spool"), desk.Caps{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := desk.OpenCertificate(filepath.Join(dir, "tls.pem"), f)
	if err != nil {
		t.Fatal(err)
	}
	d, err := desk.New(desk.Options{Face: f, Sensor: "lab", Spool: spool, Certificate: cert, Seen: func(v exposure.Visit) { visits <- v }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), func() (all []exposure.Visit) {
		for {
			select {
			case v := <-visits:
				all = append(all, v)
			default:
				return all
			}
		}
	}
}

// A side is a print service that is asked.
type side struct {
	at   netip.AddrPort
	path string
	kind string // a document format that it takes
}

func (s side) uri() string { return "ipp://" + s.at.String() + s.path }

// odd asks what no honest client asks, and returns the status and what is said
// of it.
func (s side) odd(t *testing.T, q question) string {
	t.Helper()
	m := ipp.Message{Version: ipp.Version20, Code: uint16(ipp.GetPrinterAttributes), RequestID: 1, Groups: []ipp.Group{{Tag: ipp.TagOperation, Attributes: []ipp.Attribute{
		ipp.Strings(ipp.TagCharset, "attributes-charset", "utf-8"),
		ipp.Strings(ipp.TagLanguage, "attributes-natural-language", "en"),
		ipp.Strings(ipp.TagURI, "printer-uri", s.uri()),
	}}}}
	q.change(&m)
	resp, err := (&http.Client{Timeout: 2 * time.Minute}).Post("http://"+s.at.String()+s.path, "application/ipp", bytes.NewReader(append(m.Append(nil), q.document...)))
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("HTTP %d", resp.StatusCode)
	}
	a := ipp.Parse(body, ipp.Limits{})
	text := a.Get(ipp.TagOperation, "status-message")
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", a.Version, a.Status(), strings.ReplaceAll(text, s.at.String(), "HOST")))
}

// raw sends text as it is and returns the status of the answer and the names of
// its fields, in their order; the values where they are what a scanner looks at.
func (s side) raw(t *testing.T, name, text string) string {
	t.Helper()
	patience := time.Minute
	if slices.Contains(unanswered, name) {
		patience = 3 * time.Second
	}
	c, err := net.DialTimeout("tcp", s.at.String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "HOST", s.at.String())); err != nil {
		t.Fatal(err)
	}
	var said []string
	lines := bufio.NewScanner(c)
	for lines.Scan() && lines.Text() != "" {
		name, value, field := strings.Cut(lines.Text(), ":")
		if !field || slices.Contains([]string{"Connection", "Content-Type", "Content-Language", "Upgrade", "Allow", "WWW-Authenticate", "Transfer-Encoding"}, name) {
			name += value
		}
		said = append(said, name)
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, "; ")
}

// unanswered are those of bare to which a real one gives no whole answer, and
// keeps the connection: nobody waits long for it.
var unanswered = []string{"TRACE /", "DELETE /x", "PUT /x", "POST of IPP that is none"}

// bare are requests of HTTP that are not IPP, or hardly.
var bare = []struct{ name, text string }{
	{"GET /", "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET / in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"},
	{"GET / that closes", "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"},
	{"GET / in HTTP/1.0 that is kept", "GET / HTTP/1.0\r\nHost: HOST\r\nConnection: Keep-Alive\r\n\r\n"},
	{"GET / in HTTP/2.0", "GET / HTTP/2.0\r\nHost: HOST\r\n\r\n"},
	{"GET / without Host", "GET / HTTP/1.1\r\n\r\n"},
	{"HEAD /", "HEAD / HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"OPTIONS /", "OPTIONS / HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"TRACE /", "TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"DELETE /x", "DELETE /x HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"PUT /x", "PUT /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n"},
	{"a method that is none", "BREW / HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"CONNECT", "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"another host", "GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n"},
	{"GET /nosuch", "GET /nosuch HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /../etc/passwd", "GET /../etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /robots.txt", "GET /robots.txt HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /cups.css", "GET /cups.css HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /printers/", "GET /printers/ HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /printers/office", "GET /printers/office HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /printers/nosuch", "GET /printers/nosuch HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /jobs", "GET /jobs HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /admin", "GET /admin HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /admin/conf/cupsd.conf", "GET /admin/conf/cupsd.conf HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /admin/log/error_log", "GET /admin/log/error_log HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"GET /supplies", "GET /supplies HTTP/1.1\r\nHost: HOST\r\n\r\n"},
	{"POST of a form", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"},
	{"POST of IPP that is none", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/ipp\r\nContent-Length: 3\r\n\r\na=b"},
	{"a line that is none", "nonsense\r\n\r\n"},
	{"a head with a line that is none", "GET / HTTP/1.1\r\nnonsense\r\n\r\n"},
	{"Expect with a body", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/ipp\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n\x01\x01\x00\x0b\x00\x00\x00\x01\x03"},
}

type question struct {
	name     string
	change   func(*ipp.Message)
	document string
}

// questions are odd; each changes a Get-Printer-Attributes that is in order.
func questions() []question {
	operation := func(op ipp.Operation, more ...ipp.Attribute) func(*ipp.Message) {
		return func(m *ipp.Message) {
			m.Code = uint16(op)
			m.Groups[0].Attributes = append(m.Groups[0].Attributes, more...)
		}
	}
	id := func(n int) ipp.Attribute { return ipp.Integers(ipp.TagInteger, "job-id", n) }
	return []question{
		{name: "version 0.0", change: func(m *ipp.Message) { m.Version = 0 }},
		{name: "version 1.0", change: func(m *ipp.Message) { m.Version = 0x0100 }},
		{name: "version 2.2", change: func(m *ipp.Message) { m.Version = 0x0202 }},
		{name: "version 3.0", change: func(m *ipp.Message) { m.Version = 0x0300 }},
		{name: "request-id 0", change: func(m *ipp.Message) { m.RequestID = 0 }},
		{name: "charset iso-8859-1", change: func(m *ipp.Message) { m.Groups[0].Attributes[0].Values[0].Data = "iso-8859-1" }},
		{name: "charset us-ascii", change: func(m *ipp.Message) { m.Groups[0].Attributes[0].Values[0].Data = "us-ascii" }},
		{name: "no attributes", change: func(m *ipp.Message) { m.Groups = nil }},
		{name: "language before charset", change: func(m *ipp.Message) {
			a := m.Groups[0].Attributes
			a[0], a[1] = a[1], a[0]
		}},
		{name: "no printer-uri", change: func(m *ipp.Message) { m.Groups[0].Attributes = m.Groups[0].Attributes[:2] }},
		{name: "groups out of order", change: func(m *ipp.Message) {
			m.Groups = append(m.Groups, ipp.Group{Tag: ipp.TagPrinter, Attributes: []ipp.Attribute{ipp.Strings(ipp.TagName, "x", "y")}}, ipp.Group{Tag: ipp.TagJob, Attributes: []ipp.Attribute{ipp.Strings(ipp.TagName, "x", "y")}})
		}},
		{name: "an operation that is none", change: operation(0x3fff)},
		{name: "CUPS-Get-Default", change: operation(ipp.CUPSGetDefault)},
		{name: "CUPS-Get-Classes", change: operation(ipp.CUPSGetClasses)},
		{name: "CUPS-Add-Modify-Printer", change: operation(0x4003)},
		{name: "CUPS-Delete-Printer", change: operation(0x4004)},
		{name: "CUPS-Get-Devices", change: operation(0x400b)},
		{name: "CUPS-Get-PPDs", change: operation(0x400c)},
		{name: "Pause-Printer", change: operation(0x0010)},
		{name: "Purge-Jobs", change: operation(0x0012)},
		{name: "Cancel-Jobs", change: operation(0x0038)},
		{name: "Set-Printer-Attributes", change: operation(0x0013)},
		{name: "Get-Printer-Supported-Values", change: operation(0x0015)},
		{name: "Get-Subscriptions", change: operation(0x0019)},
		{name: "Get-Notifications", change: operation(0x001c)},
		{name: "Get-Documents", change: operation(0x0035)},
		{name: "Restart-Job", change: operation(0x000e, id(99999))},
		{name: "Print-URI without a URI", change: operation(ipp.PrintURI)},
		{name: "Send-URI", change: operation(ipp.SendURI, id(99999))},
		{name: "Get-Job-Attributes of none", change: operation(ipp.GetJobAttributes, id(99999))},
		{name: "Cancel-Job of none", change: operation(ipp.CancelJob, id(99999))},
		{name: "Send-Document to none", change: operation(ipp.SendDocument, id(99999))},
		{name: "Hold-Job of none", change: operation(ipp.HoldJob, id(99999))},
		{name: "Close-Job of none", change: operation(ipp.CloseJob, id(99999))},
		{name: "Cancel-My-Jobs", change: operation(ipp.CancelMyJobs)},
		{name: "Get-Jobs which nonsense", change: operation(ipp.GetJobs, ipp.Strings(ipp.TagKeyword, "which-jobs", "nonsense"))},
		{name: "Validate-Job of a format that is none", change: operation(ipp.ValidateJob, ipp.Strings(ipp.TagMimeType, "document-format", "application/x-nonsense"))},
		{name: "Validate-Job with a compression that is none", change: operation(ipp.ValidateJob, ipp.Strings(ipp.TagKeyword, "compression", "nonsense"))},
		{name: "Print-Job without a document", change: operation(ipp.PrintJob)},
		{name: "Get-System-Attributes", change: operation(0x005b)},
		{name: "Get-Printers", change: operation(0x004f)},
	}
}

// TestDeskBesideTheRealOnes asks cupsd and ippeveprinter what it asks a desk:
// ipptool's own suites, and odd questions. What differs stands in the golden
// file, and docs/sensor-service.md shows it.
func TestDeskBesideTheRealOnes(t *testing.T) {
	t.Parallel()
	lab.Need(t, "ipptool", "cupsd", "lpadmin", "ippeveprinter", "dbus-daemon", "avahi-daemon")
	dir := suites(t)
	var out strings.Builder
	sides := []struct {
		name       string
		real, ours func(t *testing.T) side
	}{
		{"cupsd 2.4.2", realCUPS, func(t *testing.T) side {
			f := desk.ChooseKind("cups", "beside", time.Now())
			f.CUPS.Version, f.CUPS.Queues = "2.4.2", []desk.Queue{{Name: "office", Info: "office", Device: "socket://192.0.2.9:9100"}}
			at, _ := openDesk(t, f, 0)
			return side{at, "/printers/office", "text/plain"}
		}},
		{"ippeveprinter 2.4.2", realEve, func(t *testing.T) side {
			at, _ := openDesk(t, desk.ChooseKind("device", "beside", time.Now()), 0)
			return side{at, "/ipp/print", "image/urf"}
		}},
	}
	for _, s := range sides {
		theirs, ours := s.real(t), s.ours(t)
		same := 0
		var rows strings.Builder
		row := func(what, theirs, us string) {
			if theirs == us {
				same++
				return
			}
			fmt.Fprintf(&rows, "| %s | %s | %s |\n", what, theirs, us)
		}
		for _, suite := range besides {
			names, them := can(t, dir, theirs, suite)
			more, us := can(t, dir, ours, suite)
			for _, n := range more {
				if them[n] == "" {
					names = append(names, n)
				}
			}
			for _, n := range names {
				row(suite+": "+n, or(them[n], "not reached"), or(us[n], "not reached"))
			}
		}
		for _, b := range bare {
			row(b.name, theirs.raw(t, b.name, b.text), ours.raw(t, b.name, b.text))
		}
		for _, q := range questions() {
			row(q.name, theirs.odd(t, q), ours.odd(t, q))
		}
		if same < 150 {
			t.Errorf("only %d answers are alike", same)
		}
		fmt.Fprintf(&out, "### Beside %s\n\n", s.name)
		if rows.Len() == 0 {
			out.WriteString("All answers are alike.\n\n")
			continue
		}
		fmt.Fprintf(&out, "| asked | %s | desk |\n| --- | --- | --- |\n%s\nAll other answers are alike.\n\n", strings.Fields(s.name)[0], &rows)
	}
	golden(t, "testdata/desk-beside.golden", out.String())
	doc, err := os.ReadFile("../docs/sensor-service.md")
	if err != nil || !strings.Contains(string(doc), strings.TrimSpace(out.String())) {
		t.Errorf("docs/sensor-service.md does not hold lab/testdata/desk-beside.golden as it is (%v)", err)
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // a golden file is for everybody
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, d)
	}
}

// realCUPS is a cupsd whose queue leads to a printer that takes everything.
func realCUPS(t *testing.T) side {
	h := lab.NewHost(t, "print1")
	sink := h.Listen(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 9100))
	go func() {
		for {
			c, err := sink.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	c := h.CUPS(lab.Open)
	c.SharedQueue("office", "socket://127.0.0.1:9100")
	h.Run("lpadmin", "-d", "office")
	return side{h.Port4(631), "/printers/office", "text/plain"}
}

func realEve(t *testing.T) side {
	h := lab.NewHost(t, "eve1")
	h.Avahi()
	h.Eve("-c", "/bin/true") // jobs are done at once, and it is not busy with the last
	return side{h.Port4(631), "/ipp/print", "image/urf"}
}

// TestRealClientsAtTheDesk lets nmap's scripts, CUPS's own commands and its
// backend come to a desk, as they come to real services.
func TestRealClientsAtTheDesk(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nmap", "cupsd", "lpadmin", "lpstat", "ipptool")
	f := desk.ChooseKind("cups", "clients", time.Now())
	f.CUPS.Version, f.CUPS.Queues = "2.4.2", []desk.Queue{{Name: "office", Info: "office", Device: "socket://127.0.0.1:9100"}}
	at, seen := openDesk(t, f, 631) // nmap's scripts look at no other port
	cupsd := realCUPS(t)
	if d := cmp.Diff(nmap(t, cupsd.at.Addr()), nmap(t, at.Addr())); d != "" {
		t.Errorf("nmap sees (-cupsd +desk):\n%s", d)
	}
	classes(t, visited(t, seen), exposure.Enumeration)

	// "office accepting requests since ..."
	out, err := exec.CommandContext(t.Context(), "lpstat", "-h", at.String(), "-a").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "office accepting requests") {
		t.Errorf("lpstat -a: %v, %s", err, out)
	}
	classes(t, visited(t, seen), exposure.Enumeration)

	page := filepath.Join(t.TempDir(), "page.txt")
	if err := os.WriteFile(page, []byte("a page\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/lib/cups/backend/ipp", "1", "alice", "payroll", "1", "", page)
	cmd.Env = append(os.Environ(), "DEVICE_URI=ipp://"+at.String()+"/printers/office", "CONTENT_TYPE=text/plain", "FINAL_CONTENT_TYPE=text/plain")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("backend ipp: %v\n%s", err, out)
	}
	var visits []exposure.Visit
	i := -1
	await(t, "a document among the visits", func() bool {
		visits = append(visits, seen()...)
		i = slices.IndexFunc(visits, func(v exposure.Visit) bool {
			return v.Print != nil && v.Print.Document != nil && v.Print.Document.Bytes > 0
		})
		return i >= 0
	})
	want := fmt.Sprintf("%x", sha256.Sum256([]byte("a page\n")))
	if p := visits[i].Print; p.User != "alice" || p.Document.SHA256 != want {
		t.Errorf("visit tells of %+v with %+v", p, p.Document)
	}
	classes(t, visits, exposure.Enumeration, exposure.PrintAttempt)
}

// nmap runs its scripts for CUPS and returns what they say.
func nmap(t *testing.T, at netip.Addr) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nmap", "-Pn", "-n", "-p", "631", "--script", "cups-info,cups-queue-info", at.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("nmap: %v\n%s", err, out)
	}
	var said strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "|") || strings.HasPrefix(line, "631/tcp") {
			said.WriteString(strings.ReplaceAll(line, at.String(), "HOST"))
		}
	}
	if !strings.Contains(said.String(), "cups-info") {
		t.Fatalf("nmap at %s says nothing of CUPS:\n%s", at, out)
	}
	return said.String()
}

// visited waits for a visit: it is told when it is over, and the visitor may have
// gone before.
func visited(t *testing.T, seen func() []exposure.Visit) (visits []exposure.Visit) {
	t.Helper()
	await(t, "a visit", func() bool {
		visits = append(visits, seen()...)
		return len(visits) > 0
	})
	return visits
}

func classes(t *testing.T, visits []exposure.Visit, allowed ...exposure.Class) {
	t.Helper()
	for _, v := range visits {
		if !slices.Contains(allowed, v.Class) {
			t.Errorf("%s %s %v is %s, want one of %v", v.Method, v.URL, v.Reasons, v.Class, allowed)
		}
	}
}
