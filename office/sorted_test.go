package office

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
)

// TestObservationsOfAHostSort reads them in another order than the archive has,
// narrowed, and from a place in the middle; and holds that a page which did not
// sort all says so, and a file is not sent.
func TestObservationsOfAHostSort(t *testing.T) {
	a, err := archive.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	addr := netip.MustParseAddr("198.51.100.10")
	var put []exposure.Observation
	for i := range 12 {
		at := now.Add(-time.Duration(i) * time.Hour)
		verdict := exposure.Answered
		if i%3 == 0 {
			verdict = exposure.Closed
		}
		door := netip.AddrPortFrom(addr, uint16(631+i%4))
		run := fmt.Sprintf("20261126T%02d0000Z-7f3a20", i)
		put = append(put, exposure.Observation{
			V: exposure.Version, ID: exposure.NewID(run, door, exposure.TCP, exposure.ProbeIPP, 0), Observed: at, Received: at, Run: run,
			Source: exposure.Scan, Addr: addr, Port: door.Port(), Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: verdict,
		})
	}
	if _, err := a.Append(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	d := &desk{Options: Options{Archive: a}}
	read := func(query string) (times []string, cut int64, err error) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/hosts/198.51.100.10?"+query, nil)
		q, err := observationTable().Read(r)
		if err != nil {
			return nil, 0, err
		}
		for row, err := range d.observations(r, &gate.Visit{View: access.CLI(now)}, addr, &cut)(q) {
			if err != nil {
				return times, cut, err
			}
			times = append(times, row.Cells[0].Value.(time.Time).Format("15"))
		}
		return times, cut, nil
	}
	for query, want := range map[string]string{
		"":                              "12 11 10 09 08 07 06 05 04 03 02 01",
		"o-sort=time":                   "01 02 03 04 05 06 07 08 09 10 11 12",
		"o-sort=time&o-verdict=closed":  "03 06 09 12",
		"o-verdict=closed":              "12 09 06 03",
		"o-sort=-door&o-verdict=closed": "09 06 03 12",
		"o-since=2026-11-27":            "",
		"o-after=" + string(put[9].ID):  "02 01",
		"o-sort=time&o-after=" + string(put[2].ID): "11 12",
	} {
		got, cut, err := read(query)
		if err != nil || cut != 0 || !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("?%s = %q, cut %d, %v, want %s", query, got, cut, err, want)
		}
	}
	defer func(n int) { maxSorted = n }(maxSorted)
	maxSorted = 5
	if got, cut, err := read("o-sort=time"); err != nil || cut != 5 || strings.Join(got, " ") != "08 09 10 11 12" {
		t.Errorf("the newest five = %q, cut %d, %v", got, cut, err)
	}
	if _, _, err := read("o-sort=time&o-format=csv"); err == nil {
		t.Error("a file that is not whole is sent")
	}
	if got, cut, err := read("o-format=csv"); err != nil || cut != 0 || len(got) != 12 {
		t.Errorf("a file in the order of the archive = %q, cut %d, %v, want all", got, cut, err)
	}
}
