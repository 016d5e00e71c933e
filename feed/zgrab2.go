package feed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// maxLine is the longest line of JSON that is read: zgrab2 keeps 256 kB of each
// of two answers, in base64.
const maxLine = 4 << 20

// zgrabLine is a line of zgrab2's output, as far as we read it: modules/ipp of
// zmap/zgrab2, 2026-07-09. The key in data is the name that the user gave to
// the module.
type zgrabLine struct {
	IP     string                 `json:"ip"`
	Domain string                 `json:"domain"`
	Data   map[string]zgrabModule `json:"data"`
}

type zgrabModule struct {
	Status    string       `json:"status"`
	Protocol  string       `json:"protocol"`
	Port      uint16       `json:"port"`
	Timestamp string       `json:"timestamp"`
	Error     string       `json:"error"`
	Result    *zgrabResult `json:"result"`
}

type zgrabResult struct {
	VersionString string           `json:"version_string"` // both from the Server header
	CUPSVersion   string           `json:"cups_version"`
	AttrCUPS      string           `json:"attr_cups_version"`
	AttrVersions  []string         `json:"attr_ipp_versions"`
	AttrURIs      []string         `json:"attr_printer_uris"`
	Attributes    []zgrabAttribute `json:"attributes"`
	Response      *zgrabHTTP       `json:"response"`
	CUPSResponse  *zgrabHTTP       `json:"cups_response"`
	TLS           *struct {
		Log struct {
			Hello struct {
				Version struct {
					Name string `json:"name"`
				} `json:"version"`
			} `json:"server_hello"`
		} `json:"handshake_log"`
	} `json:"tls"`
}

type zgrabAttribute struct {
	Name   string `json:"name"`
	Tag    byte   `json:"tag"`
	Values []struct {
		Raw []byte `json:"raw"`
	} `json:"values"`
}

type zgrabHTTP struct {
	StatusCode int                        `json:"status_code"`
	Headers    map[string]json.RawMessage `json:"headers"`
}

// ZGrab2 reads the output of zgrab2's module ipp: one object a line.
func ZGrab2(_ string, r *bufio.Reader, received time.Time) (Table, error) {
	head, err := r.Peek(1)
	if err != nil && !errors.Is(err, io.EOF) {
		return Table{}, err
	}
	t := Table{Type: "ipp"}
	if len(head) > 0 && head[0] != '{' && head[0] != '\xef' {
		t.Unknown = "no line of zgrab2: it does not begin with {"
		return t, nil
	}
	t.Rows = jsonLines(r, func(line []byte) Row { return zgrabRow(line, received) })
	return t, nil
}

// jsonLines calls read for each line that is not empty.
func jsonLines(r *bufio.Reader, read func(line []byte) Row) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for n := 1; ; n++ {
			line, long, err := readLine(r)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Row{Line: n}, err)
				return
			}
			text := bytes.TrimSpace(bytes.TrimPrefix(line, utf8BOM))
			switch {
			case long:
				if !yield(aside(n, "the line is too long", string(text[:min(len(text), mostRaw)])), nil) {
					return
				}
			case len(text) > 0:
				row := read(text)
				row.Line = n
				if row.Aside != "" {
					row = aside(n, row.Aside, string(text[:min(len(text), mostRaw)]))
				}
				if !yield(row, nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// readLine returns the next line; of one that is too long its beginning.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if room := maxLine - len(line); len(part) > room {
			part, long = part[:room], true
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err
		}
	}
}

func zgrabRow(text []byte, received time.Time) Row {
	var line zgrabLine
	if err := json.Unmarshal(text, &line); err != nil {
		return Row{Aside: "no JSON of zgrab2: " + Clip(err.Error(), 120)}
	}
	addr, err := netip.ParseAddr(line.IP)
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
		return Row{Aside: "ip " + brief(line.IP) + " is no address of a host"}
	}
	m, there := line.Data["ipp"]
	if !there {
		for _, other := range line.Data {
			if other.Protocol == "ipp" {
				m, there = other, true
			}
		}
	}
	// Anything but success is a host that did not answer in IPP.
	if !there || m.Status != "success" || m.Result == nil {
		return Row{}
	}
	at, err := time.Parse(time.RFC3339, m.Timestamp)
	if err != nil {
		return Row{Aside: "timestamp " + brief(m.Timestamp) + " is no time"}
	}
	at = at.UTC()
	if why := implausible(at, received); why != "" {
		return Row{Aside: fmt.Sprintf("timestamp %s %s", at.Format(time.DateTime), why)}
	}
	if m.Port == 0 {
		m.Port = 631
	}
	o := exposure.Observation{
		V: exposure.Version, ID: exposure.NewFeedID(exposure.ZGrab2, "ipp", map[string]string{"line": canonical(text)}),
		Observed: at, Received: received, Run: at.Format(time.DateOnly), Source: exposure.ZGrab2,
		Addr: addr.Unmap(), Port: m.Port, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		Feed: &exposure.FeedRow{Type: "ipp"},
	}
	if line.Domain != "" {
		o.Feed.Columns = map[string]string{"domain": Clip(line.Domain, 255)}
	}
	m.Result.into(&o)
	return Row{Observation: &o}
}

