package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/report"
	"ippwatch/rule"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var day = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// judged returns a row for an observation, with its findings.
func judged(o exposure.Observation) report.Row {
	o.Findings = rule.Judge(&o)
	return report.Row{Observation: o}
}

// answered is a conversation with one host on the day.
func answered(addr string, edit func(o *exposure.Observation)) report.Row {
	o := exposure.Observation{
		V: exposure.Version, ID: exposure.ID("0123456789abcdef" + addr), Observed: day.Add(9*time.Hour + 30*time.Minute), Run: "20261123T093000Z-7f3a",
		Source: exposure.Scan, Vantage: "outside", Addr: netip.MustParseAddr(addr), Port: 631,
		Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		IPP:   &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}},
		Where: exposure.Where{Country: "DE", Region: "Hesse", City: "Frankfurt am Main", ASN: 64500, ASName: "EXAMPLE-NET"},
	}
	if edit != nil {
		edit(&o)
	}
	return judged(o)
}

// calledBack is a host that called back on the day.
func calledBack(addr string, edit func(o *exposure.Observation)) report.Row {
	return answered(addr, func(o *exposure.Observation) {
		o.Transport, o.Probe, o.Verdict, o.IPP = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack, nil
		o.Callback = &exposure.Callback{
			From: netip.MustParseAddr(addr), UserAgent: "CUPS/2.4.2 (Linux 6.1.0-31-amd64; x86_64) IPP/2.0",
			Posts: 3, Connections: 3, After: 3 * time.Millisecond, Asked: 83, BytesIn: 1219, BytesOut: 135,
			RatioApp: 14.69, RatioIP: 21.04, Queue: "ippwatch_notice_192_0_2_1",
		}
		if edit != nil {
			edit(o)
		}
	})
}

func attributes(pairs ...string) exposure.Printer {
	p := exposure.Printer{Attributes: map[string][]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		p.Attributes[pairs[i]] = append(p.Attributes[pairs[i]], pairs[i+1])
	}
	return p
}

// hostile is what a stranger may say in any attribute.
var hostile = []string{
	"a\x00b", "line one\nline two\r\nthree", `quotes " and "" more`, "comma, semicolon; tab\t", "\u202egnp.exe", "=HYPERLINK(\"http://192.0.2.1\")",
	"+1", "-1+1", "@SUM(A1)", "\t=1", "\xff\xfe not UTF-8", "</script><img src=x onerror=alert(1)>", strings.Repeat("long ", 2000), "20191203", "1.2.3", "0", "unknown", "'",
}

