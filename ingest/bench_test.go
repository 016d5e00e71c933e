//go:build unix

package ingest_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ippwatch/feed/shadowserver"
)

// BenchmarkIngest takes in a report of 100,000 hosts, or of INGEST_ROWS: into an
// empty directory, the same again, and the next day's with 2 % more hosts.
func BenchmarkIngest(b *testing.B) {
	rows := 100_000
	if n, err := strconv.Atoi(os.Getenv("INGEST_ROWS")); err == nil {
		rows = n
	}
	for b.Loop() {
		w, err := openWorld(b.Context(), filepath.Join(b.TempDir(), "data"))
		if err != nil {
			b.Fatal(err)
		}
		for _, round := range []struct {
			name string
			rows int
			day  time.Time
		}{{"first", rows, day}, {"again", rows, day}, {"next", rows + rows/50, day.AddDate(0, 0, 1)}} {
			var most atomic.Uint64
			done := make(chan struct{})
			go watchMemory(&most, done)
			began, worked := time.Now(), cpu(b)
			all, err := w.service.Take(b.Context(), one("2026-11-22-scan_ipp-x.csv", stream(round.rows, round.day)), shadowserver.Parse)
			took, work := time.Since(began), cpu(b)-worked
			close(done)
			if err != nil || all[0].Rows < rows || all[0].Aside > 0 {
				b.Fatalf("%+v, %v", all, err)
			}
			b.ReportMetric(took.Seconds(), "s/"+round.name)
			b.ReportMetric(work.Seconds(), "cpu-s/"+round.name)
			b.ReportMetric(float64(most.Load())/1e6, "MB/"+round.name)
			b.Logf("%s: %d rows, %d new, in %s with %s of work, at most %.0f MB", round.name, all[0].Rows, all[0].New, took.Round(time.Millisecond), work.Round(time.Millisecond), float64(most.Load())/1e6)
		}
		if err := w.close(); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu is the work of this process so far: on a busy machine it tells more than
// the time.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchMemory notes the most memory that the process had from the system.
func watchMemory(most *atomic.Uint64, done chan struct{}) {
	var m runtime.MemStats
	for {
		runtime.ReadMemStats(&m)
		most.Store(max(most.Load(), m.Sys-m.HeapReleased))
		select {
		case <-done:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
