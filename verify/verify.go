// Package verify asks hosts once more whether a hole is closed, and says what
// the answers prove.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/track"
)

// A Door is where a case is.
type Door struct {
	netip.AddrPort
	exposure.Transport
}

// String returns "198.51.100.20:631/tcp".
func (d Door) String() string { return d.AddrPort.String() + "/" + string(d.Transport) }

// DoorOf returns the door of a case.
func DoorOf(k exposure.Key) Door {
	return Door{netip.AddrPortFrom(k.Addr, k.Port), k.Transport}
}

// Due reports whether an open case should be looked at although nobody asked: not
// if something saw it within the time, and not again before a second clean probe
// can prove anything.
func Due(e *exposure.Exposure, now time.Time, after time.Duration) bool {
	switch {
	case !e.Work():
		return false
	case e.Condition == exposure.OneClean && !e.ClearedAt.IsZero():
		return now.Sub(e.ClearedAt) >= after
	case e.Contact == exposure.Claimed, e.Condition == exposure.OneClean, e.Condition == exposure.NotSeen:
		return true
	case !e.SilentAt.IsZero():
		return now.Sub(e.SilentAt) >= after
	}
	return now.Sub(e.LastSeen) >= after || e.Condition == exposure.Reported
}

// A Group is what one run asks: the doors of some hosts at one port, and beside
// them hosts that should answer.
type Group struct {
	Transport exposure.Transport
	Port      uint16
	Hosts     []netip.Addr
	Controls  []netip.Addr
}

// Plan puts the doors of the cases and the controls into groups, so that no host
// is asked at a port that is not its own. Groups with controls come first, and
// TCP before UDP: what answers in one vouches for the next.
func Plan(cases []exposure.Exposure, controls []Door) []Group {
	type at struct {
		exposure.Transport
		port uint16
	}
	groups := make(map[at]*Group)
	group := func(d Door) *Group {
		k := at{d.Transport, d.Port()}
		if groups[k] == nil {
			groups[k] = &Group{Transport: d.Transport, Port: d.Port()}
		}
		return groups[k]
	}
	asked := make(map[Door]bool)
	for _, e := range cases {
		if d := DoorOf(e.Key); !asked[d] {
			asked[d] = true
			g := group(d)
			g.Hosts = append(g.Hosts, d.Addr())
		}
	}
	for _, d := range controls {
		if !asked[d] {
			asked[d] = true
			g := group(d)
			g.Controls = append(g.Controls, d.Addr())
		}
	}
	var plan []Group
	for _, g := range groups {
		slices.SortFunc(g.Hosts, netip.Addr.Compare)
		slices.SortFunc(g.Controls, netip.Addr.Compare)
		plan = append(plan, *g)
	}
	slices.SortFunc(plan, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Transport, b.Transport),
			cmp.Compare(boolRank(len(a.Controls) > 0), boolRank(len(b.Controls) > 0)), cmp.Compare(a.Port, b.Port))
	})
	return plan
}

func boolRank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// Controls chooses hosts that are known to answer over TCP, the last seen first:
// confirmed within the week, with no claim that they are fixed, and not among
// what is verified.
func Controls(known []exposure.Exposure, verified []exposure.Exposure, now time.Time, n int) []Door {
	ours := make(map[netip.Addr]bool)
	for _, e := range verified {
		ours[e.Addr] = true
	}
	candidates := slices.DeleteFunc(slices.Clone(known), func(e exposure.Exposure) bool {
		return ours[e.Addr] || e.Transport != exposure.TCP || e.Condition != exposure.Confirmed ||
			e.Contact == exposure.Claimed || now.Sub(e.LastSeen) > 7*24*time.Hour
	})
	slices.SortStableFunc(candidates, func(a, b exposure.Exposure) int { return b.LastSeen.Compare(a.LastSeen) })
	var doors []Door
	for _, e := range candidates {
		if len(doors) == n {
			break
		}
		if d := DoorOf(e.Key); !slices.ContainsFunc(doors, func(o Door) bool { return o.Addr() == d.Addr() }) {
			doors = append(doors, d)
		}
	}
	return doors
}

