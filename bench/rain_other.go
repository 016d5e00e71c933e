//go:build !linux

package main

import (
	"context"
	"errors"
	"net/netip"
)

func sendAll(context.Context, netip.AddrPort, int, int) error {
	return errors.New("only on Linux")
}
