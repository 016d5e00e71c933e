package sensor

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

// folding is a sensor that nobody runs, and its fold.
func folding(t testing.TB, detail int) (*Sensor, *fold) {
	t.Helper()
	var l ledger
	o := l.options(t)
	o.Detail = detail
	s := New(o)
	f := newFold(s)
	s.workers = []*worker{{fold: f}}
	return s, f
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// at is so long after noon, by both clocks.
func at(d time.Duration) moment { return moment{noon.Add(d), time.Hour + d} }

func spoofed(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func datagramOf(src netip.Addr, payload string) datagram {
	return datagram{src: netip.AddrPortFrom(src, 40000), dst: netip.MustParseAddrPort("192.0.2.1:631"), ttl: 60, payload: []byte(payload)}
}

func callTo(host string) string { return "0 3 http://" + host + "/printers/x" }

func TestRepeatsAreOneVisit(t *testing.T) {
	s, f := folding(t, 1000)
	_ = s
	src := netip.MustParseAddr("198.51.100.7")
	p := datagramOf(src, callTo("203.0.113.9"))
	steps := []struct {
		name string
		when time.Duration
		send int
		want []int // counts of the visits that are told then
	}{
		{"the first is told at once", time.Second, 1, []int{1}},
		{"repeats wait", 10 * time.Second, 5, nil},
		{"and add up", 30 * time.Second, 5, nil},
		{"until a minute is over", 75 * time.Second, 0, []int{10}},
		{"then the next minute begins", 80 * time.Second, 1, nil},
		{"and is told", 141 * time.Second, 0, []int{1}},
		{"who was silent for a minute is new", 10 * time.Minute, 0, nil},
		{"and told at once", 10*time.Minute + time.Second, 2, []int{2}},
	}
	for _, step := range steps {
		for range step.send {
			f.packets([]datagram{p}, at(step.when))
		}
		var got []int
		for _, v := range f.due(nil, at(step.when), false) {
			got = append(got, v.Count)
			if v.Ended.Before(v.Observed) || v.Count > 1 && step.send == 0 && v.Ended.Equal(v.Observed) {
				t.Errorf("%s: from %s to %s", step.name, v.Observed, v.Ended)
			}
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: told %v, want %v", step.name, got, step.want)
		}
	}
}

// TestClockThatIsSetHarmsNothing sets the clock of the wall by a day, back and
// forth, while packets come.
func TestClockThatIsSetHarmsNothing(t *testing.T) {
	_, f := folding(t, 1000)
	p := datagramOf(netip.MustParseAddr("198.51.100.7"), callTo("203.0.113.9"))
	total := 0
	ids := map[exposure.ID]bool{}
	for i, jump := range []time.Duration{0, -24 * time.Hour, 24 * time.Hour, 0, -time.Second, 365 * 24 * time.Hour} {
		now := at(time.Duration(i) * 61 * time.Second)
		now.wall = now.wall.Add(jump)
		f.packets([]datagram{p, p}, now)
		for _, v := range f.due(nil, now, false) {
			if v.Ended.Before(v.Observed) || v.Ended.Sub(v.Observed) > 2*time.Minute {
				t.Errorf("clock set by %s: from %s to %s", jump, v.Observed, v.Ended)
			}
			if ids[v.ID] {
				t.Errorf("id %s comes twice", v.ID)
			}
			ids[v.ID] = true
			total += v.Count
		}
	}
	for _, v := range f.due(nil, at(time.Hour), true) {
		total += v.Count
	}
	if total != 12 {
		t.Errorf("%d packets were told, 12 came", total)
	}
}

// TestNothingIsLostFromTheCounts holds, for any traffic: every packet is in the
// counts, and those that are told are in visits.
func TestNothingIsLostFromTheCounts(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 631))
		s, f := folding(t, 1+rng.IntN(50))
		sources := 1 + rng.IntN(20_000)
		var sent, told, packets, inCensus, bytes, censusBytes int64
		collect := func(visits []exposure.Visit) {
			for _, v := range visits {
				told += int64(v.Count)
			}
		}
		count := func() {
			all := f.counted()
			for _, c := range all.censuses("s", noon, noon, exposure.Health{}) {
				packets += c.Packets
				inCensus += c.Told
				censusBytes += c.Bytes
			}
		}
		for i := range 10_000 {
			when := at(time.Duration(i) * 40 * time.Millisecond)
			payload := []string{callTo("203.0.113.9"), callTo(fmt.Sprint(rng.IntN(100), ".example")), "garbage", fmt.Sprint("100000 3 u", rng.IntN(5)), fmt.Sprint(rng.Uint32())}[rng.IntN(5)]
			f.packets([]datagram{datagramOf(spoofed(uint32(rng.IntN(sources))), payload)}, when)
			sent++
			bytes += int64(len(payload))
			if rng.IntN(50) == 0 {
				collect(f.due(nil, when, false))
				s.room.fill(time.Second)
			}
			if rng.IntN(3000) == 0 {
				count()
			}
		}
		collect(f.due(nil, at(time.Hour), true))
		count()
		if packets != sent || censusBytes != bytes || inCensus != told || told == 0 || f.heard.Load() != sent {
			t.Errorf("seed %d: %d packets of %d bytes came; counted %d of %d; told %d, and of that counted %d", seed, sent, bytes, packets, censusBytes, told, inCensus)
		}
	}
}

