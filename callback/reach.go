package callback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// A Reach is from how far away an address can be called.
type Reach int

// Reaches, from the nearest.
const (
	Nowhere Reach = iota // unspecified, multicast, not IPv4
	Here                 // the same machine
	Nearby               // the same network: link-local, private, or shared by a provider
	Global
)

// String returns the reach in words for an error.
func (r Reach) String() string {
	switch r {
	case Here:
		return "loopback"
	case Nearby:
		return "private"
	case Global:
		return "global"
	}
	return "unusable"
}

// sharedSpace is behind a provider's NAT (RFC 6598, section 7).
var sharedSpace = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)

// ReachOf returns the reach of an address.
func ReachOf(a netip.Addr) Reach {
	switch a = a.Unmap(); {
	case !a.Is4(), a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Nowhere
	case a.IsLoopback():
		return Here
	case a.IsPrivate(), a.IsLinkLocalUnicast(), sharedSpace.Contains(a):
		return Nearby
	}
	return Global
}

// ErrReach is returned by Usable.
var ErrReach = errors.New("the targets cannot call it")

// Usable returns an error if targets as far away as farthest cannot call the
// advertised address: a private address in a packet to the Internet would make
// strangers call into their own networks (DESIGN.md, rule 3).
func Usable(advertised netip.AddrPort, farthest Reach) error {
	reach := ReachOf(advertised.Addr())
	switch {
	case reach == Nowhere || advertised.Port() == 0:
		return fmt.Errorf("call-back address %s: want an IPv4 address and a port: %w", advertised, ErrReach)
	case reach < farthest:
		return fmt.Errorf("call-back address %s is %s and there are %s targets: %w", advertised, reach, farthest, ErrReach)
	}
	return nil
}

// Outgoing returns the address of this host from which it reaches the target.
// Nothing is sent: it only asks the routing table.
func Outgoing(ctx context.Context, target netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(target, 631).String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the outgoing address toward %s: %w", target, err)
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("find the outgoing address toward %s: it is %s", target, conn.LocalAddr())
	}
	return local.AddrPort().Addr().Unmap(), nil
}
