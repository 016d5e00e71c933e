package dashboard

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
)

// A page is what the template of an answer gets.
type page struct {
	S       *sketcher
	A       *Answer
	Scene   *Scene
	Devices Value
	HasGear bool
	Country *country
	Form    form
	First   time.Time // that was counted
	Last    time.Time
	Any     bool // something was counted
	Detail  bool // the visitor may ask by network and device
	Own     bool // what is counted are the visitor's own hosts
}

// A country is what a page says of one.
type country struct {
	Code, Name string
	Rank       int // 0: not known
	Of         int
	Share      float64
	Trend      *Answer
	Drawing    *Scene
	Sources    *Answer
	World      *Answer
}

// page makes the page of a question.
func (d *door) page(r *http.Request, v *gate.Visit, st state, q *Question) (*page, error) {
	ctx := r.Context()
	a, err := d.answer(ctx, v.View, q)
	if err != nil {
		return nil, err
	}
	s := d.sketcher(r, v)
	p := &page{
		S: s, A: a, Scene: s.draw(a), Form: d.form(s, a, st),
		Detail: v.View.Tier != access.Public, Own: v.View.Tier == access.Constituent,
	}
	p.First, p.Last, p.Any = st.edition.Span()
	if q.DataSet != setDevices {
		gear := *q
		gear.DataSet, gear.View, gear.GroupBy = setDevices, viewSeries, ""
		gear.Compare = time.Time{}
		all, err := d.answer(ctx, v.View, &gear)
		if err != nil {
			return nil, err
		}
		p.Devices, p.HasGear = all.Total, true
	}
	if len(q.Geo) == 1 {
		if p.Country, err = d.country(r, v, s, a); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// country gathers what is known of the one country of an answer.
func (d *door) country(r *http.Request, v *gate.Visit, s *sketcher, a *Answer) (*country, error) {
	code := a.Geo[0]
	c := &country{Code: code, Name: s.Name("geo", code)}
	ctx := r.Context()
	var err error
	q := *a.Question
	q.View, q.GroupBy, q.Compare = viewTable, "geo", time.Time{}
	q.Geo, q.Limit = nil, 5000
	if c.World, err = d.answer(ctx, v.View, &q); err != nil {
		return nil, err
	}
	c.Of = c.World.Found
	if i := slices.IndexFunc(c.World.Groups, func(g Group) bool { return g.Key == code }); i >= 0 && c.World.Groups[i].Value.N > 0 {
		c.Rank, c.Share = i+1, c.World.Groups[i].Share
	}
	q.Geo, q.GroupBy, q.Limit = a.Geo, "source", 100
	if c.Sources, err = d.answer(ctx, v.View, &q); err != nil {
		return nil, err
	}
	if a.View == viewSeries {
		return c, nil
	}
	q.View, q.GroupBy, q.Scale = viewSeries, "", "linear"
	q.Latest, q.From = false, q.To.AddDate(0, 0, -89)
	if c.Trend, err = d.answer(ctx, v.View, &q); err != nil {
		return nil, err
	}
	c.Drawing = s.drawSeries(c.Trend, chartWidth, 180, false)
	return c, nil
}

// Definition says what a number of the answer is.
func (s *sketcher) Definition(a *Answer) string {
	key := a.DataSet
	if a.span() > 1 && a.View != viewFeed || a.DataSet == setUnique {
		key += ".range"
	} else {
		key += ".day"
	}
	if a.DataSet == setUnique && a.span() == 1 {
		key = "count.day"
	}
	text := s.T("dashboard.def."+key, "error", s.Percent(100*a.Error), "days", a.Counted)
	if a.Cell > 1 {
		text += " " + s.T("dashboard.def.public", "n", a.Cell)
	}
	return text
}

// A form is the filters of a page, as they stand.
type form struct {
	Action  string
	Fields  []field // selects
	Sources []box
	Tags    []box
	Geo     []box
	D1, D2  string
	Compare string
	Limit   int
	ASN     string
	Filters int // that are set
}

// A box is something that may be chosen.
type check struct {
	Value, Text string
	On          bool
}

type (
	box   = check
	field struct {
		Name    string
		Choices []check
	}
)

func (d *door) form(s *sketcher, a *Answer, st state) form {
	f := form{Action: "/statistics/combined/" + a.View + "/", Limit: a.Limit}
	pick := func(name string, words []string, on string, key string) {
		one := field{Name: name}
		for _, w := range words {
			one.Choices = append(one.Choices, check{w, s.T(key + w), w == on})
		}
		f.Fields = append(f.Fields, one)
	}
	pick("data_set", dataSets, a.DataSet, "dashboard.set.")
	groups := groupings
	if a.Cell > 1 || s.Visit.View.Tier == access.Public {
		groups = groupings[:3]
	}
	if a.View == viewSeries {
		pick("group_by", append([]string{""}, groups...), a.GroupBy, "dashboard.group.")
		pick("stacking", stackings, a.Stacking, "dashboard.stacking.")
	} else if a.View != viewMap {
		pick("group_by", groups, a.Group, "dashboard.group.")
	}
	pick("scale", scales, a.Scale, "dashboard.scale.")
	sources := append([]string{"scan"}, st.sources...)
	sources = append(sources, a.Sources...)
	slices.Sort(sources)
	for _, name := range slices.Compact(sources) {
		f.Sources = append(f.Sources, box{name, s.sourceName(name), slices.Contains(a.Sources, name)})
	}
	for _, name := range d.lexicon.tags {
		f.Tags = append(f.Tags, box{name, name, slices.Contains(a.Tags, name)})
	}
	for _, code := range d.world.codes(s.Lang) {
		f.Geo = append(f.Geo, box{code, d.world.name(code, s.Lang), slices.Contains(a.Geo, code)})
	}
	f.Geo = append(f.Geo, box{unknownLand, s.T("dashboard.unknown"), slices.Contains(a.Geo, unknownLand)})
	if !a.Latest || a.Range != "" {
		f.D1, f.D2 = a.From.Format(time.DateOnly), a.To.Format(time.DateOnly)
	}
	if !a.Compare.IsZero() {
		f.Compare = a.Compare.Format(time.DateOnly)
	}
	if a.ASN != 0 {
		f.ASN = strconv.FormatUint(uint64(a.ASN), 10)
	}
	f.Filters = len(a.Sources) + len(a.Tags) + len(a.Geo) + boolInt(a.ASN != 0) + boolInt(a.Vendor != "") + boolInt(a.Model != "")
	return f
}

// Views are the views and where they are.
func (p *page) Views() []check {
	var out []check
	for _, view := range views {
		out = append(out, check{p.A.to(view), p.S.T("dashboard.view." + view), view == p.A.View})
	}
	return out
}

// Spans are ranges that end where the answer ends.
func (p *page) Spans() []check {
	var out []check
	for _, r := range ranges[:4] {
		n, _ := strconv.Atoi(r)
		q := *p.A.Question
		q.Range, q.From = r, q.To.AddDate(0, 0, 1-n)
		if n > 1 {
			q.Compare = time.Time{}
		}
		out = append(out, check{q.to(q.View), p.S.N("dashboard.days", int64(n)), n == p.A.span()})
	}
	return out
}

// Downloads are the same in other formats.
func (p *page) Downloads() []check {
	var out []check
	for _, f := range []string{"json", "csv", "svg", "png"} {
		out = append(out, check{p.A.to(p.A.View, "format", f), map[string]string{"json": "JSON", "csv": "CSV", "svg": "SVG", "png": "PNG"}[f], false})
	}
	return out
}

// Permalink is the page with its days named.
func (p *page) Permalink() string { return p.A.fixed().to(p.A.View) }

// Feed is the feed of daily numbers.
func (p *page) Feed() string {
	q := *p.A.Question
	q.Latest, q.Range = true, ""
	return q.to(viewFeed)
}

// Everywhere is the same without a country.
func (p *page) Everywhere() string { return p.A.to(p.A.View, "geo", "") }

// Open is where selecting a group leads; empty: nowhere.
func (p *page) Open(g Group) string {
	if p.A.Group != "geo" {
		return ""
	}
	return p.A.to(p.A.View, "geo", g.Key)
}

// Bar is how long a bar is, of 100.
func (p *page) Bar(g Group) int64 {
	var most int64 = 1
	for _, one := range p.A.Groups {
		most = max(most, one.Value.N)
	}
	return 100 * g.Value.N / most
}

// Error is the standard error in words; empty: the number is exact.
func (p *page) Error() string {
	if p.A.Error == 0 {
		return ""
	}
	return p.S.Percent(100 * p.A.Error)
}

// Trend is the time series of the country.
func (p *page) Trend() string { return p.A.to(viewSeries) }

// Notes are what happened on the days of the answer.
func (p *page) Notes() []Note { return p.S.within(p.A) }

// Curves are the columns of the table under a series.
func (p *page) Curves() []curve { return p.S.curves(p.A) }

// Name is for the template.
func (c curve) Name() string { return c.name }

// At is the value of a day.
func (c curve) At(i int) Value { return c.values[i] }

// Hidden counts the groups of which only that they are there is told.
func (p *page) Hidden() int64 {
	var n int64
	for _, g := range p.A.Groups {
		if g.Value.Hidden {
			n++
		}
	}
	return n
}

// Series reports whether the view is a time series.
func (p *page) Series() bool { return p.A.View == viewSeries }

// Chart reports whether there is a drawing: the table is its own.
func (p *page) Chart() bool { return p.A.View != viewTable }

// Compared reports whether two days stand beside each other.
func (p *page) Compared() bool { return !p.A.Compare.IsZero() }

// An example is a question that is often asked.
type example struct{ Path, Text string }

// index shows where everything is.
func (d *door) index(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	st, err := d.now(r.Context(), v.View)
	if err != nil {
		return err
	}
	s := d.sketcher(r, v)
	data := struct {
		Examples    []example
		First, Last time.Time
		Any         bool
		Cell        int64
		Tags        []string
	}{Cell: guardOf(v.View, d.cell).cell, Tags: d.lexicon.tags}
	data.First, data.Last, data.Any = st.edition.Span()
	for _, e := range []example{
		{front, "map"},
		{"/statistics/combined/time-series/?date_range=365", "year"},
		{"/statistics/combined/time-series/?date_range=365&group_by=geo&stacking=stacked", "year_countries"},
		{"/statistics/combined/time-series/?date_range=other_range&d1=2024-09-01&d2=2024-10-31&tag=cups-browsed", "september"},
		{"/statistics/combined/map/?day=2024-09-27&tag=cups-browsed", "september_map"},
		{"/statistics/combined/bar/?group_by=tag", "tags"},
		{"/statistics/combined/tree/?group_by=geo", "tree"},
		{"/statistics/combined/table/?data_set=unique_ips&date_range=30", "unique"},
		{"/statistics/combined/table/?data_set=devices", "devices"},
	} {
		data.Examples = append(data.Examples, example{e.Path, s.T("dashboard.example." + e.Text)})
	}
	if v.Role != access.RolePublic {
		return d.site.Page(w, r, v, "statistics_index", data)
	}
	body, err := d.site.Render(r, v, "statistics_index", data)
	if err != nil {
		return err
	}
	return newKept("text/html; charset=utf-8", "", body).send(w, r, "public, max-age=60")
}
