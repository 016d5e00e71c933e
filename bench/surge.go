package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	"ippwatch/exposure"
	"ippwatch/surge"
)

// surgeWord is the first argument that asks for detectors to be compared.
const surgeWord = "surge"

// A sky is the generator of facts/sensor.md, section 5: unique sources an hour
// around 20, more by day than by night and less at the end of the week, with
// more spread than a Poisson has, and a scan of four times as many at one hour of
// each week, which is no surge. What the page does not say is chosen so that a
// Poisson against the hour of the week has the false alerts that it has there.
type sky struct {
	r      *rand.Rand
	spread float64 // variance = mean + spread * mean²
}

const (
	skyBase   = 20.0
	skyDay    = 0.5 // amplitude of the day
	skyEnd    = 0.7 // Saturday and Sunday
	skyScan   = 4.0
	skyScanAt = 2*24 + 3 // hour of the week
	skySpread = 0.25
	learnFor  = 8 * 7 * 24 // hours before anything counts
)

func skyMean(hour int) float64 {
	at := hour % (7 * 24)
	mean := skyBase * (1 + skyDay*math.Sin(2*math.Pi*float64(at%24-8)/24))
	if at/24 == 0 || at/24 == 6 {
		mean *= skyEnd
	}
	if at == skyScanAt {
		mean *= skyScan
	}
	return mean
}

// hour draws one: a gamma-mixed Poisson is a negative binomial.
func (s *sky) hour(hour int, times float64) float64 {
	mean := skyMean(hour) * times
	return s.poisson(mean * s.spread * s.gamma(1/s.spread))
}

func (s *sky) poisson(mean float64) float64 {
	if mean > 500 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*s.r.NormFloat64()))
	}
	n, p := -1.0, 1.0
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= s.r.Float64()
	}
	return n
}

