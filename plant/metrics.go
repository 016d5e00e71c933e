package plant

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/tally"
	"ippwatch/web"
)

// MetricsBy are the ways in which cases are grouped on the page.
var MetricsBy = []string{"constituent", "country", "asn", "severity", "rule"}

// figures remembers what was measured, by who sees what and how it is grouped.
type figures struct {
	mu  sync.Mutex // guards the rest
	all map[string]*kept[Figures]
	one sync.Mutex // held while something is measured
}

const (
	// figuresAge is how old figures may be: they change by the day.
	figuresAge  = 5 * time.Minute
	mostFigures = 64
)

// metricsPage is what the figures page shows.
type metricsPage struct {
	By      string
	NewOnly bool
	Choices []string
	Ready   bool
	At      time.Time
	Figures
	Table       *web.Listing
	Definitions []definition
	Few         int
}

type definition struct{ Name, Text, ID string }

// Days writes a figure of days, or the word why there is none.
func (metricsPage) Days(s *web.Sheet, f tally.Figure) string { return said(s, f, f.Days()) }

// Percent writes a share, or the word why there is none.
func (metricsPage) Percent(s *web.Sheet, f tally.Figure) string { return said(s, f, f.Percent()) }

func said(s *web.Sheet, f tally.Figure, shown string) string {
	switch f.Word {
	case tally.TooFew:
		return s.T("metrics.word.too_few")
	case tally.TooEarly:
		return s.T("metrics.word.too_early")
	}
	return shown
}

func (p *Plant) asks(r *http.Request, v *gate.Visit) (Measured, error) {
	q := Measured{By: r.URL.Query().Get("by"), NewOnly: r.URL.Query().Get("new_only") == "1"}
	if q.By != "" && !slices.Contains(p.ways(v), q.By) {
		return q, gate.Bad("by %q: want %s", q.By, strings.Join(p.ways(v), ", "))
	}
	return q, nil
}

// ways are how a visitor may group: who sees its own networks alone knows of no
// other constituent.
func (p *Plant) ways(v *gate.Visit) []string {
	if v.View.Tier == access.Operator {
		return MetricsBy
	}
	return slices.DeleteFunc(slices.Clone(MetricsBy), func(by string) bool { return by == "constituent" })
}

// measured returns the figures; ready is false while they are computed for the
// first time.
func (p *Plant) measured(r *http.Request, v *gate.Visit, q Measured) (f Figures, at time.Time, ready bool, err error) {
	if p.Measure == nil {
		return f, at, false, gate.NotFound
	}
	view := p.own()
	key := fmt.Sprint(q)
	if v.View.Tier != access.Operator {
		view = v.View
		key += fmt.Sprint(view.Tier, view.Networks, view.Windows)
	}
	p.figures.mu.Lock()
	if p.figures.all == nil || len(p.figures.all) > mostFigures {
		p.figures.all = make(map[string]*kept[Figures])
	}
	k := p.figures.all[key]
	if k == nil {
		k = &kept[Figures]{}
		p.figures.all[key] = k
	}
	p.figures.mu.Unlock()
	return k.get(r.Context(), p, figuresAge, func(ctx context.Context, _ Figures) (Figures, error) {
		p.figures.one.Lock() // a table of a million cases keeps a core busy for half a minute
		defer p.figures.one.Unlock()
		if ctx.Err() != nil {
			return Figures{}, ctx.Err()
		}
		view.At = p.Now()
		return p.Measure(ctx, view, q)
	})
}

func (p *Plant) metrics(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	q, err := p.asks(r, v)
	if err != nil {
		return err
	}
	d := metricsPage{By: q.By, NewOnly: q.NewOnly, Choices: p.ways(v), Few: tally.Few}
	if d.Figures, d.At, d.Ready, err = p.measured(r, v, q); err != nil {
		return err
	}
	if d.Ready && q.By != "" {
		var done bool
		if d.Table, done, err = p.list(w, r, v, groupsTable(q.By, d.All), func(web.Query) ([]web.Row, error) { return p.groupRows(r, v, d.Groups), nil }); err != nil || done {
			return err
		}
	}
	for i, one := range tally.Definitions {
		d.Definitions = append(d.Definitions, definition{one.Name, one.Text, fmt.Sprintf("d%d", i)})
	}
	return p.site.Page(w, r, v, "metrics", d)
}

func groupsTable(by string, all tally.Group) *web.Table {
	t := &web.Table{
		Name: "groups", Title: "metrics.by." + by, Sort: "-cases", Empty: "metrics.none",
		Columns: []web.Column{
			{Name: "group", Text: "metrics.group", Head: true, Sorts: true},
			{Name: "cases", Text: "metrics.cases", Number: true, Sorts: true},
			{Name: "fixed", Text: "metrics.fixed", Number: true, Sorts: true},
			{Name: "half_life_days", Text: "metrics.half_life", Number: true, Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
	for _, c := range all.Closed {
		t.Columns = append(t.Columns, web.Column{Name: fmt.Sprintf("fixed_%.0fd", c.Day), Text: fmt.Sprintf("metrics.fixed_%.0fd", c.Day), Number: true, Sorts: true})
	}
	for _, name := range []string{"notice", "answer", "delivered", "bounced", "reopened"} {
		t.Columns = append(t.Columns, web.Column{Name: name, Text: "metrics." + name, Number: true, Sorts: true})
	}
	return t
}

// groupRows are the figures of the groups. One that is not given is a word, and
// sorts behind all.
func (p *Plant) groupRows(r *http.Request, v *gate.Visit, groups []tally.Group) []web.Row {
	cell := func(f tally.Figure, shown string) web.Cell {
		switch {
		case f.Word == tally.TooFew, f.Word == tally.TooEarly:
			return web.Cell{Value: "", Text: p.site.Text(r, v, "metrics.word."+strings.ReplaceAll(string(f.Word), " ", "_"))}
		case !f.Given():
			return web.Cell{Value: "", Text: shown}
		}
		return web.Cell{Value: math.Round(f.Value*1000) / 1000, Text: shown}
	}
	var rows []web.Row
	for _, g := range groups {
		row := web.Row{ID: g.Name, Cells: []web.Cell{{Value: g.Name}, {Value: g.Spells}, {Value: g.Events}, cell(g.HalfLife, g.HalfLife.Days())}}
		for _, c := range g.Closed {
			row.Cells = append(row.Cells, cell(c.Figure, c.Percent()))
		}
		row.Cells = append(row.Cells, cell(g.Notice, g.Notice.Days()), cell(g.Answer, g.Answer.Days()), cell(g.Delivered, g.Delivered.Percent()),
			cell(g.Bounced, g.Bounced.Percent()), cell(g.Reopened, g.Reopened.Percent()))
		rows = append(rows, row)
	}
	return rows
}

// curve is the picture of the survival curves.
func (p *Plant) curve(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	q, err := p.asks(r, v)
	if err != nil {
		return err
	}
	f, _, ready, err := p.measured(r, v, q)
	if err != nil {
		return err
	}
	if !ready {
		return &gate.Problem{Status: http.StatusServiceUnavailable, Code: "busy", Detail: "it is being computed: try again in a while"}
	}
	title := p.site.Text(r, v, "metrics.curve")
	if q.By != "" {
		title += ", " + p.site.Text(r, v, "metrics.by."+q.By)
	}
	report := f.Report
	if q.By == "" {
		report.Groups = nil
	}
	var b bytes.Buffer
	if _, err := tally.SVG(&b, &report, title); err != nil {
		return err
	}
	return gate.Send(w, r, http.StatusOK, "image/svg+xml", gate.Private, b.Bytes())
}
