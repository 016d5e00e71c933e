package shadowserver

import (
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// attributes are the columns that hold an attribute of a printer (RFC 8011,
// section 5.4; facts/shadowserver.md 1.1).
var attributes = []struct{ column, attribute string }{
	{"printer_name", "printer-name"},
	{"printer_info", "printer-info"},
	{"printer_more_info", "printer-more-info"},
	{"printer_make_and_model", "printer-make-and-model"},
	{"printer_firmware_name", "printer-firmware-name"},
	{"printer_firmware_string_version", "printer-firmware-string-version"},
	{"printer_firmware_version", "printer-firmware-version"},
	{"printer_organization", "printer-organization"},
	{"printer_organization_unit", "printer-organizational-unit"},
	{"printer_uuid", "printer-uuid"},
	{"printer_wifi_ssid", "printer-wifi-ssid"},
}

// readIPP reads a host that answered Get-Printer-Attributes over TCP. The row
// does not tell the status of the answer, so there is no exposure.IPP: a rule
// must not take the absence of a status for success.
func readIPP(c *feed.Columns, r *report, received time.Time) feed.Row {
	o := host(c, r, received)
	o.Probe, o.Verdict = exposure.ProbeIPP, exposure.Answered
	if o.Transport = transport(c, exposure.TCP); o.Transport != exposure.TCP {
		c.Fault("%s over %s: that report is about TCP", r.name, o.Transport)
	}
	o.Port = c.Port("port", 631)
	// Both versions are tokens of the Server header.
	server, ipp := c.Text("cups_version"), c.Text("ipp_version")
	setServer(&o, server, strings.TrimSpace(server+" "+ipp))
	p := exposure.Printer{Attributes: make(map[string][]string, len(attributes)+1)}
	for _, a := range attributes {
		if value := c.Text(a.column); value != "" {
			p.Attributes[a.attribute] = []string{value}
		}
	}
	if uris := uriList(c.Text("printer_uris")); len(uris) > 0 {
		p.Attributes["printer-uri-supported"] = uris
	}
	if len(p.Attributes) > 0 {
		o.Printers = []exposure.Printer{p}
	}
	o.Feed = c.Rest(r.name)
	return feed.Row{Observation: &o}
}

// setServer takes in a Server header, and the token of CUPS in it. What it does
// not tell, such as whether queues are listed, stays untold.
func setServer(o *exposure.Observation, token, header string) {
	if header != "" {
		o.HTTP = &exposure.HTTP{Server: header}
	}
	if version, ok := strings.CutPrefix(token, "CUPS/"); ok {
		o.CUPS = &exposure.CUPS{Server: token, Reported: version}
	} else if token != "" {
		o.CUPS = &exposure.CUPS{Server: token}
	}
}

// uriList splits what may be several URIs; a sign inside one does not split it.
func uriList(text string) []string {
	var uris []string
	for text != "" {
		end := len(text)
		for i := 1; i < len(text); i++ {
			if strings.IndexByte(";, ", text[i-1]) >= 0 && hasScheme(text[i:]) {
				end = i
				break
			}
		}
		if uri := strings.Trim(text[:end], ";, "); uri != "" {
			uris = append(uris, uri)
		}
		text = text[end:]
	}
	return uris
}

func hasScheme(text string) bool {
	for _, scheme := range []string{"ipp://", "ipps://", "http://", "https://"} {
		if strings.HasPrefix(text, scheme) {
			return true
		}
	}
	return false
}
