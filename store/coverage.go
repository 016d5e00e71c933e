package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Coverage says that a source looked on a UTC day.
type Coverage struct {
	Day    time.Time
	Source exposure.Source
	Whole  bool // false: what looked did not come to its end
}

// Coverage returns which sources looked on which days, from one day to another,
// both included. It says that somebody looked, and nothing of where or at what:
// every view may see it.
func (s *Store) Coverage(ctx context.Context, _ access.View, from, to time.Time) ([]Coverage, error) {
	from, to = from.UTC().Truncate(24*time.Hour), to.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	type when struct {
		day    time.Time
		source exposure.Source
	}
	whole := make(map[when]bool)
	runs, err := s.read.runsOver(ctx, runsOverParams{Before: instant{to}, Since: instant{from}})
	if err != nil {
		return nil, fmt.Errorf("read which days were looked at: %w", explain(err))
	}
	for _, r := range runs {
		ended := r.Ended.Time
		if ended.IsZero() { // killed, or still going on: of its first day it is known
			ended = r.Started.Time
		}
		for day := later(r.Started.Truncate(24*time.Hour), from); day.Before(to) && !day.After(ended); day = day.AddDate(0, 0, 1) {
			w := when{day, cmp.Or(exposure.Source(r.Source), exposure.Scan)}
			whole[w] = whole[w] || exposure.RunState(r.State) == exposure.Done
		}
	}
	feeds, err := s.read.feedDaysOver(ctx, feedDaysOverParams{Since: instant{from}, Before: instant{to}})
	if err != nil {
		return nil, fmt.Errorf("read of which days feeds told: %w", explain(err))
	}
	for _, f := range feeds {
		whole[when{f.Day.Truncate(24 * time.Hour), exposure.Source(f.Source)}] = true
	}
	out := make([]Coverage, 0, len(whole))
	for w, done := range whole {
		out = append(out, Coverage{w.day, w.source, done})
	}
	slices.SortFunc(out, func(a, b Coverage) int {
		if c := a.Day.Compare(b.Day); c != 0 {
			return c
		}
		return strings.Compare(string(a.Source), string(b.Source))
	})
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// CoverageState changes with what [Store.Coverage] says; it is cheap.
func (s *Store) CoverageState(ctx context.Context, _ access.View) (string, error) {
	row, err := s.read.coverageState(ctx)
	if err != nil {
		return "", fmt.Errorf("look for new runs: %w", explain(err))
	}
	return fmt.Sprint(row.Done, row.Feeds), nil
}
