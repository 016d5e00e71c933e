// Package desk is the print service of a sensor: what strangers who come to
// 631/TCP find there.
//
// A [Face] says what is played: a CUPS server or a device. [Choose] picks one
// by a seed, so that a fleet of sensors does not look alike and each looks the
// same tomorrow. Use it so:
//
//	face := desk.Choose("seed of this sensor", time.Now())
//	spool, err := desk.OpenSpool(filepath.Join(data, "spool"), desk.Caps{}, time.Now)
//	cert, err := desk.OpenCertificate(filepath.Join(data, "desk-tls.pem"), face)
//	d, err := desk.New(desk.Options{
//		Face: face, Sensor: "edge-1", Spool: spool, Certificate: cert,
//		Seen: func(v exposure.Visit) { ... },        // one for each exchange; from many goroutines
//		Scanners: func(a netip.Addr) []exposure.Scanner { ... },
//	})
//	err = d.Run(ctx, listener)                      // returns when the context ends; closes the listener
//
// Seen is told of each exchange when it is over: whole, with class, severity,
// reasons and evidence, but without Where. It must not block for long: the
// stranger waits. Run may be called for several listeners at once.
//
// The desk opens no connection, resolves no name, fetches nothing and opens no
// document. It answers whole requests only.
package desk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ippwatch/exposure"
)

// Limits bound what strangers cost. A zero field stands for that of
// [DefaultLimits].
type Limits struct {
	Connections int           // open at one time
	PerSource   int           // of them from one address (IPv6: /64)
	Exchanges   int           // on one connection
	Head        time.Duration // for a head to arrive once it has begun
	Idle        time.Duration // between two exchanges
	Body        time.Duration // for a body
	Life        time.Duration // of a connection
	BodyBytes   int64         // of one request
}

// DefaultLimits returns limits that no real client of a printer reaches.
func DefaultLimits() Limits {
	return Limits{
		Connections: 1024, PerSource: 32, Exchanges: 200, Head: 10 * time.Second, Idle: 30 * time.Second,
		Body: 2 * time.Minute, Life: 10 * time.Minute, BodyBytes: 64 << 20,
	}
}

// Options are what a desk is made of.
type Options struct {
	Face        Face
	Sensor      string           // its name, in visits
	Certificate *tls.Certificate // nil: no TLS
	Spool       *Spool           // nil: documents are hashed and thrown away
	Limits      Limits
	Seen        func(exposure.Visit)
	// Scanners returns who lists an address; nil knows nobody.
	Scanners func(netip.Addr) []exposure.Scanner
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // of what is wrong with us; nil: nothing
}

// A Desk receives strangers.
type Desk struct {
	Options
	manner manner
	conns  atomic.Uint64

	mu     sync.Mutex
	open   map[netip.Addr]int
	total  int
	counts Counts
}

// Counts are what a desk has met so far.
type Counts struct {
	Connections uint64 `json:"connections"`
	Refused     uint64 `json:"refused"` // connections, because a limit was reached
	Exchanges   uint64 `json:"exchanges"`
	Broken      uint64 `json:"broken"` // exchanges that were not read to their end
}

var errFace = errors.New("want a face that is either a CUPS server or a device")

// New returns a desk that does nothing yet.
func New(o Options) (*Desk, error) {
	if (o.Face.CUPS == nil) == (o.Face.Device == nil) {
		return nil, fmt.Errorf("desk: %w", errFace)
	}
	def := DefaultLimits()
	for _, f := range []struct{ have, or *int }{
		{&o.Limits.Connections, &def.Connections}, {&o.Limits.PerSource, &def.PerSource}, {&o.Limits.Exchanges, &def.Exchanges},
	} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	for _, f := range []struct{ have, or *time.Duration }{
		{&o.Limits.Head, &def.Head}, {&o.Limits.Idle, &def.Idle}, {&o.Limits.Body, &def.Body}, {&o.Limits.Life, &def.Life},
	} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	if o.Limits.BodyBytes <= 0 {
		o.Limits.BodyBytes = def.BodyBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Seen == nil {
		o.Seen = func(exposure.Visit) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m, err := o.Face.manner()
	if err != nil {
		return nil, fmt.Errorf("desk: %w", err)
	}
	return &Desk{Options: o, manner: m, open: make(map[netip.Addr]int)}, nil
}

// Counts returns what the desk has met so far.
func (d *Desk) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Run serves the listener until the context ends, and returns when the last of
// its connections is closed.
func (d *Desk) Run(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("print service on %s: %w", l.Addr(), err)
			}
			// Most likely out of descriptors: connections will end.
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return nil
			}
			continue
		}
		from := addrPort(c.RemoteAddr())
		if !d.admit(from.Addr()) {
			_ = c.Close()
			continue
		}
		conns.Go(func() {
			defer d.leave(from.Addr())
			d.receive(ctx, c, from)
		})
	}
}

func (d *Desk) admit(from netip.Addr) bool {
	from = sourceOf(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total >= d.Limits.Connections || d.open[from] >= d.Limits.PerSource {
		d.counts.Refused++
		return false
	}
	d.counts.Connections++
	d.total++
	d.open[from]++
	return true
}

func (d *Desk) leave(from netip.Addr) {
	from = sourceOf(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if d.open[from]--; d.open[from] == 0 {
		delete(d.open, from)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
