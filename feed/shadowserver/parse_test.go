package shadowserver

import (
	"encoding/csv"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
	"ippwatch/feed"
)

var received = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

// header returns the columns of a type as Shadowserver publishes them.
func header(t testing.TB, typ string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + typ + ".header.csv")
	if err != nil {
		t.Fatal(err)
	}
	names, err := csv.NewReader(strings.NewReader(string(text))).Read()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// table writes rows, each a set of columns, under the header.
func table(names []string, rows ...map[string]string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(names)
	for _, row := range rows {
		fields := make([]string, len(names))
		for i, name := range names {
			fields[i] = row[name]
		}
		_ = w.Write(fields)
	}
	w.Flush()
	return b.String()
}

func rowsOf(t testing.TB, name, text string) (typ string, rows []feed.Row) {
	t.Helper()
	tab, err := Parse(name, feed.NewBuffer(strings.NewReader(text)), received)
	if err != nil || tab.Unknown != "" {
		t.Fatalf("Parse(%s): %v %s", name, err, tab.Unknown)
	}
	for row, err := range tab.Rows {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return tab.Type, rows
}

var equate = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(exposure.Observation{}, "ID"), cmpopts.IgnoreFields(exposure.Visit{}, "ID"), cmpopts.IgnoreFields(feed.Row{}, "Raw"),
}

// printer is a row that fills every column of scan_ipp.
var printer = map[string]string{
	"timestamp": "2026-11-22 10:00:00", "severity": "high", "ip": "198.51.100.20", "protocol": "tcp", "port": "631", "hostname": "p.example.net",
	"tag": "ipp", "asn": "64500", "geo": "UK", "region": "ENGLAND", "city": "LONDON", "naics": "517311", "hostname_source": "ptr",
	"sector": "Communications, Service Provider, and Hosting Service", "device_vendor": "HP", "device_type": "printer", "device_model": "LaserJet",
	"device_version": "2.1", "device_sector": "enterprise", "ipp_version": "IPP/2.1", "cups_version": "CUPS/2.0",
	"printer_uris": "ipp://192.168.1.5/ipp/print", "printer_name": "HP7", "printer_info": `Jane's "HP"`, "printer_more_info": "http://192.168.1.5/",
	"printer_make_and_model": "HP LaserJet", "printer_firmware_name": "fw", "printer_firmware_string_version": "2.1", "printer_firmware_version": "20191203",
	"printer_organization": "Example Ltd", "printer_organization_unit": "Sales", "printer_uuid": "urn:uuid:4509a320-00a0-008f-00b6-002507510eca", "printer_wifi_ssid": "home",
}

func wantPrinter() *exposure.Observation {
	return &exposure.Observation{
		V: 1, Observed: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Received: received, Run: "scan_ipp-2026-11-22", Source: exposure.Shadowserver,
		Addr: netip.MustParseAddr("198.51.100.20"), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		HTTP: &exposure.HTTP{Server: "CUPS/2.0 IPP/2.1"}, CUPS: &exposure.CUPS{Server: "CUPS/2.0", Reported: "2.0"},
		Printers: []exposure.Printer{{Attributes: map[string][]string{
			"printer-uri-supported": {"ipp://192.168.1.5/ipp/print"}, "printer-name": {"HP7"}, "printer-info": {`Jane's "HP"`},
			"printer-more-info": {"http://192.168.1.5/"}, "printer-make-and-model": {"HP LaserJet"}, "printer-firmware-name": {"fw"},
			"printer-firmware-string-version": {"2.1"}, "printer-firmware-version": {"20191203"}, "printer-organization": {"Example Ltd"},
			"printer-organizational-unit": {"Sales"}, "printer-uuid": {"urn:uuid:4509a320-00a0-008f-00b6-002507510eca"}, "printer-wifi-ssid": {"home"},
		}}},
		Where: exposure.Where{Country: "GB", Region: "ENGLAND", City: "LONDON", ASN: 64500, Hostname: "p.example.net"},
		Feed: &exposure.FeedRow{Type: "scan_ipp", Columns: map[string]string{
			"severity": "high", "tag": "ipp", "naics": "517311", "hostname_source": "ptr", "sector": "Communications, Service Provider, and Hosting Service",
			"device_vendor": "HP", "device_type": "printer", "device_model": "LaserJet", "device_version": "2.1", "device_sector": "enterprise",
		}},
	}
}

