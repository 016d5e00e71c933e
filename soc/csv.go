package soc

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/report"
)

// A Type is a report in Shadowserver's dialect.
type Type string

// Types. Those with a 6 hold sources and victims over IPv6; Shadowserver has none.
const (
	Scan  Type = "event4_honeypot_ipp_scan"
	Scan6 Type = "event6_honeypot_ipp_scan"
	Amp   Type = "event4_honeypot_ddos_amp"
	Amp6  Type = "event6_honeypot_ddos_amp"
)

// Types are all of them.
var Types = []Type{Scan, Scan6, Amp, Amp6}

// A row is a visit as one report tells it.
type row struct {
	*exposure.Visit
	src    netip.AddrPort // of Amp the victim's
	place  exposure.Where // of src
	victim bool
}

// A column is a name and how its value is found.
type column struct {
	name  string
	value func(r *row) string
}

func empty(*row) string { return "" }

// prefix are the 31 columns that all of Shadowserver's event4_honeypot reports
// begin with (facts/shadowserver.md 1.3).
var prefix = []column{
	{"timestamp", func(r *row) string { return report.Stamp(r.Observed) }},
	{"protocol", func(r *row) string { return string(r.Transport) }},
	{"src_ip", func(r *row) string { return r.src.Addr().String() }},
	{"src_port", func(r *row) string { return whole(int64(r.src.Port())) }},
	{"src_asn", func(r *row) string { return whole(int64(r.place.ASN)) }},
	{"src_geo", func(r *row) string { return r.place.Country }},
	{"src_region", func(r *row) string { return r.place.Region }},
	{"src_city", func(r *row) string { return r.place.City }},
	{"src_hostname", func(r *row) string { return r.place.Hostname }},
	{"src_naics", empty},
	{"src_sector", empty},
	{"device_vendor", empty},
	{"device_type", empty},
	{"device_model", empty},
	{"severity", func(r *row) string { return string(r.Severity) }},
	{"dst_ip", func(r *row) string { return address(r.Dst) }},
	{"dst_port", func(r *row) string { return whole(int64(r.Door)) }},
	{"dst_asn", empty},
	{"dst_geo", empty},
	{"dst_region", empty},
	{"dst_city", empty},
	{"dst_hostname", empty},
	{"dst_naics", empty},
	{"dst_sector", empty},
	{"public_source", empty},
	{"infection", func(r *row) string {
		if r.victim {
			return "ddos-amplification"
		}
		return "ipp-scan"
	}},
	{"family", empty},
	{"tag", tag},
	{"application", func(r *row) string { return application(r.Visit) }},
	{"version", func(r *row) string {
		if r.Print != nil {
			return r.Print.Version
		}
		return ""
	}},
	{"event_id", func(r *row) string { return string(r.ID) }},
}

// scanColumns are ours, after the pattern of Shadowserver's own reports on scans.
var scanColumns = []column{
	{"count", func(r *row) string { return whole(int64(r.Count)) }},
	{"bytes", func(r *row) string { return whole(r.Bytes) }},
	{"end_time", end},
	{"sensor", func(r *row) string { return r.Sensor }},
	{"class", func(r *row) string { return string(r.Class) }},
	{"reasons", func(r *row) string { return strings.Join(r.Reasons, ";") }},
	{"source_spoofable", func(r *row) string { return strconv.FormatBool(r.Spoofable) }},
	{"scanner", func(r *row) string {
		var names []string
		for _, s := range r.Scanners {
			names = append(names, s.Of+":"+s.Name)
		}
		return strings.Join(names, ";")
	}},
	{"callback_url", called(func(c *exposure.Solicited) string { return c.URL })},
	{"callback_host", called(func(c *exposure.Solicited) string { return c.Host })},
	{"callback_port", called(func(c *exposure.Solicited) string { return whole(int64(c.Port)) })},
	{"callback_relation", called(func(c *exposure.Solicited) string { return string(c.Relation) })},
	{"ipp_operation", func(r *row) string {
		if r.Print != nil {
			return r.Print.Operation
		}
		return ""
	}},
	{"http_url", func(r *row) string { return r.URL }},
	{"http_agent", func(r *row) string { return r.UserAgent }},
	{"http_request_method", func(r *row) string { return r.Method }},
	{"file_sha256", func(r *row) string {
		if r.Print != nil && r.Print.Document != nil {
			return r.Print.Document.SHA256
		}
		return ""
	}},
	{"payload_sha256", func(r *row) string { return r.PayloadSHA256 }},
}

