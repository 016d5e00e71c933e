package persona

import "net/netip"

// addresses is whether every host has an address of its own: on Linux all of
// 127.0.0.0/8 is this machine.
const addresses = true

const (
	blockCount = 10 // each in a /24 of its own, as the pace is held for each /24
	blockHosts = 6  // .1 to .6
	capacity   = blockCount * blockHosts
)

// block returns one of the networks in which the street lies.
func block(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, byte(63 + i), 0}), 29)
}

// place returns the address of a host. Neighbours on the list live apart.
func place(i int) netip.Addr {
	a := block(i % blockCount).Addr().As4()
	a[3] = byte(1 + i/blockCount)
	return netip.AddrFrom4(a)
}

// gateway is an address of the street where no host lives.
func gateway() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 63, 7}) }
