package exposure_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
)

func TestNewID(t *testing.T) {
	target := netip.MustParseAddrPort("198.51.100.20:631")
	base := exposure.NewID("run-1", target, exposure.TCP, exposure.ProbeIPP, 0)
	if got := exposure.NewID("run-1", target, exposure.TCP, exposure.ProbeIPP, 0); got != base {
		t.Errorf("the same work has the ids %s and %s", base, got)
	}
	seen := map[exposure.ID]string{base: "base"}
	for name, id := range map[string]exposure.ID{
		"another run":       exposure.NewID("run-2", target, exposure.TCP, exposure.ProbeIPP, 0),
		"another port":      exposure.NewID("run-1", netip.MustParseAddrPort("198.51.100.20:632"), exposure.TCP, exposure.ProbeIPP, 0),
		"another transport": exposure.NewID("run-1", target, exposure.UDP, exposure.ProbeIPP, 0),
		"another probe":     exposure.NewID("run-1", target, exposure.TCP, exposure.ProbeBrowse, 0),
		"another attempt":   exposure.NewID("run-1", target, exposure.TCP, exposure.ProbeIPP, 1),
	} {
		if other, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
}

func TestNewFeedID(t *testing.T) {
	row := map[string]string{"ip": "198.51.100.20", "port": "631", "tag": ""}
	base := exposure.NewFeedID(exposure.Shadowserver, "ipp", row)
	for name, same := range map[string]map[string]string{
		"again":                {"port": "631", "ip": "198.51.100.20", "tag": ""},
		"without empty column": {"ip": "198.51.100.20", "port": "631"},
	} {
		if got := exposure.NewFeedID(exposure.Shadowserver, "ipp", same); got != base {
			t.Errorf("%s: NewFeedID = %s, want %s", name, got, base)
		}
	}
	seen := map[exposure.ID]string{base: "base"}
	for name, id := range map[string]exposure.ID{
		"another source": exposure.NewFeedID(exposure.CSV, "ipp", row),
		"another kind":   exposure.NewFeedID(exposure.Shadowserver, "special", row),
		"another value":  exposure.NewFeedID(exposure.Shadowserver, "ipp", map[string]string{"ip": "198.51.100.20", "port": "632"}),
		"a moved border": exposure.NewFeedID(exposure.Shadowserver, "ipp", map[string]string{"ip": "198.51.100.20p", "ort": "631"}),
		"one more":       exposure.NewFeedID(exposure.Shadowserver, "ipp", map[string]string{"ip": "198.51.100.20", "port": "631", "tag": "ipp"}),
	} {
		if other, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
}

func TestFeedsAreNoEyesOfOurs(t *testing.T) {
	for source, want := range map[exposure.Source]bool{
		exposure.Scan: false, exposure.Verification: false, exposure.Audit: false,
		exposure.Shadowserver: true, exposure.ZGrab2: true, exposure.Nmap: true, exposure.CSV: true,
	} {
		if source.Feed() != want {
			t.Errorf("%s.Feed() = %t", source, source.Feed())
		}
	}
}

func TestJSONKeepsEverything(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 30, 0, 5000, time.UTC)
	code := exposure.StatusCode(0x0406)
	want := exposure.Observation{
		V: exposure.Version, ID: "00112233445566778899aabbccddeeff", Observed: at, Received: at.Add(time.Second), Run: "r",
		Source: exposure.Scan, Vantage: "here", Addr: netip.MustParseAddr("2001:db8::20"), Port: 631,
		Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		HTTP:     &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1", Pages: map[string]int{"/admin": 403}},
		IPP:      &exposure.IPP{Version: "2.0", Status: code, Exchanges: []exposure.Exchange{{Operation: "CUPS-Get-Printers", Path: "/", Status: &code}}},
		CUPS:     &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4.2", Queues: true},
		Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-name": {"a\x1b[31m", "b"}}}},
		Callback: &exposure.Callback{From: netip.MustParseAddr("192.0.2.1"), Posts: 3, Connections: 1, After: time.Millisecond, RatioApp: 6.25},
		Where:    exposure.Where{Country: "DE", ASN: 64496},
		Findings: []exposure.Finding{{Rule: "open-ipp", Severity: exposure.High, Evidence: "it answered"}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got exposure.Observation
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
}

func TestNoStatusWithoutIPP(t *testing.T) {
	text, err := json.Marshal(exposure.IPP{Exchanges: []exposure.Exchange{{Operation: "CUPS-Get-Printers", Path: "/", HTTP: 403}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "0x0000") {
		t.Errorf("a host that spoke no IPP has a status: %s", text)
	}
}

func TestStatusCodeReadsWhatItWrote(t *testing.T) {
	for _, c := range []exposure.StatusCode{0, 1, 0x0406, 0x0503, 0xffff} {
		text, err := c.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got exposure.StatusCode
		if err := got.UnmarshalText(text); err != nil || got != c {
			t.Errorf("%s reads as %#x, %v; want %#x", text, uint16(got), err, uint16(c))
		}
	}
	var c exposure.StatusCode
	for _, bad := range []string{"", "0x", "0x04", "0x040g", "0x040600"} {
		if err := c.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("UnmarshalText(%q) = nil", bad)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, test := range []struct {
		name     string
		findings []exposure.Finding
		want     exposure.Severity
	}{
		{"none", nil, ""},
		{"info alone", []exposure.Finding{{Severity: exposure.Info}}, exposure.Info},
		{"the worst stands last", []exposure.Finding{{Severity: exposure.Low}, {Severity: exposure.Critical}}, exposure.Critical},
		{"a word that is none", []exposure.Finding{{Severity: "terrible"}, {Severity: exposure.Low}}, exposure.Low},
	} {
		if got := exposure.Worst(test.findings); got != test.want {
			t.Errorf("%s: Worst = %q, want %q", test.name, got, test.want)
		}
	}
}

func TestCaseNamesTheKey(t *testing.T) {
	k := exposure.Key{Addr: netip.MustParseAddr("198.51.100.20"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}
	other := k
	other.Rule = "open-cups"
	if k.Case() == other.Case() || len(k.Case()) != 12 {
		t.Errorf("cases %s and %s", k.Case(), other.Case())
	}
}

func TestSpokeIsMoreThanSilence(t *testing.T) {
	for _, v := range []exposure.Verdict{exposure.NoAnswer, exposure.NoCallback, exposure.Closed, exposure.Unreachable, exposure.Interrupted, exposure.NotApplicable} {
		if v.Spoke() {
			t.Errorf("%s spoke", v)
		}
	}
	for _, v := range []exposure.Verdict{exposure.Answered, exposure.Restricted, exposure.CalledBack, exposure.Tarpit, exposure.Identified} {
		if !v.Spoke() {
			t.Errorf("%s did not speak", v)
		}
	}
}

func TestOpenConditions(t *testing.T) {
	open := map[exposure.Condition]bool{
		exposure.Reported: true, exposure.Confirmed: true, exposure.OneClean: true, exposure.NotSeen: true,
		exposure.Fixed: false, exposure.Filtered: false, exposure.Lapsed: false,
	}
	for c, want := range open {
		if c.Open() != want {
			t.Errorf("%s.Open() = %t, want %t", c, c.Open(), want)
		}
	}
}
