package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	// DefaultPerNetwork is how many packets or connections a second one /24 or
	// /48 gets at most: a small office does not notice ten, and a /24 of live
	// hosts is done in half a minute.
	DefaultPerNetwork = 10

	// slack is how far a sender may catch up. Timers are that coarse; without
	// it a single sender stays below the pace from some 500 a second on.
	slack = 2 * time.Millisecond

	fewNetworks = 1024
)

// A Pacer spaces packets evenly. It does not save up: a sender that was slow
// for a second may not send a second's worth at once, because the networks at
// the far end would feel the burst and not the average. For the same reason no
// /24 (IPv4) or /48 (IPv6) gets more than its own share of them.
//
// One pacer serves all senders of a scan, over UDP and TCP alike.
type Pacer struct {
	every    time.Duration
	netEvery time.Duration

	mu       sync.Mutex
	next     time.Time
	networks map[netip.Prefix]network
	sweepAt  int
}

// A network is when the next sender to it may come, and when the last went.
type network struct {
	turn, last time.Time
}

// PerSecond returns a pacer for n packets a second, at least one, and
// [DefaultPerNetwork] of them to one network.
func PerSecond(n int) *Pacer {
	p := &Pacer{every: time.Second / time.Duration(max(n, 1)), networks: make(map[netip.Prefix]network), sweepAt: fewNetworks}
	return p.PerNetwork(DefaultPerNetwork)
}

// PerNetwork changes how many of them one /24 or /48 gets, at least one. It
// must not be called once the pacer is in use.
func (p *Pacer) PerNetwork(n int) *Pacer {
	p.netEvery = time.Second / time.Duration(max(n, 1))
	return p
}

// Wait returns when a packet may be sent to the address, or with the context's
// error. The caller sends at once.
func (p *Pacer) Wait(ctx context.Context, to netip.Addr) error {
	netw := networkOf(to)
	if err := sleepUntil(ctx, p.takeTurn(netw, time.Now())); err != nil {
		return err
	}
	for {
		if err := sleepUntil(ctx, p.takeSlot(time.Now())); err != nil {
			return err
		}
		// Senders to one network come in turn, but the wait for the slot may
		// have pushed two of them together.
		again := p.enter(netw, time.Now())
		if again.IsZero() {
			return nil
		}
		if err := sleepUntil(ctx, again); err != nil {
			return err
		}
	}
}

func (p *Pacer) takeTurn(netw netip.Prefix, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.networks) >= p.sweepAt {
		// What is older than its interval says nothing any more, so at most
		// those in flight and those of the last interval are remembered.
		for prefix, n := range p.networks {
			if now.After(n.turn) && now.Sub(n.last) > p.netEvery {
				delete(p.networks, prefix)
			}
		}
		p.sweepAt = max(fewNetworks, 2*len(p.networks))
	}
	n := p.networks[netw]
	at := later(n.turn, now)
	n.turn = at.Add(p.netEvery)
	p.networks[netw] = n
	return at
}

func (p *Pacer) takeSlot(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := later(p.next, now.Add(-slack))
	p.next = at.Add(p.every)
	return at
}

// enter notes that a packet goes to the network now, or returns when to try
// again.
func (p *Pacer) enter(netw netip.Prefix, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.networks[netw]
	if free := n.last.Add(p.netEvery); now.Before(free.Add(-slack)) {
		return free
	}
	n.last = now
	p.networks[netw] = n
	return time.Time{}
}

func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the zero Addr, which nothing can be sent to
	}
	return prefix
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
