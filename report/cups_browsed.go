package report

import (
	"strconv"
	"strings"

	"ippwatch/exposure"
)

// specialColumns are the 22 of type special (facts/shadowserver.md 1.2), filled
// for hosts that called back.
var specialColumns = []column{
	timestamp, ip, port, protocol, asn, geo, region, city, hostname, naics, sector,
	{"tag", func(r *Row) string { return tag(r, "cve-2024-47176", "cups") }},
	{"public_source", told("public_source")},
	{"status", func(*Row) string { return "vulnerable" }},
	{"detail", called(func(c *exposure.Callback) string { return c.UserAgent })},
	{"method", func(*Row) string { return "cups-browsed callback" }},
	{"device_vendor", told("device_vendor")},
	severity(exposure.Critical),
	hostnameSource,
	{"first_seen_time", func(r *Row) string { return stamp(r.FirstSeen) }},
	{"last_seen_time", func(r *Row) string { return stamp(r.LastSeen) }},
	{"potential_exposure_time", told("potential_exposure_time")},
}

// measuredColumns say what the call-back showed. The ratios are lower bounds:
// we answer 404 and complete the handshake (facts/cups.md 1.8).
var measuredColumns = []column{
	{"cups_version", called(func(c *exposure.Callback) string { return product(c.UserAgent, "CUPS/") })},
	{"kernel", called(func(c *exposure.Callback) string { kernel, _ := system(c.UserAgent); return kernel })},
	{"machine", called(func(c *exposure.Callback) string { _, machine := system(c.UserAgent); return machine })},
	{"callback_from", called(func(c *exposure.Callback) string {
		if !c.From.IsValid() {
			return ""
		}
		return c.From.Unmap().WithZone("").String()
	})},
	{"callback_after_ms", called(func(c *exposure.Callback) string { return strconv.FormatInt(c.After.Milliseconds(), 10) })},
	{"callback_late", called(func(c *exposure.Callback) string { return strconv.FormatBool(c.Late) })},
	{"posts", called(func(c *exposure.Callback) string { return strconv.Itoa(c.Posts) })},
	{"connections", called(func(c *exposure.Callback) string { return strconv.Itoa(c.Connections) })},
	{"bytes_asked", called(func(c *exposure.Callback) string { return strconv.Itoa(c.Asked) })},
	{"bytes_in", called(func(c *exposure.Callback) string { return strconv.Itoa(c.BytesIn) })},
	{"bytes_out", called(func(c *exposure.Callback) string { return strconv.Itoa(c.BytesOut) })},
	{"ratio_application", called(func(c *exposure.Callback) string { return ratio(c.RatioApp) })},
	{"ratio_ip", called(func(c *exposure.Callback) string { return ratio(c.RatioIP) })},
	{"queue", called(func(c *exposure.Callback) string { return c.Queue })},
}

// called returns a fact of the call-back. A row of a feed has none.
func called(value func(*exposure.Callback) string) func(*Row) string {
	return func(r *Row) string {
		if r.Callback == nil {
			return ""
		}
		return value(r.Callback)
	}
}

func ratio(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// system reads "CUPS/2.4.2 (Linux 6.1.0; x86_64) IPP/2.0", as libcups writes it.
func system(userAgent string) (kernel, machine string) {
	_, rest, _ := strings.Cut(userAgent, "(")
	inner, _, ok := strings.Cut(rest, ")")
	if !ok {
		return "", ""
	}
	kernel, machine, _ = strings.Cut(inner, ";")
	return strings.TrimSpace(kernel), strings.TrimSpace(machine)
}
