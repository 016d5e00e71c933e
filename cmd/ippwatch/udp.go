package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"ippwatch/callback"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/space"
	"ippwatch/store"
)

// An ear is the listener for call-backs and what runs beside it.
type ear struct {
	server *callback.Server
	socket *probe.UDP
	stop   context.CancelFunc
	secret []byte // of the run's tokens
	group  sync.WaitGroup
}

// hear listens for call-backs, once our own advertised address is proven to lead
// to us (DESIGN.md, rule 3).
func hear(ctx context.Context, flag string, set space.Set) (*ear, callback.Advertised, error) {
	var none callback.Advertised
	want, farthest, err := advertise(ctx, flag, set)
	if err != nil {
		return nil, none, err
	}
	listener, err := listen(ctx, want)
	if err != nil {
		return nil, none, hint(fmt.Errorf("listen for call-backs: %w", err), "choose a free port of ours: --callback %s:PORT", want.Addr())
	}
	if want.Port() == 0 {
		want = netip.AddrPortFrom(want.Addr(), listener.Addr().(*net.TCPAddr).AddrPort().Port())
	}
	if err := callback.Usable(want, farthest); err != nil {
		_ = listener.Close()
		return nil, none, hint(err, "give an address of ours that the targets can reach: --callback HOST:PORT")
	}
	// The listener outlives the scan's context by the time it takes to observe
	// what was interrupted.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &ear{server: callback.New(listener, callback.Limits{}), stop: stop}
	e.group.Go(func() { _ = e.server.Run(serving) })
	advertised, err := e.server.Check(ctx, want)
	if err != nil {
		e.close()
		return nil, none, hint(controlError{err}, "no packet was sent; the address must lead to this machine: --callback HOST:PORT")
	}
	return e, advertised, nil
}

// addUDP gives the scan its UDP leg.
func (s *street) addUDP(ctx context.Context, h *house, f *scanFlags, scan *campaign.Scan, pacer *probe.Pacer) (func(), error) {
	e, advertised, err := hear(ctx, f.callback, scan.Set)
	if err != nil {
		return nil, err
	}
	if e.socket, err = probe.OpenUDP(ctx); err != nil {
		e.close()
		return nil, err
	}
	if !e.socket.HearsICMP() {
		s.Note("this system does not tell of ICMP errors: a closed port looks like silence")
	}
	s.Note("call-backs are heard at %s; a vulnerable host may keep an empty queue afterwards: docs/ethics.md", advertised.AddrPort())
	if err := s.credit(ctx, h, f, scan, e, advertised, pacer); err != nil {
		e.close()
		return nil, err
	}
	return func() {
		ending := context.WithoutCancel(ctx)
		s.countCalls(ending, h, e.server.Counts())
		// A token is good for a day from its packet, and the last was sent now.
		if err := h.store.PutKey(ending, scan.Run.ID, e.secret, s.now()); err != nil {
			s.Note("keep the key for late calls: %v", err)
		}
		e.close()
	}, nil
}

func (e *ear) close() {
	e.stop()
	e.group.Wait()
	if e.socket != nil {
		_ = e.socket.Close()
	}
}

// credit makes the prober of this run, and takes late calls for the runs of the
// last 24 hours.
func (s *street) credit(ctx context.Context, h *house, f *scanFlags, scan *campaign.Scan, e *ear, at callback.Advertised, pacer *probe.Pacer) error {
	run := scan.Run
	kept, err := h.store.Keys(ctx, s.now())
	if err != nil {
		return err
	}
	var secret []byte
	for _, k := range kept {
		if k.Run == run.ID {
			if secret == nil { // the newest
				secret = k.Secret
			}
			continue
		}
		if err := s.creditLate(ctx, h, scan, e, at, k); err != nil {
			return err
		}
	}
	if secret == nil {
		secret = callback.NewSecret()
		if err := h.store.PutKey(ctx, run.ID, secret, s.now()); err != nil {
			return err
		}
	}
	e.secret = secret
	key, err := callback.NewKey(run.ID, secret)
	if err != nil {
		return err
	}
	browse, err := probe.NewBrowse(probe.BrowseConfig{
		Run: run.ID, Source: runSource(run), Vantage: run.Vantage, Key: key, Address: at, Contact: run.ContactPoint,
		Verify: runSource(run) == exposure.Verification,
		Grace:  f.grace, Sender: e.socket, Pacer: pacer, Gate: campaign.Gate{Guard: scan.Guard},
		Again: func(a netip.Addr) bool {
			before, err := h.store.CalledBackBefore(ctx, a)
			return err == nil && before
		},
		Observe: scan.Heard, Skipped: scan.Skipped, Late: scan.Late,
	})
	if err != nil {
		return err
	}
	e.server.Credit(key, browse.Heard)
	scan.Prober = browse
	return nil
}

