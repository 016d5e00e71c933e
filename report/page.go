package report

import (
	_ "embed" // for the template
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// A Page is a report for people: one file that needs nothing else, to read on
// a screen or to print.
type Page struct {
	Title   string    // whose hosts these are
	Name    string    // the constituent's; a host says when another one is told first
	Type    Type      // what the page holds; "" for [All]
	Date    time.Time // the day that is reported
	Made    time.Time // when the page was made
	Contact string    // whom to ask, as the scope file says; may be empty
	Rows    []Row
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// HTML writes the page. It shows the rows of its type that have findings, grouped
// by host and worst first, after what to do about each kind of finding.
func HTML(w io.Writer, p Page) error {
	if err := pageTemplate.Execute(w, view(p)); err != nil {
		return fmt.Errorf("write page for %q: %w", p.Title, err)
	}
	return nil
}

// The views are what the template shows, ready to be printed.
type (
	pageView struct {
		Title, Date, Day, Made, Contact string
		Part                            string // what the page holds, empty when it is everything
		Simulated                       string // a sentence, empty when all hosts are real
		Hosts                           string
		Counts                          []countView
		Rules                           []ruleView
		Groups                          []groupView
		Countries                       bool
	}
	countView struct {
		Severity exposure.Severity
		Hosts    int
	}
	ruleView struct {
		rule.Rule
		Hosts string
	}
	groupView struct {
		Severity exposure.Severity
		Hosts    []*hostView
		Count    string
	}
	hostView struct {
		Addr, Hostname, Where, Network, First string
		Severity                              exposure.Severity
		Simulated                             bool
		Queues                                []string // that our probe may have left there
		Doors                                 []doorView
	}
	doorView struct {
		Name, Seen, Since string
		Findings          []findingView
		rank              int // of the worst finding
	}
	findingView struct {
		ID, Title, Evidence string
		Severity            exposure.Severity
	}
)

func view(p Page) pageView {
	v := pageView{
		Title: Plain(p.Title), Date: p.Date.UTC().Format("2 January 2006"), Day: p.Date.UTC().Format(time.DateOnly),
		Made: p.Made.UTC().Format("2006-01-02 15:04 UTC"), Contact: Plain(p.Contact),
	}
	v.Part = parts[p.Type]
	hosts := p.hosts()
	v.Hosts = plural(len(hosts), "host", "hosts")
	found := make(map[string]int) // hosts by rule
	simulated := 0
	for _, h := range hosts {
		if h.First == p.Name {
			h.First = ""
		}
		if h.Where != "" {
			v.Countries = true
		}
		if h.Simulated {
			simulated++
		}
		seen := make(map[string]bool)
		for _, d := range h.Doors {
			for _, f := range d.Findings {
				if !seen[f.ID] {
					seen[f.ID] = true
					found[f.ID]++
				}
			}
		}
	}
	switch {
	case simulated > 0 && simulated == len(hosts):
		v.Simulated = "All hosts on this page are simulated. They are services that ippwatch itself runs to show how it works; nobody has to act."
	case simulated > 0:
		v.Simulated = fmt.Sprintf("%d of the %d hosts on this page are simulated and marked so: nobody has to act on them.", simulated, len(hosts))
	}
	for _, s := range exposure.Severities {
		g := groupView{Severity: s}
		for _, h := range hosts {
			if h.Severity == s {
				g.Hosts = append(g.Hosts, h)
			}
		}
		g.Count = plural(len(g.Hosts), "host", "hosts")
		v.Counts = append(v.Counts, countView{s, len(g.Hosts)})
		if len(g.Hosts) > 0 {
			v.Groups = append(v.Groups, g)
		}
		for _, r := range rule.All {
			if n := found[r.ID]; r.Severity == s && n > 0 {
				v.Rules = append(v.Rules, ruleView{r, plural(n, "host", "hosts")})
			}
		}
	}
	return v
}

// parts tell what a page of one type holds.
var parts = map[Type]string{
	ScanIPP:     "hosts that answered in IPP over TCP and IPv4",
	Scan6IPP:    "hosts that answered in IPP over TCP and IPv6",
	Special:     "hosts whose cups-browsed called back over UDP",
	CUPSBrowsed: "hosts whose cups-browsed called back over UDP",
}

// shows reports whether the page shows an observation: what its type holds, if
// there is something to do about it.
func (p *Page) shows(o *exposure.Observation) bool {
	return All.Holds(o) && (p.Type == "" || p.Type.Holds(o))
}

// hosts gathers the doors of each host, in the order of the addresses.
func (p *Page) hosts() []*hostView {
	var hosts []*hostView
	for _, r := range Newest(p.Rows) {
		if !p.shows(&r.Observation) {
			continue
		}
		addr := address(&r.Observation).String()
		if len(hosts) == 0 || hosts[len(hosts)-1].Addr != addr {
			hosts = append(hosts, &hostView{Addr: addr})
		}
		hosts[len(hosts)-1].add(&r)
	}
	return hosts
}

// add takes one more door of the host in.
func (h *hostView) add(r *Row) {
	d := doorView{
		Name: strings.ToUpper(Plain(string(r.Transport))) + " port " + strconv.Itoa(int(r.Port)),
		Seen: r.Observed.UTC().Format("2006-01-02 15:04 UTC"),
	}
	if !r.FirstSeen.IsZero() {
		d.Since = r.FirstSeen.UTC().Format("2 January 2006")
	}
	switch {
	case r.Source == exposure.Shadowserver:
		d.Seen += ", as Shadowserver reports"
	case r.Source.Feed():
		d.Seen += ", as " + Plain(string(r.Source)) + " reports"
	}
	for _, f := range r.Findings {
		title := f.Rule
		if known, ok := rule.ByID(f.Rule); ok {
			title = known.Title
		}
		s := f.Severity
		if !s.AtLeast(exposure.Info) { // none of the five: kept by somebody else's rule
			s = exposure.Info
		}
		d.Findings = append(d.Findings, findingView{ID: f.Rule, Title: Plain(title), Evidence: Plain(f.Evidence), Severity: s})
		if s.Rank() < h.Severity.Rank() {
			h.Severity = s
		}
	}
	d.rank = exposure.Worst(r.Findings).Rank()
	h.Doors = append(h.Doors, d)
	slices.SortStableFunc(h.Doors, func(a, b doorView) int { return a.rank - b.rank })
	h.Simulated = h.Simulated || r.Simulated
	if r.Callback != nil && r.Callback.Queue != "" {
		h.Queues = append(h.Queues, shellWord(Plain(r.Callback.Queue)))
	}
	if h.Hostname == "" {
		h.Hostname = Plain(r.Where.Hostname)
	}
	if h.First == "" {
		h.First = Plain(r.First)
	}
	if h.Where == "" && r.Where.Country != "" {
		var parts []string
		for _, part := range []string{r.Where.City, r.Where.Region, r.Where.Country} {
			if part != "" && !slices.Contains(parts, Plain(part)) {
				parts = append(parts, Plain(part))
			}
		}
		h.Where = strings.Join(parts, ", ")
	}
	if h.Network == "" && r.Where.ASN != 0 {
		h.Network = strings.TrimSpace(fmt.Sprintf("AS%d %s", r.Where.ASN, Plain(r.Where.ASName)))
	}
}

// Plain returns what a page or a mail may show of a text: bounded, and without characters
// that draw nothing or turn the direction of what follows.
func Plain(s string) string {
	const limit = 1000
	n := 0
	for i := range s {
		if n++; n > limit {
			s = s[:i] + "…"
			break
		}
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// shellWord returns s as one word of a command line.
func shellWord(s string) string {
	harmless := func(r rune) bool {
		return r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !harmless(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
