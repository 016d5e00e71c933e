package outpost

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/courier"
	"ippwatch/exposure"
	"ippwatch/journal"
	"ippwatch/screen"
	"ippwatch/sketch"
	"ippwatch/soc"
)

type reportFlags struct {
	date, kind, format string
	withhold           bool
}

// What report writes, and in which formats; the first is the default.
var reportFormats = map[string][]string{
	"summary":         {"table", "json", "ndjson", "csv"},
	"events":          {"ndjson", "ecs", "intelmq", "pcap"},
	"blocklist":       {"text"},
	string(soc.Scan):  {"csv"},
	string(soc.Scan6): {"csv"},
	string(soc.Amp):   {"csv"},
	string(soc.Amp6):  {"csv"},
}

var reportKinds = []string{"summary", "events", string(soc.Scan), string(soc.Scan6), string(soc.Amp), string(soc.Amp6), "blocklist"}

func (h *Host) reportCommand() *cobra.Command {
	f := &reportFlags{}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Who came on a day, in the forms that others take in",
		Long: `Report writes what sensors heard on a UTC day. summary counts by class, with estimates
of how many different sources, networks and call-back hosts there were, and says what
was lost. events are the visits as NDJSON, in the Elastic Common Schema, for IntelMQ, or
as a capture file. event4_honeypot_ipp_scan has the columns that Shadowserver's reports
on honeypots share; in event4_honeypot_ddos_amp src_ip is the victim: whom the packets
would have made others call. event6 is the same over IPv6. blocklist lists who wanted
something printed or changed over TCP: no UDP packet puts anybody on it.`,
		Example: `  ippwatch sensor report --date yesterday
  ippwatch sensor report --type events --format ecs
  ippwatch sensor report --type event4_honeypot_ddos_amp --withhold > amp.csv`,
		Args: answer.Wants(),
		RunE: answer.Do(func(ctx context.Context, _ []string) error { return h.report(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.date, "date", "today", "UTC day: yesterday, today, or as 2026-11-23")
	fl.StringVar(&f.kind, "type", "summary", strings.Join(reportKinds, ", "))
	fl.StringVar(&f.format, "format", "", "of summary table, json, ndjson or csv; of events ndjson, ecs, intelmq or pcap")
	fl.BoolVar(&f.withhold, "withhold", false, "leave out where the sensor is and what it is called")
	_ = cmd.RegisterFlagCompletionFunc("date", cobra.FixedCompletions([]string{"today", "yesterday"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(reportKinds, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return reportFormats[f.kind], cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (h *Host) report(ctx context.Context, f *reportFlags) error {
	formats, ok := reportFormats[f.kind]
	if !ok {
		return answer.Usage("--type %q: want %s", f.kind, strings.Join(reportKinds, ", "))
	}
	if f.format == "" {
		f.format = formats[0]
	}
	if !slices.Contains(formats, f.format) {
		return answer.Usage("--format %q: %s is written as %s", f.format, f.kind, strings.Join(formats, ", "))
	}
	from, to, err := h.day(f.date)
	if err != nil {
		return err
	}
	kept, err := h.records(ctx)
	if err != nil {
		return err
	}
	defer kept.Close()
	visits := func() iter.Seq2[exposure.Visit, error] { return kept.Visits(ctx, from, to) }
	o := soc.Options{Withhold: f.withhold, Where: kept.Where}
	switch f.kind {
	case "summary":
		return h.summary(kept.Censuses(ctx, from, to), f.format, from)
	case "events":
		return h.events(visits(), f.format, o)
	case "blocklist":
		var list soc.Blocklist
		for v, err := range visits() {
			if err != nil {
				return err
			}
			list.Add(&v)
		}
		for _, a := range list.Addrs() {
			fmt.Fprintln(h.Screen.Out, a)
		}
		return nil
	}
	n, err := soc.CSV(h.Screen.Machine(), soc.Type(f.kind), visits(), o)
	if err == nil {
		h.Screen.Note("%s", plural(int64(n), "event", "events"))
	}
	return err
}

func (h *Host) events(visits iter.Seq2[exposure.Visit, error], format string, o soc.Options) error {
	out := bufio.NewWriter(h.Screen.Machine())
	if format == "pcap" {
		if h.Screen.OutTerminal {
			return answer.Usage("--format pcap is no text: ippwatch sensor report --type events --format pcap > visits.pcap")
		}
		if o.Withhold {
			return answer.Usage("--format pcap has the sensor's address in every packet: --withhold cannot leave it out")
		}
		p := soc.NewPcap(out)
		for v, err := range visits {
			if err == nil {
				err = p.Add(&v)
			}
			if err != nil {
				return err
			}
		}
		if err := p.Head(); err != nil {
			return err
		}
		return out.Flush()
	}
	write := soc.NDJSON
	switch format {
	case "ecs":
		write = soc.ECS
	case "intelmq":
		write = soc.IntelMQ
	}
	for v, err := range visits {
		if err != nil {
			return err
		}
		b, err := write(v, o)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return out.Flush()
}

// records are where the events are: the archive of this program, if it has one
// here, else the journal of the sensor.
func (h *Host) records(ctx context.Context) (Kept, error) {
	if h.Open != nil && h.There() {
		return h.Open(ctx)
	}
	if _, err := os.Stat(h.inner()); err != nil {
		return nil, answer.Hint(fmt.Errorf("%s has no events of a sensor", *h.Data), "ippwatch sensor makes them; another directory is named with --data")
	}
	return diary{h.inner()}, nil
}

// A diary reads the journals of a sensor.
type diary struct{ dir string }

func (diary) Where(netip.Addr) exposure.Where { return exposure.Where{} }
func (diary) Close() error                    { return nil }

func (diary) AppendVisits(context.Context, []exposure.Visit) (int, error) {
	return 0, errReadOnly
}

func (diary) AppendCensuses(context.Context, []exposure.Census) (int, error) {
	return 0, errReadOnly
}

func (d diary) Visits(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Visit, error] {
	return within(ctx, d.dir, courier.Visits, from, to, func(v *exposure.Visit) time.Time { return v.Observed })
}

func (d diary) Censuses(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Census, error] {
	return within(ctx, d.dir, courier.Counts, from, to, func(c *exposure.Census) time.Time { return c.Began })
}

// within yields what is in a journal and of that time. What cannot be read is
// passed over: it was damaged.
func within[T any](ctx context.Context, dir, name string, from, to time.Time, when func(*T) time.Time) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		// A clock that was set may have put an event a little aside.
		start, err := journal.Since(dir, name, from.AddDate(0, 0, -2))
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		r := journal.Reader{Dir: dir, Name: name, At: start}
		for {
			lines, err := r.Read(1000)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			if len(lines) == 0 {
				return
			}
			for _, line := range lines {
				var one T
				if json.Unmarshal(line, &one) != nil {
					continue
				}
				if at := when(&one); at.Before(from) || !at.Before(to) {
					continue
				}
				if !yield(one, nil) {
					return
				}
			}
		}
	}
}

// A sum is what was counted of one class on a day.
type sum struct {
	Class     exposure.Class     `json:"class"`
	Transport exposure.Transport `json:"transport"`
	Packets   int64              `json:"packets"`
	Bytes     int64              `json:"bytes"`
	Told      int64              `json:"told"`
	Listed    int64              `json:"listed"`
	Sources   uint64             `json:"sources"`
	Networks  uint64             `json:"networks"`
	Hosts     uint64             `json:"callback_hosts"`

	sources, networks, hosts *sketch.Sketch
}

// A summary is a day.
type summary struct {
	Date       string              `json:"date"`
	Sensors    []string            `json:"sensors"`
	Classes    []*sum              `json:"classes"`
	Lost       exposure.Health     `json:"lost"`
	TopSources []exposure.Frequent `json:"top_sources"`
	TopHosts   []exposure.Frequent `json:"top_callback_hosts"`
	Note       string              `json:"note"`
}

const summaryNote = "sources, networks and callback_hosts are estimates, within about 2 %; the source of a UDP packet can be forged, and the same packet serves a check and an attack"

// most is how many of the most frequent are shown.
const most = 10

// addUp makes a summary of censuses.
func addUp(censuses iter.Seq2[exposure.Census, error], day time.Time) (*summary, error) {
	s := &summary{Date: day.Format(time.DateOnly), Sensors: []string{}, Classes: []*sum{}, TopSources: []exposure.Frequent{}, TopHosts: []exposure.Frequent{}, Note: summaryNote}
	sources, hosts := map[string]int64{}, map[string]int64{}
	for c, err := range censuses {
		if err != nil {
			return nil, err
		}
		if !slices.Contains(s.Sensors, c.Sensor) {
			s.Sensors = append(s.Sensors, c.Sensor)
		}
		if c.Health != nil {
			s.Lost.Dropped += c.Health.Dropped
			s.Lost.Unwritten += c.Health.Unwritten
			s.Lost.Shed += c.Health.Shed
			s.Lost.Refused += c.Health.Refused
		}
		if c.Class == "" {
			continue
		}
		if err := s.of(&c).add(&c); err != nil {
			return nil, err
		}
		for _, f := range c.TopSources {
			sources[f.What] += f.N - f.Over
		}
		for _, f := range c.TopHosts {
			hosts[f.What] += f.N - f.Over
		}
	}
	slices.Sort(s.Sensors)
	slices.SortStableFunc(s.Classes, func(a, b *sum) int {
		return cmp.Compare(slices.Index(exposure.Classes, a.Class), slices.Index(exposure.Classes, b.Class))
	})
	for _, one := range s.Classes {
		one.Sources, one.Networks, one.Hosts = one.sources.Estimate(), one.networks.Estimate(), one.hosts.Estimate()
	}
	s.TopSources, s.TopHosts = topOf(sources), topOf(hosts)
	return s, nil
}

func (s *summary) of(c *exposure.Census) *sum {
	for _, one := range s.Classes {
		if one.Class == c.Class && one.Transport == c.Transport {
			return one
		}
	}
	one := &sum{Class: c.Class, Transport: c.Transport, sources: sketch.New(), networks: sketch.New(), hosts: sketch.New()}
	s.Classes = append(s.Classes, one)
	return one
}

func (s *sum) add(c *exposure.Census) error {
	s.Packets += c.Packets
	s.Bytes += c.Bytes
	s.Told += c.Told
	s.Listed += c.Listed
	return cmp.Or(s.sources.Merge(c.Sources.Sketch), s.networks.Merge(c.Networks.Sketch), s.hosts.Merge(c.Hosts.Sketch))
}

// topOf are the most frequent of those that were among the most frequent of a
// minute; the counts are at least so high.
func topOf(counted map[string]int64) []exposure.Frequent {
	all := make([]exposure.Frequent, 0, len(counted))
	for what, n := range counted {
		if n > 0 {
			all = append(all, exposure.Frequent{What: what, N: n})
		}
	}
	slices.SortFunc(all, func(a, b exposure.Frequent) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.What, b.What))
	})
	return all[:min(most, len(all))]
}

func (h *Host) summary(censuses iter.Seq2[exposure.Census, error], format string, day time.Time) error {
	s, err := addUp(censuses, day)
	if err != nil {
		return err
	}
	out := *h.Screen
	out.Format = format
	if format == "json" {
		return out.Document(s)
	}
	if format == "table" {
		fmt.Fprintf(out.Out, "%s UTC, %s %s\n", s.Date, map[bool]string{true: "sensor", false: "sensors"}[len(s.Sensors) == 1], screen.Printable(strings.Join(s.Sensors, ", ")))
	}
	err = screen.Listing[*sum]{
		Columns: []string{"class", "transport", "packets", "told", "listed", "sources", "networks", "callback_hosts"},
		Cells: func(c *sum) []string {
			return []string{
				string(c.Class), string(c.Transport), fmt.Sprint(c.Packets), fmt.Sprint(c.Told), fmt.Sprint(c.Listed),
				fmt.Sprint(c.Sources), fmt.Sprint(c.Networks), fmt.Sprint(c.Hosts),
			}
		},
		Empty: "nobody came",
	}.Show(&out, s.Classes)
	if err != nil || format != "table" {
		return err
	}
	writeTop(out.Out, "most frequent sources (over UDP they can be forged)", s.TopSources)
	writeTop(out.Out, "most frequent call-back hosts (victims, or the scanners themselves)", s.TopHosts)
	fmt.Fprintf(out.Out, "\nlost: %s dropped by the kernel, %s not written, %s removed to keep to --keep, %s refused\n",
		plural(s.Lost.Dropped, "packet", "packets"), plural(s.Lost.Unwritten, "visit", "visits"), plural(s.Lost.Shed, "visit", "visits"),
		plural(s.Lost.Refused, "connection", "connections"))
	return nil
}

func writeTop(w io.Writer, title string, top []exposure.Frequent) {
	if len(top) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, f := range top {
		fmt.Fprintf(w, "  %-40s %d\n", screen.Clip(screen.Printable(f.What), 80), f.N)
	}
}
