package dashboard

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/web"
)

// chartWidth is that of every drawing, in its own units: about a pixel.
const chartWidth = 820

// Colours of a light page. The style sheet has others for a dark one.
const (
	ink   = "#1a2530"
	soft  = "#51606e"
	rule  = "#d3dae1"
	blank = "#e6eaee"
	card  = "#ffffff"
	loss  = "#f6e3c8" // a day on which nobody looked
	lower = "#eef1d8" // a day of which a part is missing
	grey  = "#8a96a1"
)

var (
	series = []string{"#0b5d7a", "#b35900", "#12613a", "#8e1537", "#5b3fa0", "#7a5600", "#2472a8", "#6b4a3a"}
	depths = []string{"#d5e5ef", "#aecde0", "#7fb0cd", "#4f90b5", "#287096", "#0f5273", "#06334a"}
	moves  = []string{"#12613a", "#8cc5a4", "#e6eaee", "#f0b48a", "#a33a00"}
)

// A sketcher draws the answers of one visitor.
type sketcher struct {
	*web.Sheet
	world *world
	notes []Note
}

// Day is a UTC day as it is written in every language.
func (s *sketcher) Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Say is a value in words.
func (s *sketcher) Say(a *Answer, v Value) string {
	switch {
	case v.Gap:
		return "–"
	case v.Hidden:
		return "<" + s.Number(a.Cell)
	}
	return s.Number(v.N)
}

// Title is what an answer is called.
func (s *sketcher) Title(a *Answer) string {
	what := s.T("dashboard.set." + a.DataSet)
	if len(a.Geo) == 1 {
		what = s.T("dashboard.in_country", "what", what, "country", s.world.name(a.Geo[0], s.Lang))
	}
	return what + ", " + s.When(a)
}

// When names the days of an answer.
func (s *sketcher) When(a *Answer) string {
	if a.span() == 1 {
		return s.Day(a.From)
	}
	return s.T("dashboard.from_to", "from", s.Day(a.From), "to", s.Day(a.To))
}

// Name is what a group is called.
func (s *sketcher) Name(group, key string) string {
	switch group {
	case "geo":
		if key == unknownLand {
			return s.T("dashboard.unknown")
		}
		return s.world.name(key, s.Lang)
	case "asn":
		if as := asnOf(key); as != "" {
			return as
		}
		return s.T("dashboard.unknown")
	case "source":
		return s.sourceName(key)
	}
	if key == "" {
		return s.T("dashboard.unknown")
	}
	return printable(key)
}

// sourceName says in words what a source is.
func (s *sketcher) sourceName(key string) string {
	plain, six := strings.CutSuffix(key, "6")
	if text := "dashboard.source." + plain; s.Has(text) {
		if six {
			return s.T(text) + ", IPv6"
		}
		return s.T(text)
	}
	return key
}

func (s *sketcher) draw(a *Answer) *Scene {
	var out *Scene
	switch a.View {
	case viewMap:
		out = s.drawMap(a)
	case viewTree:
		out = s.drawTree(a)
	case viewSeries:
		out = s.drawSeries(a, chartWidth, 400, true)
	case viewBar:
		out = s.drawBars(a)
	default:
		out = s.drawTable(a)
	}
	out.Title = s.Title(a)
	return out
}

// A step is one class of a map's legend.
type step struct {
	class, fill, text string
	least             int64
}

// steps are the classes of the values up to most.
func (s *sketcher) steps(a *Answer, most int64) []step {
	least := []int64{max(1, a.Cell)}
	if a.Scale == "log" {
		for n := int64(1); n <= most && len(least) < len(depths); n *= 10 {
			for _, k := range []int64{1, 3} {
				if (k == 1 || most < 3000) && k*n > least[0] && k*n <= most && len(least) < len(depths) {
					least = append(least, k*n)
				}
			}
		}
	} else {
		size := niceStep(float64(most), 5)
		for n := size; n < float64(most); n += size {
			if int64(n) > least[0] {
				least = append(least, int64(n))
			}
		}
	}
	out := make([]step, len(least))
	for i, n := range least {
		k := i
		if len(least) > 1 {
			k = i * (len(depths) - 1) / (len(least) - 1)
		}
		text := s.Number(n) + "–"
		switch {
		case i+1 == len(least) && n >= most:
			text = s.Number(n)
		case i+1 == len(least):
			text += s.Number(most)
		default:
			text += s.Number(least[i+1] - 1)
		}
		out[i] = step{fmt.Sprint("q", k+1), depths[k], text, n}
	}
	return out
}

