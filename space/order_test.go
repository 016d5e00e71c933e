package space

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func order(t testing.TB, s Set, ports []uint16, seed string, shard, shards int) *Order {
	t.Helper()
	o, err := NewOrder(s, ports, []byte(seed), shard, shards)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// holed is a set of n addresses of which no three are neighbours.
func holed(t testing.TB, n int) Set {
	t.Helper()
	s := scopeOf()
	for i := range n {
		a := binary.BigEndian.AppendUint32(nil, 11<<24+uint32(i/2*5+i%2))
		addr, _ := netip.AddrFromSlice(a)
		s.Networks = append(s.Networks, netip.PrefixFrom(addr, 32))
	}
	got, _, err := s.Set(noon, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOrderVisitsEachTargetOnce is the promise of the package: no repeats, none
// missed, on sets with holes, whatever the ports and shards, and each target
// knows its position.
func TestOrderVisitsEachTargetOnce(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 99, 100, 255, 256, 257, 1000, 4099}
	for _, n := range sizes {
		s := holed(t, n)
		for _, ports := range [][]uint16{{631}, {8631, 631}, {631, 80, 443}} {
			for _, shards := range []int{1, 2, 3, 7} {
				seen := make(map[netip.AddrPort]bool)
				total := uint64(0)
				for shard := range shards {
					o := order(t, s, ports, fmt.Sprint("seed", n), shard, shards)
					total += o.Len()
					for pos := range o.Len() {
						target := o.At(pos)
						if seen[target] {
							t.Fatalf("%d addresses, ports %v, shard %d/%d: %s twice", n, ports, shard, shards, target)
						}
						seen[target] = true
						if !s.Contains(target.Addr()) || !slices.Contains(ports, target.Port()) {
							t.Fatalf("%s is no target", target)
						}
						if got, ok := o.Position(target); !ok || got != pos {
							t.Fatalf("Position(At(%d)) = %d, %v", pos, got, ok)
						}
						if got, ok := o.Shard(target); !ok || got != shard {
							t.Fatalf("Shard(%s) = %d, %v, want %d", target, got, ok, shard)
						}
						other := order(t, s, ports, fmt.Sprint("seed", n), (shard+1)%shards, shards)
						if _, ok := other.Position(target); ok && shards > 1 && pos < 8 {
							t.Fatalf("%s is visited by two shards", target)
						}
					}
				}
				if want := uint64(n * len(ports)); total != want || uint64(len(seen)) != want {
					t.Fatalf("%d addresses, ports %v, %d shards: %d positions and %d targets, want %d",
						n, ports, shards, total, len(seen), want)
				}
			}
		}
	}
}

func TestOrderDependsOnItsSeed(t *testing.T) {
	s := set(t, "11.0.0.0/24", "")
	a, same, b := order(t, s, []uint16{631, 80}, "a", 0, 1), order(t, s, []uint16{80, 631}, "a", 0, 1), order(t, s, []uint16{631, 80}, "b", 0, 1)
	equal := 0
	for pos := range a.Len() {
		if a.At(pos) != same.At(pos) {
			t.Fatalf("the order of the ports changes position %d", pos)
		}
		if a.At(pos) == b.At(pos) {
			equal++
		}
	}
	if equal > 10 { // one is expected
		t.Errorf("two seeds agree on %d of %d positions", equal, a.Len())
	}
}

// TestOrderIsStable fixes the order: a checkpoint of yesterday's binary must
// mean the same targets today.
func TestOrderIsStable(t *testing.T) {
	o := order(t, set(t, "11.0.0.0/8 2a00:1::/112", "11.1.0.0/16"), []uint16{631, 8631}, "seed", 1, 3)
	var got []string
	for pos := range uint64(6) {
		got = append(got, o.At(pos).String())
	}
	const want = "11.248.129.97:631 11.32.193.63:631 11.118.121.140:8631 " +
		"11.224.3.216:8631 11.119.240.27:631 11.214.82.196:8631"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("order = %s, want %s", s, want)
	}
}

// TestOrderIsDispersed slides a window over the order and counts how often any
// one /24 is met: in a window as long as there are networks, chance gives a
// network one target, rarely more than eight.
func TestOrderIsDispersed(t *testing.T) {
	tests := []struct {
		name     string
		networks string
		window   int
		most     int
	}{
		{"a /16", "11.0.0.0/16", 256, 11},
		{"a /16, half a window", "11.0.0.0/16", 128, 9},
		{"a /12", "11.0.0.0/12", 4096, 12},
		{"a /12, a short window", "11.0.0.0/12", 64, 5},
		{"sixteen networks apart", "11.0.0.0/24 12.0.1.0/24 13.0.0.0/24 14.0.0.0/24 15.0.0.0/24 16.0.0.0/24 17.0.0.0/24 18.0.0.0/24 " +
			"19.0.0.0/24 20.0.0.0/24 21.0.0.0/24 22.0.0.0/24 23.0.0.0/24 24.0.0.0/24 25.0.0.0/24 26.0.0.0/24", 16, 9},
	}
	for _, tt := range tests {
		for _, seed := range []string{"a", "b", "c"} {
			t.Run(tt.name+", seed "+seed, func(t *testing.T) {
				o := order(t, set(t, tt.networks, ""), []uint16{631}, seed, 0, 1)
				n := min(o.Len(), 1<<18)
				hits := make(map[netip.Prefix]int)
				net := func(pos uint64) netip.Prefix { return netip.PrefixFrom(o.At(pos).Addr(), 24).Masked() }
				for pos := range n {
					p := net(pos)
					hits[p]++
					if hits[p] > tt.most {
						t.Fatalf("%s is met %d times in %d targets at position %d", p, hits[p], tt.window, pos)
					}
					if pos >= uint64(tt.window) {
						hits[net(pos-uint64(tt.window))]--
					}
				}
			})
		}
	}
}

// TestOrderOfLargeSets samples a /8 and everything, and measures that memory
// does not grow with addresses.
func TestOrderOfLargeSets(t *testing.T) {
	var everything []string
	everything = append(everything, "0.0.0.0/0")
	for _, s := range specials() {
		if s.Prefix.Addr().Is4() {
			everything = append(everything, s.Prefix.String())
		}
	}
	for name, networks := range map[string]string{"a /8": "11.0.0.0/8", "2^32": strings.Join(everything, " ")} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s := set(t, networks, "")
			o := order(t, s, []uint16{631, 8631, 9631}, "seed", 2, 5)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
				t.Errorf("%d bytes for %d targets", grown, o.Len())
			}
			if want := (s.Len()*3 - 2 + 4) / 5; o.Len() != want {
				t.Errorf("Len = %d, want %d", o.Len(), want)
			}
			step := o.Len() / 100_000
			for pos := uint64(0); pos < o.Len(); pos += step {
				if got, ok := o.Position(o.At(pos)); !ok || got != pos {
					t.Fatalf("Position(At(%d)) = %d, %v", pos, got, ok)
				}
			}
			runtime.KeepAlive(o)
		})
	}
}

