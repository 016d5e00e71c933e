package grab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A gate that counts, and refuses from the given call on.
type gate struct{ asked, refuseFrom int }

func (g *gate) Allow(netip.Addr, time.Time) error {
	if g.asked++; g.refuseFrom > 0 && g.asked >= g.refuseFrom {
		return errors.New("paused")
	}
	return nil
}

// talked writes the exchanges one a line: what was asked, and what came.
func talked(o exposure.Observation) []string {
	if o.IPP == nil {
		return nil
	}
	var lines []string
	for _, e := range o.IPP.Exchanges {
		line := e.Operation + " " + e.Path
		if e.Version != "" {
			line += " " + e.Version
		}
		if e.TLS {
			line += " TLS"
		}
		line += fmt.Sprintf(": %d", e.HTTP)
		if e.Status != nil {
			line += fmt.Sprintf(" 0x%04x", uint16(*e.Status))
		}
		lines = append(lines, line)
	}
	return lines
}

// behaviours are hosts, and what is to be said of each.
func behaviours(t *testing.T) []struct {
	name    string
	host    *host
	opt     Options
	verdict exposure.Verdict
	reason  string // a part of it
	talked  []string
	check   func(*testing.T, exposure.Observation)
} {
	list := capture(t, "cupsd-cups-get-printers", true)
	notFound := capture(t, "cupsd-not-found", true)
	badRequest := capture(t, "ippeveprinter-bad-request", true)
	device := capture(t, "ippeveprinter-gpa", true)
	upgrade := capture(t, "cupsd-upgrade-required", false)
	unauthorized := capture(t, "cupsd-unauthorized", false)
	cert := certificateFor(t, "printer.example")

	always := func(out string) func(heard) string { return func(heard) string { return out } }
	wantTLS := func(t *testing.T, o exposure.Observation) {
		if o.TLS == nil || !o.TLS.Offered || !o.TLS.Required || o.TLS.Certificate == nil {
			t.Fatalf("TLS = %+v, want offered, required, with a certificate", o.TLS)
		}
		got := *o.TLS.Certificate
		got.SHA256, got.NotBefore, got.NotAfter = "", time.Time{}, time.Time{}
		want := exposure.Certificate{
			Subject: "CN=printer.example", Issuer: "CN=printer.example", Names: []string{"printer.example"},
			Key: "ECDSA P-256", KeyBits: 256, Signature: "ECDSA-SHA256", SelfSigned: true,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("certificate (-want +got):\n%s", d)
		}
	}
	return []struct {
		name    string
		host    *host
		opt     Options
		verdict exposure.Verdict
		reason  string
		talked  []string
		check   func(*testing.T, exposure.Observation)
	}{
		{
			name: "a cupsd that lists its queues", host: &host{answer: always(list), cert: cert},
			verdict: exposure.Answered, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if d := cmp.Diff(&exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4", Queues: true}, o.CUPS); d != "" {
					t.Errorf("CUPS (-want +got):\n%s", d)
				}
				if len(o.Printers) != 3 || o.Printers[1].Get("device-uri") != "socket://192.0.2.9:9100" {
					t.Errorf("printers = %v", o.Printers)
				}
				if o.TLS == nil || !o.TLS.Offered || o.TLS.Required || o.TLS.Certificate == nil {
					t.Errorf("TLS = %+v, want offered and not required", o.TLS)
				}
			},
		},
		{
			name: "a printer that makes its certificate when the first stranger asks", host: &host{answer: always(list), cert: cert, cuts: 1},
			verdict: exposure.Answered, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.TLS == nil || !o.TLS.Offered || o.TLS.Error != "" {
					t.Errorf("TLS = %+v, want offered", o.TLS)
				}
			},
		},
		{
			name: "handshakes that are cut off twice", host: &host{answer: always(list), cert: cert, cuts: 2},
			verdict: exposure.Answered, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.TLS == nil || o.TLS.Offered || o.TLS.Error == "" {
					t.Errorf("TLS = %+v, want refused", o.TLS)
				}
			},
		},
		{
			name: "a cupsd without queues", host: &host{answer: always(notFound)},
			verdict: exposure.Answered, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0406"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.CUPS == nil || o.CUPS.Queues || o.TLS == nil || o.TLS.Offered || o.TLS.Error == "" {
					t.Errorf("CUPS = %+v, TLS = %+v; want no queues, and TLS refused", o.CUPS, o.TLS)
				}
			},
		},
		{
			name: "a cupsd that knows no CUPS-Get-Printers", host: &host{answer: func(r heard) string {
				if r.on(ipp.CUPSGetPrinters, "/") {
					return strings.Replace(badRequest, "CUPS/2.4.2", "CUPS/2.4 IPP/2.1", 1)
				}
				return notFound
			}},
			verdict: exposure.Answered,
			talked:  []string{"CUPS-Get-Printers / 2.0: 200 0x0400", "Get-Printer-Attributes /ipp/print 2.0: 200 0x0406"},
		},
		{
			name: "ippeveprinter", host: &host{answer: func(r heard) string {
				if r.on(ipp.GetPrinterAttributes, "/ipp/print") {
					return device
				}
				return badRequest
			}},
			verdict: exposure.Answered,
			talked:  []string{"CUPS-Get-Printers / 2.0: 200 0x0400", "Get-Printer-Attributes /ipp/print 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if len(o.Printers) != 1 || o.IPP.Status != 0 || o.CUPS.Queues {
					t.Errorf("%d printers, status %x, CUPS %+v", len(o.Printers), o.IPP.Status, o.CUPS)
				}
				if d := cmp.Diff([]string{"1.1", "2.0"}, o.IPP.Versions); d != "" {
					t.Errorf("versions (-want +got):\n%s", d)
				}
			},
		},
		{
			name: "a device that has IPP at / only, behind HTTP 404", host: &host{answer: func(r heard) string {
				if r.on(ipp.GetPrinterAttributes, "/") {
					return device
				}
				return page(404, "", "Not Found")
			}},
			verdict: exposure.Answered,
			talked: []string{
				"CUPS-Get-Printers / 2.0: 404", "Get-Printer-Attributes /ipp/print 2.0: 404", "Get-Printer-Attributes / 2.0: 200 0x0000",
			},
		},
		{
			name: "a device with a password on its pages and none on IPP", host: &host{answer: func(r heard) string {
				if r.on(ipp.GetPrinterAttributes, "/ipp/print") {
					return device
				}
				return page(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "Log in")
			}},
			verdict: exposure.Answered,
			talked:  []string{"CUPS-Get-Printers / 2.0: 401", "Get-Printer-Attributes /ipp/print 2.0: 200 0x0000"},
		},
		{
			name: "HTTP 400 to IPP 2.0", host: &host{answer: func(r heard) string {
				if r.ipp.Version == ipp.Version20 {
					return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
				}
				return list
			}},
			verdict: exposure.Answered,
			talked:  []string{"CUPS-Get-Printers / 2.0: 400", "CUPS-Get-Printers / 1.1: 200 0x0000"},
		},
		{
			name: "0x0503 to IPP 2.0", host: &host{answer: func(r heard) string {
				if r.ipp.Version == ipp.Version20 {
					return inIPP(ipp.StatusVersionNotSpoken, "")
				}
				return inIPP(ipp.StatusOK, aPrinter)
			}},
			verdict: exposure.Answered,
			talked:  []string{"CUPS-Get-Printers / 2.0: 200 0x0503", "CUPS-Get-Printers / 1.1: 200 0x0000"},
		},
		{
			name: "a cupsd that denies strangers", verdict: exposure.Restricted,
			host:   &host{answer: always(page(403, "Server: CUPS/2.4 IPP/2.1\r\n", "Forbidden - CUPS v2.4.2"))},
			talked: []string{"CUPS-Get-Printers / 2.0: 403"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.CUPS.Reported != "2.4.2" || o.HTTP.Title != "Forbidden - CUPS v2.4.2" {
					t.Errorf("CUPS = %+v, HTTP = %+v", o.CUPS, o.HTTP)
				}
			},
		},
		{
			name: "a cupsd that wants a password, over TLS", verdict: exposure.Restricted,
			host: &host{cert: cert, answer: func(r heard) string {
				if !r.tls {
					return upgrade
				}
				return unauthorized
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 426", "CUPS-Get-Printers / 2.0 TLS: 401"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.HTTP.Upgrade != "TLS/1.2,TLS/1.1,TLS/1.0" || o.CUPS.Reported != "2.4.2" || o.TLS == nil || !o.TLS.Required {
					t.Errorf("HTTP = %+v, TLS = %+v", o.HTTP, o.TLS)
				}
			},
		},
		{
			name: "426, and then a list over TLS", verdict: exposure.Answered,
			host: &host{cert: cert, answer: func(r heard) string {
				if !r.tls {
					return upgrade
				}
				return list
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 426", "CUPS-Get-Printers / 2.0 TLS: 200 0x0000"},
			check:  wantTLS,
		},
		{
			name: "426, and TLS by RFC 2817 only", verdict: exposure.Answered,
			host: &host{cert: cert, onlyUp: true, answer: func(r heard) string {
				if !r.tls {
					return upgrade
				}
				return list
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 426", "CUPS-Get-Printers / 2.0 TLS: 200 0x0000"},
			check:  wantTLS,
		},
		{
			name: "426, and no TLS", verdict: exposure.Restricted, reason: "upgrade to TLS",
			host: &host{answer: always(upgrade)}, talked: []string{"CUPS-Get-Printers / 2.0: 426"},
		},
		{
			name: "TLS only, plain is closed", verdict: exposure.Answered, check: wantTLS,
			host: &host{cert: cert, answer: func(r heard) string {
				if !r.tls {
					return ""
				}
				return list
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 0", "CUPS-Get-Printers / 2.0 TLS: 200 0x0000"},
		},
		{
			name: "TLS only, plain gets an alert", verdict: exposure.Answered, check: wantTLS,
			host: &host{cert: cert, answer: func(r heard) string {
				if !r.tls {
					return "\x15\x03\x01\x00\x02\x02\x16"
				}
				return list
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 0", "CUPS-Get-Printers / 2.0 TLS: 200 0x0000"},
		},
		{
			name: "TLS only, plain gets HTTP 400", verdict: exposure.Answered, check: wantTLS,
			host: &host{cert: cert, answer: func(r heard) string {
				if !r.tls {
					return page(400, "", "The plain HTTP request was sent to HTTPS port")
				}
				return list
			}},
			talked: []string{
				"CUPS-Get-Printers / 2.0: 400", "CUPS-Get-Printers / 1.1: 400", "Get-Printer-Attributes /ipp/print 1.1: 400",
				"Get-Printer-Attributes / 1.1: 400", "CUPS-Get-Printers / 2.0 TLS: 200 0x0000",
			},
		},
		{
			name: "TLS first", opt: Options{TLSFirst: true}, verdict: exposure.Answered,
			host: &host{cert: cert, answer: always(list)}, talked: []string{"CUPS-Get-Printers / 2.0 TLS: 200 0x0000"},
		},
		{
			name: "TLS first, where there is none", opt: Options{TLSFirst: true}, verdict: exposure.Answered,
			host: &host{answer: always(list)}, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
		},
		{
			name: "chunked, after 100 Continue", verdict: exposure.Answered,
			host: &host{answer: func(r heard) string {
				_, body, _ := strings.Cut(list, "\r\n\r\n")
				if r.on(ipp.CUPSGetPrinters, "/") {
					_, body, _ = strings.Cut(badRequest, "\r\n\r\n")
				}
				return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nTransfer-Encoding: chunked\r\n\r\n" +
					fmt.Sprintf("%x;x=y\r\n%s\r\n%x\r\n%s\r\n0\r\nTrailer: z\r\n\r\n", 20, body[:20], len(body)-20, body[20:])
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0400", "Get-Printer-Attributes /ipp/print 2.0: 200 0x0000"},
		},
		{
			name: "until the connection closes", verdict: exposure.Answered,
			host: &host{answer: func(heard) string {
				_, body, _ := strings.Cut(list, "\r\n\r\n")
				return "HTTP/1.0 200 OK\nContent-Type: application/ipp\nConnection: close\r\n\r\n" + body
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
		},
		{
			name: "a redirect to another host", verdict: exposure.NotIPP, reason: "HTTP 302 without IPP",
			host:   &host{answer: always(page(302, "Location: http://192.0.2.1:631/ipp\r\n", "Moved"))},
			talked: []string{"CUPS-Get-Printers / 2.0: 302", "Get-Printer-Attributes /ipp/print 2.0: 302", "Get-Printer-Attributes / 2.0: 302"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.HTTP.Location != "http://192.0.2.1:631/ipp" {
					t.Errorf("location = %q", o.HTTP.Location)
				}
			},
		},
		{
			name: "a redirect within the host", verdict: exposure.Answered,
			host: &host{answer: func(r heard) string {
				if r.URL.Path == "/" {
					return page(307, "Location: http://"+r.Host+"/here\r\n", "")
				}
				return list
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 307", "CUPS-Get-Printers /here 2.0: 200 0x0000"},
		},
		{
			name: "redirects without end", verdict: exposure.NotIPP, reason: "HTTP 301 without IPP",
			host: &host{answer: func(r heard) string { return page(301, "Location: "+r.URL.Path+"x\r\n", "") }},
			talked: []string{
				"CUPS-Get-Printers / 2.0: 301", "CUPS-Get-Printers /x 2.0: 301", "CUPS-Get-Printers /xx 2.0: 301",
				"Get-Printer-Attributes /ipp/print 2.0: 301", "Get-Printer-Attributes /ipp/printx 2.0: 301", "Get-Printer-Attributes /ipp/printxx 2.0: 301",
				"Get-Printer-Attributes / 2.0: 301", "Get-Printer-Attributes /x 2.0: 301", "Get-Printer-Attributes /xx 2.0: 301",
			},
		},
		{
			name: "a web server", verdict: exposure.NotIPP, reason: "HTTP 200 without IPP",
			host:   &host{answer: always(page(200, "Server: nginx\r\n", " Welcome \n to\tnginx "))},
			talked: []string{"CUPS-Get-Printers / 2.0: 200", "Get-Printer-Attributes /ipp/print 2.0: 200", "Get-Printer-Attributes / 2.0: 200"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.HTTP.Title != "Welcome to nginx" || o.HTTP.Server != "nginx" || o.IPP.Version != "" {
					t.Errorf("HTTP = %+v, IPP = %+v", o.HTTP, o.IPP)
				}
			},
		},
		{
			name: "SSH", verdict: exposure.NotIPP, reason: `not HTTP: "SSH-2.0-OpenSSH_9.2\r\n"`,
			host:   &host{raw: func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n"); _, _ = io.Copy(io.Discard, c) }},
			talked: []string{"CUPS-Get-Printers / 2.0: 0"},
		},
		{
			name: "a door that closes at once", verdict: exposure.NotIPP, reason: "closed the connection without a byte; TLS handshake:",
			host:   &host{answer: always("")},
			talked: []string{"CUPS-Get-Printers / 2.0: 0"},
		},
		{
			name: "half a header", verdict: exposure.Malformed, reason: "closed within the header, after 45 bytes",
			host: &host{raw: func(c net.Conn) {
				// Read the request, or the close becomes a reset.
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nServer: CUPS/2.4\r\nContent-Ty")
				}
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 200"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.HTTP.Server != "CUPS/2.4" {
					t.Errorf("server = %q, want what was good", o.HTTP.Server)
				}
			},
		},
		{
			name: "NULs in the header", verdict: exposure.Malformed, reason: "NUL in the header",
			host:   &host{answer: always("HTTP/1.1 200 OK\r\nServer: x\x00\x00\r\n\r\n")},
			talked: []string{"CUPS-Get-Printers / 2.0: 200"},
		},
		{
			name: "NULs only", verdict: exposure.Malformed, reason: "NULs instead of a status line",
			host: &host{answer: always(strings.Repeat("\x00", 9000))}, talked: []string{"CUPS-Get-Printers / 2.0: 0"},
		},
		{
			name: "NULs for a body", verdict: exposure.Malformed, reason: "called itself IPP: reserved tag 0x00 at offset 8",
			host:   &host{answer: always("HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: 90\r\n\r\n" + strings.Repeat("\x00", 90))},
			talked: []string{"CUPS-Get-Printers / 2.0: 200", "Get-Printer-Attributes /ipp/print 2.0: 200", "Get-Printer-Attributes / 2.0: 200"},
		},
		{
			name: "a header without end", verdict: exposure.Malformed, reason: "header longer than 16384 bytes",
			host: &host{raw: func(c net.Conn) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
				for {
					if _, err := io.WriteString(c, "X-Pad: "+strings.Repeat("x", 5000)+"\r\n"); err != nil {
						return
					}
				}
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 200"},
		},
		{
			name: "a gigabyte", verdict: exposure.Answered, reason: "body of 1073741824 bytes cut at 262144",
			host: &host{raw: func(c net.Conn) {
				_, body, _ := strings.Cut(inIPP(ipp.StatusOK, aPrinter), "\r\n\r\n")
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: 1073741824\r\n\r\n"+body[:len(body)-1])
				for chunk := []byte(aPrinter[1:]); ; {
					if _, err := c.Write(chunk); err != nil {
						return
					}
				}
			}},
			opt: Options{NoTLSCheck: true}, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if len(o.Printers) != 1 || len(o.Printers[0].Attributes["printer-name"]) != 128 || o.IPP.Stopped == "" {
					t.Errorf("IPP = %+v, %d printers", o.IPP, len(o.Printers))
				}
			},
		},
		{
			name: "a body that ends early", verdict: exposure.Answered, reason: "body ended after 500 of 1155 bytes",
			host: &host{answer: func(heard) string {
				head, body, _ := strings.Cut(list, "\r\n\r\n")
				return head + "\r\nConnection: close\r\n\r\n" + body[:500]
			}},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if len(o.Printers) != 2 || o.IPP.Stopped == "" {
					t.Errorf("IPP = %+v, %d printers; want what was good", o.IPP, len(o.Printers))
				}
			},
		},
		{
			name: "attributes nested 1,000 deep", verdict: exposure.Answered,
			host: &host{answer: always(inIPP(ipp.StatusOK, "\x04\x34\x00\x01c\x00\x00"+
				strings.Repeat("\x4a\x00\x00\x00\x01m\x34\x00\x00\x00\x00", 999)+strings.Repeat("\x37\x00\x00\x00\x00", 1000)+aPrinter[1:]))},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if o.Printers[0].Get("printer-name") != "lab" || len(o.IPP.Lenient) != 1 || o.IPP.Lenient[0] != ipp.CutCollection {
					t.Errorf("IPP = %+v, printers = %v", o.IPP, o.Printers)
				}
			},
		},
		{
			name: "jobs and pages", opt: Options{Jobs: true, Admin: true}, verdict: exposure.Answered,
			host: &host{cert: cert, answer: func(r heard) string {
				switch {
				case r.on(ipp.GetJobs, "/"):
					return capture(t, "cupsd-get-jobs", false)
				case r.URL.Path == "/admin":
					return capture(t, "cupsd-admin", false)
				case r.Method == http.MethodGet && r.tls:
					return unauthorized
				case r.Method == http.MethodGet:
					return upgrade
				}
				return list
			}},
			talked: []string{
				"CUPS-Get-Printers / 2.0: 200 0x0000", "Get-Jobs / 2.0: 200 0x0000", "GET /admin: 200",
				"GET /admin/conf/cupsd.conf: 426", "GET /admin/conf/cupsd.conf TLS: 401", "GET /admin/log/error_log TLS: 401",
			},
			check: func(t *testing.T, o exposure.Observation) {
				want := map[string]int{"/admin": 200, "/admin/conf/cupsd.conf": 401, "/admin/log/error_log": 401}
				if d := cmp.Diff(want, o.HTTP.Pages); d != "" {
					t.Errorf("pages (-want +got):\n%s", d)
				}
				if o.Jobs == nil || o.Jobs.Listed != 1 || len(o.Jobs.Attributes) < 10 || o.TLS.Required {
					t.Errorf("jobs = %+v, TLS = %+v", o.Jobs, o.TLS)
				}
			},
		},
		{
			name: "a device that describes itself whatever it is asked", verdict: exposure.Answered,
			host: &host{answer: always(device)}, talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if len(o.Printers) != 1 || o.CUPS == nil || !o.CUPS.Queues {
					t.Errorf("CUPS = %+v of a host that names CUPS, want queues", o.CUPS)
				}
			},
		},
		{
			name: "the same without the name of CUPS", verdict: exposure.Answered,
			host:   &host{answer: always(strings.Replace(device, "Server: CUPS/2.4.2", "Server: Lab/1", 1))},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if len(o.Printers) != 1 || o.CUPS != nil {
					t.Errorf("%d printers, CUPS = %+v; want one, and no list of queues", len(o.Printers), o.CUPS)
				}
			},
		},
		{
			name: "a host that says that it is simulated", verdict: exposure.Answered,
			host:   &host{answer: always(strings.Replace(list, "Server: CUPS/2.4 IPP/2.1", "Server: CUPS/2.4 IPP/2.1 "+exposure.SimulatedMark, 1))},
			talked: []string{"CUPS-Get-Printers / 2.0: 200 0x0000"},
			check: func(t *testing.T, o exposure.Observation) {
				if !o.Simulated {
					t.Error("not marked as simulated")
				}
			},
		},
	}
}

// TestStrangersAreNotSimulated: a host of the Internet that writes our mark into
// its header would like to be overlooked.
func TestStrangersAreNotSimulated(t *testing.T) {
	for _, test := range behaviours(t) {
		if test.name != "a host that says that it is simulated" {
			continue
		}
		test.host.start(t)
		g := New(Options{Gate: &gate{}, NoTLSCheck: true, Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", test.host.addr.String())
		}})
		o := g.Grab(t.Context(), netip.MustParseAddrPort("198.51.100.7:631"))
		if o.Verdict != exposure.Answered || o.Simulated {
			t.Errorf("verdict %s, simulated %t", o.Verdict, o.Simulated)
		}
		return
	}
	t.Fatal("no such behaviour")
}

func TestVerdictOfEachBehaviour(t *testing.T) {
	for _, test := range behaviours(t) {
		t.Run(test.name, func(t *testing.T) {
			test.host.start(t)
			g := &gate{}
			test.opt.Gate, test.opt.Run, test.opt.Vantage = g, "run", "here"
			test.opt.Limits.Again = time.Millisecond
			// None of these hosts is slow, but the machine may be.
			test.opt.Limits.FirstByte, test.opt.Limits.Handshake, test.opt.Limits.Grace = time.Minute, time.Minute, time.Minute
			o := New(test.opt).Grab(t.Context(), test.host.addr)

			if o.Verdict != test.verdict || !strings.Contains(o.Reason, test.reason) || (test.reason == "") != (o.Reason == "") {
				t.Errorf("verdict = %s (%s), want %s (%s)", o.Verdict, o.Reason, test.verdict, test.reason)
			}
			if d := cmp.Diff(test.talked, talked(o)); d != "" {
				t.Errorf("exchanges (-want +got):\n%s", d)
			}
			if o.V != exposure.Version || o.Addr != test.host.addr.Addr() || o.Port != test.host.addr.Port() || o.Findings == nil ||
				o.Source != exposure.Scan || o.Observed.IsZero() || o.Received.Before(o.Observed) ||
				o.ID != exposure.NewID("run", test.host.addr, exposure.TCP, exposure.ProbeIPP, 0) {
				t.Errorf("observation is not filled: %+v", o)
			}
			if n := int(test.host.accepted.Load()); g.asked < max(n, len(talked(o))) {
				t.Errorf("the gate was asked %d times for %d connections and %d exchanges", g.asked, n, len(talked(o)))
			}
			if test.check != nil && !t.Failed() {
				test.check(t, o)
			}
		})
	}
}

func TestOneConnectionServesAConversation(t *testing.T) {
	badRequest, device := capture(t, "ippeveprinter-bad-request", true), capture(t, "ippeveprinter-gpa", true)
	h := &host{answer: func(r heard) string {
		if r.on(ipp.GetPrinterAttributes, "/ipp/print") {
			return device
		}
		return badRequest
	}}
	h.start(t)
	New(Options{Gate: &gate{}, NoTLSCheck: true}).Grab(t.Context(), h.addr)
	if n := h.accepted.Load(); n != 1 {
		t.Errorf("%d connections for two requests, want 1", n)
	}
}

func TestAnIdleConnectionThatWasClosedIsReplaced(t *testing.T) {
	badRequest, device := capture(t, "ippeveprinter-bad-request", true), capture(t, "ippeveprinter-gpa", true)
	h := &host{answer: func(r heard) string {
		switch {
		case r.n > 0:
			return "" // it had promised to stay
		case r.on(ipp.GetPrinterAttributes, "/ipp/print"):
			return device
		}
		return badRequest
	}}
	h.start(t)
	o := New(Options{Gate: &gate{}, NoTLSCheck: true}).Grab(t.Context(), h.addr)
	if o.Verdict != exposure.Answered || len(o.Printers) != 1 || h.accepted.Load() != 2 {
		t.Errorf("verdict = %s (%s), %d printers, %d connections", o.Verdict, o.Reason, len(o.Printers), h.accepted.Load())
	}
}

func TestRequestSaysWhoAsks(t *testing.T) {
	var got heard
	h := &host{answer: func(r heard) string {
		got = r
		return page(403, "Server: CUPS/2.4\r\n", "")
	}}
	h.start(t)
	New(Options{Gate: &gate{}, NoTLSCheck: true, Version: "1.0", Contact: "mailto:scan@example.org\r\nX: y"}).Grab(t.Context(), h.addr)
	if want := "ippwatch/1.0 (authorised scan; mailto:scan@example.orgX: y)"; got.UserAgent() != want {
		t.Errorf("User-Agent = %q, want %q", got.UserAgent(), want)
	}
	if got.Host != h.addr.String() {
		t.Errorf("Host = %q, want %q", got.Host, h.addr)
	}

	dial := func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return new(net.Dialer).DialTCP(ctx, "tcp", netip.AddrPort{}, h.addr)
	}
	New(Options{Gate: &gate{}, NoTLSCheck: true, Dial: dial}).Grab(t.Context(), netip.MustParseAddrPort("[2001:db8::1]:631"))
	if want := "[2001:db8::1]:631"; got.Host != want {
		t.Errorf("Host = %q, want %q", got.Host, want)
	}
}

func TestVerdictWithoutConnection(t *testing.T) {
	// Nothing listens at the near end of a connection, and nobody else can while it
	// is open.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	open, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	local := open.LocalAddr().(*net.TCPAddr).AddrPort()
	remote := netip.MustParseAddrPort("[2001:db8::1]:631")
	fails := func(err error) func(context.Context, netip.AddrPort) (net.Conn, error) {
		return func(context.Context, netip.AddrPort) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	tests := []struct {
		name    string
		target  netip.AddrPort
		opt     Options
		verdict exposure.Verdict
		reason  string
	}{
		{"nothing listens", local, Options{Gate: &gate{}}, exposure.Closed, ""},
		{"nothing listens, TLS first", local, Options{Gate: &gate{}, TLSFirst: true}, exposure.Closed, ""},
		{"no route", remote, Options{Gate: &gate{}, Dial: fails(os.NewSyscallError("connect", syscall.EHOSTUNREACH))}, exposure.Unreachable, ""},
		{"silence", remote, Options{Gate: &gate{}, Dial: fails(os.ErrDeadlineExceeded)}, exposure.NoAnswer, ""},
		{"no descriptor left", remote, Options{Gate: &gate{}, Dial: fails(syscall.EMFILE)}, exposure.Interrupted, "connect: too many open files"},
		{"the gate refuses", local, Options{Gate: &gate{refuseFrom: 1}}, exposure.Interrupted, "not sent: paused"},
		{"no gate", local, Options{}, exposure.Interrupted, "not sent: no gate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := New(test.opt).Grab(t.Context(), test.target)
			if o.Verdict != test.verdict || o.Reason != test.reason || o.IPP != nil || o.HTTP != nil {
				t.Errorf("Grab = %s (%s), want %s (%s)", o.Verdict, o.Reason, test.verdict, test.reason)
			}
		})
	}
}

func TestAGateThatClosesKeepsWhatIsKnown(t *testing.T) {
	list := capture(t, "cupsd-cups-get-printers", false)
	h := &host{answer: func(heard) string { return list }}
	h.start(t)
	o := New(Options{Gate: &gate{refuseFrom: 2}}).Grab(t.Context(), h.addr)
	if o.Verdict != exposure.Answered || len(o.Printers) == 0 || !strings.Contains(o.Reason, "paused") {
		t.Errorf("verdict = %s (%s), want answered, with the reason", o.Verdict, o.Reason)
	}

	h = &host{answer: func(heard) string { return page(404, "Connection: close\r\n", "") }}
	h.start(t)
	o = New(Options{Gate: &gate{refuseFrom: 2}}).Grab(t.Context(), h.addr)
	if o.Verdict != exposure.Interrupted {
		t.Errorf("verdict = %s (%s), want interrupted: not every door was tried", o.Verdict, o.Reason)
	}
}

func TestAGateThatClosesEndsAConnectionThatIsKept(t *testing.T) {
	var requests atomic.Int32
	h := &host{answer: func(heard) string {
		requests.Add(1)
		return page(404, "", "")
	}}
	h.start(t)
	o := New(Options{Gate: &gate{refuseFrom: 2}}).Grab(t.Context(), h.addr)
	if n := requests.Load(); n != 1 || o.Verdict != exposure.Interrupted {
		t.Errorf("verdict = %s (%s) after %d requests, want interrupted after 1", o.Verdict, o.Reason, n)
	}
}

func TestCancelEndsAConversation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &host{raw: func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
		cancel()
		_, _ = io.Copy(io.Discard, c)
	}}
	h.start(t)
	o := New(Options{Gate: &gate{}}).Grab(ctx, h.addr)
	if o.Verdict != exposure.Interrupted {
		t.Errorf("verdict = %s (%s), want interrupted", o.Verdict, o.Reason)
	}
}

func TestAtMostOneConnectionIsOpenForEachGrab(t *testing.T) {
	badRequest := capture(t, "ippeveprinter-bad-request", false)
	h := &host{cert: certificateFor(t, "printer.example"), answer: func(heard) string { return badRequest }}
	h.start(t)
	var open, most atomic.Int32
	dial := func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
		c, err := new(net.Dialer).DialTCP(ctx, "tcp", netip.AddrPort{}, target)
		if err != nil {
			return nil, err
		}
		most.Store(max(most.Load(), open.Add(1)))
		return counted{c, &open}, nil
	}
	New(Options{Gate: &gate{}, Jobs: true, Admin: true, Dial: dial}).Grab(t.Context(), h.addr)
	if most.Load() != 1 || open.Load() != 0 {
		t.Errorf("%d connections open at once and %d left, want 1 and 0", most.Load(), open.Load())
	}
}

// counted is a connection that says when it is closed.
type counted struct {
	net.Conn
	open *atomic.Int32
}

func (c counted) Close() error {
	c.open.Add(-1)
	return c.Conn.Close()
}
