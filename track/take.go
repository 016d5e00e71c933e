package track

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/exposure"
)

// An Order is a step that a person or another service makes exposures take.
type Order struct {
	Step     Step
	Actor    string // a person, or a service with what it worked on
	Evidence string // why, or the reference of a message
	At       time.Time
	Until    time.Time // of [Accept]: when the risk is asked about again
	// If decides about the exposure as it is when the step is written; nil: yes.
	If func(exposure.Exposure) bool
}

// axes tells on which axis a step is taken. What is absent cannot be ordered:
// it is for observations alone.
var axes = map[Step]exposure.Axis{
	Filter: exposure.AxisCondition,
	Notify: exposure.AxisContact, Bounce: exposure.AxisContact, Acknowledge: exposure.AxisContact, Claim: exposure.AxisContact,
	Accept: exposure.AxisVerdict, Dismiss: exposure.AxisVerdict, Withdraw: exposure.AxisVerdict, Expire: exposure.AxisVerdict,
}

// ErrMissing says that a step needs what was not given.
var ErrMissing = errors.New("is missing")

// ErrNoCase says that the exposure is not there any more, or never was.
var ErrNoCase = errors.New("no such case")

// ErrChanged says that the exposure is not any more as [Order.If] wants it.
var ErrChanged = errors.New("it has changed meanwhile")

// check refuses an order that could not be explained later.
func (o Order) check() error {
	switch {
	case axes[o.Step] == "":
		return fmt.Errorf("step %q cannot be ordered: %w", o.Step, ErrNoTransition)
	case o.Actor == "":
		return fmt.Errorf("step %q: who orders it %w", o.Step, ErrMissing)
	case o.Evidence == "":
		return fmt.Errorf("step %q: the reason %w", o.Step, ErrMissing)
	case o.Step == Accept && !o.Until.After(o.At):
		return fmt.Errorf("step %q: the day until which the risk is accepted %w", o.Step, ErrMissing)
	}
	return nil
}

// Take makes the exposures take a step, and returns them as they are then. One
// whose table does not have the step is left as it is and named in the error;
// the others take it all the same. Unlike a sighting, an order that changes no
// state is told in the history too: a second message was sent.
func (t *Tracker) Take(ctx context.Context, keys []exposure.Key, o Order) ([]exposure.Exposure, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var taken []exposure.Exposure
	var refused []error
	for part := range slices.Chunk(keys, first) {
		now, wrong, err := t.take(ctx, part, o)
		if err != nil {
			return taken, fmt.Errorf("%s %d cases: %w", o.Step, len(part), err)
		}
		taken = append(taken, now...)
		refused = append(refused, wrong...)
	}
	return taken, errors.Join(refused...)
}

func (t *Tracker) take(ctx context.Context, keys []exposure.Key, o Order) (taken []exposure.Exposure, refused []error, err error) {
	err = t.change(ctx, keys, func(k Known, found bool) (Known, []exposure.Transition) {
		if !found {
			refused = append(refused, fmt.Errorf("%s case %s: %w", o.Step, k.Case(), ErrNoCase))
			return k, nil
		}
		next, step, err := o.apply(k)
		if err == nil && o.If != nil && !o.If(k.Exposure) {
			err = fmt.Errorf("%s: %w", o.Step, ErrChanged)
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("case %s: %w", k.Case(), err))
			return k, nil
		}
		taken = append(taken, next.Exposure)
		return next, []exposure.Transition{step}
	})
	return taken, refused, err
}

// apply takes the step, or says why the table has none.
func (o Order) apply(k Known) (Known, exposure.Transition, error) {
	t := exposure.Transition{Key: k.Key, Axis: axes[o.Step], Cycle: k.Cycle, Actor: o.Actor, Evidence: o.Evidence, At: o.At}
	switch t.Axis {
	case exposure.AxisCondition:
		to, err := Next(k.Condition, o.Step)
		if err != nil {
			return k, t, err
		}
		t.From, t.To = string(k.Condition), string(to)
		k.Condition, k.Since = to, o.At
	case exposure.AxisContact:
		to, err := NextContact(k.Contact, o.Step)
		if err != nil {
			return k, t, err
		}
		t.From, t.To = string(k.Contact), string(to)
		k.Contact = to
	default:
		to, err := NextRuling(k.Ruling, o.Step)
		if err != nil {
			return k, t, err
		}
		t.From, t.To = string(k.Ruling), string(to)
		k.Ruling, k.RuledBy, k.RuledWhy, k.RuledUntil = to, o.Actor, o.Evidence, o.Until
		if to == exposure.NoRuling {
			k.RuledBy, k.RuledWhy, k.RuledUntil = "", "", time.Time{}
		}
	}
	return k, t, nil
}

// Expire takes back the risks that were accepted until a day that has come, and
// returns the cases, which are work again.
func (t *Tracker) Expire(ctx context.Context, now time.Time) ([]exposure.Exposure, error) {
	due, err := t.store.AcceptedUntil(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("expire accepted risks: %w", err)
	}
	var back []exposure.Exposure
	for _, e := range due {
		taken, err := t.Take(ctx, []exposure.Key{e.Key}, Order{
			Step: Expire, Actor: "track", At: now,
			Evidence: fmt.Sprintf("accepted by %s until %s: %s", e.RuledBy, e.RuledUntil.UTC().Format(time.DateOnly), e.RuledWhy),
		})
		if err != nil && !errors.Is(err, ErrNoTransition) { // somebody was faster
			return back, err
		}
		back = append(back, taken...)
	}
	return back, nil
}

// Assign says who of ours works on the cases; "" is nobody.
func (t *Tracker) Assign(ctx context.Context, keys []exposure.Key, assignee, actor string, at time.Time) ([]exposure.Exposure, error) {
	var taken []exposure.Exposure
	var refused []error
	for part := range slices.Chunk(keys, first) {
		err := t.change(ctx, part, func(k Known, found bool) (Known, []exposure.Transition) {
			if !found {
				refused = append(refused, fmt.Errorf("assign case %s: %w", k.Case(), ErrNoCase))
				return k, nil
			}
			step := exposure.Transition{
				Key: k.Key, Axis: exposure.AxisAssignee, From: k.Assignee, To: assignee, Cycle: k.Cycle, Actor: actor, At: at,
			}
			k.Assignee = assignee
			taken = append(taken, k.Exposure)
			return k, []exposure.Transition{step}
		})
		if err != nil {
			return taken, fmt.Errorf("assign %d cases: %w", len(part), err)
		}
	}
	return taken, errors.Join(refused...)
}

// change lets f change each of the exposures, in one transaction. What f
// returns no step for is left as it was.
func (t *Tracker) change(ctx context.Context, keys []exposure.Key, f func(k Known, found bool) (Known, []exposure.Transition)) error {
	doors := make([]netip.AddrPort, len(keys))
	for i, k := range keys {
		doors[i] = netip.AddrPortFrom(k.Addr, k.Port)
	}
	return t.store.Apply(ctx, doors, func(prior []exposure.Exposure, since map[exposure.Key]time.Time) (changed []exposure.Exposure, steps []exposure.Transition) {
		known := make(map[exposure.Key]exposure.Exposure, len(prior))
		for _, e := range prior {
			known[e.Key] = e
		}
		for _, key := range keys {
			e, found := known[key]
			if !found {
				e.Key = key
			}
			next, moved := f(Known{e, since[key]}, found)
			if len(moved) == 0 {
				continue
			}
			known[key] = next.Exposure
			changed = append(changed, next.Exposure)
			steps = append(steps, moved...)
		}
		return changed, steps
	})
}
