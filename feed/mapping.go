package feed

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
)

// A Mapping says which column of a table holds what: a name of [Fields], or of
// an attribute of a printer such as printer-location, to the name of a column.
type Mapping map[string]string

// Fields are what a table can tell of a host, beside attributes of a printer.
var Fields = []string{
	"ip", "time", "port", "protocol", "hostname", "country", "region", "city", "asn", "as_name", "server", "user_agent",
}

// byDefault are the names of columns that need no mapping.
var byDefault = map[string][]string{
	"ip": {"address", "addr", "host", "src_ip"}, "time": {"timestamp", "date", "observed", "last_seen"},
	"port": {"dst_port"}, "protocol": {"transport", "proto"}, "hostname": {"rdns", "ptr"}, "country": {"geo", "cc"},
	"asn": {"as"}, "server": {"banner"}, "user_agent": {"agent"},
}

// ParseMapping reads "ip=Address,time=Seen at,printer-location=Room".
func ParseMapping(pairs []string) (Mapping, error) {
	m := make(Mapping)
	for _, pair := range pairs {
		field, column, ok := strings.Cut(pair, "=")
		field = strings.TrimSpace(field)
		if !ok || field == "" || strings.TrimSpace(column) == "" {
			return nil, fmt.Errorf("column %q: want FIELD=COLUMN, such as ip=Address", pair)
		}
		if !slices.Contains(Fields, field) && !strings.HasPrefix(field, "printer-") {
			return nil, fmt.Errorf("column %q: no field %q; there are %s, and attributes such as printer-location",
				pair, field, strings.Join(Fields, ", "))
		}
		m[field] = strings.ToLower(strings.TrimSpace(column))
	}
	return m, nil
}

var errNoMapping = errors.New("no column holds an address")

// CSV reads a table of hosts that print services were found on. A row over TCP
// says that the port answered in IPP, one over UDP that the host called back;
// at is the time of rows that have none.
func CSV(m Mapping, at time.Time) Parser {
	return func(_ string, r *bufio.Reader, received time.Time) (Table, error) {
		comma, h, err := dialect(r)
		if err != nil {
			return Table{}, err
		}
		columns := m.resolve(h)
		if columns["ip"] == "" {
			return Table{}, fmt.Errorf("%w: it has %s", errNoMapping, strings.Join(quoteAll(h), ", "))
		}
		for field, column := range m {
			if !h.Has(column) {
				return Table{}, fmt.Errorf("no column %q for %s: it has %s", column, field, strings.Join(quoteAll(h), ", "))
			}
		}
		if columns["time"] == "" && at.IsZero() {
			return Table{}, errNoTime
		}
		t := Table{Type: "hosts"}
		t.Rows = Each(r, comma, func(c *Columns) Row { return columns.read(c, at, received) })
		return t, nil
	}
}

var errNoTime = errors.New("no column holds the time at which a host was seen; name one, or the day for all")

func quoteAll(h Header) []string {
	const most = 20
	var all []string
	for _, name := range h[:min(len(h), most)] {
		all = append(all, brief(name))
	}
	return all
}

// dialect tells comma, semicolon and tab apart by the header: what gives the
// most columns.
func dialect(r *bufio.Reader) (comma byte, h Header, err error) {
	for _, sign := range []byte(",;\t") {
		one, wrong := PeekHeader(r, sign)
		if wrong != nil {
			err = wrong
			continue
		}
		if len(one) > len(h) {
			comma, h = sign, one
		}
	}
	if h != nil {
		err = nil
	}
	return comma, h, err
}

// resolve adds the columns that are called as one would call them.
func (m Mapping) resolve(h Header) Mapping {
	full := make(Mapping, len(m))
	for field, column := range m {
		full[field] = column
	}
	for _, field := range Fields {
		if full[field] != "" {
			continue
		}
		for _, name := range append([]string{field}, byDefault[field]...) {
			if h.Has(name) {
				full[field] = name
				break
			}
		}
	}
	for _, name := range h {
		if strings.HasPrefix(name, "printer-") && full[name] == "" {
			full[name] = name
		}
	}
	return full
}

func (m Mapping) read(c *Columns, at, received time.Time) Row {
	o := exposure.Observation{
		V: exposure.Version, Source: exposure.CSV, Received: received, Observed: at,
		Addr: c.Addr(m["ip"]), Port: c.Port(m["port"], 631),
		Where: exposure.Where{
			Country: c.Country(m["country"]), Region: c.Text(m["region"]), City: c.Text(m["city"]),
			ASN: c.ASN(m["asn"]), ASName: c.Text(m["as_name"]), Hostname: Clip(c.Text(m["hostname"]), 255),
		},
	}
	id := c
	if m["time"] != "" && (c.Look(m["time"]) != "" || at.IsZero()) {
		o.Observed = c.Time(m["time"], received)
	} else {
		c.checkTime("the day", at, received)
		id = c.with("time", at.Format(time.RFC3339)) // seen again on another day, it is another row
	}
	o.ID = id.ID(exposure.CSV, "hosts")
	o.Run = o.Observed.Format(time.DateOnly)
	switch protocol := strings.ToLower(c.Text(m["protocol"])); protocol {
	case "", "tcp":
		o.Transport, o.Probe, o.Verdict = exposure.TCP, exposure.ProbeIPP, exposure.Answered
	case "udp":
		o.Transport, o.Probe, o.Verdict = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack
		if agent := c.Text(m["user_agent"]); agent != "" {
			o.Callback = &exposure.Callback{UserAgent: agent}
		}
	default:
		c.Fault("protocol %s is neither tcp nor udp", brief(protocol))
	}
	if server := c.Text(m["server"]); server != "" {
		o.HTTP = &exposure.HTTP{Server: server}
		for token := range strings.FieldsSeq(server) {
			if version, ok := strings.CutPrefix(token, "CUPS/"); ok && o.CUPS == nil {
				o.CUPS = &exposure.CUPS{Server: token, Reported: version}
			}
		}
	}
	p := exposure.Printer{Attributes: make(map[string][]string)}
	for field, column := range m {
		if strings.HasPrefix(field, "printer-") {
			if value := c.Text(column); value != "" {
				p.Attributes[field] = []string{value}
			}
		}
	}
	if len(p.Attributes) > 0 {
		o.Printers = []exposure.Printer{p}
	}
	o.Feed = c.Rest("hosts")
	return Row{Observation: &o}
}

// with returns the columns with one more.
func (c *Columns) with(name, value string) *Columns {
	more := &Columns{values: make(map[string]string, len(c.values)+1)}
	for k, v := range c.values {
		more.values[k] = v
	}
	more.values[name] = value
	return more
}
