// Package surge says when more strangers come to the sensors than the hour of the
// week explains, and when a thing happens that needs no statistics.
package surge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
)

// A Metric is what is counted: how many different ones there were, never how
// many packets. One source can send a million.
type Metric string

// Metrics.
const (
	Networks Metric = "networks"       // /24 of IPv4 and /48 of IPv6 that sources are in
	Hosts    Metric = "callback_hosts" // whom packets would make others call
)

// All is the place of a count over all sensors.
const All = ""

// A Count is one hour at one sensor, or at all of them. An hour of which a sensor
// tells nothing has no count: silence is not zero.
type Count struct {
	Hour   time.Time // its beginning, UTC
	Sensor string    // [All]: over all
	Class  exposure.Class
	Metric Metric
	N      float64
}

// Config is how sure one wants to be. The zero value of a field is its default.
type Config struct {
	P       float64       // of an hour by chance, fast
	Slack   float64       // k of the CUSUM, in standard deviations
	Limit   float64       // h of the CUSUM
	Ratio   float64       // of a day's average to the average before it, during the warm-up
	Learn   time.Duration // until the hours of a week are known
	Calm    int           // hours without excess that end an episode
	Longest time.Duration // of an episode: after it this is how it is now
	Least   float64       // below so many nothing is a surge
	// Poisson believes that sources come by chance alone. They do not: it is here
	// to be compared with.
	Poisson bool
}

// Default is what facts/sensor.md, section 5, found to be good.
func Default() Config {
	return Config{P: 1e-6, Slack: 1, Limit: 8, Ratio: 2, Learn: 28 * 24 * time.Hour, Calm: 6, Longest: 14 * 24 * time.Hour, Least: 5}
}

func (c Config) orDefault() Config {
	d := Default()
	return Config{
		P: cmp.Or(c.P, d.P), Slack: cmp.Or(c.Slack, d.Slack), Limit: cmp.Or(c.Limit, d.Limit), Ratio: cmp.Or(c.Ratio, d.Ratio),
		Learn: cmp.Or(c.Learn, d.Learn), Calm: cmp.Or(c.Calm, d.Calm), Longest: cmp.Or(c.Longest, d.Longest), Least: cmp.Or(c.Least, d.Least),
		Poisson: c.Poisson,
	}
}

// A Reason is what found a surge.
type Reason string

// Reasons.
const (
	Fast   Reason = "hour"    // the hour alone is too much: negative binomial against the hour of the week
	Slow   Reason = "sum"     // hours together are: CUSUM on the residuals
	Warmup Reason = "average" // a day's average against the average before it; the hours of the week are not known yet
)

// An Episode is a surge of one class, from its first hour to its last, at however
// many sensors.
type Episode struct {
	ID       string         `json:"id"` // the same whenever it is computed
	Class    exposure.Class `json:"class"`
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended,omitzero"`
	Reason   Reason         `json:"reason"` // of its beginning
	Metric   Metric         `json:"metric"`
	Observed float64        `json:"observed"` // at its worst
	Expected float64        `json:"expected"` // at that hour
	Peak     time.Time      `json:"peak"`
	Sensors  []string       `json:"sensors"` // that see it, each by itself
	All      bool           `json:"all"`     // over all of them it is seen
	// Level rises when it gets worse by much: more sensors, or twice as high. Who
	// was told of it is told again.
	Level int     `json:"level"`
	Told  float64 `json:"told"`           // the ratio at which the level rose last
	Note  string  `json:"note,omitempty"` // why it ended, when not by calm
}

// Ratio is how much more there was than expected, at the worst.
func (e *Episode) Ratio() float64 { return e.Observed / max(e.Expected, 1) }

// A Detector follows all counts. Its fields are what it remembers, and can be
// kept as JSON.
type Detector struct {
	Config  Config               `json:"-"`
	Through time.Time            `json:"through"` // the last hour that was taken in
	Series  map[string]*series   `json:"series"`
	Open    map[string]*Episode  `json:"open"`
	Closed  []Episode            `json:"closed"`  // newest last, at most mostClosed
	Sensors map[string]time.Time `json:"sensors"` // the last hour in which they were there
	Since   map[string]time.Time `json:"since"`   // the first hour in which they were there
	Refused int                  `json:"refused"` // counts of series beyond mostSeries, or out of their order
	// Readings are what the last hour is worth, series by series.
	Readings []Reading `json:"-"`
}

