package grab

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"ippwatch/exposure"
)

// A fault is how an exchange ended when it did not end with a whole answer.
type fault struct {
	verdict exposure.Verdict
	reason  string
	silent  bool // the connection was closed before any byte
	alert   bool // the first bytes were a TLS alert
}

// A link is one connection. It is the reader beneath its own bufio.Reader, and
// keeps the peer to the minimum progress.
type link struct {
	ctx  context.Context
	lim  Limits
	raw  net.Conn
	tls  *tls.Conn // nil in plain
	r    *bufio.Reader
	stop func() bool // of the watch on ctx

	deadline time.Time // of the whole conversation
	asked    time.Time // when the request was sent
	first    time.Time // when the first byte of the answer came
	got      int       // bytes of the answer
	used     bool      // an answer was read before
}

// connect opens a link in plain, if the gate allows it.
func (c *conversation) connect() *fault {
	c.hangUp()
	if err := c.ctx.Err(); err != nil {
		return &fault{verdict: exposure.Interrupted, reason: "stopped before the connect: " + err.Error()}
	}
	now := time.Now()
	if !now.Before(c.deadline) {
		return &fault{verdict: exposure.Tarpit, reason: fmt.Sprintf("not done after %v", c.g.opt.Timeout)}
	}
	if f := c.allowed(now); f != nil {
		return f
	}
	until := now.Add(c.g.opt.ConnectTimeout)
	if c.deadline.Before(until) {
		until = c.deadline
	}
	ctx, cancel := context.WithDeadline(c.ctx, until)
	raw, err := c.g.opt.Dial(ctx, c.target)
	cancel()
	if err != nil {
		return c.refused(err)
	}
	if t, ok := raw.(*net.TCPConn); ok {
		// With a linger of 0 a close leaves nothing in TIME_WAIT, where a scan
		// would soon use up all ports. It fails only on a socket that is dead.
		_ = t.SetLinger(0)
	}
	l := &link{ctx: c.ctx, lim: c.g.opt.Limits, raw: raw, deadline: c.deadline}
	l.r = c.g.readers.Get().(*bufio.Reader)
	l.r.Reset(l)
	l.stop = context.AfterFunc(c.ctx, func() { _ = raw.Close() })
	c.link = l
	return nil
}

// allowed asks the gate. It is asked before every request, and not only before
// the connect: on a connection that is kept a slow host would else be asked for
// many seconds after it was excluded.
func (c *conversation) allowed(now time.Time) *fault {
	if c.g.opt.Gate == nil {
		return &fault{verdict: exposure.Interrupted, reason: "not sent: no gate"}
	}
	if err := c.g.opt.Gate.Allow(c.target.Addr(), now); err != nil {
		return &fault{verdict: exposure.Interrupted, reason: "not sent: " + err.Error()}
	}
	return nil
}

// refused says what a failed connect means.
func (c *conversation) refused(err error) *fault {
	var netErr net.Error
	switch {
	case c.ctx.Err() != nil:
		return &fault{verdict: exposure.Interrupted, reason: "stopped during the connect"}
	case isRefused(err):
		return &fault{verdict: exposure.Closed}
	case isUnreachable(err):
		return &fault{verdict: exposure.Unreachable}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return &fault{verdict: exposure.NoAnswer}
	case errors.Is(err, syscall.ECONNRESET):
		return &fault{verdict: exposure.NotIPP, reason: "it accepted the connection and reset it at once"}
	}
	// Our own trouble: no descriptor, no port, a firewall on this host.
	return &fault{verdict: exposure.Interrupted, reason: "connect: " + cause(err)}
}

// hangUp closes the connection, if there is one.
func (c *conversation) hangUp() {
	l := c.link
	if l == nil {
		return
	}
	c.link = nil
	l.stop()
	// Not the TLS connection, which would wait to say good-bye.
	_ = l.raw.Close()
	l.r.Reset(nil)
	c.g.readers.Put(l.r)
}

// Read reads from the peer, not beyond the time that its progress so far has
// earned.
func (l *link) Read(p []byte) (int, error) {
	until := l.asked.Add(l.lim.FirstByte)
	if l.got > 0 {
		until = l.first.Add(max(l.lim.Grace, time.Duration(l.got)*time.Second/time.Duration(l.lim.Rate)))
	}
	if l.deadline.Before(until) {
		until = l.deadline
	}
	if err := l.raw.SetReadDeadline(until); err != nil {
		return 0, err
	}
	var from io.Reader = l.raw
	if l.tls != nil {
		from = l.tls
	}
	n, err := from.Read(p)
	if n > 0 && l.got == 0 {
		l.first = time.Now()
	}
	l.got += n
	return n, err
}

// send writes a request and starts the clock of the answer.
func (l *link) send(b []byte) *fault {
	l.asked, l.got = time.Now(), 0
	until := l.asked.Add(l.lim.FirstByte)
	if l.deadline.Before(until) {
		until = l.deadline
	}
	err := l.raw.SetWriteDeadline(until)
	if err == nil && l.tls != nil {
		_, err = l.tls.Write(b)
	} else if err == nil {
		_, err = l.raw.Write(b)
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return &fault{verdict: exposure.Tarpit, reason: "did not take our request"}
	}
	// A peer that closed already may have said why: that is left to the reader.
	return nil
}

// broke says what an error of Read means, with what was being read.
func (l *link) broke(err error, what string) *fault {
	switch {
	case l.ctx.Err() != nil:
		return &fault{verdict: exposure.Interrupted, reason: "stopped while reading the " + what}
	case errors.Is(err, os.ErrDeadlineExceeded) && l.got == 0:
		return &fault{verdict: exposure.Tarpit, reason: fmt.Sprintf("connected, then no byte for %v", l.lim.FirstByte)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		took := time.Since(l.first).Round(100 * time.Millisecond)
		return &fault{verdict: exposure.Tarpit, reason: fmt.Sprintf("%d bytes in %v, within the %s", l.got, took, what)}
	case l.got == 0:
		return &fault{verdict: exposure.NotIPP, reason: "closed the connection without a byte", silent: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &fault{verdict: exposure.Malformed, reason: fmt.Sprintf("closed within the %s, after %d bytes", what, l.got)}
	}
	return &fault{verdict: exposure.Malformed, reason: fmt.Sprintf("broke off within the %s, after %d bytes: %s", what, l.got, cause(err))}
}

// cause returns what went wrong without the addresses, of which ours has
// another port each time.
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		if strings.HasSuffix(op.Op, " error") { // of crypto/tls: "remote error"
			return op.Op + ": " + op.Err.Error()
		}
		return op.Err.Error()
	}
	return err.Error()
}
