package tally

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// mostCurves is how many curves a reader can tell apart.
const mostCurves = 6

// The picture, in its own units.
const (
	plotLeft, plotTop     = 64.0, 90.0
	plotWidth, plotHeight = 640.0, 320.0
	pictureWidth          = 760.0
	rowHeight             = 18.0
	mostName              = 22
)

// style has the colours of Okabe and Ito, which people who confuse red and green
// can tell, brighter on a dark page; the dashes tell the curves apart in print.
const style = `<style>
svg{--page:#fff;--ink:#1a1a1a;--soft:#5c5c5c;--line:#d9d9d9;--c0:#0072b2;--c1:#d55e00;--c2:#007a59;--c3:#a8558a;--c4:#946300;--c5:#1f1f1f;font:13px/1.3 system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){svg{--page:#14171a;--ink:#ececec;--soft:#a9b0b6;--line:#3a4046;--c0:#56b4e9;--c1:#ff8a45;--c2:#2fd0a0;--c3:#e79cc4;--c4:#f0c040;--c5:#f2f2f2}}
.page{fill:var(--page)}text{fill:var(--ink)}.soft{fill:var(--soft)}.head{font-size:17px;font-weight:600}.num{text-anchor:middle;font-variant-numeric:tabular-nums}.end{text-anchor:end}
.grid{stroke:var(--line)}.axis{stroke:var(--soft)}.half{stroke:var(--soft);stroke-dasharray:2 4}
.curve{fill:none;stroke-width:2.25;stroke-linejoin:round}.band{stroke:none;fill-opacity:.13}.mark{fill:none;stroke-width:1.25}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1);stroke-dasharray:9 4}.s2{stroke:var(--c2);stroke-dasharray:3 3}.s3{stroke:var(--c3);stroke-dasharray:12 4 3 4}.s4{stroke:var(--c4);stroke-dasharray:6 2}.s5{stroke:var(--c5);stroke-dasharray:1 3}
.m0{stroke:var(--c0)}.m1{stroke:var(--c1)}.m2{stroke:var(--c2)}.m3{stroke:var(--c3)}.m4{stroke:var(--c4)}.m5{stroke:var(--c5)}
.b0{fill:var(--c0)}.b1{fill:var(--c1)}.b2{fill:var(--c2)}.b3{fill:var(--c3)}.b4{fill:var(--c4)}.b5{fill:var(--c5)}
</style>
`

// A picture is the curves as they are drawn.
type picture struct {
	b      strings.Builder
	groups []*Group
	say    func(sentence string) string
	span   float64 // days across
}

// SVG draws the curves of the groups, or of all cases if there are no groups, as
// one file that needs nothing else. Groups with too few cases are left out, and
// of more than six the smallest. It returns how many groups are not in it.
func SVG(w io.Writer, r *Report, title string) (missing int, err error) {
	return Draw(w, r, title, func(sentence string) string { return sentence })
}

// Draw is [SVG] with words of another language: say is asked for each sentence.
func Draw(w io.Writer, r *Report, title string, say func(sentence string) string) (missing int, err error) {
	p := picture{say: say}
	for i := range r.Groups {
		if g := &r.Groups[i]; len(r.Groups) > 1 && g.Curve.N >= Few && len(p.groups) < mostCurves {
			p.groups = append(p.groups, g)
		}
	}
	if len(r.Groups) > 1 {
		missing = len(r.Groups) - len(p.groups)
	}
	if len(p.groups) == 0 {
		p.groups = []*Group{&r.All}
	}
	for _, g := range p.groups {
		p.span = max(p.span, g.Curve.Firm)
	}
	if p.span <= 0 {
		p.span = max(r.All.Curve.End, 1)
	}
	step := tickStep(p.span)
	p.span = math.Ceil(p.span/step-1e-9) * step
	p.frame(title, step, r)
	for i, g := range p.groups {
		if g.Curve.N < Few {
			p.text(plotLeft+plotWidth/2, plotTop+plotHeight/2-24, "num soft", p.say(fmt.Sprintf("too few cases for a curve: %d", g.Curve.N)))
			continue
		}
		if g.Turnbull != nil {
			p.turnbull(g.Turnbull, i)
		} else {
			p.kaplanMeier(g.Curve, i)
		}
	}
	p.b.WriteString("</svg>\n")
	_, err = io.WriteString(w, p.b.String())
	return missing, err
}

