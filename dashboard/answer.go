package dashboard

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A Value is a number as a visitor may see it.
type Value struct {
	N      int64
	Hidden bool // more than none, and fewer than may be told
	Gap    bool // nobody looked
}

// A guard keeps small numbers from who may not see them. Those below cell are
// hidden and all others are rounded to its multiples, every number by itself: so
// nothing that is hidden can be computed from totals, or as the difference of
// two questions.
type guard struct{ cell int64 }

func guardOf(view access.View, smallCell int) guard {
	if view.Tier == access.Public && smallCell > 1 {
		return guard{int64(smallCell)}
	}
	return guard{1}
}

func (g guard) value(x float64) Value {
	switch {
	case x <= 0:
		return Value{}
	case g.cell <= 1 && x >= .5:
		return Value{N: int64(math.Round(x))}
	case x < float64(g.cell): // with a cell of 1, a mean that is hardly more than none
		return Value{Hidden: true}
	}
	return Value{N: g.cell * int64(math.Round(x/float64(g.cell)))}
}

// A DayState is how well a day is known.
type DayState string

// States of days.
const (
	Measured   DayState = "measured"
	Gap        DayState = "gap"        // none of the sources looked
	Incomplete DayState = "incomplete" // one of them did not look, or did not come to its end: a lower bound
	Changing   DayState = "changing"   // what came since is not counted yet
)

// A Day is one day of an answer.
type Day struct {
	Day   time.Time
	State DayState
	Total Value
}

// A Group is one part of an answer: a country, a tag, a source ...
type Group struct {
	Key    string // as it stands in addresses
	Value  Value
	Days   []Value // as the days of the answer
	Before Value   // on the day of the comparison
	Share  float64 // of the total, in percent; less than 0: not known
}

// Difference is what came since the day of the comparison; false when one of the
// two cannot be told.
func (g Group) Difference() (int64, bool) { return difference(g.Value, g.Before) }

func difference(now, before Value) (int64, bool) {
	if now.Hidden || before.Hidden || now.Gap || before.Gap {
		return 0, false
	}
	return now.N - before.N, true
}

// An Answer is what a question came to.
type Answer struct {
	*Question
	Group    string // what the groups are
	Overlap  bool   // a host may be in more than one group
	Days     []Day
	Counted  int // days that were measured
	Total    Value
	Before   Value // on the day of the comparison
	Groups   []Group
	Rest     Value   // of the groups beyond the limit
	RestDays []Value // day by day
	RestN    int
	Found    int // groups, with those beyond the limit
	Cell     int64
	Error    float64  // standard error of the values, as a share; 0: exact
	Absent   []string // sources that were asked for and saw nothing in the range
	Edition  archive.Edition
}

// Gaps are the days on which nobody looked.
func (a *Answer) Gaps() int { return a.in(Gap) }

// Lower are the days of which the numbers are a lower bound.
func (a *Answer) Lower() int { return a.in(Incomplete) + a.in(Changing) }

func (a *Answer) in(s DayState) int {
	n := 0
	for _, d := range a.Days {
		if d.State == s {
			n++
		}
	}
	return n
}

// tallyQuery is the question in the words of the archive.
func (p *Question) tallyQuery(group string) archive.TallyQuery {
	q := archive.TallyQuery{
		From: p.From, To: p.To, Devices: p.DataSet == setDevices, Sources: p.Sources, Tags: p.Tags, ASN: p.ASN, Vendor: p.Vendor, Model: p.Model,
		By: map[string]archive.Dimension{
			"geo": archive.ByCountry, "tag": archive.ByTag, "source": archive.BySource, "asn": archive.ByASN, "vendor": archive.ByVendor, "model": archive.ByModel,
		}[group],
	}
	for _, code := range p.Geo {
		if code == unknownLand {
			code = ""
		}
		q.Countries = append(q.Countries, code)
	}
	return q
}

// keyOf is a group's name in addresses.
func keyOf(group, key string) string {
	if key == "" && group == "geo" {
		return unknownLand
	}
	return key
}

