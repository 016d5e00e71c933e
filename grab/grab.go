// Package grab holds a conversation over TCP with one print service, in HTTP
// and IPP, and reports what it heard.
package grab

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A Gate is asked immediately before every connect and every request, and may
// refuse it: the scope, exclusions and pauses stand behind it.
type Gate interface {
	Allow(a netip.Addr, now time.Time) error
}

// Options say what is asked, on whose behalf and how long.
type Options struct {
	Run     string
	Vantage string
	Source  exposure.Source // Scan by default
	// Version and Contact go into User-Agent, so that a stranger can tell who
	// asked and whom to write to.
	Version string
	Contact string

	ConnectTimeout time.Duration // 3 s by default
	Timeout        time.Duration // of the whole conversation, 15 s by default
	Limits         Limits

	Admin      bool // ask for the status of the administrator's pages
	Jobs       bool // ask for a list of jobs
	TLSFirst   bool // begin with a TLS handshake; in plain if there is none
	NoTLSCheck bool // make no TLS handshake after an answer in plain

	// Gate may not be nil: without one, nothing is sent.
	Gate Gate
	// Dial replaces the connect of TCP; for tests.
	Dial func(ctx context.Context, target netip.AddrPort) (net.Conn, error)
	// Control is called on each socket before it connects: see [net.Dialer].
	Control func(network, address string, c syscall.RawConn) error
}

// A Grabber holds conversations. Its methods may be called by many goroutines
// at once; each call holds at most one open connection.
type Grabber struct {
	opt     Options
	agent   string
	tls     *tls.Config
	readers sync.Pool // of *bufio.Reader
	bodies  sync.Pool // of *bytes.Buffer
	parsers sync.Pool // of *ipp.Parser
}

// New returns a Grabber. It does nothing yet.
func New(opt Options) *Grabber {
	if opt.Source == "" {
		opt.Source = exposure.Scan
	}
	if opt.ConnectTimeout <= 0 {
		opt.ConnectTimeout = 3 * time.Second
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 15 * time.Second
	}
	if opt.Version == "" {
		opt.Version = "dev"
	}
	opt.Limits = opt.Limits.orDefault()
	if opt.Dial == nil {
		d := &net.Dialer{KeepAlive: -1, Control: opt.Control}
		opt.Dial = func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
			c, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, target)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
	}
	return &Grabber{
		opt:     opt,
		agent:   userAgent(opt.Version, opt.Contact),
		tls:     tlsConfig(),
		readers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }},
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
		parsers: sync.Pool{New: func() any { return new(ipp.Parser) }},
	}
}

// userAgent returns the header that says who we are, in printable ASCII.
func userAgent(version, contact string) string {
	agent := "ippwatch/" + version + " (authorised scan"
	if contact != "" {
		agent += "; " + contact
	}
	agent = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, agent)
	return agent[:min(len(agent), 250)] + ")"
}

// Grab asks the target and returns what it said, or that it was silent.
// Nothing that the target does is an error; Where and Findings stay empty.
func (g *Grabber) Grab(ctx context.Context, target netip.AddrPort) exposure.Observation {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	c := &conversation{
		g:        g,
		ctx:      ctx,
		target:   target,
		host:     netip.AddrPortFrom(target.Addr().WithZone(""), target.Port()).String(),
		deadline: time.Now().Add(g.opt.Timeout),
		version:  versions[0],
		o: exposure.Observation{
			V:         exposure.Version,
			ID:        exposure.NewID(g.opt.Run, target, exposure.TCP, exposure.ProbeIPP, 0),
			Run:       g.opt.Run,
			Source:    g.opt.Source,
			Vantage:   g.opt.Vantage,
			Addr:      target.Addr(),
			Port:      target.Port(),
			Transport: exposure.TCP,
			Probe:     exposure.ProbeIPP,
			Findings:  []exposure.Finding{},
		},
	}
	c.run()
	c.hangUp()
	return c.finish()
}