// rows is a small day: a CUPS server, a printer over IPv6, hosts that call
// back, one that refuses, one that is silent, a simulated one, and hostile ones.
func rows() []report.Row {
	cups := answered("198.51.100.7", func(o *exposure.Observation) {
		o.HTTP = &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1"}
		o.CUPS = &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4.2", Queues: true}
		o.TLS = &exposure.TLS{Offered: true, Certificate: &exposure.Certificate{
			SHA256: "aa11", Subject: "CN=print01", NotBefore: day.AddDate(-9, 0, 0), NotAfter: day.AddDate(-1, 0, 0),
			Key: "RSA 2048", KeyBits: 2048, Signature: "SHA256-RSA",
		}}
		o.Printers = []exposure.Printer{
			attributes("printer-name", "office", "printer-info", "Office printer of Jane Doe", "printer-location", "Room 12",
				"printer-make-and-model", "HP LaserJet 4250", "device-uri", "socket://10.1.2.3:9100",
				"printer-uri-supported", "ipp://198.51.100.7:631/printers/office",
				"uri-authentication-supported", "requesting-user-name", "operations-supported", "2", "operations-supported", "4",
				"printer-is-accepting-jobs", "true", "printer-state", "3", "queued-job-count", "0"),
			attributes("printer-name", "lab", "printer-location", "Room 14", "printer-uri-supported", "ipp://198.51.100.7:631/printers/lab"),
		}
		o.Where.Hostname = "print01.example.org"
	})
	cups.FirstSeen, cups.LastSeen = day.AddDate(0, -2, 0), day.Add(9*time.Hour)
	printer := answered("2001:db8::7", func(o *exposure.Observation) {
		o.Printers = []exposure.Printer{attributes(
			"printer-name", "EPSON42", "printer-make-and-model", "EPSON WF-3720 Series",
			"printer-device-id", "MFG:EPSON;CMD:ESCPL2;MDL:WF-3720 Series;CLS:PRINTER;", "printer-firmware-string-version", "20191203",
			"printer-uuid", "urn:uuid:cfe92100-67c4-11d4-a45f-f8d027000001", "printer-organization", "no-value", "printer-wifi-ssid", "Doe Home",
			"printer-more-info", "http://[fd00::7]/")}
		o.Where = exposure.Where{}
	})
	simulated := answered("198.51.100.20", func(o *exposure.Observation) { o.Simulated = true })
	refused := answered("198.51.100.30", func(o *exposure.Observation) {
		o.Verdict, o.IPP, o.HTTP = exposure.Restricted, nil, &exposure.HTTP{Status: 403}
	})
	silent := answered("198.51.100.40", func(o *exposure.Observation) { o.Verdict, o.IPP = exposure.NoAnswer, nil })
	rows := []report.Row{
		cups, printer, simulated, refused, silent,
		calledBack("198.51.100.7", nil),
		calledBack("203.0.113.5", func(o *exposure.Observation) {
			o.Callback.From, o.Where.ASN = netip.MustParseAddr("203.0.113.99"), 0
			o.Callback.UserAgent = "CUPS/2.2.10 (Linux"
		}),
		calledBack("203.0.113.6", func(o *exposure.Observation) { o.Callback, o.Source = nil, exposure.Shadowserver }),
	}
	for i, value := range hostile {
		rows = append(rows, answered(fmt.Sprintf("192.0.2.%d", i+1), func(o *exposure.Observation) {
			o.Printers = []exposure.Printer{attributes("printer-name", value, "printer-info", value, "printer-location", value, "printer-firmware-version", value, "printer-uuid", value)}
			o.HTTP = &exposure.HTTP{Status: 200, Server: value}
			o.CUPS = &exposure.CUPS{Server: value, Reported: value, Queues: i%2 == 0}
		}))
	}
	return rows
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

func csvOf(t *testing.T, typ report.Type, rows []report.Row, opt report.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := report.CSV(&b, typ, slices.Values(rows), opt)
	if err != nil {
		t.Fatalf("CSV(%s) = %v", typ, err)
	}
	if n == 0 {
		t.Fatalf("CSV(%s) wrote no row", typ)
	}
	return b.Bytes()
}

func TestCSVGolden(t *testing.T) {
	few := rows()[:8]
	for _, typ := range report.Types {
		golden(t, string(typ)+".csv", csvOf(t, typ, few, report.Options{}))
		golden(t, string(typ)+"-extended.csv", csvOf(t, typ, few, report.Options{Extended: true}))
	}
	golden(t, "hostile.csv", csvOf(t, report.ScanIPP, rows()[8:], report.Options{}))
	golden(t, "hostile-spreadsheet.csv", csvOf(t, report.ScanIPP, rows()[8:], report.Options{Spreadsheet: true}))
}

func TestNDJSONGolden(t *testing.T) {
	for _, typ := range report.Types {
		var b bytes.Buffer
		if _, err := report.NDJSON(&b, typ, slices.Values(rows()[:8]), report.Options{Extended: true}); err != nil {
			t.Fatal(err)
		}
		golden(t, string(typ)+".ndjson", b.Bytes())
		for line := range strings.Lines(b.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("NDJSON(%s): not JSON: %s", typ, line)
			}
		}
	}
}

// TestColumns compares with Shadowserver's own headers.
func TestColumns(t *testing.T) {
	for _, typ := range []report.Type{report.ScanIPP, report.Scan6IPP, report.Special} {
		want, err := os.ReadFile(filepath.Join("testdata", "shadowserver", string(typ)+".header.csv"))
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(string(csvOf(t, typ, rows(), report.Options{})), "\n")
		if strings.TrimSpace(string(want)) != header {
			t.Errorf("%s: header = %s\nwant %s", typ, header, want)
		}
		extended, plain := typ.Columns(true), typ.Columns(false)
		if !slices.Equal(extended[:len(plain)], plain) {
			t.Errorf("%s: the extended columns are not appended", typ)
		}
	}
	special, own := report.Special.Columns(false), report.CUPSBrowsed.Columns(false)
	if !slices.Equal(own[:len(special)], special) {
		t.Error("scan_cups_browsed does not begin with the columns of special")
	}
	for _, typ := range report.Types {
		columns := typ.Columns(true)
		slices.Sort(columns)
		if len(slices.Compact(columns)) != len(typ.Columns(true)) {
			t.Errorf("%s: a column stands there twice", typ)
		}
	}
}

