// Package browse reads and writes the packets of CUPS legacy browsing, as
// cups-browsed 1.x and 2.0 hear them on 631/UDP.
package browse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// Port is the port on which cups-browsed listens, over UDP and IPv4 only.
const Port = 631

// Delete is the bit of [Packet.Type] by which a server withdraws a queue.
// cups-browsed calls nobody for such a packet.
const Delete = 0x100000

// Sizes of the buffers of process_browse_data, without the final NUL.
const (
	maxPacket = 2047
	maxField  = 1023
	maxText   = 300 // what Append writes of each text, so that a packet always fits
)

// Errors of [Parse]. A packet for which it returns one is dropped by
// cups-browsed without further effect.
var (
	ErrMalformed    = errors.New("browse packet: want two hexadecimal numbers and a URI")
	ErrUnterminated = errors.New("browse packet: a quoted field has no end")
)

// A Packet announces, or withdraws, one queue of another host.
//
// No RFC describes it. The authority is process_browse_data in cups-browsed
// 1.28.17 and 2.0.1 (facts/cups.md 1.3); release 2.1 removed it.
type Packet struct {
	Type      uint32 // bits of cups_ptype_t
	State     uint32 // ipp_pstate_t; read and ignored
	URI       string
	Location  string
	Info      string
	MakeModel string // written by servers, never read by cups-browsed
}

// Append appends the packet to dst with all three texts quoted: without them
// cups-browsed 1.28.17 reads uninitialised memory as the location (facts/cups.md
// 1.3). What would break the form is left out: quotes, anything but printable
// ASCII, and blanks in the URI. A URI longer than 1,023 bytes and a text longer
// than 300 are cut. Without a URI the result is not a packet.
func Append(dst []byte, p Packet) []byte {
	dst = strconv.AppendUint(dst, uint64(p.Type), 16)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(p.State), 16)
	dst = append(dst, ' ')
	dst = appendClean(dst, p.URI, '!', maxField)
	for _, text := range []string{p.Location, p.Info, p.MakeModel} {
		dst = append(dst, ' ', '"')
		dst = appendClean(dst, text, ' ', maxText)
		dst = append(dst, '"')
	}
	return dst
}

// appendClean appends at most limit bytes of s, of those from lowest to '~'
// that are not quotes.
func appendClean(dst []byte, s string, lowest byte, limit int) []byte {
	for i := 0; i < len(s) && limit > 0; i++ {
		if c := s[i]; c >= lowest && c <= '~' && c != '"' {
			dst = append(dst, c)
			limit--
		}
	}
	return dst
}

// Parse reads a packet exactly as cups-browsed does: the first 2,047 bytes of
// the datagram, by sscanf("%x%x%1023s") with its signs, its 0x, its overflow
// and its missing spaces, and then the quoted fields wherever the first quote
// stands. testdata/oracle.c says what glibc makes of the first part.
//
// The make and model, which cups-browsed does not look at, is read if it is
// there.
func Parse(b []byte) (Packet, error) {
	p, err := Borrow(b)
	p.URI = strings.Clone(p.URI)
	return p, err
}

// Borrow is [Parse] without a copy: the URI shares the memory of b, and is good
// until that changes. A flood of padded packets is read by it.
func Borrow(b []byte) (Packet, error) {
	b = b[:min(len(b), maxPacket)]
	text := b
	if end := bytes.IndexByte(b, 0); end >= 0 {
		text = b[:end]
	}
	var p Packet
	rest, ok := scanHex(text, &p.Type)
	if !ok {
		return Packet{}, ErrMalformed
	}
	if rest, ok = scanHex(rest, &p.State); !ok {
		return Packet{}, ErrMalformed
	}
	rest = skipSpace(rest)
	n := word(rest[:min(len(rest), maxField)])
	if n == 0 {
		return Packet{}, ErrMalformed
	}
	p.URI = unsafe.String(&rest[0], n)

	if quote := bytes.IndexByte(text, '"'); quote >= 0 {
		// The daemon's buffer is zeroed and one byte longer than what it receives.
		var buf [maxPacket + 1]byte
		copy(buf[:maxPacket], b)
		if err := p.parseTexts(buf[:], quote); err != nil {
			return Packet{}, err
		}
	}
	return p, nil
}