// A Reading is what one hour of one series is worth.
type Reading struct {
	Count
	Expected float64 // by what is usual at that hour of the week
	Z        float64 // how many standard deviations it is off
	Reason   Reason  // why it is too much; "": it is not
}

const (
	mostClosed = 200
	mostSeries = 4096
)

// New returns a detector that knows nothing yet.
func New(c Config) *Detector {
	return &Detector{Config: c.orDefault(), Series: make(map[string]*series), Open: make(map[string]*Episode), Sensors: make(map[string]time.Time), Since: make(map[string]time.Time)}
}

// Restored makes a detector that was read from JSON ready.
func (d *Detector) Restored(c Config) {
	d.Config = c.orDefault()
	if d.Series == nil {
		d.Series = make(map[string]*series)
	}
	if d.Open == nil {
		d.Open = make(map[string]*Episode)
	}
	if d.Sensors == nil {
		d.Sensors = make(map[string]time.Time)
	}
	if d.Since == nil {
		d.Since = make(map[string]time.Time)
	}
}

func keyOf(c Count) string { return string(c.Class) + " " + string(c.Metric) + " " + c.Sensor }

// Hour takes in all counts of one hour. Hours come in their order; one that came
// is not taken again.
func (d *Detector) Hour(hour time.Time, counts []Count) {
	hour = hour.UTC().Truncate(time.Hour)
	if !hour.After(d.Through) {
		d.Refused += len(counts)
		return
	}
	d.Through = hour
	d.Readings = d.Readings[:0]
	byClass := make(map[exposure.Class][]Reading)
	for _, c := range counts {
		k := keyOf(c)
		s := d.Series[k]
		if s == nil {
			if len(d.Series) >= mostSeries {
				d.Refused++
				continue
			}
			s = d.begun(hour, c.Sensor)
			d.Series[k] = s
		}
		s.Last = hour
		if v, ok := s.look(hour, c.N, d.Config); ok {
			v.Count = c
			d.Readings = append(d.Readings, v)
			byClass[c.Class] = append(byClass[c.Class], v)
		}
	}
	classes := maps.Clone(byClass)
	for class := range d.Open {
		if _, ok := classes[exposure.Class(class)]; !ok {
			classes[exposure.Class(class)] = nil
		}
	}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		d.class(hour, class, byClass[class])
	}
	d.learn(hour, counts)
}

// begun is a series of which this is the first hour. A sensor that has been there
// for long, and never heard of such a thing, knows what is usual: none.
func (d *Detector) begun(hour time.Time, sensor string) *series {
	since, known := d.Since[sensor]
	if !known || hour.Sub(since) < d.Config.Learn {
		return &series{First: hour}
	}
	s := &series{First: since, Hours: int(hour.Sub(since) / time.Hour)}
	for i := range s.Weight {
		s.Weight[i] = float64(d.Config.Learn / (7 * 24 * time.Hour))
	}
	return s
}

// learn lets the series learn the hour, but those whose class has an episode: a
// surge that is learnt is the next surge that is missed.
func (d *Detector) learn(hour time.Time, counts []Count) {
	for _, c := range counts {
		if s := d.Series[keyOf(c)]; s != nil && d.Open[string(c.Class)] == nil {
			s.learn(hour, c.N)
		}
	}
}

// class opens, continues or ends the episode of one class.
func (d *Detector) class(hour time.Time, class exposure.Class, readings []Reading) {
	e := d.Open[string(class)]
	var excess []Reading
	for _, v := range readings {
		if v.Reason != "" {
			excess = append(excess, v)
		}
	}
	// The strongest stands for it; of two alike the one over all sensors.
	slices.SortStableFunc(excess, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(b.Z, a.Z), cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Metric, b.Metric))
	})
	if e == nil {
		if len(excess) > 0 {
			d.begin(hour, class, excess)
		}
		return
	}
	e.join(hour, excess)
	switch {
	case hour.Sub(e.Began) >= d.Config.Longest:
		d.end(hour, e, "it lasts so long that it is how it is now: what is usual is learnt anew")
		for k, s := range d.Series {
			if strings.HasPrefix(k, string(class)+" ") {
				*s = series{First: hour.Add(time.Hour)}
			}
		}
	case d.calm(hour, class):
		d.end(hour, e, "")
	}
}

