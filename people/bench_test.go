package people_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
)

// many are constituents as a provider or a CSIRT has them.
func many(n int) []exposure.Constituent {
	all := make([]exposure.Constituent, n)
	for i := range all {
		name := fmt.Sprintf("customer-%d", i)
		all[i] = exposure.Constituent{
			Name: name, Title: "Customer " + name, Language: "de", ASNs: []uint32{uint32(i + 1)},
			Networks: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i)}), 48),
			},
			Contacts: []exposure.Recipient{{Medium: exposure.ByMail, Address: "abuse@" + name + ".example", Role: "abuse"}},
		}
	}
	return all
}

// BenchmarkImport is the first import of 5,000 constituents, the same again, and
// the reading of it.
func BenchmarkImport(b *testing.B) {
	all := many(5000)
	for b.Loop() {
		s := openStore(b)
		r := people.NewRegistry(s)
		for i := range 2 {
			if _, err := r.Import(b.Context(), hand(time.Duration(i)), "crm", "f", all, false); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := people.NewRegistry(s).Directory(b.Context(), access.CLI(noon)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	d := people.NewDirectory(many(5000))
	addr := netip.MustParseAddr("10.7.8.9")
	b.ReportAllocs()
	for b.Loop() {
		d.Match(addr, exposure.Where{ASN: 7, Country: "DE"})
	}
}
