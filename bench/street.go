package main

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"ippwatch/exposure"
)

// A street is a set of printers that are seen again every day. Each day changes
// all that moves, and the location of every fiftieth. Attributes and their
// lengths are those that printers of the market give (facts/cups.md).
type street struct {
	hosts int
	still map[string][]string // what all have in common
}

func newStreet(hosts int) *street {
	s := &street{hosts: hosts, still: map[string][]string{
		"charset-configured":                       {"utf-8"},
		"ipp-versions-supported":                   {"1.1", "2.0"},
		"operations-supported":                     {"2", "4", "5", "6", "8", "9", "10", "11", "59", "60", "16385", "16386"},
		"document-format-supported":                {"application/octet-stream", "application/pdf", "image/jpeg", "image/pwg-raster", "image/urf"},
		"pwg-raster-document-resolution-supported": {"300x300dpi", "600x600dpi"},
		"marker-names":                             {"Black", "Cyan", "Magenta", "Yellow"},
	}}
	for i := range 60 {
		s.still[fmt.Sprintf("media-col-feature-%d-supported", i)] = []string{"na_letter_8.5x11in", "iso_a4_210x297mm", fmt.Sprintf("custom_%dmm", i)}
	}
	return s
}

// day yields the observations of a day in batches, in an order that no network
// feels.
func (s *street) day(day int) iter.Seq[[]exposure.Observation] {
	return func(yield func([]exposure.Observation) bool) {
		r := rand.New(rand.NewPCG(uint64(day), 1))
		began := time.Date(2026, 11, 23+day, 2, 0, 0, 0, time.UTC)
		batch := make([]exposure.Observation, 0, batchSize)
		for place, host := range r.Perm(s.hosts) {
			at := began.Add(time.Duration(place)*200*time.Microsecond + time.Duration(r.IntN(1000)))
			batch = append(batch, s.host(r, host, day, at))
			if len(batch) < batchSize && place < s.hosts-1 {
				continue
			}
			if !yield(batch) {
				return
			}
			batch = batch[:0]
		}
	}
}

func (s *street) host(r *rand.Rand, i, day int, at time.Time) exposure.Observation {
	addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	ok := exposure.StatusCode(0)
	o := exposure.Observation{
		V: exposure.Version, Run: "run-" + strconv.Itoa(day), Observed: at, Received: at,
		Source: exposure.Scan, Vantage: "bench", Addr: addr, Port: 631, Transport: exposure.TCP,
		Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		HTTP: &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1", ContentType: "application/ipp"},
		IPP: &exposure.IPP{Version: "2.0", Versions: s.still["ipp-versions-supported"], Exchanges: []exposure.Exchange{
			{Operation: "CUPS-Get-Printers", Path: "/", Version: "2.0", HTTP: 200, Status: &ok},
		}},
		Printers: []exposure.Printer{{Attributes: s.attributes(r, i, day, addr, at)}},
		Where:    exposure.Where{Country: []string{"US", "DE", "KR", "BR", "FR"}[i%5], ASN: uint32(64496 + i%997), ASName: fmt.Sprintf("Example Net %d", i%997)},
		Findings: []exposure.Finding{
			{Rule: "open-ipp", Severity: exposure.Medium, Evidence: "it answered"},
			{Rule: "no-tls", Severity: exposure.Low, Evidence: "in plain"},
		},
	}
	o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	return o
}

func (s *street) attributes(r *rand.Rand, i, day int, addr netip.Addr, at time.Time) map[string][]string {
	number := func(n int) []string { return []string{strconv.Itoa(r.IntN(n))} }
	date := func() []string {
		return []string{at.Add(-time.Duration(r.IntN(4_000_000)) * time.Second).Format(time.RFC3339)}
	}
	model := fmt.Sprintf("Example LaserWriter %d", i%40)
	moved := (i%50 + day) / 50 // two hosts of a hundred, each day
	a := make(map[string][]string, len(s.still)+24)
	for name, values := range s.still {
		a[name] = values
	}
	a["printer-name"] = []string{fmt.Sprintf("printer-%d", i)}
	a["printer-uuid"] = []string{fmt.Sprintf("urn:uuid:%08x-1f2e-4a5b-8c9d-%012x", uint32(i)*2654435761, i*7919)}
	a["printer-uri-supported"] = []string{fmt.Sprintf("ipp://%s:631/ipp/print", addr)}
	a["printer-more-info"] = []string{fmt.Sprintf("http://%s/", addr)}
	a["printer-make-and-model"] = []string{model}
	a["printer-device-id"] = []string{"MFG:Example;MDL:" + model + ";CMD:PWG,URF;"}
	a["printer-info"] = []string{model + " of the office"}
	a["printer-location"] = []string{fmt.Sprintf("Room %d, floor %d, as of %d", i%400, i%7, moved)}

	a["printer-up-time"] = number(4_000_000)
	a["printer-current-time"] = []string{at.Format(time.RFC3339)}
	a["printer-state"] = []string{strconv.Itoa(3 + r.IntN(3))}
	a["printer-state-reasons"] = []string{[]string{"none", "media-empty-warning", "toner-low-report", "media-jam-error"}[r.IntN(4)]}
	a["printer-state-change-time"] = number(4_000_000)
	a["printer-state-change-date-time"] = date()
	a["printer-config-change-time"] = number(4_000_000)
	a["printer-config-change-date-time"] = date()
	a["printer-is-accepting-jobs"] = []string{strconv.FormatBool(r.IntN(10) > 0)}
	a["queued-job-count"] = number(5)
	a["printer-impressions-completed"] = number(200_000)
	a["marker-levels"] = []string{strconv.Itoa(r.IntN(100)), strconv.Itoa(r.IntN(100)), strconv.Itoa(r.IntN(100)), strconv.Itoa(r.IntN(100))}
	for j, colour := range []string{"black", "cyan"} {
		a["printer-supply"] = append(a["printer-supply"], fmt.Sprintf(
			"index=%d;class=supplyThatIsConsumed;type=toner;unit=percent;maxcapacity=100;level=%d;colorantname=%s;", j+1, r.IntN(100), colour))
	}
	return a
}