func TestScanIPPWhole(t *testing.T) {
	typ, rows := rowsOf(t, "2026-11-22-scan_ipp-example-asn.csv", table(header(t, "scan_ipp"), printer))
	if diff := cmp.Diff([]feed.Row{{Line: 2, Observation: wantPrinter()}}, rows, equate); diff != "" || typ != "scan_ipp" {
		t.Errorf("%s (-want +got):\n%s", typ, diff)
	}
}

// layouts are the columns of three ages (facts/shadowserver.md 1.1).
func layouts(t testing.TB) map[string][]string {
	now := header(t, "scan_ipp")
	if len(now) != 33 {
		t.Fatalf("the current layout has %d columns", len(now))
	}
	late := []string{"severity", "hostname_source"}
	device := []string{"device_vendor", "device_type", "device_model", "device_version", "device_sector"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(now), func(n string) bool { return slices.Contains(names, n) })
	}
	old := without(slices.Concat(late, device, []string{"sector"})...)
	old = slices.Insert(old, slices.Index(old, "naics")+1, "sic")
	return map[string][]string{"2020": old, "2022": slices.Concat(old, device), "now": now}
}

func TestLayouts(t *testing.T) {
	for age, names := range layouts(t) {
		want := wantPrinter()
		for column := range want.Feed.Columns {
			if !slices.Contains(names, column) {
				delete(want.Feed.Columns, column)
			}
		}
		row := printer
		if age != "now" {
			row = map[string]string{"sic": "737415"}
			for k, v := range printer {
				row[k] = v
			}
			want.Feed.Columns["sic"] = "737415"
		}
		_, rows := rowsOf(t, "2026-11-22-scan_ipp-example-asn.csv", table(names, row))
		if diff := cmp.Diff([]feed.Row{{Line: 2, Observation: want}}, rows, equate); diff != "" {
			t.Errorf("layout of %s (-want +got):\n%s", age, diff)
		}
	}
}

func TestShuffledColumnsAreTheSameRow(t *testing.T) {
	names := header(t, "scan_ipp")
	_, rows := rowsOf(t, "2026-11-22-scan_ipp-example-asn.csv", table(names, printer))
	want := rows[0].Observation.ID
	for range 20 {
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, file := range []string{"renamed.csv", "2026-11-22-scan_ipp-other.csv", "2026-11-22-scan6_ipp-x.csv", "stdin"} {
			_, rows := rowsOf(t, file, table(slices.Concat(names, []string{"empty"}), printer))
			if rows[0].Observation.ID != want {
				t.Fatalf("%s with %v has another id", file, names)
			}
		}
	}
}

