package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/track"
)

func (s *street) casesTie() *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use: "tie", Short: "Let cases go on where their device has a new address",
		Long: `A customer's address changes, and the printer is the same. Where a printer-uuid answered
at one address only on a day, and an open case at another address of the same
constituent had it before, the case goes on at the new address: since when it is
open, who was told, what was decided. Every complete scan does this for its day.
Devices with a nil or factory uuid, and two with the same, are left alone.`,
		Example: `  ippwatch cases tie --date yesterday`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			day, err := s.reportDay(date)
			if err != nil {
				return err
			}
			return s.read(ctx, func(h *house) error {
				ties, err := s.tieDay(ctx, h, day)
				if err != nil {
					return err
				}
				return screen.Listing[track.Tie]{
					Columns: []string{"case", "from", "to", "device"},
					Cells: func(t track.Tie) []string {
						return []string{t.From.Case(), t.From.Addr.String(), t.To.String(), t.Device}
					},
					Empty: "no device of " + day.Format(time.DateOnly) + " has a new address",
				}.Show(&s.Screen, ties)
			})
		}),
	}
	cmd.Flags().StringVar(&date, "date", "today", "UTC day: yesterday, today, or as 2026-11-23")
	return cmd
}

// tieDay ties the cases of a day. Without constituents there is nothing within
// which a device may move.
func (s *street) tieDay(ctx context.Context, h *house, day time.Time) ([]track.Tie, error) {
	d, err := s.directory(ctx, h, "")
	if err != nil || d == nil {
		return nil, err
	}
	from, to := archive.Day(day)
	seen := make(track.Seen)
	for r, err := range h.archive.Observations(ctx, s.view(), archive.Query{From: from, To: to, Transport: exposure.TCP}) {
		if err != nil {
			return nil, err
		}
		seen.Add(&r.Observation)
	}
	same := func(a, b exposure.Exposure) bool {
		one, other := first(d, a), first(d, b)
		return one != "" && one == other
	}
	return h.tracker().TieDay(ctx, from, seen, same, s.now().UTC())
}

// first is the constituent that is told first of a case, "" if nobody is.
func first(d *people.Directory, e exposure.Exposure) string {
	if all := d.Match(e.Addr, e.Where); len(all) > 0 {
		return all[0].Name
	}
	return ""
}

func (s *street) casesUntie() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "untie CASE", Short: "Take back that a case goes on with the history of another address",
		Long: `A case goes on at another address when the same printer-uuid answers there and nowhere
else, within one constituent. Where that was wrong, untie gives both their own
history back.`,
		Example: `  ippwatch cases untie 4C8B0F6E52A1 --reason "two devices of one series"`,
		Args:    wants("CASE"),
		RunE: do(func(ctx context.Context, args []string) error {
			if reason == "" {
				return usage("untie needs --reason: it stands in the history of both cases")
			}
			return s.read(ctx, func(h *house) error {
				es, err := s.casesNamed(ctx, h, args)
				if err != nil {
					return err
				}
				if len(es) != 1 || !es[0].MovedFrom.IsValid() {
					return hint(fmt.Errorf("%s: %w", args[0], track.ErrNotTied), "%s shows where it comes from", s.again("cases show %s", args[0]))
				}
				e := es[0]
				birth, err := s.birth(ctx, h, e.Key)
				if err != nil {
					return err
				}
				if err := h.tracker().Untie(ctx, e.Key, e.MovedFrom, birth, whoami(), reason, s.now().UTC()); err != nil {
					return err
				}
				s.Note("%s begins at %s UTC again, and the case at %s is as it was", e.Case(), screen.Stamp(birth), e.MovedFrom)
				return nil
			})
		}),
		ValidArgsFunction: s.completeCase,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why: it stands in the history of both cases")
	return cmd
}

// birth is when a case was seen first at its own address.
func (s *street) birth(ctx context.Context, h *house, k exposure.Key) (time.Time, error) {
	for t, err := range h.store.Transitions(ctx, s.view(), store.Span{Key: k}) {
		if err != nil {
			return time.Time{}, err
		}
		if t.Axis == exposure.AxisCondition && t.From == "" {
			return t.At, nil
		}
	}
	return time.Time{}, fmt.Errorf("case %s has no beginning in its history", k.Case())
}
