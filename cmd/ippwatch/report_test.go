package main

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/screen"
)

// TestSilenceTakesNobodyOutOfTheReport holds what a day with several scans says
// of a host: an answer and a refusal outdate what was seen before, silence not.
func TestSilenceTakesNobodyOutOfTheReport(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	s := &street{Screen: screen.Screen{Out: io.Discard, Err: io.Discard}, now: func() time.Time { return day.Add(24 * time.Hour) }, data: filepath.Join(t.TempDir(), "data")}
	h, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	hosts := []struct {
		name     string
		verdicts []exposure.Verdict // of one scan after the other
		want     exposure.Verdict
	}{
		{"answered, then silent", []exposure.Verdict{exposure.Answered, exposure.NoAnswer}, exposure.Answered},
		{"answered, then a tarpit", []exposure.Verdict{exposure.Answered, exposure.Tarpit}, exposure.Answered},
		{"answered, then closed", []exposure.Verdict{exposure.Answered, exposure.Closed}, exposure.Closed},
		{"answered, then refused", []exposure.Verdict{exposure.Answered, exposure.Restricted, exposure.NoAnswer}, exposure.Restricted},
		{"silent, then answered", []exposure.Verdict{exposure.NoAnswer, exposure.Answered}, exposure.Answered},
		{"silent all day", []exposure.Verdict{exposure.NoAnswer, exposure.Unreachable}, exposure.Unreachable},
	}
	want := make(map[string]exposure.Verdict)
	for i, host := range hosts {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 631)
		want[target.Addr().String()] = host.want
		for n, v := range host.verdicts {
			run, at := fmt.Sprintf("run-%d", n), day.Add(time.Duration(9+n)*time.Hour)
			_, err := h.archive.Append(t.Context(), []exposure.Observation{{
				V: exposure.Version, ID: exposure.NewID(run, target, exposure.TCP, exposure.ProbeIPP, 0), Observed: at, Received: at, Run: run,
				Source: exposure.Scan, Vantage: "test", Addr: target.Addr(), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: v,
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := s.reportRows(t.Context(), h, day)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]exposure.Verdict)
	for r := range slices.Values(rows) {
		got[r.Addr.String()] = r.Verdict
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts in the report (-want +got):\n%s", diff)
	}
}
