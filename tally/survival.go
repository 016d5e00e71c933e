package tally

import (
	"math"
	"slices"
)

// A Life is what is known of one case on the clock of its age, in days: it was
// followed from Entry, and ended in (Lo, Hi] or, if Hi is infinite, was not over
// at Lo, when it was last looked at.
type Life struct {
	Entry  float64 // age at which we began to count it; negative: from its beginning
	Lo, Hi float64
}

// Event reports whether the end was observed.
func (l Life) Event() bool { return !math.IsInf(l.Hi, 1) }

// time is when it left: the middle of the interval of its end, or when it was
// last looked at.
func (l Life) time() float64 {
	if l.Event() {
		return l.Lo + (l.Hi-l.Lo)/2
	}
	return l.Lo
}

// A Point is the curve from its time to the next. The interval is of 95 %, by
// the log-log transformation, which keeps it between 0 and 1; an end of it that
// does not exist is NaN.
type Point struct {
	Time      float64
	Open      float64 // the share still open
	Variance  float64 // of Open, by Greenwood's formula
	Low, High float64
	AtRisk    int // just before
	Events    int
	Hazard    float64 // cumulative, by Nelson and Aalen
	hazardVar float64
}

// A Curve is the share of cases that is still open at each age, by Kaplan and
// Meier.
type Curve struct {
	N, Events int
	Points    []Point   // at each time with an event
	Censored  []float64 // the times of those that were not over, sorted
	End       float64   // how long the one that was followed longest was followed
	Firm      float64   // how long at least [Thin] cases were followed
	Early     int       // those that were followed from their beginning
	entries   []float64 // sorted
	// Broken: everything under observation ended while others had yet to enter,
	// so the curve is 0 where it must not be.
	Broken bool
}

// KaplanMeier returns the curve. Cases that enter late count from then on, so
// that the long-lived among what is old already do not make all look long-lived.
// Whoever leaves at a time with events was at risk in it.
func KaplanMeier(lives []Life) Curve {
	c := Curve{}
	entries := make([]float64, 0, len(lives))
	type exit struct {
		t     float64
		event bool
	}
	exits := make([]exit, 0, len(lives))
	for _, l := range lives {
		if t := l.time(); l.Entry < t {
			entries = append(entries, l.Entry)
			if l.Entry < 0 {
				c.Early++
			}
			exits = append(exits, exit{t, l.Event()})
			if !l.Event() {
				c.Censored = append(c.Censored, t)
			}
		}
	}
	c.N = len(exits)
	slices.Sort(entries)
	c.entries = entries
	slices.Sort(c.Censored)
	slices.SortFunc(exits, func(a, b exit) int { return compareFloat(a.t, b.t) })
	open, green, hazard, hazardVar := 1.0, 0.0, 0.0, 0.0
	entered := 0
	for i := 0; i < len(exits); {
		t := exits[i].t
		for entered < len(entries) && entries[entered] < t {
			entered++
		}
		n, d := entered-i, 0
		if n >= Thin {
			c.Firm = t
		}
		for ; i < len(exits) && exits[i].t == t; i++ {
			if exits[i].event {
				d++
			}
		}
		if d == 0 {
			continue
		}
		c.Events += d
		fn, fd := float64(n), float64(d)
		open *= (fn - fd) / fn
		green += fd / (fn * (fn - fd))
		hazard += fd / fn
		hazardVar += fd / (fn * fn)
		if d == n {
			open = 0
			c.Broken = c.Broken || i < len(exits)
		}
		p := Point{Time: t, Open: open, AtRisk: n, Events: d, Hazard: hazard, hazardVar: hazardVar}
		if open > 0 {
			p.Variance = open * open * green
		}
		p.Low, p.High = logLog(open, green)
		c.Points = append(c.Points, p)
	}
	if n := len(exits); n > 0 {
		c.End = exits[n-1].t
	}
	return c
}

// logLog returns the interval for a share whose logarithm has the variance.
func logLog(share, variance float64) (low, high float64) {
	if share <= 0 {
		return 0, math.NaN()
	}
	if share >= 1 {
		return 1, 1
	}
	spread := z95 * math.Sqrt(variance) / -math.Log(share)
	return math.Pow(share, math.Exp(spread)), math.Pow(share, math.Exp(-spread))
}

// At returns the curve at an age.
func (c *Curve) At(t float64) Point {
	i, found := slices.BinarySearchFunc(c.Points, t, func(p Point, t float64) int { return compareFloat(p.Time, t) })
	if !found {
		i--
	}
	if i < 0 {
		return Point{Time: t, Open: 1, Low: 1, High: 1, AtRisk: c.N}
	}
	return c.Points[i]
}

// followed returns how many cases were still followed just after an age.
func (c *Curve) followed(age float64) int {
	ended := 0
	for _, p := range c.Points {
		if p.Time > age {
			break
		}
		ended += p.Events
	}
	return upTo(c.entries, age) - ended - upTo(c.Censored, age)
}

// upTo is how many of the sorted times are not later than the age.
func upTo(times []float64, age float64) int {
	n, _ := slices.BinarySearchFunc(times, age, func(t, age float64) int {
		if t <= age {
			return -1
		}
		return 1
	})
	return n
}

// Median returns the age at which half were over, NaN if they never were, with
// the interval of Brookmeyer and Crowley: the ages at which the interval of the
// curve holds one half. An end that is not reached is NaN.
func (c *Curve) Median() (median, low, high float64) {
	reached := func(of func(Point) float64) float64 {
		for _, p := range c.Points {
			if of(p) <= 0.5*(1+1e-12) {
				return p.Time
			}
		}
		return math.NaN()
	}
	return reached(func(p Point) float64 { return p.Open }),
		reached(func(p Point) float64 { return p.Low }),
		reached(func(p Point) float64 { return p.High })
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
