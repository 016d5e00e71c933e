// Package shadowserver reads the daily reports of the Shadowserver Foundation:
// as files, out of mail, and over the reports API.
package shadowserver

import (
	"bufio"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// A report is one type that we can read.
type report struct {
	name string
	// kind is the form of its rows: reports of one form that differ in what they
	// list, such as scan_ipp and scan6_ipp, give a row the same id.
	kind     string
	required []string
	mixed    bool // some of its rows may be of a campaign that we do not know
	read     func(c *feed.Columns, r *report, received time.Time) feed.Row
}

// reports are all types that we can read. Any other is parked.
var reports = []*report{
	{name: "scan_ipp", kind: "ipp", required: []string{"timestamp", "ip"}, read: readIPP},
	{name: "scan6_ipp", kind: "ipp", required: []string{"timestamp", "ip"}, read: readIPP},
	{name: "special", kind: "special", required: []string{"timestamp", "ip"}, mixed: true, read: readSpecial},
	{name: "scan_cups_browsed", kind: "special", required: []string{"timestamp", "ip"}, read: readSpecial}, // ours; see package report
	{name: "device_id", kind: "device", required: []string{"timestamp", "ip"}, read: readDevice},
	{name: "device_id6", kind: "device", required: []string{"timestamp", "ip"}, read: readDevice},
	{name: "event4_honeypot_http_scan", kind: "http_scan", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Request)},
	{name: "event4_honeypot_darknet", kind: "darknet", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Knock)},
	{name: "event4_honeypot_ddos_amp", kind: "ddos_amp", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Reflection)},
	// Ours; see package soc.
	{name: "event4_honeypot_ipp_scan", kind: "ipp_scan", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Request)},
	{name: "event6_honeypot_ipp_scan", kind: "ipp_scan", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Request)},
	{name: "event6_honeypot_ddos_amp", kind: "ddos_amp", required: []string{"timestamp", "src_ip"}, read: readVisit(exposure.Reflection)},
}

// Types are the names of the types that we can read.
func Types() []string {
	names := make([]string, len(reports))
	for i, r := range reports {
		names[i] = r.name
	}
	return names
}

func known(name string) *report {
	for _, r := range reports {
		if r.name == name {
			return r
		}
	}
	return nil
}

