package sketch

import "math/bits"

// A Point is what a sketch keeps of one hash: which of its registers, and how
// far up. Half a million addresses of the Internet share a point, so that a list
// of points counts like a sketch and names nobody.
type Point uint16

// height is the highest that a point tells; more is met once in 2^27 hashes.
const height = 15

// PointOf returns the point of a hash.
func PointOf(hash uint64) Point {
	up := bits.LeadingZeros64(hash<<precision|1<<(precision-1)) + 1
	return Point(hash>>(64-precision)<<4) | Point(min(up, height))
}

// A Register counts points: the union of what days or groups have is the union
// of their points.
type Register struct {
	up [1 << precision]uint8
}

// Add counts a point.
func (r *Register) Add(p Point) {
	if i, up := p>>4, uint8(p&0xf); r.up[i] < up {
		r.up[i] = up
	}
}

// Join adds what another one counted.
func (r *Register) Join(other *Register) {
	for i, up := range other.up {
		r.up[i] = max(r.up[i], up)
	}
}

// Estimate is about how many there were; see [Error].
func (r *Register) Estimate() uint64 {
	hll := empty(false)
	none := true
	for i, up := range r.up {
		if up > 0 {
			none = false
			hll.InsertHash(uint64(i)<<(64-precision) | 1<<(64-precision-uint64(up)))
		}
	}
	if none {
		return 0
	}
	return hll.Estimate()
}

// Error is the standard error of an estimate, as a share: 1.04/√2^precision.
const Error = 0.01625
