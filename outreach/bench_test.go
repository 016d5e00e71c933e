package outreach

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

// BenchmarkPlan plans for 100,000 open cases of 5,000 constituents and 40,000
// customers with leases, a third of which were told before.
func BenchmarkPlan(b *testing.B) {
	w := openTown(b, filepath.Join(b.TempDir(), "data"), nil, noon)
	var list []exposure.Constituent
	var leases []exposure.Assignment
	for i := range 5000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		list = append(list, exposure.Constituent{
			Name: fmt.Sprintf("net-%d", i), Networks: []netip.Prefix{p},
			Contacts: []exposure.Recipient{{Medium: exposure.ByMail, Address: fmt.Sprintf("noc@net-%d.example", i), Role: "technical", Source: exposure.OwnData}},
		})
	}
	for i := range 40_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i / 8 >> 8), byte(i / 8), byte(i % 8 * 32)})
		name := fmt.Sprintf("customer-%d", i)
		list = append(list, exposure.Constituent{
			Name: name, Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 32)},
			Contacts: []exposure.Recipient{{Medium: exposure.ByMail, Address: name + "@example.net", Source: exposure.OwnData}},
		})
		leases = append(leases, exposure.Assignment{Prefix: netip.PrefixFrom(a, 27), Customer: name, From: noon.AddDate(0, -1, 0)})
	}
	slices.SortFunc(leases, store.CompareAssignments)
	if _, err := w.store.ImportAssignments(b.Context(), store.AssignmentImport{Import: store.Import{Source: "radius", At: noon}, Rows: leases}); err != nil {
		b.Fatal(err)
	}
	var cases []exposure.Exposure
	for i := range 100_000 {
		n := i / 20
		cases = append(cases, hole(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), byte(i%20*12 + 1)}).String(), "open-ipp"))
	}
	w.keep(b, cases...)
	w.office.Directory = people.NewDirectory(list)
	w.office.Rules.Rules = []Rule{{Name: "all"}}
	first, err := w.office.Plan(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	third := first.Messages[:len(first.Messages)/3]
	if _, err := w.store.PutRun(b.Context(), "earlier", third, store.MessagePlanned, ""); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.office.customers = nil
		began := time.Now()
		p, err := w.office.Plan(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MB")
		b.ReportMetric(float64(len(p.Messages)), "messages")
		b.ReportMetric(100_000/time.Since(began).Seconds(), "cases/s")
		runtime.KeepAlive(p)
	}
}
