package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/screen"
)

func (s *street) rollupCommand() *cobra.Command {
	var rebuild []string
	cmd := &cobra.Command{
		Use:   "rollup",
		Short: "Count the days of the dashboard anew",
		Long: `Rollup counts the days of which observations came since they were counted: by
country, network, source, tag and device. Scans, ingest and ippwatch serve do it by
themselves. With --rebuild a day is counted anew from its observations in any case,
and the last column tells whether that made a difference: it should not. Of a
pruned day the counts stay as they are.`,
		Example: `  ippwatch rollup
  ippwatch rollup --rebuild 2026-11-23`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			var days []time.Time
			for _, day := range rebuild {
				t, err := time.Parse(time.DateOnly, day)
				if err != nil {
					return usage("--rebuild %q: want a day such as 2026-11-23", day)
				}
				days = append(days, t)
			}
			return s.read(ctx, func(h *house) error { return s.rollup(ctx, h, days) })
		}),
	}
	cmd.Flags().StringSliceVar(&rebuild, "rebuild", nil, "count this UTC day anew; repeats")
	return cmd
}

// A countedDay is a line of the listing.
type countedDay struct {
	Day       string `json:"day"`
	Addresses int64  `json:"addresses"`
	Devices   int64  `json:"devices"`
	Was       string `json:"was"` // before: nothing, dirty, counted, pruned
	Changed   bool   `json:"changed"`
}

func (s *street) rollup(ctx context.Context, h *house, days []time.Time) error {
	if len(days) == 0 {
		var err error
		if days, err = h.archive.DirtyDays(ctx); err != nil {
			return err
		}
	}
	out := []countedDay{}
	for _, day := range days {
		r, err := h.archive.Rebuild(ctx, day)
		if err != nil {
			return err
		}
		out = append(out, countedDay{date(r.Day), r.Addresses, r.Devices, r.Was, r.Changed})
		switch r.Was {
		case archive.WasPruned:
			s.Note("%s: its observations were pruned; its counts stay as they are", date(r.Day))
		case archive.WasNothing:
			s.Note("%s: there are no observations of that day", date(r.Day))
		}
	}
	return screen.Listing[countedDay]{
		Columns: []string{"day", "addresses", "devices", "was", "changed"},
		Cells: func(d countedDay) []string {
			return []string{d.Day, fmt.Sprint(d.Addresses), fmt.Sprint(d.Devices), d.Was, yesNo(d.Changed)}
		},
		Empty: "every day is counted",
	}.Show(&s.Screen, out)
}

// count counts the days that need it; so the dashboard shows what came.
func (h *house) count(ctx context.Context) error {
	days, err := h.archive.DirtyDays(ctx)
	for _, day := range days {
		err = errors.Join(err, h.archive.Rollup(ctx, day))
	}
	return err
}

// countEvery is how often serve looks for days to count. It takes a twentieth of
// the time at most: a day that is still coming in is counted again and again.
const countEvery = time.Minute

// keepCounts counts what came, whoever brought it.
func (d *daemonry) keepCounts(ctx context.Context) {
	for {
		began := time.Now()
		if err := d.h.count(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("cannot count days", "err", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(countEvery, 20*time.Since(began))):
		}
	}
}
