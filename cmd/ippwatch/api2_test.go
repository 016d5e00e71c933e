package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/store"
)

// TestIngestFromOurOwnAPI serves a data directory and takes its reports in into
// another one: the same hosts come out.
func TestIngestFromOurOwnAPI(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	command := func(args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		s := &street{in: strings.NewReader(""), Screen: screen.Screen{Out: &out, Err: &errs}, now: func() time.Time { return now }}
		root := s.root()
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("ippwatch %s: %v\n%s", strings.Join(args, " "), err, errs.String())
		}
		return out.String(), errs.String()
	}
	served, taken := filepath.Join(dir, "served"), filepath.Join(dir, "taken")
	s := &street{Screen: screen.Screen{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}, now: func() time.Time { return now }, data: served, config: config.Default()}
	h, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.archive.Append(t.Context(), yesterdays(now.AddDate(0, 0, -1))); err != nil {
		t.Fatal(err)
	}
	s.config.Web.Rate = 0
	g, err := s.newSite(h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	defer server.Close()
	k, secret, err := h.store.AddKey(t.Context(), store.APIKey{
		Kind: store.KeyHMAC, Label: "another ippwatch", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read},
	}, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "our.api")
	text := fmt.Sprintf("[api]\nkey = %s\nsecret = %s\nuri = %s/api2/\n", k.ID, secret, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pull := []string{"--data", taken, "ingest", "shadowserver", "--api", "--credentials", file}
	command(pull...)
	if _, said := command(pull...); !strings.Contains(said, "3 files taken in before: not downloaded again") {
		t.Errorf("the second time it says %q", said)
	}
	for _, kind := range []string{"scan_ipp", "scan6_ipp", "special"} {
		args := []string{"report", "--date", "2026-11-22", "--type", kind}
		want, _ := command(append([]string{"--data", served}, args...)...)
		got, _ := command(append([]string{"--data", taken}, args...)...)
		if doors := doorsOf(t, want); len(doors) == 0 || strings.Join(doors, " ") != strings.Join(doorsOf(t, got), " ") {
			t.Errorf("%s: served\n%s\ntaken\n%s", kind, want, got)
		}
	}
	var names int
	other, err := archive.Open(t.Context(), taken)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for r, err := range other.Observations(t.Context(), access.CLI(now), archive.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Printers {
			if p.Get("printer-name") == strangeName {
				names++
			}
		}
	}
	if names != 1 {
		t.Errorf("the strange name came %d times, want once and as it was", names)
	}
}

const strangeName = "=cmd|' /C calc'!A0\"; \u202e\x1b[2J<script>"

func yesterdays(day time.Time) []exposure.Observation {
	var all []exposure.Observation
	for i, addr := range []string{"198.51.100.7", "198.51.100.8", "203.0.113.9", "2001:db8::7", "192.0.2.3"} {
		o := exposure.Observation{
			V: exposure.Version, ID: exposure.ID(fmt.Sprint("yesterdays-", i)), Observed: day, Received: day, Run: "20261122T120000Z-0001",
			Source: exposure.Scan, Vantage: "outside", Addr: netip.MustParseAddr(addr), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
			Verdict: exposure.Answered, IPP: &exposure.IPP{Version: "2.0"}, Where: exposure.Where{Country: "DE", ASN: 64500},
			Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-name": {fmt.Sprint("printer-", i)}}}},
		}
		if i == 1 {
			o.Printers[0].Attributes["printer-name"] = []string{strangeName}
		}
		if addr == "192.0.2.3" {
			o.Transport, o.Probe, o.Verdict, o.IPP, o.Printers = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack, nil, nil
			o.Callback = &exposure.Callback{From: o.Addr, UserAgent: "CUPS/2.4.2 (Linux 6.1.0; x86_64) IPP/2.0", Posts: 1, Connections: 1}
		}
		all = append(all, o)
	}
	return all
}

// doorsOf are address, port, country and network of the rows of a report.
func doorsOf(t *testing.T, text string) []string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var doors []string
	for _, r := range rows[1:] {
		door := make(map[string]string)
		for i, name := range rows[0] {
			door[name] = r[i]
		}
		doors = append(doors, fmt.Sprint(door["ip"], door["protocol"], door["port"], door["geo"], door["asn"], door["printer_name"]))
	}
	return doors
}
