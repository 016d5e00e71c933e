package feed

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
)

var received = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

// rowsOf reads a whole document.
func rowsOf(t testing.TB, parse Parser, text string) []Row {
	t.Helper()
	table, err := parse("f", NewBuffer(strings.NewReader(text)), received)
	if err != nil || table.Unknown != "" {
		t.Fatalf("parse: %v, %q", err, table.Unknown)
	}
	var rows []Row
	for r, err := range table.Rows {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

var equate = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}

func TestZGrab2(t *testing.T) {
	text, err := os.ReadFile("testdata/zgrab2.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, ZGrab2, string(text))
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	want := []Row{
		{Line: 1, Observation: &exposure.Observation{
			V: 1, Observed: at, Received: received, Run: "2026-11-22", Source: exposure.ZGrab2, Addr: netip.MustParseAddr("198.51.100.20"), Port: 631,
			Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			HTTP: &exposure.HTTP{Status: 200, Server: "CUPS/2.3 IPP/2.1"},
			IPP:  &exposure.IPP{Versions: []string{"1.1", "2.0"}},
			CUPS: &exposure.CUPS{Server: "CUPS/2.3", Reported: "2.3.3", Queues: true},
			Printers: []exposure.Printer{
				{Attributes: map[string][]string{"printer-name": {"one"}, "printer-state": {"3"}, "cups-version": {"2.3.3"}}},
				{Attributes: map[string][]string{"printer-name": {"two"}, "printer-is-accepting-jobs": {"true"}}},
			},
			Feed: &exposure.FeedRow{Type: "ipp", Columns: map[string]string{"domain": "print.example.org"}},
		}},
		{Line: 2, Observation: &exposure.Observation{
			V: 1, Observed: at.Add(time.Second), Received: received, Run: "2026-11-22", Source: exposure.ZGrab2, Addr: netip.MustParseAddr("2001:db8::5"), Port: 8631,
			Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			HTTP: &exposure.HTTP{Server: "IPP/2.0"}, TLS: &exposure.TLS{Offered: true, Version: "TLSv1.2"}, Feed: &exposure.FeedRow{Type: "ipp"},
		}},
		{Line: 3}, // a refusal
		{Line: 4}, // another module
		{Line: 6, Aside: `ip "198.51.100.300" is no address of a host`},
		{Line: 7, Aside: "no JSON of zgrab2: unexpected end of JSON input"},
		{Line: 8, Aside: "timestamp 2031-01-01 00:00:00 is in the future"},
	}
	if diff := cmp.Diff(want, rows, equate, cmpopts.IgnoreFields(exposure.Observation{}, "ID"), cmpopts.IgnoreFields(Row{}, "Raw")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	// The order of keys does not matter.
	var line map[string]json.RawMessage
	first, _, _ := strings.Cut(string(text), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil {
		t.Fatal(err)
	}
	shuffled, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(t, ZGrab2, string(shuffled)); string(shuffled) == first || got[0].Observation.ID != rows[0].Observation.ID {
		t.Errorf("with its keys in another order the line has the id %s, want %s", got[0].Observation.ID, rows[0].Observation.ID)
	}
}

func TestNmap(t *testing.T) {
	text, err := os.ReadFile("testdata/nmap.xml")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1795341600, 0).UTC()
	observation := func(addr string, port uint16, v exposure.Verdict, change func(*exposure.Observation)) *exposure.Observation {
		o := &exposure.Observation{
			V: 1, Observed: at, Received: at.Add(time.Hour), Run: at.Format(time.DateOnly), Source: exposure.Nmap, Addr: netip.MustParseAddr(addr), Port: port,
			Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: v, Feed: &exposure.FeedRow{Type: "nmaprun"},
		}
		change(o)
		return o
	}
	want := []Row{
		{}, // ssh
		{Observation: observation("198.51.100.20", 631, exposure.Answered, func(o *exposure.Observation) {
			o.Where.Hostname = "print.example.org"
			o.CUPS = &exposure.CUPS{Server: "CUPS/2.3", Reported: "2.3", Queues: true}
			o.HTTP = &exposure.HTTP{Server: "CUPS/2.3 IPP/2.1"}
			o.Printers = []exposure.Printer{
				{Attributes: map[string][]string{
					"printer-name": {"Reception"}, "printer-dns-sd-name": {"Reception @ print"}, "printer-location": {"Room 1"},
					"printer-make-and-model": {"Local Raw Printer"}, "printer-state": {"3"}, "queued-job-count": {"2"},
				}},
				{Attributes: map[string][]string{"printer-name": {"PDF"}, "printer-make-and-model": {"Generic CUPS-PDF Printer"}, "printer-state": {"5"}, "queued-job-count": {"0"}}},
			}
			o.Jobs = &exposure.Jobs{Listed: 2, Attributes: []string{"job-id", "job-name", "job-originating-user-name", "job-state", "job-k-octets"}}
		})},
		{Observation: observation("2001:db8::5", 631, exposure.Identified, func(o *exposure.Observation) {
			o.CUPS = &exposure.CUPS{Server: "CUPS/2.2", Reported: "2.2"}
		})},
		{}, // a guess from the number of the port
		{}, // closed
		{Aside: "the host has no address"},
	}
	table, err := Nmap("f", NewBuffer(strings.NewReader(string(text))), at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for r, err := range table.Rows {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if diff := cmp.Diff(want, rows, equate, cmpopts.IgnoreFields(exposure.Observation{}, "ID"), cmpopts.IgnoreFields(Row{}, "Raw", "Line")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if out, err := json.Marshal(rows); err != nil || strings.Contains(string(out), "Jane Doe") {
		t.Errorf("an owner of a job is kept: %s", out)
	}
}

// TestNmapReadsNothingOutside holds that entities are not expanded.
func TestNmapReadsNothingOutside(t *testing.T) {
	for name, text := range map[string]string{
		"an external entity": `<!DOCTYPE nmaprun [<!ENTITY x SYSTEM "file:///etc/passwd">]><nmaprun><host endtime="1"><address addr="&x;" addrtype="ipv4"/></host></nmaprun>`,
		"a laugh":            `<!DOCTYPE nmaprun [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><nmaprun><host endtime="&b;"></host></nmaprun>`,
		"half a file":        `<nmaprun><host endtime="1795341600"><address addr="198.51.100.1"`,
		"too much of a host": `<nmaprun><host endtime="1795341600">` + strings.Repeat("<x>y</x>", maxHost/4),
	} {
		table, err := Nmap("f", NewBuffer(strings.NewReader(text)), received)
		if err != nil {
			t.Fatal(err)
		}
		var broke error
		for row, err := range table.Rows {
			if broke = err; err == nil {
				t.Errorf("%s: a row: %+v", name, row)
			}
		}
		if broke == nil {
			t.Errorf("%s was read", name)
		}
	}
	if table, err := Nmap("f", NewBuffer(strings.NewReader("<html>")), received); err != nil || table.Unknown == "" {
		t.Errorf("a page is taken for nmap's: %+v, %v", table, err)
	}
}

func TestCSVWithAMapping(t *testing.T) {
	m, err := ParseMapping([]string{"ip=Address", "time=Seen at", "printer-location=Room", "protocol=proto"})
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, CSV(m, time.Time{}), "Address;Seen at;Proto;Port;Country;Server;User_Agent;Room;Note\n"+
		"198.51.100.20;2026-11-22T10:00:00+01:00;;;uk;CUPS/2.4 IPP/2.1;;Room 7;hello\n"+
		"198.51.100.21;2026-11-22;UDP;1631;;;CUPS/2.2.10 (Linux) IPP/2.0;;\n"+
		"198.51.100.22;2026-11-22;sctp;;;;;;\n")
	want := []Row{
		{Line: 2, Observation: &exposure.Observation{
			V: 1, Observed: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Received: received, Run: "2026-11-22", Source: exposure.CSV,
			Addr: netip.MustParseAddr("198.51.100.20"), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			HTTP: &exposure.HTTP{Server: "CUPS/2.4 IPP/2.1"}, CUPS: &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4"},
			Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-location": {"Room 7"}}}},
			Where:    exposure.Where{Country: "GB"}, Feed: &exposure.FeedRow{Type: "hosts", Columns: map[string]string{"note": "hello"}},
		}},
		{Line: 3, Observation: &exposure.Observation{
			V: 1, Observed: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Received: received, Run: "2026-11-22", Source: exposure.CSV,
			Addr: netip.MustParseAddr("198.51.100.21"), Port: 1631, Transport: exposure.UDP, Probe: exposure.ProbeBrowse, Verdict: exposure.CalledBack,
			Callback: &exposure.Callback{UserAgent: "CUPS/2.2.10 (Linux) IPP/2.0"}, Feed: &exposure.FeedRow{Type: "hosts"},
		}},
		{Line: 4, Aside: `protocol "sctp" is neither tcp nor udp`},
	}
	if diff := cmp.Diff(want, rows, equate, cmpopts.IgnoreFields(exposure.Observation{}, "ID"), cmpopts.IgnoreFields(Row{}, "Raw")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestCSVWithoutTimesIsOfADay(t *testing.T) {
	const text = "ip\n198.51.100.20\n"
	first := rowsOf(t, CSV(nil, received.AddDate(0, 0, -1)), text)[0].Observation
	again := rowsOf(t, CSV(nil, received.AddDate(0, 0, -1)), text)[0].Observation
	next := rowsOf(t, CSV(nil, received), text)[0].Observation
	if first.ID != again.ID || first.ID == next.ID || !first.Observed.Equal(received.AddDate(0, 0, -1)) {
		t.Errorf("ids %s, %s and the day after %s, at %s", first.ID, again.ID, next.ID, first.Observed)
	}
	for in, want := range map[string]string{"ip\n1.2.3.4\n": "no column holds the time", "host_name,when\n": "no column holds an address", "": "it is empty"} {
		if _, err := CSV(nil, time.Time{})("f", NewBuffer(strings.NewReader(in)), received); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CSV of %q: %v, want %s", in, err, want)
		}
	}
	for _, bad := range []string{"ip", "=x", "ip=", "room=Room"} {
		if _, err := ParseMapping([]string{bad}); err == nil {
			t.Errorf("ParseMapping(%q) = nil", bad)
		}
	}
}

// FuzzZGrab2 and FuzzNmap hold that whatever is in a file, each row is one of
// the four things, bounded, and at a place in the file.
func FuzzZGrab2(f *testing.F) {
	text, err := os.ReadFile("testdata/zgrab2.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) { holds(t, ZGrab2, text) })
}

func FuzzNmap(f *testing.F) {
	text, err := os.ReadFile("testdata/nmap.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) { holds(t, Nmap, text) })
}

func FuzzCSVRows(f *testing.F) {
	f.Add("ip,time\n198.51.100.20,2026-11-22\n")
	f.Add("ip;printer-location\n198.51.100.20;a\n")
	f.Fuzz(func(t *testing.T, text string) { holds(t, CSV(nil, received), text) })
}

func holds(t *testing.T, parse Parser, text string) {
	table, err := parse("f", NewBuffer(strings.NewReader(text)), received)
	if err != nil || table.Unknown != "" {
		return
	}
	for row, err := range table.Rows {
		if err != nil {
			return
		}
		if row.Observation != nil && row.Aside != "" || len(row.Raw) > mostRaw || len(row.Aside) > 1000 || row.Line < 1 {
			t.Fatalf("row %+v", row)
		}
		o := row.Observation
		if o == nil {
			continue
		}
		if !o.Addr.IsValid() || o.Port == 0 || o.ID == "" || o.Observed.After(received.Add(future)) || !o.Source.Feed() || o.Run == "" {
			t.Fatalf("observation %+v", o)
		}
		if c := o.Where.Country; c != "" && len(c) != 2 {
			t.Fatalf("country %q", c)
		}
	}
}
