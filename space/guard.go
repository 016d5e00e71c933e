package space

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
)

var errNoGuard = errors.New("no guard was set up")

// A Guard is asked immediately before every send (DESIGN.md, rules 1 and 12).
// It may be used by many goroutines at once. A nil or zero Guard allows nothing.
type Guard struct {
	set      Set
	expires  time.Time
	excluded atomic.Pointer[bart.Lite]
	paused   atomic.Bool
}

// NewGuard returns a guard for the set that was made from the scope.
func NewGuard(s Scope, set Set) *Guard {
	return &Guard{set: set, expires: s.Expires}
}

// Allow returns nil when the address may be asked now, else an error that wraps
// ErrPaused, ErrExpired, ErrExcluded or ErrOutside.
func (g *Guard) Allow(a netip.Addr, now time.Time) error {
	switch {
	case g == nil:
		return fmt.Errorf("%s: %w", a, errNoGuard)
	case g.paused.Load():
		return fmt.Errorf("%s: %w", a, ErrPaused)
	case !now.Before(g.expires):
		return fmt.Errorf("%s: %w at %s", a, ErrExpired, g.expires.UTC().Format(time.RFC3339))
	case g.isExcluded(a):
		return fmt.Errorf("%s: %w", a, ErrExcluded)
	case !g.set.Contains(a):
		return fmt.Errorf("%s: %w", a, ErrOutside)
	}
	return nil
}

func (g *Guard) isExcluded(a netip.Addr) bool {
	t := g.excluded.Load()
	return t != nil && t.Contains(a)
}

// SetExcluded replaces the live exclusions, those of the store, by the given
// ones. It binds every Allow that begins after it returns.
func (g *Guard) SetExcluded(prefixes []netip.Prefix) {
	t := new(bart.Lite)
	for _, p := range prefixes {
		if p, ok := canonical(p); ok {
			t.Insert(p)
		}
	}
	g.excluded.Store(t)
}

// SetPaused stops all sending, or lets it go on.
func (g *Guard) SetPaused(paused bool) { g.paused.Store(paused) }
