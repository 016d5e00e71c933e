// Package probe asks hosts over UDP whether their cups-browsed calls back, and
// paces all that is sent.
package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"ippwatch/callback"
	"ippwatch/exposure"
)

// DefaultGrace is how long a call-back is waited for. The first comes within
// milliseconds, the last of a normal host within half a second (facts/cups.md
// 1.4 and 1.6); the rest is for hosts that are slow or busy.
const DefaultGrace = 15 * time.Second

// A Sender sends browse packets and hears ICMP errors: a [UDP].
type Sender interface {
	Send(ctx context.Context, to netip.AddrPort, payload []byte) error
	Run(ctx context.Context, refused func(Refused)) error
}

// A BrowseConfig is what a [Browse] needs. Source, Run and Vantage go into the
// observations as they are.
type BrowseConfig struct {
	Run     string
	Source  exposure.Source
	Vantage string

	Key     *callback.Key
	Address callback.Advertised // only a self-check gives one (DESIGN.md, rule 3)
	Contact string              // from the scope file
	Verify  bool                // to verify a fix: begin with the second text
	Grace   time.Duration       // DefaultGrace if zero
	Sender  Sender
	Pacer   *Pacer
	Gate    Gate

	// Again tells whether a silent host once called back: it is asked a second
	// time, with the other text. May be nil.
	Again func(netip.Addr) bool
	// Observe takes exactly one observation of each target that was dealt with.
	Observe func(exposure.Observation)
	// Late takes observations of hosts that called after their time. May be nil.
	Late func(exposure.Observation)
	// Skipped takes targets that nothing was sent to, with the reason: the
	// gate's, or ErrAsked. There is no observation of them. May be nil.
	Skipped func(netip.AddrPort, error)
}

// ErrAsked is the reason for not asking a target for which we wait already.
var ErrAsked = errors.New("it was asked and may still answer")

var (
	errNotSent = errors.New("not sent") // by the kernel
	errEnded   = errors.New("nobody waits for answers any more")
)

// A Browse asks hosts by UDP and hears, through a [callback.Server], which of
// them call back. Its memory grows with those for which it waits: the pace
// times the grace, not the number of targets.
//
// Wire its Heard into the server with [callback.Server.Credit], start Run, hand
// it batches, and Drain it. When Run has ended, credit the key to a [Late] of
// the same origin. Observe, Late and Skipped are never called at the same time,
// and must not call the Browse.
type Browse struct {
	cfg    BrowseConfig
	origin Origin
	late   *Late

	deliver sync.Mutex // held while a handler of the configuration runs

	mu      sync.Mutex
	waiting map[netip.AddrPort]*asked
	queue   []*asked // in the order of sending, which is that of their ends
	again   []*asked // to be asked a second time
	callers map[netip.AddrPort]struct{}
	ended   bool
	idle    chan struct{} // closed while nobody is waited for
	wake    chan struct{} // something came into queue
	recall  chan struct{} // something came into again
}

// An asked is a target for which we wait.
type asked struct {
	target  netip.AddrPort
	attempt uint8
	sent    [2]time.Time // by attempt
	refused *Refused     // the last ICMP error
	tally   *callback.Tally
	caller  uint8 // the attempt for which it called first
}

// maxCallers bounds the memory of who called back already, whose further calls
// are no news. Beyond it they are observed as late.
const maxCallers = 1 << 16

// NewBrowse returns a Browse that does nothing yet.
func NewBrowse(cfg BrowseConfig) (*Browse, error) {
	if !cfg.Address.AddrPort().IsValid() {
		return nil, errors.New("ask over UDP: the call-back address was not checked")
	}
	if cfg.Key == nil || cfg.Key.Run() != cfg.Run {
		return nil, fmt.Errorf("ask over UDP: no key of run %s", cfg.Run)
	}
	if err := checkContact(cfg.Contact); err != nil {
		return nil, err
	}
	if cfg.Grace <= 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Again == nil {
		cfg.Again = func(netip.Addr) bool { return false }
	}
	if cfg.Late == nil {
		cfg.Late = func(exposure.Observation) {}
	}
	if cfg.Skipped == nil {
		cfg.Skipped = func(netip.AddrPort, error) {}
	}
	b := &Browse{
		cfg:     cfg,
		origin:  Origin{cfg.Run, cfg.Source, cfg.Vantage, Wording{cfg.Address.AddrPort(), cfg.Contact, cfg.Verify}},
		waiting: make(map[netip.AddrPort]*asked),
		callers: make(map[netip.AddrPort]struct{}),
		idle:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		recall:  make(chan struct{}, 1),
	}
	close(b.idle)
	b.late = NewLate(b.origin, func(o exposure.Observation) { b.hand(func() { cfg.Late(o) }) })
	return b, nil
}

