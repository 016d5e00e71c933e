package report

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// A column is one field of a report, by its name in the header.
type column struct {
	name  string
	value func(r *Row) string
}

// Common columns, made alike in every report.
var (
	timestamp      = column{"timestamp", func(r *Row) string { return stamp(r.Observed) }}
	ip             = column{"ip", func(r *Row) string { return address(&r.Observation).String() }}
	protocol       = column{"protocol", func(r *Row) string { return string(r.Transport) }}
	port           = column{"port", func(r *Row) string { return strconv.Itoa(int(r.Port)) }}
	hostname       = column{"hostname", func(r *Row) string { return r.Where.Hostname }}
	asn            = column{"asn", func(r *Row) string { return strconv.FormatUint(uint64(r.Where.ASN), 10) }}
	geo            = column{"geo", func(r *Row) string { return strings.ToUpper(r.Where.Country) }}
	region         = column{"region", func(r *Row) string { return strings.ToUpper(r.Where.Region) }}
	city           = column{"city", func(r *Row) string { return strings.ToUpper(r.Where.City) }}
	naics          = column{"naics", told("naics")}
	sector         = column{"sector", told("sector")}
	hostnameSource = column{"hostname_source", func(r *Row) string {
		if source := r.Feed.Column("hostname_source"); source != "" || r.Where.Hostname == "" {
			return source
		}
		return "ptr"
	}}
)

// ownColumns are appended to every extended report.
var ownColumns = []column{
	{"as_name", func(r *Row) string { return r.Where.ASName }},
	{"first_seen", func(r *Row) string { return stamp(r.FirstSeen) }},
	{"last_seen", func(r *Row) string { return stamp(r.LastSeen) }},
	{"verdict", func(r *Row) string { return string(r.Verdict) }},
	{"findings", func(r *Row) string {
		var ids []string
		for _, f := range r.Findings {
			ids = append(ids, f.Rule)
		}
		return strings.Join(ids, ";")
	}},
	{"told_first", func(r *Row) string { return r.First }},
	{"source", func(r *Row) string { return string(r.Source) }},
	{"vantage", func(r *Row) string { return r.Vantage }},
	{"run", func(r *Row) string { return r.Run }},
	{"observation_id", func(r *Row) string { return string(r.ID) }},
	{"simulated", func(r *Row) string { return strconv.FormatBool(r.Simulated) }},
}

// told is for what we do not know ourselves, and a feed may have told us.
func told(name string) func(*Row) string {
	return func(r *Row) string { return r.Feed.Column(name) }
}

// stamp writes a time as Shadowserver does: UTC, without saying so.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// severity returns the worst of the findings, or the default of the type.
func severity(byDefault exposure.Severity) column {
	return column{"severity", func(r *Row) string {
		if worst := exposure.Worst(r.Findings); worst != "" {
			return string(worst)
		}
		return string(byDefault)
	}}
}

var cve = regexp.MustCompile(`^CVE-[0-9]+-[0-9]+$`)

// cves returns the CVEs that a finding of the rule proves: such a rule names
// them as authority.
func cves(id string) []string {
	r, _ := rule.ByID(id)
	var ids []string
	for _, authority := range r.Authority {
		if cve.MatchString(authority) {
			ids = append(ids, authority)
		}
	}
	return ids
}

// proven returns the CVEs that the findings prove, in the form in which
// consumers find them in a tag.
func proven(findings []exposure.Finding) []string {
	var ids []string
	for _, f := range findings {
		for _, id := range cves(f.Rule) {
			ids = append(ids, strings.ToLower(id))
		}
	}
	return ids
}

// tag joins the elements and says what is simulated.
func tag(r *Row, elements ...string) string {
	if r.Simulated {
		elements = append(elements, "simulated")
	}
	return strings.Join(elements, ";")
}
