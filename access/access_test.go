package access_test

import (
	"net/netip"
	"testing"
	"time"

	"ippwatch/access"
)

func TestHost(t *testing.T) {
	mine := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25"), netip.MustParsePrefix("2001:db8:100::/48")}
	for _, test := range []struct {
		name string
		view access.View
		addr string
		want bool
	}{
		{"the zero view sees no host", access.View{}, "198.51.100.1", false},
		{"the public sees no host, whatever networks it names", access.View{Networks: mine}, "198.51.100.1", false},
		{"a constituent sees its own", access.View{Tier: access.Constituent, Networks: mine}, "198.51.100.1", true},
		{"a constituent sees its own over IPv6", access.View{Tier: access.Constituent, Networks: mine}, "2001:db8:100::1", true},
		{"a constituent does not see its neighbour", access.View{Tier: access.Constituent, Networks: mine}, "198.51.100.129", false},
		{"a constituent without networks sees nothing", access.View{Tier: access.Constituent}, "198.51.100.1", false},
		{"an operator sees all", access.CLI(time.Time{}), "203.0.113.1", true},
	} {
		if got := test.view.Host(netip.MustParseAddr(test.addr)); got != test.want {
			t.Errorf("%s: Host(%s) = %t", test.name, test.addr, got)
		}
	}
}

func TestSees(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	lease := access.Window{Prefix: netip.MustParsePrefix("203.0.113.7/32"), From: day, To: day.AddDate(0, 0, 1)}
	open := access.Window{Prefix: netip.MustParsePrefix("203.0.113.8/32"), From: day}
	v := access.View{
		Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25")},
		Windows: []access.Window{lease, open},
	}
	for _, test := range []struct {
		name string
		view access.View
		addr string
		at   time.Time
		want bool
	}{
		{"a network is seen at any time", v, "198.51.100.1", day.AddDate(-9, 0, 0), true},
		{"a leased address during the lease", v, "203.0.113.7", day.Add(time.Hour), true},
		{"a leased address before the lease", v, "203.0.113.7", day.Add(-1), false},
		{"a leased address in the moment that ends the lease", v, "203.0.113.7", day.AddDate(0, 0, 1), false},
		{"a lease without an end", v, "203.0.113.8", day.AddDate(9, 0, 0), true},
		{"a neighbour of a leased address", v, "203.0.113.9", day, false},
		{"the public with windows", access.View{Windows: v.Windows}, "203.0.113.7", day, false},
		{"an operator at any time", access.CLI(day), "203.0.113.7", time.Time{}, true},
	} {
		if got := test.view.Sees(netip.MustParseAddr(test.addr), test.at); got != test.want {
			t.Errorf("%s: Sees(%s, %s) = %t", test.name, test.addr, test.at, got)
		}
	}
	if !v.Host(lease.Prefix.Addr()) {
		t.Error("Host: a leased address is hidden as such")
	}
	if got := len(v.Whole()); got != 3 {
		t.Errorf("Whole = %d networks, want 3", got)
	}
}

func TestOverlaps(t *testing.T) {
	mine := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25")}}
	placed := access.View{Tier: access.Constituent, ASNs: []uint32{64500}, Hosts: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::5")}}
	for _, test := range []struct {
		name   string
		view   access.View
		prefix string
		want   bool
	}{
		{"an operator, anything", access.CLI(time.Time{}), "203.0.113.0/24", true},
		{"the public, nothing", access.View{Networks: mine.Networks}, "198.51.100.0/24", false},
		{"a network around theirs", mine, "198.51.100.0/24", true},
		{"a part of theirs", mine, "198.51.100.9/32", true},
		{"the half beside theirs", mine, "198.51.100.128/25", false},
		{"a network in which a host of theirs lies", placed, "192.0.2.0/24", true},
		{"that host", placed, "192.0.2.7/32", true},
		{"over IPv6", placed, "2001:db8::/32", true},
		{"a network below it", placed, "192.0.2.0/30", false},
		{"a network above it", placed, "192.0.2.8/29", false},
		{"behind the last", placed, "2001:db9::/32", false},
		{"a network not masked", placed, "192.0.2.200/24", true},
	} {
		if got := test.view.Overlaps(netip.MustParsePrefix(test.prefix)); got != test.want {
			t.Errorf("%s: Overlaps(%s) = %t", test.name, test.prefix, got)
		}
	}
}
