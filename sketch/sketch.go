// Package sketch counts how many different ones there were, in little memory:
// HyperLogLog, with hashes that are the same everywhere, so that what several
// sensors counted can be put together.
package sketch

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/axiomhq/hyperloglog"
)

// precision gives estimates within 1.6 % (one standard deviation) for 4 KiB.
const precision = 12

// maxBytes is more than any sketch of ours has: another's is a stranger's.
const maxBytes = 16 << 10

// most is how many are remembered one by one: until then the count is exact, and
// the sketch small. The library's own sparse form costs a microsecond for each.
const most = 64

// A Sketch counts. Whoever knows the hashes can make an estimate too small, which
// he could do by staying silent, too.
type Sketch struct {
	few []uint64
	hll *hyperloglog.Sketch // once there are more
}

// New returns an empty sketch.
func New() *Sketch { return &Sketch{} }

func empty(sparse bool) *hyperloglog.Sketch {
	hll, err := hyperloglog.NewSketch(precision, sparse)
	if err != nil {
		panic("sketch: " + err.Error()) // the precision is a constant
	}
	return hll
}

// Add counts what has this hash.
func (s *Sketch) Add(hash uint64) {
	if s.hll != nil {
		s.hll.InsertHash(hash)
		return
	}
	for _, had := range s.few {
		if had == hash {
			return
		}
	}
	if len(s.few) < most {
		s.few = append(s.few, hash)
		return
	}
	s.grow().InsertHash(hash)
}

// grow makes the sketch one of many.
func (s *Sketch) grow() *hyperloglog.Sketch {
	if s.hll == nil {
		s.hll = empty(false)
		for _, hash := range s.few {
			s.hll.InsertHash(hash)
		}
		s.few = nil
	}
	return s.hll
}

// Addr counts an address.
func (s *Sketch) Addr(a netip.Addr) { s.Add(HashAddr(a)) }

// HashAddr is by what an address is counted.
func HashAddr(a netip.Addr) uint64 { return mix(halves(a)) }

// Network counts the /24 or the /48 of an address.
func (s *Sketch) Network(a netip.Addr) {
	hi, lo := halves(a)
	if a.Is4() {
		s.Add(mix(hi, lo&^0xff))
		return
	}
	s.Add(mix(hi&^0xffff, 0))
}

// Text counts a text.
func (s *Sketch) Text(t string) { s.Add(HashText(t)) }

// Join adds what another one counted.
func (s *Sketch) Join(other *Sketch) {
	if other.hll == nil {
		for _, hash := range other.few {
			s.Add(hash)
		}
		return
	}
	if err := s.grow().Merge(other.hll); err != nil {
		panic("sketch: " + err.Error()) // all have one precision
	}
}

// Merge adds what a sketch counted that was written by [Sketch.Bytes].
func (s *Sketch) Merge(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(b) > maxBytes {
		return fmt.Errorf("sketch of %d bytes", len(b))
	}
	var other hyperloglog.Sketch
	if err := other.UnmarshalBinary(b); err != nil {
		return fmt.Errorf("read sketch: %w", err)
	}
	if err := s.grow().Merge(&other); err != nil {
		return fmt.Errorf("merge sketch: %w", err)
	}
	return nil
}

// Estimate is about how many there were.
func (s *Sketch) Estimate() uint64 {
	if s.hll == nil {
		return uint64(len(s.few))
	}
	return s.hll.Estimate()
}

// Bytes is the sketch in a form that lasts; nil when it is empty.
func (s *Sketch) Bytes() []byte {
	hll := s.hll
	if hll == nil {
		if len(s.few) == 0 {
			return nil
		}
		hll = empty(true)
		for _, hash := range s.few {
			hll.InsertHash(hash)
		}
	}
	b, err := hll.MarshalBinary()
	if err != nil {
		panic("sketch: " + err.Error()) // it writes into memory
	}
	return b
}

func halves(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// mix is the finalizer of MurmurHash3 over both halves.
func mix(hi, lo uint64) uint64 {
	x := hi*0x9e3779b97f4a7c15 ^ lo
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// HashText is by what a text is counted: FNV-1a, finished by mix, as its own low
// bits are poor.
func HashText(t string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(t) {
		h = (h ^ uint64(t[i])) * 1099511628211
	}
	return mix(h, uint64(len(t)))
}
