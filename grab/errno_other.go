//go:build !windows

package grab

import (
	"errors"
	"syscall"
)

// isRefused reports whether nothing listens there.
func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isUnreachable reports whether a router or firewall said so by ICMP.
func isUnreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
