package store

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/access"
	"ippwatch/exposure"
)

var (
	equateAddrs = gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	equateEmpty = cmpopts.EquateEmpty()
)

func TestAnExposureComesBackAsItWasKept(t *testing.T) {
	s := fresh(t)
	for _, addr := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"} {
		want := sample(addr, "open-ipp")
		put(t, s, want)
		got, err := s.Exposure(t.Context(), operator(), want.Key)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(want, got, equateAddrs); d != "" {
			t.Errorf("Exposure(%s) differs (-want +got):\n%s", addr, d)
		}
	}
	if got := all(t, s, operator(), Filter{}); len(got) != 4 {
		t.Errorf("%d exposures, want 4: an address hides another", len(got))
	}
	named, err := s.ExposuresNamed(t.Context(), operator(), sample("192.0.2.1", "open-ipp").Case())
	if err != nil || len(named) != 1 || named[0].Addr.String() != "192.0.2.1" {
		t.Errorf("ExposuresNamed = %v, %v", named, err)
	}
	if _, err := s.Exposure(t.Context(), operator(), sample("192.0.2.9", "open-ipp").Key); !errors.Is(err, ErrNoExposure) {
		t.Errorf("Exposure of nothing = %v, want ErrNoExposure", err)
	}
}

func TestApplyTellsSinceWhen(t *testing.T) {
	s := fresh(t)
	e := sample("192.0.2.1", "open-ipp")
	put(t, s, e, sample("192.0.2.1", "no-tls"))
	apply := func(f func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition)) {
		t.Helper()
		if err := s.Apply(t.Context(), []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:631")}, f); err != nil {
			t.Fatal(err)
		}
	}
	clean := noon.Add(5 * time.Hour)
	apply(func(prior []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		if len(prior) != 2 || !since[e.Key].Equal(noon) {
			t.Errorf("prior = %d exposures, since %v, want 2 and %v", len(prior), since[e.Key], noon)
		}
		e.Condition = exposure.OneClean
		step := birth(e)
		step.From, step.At = "confirmed", clean
		return []exposure.Exposure{e}, []exposure.Transition{step}
	})
	apply(func(_ []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		if !since[e.Key].Equal(clean) {
			t.Errorf("since = %v after a step, want %v", since[e.Key], clean)
		}
		e.Where.City = "Bonn" // changes, but takes no step
		return []exposure.Exposure{e}, nil
	})
	apply(func(_ []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		if !since[e.Key].Equal(clean) {
			t.Errorf("since = %v after a change without a step, want %v", since[e.Key], clean)
		}
		return nil, nil
	})
	if err := s.Apply(t.Context(), make([]netip.AddrPort, maxDoors+1), nil); err == nil {
		t.Error("Apply takes any number of doors")
	}
}

// TestExposuresAgreesWithAPlainLoop compares listings with a loop over all, for
// random views and filters over enough rows for several pages.
func TestExposuresAgreesWithAPlainLoop(t *testing.T) {
	s := fresh(t)
	r := rand.New(rand.NewPCG(1, 2))
	var kept []exposure.Exposure
	conditions := []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.Fixed, exposure.NotSeen}
	rules := []string{"open-ipp", "open-cups", "no-tls"}
	for i := range 2200 {
		addr := fmt.Sprintf("10.%d.%d.%d", r.IntN(3), r.IntN(4), r.IntN(256))
		if i%5 == 0 {
			addr = fmt.Sprintf("2001:db8:%x::%x", r.IntN(3), r.IntN(1000))
		}
		e := sample(addr, rules[r.IntN(3)])
		if i%7 == 0 {
			e.Transport, e.Port = exposure.UDP, uint16(630+r.IntN(3))
		}
		e.Condition, e.Severity = conditions[r.IntN(4)], exposure.Severities[r.IntN(5)]
		e.LastSeen = noon.Add(time.Duration(r.IntN(100)) * time.Hour)
		kept = append(kept, e)
	}
	slices.SortStableFunc(kept, func(a, b exposure.Exposure) int { return keyOrder(a.Key, b.Key) })
	kept = slices.CompactFunc(kept, func(a, b exposure.Exposure) bool { return a.Key == b.Key })
	put(t, s, kept...)

	prefixes := []netip.Prefix{
		{},
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("10.1.2.0/23"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("203.0.113.0/24"),
	}
	for range 120 {
		v := access.View{Who: "x", Tier: access.Tier(r.IntN(3)), At: noon}
		for range r.IntN(4) {
			v.Networks = append(v.Networks, prefixes[1+r.IntN(len(prefixes)-1)])
		}
		f := Filter{Prefix: prefixes[r.IntN(len(prefixes))], Limit: r.IntN(3) * 700}
		if r.IntN(2) == 0 {
			f.Conditions = conditions[:1+r.IntN(3)]
		}
		if r.IntN(2) == 0 {
			f.Rules = rules[:1+r.IntN(2)]
		}
		if r.IntN(2) == 0 {
			f.MinSeverity = exposure.Severities[r.IntN(5)]
		}
		if r.IntN(2) == 0 {
			f.Since = noon.Add(time.Duration(r.IntN(100)) * time.Hour)
		}
		if r.IntN(2) == 0 {
			f.After = kept[r.IntN(len(kept))].Key
		}
		var want []exposure.Exposure
		for _, e := range kept {
			if v.Host(e.Addr) && takes(f, e) && (f.Limit == 0 || len(want) < f.Limit) {
				want = append(want, e)
			}
		}
		if d := gocmp.Diff(want, all(t, s, v, f), equateAddrs, equateEmpty); d != "" {
			t.Fatalf("Exposures(%+v, %+v) differs (-want +got):\n%s", v, f, d)
		}
	}
}

