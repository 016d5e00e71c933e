package track

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
)

// VerifyAfter is how long after the first clean probe a second one proves the
// fix: a host that is switched off over night is not repaired.
const VerifyAfter = 24 * time.Hour

// A Known is an exposure with the time at which it entered its condition.
type Known struct {
	exposure.Exposure
	Since time.Time
}

// Prior are the exposures known at one door of one host.
type Prior map[exposure.Key]Known

// A Judge is what a fold must know of the world beyond one observation.
type Judge struct {
	Rules Rules
	// Control returns what answered in the same run, other than the host itself,
	// "" if nothing did: without it a clean probe may come from a network of ours
	// that is down, and changes nothing. Nil is a run without a control.
	Control func(o *exposure.Observation) string
	// After is how far apart two clean probes must be; zero is [VerifyAfter].
	After time.Duration
}

// Fold returns what a judged observation changes in the exposures known at its
// door, and the steps that it makes them take. It keeps nothing and changes no
// argument. What is no news changes nothing: the same observation again, or one
// that is older than the last sighting, unless it was earlier than the first.
func Fold(prior Prior, o *exposure.Observation, j Judge) (changed []Known, steps []exposure.Transition) {
	seen := make(map[exposure.Key]bool, len(o.Findings))
	take := func(k Known, t []exposure.Transition, news bool) {
		if news {
			changed = append(changed, k)
			steps = append(steps, t...)
		}
	}
	device := Device(o)
	for _, f := range o.Findings {
		key := exposure.Key{Addr: o.Addr, Transport: o.Transport, Port: o.Port, Rule: f.Rule}
		if seen[key] {
			continue
		}
		seen[key] = true
		if k, ok := prior[key]; ok {
			take(sight(k, o, f, device))
		} else {
			take(bear(key, o, f, device))
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(prior), compare) {
		if !seen[key] && key.Addr == o.Addr && key.Port == o.Port && key.Transport == o.Transport {
			take(clean(prior[key], o, j))
		}
	}
	return changed, steps
}

// bear makes the exposure of a first finding.
func bear(key exposure.Key, o *exposure.Observation, f exposure.Finding, device string) (Known, []exposure.Transition, bool) {
	k := Known{Exposure: exposure.Exposure{
		Key: key, Severity: f.Severity, Contact: exposure.NotContacted, Ruling: exposure.NoRuling,
		Cycle: 1, FirstSeen: o.Observed, LastSeen: o.Observed, TimesSeen: 1,
		Evidence: f.Evidence, Last: o.ID, Where: o.Where, Simulated: o.Simulated, Device: device,
	}}
	return move(k, seeing(o), actor(o), f.Evidence, o.Observed)
}

// sight adds a sighting to an exposure.
func sight(k Known, o *exposure.Observation, f exposure.Finding, device string) (Known, []exposure.Transition, bool) {
	if o.ID == k.Last {
		return k, nil, false
	}
	if k.MovedTo.IsValid() && o.Observed.After(k.LastSeen) {
		// The device went elsewhere with its history; who answers here is another.
		again, steps, _ := bear(k.Key, o, f, device)
		again.Cycle = k.Cycle + 1
		steps[0].Cycle = again.Cycle
		return again, steps, true
	}
	if !o.Observed.After(k.LastSeen) {
		earlier := o.Observed.Before(k.FirstSeen)
		if earlier {
			k.FirstSeen = o.Observed
		}
		return k, nil, earlier
	}
	k.LastSeen = o.Observed
	k.TimesSeen++
	k.Severity, k.Evidence, k.Last, k.Simulated = f.Severity, f.Evidence, o.ID, o.Simulated
	if o.Where != (exposure.Where{}) {
		k.Where = o.Where
	}
	if device != "" {
		k.Device = device
	}
	// Learned late: it was seen before it was proven closed.
	proven := k.Condition == exposure.OneClean || k.Condition == exposure.Fixed || k.Condition == exposure.Filtered
	if proven && o.Observed.Before(k.Since) {
		return k, nil, true
	}
	if !o.Source.Feed() {
		k.ClearedAt, k.SilentAt = time.Time{}, time.Time{}
	}
	k, steps, _ := move(k, seeing(o), actor(o), f.Evidence, o.Observed)
	if k.Contact == exposure.Claimed && !o.Source.Feed() {
		var refuted []exposure.Transition
		k, refuted = contact(k, Refute, actor(o), "it answers still: "+f.Evidence, o.Observed)
		steps = append(steps, refuted...)
	}
	return k, steps, true
}

// clean takes an observation of the door that does not show the hole.
func clean(k Known, o *exposure.Observation, j Judge) (Known, []exposure.Transition, bool) {
	if o.Source.Feed() || k.MovedTo.IsValid() || !o.Observed.After(k.LastSeen) {
		return k, nil, false
	}
	control := ""
	if o.Source == exposure.Audit {
		control = "the host itself was audited"
	} else if j.Control != nil {
		control = j.Control(o)
	}
	cleared, why := j.Rules.Cleared(k.Rule, o)
	if !cleared {
		first := o.Source == exposure.Verification && quiet(o) && control != "" && k.SilentAt.IsZero()
		if first {
			k.SilentAt = o.Observed
		}
		return k, nil, first
	}
	if control == "" {
		// Perhaps it is our own network that refuses: the case stays as it was.
		return k, nil, false
	}
	why += "; control: " + control
	step := Clear
	k.SilentAt = time.Time{}
	news := k.ClearedAt.IsZero()
	switch {
	case news:
		k.ClearedAt = o.Observed
	case k.Condition == exposure.OneClean && o.Observed.Sub(k.ClearedAt) >= cmp.Or(j.After, VerifyAfter):
		step = ClearAgain
	}
	k, steps, moved := move(k, step, actor(o), why, o.Observed)
	return k, steps, moved || news
}

// quiet reports whether nothing came back, which proves nothing by itself.
func quiet(o *exposure.Observation) bool {
	return o.Verdict == exposure.NoAnswer || o.Verdict == exposure.NoCallback || o.Verdict == exposure.Unreachable
}

// move takes the step; it reports false if the step leads nowhere else.
func move(k Known, s Step, actor, evidence string, at time.Time) (Known, []exposure.Transition, bool) {
	from := k.Condition
	to, err := Next(from, s)
	if err != nil || to == from {
		return k, nil, false
	}
	if at.Before(k.Since) {
		at = k.Since // what is learned late happens, for the history, when it is learned
	}
	opened := shut(from) && !shut(to)
	if opened {
		k.Cycle++
	}
	k.Condition, k.Since = to, at
	steps := []exposure.Transition{{
		Key: k.Key, Axis: exposure.AxisCondition, From: string(from), To: string(to),
		Cycle: k.Cycle, Actor: actor, Evidence: evidence, At: at,
	}}
	if opened {
		var told []exposure.Transition
		k, told = contact(k, Reopen, actor, "it was opened again", at)
		steps = append(steps, told...)
	}
	return k, steps, true
}

// contact takes a step that is known to be in the table.
func contact(k Known, s Step, actor, evidence string, at time.Time) (Known, []exposure.Transition) {
	from := k.Contact
	to, err := NextContact(from, s)
	if err != nil || to == from {
		return k, nil
	}
	k.Contact = to
	return k, []exposure.Transition{{
		Key: k.Key, Axis: exposure.AxisContact, From: string(from), To: string(to),
		Cycle: k.Cycle, Actor: actor, Evidence: evidence, At: at,
	}}
}

// seeing returns the step of a finding: a feed reports, all others see.
func seeing(o *exposure.Observation) Step {
	if o.Source.Feed() {
		return Report
	}
	return See
}

func actor(o *exposure.Observation) string {
	return strings.TrimSpace(string(o.Source) + " " + o.Run)
}

func compare(a, b exposure.Key) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Transport, b.Transport),
		cmp.Compare(a.Port, b.Port), cmp.Compare(a.Rule, b.Rule))
}
