package grab

import (
	"strings"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// requested are the attributes that we ask for: those by which a rule or a
// report can tell something, and no more (facts/cups.md, section 2).
var requested = []string{
	"printer-name", "printer-uuid", "printer-make-and-model", "printer-is-shared", "device-uri",
	"printer-location", "printer-info", "printer-type", "printer-uri-supported",
	"uri-authentication-supported", "uri-security-supported", "operations-supported",
	"printer-state", "printer-state-reasons", "printer-is-accepting-jobs", "queued-job-count",
	"cups-version", "ipp-versions-supported", "printer-more-info", "printer-organization",
	"printer-organizational-unit", "printer-geo-location", "printer-firmware-name",
	"printer-firmware-string-version", "printer-firmware-version", "printer-wifi-ssid",
	"printer-device-id", "printer-dns-sd-name", "printer-up-time", "document-format-supported",
	"printer-serial-number", "printer-contact-col", "printer-contact", "printer-fax-modem-number",
	"ipp-features-supported", "printer-strings-uri", "printer-icons", "printer-kind",
	"printer-config-change-date-time", "color-supported", "media-ready",
}

// printers returns each printer group of the message.
func (l Limits) printers(m *ipp.Message) []exposure.Printer {
	var list []exposure.Printer
	for _, g := range m.Groups {
		if g.Tag != ipp.TagPrinter || len(g.Attributes) == 0 {
			continue
		}
		if len(list) == l.Printers {
			break
		}
		list = append(list, l.printer(g))
	}
	return list
}

func (l Limits) printer(g ipp.Group) exposure.Printer {
	p := exposure.Printer{Attributes: make(map[string][]string, min(len(g.Attributes), l.Attributes))}
	room := 0
	for _, a := range g.Attributes[:min(len(g.Attributes), l.Attributes)] {
		room += min(len(a.Values), l.Values)
	}
	slab := make([]string, 0, room) // of which most values get their share
	for _, a := range g.Attributes {
		if a.Name == "" {
			continue
		}
		texts, again := p.Attributes[a.Name]
		if !again && len(p.Attributes) == l.Attributes {
			break
		}
		n := min(len(a.Values), l.Values)
		switch from := len(slab); {
		case again:
		case n <= cap(slab)-from:
			slab = slab[:from+n]
			texts = slab[from : from : from+n]
		default:
			texts = make([]string, 0, n)
		}
		for _, v := range a.Values[:min(len(a.Values), l.Values-len(texts))] {
			text := v.Text()
			texts = append(texts, text[:min(len(text), l.Text)])
		}
		p.Attributes[a.Name] = texts
	}
	return p
}

// ofCUPS reports whether the printers are queues of a CUPS server that does not
// name itself. Some devices describe themselves whatever they are asked: that
// is no list of queues.
func ofCUPS(printers []exposure.Printer) bool {
	for _, p := range printers {
		if p.Get("cups-version") != "" {
			return true
		}
		for _, uri := range p.Attributes["printer-uri-supported"] {
			if strings.Contains(uri, "/printers/") || strings.Contains(uri, "/classes/") {
				return true
			}
		}
	}
	return false
}

// jobs returns how many jobs a stranger was told of, and which attributes: not
// what they say.
func (l Limits) jobs(m *ipp.Message) *exposure.Jobs {
	j := &exposure.Jobs{Status: exposure.StatusCode(m.Code)}
	seen := make(map[string]bool)
	for _, g := range m.Groups {
		if g.Tag != ipp.TagJob {
			continue
		}
		j.Listed++
		for _, a := range g.Attributes {
			if a.Name != "" && !seen[a.Name] && len(seen) < l.Attributes {
				seen[a.Name] = true
				j.Attributes = append(j.Attributes, a.Name)
			}
		}
	}
	return j
}
