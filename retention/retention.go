// Package retention removes what was kept long enough, and nothing that is held.
package retention

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Store keeps cases, runs and the rest. Each prune works in short transactions,
// may be stopped and begun again, and with dry only counts.
type Store interface {
	Holds(ctx context.Context, v access.View) ([]exposure.Hold, error)
	PruneCases(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error)
	PruneTransitions(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error)
	PruneRuns(ctx context.Context, before time.Time, held func(exposure.Run) bool, dry bool) (exposure.Pruned, error)
	PruneAudit(ctx context.Context, before time.Time, dry bool) (exposure.Pruned, error)
	PruneKeys(ctx context.Context, at time.Time, dry bool) (exposure.Pruned, error)
	PruneAlerts(ctx context.Context, before time.Time, dry bool) (exposure.Pruned, error)
}

// An Archive keeps observations.
type Archive interface {
	Prune(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error)
}

// A Pruner prunes by a policy.
type Pruner struct {
	Policy  Policy
	Store   Store
	Archive Archive
	// Asked are the networks that a run asked: a run that may have asked a held
	// address is held.
	Asked func(exposure.Run) ([]netip.Prefix, error)
	// More are classes whose tables are another's: parked files, messages.
	More []Class
}

// A Class is a kind of data that is kept equally long.
type Class struct {
	Name  string
	Keep  Days
	Prune func(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error)
}

// A Line tells what became of a class.
type Line struct {
	Class   string    `json:"class"`
	Keep    string    `json:"keep"`
	Before  time.Time `json:"before,omitzero"` // older is removed; zero: nothing is
	Removed int64     `json:"removed"`
	Held    int64     `json:"held"`
}

// keyClass has no retention that could be set (DESIGN.md, rule 5).
const keyClass, keyKeep = "call-back keys", "24h"

// Prune removes, class by class, what was kept long enough; with dry it counts
// what it would remove. It returns the lines of the classes that were done, also
// when it fails or is stopped: begun again, it goes on.
func (p *Pruner) Prune(ctx context.Context, now time.Time, dry bool) ([]Line, error) {
	holds, err := p.Store.Holds(ctx, access.View{Who: "retention", Tier: access.Operator, At: now})
	if err != nil {
		return nil, err
	}
	var held []netip.Prefix
	for _, h := range holds {
		held = append(held, h.Prefix)
	}
	var lines []Line
	for _, c := range p.classes() {
		line := Line{Class: c.Name, Keep: c.Keep.String()}
		before, ends := c.Keep.Before(now)
		if ends {
			line.Before = before
			var done exposure.Pruned
			done, err = c.Prune(ctx, before, held, dry)
			line.Removed, line.Held = done.Removed, done.Held
		}
		lines = append(lines, line)
		if err != nil {
			return lines, fmt.Errorf("prune %s: %w", c.Name, err)
		}
	}
	keys, err := p.Store.PruneKeys(ctx, now, dry)
	return append(lines, Line{Class: keyClass, Keep: keyKeep, Before: now.UTC().Add(-24 * time.Hour), Removed: keys.Removed}), err
}

// classes in the order in which they are pruned: what refers to others goes
// before them.
func (p *Pruner) classes() []Class {
	return append([]Class{
		{"observations", p.Policy.Observations, p.Archive.Prune},
		{"closed cases", p.Policy.Cases, p.Store.PruneCases},
		{"transitions", p.Policy.Transitions, p.Store.PruneTransitions},
		{"runs", p.Policy.Runs, p.pruneRuns},
		{"audit log", p.Policy.Audit, p.pruneAudit},
		{"alerts", p.Policy.Alerts, func(ctx context.Context, before time.Time, _ []netip.Prefix, dry bool) (exposure.Pruned, error) {
			return p.Store.PruneAlerts(ctx, before, dry)
		}},
	}, p.More...)
}

func (p *Pruner) pruneRuns(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	return p.Store.PruneRuns(ctx, before, func(r exposure.Run) bool {
		if len(held) == 0 {
			return false
		}
		asked, err := p.Asked(r)
		if err != nil {
			return true // who knows
		}
		return slices.ContainsFunc(asked, func(a netip.Prefix) bool { return slices.ContainsFunc(held, a.Overlaps) })
	}, dry)
}

// pruneAudit leaves the log whole while anything is held: it tells what was
// ordered about it.
func (p *Pruner) pruneAudit(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
	if len(held) == 0 {
		return p.Store.PruneAudit(ctx, before, dry)
	}
	n, err := p.Store.PruneAudit(ctx, before, true)
	return exposure.Pruned{Held: n.Removed}, err
}
