//go:build !linux

package persona

import "net/netip"

// addresses is whether every host has an address of its own. Elsewhere than on
// Linux only 127.0.0.1 is this machine without further ado, and hosts differ by
// their port; only one of them can then hear a packet sent to the UDP port.
const addresses = false

const (
	blockCount = 1
	capacity   = 256
)

// block returns the network in which the street lies.
func block(int) netip.Prefix { return netip.PrefixFrom(place(0), 32) }

// place returns the address of every host.
func place(int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// gateway is the only address that there is.
func gateway() netip.Addr { return place(0) }