func niceStep(most float64, parts int) float64 {
	raw := max(most/float64(parts), 1)
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5, 10} {
		if k*p >= raw {
			return k * p
		}
	}
	return 10 * p
}

// move is the class of a change.
func move(g Group) (class, fill string, known bool) {
	diff, ok := g.Difference()
	if !ok {
		return "q0", blank, false
	}
	share := 1.0
	if g.Before.N > 0 {
		share = float64(diff) / float64(g.Before.N)
	} else if diff == 0 {
		share = 0
	}
	k := 2
	switch {
	case share <= -.5:
		k = 0
	case share < -.05:
		k = 1
	case share >= .5:
		k = 4
	case share > .05:
		k = 3
	}
	return fmt.Sprint("m", k), moves[k], true
}

func (s *sketcher) drawMap(a *Answer) *Scene {
	const scale = float64(chartWidth) / worldWidth
	out := &Scene{W: chartWidth, H: worldHeight*scale + 64, Zoom: true}
	at := make(map[string]Group)
	var most int64
	for _, g := range a.Groups {
		at[g.Key] = g
		most = max(most, g.Value.N)
	}
	steps := s.steps(a, most)
	paint := func(g Group) (string, string) {
		if !a.Compare.IsZero() {
			class, fill, _ := move(g)
			return class, fill
		}
		if g.Value.Hidden {
			return "few", "#f3ead9"
		}
		for i := len(steps) - 1; i >= 0; i-- {
			if g.Value.N >= steps[i].least {
				return steps[i].class, steps[i].fill
			}
		}
		return "q0", blank
	}
	for _, small := range []bool{false, true} {
		for i := range s.world.lands {
			l := &s.world.lands[i]
			g, there := at[l.Code]
			there = there && l.Code != ""
			if (l.Path == "") != small || small && (!there || l.X == 0) {
				continue
			}
			class, fill := "q0", blank
			item := Item{Kind: "path", Stroke: card, Width: .5, D: l.Path, Scale: scale, Y: 6}
			if small {
				item = Item{Kind: "circle", Stroke: card, Width: .5, X: float64(l.X) * scale, Y: float64(l.Y)*scale + 6, R: 3}
			}
			if there {
				class, fill = paint(g)
				item.Href = a.to(viewMap, "geo", l.Code)
				item.Tip = s.tip(a, g)
			}
			item.Class, item.Fill = "land "+class, fill
			out.add(item)
		}
	}
	s.legend(a, out, steps, out.H-38)
	return out
}

// tip is what is told of a group when it is pointed at.
func (s *sketcher) tip(a *Answer, g Group) string {
	text := s.Name(a.Group, g.Key) + ": " + s.Say(a, g.Value)
	if !a.Compare.IsZero() {
		text += " (" + s.Day(a.Compare) + ": " + s.Say(a, g.Before) + ")"
	}
	return text
}

func (s *sketcher) legend(a *Answer, out *Scene, steps []step, y float64) {
	x := 8.0
	box := func(class, fill, text string) {
		if w := textWidth(text, 12); x+w+26 > out.W {
			x, y = 8, y+20
		}
		out.rect("key land "+class, fill, x, y, 14, 12)
		out.text("key ink", ink, x+18, y+10.5, 12, "start", text)
		x += textWidth(text, 12) + 34
		out.Legend = append(out.Legend, Swatch{class, fill, text})
	}
	if !a.Compare.IsZero() {
		for i, key := range []string{"down2", "down1", "same", "up1", "up2"} {
			box(fmt.Sprint("m", i), moves[i], s.T("dashboard.move."+key))
		}
		return
	}
	if a.Cell > 1 {
		box("few", "#f3ead9", s.T("dashboard.fewer", "n", a.Cell))
	}
	box("q0", blank, s.T("dashboard.nothing_seen"))
	for _, st := range steps {
		box(st.class, st.fill, st.text)
	}
}

