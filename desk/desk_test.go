package desk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A street is a listener whose connections are pipes from the addresses that a
// test names: time is the bubble's.
type street struct {
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.in:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

func (s *street) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 631} }

type end struct {
	net.Conn
	remote, local net.Addr
}

func (e *end) RemoteAddr() net.Addr { return e.remote }
func (e *end) LocalAddr() net.Addr  { return e.local }

// come connects a stranger.
func (s *street) come(from string) net.Conn {
	ours, theirs := net.Pipe()
	s.in <- &end{ours, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), s.Addr()}
	return theirs
}

// A visitor book is what a desk saw.
type book struct {
	mu  sync.Mutex
	all []exposure.Visit
}

func (b *book) add(v exposure.Visit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, v)
}

func (b *book) list() []exposure.Visit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

var made = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

func life() Life {
	return Life{Made: made, Started: made.Add(24 * time.Hour), Page: 10 * time.Minute, UUID: draw("test").uuid}
}

func cupsFace() Face {
	return Face{Host: "print1", CUPS: &CUPS{Version: "2.4.2", Queues: []Queue{{Name: "office", Info: "Office", Device: "socket://192.0.2.9:9100"}}, Life: life()}}
}

func deviceFace() Face {
	return Face{Host: "brn1", Device: &Device{Server: "CUPS/2.4.2", Name: "Brother", Model: "Brother HL-L2350DW series", Secure: true, Life: life()}}
}

// inBubble runs a desk on a street of pipes.
func inBubble(t *testing.T, o Options, f func(t *testing.T, s *street, b *book)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		o.Sensor, o.Seen = "edge", b.add
		if o.Face == (Face{}) {
			o.Face = cupsFace()
		}
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s := &street{in: make(chan net.Conn), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx, s) }()
		f(t, s, b)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// ask sends and reads until the desk is silent or hangs up.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	go func() { _, _ = io.WriteString(c, text) }()
	var got bytes.Buffer
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.Copy(&got, c)
	return got.String()
}

func request(op ipp.Operation, uri string, more ...ipp.Attribute) []byte {
	m := ipp.Message{Version: ipp.Version11, Code: uint16(op), RequestID: 7, Groups: []ipp.Group{{Tag: ipp.TagOperation, Attributes: append([]ipp.Attribute{
		ipp.Strings(ipp.TagCharset, "attributes-charset", "utf-8"),
		ipp.Strings(ipp.TagLanguage, "attributes-natural-language", "en"),
		ipp.Strings(ipp.TagURI, "printer-uri", uri),
	}, more...)}}}
	return m.Append(nil)
}

const queueURI = "ipp://192.0.2.1/printers/office"

func post(body []byte, header string) string {
	return fmt.Sprintf("POST /printers/office HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n%s\r\n%s", len(body), header, body)
}

