package people_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
)

func TestView(t *testing.T) {
	s := openStore(t)
	reg := people.NewRegistry(s)
	all := parse(t, "constituents:\n  - {name: a, networks: [198.51.100.0/24]}\n  - {name: b, networks: [203.0.113.0/24], asns: [64496]}\n")
	if _, err := reg.Import(t.Context(), hand(0), "test", "test.yaml", all, false); err != nil {
		t.Fatal(err)
	}
	// A host that is said to lie in b's AS, and one that is not.
	for addr, asn := range map[string]uint32{"192.0.2.99": 64496, "192.0.2.98": 64497} {
		e := exposure.Exposure{
			Key:       exposure.Key{Addr: netip.MustParseAddr(addr), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
			Condition: exposure.Confirmed, Where: exposure.Where{ASN: asn}, FirstSeen: hand(0).At, LastSeen: hand(0).At, TimesSeen: 1, Cycle: 1,
		}
		err := s.Apply(t.Context(), []netip.AddrPort{netip.AddrPortFrom(e.Addr, 631)}, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return []exposure.Exposure{e}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	leased := access.Window{Prefix: netip.MustParsePrefix("192.0.2.7/32")}
	leases := func(_ context.Context, customer string) ([]access.Window, error) {
		if customer == "a" {
			return []access.Window{leased}, nil
		}
		return nil, nil
	}
	at := hand(0).At
	for _, test := range []struct {
		name        string
		role        access.Role
		constituent string
		tier        access.Tier
		sees        map[string]bool
	}{
		{"a constituent", access.RoleConstituent, "a", access.Constituent, map[string]bool{"198.51.100.1": true, "192.0.2.7": true, "203.0.113.1": false, "192.0.2.8": false}},
		{"another", access.RoleConstituent, "b", access.Constituent, map[string]bool{"198.51.100.1": false, "192.0.2.7": false, "203.0.113.1": true, "192.0.2.99": true, "192.0.2.98": false}},
		{"one that is not there any more", access.RoleConstituent, "c", access.Constituent, map[string]bool{"198.51.100.1": false, "203.0.113.1": false}},
		{"one without a name", access.RoleConstituent, "", access.Constituent, map[string]bool{"198.51.100.1": false}},
		{"an analyst", access.RoleAnalyst, "", access.Operator, map[string]bool{"198.51.100.1": true, "203.0.113.1": true}},
		{"the public", access.RolePublic, "a", access.Public, map[string]bool{"198.51.100.1": false}},
		{"a role that is not known", "root", "a", access.Public, map[string]bool{"198.51.100.1": false}},
	} {
		v, err := reg.View(t.Context(), test.role, test.constituent, "x", leases, at)
		if err != nil || v.Tier != test.tier || v.Who != "x" || !v.At.Equal(at) {
			t.Errorf("%s: %+v, %v", test.name, v, err)
		}
		for addr, want := range test.sees {
			if got := v.Sees(netip.MustParseAddr(addr), at); got != want {
				t.Errorf("%s sees %s: %t", test.name, addr, got)
			}
		}
	}
	// Nobody's view is whole when its leases cannot be read.
	broken := errors.New("broken")
	if _, err := reg.View(t.Context(), access.RoleConstituent, "a", "x", func(context.Context, string) ([]access.Window, error) { return nil, broken }, at); !errors.Is(err, broken) {
		t.Errorf("broken leases: %v", err)
	}
}
