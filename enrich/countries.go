package enrich

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Attribution must stand on every page that shows a country of the embedded
// table, with a link to [AttributionURL] (CC BY 4.0; country.LICENSE.md).
const (
	Attribution    = "IP Geolocation by DB-IP"
	AttributionURL = "https://db-ip.com"
)

//go:embed country.bin
var countryData []byte

// embedded reads the table at its first use: a command that asks for no country
// does not pay for it.
var embedded = sync.OnceValues(func() (*Countries, error) { return ParseCountries(countryData) })

// Embedded returns the country table that the program carries.
func Embedded() (*Countries, error) { return embedded() }

// Date tells of which day the embedded table is, without reading it whole.
func Date() time.Time {
	date, _, err := parseHeader(countryData)
	if err != nil {
		return time.Time{}
	}
	return date
}

// Countries maps addresses to countries. Of IPv6 it knows the first 64 bits.
// The zero value maps nothing.
type Countries struct {
	date  time.Time
	codes []string // ISO 3166-1 alpha-2, or "" for nobody knows
	v4    column[uint32]
	v6    column[uint64]
}

// A column holds where the country changes: from[i] and all that follow, up to
// from[i+1], are in codes[code[i]].
type column[T uint32 | uint64] struct {
	from []T
	code []uint8
	next uint64 // one past the last range, while the table is built
	full bool   // the last range reaches the end
}

var (
	errCountries = errors.New("country table")
	magic        = []byte("ippwatch-countries 1\n")
)

const maxEntries = 1 << 22 // of one column: ten times today's

// NewCountries returns an empty table to [Countries.Add] to.
func NewCountries(date time.Time) *Countries {
	return &Countries{date: date.UTC().Truncate(24 * time.Hour), codes: []string{""}}
}

// Date is of which day the data is.
func (c *Countries) Date() time.Time { return c.date }

// Len is how many changes of country the table knows over IPv4 and IPv6.
func (c *Countries) Len() (v4, v6 int) { return len(c.v4.from), len(c.v6.from) }

// Country returns where the address is, or "".
func (c *Countries) Country(a netip.Addr) string {
	a = a.Unmap()
	i := -1
	switch {
	case a.Is4():
		b := a.As4()
		i = c.v4.find(binary.BigEndian.Uint32(b[:]))
	case a.Is6():
		b := a.As16()
		i = c.v6.find(binary.BigEndian.Uint64(b[:8]))
	}
	if i < 0 {
		return ""
	}
	return c.codes[i]
}

func (c *column[T]) find(a T) int {
	i, found := slices.BinarySearch(c.from, a)
	if !found {
		i--
	}
	if i < 0 {
		return -1
	}
	return int(c.code[i])
}

// Add appends a prefix. Prefixes come in order and do not overlap; of those
// longer than /64 only the first in its /64 counts.
func (c *Countries) Add(p netip.Prefix, country string) error {
	if country != "" && !isCountry(country) {
		return fmt.Errorf("%w: %s: %q is not an ISO 3166-1 alpha-2 code", errCountries, p, country)
	}
	code := slices.Index(c.codes, country)
	if code < 0 {
		if len(c.codes) > 255 {
			return fmt.Errorf("%w: %s: more than 255 countries", errCountries, p)
		}
		code = len(c.codes)
		c.codes = append(c.codes, country)
	}
	p = p.Masked()
	var err error
	if p.Addr().Is4() {
		b := p.Addr().As4()
		err = c.v4.add(uint64(binary.BigEndian.Uint32(b[:])), 32-p.Bits(), 32, uint8(code))
	} else {
		b := p.Addr().As16()
		start := binary.BigEndian.Uint64(b[:8])
		if p.Bits() > 64 && (start < c.v6.next || c.v6.full) {
			return nil
		}
		err = c.v6.add(start, 64-min(p.Bits(), 64), 64, uint8(code))
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errCountries, p, err)
	}
	return nil
}

var errOrder = errors.New("out of order")

// add appends 2^span addresses from start on.
func (c *column[T]) add(start uint64, span, width int, code uint8) error {
	if c.full || start < c.next {
		return errOrder
	}
	if start > c.next || len(c.from) == 0 {
		c.change(T(c.next), 0)
	}
	c.change(T(start), code)
	if span == 64 || start+1<<span == 0 || width == 32 && start+1<<span == 1<<32 {
		c.full = true
	}
	c.next = start + 1<<span
	return nil
}

// change notes a change at an address, if it is one.
func (c *column[T]) change(at T, code uint8) {
	n := len(c.from)
	switch {
	case n > 0 && c.from[n-1] == at:
		c.code[n-1] = code
	case n == 0 && code == 0:
	case n > 0 && c.code[n-1] == code:
	default:
		c.from, c.code = append(c.from, at), append(c.code, code)
	}
}

