package grab

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isRefused reports whether nothing listens there.
func isRefused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// isUnreachable reports whether a router or firewall said so by ICMP.
func isUnreachable(err error) bool {
	return errors.Is(err, windows.WSAEHOSTUNREACH) || errors.Is(err, windows.WSAENETUNREACH)
}
