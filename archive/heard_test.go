package archive

import (
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

func TestHeardCountsARun(t *testing.T) {
	a := open(t, t.TempDir())
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	keep(t, a, seen("198.51.100.1", at, found("open-ipp")), seen("198.51.100.2", at, found("open-ipp", "cups-browsed")), seen("198.51.100.3", at),
		seen("198.51.100.4", at.Add(24*time.Hour), found("open-ipp")))
	run := seen("198.51.100.1", at).Run
	h, err := a.Heard(t.Context(), operator, run)
	if err != nil {
		t.Fatal(err)
	}
	if h.Observations != 3 || h.Rules["open-ipp"] != 2 || h.Rules["cups-browsed"] != 1 || h.Verdicts[exposure.Answered] != 3 {
		t.Errorf("Heard = %+v", h)
	}
	var severe int64
	for _, n := range h.Severity {
		severe += n
	}
	if severe != 2 {
		t.Errorf("Severity = %v, want two in all", h.Severity)
	}
	if h, err := a.Heard(t.Context(), access.View{Tier: access.Constituent}, run); err != nil || h.Observations != 0 {
		t.Errorf("a constituent hears %+v, %v", h, err)
	}
	if h, err := a.Heard(t.Context(), operator, "none"); err != nil || h.Observations != 0 {
		t.Errorf("of no run: %+v, %v", h, err)
	}
}
