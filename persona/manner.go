package persona

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A manner is how an answer is carried over HTTP/1.1 when it is right in
// substance.
type manner func(http.Handler) http.Handler

// late sends the first byte after a while, as a device does that wakes up.
func late(after time.Duration) manner {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if pause(r.Context(), after) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// chunked sends in chunks of odd sizes (RFC 9112, section 7.1).
func chunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := recite(next, r)
		a.header.Del("Content-Length")
		copyHeader(w.Header(), a.header)
		w.WriteHeader(a.status)
		flusher := http.NewResponseController(w)
		for size := 1; a.body.Len() > 0; size = size*3 + 1 {
			if _, err := w.Write(a.body.Next(size)); err != nil {
				return
			}
			if err := flusher.Flush(); err != nil {
				return
			}
		}
	})
}

// untilClose sends neither length nor chunks: the end is the end of the
// connection (RFC 9112, section 6.3, case 8).
func untilClose(next http.Handler) http.Handler {
	return raw(next, func(a *answerHTTP) []byte {
		a.header.Del("Content-Length")
		a.header.Set("Connection", "close")
		return a.bytes("HTTP/1.1")
	})
}

// oldHTTP answers in HTTP/1.0.
func oldHTTP(next http.Handler) http.Handler {
	return raw(next, func(a *answerHTTP) []byte { return a.bytes("HTTP/1.0") })
}

// interim sends 100 Continue before each answer, asked or not.
func interim(next http.Handler) http.Handler {
	return raw(next, func(a *answerHTTP) []byte {
		return append([]byte("HTTP/1.1 100 Continue\r\n\r\n"), a.bytes("HTTP/1.1")...)
	})
}

// short promises more than it sends.
func short(next http.Handler) http.Handler {
	return raw(next, func(a *answerHTTP) []byte {
		a.header.Set("Content-Length", strconv.Itoa(a.body.Len()+4096))
		return a.bytes("HTTP/1.1")
	})
}

// halfHead ends in the middle of the head.
func halfHead(next http.Handler) http.Handler {
	return raw(next, func(a *answerHTTP) []byte {
		whole := a.bytes("HTTP/1.1")
		return whole[:bytes.Index(whole, []byte("\r\n\r\n"))-3]
	})
}

// An answerHTTP is an answer that was recited and not sent.
type answerHTTP struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// recite lets next answer to nobody.
func recite(next http.Handler, r *http.Request) *answerHTTP {
	a := &answerHTTP{header: make(http.Header), status: http.StatusOK}
	next.ServeHTTP(a, r)
	return a
}

// Header, WriteHeader and Write make it an [http.ResponseWriter].
func (a *answerHTTP) Header() http.Header { return a.header }

// WriteHeader keeps the status.
func (a *answerHTTP) WriteHeader(status int) { a.status = status }

func (a *answerHTTP) Write(p []byte) (int, error) { return a.body.Write(p) }

// bytes writes the answer out under the version.
func (a *answerHTTP) bytes(version string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d %s\r\n", version, a.status, http.StatusText(a.status))
	_ = a.header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(a.body.Bytes())
	return b.Bytes()
}

// raw answers with the bytes and closes the connection.
func raw(next http.Handler, form func(*answerHTTP) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := form(recite(next, r))
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		if conn.SetDeadline(time.Now().Add(maxSilence)) == nil {
			_, _ = conn.Write(out) // the client may have gone
		}
	})
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = values
	}
}
