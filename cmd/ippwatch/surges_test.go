package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/alarm"
	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A diary writes down what it is told.
type diary []string

func (*diary) Name() string { return "diary" }

func (d *diary) Alert(_ context.Context, a exposure.Alert) error {
	phase := "began"
	switch {
	case !a.Ended.IsZero():
		phase = "ended"
	case a.Again:
		phase = fmt.Sprint("rose to ", a.Level)
	}
	kind, _, _ := strings.Cut(alarm.Text(a), " ")
	*d = append(*d, phase+" "+kind)
	return nil
}

// TestASurgeIsToldOnceAndAgainWhenItGetsWorse lets two sensors tell of five weeks
// in the archive, and of a surge that begins at the one and comes to the other.
func TestASurgeIsToldOnceAndAgainWhenItGetsWorse(t *testing.T) {
	now := time.Date(2026, 9, 27, 0, 0, 0, 0, time.UTC)
	d := aDaemon(t, &now)
	var told diary
	d.board.Alerters = []alarm.Alerter{&told}
	next := uint32(1)
	var censuses []exposure.Census
	hour := func(a, b int) {
		for sensor, n := range map[string]int{"a": a, "b": b} {
			s := sketch.New()
			for range n {
				next += 256 // another /24
				s.Network(netip.AddrFrom4([4]byte{byte(next>>24) + 11, byte(next >> 16), byte(next >> 8), 1}))
			}
			c := exposure.Census{Began: now, Ended: now.Add(time.Minute), Sensor: sensor, Transport: exposure.UDP, Class: exposure.Solicitation, Networks: exposure.Distinct{Sketch: s.Bytes()}}
			c.ID = exposure.NewCensusID(&c)
			censuses = append(censuses, c)
		}
		now = now.Add(time.Hour)
	}
	look := func() {
		t.Helper()
		if _, err := d.h.archive.AppendCensuses(t.Context(), censuses); err != nil {
			t.Fatal(err)
		}
		censuses = nil
		now = now.Add(10 * time.Minute)
		d.board.Round(t.Context())
		now = now.Add(-10 * time.Minute)
	}
	for i := range 5 * 7 * 24 {
		hour(20+i%3, 20+i%5)
	}
	look()
	if len(told) > 0 {
		t.Fatalf("told without a surge: %q", told)
	}
	for _, n := range []struct{ a, b int }{{120, 20}, {120, 20}, {120, 120}, {120, 120}} {
		hour(n.a, n.b)
		look()
		look()
	}
	for range 10 {
		hour(20, 20)
		look()
	}
	if diff := cmp.Diff(diary{"began surge", "rose to 1 worse:", "ended over"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