// canonical returns the same text for the same JSON, whatever the order of its
// keys.
func canonical(text []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return string(text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(text)
	}
	return string(out)
}

// into takes over what the result tells. It does not tell the status of the
// answer but for the answer itself, which zgrab2 keeps only when it debugs.
func (z *zgrabResult) into(o *exposure.Observation) {
	h := exposure.HTTP{Server: Clip(strings.TrimSpace(z.CUPSVersion+" "+z.VersionString), MaxText)}
	if z.Response != nil {
		h.Status = z.Response.StatusCode
		if server := z.Response.header("server"); server != "" {
			h.Server = server
		}
	}
	if h.Server != "" || h.Status != 0 {
		o.HTTP = &h
	}
	if len(z.AttrVersions) > 0 {
		o.IPP = &exposure.IPP{}
		for _, v := range z.AttrVersions[:min(len(z.AttrVersions), 16)] {
			o.IPP.Versions = append(o.IPP.Versions, Clip(v, 16))
		}
	}
	o.Printers = z.printers()
	if z.CUPSVersion != "" || z.AttrCUPS != "" {
		o.CUPS = &exposure.CUPS{Server: Clip(z.CUPSVersion, 64), Reported: Clip(z.AttrCUPS, 32)}
		if o.CUPS.Reported == "" {
			o.CUPS.Reported = strings.TrimPrefix(o.CUPS.Server, "CUPS/")
		}
		// The list of queues is asked for last; two printers come of nothing else.
		o.CUPS.Queues = len(o.Printers) > 1 || len(o.Printers) == 1 && z.CUPSResponse != nil && z.CUPSResponse.StatusCode == ok
	}
	if z.TLS != nil {
		o.TLS = &exposure.TLS{Offered: true, Version: Clip(z.TLS.Log.Hello.Version.Name, 32)}
	}
}

// header returns the first value of a header, whose name zgrab2 writes with
// underscores.
func (h *zgrabHTTP) header(name string) string {
	var values []string
	if err := json.Unmarshal(h.Headers[name], &values); err != nil || len(values) == 0 {
		return ""
	}
	return Clip(values[0], MaxText)
}

// ok is the status of HTTP with which IPP comes (RFC 8010, section 3.4.3).
const ok = 200

// Bounds of what one answer may list.
const (
	mostPrinters   = 1000
	mostAttributes = 256
	mostValues     = 256
)

// printers tells the printers apart in what zgrab2 has strung together: it
// drops the delimiters of the groups, so a name that comes again begins another.
// Collections, which it does not read, come as their parts and are left out.
func (z *zgrabResult) printers() []exposure.Printer {
	var list []exposure.Printer
	var p exposure.Printer
	for _, a := range z.Attributes {
		if !strings.Contains(a.Name, "-") || strings.HasPrefix(a.Name, "attributes-") || strings.HasPrefix(a.Name, "status-") {
			continue // the operation's own, or a part of a collection
		}
		name := Clip(a.Name, 255)
		if _, again := p.Attributes[name]; again {
			list = append(list, p)
			p = exposure.Printer{}
			if len(list) == mostPrinters {
				return list
			}
		}
		if p.Attributes == nil {
			p.Attributes = make(map[string][]string)
		}
		if len(p.Attributes) == mostAttributes {
			continue
		}
		values := []string{}
		for _, v := range a.Values[:min(len(a.Values), mostValues)] {
			text := ipp.Value{Tag: ipp.Tag(a.Tag), Data: string(v.Raw)}.Text()
			values = append(values, Clip(text, MaxText))
		}
		p.Attributes[name] = values
	}
	if len(p.Attributes) > 0 {
		list = append(list, p)
	}
	return list
}
