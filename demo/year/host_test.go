package year

import (
	"net/netip"
	"testing"
)

// TestPopulation holds that no two hosts share an address, and that there are as
// many as were asked for, also in the year of a country.
func TestPopulation(t *testing.T) {
	for _, n := range []int{10, DefaultHosts, 100_000} {
		seen := make(map[netip.Addr]bool)
		alive, disclosed := 0, dayOf(Disclosure)
		for _, h := range population(1, n) {
			if seen[h.addr] {
				t.Fatalf("of %d hosts two are at %s", n, h.addr)
			}
			seen[h.addr] = true
			if h.born <= disclosed && disclosed < h.gone {
				alive++
			}
			if h.gone <= h.born {
				t.Fatalf("%s is gone on day %d and born on day %d", h.addr, h.gone, h.born)
			}
		}
		if least, most := n*85/100-5, n*115/100+5; alive < least || alive > most {
			t.Errorf("of %d hosts %d are there at the disclosure", n, alive)
		}
	}
}
