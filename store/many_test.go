package store

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
)

// Before is exclusive, and what many rows at a time wrote is what was given.
func TestManyRowsAreWhatWasGiven(t *testing.T) {
	s := fresh(t)
	var want []exposure.Exposure
	var doors []netip.AddrPort
	var steps []exposure.Transition
	for i := range 2*manyRows + 3 {
		e := sample(fmt.Sprintf("192.0.2.%d", i), "open-ipp")
		e.LastSeen = noon.Add(time.Duration(i) * time.Second)
		e.Evidence = fmt.Sprint("evidence ", i)
		want = append(want, e)
		steps = append(steps, birth(e))
		doors = append(doors, netip.AddrPortFrom(e.Addr, e.Port))
	}
	err := s.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return slices.Clone(want), steps
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, all(t, s, operator(), Filter{}), equateAddrs); diff != "" {
		t.Errorf("exposures (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(want[:40], all(t, s, operator(), Filter{Before: want[40].LastSeen}), equateAddrs); diff != "" {
		t.Errorf("exposures seen before (-want +got):\n%s", diff)
	}
	n := 0
	for got, err := range s.Transitions(t.Context(), operator(), Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got != steps[n] {
			t.Errorf("step %d: %+v, want %+v", n, got, steps[n])
		}
		n++
	}
	if n != len(steps) {
		t.Errorf("%d steps, want %d", n, len(steps))
	}
}
