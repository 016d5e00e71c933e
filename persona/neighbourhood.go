package persona

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// DefaultPort is the first that is tried, over TCP and UDP: 631 needs
	// privilege, and belongs to the real CUPS of this machine.
	DefaultPort = 8631

	portsTried  = 16
	maxConns    = 64               // at once for each host; one more is closed
	maxSilence  = 10 * time.Second // without a byte from the client
	maxHeader   = 16 << 10
	stopTimeout = 2 * time.Second
)

// Options choose where the street lies.
type Options struct {
	// Port over TCP and UDPPort must be free; 0 takes the first free one from
	// DefaultPort on.
	Port, UDPPort uint16
	// Street is who plays; nil for [Street].
	Street []Persona
}

// A Neighbourhood is a street whose services answer.
type Neighbourhood struct {
	hosts     []Host
	ports     []uint16
	udpPort   uint16
	cancel    context.CancelFunc
	forsake   func() bool // ends the watch over the context of Open
	listeners []io.Closer
	servers   []*http.Server
	running   sync.WaitGroup // accept loops, servers, daemons and connections

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// Open starts the services and returns when all of them listen. They end with
// the context or with [Neighbourhood.Close], whichever comes first.
func Open(ctx context.Context, o Options) (*Neighbourhood, error) {
	if o.Street == nil {
		o.Street = Street()
	}
	if len(o.Street) > capacity {
		return nil, fmt.Errorf("open street: %d personas, where %d have a place", len(o.Street), capacity)
	}
	now := time.Now()
	w, err := dress(now)
	if err != nil {
		return nil, fmt.Errorf("open street: %w", err)
	}
	hosts, doors, err := occupy(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open street: %w", err)
	}
	played, cancel := context.WithCancel(ctx)
	n := &Neighbourhood{hosts: hosts, cancel: cancel, conns: make(map[net.Conn]struct{})}
	for i := range doors {
		n.listeners = append(n.listeners, doors[i].closers()...)
	}
	for i := range doors {
		if err := n.open(played, &n.hosts[i], doors[i], w, now); err != nil {
			n.Close()
			return nil, fmt.Errorf("open street: %s: %w", hosts[i].Name, err)
		}
		n.note(n.hosts[i])
	}
	n.forsake = context.AfterFunc(ctx, n.shut)
	return n, nil
}

// note remembers the ports for a scan.
func (n *Neighbourhood) note(h Host) {
	if len(n.ports) == 0 || n.ports[len(n.ports)-1] != h.Port {
		n.ports = append(n.ports, h.Port)
	}
	if h.UDP != 0 {
		n.udpPort = h.UDP
	}
}

// Hosts lists every host with what is true of it.
func (n *Neighbourhood) Hosts() []Host { return n.hosts }

// Networks are what a scope must name. They hold addresses where nobody lives.
func (n *Neighbourhood) Networks() []netip.Prefix {
	list := make([]netip.Prefix, blockCount)
	for i := range list {
		list[i] = block(i)
	}
	return list
}

// Ports are those over TCP: one on Linux, elsewhere one for each host.
func (n *Neighbourhood) Ports() []uint16 { return n.ports }

// UDPPort is where cups-browsed listens, where it does.
func (n *Neighbourhood) UDPPort() uint16 { return n.udpPort }

// Close stops everything and returns when it has ended.
func (n *Neighbourhood) Close() {
	n.cancel()
	if n.forsake != nil {
		n.forsake()
	}
	n.shut()
	for _, s := range n.servers {
		// Shutdown waits for the handlers, which end with their connections.
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // its listeners are closed already
		}
		cancel()
	}
	n.running.Wait()
}

// shut closes every socket, so that all goroutines end.
func (n *Neighbourhood) shut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, l := range n.listeners {
		_ = l.Close() // may be closed already
	}
	for c := range n.conns {
		// Only the socket: the wrapper's Close, called by its owner, lets go.
		_ = c.Close()
	}
}

// A door is the sockets of one host; nil where nothing listens.
type door struct {
	tcp *net.TCPListener
	udp net.PacketConn
}

func (d door) closers() []io.Closer {
	var list []io.Closer
	if d.tcp != nil {
		list = append(list, d.tcp)
	}
	if d.udp != nil {
		list = append(list, d.udp)
	}
	return list
}

