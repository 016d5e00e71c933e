package tally

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// What is worth how many points. A case has the sum of the first six; a host or
// a constituent those of its worst case and some for what else there is.
const (
	calledPoints    = 30 // the host itself called us
	confirmedPoints = 15 // we saw it
	reportedPoints  = 5  // somebody else did

	agePoints, agePer, ageMost     = 1, 7, 20 // for each week open
	ratioPoints, ratioMost         = 4, 20    // for each doubling of what it sends for what it gets
	reopenedPoints, reopenedMost   = 5, 15    // for each time that it was opened again
	nobodyToldPoints               = 15       // none was told, or the notice came back
	noAnswerPoints                 = 5        // told, and silent since
	furtherCasePoints, furtherMost = 1, 5     // for each further case of a host
	hostsPoints, hostsMost         = 5, 40    // for each doubling of the hosts of a constituent
)

// severityPoints are those of a severity. Info is nobody's reason to call.
var severityPoints = map[exposure.Severity]int{
	exposure.Critical: 50, exposure.High: 30, exposure.Medium: 12, exposure.Low: 4,
}

// A Weight is a line of the table of points.
type Weight struct {
	Column string `json:"column"`
	Points string `json:"points"`
	For    string `json:"for"`
}

// Weights are the table of points; docs/metrics.md has the same.
func Weights() []Weight {
	each := func(points, most int) string { return fmt.Sprintf("%d each, at most %d", points, most) }
	of := func(s exposure.Severity) string { return strconv.Itoa(severityPoints[s]) }
	return []Weight{
		{"severity", of(exposure.Critical), "critical"},
		{"severity", of(exposure.High), "high"},
		{"severity", of(exposure.Medium), "medium"},
		{"severity", of(exposure.Low), "low"},
		{"proof", strconv.Itoa(calledPoints), "the host called us: proven by itself"},
		{"proof", strconv.Itoa(confirmedPoints), "our own probe saw it"},
		{"proof", strconv.Itoa(reportedPoints), "a feed reports it"},
		{"proof", "0", "silent since, found closed once, or a stated version only"},
		{"age", each(agePoints, ageMost), "week for which it is known open in this cycle"},
		{"ratio", each(ratioPoints, ratioMost), "doubling of the bytes that one byte brings back"},
		{"reopened", each(reopenedPoints, reopenedMost), "time that it was opened again"},
		{"contact", strconv.Itoa(nobodyToldPoints), "nobody was told yet, or the notice came back"},
		{"contact", strconv.Itoa(noAnswerPoints), "told, and no answer yet"},
		{"contact", "0", "acknowledged, or claimed to be fixed"},
		{"more", each(furtherCasePoints, furtherMost), "further case of the host (--by host)"},
		{"more", each(hostsPoints, hostsMost), "doubling of the number of hosts (--by constituent)"},
	}
}

// A Candidate is a case that somebody may have to be called about.
type Candidate struct {
	exposure.Exposure
	Opened time.Time // in this cycle
	Ratio  float64   // of its last observation; 0: none was measured
}

// Points are why somebody is called first, by column.
type Points struct {
	Severity int `json:"severity"`
	Proof    int `json:"proof"`
	Age      int `json:"age"`
	Ratio    int `json:"ratio"`
	Reopened int `json:"reopened"`
	Contact  int `json:"contact"`
	More     int `json:"more"`
}

// Sum is what the order goes by.
func (p Points) Sum() int {
	return p.Severity + p.Proof + p.Age + p.Ratio + p.Reopened + p.Contact + p.More
}

// score returns the points of a case, and why it has each.
func score(c *Candidate) (p Points, why []string) {
	add := func(column *int, points int, format string, args ...any) {
		if *column = points; points > 0 {
			why = append(why, fmt.Sprintf(format, args...)+fmt.Sprintf(" +%d", points))
		}
	}
	add(&p.Severity, severityPoints[c.Severity], "%s", c.Severity)
	proof, word := proof(c)
	add(&p.Proof, proof, "%s", word)
	open := c.open()
	add(&p.Age, min(ageMost, open/agePer*agePoints), "open %s", plural(open, "day", "days"))
	if c.Ratio > 1 {
		add(&p.Ratio, min(ratioMost, int(math.Log2(c.Ratio))*ratioPoints), "sends %.1f bytes for one", c.Ratio)
	}
	if again := c.Cycle - 1; again > 0 {
		add(&p.Reopened, min(reopenedMost, again*reopenedPoints), "opened again %s", plural(again, "time", "times"))
	}
	switch c.Contact {
	case exposure.NotContacted:
		add(&p.Contact, nobodyToldPoints, "nobody told yet")
	case exposure.Undeliverable:
		add(&p.Contact, nobodyToldPoints, "the notice came back")
	case exposure.Notified:
		add(&p.Contact, noAnswerPoints, "told, no answer")
	case exposure.Acknowledged, exposure.Claimed:
	}
	return p, why
}

// versionRule is the rule that goes by what a host says of itself.
const versionRule = "reported-cups-version"

func proof(c *Candidate) (points int, word string) {
	switch {
	case c.Rule == versionRule:
		return 0, ""
	case c.Condition == exposure.Confirmed && c.Transport == exposure.UDP:
		return calledPoints, "it called us"
	case c.Condition == exposure.Confirmed:
		return confirmedPoints, "we saw it"
	case c.Condition == exposure.Reported:
		return reportedPoints, "a feed reports it"
	}
	return 0, ""
}

// open is for how many whole days the hole is known open.
func (c *Candidate) open() int { return max(0, int(days(c.LastSeen.Sub(c.Opened)))) }

// mostCases is how many case numbers somebody reads out on the telephone.
const mostCases = 5

