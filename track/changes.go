package track

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Changes are what became of exposures since a time: for each, one transition
// from the condition it had then to the one it has at the end, with the evidence
// of the last step. One that left and came back is no change.
type Changes struct {
	New    []exposure.Transition `json:"new"`
	Back   []exposure.Transition `json:"back"`   // open again after it was silent, closed or lapsed
	Silent []exposure.Transition `json:"silent"` // gone silent, or lapsed without ever going silent
	Closed []exposure.Transition `json:"closed"` // found closed: To tells whether once, verified, or by a filter
}

// Changes returns the changes since the given time that the view may see, each
// list in the order of addresses.
func (t *Tracker) Changes(ctx context.Context, v access.View, since time.Time) (Changes, error) {
	net := make(map[exposure.Key]exposure.Transition)
	for step, err := range t.store.TransitionsSince(ctx, v, since) {
		if err != nil {
			return Changes{}, fmt.Errorf("read changes since %s: %w", since.Format(time.RFC3339), err)
		}
		if step.Axis != exposure.AxisCondition {
			continue
		}
		if first, ok := net[step.Key]; ok {
			step.From = first.From
		}
		net[step.Key] = step
	}
	var c Changes
	for _, step := range net {
		if list := c.list(exposure.Condition(step.From), exposure.Condition(step.To)); list != nil {
			*list = append(*list, step)
		}
	}
	for _, list := range [][]exposure.Transition{c.New, c.Back, c.Silent, c.Closed} {
		slices.SortFunc(list, func(a, b exposure.Transition) int { return compare(a.Key, b.Key) })
	}
	return c, nil
}

// list returns where a change belongs, nil if it is none.
func (c *Changes) list(from, to exposure.Condition) *[]exposure.Transition {
	was, is := outlook(from), outlook(to)
	switch {
	case from == to:
	case is == closed:
		return &c.Closed // from one clean probe to the proof is news
	case was == is:
	case is == silent:
		return &c.Silent
	case from == unborn:
		return &c.New
	default:
		return &c.Back
	}
	return nil
}

// Outlooks: how a condition looks to somebody who asks what changed.
const (
	nothing = iota
	live
	silent
	closed
)

func outlook(c exposure.Condition) int {
	switch c {
	case exposure.Reported, exposure.Confirmed:
		return live
	case exposure.NotSeen, exposure.Lapsed:
		return silent
	case exposure.OneClean, exposure.Fixed, exposure.Filtered:
		return closed
	}
	return nothing
}
