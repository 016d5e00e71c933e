package plant

import (
	"context"
	"maps"
	"slices"
	"time"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A census is what the sensors counted by hour, as far back as the pages look.
type census struct {
	From    time.Time // the first hour
	Built   time.Time // when it was read from its beginning
	Sensors map[string]*sensorSeen
	All     *sensorSeen // over all; its sources and networks are counted once
}

// sensorSeen is one sensor.
type sensorSeen struct {
	Name  string
	First time.Time
	Last  time.Time // heard
	Hours map[time.Time]*hourSeen
}

// hourSeen is one hour of a sensor. One that is not there was not counted: that
// is no zero.
type hourSeen struct {
	Minutes int // of which the sensor told how it fared
	Classes map[exposure.Class]*cell
	Lost    exposure.Health
	Top     map[string]int64 // packets of the most frequent sources, at least

	sketches map[exposure.Class]*sketch.Sketch
}

// A cell is one class in one hour.
type cell struct {
	Packets, Told, Listed int64
	Networks              uint64 // different ones, an estimate
}

const (
	// censusBack is how far back the pages look.
	censusBack = 8 * 24 * time.Hour
	// censusLate is how late a sensor may tell of an hour and be heard at once;
	// what comes later is found when all is read again.
	censusLate  = 3 * time.Hour
	censusAgain = 6 * time.Hour
	// censusAge is how old what a page shows may be.
	censusAge = 30 * time.Second
	// topKept bounds the sources that are remembered of one hour.
	topKept = 100
)

// count reads what came since the last time.
func (p *Plant) count(ctx context.Context, last *census) (*census, error) {
	now := p.Now().UTC()
	c := &census{From: now.Add(-censusBack).Truncate(time.Hour), Built: now, Sensors: make(map[string]*sensorSeen), All: newSeen("")}
	from := c.From
	if last != nil && now.Sub(last.Built) < censusAgain && !now.Before(last.Built) {
		from = now.Add(-censusLate).Truncate(time.Hour)
		c.Built = last.Built
		c.All.keep(last.All, c.From, from)
		for name, s := range last.Sensors {
			kept := newSeen(name)
			if kept.keep(s, c.From, from); len(kept.Hours) > 0 {
				c.Sensors[name] = kept
			}
		}
	}
	open := from
	for one, err := range p.Archive.Censuses(ctx, p.own(), from, time.Time{}) {
		if err != nil {
			return nil, err
		}
		hour := one.Began.UTC().Truncate(time.Hour)
		if hour.After(open) { // they come in the order of time
			c.finish(open)
			open = hour
		}
		s := c.Sensors[one.Sensor]
		if s == nil {
			s = newSeen(one.Sensor)
			c.Sensors[one.Sensor] = s
		}
		s.add(&one, hour)
		c.All.add(&one, hour)
	}
	c.finish(open)
	return c, nil
}

func newSeen(name string) *sensorSeen {
	return &sensorSeen{Name: name, Hours: make(map[time.Time]*hourSeen)}
}

// keep takes over what was counted, from a time up to another.
func (s *sensorSeen) keep(old *sensorSeen, from, to time.Time) {
	s.First, s.Last = old.First, old.Last
	for hour, h := range old.Hours {
		if !hour.Before(from) && hour.Before(to) {
			s.Hours[hour] = h
		}
	}
}

func (s *sensorSeen) add(c *exposure.Census, hour time.Time) {
	if s.First.IsZero() || c.Began.Before(s.First) {
		s.First = c.Began
	}
	if c.Ended.After(s.Last) {
		s.Last = c.Ended
	}
	h := s.Hours[hour]
	if h == nil {
		h = &hourSeen{Classes: make(map[exposure.Class]*cell), Top: make(map[string]int64), sketches: make(map[exposure.Class]*sketch.Sketch)}
		s.Hours[hour] = h
	}
	if c.Class == "" {
		h.Minutes++
	}
	if l := c.Health; l != nil {
		h.Lost.Dropped += l.Dropped
		h.Lost.Unwritten += l.Unwritten
		h.Lost.Shed += l.Shed
		h.Lost.Refused += l.Refused
	}
	if !slices.Contains(exposure.Classes, c.Class) {
		return
	}
	one := h.Classes[c.Class]
	if one == nil {
		one = &cell{}
		h.Classes[c.Class] = one
	}
	one.Packets += c.Packets
	one.Told += c.Told
	one.Listed += c.Listed
	if h.sketches != nil {
		k := h.sketches[c.Class]
		if k == nil {
			k = sketch.New()
			h.sketches[c.Class] = k
		}
		if len(c.Networks.Sketch) > 0 {
			_ = k.Merge(c.Networks.Sketch) // what cannot be read counts for nothing
		}
	}
	for _, f := range c.TopSources {
		if len(h.Top) < 10*topKept || h.Top[f.What] > 0 {
			h.Top[f.What] += f.N - f.Over
		}
	}
}

// finish turns the sketches of an hour into numbers.
func (c *census) finish(hour time.Time) {
	for _, s := range append(slices.Collect(maps.Values(c.Sensors)), c.All) {
		h := s.Hours[hour]
		if h == nil {
			continue
		}
		for class, k := range h.sketches {
			h.Classes[class].Networks = k.Estimate()
		}
		h.sketches = nil
		for _, few := range most(h.Top, len(h.Top))[min(topKept, len(h.Top)):] {
			delete(h.Top, few.Name)
		}
	}
}

// names are the sensors in their order.
func (c *census) names() []string { return sortedKeys(c.Sensors) }

// sum adds hours up, from a time up to another.
func (s *sensorSeen) sum(from, to time.Time) (total hourSeen) {
	total = hourSeen{Classes: make(map[exposure.Class]*cell), Top: make(map[string]int64)}
	for hour, h := range s.Hours {
		if hour.Before(from) || !hour.Before(to) {
			continue
		}
		total.Minutes += h.Minutes
		total.Lost.Dropped += h.Lost.Dropped
		total.Lost.Unwritten += h.Lost.Unwritten
		total.Lost.Shed += h.Lost.Shed
		total.Lost.Refused += h.Lost.Refused
		for class, one := range h.Classes {
			t := total.Classes[class]
			if t == nil {
				t = &cell{}
				total.Classes[class] = t
			}
			t.Packets += one.Packets
			t.Told += one.Told
			t.Listed += one.Listed
			t.Networks = max(t.Networks, one.Networks) // of the busiest hour
		}
		for what, n := range h.Top {
			total.Top[what] += n
		}
	}
	return total
}