func (p *picture) x(day float64) float64   { return plotLeft + plotWidth*min(day, p.span)/p.span }
func (p *picture) y(share float64) float64 { return plotTop + plotHeight*(1-share) }

// tickStep is a round number of days of which some six make the span.
func tickStep(span float64) float64 {
	for _, s := range []float64{0.25, 0.5, 1, 2, 5, 7, 14, 30, 60, 90, 180, 365} {
		if span/s <= 8 {
			return s
		}
	}
	return 730
}

func (p *picture) frame(title string, step float64, r *Report) {
	height := plotTop + plotHeight + 66 + rowHeight*float64(len(p.groups))
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="t d">`+"\n",
		pictureWidth, height, pictureWidth, height)
	fmt.Fprintf(&p.b, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n", clean(title, 200), clean(p.describe(r), 4000))
	p.b.WriteString(style)
	fmt.Fprintf(&p.b, `<rect class="page" width="%g" height="%g"/>`+"\n", pictureWidth, height)
	p.text(plotLeft, 28, "head", title)
	method, legend := "Kaplan-Meier; a case that ended between two probes counts at the middle", "shaded: 95 % interval; ticks: cases that were followed no further"
	if r.All.Turnbull != nil {
		method, legend = "Turnbull estimate from intervals, without a guess when between two probes a case ended", "shaded: where the data do not tell"
	}
	p.text(plotLeft, 50, "soft", p.say(method))
	p.text(plotLeft, 68, "soft", p.say(legend))
	for share := 0.0; share <= 1; share += .25 {
		fmt.Fprintf(&p.b, `<path class="grid" d="M%g %.1fh%g"/>`+"\n", plotLeft, p.y(share), plotWidth)
		p.text(plotLeft-8, p.y(share)+4, "end soft", fmt.Sprintf("%.0f %%", 100*share))
	}
	fmt.Fprintf(&p.b, `<path class="half" d="M%g %.1fh%g"/>`+"\n", plotLeft, p.y(.5), plotWidth)
	fmt.Fprintf(&p.b, `<path class="axis" d="M%g %gv%gh%g" fill="none"/>`+"\n", plotLeft, plotTop, plotHeight, plotWidth)
	below := plotTop + plotHeight
	for day := 0.0; day <= p.span+1e-9; day += step {
		p.text(p.x(day), below+20, "num soft", number(day))
	}
	p.text(plotLeft+plotWidth/2, below+38, "num soft", p.say("days since first seen open"))
	p.text(plotLeft, below+56, "soft", p.say("still followed, of those still open:"))
	for i, g := range p.groups {
		row := below + 56 + rowHeight*float64(i+1)
		for day := step; day <= p.span+1e-9; day += step {
			p.text(p.x(day), row, "num soft", strconv.Itoa(g.Curve.followed(day)))
		}
		fmt.Fprintf(&p.b, `<path class="curve s%d" d="M8 %.1fh20"/>`+"\n", i, row-4)
		p.text(34, row, "", p.name(g, r))
	}
}

func (p *picture) text(x, y float64, class, text string) {
	fmt.Fprintf(&p.b, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, clean(text, 200))
}

// finest is the least distance that is drawn: a million steps on half a
// thousand dots are as many as a thousand.
const finest = 0.5

func (p *picture) kaplanMeier(c *Curve, n int) {
	var line, upper, lower strings.Builder
	fmt.Fprintf(&line, "M%.1f %.1f", plotLeft, p.y(1))
	fmt.Fprintf(&upper, "M%.1f %.1f", plotLeft, p.y(1))
	var lows []string
	last := Point{Open: 1, Low: 1, High: 1}
	drawn := math.Inf(-1)
	for i, pt := range c.Points {
		if pt.Time > p.span {
			break
		}
		x := p.x(pt.Time)
		if i+1 < len(c.Points) && c.Points[i+1].Time <= p.span && p.x(c.Points[i+1].Time)-drawn < finest {
			last = pt
			continue // the next one is drawn for both
		}
		drawn = x
		if math.IsNaN(pt.High) {
			pt.High = last.High // at 0 the interval has no upper end
		}
		fmt.Fprintf(&line, "H%.1fV%.1f", x, p.y(pt.Open))
		fmt.Fprintf(&upper, "H%.1fV%.1f", x, p.y(pt.High))
		lows = append(lows, fmt.Sprintf("V%.1fH%.1f", p.y(pt.Low), x))
		last = pt
	}
	end := p.x(min(c.End, p.span))
	fmt.Fprintf(&line, "H%.1f", end)
	fmt.Fprintf(&upper, "H%.1f", end)
	for i := len(lows) - 1; i >= 0; i-- {
		lower.WriteString(lows[i])
	}
	fmt.Fprintf(&p.b, `<path class="band b%d" d="%s%sV%.1fZ"/>`+"\n", n, upper.String(), lower.String(), p.y(1))
	fmt.Fprintf(&p.b, `<path class="curve s%d" d="%s"/>`+"\n", n, line.String())
	p.marks(c, n)
}

// marks are the times at which cases were followed no further, one a dot.
func (p *picture) marks(c *Curve, n int) {
	var d strings.Builder
	drawn := math.Inf(-1)
	for _, t := range c.Censored {
		if x := p.x(t); t <= p.span && x-drawn >= 2 {
			drawn = x
			at := c.At(t)
			fmt.Fprintf(&d, "M%.1f %.1fv8", x, p.y(at.Open)-4)
		}
	}
	if d.Len() > 0 {
		fmt.Fprintf(&p.b, `<path class="mark m%d" d="%s"/>`+"\n", n, d.String())
	}
}

func (p *picture) turnbull(t *Turnbull, n int) {
	var line, boxes strings.Builder
	open, drawn := 1.0, math.Inf(-1)
	fmt.Fprintf(&line, "M%.1f %.1f", plotLeft, p.y(1))
	for i, m := range t.Masses {
		if math.IsInf(m.To, 1) {
			fmt.Fprintf(&line, "H%.1f", p.x(m.From))
			break
		}
		if m.From > p.span {
			break
		}
		x, y := p.x(m.From), p.y(open)
		open -= m.Share
		if i+1 < len(t.Masses) && p.x(t.Masses[i+1].To)-drawn < finest {
			continue
		}
		drawn = p.x(m.To)
		fmt.Fprintf(&boxes, "M%.1f %.1fH%.1fV%.1fH%.1fZ", x, y, p.x(m.To), p.y(open), x)
		fmt.Fprintf(&line, "H%.1fL%.1f %.1f", x, p.x(m.To), p.y(open))
	}
	fmt.Fprintf(&p.b, `<path class="band b%d" d="%s"/>`+"\n", n, boxes.String())
	fmt.Fprintf(&p.b, `<path class="curve s%d" d="%s"/>`+"\n", n, line.String())
}

// describe tells in words what the picture shows.
func (p *picture) describe(r *Report) string {
	all := []string{p.say("The share of cases that are still open, by days since they were first seen open.")}
	for _, g := range p.groups {
		all = append(all, p.say(fmt.Sprintf("%s: %d cases, %d fixed; half-life %s; fixed at 30 days %s.",
			p.name(g, r), g.Spells, g.Events, g.HalfLife.Days(), g.Closed[1].Percent())))
	}
	return strings.Join(all, " ")
}

// name is what a group is called; all together have no name but a word.
func (p *picture) name(g *Group, r *Report) string {
	const whole = "all cases"
	if said := p.say(whole); g == &r.All && said != whole {
		return said
	}
	return short(g.Name)
}

// Days writes the figure as days, with its interval if it has one.
func (f Figure) Days() string {
	return f.write(func(v float64) string { return number(v) }, " d")
}

// Percent writes the figure as a percentage, with its interval if it has one.
func (f Figure) Percent() string {
	return f.write(func(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) }, " %")
}

func (f Figure) write(text func(float64) string, unit string) string {
	switch {
	case f.Word == NotReached:
		return "> " + text(f.Low) + unit
	case !f.Given():
		return string(f.Word)
	case math.IsNaN(f.Low) && math.IsNaN(f.High):
		return text(f.Value) + unit
	case math.IsNaN(f.High):
		return fmt.Sprintf("%s%s (%s to ?)", text(f.Value), unit, text(f.Low))
	case math.IsNaN(f.Low):
		return fmt.Sprintf("%s%s (? to %s)", text(f.Value), unit, text(f.High))
	}
	return fmt.Sprintf("%s%s (%s to %s)", text(f.Value), unit, text(f.Low), text(f.High))
}

// number writes days: to a tenth, and without it when there is none.
func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

func short(name string) string {
	if r := []rune(name); len(r) > mostName {
		return string(r[:mostName-1]) + "…"
	}
	return name
}

// clean is text for the picture: names of networks are a stranger's words.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes all
	return b.String()
}