// seal ends the last range.
func (c *column[T]) seal() {
	if len(c.from) > 0 && !c.full {
		c.change(T(c.next), 0)
	}
}

// Seal ends the building.
func (c *Countries) Seal() {
	c.v4.seal()
	c.v6.seal()
}

// Append writes the table: magic, day since 1970, then deflated the codes and
// both columns. A column is its length, the trailing zeros of each distance, the
// odd rest of each distance, and the codes: like stands beside like.
func (c *Countries) Append(dst []byte) ([]byte, error) {
	dst = append(dst, magic...)
	dst = binary.AppendUvarint(dst, uint64(c.date.Unix()/86400))
	body := binary.AppendUvarint(nil, uint64(len(c.codes)-1))
	for _, code := range c.codes[1:] {
		body = append(body, code...)
	}
	body = c.v4.append(body)
	body = c.v6.append(body)
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append(dst, b.Bytes()...), nil
}

func (c *column[T]) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.from)))
	var odd []byte
	last := T(0)
	for _, at := range c.from {
		gap := uint64(at - last)
		last = at
		zeros := bits.TrailingZeros64(gap) // 64 for none: the column begins at 0
		dst = append(dst, uint8(zeros))
		odd = binary.AppendUvarint(odd, gap>>zeros>>1)
	}
	dst = binary.AppendUvarint(dst, uint64(len(odd)))
	dst = append(dst, odd...)
	return append(dst, c.code...)
}

func parseHeader(data []byte) (date time.Time, rest []byte, err error) {
	rest, ok := bytes.CutPrefix(data, magic)
	if !ok {
		return time.Time{}, nil, fmt.Errorf("%w: does not begin with %q", errCountries, magic)
	}
	day, n := binary.Uvarint(rest)
	if n <= 0 || day > 1<<20 {
		return time.Time{}, nil, fmt.Errorf("%w: bad date", errCountries)
	}
	return time.Unix(int64(day)*86400, 0).UTC(), rest[n:], nil
}

// ParseCountries reads what [Countries.Append] wrote.
func ParseCountries(data []byte) (*Countries, error) {
	date, rest, err := parseHeader(data)
	if err != nil {
		return nil, err
	}
	const most = 1 << 26 // bytes of two columns of maxEntries
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(rest)), most))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCountries, err)
	}
	c := &Countries{date: date, codes: []string{""}}
	n, body, err := length(body, 255)
	if err != nil || len(body) < 2*n {
		return nil, fmt.Errorf("%w: list of countries: %w", errCountries, io.ErrUnexpectedEOF)
	}
	for ; n > 0; n-- {
		if !isCountry(string(body[:2])) {
			return nil, fmt.Errorf("%w: %q is not an ISO 3166-1 alpha-2 code", errCountries, body[:2])
		}
		c.codes = append(c.codes, string(body[:2]))
		body = body[2:]
	}
	if body, err = c.v4.parse(body, len(c.codes)); err != nil {
		return nil, fmt.Errorf("%w: IPv4: %w", errCountries, err)
	}
	if body, err = c.v6.parse(body, len(c.codes)); err != nil {
		return nil, fmt.Errorf("%w: IPv6: %w", errCountries, err)
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errCountries, len(body))
	}
	return c, nil
}

var errColumn = errors.New("broken column")

// length reads a number that says how many things follow.
func length(b []byte, most uint64) (int, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > most {
		return 0, nil, errColumn
	}
	return int(n), b[size:], nil
}

func (c *column[T]) parse(b []byte, codes int) ([]byte, error) {
	n, b, err := length(b, maxEntries)
	if err != nil || len(b) < n {
		return nil, errColumn
	}
	zeros, b := b[:n], b[n:]
	size, b, err := length(b, 10*maxEntries)
	if err != nil || len(b) < size+n {
		return nil, errColumn
	}
	odd, code, b := b[:size], b[size:size+n], b[size+n:]
	c.from, c.code = make([]T, n), slices.Clone(code)
	last := T(0)
	for i := range n {
		half, used := binary.Uvarint(odd)
		if used <= 0 || half>>63 != 0 || int(code[i]) >= codes {
			return nil, errColumn
		}
		odd = odd[used:]
		gap := (half<<1 | 1) << zeros[i] // 0 when shifted by 64
		at := last + T(gap)
		switch {
		case gap == 0 && (i > 0 || half != 0 || zeros[i] != 64),
			gap != 0 && (gap>>zeros[i] != half<<1|1 || uint64(T(gap)) != gap),
			i > 0 && at <= last:
			return nil, errColumn
		}
		c.from[i] = at
		last = at
	}
	if len(odd) > 0 {
		return nil, errColumn
	}
	return b, nil
}

// isCountry reports whether the text has the form of ISO 3166-1 alpha-2.
func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
