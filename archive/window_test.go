package archive

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ippwatch/access"
)

// TestALeaseBoundsWhatIsSeen holds that every read of a customer's view returns
// what was observed during the lease, and nothing from before or after it.
func TestALeaseBoundsWhatIsSeen(t *testing.T) {
	a := open(t, t.TempDir())
	at := firstDay.Add(2 * time.Hour)
	for hour := range 12 { // two leases and a time between them
		keep(t, a,
			seen("192.0.2.1", at.Add(time.Duration(hour)*time.Hour), found("open-ipp")),
			seen("192.0.2.2", at.Add(time.Duration(hour)*time.Hour), found("open-ipp")),
			seen("2001:db8::1", at.Add(time.Duration(hour)*time.Hour), found("open-ipp")))
	}
	p := netip.MustParsePrefix
	view := access.View{
		Who: "customer", Tier: access.Constituent, Networks: []netip.Prefix{p("2001:db8::/64")},
		Windows: []access.Window{
			{Prefix: p("192.0.2.1/32"), From: at.Add(2 * time.Hour), To: at.Add(4 * time.Hour)},
			{Prefix: p("192.0.2.1/32"), From: at.Add(7 * time.Hour), To: at.Add(8 * time.Hour)},
		},
	}
	many := view // more than SQLite is given
	many.Windows = slices.Clone(view.Windows)
	for i := range mostRanges {
		many.Windows = append(many.Windows, access.Window{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32), From: at})
	}
	want := []time.Time{at.Add(2 * time.Hour), at.Add(3 * time.Hour), at.Add(7 * time.Hour)}
	addr := netip.MustParseAddr("192.0.2.1")
	times := func(records []Record) (all []time.Time) {
		for _, r := range records {
			if r.Addr.Is4() {
				all = append(all, r.Observed)
			}
			if r.Addr == netip.MustParseAddr("192.0.2.2") {
				t.Errorf("a neighbour of the customer is shown")
			}
		}
		slices.SortFunc(all, time.Time.Compare)
		return all
	}
	for name, v := range map[string]access.View{"few": view, "many": many} {
		t.Run(name, func(t *testing.T) {
			all := collect(t, a.Observations(t.Context(), v, Query{}))
			if got := times(all); !slices.EqualFunc(got, want, time.Time.Equal) || len(all) != 15 {
				t.Errorf("Observations = %v of %d, want %v and 12 of the network", got, len(all), want)
			}
			if got := times(collect(t, a.Observations(t.Context(), v, Query{Addr: p("192.0.2.1/32"), Limit: 1}))); len(got) != 1 || !got[0].Equal(want[0]) {
				t.Errorf("the first observation is of %v, want %v", got, want[0])
			}
			if got := times(collect(t, a.History(t.Context(), v, addr, 0))); !slices.EqualFunc(got, want, time.Time.Equal) {
				t.Errorf("History = %v, want %v", got, want)
			}
			if got := times(collect(t, a.History(t.Context(), v, addr, 1))); len(got) != 1 || !got[0].Equal(want[2]) {
				t.Errorf("the last of the history is of %v, want %v", got, want[2])
			}
			if got := times(collect(t, a.LatestPerTarget(t.Context(), v, firstDay))); len(got) != 1 || !got[0].Equal(want[2]) {
				t.Errorf("LatestPerTarget = %v, want the last within the lease, %v", got, want[2])
			}
			counts, err := a.Counts(t.Context(), v, CountQuery{From: firstDay})
			if err != nil || len(counts) != 1 || counts[0].Addresses != 2 || counts[0].Observations != 15 {
				t.Errorf("Counts = %v, %v, want 2 addresses and 15 observations", counts, err)
			}
		})
	}
	gone := access.View{Tier: access.Constituent, Windows: []access.Window{{Prefix: p("192.0.2.1/32"), To: at}}}
	if got := collect(t, a.Observations(t.Context(), gone, Query{})); len(got) != 0 {
		t.Errorf("who left before the first scan sees %d observations", len(got))
	}
	if got := fmt.Sprint(collect(t, a.LatestPerTarget(t.Context(), gone, firstDay))); got != "[]" {
		t.Errorf("who left before the first scan sees %s", got)
	}
}