// occupy binds all sockets, on the ports asked for or on the first free ones.
func occupy(ctx context.Context, o Options) ([]Host, []door, error) {
	hosts := make([]Host, len(o.Street))
	doors := make([]door, len(o.Street))
	release := func() {
		for _, d := range doors {
			for _, c := range d.closers() {
				_ = c.Close() // the error that counts is the caller's
			}
		}
	}
	for i, p := range o.Street {
		hosts[i] = Host{Persona: p, Addr: place(i)}
	}
	if err := firstFree(o.Port, len(hosts), func(port uint16) error { return bindTCP(ctx, hosts, doors, port) }); err != nil {
		release()
		return nil, nil, err
	}
	if err := firstFree(o.UDPPort, 1, func(port uint16) error { return bindUDP(ctx, hosts, doors, port) }); err != nil {
		release()
		return nil, nil, err
	}
	return hosts, doors, nil
}

// firstFree binds at the port, or when it is 0 from DefaultPort on, with step
// ports at a time where hosts differ by their port.
func firstFree(port uint16, step int, bind func(uint16) error) error {
	if port != 0 {
		return bind(port)
	}
	if addresses {
		step = 1
	}
	var err error
	for i := range portsTried {
		if err = bind(uint16(DefaultPort + i*step)); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

func bindTCP(ctx context.Context, hosts []Host, doors []door, port uint16) error {
	var config net.ListenConfig
	for i := range hosts {
		h := &hosts[i]
		h.Port = port
		if !addresses {
			h.Port += uint16(i)
		}
		if h.play == nil && h.greet == nil {
			continue
		}
		l, err := config.Listen(ctx, "tcp4", netip.AddrPortFrom(h.Addr, h.Port).String())
		if err != nil {
			for j := range i {
				if doors[j].tcp != nil {
					_ = doors[j].tcp.Close() // the next port is tried, or the error returned
					doors[j].tcp = nil
				}
			}
			return err
		}
		doors[i].tcp = l.(*net.TCPListener)
	}
	return nil
}

func bindUDP(ctx context.Context, hosts []Host, doors []door, port uint16) error {
	var config net.ListenConfig
	taken := false
	for i := range hosts {
		h := &hosts[i]
		h.UDP = 0
		switch {
		case addresses:
			h.UDP = port // closed ones too: the kernel answers for them
		case h.udp != nil && !taken:
			h.UDP, taken = port, true
		default:
			h.Truth.UDP, h.Truth.UDPRules, h.Truth.Posts = "", nil, 0
		}
		if h.udp == nil || h.UDP == 0 {
			continue
		}
		conn, err := config.ListenPacket(ctx, "udp4", netip.AddrPortFrom(h.Addr, port).String())
		if err != nil {
			for j := range i {
				if doors[j].udp != nil {
					_ = doors[j].udp.Close() // as above
					doors[j].udp = nil
				}
			}
			return err
		}
		doors[i].udp = conn
	}
	return nil
}

// open starts one host.
func (n *Neighbourhood) open(ctx context.Context, h *Host, d door, w wardrobe, now time.Time) error {
	if d.udp != nil {
		n.running.Go(func() { h.udp.listen(ctx, d.udp, h.Addr) })
	}
	if d.tcp == nil {
		return nil
	}
	if h.greet != nil {
		n.running.Go(func() {
			n.accept(ctx, d.tcp, func(c net.Conn, t *net.TCPConn) { h.greet(ctx, t); _ = c.Close() })
		})
		return nil
	}
	handler, err := h.play.rehearse(stage{addr: h.Addr, started: now})
	if err != nil {
		return err
	}
	if h.manner != nil {
		handler = h.manner(handler)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: maxSilence, ReadTimeout: maxSilence, IdleTimeout: maxSilence, WriteTimeout: 3 * maxSilence,
		MaxHeaderBytes: maxHeader,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ErrorLog:       log.New(io.Discard, "", 0), // what clients do wrong is not our news
		TLSNextProto:   map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	n.servers = append(n.servers, server)
	plain, secure := newCounter(ctx, d.tcp.Addr()), newCounter(ctx, d.tcp.Addr())
	n.running.Go(func() { _ = server.Serve(plain) }) // ends with ErrServerClosed or the counter
	if h.tls != noTLS {
		n.running.Go(func() { _ = server.Serve(tls.NewListener(secure, w[h.tls])) })
	}
	n.running.Go(func() {
		n.accept(ctx, d.tcp, func(c net.Conn, _ *net.TCPConn) { sort(c, h, plain, secure) })
	})
	return nil
}
