package enrich

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func words(prefixes []netip.Prefix) string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

func TestPrefixesOfACountry(t *testing.T) {
	c := table(t, "8.0.0.0/24 AU", "8.0.1.0/24 AU", "8.0.2.0/23 CN", "8.0.4.0/25 AU", "192.0.0.0/25 AU", "203.0.112.0/22 FI", "255.255.0.0/16 NL",
		"2001:600::/32 AU", "2001:601::/32 AU", "2001:700::/127 NO", "2001:db8::/40 SE", "ff00::/8 SE")
	for _, test := range []struct{ name, country, want, err string }{
		{name: "neighbours are merged, IPv4 comes first", country: "AU", want: "8.0.0.0/23 8.0.4.0/25 2001:600::/31"},
		{name: "one", country: "CN", want: "8.0.2.0/23"},
		{name: "no finer than a /64", country: "NO", want: "2001:700::/64"},
		{name: "around what is special-purpose", country: "FI", want: "203.0.112.0/22"},
		{name: "in the last block, which is", country: "NL", err: "country NL: not in the table"},
		{name: "in special-purpose space alone", country: "SE", err: "country SE: not in the table"},
		{name: "an unknown country", country: "XX", err: "country XX: not in the table"},
		{name: "none", country: "", err: `country "": want two letters, such as DE`},
		{name: "a name", country: "GERMANY", err: `country "GERMANY": want two letters, such as DE`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := c.Prefixes(test.country)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if words(got) != test.want || text != test.err {
				t.Errorf("Prefixes(%s) = %s, %q, want %s, %q", test.country, words(got), text, test.want, test.err)
			}
		})
	}
}

// What the embedded table says of an address and of a country is one and the same.
func TestPrefixesAgreeWithCountry(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, country := range []string{"DE", "LI", "VA"} {
		prefixes, err := c.Prefixes(country)
		if err != nil {
			t.Fatal(err)
		}
		six := false
		for _, p := range prefixes {
			six = six || p.Addr().Is6()
			for _, a := range []netip.Addr{p.Addr(), within(r, p)} {
				if got := c.Country(a); got != country {
					t.Fatalf("%s, of %s, is in %q, want %s", a, p, got, country)
				}
			}
			if before := p.Addr().Prev(); c.Country(before) == country && placed(before) && !inAny(prefixes, before) {
				t.Fatalf("%s is in %s, and in no prefix", before, country)
			}
		}
		if !six {
			t.Errorf("%s has no IPv6", country)
		}
	}
}

// within is an address of the prefix.
func within(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		if r.IntN(2) == 1 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func inAny(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func TestCountryPrefixesOfMMDB(t *testing.T) {
	path := writeMMDB(t, 6, m{
		"8.8.8.0/24": m{"country_code": "DE"}, "8.8.9.0/24": m{"country": m{"iso_code": "DE"}},
		"9.0.0.0/24": m{"country_code": "FR"}, "2a00:1::/32": m{"country_code": "DE"},
	})
	got, built, err := CountryPrefixes(path, "DE")
	if err != nil || built.Format(time.DateOnly) != "2026-06-05" {
		t.Errorf("CountryPrefixes() = built %v, %v", built, err)
	}
	if diff := cmp.Diff("8.8.8.0/23 2a00:1::/32", words(got)); diff != "" {
		t.Errorf("CountryPrefixes (-want +got):\n%s", diff)
	}
	for country, want := range map[string]string{"AT": "country AT in " + path + ": not in the table", "x": `country "x": want two letters, such as DE`} {
		if _, _, err := CountryPrefixes(path, country); err == nil || err.Error() != want {
			t.Errorf("CountryPrefixes(%s): %v, want %s", country, err, want)
		}
	}
	if _, _, err := CountryPrefixes(path+"x", "DE"); err == nil {
		t.Error("CountryPrefixes of no file succeeded")
	}
}
