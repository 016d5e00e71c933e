package persona

import (
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"ippwatch/desk"
)

// write sends a whole answer with its length.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// writeMessage sends an IPP message.
func writeMessage(w http.ResponseWriter, a desk.Answer) {
	write(w, http.StatusOK, mediaType, a.Append(nil))
}

// life is that of a part at its place: so many times 997 minutes old, for they
// were not all switched on today, and real devices keep their UUIDs.
func (at stage) life(age int) desk.Life {
	return desk.Life{
		Started: at.started.Add(-time.Duration(age) * 997 * time.Minute),
		Made:    at.started.Add(-time.Duration(1000+997*age) * time.Minute), Page: time.Minute,
		UUID: func(name string) string {
			sum := sha256.Sum256([]byte("ippwatch persona " + name + " " + at.addr.String()))
			return desk.UUID(sum[:16])
		},
	}
}