func takes(f Filter, e exposure.Exposure) bool {
	return (!f.Prefix.IsValid() || f.Prefix.Contains(e.Addr)) &&
		(len(f.Conditions) == 0 || slices.Contains(f.Conditions, e.Condition)) &&
		(len(f.Rules) == 0 || slices.Contains(f.Rules, e.Rule)) &&
		(f.MinSeverity == "" || e.Severity.AtLeast(f.MinSeverity)) &&
		!e.LastSeen.Before(f.Since) &&
		(f.After == exposure.Key{} || keyOrder(e.Key, f.After) > 0)
}

func keyOrder(a, b exposure.Key) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Transport, b.Transport),
		cmp.Compare(a.Port, b.Port), cmp.Compare(a.Rule, b.Rule))
}

func TestExposuresAtFindsTheDoorsOnly(t *testing.T) {
	s := fresh(t)
	other := sample("192.0.2.1", "open-ipp")
	other.Port = 8631
	udp := sample("192.0.2.1", "cups-browsed-callback")
	udp.Transport = exposure.UDP
	put(t, s, sample("192.0.2.1", "open-ipp"), other, udp, sample("192.0.2.2", "open-ipp"), sample("2001:db8::1", "no-tls"))
	at := func(v access.View, doors ...string) int {
		t.Helper()
		var aps []netip.AddrPort
		for _, d := range doors {
			aps = append(aps, netip.MustParseAddrPort(d))
		}
		got, err := s.ExposuresAt(t.Context(), v, aps...)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if got := at(operator(), "192.0.2.1:631", "192.0.2.1:631", "[2001:db8::1]:631", "192.0.2.77:631"); got != 3 {
		t.Errorf("%d exposures at the doors, want 3", got)
	}
	if got := at(operator()); got != 0 {
		t.Errorf("%d exposures at no door", got)
	}
	theirs := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}
	if got := at(theirs, "192.0.2.1:631", "[2001:db8::1]:631"); got != 1 {
		t.Errorf("a constituent sees %d exposures at the doors, want its own", got)
	}

	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "2001:db8::1": false} {
		if got, err := s.CalledBackBefore(t.Context(), netip.MustParseAddr(addr)); err != nil || got != want {
			t.Errorf("CalledBackBefore(%s) = %v, %v, want %v", addr, got, err, want)
		}
	}
}

func TestHistoryIsInOrderAndInTheView(t *testing.T) {
	s := fresh(t)
	var es []exposure.Exposure
	for i := range 1203 { // several pages
		e := sample(fmt.Sprintf("10.0.%d.%d", i%5, i/5), "open-ipp")
		e.FirstSeen = noon.Add(time.Duration(i%17) * time.Minute)
		es = append(es, e)
	}
	put(t, s, es...)
	steps := func(v access.View, f Span) []exposure.Transition {
		t.Helper()
		var out []exposure.Transition
		for step, err := range s.Transitions(t.Context(), v, f) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, step)
		}
		if !slices.IsSortedFunc(out, func(a, b exposure.Transition) int { return a.At.Compare(b.At) }) {
			t.Error("the history is out of order")
		}
		return out
	}
	theirs := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.3.0/24")}}
	for _, c := range []struct {
		name string
		view access.View
		span Span
		want int
	}{
		{"all of it", operator(), Span{}, 1203},
		{"from a moment on, the moment included", operator(), Span{Since: noon.Add(16 * time.Minute)}, 70},
		{"up to a moment, without it", operator(), Span{Until: noon.Add(time.Minute)}, 71},
		{"one exposure", operator(), Span{Key: es[3].Key}, 1},
		{"a constituent", theirs, Span{}, 240},
		{"a stranger's exposure", theirs, Span{Key: es[1].Key}, 0},
		{"the public", access.View{}, Span{}, 0},
	} {
		if got := len(steps(c.view, c.span)); got != c.want {
			t.Errorf("%s: %d steps, want %d", c.name, got, c.want)
		}
	}
	got := steps(operator(), Span{Key: es[3].Key})[0]
	if d := gocmp.Diff(birth(es[3]), got, equateAddrs); d != "" {
		t.Errorf("a step differs (-want +got):\n%s", d)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{200, 500} {
		b.Run(fmt.Sprintf("doors=%d", rows), func(b *testing.B) {
			s := fresh(b)
			const hosts = 100_000
			var worst time.Duration
			n := 0
			for b.Loop() {
				var doors []netip.AddrPort
				for range rows {
					doors = append(doors, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n % hosts >> 16), byte(n % hosts >> 8), byte(n % hosts)}), 631))
					n++
				}
				begin := time.Now()
				err := s.Apply(b.Context(), doors, func(prior []exposure.Exposure, _ map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
					if len(prior) > 0 { // a host that repeats itself
						for i := range prior {
							prior[i].TimesSeen++
						}
						return prior, nil
					}
					var es []exposure.Exposure
					var steps []exposure.Transition
					for _, d := range doors {
						e := sample("192.0.2.1", "open-ipp")
						e.Addr = d.Addr()
						es = append(es, e)
						steps = append(steps, birth(e))
					}
					return es, steps
				})
				worst = max(worst, time.Since(begin))
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "exposures/s")
			b.ReportMetric(float64(worst.Milliseconds()), "worst-ms")
		})
	}
}