func TestDialects(t *testing.T) {
	names := []string{"timestamp", "ip", "port", "geo", "asn", "tag", "printer_uris", "ipp_version", "printer_firmware_version", "new_column"}
	head := strings.Join(names, ",")
	want := func(change func(*exposure.Observation)) feed.Row {
		o := &exposure.Observation{
			V: 1, Observed: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Received: received, Run: "scan_ipp-2026-11-22", Source: exposure.Shadowserver,
			Addr: netip.MustParseAddr("198.51.100.20"), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			Feed: &exposure.FeedRow{Type: "scan_ipp"},
		}
		change(o)
		return feed.Row{Line: 2, Observation: o}
	}
	aside := func(reason string) feed.Row { return feed.Row{Line: 2, Aside: reason} }
	plain := want(func(*exposure.Observation) {})
	for _, tt := range []struct {
		name, text string
		want       feed.Row
	}{
		{"bare", head + "\n2026-11-22 10:00:00,198.51.100.20,631,,0,,,,,\n", plain},
		{"quoted", `"` + strings.Join(names, `","`) + `"` + "\n" + `"2026-11-22 10:00:00","198.51.100.20","631","","0","","","","",""` + "\n", plain},
		{"an empty port", head + "\n2026-11-22 10:00:00,198.51.100.20,,,,,,,,\n", plain},
		{"BOM and CRLF", "\ufeff" + head + "\r\n2026-11-22 10:00:00,198.51.100.20,631,,,,,,,\r\n", plain},
		{"NUL bytes", head + "\n2026-11-22 10:00:00,198.51.\x00100.20,631,\x00,,,,,,\n", plain},
		{"a header in capitals", strings.ToUpper(head) + "\n2026-11-22 10:00:00,198.51.100.20,631,,,,,,,\n", plain},
		{"a country that is none", head + "\n2026-11-22 10:00:00,198.51.100.20,631,EUROPE,,,,,,\n", plain},
		{"an IPv4 address in IPv6", head + "\n2026-11-22 10:00:00,::ffff:198.51.100.20,631,,,,,,,\n", plain},
		{"tags and a column that is new", head + "\n2026-11-22 10:00:00,198.51.100.20,631,,,\"ipp;a,b\",,,,x\n", want(func(o *exposure.Observation) {
			o.Feed.Columns = map[string]string{"tag": "ipp;a,b", "new_column": "x"}
		})},
		{"a bare firmware", head + "\n2026-11-22 10:00:00,198.51.100.20,631,,,,,,20191203,\n", want(func(o *exposure.Observation) {
			o.Printers = []exposure.Printer{{Attributes: map[string][]string{"printer-firmware-version": {"20191203"}}}}
		})},
		{"two URIs", head + "\n2026-11-22 10:00:00,198.51.100.20,631,,,,\"ipp://a/x;y,http://b/\",,,\n", want(func(o *exposure.Observation) {
			o.Printers = []exposure.Printer{{Attributes: map[string][]string{"printer-uri-supported": {"ipp://a/x;y", "http://b/"}}}}
		})},
		{"too few columns", head + "\n2026-11-22 10:00:00,198.51.100.20\n", aside("it has 2 columns, the header 10")},
		{"too many columns", head + "\n2026-11-22 10:00:00,198.51.100.20,631,,,,,,,,\n", aside("it has 11 columns, the header 10")},
		{"no address", head + "\n2026-11-22 10:00:00,,631,,,,,,,\n", aside("no address in column ip")},
		{"an address of nobody", head + "\n2026-11-22 10:00:00,0.0.0.0,631,,,,,,,\n", aside(`ip "0.0.0.0" is no address of a host`)},
		{"a network", head + "\n2026-11-22 10:00:00,198.51.100.0/24,631,,,,,,,\n", aside(`ip "198.51.100.0/24" is no address of a host`)},
		{"no time", head + "\n,198.51.100.20,631,,,,,,,\n", aside("no time in column timestamp")},
		{"a time that is none", head + "\nyesterday\x1b[2J,198.51.100.20,631,,,,,,,\n", aside(`timestamp "yesterday\x1b[2J" is no time`)},
		{"the future", head + "\n2027-01-01 00:00:00,198.51.100.20,631,,,,,,,\n", aside("timestamp 2027-01-01 00:00:00 is in the future")},
		{"a port that is none", head + "\n2026-11-22 10:00:00,198.51.100.20,66000,,,,,,,\n", aside(`port "66000" is no port`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, rows := rowsOf(t, "2026-11-22-scan_ipp-x.csv", tt.text)
			if diff := cmp.Diff([]feed.Row{tt.want}, rows, equate); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpecial(t *testing.T) {
	const agent = "CUPS/2.3.3op2 (Linux 5.10.0-23-amd64; x86_64) IPP/2.0"
	names := header(t, "special")
	for _, tt := range []struct {
		name string
		row  map[string]string
		want string // verdict, transport, port, agent; "" for none; a reason after "!"
	}{
		{"by its tag, all else empty", map[string]string{"tag": "cve-2024-47176"}, "callback udp 631 "},
		{"by its port", map[string]string{"port": "631", "protocol": "udp", "tag": "x"}, "callback udp 631 "},
		{"by its detail", map[string]string{"detail": agent, "port": "1631", "protocol": "udp"}, "callback udp 1631 " + agent},
		{"over TCP, by what it said", map[string]string{"detail": agent, "protocol": "tcp", "port": "631"}, "answered tcp 631 "},
		{"over TCP, without what it said", map[string]string{"tag": "cups,vulnerable", "protocol": "tcp"}, "identified tcp 631 "},
		{"another campaign", map[string]string{"tag": "cyclops-blink", "port": "8443", "status": "likely compromised"}, ""},
		{"another campaign without a port", map[string]string{"tag": "cyclops-blink"}, ""},
		{"a status that says the contrary", map[string]string{"tag": "cups", "status": "not vulnerable"}, `!status "not vulnerable": it is not known what that says of the host`},
	} {
		row := map[string]string{"timestamp": "2024-09-27 00:00:00", "ip": "198.51.100.20", "status": "vulnerable"}
		for k, v := range tt.row {
			row[k] = v
		}
		_, rows := rowsOf(t, "2024-09-27-special-example.csv", table(names, row))
		got := ""
		if o := rows[0].Observation; o != nil {
			got = strings.Join([]string{string(o.Verdict), string(o.Transport), o.Target().String()[len("198.51.100.20:"):], ""}, " ")
			if o.Callback != nil {
				got += o.Callback.UserAgent
			}
		} else if rows[0].Aside != "" {
			got = "!" + rows[0].Aside
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDeviceID(t *testing.T) {
	for _, typ := range []string{"device_id", "device_id6"} {
		for _, tt := range []struct {
			name string
			row  map[string]string
			want exposure.Verdict // "" for none
		}{
			{"a printer", map[string]string{"device_type": "printer", "port": "443", "tag": "ssl,vpn"}, exposure.Identified},
			{"a printer by IPP", map[string]string{"device_type": "Printer", "port": "631", "tag": "ipp"}, exposure.Answered},
			{"a router", map[string]string{"device_type": "router", "port": "443", "tag": "ssl"}, ""},
		} {
			row := map[string]string{"timestamp": "2026-11-22 10:00:00", "ip": "2001:db8::1", "protocol": "tcp", "device_vendor": "HP"}
			for k, v := range tt.row {
				row[k] = v
			}
			_, rows := rowsOf(t, "2026-11-22-"+typ+"-x.csv", table(header(t, typ), row))
			got := exposure.Verdict("")
			if o := rows[0].Observation; o != nil {
				if got = o.Verdict; o.Feed.Column("device_vendor") != "HP" || len(o.Printers) != 0 {
					t.Errorf("%s: %+v", tt.name, o)
				}
			}
			if got != tt.want {
				t.Errorf("%s, %s: %q, want %q", typ, tt.name, got, tt.want)
			}
		}
	}
}

func TestHoneypotEventsAreVisits(t *testing.T) {
	base := map[string]string{
		"timestamp": "2026-11-22 10:00:00", "protocol": "udp", "src_ip": "203.0.113.9", "src_port": "5353", "src_asn": "64500", "src_geo": "UK",
		"dst_ip": "", "dst_port": "631", "severity": "high", "count": "7",
	}
	with := func(more map[string]string) map[string]string {
		row := map[string]string{}
		for k, v := range base {
			row[k] = v
		}
		for k, v := range more {
			row[k] = v
		}
		return row
	}
	want := func(typ string, kind exposure.VisitKind, change func(*exposure.Visit)) feed.Row {
		v := &exposure.Visit{
			V: 1, Observed: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Received: received, Source: exposure.Shadowserver, Kind: kind,
			Addr: netip.MustParseAddr("203.0.113.9"), Port: 5353, Transport: exposure.UDP, Spoofable: true, Door: 631,
			Where: exposure.Where{Country: "GB", ASN: 64500}, Feed: &exposure.FeedRow{Type: typ, Columns: map[string]string{"severity": "high"}},
		}
		change(v)
		return feed.Row{Line: 2, Visit: v}
	}
	for _, tt := range []struct {
		typ  string
		row  map[string]string
		want feed.Row
	}{
		{"event4_honeypot_darknet", with(nil), want("event4_honeypot_darknet", exposure.Knock, func(v *exposure.Visit) { v.Count = 7 })},
		{"event4_honeypot_darknet", with(map[string]string{"dst_port": "23"}), feed.Row{Line: 2}},
		{
			"event4_honeypot_http_scan",
			with(map[string]string{"protocol": "tcp", "http_request_method": "POST", "http_url": "/printers/x", "http_agent": "evil/1"}),
			want("event4_honeypot_http_scan", exposure.Request, func(v *exposure.Visit) {
				v.Transport, v.Spoofable, v.Method, v.URL, v.UserAgent = exposure.TCP, false, "POST", "/printers/x", "evil/1"
			}),
		},
		{
			"event4_honeypot_ddos_amp",
			with(map[string]string{"bytes": "1000", "end_time": "2026-11-22 10:05:00", "avg_pps": "3"}),
			want("event4_honeypot_ddos_amp", exposure.Reflection, func(v *exposure.Visit) {
				v.Count, v.Bytes, v.Ended = 7, 1000, time.Date(2026, 11, 22, 10, 5, 0, 0, time.UTC)
				v.Feed.Columns["avg_pps"] = "3"
			}),
		},
	} {
		for _, file := range []string{"2026-11-22-" + tt.typ + "-x.csv", "renamed.csv"} {
			typ, rows := rowsOf(t, file, table(header(t, tt.typ), tt.row))
			if diff := cmp.Diff([]feed.Row{tt.want}, rows, equate); diff != "" || typ != tt.typ {
				t.Errorf("%s of type %s (-want +got):\n%s", file, typ, diff)
			}
		}
	}
}

func TestTypesThatAreToldAndNot(t *testing.T) {
	for _, tt := range []struct{ name, header, typ, unknown string }{
		{"2026-11-22-scan_ipp-123-sample-asn.csv", "scan_ipp", "scan_ipp", ""},
		{"2026-11-22-scan_ipp-germany-geo_as64500.csv", "scan_ipp", "scan_ipp", ""},
		{"dir/in.zip/2026-11-22-SCAN6_IPP-x.csv", "scan6_ipp", "scan6_ipp", ""},
		{"scan_ipp-sample.csv", "scan_ipp", "scan_ipp", ""},
		{"special.csv", "special", "special", ""},
		{"my-printers.csv", "scan_ipp", "scan_ipp", ""},
		{"stdin", "special", "special", ""},
		{"x.csv", "device_id6", "device_id", ""},
		{"x.csv", "event4_honeypot_ddos", "", "neither its name nor its columns tell a type"},
		{"2026-11-22-event4_honeypot_ddos-x.csv", "event4_honeypot_ddos", "event4_honeypot_ddos", "the type event4_honeypot_ddos is not known yet"},
		{"2026-11-22-scan_ipp_more-x.csv", "scan_ipp", "scan_ipp_more", "the type scan_ipp_more is not known yet"},
		{"2026-11-22-scan_ipp-x.csv", "event4_honeypot_darknet", "scan_ipp", "scan_ipp without the columns timestamp, ip"},
	} {
		text := table(header(t, tt.header))
		got, err := Parse(tt.name, feed.NewBuffer(strings.NewReader(text)), received)
		if err != nil || got.Type != tt.typ || !strings.HasPrefix(got.Unknown, tt.unknown) || (tt.unknown == "") != (got.Unknown == "") {
			t.Errorf("Parse(%s of %s) = %q, %q, %v", tt.name, tt.header, got.Type, got.Unknown, err)
		}
	}
	for in, want := range map[string]string{"": "it is empty", "\xff\xfet\x00": "UTF-16", "\"a\nb": "the header: a quote does not end"} {
		if _, err := Parse("x.csv", feed.NewBuffer(strings.NewReader(in)), received); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse of %q: %v, want %s", in, err, want)
		}
	}
	if got, _ := ParseAs("special")("2026-11-22-scan_ipp-x.csv", feed.NewBuffer(strings.NewReader("ip,timestamp\n")), received); got.Type != "special" {
		t.Errorf("ParseAs(special) = %s", got.Type)
	}
}

// FuzzParse holds that whatever is in a file, each row is of one of the four
// sorts, whole and bounded.
func FuzzParse(f *testing.F) {
	for _, r := range reports {
		// Ours have the columns of theirs, and some more.
		typ := strings.NewReplacer("scan_cups_browsed", "special", "_ipp_scan", "_http_scan", "event6", "event4").Replace(r.name)
		f.Add("2026-11-22-"+r.name+"-x.csv", table(header(f, typ), printer, map[string]string{"tag": "cups", "timestamp": "2026-11-22 10:00:00", "ip": "1.2.3.4"},
			map[string]string{"timestamp": "2026-11-22 10:00:00", "src_ip": "1.2.3.4", "dst_port": "631"}))
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		tab, err := Parse(name, feed.NewBuffer(strings.NewReader(text)), received)
		if err != nil || tab.Unknown != "" {
			return
		}
		for row, err := range tab.Rows {
			if err != nil {
				t.Fatal(err)
			}
			sorts := 0
			if row.Aside != "" {
				sorts++
			}
			if o := row.Observation; o != nil {
				sorts++
				if !o.Addr.IsValid() || o.Port == 0 || o.ID == "" || o.Observed.Year() < 1990 || o.IPP != nil || o.TLS != nil || len(o.Feed.Columns) > 64 {
					t.Fatalf("observation %+v", o)
				}
			}
			if v := row.Visit; v != nil {
				sorts++
				if !v.Addr.IsValid() || v.Door != 631 || v.ID == "" || v.Count < 0 {
					t.Fatalf("visit %+v", v)
				}
			}
			if sorts > 1 || row.Line < 2 || len(row.Aside) > 400 {
				t.Fatalf("row %+v", row)
			}
		}
	})
}
