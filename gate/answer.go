package gate

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"
)

// policy is what a page may load and do: from here alone, and no script or style
// that stands in the page itself, where a stranger's bytes could become one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// protect sets what every answer has.
func (g *Gate) protect(w http.ResponseWriter, v *Visit) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("X-Request-Id", v.ID)
	if v.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// streamPatience is how long one write of a stream may take.
const streamPatience = 30 * time.Second

// An answer notes what was answered.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
	stream bool
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 || a.status < 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes the bytes; in a stream each write has a time of its own.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.stream {
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(streamPatience)) // a test's writer has none
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// said is what the mux would answer.
type said struct {
	header http.Header
	status int
}

func (s *said) Header() http.Header         { return s.header }
func (s *said) Write(b []byte) (int, error) { return len(b), nil }
func (s *said) WriteHeader(status int)      { s.status = status }

// How long answers may be kept.
const (
	// Private is for what is shown to one person: nobody keeps it.
	Private = "no-store"
	// Immutable is for what has a hash in its name.
	Immutable = "public, max-age=31536000, immutable"
)

// minGzip is the size below which compressing costs more than it saves.
const minGzip = 1024

// Send sends a whole answer, with an ETag unless nobody may keep it, and
// compressed for who takes that. status 0 is 200.
func Send(w http.ResponseWriter, r *http.Request, status int, contentType, cache string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	h.Add("Vary", "Accept-Encoding")
	if status == 0 {
		status = http.StatusOK
	}
	if cache != Private && status == http.StatusOK {
		tag := ETag(body)
		h.Set("ETag", tag)
		if Matches(r, tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if len(body) >= minGzip && compressible(contentType) && TakesGzip(r) {
		body = Gzip(body)
		h.Set("Content-Encoding", "gzip")
	}
	return SendRaw(w, r, status, body)
}

// SendRaw sends bytes whose headers are set.
func SendRaw(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(body) // who went away needs none
	return nil
}

// ETag names the content. It is weak: compressed or not, it is the same.
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// Matches reports whether the client has what the tag names.
func Matches(r *http.Request, tag string) bool {
	for _, has := range strings.Split(r.Header.Get("If-None-Match"), ",") {
		if has = strings.TrimSpace(has); has == "*" || strings.TrimPrefix(has, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

func compressible(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") || strings.Contains(contentType, "json") || strings.Contains(contentType, "javascript") ||
		strings.Contains(contentType, "xml")
}

// TakesGzip reports whether the client takes gzip.
func TakesGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

var squeezers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Gzip compresses.
func Gzip(body []byte) []byte {
	var b bytes.Buffer
	z := squeezers.Get().(*gzip.Writer)
	defer squeezers.Put(z)
	z.Reset(&b)
	_, _ = z.Write(body) // memory takes all
	_ = z.Close()
	return b.Bytes()
}

// An EventStream sends server-sent events, from a route of the kind Stream.
type EventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// Events begins a stream of events.
func Events(w http.ResponseWriter) (*EventStream, error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", Private)
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	e := &EventStream{w, http.NewResponseController(w)}
	return e, e.rc.Flush()
}

// Send sends one event; name and data are ours, data may have many lines.
func (e *EventStream) Send(name, data string) error {
	var b strings.Builder
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(data, "\r", ""), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteByte('\n')
	if _, err := e.w.Write([]byte(b.String())); err != nil {
		return err
	}
	return e.rc.Flush()
}
