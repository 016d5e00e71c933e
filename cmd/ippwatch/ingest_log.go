package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/screen"
)

func (s *street) ingestLogCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "log",
		Short: "List the files of feeds that were taken in, newest first",
		Long: `Log lists the files of feeds: when each came, of which day and type it is, and what
became of its rows. "known" rows were taken in before, "other" ones are not about
printing, those "set aside" could not be read.`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if limit < 1 {
				return usage("--limit %d: want a number above 0", limit)
			}
			return s.read(ctx, func(h *house) error {
				all, err := h.store.Intakes(ctx, s.view(), limit)
				if err != nil {
					return err
				}
				l := s.intakes("no file of a feed was taken in yet")
				cells := l.Cells
				l.Columns = append([]string{"taken_in"}, l.Columns...)
				l.Cells = func(in exposure.Intake) []string { return append([]string{s.Stamp(in.Ended)}, cells(in)...) }
				return l.Show(&s.Screen, all)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

func (s *street) ingestAgesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ages",
		Short: "Say for which day each feed last had data",
		Long: `Ages lists, for each source and type, the last day for which data came and how many
days ago that is. A feed that stops is a gap, and no proof that anything is closed.`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				ages, err := h.store.FeedAges(ctx, s.view())
				if err != nil {
					return err
				}
				rows := make([]feedAge, len(ages))
				for i, a := range ages {
					rows[i] = feedAge{a, int(s.now().Sub(a.Day) / (24 * time.Hour))}
				}
				return screen.Listing[feedAge]{
					Columns: []string{"source", "type", "day", "days_ago", "taken_in"},
					Cells: func(a feedAge) []string {
						return []string{string(a.Source), a.Type, date(a.Day), fmt.Sprint(a.DaysAgo), s.Stamp(a.Taken)}
					},
					Empty: "no feed had data yet",
				}.Show(&s.Screen, rows)
			})
		}),
	}
}

// A feedAge is the age of a feed as it is shown.
type feedAge struct {
	exposure.FeedAge
	DaysAgo int `json:"days_ago"`
}
