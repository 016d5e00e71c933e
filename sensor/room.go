package sensor

import (
	"slices"
	"sync/atomic"
	"time"

	"ippwatch/exposure"
)

// classes is how many there are, and one more for what has none.
const classes = 12

// number is the place of a class in an array.
func number(c exposure.Class) int {
	if i := slices.Index(exposure.Classes, c); i >= 0 {
		return i
	}
	return classes - 1
}

// A room is how many new visits may still be told, class by class: a flood of
// one must not hide a single one of another.
type room struct {
	each int64 // a second
	left [classes]atomic.Int64
	rest [classes]atomic.Int64 // billionths that fill left over
}

// fill adds the room of some time, up to what may be saved up.
func (r *room) fill(d time.Duration) {
	for i := range r.left {
		whole := r.each*int64(d) + r.rest[i].Load()
		r.rest[i].Store(whole % int64(time.Second))
		n := min(whole/int64(time.Second), r.each*int64(burst/time.Second)-r.left[i].Load())
		if n > 0 {
			r.left[i].Add(n)
		}
	}
}

// take takes one, if there is one.
func (r *room) take(class int) bool {
	left := &r.left[class]
	if left.Load() <= 0 {
		return false
	}
	if left.Add(-1) < 0 {
		left.Add(1)
		return false
	}
	return true
}
