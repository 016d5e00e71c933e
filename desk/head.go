package desk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of a head. A client that needs more is no client of a printer.
const (
	maxLine   = 8 << 10
	maxHead   = 32 << 10
	maxFields = 100
	mostRaw   = 4 << 10 // of what a stranger sent that is kept as evidence
)

// A field is one line of a head, as it was sent.
type field struct{ name, value string }

// A head is a request before its body (RFC 9112, section 3).
type head struct {
	method, uri, proto string
	fields             []field
	raw                []byte // as it was sent, bounded
	size               int

	length  int64 // of the body; -1: chunked
	last    bool  // the connection ends with it
	broken  bool  // it was not read to its end
	expects bool  // 100-continue
}

// Why a head is not one. They become reasons of a visit and are never told to
// whom they concern.
var (
	errNoHTTP   = errors.New("the first line is no request of HTTP")
	errHeadLong = errors.New("the head is longer than is read")
	errField    = errors.New("a line of the head is not one")
	errLength   = errors.New("the length of the body is not one")
)

// get returns the first field of that name, or "".
func (h *head) get(name string) string {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// names reports whether a comma-separated field has the token.
func (h *head) names(name, token string) bool {
	for _, f := range h.fields {
		if !strings.EqualFold(f.name, name) {
			continue
		}
		for part := range strings.SplitSeq(f.value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// path is what of the URI says where: no scheme, no host, no query.
func (h *head) path() string {
	p := h.uri
	if _, after, ok := strings.Cut(p, "://"); ok {
		_, rest, found := strings.Cut(after, "/")
		p = "/" + rest
		if !found {
			p = "/"
		}
	}
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	return p
}

// readHead reads up to the empty line. An error of ours says that it is no head
// and what it is instead; any other is of the connection.
func readHead(r *bufio.Reader) (*head, error) {
	h := &head{}
	if err := h.first(r); err != nil {
		return h, err
	}
	for {
		line, err := h.line(r)
		if err != nil {
			return h, err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") || len(h.fields) >= maxFields {
			return h, errField
		}
		h.fields = append(h.fields, field{string(name), string(bytes.TrimSpace(value))})
	}
	return h, h.frame()
}

// first reads the request line. cupsd overlooks empty lines before it.
func (h *head) first(r *bufio.Reader) error {
	for range 4 {
		line, err := h.line(r)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			continue
		}
		method, rest, ok1 := strings.Cut(string(line), " ")
		uri, proto, ok2 := strings.Cut(strings.TrimLeft(rest, " "), " ")
		h.method, h.uri, h.proto = method, uri, strings.TrimSpace(proto)
		if !ok1 || !ok2 || !methodLike(method) || uri == "" || !strings.HasPrefix(h.proto, "HTTP/") {
			return errNoHTTP
		}
		return nil
	}
	return errNoHTTP
}

func methodLike(s string) bool {
	return len(s) > 0 && len(s) < 24 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// line reads one line without its end. The slice is good until the next.
func (h *head) line(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	h.size += len(line)
	h.raw = append(h.raw, line[:min(len(line), max(0, mostRaw-len(h.raw)))]...)
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && h.size > maxHead:
		return nil, errHeadLong
	case err != nil && len(line) > 0 && len(h.fields) == 0 && h.method == "":
		return nil, errors.Join(errNoHTTP, err)
	case err != nil:
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// frame finds out how long the body is (RFC 9112, section 6). Both lengths at
// once are a smuggler's.
func (h *head) frame() error {
	h.last = h.proto != http11 || h.names("Connection", "close")
	h.expects = strings.EqualFold(h.get("Expect"), "100-continue")
	length, chunked := h.get("Content-Length"), h.get("Transfer-Encoding")
	switch {
	case chunked != "" && (length != "" || !strings.EqualFold(chunked, "chunked")):
		return errLength
	case chunked != "":
		h.length = -1
	case length != "":
		n, err := strconv.ParseUint(length, 10, 62)
		if err != nil {
			return errLength
		}
		h.length = int64(n)
	}
	return nil
}

// A body is what follows a head, at most limit bytes of it.
type body struct {
	r     *bufio.Reader
	left  int64 // of the body, or of the chunk; -1: no chunk has begun
	parts bool  // chunked
	limit int64
	end   bool
}

var (
	errBodyLong = errors.New("the body is longer than is read")
	errChunk    = errors.New("a chunk is not one")
)

func (h *head) body(r *bufio.Reader, limit int64) *body {
	b := &body{r: r, left: h.length, parts: h.length < 0, limit: limit}
	b.end = h.length == 0
	return b
}

// Read reads the body without its chunks.
func (b *body) Read(p []byte) (int, error) {
	for !b.end && b.left <= 0 {
		if err := b.chunk(); err != nil {
			return 0, err
		}
	}
	if b.end {
		return 0, io.EOF
	}
	if b.limit <= 0 {
		return 0, errBodyLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left, b.limit)])
	b.left -= int64(n)
	b.limit -= int64(n)
	if b.left == 0 {
		b.end = !b.parts
	}
	if errors.Is(err, io.EOF) && !b.end {
		err = io.ErrUnexpectedEOF
	}
	if b.end || errors.Is(err, io.EOF) {
		err = nil // the next call tells
	}
	return n, err
}

// chunk reads the line before a chunk, and after the last of them the trailer.
func (b *body) chunk() error {
	if b.left == 0 { // the end of the line after a chunk
		if line, err := b.r.ReadSlice('\n'); err != nil || len(bytes.TrimRight(line, "\r\n")) > 0 {
			return errors.Join(errChunk, err)
		}
	}
	line, err := b.r.ReadSlice('\n')
	if err != nil {
		return errors.Join(errChunk, err)
	}
	size, _, _ := strings.Cut(string(bytes.TrimSpace(line)), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 62)
	if err != nil {
		return fmt.Errorf("%w: %w", errChunk, err)
	}
	if b.left = int64(n); n > 0 {
		return nil
	}
	b.end = true
	for range maxFields {
		line, err := b.r.ReadSlice('\n')
		if err != nil {
			return errors.Join(errChunk, err)
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
	return errChunk
}
