package feed

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
)

// nmapHost is a host in nmap's XML (nmap.dtd), as far as we read it.
type nmapHost struct {
	End       string `xml:"endtime,attr"`
	Start     string `xml:"starttime,attr"`
	Addresses []struct {
		Addr string `xml:"addr,attr"`
		Type string `xml:"addrtype,attr"`
	} `xml:"address"`
	Hostnames []struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	} `xml:"hostnames>hostname"`
	Ports []nmapPort `xml:"ports>port"`
}

type nmapPort struct {
	Protocol string `xml:"protocol,attr"`
	ID       uint16 `xml:"portid,attr"`
	State    struct {
		State string `xml:"state,attr"`
	} `xml:"state"`
	Service struct {
		Name    string `xml:"name,attr"`
		Product string `xml:"product,attr"`
		Version string `xml:"version,attr"`
		Method  string `xml:"method,attr"` // "table" is a guess from the number of the port
	} `xml:"service"`
	Scripts []struct {
		ID     string `xml:"id,attr"`
		Output string `xml:"output,attr"`
	} `xml:"script"`
}

// maxHost bounds the XML of one host.
const maxHost = 16 << 20

var errHost = errors.New("one host takes more XML than a host can")

// Nmap reads nmap's XML: ports at which a print service was recognised, best
// with the scripts cups-info and cups-queue-info.
func Nmap(_ string, r *bufio.Reader, received time.Time) (Table, error) {
	head, err := r.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return Table{}, err
	}
	t := Table{Type: "nmaprun"}
	if !bytes.Contains(head, []byte("<nmaprun")) {
		t.Unknown = "no XML of nmap (nmap -oX)"
		return t, nil
	}
	t.Rows = nmapRows(r, received)
	return t, nil
}