// silent is after how long a sensor that tells nothing no longer keeps an episode
// open.
const silent = 24 * time.Hour

// calm reports whether every series of the class was without excess for so many
// of its hours. One that tells nothing is no sign of calm, and for a day what was
// last said of it counts.
func (d *Detector) calm(hour time.Time, class exposure.Class) bool {
	for k, s := range d.Series {
		if strings.HasPrefix(k, string(class)+" ") && s.Hot && s.Calm < d.Config.Calm && hour.Sub(s.Last) < silent {
			return false
		}
	}
	return true
}

func (d *Detector) begin(hour time.Time, class exposure.Class, excess []Reading) {
	sum := sha256.Sum256(fmt.Appendf(nil, "surge %s %d", class, hour.Unix()))
	e := &Episode{ID: strings.ToUpper(hex.EncodeToString(sum[:4])), Class: class, Began: hour, Reason: excess[0].Reason}
	e.join(hour, excess)
	e.Level = 0
	d.Open[string(class)] = e
}

// join adds what an hour shows to the episode.
func (e *Episode) join(hour time.Time, excess []Reading) {
	for _, v := range excess {
		if v.Sensor == All {
			e.All = true
		} else if !slices.Contains(e.Sensors, v.Sensor) {
			e.Sensors = append(e.Sensors, v.Sensor)
			slices.Sort(e.Sensors)
			if n := len(e.Sensors); n >= 2 && n&(n-1) == 0 { // 2, 4, 8: not for each
				e.Level++
			}
		}
	}
	if len(excess) == 0 {
		return
	}
	v := excess[0]
	worst := e.Ratio()
	if v.N/max(v.Expected, 1) <= worst {
		return
	}
	e.Metric, e.Observed, e.Expected, e.Peak = v.Metric, v.N, v.Expected, hour
	if e.Told == 0 {
		e.Told = e.Ratio()
	}
	if e.Ratio() >= 2*e.Told {
		e.Told = e.Ratio()
		e.Level++
	}
}

func (d *Detector) end(hour time.Time, e *Episode, note string) {
	e.Ended, e.Note = hour.Add(time.Hour), note
	delete(d.Open, string(e.Class))
	d.Closed = append(d.Closed, *e)
	if n := len(d.Closed) - mostClosed; n > 0 {
		d.Closed = slices.Delete(d.Closed, 0, n)
	}
	for k, s := range d.Series {
		if strings.HasPrefix(k, string(e.Class)+" ") {
			s.Hot, s.Calm, s.Sum = false, 0, 0
		}
	}
}

// Episodes returns those that are open, and those that ended since.
func (d *Detector) Episodes(since time.Time) []Episode {
	var all []Episode
	for _, e := range d.Closed {
		if !e.Ended.Before(since) {
			all = append(all, e)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.Open)) {
		all = append(all, *d.Open[k])
	}
	slices.SortStableFunc(all, func(a, b Episode) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Class, b.Class)) })
	return all
}

// exceeds is the probability of n or more, where the mean is known and the
// variance is mean + mean² * spread: a negative binomial, and with no spread a
// Poisson.
func exceeds(n, mean, spread float64) float64 {
	if n <= 0 {
		return 1
	}
	mean = max(mean, 1e-9)
	term := math.Exp(-mean)
	ratio := func(i float64) float64 { return mean / (i + 1) }
	if spread > 1e-6 {
		k := 1 / spread
		p := k / (k + mean)
		term = math.Exp(k * math.Log(p))
		ratio = func(i float64) float64 { return (i + k) / (i + 1) * (1 - p) }
	}
	// In doubles the first term may be nothing where the mean is large: then the
	// normal is as good.
	if term < 1e-290 {
		return 0.5 * math.Erfc((n-mean)/math.Sqrt(2*(mean+mean*mean*spread)))
	}
	below := 0.0
	i := 0.0
	for ; i < n && i < 1e6; i++ {
		below += term
		term *= ratio(i)
	}
	if rest := 1 - below; rest > 1e-9 {
		return rest
	}
	// What is left of one is lost in the rounding: the tail is summed itself.
	tail := 0.0
	for ; term > 1e-30 && i < 2e6; i++ {
		tail += term
		term *= ratio(i)
	}
	return tail
}
