package space

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestGuard(t *testing.T) {
	s := scopeOf("8.8.8.0/24", "2a00:1::/120")
	s.Exclude = prefixes("8.8.8.0/28")
	allowed, _, err := s.Set(noon, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		addr string
		now  time.Time
		set  func(*Guard)
		want error
	}{
		{"an address of the set", "8.8.8.16", noon, func(*Guard) {}, nil},
		{"an IPv6 address of the set", "2a00:1::1", noon, func(*Guard) {}, nil},
		{"an address outside", "8.8.9.1", noon, func(*Guard) {}, ErrOutside},
		{"the same address, IPv4-mapped", "::ffff:8.8.8.16", noon, func(*Guard) {}, ErrOutside},
		{"an address that the scope excludes", "8.8.8.1", noon, func(*Guard) {}, ErrOutside},
		{"the last moment", "8.8.8.16", s.Expires.Add(-1), func(*Guard) {}, nil},
		{"the first moment too late", "8.8.8.16", s.Expires, func(*Guard) {}, ErrExpired},
		{"paused", "8.8.8.16", noon, func(g *Guard) { g.SetPaused(true) }, ErrPaused},
		{"paused and on again", "8.8.8.16", noon, func(g *Guard) { g.SetPaused(true); g.SetPaused(false) }, nil},
		{"excluded while running", "8.8.8.16", noon, func(g *Guard) { g.SetExcluded(prefixes("8.8.8.16/29")) }, ErrExcluded},
		{"excluded in IPv6", "2a00:1::1", noon, func(g *Guard) { g.SetExcluded(prefixes("2a00::/16")) }, ErrExcluded},
		{"excluded in a careless form", "8.8.8.16", noon, func(g *Guard) {
			g.SetExcluded([]netip.Prefix{{}, netip.MustParsePrefix("::ffff:8.8.8.77/120")})
		}, ErrExcluded},
		{"the neighbour of an exclusion", "8.8.8.24", noon, func(g *Guard) { g.SetExcluded(prefixes("8.8.8.16/29")) }, nil},
		{"an exclusion that was taken back", "8.8.8.16", noon, func(g *Guard) {
			g.SetExcluded(prefixes("8.8.8.16/29"))
			g.SetExcluded(nil)
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := NewGuard(s, allowed)
			tt.set(g)
			if err := g.Allow(netip.MustParseAddr(tt.addr), tt.now); !errors.Is(err, tt.want) {
				t.Errorf("Allow(%s) = %v, want %v", tt.addr, err, tt.want)
			}
		})
	}
}

func TestNoGuardAllowsNothing(t *testing.T) {
	a := netip.MustParseAddr("8.8.8.8")
	for name, g := range map[string]*Guard{"nil": nil, "zero": {}, "of an empty set": NewGuard(scopeOf("8.8.8.8"), Set{})} {
		if g.Allow(a, noon) == nil {
			t.Errorf("a %s guard allows %s", name, a)
		}
	}
	if err := NewGuard(scopeOf("8.8.8.8"), set(t, "8.8.8.8", "")).Allow(netip.Addr{}, noon); !errors.Is(err, ErrOutside) {
		t.Errorf("the zero address: %v", err)
	}
}

// TestGuardBindsAtOnce excludes and pauses while others ask: an Allow that
// begins after the call returned must obey it.
func TestGuardBindsAtOnce(t *testing.T) {
	g := NewGuard(scopeOf("8.8.8.0/24"), set(t, "8.8.8.0/24", ""))
	a := netip.MustParseAddr("8.8.8.8")
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := g.Allow(a, noon); err != nil && !errors.Is(err, ErrExcluded) && !errors.Is(err, ErrPaused) {
						t.Errorf("Allow: %v", err)
						return
					}
				}
			}
		})
	}
	for range 1000 {
		g.SetExcluded(prefixes("8.8.8.8"))
		if err := g.Allow(a, noon); !errors.Is(err, ErrExcluded) {
			t.Fatalf("excluded: Allow = %v", err)
		}
		g.SetPaused(true)
		if err := g.Allow(a, noon); !errors.Is(err, ErrPaused) {
			t.Fatalf("paused: Allow = %v", err)
		}
		g.SetExcluded(nil)
		g.SetPaused(false)
		if err := g.Allow(a, noon); err != nil {
			t.Fatalf("free again: Allow = %v", err)
		}
	}
	close(stop)
	askers.Wait()
}

func TestNoAllocationsOnTheWay(t *testing.T) {
	s := set(t, "8.8.0.0/16 2a00:1::/112", "8.8.7.0/24")
	g := NewGuard(scopeOf("8.8.0.0/16"), s)
	g.SetExcluded(prefixes("8.8.8.0/24", "2a00:2::/32"))
	o := order(t, s, []uint16{631, 8631}, "seed", 0, 1)
	a := netip.MustParseAddr("8.8.9.1")
	pos := uint64(0)
	for name, f := range map[string]func(){
		"Guard.Allow": func() { _ = g.Allow(a, noon) },
		"Order.At":    func() { o.At(pos); pos++ },
		"Position":    func() { o.Position(netip.AddrPortFrom(a, 631)) },
		"SpecialPurpose": func() {
			SpecialPurpose(a)
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkGuardAllow(b *testing.B) {
	g := NewGuard(scopeOf("11.0.0.0/8"), set(b, "11.0.0.0/8", "11.7.0.0/16"))
	g.SetExcluded(prefixes("11.8.0.0/24", "11.9.1.1", "192.0.2.0/24"))
	a := netip.MustParseAddr("11.200.1.1")
	b.ReportAllocs()
	for range b.N {
		if err := g.Allow(a, noon); err != nil {
			b.Fatal(err)
		}
	}
}
