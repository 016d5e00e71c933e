package archive

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"ippwatch/exposure"
)

// A neighbourhood is a set of printers that are seen again every day: each day
// changes all that moves, and the location of every fiftieth. Attributes are
// those that ippeveprinter and printers of the market give (facts/cups.md).
type neighbourhood struct {
	hosts int
	// moved[i] counts how often the location of host i changed.
	moved []int
}

func newNeighbourhood(hosts int) *neighbourhood {
	return &neighbourhood{hosts: hosts, moved: make([]int, hosts)}
}

var (
	firstDay  = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	countries = []string{"US", "DE", "KR", "BR", "FR", "TW", "JP", "PL", "GB", "IT"}
	reasons   = []string{"none", "media-empty-warning", "toner-low-report", "media-jam-error", "cover-open-error"}
)

// at returns the observations of a day by one run in an order that no network feels.
func (n *neighbourhood) at(day int) []exposure.Observation {
	r := rand.New(rand.NewPCG(uint64(day), 1))
	for i := range n.moved {
		if day > 0 && (i+day)%50 == 0 {
			n.moved[i]++
		}
	}
	all := make([]exposure.Observation, n.hosts)
	for place, host := range r.Perm(n.hosts) {
		began := firstDay.AddDate(0, 0, day).Add(2 * time.Hour)
		all[place] = n.host(r, host, day, began.Add(time.Duration(place)*200*time.Microsecond+time.Duration(r.IntN(1000))))
	}
	return all
}

func (n *neighbourhood) host(r *rand.Rand, i, day int, at time.Time) exposure.Observation {
	addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	o := exposure.Observation{
		V: exposure.Version, Run: fmt.Sprintf("2026-run-%d", day), Observed: at, Received: at,
		Source: exposure.Scan, Vantage: "lab", Addr: addr, Port: 631, Transport: exposure.TCP,
		Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		HTTP: &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1", ContentType: "application/ipp"},
		IPP: &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}, Exchanges: []exposure.Exchange{
			{Operation: "CUPS-Get-Printers", Path: "/", Version: "2.0", HTTP: 200, Status: new(exposure.StatusCode)},
			{Operation: "Get-Printer-Attributes", Path: "/ipp/print", Version: "2.0", HTTP: 200, Status: new(exposure.StatusCode)},
		}},
		Printers: []exposure.Printer{{Attributes: n.attributes(r, i, addr, at)}},
		Where: exposure.Where{
			Country: countries[i%len(countries)],
			ASN:     uint32(64496 + i%997), ASName: fmt.Sprintf("Example Net %d", i%997),
		},
		Findings: []exposure.Finding{
			{Rule: "open-ipp", Severity: exposure.Medium, Evidence: "it answered"},
			{Rule: "no-tls", Severity: exposure.Low, Evidence: "in plain"},
		},
	}
	if i%3 == 0 {
		o.CUPS = &exposure.CUPS{Server: "CUPS/2.4", Reported: "2.4.2", Queues: true}
		o.Findings = append(o.Findings, exposure.Finding{Rule: "open-cups", Severity: exposure.High, Evidence: "it lists"})
	}
	o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	return o
}

func (n *neighbourhood) attributes(r *rand.Rand, i int, addr netip.Addr, at time.Time) map[string][]string {
	up := 100_000 + r.IntN(4_000_000)
	since, configured := r.IntN(up), r.IntN(up)
	number := func(v int) []string { return []string{fmt.Sprint(v)} }
	date := func(ago int) []string {
		return []string{at.Add(-time.Duration(ago) * time.Second).Format(time.RFC3339)}
	}
	model := fmt.Sprintf("Example LaserWriter %d", i%40)
	a := map[string][]string{
		"charset-configured":                       {"utf-8"},
		"printer-name":                             {fmt.Sprintf("printer-%d", i)},
		"printer-uuid":                             {fmt.Sprintf("urn:uuid:%08x-1f2e-4a5b-8c9d-%012x", i*2654435761, i*7919)},
		"printer-uri-supported":                    {fmt.Sprintf("ipp://%s:631/ipp/print", addr)},
		"printer-more-info":                        {fmt.Sprintf("http://%s/", addr)},
		"printer-make-and-model":                   {model},
		"printer-device-id":                        {"MFG:Example;MDL:" + model + ";CMD:PWG,URF;"},
		"printer-location":                         {fmt.Sprintf("Room %d, floor %d, as of %d", i%400, i%7, n.moved[i])},
		"printer-info":                             {model + " of the office"},
		"printer-up-time":                          number(up),
		"printer-current-time":                     date(r.IntN(4) - 2),
		"printer-state":                            number(3 + r.IntN(3)),
		"printer-state-reasons":                    {reasons[r.IntN(len(reasons))]},
		"printer-state-change-time":                number(since),
		"printer-state-change-date-time":           date(up - since),
		"printer-config-change-time":               number(configured),
		"printer-config-change-date-time":          date(up - configured),
		"printer-is-accepting-jobs":                {fmt.Sprint(r.IntN(10) > 0)},
		"queued-job-count":                         number(r.IntN(5)),
		"printer-impressions-completed":            number(r.IntN(200_000)),
		"marker-names":                             {"Black", "Cyan", "Magenta", "Yellow"},
		"marker-levels":                            {fmt.Sprint(r.IntN(100)), fmt.Sprint(r.IntN(100)), fmt.Sprint(r.IntN(100)), fmt.Sprint(r.IntN(100))},
		"ipp-versions-supported":                   {"1.1", "2.0"},
		"operations-supported":                     {"2", "4", "5", "6", "8", "9", "10", "11", "59", "60", "16385", "16386"},
		"document-format-supported":                {"application/octet-stream", "application/pdf", "image/jpeg", "image/pwg-raster", "image/urf"},
		"pwg-raster-document-resolution-supported": {"300x300dpi", "600x600dpi"},
	}
	for j := range 60 {
		name := fmt.Sprintf("media-col-feature-%d-supported", j)
		a[name] = []string{"na_letter_8.5x11in", "iso_a4_210x297mm", fmt.Sprintf("custom_%d_%dmm", j, i%40)}
	}
	for j, colour := range []string{"black", "cyan"} {
		a["printer-supply"] = append(a["printer-supply"], fmt.Sprintf(
			"index=%d;class=supplyThatIsConsumed;type=toner;unit=percent;maxcapacity=100;level=%d;colorantname=%s;", j+1, r.IntN(100), colour))
	}
	return a
}