// compute answers a question.
func (d *door) compute(ctx context.Context, view access.View, p *Question) (*Answer, error) {
	group := p.group()
	a := &Answer{Question: p, Group: group, Overlap: group == "tag" || group == "source", Cell: guardOf(view, d.cell).cell}
	q := p.tallyQuery(group)
	days, err := d.archive.Tally(ctx, view, q)
	if err != nil {
		return nil, refused(p, err)
	}
	if err := d.cover(ctx, view, a, days); err != nil {
		return nil, err
	}
	c := &counting{Answer: a, guard: guard{a.Cell}, days: days}
	c.sum()
	if p.DataSet == setUnique && p.span() > 1 {
		span, err := d.archive.Distinct(ctx, view, q)
		if err != nil {
			return nil, refused(p, err)
		}
		a.Error = sketch.Error
		c.total, c.sums = float64(span.Total), make(map[string]float64)
		for key, n := range span.By {
			c.sums[key] = float64(n)
		}
	}
	if !p.Compare.IsZero() {
		q.From, q.To = p.Compare, p.Compare
		before, err := d.archive.Tally(ctx, view, q)
		if err != nil {
			return nil, refused(p, err)
		}
		c.before = before
	}
	c.finish()
	return a, nil
}

// refused says in the question's words why the archive does not answer.
func refused(p *Question, err error) error {
	if !errors.Is(err, archive.ErrDenied) {
		return err
	}
	for _, one := range []struct {
		name  string
		asked bool
	}{{"asn", p.ASN != 0}, {"vendor", p.Vendor != ""}, {"model", p.Model != ""}} {
		if one.asked {
			return amiss(one.name, "denied")
		}
	}
	return amiss("group_by", "denied")
}

// A counting is an answer on its way.
type counting struct {
	*Answer
	guard  guard
	days   []archive.DayTally
	before []archive.DayTally
	total  float64
	sums   map[string]float64
}

// sum adds up what was measured; over several days it makes means.
func (c *counting) sum() {
	c.sums = make(map[string]float64)
	byDay := make(map[time.Time]*archive.DayTally)
	for i := range c.days {
		byDay[c.days[i].Day] = &c.days[i]
	}
	for i := range c.Days {
		day := &c.Days[i]
		if day.State == Gap {
			day.Total = Value{Gap: true}
			continue
		}
		c.Counted++
		t := byDay[day.Day]
		if t == nil { // looked, and found nothing
			continue
		}
		day.Total = c.guard.value(float64(t.Total))
		c.total += float64(t.Total)
		for key, n := range t.By {
			c.sums[key] += float64(n)
		}
	}
	n := float64(max(c.Counted, 1))
	c.total /= n
	for key := range c.sums {
		c.sums[key] /= n
	}
}

// finish ranks the groups, cuts them at the limit, and tells what is beyond.
func (c *counting) finish() {
	c.Total = c.guard.value(c.total)
	if c.Counted == 0 {
		c.Total = Value{Gap: true}
	}
	var before map[string]int64
	if !c.Compare.IsZero() {
		c.Before = Value{Gap: true}
		if len(c.before) == 1 {
			before = c.before[0].By
			c.Before = c.guard.value(float64(c.before[0].Total))
		}
	}
	keys := make(map[string]bool)
	for key, x := range c.sums {
		keys[key] = x > 0
	}
	for key, n := range before {
		keys[key] = keys[key] || n > 0
	}
	for key, there := range keys {
		if !there {
			continue
		}
		g := Group{Key: key, Value: c.guard.value(c.sums[key])}
		if c.Counted == 0 {
			g.Value = Value{Gap: true}
		}
		if !c.Compare.IsZero() {
			g.Before = Value{Gap: true}
			if before != nil {
				g.Before = c.guard.value(float64(before[key]))
			}
		}
		c.Groups = append(c.Groups, g)
	}
	// What is hidden comes last, by name: its order would tell of its size.
	slices.SortFunc(c.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Value.N, a.Value.N), cmp.Compare(b.Before.N, a.Before.N), cmp.Compare(keyOf(c.Group, a.Key), keyOf(c.Group, b.Key)))
	})
	c.Found = len(c.Groups)
	c.cut()
	for i := range c.Groups {
		g := &c.Groups[i]
		if g.Share = -1; c.Total.N > 0 && g.Value.N > 0 {
			g.Share = min(100*float64(g.Value.N)/float64(c.Total.N), 100)
		}
		g.Days = c.series(func(t *archive.DayTally) int64 { return t.By[g.Key] })
		g.Key = keyOf(c.Group, g.Key)
	}
}

