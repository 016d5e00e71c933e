package surge

import (
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A Tally is what sensors counted in one hour.
type Tally struct {
	hour  time.Time
	alive map[string]bool
	by    map[tallied]*sketch.Sketch
	Bad   int // sketches that could not be read
}

type tallied struct {
	sensor string
	class  exposure.Class
	metric Metric
}

// NewTally returns an empty tally of the hour that begins then.
func NewTally(hour time.Time) *Tally {
	return &Tally{hour: hour, alive: make(map[string]bool), by: make(map[tallied]*sketch.Sketch)}
}

// Census adds what a sensor counted in one minute. One that only says how the
// sensor fares says that it was there, too: what it then did not count is zero.
func (t *Tally) Census(c *exposure.Census) {
	if len(t.alive) < mostSeries || t.alive[c.Sensor] {
		t.alive[c.Sensor] = true
	}
	if c.Class == "" || !slices.Contains(exposure.Classes, c.Class) {
		return
	}
	for m, d := range map[Metric]exposure.Distinct{Networks: c.Networks, Hosts: c.Hosts} {
		if len(d.Sketch) == 0 {
			continue
		}
		for _, sensor := range []string{c.Sensor, All} {
			k := tallied{sensor, c.Class, m}
			s := t.by[k]
			if s == nil {
				s = sketch.New()
				t.by[k] = s
			}
			if err := s.Merge(d.Sketch); err != nil {
				t.Bad++
				break
			}
		}
	}
}

// away is how long a sensor that is silent is still expected.
const away = 14 * 24 * time.Hour

// Counts are what the hour had, zeros among them for what the detector follows
// and the sensor did not hear of. Over all sensors there is a count only when all
// of them were there, and what is usual over all is learnt anew when there is one
// more: a sensor that comes is no surge.
func (t *Tally) Counts(d *Detector) []Count {
	whole := len(t.alive) > 0
	for sensor, last := range d.Sensors {
		if !t.alive[sensor] {
			if t.hour.Sub(last) < away {
				whole = false
			} else {
				delete(d.Sensors, sensor)
				delete(d.Since, sensor)
			}
		}
	}
	for sensor := range t.alive {
		if _, known := d.Sensors[sensor]; !known {
			d.forgetAll()
			d.Since[sensor], d.Since[All] = t.hour, t.hour
		}
		d.Sensors[sensor] = t.hour
	}
	var counts []Count
	for k, s := range t.by {
		if k.sensor == All && !whole {
			continue
		}
		counts = append(counts, Count{t.hour, k.sensor, k.class, k.metric, float64(s.Estimate())})
	}
	for key := range d.Series {
		class, rest, _ := strings.Cut(key, " ")
		metric, sensor, _ := strings.Cut(rest, " ")
		k := tallied{sensor, exposure.Class(class), Metric(metric)}
		if t.by[k] == nil && (sensor == All && whole || sensor != All && t.alive[sensor]) {
			counts = append(counts, Count{t.hour, sensor, k.class, k.metric, 0})
		}
	}
	slices.SortFunc(counts, func(a, b Count) int { return strings.Compare(keyOf(a), keyOf(b)) })
	return counts
}

// forgetAll forgets what is usual over all sensors.
func (d *Detector) forgetAll() {
	for key := range d.Series {
		if strings.HasSuffix(key, " ") {
			delete(d.Series, key)
		}
	}
}
