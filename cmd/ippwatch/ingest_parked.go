package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/feed/shadowserver"
	"ippwatch/screen"
)

func (s *street) ingestParkedCommand() *cobra.Command {
	var again bool
	var where whereFlags
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "List the files whose type is not known yet, or take them in",
		Long: `Parked lists the files that wait because this ippwatch cannot read their type. They
are kept whole in the data directory, 256 MiB each and 2 GiB in all at most. After an
update, --again takes in what became known.`,
		Example: `  ippwatch ingest parked
  ippwatch ingest parked --again`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				files, err := h.store.ParkedFiles(ctx, s.view())
				if err != nil {
					return err
				}
				if again {
					return s.parkedAgain(ctx, h, where, files)
				}
				return screen.Listing[exposure.ParkedFile]{
					Columns: []string{"source", "type", "bytes", "kept", "parked", "file", "reason"},
					Cells: func(p exposure.ParkedFile) []string {
						return []string{string(p.Source), p.Type, fmt.Sprint(p.Bytes), yesNo(p.Kept), s.Stamp(p.At), p.File, p.Reason}
					},
					Empty: "no file waits",
				}.Show(&s.Screen, files)
			})
		}),
	}
	cmd.Flags().BoolVar(&again, "again", false, "take in what became known")
	where.add(cmd.Flags())
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (s *street) parkedAgain(ctx context.Context, h *house, where whereFlags, files []exposure.ParkedFile) error {
	var ours []exposure.ParkedFile
	for _, p := range files {
		if p.Source == exposure.Shadowserver {
			ours = append(ours, p)
		}
	}
	in, err := s.intake(h, exposure.Shadowserver, where)
	if err != nil {
		return err
	}
	all, err := in.service.Again(ctx, ours, shadowserver.Parse)
	if err := errors.Join(err, in.close()); err != nil {
		return err
	}
	if len(all) == 0 {
		s.Note("none of the %s that wait can be read yet", filesOf(len(files)))
	}
	return s.showTaken(all)
}

func (s *street) ingestAsideCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "aside",
		Short: "List the rows that could not be read, with file, line and reason",
		Args:  wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if limit < 1 {
				return usage("--limit %d: want a number above 0", limit)
			}
			return s.read(ctx, func(h *house) error {
				rows, err := h.store.Asides(ctx, s.view(), limit)
				if err != nil {
					return err
				}
				return screen.Listing[exposure.Aside]{
					Columns: []string{"source", "type", "file", "line", "reason", "row"},
					Cells: func(a exposure.Aside) []string {
						return []string{string(a.Source), a.Type, a.File, fmt.Sprint(a.Line), a.Reason, a.Row}
					},
					Empty: "every row could be read",
				}.Show(&s.Screen, rows)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, the newest first")
	return cmd
}