// TestSpoofedSourcesCostNoMemory has millions of sources send one packet each,
// each with another call-back host.
func TestSpoofedSourcesCostNoMemory(t *testing.T) {
	n := uint32(1_280_000)
	if testing.Short() {
		n = 128_000
	}
	s, f := folding(t, 100)
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	before := heap.HeapAlloc
	b := make([]datagram, 64)
	var worst uint64
	var visits int
	for i := uint32(0); i < n; i += 64 {
		when := at(time.Duration(i) * 2 * time.Microsecond)
		for k := range b {
			src := spoofed((i + uint32(k)) * 2654435761)
			b[k] = datagramOf(src, callTo(spoofed((i+uint32(k))*40503).String()))
		}
		f.packets(b, when)
		if i%(1<<18) == 0 {
			visits += len(f.due(nil, when, false))
			s.room.fill(time.Second)
			runtime.GC()
			runtime.ReadMemStats(&heap)
			worst = max(worst, heap.HeapAlloc-min(before, heap.HeapAlloc))
		}
	}
	const most = 32 << 20
	if worst > most {
		t.Errorf("%d sources took %d bytes, want at most %d", n, worst, most)
	}
	if f.n > mostTold || len(f.known) > 2*mostTold {
		t.Errorf("%d entries, %d keys", f.n, len(f.known))
	}
	if visits == 0 || visits > 10_000 {
		t.Errorf("%d visits were told", visits)
	}
	all := f.counted()
	var packets int64
	var c exposure.Census
	for _, one := range all.censuses("s", noon, noon, exposure.Health{}) {
		packets += one.Packets // some of the addresses are those of listed scanners
		if one.Class == exposure.Solicitation {
			c = one
		}
	}
	if packets != int64(n) || c.Sources.Estimate < uint64(n)*95/100 || c.Sources.Estimate > uint64(n)*105/100 {
		t.Errorf("counted %d packets of about %d sources, %d came from as many", packets, c.Sources.Estimate, n)
	}
	t.Logf("%d sources: %d bytes at most, %d visits told, about %d sources in %d networks counted", n, worst, visits, c.Sources.Estimate, c.Networks.Estimate)
}

// TestFloodHidesNoOtherClass floods with garbage: the one packet that asks for a
// call is told all the same.
func TestFloodHidesNoOtherClass(t *testing.T) {
	_, f := folding(t, 10)
	for i := range uint32(20_000) {
		f.packets([]datagram{datagramOf(spoofed(i), fmt.Sprint("garbage ", i))}, at(time.Millisecond))
	}
	f.packets([]datagram{datagramOf(netip.MustParseAddr("198.51.100.7"), callTo("203.0.113.9"))}, at(2*time.Millisecond))
	visits := f.due(nil, at(time.Second), false)
	if !slices.ContainsFunc(visits, func(v exposure.Visit) bool { return v.Class == exposure.Solicitation }) {
		t.Errorf("of %d visits none asks for a call", len(visits))
	}
	if len(visits) > 10*5+1 {
		t.Errorf("%d visits, the room is for 51", len(visits))
	}
}

