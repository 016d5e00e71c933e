package enrich

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// table builds a table from "prefix country" lines.
func table(t testing.TB, lines ...string) *Countries {
	t.Helper()
	c := NewCountries(time.Date(2026, 6, 5, 13, 0, 0, 0, time.UTC))
	for _, line := range lines {
		var p, country string
		if _, err := fmt.Sscan(line, &p, &country); err != nil {
			t.Fatal(err)
		}
		if country == "-" {
			country = ""
		}
		if err := c.Add(netip.MustParsePrefix(p), country); err != nil {
			t.Fatal(err)
		}
	}
	c.Seal()
	return c
}

func TestCountry(t *testing.T) {
	c := table(t, "1.0.0.0/24 AU", "1.0.1.0/24 CN", "1.0.4.0/22 AU", "255.0.0.0/8 NL",
		"2001:600::/32 DE", "2001:601::/32 DE", "2001:700::/127 NO", "2001:700::2/127 SE", "2001:700:0:1::/64 DK", "ff00::/8 FI")
	for _, test := range []struct{ name, addr, want string }{
		{"before the first", "0.255.255.255", ""},
		{"the first address", "1.0.0.0", "AU"},
		{"the last address", "1.0.0.255", "AU"},
		{"a neighbour", "1.0.1.0", "CN"},
		{"a hole", "1.0.2.0", ""},
		{"the end of a hole", "1.0.3.255", ""},
		{"after a hole", "1.0.4.0", "AU"},
		{"after the last", "1.0.8.0", ""},
		{"the end of the space", "255.255.255.255", "NL"},
		{"mapped", "::ffff:1.0.1.7", "CN"},
		{"merged", "2001:601::1", "DE"},
		{"the first of a /64", "2001:700::3", "NO"},
		{"the next /64", "2001:700:0:1::3", "DK"},
		{"nobody's", "2001:800::", ""},
		{"the end of IPv6", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "FI"},
		{"before IPv6", "::1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := c.Country(netip.MustParseAddr(test.addr)); got != test.want {
				t.Errorf("Country(%s) = %q, want %q", test.addr, got, test.want)
			}
		})
	}
	if got := c.Country(netip.Addr{}); got != "" {
		t.Errorf("Country of no address = %q", got)
	}
	if got := (&Countries{}).Country(netip.MustParseAddr("1.1.1.1")); got != "" {
		t.Errorf("Country of an empty table = %q", got)
	}
	if v4, v6 := c.Len(); v4 != 6 || v6 != 6 {
		t.Errorf("Len() = %d, %d, want 6, 6", v4, v6)
	}
}

func TestAddRefuses(t *testing.T) {
	for _, test := range []struct{ name, before, prefix, country string }{
		{"an overlap", "1.0.0.0/8", "1.2.0.0/16", "DE"},
		{"what is behind", "2.0.0.0/8", "1.0.0.0/8", "DE"},
		{"what follows the end", "255.0.0.0/8", "1.0.0.0/8", "DE"},
		{"a country in small letters", "1.0.0.0/8", "2.0.0.0/8", "de"},
		{"a name", "1.0.0.0/8", "2.0.0.0/8", "Germany"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := table(t, test.before+" FR")
			if err := c.Add(netip.MustParsePrefix(test.prefix), test.country); err == nil {
				t.Errorf("Add(%s, %q) after %s succeeded", test.prefix, test.country, test.before)
			}
		})
	}
}

// What was built at random, written and parsed is the same, and tells of every
// address what the prefixes said.
func TestRandomTablesSurvive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		c := NewCountries(time.Unix(0, 0))
		said := make(map[netip.Addr]string)
		at := uint64(0)
		for at < 1<<32 {
			size := r.IntN(16)
			at = (at + uint64(r.IntN(3))<<(r.IntN(20)+4) + 1<<size - 1) >> size << size
			if at+1<<size > 1<<32 {
				break
			}
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], uint32(at))
			p := netip.PrefixFrom(netip.AddrFrom4(b), 32-size)
			country := string([]byte{'A' + byte(r.IntN(3)), 'A'})
			if err := c.Add(p, country); err != nil {
				t.Fatal(err)
			}
			if len(said) < 5000 {
				binary.BigEndian.PutUint32(b[:], uint32(at+1<<size-1))
				said[p.Addr()], said[netip.AddrFrom4(b)] = country, country
			}
			at += 1 << size
			at += uint64(r.IntN(1 << 22))
		}
		c.Seal()
		b, err := c.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseCountries(b)
		if err != nil {
			t.Fatal(err)
		}
		for a, want := range said {
			if got := back.Country(a); got != want {
				t.Fatalf("Country(%s) = %q, want %q", a, got, want)
			}
		}
	}
}

func TestParseCountriesRefuses(t *testing.T) {
	whole, err := table(t, "0.0.0.0/8 AU", "1.0.1.0/24 CN", "2001:600::/32 DE").Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCountries(whole); err != nil {
		t.Fatalf("ParseCountries of the whole: %v", err)
	}
	for n := range len(whole) {
		if _, err := ParseCountries(whole[:n]); err == nil {
			t.Errorf("ParseCountries of the first %d of %d bytes succeeded", n, len(whole))
		}
	}
}

func FuzzParseCountries(f *testing.F) {
	small, err := table(f, "0.0.0.0/8 AU", "1.0.1.0/24 CN", "2001:600::/32 DE", "ff00::/8 FI").Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	empty, err := NewCountries(time.Unix(0, 0)).Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add(empty)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCountries(data)
		if err != nil {
			return
		}
		b, err := c.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseCountries(b)
		if err != nil {
			t.Fatalf("ParseCountries of what was written: %v", err)
		}
		if diff := cmp.Diff(c, back, cmp.AllowUnexported(Countries{}, column[uint32]{}, column[uint64]{})); diff != "" {
			t.Errorf("parsed, written, parsed (-want +got):\n%s", diff)
		}
	})
}

func TestEmbeddedTable(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if !Date().Equal(c.Date()) || Date().Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Date() = %v, of the table %v", Date(), c.Date())
	}
	if len(countryData) > 2_500_000 {
		t.Errorf("the table takes %d bytes, want at most 2.5 MB", len(countryData))
	}
	if v4, v6 := c.Len(); v4 < 100_000 || v6 < 100_000 {
		t.Errorf("Len() = %d, %d: the table is not whole", v4, v6)
	}
	// Networks that have not moved for decades.
	for addr, want := range map[string]string{
		"193.99.144.80": "DE", "145.100.0.1": "NL", "133.11.0.1": "JP", "200.160.0.8": "BR", "17.0.0.1": "US", "2001:638::1": "DE",
	} {
		if got := c.Country(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Country(%s) = %q, want %q", addr, got, want)
		}
	}
	if !bytes.HasPrefix(countryData, magic) {
		t.Errorf("country.bin begins with %q", countryData[:20])
	}
}

func BenchmarkParseCountries(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCountries(countryData); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCountry(b *testing.B) {
	c, err := Embedded()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("IPv4", func(b *testing.B) {
		b.ReportAllocs()
		for n := uint32(0); b.Loop(); n += 2654435761 {
			c.Country(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
		}
	})
	b.Run("IPv6", func(b *testing.B) {
		b.ReportAllocs()
		for n := uint32(0); b.Loop(); n += 2654435761 {
			c.Country(netip.AddrFrom16([16]byte{0x20 | byte(n>>28), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
		}
	})
}
