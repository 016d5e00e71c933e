package form

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrTorn means that stored bytes are not what this package wrote.
var ErrTorn = errors.New("stored bytes end too early or make no sense")

// A Sink grows by values that a [Source] reads back. Every value has one form,
// so equal values give equal bytes.
type Sink []byte

// Uint writes a number.
func (s *Sink) Uint(v uint64) { *s = binary.AppendUvarint(*s, v) }

// Int writes a number with a sign.
func (s *Sink) Int(v int64) { *s = binary.AppendVarint(*s, v) }

// Str writes a text.
func (s *Sink) Str(v string) {
	s.Uint(uint64(len(v)))
	*s = append(*s, v...)
}

// count writes a length that tells nil from empty: 0 is nil.
func (s *Sink) count(n int, absent bool) {
	if absent {
		s.Uint(0)
		return
	}
	s.Uint(uint64(n) + 1)
}

// Strs writes a list of texts, and tells nil from an empty one.
func (s *Sink) Strs(v []string) {
	s.count(len(v), v == nil)
	for _, one := range v {
		s.Str(one)
	}
}

// Bits writes up to eight booleans as one byte.
func (s *Sink) Bits(flags ...bool) {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	*s = append(*s, b)
}

func (s *Sink) time(t time.Time) {
	s.Int(t.Unix())
	s.Uint(uint64(t.Nanosecond()))
}

// A Source reads what a [Sink] took. After the first bad value it yields zero
// values and keeps the error. It reads a string, so that the many texts of an
// observation share its memory.
type Source struct {
	Rest string // what is not read yet
	Err  error
}

func (s *Source) fail() {
	s.Rest, s.Err = "", ErrTorn
}

// Uint reads what [Sink.Uint] wrote.
func (s *Source) Uint() uint64 {
	var v uint64
	for i := range min(len(s.Rest), binary.MaxVarintLen64) {
		c := s.Rest[i]
		if c >= 0x80 {
			v |= uint64(c&0x7f) << (7 * i)
			continue
		}
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		s.Rest = s.Rest[i+1:]
		return v | uint64(c)<<(7*i)
	}
	s.fail()
	return 0
}

// Int reads what [Sink.Int] wrote.
func (s *Source) Int() int64 {
	v := s.Uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (s *Source) take(n uint64) string {
	if n > uint64(len(s.Rest)) {
		s.fail()
		return ""
	}
	part := s.Rest[:n]
	s.Rest = s.Rest[n:]
	return part
}

// Str reads what [Sink.Str] wrote.
func (s *Source) Str() string { return s.take(s.Uint()) }

// count reads a length; absent means nil. Each element takes a byte at least,
// so a length beyond what is left is a lie.
func (s *Source) count() (n int, absent bool) { return s.countOf(s) }

// countOf reads the length of what stands in the other source.
func (s *Source) countOf(other *Source) (n int, absent bool) {
	v := s.Uint()
	if v == 0 {
		return 0, true
	}
	if v-1 > uint64(len(other.Rest)) {
		s.fail()
		return 0, true
	}
	return int(v - 1), false
}

// Strs reads what [Sink.Strs] wrote.
func (s *Source) Strs() []string {
	n, absent := s.count()
	if absent {
		return nil
	}
	v := make([]string, n)
	for i := range v {
		v[i] = s.Str()
	}
	return v
}

// Bits reads what [Sink.Bits] wrote.
func (s *Source) Bits(flags ...*bool) {
	b := s.take(1)
	if len(b) == 0 {
		return
	}
	for i, f := range flags {
		*f = b[0]&(1<<i) != 0
	}
}

func (s *Source) time() time.Time {
	sec, nsec := s.Int(), s.Uint()
	if nsec >= uint64(time.Second) {
		s.fail()
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}
