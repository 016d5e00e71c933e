package read

import (
	"errors"
	"fmt"
	"net/netip"

	"ippwatch/acl"
)

// A FlowRoute is a FlowSpec route as BGP carries it.
type FlowRoute struct {
	Rule        string
	Family      acl.Family
	NLRI        []byte // with its length
	Communities []uint64
}

// ErrFlow is for bytes that are no route.
var ErrFlow = errors.New("malformed FlowSpec route")

// FlowRoutes says what routes do to packets, from the bytes that are sent.
func FlowRoutes(routes []FlowRoute) (acl.Filter, error) {
	var all []flow
	var f acl.Filter
	for i, r := range routes {
		one, err := decodeFlow(r.Family, r.NLRI)
		if err != nil {
			return acl.Filter{}, fmt.Errorf("route %d: %w", i+1, err)
		}
		one.rule.Name, one.rule.Line = r.Rule, i+1
		if why := flowAction(&one.rule, r.Communities); why != "" {
			one.rule.Unsure = true
			f.Unverified = append(f.Unverified, acl.Line{Number: i + 1, Why: why})
		}
		all = append(all, one)
	}
	f.Stages = flows(all)
	return f, nil
}

// decodeFlow reads the NLRI of RFC 8955, section 4, and RFC 8956, section 3.
func decodeFlow(family acl.Family, b []byte) (flow, error) {
	f := flow{family: family}
	if len(b) == 0 {
		return f, ErrFlow
	}
	n := int(b[0])
	if b = b[1:]; n >= 0xf0 {
		if len(b) == 0 {
			return f, ErrFlow
		}
		n, b = n&0x0f<<8|int(b[0]), b[1:]
	}
	if n != len(b) || n == 0 {
		return f, fmt.Errorf("%w: its length is %d, not %d", ErrFlow, len(b), n)
	}
	for len(b) > 0 {
		p := flowPart{kind: b[0]}
		if k := len(f.parts); k > 0 && f.parts[k-1].kind >= p.kind {
			return f, fmt.Errorf("%w: type %d is behind type %d", ErrFlow, p.kind, f.parts[k-1].kind)
		}
		var err error
		if b = b[1:]; p.kind == flowDst || p.kind == flowSrc {
			b, err = p.decodePrefix(family, b)
		} else {
			b, err = p.decodeItems(b)
		}
		if err != nil {
			return f, err
		}
		f.parts = append(f.parts, p)
	}
	return f, nil
}

func (p *flowPart) decodePrefix(family acl.Family, b []byte) ([]byte, error) {
	if len(b) < 2 {
		return nil, ErrFlow
	}
	bits, most := int(b[0]), 32
	b = b[1:]
	if family == acl.V6 {
		p.offset, b, most = b[0], b[1:], 128
	}
	n := (bits - int(p.offset) + 7) / 8
	if bits > most || int(p.offset) > bits || n > len(b) {
		return nil, fmt.Errorf("%w: a prefix of %d bits", ErrFlow, bits)
	}
	if p.offset != 0 {
		p.prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0) // what it says is not looked at
		return b[n:], nil
	}
	var addr netip.Addr
	if family == acl.V6 {
		var octets [16]byte
		copy(octets[:], b[:n])
		addr = netip.AddrFrom16(octets)
	} else {
		var octets [4]byte
		copy(octets[:], b[:n])
		addr = netip.AddrFrom4(octets)
	}
	if addr.Is4In6() {
		return nil, fmt.Errorf("%w: %s", ErrFlow, addr)
	}
	p.prefix = netip.PrefixFrom(addr, bits).Masked()
	return b[n:], nil
}

func (p *flowPart) decodeItems(b []byte) ([]byte, error) {
	for {
		if len(b) == 0 {
			return nil, fmt.Errorf("%w: a list without an end", ErrFlow)
		}
		op := b[0]
		n := 1 << (op >> 4 & 3)
		if b = b[1:]; len(b) < n {
			return nil, fmt.Errorf("%w: a value is cut off", ErrFlow)
		}
		var value uint64
		for _, octet := range b[:n] {
			value = value<<8 | uint64(octet)
		}
		p.items = append(p.items, flowItem{op & 0x4f, value})
		if b = b[n:]; op&0x80 != 0 {
			return b, nil
		}
	}
}
