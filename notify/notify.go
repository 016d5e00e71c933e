// Package notify delivers what was decided elsewhere: mail, signed webhooks and
// lines for ticket systems, and it reads what comes back. It has no memory:
// who is told what and when again, and what was read already, its callers know.
package notify

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Result is what became of one delivery.
type Result string

// Results. Refused is for ever and of the recipient, or of this very message;
// what is wrong on our side, such as a password, is Later: it must not make a
// recipient undeliverable. After Unsure the far end may have the message or
// not: whoever sends again risks to tell twice.
const (
	Accepted Result = "accepted"
	Refused  Result = "refused"
	Later    Result = "later"
	Unsure   Result = "unsure"
)

// An Outcome tells what became of one message.
type Outcome struct {
	ID     ID     `json:"id"`
	Result Result `json:"result"`
	// Stage is where it was decided: connect, tls, auth, mail, rcpt, data, body,
	// or http and file of the others.
	Stage string `json:"stage"`
	Code  int    `json:"code,omitempty"` // of SMTP or HTTP
	// Said is what the far end said, or how the attempt failed: bounded and
	// printable.
	Said string `json:"said,omitempty"`
	// Ours says that the cause is on our side: the same will befall every
	// other message until somebody looks.
	Ours bool `json:"ours,omitempty"`
	// Wait is how long the far end wants to be left alone; zero when it did not say.
	Wait time.Duration `json:"wait_ns,omitempty"`
}

// Unknown reports whether the address itself was refused, for ever: another
// mail to it would fare the same.
func (o Outcome) Unknown() bool {
	if o.Result != Refused || o.Stage != stageRcpt {
		return false
	}
	if m := statusCode.FindStringSubmatch(o.Said); m != nil {
		return failed(m[1]) == HardBounce
	}
	return o.Code != 552 && o.Code != 554 // RFC 5321, section 4.2.3: storage; the transaction failed
}

// saidLimit bounds what is kept of a server's words, in characters.
const saidLimit = 300

// plain returns the text on one line, at most limit characters, without
// anything that moves a cursor, hides or turns the direction of writing.
func plain(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || r == utf8.RuneError || !unicode.IsPrint(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		if n++; n > limit {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}
