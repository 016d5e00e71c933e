package found

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/screen"
)

// batch is two doors of one host, and another host.
func batch() []exposure.Observation {
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	open := []exposure.Finding{{Rule: "open-ipp", Severity: exposure.High}, {Rule: "no-tls", Severity: exposure.Low}}
	first, where := netip.MustParseAddr("192.0.2.20"), exposure.Where{Country: "DE", ASN: 64496}
	return []exposure.Observation{
		{Run: "r", Observed: at, Addr: netip.MustParseAddr("192.0.2.10"), Port: 631, Transport: exposure.TCP, Verdict: exposure.NoAnswer},
		{Run: "r", Observed: at, Addr: first, Port: 631, Transport: exposure.UDP, Verdict: exposure.Closed, Where: where},
		{
			Run: "r", Observed: at, Addr: first, Port: 631, Transport: exposure.TCP, Verdict: exposure.Answered, Findings: open,
			CUPS: &exposure.CUPS{Reported: "2.4.2\x1b[2J"}, Where: where,
		},
	}
}

// told is what a Writer tells of the batch.
func told(t *testing.T, format string, batch []exposure.Observation) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	w := New(&screen.Screen{Out: &o, Err: &e, Format: format}, nil, "ippwatch report")
	for i := range batch {
		if err := w.Add(batch[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(campaign.Summary{Progress: campaign.Progress{Sent: 3, Answered: 1}, Complete: true}); err != nil {
		t.Fatal(err)
	}
	return o.String(), e.String()
}

func TestTableIsWorstFirst(t *testing.T) {
	out, errs := told(t, "table", batch())
	want := `SEVERITY  ADDRESS     PORTS            WHAT               WHERE       FINDINGS
high      192.0.2.20  631/tcp 631/udp  CUPS 2.4.2\x1b[2J  DE AS64496  open-ipp no-tls
-         192.0.2.10  631/tcp                             -           (no-answer)

asked 3, answered 1; nothing found
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
	if !strings.Contains(errs, "ippwatch rules open-ipp") {
		t.Errorf("the worst rule is not named:\n%s", errs)
	}
}

func TestJSONIsOneArray(t *testing.T) {
	for name, batch := range map[string][]exposure.Observation{"of nothing": nil, "of one": batch()[:1], "of three": batch()} {
		t.Run(name, func(t *testing.T) {
			out, _ := told(t, "json", batch)
			var got []exposure.Observation
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if len(got) != len(batch) {
				t.Errorf("%d observations, want %d:\n%s", len(got), len(batch), out)
			}
		})
	}
}

func TestSheetHasALineForEachDoor(t *testing.T) {
	out, _ := told(t, "csv", batch())
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[3], "2026-11-23T09:30:00Z,r,192.0.2.20,631,tcp,answered,high,open-ipp;no-tls,") {
		t.Errorf("the sheet is\n%s", out)
	}
}

// A file has a line for each observation, whatever the screen shows.
type file struct {
	bytes.Buffer
	closed bool
}

func (f *file) Close() error {
	f.closed = true
	return nil
}

func TestFileHasALineForEachObservation(t *testing.T) {
	var f file
	var out, errs bytes.Buffer
	w := New(&screen.Screen{Out: &out, Err: &errs, Format: "table", Quiet: true}, &f, "")
	if err := w.Add(batch()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(f.String(), "\n"); n != 3 {
		t.Errorf("after the batch the file has %d lines, want 3", n)
	}
	if err := w.Finish(campaign.Summary{}); err != nil || !f.closed {
		t.Errorf("Finish: %v, closed %t", err, f.closed)
	}
}
