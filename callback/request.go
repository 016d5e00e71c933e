package callback

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/url"
	"strconv"
	"strings"

	"ippwatch/wire/ipp"
)

// What is read of a request, and kept of it. The real ones have a head of 235
// bytes and a body of 179 (facts/cups.md 1.4).
const (
	maxLine      = 4 << 10
	maxHead      = 16 << 10
	maxBody      = 64 << 10
	keptBody     = 4 << 10
	maxUserAgent = 256
)

var (
	errHead = errors.New("not the head of an HTTP request")
	errBody = errors.New("a body that is too long, or of unknown length")
)

// A request is what was read of one HTTP request. The counts are of bytes that
// came, whatever was promised.
type request struct {
	method      string
	path        string // without the query
	contentType string
	userAgent   string
	length      int64 // announced for the body
	last        bool  // the client wants no more on this connection
	bytes       int   // received: head and body
	body        []byte
}

// readHead reads a request line and the header (RFC 9112, sections 3 and 5).
// A body of unknown or excessive length is errBody, other breaks are errHead,
// and io.EOF is the end of the connection between two requests.
func (q *request) readHead(r *bufio.Reader) error {
	line, err := q.readLine(r)
	if err != nil {
		return err
	}
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !strings.HasPrefix(proto, "HTTP/1.") {
		return errHead
	}
	q.method = method
	q.path, _, _ = strings.Cut(target, "?")
	q.last = proto == "HTTP/1.0"

	var bad error
	for seenLength := false; ; {
		line, err := q.readLine(r)
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if line == "" {
			return bad
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return errHead
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil || n > maxBody || seenLength && int64(n) != q.length {
				bad = errBody
				continue
			}
			q.length, seenLength = int64(n), true
		case "transfer-encoding":
			bad = errBody
		case "content-type":
			q.contentType = value
		case "user-agent":
			q.userAgent = strings.Clone(value[:min(len(value), maxUserAgent)])
		case "connection":
			q.last = q.last || strings.EqualFold(value, "close")
		}
	}
}

func (q *request) readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	q.bytes += len(b)
	switch {
	case errors.Is(err, bufio.ErrBufferFull), q.bytes > maxHead:
		return "", errHead
	case errors.Is(err, io.EOF) && q.bytes > 0:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return string(bytes.TrimRight(b, "\r\n")), nil
}

// readBody reads the announced body and keeps its beginning.
func (q *request) readBody(r *bufio.Reader) error {
	q.body = make([]byte, min(q.length, keptBody))
	n, err := io.ReadFull(r, q.body)
	q.body = q.body[:n]
	q.bytes += n
	if err != nil {
		return err
	}
	more, err := io.CopyN(io.Discard, r, q.length-int64(n))
	q.bytes += int(more)
	return err
}

// printerURI returns the path in the printer-uri if the request is what
// cups-browsed sends: Get-Printer-Attributes by POST (facts/cups.md 1.4 and,
// for what is mistaken for it, 1.7).
func (q *request) printerURI() (string, bool) {
	media, _, err := mime.ParseMediaType(q.contentType)
	if err != nil || q.method != "POST" || media != "application/ipp" {
		return "", false
	}
	m := ipp.Parse(q.body, ipp.DefaultLimits())
	if m.Code != uint16(ipp.GetPrinterAttributes) || m.Stopped != "" || len(m.Groups) == 0 {
		return "", false
	}
	attr, ok := m.Groups[0].Get("printer-uri")
	if !ok || len(attr.Values) == 0 {
		return "", false
	}
	u, err := url.Parse(attr.Values[0].Text())
	if err != nil {
		return "", false
	}
	return u.Path, true
}
