package plant

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"ippwatch/gate"
)

const (
	// proofTime is how long a request may keep a core busy.
	proofTime = 20 * time.Second
	// mostText bounds what is read of a router's configuration.
	mostText = 10 << 20
)

var tooLong = &gate.Problem{ //nolint:errname // it is an answer first
	Status: http.StatusServiceUnavailable, Code: "proof-long", Detail: "that takes too long here, or others are being computed",
	Hint: "ippwatch filter on the command line has no limit of time",
}

// compute runs what keeps a core busy, one at a time. Readers and provers know of
// no context: what is not done in time goes on to its end, and the next has to
// wait for it.
func compute[T any](ctx context.Context, p *Plant, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	select {
	case p.proofs <- struct{}{}:
	case <-ctx.Done():
		return none, tooLong
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-p.proofs }()
		defer func() {
			if wrong := recover(); wrong != nil { // a stranger's text must not end the daemon
				p.Log.Error("panic in a filter", "what", fmt.Sprint(wrong), "stack", string(debug.Stack()))
				done <- result{err: fmt.Errorf("read a filter: %v", wrong)}
			}
		}()
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, tooLong
	}
}
