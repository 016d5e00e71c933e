package grab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"

	"ippwatch/exposure"
)

// A request is one of ours, in HTTP/1.1.
type request struct {
	method, path string
	upgrade      bool   // ask for TLS on this connection: RFC 2817, section 3.2
	ipp          []byte // the body, or nil
}

func (r request) append(b []byte, host, agent string) []byte {
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, r.path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nUser-Agent: "...)
	b = append(b, agent...)
	if r.upgrade {
		b = append(b, "\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2,TLS/1.1,TLS/1.0"...)
	}
	if r.ipp != nil {
		b = append(b, "\r\nContent-Type: application/ipp\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.ipp)), 10)
	}
	b = append(b, "\r\n\r\n"...)
	return append(b, r.ipp...)
}

// A reply is what came back, as far as it came.
type reply struct {
	status int
	head   head
	body   []byte
	buf    *bytes.Buffer // of the pool, which holds the body
	title  string        // of a page
	// short says why the body is not whole, though nothing broke: a limit of
	// ours, or an early end.
	short string
	keep  bool // the connection can be used again
}

// A head holds the header fields that we want.
type head struct {
	server       string
	contentType  string
	upgrade      string
	location     string
	authenticate []string
	length       int64 // -1: not given
	chunked      bool
	persistent   bool
}

const (
	// maxField bounds one header field that is kept.
	maxField = 512
	// promised bounds the buffer for a body of which no byte has come.
	promised = 16 << 10
)

// readHead reads the header of one answer (RFC 9112, section 2). Interim
// answers are skipped, except 101 for those who asked for it; they count
// towards the same limit. What was good before a fault is returned with it.
func (l *link) readHead(upgrading bool) (reply, *fault) {
	budget := l.lim.Head
	for {
		if f := l.protocol(); f != nil {
			return reply{}, f
		}
		line, f := l.line(&budget)
		if f != nil {
			return reply{}, f
		}
		rep := reply{head: head{length: -1}}
		minor, status, ok := statusLine(line)
		if !ok {
			return rep, &fault{verdict: exposure.Malformed, reason: fmt.Sprintf("status line %q", clip(line, 64))}
		}
		rep.status, rep.head.persistent = status, minor >= 1
		for {
			line, f = l.line(&budget)
			if f != nil {
				return rep, f
			}
			if len(line) == 0 {
				break
			}
			if bytes.IndexByte(line, 0) >= 0 {
				return rep, &fault{verdict: exposure.Malformed, reason: "NUL in the header"}
			}
			rep.head.field(line)
		}
		if status >= 200 || (status == 101 && upgrading) {
			return rep, nil
		}
	}
}

// protocol looks at the first bytes of the answer without taking them.
func (l *link) protocol() *fault {
	const http = "HTTP/"
	b, err := l.r.Peek(len(http))
	if string(b) == http[:len(b)] {
		if err != nil {
			return l.broke(err, "status line")
		}
		return nil
	}
	b, _ = l.r.Peek(l.r.Buffered())
	switch {
	case b[0] == 0:
		return &fault{verdict: exposure.Malformed, reason: "NULs instead of a status line"}
	case b[0] == 0x15 && len(b) > 1 && b[1] == 3: // RFC 8446, section 5.1
		return &fault{verdict: exposure.NotIPP, reason: "a TLS alert instead of HTTP", alert: true}
	}
	return &fault{verdict: exposure.NotIPP, reason: fmt.Sprintf("not HTTP: %q", clip(b, 64))}
}

// line reads one line without its end. Of a line longer than the buffer the
// beginning is kept.
func (l *link) line(budget *int) ([]byte, *fault) {
	var long []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if *budget -= len(part); *budget < 0 {
			return nil, &fault{verdict: exposure.Malformed, reason: fmt.Sprintf("header longer than %d bytes", l.lim.Head)}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if long == nil {
				long = bytes.Clone(part)
			}
			continue
		case err != nil:
			return nil, l.broke(err, "header")
		case long != nil:
			return long, nil
		}
		return bytes.TrimSuffix(part[:len(part)-1], []byte{'\r'}), nil
	}
}

