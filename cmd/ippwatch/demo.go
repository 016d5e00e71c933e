package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"ippwatch/demo"
)

func (s *street) demoCommand() *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the whole of it on simulated print services",
		Long: `Demo plays a neighbourhood of print services on loopback addresses and does with it
what you would do with a network of yours: it writes a scope, scans over TCP and
UDP, judges, keeps, and writes the reports. The services are simulated and say so;
the scan does not know: it is the same command with the same rules. Where CUPS is
installed, a real cupsd of its own joins them, at 127.0.0.1. Nothing leaves this
machine, and nothing is left behind unless you keep it.`,
		Example: `  ippwatch demo
  ippwatch demo --keep /tmp/ippwatch-demo`,
		Args: cobra.NoArgs,
		RunE: do(func(ctx context.Context, _ []string) error { return s.demo(ctx, keep, demo.FindCUPS()) }),
	}
	cmd.Flags().StringVar(&keep, "keep", "", "directory in which data and reports are kept; it must be empty or absent")
	_ = cmd.MarkFlagDirname("keep")
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