// gamma draws of a shape above 1 and a scale of 1: Marsaglia and Tsang, 2000.
func (s *sky) gamma(shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := s.r.NormFloat64()
		v := (1 + c*x) * (1 + c*x) * (1 + c*x)
		if v > 0 && math.Log(s.r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// A detector is told one hour after the other, and says whether there is an
// alert. It is told which hours are of a surge, to freeze what it has learnt
// where it does that by itself.
type detector interface {
	hour(hour int, n float64) bool
}

type contender struct {
	name string
	make func() detector
	page string // its row in facts/sensor.md: false hours a week; delay at x10, x3, x2, ramp
}

var contenders = []contender{
	{"day over month, twice (as GreyNoise)", func() detector { return &averages{} }, "0.00; 2 11 22 37"},
	{"EWMA, 5 sigma", func() detector { return &ewma{} }, "0.96; 0 1 5 25"},
	{"Poisson against the hour of the week", func() detector { return ours(surge.Config{Limit: 1e12, Poisson: true}, true) }, "6.74; 0 0 1 6"},
	{"negative binomial alone", func() detector { return ours(surge.Config{Limit: 1e12}, true) }, "0.19; 0 1 5 24"},
	{"CUSUM on residuals alone", func() detector { return ours(surge.Config{P: 1e-300}, true) }, "0.00; 2 3 10 23"},
	{"ippwatch: both", func() detector { return ours(surge.Config{}, false) }, ""},
}

// averages is the last day over the last thirty.
type averages struct{ seen []float64 }

func (a *averages) hour(_ int, n float64) bool {
	a.seen = append(a.seen, n)
	if len(a.seen) > 30*24 {
		a.seen = a.seen[1:]
	}
	if len(a.seen) < 10*24 {
		return false
	}
	return mean(a.seen[len(a.seen)-24:]) > 2*mean(a.seen)
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, n := range of {
		sum += n
	}
	return sum / float64(len(of))
}

// ewma is a moving mean and variance with no hour of the week.
type ewma struct{ mean, variance float64 }

func (e *ewma) hour(_ int, n float64) bool {
	const alpha = 0.05
	out := e.variance > 0 && n > e.mean+5*math.Sqrt(e.variance)
	diff := n - e.mean
	e.mean += alpha * diff
	e.variance = (1 - alpha) * (e.variance + alpha*diff*diff)
	return out
}

// ourDetector is package surge with one series.
type ourDetector struct {
	d      *surge.Detector
	hours  bool // each hour that is too much counts, and not the episode
	before string
}

func ours(c surge.Config, hours bool) detector { return &ourDetector{d: surge.New(c), hours: hours} }

// monday is any.
var monday = time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)

func (o *ourDetector) hour(hour int, n float64) bool {
	at := monday.Add(time.Duration(hour) * time.Hour)
	o.d.Hour(at, []surge.Count{{Hour: at, Sensor: "one", Class: exposure.Solicitation, Metric: surge.Networks, N: n}})
	if o.hours {
		return slices.ContainsFunc(o.d.Readings, func(r surge.Reading) bool { return r.Reason != "" })
	}
	for _, e := range o.d.Open {
		return o.told(e.ID)
	}
	return o.told("")
}

// told reports whether this hour opens an episode: an operator hears of it once.
func (o *ourDetector) told(id string) bool {
	fresh := id != "" && id != o.before
	o.before = id
	return fresh
}

// A shape is how a surge comes.
type shape struct {
	name  string
	times func(hour int) float64 // from its beginning
}

var shapes = []shape{
	{"x10", func(int) float64 { return 10 }},
	{"x3", func(int) float64 { return 3 }},
	{"x2", func(int) float64 { return 2 }},
	{"x3 in 48 h", func(h int) float64 { return 1 + 2*min(float64(h)/48, 1) }},
}

// A score is how a contender did.
type score struct {
	name  string
	False float64 // alerts a week, without any surge
	Delay [4]float64
	Hit   [4]float64
	page  string
}

const surgeHours = 96 // of a surge; what is not found by then is missed

func compare(seeds, weeks int, spread float64) []score {
	var all []score
	for _, c := range contenders {
		s := score{name: c.name, page: c.page}
		alerts := 0
		var delays [4][]float64
		for seed := range seeds {
			sky := &sky{rand.New(rand.NewPCG(uint64(seed), 63)), spread}
			d := c.make()
			hour := 0
			for ; hour < learnFor+weeks*7*24; hour++ {
				if d.hour(hour, sky.hour(hour, 1)) && hour >= learnFor {
					alerts++
				}
			}
			for i, sh := range shapes {
				if delay, ok := delayOf(c, sh, seed, spread); ok {
					delays[i] = append(delays[i], delay)
				}
			}
		}
		s.False = float64(alerts) / float64(seeds*weeks)
		for i := range shapes {
			s.Hit[i] = float64(len(delays[i])) / float64(seeds)
			s.Delay[i] = math.NaN()
			if len(delays[i]) > 0 {
				slices.Sort(delays[i])
				s.Delay[i] = delays[i][len(delays[i])/2]
			}
		}
		all = append(all, s)
	}
	return all
}

// delayOf learns and then meets one surge.
func delayOf(c contender, sh shape, seed int, spread float64) (float64, bool) {
	sky := &sky{rand.New(rand.NewPCG(uint64(seed), 64)), spread}
	d := c.make()
	begin := learnFor + sky.r.IntN(7*24)
	hour := 0
	for ; hour < begin; hour++ {
		d.hour(hour, sky.hour(hour, 1))
	}
	for ; hour < begin+surgeHours; hour++ {
		if d.hour(hour, sky.hour(hour, sh.times(hour-begin))) {
			return float64(hour - begin), true
		}
	}
	return 0, false
}

// surges compares the detectors and shows the table.
func surges(_ context.Context, args []string, out, errs io.Writer) error {
	fl := flag.NewFlagSet("bench surge", flag.ContinueOnError)
	fl.SetOutput(errs)
	seeds := fl.Int("seeds", 30, "how many skies")
	weeks := fl.Int("weeks", 20, "without a surge, after the eight that are learnt from")
	spread := fl.Float64("spread", skySpread, "variance beyond a Poisson's, by the square of the mean; the page does not tell its own")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *seeds < 1 || *weeks < 1 || *spread <= 0 || *spread >= 1 || fl.NArg() > 0 {
		return fmt.Errorf("-seeds %d -weeks %d -spread %v %q: want numbers above 0, a spread below 1, and nothing else", *seeds, *weeks, *spread, fl.Args())
	}
	fmt.Fprintf(out, "Unique sources an hour around %v, %d skies, %d weeks each: false alerts, and hours until a surge is found (median; how many were).\n"+
		"An episode of ippwatch counts once; of the others each hour counts. The last column is facts/sensor.md, section 5.\n\n", skyBase, *seeds, *weeks)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "detector\tfalse a week")
	for _, s := range shapes {
		fmt.Fprintf(w, "\t%s", s.name)
	}
	fmt.Fprintln(w, "\tthe page: false; x10 x3 x2 ramp")
	for _, s := range compare(*seeds, *weeks, *spread) {
		fmt.Fprintf(w, "%s\t%.2f", s.name, s.False)
		for i := range shapes {
			fmt.Fprintf(w, "\t%s", hours(s.Delay[i], s.Hit[i]))
		}
		fmt.Fprintf(w, "\t%s\n", s.page)
	}
	return w.Flush()
}

func hours(delay, hit float64) string {
	switch {
	case math.IsNaN(delay):
		return "never"
	case hit < 1:
		return fmt.Sprintf("%.0f (%.0f%%)", delay, 100*hit)
	}
	return fmt.Sprintf("%.0f", delay)
}
