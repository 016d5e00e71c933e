package class

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// Literal returns the address that a host is, if it is one in any form that
// getaddrinfo(3) takes without asking anybody: IPv6, the dotted quad, and the
// old forms of inet_aton(3) with fewer parts, in octal and in hexadecimal.
// Otherwise the result is invalid.
func Literal(host string) netip.Addr {
	if host == "" {
		return netip.Addr{}
	}
	if strings.IndexByte(host, ':') >= 0 {
		// A zone is of the receiver's links, and means nothing here.
		plain, _, _ := strings.Cut(host, "%")
		a, err := netip.ParseAddr(plain)
		if err != nil {
			return netip.Addr{}
		}
		return a.Unmap()
	}
	if host[0] < '0' || host[0] > '9' {
		return netip.Addr{}
	}
	var v uint32
	for i, rest := 0, host; ; i++ {
		part, after, more := strings.Cut(rest, ".")
		n, ok := number(part)
		if !more {
			// The last part fills all bytes that are left.
			room := 32 - 8*i
			if !ok || n>>room != 0 {
				return netip.Addr{}
			}
			v |= uint32(n)
			break
		}
		if !ok || n > 0xff || i == 3 {
			return netip.Addr{}
		}
		v |= uint32(n) << (24 - 8*i)
		rest = after
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// number reads what strtoul(3) does with base 0, without signs and blanks.
func number(s string) (uint64, bool) {
	base := 10
	switch {
	case len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x':
		base, s = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base, s = 8, s[1:]
	}
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 33)
	return n, err == nil
}
