// Package found shows what a scan finds, as it comes and as a table of hosts.
package found

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/screen"
)

// A Writer writes the observations of a scan as they come: NDJSON and CSV at
// once, JSON as one array, the table at the end because it is worst first.
type Writer struct {
	s      *screen.Screen
	report string // the command line for it
	// Of the file; nil without one.
	file  io.WriteCloser
	flush *bufio.Writer
	lines *json.Encoder
	out   *json.Encoder
	sheet *csv.Writer
	// What stands before the next element of the array, and after the last.
	before, after string
	hosts         map[netip.Addr]*hostLine
}

// A hostLine is a host in the table.
type hostLine struct {
	addr      netip.Addr
	doors     []string
	what      string
	where     exposure.Where
	worst     exposure.Severity
	findings  []exposure.Finding // worst first
	simulated bool
	verdicts  []string
}

// New returns a Writer to the screen and to file, which gets a line of JSON for
// each observation and may be nil. Next is the command line that writes reports
// of what was found.
func New(s *screen.Screen, file io.WriteCloser, next string) *Writer {
	machine := s.Machine()
	v := &Writer{s: s, report: next, out: json.NewEncoder(machine), hosts: make(map[netip.Addr]*hostLine)}
	v.out.SetEscapeHTML(false)
	if file != nil {
		v.file, v.flush = file, bufio.NewWriter(file)
		v.lines = json.NewEncoder(v.flush)
		v.lines.SetEscapeHTML(false)
	}
	switch s.Format {
	case "csv":
		v.sheet = csv.NewWriter(machine)
		_ = v.sheet.Write(columns) // Error tells, after the flush
	case "json":
		v.before, v.after = "[\n", "[]\n"
	}
	return v
}

// columns are the columns of scan --format csv.
var columns = []string{
	"time", "run", "ip", "port", "transport", "verdict", "severity", "findings",
	"server", "cups_version", "make_and_model", "printers", "country", "asn", "simulated",
}

// Add writes a batch, or keeps it for the table.
func (v *Writer) Add(batch []exposure.Observation) error {
	for i := range batch {
		o := &batch[i]
		if v.lines != nil {
			if err := v.lines.Encode(o); err != nil {
				return err
			}
		}
		var err error
		switch v.s.Format {
		case "ndjson":
			err = v.out.Encode(o)
		case "json":
			if _, err = io.WriteString(v.s.Out, v.before); err == nil {
				err = v.out.Encode(o)
			}
			v.before, v.after = ",\n", "]\n"
		case "csv":
			err = v.sheet.Write(cells(o))
		default:
			v.host(o)
		}
		if err != nil {
			return err
		}
	}
	if v.sheet != nil {
		v.sheet.Flush()
		if err := v.sheet.Error(); err != nil {
			return err
		}
	}
	if v.file == nil {
		return nil
	}
	return v.flush.Flush()
}

func cells(o *exposure.Observation) []string {
	var server, version, model string
	if o.HTTP != nil {
		server = o.HTTP.Server
	}
	if o.CUPS != nil {
		version = o.CUPS.Reported
	}
	if len(o.Printers) > 0 {
		model = o.Printers[0].Get("printer-make-and-model")
	}
	asn := ""
	if o.Where.ASN != 0 {
		asn = strconv.FormatUint(uint64(o.Where.ASN), 10)
	}
	return []string{
		o.Observed.UTC().Format("2006-01-02T15:04:05Z"), o.Run, o.Addr.String(), strconv.Itoa(int(o.Port)), string(o.Transport),
		string(o.Verdict), string(exposure.Worst(o.Findings)), strings.Join(Rules(o.Findings), ";"),
		server, version, model, strconv.Itoa(len(o.Printers)), o.Where.Country, asn, strconv.FormatBool(o.Simulated),
	}
}

// Rules are the names of the rules that were broken.
func Rules(findings []exposure.Finding) []string {
	names := make([]string, len(findings))
	for i, f := range findings {
		names[i] = f.Rule
	}
	return names
}

// host folds an observation into the host's line.
func (v *Writer) host(o *exposure.Observation) {
	h := v.hosts[o.Addr]
	if h == nil {
		h = &hostLine{addr: o.Addr, where: o.Where}
		v.hosts[o.Addr] = h
	}
	if door := fmt.Sprintf("%d/%s", o.Port, o.Transport); !slices.Contains(h.doors, door) {
		h.doors = append(h.doors, door)
	}
	if !slices.Contains(h.verdicts, string(o.Verdict)) {
		h.verdicts = append(h.verdicts, string(o.Verdict))
	}
	h.simulated = h.simulated || o.Simulated
	if what := describeHost(o); what != "" && (h.what == "" || o.Transport == exposure.TCP) {
		h.what = strings.Clone(what) // not the whole answer of which it may be a part
	}
	if worst := exposure.Worst(o.Findings); worst != "" && (h.worst == "" || worst.Rank() < h.worst.Rank()) {
		h.worst = worst
	}
	for _, f := range o.Findings {
		if !slices.ContainsFunc(h.findings, func(have exposure.Finding) bool { return have.Rule == f.Rule }) {
			f.Evidence = "" // the table does not show it, and there may be many hosts
			h.findings = append(h.findings, f)
		}
	}
	slices.SortStableFunc(h.findings, func(a, b exposure.Finding) int { return cmp.Compare(a.Severity.Rank(), b.Severity.Rank()) })
}