func nmapRows(r *bufio.Reader, received time.Time) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		meter := &bounded{r: r, left: maxHost, err: errHost}
		// Entities that the document defines stay unknown to this decoder, and
		// an unknown one is an error; nothing outside is ever read.
		d := xml.NewDecoder(meter)
		for {
			meter.left = maxHost
			line, _ := d.InputPos()
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Row{Line: line}, err)
				return
			}
			start, ok := token.(xml.StartElement)
			if !ok || start.Name.Local != "host" {
				continue
			}
			line, _ = d.InputPos()
			var h nmapHost
			if err := d.DecodeElement(&h, &start); err != nil {
				yield(Row{Line: line}, err)
				return
			}
			for _, row := range h.rows(received) {
				row.Line = line
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// rows returns a row for each port.
func (h *nmapHost) rows(received time.Time) []Row {
	addr, ok := h.addr()
	if !ok {
		return []Row{{Aside: "the host has no address"}}
	}
	at, why := h.time(received)
	if why != "" {
		return []Row{{Aside: why, Raw: addr.String()}}
	}
	var rows []Row
	for i := range h.Ports {
		o := h.Ports[i].observation()
		if o == nil {
			rows = append(rows, Row{})
			continue
		}
		o.V, o.Source, o.Observed, o.Received, o.Run = exposure.Version, exposure.Nmap, at, received, at.Format(time.DateOnly)
		o.Addr = addr
		for _, name := range h.Hostnames {
			if name.Type == "PTR" {
				o.Where.Hostname = Clip(name.Name, 255)
			}
		}
		p := &h.Ports[i]
		content := map[string]string{
			"ip": addr.String(), "port": strconv.Itoa(int(p.ID)), "protocol": p.Protocol, "time": at.Format(time.RFC3339),
			"service": p.Service.Name + " " + p.Service.Product + " " + p.Service.Version,
		}
		for _, s := range p.Scripts {
			content["script "+s.ID] = s.Output
		}
		o.ID = exposure.NewFeedID(exposure.Nmap, "port", content)
		rows = append(rows, Row{Observation: o})
	}
	return rows
}

func (h *nmapHost) addr() (netip.Addr, bool) {
	for _, a := range h.Addresses {
		if a.Type != "ipv4" && a.Type != "ipv6" {
			continue
		}
		if addr, err := netip.ParseAddr(a.Addr); err == nil && addr.Zone() == "" && !addr.IsUnspecified() {
			return addr.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// time is when nmap was done with the host.
func (h *nmapHost) time(received time.Time) (time.Time, string) {
	text := h.End
	if text == "" {
		text = h.Start
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sec <= 0 || sec > 1<<33 {
		return time.Time{}, "endtime " + brief(text) + " is no time"
	}
	at := time.Unix(sec, 0).UTC()
	if why := implausible(at, received); why != "" {
		return at, fmt.Sprintf("endtime %s %s", at.Format(time.DateTime), why)
	}
	return at, ""
}

// observation returns what nmap says of the port, nil if that is nothing about
// printing. A name from its table of ports is a guess and says nothing.
func (p *nmapPort) observation() *exposure.Observation {
	if p.Protocol != "tcp" || p.State.State != "open" || p.ID == 0 {
		return nil
	}
	o := &exposure.Observation{
		Port: p.ID, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Identified,
		Feed: &exposure.FeedRow{Type: "nmaprun"},
	}
	cups := p.Service.Product == "CUPS"
	speaks := p.Service.Method == "probed" && (cups || p.Service.Name == "ipp")
	for _, s := range p.Scripts {
		switch s.ID {
		case "cups-info":
			o.Printers = nmapPrinters(s.Output)
		case "cups-queue-info":
			o.Jobs = nmapJobs(s.Output)
		case "http-server-header":
			header := strings.TrimSpace(s.Output)
			if strings.Contains(header, "CUPS/") || strings.Contains(header, "IPP/") {
				o.HTTP = &exposure.HTTP{Server: Clip(header, MaxText)}
				cups, speaks = cups || strings.HasPrefix(header, "CUPS/"), true
			}
		}
	}
	if len(o.Printers) > 0 || o.Jobs != nil {
		o.Verdict, speaks = exposure.Answered, true
	}
	if !speaks {
		return nil
	}
	if cups {
		o.CUPS = &exposure.CUPS{Reported: Clip(p.Service.Version, 32), Queues: len(o.Printers) > 0}
		if p.Service.Version != "" {
			o.CUPS.Server = "CUPS/" + Clip(p.Service.Version, 32)
		}
	}
	return o
}

// failed reports whether a script says that it could not do its work.
func failed(output string) bool { return strings.HasPrefix(strings.TrimSpace(output), "ERROR") }

// nmapPrinters reads what cups-info lists: a name, and below it, further in,
// "Label: value".
func nmapPrinters(output string) []exposure.Printer {
	if failed(output) {
		return nil
	}
	labels := map[string]string{"DNS-SD Name": "printer-dns-sd-name", "Location": "printer-location", "Model": "printer-make-and-model"}
	states := map[string]string{"Idle": "3", "Processing": "4", "Stopped": "5"}
	var list []exposure.Printer
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		label, value, labelled := strings.Cut(text, ":")
		value = Clip(strings.TrimSpace(value), MaxText)
		switch {
		case text == "":
		case indent < 4:
			if len(list) == mostPrinters {
				return list
			}
			list = append(list, exposure.Printer{Attributes: map[string][]string{"printer-name": {Clip(text, MaxText)}}})
		case len(list) == 0 || !labelled || value == "":
		case labels[label] != "":
			list[len(list)-1].Attributes[labels[label]] = []string{value}
		case label == "State" && states[value] != "":
			list[len(list)-1].Attributes["printer-state"] = []string{states[value]}
		case label == "Queue":
			count, _, _ := strings.Cut(value, " ")
			if _, err := strconv.ParseUint(count, 10, 32); err == nil {
				list[len(list)-1].Attributes["queued-job-count"] = []string{count}
			}
		}
	}
	return list
}

// nmapJobs counts what cups-queue-info lists. Names of jobs and of people are
// not kept (DESIGN.md, rule 7).
func nmapJobs(output string) *exposure.Jobs {
	if failed(output) || strings.TrimSpace(output) == "" {
		return nil
	}
	j := &exposure.Jobs{}
	for line := range strings.Lines(output) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := strconv.ParseUint(first, 10, 32); err == nil && len(strings.Fields(rest)) >= 4 {
			j.Listed++
		}
	}
	if j.Listed > 0 {
		j.Attributes = []string{"job-id", "job-name", "job-originating-user-name", "job-state", "job-k-octets"}
	}
	return j
}
