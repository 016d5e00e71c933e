package surge

import (
	"math"
	"time"
)

const (
	slots = 7 * 24
	// fade is how much a week weighs against the one after it.
	fade = 0.85
	// prior is how many weeks what is known of the hour of the day weighs against
	// what is known of the hour of the week: with four weeks to learn from, each
	// hour was seen four times.
	prior = 1
	// dayFade is how much an hour weighs in the averages of the warm-up against
	// the one after it: a day, and thirty.
	dayFade  = 1 - 1.0/24
	longFade = 1 - 1.0/(30*24)
	// mostZ is the most that one hour adds to the sum, so that one bad hour is not a
	// slow rise.
	mostZ = 4
)

// A series is what is usual of one count.
type series struct {
	First  time.Time      `json:"first"`
	Last   time.Time      `json:"last"`
	Hours  int            `json:"hours"`  // that were learnt
	Weight [slots]float64 `json:"weight"` // by hour of the week, fading
	Total  [slots]float64 `json:"total"`
	Spread float64        `json:"spread"` // variance beyond a Poisson's, by the square of the mean
	Seen   float64        `json:"seen"`   // weight of the spread
	Day    float64        `json:"day"`    // averages of the warm-up
	Long   float64        `json:"long"`
	Sum    float64        `json:"sum"`  // CUSUM
	Hot    bool           `json:"hot"`  // it is, or was, part of an episode
	Calm   int            `json:"calm"` // hours without excess since
}

func slotOf(hour time.Time) int { return int(hour.Weekday())*24 + hour.Hour() }

// mean is what the hour should have: the same hour of the weeks before, with a
// little of the same hour of other days, so that one odd week is not a rule.
func (s *series) mean(slot int) float64 {
	weight, total := 0.0, 0.0
	for day := range 7 {
		at := day*24 + slot%24
		weight += s.Weight[at]
		total += s.Total[at]
	}
	if weight == 0 {
		return s.Long
	}
	usual := total / weight
	return (s.Total[slot] + prior*usual) / (s.Weight[slot] + prior)
}

// least keeps a spread from being believed to be nothing.
const least = 0.02

func (s *series) spread() float64 {
	if s.Seen < slots/2 {
		return 0.5
	}
	return max(s.Spread/s.Seen, least)
}

// learnt reports whether the hours of a week are known.
func (s *series) learnt(hour time.Time, c Config) bool {
	return hour.Sub(s.First) >= c.Learn && s.Hours >= int(c.Learn/time.Hour)/2
}

// look judges an hour by what is known so far; ok is false when that is too
// little for anything.
func (s *series) look(hour time.Time, n float64, c Config) (v Reading, ok bool) {
	defer func() {
		switch {
		case v.Reason != "":
			s.Hot, s.Calm = true, 0
		case s.Hot && v.Z < 1:
			s.Calm++
		case s.Hot:
			s.Calm = 0
		}
	}()
	if s.Hours > 0 { // what the last day was like is no baseline: it goes on in an episode
		s.Day = s.Day*dayFade + n*(1-dayFade)
	}
	if !s.learnt(hour, c) {
		return s.warmup(n, c)
	}
	v.Expected = s.mean(slotOf(hour))
	spread := s.spread()
	if c.Poisson {
		spread = 0
	}
	v.Z = (n - v.Expected) / math.Sqrt(max(v.Expected+v.Expected*v.Expected*spread, 1))
	s.Sum = max(0, s.Sum+min(v.Z, mostZ)-c.Slack)
	switch {
	case n < c.Least:
	case exceeds(n, v.Expected, spread) < c.P:
		v.Reason = Fast
	case s.Sum > c.Limit && v.Z > c.Slack: // and this hour adds to it
		v.Reason = Slow
	}
	return v, true
}

// days of the warm-up in which nothing is said at all.
const silentHours = 3 * 24

// warmup compares the day with what was before it.
func (s *series) warmup(n float64, c Config) (Reading, bool) {
	if s.Hours < silentHours {
		return Reading{}, false
	}
	v := Reading{Expected: s.Long}
	if s.Long > 0 {
		v.Z = (s.Day - s.Long) / s.Long
	}
	if n >= c.Least && s.Day > c.Ratio*s.Long && s.Day >= c.Least {
		v.Reason = Warmup
	}
	return v, true
}

// learn takes the hour for usual.
func (s *series) learn(hour time.Time, n float64) {
	slot := slotOf(hour)
	if s.Weight[slot] > 1.5 { // of the hours that were seen at least twice
		if mean := s.mean(slot); mean >= 1 {
			const keep = 1 - 1.0/(8*slots)
			excess := ((n-mean)*(n-mean) - mean) / (mean * mean)
			s.Spread = s.Spread*keep + min(excess, 9)
			s.Seen = s.Seen*keep + 1
		}
	}
	s.Weight[slot] = s.Weight[slot]*fade + 1
	s.Total[slot] = s.Total[slot]*fade + n
	if s.Hours == 0 {
		s.Day, s.Long = n, n
	}
	if s.Hours < silentHours { // plain averages, until there is something to fade
		s.Long += (n - s.Long) / float64(s.Hours+1)
	} else {
		s.Long = s.Long*longFade + n*(1-longFade)
	}
	s.Hours++
}
