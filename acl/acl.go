// Package acl states filters as sets of packets: what a policy wants, what a
// platform's text does, and whether these are the same.
//
// A [Policy] is what a person writes. [Policy.Form] turns it into a [Form]:
// rules in order, the first that matches decides. Package acl/render writes a
// Form as the text of a platform; package acl/read reads a platform's text
// into a [Filter], with tables of words of its own; [Prove] compares the two,
// packet by packet, and shows a packet that they treat differently.
//
// # A platform
//
// Two files: acl/render/NAME.go with one render.Platform, acl/read/NAME.go
// with one read.Platform, each listed in its package's All. They may not
// import each other, so that one mistake is not made twice. A renderer refuses
// with [ErrCannot] what its platform cannot say. A reader never guesses: a line
// on the path of the packets that it does not know is in Filter.Unverified, and
// a rule of which it understands only a part is Unsure. The tests in package
// filter run over all platforms.
package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrCannot is for what a platform cannot express.
var ErrCannot = errors.New("the platform cannot do this")

// A Packet is one point of the space in which filters are compared.
type Packet struct {
	Dir      Direction
	Src, Dst netip.Addr // of one family
	Proto    uint8      // the upper layer's, behind all extension headers
	SPort    uint16     // 0 where there is none to be seen
	DPort    uint16
	Frag     Frag
	Flags    Flags // of TCP
	Ext      bool  // an IPv6 extension header stands before the upper layer
}

// A Direction is seen from the networks of the policy.
type Direction uint8

// Bits, so that a Match can have both. Zero in a Match is both.
const (
	In  Direction = 1 << iota // towards the networks that are protected
	Out                       // away from them
)

func (d Direction) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	}
	return "in and out"
}

// A Family is IPv4 or IPv6. Zero in a Match is both.
type Family uint8

// The families, as bits.
const (
	V4 Family = 1 << iota
	V6
)

func (f Family) String() string {
	switch f {
	case V4:
		return "IPv4"
	case V6:
		return "IPv6"
	}
	return "IPv4 and IPv6"
}

// A Frag is the class of a packet as to fragmentation. Ports and flags stand
// only in a whole packet and in a first fragment. Zero in a Match is any.
type Frag uint8

// The classes, as bits.
const (
	Whole Frag = 1 << iota
	First
	Later
	// Torn is an IPv6 packet whose chain of headers ends before the upper layer
	// (RFC 7112): its protocol cannot be known. Few platforms can tell; see
	// [Form.Torn].
	Torn
)

func (f Frag) String() string {
	return bitWords(uint(f), "whole", "first fragment", "later fragment", "torn header chain")
}

// Flags are those of a TCP segment by which filters tell a new connection from
// the rest: one segment in a Packet.
type Flags uint8

// The flags, with the bits that they have in the header of TCP.
const (
	FIN Flags = 0x01
	SYN Flags = 0x02
	RST Flags = 0x04
	ACK Flags = 0x10
)

func (f Flags) String() string {
	var words []string
	for _, one := range []struct {
		flag Flags
		name string
	}{{SYN, "SYN"}, {ACK, "ACK"}, {RST, "RST"}, {FIN, "FIN"}} {
		if f&one.flag != 0 {
			words = append(words, one.name)
		}
	}
	if len(words) == 0 {
		return "no flags"
	}
	return strings.Join(words, "+")
}

// index is the place of the flags among the 16 classes of a FlagSet.
func (f Flags) index() uint { return uint(f&7 | f&ACK>>1) }

func flagsAt(i uint) Flags { return Flags(i&7) | Flags(i&8)<<1 }

// Protocols that have ports (IANA protocol numbers).
const (
	TCP     = 6
	UDP     = 17
	dccp    = 33
	sctp    = 132
	udplite = 136
)

// Family is the family of the packet.
func (p Packet) Family() Family {
	if p.Dst.Is4() {
		return V4
	}
	return V6
}

// seen reports whether the ports of the packet can be seen.
func (p Packet) seen() bool { return p.Frag&(Whole|First) != 0 && ported.has(uint16(p.Proto)) }

// String is the packet in words, such as
// "in tcp 192.0.2.1:40000 > 198.51.100.7:631 SYN".
func (p Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s ", p.Dir, protoName(p))
	if p.seen() {
		fmt.Fprintf(&b, "%s > %s", netip.AddrPortFrom(p.Src, p.SPort), netip.AddrPortFrom(p.Dst, p.DPort))
	} else {
		fmt.Fprintf(&b, "%s > %s", p.Src, p.Dst)
	}
	if p.Proto == TCP && p.seen() {
		fmt.Fprintf(&b, " %s", p.Flags)
	}
	if p.Frag != Whole {
		fmt.Fprintf(&b, ", %s", p.Frag)
	}
	if p.Ext && p.Frag == Whole {
		b.WriteString(", behind an extension header")
	}
	return b.String()
}

func protoName(p Packet) string {
	if p.Frag == Torn {
		return "unknown protocol"
	}
	switch p.Proto {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol %d", p.Proto)
}

func bitWords(set uint, names ...string) string {
	var words []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, " or ")
}
