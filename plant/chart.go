package plant

import (
	"fmt"
	"math"
	"time"

	"ippwatch/exposure"
	"ippwatch/web"
)

// A chart is bars by hour, for an SVG without script or style.
type chart struct {
	Width, Height float64
	Bars          []bar
	Gaps          []bar // hours that were not counted
	Lines         []gridLine
	Days          []mark
	Expected      float64 // where a line stands; 0: none
	Legend        []legend
	Rows          []chartRow // the same, to be read
	Empty         bool
}

// A drawn is a chart with its words, for the template "plant-chart".
type drawn struct {
	Sheet       *web.Sheet
	Chart       chart
	Label, Unit string
}

// A drawer is what a page has that shows charts.
type drawer struct{}

// Draw gives a chart the words of the visitor's language.
func (drawer) Draw(s *web.Sheet, c chart, label, unit string) drawn {
	return drawn{s, c, s.T(label), s.T(unit)}
}

type bar struct {
	X, Y, W, H float64
	Kind       string // class of the style
	Hour       string
	Class      exposure.Class
	N          int64
}

type gridLine struct {
	Y    float64
	Text string
}

type mark struct {
	X    float64
	Text string
}

type legend struct {
	Kind, Class string
	N           int64
}

// A chartRow is one hour in words; hours in which nothing was counted are left out.
type chartRow struct {
	Hour time.Time
	N    int64
}

const (
	chartWidth, chartHeight       = 720.0, 200.0
	chartLeft, chartBottom, inset = 48.0, 20.0, 6.0
)

// kindOf is the style of a class.
func kindOf(c exposure.Class) string {
	for i, one := range exposure.Classes {
		if one == c {
			return fmt.Sprintf("c%d", i)
		}
	}
	return "c0"
}

// byClass draws the packets of each hour, one class on the other.
func (s *sensorSeen) byClass(from, to time.Time) chart {
	value := func(c *cell) int64 { return c.Packets }
	return s.draw(from, to, exposure.Classes, value, 0)
}

// ofClass draws the networks of each hour that came with one class.
func (s *sensorSeen) ofClass(class exposure.Class, from, to time.Time, expected float64) chart {
	return s.draw(from, to, []exposure.Class{class}, func(c *cell) int64 { return int64(c.Networks) }, expected) //nolint:gosec // an estimate of networks
}

func (s *sensorSeen) draw(from, to time.Time, classes []exposure.Class, value func(*cell) int64, expected float64) chart {
	from = from.UTC().Truncate(time.Hour)
	hours := max(1, int(math.Ceil(to.Sub(from).Hours())))
	c := chart{Width: chartWidth, Height: chartHeight, Empty: true}
	highest := int64(math.Ceil(expected))
	sums := make(map[exposure.Class]int64)
	for i := range hours {
		h := s.Hours[from.Add(time.Duration(i)*time.Hour)]
		if h == nil {
			continue
		}
		var n int64
		for _, class := range classes {
			if one := h.Classes[class]; one != nil {
				n += value(one)
				sums[class] += value(one)
			}
		}
		highest = max(highest, n)
	}
	top := nice(highest)
	step := (chartWidth - chartLeft) / float64(hours)
	height := chartHeight - chartBottom - inset
	y := func(n float64) float64 { return round(inset + height*(1-n/float64(top))) }
	for i := range hours {
		hour := from.Add(time.Duration(i) * time.Hour)
		x := round(chartLeft + float64(i)*step)
		if hour.Hour() == 0 && (hours <= 10*24) {
			c.Days = append(c.Days, mark{x, hour.Format("01-02")})
		}
		h := s.Hours[hour]
		if h == nil {
			c.Gaps = append(c.Gaps, bar{X: x, Y: inset, W: round(step), H: height})
			continue
		}
		below := int64(0)
		for _, class := range classes {
			one := h.Classes[class]
			if one == nil || value(one) == 0 {
				continue
			}
			c.Empty = false
			n := value(one)
			b := bar{X: x, Y: y(float64(below + n)), W: round(max(1, step*0.85)), Kind: kindOf(class), Hour: hour.Format("2006-01-02 15:04"), Class: class, N: n}
			b.H = round(y(float64(below)) - b.Y)
			c.Bars = append(c.Bars, b)
			below += n
		}
		c.Rows = append(c.Rows, chartRow{hour, below})
	}
	for _, part := range []int64{0, top / 2, top} {
		c.Lines = append(c.Lines, gridLine{y(float64(part)), short(part)})
	}
	for _, class := range classes {
		if sums[class] > 0 {
			c.Legend = append(c.Legend, legend{kindOf(class), string(class), sums[class]})
		}
	}
	if expected > 0 {
		c.Expected = y(expected)
	}
	return c
}

func round(x float64) float64 { return math.Round(10*x) / 10 }

// nice is a round number that is not below n.
func nice(n int64) int64 {
	if n <= 2 {
		return 2
	}
	scale := int64(1)
	for scale*10 < n {
		scale *= 10
	}
	for _, f := range []int64{1, 2, 4, 5, 6, 8, 10} {
		if f*scale >= n {
			return f * scale
		}
	}
	return 10 * scale
}

// short writes a number for an axis.
func short(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 10_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}
