package store

import (
	"context"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Vitals are numbers about the whole store.
type Vitals struct {
	Exposures []ExposureCount
	Runs      map[exposure.RunState]int64
	Calls     map[CallKind]int64 // that were counted and not believed
}

// An ExposureCount is how many cases are in one state.
type ExposureCount struct {
	Condition exposure.Condition
	Severity  exposure.Severity
	N         int64
}

// Vitals counts what the store holds; nothing for a view below operator. It reads
// every case.
func (s *Store) Vitals(ctx context.Context, v access.View) (Vitals, error) {
	out := Vitals{Runs: make(map[exposure.RunState]int64), Calls: make(map[CallKind]int64)}
	if v.Tier != access.Operator {
		return out, nil
	}
	fail := func(err error) (Vitals, error) { return Vitals{}, fmt.Errorf("count cases: %w", explain(err)) }
	rows, err := s.read.exposuresByState(ctx)
	if err != nil {
		return fail(err)
	}
	for _, r := range rows {
		out.Exposures = append(out.Exposures, ExposureCount{exposure.Condition(r.Condition), exposure.Severity(r.Severity), r.N})
	}
	runs, err := s.read.runsByState(ctx)
	if err != nil {
		return fail(err)
	}
	for _, r := range runs {
		out.Runs[exposure.RunState(r.State)] = r.N
	}
	calls, err := s.read.callsByKind(ctx)
	if err != nil {
		return fail(err)
	}
	for _, r := range calls {
		out.Calls[CallKind(r.Kind)] = r.N
	}
	return out, nil
}

// Last returns when the newest record was made, and what it is: a clock that
// shows less was set back. It is zero in an empty store.
func (s *Store) Last(ctx context.Context) (at time.Time, what string, err error) {
	row, err := s.read.newestTimes(ctx)
	if err != nil {
		return at, "", fmt.Errorf("look for the newest record: %w", explain(err))
	}
	newest := int64(0)
	for name, ns := range map[string]int64{
		"checkpoint of a scan": row.TickAt, "scan": row.RunAt, "entry of the audit log": row.AuditAt, "job": row.JobAt, "step of a case": row.TransitionAt,
	} {
		if ns > newest {
			newest, what = ns, name
		}
	}
	if newest == 0 {
		return at, "", nil
	}
	return time.Unix(0, newest).UTC(), what, nil
}