// A Result is what a look came to for one case.
type Result struct {
	Case    string             `json:"case"`
	Before  exposure.Condition `json:"before"`
	State   string             `json:"state"`
	Verdict exposure.Verdict   `json:"verdict"` // of the probe; empty when nothing was sent
	Why     string             `json:"why"`
	Control string             `json:"control"` // what else answered; empty: nothing did
	Now     exposure.Exposure  `json:"exposure"`
}

// A Store is where cases are read; package store is one.
type Store interface {
	Exposure(ctx context.Context, v access.View, k exposure.Key) (exposure.Exposure, error)
}

// A Verifier looks. Every field but Covered is needed.
type Verifier struct {
	Store Store
	Cases *track.Tracker
	Rules track.Rules
	// Run asks the hosts of a group and hands each observation to heard. It judges
	// and keeps them as a scan does, and closes cases only with a control: vouch
	// tells of those in earlier groups.
	Run func(ctx context.Context, g Group, vouch func(*exposure.Observation) string, heard func(exposure.Observation)) error
	// Elsewhere tells where the host answered lately, other than at this door from
	// here: at another port, or seen from another place. "" if nowhere.
	Elsewhere func(ctx context.Context, e exposure.Exposure, since time.Time) (string, error)
	// Covered tells which proven filter closes the door from outside. May be nil.
	Covered func(e exposure.Exposure) string
	After   time.Duration // between two probes that prove something
	Now     func() time.Time
}

// Look looks at the cases, with the controls beside them, and returns what came
// of it in the order given. What it cannot prove it leaves as it is, and says why.
func (v *Verifier) Look(ctx context.Context, view access.View, cases []exposure.Exposure, controls []Door) ([]Result, error) {
	heard := make(map[Door]exposure.Observation)
	var answered []exposure.Observation
	vouch := func(o *exposure.Observation) string {
		for _, a := range answered {
			// ICMP from the host itself crossed the same network as any answer did.
			if a.Addr != o.Addr && (a.Transport == o.Transport || o.Verdict == exposure.Closed) {
				return fmt.Sprintf("%s answered in run %s", Door{a.Target(), a.Transport}, a.Run)
			}
		}
		return ""
	}
	var failed error
	for _, g := range Plan(cases, controls) {
		failed = v.Run(ctx, g, vouch, func(o exposure.Observation) {
			heard[Door{o.Target(), o.Transport}] = o
		})
		if failed != nil {
			break
		}
		for _, a := range slices.Concat(g.Controls, g.Hosts) {
			o, ok := heard[Door{netip.AddrPortFrom(a, g.Port), g.Transport}]
			if ok && (o.Verdict == exposure.Answered || o.Verdict == exposure.CalledBack) {
				answered = append(answered, o)
			}
		}
	}
	results := make([]Result, 0, len(cases))
	for _, e := range cases {
		r, err := v.conclude(ctx, view, e, heard, vouch)
		if err != nil {
			return results, errors.Join(failed, err)
		}
		results = append(results, r)
	}
	return results, failed
}

