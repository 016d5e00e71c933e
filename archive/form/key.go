package form

import (
	"encoding/hex"
	"net/netip"

	"ippwatch/exposure"
)

// A Key tells an observation from the others of its run.
type Key struct {
	Addr    netip.Addr
	Door    int64 // the number of a port, a transport and a probe
	Attempt int
	ID      exposure.ID // empty when it is the hash of run, target, probe and attempt
}

// Append appends the key in bytes: the length of the address, the address, the
// door; the attempt unless it is the first and there is no id; last the id as
// [AppendID] writes it. Keys of one address stand together, and so do those of
// one door of it; IPv4 comes before IPv6.
func (k *Key) Append(b []byte) []byte {
	s := Sink(appendAddr(b, k.Addr))
	s.Uint(uint64(k.Door))
	if k.Attempt != 0 || k.ID != "" {
		s.Int(int64(k.Attempt))
	}
	if k.ID != "" {
		s = AppendID(s, k.ID)
	}
	return s
}

func appendAddr(b []byte, a netip.Addr) []byte {
	raw, _ := a.MarshalBinary() // documented never to fail
	b = append(b, byte(min(len(raw), 255)))
	return append(b, raw...)
}

// Forms of an id.
const (
	textID = 0
	hexID  = 1 // 16 bytes
)

// AppendID appends the id in bytes; 16 in hexadecimal take half the room.
func AppendID(b []byte, id exposure.ID) []byte {
	if raw, err := hex.DecodeString(string(id)); err == nil && len(raw) == 16 && hex.EncodeToString(raw) == string(id) {
		return append(append(b, hexID), raw...)
	}
	return append(append(b, textID), id...)
}

// ParseKey reads what [Key.Append] wrote.
func ParseKey(b []byte) (Key, error) {
	var k Key
	s := Source{Rest: string(b)}
	n := s.take(1)
	if s.Err != nil {
		return k, s.Err
	}
	if err := k.Addr.UnmarshalBinary([]byte(s.take(uint64(n[0])))); err != nil {
		return k, ErrTorn
	}
	k.Door = int64(s.Uint())
	if len(s.Rest) > 0 {
		k.Attempt = int(s.Int())
	}
	if len(s.Rest) > 0 {
		if k.ID = exposure.ID(s.Rest[1:]); s.Rest[0] == hexID {
			k.ID = exposure.ID(hex.EncodeToString([]byte(s.Rest[1:])))
		}
	}
	return k, s.Err
}

// Keys follow their address with a door, an attempt and an id; no door's number
// begins with this byte so often.
const beyond = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// AddrBytes returns the address as keys have it.
func AddrBytes(a netip.Addr) []byte { return appendAddr(nil, a) }

// AddrRange returns the bounds, both included, of the keys of an address.
func AddrRange(a netip.Addr) (from, to []byte) {
	from = appendAddr(nil, a)
	return from, append(from[:len(from):len(from)], beyond...)
}

// PrefixRange returns the bounds, both included, of the keys of a prefix.
func PrefixRange(p netip.Prefix) (from, to []byte) {
	from, to = AddrRange(p.Masked().Addr())
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		to[1+i/8] |= 0x80 >> (i % 8)
	}
	return from, to
}
