package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"ippwatch/exposure"
)

// A Refused is what an ICMP message said about a packet of ours.
type Refused struct {
	Target  netip.AddrPort   // to which the packet was sent
	Verdict exposure.Verdict // Closed or Unreachable
	Reason  string
	At      time.Time
}

// A UDP is one socket over IPv4 from which packets go to many targets.
type UDP struct {
	conn  *net.UDPConn
	hears bool
}

// OpenUDP opens a socket. Where the system does not tell an unprivileged socket
// of ICMP errors, it works without them, and HearsICMP says so.
func OpenUDP(ctx context.Context) (*UDP, error) {
	var (
		lc    net.ListenConfig
		hears bool
	)
	lc.Control = func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { hears = hearErrors(fd) })
	}
	conn, err := lc.ListenPacket(ctx, "udp4", "0.0.0.0:0")
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("open a UDP socket: got a %T", conn)
	}
	// ICMP errors queue there. A smaller buffer loses some of a burst, and a
	// closed port is then silent: less is said, nothing wrong.
	_ = udp.SetReadBuffer(1 << 20)
	return &UDP{conn: udp, hears: hears}, nil
}

// HearsICMP reports whether a closed port can be told from silence. Without it
// every verdict is CalledBack or NoCallback.
func (u *UDP) HearsICMP() bool { return u.hears }

// Close closes the socket.
func (u *UDP) Close() error { return u.conn.Close() }

const (
	// stale is how many errors of earlier packets may stand before a send: on
	// Linux a socket that hears errors reports the last one instead of sending.
	stale = 64
	// full is how often a send is tried again when the card's queue is full,
	// with a growing pause that sums up to about a second.
	full = 25
)

// Send sends one packet. An error means that it was not sent.
func (u *UDP) Send(ctx context.Context, to netip.AddrPort, payload []byte) error {
	var err error
	for olds, fulls := 0, 0; olds < stale && fulls < full; {
		_, err = u.conn.WriteToUDPAddrPort(payload, to)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.ENOBUFS):
			fulls++
			if err := sleepUntil(ctx, time.Now().Add(time.Duration(fulls)*3*time.Millisecond)); err != nil {
				return fmt.Errorf("send to %s: %w", to, err)
			}
		case u.hears && isICMP(err):
			olds++
		default:
			return fmt.Errorf("send to %s: %w", to, err)
		}
	}
	return fmt.Errorf("send to %s: %w", to, err)
}

// Run hands ICMP errors to refused until the context ends. Datagrams that come
// in are thrown away: nothing that we ask is answered over UDP.
func (u *UDP) Run(ctx context.Context, refused func(Refused)) error {
	stop := context.AfterFunc(ctx, func() { _ = u.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := u.listen(ctx, refused)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