// creditLate credits calls to a run that has ended.
func (s *street) creditLate(ctx context.Context, h *house, scan *campaign.Scan, e *ear, at callback.Advertised, k store.Key) error {
	run, err := h.store.Run(ctx, s.view(), k.Run)
	if errors.Is(err, store.ErrNoRun) {
		return nil // it ended before it began, and asked nobody
	}
	if err != nil {
		return err
	}
	key, err := callback.NewKey(k.Run, k.Secret)
	if err != nil {
		return err
	}
	late := probe.NewLate(probe.Origin{
		Run: run.ID, Source: runSource(run), Vantage: run.Vantage,
		Wording: probe.Wording{Callback: at.AddrPort(), Contact: run.ContactPoint, Verify: runSource(run) == exposure.Verification},
	}, scan.Late)
	e.server.Credit(key, late.Heard)
	scan.Beside = append(scan.Beside, late.Run)
	return nil
}

func (s *street) countCalls(ctx context.Context, h *house, c callback.Counts) {
	if c.Forged+c.Expired+c.Replayed+c.NotACall == 0 {
		return
	}
	s.Note("requests to the call-back address: %s", c)
	for kind, n := range map[store.CallKind]uint64{store.Forged: c.Forged, store.Expired: c.Expired, store.Replayed: c.Replayed} {
		if err := h.store.CountCalls(ctx, kind, n, s.now()); err != nil {
			s.Note("count call-backs: %v", err)
		}
	}
}

// advertise is the address that hosts are asked to call, and how far away the
// farthest of them is.
func advertise(ctx context.Context, flag string, set space.Set) (netip.AddrPort, callback.Reach, error) {
	farthest := callback.Nowhere
	var target netip.Addr
	for _, p := range set.Prefixes() {
		if !p.Addr().Is4() {
			continue
		}
		if r := callback.ReachOf(p.Addr()); r > farthest || !target.IsValid() {
			farthest, target = max(r, farthest), p.Addr()
		}
	}
	if !target.IsValid() {
		return netip.AddrPort{}, 0, hint(errors.New("--udp asks over IPv4 only, and the scope has no IPv4 address"), "scan without --udp")
	}
	if flag == "" {
		out, err := callback.Outgoing(ctx, target)
		return netip.AddrPortFrom(out, 0), farthest, err
	}
	at, err := netip.ParseAddrPort(flag)
	if err != nil || !at.Addr().Is4() {
		return netip.AddrPort{}, 0, usage("--callback %q: want an IPv4 address and a port, such as 198.51.100.7:6310", flag)
	}
	return at, farthest, nil
}

// listen binds the advertised address, or all when it is not one of this
// machine's, as behind a NAT that forwards to us.
func listen(ctx context.Context, want netip.AddrPort) (net.Listener, error) {
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp4", want.String())
	if err == nil {
		return l, nil
	}
	if own, known := ours(want.Addr()); !known || own {
		return nil, err
	}
	return cfg.Listen(ctx, "tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), want.Port()).String())
}

// ours reports whether an address is one of this machine's.
func ours(a netip.Addr) (own, known bool) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, false
	}
	for _, i := range addrs {
		if p, err := netip.ParsePrefix(i.String()); err == nil && p.Addr().Unmap() == a {
			return true, true
		}
	}
	return a.IsLoopback(), true
}
