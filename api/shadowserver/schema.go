package shadowserver

import (
	"bytes"
	"encoding/json"
	"strings"

	"ippwatch/gate"
	"ippwatch/report"
)

// titles, abouts and urls say what a type is.
var titles = map[report.Type]string{
	report.ScanIPP: "Open-IPP", report.Scan6IPP: "IPv6-Open-IPP", report.Special: "Vulnerable CUPS", report.CUPSBrowsed: "Vulnerable CUPS, measured",
}

var abouts = map[report.Type]string{
	report.ScanIPP:     "Print services that answered a stranger in IPP over TCP, over IPv4",
	report.Scan6IPP:    "Print services that answered a stranger in IPP over TCP, over IPv6",
	report.Special:     "Hosts whose cups-browsed called back when asked over UDP (CVE-2024-47176)",
	report.CUPSBrowsed: "The hosts of special, with what their call-back showed; not a type of Shadowserver's",
}

var urls = map[report.Type]string{
	report.ScanIPP:  "https://www.shadowserver.org/what-we-do/network-reporting/open-ipp-report/",
	report.Scan6IPP: "https://www.shadowserver.org/what-we-do/network-reporting/open-ipp-report/",
	report.Special:  "https://www.shadowserver.org/what-we-do/network-reporting/vulnerable-cups-special-report/",
}

// columns say what stands in each column.
var columns = map[string]string{
	"timestamp":                       "When the host answered, in UTC",
	"severity":                        "The worst of what was found: critical, high, medium, low or info",
	"ip":                              "Address of the host",
	"protocol":                        "tcp or udp",
	"port":                            "Port of the host",
	"hostname":                        "Name of the host; hostname_source says whence",
	"tag":                             "What was found, joined by semicolons; CVEs that were proven are among it, and \"simulated\" for a host that is not real",
	"asn":                             "Number of the network that announces the address; 0: not known",
	"geo":                             "Country, as two letters of ISO 3166",
	"region":                          "Region of the country",
	"city":                            "City",
	"naics":                           "Industry, as a feed told it",
	"hostname_source":                 "How the name is known, such as ptr",
	"sector":                          "Sector of industry, as a feed told it",
	"device_vendor":                   "Vendor of the device",
	"device_type":                     "Kind of the device, such as printer",
	"device_model":                    "Model of the device",
	"device_version":                  "Version of its firmware",
	"device_sector":                   "Market of the device, as a feed told it",
	"ipp_version":                     "Version of IPP, as in the Server header",
	"cups_version":                    "Version of CUPS that the host reports; distributions backport fixes without another number",
	"printer_uris":                    "printer-uri-supported of the first printer",
	"printer_name":                    "printer-name of the first printer",
	"printer_info":                    "printer-info of the first printer",
	"printer_more_info":               "printer-more-info of the first printer",
	"printer_make_and_model":          "printer-make-and-model of the first printer",
	"printer_firmware_name":           "printer-firmware-name of the first printer",
	"printer_firmware_string_version": "printer-firmware-string-version of the first printer",
	"printer_firmware_version":        "printer-firmware-version of the first printer",
	"printer_organization":            "printer-organization of the first printer",
	"printer_organization_unit":       "printer-organizational-unit of the first printer",
	"printer_uuid":                    "printer-uuid of the first printer",
	"printer_wifi_ssid":               "printer-wifi-ssid of the first printer",
	"public_source":                   "Who supplied it, as a feed told it",
	"status":                          "vulnerable: the call-back was seen",
	"detail":                          "User agent of the call-back",
	"method":                          "How it was found",
	"first_seen_time":                 "When the case at this door began, in UTC",
	"last_seen_time":                  "When the case was seen last, in UTC",
	"potential_exposure_time":         "As a feed told it",
	"kernel":                          "Kernel in the user agent",
	"machine":                         "Machine in the user agent",
	"callback_from":                   "Address that called back; another one than ip behind a translator",
	"callback_after_ms":               "Milliseconds from the packet to the call",
	"callback_late":                   "true when it called after the scan had ended",
	"posts":                           "Requests that it sent, at least",
	"connections":                     "Connections that it opened, at least",
	"bytes_asked":                     "Bytes of the packet that asked",
	"bytes_in":                        "Bytes that it sent, at least",
	"bytes_out":                       "Bytes that we sent",
	"ratio_application":               "Bytes in to bytes asked, at least",
	"ratio_ip":                        "The same with headers, at least",
	"queue":                           "Name of the queue that the probe left there",
}

// schema returns a JSON Schema of the objects that reports/query gives of a type.
func (s *server) schema(c *call) (any, error) {
	asked := append(c.ask.Type, c.ask.Types...)
	if len(asked) != 1 {
		return nil, gate.Bad("reports/schema wants one type: %s", typeNames())
	}
	t := report.Type(asked[0])
	if _, ok := titles[t]; !ok {
		return nil, gate.Bad("type %.60q: want %s", asked[0], typeNames())
	}
	var b bytes.Buffer
	b.WriteString(`{"$schema":"https://json-schema.org/draft/2020-12/schema","title":`)
	b.Write(text(titles[t]))
	b.WriteString(`,"description":`)
	b.Write(text(abouts[t]))
	b.WriteString(`,"type":"object","required":["type","timestamp","ip","protocol","port"],"additionalProperties":false,"properties":{"type":{"const":"` + string(t) + `"}`)
	for _, column := range t.Definition() {
		kind := `"type":"string"`
		switch {
		case column.Number:
			kind = `"type":"number"`
		case column.Name == "ip" || column.Name == "callback_from":
			kind += `,"anyOf":[{"format":"ipv4"},{"format":"ipv6"}]`
		case stamped[column.Name]:
			kind += `,"pattern":"^\\d{4}-\\d{2}-\\d{2} \\d{2}:\\d{2}:\\d{2}$"`
		case column.Name == "severity":
			kind += `,"enum":["critical","high","medium","low","info"]`
		}
		b.WriteString(`,"` + column.Name + `":{` + kind + `,"description":`)
		b.Write(text(columns[column.Name]))
		b.WriteByte('}')
	}
	b.WriteString("}}")
	return json.RawMessage(b.Bytes()), nil
}

var stamped = map[string]bool{"timestamp": true, "first_seen_time": true, "last_seen_time": true}

func text(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`) // it is a string
	}
	return b
}

func typeNames() string {
	names := make([]string, len(report.Types))
	for i, t := range report.Types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