// parseTexts reads the quoted fields from the first quote on, which may stand
// within the URI. Unlike the numbers they are not read as a C string: the
// daemon walks on behind a NUL to the end of its buffer.
func (p *Packet) parseTexts(buf []byte, quote int) error {
	at := quote + 1
	p.Location, at = field(buf, at)
	end := bytes.IndexByte(buf[at:], '"')
	if end < 0 {
		return ErrUnterminated
	}
	at = afterSpace(buf, at+end+1)
	if at >= len(buf) {
		return ErrUnterminated
	}
	if buf[at] != '"' {
		return nil
	}
	p.Info, at = field(buf, at+1)
	if at >= len(buf) {
		return ErrUnterminated
	}
	// Here the daemon stops reading.
	if end = bytes.IndexByte(buf[at:], '"'); end < 0 {
		return nil
	}
	if at = afterSpace(buf, at+end+1); at < len(buf) && buf[at] == '"' {
		p.MakeModel, _ = field(buf, at+1)
	}
	return nil
}

// field copies from at until a quote, the end of buf, or the end of the
// daemon's field buffer, and returns the copy as the C string that it is, and
// where the copying stopped.
func field(buf []byte, at int) (string, int) {
	end := min(at+maxField, len(buf))
	if quote := bytes.IndexByte(buf[at:end], '"'); quote >= 0 {
		end = at + quote
	}
	s, _, _ := bytes.Cut(buf[at:end], []byte{0})
	return string(s), end
}

func afterSpace(buf []byte, at int) int {
	for at < len(buf) && isSpace(buf[at]) {
		at++
	}
	return at
}

// scanHex does what sscanf does for "%x", and returns what follows.
func scanHex(s []byte, v *uint32) (rest []byte, ok bool) {
	s = skipSpace(s)
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	digits := 0
	if len(s) > 0 && s[0] == '0' {
		digits++
		s = s[1:]
		// glibc takes the x even where no digit follows.
		if len(s) > 0 && s[0]|0x20 == 'x' {
			s = s[1:]
		}
	}
	var n uint64
	overflow := false
	for ; len(s) > 0; s = s[1:] {
		d, ok := hexDigit(s[0])
		if !ok {
			break
		}
		overflow = overflow || n>>60 != 0
		n = n<<4 | uint64(d)
		digits++
	}
	switch {
	case digits == 0:
		return s, false
	case overflow: // strtoul gives ULONG_MAX, whatever the sign
		*v = ^uint32(0)
	case negative:
		*v = uint32(-n & 0xffffffff)
	default:
		*v = uint32(n & 0xffffffff)
	}
	return s, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func skipSpace(s []byte) []byte { return s[afterSpace(s, 0):] }

// word returns where the first blank stands. It takes eight bytes at a time,
// because padding is a thousand of them.
func word(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if x := binary.LittleEndian.Uint64(s[i:]); (x-('!'*ones))&^x&highs != 0 && space(s[i:i+8]) {
			break
		}
	}
	for i < len(s) && !isSpace(s[i]) {
		i++
	}
	return i
}

func space(s []byte) bool {
	for _, c := range s {
		if isSpace(c) {
			return true
		}
	}
	return false
}

// isSpace is isspace of the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Queue returns the name of the queue that cups-browsed 1.x makes locally for
// a packet with this info whose URI names this host: the service name that
// DNS-SD would give it, cut at 63 bytes, with each run of characters that are
// not ASCII letters or digits as one underscore, and none at either end
// (facts/cups.md 1.6). Where a queue of that name exists already, the daemon
// may choose another.
func Queue(info, host string) string {
	service := fmt.Sprintf("%s @ %s", info, host)
	for _, local := range []string{".local", ".local."} {
		if n := len(service) - len(local); n > 0 && strings.EqualFold(service[n:], local) {
			service = service[:n]
			break
		}
	}
	words := strings.FieldsFunc(service[:min(len(service), 63)], func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	return strings.Join(words, "_")
}
