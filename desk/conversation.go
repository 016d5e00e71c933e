package desk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// mostAttributes is how much of a body is read for its attributes; what follows
// is a document.
const mostAttributes = 64 << 10

// shortest is a message of IPP with nothing in it but its header.
const shortest = 8

// A conversation is one connection.
type conversation struct {
	desk *Desk
	conn net.Conn
	r    *bufio.Reader
	from netip.AddrPort
	at   netip.AddrPort
	name string
	n    int // exchanges
	tls  *exposure.Offered
	end  time.Time
	ctx  context.Context // its end sets the deadlines
	out  []byte
}

// An exchange is one request and what became of it.
type exchange struct {
	began    time.Time
	head     *head
	raw      []byte // beginning of what was sent
	sum      hash.Hash
	size     int64
	message  *ipp.Message
	document *Document
	answer   *Answer
	status   int // of HTTP; 0: nothing was answered
	broken   string
	alien    string // what it is instead of HTTP
}

func (x *exchange) note(p []byte) {
	x.sum.Write(p)
	x.size += int64(len(p))
	x.raw = append(x.raw, p[:min(len(p), max(0, mostRaw-len(x.raw)))]...)
}

// receive holds the conversation and closes the connection.
func (d *Desk) receive(ctx context.Context, conn net.Conn, from netip.AddrPort) {
	defer conn.Close()
	c := &conversation{
		desk: d, conn: conn, from: from, at: addrPort(conn.LocalAddr()), ctx: ctx,
		end: time.Now().Add(d.Limits.Life), r: bufio.NewReaderSize(conn, maxLine),
	}
	c.name = fmt.Sprintf("%s-%d-%d", d.Sensor, d.Now().UnixMilli(), d.conns.Add(1))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.within(d.Limits.Idle)
	first, err := c.r.Peek(1)
	if err != nil {
		return // a knock: whoever only looks whether the port is open
	}
	if first[0] == 0x16 && d.Certificate != nil { // a handshake: RFC 8446, section 5.1; cupsd looks the same way
		if !c.secure(false) {
			return
		}
	}
	for c.n = 1; c.n <= d.Limits.Exchanges && c.exchange(); c.n++ {
		c.within(d.Limits.Idle)
		if _, err := c.r.Peek(1); err != nil {
			return
		}
	}
}

func (c *conversation) within(t time.Duration) {
	at := time.Now().Add(t)
	if c.end.Before(at) {
		at = c.end
	}
	_ = c.conn.SetDeadline(at)
	if c.ctx.Err() != nil {
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	}
}

// secure takes the TLS handshake that begins in what is read next.
func (c *conversation) secure(upgraded bool) bool {
	began := c.desk.Now()
	c.tls = &exposure.Offered{Upgraded: upgraded}
	config := &tls.Config{
		MinVersion: tls.VersionTLS10, //nolint:gosec // as lenient as cupsd: old clients are guests, too
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.tls.Name, c.tls.Ciphers = clip(hello.ServerName, 255), len(hello.CipherSuites)
			for _, v := range hello.SupportedVersions {
				if len(c.tls.Versions) < 8 {
					c.tls.Versions = append(c.tls.Versions, tls.VersionName(v))
				}
			}
			for _, p := range hello.SupportedProtos {
				if len(c.tls.Protos) < 8 {
					c.tls.Protos = append(c.tls.Protos, clip(p, 64))
				}
			}
			return c.desk.Certificate, nil
		},
	}
	c.within(c.desk.Limits.Head)
	s := tls.Server(&opened{Conn: c.conn, r: c.r}, config)
	if err := s.HandshakeContext(c.ctx); err != nil {
		c.tls.Error = clip(err.Error(), 200)
		c.tell(&exchange{began: began, sum: sha256.New(), broken: "tls handshake: " + c.tls.Error, alien: "tls"})
		return false
	}
	c.conn = s
	c.r = bufio.NewReaderSize(s, maxLine)
	return true
}

// An opened connection was read from already.
type opened struct {
	net.Conn
	r *bufio.Reader
}

func (o *opened) Read(p []byte) (int, error) { return o.r.Read(p) }