func TestAListingOfSomebodysPart(t *testing.T) {
	s := fresh(t)
	var want []exposure.Exposure
	for i := range 1300 { // more than two pages
		e := sample(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}).String(), "open-ipp")
		e.Where = exposure.Where{ASN: uint32(64500 + i%3), Country: []string{"DE", "FR", "JP", "US"}[i%4]}
		if i%5 == 0 {
			e.Ruling = exposure.FalsePositive
		}
		if i%7 == 0 {
			e.MovedTo = netip.MustParseAddr("192.0.2.9")
		}
		put(t, s, e)
		want = append(want, e)
	}
	networks := []netip.Prefix{netip.MustParsePrefix("198.51.1.0/25"), netip.MustParsePrefix("198.51.1.64/26")}
	for _, c := range []struct {
		name   string
		filter Filter
		holds  func(exposure.Exposure) bool
	}{
		{"everything", Filter{}, func(exposure.Exposure) bool { return true }},
		{"networks that overlap", Filter{Of: Part{Networks: networks}}, func(e exposure.Exposure) bool { return networks[0].Contains(e.Addr) }},
		{"an AS", Filter{Of: Part{ASNs: []uint32{64501}}}, func(e exposure.Exposure) bool { return e.Where.ASN == 64501 }},
		{
			"a country or an AS or a network, each host once",
			Filter{Of: Part{Networks: networks, ASNs: []uint32{64500, 64502}, Countries: []string{"DE", "JP"}}},
			func(e exposure.Exposure) bool {
				return networks[0].Contains(e.Addr) || e.Where.ASN != 64501 || e.Where.Country == "DE" || e.Where.Country == "JP"
			},
		},
		{
			"a country within a prefix",
			Filter{Of: Part{Countries: []string{"DE"}}, Prefix: netip.MustParsePrefix("198.51.2.0/24")},
			func(e exposure.Exposure) bool { return e.Where.Country == "DE" && e.Addr.As4()[2] == 2 },
		},
		{"by verdict", Filter{Rulings: []exposure.Ruling{exposure.FalsePositive}}, func(e exposure.Exposure) bool { return e.Ruling == exposure.FalsePositive }},
		{"by who works on it", Filter{Assignee: "nobody"}, func(exposure.Exposure) bool { return false }},
		{"an AS that is none", Filter{Of: Part{ASNs: []uint32{0}}}, func(exposure.Exposure) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var keys []exposure.Key
			for _, e := range want {
				if !e.MovedTo.IsValid() && c.holds(e) {
					keys = append(keys, e.Key)
				}
			}
			var got []exposure.Key
			for _, e := range all(t, s, operator(), c.filter) {
				got = append(got, e.Key)
			}
			if d := gocmp.Diff(keys, got, equateAddrs, equateEmpty); d != "" {
				t.Errorf("listed (-want +got):\n%s", d)
			}
			c.filter.Limit = 3
			if got := all(t, s, operator(), c.filter); len(got) != min(3, len(keys)) {
				t.Errorf("with a limit of 3: %d", len(got))
			}
		})
	}
	if got := all(t, s, operator(), Filter{Moved: true}); len(got) != len(want) {
		t.Errorf("with those that moved: %d, want %d", len(got), len(want))
	}
	if got := all(t, s, access.View{Tier: access.Public}, Filter{Of: Part{Countries: []string{"DE"}}}); len(got) != 0 {
		t.Errorf("the public sees %d cases", len(got))
	}
}
