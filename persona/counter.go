package persona

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// A counter is a listener for connections that were accepted and looked at
// elsewhere.
type counter struct {
	ctx  context.Context // net.Listener has no other way to end
	addr net.Addr
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newCounter(ctx context.Context, addr net.Addr) *counter {
	return &counter{ctx: ctx, addr: addr, in: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection.
func (d *counter) Accept() (net.Conn, error) {
	select {
	case c := <-d.in:
		return c, nil
	case <-d.done:
	case <-d.ctx.Done():
	}
	return nil, net.ErrClosed
}

// Close ends Accept.
func (d *counter) Close() error {
	d.once.Do(func() { close(d.done) })
	return nil
}

// Addr is that of the socket.
func (d *counter) Addr() net.Addr { return d.addr }

// take hands a connection over, or closes it when the counter is.
func (d *counter) take(c net.Conn) {
	select {
	case d.in <- c:
	case <-d.done:
		_ = c.Close()
	case <-d.ctx.Done():
		_ = c.Close()
	}
}

// sort sends a connection to the counter for TLS or to the other: the first byte of
// a handshake is 0x16 (RFC 8446, section 5.1). cupsd does the same.
func sort(c net.Conn, h *Host, plain, secure *counter) {
	if h.tls == noTLS {
		plain.take(c)
		return
	}
	r := bufio.NewReaderSize(c, 16)
	if c.SetReadDeadline(time.Now().Add(maxSilence)) != nil {
		_ = c.Close()
		return
	}
	first, err := r.Peek(1)
	if err != nil || c.SetReadDeadline(time.Time{}) != nil {
		_ = c.Close()
		return
	}
	switch {
	case first[0] == 0x16:
		secure.take(&opened{Conn: c, r: r})
	case h.strict:
		_ = c.Close()
	default:
		plain.take(&opened{Conn: c, r: r})
	}
}

// An opened connection was read from already.
type opened struct {
	net.Conn
	r *bufio.Reader
}

func (o *opened) Read(p []byte) (int, error) { return o.r.Read(p) }

// A guest is a connection that is counted until it is closed.
type guest struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close closes the connection and lets the next one in.
func (g *guest) Close() error {
	err := g.Conn.Close()
	g.once.Do(g.leave)
	return err
}

// accept serves every connection in a goroutine of its own, at most maxConns
// at once, and returns when the listener is closed.
func (n *Neighbourhood) accept(ctx context.Context, l *net.TCPListener, serve func(net.Conn, *net.TCPConn)) {
	seats := make(chan struct{}, maxConns)
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			// Out of descriptors, or gone before it was accepted, or the end.
			if n.isClosed() || !pause(ctx, time.Millisecond) {
				return
			}
			continue
		}
		select {
		case seats <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		g := &guest{Conn: c, leave: func() {
			<-seats
			n.farewell(c)
		}}
		if !n.welcome(c) {
			_ = g.Close()
			return
		}
		n.running.Go(func() { serve(g, c) })
	}
}

func (n *Neighbourhood) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// welcome notes a connection, and refuses when the street is closed.
func (n *Neighbourhood) welcome(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running.Add(1)
	n.conns[c] = struct{}{}
	return !n.closed
}

func (n *Neighbourhood) farewell(c net.Conn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	n.running.Done()
}
