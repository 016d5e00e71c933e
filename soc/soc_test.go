package soc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/feed/shadowserver"
	"ippwatch/scanners"
	"ippwatch/sensor/class"
	"ippwatch/wire/browse"
)

var update = flag.Bool("update", false, "rewrite golden files")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

const us, us6 = "192.0.2.1", "2001:db8::1"

// knock is the visit that a packet makes.
func knock(t testing.TB, src, packet string) exposure.Visit {
	t.Helper()
	table, err := scanners.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	a, dst := netip.MustParseAddr(src), netip.MustParseAddr(us)
	if a.Is6() {
		dst = netip.MustParseAddr(us6)
	}
	v := exposure.Visit{
		V: 1, Source: exposure.Sensor, Sensor: "edge-1", Persona: "cups", Kind: exposure.Knock, Transport: exposure.UDP,
		Observed: noon, Ended: noon.Add(90 * time.Second), Received: noon.Add(2 * time.Minute),
		Addr: a, Port: 40000, Dst: dst, Door: 631, TTL: 57, Count: 180, Bytes: int64(180 * len(packet)),
		Payload: []byte(packet[:min(len(packet), 2047)]), PayloadBytes: len(packet), PayloadSHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(packet))),
		Where: exposure.Where{Country: "DE", ASN: 64500, ASName: "Example"},
	}
	r := (&class.Judge{Scanners: table, Own: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}).Packet(a, dst, []byte(packet))
	r.Tell(&v)
	v.ID = exposure.NewVisitID(&v)
	return v
}

func request(src string, c exposure.Class, operation string) exposure.Visit {
	v := exposure.Visit{
		V: 1, Source: exposure.Sensor, Sensor: "edge-1", Persona: "cups", Kind: exposure.Request, Transport: exposure.TCP,
		Observed: noon, Ended: noon, Received: noon, Addr: netip.MustParseAddr(src), Port: 50000, Dst: netip.MustParseAddr(us), Door: 631, Count: 1, Bytes: 200,
		Class: c, Severity: exposure.Medium, Reasons: []string{"operation"}, Evidence: []string{"it asked for " + operation},
		Method: "POST", URL: "/ipp/print", UserAgent: "CUPS/2.4.2 (Linux 6.1; x86_64) IPP/2.0",
		Print: &exposure.Print{Operation: operation, Version: "2.0", Document: &exposure.Document{SHA256: strings.Repeat("cd", 32), Bytes: 12}},
	}
	v.ID = exposure.NewVisitID(&v)
	return v
}

const texts = ` "location" "info" "make and model"`

// all is a visit of every kind that there is.
func all(t testing.TB) []exposure.Visit {
	t.Helper()
	return []exposure.Visit{
		knock(t, "198.51.100.7", `0 3 http://198.51.100.7:12345/printers/x "a" "b" "c"`),
		knock(t, "198.51.100.7", "0 3 http://203.0.113.9:80/printers/x"+texts),
		knock(t, "2001:db8:7::7", "0 3 http://[2001:db8:9::9]:80/printers/x"+texts),
		knock(t, "198.51.100.8", "0 3 http://192.0.2.9/printers/"+strings.Repeat("A", 900)+texts),
		knock(t, "134.209.95.237", "0 3 http://134.209.95.237/printers/x"),
		knock(t, "198.51.100.9", "0 3 http://evil.example/printers/<script>\x1b[31m,\"=cmd\" \"i"),
		knock(t, "198.51.100.9", "0 3 http://h/other"+texts),
		knock(t, "198.51.100.9", "100000 3 http://h/printers/x"),
		knock(t, "198.51.100.10", "\x00\xff\xfegarbage\n\x1b]0;x\x07"),
		knock(t, "198.51.100.10", strings.Repeat("\x01", 3000)),
		request("198.51.100.20", exposure.PrintAttempt, "Print-Job"),
		request("198.51.100.21", exposure.AdminAttempt, "CUPS-Add-Modify-Printer"),
		request("198.51.100.22", exposure.Enumeration, "Get-Printer-Attributes"),
		request("2001:db8:8::8", exposure.OtherProtocol, ""),
	}
}