func TestWhatItIs(t *testing.T) {
	printing := append(request(ipp.PrintJob, queueURI, ipp.Strings(ipp.TagName, "requesting-user-name", "eve")), "%PDF-1.4 hello"...)
	injected := request(ipp.CreateJob, queueURI, ipp.Strings(ipp.TagText, "job-name", "x\n*FoomaticRIPCommandLine: \"id\""), ipp.Strings(ipp.TagText, "document-name", "x\n*FoomaticRIPCommandLine: \"id\""))
	for _, test := range []struct {
		name, sends string
		answer      string // how it begins
		class       exposure.Class
		reasons     []string
	}{
		{"a page", "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Language: en\r\n", exposure.Enumeration, []string{"http-page"}},
		{"a page of another program", "GET /wp-login.php HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", exposure.Enumeration, []string{"http-elsewhere"}},
		{"the configuration", "GET /admin/conf/cupsd.conf HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 401 Unauthorized\r\n", exposure.AdminAttempt, []string{"http-admin"}},
		{"a password", "GET /admin/log/error_log HTTP/1.1\r\nHost: a\r\nAuthorization: Basic cm9vdDpyb290\r\n\r\n", "HTTP/1.1 401 Unauthorized\r\n", exposure.AdminAttempt, []string{"http-admin", "password-offered"}},
		{"a proxy", "GET http://example.com/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", exposure.OtherProtocol, []string{"http-proxy"}},
		{"a form", "POST /cgi-bin/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b", "HTTP/1.1 401 Unauthorized\r\n", exposure.OtherProtocol, []string{"http-form"}},
		{"attributes", post(request(ipp.GetPrinterAttributes, queueURI), ""), "HTTP/1.1 200 OK\r\n", exposure.Enumeration, []string{"operation-get-printer-attributes"}},
		{"the list", post(request(ipp.CUPSGetPrinters, queueURI), ""), "HTTP/1.1 200 OK\r\n", exposure.Enumeration, []string{"operation-cups-get-printers"}},
		{"a job", post(printing, ""), "HTTP/1.1 200 OK\r\n", exposure.PrintAttempt, []string{"operation-print-job", "document"}},
		{"a queue of its own", post(request(0x4003, queueURI), ""), "HTTP/1.1 401 Unauthorized\r\n", exposure.AdminAttempt, []string{"operation-cups-add-modify-printer"}},
		{"a line for a PPD", post(injected, ""), "HTTP/1.1 200 OK\r\n", exposure.PrintAttempt, []string{"operation-create-job", "ppd-injection"}},
		{"a fetch", post(request(ipp.PrintURI, queueURI, ipp.Strings(ipp.TagURI, "document-uri", "http://198.51.100.9/x")), ""), "HTTP/1.1 200 OK\r\n", exposure.PrintAttempt, []string{"operation-print-uri", "document-uri"}},
		{"an address that it claims", "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\n\r\n", "HTTP/1.1 200 OK\r\n", exposure.Enumeration, []string{"http-page", "claims-another-source"}},
		{"no HTTP", "\x1b%-12345X@PJL INFO ID\r\n", "", exposure.OtherProtocol, []string{"protocol-pjl", "broken"}},
		{"no HTTP and no end", "SSH-2.0-Go", "", exposure.OtherProtocol, []string{"protocol-ssh", "broken"}},
		{"half a head", "GET / HTTP/1.1\r\nHost: a\r\n", "", exposure.Enumeration, []string{"http-page", "broken"}},
		{"half a body", "POST / HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: 100\r\n\r\n\x01\x01", "", exposure.OtherProtocol, []string{"http-form", "broken"}},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", exposure.OtherProtocol, []string{"http-form", "broken"}},
		{"broken IPP", post([]byte("\x01\x01\x00\x0b\x00\x00\x00\x01\x01\x47\x00\x12attr"), ""), "HTTP/1.1 400 Bad Request\r\n", exposure.OtherProtocol, []string{"ipp-broken", "broken"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, s *street, b *book) {
				c := s.come("203.0.113.7:4711")
				got := ask(t, c, test.sends)
				if strings.HasPrefix(test.answer, "HTTP") != strings.HasPrefix(got, "HTTP") || !strings.HasPrefix(got, test.answer) {
					t.Errorf("answer = %.200q, want %q", got, test.answer)
				}
				_ = c.Close()
				time.Sleep(time.Minute)
				all := b.list()
				if len(all) != 1 {
					t.Fatalf("%d visits, want 1", len(all))
				}
				v := all[0]
				if v.Class != test.class || !slices.Equal(v.Reasons, test.reasons) || len(v.Evidence) != len(v.Reasons) {
					t.Errorf("class %s because %q (%q), want %s because %q", v.Class, v.Reasons, v.Evidence, test.class, test.reasons)
				}
				if v.Addr != netip.MustParseAddr("203.0.113.7") || v.Spoofable || v.Transport != exposure.TCP || v.ID == "" {
					t.Errorf("it came from %s (%v), want the address of the connection", v.Addr, v.Spoofable)
				}
			})
		})
	}
}

