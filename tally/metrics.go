package tally

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// Ages are the days at which the share that is closed is told: the first two are
// the ages of the goals for outreach (facts/filters-and-outreach.md 3.5).
var Ages = []float64{14, 30, 90}

// reopenWithin is the time after a fix within which a hole that is back counts
// as reopened.
const reopenWithin = 90

// Options say what is counted.
type Options struct {
	Since time.Time // only what happened then or later; zero: all
	Until time.Time // the end of the observation
	// FirstLook is when anything was seen first. What that look found had been
	// there for nobody knows how long.
	FirstLook time.Time
	// NewOnly leaves out what the first look found.
	NewOnly bool
	// Turnbull estimates from intervals alone; what was open before Since is
	// left out then, because the estimate knows no late entry.
	Turnbull bool
	// Arms says that some are held out; ByArm that the groups are the arms, and
	// compares what was drawn.
	Arms, ByArm bool
}

// firstLookLasts is how long the first look takes: a scan of a large scope runs
// for a day.
const firstLookLasts = 24 * time.Hour

// A Collector takes spells in, one by one, and keeps some forty bytes of each.
type Collector struct {
	o        Options
	names    map[string]int32
	units    map[string]int32
	groups   []string
	records  []record
	before   int // over before Since
	prevails int
}

// A record is what is kept of a spell. Times are days on the clock of its age; a
// float32 holds ten years to within half a minute, and no probe is as exact.
type record struct {
	group, unit              int32
	end                      uint8
	arm                      uint8
	notices, bounces         uint8
	prevalent, late, reached bool
	entry, lo, hi            float32
	notice, answer           Wait
	reopen                   Wait
	exposed                  float32
}

// A Wait is how long something took; negative: how long it had not come.
type Wait float32

// never is the wait of something that was not waited for.
var never = Wait(math.NaN())

// New returns a collector that has seen nothing.
func New(o Options) *Collector {
	return &Collector{o: o, names: make(map[string]int32), units: make(map[string]int32)}
}

// A Place is where a spell is counted.
type Place struct {
	Group string
	Arm   Arm    // if arms are compared
	Unit  string // what was drawn into the arm
}

// Add takes a spell in.
func (c *Collector) Add(s *Spell, at Place) {
	o := &c.o
	prevalent := !o.FirstLook.IsZero() && s.Opened.Before(o.FirstLook.Add(firstLookLasts))
	if o.NewOnly && prevalent {
		c.prevails++
		return
	}
	late := s.Opened.Before(o.Since)
	if late && (o.Turnbull || !s.Middle().After(o.Since)) {
		c.before++
		return
	}
	r := record{
		group: index(c.names, at.Group, &c.groups), end: uint8(s.End.index()), //nolint:gosec // one of eight
		notices: small(s.Notices), bounces: small(s.Bounces), reached: s.Reached, prevalent: prevalent, late: late,
		entry: -1, lo: age(s, s.LastOpen), hi: float32(math.Inf(1)),
		notice: never, answer: never, reopen: never,
	}
	if late {
		r.entry = age(s, o.Since)
	}
	if s.Event() {
		r.hi = age(s, s.Closed)
	}
	from := s.Opened
	if late {
		from = o.Since
	}
	if m := s.Middle(); m.After(from) {
		r.exposed = float32(days(m.Sub(from)))
	}
	if o.Arms {
		r.unit = index(c.units, at.Unit, nil)
		if at.Arm == Held {
			r.arm = 1
		}
	}
	until := s.Over
	if until.IsZero() {
		until = o.Until
	}
	if !late && r.arm == 0 && s.End != FalsePositive {
		r.notice = wait(s.Opened, s.Notified, until)
	}
	if !s.Notified.IsZero() && !s.Notified.Before(o.Since) {
		r.answer = wait(s.Notified, s.Answered, until)
	}
	if s.Event() && !s.Over.Before(o.Since) {
		r.reopen = wait(s.Over, s.Reopened, o.Until)
	}
	c.records = append(c.records, r)
}

func age(s *Spell, t time.Time) float32 { return float32(max(0, days(t.Sub(s.Opened)))) }

func wait(from, came, until time.Time) Wait {
	if came.IsZero() {
		return -Wait(max(0, days(until.Sub(from))))
	}
	return Wait(max(0, days(came.Sub(from))))
}

func small(n int) uint8 { return uint8(min(n, math.MaxUint8)) } //nolint:gosec // as it says

func index(of map[string]int32, name string, list *[]string) int32 {
	i, ok := of[name]
	if !ok {
		i = int32(len(of))          //nolint:gosec // not so many
		of[strings.Clone(name)] = i // not a part of a longer text
		if list != nil {
			*list = append(*list, strings.Clone(name))
		}
	}
	return i
}

// A Group is the figures of one group of spells.
type Group struct {
	Name     string      `json:"group"`
	Spells   int         `json:"cases"`
	Events   int         `json:"events"`
	Censored int         `json:"censored"`
	LeftOut  int         `json:"left_out"`
	Ends     map[End]int `json:"ends"`
	// HalfLife is in days, as are Notice and Answer.
	HalfLife     Figure    `json:"half_life"`
	Closed       []Closed  `json:"closed"`
	Notice       Figure    `json:"time_to_notice"`
	Answer       Figure    `json:"time_to_acknowledge"`
	Notified     int       `json:"notified"`
	Delivered    Figure    `json:"delivered"`
	Bounced      Figure    `json:"bounced"`
	Reopened     Figure    `json:"reopened"`
	ExposureDays float64   `json:"exposure_days"`
	Curve        *Curve    `json:"-"`
	Turnbull     *Turnbull `json:"-"`
}

