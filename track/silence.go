package track

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Miss turns open exposures at which a complete run met silence into not_seen.
// silent says of a key whether the run asked at its door and heard nothing at
// all: a host that answered something else was not silent. What was seen since
// the run began is left alone.
func (t *Tracker) Miss(ctx context.Context, run exposure.Run, silent func(exposure.Key) bool, at time.Time) (Summary, error) {
	sum, err := t.age(ctx, aging{
		step: Miss, at: at, actor: string(exposure.Scan) + " " + run.ID, evidence: "no answer to a complete scan",
		conditions: []exposure.Condition{exposure.Reported, exposure.Confirmed}, before: run.Started,
		applies: func(e exposure.Exposure) bool { return e.LastSeen.Before(run.Started) && silent(e.Key) },
	})
	if err != nil {
		return sum, fmt.Errorf("note the silence met by run %s: %w", run.ID, err)
	}
	return sum, nil
}

// Lapse turns open exposures that were not seen for 60 days into lapsed.
func (t *Tracker) Lapse(ctx context.Context, now time.Time) (Summary, error) {
	sum, err := t.age(ctx, aging{
		step: Lapse, at: now, actor: "track", evidence: "not seen for 60 days",
		conditions: []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen},
		before:     now.Add(1 - lapseAfter),
		applies:    func(e exposure.Exposure) bool { return now.Sub(e.LastSeen) >= lapseAfter },
	})
	if err != nil {
		return sum, fmt.Errorf("lapse exposures: %w", err)
	}
	return sum, nil
}

// An aging is a step that exposures take because nothing was seen.
type aging struct {
	step            Step
	at              time.Time
	actor, evidence string
	conditions      []exposure.Condition
	before          time.Time // when those to which it may apply were last seen
	applies         func(exposure.Exposure) bool
}

// age lets all exposures take the step to which it applies.
func (t *Tracker) age(ctx context.Context, a aging) (Summary, error) {
	var sum Summary
	chosen := make(map[exposure.Key]bool)
	flush := func() error {
		if len(chosen) == 0 {
			return nil
		}
		part, err := t.ageThese(ctx, a, chosen)
		sum.add(part)
		chosen = make(map[exposure.Key]bool)
		return err
	}
	view := access.View{Who: "track", Tier: access.Operator, At: a.at}
	for e, err := range t.store.ExposuresUnseen(ctx, view, a.before, a.conditions...) {
		if err != nil {
			return sum, err
		}
		if a.applies(e) {
			chosen[e.Key] = true
		}
		if len(chosen) == first {
			if err := flush(); err != nil {
				return sum, err
			}
		}
	}
	return sum, flush()
}

// ageThese ages the chosen exposures, if what was chosen still holds: another
// process may have seen them meanwhile.
func (t *Tracker) ageThese(ctx context.Context, a aging, chosen map[exposure.Key]bool) (Summary, error) {
	var sum Summary
	doors := make([]netip.AddrPort, 0, len(chosen))
	for k := range chosen {
		doors = append(doors, netip.AddrPortFrom(k.Addr, k.Port))
	}
	err := t.store.Apply(ctx, doors, func(known []exposure.Exposure, since map[exposure.Key]time.Time) (changed []exposure.Exposure, steps []exposure.Transition) {
		for _, e := range known {
			if !chosen[e.Key] || e.MovedTo.IsValid() || !slices.Contains(a.conditions, e.Condition) || !a.applies(e) {
				continue
			}
			k, moved, news := move(Known{e, since[e.Key]}, a.step, a.actor, a.evidence, a.at)
			if !news {
				continue
			}
			changed = append(changed, k.Exposure)
			steps = append(steps, moved...)
		}
		for _, s := range steps {
			sum.count(s)
		}
		return changed, steps
	})
	if err != nil {
		return Summary{}, err
	}
	return sum, nil
}
