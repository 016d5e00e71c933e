package outreach

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
)

// A policy is a rule with what it leaves out filled in.
type policy struct {
	Rule
	position int
	zone     *time.Location
	business bool
	holidays []Date
}

// policies returns the rules as they are in force.
func (r *Rules) policies() ([]policy, error) {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return nil, fmt.Errorf("outreach: zone %q: %w", r.Zone, err)
	}
	all := make([]policy, len(r.Rules))
	for i, one := range r.Rules {
		p := policy{Rule: one, position: i, zone: zone, business: r.BusinessDays, holidays: r.Holidays}
		p.Sources = or(p.Sources, r.Sources)
		p.Media = or(p.Media, r.Media)
		p.Forms = or(p.Forms, r.Forms)
		p.Ladder = or(p.Ladder, r.Ladder)
		p.Conditions = or(p.Conditions, conditions)
		if p.Interval == 0 {
			p.Interval = r.Interval
		}
		if p.Hours == (Hours{}) {
			p.Hours = r.Hours
		}
		if one.BusinessDays != nil {
			p.business = *one.BusinessDays
		}
		if p.Template == "" {
			p.Template = r.Template
		}
		all[i] = p
	}
	return all, nil
}

func or[T any](a, b []T) []T {
	if len(a) > 0 {
		return a
	}
	return b
}

// fits reports whether the rule is about the exposure, for one of the parties.
func (p *policy) fits(e *exposure.Exposure, parties []Party) bool {
	switch {
	case p.Severity != "" && !e.Severity.AtLeast(p.Severity),
		len(p.Findings) > 0 && !slices.Contains(p.Findings, e.Rule),
		!slices.Contains(p.Conditions, e.Condition) && e.Condition.Open(),
		len(p.Countries) > 0 && !slices.Contains(p.Countries, strings.ToUpper(e.Where.Country)):
		return false
	}
	return len(p.takes(parties)) > 0
}

// takes returns the parties that the rule speaks of.
func (p *policy) takes(parties []Party) []Party {
	if len(p.Constituents) == 0 && len(p.Except) == 0 {
		return parties
	}
	var kept []Party
	for _, one := range parties {
		if slices.Contains(p.Except, one.Name) || len(p.Constituents) > 0 && !slices.Contains(p.Constituents, one.Name) {
			continue
		}
		kept = append(kept, one)
	}
	return kept
}

// usable reports whether a message may go to the contact, and says why not.
func (p *policy) usable(r exposure.Recipient) (ok bool, code, why string) {
	source := r.Source
	if _, imported := exposure.Import(source); imported {
		source = sourceImport
	}
	switch {
	case r.OptOut:
		return false, OptedOut, "opted out"
	case r.Invalid:
		return false, NoContact, "does not work"
	case !slices.Contains(p.Media, r.Medium):
		return false, NoContact, "is reached by " + string(r.Medium) + " only"
	case source == "":
		return false, NoContact, "is of no known source"
	case !slices.Contains(p.Sources, source):
		return false, NoContact, "is known from " + source + ", and rule " + p.Name + " does not allow that"
	}
	return true, "", ""
}

// opens returns the first time from then on at which the contact may be written
// to.
func (p *policy) opens(at time.Time, r exposure.Recipient) time.Time {
	business := p.business || r.BusinessDays
	t := at.In(p.zone)
	for range 400 { // a year of holidays is a mistake, and ends
		midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, p.zone)
		from, to := p.clock(midnight, p.Hours.from), midnight.AddDate(0, 0, 1)
		if p.Hours != (Hours{}) {
			to = p.clock(midnight, p.Hours.to)
		}
		if !business || !p.free(midnight) {
			switch {
			case t.Before(from):
				return from
			case t.Before(to):
				return t
			}
		}
		t = midnight.AddDate(0, 0, 1)
	}
	return t
}

// clock is the time that clocks on the wall show on a day.
func (p *policy) clock(midnight time.Time, d time.Duration) time.Time {
	return time.Date(midnight.Year(), midnight.Month(), midnight.Day(), int(d.Hours()), int(d.Minutes())%60, 0, 0, p.zone)
}

func (p *policy) free(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday || slices.Contains(p.holidays, Date(day.Format(time.DateOnly)))
}

// again returns when the contact may be told the next time after the last.
// Whole days are counted by the calendar: a daily run that took a minute longer
// yesterday must not skip today.
func (p *policy) again(last time.Time, r exposure.Recipient) time.Time {
	interval := time.Duration(p.Interval)
	if r.Interval != 0 {
		interval = r.Interval
	}
	const day = 24 * time.Hour
	if interval < day {
		return last.Add(interval)
	}
	t := last.In(p.zone)
	next := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, p.zone).AddDate(0, 0, int(interval/day))
	return next.Add(interval % day)
}

// language is that of a message to the contact.
func (p *policy) language(c exposure.Constituent, r exposure.Recipient) string {
	for _, l := range []string{p.Language, r.Language, c.Language} {
		l, _, _ = strings.Cut(strings.ToLower(l), "-")
		if slices.Contains(languages, l) {
			return l
		}
	}
	return languages[0]
}
