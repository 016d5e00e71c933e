package surge

import (
	"fmt"
	"time"

	"ippwatch/exposure"
)

// Alerts are what is open, as package alarm tells it: once when it begins, again
// when it gets worse, and once when it is over.
func Alerts(d *Detector, a *Aims, now time.Time) []exposure.Alert {
	var all []exposure.Alert
	for _, e := range d.Episodes(now) {
		if !e.Ended.IsZero() {
			continue
		}
		all = append(all, exposure.Alert{
			Name: "surge " + e.ID, Began: e.Began, Level: e.Level, Detail: e.Detail(), Step: e.Step(),
		})
	}
	for _, f := range a.Findings(now) {
		all = append(all, exposure.Alert{Name: f.Name(), Began: f.Began, Detail: f.Detail(), Step: f.Step()})
	}
	return all
}

// Detail says what is more than usual, where, and how that is known.
func (e *Episode) Detail() string {
	where := list(e.Sensors)
	switch {
	case len(e.Sensors) == 0:
		where = "all sensors together, and at none by itself"
	case len(e.Sensors) > 1:
		where += ": at so many at once it is not you alone whom they look for"
	}
	return fmt.Sprintf("%s: %.0f different %s an hour at the worst, %s UTC, where %.0f are usual (x%.1f), at %s; found by %s",
		e.Class, e.Observed, metricWords[e.Metric], e.Peak.UTC().Format("2006-01-02 15:04"), e.Expected, e.Ratio(), where, reasonWords[e.Reason])
}

var metricWords = map[Metric]string{Networks: "networks of sources (/24, /48)", Hosts: "call-back hosts"}

var reasonWords = map[Reason]string{
	Fast:   "one hour against the hour of the week",
	Slow:   "hours together against the hours of the week",
	Warmup: "the day's average against that before it, as the hours of the week are not known yet (four weeks)",
}

// Step names what to check, by what they come for.
func (e *Episode) Step() string {
	report := fmt.Sprintf("ippwatch sensor report --date %s shows who and what; ", e.Began.UTC().Format(time.DateOnly))
	switch e.Class {
	case exposure.Solicitation, exposure.Padded, exposure.KnownCheck:
		return report + "is 631/UDP kept out at the edge? ippwatch watch finds hosts of yours that called back, ippwatch cases list those that would"
	case exposure.PrintAttempt, exposure.AdminAttempt, exposure.Enumeration:
		return report + "is 631/TCP kept out at the edge? ippwatch cases list shows the open ones"
	case exposure.Research:
		return report + "listed scanners come more often; nothing needs to be done unless the list is wrong"
	}
	return report + "does another port or protocol rise, too?"
}
