package gate

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// What a client may take its time for. Who is slower wants to keep us busy.
const (
	headerPatience = 10 * time.Second
	readPatience   = 60 * time.Second
	writePatience  = 60 * time.Second
	servePatience  = 50 * time.Second // and then there is time to say so
	idlePatience   = 2 * time.Minute
	drainPatience  = 10 * time.Second
	maxHeader      = 32 << 10
)

// How many connections there may be, in all and from one address; a proxy of
// ours has as many as it likes.
const (
	maxConns     = 4096
	maxConnsFrom = 256
)

// Run serves on the listener until the context ends, and then lets what has begun
// come to its end.
func (g *Gate) Run(ctx context.Context, l net.Listener) error {
	pair, err := g.certificate()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	base := context.WithoutCancel(ctx)
	defer g.besides.Wait()
	defer g.end()
	server := &http.Server{
		Handler: g, ReadHeaderTimeout: headerPatience, ReadTimeout: readPatience, WriteTimeout: writePatience, IdleTimeout: idlePatience,
		MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog: slog.NewLogLogger(g.Log.Handler(), slog.LevelDebug),
	}
	crowd := newCrowd(l, g.trusted)
	server.ConnState = crowd.note
	done := make(chan error, 1)
	go func() {
		if pair == nil {
			done <- server.Serve(crowd)
			return
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
		done <- server.ServeTLS(crowd, "", "")
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	g.end() // streams end now; what is short goes on
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainPatience)
	defer cancel()
	err = server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// Beside does work that goes on when the request that began it is answered. Its
// context ends with [Gate.Run], which waits for it.
func (g *Gate) Beside(work func(ctx context.Context)) {
	g.besides.Go(func() { work(g.ending) })
}

// Ready reports whether the gate can serve: whether its certificate can be read.
func (g *Gate) Ready() error {
	_, err := g.certificate()
	return err
}

// Secure reports whether the gate itself does TLS.
func (g *Gate) Secure() bool { return g.Config.TLS.Cert != "" }

func (g *Gate) certificate() (*pair, error) {
	if g.Config.TLS.Cert == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	p := &pair{files: g.Config.TLS, now: g.Now, log: g.Log}
	_, err := p.get(nil)
	return p, err
}

// A pair is a certificate that is read again when its files change.
type pair struct {
	files Pair
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex // guards what follows
	cert    *tls.Certificate
	stamp   string // of the files that it was read from
	checked time.Time
}

// certEvery is how often the files are looked at.
const certEvery = 10 * time.Second

func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cert != nil && p.now().Sub(p.checked) < certEvery {
		return p.cert, nil
	}
	p.checked = p.now()
	stamp, err := stampOf(p.files)
	if err == nil && stamp == p.stamp {
		return p.cert, nil
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.LoadX509KeyPair(p.files.Cert, p.files.Key)
	}
	switch {
	case err == nil:
		p.cert, p.stamp = &cert, stamp
	case p.cert == nil:
		return nil, fmt.Errorf("read certificate: %w", err)
	default: // half of a renewal: the other half comes
		p.log.Warn("cannot read the new certificate; the old one is used", "err", err.Error())
	}
	return p.cert, nil
}

func stampOf(files Pair) (string, error) {
	var b strings.Builder
	for _, name := range []string{files.Cert, files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s %d %s\n", name, info.Size(), info.ModTime())
	}
	return b.String(), nil
}

// A crowd is a listener that lets nobody hold all connections. When there are too
// many, the one goes that has asked for nothing the longest: who opens thousands
// and sends half a header pushes out his own.
type crowd struct {
	net.Listener
	trusted func(netip.Addr) bool

	mu   sync.Mutex // guards what follows
	n    int
	from map[prefix]int
	idle list.List // of *member, the longest idle first
}

func newCrowd(l net.Listener, trusted func(netip.Addr) bool) *crowd {
	return &crowd{Listener: l, trusted: trusted, from: make(map[prefix]int)}
}

// Accept returns the next connection that there is room for; others are closed at
// once.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if m := c.let(conn); m != nil {
			return m, nil
		}
		_ = conn.Close() // there is nothing to lose
	}
}

func (c *crowd) let(conn net.Conn) *member {
	at, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	addr := at.Addr().Unmap().WithZone("")
	m := &member{Conn: conn, crowd: c, who: near(addr)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from[m.who] >= maxConnsFrom && !c.trusted(addr) && !c.push(func(o *member) bool { return o.who == m.who }) {
		return nil
	}
	if c.n >= maxConns && !c.push(func(*member) bool { return true }) {
		return nil
	}
	c.n++
	c.from[m.who]++
	m.place = c.idle.PushBack(m)
	return m
}

// push closes the connection that has been idle the longest, of those that are
// meant. c.mu is held.
func (c *crowd) push(meant func(*member) bool) bool {
	for e := c.idle.Front(); e != nil; e = e.Next() {
		if m := e.Value.(*member); meant(m) {
			c.leave(m)
			_ = m.Conn.Close() // its server finds out
			return true
		}
	}
	return false
}

// leave counts a connection no longer. c.mu is held.
func (c *crowd) leave(m *member) {
	if m.left {
		return
	}
	m.left = true
	if m.place != nil {
		c.idle.Remove(m.place)
		m.place = nil
	}
	c.n--
	if c.from[m.who]--; c.from[m.who] == 0 {
		delete(c.from, m.who)
	}
}

// note is told by the server what its connections do.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	m, ok := conn.(*member)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.left {
		return
	}
	switch {
	case state == http.StateActive && m.place != nil:
		c.idle.Remove(m.place)
		m.place = nil
	case state == http.StateIdle && m.place == nil:
		m.place = c.idle.PushBack(m)
	}
}

// A member is a connection that is counted until it closes.
type member struct {
	net.Conn
	crowd *crowd
	who   prefix

	// The crowd's mutex guards what follows.
	left  bool
	place *list.Element // among the idle; nil: it is served
}

// Close closes the connection.
func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.leave(m)
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}
