package callback

import (
	"net"

	"golang.org/x/sys/unix"
)

// Options in tcpi_options (linux/tcp.h).
const (
	optTimestamps = 1
	optSACK       = 2
	optScale      = 4
)

// ipBytes returns the bytes of IP that the peer has sent so far: the payload,
// and for each segment that the kernel counted (tcpi_segs_in) the headers, with
// 12 bytes more where timestamps were agreed on (RFC 7323, section 3.2), plus
// the further options that the SYN must have carried. A lower bound: what was
// lost on the way, and what comes after the last look, is missing.
func ipBytes(conn net.Conn, payload, requests int) int {
	least := minimumIPBytes(payload, requests)
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return least
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return least
	}
	var info *unix.TCPInfo
	if ctlErr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); ctlErr != nil || err != nil || info.Segs_in == 0 {
		return least
	}
	header, syn := ipHeader+tcpHeader, 4 // the maximum segment size, RFC 9293, section 3.7.1
	if info.Options&optTimestamps != 0 {
		header += 12
		syn += 10
	}
	if info.Options&optSACK != 0 {
		syn += 2
	}
	if info.Options&optScale != 0 {
		syn += 3
	}
	synSegment := ipHeader + tcpHeader + (syn+3)&^3
	// The SYN is among the segments (seen on Linux 6.18).
	return max(least, payload+synSegment+int(info.Segs_in-1)*header)
}