func TestListedScannersAreHeardAndLowered(t *testing.T) {
	listed := func(netip.Addr) []exposure.Scanner { return []exposure.Scanner{{Name: "Example Scan", Of: "source"}} }
	for _, test := range []struct {
		name, sends string
		class       exposure.Class
		severity    exposure.Severity
	}{
		{"who only looks is research", "GET / HTTP/1.0\r\n\r\n", exposure.Research, exposure.Info},
		{"who changes something is not", "PUT /admin/conf/cupsd.conf HTTP/1.0\r\n\r\n", exposure.AdminAttempt, exposure.Medium},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Options{Scanners: listed}, func(t *testing.T, s *street, b *book) {
				ask(t, s.come("203.0.113.7:4711"), test.sends)
				time.Sleep(time.Minute)
				if all := b.list(); len(all) != 1 || all[0].Class != test.class || all[0].Severity != test.severity {
					t.Errorf("visits = %+v, want one of %s, %s", all, test.class, test.severity)
				}
			})
		})
	}
}

func TestNothingIsAnsweredBeforeARequestIsWhole(t *testing.T) {
	whole := post(request(ipp.GetPrinterAttributes, queueURI), "")
	inBubble(t, Options{}, func(t *testing.T, s *street, _ *book) {
		for n := range len(whole) {
			c := s.come("203.0.113.7:4711")
			got := ask(t, c, whole[:n])
			_ = c.Close()
			if got != "" {
				t.Fatalf("%d of %d bytes are answered: %q", n, len(whole), got)
			}
		}
		if got := ask(t, s.come("203.0.113.7:4711"), whole); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
			t.Errorf("all of it is answered %q", got)
		}
	})
}

