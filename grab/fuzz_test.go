package grab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A tape is a connection that plays the same bytes to whatever is said.
type tape struct{ left string }

func (t *tape) Read(b []byte) (int, error) {
	if t.left == "" {
		return 0, io.EOF
	}
	n := copy(b, t.left)
	t.left = t.left[n:]
	return n, nil
}

func (*tape) Write(b []byte) (int, error)      { return len(b), nil }
func (*tape) Close() error                     { return nil }
func (*tape) LocalAddr() net.Addr              { return nil }
func (*tape) RemoteAddr() net.Addr             { return nil }
func (*tape) SetDeadline(time.Time) error      { return nil }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

func playing(s string) func(context.Context, netip.AddrPort) (net.Conn, error) {
	return func(context.Context, netip.AddrPort) (net.Conn, error) { return &tape{left: s}, nil }
}

var documentation = netip.MustParseAddrPort("192.0.2.1:631")

func FuzzGrab(f *testing.F) {
	files, err := filepath.Glob("testdata/*.response.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		f.Add(capture(f, strings.TrimSuffix(filepath.Base(name), ".response.bin"), false))
	}
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 x\r\nLocation: http://192.0.2.1:631//\r\nContent-Length: 1\r\n\r\n")
	f.Add(page(403, "Server: CUPS/2.4\r\n", "Forbidden - CUPS v2.4.2"))
	f.Add(inIPP(ipp.StatusOK, aPrinter+aPrinter+aPrinter))
	lim := Limits{Body: 2000, Page: 200, Head: 500, Printers: 2, Attributes: 5, Values: 3, Text: 10}
	f.Fuzz(func(t *testing.T, s string) {
		o := New(Options{Gate: &gate{}, Limits: lim, Jobs: true, Admin: true, Dial: playing(s)}).Grab(t.Context(), documentation)
		if !o.Verdict.Spoke() {
			t.Errorf("verdict = %q of a host that spoke", o.Verdict)
		}
		if o.Verdict == exposure.Answered && (o.HTTP == nil || o.IPP == nil || o.IPP.Version == "") {
			t.Errorf("answered, with HTTP %v and IPP %v", o.HTTP, o.IPP)
		}
		if o.IPP != nil && len(o.IPP.Exchanges) > 20 {
			t.Errorf("%d exchanges", len(o.IPP.Exchanges))
		}
		if len(o.Reason) > 4*maxField {
			t.Errorf("reason of %d bytes", len(o.Reason))
		}
		if len(o.Printers) > lim.Printers {
			t.Errorf("%d printers, limit %d", len(o.Printers), lim.Printers)
		}
		for _, p := range o.Printers {
			if len(p.Attributes) > lim.Attributes {
				t.Errorf("%d attributes, limit %d", len(p.Attributes), lim.Attributes)
			}
			for name, values := range p.Attributes {
				if len(values) > lim.Values {
					t.Errorf("%s: %d values, limit %d", name, len(values), lim.Values)
				}
				for _, v := range values {
					if len(v) > lim.Text {
						t.Errorf("%s: value of %d bytes, limit %d", name, len(v), lim.Text)
					}
				}
			}
		}
		if h := o.HTTP; h != nil && max(len(h.Server), len(h.Title), len(h.Location), len(h.Upgrade), len(h.ContentType)) > maxField {
			t.Errorf("a field of HTTP is longer than %d bytes: %+v", maxField, h)
		}
	})
}

// BenchmarkAnsweredRequest is one request and its answer, with the kernel and
// the far end left out: our own cost.
func BenchmarkAnsweredRequest(b *testing.B) {
	g := New(Options{Gate: &gate{}, NoTLSCheck: true, Dial: playing(capture(b, "cupsd-cups-get-printers", false))})
	b.ReportAllocs()
	for b.Loop() {
		if o := g.Grab(b.Context(), documentation); o.Verdict != exposure.Answered {
			b.Fatalf("verdict = %s (%s)", o.Verdict, o.Reason)
		}
	}
}

// BenchmarkAnsweredRequestOnLoopback has the kernel and the far end in it.
func BenchmarkAnsweredRequestOnLoopback(b *testing.B) {
	list := capture(b, "cupsd-cups-get-printers", false)
	h := &host{raw: func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			fmt.Fprint(c, list)
		}
	}}
	h.start(b)
	g := New(Options{Gate: &gate{}, NoTLSCheck: true})
	b.ReportAllocs()
	for b.Loop() {
		if o := g.Grab(b.Context(), h.addr); o.Verdict != exposure.Answered {
			b.Fatalf("verdict = %s (%s)", o.Verdict, o.Reason)
		}
	}
}

// BenchmarkConversationOnLoopback is a device that rejects CUPS-Get-Printers,
// describes itself fully and has TLS: three exchanges, two connections and a
// handshake, of which this process does both ends.
func BenchmarkConversationOnLoopback(b *testing.B) {
	badRequest, device := capture(b, "ippeveprinter-bad-request", true), capture(b, "ippeveprinter-gpa", true)
	h := &host{cert: certificateFor(b, "printer.example"), answer: func(r heard) string {
		if r.on(ipp.GetPrinterAttributes, "/ipp/print") {
			return device
		}
		return badRequest
	}}
	h.start(b)
	g := New(Options{Gate: &gate{}})
	b.ReportAllocs()
	for b.Loop() {
		if o := g.Grab(b.Context(), h.addr); o.Verdict != exposure.Answered || !o.TLS.Offered {
			b.Fatalf("verdict = %s (%s)", o.Verdict, o.Reason)
		}
	}
}
