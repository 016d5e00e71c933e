package year

import (
	"fmt"
	"math"
	"net/netip"
)

// A Country is how many of the hosts of the special report stand there.
type Country struct {
	Code  string
	Hosts int
	// Published says what was: empty when the number is invented altogether.
	Published string
}

// Published is how many hosts the special report of 2024-09-27 had.
const Published = 107_289

// Countries are those of the special report, the most first. Of the three that
// were published the exact numbers are invented within what was said.
func Countries() []Country {
	all := []Country{{"US", 20_318, "over 20,000"}, {"DE", 12_964, "nearly 13,000"}, {"NL", 2_500, "2,500"}}
	rest := Published
	for _, c := range all {
		rest -= c.Hosts
	}
	weights := make([]float64, len(others))
	sum := 0.0
	for i := range others {
		weights[i] = 1 / math.Pow(float64(i)+6, 1.15)
		sum += weights[i]
	}
	left := rest
	for i, code := range others {
		n := int(float64(rest) * weights[i] / sum)
		left -= n
		all = append(all, Country{Code: code, Hosts: n})
	}
	all[len(all)-1].Hosts += left // what rounding left over
	return all
}

// others are in an order that is invented, as their numbers are.
var others = []string{
	"FR", "KR", "GB", "CA", "TW", "IT", "PL", "SG", "JP", "BR", "ES", "SE", "CZ", "HK", "AU", "RU", "CH", "IN", "AT", "RO", "FI", "BE", "DK", "UA",
	"NO", "HU", "MX", "ID", "VN", "TH", "TR", "ZA", "IL", "PT", "GR", "AR", "CL", "CO", "MY", "PH", "IE", "BG", "SK", "LT", "LV", "EE", "SI", "HR",
	"RS", "LU", "IS", "NZ", "KE", "NG", "EG", "MA", "PE", "EC", "BD", "PK", "LK", "KZ", "GE", "AM", "AZ", "MD", "CY", "MT", "UY", "CR", "PA",
}

// A block is the addresses of a country: those of the special report one behind the other in
// 198.18.0.0/15; what does not fit stands in 240.0.0.0/4.
type block struct {
	country     string
	first, size int
	number      int
}

func blocks() []block {
	var all []block
	at := 0
	for i, c := range Countries() {
		all = append(all, block{c.Code, at, c.Hosts, i})
		at += c.Hosts
	}
	return all
}

// at is the n-th address of the country.
func (b block) at(n int) netip.Addr {
	if n < b.size {
		n += b.first
		return netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
	}
	n -= b.size
	return netip.AddrFrom4([4]byte{240 + byte(b.number>>4), byte(b.number<<4) | byte(n>>16&0xf), byte(n >> 8), byte(n)})
}

// six is the n-th address of the country over IPv6.
func (b block) six(n int) netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(b.number), byte(n >> 16), byte(n >> 8), byte(n)}
	a[15] = 1
	return netip.AddrFrom16(a)
}

// network is an ASN for documentation (RFC 5398), and its invented name.
func network(country, n int) (asn uint32, name string) {
	i := (country*5 + n%5) % 32
	if i < 16 {
		return uint32(64496 + i), fmt.Sprintf("EXAMPLE-NET-%d", i) //nolint:gosec // below 16
	}
	return uint32(65536 + i - 16), fmt.Sprintf("EXAMPLE-NET-%d", i) //nolint:gosec // below 16
}