// statusLine reads "HTTP/1.1 200 OK" (RFC 9112, section 4).
func statusLine(line []byte) (minor, status int, ok bool) {
	s := string(line)
	if len(s) < len("HTTP/1.1 200") || s[:7] != "HTTP/1." || s[8] != ' ' || (len(s) > 12 && s[12] != ' ') {
		return 0, 0, false
	}
	minor = int(s[7] - '0')
	status, err := strconv.Atoi(s[9:12])
	return minor, status, err == nil && minor <= 9 && minor >= 0 && status >= 100 && strings.IndexByte(s, 0) < 0
}

// field takes one header field. A line without a colon is passed over, as
// browsers do.
func (h *head) field(line []byte) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return
	}
	name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
	is := func(want string) bool { return len(name) == len(want) && strings.EqualFold(string(name), want) }
	switch {
	case is("Server"):
		h.server = clip(value, maxField)
	case is("Content-Type"):
		h.contentType = clip(value, maxField)
	case is("Upgrade"):
		h.upgrade = clip(value, maxField)
	case is("Location"):
		h.location = clip(value, maxField)
	case is("WWW-Authenticate"):
		if len(h.authenticate) < 8 {
			h.authenticate = append(h.authenticate, clip(value, maxField))
		}
	case is("Content-Length"):
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
			h.length = n
		}
	case is("Transfer-Encoding"):
		h.chunked = h.chunked || contains(value, "chunked")
	case is("Connection"):
		if contains(value, "close") {
			h.persistent = false
		} else if contains(value, "keep-alive") {
			h.persistent = true
		}
	}
}

// readBody reads the body of an answer into buf (RFC 9112, section 6.3).
func (l *link) readBody(rep *reply, buf *bytes.Buffer) *fault {
	limit := l.lim.Body
	if kind := strings.ToLower(rep.head.contentType); strings.HasPrefix(kind, "text/") || strings.Contains(kind, "html") {
		limit = min(limit, l.lim.Page)
	}
	defer func() { rep.body = buf.Bytes() }()
	switch {
	case rep.status == 204 || rep.status == 304:
		rep.keep = rep.head.persistent
		return nil
	case rep.head.chunked:
		return l.readChunks(rep, buf, limit)
	case rep.head.length >= 0:
		want := min(rep.head.length, int64(limit))
		// A length is only a promise: what it may cost in advance is bounded.
		buf.Grow(int(min(want, promised)) + bytes.MinRead)
		n, err := buf.ReadFrom(io.LimitReader(l.r, want))
		switch {
		case err != nil && !isReset(err, l):
			return l.broke(err, "body")
		case n < want:
			rep.short = fmt.Sprintf("body ended after %d of %d bytes", n, rep.head.length)
		case want < rep.head.length:
			rep.short = fmt.Sprintf("body of %d bytes cut at %d", rep.head.length, limit)
		default:
			rep.keep = rep.head.persistent
		}
		return nil
	}
	return l.readRest(rep, buf, l.r, limit)
}

// readRest reads until the end of src: the connection's, or the chunks'.
func (l *link) readRest(rep *reply, buf *bytes.Buffer, src io.Reader, limit int) *fault {
	n, err := buf.ReadFrom(io.LimitReader(src, int64(limit)+1))
	switch {
	case n > int64(limit):
		buf.Truncate(limit)
		rep.short = fmt.Sprintf("body cut at %d bytes", limit)
	case err != nil && !isReset(err, l):
		return l.broke(err, "body")
	case err != nil:
		rep.short = fmt.Sprintf("body broke off after %d bytes", n)
	}
	return nil
}

func (l *link) readChunks(rep *reply, buf *bytes.Buffer, limit int) *fault {
	// NewChunkedReader takes our bufio.Reader as it is and stops after the
	// last chunk; the trailer is left to us.
	if f := l.readRest(rep, buf, httputil.NewChunkedReader(l.r), limit); f != nil || rep.short != "" {
		return f
	}
	budget := l.lim.Head
	for {
		line, f := l.line(&budget)
		if f != nil {
			return nil // the body is whole; only the connection is not used again
		}
		if len(line) == 0 {
			rep.keep = rep.head.persistent
			return nil
		}
	}
}

// isReset reports whether the peer ended the body early, of its own accord:
// what came is then judged as it is.
func isReset(err error, l *link) bool {
	return l.ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func contains(list []byte, token string) bool {
	return strings.Contains(strings.ToLower(string(list)), token)
}

// clip returns at most n bytes of b.
func clip[T ~[]byte | ~string](b T, n int) string { return string(b[:min(len(b), n)]) }