// Weigh looks at the cases by what an audit saw from inside a host: closed are the
// doors at which nothing listens, open tells what listens at others. The caller
// has kept what it gives.
func (v *Verifier) Weigh(ctx context.Context, view access.View, cases []exposure.Exposure, closed []exposure.Observation, open map[Door]string) ([]Result, error) {
	if _, err := v.Cases.Fold(ctx, closed); err != nil {
		return nil, err
	}
	heard := make(map[Door]exposure.Observation)
	for _, o := range closed {
		heard[Door{o.Target(), o.Transport}] = o
	}
	vouch := func(o *exposure.Observation) string { return o.Vantage + " itself was audited" }
	results := make([]Result, 0, len(cases))
	for _, e := range cases {
		r, err := v.conclude(ctx, view, e, heard, vouch)
		if err != nil {
			return results, err
		}
		door := DoorOf(e.Key)
		if program, listens := open[door]; listens {
			r.Why = program + " listens there: an audit does not see whether a filter keeps strangers out"
		} else if o := heard[door]; !o.Observed.After(e.LastSeen) {
			r.Why = fmt.Sprintf("the audit of %s UTC is older than the last sighting, of %s", o.Observed.Format("2006-01-02 15:04"), e.LastSeen.UTC().Format("2006-01-02 15:04"))
		}
		results = append(results, r)
	}
	return results, nil
}

// conclude says what became of one case, and takes the one step that is not an
// observation's: silence, twice, with a reason why it is a filter.
func (v *Verifier) conclude(ctx context.Context, view access.View, before exposure.Exposure, heard map[Door]exposure.Observation, vouch func(*exposure.Observation) string) (Result, error) {
	r := Result{Case: before.Case(), Before: before.Condition}
	var err error
	if r.Now, err = v.Store.Exposure(ctx, view, before.Key); err != nil {
		return r, fmt.Errorf("verify case %s: %w", r.Case, err)
	}
	r.State = r.Now.Word()
	o, asked := heard[DoorOf(before.Key)]
	if !asked {
		r.Why = "it was not asked"
		return r, nil
	}
	r.Verdict, r.Control = o.Verdict, vouch(&o)
	cleared, why := v.Rules.Cleared(before.Rule, &o)
	r.Why = why
	switch {
	case r.Now.Condition == exposure.Confirmed && r.Now.Last == o.ID:
		r.Why = "it is open: " + r.Now.Evidence
	case r.Now.Condition == exposure.Fixed, cleared && r.Control != "":
	case cleared:
		r.Why += "; nothing else answered, so it counts for no proof: name a host that should with --control"
	case silent(&o):
		return v.silence(ctx, r, why)
	}
	return r, nil
}

func silent(o *exposure.Observation) bool {
	switch o.Verdict {
	case exposure.NoAnswer, exposure.NoCallback, exposure.Unreachable:
		return true
	}
	return false
}

// silence decides about a door at which nothing was heard.
func (v *Verifier) silence(ctx context.Context, r Result, why string) (Result, error) {
	now := v.Now()
	switch {
	case r.Control == "":
		r.Why = "silence, and nothing else answered: perhaps our own network"
		return r, nil
	case r.Now.SilentAt.IsZero() || now.Sub(r.Now.SilentAt) < v.After:
		r.Why = fmt.Sprintf("%s; a second silence after %s UTC may show a filter", why, r.Now.SilentAt.Add(v.After).UTC().Format("2006-01-02 15:04"))
		return r, nil
	case r.Now.Condition == exposure.Filtered:
		r.Why = "closed from outside, still"
		return r, nil
	}
	by := ""
	if v.Covered != nil {
		by = v.Covered(r.Now)
	}
	if by == "" {
		var err error
		if by, err = v.Elsewhere(ctx, r.Now, now.Add(-v.After)); err != nil {
			return r, err
		}
	}
	if by == "" {
		r.Why = "silence twice, and no proven filter covers it and the host answers nowhere else: it may be switched off"
		return r, nil
	}
	taken, err := v.Cases.Take(ctx, []exposure.Key{r.Now.Key}, track.Order{
		Step: track.Filter, Actor: "verify", At: now,
		Evidence: fmt.Sprintf("silent since %s UTC while %s, and %s", r.Now.SilentAt.UTC().Format("2006-01-02 15:04"), r.Control, by),
	})
	if err != nil {
		return r, err
	}
	r.Now = taken[0]
	r.State, r.Why = r.Now.Word(), "closed from outside only: "+by
	return r, nil
}
