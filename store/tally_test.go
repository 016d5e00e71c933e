package store

import (
	"iter"
	"net/netip"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

// TestTransitionsByHost reads more steps than a page, of hosts whose steps were
// written in turns.
func TestTransitionsByHost(t *testing.T) {
	s := fresh(t)
	addrs := []string{"2001:db8::1", "192.0.2.9", "192.0.2.10"}
	const turns = page
	for range turns {
		for _, a := range addrs {
			put(t, s, sample(a, "open-ipp"))
		}
	}
	read := func(v access.View) (order []netip.Addr, n int) {
		for step, err := range s.TransitionsByHost(t.Context(), v) {
			if err != nil {
				t.Fatal(err)
			}
			if step.Rule != "open-ipp" || step.Axis != exposure.AxisCondition || step.To != "confirmed" || step.At.IsZero() {
				t.Fatalf("step %+v", step)
			}
			if n++; len(order) == 0 || order[len(order)-1] != step.Addr {
				order = append(order, step.Addr)
			}
		}
		return order, n
	}
	order, n := read(operator())
	if n != turns*len(addrs) || len(order) != 3 || order[0].String() != "192.0.2.9" || order[1].String() != "192.0.2.10" || order[2].String() != "2001:db8::1" {
		t.Errorf("%d steps of %v", n, order)
	}
	mine := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}}
	if order, n = read(mine); n != turns || len(order) != 1 {
		t.Errorf("a constituent sees %d steps of %v", n, order)
	}
	if _, n = read(access.View{}); n != 0 {
		t.Errorf("the public sees %d steps", n)
	}
}

// TestExposuresInBrief holds that the brief ones say of what they say the same.
func TestExposuresInBrief(t *testing.T) {
	s := fresh(t)
	for i := range 2 * hostsAtOnce {
		addr := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}).String()
		put(t, s, sample(addr, "open-ipp"), sample(addr, "no-tls"))
	}
	moved := sample("2001:db8::1", "open-ipp")
	moved.MovedTo = netip.MustParseAddr("2001:db8::2")
	heir := sample("2001:db8::2", "open-ipp")
	heir.MovedFrom, heir.ClearedAt, heir.Simulated, heir.Ruling = moved.Addr, noon, true, exposure.Accepted
	put(t, s, moved, heir)
	for name, v := range map[string]access.View{
		"operator":    operator(),
		"constituent": {Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
	} {
		next, stop := iter.Pull2(s.Exposures(t.Context(), v, Filter{}))
		defer stop()
		n := 0
		for got, err := range s.ExposuresInBrief(t.Context(), v) {
			if err != nil {
				t.Fatal(err)
			}
			want, err, ok := next()
			if !ok || err != nil {
				t.Fatalf("%s: more in brief than in full: %v", name, err)
			}
			n++
			if v.Tier == access.Operator {
				want = exposure.Exposure{
					Key: want.Key, Severity: want.Severity, Condition: want.Condition, Contact: want.Contact, Ruling: want.Ruling, Cycle: want.Cycle,
					FirstSeen: want.FirstSeen, LastSeen: want.LastSeen, ClearedAt: want.ClearedAt,
					Where: exposure.Where{Country: want.Where.Country, ASN: want.Where.ASN}, Simulated: want.Simulated, MovedFrom: want.MovedFrom,
				}
			}
			if d := gocmp.Diff(want, got, equateAddrs); d != "" {
				t.Fatalf("%s: brief differs (-want +got):\n%s", name, d)
			}
		}
		if _, _, more := next(); more || n == 0 {
			t.Errorf("%s: %d in brief, and more in full", name, n)
		}
	}
	for e, err := range s.ExposuresInBrief(t.Context(), access.View{}) {
		t.Errorf("the public sees %v, %v", e, err)
	}
}