// cut leaves the groups within the limit.
func (c *counting) cut() {
	if len(c.Groups) <= c.Limit {
		return
	}
	kept := make(map[string]bool)
	for _, g := range c.Groups[:c.Limit] {
		kept[g.Key] = true
	}
	beyond := c.Groups[c.Limit:]
	c.Groups, c.RestN = c.Groups[:c.Limit], len(beyond)
	var rest float64
	for key, x := range c.sums {
		if !kept[key] {
			rest += x
		}
	}
	c.Rest = c.guard.value(rest)
	c.RestDays = c.series(func(t *archive.DayTally) int64 {
		var n int64
		for key, one := range t.By {
			if !kept[key] {
				n += one
			}
		}
		return n
	})
}

// series is a number of each day.
func (c *counting) series(of func(*archive.DayTally) int64) []Value {
	if len(c.Days) == 1 {
		return nil
	}
	byDay := make(map[time.Time]*archive.DayTally, len(c.days))
	for i := range c.days {
		byDay[c.days[i].Day] = &c.days[i]
	}
	out := make([]Value, len(c.Days))
	for i, day := range c.Days {
		switch t := byDay[day.Day]; {
		case day.State == Gap:
			out[i].Gap = true
		case t != nil:
			out[i] = c.guard.value(float64(of(t)))
		}
	}
	return out
}

// before is how many days before a range tell which sources look at all.
const before = 7

// cover says of every day of the range how well it is known. A source that saw
// something, or whose run came to its end, has looked. Own hosts or devices do not
// tell whether anybody looked: the sums of all addresses do.
func (d *door) cover(ctx context.Context, view access.View, a *Answer, own []archive.DayTally) error {
	since := a.From.AddDate(0, 0, -before)
	days, err := d.archive.Tally(ctx, access.View{At: view.At}, archive.TallyQuery{From: since, To: a.To})
	if err != nil {
		return err
	}
	kept := make(map[time.Time]bool) // a constituent's days go with their observations
	for _, t := range own {
		kept[t.Day] = true
	}
	covered, err := d.store.Coverage(ctx, view, since, a.To)
	if err != nil {
		return err
	}
	saw := make(map[time.Time]map[string]bool)
	looked := func(day time.Time, source string) {
		if saw[day] == nil {
			saw[day] = make(map[string]bool)
		}
		saw[day][source] = true
	}
	active, changing, pruned := make(map[string]bool), make(map[time.Time]bool), make(map[time.Time]bool)
	for _, t := range days {
		changing[t.Day], pruned[t.Day] = t.Changing, !kept[t.Day]
		for _, source := range t.Sources {
			looked(t.Day, source)
			active[source] = true
		}
	}
	unfinished := make(map[time.Time]map[string]bool)
	for _, c := range covered {
		for _, source := range []string{string(c.Source), string(c.Source) + "6"} {
			switch {
			case !c.Whole:
				if unfinished[c.Day] == nil {
					unfinished[c.Day] = make(map[string]bool)
				}
				unfinished[c.Day][source] = true
			case active[source] || !strings.HasSuffix(source, "6"):
				looked(c.Day, source)
				active[source] = true
			}
		}
	}
	often := make(map[string]int) // on how many days a source looked
	for _, sources := range saw {
		for source := range sources {
			often[source]++
		}
	}
	want := a.Sources
	if len(want) == 0 {
		want = slices.Collect(maps.Keys(active))
	}
	for _, source := range want {
		if !active[source] {
			a.Absent = append(a.Absent, source)
		}
	}
	for day := a.From; !day.After(a.To); day = day.AddDate(0, 0, 1) {
		one := Day{Day: day, State: Gap}
		some, all := false, true
		for _, source := range want {
			switch {
			case saw[day][source]:
				some = true
				if unfinished[day][source] {
					all = false
				}
			case often[source] > 1 && regular(source):
				all = false
			}
		}
		switch {
		case pruned[day]:
		case some && changing[day]:
			one.State = Changing
		case some && all:
			one.State = Measured
		case some:
			one.State = Incomplete
		}
		a.Days = append(a.Days, one)
	}
	return nil
}

// regular reports whether a source is expected to look every day, if it looked on
// more than one. Others look when somebody has a reason.
func regular(source string) bool {
	switch exposure.Source(strings.TrimSuffix(source, "6")) {
	case exposure.Scan, exposure.Shadowserver:
		return true
	}
	return false
}

// number is a group's ASN.
func asnOf(key string) string {
	if n, err := strconv.ParseUint(key, 10, 32); err == nil && n > 0 {
		return "AS" + key
	}
	return ""
}
