package enrich

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"ippwatch/space"
)

// errNotThere is for a country of which a table has no network.
var errNotThere = errors.New("not in the table")

// Prefixes returns the fewest prefixes that hold all that the table places in
// the country (ISO 3166-1 alpha-2), IPv4 first. Special-purpose space is not
// among them: whoever means it names it.
func (c *Countries) Prefixes(country string) ([]netip.Prefix, error) {
	if err := checkCountry(country); err != nil {
		return nil, err
	}
	var b netipx.IPSetBuilder
	if code := slices.Index(c.codes, country); code > 0 {
		c.v4.each(uint8(code), func(from, to uint32) {
			b.AddRange(netipx.IPRangeFrom(addr4(from), addr4(to)))
		})
		c.v6.each(uint8(code), func(from, to uint64) {
			b.AddRange(netipx.IPRangeFrom(addr6(from, 0), addr6(to, 0xff)))
		})
	}
	found, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("merge networks: %w", err)
	}
	prefixes := slices.DeleteFunc(found.Prefixes(), func(p netip.Prefix) bool {
		_, special := space.SpecialNetwork(p)
		return special
	})
	if len(prefixes) == 0 {
		return nil, fmt.Errorf("country %s: %w", country, errNotThere)
	}
	return prefixes, nil
}

// each yields the ranges of a country, both ends included.
func (c *column[T]) each(code uint8, yield func(from, to T)) {
	for i, of := range c.code {
		switch {
		case of != code:
		case i+1 < len(c.from):
			yield(c.from[i], c.from[i+1]-1)
		default:
			yield(c.from[i], ^T(0))
		}
	}
}

func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// addr6 is an address of whose second half every byte is the same.
func addr6(half uint64, rest byte) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], half)
	for i := 8; i < len(b); i++ {
		b[i] = rest
	}
	return netip.AddrFrom16(b)
}

// CountryPrefixes returns the fewest prefixes that hold all that an MMDB file
// places in the country (ISO 3166-1 alpha-2), IPv4 first, and when the file was
// built.
func CountryPrefixes(path, country string) (prefixes []netip.Prefix, built time.Time, err error) {
	if err := checkCountry(country); err != nil {
		return nil, time.Time{}, err
	}
	db, err := openMMDB(path)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("open MMDB %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if prefixes, err = db.prefixes(country); err != nil {
		return nil, time.Time{}, fmt.Errorf("country %s in %s: %w", country, path, err)
	}
	return prefixes, db.reader.Metadata.BuildTime().UTC(), nil
}

func (m *mmdb) prefixes(country string) ([]netip.Prefix, error) {
	var b netipx.IPSetBuilder
	inside := make(map[uintptr]bool) // by record: many networks share one
	for network := range m.reader.Networks() {
		at := network.Offset()
		in, known := inside[at]
		if !known {
			var record any
			if err := network.Decode(&record); err != nil {
				return nil, err
			}
			in = read(record).Country == country
			inside[at] = in
		}
		if in {
			b.AddPrefix(network.Prefix())
		}
	}
	found, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("merge networks: %w", err)
	}
	if len(found.Ranges()) == 0 {
		return nil, errNotThere
	}
	return found.Prefixes(), nil
}

func checkCountry(country string) error {
	if !isCountry(country) {
		return fmt.Errorf("country %q: want two letters, such as DE", country)
	}
	return nil
}
