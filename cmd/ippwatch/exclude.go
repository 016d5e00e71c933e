package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
)

func (s *street) excludeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exclude",
		Short: "Never ask a network again, whatever a scope says",
		Long: `An exclusion binds running scans within a second, wins over every scope file and
outlives it. This is how a stranger opts out.`,
	}
	var reason string
	add := &cobra.Command{
		Use:     "add PREFIX...",
		Short:   "Exclude networks or addresses",
		Example: `  ippwatch exclude add 192.0.2.0/24 --reason "asked by mail, ticket 4711"`,
		Args:    wants("PREFIX..."),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.exclude(ctx, args, reason)
		}),
	}
	there(add)
	add.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	remove := &cobra.Command{
		Use:     "remove PREFIX...",
		Short:   "Take exclusions back",
		Example: `  ippwatch exclude remove 192.0.2.0/24`,
		Args:    wants("PREFIX..."),
		RunE:    do(s.unexclude),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
				rows, err := h.store.Exclusions(cmd.Context(), s.view())
				for _, e := range rows {
					words = append(words, e.Prefix.String()+"\t"+screen.Printable(e.Reason))
				}
				return err
			})
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List what is excluded, since when and why",
		Args:  wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			show := func(rows []store.Exclusion, err error) error {
				if err != nil {
					return err
				}
				return screen.Listing[store.Exclusion]{
					Columns: []string{"prefix", "at", "who", "reason"},
					Cells: func(e store.Exclusion) []string {
						return []string{e.Prefix.String(), s.Stamp(e.At), e.Who, e.Reason}
					},
					Empty: "nothing is excluded",
				}.Show(&s.Screen, rows)
			}
			if s.remote != nil {
				return show(s.exclusionsThere(ctx))
			}
			return s.read(ctx, func(h *house) error { return show(h.store.Exclusions(ctx, s.view())) })
		}),
	}
	cmd.AddCommand(add, remove, there(list))
	return group(cmd)
}

func (s *street) exclude(ctx context.Context, args []string, reason string) error {
	prefixes, err := parsePrefixes(args)
	if err != nil {
		return err
	}
	if s.remote != nil {
		return s.excludeThere(ctx, prefixes, reason)
	}
	return s.with(ctx, func(h *house) error {
		for _, p := range prefixes {
			if err := h.store.Exclude(ctx, p, reason, whoami(), s.now()); err != nil {
				return err
			}
			s.Note("excluded %s: running scans stop asking it within a second", p)
		}
		return nil
	})
}

func (s *street) unexclude(ctx context.Context, args []string) error {
	prefixes, err := parsePrefixes(args)
	if err != nil {
		return err
	}
	return s.read(ctx, func(h *house) error {
		for _, p := range prefixes {
			found, err := h.store.Unexclude(ctx, p, whoami(), s.now())
			if err != nil {
				return err
			}
			if !found {
				return hint(fmt.Errorf("%s is not excluded", p), "%s lists what is", s.again("exclude list"))
			}
			s.Note("%s is no longer excluded", p)
		}
		return nil
	})
}

func (s *street) pauseCommand() *cobra.Command {
	var off bool
	var reason string
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Stop all sending at once, until pause --off",
		Long: `Every scan that uses this data directory stops sending within a second and waits.
Nothing is lost: with --off they go on where they were.`,
		Example: `  ippwatch pause --reason "complaint from the NOC"
  ippwatch pause --off`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if off {
				return s.read(ctx, func(h *house) error { return s.resume(ctx, h) })
			}
			return s.with(ctx, func(h *house) error {
				if err := h.store.Pause(ctx, whoami(), reason, s.now()); err != nil {
					return err
				}
				s.Note("paused: nothing is sent until %s", s.again("pause --off"))
				return nil
			})
		}),
	}
	cmd.Flags().BoolVar(&off, "off", false, "let scans send again")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	return cmd
}

func (s *street) resume(ctx context.Context, h *house) error {
	_, on, err := h.store.Paused(ctx)
	if err != nil {
		return err
	}
	if !on {
		s.Note("nothing was paused")
		return nil
	}
	if err := h.store.Resume(ctx, whoami(), s.now()); err != nil {
		return err
	}
	s.Note("scans may send again")
	return nil
}

// parsePrefixes reads prefixes and single addresses.
func parsePrefixes(args []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(args))
	for _, arg := range args {
		p, err := space.Parse(arg)
		if err != nil {
			return nil, answer.Misuse(err)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

// whoami is the person in the audit log: behind sudo, who typed it.
func whoami() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}
