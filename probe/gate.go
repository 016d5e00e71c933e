package probe

import (
	"errors"
	"net/netip"
	"time"
)

// A Gate is asked at the last moment before each send (DESIGN.md, rules 1 and
// 12): the scope, its expiry, exclusions that came meanwhile, a pause.
type Gate interface {
	// Allow returns nil if a packet may be sent to the address now, an error
	// that wraps ErrHold if nothing may be sent to anybody, and another error
	// if this address is to be left alone.
	Allow(to netip.Addr, at time.Time) error
}

// ErrHold is wrapped by the errors of a [Gate] that stop all sending.
var ErrHold = errors.New("all sending is held")
