package web

import (
	"net/http"
	"slices"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
)

// todayData is what there is to do, as the visitor may see it.
type todayData struct {
	Work     int64 // cases on which somebody should act
	Clean    int64 // looked at once and clean
	Closed   int64 // fixed or filtered
	Severity []severityCount
	Staff    bool
	Alerts   []exposure.Alert
	Jobs     []exposure.Job
	Runs     []exposure.Run
	Waiting  int64 // messages
}

type severityCount struct {
	Severity exposure.Severity
	N        int64
	Share    int64 // of the most, in percent
}

func (s *Site) today(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := todayData{Staff: v.View.Tier == access.Operator}
	var err error
	if d.Staff {
		err = s.all(r, v, &d)
	} else {
		err = s.mine(r, v, &d)
	}
	if err != nil {
		return err
	}
	return s.Page(w, r, v, "today", d)
}

// all counts everything, for who may see it.
func (s *Site) all(r *http.Request, v *gate.Visit, d *todayData) error {
	ctx := r.Context()
	vitals, err := s.Store.Vitals(ctx, v.View)
	if err != nil {
		return err
	}
	by := make(map[exposure.Severity]int64)
	for _, c := range vitals.Exposures {
		d.count(by, c.Condition, c.Severity, c.N)
	}
	d.rank(by)
	alerts, err := s.Store.Alerts(ctx, v.View, v.At)
	if err != nil {
		return err
	}
	d.Alerts = slices.DeleteFunc(alerts, func(a exposure.Alert) bool { return !a.Ended.IsZero() })
	if d.Jobs, err = s.Store.Jobs(ctx, v.View); err != nil {
		return err
	}
	if d.Runs, err = s.Store.Runs(ctx, v.View, 5); err != nil {
		return err
	}
	counts, err := s.Store.OutboxCounts(ctx, v.View)
	for _, c := range counts {
		if c.State == store.MessageHeld || c.State == store.MessagePlanned {
			d.Waiting += int64(c.N)
		}
	}
	return err
}

// mine counts the cases that the view sees, one by one: a constituent has few.
func (s *Site) mine(r *http.Request, v *gate.Visit, d *todayData) error {
	by := make(map[exposure.Severity]int64)
	for e, err := range s.Store.Exposures(r.Context(), v.View, store.Filter{}) {
		if err != nil {
			return err
		}
		d.count(by, e.Condition, e.Severity, 1)
	}
	d.rank(by)
	return nil
}

func (d *todayData) count(by map[exposure.Severity]int64, c exposure.Condition, s exposure.Severity, n int64) {
	switch c {
	case exposure.Reported, exposure.Confirmed, exposure.NotSeen:
		d.Work += n
		by[s] += n
	case exposure.OneClean:
		d.Clean += n
	case exposure.Fixed, exposure.Filtered:
		d.Closed += n
	}
}

func (d *todayData) rank(by map[exposure.Severity]int64) {
	most := int64(1)
	for _, n := range by {
		most = max(most, n)
	}
	for _, s := range exposure.Severities {
		d.Severity = append(d.Severity, severityCount{s, by[s], 100 * by[s] / most})
	}
}
