package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/api"
	v1 "ippwatch/api/v1"
	"ippwatch/screen"
)

func (s *street) changesCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "What is new, back, gone silent or closed",
		Long: `Changes tells what became of the cases since a time: new, back (seen again after it
was closed), silent (a complete scan met silence, which proves nothing), closed
(one of our own probes found it closed).`,
		Example: `  ippwatch changes --since yesterday
  ippwatch changes --since 2026-11-01 --format csv`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			from, err := parseSince(since, s.now())
			if err != nil {
				return err
			}
			show := func(rows []v1.Change) error {
				return screen.Listing[v1.Change]{
					Columns: []string{"change", "case", "ip", "port", "transport", "rule", "at", "evidence"},
					Cells: func(c v1.Change) []string {
						return []string{c.Change, c.Case, c.Addr.String(), fmt.Sprint(c.Port), string(c.Transport), c.Rule, s.Stamp(c.At), c.Evidence}
					},
					Empty: "nothing changed since " + screen.Stamp(from) + " UTC",
				}.Show(&s.Screen, rows)
			}
			if s.remote != nil {
				rows, err := s.changesThere(ctx, from)
				if err != nil {
					return err
				}
				return show(rows)
			}
			return s.read(ctx, func(h *house) error {
				changes, err := h.tracker().Changes(ctx, s.view(), from)
				if err != nil {
					return err
				}
				return show(api.Changes(changes))
			})
		}),
	}
	cmd.Flags().StringVar(&since, "since", "yesterday", "yesterday, today, a date, a time, or how long ago (36h)")
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.FixedCompletions(days, cobra.ShellCompDirectiveNoFileComp))
	return there(cmd)
}

// days are those that have a name.
var days = []string{"yesterday", "today"}

// namedDay is the UTC day that a word means.
func namedDay(word string, now time.Time) (day time.Time, ok bool) {
	today := now.UTC().Truncate(24 * time.Hour)
	switch word {
	case "today":
		return today, true
	case "yesterday":
		return today.AddDate(0, 0, -1), true
	}
	return time.Time{}, false
}

// parseSince reads a point in time as a person says it; days are UTC.
func parseSince(text string, now time.Time) (time.Time, error) {
	if day, ok := namedDay(text, now); ok {
		return day, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if t.After(now) {
			return time.Time{}, usage("--since %s: that is in the future", text)
		}
		return t, nil
	}
	return time.Time{}, usage("--since %q: want yesterday, today, 2026-11-23, 2026-11-23T09:30:00Z or 36h", text)
}