// A Ranked is a host or a constituent on the list.
type Ranked struct {
	Rank      int      `json:"rank"`
	Name      string   `json:"name"`
	Points    int      `json:"points"`
	Parts     Points   `json:"parts"`
	Why       string   `json:"why"`
	Say       string   `json:"say"` // to whoever answers the telephone
	Hosts     int      `json:"hosts"`
	Cases     int      `json:"cases"`
	Numbers   []string `json:"case_numbers"` // the worst first, five at most
	Simulated bool     `json:"simulated,omitempty"`

	Lead Candidate `json:"lead"` // the worst case

	why   []string
	worst []scored
	last  exposure.Key
}

type scored struct {
	key    exposure.Key
	points int
}

// A Ranking gathers candidates, and keeps the first of the list only.
type Ranking struct {
	limit  int // 0: none
	byHost bool
	open   map[string]*Ranked
	done   []*Ranked
	order  []string
}

// NewRanking returns an empty list of constituents, or of hosts.
func NewRanking(byHost bool, limit int) *Ranking {
	return &Ranking{limit: limit, byHost: byHost, open: make(map[string]*Ranked)}
}

// Add takes a case in. Cases come in the order of addresses; those on which
// nobody has to act are passed over.
func (r *Ranking) Add(c *Candidate, name string) {
	if !c.Work() || severityPoints[c.Severity] == 0 {
		return
	}
	if r.byHost {
		name = c.Addr.String()
		if len(r.order) > 0 && r.order[len(r.order)-1] != name {
			r.close() // the host before is complete
		}
	}
	g := r.open[name]
	if g == nil {
		g = &Ranked{Name: name}
		r.open[name] = g
		r.order = append(r.order, name)
	}
	if g.Cases == 0 || g.last.Addr != c.Addr {
		g.Hosts++
	}
	g.Cases++
	g.last = c.Key
	g.Simulated = g.Simulated || c.Simulated
	p, why := score(c)
	one := scored{c.Key, p.Sum()}
	// Equal ones stay in the order of addresses.
	i, _ := slices.BinarySearchFunc(g.worst, one, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.points, a.points), -1)
	})
	if i == 0 {
		g.Lead, g.Parts, g.why = *c, p, why
	}
	if i < mostCases {
		g.worst = slices.Insert(g.worst, i, one)
		g.worst = g.worst[:min(len(g.worst), mostCases)]
	}
}

// close finishes all that is open.
func (r *Ranking) close() {
	for _, name := range r.order {
		r.done = append(r.done, r.open[name].finish(r.byHost))
		delete(r.open, name)
	}
	r.order = r.order[:0]
	if r.limit > 0 && len(r.done) > 4*r.limit+100 {
		r.sort()
		r.done = r.done[:r.limit]
	}
}

func (r *Ranking) sort() {
	slices.SortFunc(r.done, func(a, b *Ranked) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), a.Lead.Addr.Compare(b.Lead.Addr), cmp.Compare(a.Name, b.Name))
	})
}

// List returns the list, whom to call first at its head.
func (r *Ranking) List() []Ranked {
	r.close()
	r.sort()
	if r.limit > 0 && len(r.done) > r.limit {
		r.done = r.done[:r.limit]
	}
	list := make([]Ranked, len(r.done))
	for i, g := range r.done {
		g.Rank = i + 1
		list[i] = *g
	}
	return list
}

func (g *Ranked) finish(byHost bool) *Ranked {
	if byHost {
		if more := g.Cases - 1; more > 0 {
			g.Parts.More = min(furtherMost, more*furtherCasePoints)
			g.why = append(g.why, fmt.Sprintf("%s +%d", plural(more, "further case", "further cases"), g.Parts.More))
		}
	} else if doublings := bits.Len(uint(g.Hosts)) - 1; doublings > 0 { //nolint:gosec // a count
		g.Parts.More = min(hostsMost, doublings*hostsPoints)
		g.why = append(g.why, fmt.Sprintf("%d hosts +%d", g.Hosts, g.Parts.More))
	}
	g.Points = g.Parts.Sum()
	g.Why = g.Lead.Rule + " at " + g.Lead.Addr.String() + ": " + strings.Join(g.why, ", ")
	for _, s := range g.worst {
		g.Numbers = append(g.Numbers, s.key.Case())
	}
	g.Say = g.say()
	return g
}

// say is one sentence: where, what, since when, how much else, and what to do.
func (g *Ranked) say() string {
	c := &g.Lead
	title, remedy := c.Rule, ""
	if r, ok := rule.ByID(c.Rule); ok {
		title = strings.ToLower(r.Title[:1]) + r.Title[1:]
		remedy, _, _ = strings.Cut(r.Remedy.Owner, ". ")
		remedy = "; please " + strings.ToLower(remedy[:1]) + strings.TrimSuffix(remedy[1:], ".")
	}
	since := "it was so on " + c.LastSeen.UTC().Format(time.DateOnly)
	if n := c.open(); n > 0 {
		since = "it has been so for " + plural(n, "day", "days") + ", and was on " + c.LastSeen.UTC().Format(time.DateOnly)
	}
	more := ""
	switch {
	case g.Hosts == 2:
		more = "; one more host of yours has this or another fault"
	case g.Hosts > 2:
		more = fmt.Sprintf("; %d more hosts of yours have this or another fault", g.Hosts-1)
	case g.Cases == 2:
		more = "; the host has one further fault"
	case g.Cases > 2:
		more = fmt.Sprintf("; the host has %d further faults", g.Cases-1)
	}
	return fmt.Sprintf("At %s, %s port %d, %s; %s%s%s.", c.Addr, strings.ToUpper(string(c.Transport)), c.Port, title, since, more, remedy)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
