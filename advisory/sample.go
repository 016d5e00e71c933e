package advisory

import (
	"net/netip"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// The sample is what a preview shows and every template is tried on: hosts with
// addresses set aside for documentation, judged by the real rules.
var sampleDay = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// SampleObservations are what was seen on the day of the sample.
func SampleObservations() []exposure.Observation {
	seen := func(addr, hostname string) exposure.Observation {
		return exposure.Observation{
			V: exposure.Version, ID: exposure.ID("00000000000000000000000000000000"), Observed: sampleDay, Received: sampleDay,
			Run: "20261123T093000Z-7f3a", Source: exposure.Scan, Vantage: "outside", Addr: netip.MustParseAddr(addr), Port: 631,
			Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			Where: exposure.Where{Country: "DE", ASN: 64500, ASName: "EXAMPLE-NET", Hostname: hostname},
		}
	}
	cups := seen("198.51.100.7", "print1.uni.example")
	cups.IPP = &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}}
	cups.CUPS = &exposure.CUPS{Server: "CUPS/2.4 IPP/2.1", Reported: "2.4.2", Queues: true}
	cups.Printers = []exposure.Printer{{Attributes: map[string][]string{
		"printer-name": {"Laser-3rd-floor"}, "printer-make-and-model": {"Example Laser 4100"}, "printer-location": {"Building 7, room 312"},
	}}}
	browsed := seen("198.51.100.7", "print1.uni.example")
	browsed.Transport, browsed.Probe, browsed.Verdict = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack
	browsed.Callback = &exposure.Callback{
		From: browsed.Addr, UserAgent: "CUPS/2.4.2 (Linux 6.1.0-31-amd64; x86_64) IPP/2.0", Posts: 3, Connections: 3, After: 3 * time.Millisecond,
		Asked: 83, BytesIn: 1219, BytesOut: 135, RatioApp: 14.7, RatioIP: 20.3, Queue: "ippwatch_198_51_100_7",
	}
	device := seen("2001:db8:100::31", "")
	device.IPP = &exposure.IPP{Version: "1.1", Status: 0x0406}
	all := []exposure.Observation{cups, browsed, device}
	for i := range all {
		all[i].Findings = rule.Judge(&all[i])
	}
	return all
}

// sampleExposures are the cases that grow from the sample, and one that only a
// feed has reported.
func sampleExposures() []exposure.Exposure {
	var all []exposure.Exposure
	take := func(o exposure.Observation, c exposure.Condition, first time.Time) {
		for _, f := range rule.Judge(&o) {
			all = append(all, exposure.Exposure{
				Key:      exposure.Key{Addr: o.Addr, Transport: o.Transport, Port: o.Port, Rule: f.Rule},
				Severity: f.Severity, Condition: c, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
				FirstSeen: first, LastSeen: o.Observed, TimesSeen: 9, Evidence: f.Evidence, Last: o.ID, Where: o.Where,
			})
		}
	}
	for _, o := range SampleObservations() {
		take(o, exposure.Confirmed, sampleDay.AddDate(0, 0, -8))
	}
	reported := SampleObservations()[2]
	reported.Addr, reported.Source = netip.MustParseAddr("198.51.100.25"), exposure.Shadowserver
	take(reported, exposure.Reported, sampleDay.AddDate(0, 0, -1))
	return all
}

var sampleSender = Sender{
	Organisation: "CERT Example", Contact: "cert@example.org", Phone: "+49 30 555 0123", About: "https://cert.example.org/ippwatch",
}

// Sample is a notice about the sample.
func Sample(k Kind, l Language, r Reader) Notice {
	n := Notice{
		Kind: k, Language: l, Reader: r, Reference: "IPPW-7F3A9C", Title: "Universität Beispiel", Date: sampleDay, Exposures: sampleExposures(),
		Again: sampleDay.AddDate(0, 0, 7), Page: "https://ippwatch.example.org/o/7f3a9c", Unsubscribe: "https://ippwatch.example.org/unsubscribe/7f3a9c",
		Sender: sampleSender, Attached: []string{"2026-11-23-scan_ipp-university.csv", "xarf-A247ED7C561F.json"},
	}
	switch k {
	case Reminder:
		n.Earlier = []Earlier{{sampleDay.AddDate(0, 0, -7), "noc@uni.example", "IPPW-51D2E0"}}
	case Escalation:
		n.Earlier = []Earlier{{sampleDay.AddDate(0, 0, -21), "noc@uni.example", "IPPW-51D2E0"}, {sampleDay.AddDate(0, 0, -14), "abuse@uni.example", "IPPW-60B7A1"}}
	case Fixed:
		n.Again = time.Time{}
		for i := range n.Exposures {
			n.Exposures[i].Condition, n.Exposures[i].Cycle = exposure.Fixed, 1
		}
	}
	return n
}
