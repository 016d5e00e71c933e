package archive

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/sketch"
)

// throng is a crowd with devices of some vendors, and IPv6 among it.
func throng(r *rand.Rand, n int) []exposure.Observation {
	all := crowd(r, n)
	for i := range all {
		o := &all[i]
		if r.IntN(4) == 0 {
			o.Addr = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", r.IntN(20)))
		}
		if o.Verdict == exposure.Answered && r.IntN(2) == 0 {
			k := r.IntN(12)
			o.Printers = []exposure.Printer{{Attributes: map[string][]string{
				"printer-uuid": {fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012d", k+1)}, "printer-make-and-model": {fmt.Sprintf("%s Model %d", []string{"HP", "Brother"}[k%2], k%3)},
			}}}
		}
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt)
	}
	return all
}

func tallies(t *testing.T, a *Archive, view access.View, q TallyQuery) []DayTally {
	t.Helper()
	if q.From.IsZero() {
		q.From, q.To = firstDay, firstDay.AddDate(0, 0, 5)
	}
	all, err := a.Tally(t.Context(), view, q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestATallyIsWhatCountingOneByOneGives holds every union of sources and tags
// against sets of addresses and of uuids.
func TestATallyIsWhatCountingOneByOneGives(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	all := throng(r, 1200)
	a := open(t, t.TempDir())
	keep(t, a, all...)
	rollDirty(t, a)
	own := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::/124")}}
	sources := [][]string{nil, {"scan"}, {"scan", "scan6"}, {"scan", "shadowserver"}, {"audit6", "shadowserver6"}}
	tags := [][]string{nil, {"ipp"}, {"ipp", "cups"}, {"no-tls", "open-cups", "cups-browsed"}}
	for _, view := range []access.View{operator, own, {}} {
		for _, s := range sources {
			for _, tag := range tags {
				for _, devices := range []bool{false, true} {
					want := make(map[time.Time]map[string]bool)
					for _, o := range all {
						sees := view.Tier == access.Public || view.Host(o.Addr)
						name := string(o.Source)
						if o.Addr.Is6() {
							name += "6"
						}
						has := kindOf(&o).tags()
						for _, f := range o.Findings {
							has = append(has, f.Rule)
						}
						if !sees || !o.Verdict.Spoke() || s != nil && !slices.Contains(s, name) ||
							tag != nil && !slices.ContainsFunc(tag, func(x string) bool { return slices.Contains(has, x) }) {
							continue
						}
						day, _ := Day(o.Observed)
						if want[day] == nil {
							want[day] = make(map[string]bool)
						}
						if !devices {
							want[day][o.Addr.String()] = true
						} else if len(o.Printers) > 0 {
							want[day][o.Printers[0].Get("printer-uuid")] = true
						}
					}
					for _, by := range []Dimension{"", ByCountry, BySource, ByTag} {
						if by != "" && view.Tier == access.Constituent {
							break // each of these counts its hosts anew
						}
						for _, got := range tallies(t, a, view, TallyQuery{Sources: s, Tags: tag, Devices: devices, By: by}) {
							if got.Total != int64(len(want[got.Day])) {
								t.Errorf("tier %d, sources %v, tags %v, devices %t, by %q on %s: %d, want %d", view.Tier, s, tag, devices, by,
									got.Day.Format(time.DateOnly), got.Total, len(want[got.Day]))
							}
							var sum int64
							for _, n := range got.By {
								sum += n
							}
							if by == ByCountry && sum != got.Total || sum < got.Total && by == BySource {
								t.Errorf("by %q the groups sum up to %d of %d", by, sum, got.Total)
							}
						}
					}
				}
			}
		}
	}
}

// TestIncrementalEqualsRebuilt is the promise of ippwatch rollup --rebuild.
func TestIncrementalEqualsRebuilt(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(9, seed))
		a := open(t, t.TempDir())
		for part := range slices.Chunk(throng(r, 600), 71) {
			keep(t, a, part...)
			rollDirty(t, a)
		}
		for i := range 3 {
			got, err := a.Rebuild(t.Context(), firstDay.AddDate(0, 0, i))
			if err != nil || got.Changed || got.Was != "counted" || got.Addresses == 0 || got.Devices == 0 {
				t.Errorf("seed %d: Rebuild = %+v, %v", seed, got, err)
			}
		}
		if got, err := a.Rebuild(t.Context(), firstDay.AddDate(0, 0, -9)); err != nil || got.Was != "nothing" {
			t.Errorf("Rebuild of an empty day = %+v, %v", got, err)
		}
	}
}

