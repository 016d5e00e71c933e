//go:build !linux

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// hearErrors reports that ICMP errors cannot be heard: other systems do not tell
// an unconnected socket which of its packets one belongs to.
func hearErrors(uintptr) bool { return false }

func isICMP(error) bool { return false }

// listen empties the socket.
func (u *UDP) listen(ctx context.Context, _ func(Refused)) error {
	var buf [512]byte
	for ctx.Err() == nil {
		_, _, err := u.conn.ReadFromUDPAddrPort(buf[:])
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("empty the UDP socket: %w", err)
		}
		// Windows reports a closed port here, and does not say whose.
		if err != nil {
			if err := sleepUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