// exchange reads one request, answers it, and reports whether another may come.
func (c *conversation) exchange() bool {
	x := &exchange{began: c.desk.Now(), sum: sha256.New()}
	c.within(c.desk.Limits.Head)
	h, err := readHead(c.r)
	x.note(h.raw)
	x.size = int64(h.size)
	if err != nil {
		return c.noHead(x, h, err)
	}
	x.head = h
	if c.upgrades(h) {
		if !c.switchToTLS(x) {
			return false
		}
	}
	// Who has sent the body already needs no leave.
	if h.expects && h.length != 0 && (h.length < 0 || int64(c.r.Buffered()) < h.length || c.desk.Face.CUPS != nil) {
		if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return false
		}
	}
	c.within(c.desk.Limits.Body)
	r, whole := c.read(x)
	if whole = whole && !r.silent; whole {
		c.respond(x, r)
	}
	c.tell(x)
	if !whole || x.status == 0 {
		return false
	}
	if h.last || r.last {
		c.hangUp()
		return false
	}
	return true
}

// noHead answers what is no request, if it ended like one.
func (c *conversation) noHead(x *exchange, h *head, err error) bool {
	x.broken = brokenWord(err)
	switch {
	case errors.Is(err, errNoHTTP):
		if n := min(c.r.Buffered(), mostRaw); n > 0 {
			rest, _ := c.r.Peek(n) // what has come already; nothing is waited for
			x.note(rest)
		}
		x.alien = alien(x.raw)
	case h.size == 0:
		return false // nothing was sent
	default:
		x.head = h
	}
	if errors.Is(err, errNoHTTP) || isTimeout(err) || errors.Is(err, io.EOF) {
		c.tell(x)
		return false
	}
	h.broken = true
	r := c.desk.manner.refuse(http.StatusBadRequest, h)
	r.last = true
	c.respond(x, r)
	c.tell(x)
	c.hangUp()
	return false
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// brokenWord says why a request was not read to its end.
func brokenWord(err error) string {
	switch {
	case isTimeout(err):
		return "too slow"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ended in the middle"
	}
	for _, known := range []error{errNoHTTP, errHeadLong, errField, errLength, errBodyLong, errChunk} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the connection broke"
}

// upgrades reports whether the client wants TLS from here on (RFC 2817). With a
// body it would have to be answered before the request is whole.
func (c *conversation) upgrades(h *head) bool {
	return c.tls == nil && c.desk.Certificate != nil && h.length == 0 && h.proto == "HTTP/1.1" &&
		h.names("Connection", "upgrade") && strings.HasPrefix(strings.ToUpper(h.get("Upgrade")), "TLS/")
}

func (c *conversation) switchToTLS(x *exchange) bool {
	r := response{status: http.StatusSwitchingProtocols, upgrade: tlsOffered}
	b := fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n", r.upgrade)
	if _, err := c.conn.Write(append(b, "\r\n"...)); err != nil {
		return false
	}
	if !c.secure(true) {
		return false
	}
	x.status = 0
	return true
}

// read reads the body and finds the answer; false when the request is not whole.
func (c *conversation) read(x *exchange) (response, bool) {
	h, d := x.head, c.desk
	b := h.body(c.r, d.Limits.BodyBytes)
	if h.method != http.MethodPost || mediaOf(h) != mediaType {
		n, err := c.drain(x, b)
		if err != nil {
			return c.unread(x, err, n)
		}
		if r, odd := d.manner.strange(h); odd {
			return r, true
		}
		return d.manner.page(h, c.tls != nil || d.Certificate == nil, d.Now()), true
	}
	buf := make([]byte, 0, 1024)
	for len(buf) < mostAttributes {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := b.Read(buf[len(buf):min(cap(buf), mostAttributes)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			x.note(buf)
			return c.unread(x, err, int64(len(buf)))
		}
	}
	m := ipp.Parse(buf, ipp.Limits{Groups: 64, Attributes: 1024, Values: 4096, Length: 1024})
	x.message = &m
	x.note(buf[:m.Size])
	if m.Size < len(buf) || !b.end {
		if err := c.deposit(x, buf[m.Size:], b); err != nil {
			return c.unread(x, err, x.document.Bytes)
		}
	}
	if r, odd := d.manner.strange(h); odd {
		return r, true
	}
	if m.Stopped != "" {
		x.broken = clip(m.Stopped, 200)
		if len(buf) < shortest && d.Face.CUPS != nil {
			return response{silent: true}, true // cupsd waits for the rest of the message
		}
		return d.manner.refuse(http.StatusBadRequest, h), true
	}
	return c.ask(x), true
}

// ask puts an IPP request to the clerk.
func (c *conversation) ask(x *exchange) response {
	q := &Request{Message: x.message, Host: c.host(x.head), Path: x.head.path(), From: c.from.Addr(), TLS: c.tls != nil, Now: c.desk.Now()}
	if x.document != nil {
		q.Document = x.document.Bytes
	}
	a := c.desk.manner.Answer(q)
	x.answer = &a
	switch {
	case a.Login:
		return c.desk.manner.login(x.head, c.tls != nil || c.desk.Certificate == nil)
	case a.Refused:
		return c.desk.manner.refuse(http.StatusBadRequest, x.head)
	}
	return response{status: http.StatusOK, kind: mediaType, body: a.Append(make([]byte, 0, 4096))}
}

// host is how the client calls us, for the URIs in the answer: its own words, if
// they can be those of a host, else where it came to.
func (c *conversation) host(h *head) string {
	name := h.get("Host")
	if name == "" || len(name) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") != "" {
		return c.at.String()
	}
	return name
}

// deposit puts what follows the attributes into the spool.
func (c *conversation) deposit(x *exchange, first []byte, rest io.Reader) error {
	var s *Spool
	switch x.message.Operation() {
	case ipp.PrintJob, ipp.SendDocument:
		s = c.desk.Spool
	}
	dep := s.begin(c.from.Addr())
	_, _ = dep.Write(first) // never fails
	_, err := io.Copy(dep, rest)
	doc, wrong := dep.finish()
	if wrong != nil {
		c.desk.Log.Error("keep a document", "err", wrong)
	}
	x.size += doc.Bytes
	x.document = &doc
	return err
}

// drain reads a body that nobody wants.
func (c *conversation) drain(x *exchange, b *body) (int64, error) {
	var n int64
	buf := make([]byte, 4096)
	for {
		m, err := b.Read(buf)
		x.note(buf[:m])
		n += int64(m)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// unread is the answer to a body that was not read to its end: none, but where
// it is too long.
func (c *conversation) unread(x *exchange, err error, _ int64) (response, bool) {
	x.broken = brokenWord(err)
	if errors.Is(err, errBodyLong) || errors.Is(err, errChunk) && !isTimeout(err) && !errors.Is(err, io.EOF) {
		status := http.StatusRequestEntityTooLarge
		if errors.Is(err, errChunk) {
			status = http.StatusBadRequest
		}
		r := c.desk.manner.refuse(status, x.head)
		r.last = true
		return r, true
	}
	return response{}, false
}

func (c *conversation) respond(x *exchange, r response) {
	c.within(c.desk.Limits.Idle)
	c.out = r.append(c.out[:0], c.desk.manner, x.head, c.desk.Now())
	if _, err := c.conn.Write(c.out); err != nil {
		return
	}
	x.status = r.status
}

// hangUp closes so that the answer arrives: to close with unread bytes resets
// the connection and throws the answer away (RFC 9112, section 9.6).
func (c *conversation) hangUp() {
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.within(time.Second)
		_, _ = io.CopyN(io.Discard, c.r, 64<<10)
	}
}

// mediaOf is the Content-Type without its parameters.
func mediaOf(h *head) string {
	kind, _, _ := strings.Cut(h.get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// alien names a protocol that is not HTTP, by how it begins.
func alien(raw []byte) string {
	for _, p := range []struct{ name, begins string }{
		{"ssh", "SSH-"},
		{"pjl", "\x1b%-12345X"},
		{"escape-codes", "\x1b"},
		{"tls", "\x16\x03"},
		{"postscript", "%!"},
		{"pdf", "%PDF"},
		{"rdp", "\x03\x00"},
		{"smb", "\x00\x00\x00"},
		{"smb", "\xffSMB"},
		{"redis", "*"},
		{"lpd", "\x02"},
		{"lpd", "\x03"},
		{"socks", "\x05"},
		{"socks", "\x04\x01"},
		{"http2", "PRI * HTTP/2.0"},
		{"rtsp", "OPTIONS rtsp:"},
		{"sip", "OPTIONS sip:"},
		{"telnet", "\xff"},
		{"mqtt", "\x10"},
	} {
		if bytes.HasPrefix(raw, []byte(p.begins)) {
			return p.name
		}
	}
	return "unknown"
}