// TestFloodOfOneSourceIsFewVisits: one source writes something else into each packet.
func TestFloodOfOneSourceIsFewVisits(t *testing.T) {
	_, f := folding(t, 1<<20)
	src := netip.MustParseAddr("198.51.100.7")
	const n = 50_000
	for i := range n {
		f.packets([]datagram{datagramOf(src, fmt.Sprintf("0 3 http://203.0.113.9/printers/%d", i))}, at(time.Millisecond))
	}
	visits := f.due(nil, at(time.Second), false)
	total := 0
	for _, v := range visits {
		total += v.Count
	}
	if len(visits) > mostVaried+1 || total != n {
		t.Errorf("%d visits with %d packets, want %d packets in at most %d", len(visits), total, n, mostVaried+1)
	}
}

// TestPacketsOfOneByte: nothing is too short to be counted.
func TestPacketsOfOneByte(t *testing.T) {
	_, f := folding(t, 1000)
	for i := range 256 {
		f.packets([]datagram{datagramOf(spoofed(uint32(i)), string([]byte{byte(i)})), datagramOf(spoofed(uint32(i)), "")}, at(0))
	}
	all := f.counted()
	c := all.censuses("s", noon, noon, exposure.Health{})
	if len(c) != 2 || c[0].Class != exposure.Unreadable || c[0].Packets != 512 || c[0].Bytes != 256 {
		t.Errorf("counted %+v", c)
	}
}

func TestFrequentFindsTheFrequent(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 631))
		var all, part frequent[string]
		truth := map[string]int64{}
		add := func(f *frequent[string], what string, n int64) {
			f.add(what, sketch.HashText(what), n)
			truth[what] += n
		}
		for i := range 100_000 {
			f := &all
			if i%2 == 0 {
				f = &part
			}
			if rng.IntN(10) == 0 {
				add(f, fmt.Sprint("heavy ", rng.IntN(5)), 1+int64(rng.IntN(3)))
			} else {
				add(f, fmt.Sprint("light ", rng.Uint32()), 1)
			}
		}
		all.merge(&part)
		top := all.list(5)
		for _, f := range top {
			if !strings.HasPrefix(f.What, "heavy") || f.N < truth[f.What] || f.N-f.Over > truth[f.What] {
				t.Errorf("seed %d: %+v, truly %d", seed, f, truth[f.What])
			}
		}
		if len(top) != 5 || len(all.at) > mostFrequent || len(all.least) > mostFrequent {
			t.Errorf("seed %d: %d at the top of %d", seed, len(top), len(all.at))
		}
	}
}

func TestRequestsAreVisits(t *testing.T) {
	s, f := folding(t, 2)
	s.room.left[number(exposure.PrintAttempt)].Store(2)
	for range 5 {
		f.request(exposure.Visit{Class: exposure.PrintAttempt, Addr: netip.MustParseAddr("198.51.100.7"), Reasons: []string{"print-job"}, Bytes: 10}, at(0))
	}
	visits := f.due(nil, at(0), false)
	if len(visits) != 2 {
		t.Fatalf("told %d, there is room for 2", len(visits))
	}
	v := visits[0]
	if v.Source != exposure.Sensor || v.Sensor != "s1" || v.Transport != exposure.TCP || v.Kind != exposure.Request || v.Spoofable || v.Count != 1 ||
		v.ID == "" || !v.Observed.Equal(noon) || v.Reasons[0] != "print_job" {
		t.Errorf("visit: %+v", v)
	}
	all := f.counted()
	c := all.censuses("s", noon, noon, exposure.Health{})[0]
	if c.Transport != exposure.TCP || c.Packets != 5 || c.Told != 2 || c.Bytes != 50 || c.Sources.Estimate != 1 {
		t.Errorf("census: %+v", c)
	}
}

func BenchmarkFold(b *testing.B) {
	_, f := folding(b, 100)
	for _, tt := range []struct {
		name string
		pad  int
		same bool
	}{{"70 bytes, all different", 20, false}, {"1000 bytes, all different", 950, false}, {"70 bytes, all the same", 20, true}} {
		b.Run(tt.name, func(b *testing.B) {
			batch := make([]datagram, 1024)
			for i := range batch {
				n := i
				if tt.same {
					n = 0
				}
				batch[i] = datagramOf(spoofed(uint32(n*7919)), fmt.Sprintf("0 3 http://203.0.113.%d:631/printers/%04d%s", n%250, n, strings.Repeat("A", tt.pad)))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				f.packets(batch[i%1024:i%1024+1], at(0))
				i++
			}
		})
	}
}
