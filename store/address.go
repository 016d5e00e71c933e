package store

import (
	"database/sql/driver"
	"fmt"
	"net/netip"

	"go4.org/netipx"

	"ippwatch/access"
)

// An address is a netip.Addr as the database keeps it: a byte 4 or 6, the bytes
// of the address, and the zone if there is one. Byte strings compare as
// addresses do, so that a prefix is a range of the primary key.
type address struct{ netip.Addr }

// Value returns the bytes.
func (a address) Value() (driver.Value, error) {
	b := a.bytes()
	if b == nil {
		return nil, fmt.Errorf("keep address: not valid")
	}
	return b, nil
}

func (a address) bytes() []byte {
	if !a.IsValid() {
		return nil
	}
	b := make([]byte, 1, 17)
	b[0] = 6
	if a.Is4() {
		b[0] = 4
	}
	b = append(b, a.AsSlice()...)
	return append(b, a.Zone()...)
}

// Scan reads what [address.Value] returned.
func (a *address) Scan(v any) error {
	b, ok := v.([]byte)
	switch {
	case ok && len(b) == 5 && b[0] == 4:
		a.Addr = netip.AddrFrom4([4]byte(b[1:]))
	case ok && len(b) >= 17 && b[0] == 6:
		a.Addr = netip.AddrFrom16([16]byte(b[1:])).WithZone(string(b[17:]))
	default:
		return fmt.Errorf("read address: %x is none", v)
	}
	return nil
}

// A span is a range of kept addresses, both ends included.
type span struct{ lo, hi []byte }

// spans returns the part of the prefix that the view may see, in order and
// without overlap; of a view that is placed, all, as its hosts lie anywhere: what
// is read there is looked at again, host by host. The zero prefix stands for all
// addresses.
func spans(v access.View, within netip.Prefix) ([]span, error) {
	var set netipx.IPSetBuilder
	switch {
	case v.Tier == access.Operator || v.Placed():
		if !within.IsValid() {
			return []span{{lo: []byte{0}, hi: []byte{0xff}}}, nil
		}
		set.AddPrefix(within)
	case v.Tier == access.Constituent:
		for _, p := range v.Whole() {
			set.AddPrefix(p)
		}
		if within.IsValid() {
			var only netipx.IPSetBuilder
			only.AddPrefix(within)
			asked, err := only.IPSet()
			if err != nil {
				return nil, err
			}
			set.Intersect(asked)
		}
	default:
		return nil, nil
	}
	allowed, err := set.IPSet()
	if err != nil {
		return nil, fmt.Errorf("networks of %s: %w", v.Who, err)
	}
	var out []span
	for _, r := range allowed.Ranges() {
		out = append(out, span{lo: address{r.From()}.bytes(), hi: address{r.To()}.bytes()})
	}
	return out, nil
}
