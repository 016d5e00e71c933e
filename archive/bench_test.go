package archive

import (
	"os"
	"slices"
	"testing"
	"time"

	"ippwatch/exposure"
)

// fileSize returns the bytes of the archive once its log is in the file.
func fileSize(tb testing.TB, a *Archive) int64 {
	tb.Helper()
	info, err := os.Stat(a.path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

// BenchmarkDay measures one more day of 100,000 hosts that the archive has seen
// before, by an archive that was opened anew, as the campaign appends: some
// thousand at a time, in scan order.
func BenchmarkDay(b *testing.B) {
	const hosts = 100_000
	for _, arriving := range []struct {
		name string
		n    int
	}{{"in 1000s", 1000}, {"at once", hosts}} {
		b.Run(arriving.name, func(b *testing.B) {
			dir, n := b.TempDir(), newNeighbourhood(hosts)
			var worst time.Duration
			appendDay := func(day int) (took time.Duration, size int64) {
				a, err := Open(b.Context(), dir)
				if err != nil {
					b.Fatal(err)
				}
				all := n.at(day)
				began := time.Now()
				for part := range slices.Chunk(all, arriving.n) {
					one := time.Now()
					if _, err := a.Append(b.Context(), part); err != nil {
						b.Fatal(err)
					}
					worst = max(worst, time.Since(one))
				}
				took = time.Since(began)
				if err := a.Close(); err != nil {
					b.Fatal(err)
				}
				return took, fileSize(b, a)
			}
			first, before := appendDay(0)
			var took time.Duration
			day := 0
			after := before
			b.ResetTimer()
			for b.Loop() {
				day++
				t, size := appendDay(day)
				took, after = took+t, size
			}
			b.ReportMetric(float64(hosts)/first.Seconds(), "new-rows/s")
			b.ReportMetric(float64(worst.Milliseconds()), "worst-append-ms")
			b.ReportMetric(float64(before)/hosts, "first-B/row")
			b.ReportMetric(float64(hosts*day)/took.Seconds(), "rows/s")
			b.ReportMetric(float64(after-before)/float64(hosts*day), "B/row/day")
		})
	}
}

// BenchmarkLatest reads the last observations of 20,000 hosts on a day that has two runs.
func BenchmarkLatest(b *testing.B) {
	const hosts = 20_000
	a, n := open(b, b.TempDir()), newNeighbourhood(hosts)
	keep(b, a, n.at(0)...)
	again := n.at(0)
	for i := range again {
		again[i].Run, again[i].ID = "second", ""
		again[i].ID = exposure.NewID("second", again[i].Target(), again[i].Transport, again[i].Probe, 0)
	}
	keep(b, a, again...)
	for b.Loop() {
		if n := len(collect(b, a.LatestPerTarget(b.Context(), operator, firstDay))); n != hosts {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(hosts*b.N)/b.Elapsed().Seconds(), "hosts/s")
}

// BenchmarkRollup counts a day of 20,000 hosts.
func BenchmarkRollup(b *testing.B) {
	const hosts = 20_000
	a := open(b, b.TempDir())
	keep(b, a, newNeighbourhood(hosts).at(0)...)
	for b.Loop() {
		if err := a.Rollup(b.Context(), firstDay); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(hosts*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkPrepare makes one observation of a device with 90 attributes ready.
func BenchmarkPrepare(b *testing.B) {
	o := newNeighbourhood(1).at(0)[0]
	var p preparer
	var r row
	b.ReportAllocs()
	for b.Loop() {
		p.prepare(&r, &o)
	}
}