func TestExpectChunksAndKeepAlive(t *testing.T) {
	body := append(request(ipp.PrintJob, queueURI), "document"...)
	chunks := fmt.Sprintf("%x;ext=1\r\n%s\r\n%x\r\n%s\r\n0\r\nTrailer: x\r\n\r\n", 9, body[:9], len(body)-9, body[9:])
	inBubble(t, Options{}, func(t *testing.T, s *street, b *book) {
		got := ask(t, s.come("203.0.113.7:4711"), "POST /printers/office HTTP/1.1\r\nHost: a\r\nContent-Type: application/ipp\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"+chunks+
			"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") || strings.Count(got, "HTTP/1.1 200 OK") != 2 {
			t.Errorf("answered %q", got)
		}
		time.Sleep(time.Minute)
		all := b.list()
		if len(all) != 2 || all[0].Print == nil || all[0].Print.Document == nil || all[0].Print.Document.Bytes != 8 || all[1].Asked.Exchange != 2 {
			t.Errorf("visits = %+v", all)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Run("connections of one source, of all", func(t *testing.T) {
		inBubble(t, Options{Limits: Limits{PerSource: 2, Connections: 3}}, func(t *testing.T, s *street, _ *book) {
			for i, test := range []struct {
				from string
				open bool
			}{
				{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, // one /64
				{"203.0.113.7:1", true}, {"203.0.113.8:1", false},
			} {
				c := s.come(test.from)
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				_, err := c.Read(make([]byte, 1))
				if open := !errors.Is(err, io.EOF); open != test.open {
					t.Errorf("connection %d from %s: %v, want open %v", i, test.from, err, test.open)
				}
			}
		})
	})
	for _, test := range []struct {
		name   string
		limits Limits
		sends  func(c net.Conn)
		within time.Duration
		broken string
		answer string
	}{
		{"a head that drips", Limits{Head: 10 * time.Second}, drip("GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 100)), 11 * time.Second, "too slow", ""},
		{"a body that drips", Limits{Body: 20 * time.Second}, drip("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + strings.Repeat("y", 90)), 75 * time.Second, "too slow", ""},
		{"a life that is too long", Limits{Life: 15 * time.Second, Head: time.Hour}, drip("GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 100)), 16 * time.Second, "too slow", ""},
		{"a head that is too long", Limits{}, func(c net.Conn) {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 40)+"\r\n")
		}, 2 * time.Second, errHeadLong.Error(), "HTTP/1.1 400 "},
		{"a body that is too long", Limits{BodyBytes: 10}, func(c net.Conn) {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n"+strings.Repeat("y", 11))
		}, 2 * time.Second, errBodyLong.Error(), "HTTP/1.1 413 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Options{Limits: test.limits}, func(t *testing.T, s *street, b *book) {
				c := s.come("203.0.113.7:4711")
				began := time.Now()
				go test.sends(c)
				got, err := io.ReadAll(c)
				if err != nil || time.Since(began) > test.within || !strings.HasPrefix(string(got), test.answer) || test.answer == "" && len(got) > 0 {
					t.Errorf("it ended after %s with %.60q, %v, want within %s and %q", time.Since(began), got, err, test.within, test.answer)
				}
				time.Sleep(time.Minute)
				if all := b.list(); len(all) != 1 || all[0].Asked.Broken != test.broken {
					t.Errorf("visits = %+v, want one that is broken: %s", all, test.broken)
				}
				_ = c.Close()
			})
		})
	}
}

func drip(text string) func(net.Conn) {
	return func(c net.Conn) {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
}

// TestTLS needs real sockets: the first byte tells, and RFC 2817 in the middle.
func TestTLS(t *testing.T) {
	f := deviceFace()
	dir := t.TempDir()
	file := filepath.Join(dir, "tls.pem")
	cert, err := OpenCertificate(file, f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenCertificate(file, f)
	if err != nil || !bytes.Equal(again.Certificate[0], cert.Certificate[0]) {
		t.Errorf("the certificate changes: %v", err)
	}
	b := &book{}
	d, err := New(Options{Face: f, Certificate: cert, Seen: b.add})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, l) }()
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "printer.example"} //nolint:gosec // nobody vouches for it
	over := func(upgrade bool) {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
		const options = "OPTIONS * HTTP/1.1\r\nHost: a\r\n"
		if upgrade {
			fmt.Fprintf(raw, "%sConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n", options)
			const want = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2,TLS/1.1,TLS/1.0\r\n\r\n"
			got := make([]byte, len(want))
			if _, err := io.ReadFull(raw, got); err != nil || string(got) != want {
				t.Fatalf("upgrade: %q, %v", got, err)
			}
		}
		c := tls.Client(raw, config)
		if !upgrade {
			fmt.Fprintf(c, "%s\r\n", options)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			err = resp.Body.Close()
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("over TLS (upgrade %v): %v, %v", upgrade, resp, err)
		}
	}
	over(false)
	over(true)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	all := b.list()
	slices.SortFunc(all, func(a, b exposure.Visit) int { return a.Observed.Compare(b.Observed) }) // either may end first
	if len(all) != 2 || all[0].Asked.TLS == nil || all[0].Asked.TLS.Name != "printer.example" || all[0].Asked.TLS.Upgraded || all[1].Asked.TLS == nil || !all[1].Asked.TLS.Upgraded {
		t.Errorf("visits = %+v", all)
	}
}

func TestSpoolKeepsBelowItsCaps(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	if err := os.WriteFile(filepath.Join(dir, spoolTemp+"1"), []byte("left over"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSpool(dir, Caps{Document: 10, Source: 15, Total: 30}, func() time.Time { return now })
	if err != nil || s.Used() != 0 {
		t.Fatalf("OpenSpool = %d bytes, %v", s.Used(), err)
	}
	for i, test := range []struct {
		from, text string
		kept       int
		cut        string
	}{
		{"203.0.113.7", "0123456789", 10, ""},
		{"203.0.113.7", "0123456789", 5, "spool-cap"},
		{"203.0.113.7", "abc", 0, "spool-cap"},
		{"2001:db8::1", "0123456789abcdef", 10, "document-cap"}, // what is kept is there
		{"2001:db8::2", "ABCDEFGHIJ", 10, ""},
		{"2001:db8::3", "KLMNOPQRST", 5, "spool-cap"},
		{"198.51.100.1", "uvwxyzuvwxyz", 0, "spool-cap"},
	} {
		d := s.begin(netip.MustParseAddr(test.from))
		for _, c := range test.text {
			if n, err := d.Write([]byte(string(c))); n != 1 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		doc, err := d.finish()
		sum := sha256.Sum256([]byte(test.text))
		if err != nil || doc.Bytes != int64(len(test.text)) || doc.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("document %d = %+v, %v", i, doc, err)
		}
		if doc.Kept != int64(test.kept) || doc.Cut != test.cut {
			t.Errorf("document %d: kept %d, cut by %q, want %d by %q", i, doc.Kept, doc.Cut, test.kept, test.cut)
		}
		if s.Used() > 30 {
			t.Errorf("document %d: %d bytes are used", i, s.Used())
		}
	}
	var total int64
	err = filepath.WalkDir(dir, func(at string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		sum := sha256.Sum256(text)
		if info, _ := e.Info(); filepath.Base(at) != hex.EncodeToString(sum[:]) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is not named by its content, or open to others: %s", at, info.Mode())
		}
		total += int64(len(text))
		return err
	})
	if err != nil || total != s.Used() {
		t.Errorf("%d bytes lie there, %d are counted, %v", total, s.Used(), err)
	}
	now = now.Add(24 * time.Hour)
	if got := s.claim(netip.MustParseAddr("203.0.113.7"), 100); got != 30-total {
		t.Errorf("the next day a source may have %d, want %d", got, 30-total)
	}
}

func TestADiskThatIsFullIsNoErrorOfTheStranger(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSpool(dir, Caps{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	inBubble(t, Options{Spool: s}, func(t *testing.T, st *street, b *book) {
		body := append(request(ipp.PrintJob, queueURI), "document"...)
		if got := ask(t, st.come("203.0.113.7:1"), post(body, "")); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
			t.Errorf("answered %.100q", got)
		}
		time.Sleep(time.Minute)
		if all := b.list(); len(all) != 1 || all[0].Asked.Cut != "disk" || all[0].Asked.Kept != 0 || s.Used() != 0 {
			t.Errorf("visits = %+v", all)
		}
	})
}

// TestJobsLive follows one job through its life by the clock alone.
func TestJobsLive(t *testing.T) {
	for _, face := range []Face{cupsFace(), deviceFace()} {
		t.Run(face.Name(), func(t *testing.T) {
			m, err := face.manner()
			if err != nil {
				t.Fatal(err)
			}
			uri, path := queueURI, "/printers/office"
			if face.Device != nil {
				uri, path = "ipp://192.0.2.1/ipp/print", "/ipp/print"
			}
			now := made.AddDate(0, 6, 0)
			say := func(from string, document int64, b []byte) Answer {
				q := ipp.Parse(b, ipp.Limits{})
				return m.Answer(&Request{Message: &q, Host: "192.0.2.1", Path: path, From: netip.MustParseAddr(from), Document: document, Now: now})
			}
			user := ipp.Strings(ipp.TagName, "requesting-user-name", "eve")
			first := say("203.0.113.7", 0, request(ipp.CreateJob, uri, user, ipp.Strings(ipp.TagName, "job-name", "secret")))
			id := ipp.Integers(ipp.TagInteger, "job-id", first.Job)
			if first.Job < 1000 {
				t.Errorf("the first job has the number %d: nobody else prints here", first.Job)
			}
			state := func(from string) string {
				a := say(from, 0, request(ipp.GetJobAttributes, uri, id, user))
				return a.Get(ipp.TagJob, "job-state") + " " + a.Get(ipp.TagJob, "job-state-reasons") + " " + a.Get(ipp.TagJob, "job-name")
			}
			steps := []string{state("203.0.113.7")}
			if a := say("198.51.100.1", 100, request(ipp.SendDocument, uri, id, user, ipp.Attribute{Name: "last-document", Values: []ipp.Value{ipp.Bool(true)}})); a.Status().Successful() {
				t.Error("another source adds to the job")
			}
			say("203.0.113.7", 600_000, request(ipp.SendDocument, uri, id, user, ipp.Attribute{Name: "last-document", Values: []ipp.Value{ipp.Bool(true)}}))
			for _, d := range []time.Duration{0, 2 * time.Second, 10 * time.Second} {
				now = now.Add(d)
				steps = append(steps, state("203.0.113.7"))
			}
			steps = append(steps, strings.TrimSpace(state("198.51.100.1"))) // the name is not for others
			want := []string{"4 job-incoming secret", "3 none secret", "5 job-printing secret", "9 job-completed-successfully secret", "9 job-completed-successfully"}
			if d := cmp.Diff(want, steps); d != "" {
				t.Errorf("states (-want +got):\n%s", d)
			}
			if a := say("203.0.113.7", 0, request(ipp.CancelJob, uri, id, user)); a.Status() != ipp.StatusNotPossible {
				t.Errorf("a job that is done is cancelled: %s", a.Status())
			}
			second := say("203.0.113.7", 0, request(ipp.CreateJob, uri, user))
			now = now.Add(jobTimeOut + time.Second)
			id = ipp.Integers(ipp.TagInteger, "job-id", second.Job)
			if got := state("203.0.113.7"); !strings.HasPrefix(got, "8 aborted-by-system") {
				t.Errorf("a job that gets no document: %s", got)
			}
			for range 3 * mostJobs {
				say("203.0.113.7", 5, request(ipp.PrintJob, uri, user))
			}
			var jobs *Jobs
			switch k := m.(type) {
			case *cupsClerk:
				jobs = &k.office.jobs
			case *deviceClerk:
				jobs = &k.office.jobs
			}
			if n := len(jobs.list); n > mostJobs {
				t.Errorf("%d jobs are remembered", n)
			}
		})
	}
}

func TestChooseIsStableAndNeverAMix(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	kinds, names := map[bool]int{}, map[string]bool{}
	for i := range 300 {
		seed := fmt.Sprint("sensor ", i)
		f := Choose(seed, now)
		if (f.CUPS == nil) == (f.Device == nil) {
			t.Fatalf("%s is a mix", seed)
		}
		if _, err := f.manner(); err != nil {
			t.Fatalf("%s: %v", seed, err)
		}
		l := lifeOf(f)
		if l.Started.After(now) || l.Made.After(l.Started) || now.Sub(l.Started) > 50*24*time.Hour {
			t.Errorf("%s was made %s and started %s", seed, l.Made, l.Started)
		}
		later := Choose(seed, now.Add(time.Hour))
		f2, l2 := later, lifeOf(later)
		if f2.Name() != f.Name() || f2.Host != f.Host || l2.Made != l.Made || l2.UUID("x") != l.UUID("x") {
			t.Errorf("%s is another an hour later", seed)
		}
		kinds[f.CUPS != nil]++
		names[l.UUID("x")] = true
	}
	if kinds[true] < 150 || kinds[false] < 30 || len(names) != 300 {
		t.Errorf("of 300: %v, %d UUIDs", kinds, len(names))
	}
	if f := Choose("one", time.Time{}); f.Host == "" {
		t.Error("a clock that is wrong breaks it")
	}
}

func lifeOf(f Face) Life {
	if f.CUPS != nil {
		return f.CUPS.Life
	}
	return f.Device.Life
}

func TestClocksGoOn(t *testing.T) {
	m, err := cupsFace().manner()
	if err != nil {
		t.Fatal(err)
	}
	look := func(now time.Time, name string) string {
		q := ipp.Parse(request(ipp.GetPrinterAttributes, queueURI, ipp.Strings(ipp.TagKeyword, "requested-attributes", name)), ipp.Limits{})
		a := m.Answer(&Request{Message: &q, Host: "192.0.2.1", Now: now})
		if n := len(a.Groups[1].Attributes); n != 1 {
			t.Errorf("%d attributes came, one was asked for", n)
		}
		return a.Get(ipp.TagPrinter, name)
	}
	now := made.AddDate(1, 0, 0)
	for _, name := range []string{"printer-up-time", "printer-current-time"} {
		if a, b := look(now, name), look(now.Add(time.Minute), name); a == b || a == "" {
			t.Errorf("%s stands still at %q", name, a)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte(post(request(ipp.GetPrinterAttributes, queueURI), "Expect: 100-continue\r\n")))
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), maxLine)
		h, err := readHead(r)
		if len(h.raw) > mostRaw || len(h.fields) > maxFields || h.size > len(in) {
			t.Fatalf("head of %d fields and %d bytes from %d", len(h.fields), h.size, len(in))
		}
		if err != nil {
			return
		}
		const limit = 100
		got, err := io.ReadAll(h.body(r, limit))
		if len(got) > limit || h.length >= 0 && err == nil && int64(len(got)) != h.length {
			t.Errorf("a body of %d bytes is %d long (%v)", h.length, len(got), err)
		}
	})
}

// FuzzExchange sends anything at all.
func FuzzExchange(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Add([]byte(post(append(request(ipp.PrintJob, queueURI), "document"...), "X-Real-IP: 8.8.8.8\r\n")), false)
	f.Fuzz(func(t *testing.T, in []byte, cups bool) {
		face := deviceFace()
		if cups {
			face = cupsFace()
		}
		var visits []exposure.Visit
		d, err := New(Options{Face: face, Seen: func(v exposure.Visit) { visits = append(visits, v) }})
		if err != nil {
			t.Fatal(err)
		}
		c := &tape{Reader: bytes.NewReader(in)}
		d.receive(t.Context(), c, netip.MustParseAddrPort("203.0.113.7:4711"))
		for _, v := range visits {
			if v.Addr != netip.MustParseAddr("203.0.113.7") || len(v.Payload) > mostRaw || v.Class == "" || len(v.Reasons) == 0 {
				t.Errorf("visit %+v", v)
			}
		}
	})
}

// A tape is a connection on which everything was said already.
type tape struct {
	*bytes.Reader
	net.Conn
	out bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c *tape) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *tape) Close() error                { return nil }
func (c *tape) SetDeadline(time.Time) error { return nil }
func (c *tape) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 631} }

func BenchmarkExchange(b *testing.B) {
	d, err := New(Options{Face: cupsFace()})
	if err != nil {
		b.Fatal(err)
	}
	in := []byte(post(request(ipp.GetPrinterAttributes, queueURI), "Connection: close\r\n"))
	b.ReportAllocs()
	for b.Loop() {
		d.receive(b.Context(), &tape{Reader: bytes.NewReader(in)}, netip.MustParseAddrPort("203.0.113.7:4711"))
	}
}

// TestItCallsNobody looks for what could open a connection, ask for a name or
// start a program. What cannot be written cannot happen; package lab counts the
// packets.
func TestItCallsNobody(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		looked++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if ok && regexp.MustCompile(`^(Dial.*|Lookup.*|Resolve.*|Client|Get|Post|Do|Transport|Command.*)$`).MatchString(s.Sel.Name) {
				if pkg, ok := s.X.(*ast.Ident); ok && slices.Contains([]string{"net", "http", "tls", "exec"}, pkg.Name) {
					t.Errorf("%s uses %s.%s", name, pkg.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
	if looked < 10 {
		t.Errorf("only %d files were looked at", looked)
	}
}