// ampColumns are those of event4_honeypot_ddos_amp.
var ampColumns = []column{
	{"request", func(r *row) string {
		if r.Browse != nil {
			return r.Browse.URI
		}
		return ""
	}},
	{"count", func(r *row) string { return whole(int64(r.Count)) }},
	{"bytes", func(r *row) string { return whole(r.Bytes) }},
	{"end_time", end},
	{"duration", func(r *row) string { return whole(int64(lasted(r) / time.Second)) }},
	{"avg_pps", func(r *row) string {
		if d := lasted(r); d >= time.Second {
			return strconv.FormatFloat(float64(r.Count)/d.Seconds(), 'f', 2, 64)
		}
		return ""
	}},
	{"max_pps", empty},
}

func called(value func(*exposure.Solicited) string) func(*row) string {
	return func(r *row) string {
		if r.Callback == nil {
			return ""
		}
		return value(r.Callback)
	}
}

func tag(r *row) string {
	tags := []string{"ipp"}
	if r.Transport == exposure.UDP {
		tags = append(tags, "cups-browsed")
	}
	if r.victim {
		// One packet shows what somebody wanted, not that it worked.
		return strings.Join(append(tags, "callback", "unconfirmed"), ";")
	}
	return strings.Join(append(tags, strings.ReplaceAll(string(r.Class), "_", "-")), ";")
}

func end(r *row) string {
	if r.Ended.IsZero() {
		return ""
	}
	return report.Stamp(r.Ended)
}

func lasted(r *row) time.Duration {
	if r.Ended.IsZero() {
		return 0
	}
	return r.Ended.Sub(r.Observed)
}

// whole is a number, nothing if it is not known.
func whole(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// Columns are the names of the columns of a type.
func (t Type) Columns() (names []string) {
	for _, c := range t.columns() {
		names = append(names, c.name)
	}
	return names
}

func (t Type) columns() []column {
	own := scanColumns
	if t == Amp || t == Amp6 {
		own = ampColumns
	}
	return append(prefix[:len(prefix):len(prefix)], own...)
}

// row is the visit as the report tells it, if it belongs there.
func (t Type) row(v *exposure.Visit, o Options) (row, bool) {
	r := row{Visit: v, src: netip.AddrPortFrom(v.Addr, v.Port), place: v.Where}
	if t == Amp || t == Amp6 {
		victim, ok := Victim(v)
		if !ok {
			return r, false
		}
		r.src, r.place, r.victim = victim, o.where(victim.Addr()), true
	}
	return r, r.src.Addr().Is6() == (t == Scan6 || t == Amp6)
}

// CSV writes the visits that belong into the report, and returns their number.
// In [Amp] src_ip is the VICTIM: who would be called, and sent nothing.
func CSV(w io.Writer, t Type, visits iter.Seq2[exposure.Visit, error], o Options) (int, error) {
	b := bufio.NewWriter(w)
	columns := t.columns()
	for i, c := range columns {
		if i > 0 {
			_ = b.WriteByte(',') // an error stays until Flush
		}
		fmt.Fprintf(b, "%q", c.name)
	}
	n := 0
	_ = b.WriteByte('\n')
	for v, err := range visits {
		if err != nil {
			return n, err
		}
		v = o.withheld(v)
		r, ok := t.row(&v, o)
		if !ok {
			continue
		}
		for i, c := range columns {
			if i > 0 {
				_ = b.WriteByte(',')
			}
			_, _ = b.WriteString(report.Field(c.value(&r), false))
		}
		if err := b.WriteByte('\n'); err != nil {
			return n, fmt.Errorf("write %s: %w", t, err)
		}
		n++
	}
	if err := b.Flush(); err != nil {
		return n, fmt.Errorf("write %s: %w", t, err)
	}
	return n, nil
}
