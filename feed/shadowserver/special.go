package shadowserver

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// campaign are the tags that name the flaws of CUPS of September 2024. Which one
// the report of that month had is not known (facts/shadowserver.md 1.2).
var campaign = []string{
	"cups", "cups-browsed", "cups_browsed", "cve-2024-47176", "cve-2024-47076", "cve-2024-47175", "cve-2024-47177", "cve-2024-47850",
}

// accusing are the statuses that say that the hole is there.
var accusing = []string{"", "vulnerable", "likely vulnerable", "exposed", "open", "accessible", "compromised", "likely compromised"}

// readSpecial reads a row of a one-off report, if it is about CUPS: by its tag,
// its port or the product in its detail.
func readSpecial(c *feed.Columns, r *report, received time.Time) feed.Row {
	detail := c.Look("detail")
	agent := strings.Contains(detail, "CUPS/")
	if !has(tags(c), campaign...) && c.Look("port") != "631" && !agent && r.name == "special" {
		return feed.Row{}
	}
	o := host(c, r, received)
	o.Transport = transport(c, exposure.UDP)
	o.Port = c.Port("port", 631) // empty in the public sample
	if status := strings.ToLower(c.Look("status")); !slices.Contains(accusing, status) {
		c.Fault("status %q: it is not known what that says of the host", feed.Clip(status, 40))
	}
	switch {
	case o.Transport == exposure.UDP:
		o.Probe, o.Verdict = exposure.ProbeBrowse, exposure.CalledBack
		if agent {
			o.Callback = callback(c)
		}
	case agent && strings.Contains(detail, "IPP/"):
		o.Probe, o.Verdict = exposure.ProbeIPP, exposure.Answered
		header := c.Text("detail")
		setServer(&o, cupsToken(header), header)
	default:
		o.Probe, o.Verdict = exposure.ProbeIPP, exposure.Identified
	}
	o.Feed = c.Rest(r.name)
	return feed.Row{Observation: &o}
}

func cupsToken(header string) string {
	for token := range strings.FieldsSeq(header) {
		if strings.HasPrefix(token, "CUPS/") {
			return token
		}
	}
	return ""
}

// callback is who called: the User-Agent, and what our own scan_cups_browsed
// measures beside it.
func callback(c *feed.Columns) *exposure.Callback {
	b := &exposure.Callback{
		UserAgent: c.Text("detail"), From: c.MaybeAddr("callback_from"), Queue: c.Text("queue"), Late: c.Text("callback_late") == "true",
		Posts: int(c.Number("posts")), Connections: int(c.Number("connections")),
		After: time.Duration(c.Number("callback_after_ms")) * time.Millisecond,
		Asked: int(c.Number("bytes_asked")), BytesIn: int(c.Number("bytes_in")), BytesOut: int(c.Number("bytes_out")),
		RatioApp: ratio(c.Text("ratio_application")), RatioIP: ratio(c.Text("ratio_ip")),
	}
	return b
}

func ratio(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1e9 {
		return 0
	}
	return f
}
