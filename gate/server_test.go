package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/access"
)

// A hall is a listener without a network: its time is that of the bubble.
type hall struct {
	conns chan net.Conn
	shut  chan struct{}
}

func newHall() *hall { return &hall{make(chan net.Conn), make(chan struct{})} }

func (h *hall) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.shut:
		return nil, net.ErrClosed
	}
}

func (h *hall) Close() error {
	select {
	case <-h.shut:
	default:
		close(h.shut)
	}
	return nil
}

func (h *hall) Addr() net.Addr { return &net.TCPAddr{} }

// A guest is a connection that comes from an address.
type guest struct {
	net.Conn
	from string
}

func (g guest) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(g.from)) }

// come connects, and returns our end.
func (h *hall) come(from string) net.Conn {
	ours, theirs := net.Pipe()
	h.conns <- guest{theirs, from}
	return ours
}

// bare is a gate that knows nobody; it needs no store.
func bare(t *testing.T, routes ...Route) *Gate {
	t.Helper()
	c := Default()
	c.Rate = 0
	g, err := New(Options{Config: c, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(routes...); err != nil {
		t.Fatal(err)
	}
	return g
}

// served runs the gate in a bubble while f visits it.
func served(t *testing.T, routes []Route, f func(t *testing.T, h *hall, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := bare(t, routes...)
		h := newHall()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, h) }()
		f(t, h, stop)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // whoever still writes finds out that nobody reads
	})
}

func public(method, pattern string, kind Kind, serve Handler) Route {
	r := Route{Method: method, Pattern: pattern, Kind: kind, Roles: access.Roles, Serve: serve, Written: "nothing"}
	if method != http.MethodGet {
		r.Tokenless = "a test"
	}
	return r
}

func hello(w http.ResponseWriter, r *http.Request, _ *Visit) error {
	return Send(w, r, 0, "text/plain", Private, []byte("hello"))
}

// closedAfter reads until the connection is closed, and returns how long that took.
func closedAfter(c net.Conn) time.Duration {
	begun := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(begun)
}

func TestSlowHeaders(t *testing.T) {
	served(t, []Route{public("GET", "/", Page, hello)}, func(t *testing.T, h *hall, _ func()) {
		c := h.come("192.0.2.1:1")
		go func() {
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("slow", 100)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if took := closedAfter(c); took > headerPatience+time.Second {
			t.Errorf("a client that sends a byte a second keeps its connection for %s", took)
		}
	})
}

func TestSlowBody(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		if _, err := io.ReadAll(r.Body); err != nil {
			return err
		}
		return hello(w, r, v)
	}
	served(t, []Route{public("POST", "/", API, read)}, func(t *testing.T, h *hall, _ func()) {
		c := h.come("192.0.2.1:1")
		go func() {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
			for range 1000 {
				if _, err := c.Write([]byte{'x'}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if took := closedAfter(c); took > readPatience+10*time.Second {
			t.Errorf("a client that sends a byte a second keeps its connection for %s", took)
		}
	})
}

func TestWhoDoesNotRead(t *testing.T) {
	big := func(w http.ResponseWriter, _ *http.Request, _ *Visit) error {
		for range 1000 {
			if _, err := w.Write(make([]byte, 100_000)); err != nil {
				return err
			}
		}
		return nil
	}
	for kind, patience := range map[Kind]time.Duration{API: writePatience, Stream: streamPatience} {
		served(t, []Route{public("GET", "/", kind, big)}, func(t *testing.T, h *hall, _ func()) {
			c := h.come("192.0.2.1:1")
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(patience + time.Second)
			// What it would read now is what was in the buffer, and then the end.
			n, err := io.Copy(io.Discard, c)
			if n > 200_000 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: after %s there are %d bytes more, %v", kind, patience, n, err)
			}
		})
	}
}

// TestStreamsLast holds that a stream goes on for hours while somebody reads, and
// ends when the server does.
func TestStreamsLast(t *testing.T) {
	ticks := func(w http.ResponseWriter, r *http.Request, _ *Visit) error {
		e, err := Events(w)
		for n := 0; err == nil; n++ {
			if err = e.Send("tick", fmt.Sprintf("%d\nmore", n)); err != nil {
				break
			}
			select {
			case <-r.Context().Done():
				return nil
			case <-time.After(time.Minute):
			}
		}
		return err
	}
	served(t, []Route{public("GET", "/", Stream, ticks)}, func(t *testing.T, h *hall, stop func()) {
		c := h.come("192.0.2.1:1")
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("Content-Type = %s", kind)
		}
		lines := bufio.NewScanner(res.Body)
		seen := ""
		for lines.Scan() {
			seen += lines.Text() + "|"
			if strings.Contains(seen, "data: 180|data: more||") {
				break
			}
		}
		if !strings.HasPrefix(seen, "event: tick|data: 0|data: more||event: tick|data: 1|") || !strings.Contains(seen, "data: 180|") {
			t.Errorf("after three hours: %.100s ... %v", seen, lines.Err())
		}
		begun := time.Now()
		stop()
		for lines.Scan() {
			continue
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it ends %s after the server", took)
		}
	})
}

// TestWhatHasBegunEnds holds that a short request is not cut off by a stop.
func TestWhatHasBegunEnds(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		time.Sleep(5 * time.Second)
		if err := r.Context().Err(); err != nil {
			return err
		}
		return hello(w, r, v)
	}
	served(t, []Route{public("GET", "/", Page, slow)}, func(t *testing.T, h *hall, stop func()) {
		c := h.come("192.0.2.1:1")
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(time.Second)
		stop()
		b, _ := io.ReadAll(c)
		if !bytes.HasSuffix(b, []byte("\r\n\r\nhello")) {
			t.Errorf("it was cut off: %q", b)
		}
	})
}

