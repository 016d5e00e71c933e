package form

import (
	"encoding/binary"
	"math/bits"
)

// Two bodies of one stem differ in a few names and addresses. A delta says how
// to make one from the other by turns: a length and that many new bytes, then
// a length and how far the place to copy from lies from the end of the new
// bytes' counterpart in the base. A copy of length 0 has no place.

const (
	indexBits = 12
	gram      = 6 // bytes that must agree before a copy is considered
)

// A Base is a body that others of its stem are written against.
type Base struct {
	body  []byte
	index [1 << indexBits]int32 // where a gram of the hash stands last, plus 1
}

// NewBase makes a base of a body, or nil if it is too long to be one.
func NewBase(body []byte) *Base {
	if len(body) > MaxBase {
		return nil
	}
	b := &Base{body: body}
	for i := range max(0, len(body)-gram+1) {
		b.index[gramHash(body[i:])] = int32(i) + 1
	}
	return b
}

func gramHash(b []byte) uint64 {
	v := uint64(binary.LittleEndian.Uint32(b)) | uint64(b[4])<<32 | uint64(b[5])<<40
	return v * 0x9e3779b97f4a7c15 >> (64 - indexBits)
}

// delta appends the difference of body from the base.
func (b *Base) delta(out Sink, body []byte) Sink {
	fresh, next := 0, 0 // where the new bytes begin; the counterpart of at
	for at := 0; at+gram <= len(body); {
		from := next
		if !b.agrees(from, body[at:]) {
			from = int(b.index[gramHash(body[at:])]) - 1
		}
		if !b.agrees(from, body[at:]) {
			at, next = at+1, next+1
			continue
		}
		start := at
		for start > fresh && from > 0 && b.body[from-1] == body[start-1] {
			start, from = start-1, from-1
		}
		n := alike(b.body[from:], body[start:])
		out.Str(string(body[fresh:start]))
		out.Uint(uint64(n))
		out.Int(int64(from - (next - (at - start))))
		at, next = start+n, from+n
		fresh = at
	}
	out.Str(string(body[fresh:]))
	out.Uint(0)
	return out
}

func (b *Base) agrees(from int, body []byte) bool {
	return from >= 0 && from+gram <= len(b.body) && string(b.body[from:from+gram]) == string(body[:gram])
}

// alike returns how many bytes a and b begin with alike.
func alike(a, b []byte) (n int) {
	for ; n+8 <= min(len(a), len(b)); n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// undelta returns the body that delta was made from.
func undelta(base, delta []byte) ([]byte, error) {
	s := Source{Rest: string(delta)}
	var body []byte
	for next := 0; ; {
		fresh := s.take(s.Uint())
		body = append(body, fresh...)
		n := s.Uint()
		if n == 0 || s.Err != nil {
			if len(s.Rest) > 0 {
				return nil, ErrTorn
			}
			return body, s.Err
		}
		from := int64(next) + int64(len(fresh)) + s.Int()
		if from < 0 || from > int64(len(base)) || n > uint64(int64(len(base))-from) || uint64(len(body))+n > maxBody {
			return nil, ErrTorn
		}
		body = append(body, base[from:from+int64(n)]...)
		next = int(from) + int(n)
	}
}