func TestHolds(t *testing.T) {
	tests := []struct {
		name string
		row  report.Row
		want []report.Type
	}{
		{"an answer over IPv4", answered("198.51.100.1", nil), []report.Type{report.ScanIPP}},
		{"an answer over IPv4 in IPv6 clothes", answered("::ffff:198.51.100.1", nil), []report.Type{report.ScanIPP}},
		{"an answer over IPv6", answered("2001:db8::1", nil), []report.Type{report.Scan6IPP}},
		{"a call-back", calledBack("198.51.100.1", nil), []report.Type{report.Special, report.CUPSBrowsed}},
		{"a refusal", answered("198.51.100.1", func(o *exposure.Observation) { o.Verdict = exposure.Restricted }), nil},
		{"silence over UDP", calledBack("198.51.100.1", func(o *exposure.Observation) { o.Verdict = exposure.NoCallback }), nil},
	}
	for _, tt := range tests {
		var got []report.Type
		for _, typ := range report.Types {
			if typ.Holds(&tt.row.Observation) {
				got = append(got, typ)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: in %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFileName(t *testing.T) {
	tests := []struct {
		name      string
		typ       report.Type
		simulated bool
		format    report.Format
		want      string
	}{
		{"example-net", report.ScanIPP, false, report.FormatCSV, "2026-11-23-scan_ipp-example-net.csv"},
		{"unassigned", report.CUPSBrowsed, true, report.FormatNDJSON, "2026-11-23-scan_cups_browsed-unassigned-simulated.ndjson"},
		{"de", report.All, false, report.FormatHTML, "2026-11-23-all-de.html"},
		{"", report.ScanIPP, false, report.FormatCSV, ""},
		{"a/../b", report.ScanIPP, false, report.FormatCSV, ""},
		{"two--hyphens", report.ScanIPP, false, report.FormatCSV, ""},
		{"line\n", report.ScanIPP, false, report.FormatCSV, ""},
	}
	intelmq := regexp.MustCompile(`^(?:\d{4}-\d{2}-\d{2}-)?(\w+)(-\w+)*\.csv$`)
	shadowserver := regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})-([^-]+)-(.+)\.csv$`)
	for _, tt := range tests {
		got, err := report.FileName(day, tt.typ, tt.name, tt.simulated, tt.format)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("FileName(%s, %q) = %q, %v, want %q", tt.typ, tt.name, got, err, tt.want)
		}
		if tt.format == report.FormatCSV && got != "" && (!intelmq.MatchString(got) || !shadowserver.MatchString(got)) {
			t.Errorf("FileName = %q, which consumers do not read", got)
		}
	}
}

func TestNewest(t *testing.T) {
	at := func(addr string, hour int, tr exposure.Transport) report.Row {
		return answered(addr, func(o *exposure.Observation) {
			o.Observed, o.Transport = day.Add(time.Duration(hour)*time.Hour), tr
		})
	}
	got := report.Newest([]report.Row{
		at("198.51.100.9", 3, exposure.TCP), at("198.51.100.10", 1, exposure.TCP), at("198.51.100.9", 5, exposure.TCP),
		at("198.51.100.9", 4, exposure.TCP), at("198.51.100.9", 2, exposure.UDP), at("::ffff:198.51.100.10", 2, exposure.TCP),
	})
	var lines []string
	for _, r := range got {
		lines = append(lines, fmt.Sprintf("%s %s %d", r.Addr.Unmap(), r.Transport, r.Observed.Hour()))
	}
	want := []string{"198.51.100.9 tcp 5", "198.51.100.9 udp 2", "198.51.100.10 tcp 2"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("Newest: -want +got\n%s", diff)
	}
}

func TestSlice(t *testing.T) {
	all := rows()[:8]
	s := report.Slice(all, func(o *exposure.Observation) []string {
		switch {
		case o.Addr == netip.MustParseAddr("198.51.100.7"):
			return []string{"university", "provider", "csirt"}
		case o.Where.Country == "DE":
			return []string{"csirt"}
		}
		return nil
	})
	got := map[string]int{"": len(s.Unassigned)}
	for name, rows := range s.By {
		got[name] = len(rows)
	}
	if diff := cmp.Diff(map[string]int{"university": 2, "provider": 2, "csirt": 7, "": 1}, got); diff != "" {
		t.Errorf("Slice: -want +got\n%s", diff)
	}
	for _, r := range s.By["csirt"] {
		want := "csirt"
		if r.Addr == netip.MustParseAddr("198.51.100.7") {
			want = "university"
		}
		if r.First != want {
			t.Errorf("%s: told first: %q, want %q", r.Addr, r.First, want)
		}
	}
}

// TestNoFieldHoldsNUL: Python before 3.11 would not read the file.
func TestNoFieldHoldsNUL(t *testing.T) {
	for _, typ := range report.Types {
		records, err := csv.NewReader(bytes.NewReader(csvOf(t, typ, rows(), report.Options{Extended: true}))).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		for _, record := range records {
			for i, value := range record {
				if strings.Contains(value, "\x00") {
					t.Errorf("%s: %s holds NUL", typ, records[0][i])
				}
			}
		}
	}
}

func TestSpreadsheetHoldsNoFormula(t *testing.T) {
	records, err := csv.NewReader(bytes.NewReader(csvOf(t, report.ScanIPP, rows(), report.Options{Spreadsheet: true, Extended: true}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`^-?[0-9.]+$`)
	for _, record := range records {
		for i, value := range record {
			if value != "" && strings.ContainsAny(value[:1], "=+-@\t\r\n") && !number.MatchString(value) {
				t.Errorf("%s = %q is a formula", records[0][i], value)
			}
		}
	}
}

// FuzzCSV writes a value into every text that a stranger fills and reads it
// back with another reader.
func FuzzCSV(f *testing.F) {
	for _, value := range hostile {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		row := answered("198.51.100.7", func(o *exposure.Observation) {
			o.Printers = []exposure.Printer{attributes("printer-name", value, "printer-info", "behind it")}
		})
		for _, spreadsheet := range []bool{false, true} {
			out := csvOf(t, report.ScanIPP, []report.Row{row}, report.Options{Spreadsheet: spreadsheet})
			records, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
			if err != nil || len(records) != 2 {
				t.Fatalf("%q: %d records, %v", value, len(records), err)
			}
			name, info := slices.Index(records[0], "printer_name"), slices.Index(records[0], "printer_info")
			want := value
			switch want {
			case "no-value", "unknown", "unsupported":
				want = ""
			}
			want = strings.ReplaceAll(strings.ToValidUTF8(want, "\ufffd"), "\x00", "\ufffd")
			want = strings.ReplaceAll(want, "\r\n", "\n") // encoding/csv reads them alike
			got := records[1][name]
			if got != want && (!spreadsheet || got != "'"+want) {
				t.Errorf("wrote %q, read %q", value, got)
			}
			if records[1][info] != "behind it" {
				t.Errorf("%q moved the next field to %q", value, records[1][info])
			}
		}
	})
}

func TestAPageHasNoColumns(t *testing.T) {
	for _, typ := range []report.Type{report.All, "scan_lpd", ""} {
		if _, err := report.CSV(io.Discard, typ, slices.Values(rows()), report.Options{}); err == nil {
			t.Errorf("CSV(%q) = nil, want an error", typ)
		}
		if _, err := report.NDJSON(io.Discard, typ, slices.Values(rows()), report.Options{Extended: true}); err == nil {
			t.Errorf("NDJSON(%q) = nil, want an error", typ)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAFailingWriterIsToldOf(t *testing.T) {
	if _, err := report.CSV(failing{}, report.ScanIPP, slices.Values(rows()), report.Options{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("CSV = %v, want %v", err, io.ErrShortWrite)
	}
	if _, err := report.NDJSON(failing{}, report.ScanIPP, slices.Values(rows()), report.Options{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("NDJSON = %v, want %v", err, io.ErrShortWrite)
	}
	if err := report.HTML(failing{}, report.Page{Title: "x", Rows: rows()}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("HTML = %v, want %v", err, io.ErrShortWrite)
	}
}
