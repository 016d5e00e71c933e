package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

var everyDimension = []Dimension{ByCountry, ByASN, ByTag, BySource}

// crowd makes observations of few addresses over three days, so that an address
// is seen often, by several sources, and from several countries.
func crowd(r *rand.Rand, n int) []exposure.Observation {
	var all []exposure.Observation
	rules := []string{"open-ipp", "open-cups", "no-tls"}
	for i := range n {
		at := firstDay.Add(time.Duration(r.Int64N(int64(72 * time.Hour))))
		all = append(all, seen(fmt.Sprintf("192.0.2.%d", r.IntN(30)), at, found(rules[:r.IntN(4)]...), func(o *exposure.Observation) {
			o.Run, o.Attempt = fmt.Sprintf("run %d", r.IntN(6)), i
			o.Source = []exposure.Source{exposure.Scan, exposure.Shadowserver, exposure.Audit}[r.IntN(3)]
			o.Verdict = []exposure.Verdict{exposure.Answered, exposure.Answered, exposure.NoAnswer, exposure.CalledBack}[r.IntN(4)]
			o.Where = exposure.Where{Country: []string{"DE", "FR", ""}[r.IntN(3)], ASN: uint32(r.IntN(3))}
			if r.IntN(3) == 0 {
				o.CUPS = new(exposure.CUPS)
			}
		}))
	}
	return all
}

func rollDirty(t *testing.T, a engine) {
	t.Helper()
	days, err := a.DirtyDays(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range days {
		if err := a.Rollup(t.Context(), day); err != nil {
			t.Fatal(err)
		}
	}
	if days, err := a.DirtyDays(t.Context()); err != nil || len(days) > 0 {
		t.Fatalf("DirtyDays after a rollup = %v, %v", days, err)
	}
}

func counts(t *testing.T, a engine, view access.View, q CountQuery) []Count {
	t.Helper()
	if q.From.IsZero() {
		q.From, q.To = firstDay, firstDay.AddDate(0, 0, 5)
	}
	c, err := a.Counts(t.Context(), view, q)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRollingUpDayByDayEqualsRebuilding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := crowd(r, 1500)
	daily, whole := open(t, t.TempDir()), open(t, t.TempDir())
	for part := range slices.Chunk(all, 97) {
		keep(t, daily, part...)
		rollDirty(t, daily)
	}
	keep(t, whole, all...)
	rollDirty(t, whole)
	for _, by := range [][]Dimension{nil, everyDimension, {ByTag}, {BySource}, {ByCountry}, {ByASN, ByTag}} {
		q := CountQuery{By: by}
		if diff := cmp.Diff(counts(t, whole, operator, q), counts(t, daily, operator, q)); diff != "" {
			t.Errorf("by %v, -rebuilt +incremental:\n%s", by, diff)
		}
	}
	s, err := daily.Stats(t.Context())
	if err != nil || s.Days != 3 || s.DirtyDays != 0 {
		t.Errorf("Stats = %+v, %v", s, err)
	}
}

// TestCountsAgreeWithCounting compares each count with a set that holds the addresses.
func TestCountsAgreeWithCounting(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	all := crowd(r, 900)
	a := open(t, t.TempDir())
	keep(t, a, all...)
	rollDirty(t, a)
	everyone := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	some := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}
	for _, tag := range []string{"", "ipp", "cups", "cups-browsed", "open-cups", "no-tls"} {
		for _, source := range []exposure.Source{"", exposure.Scan, exposure.Shadowserver} {
			for _, view := range []access.View{operator, everyone, some} {
				want := make(map[time.Time]map[netip.Addr]int64)
				for _, o := range all {
					day, _ := Day(o.Observed)
					tags := kindOf(&o).tags()
					for _, f := range o.Findings {
						tags = append(tags, f.Rule)
					}
					if !view.Host(o.Addr) || !o.Verdict.Spoke() || source != "" && o.Source != source || tag != "" && !slices.Contains(tags, tag) {
						continue
					}
					if want[day] == nil {
						want[day] = make(map[netip.Addr]int64)
					}
					want[day][o.Addr]++
				}
				got := counts(t, a, view, CountQuery{Tag: tag, Source: source})
				if len(got) != len(want) {
					t.Errorf("%q from %q: %d days, want %d", tag, source, len(got), len(want))
				}
				for _, c := range got {
					var n int64
					for _, seen := range want[c.Day] {
						n += seen
					}
					if c.Addresses != int64(len(want[c.Day])) || c.Observations != n {
						t.Errorf("%q from %q on %s = %d addresses in %d observations, want %d in %d", tag, source,
							c.Day.Format(time.DateOnly), c.Addresses, c.Observations, len(want[c.Day]), n)
					}
				}
			}
		}
	}
	var sum, total int64
	for _, c := range counts(t, a, operator, CountQuery{By: []Dimension{ByCountry, ByASN}}) {
		sum += c.Addresses
	}
	for _, c := range counts(t, a, operator, CountQuery{}) {
		total += c.Addresses
	}
	if sum != total {
		t.Errorf("countries and ASNs sum up to %d of %d addresses", sum, total)
	}
}

func TestTwoScansOfOneDayCountAnAddressOnce(t *testing.T) {
	a := open(t, t.TempDir())
	at := firstDay.Add(time.Hour)
	keep(t, a, seen("192.0.2.1", at), seen("192.0.2.1", at.Add(2*time.Hour)), seen("192.0.2.2", at))
	rollDirty(t, a)
	want := []Count{{Day: firstDay, Country: "DE", ASN: 64496, Tag: "ipp", Source: exposure.Scan, Addresses: 2, Observations: 3}}
	q := CountQuery{From: firstDay.Add(5 * time.Hour), By: everyDimension}
	if diff := cmp.Diff(want, counts(t, a, operator, q)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestThePublicCountsByCountryOnly(t *testing.T) {
	a := open(t, t.TempDir())
	keep(t, a, seen("192.0.2.1", firstDay))
	rollDirty(t, a)
	for _, q := range []CountQuery{{By: []Dimension{ByASN}}, {ASN: 64496}} {
		if c, err := a.Counts(t.Context(), access.View{}, q); !errors.Is(err, ErrDenied) {
			t.Errorf("Counts(%+v) = %v, %v, want %v", q, c, err, ErrDenied)
		}
	}
	got := counts(t, a, access.View{}, CountQuery{By: []Dimension{ByCountry}})
	if len(got) != 1 || got[0].Country != "DE" || got[0].Addresses != 1 || got[0].ASN != 0 {
		t.Errorf("Counts by country = %+v", got)
	}
}

func TestRollupOfADayWithoutObservations(t *testing.T) {
	a := open(t, t.TempDir())
	if err := a.Rollup(t.Context(), firstDay); err != nil {
		t.Error(err)
	}
	if c := counts(t, a, operator, CountQuery{}); len(c) != 0 {
		t.Errorf("Counts = %v", c)
	}
}
