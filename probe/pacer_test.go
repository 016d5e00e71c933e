package probe

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacerSpacesEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := PerSecond(100)
		var sent []time.Time
		for i := range 200 {
			if err := p.Wait(t.Context(), netip.AddrFrom4([4]byte{192, 0, byte(i), 1})); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, time.Now())
		}
		for i := 2; i < len(sent); i++ {
			if gap := sent[i].Sub(sent[i-1]); gap != 10*time.Millisecond {
				t.Fatalf("gap %d is %v, want 10ms", i, gap)
			}
		}
	})
}

func TestPacerDoesNotSaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := PerSecond(100)
		wait := func(i int) {
			if err := p.Wait(t.Context(), netip.AddrFrom4([4]byte{192, 0, byte(i), 1})); err != nil {
				t.Fatal(err)
			}
		}
		wait(0)
		time.Sleep(time.Second) // of the bubble
		began := time.Now()
		for i := range 11 {
			wait(i)
		}
		if took := time.Since(began); took < 100*time.Millisecond-slack {
			t.Errorf("eleven packets after a pause took %v, want 100ms", took)
		}
	})
}

func TestPacerIsSharedBySenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const senders, each = 20, 50
		p := PerSecond(1000)
		began := time.Now()
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					if err := p.Wait(t.Context(), netip.AddrFrom4([4]byte{10, byte(s), byte(i), 1})); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if took, want := time.Since(began), senders*each*time.Millisecond; took < want-2*slack || took > want+10*time.Millisecond {
			t.Errorf("%d packets took %v, want %v", senders*each, took, want)
		}
	})
}

// TestPacerSparesEachNetwork lets many senders go to few networks in a mixed
// order: no network ever gets two packets closer than its share.
func TestPacerSparesEachNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		p := PerSecond(200).PerNetwork(20)
		var mu sync.Mutex
		sent := make(map[netip.Prefix][]time.Time)
		var wg sync.WaitGroup
		for range 300 {
			to := netip.AddrFrom4([4]byte{192, 0, byte(rng.IntN(3)), byte(rng.IntN(256))})
			if rng.IntN(4) == 0 {
				to = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(rng.IntN(2)), 15: byte(rng.IntN(256))})
			}
			wg.Go(func() {
				if err := p.Wait(t.Context(), to); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				netw := networkOf(to)
				sent[netw] = append(sent[netw], time.Now())
			})
		}
		wg.Wait()
		if len(sent) != 5 {
			t.Fatalf("%d networks, want 5", len(sent))
		}
		for netw, times := range sent {
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap < 50*time.Millisecond-slack {
					t.Errorf("two packets to %v within %v, want 50ms", netw, gap)
				}
			}
		}
	})
}

func TestPacerForgetsNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := PerSecond(100_000)
		for i := range 50_000 {
			if err := p.Wait(t.Context(), netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})); err != nil {
				t.Fatal(err)
			}
		}
		// Half a second has passed, of which an interval of 100 ms counts.
		if got := len(p.networks); got > 25_000 {
			t.Errorf("%d networks remembered of 50,000", got)
		}
	})
}

func TestPacerStopsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := PerSecond(1)
		to := netip.MustParseAddr("192.0.2.1")
		if err := p.Wait(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := p.Wait(ctx, to); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func BenchmarkWait(b *testing.B) {
	p := PerSecond(1 << 30).PerNetwork(1 << 30)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if err := p.Wait(b.Context(), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})); err != nil {
			b.Fatal(err)
		}
	}
}