// drawTree is a squarified tree map (Bruls, Huizing, van Wijk 2000).
func (s *sketcher) drawTree(a *Answer) *Scene {
	out := &Scene{W: chartWidth, H: 520}
	type leaf struct {
		g      Group
		rest   bool
		weight float64
	}
	weigh := func(n int64) float64 {
		if a.Scale == "log" {
			return math.Log10(float64(n)) + .5
		}
		return float64(n)
	}
	var leaves []leaf
	var sum float64
	for _, g := range a.Groups {
		if g.Value.N > 0 {
			leaves = append(leaves, leaf{g, false, weigh(g.Value.N)})
		}
	}
	if a.Rest.N > 0 {
		leaves = append(leaves, leaf{Group{Value: a.Rest}, true, weigh(a.Rest.N)})
	}
	slices.SortStableFunc(leaves, func(x, y leaf) int { return int(math.Copysign(1, y.weight-x.weight)) * boolInt(x.weight != y.weight) })
	for _, l := range leaves {
		sum += l.weight
	}
	x, y, w, h := 0.0, 0.0, out.W, out.H
	k := w * h / max(sum, 1e-9)
	for i := 0; i < len(leaves); {
		side := min(w, h)
		n, row := 1, leaves[i].weight*k
		for i+n < len(leaves) {
			next := leaves[i+n].weight * k
			if worst(side, row, leaves[i].weight*k, leaves[i+n-1].weight*k) < worst(side, row+next, leaves[i].weight*k, next) {
				break
			}
			row, n = row+next, n+1
		}
		thick := row / max(side, 1e-9)
		along := 0.0
		for j := range n {
			l := leaves[i+j]
			long := l.weight * k / max(thick, 1e-9)
			rx, ry, rw, rh := x, y+along, thick, long
			if w < h {
				rx, ry, rw, rh = x+along, y, long, thick
			}
			along += long
			class, fill, name := fmt.Sprint("s", (i+j)%len(series)), series[(i+j)%len(series)], s.Name(a.Group, l.g.Key)
			if l.rest {
				class, fill, name = "rest", soft, s.beyond(a)
			}
			it := out.rect(class, fill, rx+1, ry+1, rw-2, rh-2)
			it.Tip = name + ": " + s.Say(a, l.g.Value)
			if !l.rest && a.Group == "geo" {
				it.Href = a.to(viewTree, "geo", l.g.Key)
			}
			if rw > 44 && rh > 22 {
				out.text("on", card, rx+7, ry+17, 12, "start", cut(name, 12, rw-12))
				if rh > 40 {
					out.text("on", card, rx+7, ry+33, 12, "start", cut(s.Say(a, l.g.Value), 12, rw-12))
				}
			}
		}
		if w < h {
			y, h = y+thick, h-thick
		} else {
			x, w = x+thick, w-thick
		}
		i += n
	}
	if len(leaves) == 0 {
		out.H = 60
		out.text("soft", soft, 8, 34, 14, "start", s.T("dashboard.nothing_drawn"))
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func worst(side, row, most, least float64) float64 {
	return max(side*side*most/(row*row), row*row/(side*side*max(least, 1e-9)))
}

func (s *sketcher) beyond(a *Answer) string { return s.N("dashboard.beyond", int64(a.RestN)) }

func (s *sketcher) drawBars(a *Answer) *Scene {
	const row, label, number = 24.0, 190.0, 90.0
	rows := slices.Clone(a.Groups)
	if a.RestN > 0 {
		rows = append(rows, Group{Key: "\x00", Value: a.Rest, Before: Value{Gap: true}})
	}
	out := &Scene{W: chartWidth, H: 30 + row*float64(max(1, len(rows)))}
	var most int64 = 1
	for _, g := range rows {
		most = max(most, g.Value.N, g.Before.N)
	}
	room := out.W - label - number
	long := func(n int64) float64 { return room * share(a, n, most) }
	for i, g := range rows {
		y := 4 + row*float64(i)
		name, class, fill := s.Name(a.Group, g.Key), "s0", series[0]
		href := ""
		if g.Key == "\x00" {
			name, class, fill = s.beyond(a), "rest", soft
		} else if a.Group == "geo" {
			href = a.to(viewBar, "geo", g.Key)
		}
		out.text("ink", ink, label-8, y+15, 12, "end", cut(name, 12, label-10)).Href = href
		thick := row - 6
		if !a.Compare.IsZero() {
			thick = (row - 6) / 2
			it := out.rect("before", grey, label, y+thick, long(g.Before.N), thick)
			it.Tip = s.Day(a.Compare) + ": " + s.Say(a, g.Before)
		}
		it := out.rect(class, fill, label, y, long(g.Value.N), thick)
		it.Tip, it.Href = name+": "+s.Say(a, g.Value), href
		out.text("ink", ink, label+long(max(g.Value.N, g.Before.N))+6, y+15, 12, "start", s.Say(a, g.Value))
	}
	if len(rows) == 0 {
		out.text("soft", soft, 8, 24, 14, "start", s.T("dashboard.nothing_drawn"))
	}
	foot := s.T("dashboard.scale." + a.Scale)
	if !a.Compare.IsZero() {
		foot += " · " + s.T("dashboard.grey_is", "day", s.Day(a.Compare))
	}
	out.text("soft", soft, label, out.H-8, 11, "start", foot)
	return out
}

// share is how much of the room a number takes.
func share(a *Answer, n, most int64) float64 {
	if n <= 0 {
		return 0
	}
	if a.Scale == "log" {
		return (math.Log10(float64(n)) + .3) / (math.Log10(float64(most)) + .3)
	}
	return float64(n) / float64(most)
}

// mostRows is how many rows of a table are drawn; a page and a CSV have all.
const mostRows = 200

func (s *sketcher) drawTable(a *Answer) *Scene {
	const row = 20.0
	rows := a.Groups[:min(len(a.Groups), mostRows)]
	out := &Scene{W: chartWidth, H: row*float64(len(rows)+3) + 16}
	columns := []float64{40, 60, 430, 530, 660, 790}
	y := row
	cell := func(i int, anchor, class, fill, text string) {
		width := 340.0
		if i != 1 {
			width = 120
		}
		out.text(class, fill, columns[i], y, 12, anchor, cut(text, 12, width))
	}
	line := func(class, fill string, texts ...string) {
		for i, t := range texts {
			anchor := "end"
			if i == 1 {
				anchor = "start"
			}
			cell(i, anchor, class, fill, t)
		}
		out.line("rule", rule, 8, y+6, out.W-8, y+6)
		y += row
	}
	compare := !a.Compare.IsZero()
	head := []string{"", s.T("dashboard.group." + a.Group), s.T("dashboard.number"), s.T("dashboard.share")}
	if compare {
		head = append(head, s.Day(a.Compare), s.T("dashboard.difference"))
	}
	line("soft", soft, head...)
	for i, g := range rows {
		texts := []string{strconv.Itoa(i + 1), s.Name(a.Group, g.Key), s.Say(a, g.Value), s.Percent(g.Share)}
		if compare {
			texts = append(texts, s.Say(a, g.Before), s.Change(g))
		}
		line("ink", ink, texts...)
	}
	if n := len(a.Groups) - len(rows); n > 0 {
		line("soft", soft, "", s.T("dashboard.rows_more", "n", n))
	}
	if a.RestN > 0 {
		line("soft", soft, "", s.beyond(a), s.Say(a, a.Rest))
	}
	line("ink", ink, "", s.T("dashboard.total"), s.Say(a, a.Total))
	out.H = y
	return out
}

// Percent is a share in words.
func (s *sketcher) Percent(v float64) string {
	if v < 0 {
		return "–"
	}
	text := strconv.FormatFloat(v, 'f', 1, 64)
	if s.Lang == "de" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text + "\u00a0%"
}

// Change is the difference of a group in words.
func (s *sketcher) Change(g Group) string {
	d, ok := g.Difference()
	switch {
	case !ok:
		return "–"
	case d > 0:
		return "+" + s.Number(d)
	}
	return s.Number(d)
}

// A curve is one line or area of a series.
type curve struct {
	name, class, fill string
	values            []Value
	dash              bool
}

func (s *sketcher) curves(a *Answer) []curve {
	if a.Group == "" {
		c := curve{name: s.T("dashboard.all"), class: "s0", fill: series[0]}
		for _, d := range a.Days {
			c.values = append(c.values, d.Total)
		}
		return []curve{c}
	}
	var out []curve
	for i, g := range a.Groups {
		if len(g.Days) == 0 {
			g.Days = []Value{g.Value}
		}
		k := i % len(series)
		out = append(out, curve{s.Name(a.Group, g.Key), fmt.Sprint("s", k), series[k], g.Days, i/len(series)%2 == 1})
	}
	if a.RestN > 0 {
		rest := a.RestDays
		if len(rest) == 0 {
			rest = []Value{a.Rest}
		}
		out = append(out, curve{s.beyond(a), "rest", grey, rest, false})
	}
	return out
}

// A frame is where a series is drawn.
type frame struct {
	x, y, w, h float64
	days       int
	most       float64
	log        bool
}

func (f frame) at(day int) float64 {
	if f.days == 1 {
		return f.x + f.w/2
	}
	return f.x + f.w*float64(day)/float64(f.days-1)
}

func (f frame) up(v float64) float64 {
	if f.log {
		if v < 1 {
			return f.y + f.h
		}
		return f.y + f.h*(1-math.Log10(v)/max(math.Log10(f.most), .3))
	}
	return f.y + f.h*(1-v/f.most)
}

// drawSeries draws lines, or areas upon each other. Where nobody looked is a gap
// and no zero.
func (s *sketcher) drawSeries(a *Answer, width, height float64, whole bool) *Scene {
	out := &Scene{W: width, H: height}
	curves := s.curves(a)
	stacked := a.Stacking == "stacked" && a.Group != "" && !a.Overlap
	tops := stack(curves, stacked)
	f := frame{x: 62, y: 14, w: width - 74, h: height - 44, days: len(a.Days), most: 1, log: a.Scale == "log" && !stacked}
	if whole {
		f.y, f.h = s.seriesLegend(out, a, curves), 0
		f.y += 44 // the notes
		f.h = height - 44
		out.H = f.y + f.h + 30
	}
	for _, top := range tops {
		for _, v := range top {
			if !math.IsNaN(v) {
				f.most = max(f.most, v)
			}
		}
	}
	s.axes(out, a, &f)
	for i := len(curves) - 1; i >= 0; i-- {
		if stacked {
			var under []float64
			if i > 0 {
				under = tops[i-1]
			}
			area(out, f, curves[i], tops[i], under)
		} else {
			lines(out, f, curves[i], tops[i])
		}
	}
	if whole {
		s.annotate(out, a, f)
		s.pointers(out, a, f, curves)
	}
	return out
}

// stack returns the height of each curve on each day; NaN is a gap. What is hidden
// is no height that may be drawn.
func stack(curves []curve, stacked bool) [][]float64 {
	tops := make([][]float64, len(curves))
	for i, c := range curves {
		tops[i] = make([]float64, len(c.values))
		for j, v := range c.values {
			switch {
			case v.Gap, v.Hidden && !stacked:
				tops[i][j] = math.NaN()
				continue
			}
			tops[i][j] = float64(v.N)
			if stacked && i > 0 && !math.IsNaN(tops[i-1][j]) {
				tops[i][j] += tops[i-1][j]
			}
		}
	}
	return tops
}

// seriesLegend returns where the chart may begin.
func (s *sketcher) seriesLegend(out *Scene, a *Answer, curves []curve) float64 {
	x, y := 8.0, 8.0
	box := func(class, fill, text string) {
		text = cut(text, 12, 240)
		if w := textWidth(text, 12); x+w+26 > out.W && x > 8 {
			x, y = 8, y+20
		}
		out.rect(class, fill, x, y, 14, 12)
		out.text("ink", ink, x+18, y+10.5, 12, "start", text)
		x += textWidth(text, 12) + 34
	}
	for _, c := range curves {
		box(c.class, c.fill, c.name)
	}
	if a.Gaps() > 0 {
		box("gap", loss, s.T("dashboard.state.gap"))
	}
	if a.Lower() > 0 {
		box("lower", lower, s.T("dashboard.state.incomplete"))
	}
	return y + 20
}

// axes draws what lies under the curves.
func (s *sketcher) axes(out *Scene, a *Answer, f *frame) {
	wide := f.w / float64(max(f.days-1, 1))
	for i := 0; i < len(a.Days); {
		state := a.Days[i].State
		j := i
		for j < len(a.Days) && a.Days[j].State == state {
			j++
		}
		from, to := max(f.at(i)-wide/2, f.x), min(f.at(j-1)+wide/2, f.x+f.w)
		switch state {
		case Gap:
			out.rect("gap", loss, from, f.y, to-from, f.h)
		case Incomplete, Changing:
			out.rect("lower", lower, from, f.y, to-from, f.h)
		}
		i = j
	}
	tick := func(v float64) {
		y := f.up(v)
		out.line("rule", rule, f.x, y, f.x+f.w, y)
		out.text("soft", soft, f.x-6, y+4, 11, "end", s.Number(int64(v)))
	}
	if f.log {
		top := math.Ceil(math.Log10(max(f.most, 2)))
		f.most = math.Pow(10, top)
		for e := 0.0; e <= top; e++ {
			tick(math.Pow(10, e))
		}
	} else {
		parts := max(2, int(f.h/60))
		size := niceStep(f.most, parts)
		f.most = size * math.Ceil(f.most/size)
		for v := 0.0; v <= f.most; v += size {
			tick(v)
		}
	}
	s.dayAxis(out, a, *f)
}

func (s *sketcher) dayAxis(out *Scene, a *Answer, f frame) {
	last := math.Inf(-1)
	for i, d := range a.Days {
		t := d.Day
		text := t.Format("2006-01-02")
		if f.days > 62 {
			if t.Day() != 1 {
				continue
			}
			if text = t.Format("2006-01"); f.days > 800 && t.Month() != time.January {
				continue
			}
		}
		x, half := f.at(i), textWidth(text, 11)/2
		if x-half < last+12 || x+half > out.W {
			continue
		}
		out.line("rule", rule, x, f.y+f.h, x, f.y+f.h+4)
		out.text("soft", soft, x, f.y+f.h+17, 11, "middle", text)
		last = x + half
	}
}

// runs calls f for each stretch of days without a gap.
func runs(top []float64, f func(from, to int)) {
	for i := 0; i < len(top); {
		if math.IsNaN(top[i]) {
			i++
			continue
		}
		j := i
		for j < len(top) && !math.IsNaN(top[j]) {
			j++
		}
		f(i, j)
		i = j
	}
}

func lines(out *Scene, f frame, c curve, top []float64) {
	runs(top, func(from, to int) {
		if to-from == 1 {
			it := out.rect(c.class, c.fill, f.at(from)-2.5, f.up(top[from])-2.5, 5, 5)
			it.R = 2
			return
		}
		var d strings.Builder
		for i := from; i < to; i++ {
			d.WriteString(map[bool]string{true: "M", false: "L"}[i == from] + num(f.at(i)) + " " + num(f.up(top[i])))
		}
		out.path("line "+c.class, "", c.fill, 2, d.String()).Dash = c.dash
	})
}

func area(out *Scene, f frame, c curve, top, under []float64) {
	base := func(i int) float64 {
		if under == nil || math.IsNaN(under[i]) {
			return 0
		}
		return under[i]
	}
	runs(top, func(from, to int) {
		if to-from == 1 {
			out.rect(c.class, c.fill, f.at(from)-2, f.up(top[from]), 4, f.up(base(from))-f.up(top[from]))
			return
		}
		var d strings.Builder
		for i := from; i < to; i++ {
			d.WriteString(map[bool]string{true: "M", false: "L"}[i == from] + num(f.at(i)) + " " + num(f.up(top[i])))
		}
		for i := to - 1; i >= from; i-- {
			d.WriteString("L" + num(f.at(i)) + " " + num(f.up(base(i))))
		}
		out.path(c.class, c.fill, card, .5, d.String()+"z")
	})
}

// annotate draws the notes of the days, in three rows so that neighbours do not
// cover each other.
func (s *sketcher) annotate(out *Scene, a *Answer, f frame) {
	ends := []float64{-1e9, -1e9, -1e9}
	for _, n := range s.within(a) {
		x := f.at(int(n.At.Sub(a.From) / (24 * time.Hour)))
		text := cut(n.Say(s.Lang), 11, 330)
		w := textWidth(text, 11)
		left := x + 4
		if left+w > out.W-4 {
			left = x - 4 - w
		}
		row := 0
		for row < len(ends)-1 && ends[row] > left {
			row++
		}
		ends[row] = left + w + 6
		y := f.y - 32 + 13*float64(row)
		out.line("note", ink, x, y-8, x, f.y+f.h).Dash = true
		out.text("ink", ink, left, y, 11, "start", text)
	}
}

// within are the notes on the days of an answer.
func (s *sketcher) within(a *Answer) []Note {
	var out []Note
	for _, n := range s.notes {
		if !n.At.Before(a.From) && !n.At.After(a.To) {
			out = append(out, n)
		}
	}
	return out
}

// pointers are strips that say the numbers of a day when pointed at.
func (s *sketcher) pointers(out *Scene, a *Answer, f frame, curves []curve) {
	wide := f.w / float64(max(f.days-1, 1))
	for i, d := range a.Days {
		tip := s.Day(d.Day) + ": " + s.Say(a, d.Total)
		if d.State != Measured {
			tip += " (" + s.T("dashboard.state."+string(d.State)) + ")"
		}
		if len(a.Days) <= 62 && a.Group != "" {
			for _, c := range curves[:min(len(curves), 9)] {
				tip += "\n" + c.name + ": " + s.Say(a, c.values[i])
			}
		}
		it := out.rect("pointer", card, f.at(i)-wide/2, f.y, wide, f.h)
		it.Opacity, it.Tip = .001, tip
	}
}
