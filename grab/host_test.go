package grab

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ippwatch/wire/ipp"
)

// A host plays the far end on 127.0.0.1. Like cupsd it hears from the first
// byte whether a connection is TLS.
type host struct {
	answer func(heard) string // to each request, raw; "" closes
	raw    func(net.Conn)     // instead of all else
	cert   *tls.Certificate   // nil: no TLS
	onlyUp bool               // TLS by RFC 2817 only
	cuts   int32              // so many handshakes are cut off first

	addr     netip.AddrPort
	accepted atomic.Int32
	shaken   atomic.Int32 // handshakes begun
}

// heard is one request.
type heard struct {
	*http.Request
	tls bool
	n   int // of its connection
	ipp ipp.Message
}

// on reports whether the request is of that operation at that path.
func (h heard) on(op ipp.Operation, path string) bool {
	return h.Method == http.MethodPost && h.URL.Path == path && h.ipp.Operation() == op
}

func (h *host) start(tb testing.TB) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	h.addr = l.Addr().(*net.TCPAddr).AddrPort()
	var all sync.WaitGroup
	var mu sync.Mutex
	live := make(map[net.Conn]bool)
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			live[c] = true
			mu.Unlock()
			h.accepted.Add(1)
			all.Go(func() {
				h.serve(c)
				mu.Lock()
				delete(live, c)
				mu.Unlock()
				c.Close()
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range live {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

// peeked is a connection of which some bytes were read ahead.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func (h *host) serve(c net.Conn) {
	if h.raw != nil {
		h.raw(c)
		return
	}
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	if first[0] != 0x16 {
		h.hold(c, r, false)
		return
	}
	if h.shaken.Add(1) <= h.cuts || h.cert == nil || h.onlyUp {
		return
	}
	h.secure(peeked{c, r}, "")
}

// secure makes the connection TLS, says what it owes and goes on.
func (h *host) secure(c net.Conn, owed string) {
	s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*h.cert}})
	if s.Handshake() != nil {
		return
	}
	fmt.Fprint(s, owed)
	h.hold(s, bufio.NewReader(s), true)
}

func (h *host) hold(c net.Conn, r *bufio.Reader, secure bool) {
	for n := 0; ; n++ {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if req.Method == http.MethodOptions && h.onlyUp && req.Header.Get("Upgrade") != "" {
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n")
			h.secure(peeked{c, r}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			return
		}
		out := h.answer(heard{Request: req, tls: secure, n: n, ipp: ipp.Parse(body, ipp.Limits{})})
		if _, err := io.WriteString(c, out); err != nil || out == "" {
			return
		}
		head, _, _ := strings.Cut(out, "\r\n\r\n")
		if strings.Contains(head, "Connection: close") {
			return
		}
	}
}

// capture returns a captured response; with keep, as if the server had kept the
// connection.
func capture(tb testing.TB, name string, keep bool) string {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name + ".response.bin")
	if err != nil {
		tb.Fatal(err)
	}
	if keep {
		b = bytes.Replace(b, []byte("Connection: close\r\n"), nil, 1)
	}
	return string(b)
}

// page returns a response of HTML.
func page(status int, header, title string) string {
	body := "<html><head><TITLE>" + title + "</TITLE></head></html>"
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), header, len(body), body)
}

// inIPP returns a response with an IPP message of that status.
func inIPP(status ipp.Status, groups string) string {
	body := fmt.Sprintf("\x02\x00%c%c\x00\x00\x00\x01", byte(status>>8), byte(status)) +
		"\x01\x47\x00\x12attributes-charset\x00\x05utf-8" + groups + "\x03"
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// aPrinter is a printer group with a name.
const aPrinter = "\x04\x42\x00\x0cprinter-name\x00\x03lab"

// certificateFor returns a self-signed certificate.
func certificateFor(tb testing.TB, name string) *tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