// Origin returns what the observations have in common, and what the packets say.
func (b *Browse) Origin() Origin { return b.origin }

// Batch asks the targets at the pace and returns when the last packet is with
// the kernel; observations follow through Observe. It returns how many targets,
// from the first on, were dealt with: asked, skipped, or not applicable. The
// rest is untouched when the context ends or the gate holds all sending.
func (b *Browse) Batch(ctx context.Context, targets []netip.AddrPort) (int, error) {
	for i, target := range targets {
		target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
		if !target.Addr().Is4() {
			b.observe(b.origin.observation(target, 0, exposure.NotApplicable, time.Now()))
			continue
		}
		err := b.ask(ctx, &asked{target: target})
		switch {
		case err == nil:
		case ctx.Err() != nil || errors.Is(err, ErrHold) || errors.Is(err, errEnded):
			return i, fmt.Errorf("ask %s over UDP: %w", target, err)
		case errors.Is(err, errNotSent):
			b.observe(b.unsent(target, err))
		default:
			b.hand(func() { b.cfg.Skipped(target, err) })
		}
	}
	return len(targets), nil
}

// ask sends one packet, the first or the second, and waits for nothing.
func (b *Browse) ask(ctx context.Context, a *asked) error {
	if err := b.cfg.Pacer.Wait(ctx, a.target.Addr()); err != nil {
		return err
	}
	now := time.Now()
	if err := b.cfg.Gate.Allow(a.target.Addr(), now); err != nil {
		return err
	}
	// A call can be here before Send returns.
	b.mu.Lock()
	known := b.waiting[a.target]
	if b.ended || known != nil && known != a {
		defer b.mu.Unlock()
		if b.ended {
			return errEnded
		}
		return ErrAsked
	}
	a.sent[a.attempt] = now
	a.refused = nil
	if known == nil {
		b.waiting[a.target] = a
		if len(b.waiting) == 1 {
			b.idle = make(chan struct{})
		}
	}
	b.mu.Unlock()

	packet := b.origin.Wording.packet(nil, b.cfg.Key.Seal(a.target, a.attempt, now), a.attempt)
	err := b.cfg.Sender.Send(ctx, a.target, packet)

	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.waiting[a.target] != a: // interrupted, and observed so, meanwhile
		return nil
	case err != nil:
		if known == nil {
			b.forget(a)
		}
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	b.queue = append(b.queue, a)
	nudge(b.wake)
	return nil
}

// unsent returns the observation of a target to which the kernel sent nothing.
func (b *Browse) unsent(target netip.AddrPort, err error) exposure.Observation {
	verdict := exposure.Interrupted
	if errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
		verdict = exposure.Unreachable
	}
	o := b.origin.observation(target, 0, verdict, time.Now())
	o.Reason = err.Error()
	return o
}

// forget ends the waiting for a; b.mu is held.
func (b *Browse) forget(a *asked) {
	delete(b.waiting, a.target)
	if len(b.waiting) == 0 {
		close(b.idle)
	}
}

// Heard takes a call for a token of this run; it is the handler for
// [callback.Server.Credit]. The call is credited to the host that was asked,
// wherever it came from.
func (b *Browse) Heard(c callback.Call) {
	b.mu.Lock()
	a := b.waiting[c.Token.Target]
	_, called := b.callers[c.Token.Target]
	if a == nil || c.Token.Attempt > a.attempt {
		b.mu.Unlock()
		if !called {
			b.late.Heard(c)
		}
		return
	}
	defer b.mu.Unlock()
	if a.tally == nil {
		a.tally = &callback.Tally{}
		a.caller = c.Token.Attempt
	}
	a.tally.Add(c)
}

// refused takes an ICMP error.
func (b *Browse) refused(r Refused) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.waiting[r.Target]; a != nil {
		a.refused = &r
	}
}

