package callback

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"ippwatch/exposure"
)

// A Call is one genuine request: a POST of Get-Printer-Attributes for the
// printer-uri that a packet of ours named. From is who called, which need not
// be Token.Target: hosts have several addresses, and NAT has others.
type Call struct {
	Token     Token
	From      netip.AddrPort
	UserAgent string // as received, at most 256 bytes
	At        time.Time
	BytesIn   int // TCP payload of the request: head and body
	BytesOut  int // TCP payload of our answer
	Conn      *Conn
}

// A Conn is the connection over which a call came.
type Conn struct {
	ipBytes atomic.Int64
}

// IPBytes returns how many bytes of IP the caller has sent over the connection
// so far, headers and handshake included; a lower bound, see [minimumIPBytes]
// and ipBytes. It grows until the connection is closed.
func (c *Conn) IPBytes() int { return int(c.ipBytes.Load()) }

const (
	ipHeader  = 20 // RFC 791, section 3.1, without options
	tcpHeader = 20 // RFC 9293, section 3.1, without options
	udpHeader = 8  // RFC 768
)

// minimumIPBytes returns the least number of bytes of IP by which a caller can
// have sent the payload: a SYN, one segment for each request, a FIN, and no
// option anywhere.
func minimumIPBytes(payload, requests int) int {
	return payload + (requests+2)*(ipHeader+tcpHeader)
}

// A Tally gathers the calls that one packet caused. The zero Tally is empty.
type Tally struct {
	first     time.Time
	last      time.Time
	from      netip.Addr
	userAgent string
	posts     int
	bytesIn   int
	bytesOut  int
	conns     []*Conn
}

// Add adds a call. A server hands out at most [MaxPosts] for one token, which
// bounds the tally.
func (t *Tally) Add(c Call) {
	if t.posts == 0 {
		t.first, t.from, t.userAgent = c.At, c.From.Addr(), c.UserAgent
	}
	t.last = c.At
	t.posts++
	t.bytesIn += c.BytesIn
	t.bytesOut += c.BytesOut
	for _, known := range t.conns {
		if known == c.Conn {
			return
		}
	}
	t.conns = append(t.conns, c.Conn)
}

// First returns when the first call came.
func (t *Tally) First() time.Time { return t.first }

// Last returns when the last call came.
func (t *Tally) Last() time.Time { return t.last }

// Simulated reports whether the caller says that ippwatch simulates it.
func (t *Tally) Simulated() bool { return strings.Contains(t.userAgent, exposure.SimulatedMark) }

// Callback returns the sum of the calls that a packet with a payload of that
// many bytes, sent at that time, caused. Both ratios are lower bounds
// (facts/cups.md 1.8): we answer 404 and complete the handshake.
func (t *Tally) Callback(sent time.Time, asked int) *exposure.Callback {
	c := &exposure.Callback{
		From:        t.from,
		UserAgent:   t.userAgent,
		Posts:       t.posts,
		Connections: len(t.conns),
		After:       max(0, t.first.Sub(sent)),
		Asked:       asked,
		BytesIn:     t.bytesIn,
		BytesOut:    t.bytesOut,
	}
	ipBytes := 0
	for _, conn := range t.conns {
		ipBytes += conn.IPBytes()
	}
	if asked > 0 {
		c.RatioApp = cents(float64(t.bytesIn) / float64(asked))
		c.RatioIP = cents(float64(ipBytes) / float64(asked+ipHeader+udpHeader))
	}
	return c
}

// cents rounds down to two digits: a lower bound must not be rounded up.
func cents(x float64) float64 { return math.Floor(x*100) / 100 }

// Counts are the requests that a [Server] met, by what they were. Only the
// genuine ones are believed (DESIGN.md, rule 5).
type Counts struct {
	Genuine  uint64
	NotACall uint64 // proxies, intrusion detection, researchers, people: no POST of Get-Printer-Attributes
	Forged   uint64 // a token that no key opens, or another one in the printer-uri
	Expired  uint64 // a token sealed more than Validity ago
	Replayed uint64 // beyond MaxPosts for one token
	Refused  uint64 // connections closed at once: too many
}

// String returns the counts in one line.
func (c Counts) String() string {
	return fmt.Sprintf("%d genuine, %d not a call, %d forged, %d expired, %d replayed, %d refused",
		c.Genuine, c.NotACall, c.Forged, c.Expired, c.Replayed, c.Refused)
}