// TestACrowd holds that one address cannot take all connections: what it has
// over its share pushes out what it had first, and nobody else's.
func TestACrowd(t *testing.T) {
	served(t, []Route{public("GET", "/", Page, hello)}, func(t *testing.T, h *hall, _ func()) {
		neighbour := h.come("192.0.2.1:1")
		for i := range 3 * maxConnsFrom {
			c := h.come(fmt.Sprintf("[2001:db8::%x]:1", i+1))
			go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\n") }() // half a header
		}
		if got := ask(h.come("[2001:db8::ffff]:1")); got != "hello" {
			t.Errorf("one more of the /64 gets %q", got)
		}
		if got := ask(neighbour); got != "hello" {
			t.Errorf("who came before them gets %q", got)
		}
	})
}

// ask asks once and returns the answer.
func ask(c net.Conn) string {
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	b, _ := io.ReadAll(c)
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body
}

// TestACrowdOfAllTheWorld holds that ten thousand that do nothing, from as many
// networks, keep nobody out.
func TestACrowdOfAllTheWorld(t *testing.T) {
	served(t, []Route{public("GET", "/", Page, hello)}, func(t *testing.T, h *hall, _ func()) {
		var closed atomic.Int64
		for i := range 10_000 {
			c := h.come(fmt.Sprintf("10.%d.%d.1:1", i/250, i%250))
			go func() { _, _ = io.Copy(io.Discard, c); closed.Add(1) }()
			if i%1000 == 0 {
				if got := ask(h.come("192.0.2.1:1")); got != "hello" {
					t.Errorf("behind %d others somebody gets %q", i, got)
				}
			}
		}
		synctest.Wait()
		if got := closed.Load(); got != 10_000-maxConns {
			t.Errorf("%d connections were closed, want all but %d", got, maxConns)
		}
		time.Sleep(headerPatience + time.Second)
		synctest.Wait()
		if got := closed.Load(); got != 10_000 {
			t.Errorf("after %s %d are closed, want all", headerPatience, got)
		}
	})
}

// TestACrowdAtWork holds that who is served is not pushed out.
func TestACrowdAtWork(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		time.Sleep(5 * time.Second)
		return hello(w, r, v)
	}
	served(t, []Route{public("GET", "/", Page, slow)}, func(t *testing.T, h *hall, _ func()) {
		got := make(chan string, maxConnsFrom)
		for range maxConnsFrom {
			c := h.come("192.0.2.1:1")
			go func() { got <- ask(c) }()
		}
		synctest.Wait()
		if took := closedAfter(h.come("192.0.2.1:1")); took != 0 {
			t.Errorf("one too many is closed after %s", took)
		}
		for range maxConnsFrom {
			if one := <-got; one != "hello" {
				t.Fatalf("one that was served gets %q", one)
			}
		}
	})
}