// fileName is "2026-11-22-scan_ipp-sample-asn.csv" (facts/shadowserver.md 1.6),
// with or without its date. What follows the type says whose it is.
var fileName = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}-)?([a-z0-9_]+)(?:-.*)?\.csv(?:\.zip|\.gz)?$`)

// FileType returns the type that stands in the name of a file. It is certain
// when the name has a date too, as all of theirs have.
func FileType(name string) (typ string, certain bool) {
	m := fileName.FindStringSubmatch(strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/"))))
	if m == nil {
		return "", false
	}
	return m[2], m[1] != "" || known(m[2]) != nil
}

// WantsFile reports whether a file in a directory or a zip is a report.
func WantsFile(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".csv") }

// signs are the columns that no other type has together. They tell a file that
// was renamed, or has no name.
var signs = []struct {
	name    string
	columns []string
}{
	{"event4_honeypot_http_scan", []string{"src_ip", "http_url", "http_request_method", "url_scheme"}},
	{"event4_honeypot_ddos_amp", []string{"src_ip", "avg_pps", "max_pps"}},
	{"event4_honeypot_ipp_scan", []string{"src_ip", "callback_relation", "source_spoofable"}},
	{"special", []string{"ip", "public_source", "status", "detail", "method"}},
}

// Two columns of scan_ipp are enough, as any may be missing. Two other types have
// no column of their own: these are all that they have.
var (
	ippOnly = []string{
		"ipp_version", "cups_version", "printer_uris", "printer_name", "printer_info", "printer_more_info", "printer_make_and_model",
		"printer_firmware_name", "printer_firmware_string_version", "printer_firmware_version", "printer_organization",
		"printer_organization_unit", "printer_uuid", "printer_wifi_ssid",
	}
	deviceColumns = []string{
		"timestamp", "severity", "ip", "protocol", "port", "hostname", "tag", "asn", "geo", "region", "city", "naics",
		"hostname_source", "sector", "device_vendor", "device_type", "device_model", "device_version",
	}
	darknetOnly = []string{"src_ip", "dst_port", "infection", "family", "event_id", "count"}
)

// byHeader tells the type by the columns, in whatever order they stand.
func byHeader(h feed.Header) string {
	for _, s := range signs {
		if h.Has(s.columns...) {
			return s.name
		}
	}
	own := 0
	for _, name := range ippOnly {
		if h.Has(name) {
			own++
		}
	}
	switch {
	case own >= 2 && h.Has("ip"):
		return "scan_ipp"
	case len(h) == len(deviceColumns) && h.Has(deviceColumns...):
		return "device_id"
	case len(h) == 32 && h.Has(darknetOnly...):
		return "event4_honeypot_darknet"
	}
	return ""
}

// Parse recognises a report, by its file's name if there is a type in it, else
// by its columns.
func Parse(name string, r *bufio.Reader, received time.Time) (feed.Table, error) {
	return ParseAs("")(name, r, received)
}

// ParseAs is [Parse] for files of which the type is known; "" is none.
func ParseAs(typ string) feed.Parser {
	return func(name string, r *bufio.Reader, received time.Time) (feed.Table, error) {
		h, err := feed.PeekHeader(r, ',')
		if err != nil {
			return feed.Table{}, err
		}
		t := feed.Table{Type: typ}
		if typ == "" {
			named, certain := FileType(name)
			if t.Type = named; !certain {
				t.Type = byHeader(h)
			}
		}
		rep := known(t.Type)
		switch {
		case t.Type == "":
			t.Unknown = "neither its name nor its columns tell a type: " + columnList(h)
			return t, nil
		case rep == nil:
			t.Unknown = "the type " + t.Type + " is not known yet"
			return t, nil
		case !h.Has(rep.required...):
			t.Unknown = fmt.Sprintf("%s without the columns %s: %s", t.Type, strings.Join(rep.required, ", "), columnList(h))
			return t, nil
		}
		t.Mixed = rep.mixed
		t.Rows = feed.Each(r, ',', func(c *feed.Columns) feed.Row { return rep.read(c, rep, received) })
		return t, nil
	}
}

// columnList names some columns for a reason.
func columnList(h feed.Header) string {
	const most = 6
	names := make([]string, 0, most+1)
	for _, name := range h {
		if len(names) == most {
			names = append(names, "...")
			break
		}
		names = append(names, feed.Clip(name, 40))
	}
	return fmt.Sprintf("%q", names)
}

// tags splits a tag, whose elements have been joined by both signs.
func tags(c *feed.Columns) []string {
	return strings.FieldsFunc(strings.ToLower(c.Look("tag")), func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

// has reports whether any of the tags is among the words.
func has(tags []string, words ...string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(words, t) })
}

// host returns what all reports about hosts have in common.
func host(c *feed.Columns, r *report, received time.Time) exposure.Observation {
	o := exposure.Observation{
		V: exposure.Version, Received: received, Source: exposure.Shadowserver,
		ID:       c.ID(exposure.Shadowserver, r.kind),
		Observed: c.Time("timestamp", received), Addr: c.Addr("ip"),
		Where: exposure.Where{
			Country: c.Country("geo"), Region: c.Text("region"), City: c.Text("city"),
			ASN: c.ASN("asn"), ASName: c.Text("as_name"), Hostname: feed.Clip(c.Text("hostname"), 255),
		},
	}
	o.Run = r.name + "-" + o.Observed.Format(time.DateOnly)
	// Our own reports mark what is simulated; see [exposure.SimulatedMark].
	o.Simulated = o.Addr.IsLoopback() && has(tags(c), "simulated")
	return o
}

// transport reads the protocol; empty is that of the report.
func transport(c *feed.Columns, empty exposure.Transport) exposure.Transport {
	switch p := strings.ToLower(c.Text("protocol")); p {
	case "":
		return empty
	case "tcp":
		return exposure.TCP
	case "udp":
		return exposure.UDP
	default:
		c.Fault("protocol %q is neither tcp nor udp", feed.Clip(p, 20))
		return empty
	}
}
