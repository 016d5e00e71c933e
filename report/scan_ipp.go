package report

import (
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
)

// ippColumns are the 33 of scan_ipp and scan6_ipp (facts/shadowserver.md 1.1).
var ippColumns = []column{
	timestamp,
	severity(exposure.High),
	ip, protocol, port, hostname,
	{"tag", func(r *Row) string { return tag(r, append([]string{"ipp"}, proven(r.Findings)...)...) }},
	asn, geo, region, city, naics, hostnameSource, sector,
	{"device_vendor", func(r *Row) string { return device(r).vendor }},
	{"device_type", func(r *Row) string { return device(r).kind }},
	{"device_model", func(r *Row) string { return device(r).model }},
	{"device_version", func(r *Row) string { return device(r).version }},
	{"device_sector", told("device_sector")},
	{"ipp_version", ippVersion},
	{"cups_version", cupsVersion},
	{"printer_uris", first("printer-uri-supported")},
	{"printer_name", first("printer-name")},
	{"printer_info", first("printer-info")},
	{"printer_more_info", first("printer-more-info")},
	{"printer_make_and_model", first("printer-make-and-model")},
	{"printer_firmware_name", first("printer-firmware-name")},
	{"printer_firmware_string_version", first("printer-firmware-string-version")},
	{"printer_firmware_version", first("printer-firmware-version")},
	{"printer_organization", first("printer-organization")},
	{"printer_organization_unit", first("printer-organizational-unit")},
	{"printer_uuid", first("printer-uuid")},
	{"printer_wifi_ssid", first("printer-wifi-ssid")},
}

// ippExtended is what a conversation tells beyond them. Lists are joined by
// semicolons, the printers' in the order in which the host listed them.
var ippExtended = []column{
	{"queues", func(r *Row) string { return strconv.Itoa(len(r.Printers)) }},
	{"queue_names", each("printer-name")},
	{"queue_uris", each("printer-uri-supported")},
	{"printer_location", each("printer-location")},
	{"uri_authentication_supported", each("uri-authentication-supported")},
	{"uri_security_supported", each("uri-security-supported")},
	{"operations_supported", first("operations-supported", all)},
	{"printer_state", first("printer-state")},
	{"printer_is_accepting_jobs", first("printer-is-accepting-jobs")},
	{"queued_job_count", first("queued-job-count")},
	{"ipp_versions_supported", func(r *Row) string {
		if r.IPP == nil {
			return ""
		}
		return strings.Join(r.IPP.Versions, ";")
	}},
	{"ipp_status", func(r *Row) string {
		if r.IPP == nil {
			return ""
		}
		text, _ := r.IPP.Status.MarshalText()
		return string(text)
	}},
	{"reported_cups_version", func(r *Row) string {
		if r.CUPS == nil {
			return ""
		}
		return r.CUPS.Reported
	}},
	{"tls", func(r *Row) string {
		if r.TLS == nil {
			return ""
		}
		return strconv.FormatBool(r.TLS.Offered)
	}},
	{"certificate_sha256", func(r *Row) string {
		if r.TLS == nil || r.TLS.Certificate == nil {
			return ""
		}
		return r.TLS.Certificate.SHA256
	}},
	{"certificate_not_after", func(r *Row) string {
		if r.TLS == nil || r.TLS.Certificate == nil {
			return ""
		}
		return r.TLS.Certificate.NotAfter.UTC().Format(time.DateTime)
	}},
}

// said returns the value unless it is one of those that say nothing (RFC 8010,
// section 3.5.2).
func said(value string) string {
	switch value {
	case "no-value", "unknown", "unsupported":
		return ""
	}
	return value
}

// one and all are which values of an attribute are wanted.
func one(values []string) string { return said(values[0]) }
func all(values []string) string { return strings.Join(values, ";") }

// first returns the attribute of the first printer: its first value, unless
// another way to pick is given.
func first(attribute string, pick ...func([]string) string) func(*Row) string {
	which := one
	if len(pick) > 0 {
		which = pick[0]
	}
	return func(r *Row) string {
		if len(r.Printers) == 0 {
			return ""
		}
		values := r.Printers[0].Attributes[attribute]
		if len(values) == 0 {
			return ""
		}
		return which(values)
	}
}

// longest is how long a list of many printers' values may grow. Python's csv,
// which most consumers read with, gives up on a file with a field over 128 KiB.
const longest = 64 << 10

// each returns the attribute of every printer, without repetition.
func each(attribute string) func(*Row) string {
	return func(r *Row) string {
		var values []string
		seen := make(map[string]bool)
		size := 0
		for _, p := range r.Printers {
			for _, v := range p.Attributes[attribute] {
				if v = said(v); v == "" || seen[v] {
					continue
				}
				if size += len(v) + 1; size > longest {
					return strings.Join(append(values, "..."), ";")
				}
				seen[v] = true
				values = append(values, v)
			}
		}
		return strings.Join(values, ";")
	}
}

// product returns the first token of a Server header that begins so: "CUPS/".
func product(server, prefix string) string {
	for token := range strings.FieldsSeq(server) {
		if strings.HasPrefix(token, prefix) {
			return token
		}
	}
	return ""
}

func server(r *Row) string {
	if r.HTTP == nil {
		return ""
	}
	return r.HTTP.Server
}

// ippVersion is the token of the Server header, as Shadowserver's is, else the
// version of the answer.
func ippVersion(r *Row) string {
	if v := product(server(r), "IPP/"); v != "" {
		return v
	}
	if r.IPP != nil && r.IPP.Version != "" {
		return "IPP/" + r.IPP.Version
	}
	return ""
}

func cupsVersion(r *Row) string {
	if r.CUPS != nil && r.CUPS.Server != "" {
		return r.CUPS.Server
	}
	return product(server(r), "CUPS/")
}

// A fingerprint is what kind of device it seems to be.
type fingerprint struct{ vendor, kind, model, version string }

// device tells what it is from what the host says, or what a feed took it for.
func device(r *Row) fingerprint {
	if r.Feed != nil {
		return fingerprint{
			vendor: r.Feed.Column("device_vendor"), kind: r.Feed.Column("device_type"),
			model: r.Feed.Column("device_model"), version: r.Feed.Column("device_version"),
		}
	}
	d := r.Device()
	f := fingerprint{vendor: d.Vendor, kind: d.Kind, model: d.Model}
	if f.kind == "printer" {
		f.version = first("printer-firmware-string-version")(r)
	}
	return f
}