// Closed is the share that is closed at an age.
type Closed struct {
	Day float64 `json:"day"`
	Figure
}

// MarshalJSON writes the day beside the figure.
func (c Closed) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Day    float64 `json:"day"`
		Figure Figure  `json:"fixed"`
	}{c.Day, c.Figure})
}

// A Report is the figures of all groups.
type Report struct {
	All    Group
	Groups []Group // in the order of size
	// Test compares the groups; nil: there is nothing to compare. Drawn does so
	// for the units that were drawn.
	Test, Drawn *Test
	Differences []Difference
	Prevalent   int     // spells that the first look found, counted or left out
	Before      int     // spells left out because they were over, or too old
	Grid        float64 // days to which intervals were rounded; 0: not
	Gap         float64 // of the worst Turnbull estimate; see there
}

// Report returns the figures. The collector is done for then.
func (c *Collector) Report() Report {
	r := Report{Prevalent: c.prevails, Before: c.before}
	slices.SortStableFunc(c.records, func(a, b record) int { return cmp.Compare(a.group, b.group) })
	for i := range c.records {
		if c.records[i].prevalent {
			r.Prevalent++
		}
	}
	r.All = c.group("all", c.records, &r)
	for from := 0; from < len(c.records); {
		to := from
		for to < len(c.records) && c.records[to].group == c.records[from].group {
			to++
		}
		r.Groups = append(r.Groups, c.group(c.groups[c.records[from].group], c.records[from:to], &r))
		from = to
	}
	slices.SortStableFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Spells, a.Spells), cmp.Compare(a.Name, b.Name))
	})
	c.compare(&r)
	return r
}

// compare tests the groups, and what was drawn.
func (c *Collector) compare(r *Report) {
	if len(r.Groups) < 2 || len(r.Groups) > mostGroups {
		return
	}
	all := make([]member, 0, len(c.records))
	for i := range c.records {
		if rec := &c.records[i]; Ends[rec.end] != FalsePositive {
			g := int(rec.group)
			if c.o.ByArm {
				g = int(rec.arm)
			}
			all = append(all, member{rec.life(), g, rec.unit})
		}
	}
	if r.All.Events < Thin {
		return
	}
	if t, ok := logRank(all, len(r.Groups)); ok {
		r.Test = &t
	}
	if !c.o.ByArm {
		return
	}
	if t, ok := drawn(all); ok {
		r.Drawn = &t
	}
	told, held := r.named(string(Told)), r.named(string(Held))
	if told == nil || held == nil {
		return
	}
	for _, day := range Ages[:2] {
		r.Differences = append(r.Differences, difference(told.Curve, held.Curve, day))
	}
}

func (r *Report) named(name string) *Group {
	for i := range r.Groups {
		if r.Groups[i].Name == name {
			return &r.Groups[i]
		}
	}
	return nil
}

func (r *record) life() Life { return Life{float64(r.entry), float64(r.lo), float64(r.hi)} }

func (c *Collector) group(name string, records []record, report *Report) Group {
	g := Group{Name: name, Ends: make(map[End]int)}
	lives := make([]Life, 0, len(records))
	var notice, answer, reopen []Life
	reached, notices, bounces := 0, 0, 0
	waits := func(to []Life, w Wait) []Life {
		switch {
		case math.IsNaN(float64(w)):
			return to
		case w < 0 || w == 0 && math.Signbit(float64(w)):
			return append(to, Life{-1, -float64(w), math.Inf(1)})
		}
		return append(to, Life{-1, float64(w), float64(w)})
	}
	for i := range records {
		r := &records[i]
		end := Ends[r.end]
		g.Ends[end]++
		if end == FalsePositive {
			g.LeftOut++
			continue
		}
		g.Spells++
		if end == Fixed {
			g.Events++
		}
		lives = append(lives, r.life())
		notice, answer, reopen = waits(notice, r.notice), waits(answer, r.answer), waits(reopen, r.reopen)
		if r.notices > 0 {
			g.Notified++
			notices += int(r.notices)
			bounces += int(r.bounces)
			if r.reached {
				reached++
			}
		}
		g.ExposureDays += float64(r.exposed)
	}
	g.ExposureDays = math.Round(g.ExposureDays*10) / 10
	g.Censored = g.Spells - g.Events
	km := KaplanMeier(lives)
	g.Curve = &km
	g.HalfLife = km.half()
	if c.o.Turnbull {
		rounded, grid := coarse(lives)
		report.Grid = max(report.Grid, grid)
		t := NewTurnbull(rounded)
		report.Gap = max(report.Gap, t.Gap)
		g.Turnbull = &t
		g.HalfLife = t.half()
	}
	for _, day := range Ages {
		f := km.closedAt(day)
		if g.Turnbull != nil {
			f = g.Turnbull.closedAt(day)
		}
		g.Closed = append(g.Closed, Closed{day, f})
	}
	g.Notice, g.Answer = median(notice), median(answer)
	g.Delivered, g.Bounced = share(reached, g.Notified), share(min(bounces, notices), notices)
	g.Reopened = within(reopen, reopenWithin)
	return g
}

// median is the time until something comes, counting those for whom it has not.
func median(lives []Life) Figure {
	if len(lives) == 0 {
		return without(NoCase)
	}
	c := KaplanMeier(lives)
	return c.half()
}

// within is the share for whom something came within so many days.
func within(lives []Life, limit float64) Figure {
	if len(lives) == 0 {
		return without(NoCase)
	}
	c := KaplanMeier(lives)
	return c.closedAt(limit)
}
