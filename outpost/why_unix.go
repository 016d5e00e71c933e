//go:build unix

package outpost

import (
	"errors"
	"os"
	"syscall"
)

func noIPv6(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// whyNot says what helps when a port cannot be had.
func whyNot(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE, which is given up afterwards; the unit in packaging has it"
	case errors.Is(err, syscall.EADDRINUSE):
		return "something listens there already: ss -lnup sport = :631; on a print server that is CUPS itself"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have that address: ip address"
	}
	return "ippwatch sensor --help"
}

// lock takes the directory for this process, until it ends.
func lock(name string) (free func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
