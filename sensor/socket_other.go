//go:build !linux

package sensor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Here one socket hears one address, packet by packet: a sensor that must hold
// floods, or has many addresses, runs on Linux.
const canShare = false

const maxPayload = 1 << 16

type socket struct {
	at      netip.AddrPort
	granted int
	blind   bool // nobody tells what is dropped
	conn    *net.UDPConn
}

type batch struct {
	got     []datagram
	payload [maxPayload]byte
}

func newBatch() *batch { return &batch{got: make([]datagram, 1)} }

func listen(ctx context.Context, at netip.AddrPort, _ bool, buffer int) (*socket, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	var cfg net.ListenConfig
	conn, err := cfg.ListenPacket(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn.(*net.UDPConn), granted: buffer, blind: true} //nolint:errcheck // as the network says
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, errors.Join(fmt.Errorf("address %s", conn.LocalAddr()), conn.Close())
	}
	s.at = netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), local.AddrPort().Port())
	return s, s.conn.SetReadBuffer(buffer)
}

func (s *socket) close() error { return s.conn.Close() }

func (s *socket) stop() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) } // fails when it is closed already

// lost is not known here.
func (s *socket) lost() int64 { return 0 }

func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("receive: %w", err)
}

func (s *socket) receive(b *batch) (int, error) {
	n, from, err := s.conn.ReadFromUDPAddrPort(b.payload[:])
	if err != nil {
		return 0, err
	}
	b.got[0] = datagram{src: netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), dst: s.at, payload: b.payload[:n]}
	return 1, nil
}

// rest takes nothing: reading would wait.
func (s *socket) rest(*batch) int { return 0 }
