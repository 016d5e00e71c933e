package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/track"
)

func (s *street) judgeCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "judge",
		Short: "Apply the rules again to what was kept",
		Long: `Facts are collected first and judged later: a rule that is new in this version of
ippwatch is applied to the observations that were kept, and what it finds becomes
cases as if it had been known then.`,
		Example: `  ippwatch judge --since 2026-11-01`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			var from time.Time
			if since != "" {
				t, err := parseSince(since, s.now())
				if err != nil {
					return err
				}
				from = t
			}
			return s.read(ctx, func(h *house) error { return s.judge(ctx, h, from) })
		}),
	}
	cmd.Flags().StringVar(&since, "since", "", "only observations since then; default: all")
	return cmd
}

// judgeAt is how many observations are folded at once.
const judgeAt = 1000

func (s *street) judge(ctx context.Context, h *house, from time.Time) error {
	q := archive.Query{From: from}
	changed, err := h.archive.Retag(ctx, q, rule.Judge)
	if err != nil {
		return err
	}
	var (
		batch []exposure.Observation
		sum   track.Summary
		cases = h.tracker()
	)
	fold := func() error {
		one, err := cases.Fold(ctx, batch)
		sum.Observations += len(batch)
		sum.New += one.New
		batch = batch[:0]
		return err
	}
	for r, err := range h.archive.Observations(ctx, s.view(), q) {
		if err != nil {
			return err
		}
		o := r.Observation
		o.Findings = rule.Judge(&o)
		if batch = append(batch, o); len(batch) == judgeAt {
			if err := fold(); err != nil {
				return err
			}
		}
	}
	if err := fold(); err != nil {
		return err
	}
	if err := h.count(ctx); err != nil {
		return err
	}
	return screen.Listing[judged]{
		Columns: []string{"observations", "judged_otherwise", "new_cases"},
		Cells: func(j judged) []string {
			return []string{fmt.Sprint(j.Observations), fmt.Sprint(j.Changed), fmt.Sprint(j.New)}
		},
	}.ShowOne(&s.Screen, judged{sum.Observations, changed, sum.New})
}

// judged is what came of judging again.
type judged struct {
	Observations int `json:"observations"`
	Changed      int `json:"judged_otherwise"`
	New          int `json:"new_cases"`
}
