package soc

import (
	"encoding/binary"
	"io"
	"net/netip"

	"ippwatch/exposure"
)

// Pcap writes the packets of visits as a capture file that other programs read:
// the first one of each visit, with headers made up from what the visit tells.
type Pcap struct {
	w    io.Writer
	head bool
	buf  []byte
}

// NewPcap returns a writer of one file.
func NewPcap(w io.Writer) *Pcap { return &Pcap{w: w} }

const (
	pcapMagic = 0xa1b23c4d // nanoseconds
	linkRaw   = 101        // LINKTYPE_RAW: the packet begins with IPv4 or IPv6
	snapLen   = 1 << 16
	udpHeader = 8
)

// Head writes the head of the file, if it was not written yet.
func (p *Pcap) Head() error {
	if p.head {
		return nil
	}
	p.head = true
	b := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, snapLen)
	b = binary.LittleEndian.AppendUint32(b, linkRaw)
	_, err := p.w.Write(b)
	return err
}

// Add writes the packet of a visit over UDP; others have none.
func (p *Pcap) Add(v *exposure.Visit) error {
	if err := p.Head(); err != nil {
		return err
	}
	if v.Transport != exposure.UDP || !v.Dst.IsValid() || v.Addr.Is4() != v.Dst.Is4() {
		return nil
	}
	whole := max(v.PayloadBytes, len(v.Payload))
	p.buf = append(p.buf[:0], make([]byte, 16)...)
	var header int
	p.buf, header = appendIP(p.buf, v.Addr, v.Dst, v.TTL, udpHeader+whole)
	udp := len(p.buf)
	p.buf = binary.BigEndian.AppendUint16(p.buf, v.Port)
	p.buf = binary.BigEndian.AppendUint16(p.buf, v.Door)
	p.buf = binary.BigEndian.AppendUint16(p.buf, uint16(udpHeader+whole))
	p.buf = binary.BigEndian.AppendUint16(p.buf, 0)
	p.buf = append(p.buf, v.Payload...)
	if len(v.Payload) == whole {
		sum := ^fold(pseudo(v.Addr, v.Dst, udpHeader+whole) + add(p.buf[udp:]))
		if sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(p.buf[udp+6:], sum)
	}
	at := v.Observed.UTC()
	binary.LittleEndian.PutUint32(p.buf, uint32(at.Unix()))
	binary.LittleEndian.PutUint32(p.buf[4:], uint32(at.Nanosecond()))
	binary.LittleEndian.PutUint32(p.buf[8:], uint32(len(p.buf)-16))
	binary.LittleEndian.PutUint32(p.buf[12:], uint32(header+udpHeader+whole))
	_, err := p.w.Write(p.buf)
	return err
}

// appendIP appends a header of IPv4 (RFC 791) or IPv6 (RFC 8200) and says how
// long it is.
func appendIP(b []byte, src, dst netip.Addr, ttl uint8, size int) ([]byte, int) {
	const udp = 17
	if src.Is6() {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(size))
		b = append(b, udp, ttl)
		b = append(b, src.AsSlice()...)
		return append(b, dst.AsSlice()...), 40
	}
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+size))
	b = append(b, 0, 0, 0, 0, ttl, udp, 0, 0)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], ^fold(add(b[at:])))
	return b, 20
}

func pseudo(src, dst netip.Addr, size int) uint64 {
	return add(src.AsSlice()) + add(dst.AsSlice()) + uint64(size) + 17
}

// add sums as the checksum of the Internet does (RFC 1071).
func add(b []byte) (sum uint64) {
	for ; len(b) > 1; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
