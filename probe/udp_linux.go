package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ippwatch/exposure"
)

// hearErrors asks for the error queue (ip(7), IP_RECVERR), which needs no
// privilege.
func hearErrors(fd uintptr) bool {
	return unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) == nil
}

// isICMP reports whether the error can be that of an earlier packet.
func isICMP(err error) bool {
	for _, errno := range []unix.Errno{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN,
		unix.ENOPROTOOPT, unix.EPROTO, unix.EOPNOTSUPP, unix.ENONET, unix.EMSGSIZE, unix.EACCES,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// listen reads the error queue and empties the socket.
func (u *UDP) listen(ctx context.Context, refused func(Refused)) error {
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("listen for ICMP errors: %w", err)
	}
	var buf [512]byte
	var oob [512]byte
	for ctx.Err() == nil {
		err := raw.Read(func(fd uintptr) bool {
			for ctx.Err() == nil {
				_, n, _, from, err := unix.Recvmsg(int(fd), buf[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
				if err == nil {
					if r, ok := readError(oob[:n], from); ok {
						refused(r)
					}
					continue
				}
				// A pending error is reported once here too, before EAGAIN.
				if _, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) {
					return false
				}
			}
			return true
		})
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case err != nil:
			// Go's poller refuses to wait when it hears of an error and of
			// nothing else, as it does while the send queue is full.
			if err := sleepUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// readError reads one message of the error queue: a struct sock_extended_err
// (linux/errqueue.h), behind it the address of whoever sent the ICMP message.
func readError(oob []byte, to unix.Sockaddr) (Refused, bool) {
	target, ok := to.(*unix.SockaddrInet4)
	if !ok {
		return Refused{}, false
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return Refused{}, false
	}
	for _, m := range msgs {
		const size, sockaddr = 16, 8
		if m.Header.Level != unix.IPPROTO_IP || m.Header.Type != unix.IP_RECVERR || len(m.Data) < size+sockaddr {
			continue
		}
		origin, kind, code := m.Data[4], m.Data[5], m.Data[6]
		var by netip.Addr
		if binary.NativeEndian.Uint16(m.Data[size:]) == unix.AF_INET {
			by = netip.AddrFrom4([4]byte(m.Data[size+4 : size+8]))
		}
		if origin != unix.SO_EE_ORIGIN_ICMP {
			continue
		}
		addr := netip.AddrPortFrom(netip.AddrFrom4(target.Addr), uint16(target.Port))
		verdict, reason := judgeICMP(addr.Addr(), by, kind, code)
		return Refused{Target: addr, Verdict: verdict, Reason: reason, At: time.Now()}, verdict != ""
	}
	return Refused{}, false
}

// judgeICMP says what an ICMP message means (RFC 792; RFC 1122, section
// 3.2.2.1; RFC 1812, section 5.2.7.1). That nothing listens is believed of the
// host itself only: a firewall on the way says "port unreachable" too.
func judgeICMP(target, by netip.Addr, kind, code byte) (exposure.Verdict, string) {
	const unreachable, timeExceeded = 3, 11
	switch {
	case kind == unreachable && code == 3 && by == target:
		return exposure.Closed, ""
	case kind == unreachable && code == 4: // too big: none of our packets is
		return "", ""
	case kind == unreachable || kind == timeExceeded:
		return exposure.Unreachable, fmt.Sprintf("ICMP type %d code %d (%s) from %s", kind, code, icmpText(kind, code), by)
	}
	return "", ""
}

func icmpText(kind, code byte) string {
	if kind == 11 {
		return "time exceeded"
	}
	switch code {
	case 0, 6, 8, 11:
		return "network unreachable"
	case 1, 7, 12:
		return "host unreachable"
	case 2:
		return "protocol unreachable"
	case 3:
		return "port unreachable"
	case 9, 10, 13:
		return "administratively prohibited"
	}
	return "unreachable"
}