func TestTalliesStayWhenTheirObservationsGo(t *testing.T) {
	a := open(t, t.TempDir())
	keep(t, a, throng(rand.New(rand.NewPCG(1, 2)), 500)...)
	q := TallyQuery{Tags: []string{"ipp", "cups"}, By: ByVendor}
	// The days were never counted before: the prune does that.
	if _, err := a.Prune(t.Context(), firstDay.AddDate(0, 0, 9), nil, false); err != nil {
		t.Fatal(err)
	}
	after := tallies(t, a, operator, q)
	if len(after) != 3 || after[0].Total == 0 || len(after[0].By) < 2 {
		t.Errorf("after the prune: %+v", after)
	}
	own := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	if days := tallies(t, a, own, q); len(days) != 0 {
		t.Errorf("own hosts that are not kept any more are counted as %+v", days)
	}
	got, err := a.Rebuild(t.Context(), firstDay)
	if err != nil || got.Was != "pruned" || got.Changed || got.Addresses == 0 {
		t.Errorf("Rebuild = %+v, %v", got, err)
	}
	if diff := cmp.Diff(after, tallies(t, a, operator, q)); diff != "" {
		t.Errorf("rebuilding a pruned day changed it:\n%s", diff)
	}
}

func TestThePublicTalliesByCountryAlone(t *testing.T) {
	a := open(t, t.TempDir())
	for _, q := range []TallyQuery{{ASN: 64496}, {Vendor: "HP"}, {Model: "x"}, {By: ByASN}, {By: ByVendor}, {By: ByModel}} {
		q.From = firstDay
		if _, err := a.Tally(t.Context(), access.View{}, q); !errors.Is(err, ErrDenied) {
			t.Errorf("Tally(%+v): %v", q, err)
		}
		if _, err := a.Distinct(t.Context(), access.View{}, q); !errors.Is(err, ErrDenied) {
			t.Errorf("Distinct(%+v): %v", q, err)
		}
	}
}

func TestDistinctOverARange(t *testing.T) {
	a := open(t, t.TempDir())
	var all []exposure.Observation
	for day := range 4 {
		for i := range 1500 { // 500 stay, 1000 are new each day
			n := i
			if i >= 500 {
				n = 500 + day*1000 + i - 500
			}
			all = append(all, seen(fmt.Sprintf("10.0.%d.%d", n>>8, n&255), firstDay.AddDate(0, 0, day), func(o *exposure.Observation) {
				o.Where.Country = []string{"DE", "FR"}[n%2]
				o.Run = fmt.Sprint("run ", day)
			}))
		}
	}
	keep(t, a, all...)
	rollDirty(t, a)
	got, err := a.Distinct(t.Context(), access.View{}, TallyQuery{From: firstDay, To: firstDay.AddDate(0, 0, 9), Tags: []string{"ipp"}, By: ByCountry})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]int64{"all": {got.Total, 4500}, "DE": {got.By["DE"], 2250}, "FR": {got.By["FR"], 2250}} {
		if math.Abs(float64(pair[0]-pair[1])) > 3*sketch.Error*float64(pair[1]) {
			t.Errorf("%s: about %d, want about %d", name, pair[0], pair[1])
		}
	}
	if got.Days != 4 {
		t.Errorf("%d days", got.Days)
	}
}

func TestHostileNamesOfDevices(t *testing.T) {
	a := open(t, t.TempDir())
	long := strings.Repeat("é", 10_000)
	keep(t, a, seen("192.0.2.1", firstDay, func(o *exposure.Observation) {
		o.Printers = []exposure.Printer{{Attributes: map[string][]string{"printer-device-id": {"MFG:\xff\x00evil;MDL:" + long + ";"}, "printer-uuid": {long}}}}
	}))
	rollDirty(t, a)
	for _, by := range []Dimension{ByVendor, ByModel} {
		for _, d := range tallies(t, a, operator, TallyQuery{By: by}) {
			for name := range d.By {
				if len(name) > longestName || strings.ContainsRune(name, '\xff') {
					t.Errorf("%s: %q", by, name)
				}
			}
		}
	}
}

func TestTheEditionFollowsTheCounts(t *testing.T) {
	a := open(t, t.TempDir())
	edition := func() Edition {
		e, err := a.Edition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e0 := edition()
	keep(t, a, seen("192.0.2.1", firstDay))
	if e := edition(); e != e0 {
		t.Errorf("observations alone made %v of %v", e, e0)
	}
	rollDirty(t, a)
	e1 := edition()
	keep(t, a, seen("192.0.2.2", firstDay))
	rollDirty(t, a)
	e2 := edition()
	if e0 == e1 || e1 == e2 {
		t.Errorf("editions %v, %v, %v", e0, e1, e2)
	}
	if first, last, ok := e2.Span(); !ok || !first.Equal(firstDay) || !last.Equal(firstDay) {
		t.Errorf("Span = %s, %s, %t", first, last, ok)
	}
}

func FuzzDigest(f *testing.F) {
	d := newDigest()
	d.host(1, []look{{source: "scan", tags: []string{"ipp"}, where: exposure.Where{Country: "DE", ASN: 1}, trait: trait{"HP", "x", []uint64{1}}}})
	d.close()
	for _, body := range d.sheets() {
		f.Add(string(body))
	}
	f.Fuzz(func(_ *testing.T, body string) {
		all := func([]mark) bool { return true }
		for _, wide := range []bool{true, false} {
			if r, err := openCounts(body, wide); err == nil {
				_ = r.each(all, func(cellRef, int64) {})
			}
		}
		_ = readPoints(body, all, func(string) []*sketch.Register { return nil })
	})
}
