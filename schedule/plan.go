package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Plan is a cron expression in a time zone.
//
// The parser is robfig/cron's; when the next time is, across a change of the
// clocks, is decided here as Vixie's cron does it: a plan of fixed hours is
// about the clock on the wall, so what falls into the hour that is left out runs
// right after it, and what falls into the hour that comes twice runs once. A
// plan of every hour is about time that passes, and knows of no such hours.
type Plan struct {
	spec  *cron.SpecSchedule
	zone  *time.Location
	every bool // hour
}

// everyHour is the bit that robfig/cron sets for a field that is "*".
const everyHour = 1 << 63

// ParsePlan reads five fields (minute, hour, day of month, month, day of week)
// or one of @hourly, @daily, @weekly, @monthly, @yearly.
func ParsePlan(expression string, zone *time.Location) (Plan, error) {
	fail := func(err error) (Plan, error) { return Plan{}, fmt.Errorf("%q: %w", expression, err) }
	words := strings.Fields(expression)
	switch {
	case len(words) == 0:
		return fail(errors.New(`want five fields, such as "30 3 * * *"`))
	case strings.Contains(words[0], "TZ="):
		return fail(errors.New("the time zone has a key of its own: zone"))
	case words[0] == "@every":
		return fail(errors.New(`want times of the clock, such as "0 */6 * * *"`))
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return fail(err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return fail(errors.New(`want times of the clock, such as "0 */6 * * *"`))
	}
	spec.Location = time.Local //nolint:gosmopolitan // it stands for that of the time that is asked about
	p := Plan{spec: spec, zone: zone, every: spec.Hour&everyHour != 0}
	if p.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fail(errors.New("there is no such day"))
	}
	return p, nil
}

// Zone is where the plan's clock hangs.
func (p Plan) Zone() *time.Location { return p.zone }

// Next returns the first time of the plan after the given one.
func (p Plan) Next(after time.Time) time.Time {
	if p.every {
		return p.spec.Next(after.In(p.zone))
	}
	local := after.In(p.zone)
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for {
		if wall = p.spec.Next(wall); wall.IsZero() {
			return wall
		}
		// What was due when the hour came the first time is not due again.
		if t := p.when(wall); t.After(after) {
			return t
		}
	}
}

// when returns the first time at which the clock on the wall shows what wall
// shows in UTC, or skips it.
func (p Plan) when(wall time.Time) time.Time {
	_, before := wall.AddDate(0, 0, -1).In(p.zone).Zone()
	_, after := wall.AddDate(0, 0, 1).In(p.zone).Zone()
	// Further east is earlier.
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := wall.Add(-time.Duration(offset) * time.Second).In(p.zone)
		if t.Hour() == wall.Hour() && t.Minute() == wall.Minute() && t.Day() == wall.Day() {
			return t
		}
	}
	skipped := wall.Add(-time.Duration(before) * time.Second).In(p.zone)
	start, _ := skipped.ZoneBounds()
	return start
}