func TestNewOrderRefuses(t *testing.T) {
	s := set(t, "8.8.8.0/24", "")
	tests := []struct {
		name          string
		ports         []uint16
		seed          string
		shard, shards int
		want          string
	}{
		{"no seed", []uint16{631}, "", 0, 1, "order of targets: the seed is empty"},
		{"no port", nil, "s", 0, 1, "order of targets: no port"},
		{"port 0", []uint16{631, 0}, "s", 0, 1, "order of targets: port 0"},
		{"a port twice", []uint16{631, 80, 631}, "s", 0, 1, "order of targets: port 631 is given twice"},
		{"no shard", []uint16{631}, "s", 0, 0, "order of targets: shard 0 of 0: want one of 0 to n-1"},
		{"a shard too many", []uint16{631}, "s", 3, 3, "order of targets: shard 3 of 3: want one of 0 to n-1"},
		{"a negative shard", []uint16{631}, "s", -1, 3, "order of targets: shard -1 of 3: want one of 0 to n-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewOrder(s, tt.ports, []byte(tt.seed), tt.shard, tt.shards); errText(err) != tt.want {
				t.Errorf("NewOrder: %v, want %s", err, tt.want)
			}
		})
	}
}

func TestOrderOfAnEmptySet(t *testing.T) {
	o := order(t, Set{}, []uint16{631}, "seed", 0, 1)
	if _, ok := o.Position(netip.MustParseAddrPort("8.8.8.8:631")); ok || o.Len() != 0 {
		t.Errorf("Len = %d", o.Len())
	}
	if o := order(t, set(t, "8.8.8.8", ""), []uint16{631}, "seed", 4, 5); o.Len() != 0 {
		t.Errorf("a shard with nothing to do has Len %d", o.Len())
	}
}

func BenchmarkOrderAt(b *testing.B) {
	for _, bench := range []struct {
		name string
		set  Set
	}{{"a /8", set(b, "11.0.0.0/8", "")}, {"100,000 ranges", holed(b, 200_000)}, {"a million IPv6 hosts", hitList(b, 1<<20)}} {
		b.Run(bench.name, func(b *testing.B) {
			o := order(b, bench.set, []uint16{631}, "seed", 0, 1)
			b.ReportAllocs()
			var sum uint16
			for i := range uint64(b.N) {
				sum += o.At(i % o.Len()).Port()
			}
			runtime.KeepAlive(sum)
		})
	}
}

func BenchmarkOrderPosition(b *testing.B) {
	o := order(b, set(b, "11.0.0.0/8", ""), []uint16{631}, "seed", 0, 1)
	target := o.At(77)
	b.ReportAllocs()
	for range b.N {
		if _, ok := o.Position(target); !ok {
			b.Fatal("lost a target")
		}
	}
}
