package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
)

// errNoExclusion ends the transaction of an order that has no object.
var errNoExclusion = errors.New("no such exclusion")

// An Exclusion is a prefix that is never probed, whatever a scope says.
type Exclusion struct {
	Prefix netip.Prefix `json:"prefix"`
	Reason string       `json:"reason"`
	Who    string       `json:"who"`
	At     time.Time    `json:"at"`
}

// A Pause is the order to send nothing.
type Pause struct {
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// A Control is what binds a running scan (DESIGN.md, rule 12). Excluded is
// shared: do not change it.
type Control struct {
	Paused     bool
	Excluded   []netip.Prefix
	Generation int64 // rises with every order
}

// Exclude forbids the prefix to every scan, those that run included, until
// [Store.Unexclude].
func (s *Store) Exclude(ctx context.Context, p netip.Prefix, reason, who string, at time.Time) error {
	if !p.IsValid() {
		return errors.New("exclude: the prefix is not valid")
	}
	p = p.Masked()
	return s.order(ctx, entry{at, who, "exclude", p.String() + ": " + reason}, func(q *Queries) error {
		return q.putExclusion(ctx, putExclusionParams{Prefix: p.String(), Reason: reason, Who: who, At: instant{at}})
	})
}

// Unexclude lifts the exclusion of exactly this prefix. It reports false if
// there is none.
func (s *Store) Unexclude(ctx context.Context, p netip.Prefix, who string, at time.Time) (bool, error) {
	p = p.Masked()
	err := s.order(ctx, entry{at, who, "unexclude", p.String()}, func(q *Queries) error {
		n, err := q.dropExclusion(ctx, p.String())
		if err == nil && n == 0 {
			err = errNoExclusion
		}
		return err
	})
	if errors.Is(err, errNoExclusion) {
		return false, nil
	}
	return err == nil, err
}

// Exclusions returns the exclusions in the order of addresses: all to an
// operator, to a constituent those that touch its networks.
func (s *Store) Exclusions(ctx context.Context, v access.View) ([]Exclusion, error) {
	rows, err := s.read.exclusions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read exclusions: %w", explain(err))
	}
	var out []Exclusion
	for _, row := range rows {
		p, err := netip.ParsePrefix(row.Prefix)
		if err != nil {
			return nil, fmt.Errorf("read exclusions: %w", err)
		}
		if v.Overlaps(p) {
			out = append(out, Exclusion{Prefix: p, Reason: row.Reason, Who: row.Who, At: row.At.Time})
		}
	}
	slices.SortFunc(out, func(a, b Exclusion) int { return a.Prefix.Compare(b.Prefix) })
	return out, nil
}

// Pause stops all sending, until [Store.Resume].
func (s *Store) Pause(ctx context.Context, who, reason string, at time.Time) error {
	return s.order(ctx, entry{at, who, "pause", reason}, func(q *Queries) error {
		return q.pause(ctx, pauseParams{Paused: 1, Who: who, Reason: reason, Since: instant{at}})
	})
}

// Resume ends the pause.
func (s *Store) Resume(ctx context.Context, who string, at time.Time) error {
	return s.order(ctx, entry{at, who, "resume", ""}, func(q *Queries) error {
		return q.pause(ctx, pauseParams{})
	})
}

// Paused returns the pause, and false if there is none.
func (s *Store) Paused(ctx context.Context) (Pause, bool, error) {
	row, err := s.read.control(ctx)
	if err != nil {
		return Pause{}, false, fmt.Errorf("read pause: %w", explain(err))
	}
	return Pause{Who: row.Who, Reason: row.Reason, Since: row.Since.Time}, row.Paused != 0, nil
}

// Control returns what binds a running scan now. As long as nobody gives an
// order it costs one read of one row; ask it twice a second.
func (s *Store) Control(ctx context.Context) (Control, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, err := s.read.control(ctx)
	if err != nil {
		return Control{}, fmt.Errorf("read control: %w", explain(err))
	}
	if s.control != nil && s.control.Generation == row.Generation {
		return *s.control, nil
	}
	// The exclusions are read after the generation: should an order come in
	// between, they are newer than it says and are read again the next time.
	all, err := s.Exclusions(ctx, access.View{Tier: access.Operator})
	if err != nil {
		return Control{}, err
	}
	c := Control{Paused: row.Paused != 0, Generation: row.Generation}
	for _, e := range all {
		c.Excluded = append(c.Excluded, e.Prefix)
	}
	s.control = &c
	return c, nil
}

// order makes a change that binds running scans, and writes it down.
func (s *Store) order(ctx context.Context, e entry, f func(*Queries) error) error {
	return s.change(ctx, e.what+" "+e.detail, func(q *Queries) error {
		if err := f(q); err != nil {
			return err
		}
		if err := q.raiseGeneration(ctx); err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{e.at}, Who: e.who, What: e.what, Detail: e.detail})
	})
}
