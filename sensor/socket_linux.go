package sensor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canShare tells that several sockets may listen at one address, each hearing
// its share of the sources (socket(7), SO_REUSEPORT).
const canShare = true

// A socket hears one address.
type socket struct {
	at      netip.AddrPort
	granted int
	conn    *net.UDPConn
	raw     syscall.RawConn
	blind   bool // the kernel does not tell what it drops
	dropped atomic.Int64
	last    atomic.Uint32 // the kernel's own count, which wraps
}

// listen opens a socket that says of each packet where it went to, its TTL, and
// how many were dropped before it.
func listen(ctx context.Context, at netip.AddrPort, shared bool, buffer int) (*socket, error) {
	network, v6 := "udp4", false
	if at.Addr().Is6() {
		network, v6 = "udp6", true
	}
	blind := false
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		wrong := c.Control(func(fd uintptr) {
			err = prepare(int(fd), v6, shared, buffer)
			blind = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) != nil
		})
		return errors.Join(wrong, err)
	}}
	conn, err := cfg.ListenPacket(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn.(*net.UDPConn), blind: blind}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, errors.Join(fmt.Errorf("address %s", conn.LocalAddr()), conn.Close())
	}
	s.at = netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), local.AddrPort().Port())
	if v6 {
		s.at = local.AddrPort()
	}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	err = s.raw.Control(func(fd uintptr) { s.granted, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	return s, err
}

func prepare(fd int, v6, shared bool, buffer int) error {
	options := []struct{ level, name int }{
		{unix.IPPROTO_IP, unix.IP_PKTINFO},
		{unix.IPPROTO_IP, unix.IP_RECVTTL},
	}
	if v6 {
		options = []struct{ level, name int }{
			{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT},
		}
	}
	if shared {
		options = append(options, struct{ level, name int }{unix.SOL_SOCKET, unix.SO_REUSEPORT})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// Only with CAP_NET_ADMIN may it be more than net.core.rmem_max.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer))
	}
	return nil
}

func (s *socket) close() error { return s.conn.Close() }

// stop ends receive, and leaves the socket open so that its drops can be read.
func (s *socket) stop() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) } // fails when it is closed already

// ended says what the end of receiving means.
func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("receive: %w", err)
}

const (
	batchSize  = 64
	maxPayload = 1 << 16
	controlLen = 128
)

// A batch is what one system call receives.
type batch struct {
	got      []datagram
	headers  []mmsghdr
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6 // the larger of both
	controls [][controlLen]byte
	payloads []byte // maxPayload of each; pages that no packet reached are not there
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

func newBatch() *batch {
	b := &batch{
		got: make([]datagram, batchSize), headers: make([]mmsghdr, batchSize), vectors: make([]unix.Iovec, batchSize),
		names: make([]unix.RawSockaddrInet6, batchSize), controls: make([][controlLen]byte, batchSize), payloads: make([]byte, batchSize*maxPayload),
	}
	for i := range batchSize {
		b.vectors[i].Base = &b.payloads[i*maxPayload]
		b.vectors[i].SetLen(maxPayload)
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		h.Control = &b.controls[i][0]
	}
	return b
}

// receive waits for packets and takes as many as there are, up to a batch.
func (s *socket) receive(b *batch) (n int, err error) {
	var failed error
	err = s.raw.Read(func(fd uintptr) bool {
		var errno unix.Errno
		if n, errno = b.fill(fd); errno == unix.EAGAIN {
			return false
		}
		if errno != 0 && errno != unix.EINTR {
			failed = os.NewSyscallError("recvmmsg", errno)
		}
		return true
	})
	for i := range n {
		s.read(b, i)
	}
	return n, errors.Join(err, failed)
}

// rest takes what is there, and does not wait.
func (s *socket) rest(b *batch) (n int) {
	err := s.raw.Control(func(fd uintptr) { n, _ = b.fill(fd) })
	if err != nil {
		return 0 // it is closed
	}
	for i := range n {
		s.read(b, i)
	}
	return n
}

func (b *batch) fill(fd uintptr) (int, unix.Errno) {
	for i := range b.headers {
		b.headers[i].Namelen = unix.SizeofSockaddrInet6
		b.headers[i].SetControllen(controlLen)
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// read reads the i-th packet out of what the kernel wrote.
func (s *socket) read(b *batch, i int) {
	h := &b.headers[i]
	d := &b.got[i]
	d.payload = b.payloads[i*maxPayload:][:h.n]
	d.ttl = 0
	d.dst = s.at
	name := &b.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		d.src = netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	} else {
		d.src = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), port)
	}
	control := b.controls[i][:min(int(h.Controllen), controlLen)]
	for len(control) >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(c.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			return
		}
		s.control(d, c.Level, c.Type, control[unix.CmsgLen(0):size])
		control = control[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(control)):]
	}
}

func (s *socket) control(d *datagram, level, kind int32, data []byte) {
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		d.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[8:12])), s.at.Port())
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		d.dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(data[:16])), s.at.Port())
	case (level == unix.IPPROTO_IP && kind == unix.IP_TTL || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT) && len(data) >= 4:
		d.ttl = uint8(min(binary.NativeEndian.Uint32(data), 255))
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4:
		s.lose(binary.NativeEndian.Uint32(data))
	}
}

// lose takes over the kernel's count of what it dropped.
func (s *socket) lose(total uint32) {
	for {
		last := s.last.Load()
		more := total - last
		if more == 0 || more > 1<<31 {
			return // an older packet's
		}
		if s.last.CompareAndSwap(last, total) {
			s.dropped.Add(int64(more))
			return
		}
	}
}

// lost is how many packets were dropped. A packet tells of those before it; of
// those behind the last one the socket tells (socket(7), SO_MEMINFO).
func (s *socket) lost() int64 {
	const drops = 8 // SK_MEMINFO_DROPS, linux/sock_diag.h
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	_ = s.raw.Control(func(fd uintptr) { // fails when it is closed: then it drops nothing more
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 && size == uint32(unsafe.Sizeof(info)) {
			s.lose(info[drops])
		}
	})
	return s.dropped.Load()
}
