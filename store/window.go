package store

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// clip returns the exposure as the view may see it. To who sees the address
// always it is the row. Who sees it during a time only (a customer with a
// lease) sees it if it was seen last within that time, and then nothing of what
// was before or came after: the states are those that its history had at the
// end of the time, and the count begins anew. It reports false when there is
// nothing to see.
func (s *Store) clip(ctx context.Context, v access.View, row exposureRow) (exposure.Exposure, bool, error) {
	e := row.exposure()
	w, ok := v.Window(e.Addr, e.LastSeen)
	if !ok || w.From.IsZero() && w.To.IsZero() {
		return e, ok, nil
	}
	steps, err := s.stepsUntil(ctx, e.Key, w.To)
	if err != nil {
		return e, false, err
	}
	// What cannot be told apart by time is not told.
	e.Contact, e.Ruling = exposure.NotContacted, exposure.NoRuling
	e.RuledBy, e.RuledWhy, e.RuledUntil, e.Assignee = "", "", time.Time{}, ""
	e.ClearedAt, e.SilentAt = time.Time{}, time.Time{}
	e.MovedTo, e.MovedFrom = netip.Addr{}, netip.Addr{}
	for _, t := range steps {
		inside := w.Holds(t.At)
		switch {
		case t.Axis == exposure.AxisCondition:
			e.Condition = exposure.Condition(t.To)
		case inside && t.Axis == exposure.AxisContact:
			e.Contact = exposure.Contact(t.To)
		case inside && t.Axis == exposure.AxisVerdict:
			e.Ruling = exposure.Ruling(t.To)
		}
	}
	if e.FirstSeen.Before(w.From) {
		e.FirstSeen, e.TimesSeen, e.Cycle = w.From, 1, 1
	}
	return e, true, nil
}

// stepsUntil returns the history of one exposure before the time.
func (s *Store) stepsUntil(ctx context.Context, k exposure.Key, until time.Time) ([]exposure.Transition, error) {
	arg := transitionsSinceParams{AfterAt: -1, AfterSeq: -1, Until: endOfTime(), N: page}
	if !until.IsZero() {
		arg.Until = instant{until}
	}
	var all []exposure.Transition
	for {
		rows, err := s.history(ctx, k, arg)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			all = append(all, row.transition())
		}
		if len(rows) < page {
			return all, nil
		}
		end := rows[page-1]
		arg.AfterAt, arg.AfterSeq = end.At.nanoseconds(), end.Seq
	}
}

func (s *Store) clipped(ctx context.Context, v access.View, rows []exposureRow) ([]exposure.Exposure, error) {
	var out []exposure.Exposure
	for _, row := range rows {
		e, ok, err := s.clip(ctx, v, row)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// takes reports whether a row that the filter took is still taken as it is
// shown: who asks for what is fixed learns nothing of another's fix.
func (f Filter) takes(e exposure.Exposure, row exposureRow) bool {
	return shown(f.Conditions, e.Condition, row.Condition) && shown(f.Contacts, e.Contact, row.Contact) &&
		shown(f.Rulings, e.Ruling, row.Ruling) && (f.Assignee == "" || e.Assignee == f.Assignee)
}

func shown[S ~string](wanted []S, is S, was string) bool {
	return string(is) == was || len(wanted) == 0 || slices.Contains(wanted, is)
}

// firsts remembers, by exposure, what a view with windows was shown already.
type firsts map[exposure.Key]*first

type first struct {
	axes  map[exposure.Axis]bool
	cycle int // of the first step that was shown
}

// clip takes from a step what it says of the time before the window: the state
// that it came from, and how often the hole was open before.
func (f firsts) clip(t exposure.Transition, w access.Window) exposure.Transition {
	if w.From.IsZero() && w.To.IsZero() {
		return t
	}
	of := f[t.Key]
	if of == nil {
		of = &first{axes: make(map[exposure.Axis]bool), cycle: t.Cycle}
		f[t.Key] = of
	}
	if !of.axes[t.Axis] {
		of.axes[t.Axis] = true
		t.From = ""
	}
	t.Cycle -= of.cycle - 1
	return t
}
