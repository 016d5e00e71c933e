package archive

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/access"
	"ippwatch/exposure"
)

func visit(addr string, at time.Time, kind exposure.VisitKind) exposure.Visit {
	return exposure.Visit{
		V: exposure.Version, ID: exposure.NewFeedID(exposure.Shadowserver, "visit", map[string]string{"ip": addr, "at": at.String()}),
		Observed: at, Received: at.Add(time.Hour), Source: exposure.Shadowserver, Kind: kind,
		Addr: netip.MustParseAddr(addr), Transport: exposure.UDP, Door: 631, Count: 3, UserAgent: "a\x1b[31m",
		Where: exposure.Where{Country: "DE", ASN: 64500},
		Feed:  &exposure.FeedRow{Type: "event4_honeypot_darknet", Columns: map[string]string{"tag": "x"}},
	}
}

func leased(from, to time.Time) access.View {
	return access.View{Tier: access.Constituent, Windows: []access.Window{{Prefix: netip.MustParsePrefix("203.0.113.7/32"), From: from, To: to}}}
}

// TestVisitsAreKeptOnceAndShownToTheirs appends the same visits twice.
func TestVisitsAreKeptOnceAndShownToTheirs(t *testing.T) {
	a := open(t, t.TempDir())
	all := []exposure.Visit{
		visit("198.51.100.20", firstDay, exposure.Knock),
		visit("203.0.113.7", firstDay.Add(time.Hour), exposure.Reflection),
		visit("2001:db8::5", firstDay.Add(24*time.Hour), exposure.Request),
	}
	for round, want := range []int{3, 0} {
		if n, err := a.AppendVisits(t.Context(), all); err != nil || n != want {
			t.Fatalf("AppendVisits, round %d = %d, %v, want %d", round, n, err, want)
		}
	}
	read := func(v access.View, q VisitQuery) (got []exposure.Visit) {
		for one, err := range a.Visits(t.Context(), v, q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, one)
		}
		return got
	}
	mine := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	for _, tt := range []struct {
		name string
		view access.View
		q    VisitQuery
		want []exposure.Visit
	}{
		{"all", operator, VisitQuery{}, all},
		{"a day", operator, VisitQuery{From: firstDay, To: firstDay.Add(24 * time.Hour)}, all[:2]},
		{"one", operator, VisitQuery{Limit: 1}, all[:1]},
		{"a kind", operator, VisitQuery{Kind: exposure.Reflection}, all[1:2]},
		{"a stranger's", operator, VisitQuery{Addr: all[1].Addr}, all[1:2]},
		{"the newest first", operator, VisitQuery{Newest: true, Limit: 1}, all[2:]},
		{"a source without any", operator, VisitQuery{Source: exposure.CSV}, nil},
		{"a constituent sees its own", mine, VisitQuery{Limit: 1}, all[1:2]},
		{"a customer sees its own during the lease", leased(firstDay, firstDay.Add(2*time.Hour)), VisitQuery{}, all[1:2]},
		{"and not after it", leased(firstDay, firstDay.Add(time.Hour)), VisitQuery{}, nil},
		{"the public sees none", access.View{}, VisitQuery{}, nil},
	} {
		if diff := cmp.Diff(tt.want, read(tt.view, tt.q), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if _, err := a.AppendVisits(t.Context(), []exposure.Visit{{Observed: firstDay}}); err == nil {
		t.Error("a visit without an id was kept")
	}
}

// TestAStrangersVisitsAreNotSoughtAmongAll asks SQLite how it would go about it.
func TestAStrangersVisitsAreNotSoughtAmongAll(t *testing.T) {
	a := open(t, t.TempDir())
	var id, parent, unused int
	var plan string
	query, args := visitSelect(VisitQuery{Addr: netip.MustParseAddr("192.0.2.1"), From: firstDay, Newest: true})
	if err := a.read.QueryRowContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...).Scan(&id, &parent, &unused, &plan); err != nil {
		t.Fatal(err)
	}
	if want := "SEARCH visit USING INDEX visit_addr (addr=? AND observed>?)"; plan != want {
		t.Errorf("the plan is %q, want %q", plan, want)
	}
}

// TestCensusesAreKeptOnceAndShownToTheOperator appends the same ones twice.
func TestCensusesAreKeptOnceAndShownToTheOperator(t *testing.T) {
	a := open(t, t.TempDir())
	var all []exposure.Census
	for i := range 300 {
		c := exposure.Census{
			V: 1, Sensor: "edge-1", Transport: exposure.UDP, Class: exposure.Solicitation, Began: firstDay.Add(time.Duration(i) * time.Minute), Ended: firstDay.Add(time.Duration(i+1) * time.Minute),
			Packets: int64(i), Sources: exposure.Distinct{Estimate: 3, Sketch: []byte{1, 2, 3}}, TopHosts: []exposure.Frequent{{What: "a\x1b[31m", N: 2}},
		}
		c.ID = exposure.NewCensusID(&c)
		all = append(all, c)
	}
	for round, want := range []int{300, 0} {
		if n, err := a.AppendCensuses(t.Context(), all); err != nil || n != want {
			t.Fatalf("AppendCensuses, round %d = %d, %v, want %d", round, n, err, want)
		}
	}
	read := func(v access.View, from, to time.Time) (got []exposure.Census) {
		for one, err := range a.Censuses(t.Context(), v, from, to) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, one)
		}
		return got
	}
	mine := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}
	for _, tt := range []struct {
		name     string
		view     access.View
		from, to time.Time
		want     []exposure.Census
	}{
		{"all", operator, time.Time{}, time.Time{}, all},
		{"an hour", operator, firstDay.Add(time.Hour), firstDay.Add(2 * time.Hour), all[60:120]},
		{"a constituent sees none", mine, time.Time{}, time.Time{}, nil},
		{"nor does the public", access.View{}, time.Time{}, time.Time{}, nil},
	} {
		if diff := cmp.Diff(tt.want, read(tt.view, tt.from, tt.to)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// What is pruned loses its addresses and keeps its counts.
	next := all[0]
	next.Began = firstDay.AddDate(0, 0, 1)
	next.ID = exposure.NewCensusID(&next)
	if _, err := a.AppendCensuses(t.Context(), []exposure.Census{next}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Prune(t.Context(), firstDay.AddDate(0, 0, 1), nil, false); err != nil {
		t.Fatal(err)
	}
	for i, c := range read(operator, time.Time{}, time.Time{}) {
		if i < len(all) && (c.TopHosts != nil || c.Packets != all[i].Packets || c.Sources.Estimate != 3) || i == len(all) && len(c.TopHosts) != 1 {
			t.Errorf("census %d after pruning: %+v", i, c)
		}
	}
	for name, c := range map[string]exposure.Census{"without an id": {Began: firstDay}, "without a time": {ID: "00"}} {
		if _, err := a.AppendCensuses(t.Context(), []exposure.Census{c}); err == nil {
			t.Errorf("a census %s was kept", name)
		}
	}
}
