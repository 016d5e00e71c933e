package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/feed/shadowserver"
	"ippwatch/report"
	"ippwatch/rule"
)

func counts(in exposure.Intake) string {
	return fmt.Sprintf("%s: %d rows, %d new, %d known, %d other, %d aside", in.Outcome, in.Rows, in.New, in.Known, in.Other, in.Aside)
}

// TestOnlyWhatIsNewChanges takes in the same rows in every way in which they
// come again.
func TestOnlyWhatIsNewChanges(t *testing.T) {
	w := newWorld(t)
	text := report10()
	for _, tt := range []struct{ name, file, text, want string }{
		{"first", "2026-11-22-scan_ipp-x.csv", text, "taken: 10 rows, 10 new, 0 known, 0 other, 0 aside"},
		{"again", "2026-11-22-scan_ipp-x.csv", text, "taken: 10 rows, 0 new, 10 known, 0 other, 0 aside"},
		{"renamed", "renamed.csv", text, "taken: 10 rows, 0 new, 10 known, 0 other, 0 aside"},
		{"with other line ends", "x.csv", "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"), "taken: 10 rows, 0 new, 10 known, 0 other, 0 aside"},
		{"with one more row", "2026-11-22-scan_ipp-x.csv", text + row(10, day), "taken: 11 rows, 1 new, 10 known, 0 other, 0 aside"},
		{"with a bad row", "2026-11-22-scan_ipp-x.csv", text + "a,b\n", "taken: 11 rows, 0 new, 10 known, 0 other, 1 aside"},
		{"with the same bad row", "y.csv", "" + text + "a,b\n", "taken: 11 rows, 0 new, 10 known, 0 other, 1 aside"},
	} {
		if got := counts(w.take(t, tt.file, tt.text)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if n := len(w.observations(t)); n != 11 {
		t.Errorf("%d observations are kept, want 11", n)
	}
	for k, e := range w.exposures(t) {
		if e.TimesSeen != 1 || e.Condition != exposure.Reported {
			t.Errorf("%v was seen %d times and is %s", k, e.TimesSeen, e.Condition)
		}
	}
	if asides, err := w.store.Asides(t.Context(), operator, 10); err != nil || len(asides) != 1 || asides[0].Line != 12 {
		t.Errorf("set aside: %+v, %v", asides, err)
	}
	// The next day is another sighting.
	w.take(t, "2026-11-23-scan_ipp-x.csv", header+row(0, day.AddDate(0, 0, 1)))
	key := exposure.Key{Addr: netip.MustParseAddr("100.0.0.0"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}
	if e := w.exposures(t)[key]; e.TimesSeen != 2 {
		t.Errorf("after another day it was seen %d times", e.TimesSeen)
	}
	ages, err := w.store.FeedAges(t.Context(), operator)
	want := []exposure.FeedAge{{Source: exposure.Shadowserver, Type: "scan_ipp", Day: day.AddDate(0, 0, 1), Taken: now}}
	if diff := cmp.Diff(want, ages); diff != "" || err != nil {
		t.Errorf("FeedAges (-want +got), %v:\n%s", err, diff)
	}
}

func report10() string { return reportOf(10, day) }

// TestRulesFindWhatARowSays holds which rules a row can meet, and none
// that it has no facts for.
func TestRulesFindWhatARowSays(t *testing.T) {
	special := "timestamp,ip,port,protocol,tag,status,detail\n"
	for _, tt := range []struct {
		name, file, text string
		want             []string // rules
	}{
		{"a device behind a translation", "2026-11-22-scan_ipp-x.csv", header + row(0, day), []string{"open-ipp", "leaks-internal-address"}},
		{"a CUPS server", "2026-11-22-scan_ipp-x.csv", header + row(1, day), []string{"open-ipp", "reported-cups-version"}},
		{"a device that names its owner", "2026-11-22-scan_ipp-x.csv", header + row(2, day), []string{"open-ipp", "leaks-people"}},
		{"nothing but an address", "2026-11-22-scan_ipp-x.csv", "timestamp,ip\n2026-11-22 10:00:00,198.51.100.1\n", []string{"open-ipp"}},
		{"over IPv6", "2026-11-22-scan6_ipp-x.csv", "timestamp,ip\n2026-11-22 10:00:00,2001:db8::1\n", []string{"open-ipp"}},
		{
			"a host that called back", "2026-11-22-special-x.csv", special + "2026-11-22 10:00:00,198.51.100.2,631,udp,cups,vulnerable,CUPS/2.2.10 (Linux 4.19; x86_64) IPP/2.0\n",
			[]string{"cups-browsed-callback", "reflector"},
		},
		{
			"a host of which nothing is told", "2026-11-22-special-x.csv", special + "2026-11-22 10:00:00,198.51.100.3,,,cve-2024-47176,,\n",
			[]string{"cups-browsed-callback", "reflector"},
		},
		{"a printer at another port", "2026-11-22-device_id-x.csv", "timestamp,ip,port,protocol,device_type\n2026-11-22 10:00:00,198.51.100.4,443,tcp,printer\n", nil},
		{
			"all our own columns", "2026-11-22-scan_ipp-x.csv",
			"timestamp,ip,uri_security_supported,uri_authentication_supported,operations_supported,printer_is_accepting_jobs,queues,tls,certificate_not_after,findings\n" +
				"2026-11-22 10:00:00,198.51.100.5,none,none,2,true,7,false,2001-01-01 00:00:00,no-tls\n",
			[]string{"open-ipp"},
		},
	} {
		w := newWorld(t)
		w.take(t, tt.file, tt.text)
		records := w.observations(t)
		if len(records) != 1 {
			t.Fatalf("%s: %d observations", tt.name, len(records))
		}
		found := &records[0].Observation
		var got []string
		for _, f := range rule.Judge(found) {
			got = append(got, f.Rule)
			if strings.Contains(f.Evidence, "ours") || strings.Contains(f.Evidence, " us ") || strings.Contains(f.Evidence, "0x0000") {
				t.Errorf("%s: %s says %q, which the feed does not", tt.name, f.Rule, f.Evidence)
			}
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		// A feed accuses and clears nothing.
		for _, r := range rule.All {
			if answer, why := r.Cleared(found); answer == rule.Yes {
				t.Errorf("%s clears %s: %s", tt.name, r.ID, why)
			}
		}
	}
	if len(rule.All) != 15 {
		t.Errorf("there are %d rules: look at each with the rows above", len(rule.All))
	}
}

// scanned are hosts as our own scan sees them.
func scanned() []report.Row {
	code := exposure.StatusCode(0)
	at := day.Add(10 * time.Hour)
	base := func(addr string, tr exposure.Transport, p exposure.Probe, v exposure.Verdict) exposure.Observation {
		return exposure.Observation{
			V: 1, Observed: at, Received: at, Run: "r", Source: exposure.Scan, Vantage: "outside", Addr: netip.MustParseAddr(addr), Port: 631,
			Transport: tr, Probe: p, Verdict: v, Where: exposure.Where{Country: "DE", Region: "HESSE", City: "FRANKFURT", ASN: 64500, Hostname: "p.example.net"},
		}
	}
	cups := base("198.51.100.20", exposure.TCP, exposure.ProbeIPP, exposure.Answered)
	cups.HTTP = &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1"}
	cups.IPP = &exposure.IPP{Version: "2.0", Status: code}
	cups.CUPS = &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4.2", Queues: true}
	cups.Printers = []exposure.Printer{
		{Attributes: map[string][]string{"printer-name": {"a,b"}, "printer-info": {`say "hi"` + "\nthere"}, "printer-uri-supported": {"ipp://192.168.0.1/printers/a"}}},
		{Attributes: map[string][]string{"printer-name": {"second"}}},
	}
	device := base("2001:db8::7", exposure.TCP, exposure.ProbeIPP, exposure.Answered)
	device.IPP = &exposure.IPP{Version: "1.1", Status: code}
	device.TLS = &exposure.TLS{Offered: false}
	device.Printers = []exposure.Printer{{Attributes: map[string][]string{
		"printer-name": {"EPSON42"}, "printer-make-and-model": {"EPSON WF-3720 Series"}, "printer-uuid": {"urn:uuid:cfe92100-67c4-11d4-a45f-f8d027000001"},
		"printer-firmware-string-version": {"20191203"}, "printer-organization": {"Example"}, "printer-organizational-unit": {"Unit"},
		"printer-wifi-ssid": {"Home"}, "printer-more-info": {"http://[fd00::7]/"},
	}}}
	browsed := base("198.51.100.21", exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack)
	browsed.Callback = &exposure.Callback{
		From: browsed.Addr, UserAgent: "CUPS/2.2.10 (Linux 4.19.0; x86_64) IPP/2.0", Posts: 3, Connections: 2, After: 20 * time.Millisecond,
		Asked: 70, BytesIn: 700, BytesOut: 90, RatioApp: 10, RatioIP: 12.5, Queue: "q",
	}
	var rows []report.Row
	for _, o := range []exposure.Observation{cups, device, browsed} {
		o.Findings = rule.Judge(&o)
		rows = append(rows, report.Row{Observation: o})
	}
	return rows
}

// TestRoundTrip reads back what report wrote of a scanned host, and writes that:
// the files agree, but for the severity and for what only our own eyes saw.
func TestRoundTrip(t *testing.T) {
	for _, typ := range report.Types {
		for _, extended := range []bool{false, true} {
			if typ == report.Special && extended {
				continue // its measured columns are those of the next
			}
			w := newWorld(t)
			var first bytes.Buffer
			n, err := report.CSV(&first, typ, slices.Values(scanned()), report.Options{Extended: extended})
			if err != nil || n == 0 {
				t.Fatalf("%s: %d rows, %v", typ, n, err)
			}
			if got := counts(w.take(t, "2026-11-22-"+string(typ)+"-x.csv", first.String())); got != fmt.Sprintf("taken: %d rows, %d new, 0 known, 0 other, 0 aside", n, n) {
				t.Errorf("%s: %s", typ, got)
			}
			var again []report.Row
			for _, r := range w.observations(t) {
				o := r.Observation
				o.Findings = rule.Judge(&o)
				again = append(again, report.Row{Observation: o})
			}
			var second bytes.Buffer
			if _, err := report.CSV(&second, typ, slices.Values(again), report.Options{}); err != nil {
				t.Fatal(err)
			}
			var plain bytes.Buffer
			if _, err := report.CSV(&plain, typ, slices.Values(scanned()), report.Options{}); err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer(`"critical"`, `"high"`).Replace(plain.String())
			got := strings.NewReplacer(`"critical"`, `"high"`).Replace(second.String())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, extended %t (-scanned +ingested):\n%s", typ, extended, diff)
			}
		}
	}
}

// TestFactsSurviveTheWay compares what a scan of ours saw with what is read back.
func TestFactsSurviveTheWay(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []report.Type{report.ScanIPP, report.Scan6IPP, report.CUPSBrowsed} {
		var b bytes.Buffer
		if _, err := report.CSV(&b, typ, slices.Values(scanned()), report.Options{}); err != nil {
			t.Fatal(err)
		}
		w.take(t, "2026-11-22-"+string(typ)+"-x.csv", b.String())
	}
	got := make(map[netip.Addr]exposure.Observation)
	for _, r := range w.observations(t) {
		got[r.Addr] = r.Observation
	}
	for _, r := range scanned() {
		o := got[r.Addr]
		if o.Verdict != r.Verdict || o.Transport != r.Transport || o.Port != r.Port || !o.Observed.Equal(r.Observed) || o.Where != r.Where || o.Probe != r.Probe {
			t.Errorf("%s was %s %s %v, is %s %s %v", r.Addr, r.Verdict, r.Transport, r.Where, o.Verdict, o.Transport, o.Where)
		}
		if diff := cmp.Diff(r.Callback, o.Callback, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
			t.Errorf("%s called (-was +is):\n%s", r.Addr, diff)
		}
		if len(r.Printers) == 0 {
			continue
		}
		for name, values := range o.Printers[0].Attributes {
			if diff := cmp.Diff(r.Printers[0].Attributes[name], values); diff != "" {
				t.Errorf("%s: %s (-was +is):\n%s", r.Addr, name, diff)
			}
		}
		if len(o.Printers[0].Attributes) != len(r.Printers[0].Attributes) {
			t.Errorf("%s: of %v came back %v", r.Addr, slices.Sorted(maps.Keys(r.Printers[0].Attributes)), slices.Sorted(maps.Keys(o.Printers[0].Attributes)))
		}
	}
}

func TestWhereIsFilledAndNotChanged(t *testing.T) {
	w := newWorld(t)
	w.service.Where = func(netip.Addr) exposure.Where {
		return exposure.Where{Country: "FR", Region: "Paris", City: "Paris", ASN: 64511, ASName: "ours"}
	}
	w.take(t, "2026-11-22-scan_ipp-x.csv", "timestamp,ip,geo,region,asn\n"+
		"2026-11-22 10:00:00,198.51.100.1,DE,HESSE,64500\n2026-11-22 10:00:00,198.51.100.2,DE,,0\n2026-11-22 10:00:00,198.51.100.3,,,\n")
	want := map[string]exposure.Where{
		"198.51.100.1": {Country: "DE", Region: "HESSE", ASN: 64500},
		"198.51.100.2": {Country: "DE", ASN: 64511, ASName: "ours"},
		"198.51.100.3": {Country: "FR", Region: "Paris", City: "Paris", ASN: 64511, ASName: "ours"},
	}
	for _, r := range w.observations(t) {
		if r.Where != want[r.Addr.String()] {
			t.Errorf("%s is at %+v, want %+v", r.Addr, r.Where, want[r.Addr.String()])
		}
	}
}

func TestVisitsAreNoCases(t *testing.T) {
	w := newWorld(t)
	text := "timestamp,protocol,src_ip,dst_port,count\n2026-11-22 10:00:00,udp,203.0.113.9,631,3\n2026-11-22 10:00:00,udp,203.0.113.9,23,3\n"
	for round, want := range []string{"taken: 2 rows, 1 new, 0 known, 1 other, 0 aside", "taken: 2 rows, 0 new, 1 known, 1 other, 0 aside"} {
		if got := counts(w.take(t, "2026-11-22-event4_honeypot_ddos_amp-x.csv", text)); got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
	}
	if n := len(w.observations(t)) + len(w.exposures(t)); n != 0 {
		t.Errorf("a visit made %d observations and cases", n)
	}
}

func TestParkedUntilKnown(t *testing.T) {
	w := newWorld(t)
	text := "timestamp,ip,subject\n2026-11-22 10:00:00,198.51.100.1,x\n"
	for range 2 {
		if in := w.take(t, "2026-11-22-scan_ssl-x.csv", text); in.Outcome != exposure.Parked || in.Type != "scan_ssl" {
			t.Errorf("an unknown type: %+v", in)
		}
	}
	files := w.parked(t)
	if len(files) != 1 || !files[0].Kept || files[0].Bytes != int64(len(text)) || files[0].Reason != "the type scan_ssl is not known yet" {
		t.Fatalf("parked: %+v", files)
	}
	if kept, err := os.ReadFile(filepath.Join(w.dir, "parked", files[0].Digest)); err != nil || string(kept) != text {
		t.Errorf("the parked file has %q, %v", kept, err)
	}
	if all, err := w.service.Again(t.Context(), files, shadowserver.Parse); err != nil || len(all) != 0 {
		t.Errorf("Again, not known = %v, %v", all, err)
	}
	// A newer ippwatch knows it.
	all, err := w.service.Again(t.Context(), files, shadowserver.ParseAs("scan_ipp"))
	if err != nil || len(all) != 1 || all[0].New != 1 {
		t.Errorf("Again, known = %+v, %v", all, err)
	}
	left, err := os.ReadDir(filepath.Join(w.dir, "parked"))
	if err != nil || len(left) != 0 || len(w.parked(t)) != 0 {
		t.Errorf("left in the yard: %v, %v", left, err)
	}
}

func (w *world) parked(t testing.TB) []exposure.ParkedFile {
	t.Helper()
	files, err := w.store.ParkedFiles(t.Context(), operator)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSpecialOfAnotherCampaignIsParked(t *testing.T) {
	w := newWorld(t)
	const other, ours = "2026-11-22 10:00:00,198.51.100.1,8443,tcp,cyclops-blink\n", "2026-11-22 10:00:00,198.51.100.2,631,udp,cups\n"
	head := "timestamp,ip,port,protocol,tag\n"
	if in := w.take(t, "2026-11-22-special-a.csv", head+other); in.Outcome != exposure.Parked || in.Other != 1 {
		t.Errorf("of another campaign: %s", counts(in))
	}
	if in := w.take(t, "2026-11-22-special-b.csv", head+other+ours); in.Outcome != exposure.Taken || in.New != 1 || in.Other != 1 {
		t.Errorf("of both: %s", counts(in))
	}
	if in := w.take(t, "2026-11-22-special-c.csv", head+ours); in.Outcome != exposure.Taken || in.Known != 1 {
		t.Errorf("of ours: %s", counts(in))
	}
	files := w.parked(t)
	if len(files) != 2 {
		t.Fatalf("parked: %+v", files)
	}
	if _, err := w.service.Again(t.Context(), files, shadowserver.Parse); err != nil || len(w.parked(t)) != 2 {
		t.Errorf("after Again %d wait, %v", len(w.parked(t)), err)
	}
}

// TestAFileThatBreaksOff keeps what came before, and says so.
func TestAFileThatBreaksOff(t *testing.T) {
	w := newWorld(t)
	broken := io.MultiReader(strings.NewReader(report10()), &failing{errors.New("connection reset")})
	all, err := w.service.Take(t.Context(), one("2026-11-22-scan_ipp-x.csv", broken), shadowserver.Parse)
	if err != nil || len(all) != 1 || all[0].Outcome != exposure.Failed || all[0].Error != "connection reset" {
		t.Errorf("Take = %+v, %v", all, err)
	}
	if got := counts(w.take(t, "2026-11-22-scan_ipp-x.csv", report10())); !strings.HasPrefix(got, "taken: 10 rows") {
		t.Errorf("whole: %s", got)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// TestStop ends in the middle, and goes on.
func TestStop(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopping := &hook{r: strings.NewReader(reportOf(8_000, day)), at: 1 << 19, f: cancel}
	_, err := w.service.Take(ctx, one("2026-11-22-scan_ipp-x.csv", stopping), shadowserver.Parse)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Take = %v, want a stop", err)
	}
	if files, err := w.store.Intakes(t.Context(), operator, 10); err != nil || len(files) != 0 {
		t.Errorf("a stopped file is noted as done: %+v, %v", files, err)
	}
	if got := w.take(t, "2026-11-22-scan_ipp-x.csv", reportOf(8_000, day)); got.New+got.Known != 8_000 {
		t.Errorf("again: %s", counts(got))
	}
	if n := len(w.observations(t)); n != 8_000 {
		t.Errorf("%d observations, want 8000", n)
	}
}

// A hook calls f when so many bytes were read.
type hook struct {
	r  io.Reader
	at int
	f  func()
}

func (h *hook) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.at -= n; h.at <= 0 && h.f != nil {
		h.f()
		h.f = nil
	}
	return n, err
}

func TestDocumentsThatDoNotOpen(t *testing.T) {
	w := newWorld(t)
	docs := func(yield func(feed.Document, error) bool) {
		_ = yield(feed.Document{Name: "gone"}, os.ErrNotExist) &&
			yield(feed.Document{Name: "utf16.csv", Reader: strings.NewReader("\xff\xfea")}, nil) &&
			yield(feed.Document{Name: "2026-11-22-scan_ipp-x.csv", Reader: strings.NewReader(report10())}, nil)
	}
	all, err := w.service.Take(t.Context(), docs, shadowserver.Parse)
	if err != nil || len(all) != 3 || all[0].Outcome != exposure.Failed || all[1].Outcome != exposure.Failed || all[2].New != 10 {
		t.Errorf("Take = %+v, %v", all, err)
	}
}