// describeHost says in a few words what stands there.
func describeHost(o *exposure.Observation) string {
	var words []string
	switch {
	case o.CUPS != nil && o.CUPS.Reported != "":
		words = append(words, "CUPS "+o.CUPS.Reported)
	case o.CUPS != nil:
		words = append(words, cmp.Or(o.CUPS.Server, "CUPS"))
	case len(o.Printers) > 0:
		words = append(words, cmp.Or(o.Printers[0].Get("printer-make-and-model"), o.Printers[0].Get("printer-name")))
	case o.Callback != nil:
		agent, _, _ := strings.Cut(o.Callback.UserAgent, " ")
		words = append(words, strings.TrimSpace("cups-browsed "+agent))
	case o.HTTP != nil && o.HTTP.Server != "":
		words = append(words, o.HTTP.Server)
	}
	if o.CUPS != nil && len(o.Printers) > 0 {
		words = append(words, screen.Count(len(o.Printers), "queue", "queues"))
	}
	return strings.Join(words, ", ")
}

// Finish writes what is left and the summary, and closes the file.
func (v *Writer) Finish(sum campaign.Summary) error {
	if v.s.Format == "table" {
		return errors.Join(v.table(sum), v.Close())
	}
	v.s.Note("%s", tally(sum))
	var err error
	if v.sheet != nil {
		v.sheet.Flush()
		err = v.sheet.Error()
	} else {
		_, err = io.WriteString(v.s.Out, v.after)
	}
	return errors.Join(err, v.Close())
}

// Close closes the file.
func (v *Writer) Close() error {
	if v.file == nil {
		return nil
	}
	return errors.Join(v.flush.Flush(), v.file.Close())
}

func (v *Writer) table(sum campaign.Summary) error {
	hosts := make([]*hostLine, 0, len(v.hosts))
	simulated := false
	for _, h := range v.hosts {
		hosts = append(hosts, h)
		simulated = simulated || h.simulated
	}
	slices.SortFunc(hosts, func(a, b *hostLine) int {
		return cmp.Or(cmp.Compare(a.worst.Rank(), b.worst.Rank()), a.addr.Compare(b.addr))
	})
	t := screen.Table{Head: []string{"severity", "address", "ports", "what", "where", "findings"}}
	t.Paint = func(column int, cell string) string {
		if column == 0 {
			return v.s.Colour(cell, cell)
		}
		return cell
	}
	for _, h := range hosts {
		slices.Sort(h.doors) // the order of answers is chance
		what := h.what
		if h.simulated {
			what = strings.TrimSpace("[simulated] " + what)
		}
		findings := summarise(Rules(h.findings), screen.CellMax)
		if findings == "" {
			slices.Sort(h.verdicts)
			findings = "(" + strings.Join(h.verdicts, ", ") + ")"
		}
		t.Rows = append(t.Rows, []string{
			cmp.Or(string(h.worst), "-"), h.addr.String(), strings.Join(h.doors, " "),
			screen.Clip(screen.Printable(what), 40), place(h.where), findings,
		})
	}
	if len(t.Rows) > 0 {
		if err := t.Write(v.s.Out); err != nil {
			return err
		}
		fmt.Fprintln(v.s.Out)
	}
	fmt.Fprintln(v.s.Out, tally(sum))
	if simulated {
		fmt.Fprintln(v.s.Out, "Hosts marked [simulated] are played by ippwatch itself; they are nobody's printers.")
	}
	if sum.Complete {
		v.next(hosts)
	}
	return nil
}

// next says what to do now.
func (v *Writer) next(hosts []*hostLine) {
	if len(hosts) == 0 || len(hosts[0].findings) == 0 {
		return
	}
	v.s.Note("\nNext: ippwatch rules %s\n          what it means and how to close it", hosts[0].findings[0].Rule)
	v.s.Note("      %s\n          the day's reports; --constituents FILE makes them for each owner", v.report)
}

// summarise joins as many words as fit, and counts the others.
func summarise(words []string, width int) string {
	text := strings.Join(words, " ")
	for shown := len(words) - 1; len(text) > width && shown > 0; shown-- {
		text = fmt.Sprintf("%s +%d", strings.Join(words[:shown], " "), len(words)-shown)
	}
	return text
}

func place(w exposure.Where) string {
	asn := ""
	if w.ASN != 0 {
		asn = "AS" + strconv.FormatUint(uint64(w.ASN), 10)
	}
	return cmp.Or(strings.TrimSpace(w.Country+" "+asn), "-")
}

// tally is the summary in one line.
func tally(sum campaign.Summary) string {
	var parts []string
	for _, sev := range exposure.Severities {
		if n := sum.Severity[sev]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, sev))
		}
	}
	found := "nothing found"
	if len(parts) > 0 {
		found = "hosts by worst finding: " + strings.Join(parts, ", ")
	}
	text := fmt.Sprintf("asked %d, answered %d; %s", sum.Sent, sum.Answered, found)
	if !sum.Complete {
		text = fmt.Sprintf("not complete: asked %d of %d, done with %d, answered %d; %s", sum.Sent, sum.Total, sum.Finished, sum.Answered, found)
	}
	if n := sum.Verdicts[exposure.NoAnswer] + sum.Verdicts[exposure.NoCallback]; n > 0 {
		text += fmt.Sprintf("; %d silent, which is not the same as closed", n)
	}
	if n := sum.Unproven; n > 0 {
		text += fmt.Sprintf("; no print service answered that shows our own network at work, so the cases at %s stay as they were", screen.Count(n, "door", "doors"))
	}
	if n := sum.Verdicts[exposure.Interrupted]; n > 0 {
		text += fmt.Sprintf("; %d interrupted, for the next run", n)
	}
	if sum.Skipped > 0 {
		text += fmt.Sprintf("; %d excluded", sum.Skipped)
	}
	return text
}
