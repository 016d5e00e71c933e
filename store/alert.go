package store

import (
	"context"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Phases of an alert that are told. Each level above 0 has one of its own, from
// 2 on.
const (
	began = 0
	ended = 1
)

// Raise keeps an alert. Of one whose name is open it keeps what is said when its
// level has risen.
func (s *Store) Raise(ctx context.Context, a exposure.Alert) error {
	return s.change(ctx, "raise alert "+a.Name, func(q *Queries) error {
		return q.openAlert(ctx, openAlertParams{Name: a.Name, Began: instant{a.Began}, Detail: a.Detail, Step: a.Step, Level: int64(a.Level)})
	})
}

// Clear ends the alert of the name, if one is open.
func (s *Store) Clear(ctx context.Context, name string, at time.Time) error {
	return s.change(ctx, "clear alert "+name, func(q *Queries) error {
		_, err := q.endAlert(ctx, endAlertParams{Ended: instant{at}, Name: name})
		return err
	})
}

// Alerts returns the alerts that are open or ended since the given time, the
// oldest first; none to a view below operator.
func (s *Store) Alerts(ctx context.Context, v access.View, since time.Time) ([]exposure.Alert, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.alertsSince(ctx, instant{since})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", explain(err))
	}
	return alerts(rows), nil
}

func alerts(rows []alertRow) []exposure.Alert {
	var out []exposure.Alert
	for _, row := range rows {
		out = append(out, exposure.Alert{
			Seq: row.Seq, Name: row.Name, Began: row.Began.Time, Ended: row.Ended.Time, Detail: row.Detail, Step: row.Step, Level: int(row.Level),
		})
	}
	return out
}

// Untold returns the beginnings, the rises and the ends of alerts that this way
// of telling has not told, the oldest first: an end is an alert that has one, a
// rise one whose Again is set.
func (s *Store) Untold(ctx context.Context, via string) ([]exposure.Alert, error) {
	rows, err := s.read.untold(ctx, via)
	if err != nil {
		return nil, fmt.Errorf("read alerts that %s has not told: %w", via, explain(err))
	}
	var out []exposure.Alert
	for _, a := range alerts(rows) {
		told, err := s.read.toldPhase(ctx, toldPhaseParams{AlertSeq: a.Seq, Via: via, Phase: began})
		if err != nil {
			return nil, fmt.Errorf("read alerts that %s has not told: %w", via, explain(err))
		}
		switch {
		case !told:
			first := a
			first.Ended = time.Time{}
			out = append(out, first)
		case a.Ended.IsZero():
			a.Again = true
			out = append(out, a)
		}
		if !a.Ended.IsZero() {
			out = append(out, a)
		}
	}
	return out, nil
}

// Told writes down that the beginning of an alert, or its end if it has one, was
// told, at the level that it had.
func (s *Store) Told(ctx context.Context, a exposure.Alert, via string, at time.Time) error {
	phases := []int64{began}
	switch {
	case !a.Ended.IsZero():
		phases[0] = ended
	case a.Level > 0:
		phases = append(phases, ended+int64(a.Level))
	}
	return s.change(ctx, "note that an alert was told", func(q *Queries) error {
		for _, phase := range phases {
			if err := q.putTold(ctx, putToldParams{AlertSeq: a.Seq, Via: via, Phase: phase, At: instant{at}}); err != nil {
				return err
			}
		}
		return nil
	})
}
