package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ippwatch/demo"
)

func (s *street) demoCommand() *cobra.Command {
	var keep string
	var stay stayFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the whole of it on simulated print services",
		Long: `Demo plays a neighbourhood of print services on loopback addresses and does with it
what you would do with a network of yours: it writes a scope, scans over TCP and
UDP, judges, keeps, and writes the reports. The services are simulated and say so;
the scan does not know: it is the same command with the same rules. Where CUPS is
installed, a real cupsd of its own joins them, at 127.0.0.1. Nothing leaves this
machine, and nothing is left behind unless you keep it.

With --stay it opens the site instead, filled with a generated year that tells the story
of September 2024, and prints its address and the accounts. Nothing is sent to anybody.
Ctrl-C ends it and removes everything, unless --data says where it is to stay.`,
		Example: `  ippwatch demo
  ippwatch demo --stay
  ippwatch demo --keep /tmp/ippwatch-demo`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = do(func(ctx context.Context, _ []string) error {
		if stay.stay {
			return s.demoStay(ctx, stay)
		}
		if err := stay.alone(cmd.Flags()); err != nil {
			return err
		}
		return s.demo(ctx, keep, demo.FindCUPS())
	})
	cmd.Flags().StringVar(&keep, "keep", "", "directory in which data and reports are kept; it must be empty or absent")
	_ = cmd.MarkFlagDirname("keep")
	stay.add(cmd)
	return cmd
}

// demo plays the demo; cupsd is the real one, if there is one.
func (s *street) demo(ctx context.Context, keep, cupsd string) error {
	d := demo.Demo{Screen: &s.Screen, Now: s.now(), Keep: keep, CUPSD: cupsd, Type: s.typed}
	return d.Run(ctx)
}

// typed types a command as a user would.
func (s *street) typed(ctx context.Context, args []string) error {
	inner := *s
	// A new tree sets its flags to their defaults first.
	root := inner.root()
	root.SetArgs(append([]string{fmt.Sprintf("--quiet=%t", s.Quiet)}, args...))
	return root.ExecuteContext(ctx)
}
