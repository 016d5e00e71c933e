package gate

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A limiter lets each key do so much a second, and a burst after a pause.
type limiter[K comparable] struct {
	rate, burst float64

	mu      sync.Mutex // guards buckets
	buckets map[K]bucket
}

type bucket struct {
	level float64
	at    time.Time
}

// maxBuckets bounds the memory: whoever owns a /32 of IPv6 has 2^32 of /64.
const maxBuckets = 1 << 16

func newLimiter[K comparable](rate, burst float64) *limiter[K] {
	return &limiter[K]{rate: rate, burst: burst, buckets: make(map[K]bucket)}
}

// take reports whether the key may do one more. A rate of 0 has no limit.
func (l *limiter[K]) take(key K, at time.Time) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[key]
	if !known {
		l.sweep(at)
		b = bucket{level: l.burst, at: at}
	}
	if passed := at.Sub(b.at).Seconds(); passed > 0 {
		b.level = min(l.burst, b.level+passed*l.rate)
		b.at = at
	}
	ok := b.level >= 1
	if ok {
		b.level--
	}
	l.buckets[key] = b
	return ok
}

// left is how many more the key may do at once, and in which time it may do one
// more than that.
func (l *limiter[K]) left(key K, at time.Time) (n int, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	level := l.burst
	if b, known := l.buckets[key]; known {
		level = min(l.burst, b.level+max(0, at.Sub(b.at).Seconds())*l.rate)
	}
	n = int(level)
	if level >= l.burst || l.rate <= 0 {
		return n, 0
	}
	return n, time.Duration((float64(n) + 1 - level) / l.rate * float64(time.Second))
}

// tell says in the headers of an answer to a program how much more it may ask
// (draft-ietf-httpapi-ratelimit-headers): a burst, and what comes back of it a
// second.
func (g *Gate) tell(h http.Header, v *Visit) {
	if g.Config.Rate <= 0 || v.Route == nil || v.Route.Kind != API && v.Route.Kind != Stream {
		return
	}
	n, next := g.addresses.left(near(v.Address), v.At)
	if v.Who != "" {
		if own, wait := g.accounts.left(v.Who, v.At); own < n {
			n, next = own, wait
		}
	}
	seconds := int((next + time.Second - 1) / time.Second)
	h.Set("RateLimit-Policy", fmt.Sprintf(`"requests";q=%d;w=%d`, 10*g.Config.Rate, 10))
	h.Set("RateLimit", fmt.Sprintf(`"requests";r=%d;t=%d`, n, seconds))
	if n == 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, seconds)))
	}
}

// sweep forgets who has waited long enough, when there are many; and if that is
// nobody, half of them by chance: better too lenient than out of memory.
func (l *limiter[K]) sweep(at time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for k, b := range l.buckets {
		if b.level+at.Sub(b.at).Seconds()*l.rate >= l.burst {
			delete(l.buckets, k)
		}
	}
	for k := range l.buckets {
		if len(l.buckets) < maxBuckets/2 {
			return
		}
		delete(l.buckets, k)
	}
}