// writePair writes a certificate that we sign ourselves.
func writePair(t *testing.T, files Pair, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"ippwatch.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &cert, &cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	now := time.Now()
	p := &pair{files: files, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
	if _, err := p.get(nil); err == nil {
		t.Fatal("no certificate is one")
	}
	name := func() string {
		t.Helper()
		c, err := p.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.Subject.CommonName
	}
	writePair(t, files, "one")
	if got := name(); got != "one" {
		t.Errorf("the certificate is %s", got)
	}
	writePair(t, files, "second")
	if got := name(); got != "one" {
		t.Errorf("within %s it is %s", certEvery, got)
	}
	now = now.Add(certEvery)
	if got := name(); got != "second" {
		t.Errorf("after %s it is %s", certEvery, got)
	}
	// Half of a renewal.
	if err := os.WriteFile(files.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certEvery)
	if got := name(); got != "second" {
		t.Errorf("with half a certificate it is %s", got)
	}
	writePair(t, files, "the third")
	now = now.Add(certEvery)
	if got := name(); got != "the third" {
		t.Errorf("after the other half it is %s", got)
	}
}

// TestServeTLS speaks HTTP/2 over TLS through a socket on loopback.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	g := bare(t, public("GET", "/", Page, func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		return Send(w, r, 0, "text/plain", Private, fmt.Append(nil, r.Proto, " ", v.Secure))
	}))
	g.Config.TLS = Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writePair(t, g.Config.TLS, "one")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, l) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(g.Config.TLS.Cert)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "ippwatch.test", MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + l.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != "HTTP/2.0 true" || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("over TLS: %q %v %v", b, res.Header, err)
	}
	old := &tls.Config{RootCAs: roots, ServerName: "ippwatch.test", MaxVersion: tls.VersionTLS11} //nolint:gosec // it must be refused
	if c, err := tls.Dial("tcp", l.Addr().String(), old); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestConfigCheck(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"the default":            {func(*Config) {}, ""},
		"loopback":               {func(c *Config) { c.Listen = "127.0.0.1:8080" }, ""},
		"no port":                {func(c *Config) { c.Listen = "127.0.0.1" }, "listen: \"127.0.0.1\": want an address and a port"},
		"everywhere in clear":    {func(c *Config) { c.Listen = "0.0.0.0:80" }, "listen: 0.0.0.0:80: passwords would cross the network in the clear"},
		"everywhere over TLS":    {func(c *Config) { c.Listen, c.TLS = "0.0.0.0:443", Pair{"a", "b"} }, ""},
		"everywhere for a proxy": {func(c *Config) { c.Listen, c.TrustedProxies = "0.0.0.0:80", []string{"10.0.0.1"} }, ""},
		"half a pair":            {func(c *Config) { c.TLS.Cert = "a" }, "tls: cert and key belong together"},
		"a proxy by name":        {func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "proxy"} }, "trusted_proxies.1: "},
		"a network with a host":  {func(c *Config) { c.TrustedProxies = []string{"10.0.0.1/8"} }, "trusted_proxies.0: "},
		"an URL with a path":     {func(c *Config) { c.URL = "https://a.example/x" }, "url: "},
		"an URL without scheme":  {func(c *Config) { c.URL = "a.example" }, "url: "},
		"an URL":                 {func(c *Config) { c.URL = "https://a.example:8443" }, ""},
		"no small cells":         {func(c *Config) { c.SmallCell = 0 }, "small_cell: "},
		"a session of nothing":   {func(c *Config) { c.Session = 0 }, "session: "},
		"idle for nothing":       {func(c *Config) { c.Idle = time.Second }, "idle: "},
		"a negative rate":        {func(c *Config) { c.Rate = -1 }, "rate: "},
	} {
		c := Default()
		test.change(&c)
		var got []string
		c.Check(func(key string, err error) { got = append(got, key+": "+err.Error()) })
		if len(got) > 1 || test.want == "" != (len(got) == 0) || !strings.HasPrefix(strings.Join(got, ""), test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
