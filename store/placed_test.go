package store

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// TestAPlacedView: who is known by an AS number or a country sees what is said to
// lie there, in every way of reading, and nothing else.
func TestAPlacedView(t *testing.T) {
	s := fresh(t)
	put := func(addr, country string, asn uint32) exposure.Exposure {
		e := sample(addr, "open-ipp")
		e.Where = exposure.Where{Country: country, ASN: asn}
		step := exposure.Transition{Key: e.Key, Axis: exposure.AxisCondition, To: string(e.Condition), Cycle: 1, Actor: "test", At: e.FirstSeen}
		err := s.Apply(t.Context(), []netip.AddrPort{netip.AddrPortFrom(e.Addr, e.Port)}, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return []exposure.Exposure{e}, []exposure.Transition{step}
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	byAS := put("192.0.2.1", "AT", 64496)
	byCountry := put("198.51.100.1", "LU", 64497)
	byNetwork := put("203.0.113.1", "AT", 64498)
	other := put("203.0.113.2", "AT", 64498)
	nowhere := put("203.0.113.3", "", 0)

	v := access.View{
		Who: "a", Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/32")},
		ASNs: []uint32{64496}, Countries: []string{"LU"},
	}
	var err error
	if v.Hosts, err = s.HostsIn(t.Context(), operator(), Part{ASNs: v.ASNs, Countries: v.Countries}); err != nil || len(v.Hosts) != 2 {
		t.Fatalf("HostsIn = %v, %v, want two", v.Hosts, err)
	}
	if hosts, err := s.HostsIn(t.Context(), v, Part{ASNs: []uint32{64498}}); err != nil || len(hosts) != 0 {
		t.Errorf("HostsIn tells a constituent of %v, %v", hosts, err)
	}
	mine := map[exposure.Key]bool{byAS.Key: true, byCountry.Key: true, byNetwork.Key: true}
	for name, f := range map[string]Filter{
		"all": {}, "within a prefix": {Prefix: netip.MustParsePrefix("0.0.0.0/0")},
		"of a part": {Of: Part{Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, ASNs: []uint32{64498}, Countries: []string{"AT"}}},
	} {
		got := map[exposure.Key]bool{}
		for _, e := range all(t, s, v, f) {
			got[e.Key] = true
		}
		if len(got) != len(mine) || !got[byAS.Key] || !got[byCountry.Key] || !got[byNetwork.Key] {
			t.Errorf("%s: sees %v, want %v", name, got, mine)
		}
	}
	for _, e := range []exposure.Exposure{byAS, byCountry, byNetwork, other, nowhere} {
		if _, err := s.Exposure(t.Context(), v, e.Key); (err == nil) != mine[e.Key] || err != nil && !errors.Is(err, ErrNoExposure) {
			t.Errorf("Exposure(%s) = %v", e.Addr, err)
		}
	}
	steps := map[exposure.Key]bool{}
	for step, err := range s.Transitions(t.Context(), v, Span{}) {
		if err != nil || !mine[step.Key] {
			t.Errorf("Transitions yields %s, %v", step.Addr, err)
		}
		steps[step.Key] = true
	}
	for step, err := range s.TransitionsByHost(t.Context(), v) {
		if err != nil || !mine[step.Key] {
			t.Errorf("TransitionsByHost yields %s, %v", step.Addr, err)
		}
	}
	for e, err := range s.ExposuresInBrief(t.Context(), v) {
		if err != nil || !mine[e.Key] {
			t.Errorf("ExposuresInBrief yields %s, %v", e.Addr, err)
		}
	}
	if len(steps) != len(mine) {
		t.Errorf("Transitions yields %d keys, want %d", len(steps), len(mine))
	}
}
