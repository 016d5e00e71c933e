package enrich

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A Reverse asks for names in reverse DNS, slowly: the servers at the far end
// are other people's, and the names tell them that somebody is looking. The
// zero value asks the system's resolver at the default pace.
type Reverse struct {
	Resolver  *net.Resolver // nil: [net.DefaultResolver]
	PerSecond int           // questions; 0: 20
	AtOnce    int           // questions without an answer yet; 0: 8
	Timeout   time.Duration // for one answer; 0: 2 s

	once  sync.Once
	seats chan struct{}
	mu    sync.Mutex
	next  time.Time // when the next question may be asked
}

const (
	defaultPerSecond = 20
	defaultAtOnce    = 8
	defaultTimeout   = 2 * time.Second
	maxHostname      = 253 // RFC 1035, section 3.1, as text without the final dot
	maxLabel         = 63
)

// prepare fills in the defaults.
func (r *Reverse) prepare() {
	if r.Resolver == nil {
		r.Resolver = net.DefaultResolver
	}
	if r.PerSecond <= 0 {
		r.PerSecond = defaultPerSecond
	}
	if r.AtOnce <= 0 {
		r.AtOnce = defaultAtOnce
	}
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	r.seats = make(chan struct{}, r.AtOnce)
}

// name asks for the name of the address. Whatever goes wrong, there is none.
func (r *Reverse) name(ctx context.Context, a netip.Addr) string {
	r.once.Do(r.prepare)
	select {
	case r.seats <- struct{}{}:
		defer func() { <-r.seats }()
	case <-ctx.Done():
		return ""
	}
	if !r.wait(ctx) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	names, err := r.Resolver.LookupAddr(ctx, a.String())
	if err != nil && len(names) == 0 {
		return ""
	}
	for _, name := range names {
		if name = strings.TrimSuffix(name, "."); isHostname(name) {
			return strings.ToLower(name)
		}
	}
	return ""
}

// wait keeps the questions evenly apart.
func (r *Reverse) wait(ctx context.Context) bool {
	r.mu.Lock()
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	delay := r.next.Sub(now)
	r.next = r.next.Add(time.Second / time.Duration(r.PerSecond))
	r.mu.Unlock()
	if delay <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isHostname reports whether the text is letters, digits and hyphens in labels
// (RFC 1123, section 2.1); an underscore, which many providers use, is allowed.
// A PTR record may hold any bytes, and its writer is a stranger.
func isHostname(s string) bool {
	if s == "" || len(s) > maxHostname {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if (c < 'a' || c > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
	}
	return true
}