// Drain returns when nobody is waited for any more, or with the context's
// error; then some still are, until Run ends.
func (b *Browse) Drain(ctx context.Context) error {
	b.mu.Lock()
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		b.hand(func() {}) // the last observation is on its way
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for call-backs: %w", ctx.Err())
	}
}

// Run observes targets as their time ends. When the context ends, those that
// are still silent were interrupted. It fails only if the sender does.
func (b *Browse) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	var failed error
	all.Go(func() {
		if failed = b.cfg.Sender.Run(ctx, b.refused); failed != nil {
			cancel(failed)
		}
	})
	all.Go(func() { b.late.Run(ctx) })
	all.Go(func() { b.askAgain(ctx) })
	b.settleUntilDone(ctx)
	all.Wait()
	b.interrupt()
	return failed
}

// settleUntilDone settles the queue's head whenever its time has come.
func (b *Browse) settleUntilDone(ctx context.Context) {
	for ctx.Err() == nil {
		b.mu.Lock()
		var head *asked
		if len(b.queue) > 0 {
			head = b.queue[0]
		}
		b.mu.Unlock()
		if head == nil {
			select {
			case <-b.wake:
			case <-ctx.Done():
			}
			continue
		}
		if sleepUntil(ctx, head.sent[head.attempt].Add(b.cfg.Grace)) != nil {
			return
		}
		b.mu.Lock()
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.mu.Unlock()
		b.settle(head)
	}
}

// settle observes a target whose time has ended. A silent one that once called
// is put aside to be asked again.
func (b *Browse) settle(a *asked) {
	b.mu.Lock()
	silent := a.tally == nil && a.refused == nil && a.attempt == 0
	b.mu.Unlock()
	again := silent && b.cfg.Again(a.target.Addr())

	if again {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.again = append(b.again, a)
		nudge(b.recall)
		return
	}
	b.finish(a, exposure.NoCallback)
}

// finish observes a target and ends the waiting for it, in one step for whoever
// drains.
func (b *Browse) finish(a *asked, silence exposure.Verdict) {
	b.hand(func() {
		b.mu.Lock()
		o := b.judge(a, silence, time.Now())
		b.mu.Unlock()
		b.cfg.Observe(o)
	})
}

// judge ends the waiting for a; b.mu is held. A call counts more than an ICMP
// error, which may come from a box on the way.
func (b *Browse) judge(a *asked, silence exposure.Verdict, now time.Time) exposure.Observation {
	b.forget(a)
	switch {
	case a.tally != nil:
		if len(b.callers) < maxCallers {
			b.callers[a.target] = struct{}{}
		}
		return b.origin.called(a.target, a.caller, a.sent[a.caller], a.tally)
	case a.refused != nil:
		o := b.origin.observation(a.target, a.attempt, a.refused.Verdict, a.refused.At)
		o.Reason = a.refused.Reason
		return o
	}
	return b.origin.observation(a.target, a.attempt, silence, now)
}

// askAgain asks those a second time that once called and are silent.
func (b *Browse) askAgain(ctx context.Context) {
	for {
		b.mu.Lock()
		var a *asked
		if len(b.again) > 0 {
			a = b.again[0]
			b.again[0] = nil
			b.again = b.again[1:]
			a.attempt = 1
		}
		b.mu.Unlock()
		if a == nil {
			select {
			case <-b.recall:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := b.ask(ctx, a); err != nil && ctx.Err() == nil {
			// The first packet's silence stands.
			b.mu.Lock()
			a.attempt = 0
			b.mu.Unlock()
			b.finish(a, exposure.NoCallback)
		}
	}
}

// interrupt observes all for whom we still wait.
func (b *Browse) interrupt() {
	b.mu.Lock()
	b.ended, b.queue, b.again = true, nil, nil
	rest := slices.Collect(maps.Values(b.waiting))
	for _, a := range rest {
		if a.sent[a.attempt].IsZero() {
			a.attempt = 0 // the second packet was not sent
		}
	}
	b.mu.Unlock()
	for _, a := range rest {
		b.finish(a, exposure.Interrupted)
	}
}

func (b *Browse) observe(o exposure.Observation) { b.hand(func() { b.cfg.Observe(o) }) }

func (b *Browse) hand(deliver func()) {
	b.deliver.Lock()
	defer b.deliver.Unlock()
	deliver()
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
