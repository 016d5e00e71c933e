package shadowserver

import (
	"strconv"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// doorOfPrinting is the port whose visitors we are told of.
const doorOfPrinting = 631

// readVisit reads an event at a sensor of others. In a report of kind
// [exposure.Reflection] src_ip is the victim (facts/shadowserver.md 1.3).
func readVisit(kind exposure.VisitKind) func(*feed.Columns, *report, time.Time) feed.Row {
	return func(c *feed.Columns, r *report, received time.Time) feed.Row {
		if c.Look("dst_port") != strconv.Itoa(doorOfPrinting) {
			return feed.Row{}
		}
		byDefault := exposure.TCP
		if kind == exposure.Reflection {
			byDefault = exposure.UDP
		}
		v := exposure.Visit{
			V: exposure.Version, Received: received, Source: exposure.Shadowserver, Kind: kind,
			ID:       c.ID(exposure.Shadowserver, r.kind),
			Observed: c.Time("timestamp", received), Ended: c.MaybeTime("end_time"),
			Addr: c.Addr("src_ip"), Port: c.Port("src_port", 0), Transport: transport(c, byDefault),
			Dst: c.MaybeAddr("dst_ip"), Door: c.Port("dst_port", doorOfPrinting),
			Count: int(c.Number("count")), Bytes: c.Number("bytes"),
			Method: c.Text("http_request_method"), URL: c.Text("http_url"), UserAgent: c.Text("http_agent"),
			Where: exposure.Where{
				Country: c.Country("src_geo"), Region: c.Text("src_region"), City: c.Text("src_city"),
				ASN: c.ASN("src_asn"), Hostname: feed.Clip(c.Text("src_hostname"), 255),
			},
		}
		v.Spoofable = v.Transport == exposure.UDP
		if r.kind == "ipp_scan" {
			// Ours, and its rows are of both kinds.
			if v.Spoofable {
				v.Kind = exposure.Knock
			}
			v.Class = exposure.Class(c.Text("class"))
			v.Severity = exposure.Severity(c.Text("severity"))
		}
		v.Feed = c.Rest(r.name)
		return feed.Row{Visit: &v}
	}
}
