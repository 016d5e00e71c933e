package store_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

// BenchmarkNewHosts writes new hosts of seven exposures each, as many to a
// transaction as the name says. The time of an operation is that of a host.
func BenchmarkNewHosts(b *testing.B) {
	for _, hosts := range []int{37, 128, 256} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) { benchmarkNewHosts(b, hosts) })
	}
}

func benchmarkNewHosts(b *testing.B, hosts int) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	order := rand.New(rand.NewPCG(1, 1)).Perm(max(b.N, 1))
	var longest time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for from := 0; from < b.N; from += hosts {
		part := order[from:min(from+hosts, b.N)]
		doors := make([]netip.AddrPort, len(part))
		for i, n := range part {
			doors[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 631)
		}
		began := time.Now()
		err := s.Apply(b.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return newcomers(doors, at)
		})
		if err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(began))
	}
	b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
}

var benchRules = [...]string{"open-ipp", "open-cups", "anonymous-print", "no-tls", "leaks-internal-address", "leaks-people", "reported-cups-version"}

func newcomers(doors []netip.AddrPort, at time.Time) (changed []exposure.Exposure, steps []exposure.Transition) {
	for _, d := range doors {
		for _, rule := range benchRules {
			k := exposure.Key{Addr: d.Addr(), Transport: exposure.TCP, Port: d.Port(), Rule: rule}
			evidence := "it answered CUPS-Get-Printers with 1 queue: printer-of " + d.Addr().String()
			changed = append(changed, exposure.Exposure{
				Key: k, Severity: exposure.Medium, Condition: exposure.Confirmed, Contact: exposure.NotContacted,
				Ruling: exposure.NoRuling, Cycle: 1, FirstSeen: at, LastSeen: at, TimesSeen: 1, Evidence: evidence,
				Last: exposure.NewID("run", d, exposure.TCP, exposure.ProbeIPP, 0), Where: exposure.Where{Country: "DE", ASN: 64496, ASName: "Example Net"},
			})
			steps = append(steps, exposure.Transition{
				Key: k, Axis: exposure.AxisCondition, To: string(exposure.Confirmed), Cycle: 1,
				Actor: "scan 20261123T093000Z-7f3a", Evidence: evidence, At: at,
			})
		}
	}
	return changed, steps
}

// BenchmarkListing lists what belongs to one of 200 constituents, some 5,000
// exposures of a million: by network, by AS, and by country. Their first page
// is what a person waits for.
func BenchmarkListing(b *testing.B) {
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const hosts, constituents = 1_000_000 / len(benchRules), 200
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	for from := 0; from < hosts; from += 140 {
		var doors []netip.AddrPort
		for n := from; n < min(from+140, hosts); n++ {
			doors = append(doors, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n % constituents), byte(n / constituents >> 8), byte(n / constituents)}), 631))
		}
		err := s.Apply(b.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			changed, steps := newcomers(doors, at)
			for i := range changed {
				n := uint32(changed[i].Addr.As4()[1])
				changed[i].Where = exposure.Where{ASN: 64500 + n, Country: string([]byte{'A' + byte(n/26), 'A' + byte(n%26)})}
			}
			return changed, steps
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, part := range map[string]store.Part{
		"network": {Networks: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}},
		"AS":      {ASNs: []uint32{64577}},
		"country": {Countries: []string{"CZ"}},
		"all":     {Networks: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")}, ASNs: []uint32{64577, 64578}, Countries: []string{"CZ"}},
	} {
		for _, limit := range []int{50, 0} {
			b.Run(fmt.Sprintf("%s/limit=%d", name, limit), func(b *testing.B) {
				n := 0
				for b.Loop() {
					n = 0
					filter := store.Work()
					filter.Of, filter.Limit = part, limit
					for _, err := range s.Exposures(b.Context(), access.CLI(at), filter) {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
				}
				b.ReportMetric(float64(n), "exposures")
			})
		}
	}
}