func each(visits []exposure.Visit) iter.Seq2[exposure.Visit, error] {
	return func(yield func(exposure.Visit, error) bool) {
		for _, v := range visits {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func schema(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFormsKeepTheirSchemas writes a visit of every kind in every form of JSON.
func TestFormsKeepTheirSchemas(t *testing.T) {
	for _, form := range []struct {
		name, schema string
		write        func(exposure.Visit, Options) ([]byte, error)
	}{
		{"ndjson", "../docs/visit.schema.json", NDJSON},
		{"ecs", "testdata/ecs.schema.json", ECS},
		{"intelmq", "testdata/intelmq.schema.json", IntelMQ},
	} {
		t.Run(form.name, func(t *testing.T) {
			s := schema(t, form.schema)
			var lines []byte
			for _, v := range all(t) {
				b, err := form.write(v, Options{Where: func(netip.Addr) exposure.Where { return exposure.Where{Country: "NL", ASN: 64501} }})
				if err != nil {
					t.Fatal(err)
				}
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
				if err != nil || bytes.ContainsAny(b, "\n\x1b\x07") {
					t.Fatalf("%s: %v", b, err)
				}
				if err := s.Validate(value); err != nil {
					t.Errorf("%s\n%v", b, err)
				}
				lines = append(append(lines, b...), '\n')
			}
			golden(t, form.name+".golden", lines)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
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
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestVictimIsNoAttacker: who is called is the source of the event, as in
// Shadowserver's own reports, and the forged source is not.
func TestVictimIsNoAttacker(t *testing.T) {
	v := knock(t, "198.51.100.7", "0 3 http://203.0.113.9:80/printers/x")
	b, err := IntelMQ(v, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	if e["source.ip"] != "203.0.113.9" || e["classification.type"] != "ddos" || e["classification.identifier"] != "amplification-ddos-victim" {
		t.Errorf("event: %s", b)
	}
	for _, packet := range []string{
		"0 3 http://203.0.113.9/printers/cups_vulnerability_scan", "0 3 http://134.209.95.237/printers/x", "0 3 http://198.51.100.7/printers/x",
		"0 3 http://10.0.0.1/printers/x", "0 3 http://name.example/printers/x", "100000 3 http://203.0.113.9/printers/x",
	} {
		v := knock(t, "198.51.100.7", packet)
		if victim, ok := Victim(&v); ok {
			t.Errorf("%s: %s is a victim", packet, victim)
		}
	}
}

// TestCSV compares with golden files, has a reader of CSV count the columns, and
// takes the reports in again.
func TestCSV(t *testing.T) {
	for _, typ := range Types {
		t.Run(string(typ), func(t *testing.T) {
			var b bytes.Buffer
			n, err := CSV(&b, typ, each(all(t)), Options{Where: func(netip.Addr) exposure.Where { return exposure.Where{Country: "NL"} }})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, string(typ)+".csv.golden", b.Bytes())
			rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
			if err != nil || len(rows) != n+1 || n == 0 {
				t.Fatalf("%d rows, %d written: %v", len(rows)-1, n, err)
			}
			table, err := shadowserver.Parse("2026-11-23-"+string(typ)+".csv", feed.NewBuffer(bytes.NewReader(b.Bytes())), noon.Add(time.Hour))
			if err != nil || table.Unknown != "" || table.Type != string(typ) {
				t.Fatalf("Parse: %q %q %v", table.Type, table.Unknown, err)
			}
			back := 0
			for r, err := range table.Rows {
				if err != nil || r.Visit == nil {
					t.Fatalf("row %d: %q, %v", r.Line, r.Aside, err)
				}
				sameVisit(t, typ, all(t), *r.Visit)
				back++
			}
			if back != n {
				t.Errorf("%d of %d rows came back", back, n)
			}
		})
	}
}

// sameVisit looks for the visit that came back as the row got.
func sameVisit(t *testing.T, typ Type, visits []exposure.Visit, got exposure.Visit) {
	t.Helper()
	i := slices.IndexFunc(visits, func(v exposure.Visit) bool { return string(v.ID) == got.Feed.Column("event_id") })
	if i < 0 {
		t.Fatalf("no visit has the id %q", got.Feed.Column("event_id"))
	}
	want := visits[i]
	if typ == Amp || typ == Amp6 {
		if got.Kind != exposure.Reflection || got.Addr != want.Callback.Addr || got.Addr == want.Addr {
			t.Errorf("%s of %s came back as %s of %s, want the victim %s", want.Class, want.Addr, got.Kind, got.Addr, want.Callback.Addr)
		}
	} else if got.Addr != want.Addr || got.Port != want.Port || got.Class != want.Class || got.Kind != want.Kind || got.URL != want.URL || got.UserAgent != want.UserAgent {
		t.Errorf("came back as %+v\nwant %+v", got, want)
	}
	if !got.Observed.Equal(want.Observed.Truncate(time.Second)) || got.Count != want.Count || got.Bytes != want.Bytes || got.Dst != want.Dst ||
		got.Transport != want.Transport || got.Spoofable != want.Spoofable || got.Door != 631 {
		t.Errorf("came back as %+v\nwant %+v", got, want)
	}
}

// TestColumnsAreTheSharedOnes compares with the headers of Shadowserver.
func TestColumnsAreTheSharedOnes(t *testing.T) {
	for _, tt := range []struct {
		file   string
		typ    Type
		shared int
	}{{"event4_honeypot_ddos_amp", Amp, 38}, {"event4_honeypot_http_scan", Scan, 31}, {"event4_honeypot_darknet", Scan, 31}} {
		f, err := os.Open("../feed/shadowserver/testdata/" + tt.file + ".header.csv")
		if err != nil {
			t.Fatal(err)
		}
		header, err := csv.NewReader(f).Read()
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		got := tt.typ.Columns()
		if diff := cmp.Diff(header[:tt.shared], got[:tt.shared]); diff != "" {
			t.Errorf("%s (-theirs +ours):\n%s", tt.file, diff)
		}
		if tt.typ == Amp && len(got) != len(header) {
			t.Errorf("%s has %d columns, ours %d", tt.file, len(header), len(got))
		}
	}
}

func TestWithheld(t *testing.T) {
	for _, v := range all(t) {
		for name, write := range map[string]func(exposure.Visit, Options) ([]byte, error){"ndjson": NDJSON, "ecs": ECS, "intelmq": IntelMQ} {
			b, err := write(v, Options{Withhold: true})
			if err != nil || strings.Contains(string(b), `"`+us+`"`) || strings.Contains(string(b), us6+`"`) || strings.Contains(string(b), "edge-1") {
				t.Errorf("%s tells of the sensor: %v %s", name, err, b)
			}
		}
	}
	var b bytes.Buffer
	if _, err := CSV(&b, Scan, each(all(t)), Options{Withhold: true}); err != nil || strings.Contains(b.String(), `"`+us+`"`) || strings.Contains(b.String(), "edge-1") {
		t.Errorf("the CSV tells of the sensor: %v", err)
	}
}

// TestNoPacketPutsAnybodyOnABlocklist: whatever is in a packet, however many.
func TestNoPacketPutsAnybodyOnABlocklist(t *testing.T) {
	var list Blocklist
	for _, v := range all(t) {
		if v.Transport == exposure.UDP {
			v.Class = exposure.PrintAttempt // even if somebody were to say so
			for range 3 {
				list.Add(&v)
			}
			v.Kind, v.Spoofable = exposure.Request, true
			list.Add(&v)
		}
	}
	if got := list.Addrs(); len(got) != 0 {
		t.Fatalf("UDP alone put %v on it", got)
	}
	listed := request("134.209.95.237", exposure.PrintAttempt, "Print-Job")
	listed.Scanners = []exposure.Scanner{{Name: "shodan", Of: "source"}}
	for _, v := range append(all(t), listed) {
		list.Add(&v)
	}
	want := []netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("198.51.100.21")}
	if !slices.Equal(list.Addrs(), want) {
		t.Errorf("on it: %v, want %v", list.Addrs(), want)
	}
}

// TestTsharkReadsOurPackets has Wireshark's own dissector read what we wrote.
func TestTsharkReadsOurPackets(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("IPPWATCH_LAB") == "require" {
			t.Fatal("tshark is not installed, and IPPWATCH_LAB=require")
		}
		t.Skip("not installed: tshark: apt-get install --no-install-recommends tshark; go test ./soc")
	}
	file := filepath.Join(t.TempDir(), "visits.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPcap(f)
	var want []string
	for _, v := range all(t) {
		if err := p.Add(&v); err != nil {
			t.Fatal(err)
		}
		if v.Transport != exposure.UDP {
			continue
		}
		uri := ""
		if b, err := browse.Parse(v.Payload); err == nil {
			uri = b.URI
		}
		want = append(want, fmt.Sprintf("%s %s %d %d good %s", v.Addr, v.Dst, v.Port, v.Door, uri))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-r", file, "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=|",
		"-e", "ip.src", "-e", "ipv6.src", "-e", "ip.dst", "-e", "ipv6.dst", "-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.checksum.status", "-e", "cups.uri").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("tshark read %d packets, want %d:\n%s", len(lines), len(want), out)
	}
	read := 0
	for i, line := range lines {
		c := strings.Split(line, "|")
		sum := map[string]string{"1": "good", "Good": "good"}[c[6]]
		if strings.HasPrefix(want[i], "198.51.100.10 ") {
			continue // no browse packet, or a longer one than is kept
		}
		got := fmt.Sprintf("%s%s %s%s %s %s %s ", c[0], c[1], c[2], c[3], c[4], c[5], sum)
		if !strings.HasPrefix(want[i], got) {
			t.Errorf("tshark reads %q, want %q", line, want[i])
		}
		if c[7] != "" {
			if uri := strings.TrimPrefix(want[i], got); uri != c[7] && !strings.ContainsAny(uri, "\x1b\"") {
				t.Errorf("tshark reads the URI %q, want %q", c[7], uri)
			}
			read++
		}
	}
	if read < 4 {
		t.Errorf("tshark read %d browse packets:\n%s", read, out)
	}
}

func FuzzForms(f *testing.F) {
	f.Add([]byte("0 3 http://203.0.113.9/printers/x"), "edge-1")
	f.Add([]byte("\xff\x00\x1b"), "\x00")
	ecs := func(v exposure.Visit) ([]byte, error) { return ECS(v, Options{}) }
	intel := func(v exposure.Visit) ([]byte, error) { return IntelMQ(v, Options{}) }
	f.Fuzz(func(t *testing.T, packet []byte, name string) {
		v := knock(t, "198.51.100.7", string(packet))
		v.Sensor, v.UserAgent = name, string(packet)
		for _, write := range []func(exposure.Visit) ([]byte, error){ecs, intel} {
			b, err := write(v)
			if err != nil || !json.Valid(b) || bytes.ContainsAny(b, "\n\r\x1b\x00") {
				t.Errorf("%v: %q", err, b)
			}
			if len(packet) > 0 && len(packet) < 2047 && !bytes.Contains(b, []byte(base64.StdEncoding.EncodeToString(packet))) {
				t.Errorf("the packet is not in %q", b)
			}
		}
		var b bytes.Buffer
		if _, err := CSV(&b, Scan, each([]exposure.Visit{v}), Options{}); err != nil {
			t.Error(err)
		}
		if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) != 2 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	})
}
