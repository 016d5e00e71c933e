package persona

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"time"

	"ippwatch/exposure"
)

const (
	drip       = time.Second // between two bytes of a tarpit
	maxEndless = 64 << 20    // bytes after which even an endless body ends
)

// A greeter takes a connection and speaks no HTTP on it.
type greeter func(context.Context, *net.TCPConn)

// banner says one line first, as SSH does.
func banner(ctx context.Context, c *net.TCPConn) {
	fmt.Fprintf(c, "SSH-2.0-OpenSSH_9.2 %s\r\n", exposure.SimulatedMark)
	linger(ctx, c)
}

// hangUp closes at once.
func hangUp(context.Context, *net.TCPConn) {}

// slam answers with a reset.
func slam(_ context.Context, c *net.TCPConn) {
	_ = c.SetLinger(0) // without it the close is an orderly one
}

// mute reads and never answers.
func mute(ctx context.Context, c *net.TCPConn) { linger(ctx, c) }

// linger keeps the connection until the client leaves or the street is closed.
func linger(_ context.Context, c *net.TCPConn) {
	if c.SetReadDeadline(time.Now().Add(maxSilence)) != nil {
		return
	}
	buf := make([]byte, 512)
	for read := 0; read < maxRequest; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		read += n
	}
}

// A tarpit sends one byte a second, from the head or from the body on.
type tarpit struct {
	head bool
	play http.Handler
}

func (t tarpit) rehearse(at stage) (http.Handler, error) {
	next, err := (&device{server: "Pitfall", name: "pit", model: "Pitfall 1"}).rehearse(at)
	if err != nil {
		return nil, err
	}
	return tarpit{head: t.head, play: next}, nil
}

func (t tarpit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	a := recite(t.play, r)
	out := a.bytes("HTTP/1.1")
	fast := 0
	if !t.head {
		fast = bytes.Index(out, []byte("\r\n\r\n")) + 4
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Write(out[:fast]); err != nil {
		return
	}
	for i := fast; i < len(out) && pause(ctx, drip); i++ {
		if conn.SetWriteDeadline(time.Now().Add(maxSilence)) != nil {
			return
		}
		if _, err := conn.Write(out[i : i+1]); err != nil {
			return
		}
	}
}

// An endless answers with a gigabyte of attributes, of which it sends at most
// maxEndless.
type endless struct{}

func (endless) rehearse(stage) (http.Handler, error) { return endless{}, nil }

func (endless) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Server", "Cornucopia/1.0 ("+exposure.SimulatedMark+")")
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", "1073741824")
	// IPP 2.0, successful-ok, request-id 1, then the two attributes that open it.
	head := []byte("\x02\x00\x00\x00\x00\x00\x00\x01\x01")
	head = attribute(head, 0x47, "attributes-charset", "utf-8")
	head = attribute(head, 0x48, "attributes-natural-language", "en")
	head = append(head, 0x04)
	if _, err := w.Write(head); err != nil {
		return
	}
	var page []byte
	for i := range 256 {
		page = attribute(page, 0x41, fmt.Sprintf("x-more-%d", i), "and so on and so on and so on and so on")
	}
	for sent := 0; sent < maxEndless; sent += len(page) {
		if _, err := w.Write(page); err != nil {
			return
		}
	}
}

// attribute appends one attribute by hand (RFC 8010, section 3.1.4).
func attribute(b []byte, tag byte, name, value string) []byte {
	b = append(b, tag)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// truncate cuts the message inside the value of an attribute, with a length in
// HTTP that fits what is left.
func truncate(whole []byte) []byte { return whole[:len(whole)*2/3] }

// nest replaces the end of the message by a collection 1,000 deep that is
// well formed (RFC 8010, section 3.1.6).
func nest(whole []byte) []byte {
	const depth = 1000
	b := bytes.Clone(whole[:len(whole)-1])
	b = attribute(b, 0x34, "media-col-database", "")
	for range depth - 1 {
		b = attribute(b, 0x4a, "", "media-col")
		b = attribute(b, 0x34, "", "")
	}
	for range depth {
		b = attribute(b, 0x37, "", "")
	}
	return append(b, 0x03)
}

// A redirect sends the client to another host.
type redirect struct{ to string }

func (d redirect) rehearse(stage) (http.Handler, error) { return d, nil }

func (d redirect) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Server", "Portal ("+exposure.SimulatedMark+")")
	h.Set("Location", d.to)
	write(w, http.StatusFound, "text/html", []byte("<html><head><title>Found</title></head></html>\n"))
}

// A site is a web server that knows nothing of printing.
type site struct{}

func (site) rehearse(stage) (http.Handler, error) { return site{}, nil }

func (site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Webster/1.18 ("+exposure.SimulatedMark+")")
	if r.Method == http.MethodPost {
		write(w, http.StatusMethodNotAllowed, "text/html", []byte("<html><head><title>405 Not Allowed</title></head></html>\n"))
		return
	}
	write(w, http.StatusOK, "text/html", []byte("<html><head><title>Welcome</title></head><body>It works.</body></html>\n"))
}

// pause waits and reports whether the context still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
