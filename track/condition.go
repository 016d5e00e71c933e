package track

import (
	"errors"
	"fmt"

	"ippwatch/exposure"
)

// ErrNoTransition says that a state does not take the step.
var ErrNoTransition = errors.New("no such transition")

// A Step is what happens to an exposure on one of its axes.
type Step string

// Steps of the condition.
const (
	Report     Step = "report"      // a feed says that the hole is there
	See        Step = "see"         // our own probe saw it, or an audit
	Clear      Step = "clear"       // our own probe found it closed, or an audit
	ClearAgain Step = "clear again" // the same, at least a day after the first time, with a control that answered
	Miss       Step = "miss"        // a complete scan met silence
	Lapse      Step = "lapse"       // unseen for 60 days
	Filter     Step = "filter"      // a proven filter closes it from outside
)

// unborn is the condition before the first.
const unborn exposure.Condition = ""

// next is the whole life of a condition (DESIGN.md, "States of an exposure"). A
// pair that is absent is a mistake of the caller, not a state to invent; one
// that leads to itself tells nothing new. A feed never lowers what we saw and
// never opens again what was proven closed. Only two clean probes a day apart
// close: silence and age do not.
var next = map[exposure.Condition]map[Step]exposure.Condition{
	unborn: {Report: exposure.Reported, See: exposure.Confirmed},
	exposure.Reported: {
		Report: exposure.Reported, See: exposure.Confirmed, Clear: exposure.OneClean,
		Miss: exposure.NotSeen, Lapse: exposure.Lapsed, Filter: exposure.Filtered,
	},
	exposure.Confirmed: {
		Report: exposure.Confirmed, See: exposure.Confirmed, Clear: exposure.OneClean,
		Miss: exposure.NotSeen, Lapse: exposure.Lapsed, Filter: exposure.Filtered,
	},
	exposure.OneClean: {
		Report: exposure.OneClean, See: exposure.Confirmed, Clear: exposure.OneClean, ClearAgain: exposure.Fixed,
		Miss: exposure.OneClean, Lapse: exposure.Lapsed, Filter: exposure.Filtered,
	},
	exposure.NotSeen: {
		Report: exposure.NotSeen, See: exposure.Confirmed, Clear: exposure.OneClean,
		Miss: exposure.NotSeen, Lapse: exposure.Lapsed, Filter: exposure.Filtered,
	},
	exposure.Fixed: {
		Report: exposure.Fixed, See: exposure.Confirmed, Clear: exposure.Fixed, Miss: exposure.Fixed,
	},
	// A clean probe from outside is what a filter is for; it proves no fix.
	exposure.Filtered: {
		Report: exposure.Filtered, See: exposure.Confirmed, Clear: exposure.Filtered, Miss: exposure.Filtered,
	},
	exposure.Lapsed: {
		Report: exposure.Reported, See: exposure.Confirmed, Clear: exposure.Lapsed, Miss: exposure.Lapsed,
	},
}

// Next returns the condition after the step, or [ErrNoTransition].
func Next(c exposure.Condition, s Step) (exposure.Condition, error) {
	return follow(exposure.AxisCondition, next, c, s)
}

// follow looks a step up in the table of an axis.
func follow[S ~string](axis exposure.Axis, table map[S]map[Step]S, from S, s Step) (S, error) {
	to, ok := table[from][s]
	if !ok {
		return from, fmt.Errorf("%s %q: step %q: %w", axis, from, s, ErrNoTransition)
	}
	return to, nil
}

// shut reports whether the hole was taken for closed or forgotten: who sees it
// after that sees it opened again.
func shut(c exposure.Condition) bool {
	return c == exposure.Fixed || c == exposure.Filtered || c == exposure.Lapsed
}
