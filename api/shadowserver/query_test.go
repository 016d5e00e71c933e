package shadowserver

import (
	"encoding/json"
	"net/netip"
	"testing"

	"ippwatch/exposure"
	"ippwatch/report"
)

// TestCap holds that one answer has ten thousand events at most, and that the
// pages have all of them.
func TestCap(t *testing.T) {
	row := &report.Row{Observation: exposure.Observation{Addr: netip.MustParseAddr("192.0.2.1"), Port: 631, Transport: exposure.TCP}}
	found := make([]event, 10_050)
	for i := range found {
		found[i] = event{kind: report.ScanIPP, row: row}
	}
	wants := ask{Limit: 20_000}
	for n, want := range []int{10_000, 50, 0, 0} {
		answer, err := page(found, wants.limit(), n+1)
		if err != nil {
			t.Fatal(err)
		}
		events, ok := answer.([]json.RawMessage)
		if !ok || len(events) != want {
			t.Errorf("page %d has %d events, want %d", n+1, len(events), want)
		}
	}
	if answer, err := page(found, wants.limit(), 1<<62); err != nil || len(answer.([]json.RawMessage)) != 0 {
		t.Errorf("a page far behind the last: %v", err)
	}
	if n := (&ask{}).limit(); n != most {
		t.Errorf("without a limit there are %d", n)
	}
}
