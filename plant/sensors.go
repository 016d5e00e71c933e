package plant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/surge"
	"ippwatch/web"
)

// late is how long a sensor may say nothing before the page says so: it tells of
// itself each minute, and a courier may take some.
const late = 15 * time.Minute

// sensorsPage is all sensors.
type sensorsPage struct {
	drawer
	Ready bool
	At    time.Time
	Back  time.Time // as far as it looks
	Rows  *web.Listing
	Some  bool
	All   chart
}

// A sensorRow is one sensor in the last day.
type sensorRow struct {
	Name    string
	Last    time.Time
	Late    bool
	Packets int64
	Told    int64
	Listed  int64
	Lost    exposure.Health
	Share   int // of the minutes of the day in which it was there
	Most    []counted
}

// Any reports whether anything was lost.
func (r sensorRow) Any() bool {
	return r.Lost.Dropped+r.Lost.Unwritten+r.Lost.Shed+r.Lost.Refused > 0
}

// Loss is all that was lost.
func (r sensorRow) Loss() int64 {
	return r.Lost.Dropped + r.Lost.Unwritten + r.Lost.Shed + r.Lost.Refused
}

func (p *Plant) sensorsPage(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, at, ready, err := p.sensors.get(r.Context(), p, censusAge, p.count)
	if err != nil {
		return err
	}
	d := sensorsPage{Ready: ready, At: at}
	t := &web.Table{
		Name: "sensors", Title: "sensors.title", Sort: "name", Empty: "sensors.none",
		Columns: []web.Column{
			{Name: "name", Text: "sensors.name", Head: true, Sorts: true},
			{Name: "last", Text: "sensors.last", Sorts: true},
			{Name: "there", Text: "sensors.there", Number: true, Sorts: true},
			{Name: "packets", Text: "sensors.packets", Number: true, Sorts: true},
			{Name: "told", Text: "sensors.told", Number: true, Sorts: true},
			{Name: "listed", Text: "sensors.listed", Number: true, Sorts: true},
			{Name: "lost", Text: "sensors.lost", Number: true, Sorts: true},
			{Name: "most", Text: "sensors.most", Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
	var done bool
	if d.Rows, done, err = p.list(w, r, v, t, func(web.Query) ([]web.Row, error) {
		var rows []web.Row
		if !ready {
			return nil, nil
		}
		for _, name := range c.names() {
			rows = append(rows, p.sensorCells(r, v, c.Sensors[name].row(v.At)))
		}
		d.Some = len(rows) > 0
		return rows, nil
	}); err != nil || done {
		return err
	}
	if ready {
		d.Back = c.From
		d.All = c.All.byClass(v.At.Add(-48*time.Hour), v.At)
	}
	return p.site.Page(w, r, v, "sensors", d)
}

func (p *Plant) sensorCells(r *http.Request, v *gate.Visit, row sensorRow) web.Row {
	last := web.Cell{Value: row.Last}
	if row.Late {
		last.Text, last.Badge = row.Last.UTC().Format("2006-01-02 15:04")+" UTC: "+p.site.Text(r, v, "sensors.late"), "high"
	}
	lost := web.Cell{Value: row.Loss()}
	if row.Any() {
		lost.Badge = "high"
	}
	var words []string
	for _, c := range row.Most {
		words = append(words, c.Name)
	}
	return web.Row{ID: row.Name, Cells: []web.Cell{
		{Value: row.Name, Link: "/sensors/" + url.PathEscape(row.Name)},
		last,
		{Value: row.Share, Text: fmt.Sprintf("%d %%", row.Share)},
		{Value: row.Packets},
		{Value: row.Told},
		{Value: row.Listed},
		lost,
		{Value: strings.Join(words, ", ")},
	}}
}

func (s *sensorSeen) row(at time.Time) sensorRow {
	day := s.sum(at.Add(-24*time.Hour).Truncate(time.Hour), at)
	row := sensorRow{Name: s.Name, Last: s.Last, Late: at.Sub(s.Last) > late, Lost: day.Lost, Share: min(100, day.Minutes*100/(24*60))}
	byClass := make(map[exposure.Class]int64)
	for class, one := range day.Classes {
		row.Packets, row.Told, row.Listed = row.Packets+one.Packets, row.Told+one.Told, row.Listed+one.Listed
		byClass[class] = one.Packets
	}
	row.Most = most(byClass, 3)
	return row
}

// sensorPage is one sensor.
type sensorPage struct {
	drawer
	sensorRow
	Ready   bool
	At      time.Time
	Hours   int
	Choices []int
	Chart   chart
	Classes *web.Listing
	Top     *web.Listing // for the operator alone
	Visits  *web.Listing
	More    bool
}

const (
	shownVisits = 500
	// readVisits bounds how many are read to find those of one class.
	readVisits = 20_000
)

func (p *Plant) sensor(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	name := r.PathValue("name")
	c, at, ready, err := p.sensors.get(r.Context(), p, censusAge, p.count)
	if err != nil {
		return err
	}
	d := sensorPage{Ready: ready, At: at, Hours: 48, Choices: []int{24, 48, 168}}
	d.Name = name
	if n, err := strconv.Atoi(r.URL.Query().Get("hours")); err == nil && slices.Contains(d.Choices, n) {
		d.Hours = n
	}
	from := v.At.Add(-time.Duration(d.Hours) * time.Hour)
	var classes, top []web.Row
	if ready {
		s := c.Sensors[name]
		if s == nil {
			return gate.NotFound
		}
		d.sensorRow = s.row(v.At)
		d.Chart = s.byClass(from, v.At)
		total := s.sum(from.Truncate(time.Hour), v.At)
		for _, class := range exposure.Classes {
			if one := total.Classes[class]; one != nil {
				classes = append(classes, web.Row{ID: string(class), Cells: []web.Cell{
					{Value: string(class)}, {Value: one.Packets}, {Value: one.Told}, {Value: one.Listed}, {Value: int64(one.Networks)}, //nolint:gosec // networks are fewer than 2^63
				}})
			}
		}
		if v.May(access.Administer) {
			for _, one := range most(total.Top, 20) {
				top = append(top, web.Row{ID: one.Name, Cells: []web.Cell{{Value: one.Name, Code: true}, {Value: one.N}}})
			}
		}
	}
	var done bool
	if d.Classes, done, err = p.few(w, r, v, classTable(), classes); err != nil || done {
		return err
	}
	if v.May(access.Administer) {
		if d.Top, done, err = p.few(w, r, v, topTable(), top); err != nil || done {
			return err
		}
	}
	if d.Visits, done, err = p.list(w, r, v, visitsTable(), func(q web.Query) ([]web.Row, error) { return p.visitRows(r.Context(), v, q, name, from, &d.More) }); err != nil || done {
		return err
	}
	return p.site.Page(w, r, v, "sensor", d)
}

func classTable() *web.Table {
	return &web.Table{
		Name: "classes", Title: "sensor.classes", Key: "c", Sort: "-packets", Empty: "sensor.no_visits",
		Columns: []web.Column{
			{Name: "class", Text: "sensor.class", Head: true, Sorts: true},
			{Name: "packets", Text: "sensors.packets", Number: true, Sorts: true},
			{Name: "told", Text: "sensors.told", Number: true, Sorts: true},
			{Name: "listed", Text: "sensors.listed", Number: true, Sorts: true},
			{Name: "networks", Text: "sensor.networks", Number: true, Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func topTable() *web.Table {
	return &web.Table{
		Name: "top", Title: "sensor.top", Key: "t", Sort: "-packets", Empty: "sensor.no_visits",
		Columns: []web.Column{{Name: "src", Text: "sensor.src", Head: true, Sorts: true}, {Name: "packets", Text: "sensors.packets", Number: true, Sorts: true}},
		Fields:  []web.Field{web.Find()},
	}
}

func visitsTable() *web.Table {
	return &web.Table{
		Name: "visits", Title: "sensor.visits", Key: "v", Sort: "-time", Empty: "sensor.no_visits",
		Columns: []web.Column{
			{Name: "time", Text: "sensor.time", Sorts: true},
			{Name: "src", Text: "sensor.src", Head: true, Sorts: true},
			{Name: "class", Text: "sensor.class", Sorts: true},
			{Name: "severity", Text: "sensor.severity", Sorts: true},
			{Name: "count", Text: "sensor.count", Number: true, Sorts: true},
			{Name: "why", Text: "sensor.why", Sorts: true},
			{Name: "evidence", Text: "sensor.evidence", Long: true},
			{Name: "what", Text: "sensor.what", Long: true},
			{Name: "where", Text: "sensor.where", Sorts: true},
		},
		Fields: []web.Field{
			{Name: "class", Text: "sensor.class", Kind: web.Many, Options: web.Choices("", exposure.Classes...)},
			{Name: "src", Text: "sensor.src", Kind: web.Words, Hint: "198.51.100.0/24"},
			web.Find(),
		},
	}
}

// visitRows are the newest visits at a sensor. All that they say is a stranger's.
func (p *Plant) visitRows(ctx context.Context, v *gate.Visit, q web.Query, name string, from time.Time, more *bool) ([]web.Row, error) {
	var rows []web.Row
	read := 0
	for one, err := range p.Archive.Visits(ctx, v.View, archive.VisitQuery{From: from, Source: exposure.Sensor, Sensor: name, Newest: true, Limit: readVisits}) {
		if err != nil {
			return nil, err
		}
		read++
		if q.Narrowed() && (len(q.All("class")) > 0 && !q.Has("class", string(one.Class)) || q.Get("src") != "" && !comesFrom(one.Addr, q.Get("src"))) {
			continue
		}
		if len(rows) == shownVisits {
			*more = true
			break
		}
		rows = append(rows, visitRow(&one))
	}
	*more = *more || read == readVisits
	return rows, nil
}

// comesFrom reports whether an address is one, or in a network, that is asked for.
func comesFrom(a netip.Addr, word string) bool {
	if p, err := space.Parse(word); err == nil {
		return p.Contains(a)
	}
	return strings.Contains(a.String(), word)
}

func visitRow(v *exposure.Visit) web.Row {
	src := web.Cell{Value: v.Addr, Code: true}
	if v.Spoofable {
		src.Text = v.Addr.String() + " ?" // anybody can write it there
	}
	severity := web.Cell{Value: v.Severity}
	if v.Severity != "" {
		severity.Key, severity.Badge = "severity."+string(v.Severity), string(v.Severity)
	}
	where := v.Where.Country
	if v.Where.ASN != 0 {
		where = strings.TrimSpace(fmt.Sprintf("%s AS%d", where, v.Where.ASN))
	}
	return web.Row{ID: string(v.ID), Cells: []web.Cell{
		{Value: v.Observed},
		src,
		{Value: string(v.Class)},
		severity,
		{Value: max(1, v.Count)},
		shown(strings.Join(v.Reasons, ", ")), shown(strings.Join(v.Evidence, "; ")), shown(what(v)),
		{Value: where},
	}}
}

// what is what a stranger came for, in the stranger's words.
func what(v *exposure.Visit) string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+text)
		}
	}
	if v.Callback != nil {
		add("call ", v.Callback.URL+" ("+string(v.Callback.Relation)+")")
	}
	if v.Browse != nil {
		add("", v.Browse.URI)
		add("info ", v.Browse.Info)
	}
	if v.Print != nil {
		add("", v.Print.Operation)
		add("job ", v.Print.JobName)
	}
	add("", strings.TrimSpace(v.Method+" "+v.URL))
	add("agent ", v.UserAgent)
	for _, s := range v.Scanners {
		add("listed: ", s.Name)
	}
	return strings.Join(parts, "; ")
}

// mostShown is how much of a stranger's text a cell shows; an export has all.
const mostShown = 300

// shown is a stranger's text: whole for machines, short and without what moves
// other text about for people.
func shown(s string) web.Cell {
	text := screen.Printable(s)
	if len(text) > mostShown {
		text = strings.ToValidUTF8(text[:mostShown], "") + "…"
	}
	return web.Cell{Value: s, Text: text}
}

// surgesPage is what was more than usual.
type surgesPage struct {
	Through  time.Time // the last hour that was looked at
	Empty    bool
	Ready    bool
	Episodes []episodeSeen
	Signs    []signSeen
}

// An episodeSeen is an episode with its chart.
type episodeSeen struct {
	drawer
	surge.Episode
	Chart chart
	Drawn bool
}

type signSeen struct{ surge.Finding }

// surgeDays is how long ago an episode may have ended.
const surgeDays = 30

func (p *Plant) surges(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	// The daemon looks each minute and keeps what it knows; nothing is computed
	// here.
	state, err := surge.Load(p.Data)
	if err != nil {
		return err
	}
	c, _, ready, err := p.sensors.get(r.Context(), p, censusAge, p.count)
	if err != nil && !errors.Is(err, r.Context().Err()) {
		return err
	}
	d := surgesPage{Empty: state.Empty(), Ready: ready}
	if !d.Empty {
		d.Through = state.Detector.Through
		for _, e := range state.Detector.Episodes(v.At.AddDate(0, 0, -surgeDays)) {
			one := episodeSeen{Episode: e}
			from, to := e.Began.Add(-24*time.Hour), e.Ended.Add(12*time.Hour)
			if e.Ended.IsZero() || to.After(v.At) {
				to = v.At
			}
			if ready && from.After(c.From) {
				one.Chart, one.Drawn = c.All.ofClass(e.Class, from, to, e.Expected), true
			}
			d.Episodes = append(d.Episodes, one)
		}
		slices.SortStableFunc(d.Episodes, func(a, b episodeSeen) int { return b.Began.Compare(a.Began) })
		for _, f := range state.Aims.Findings(v.At) {
			d.Signs = append(d.Signs, signSeen{f})
		}
	}
	return p.site.Page(w, r, v, "surges", d, web.Show{})
}
