//go:build !linux

package callback

import "net"

// ipBytes returns the least number of bytes of IP that the peer must have sent:
// here the system does not count segments for us.
func ipBytes(_ net.Conn, payload, requests int) int { return minimumIPBytes(payload, requests) }
