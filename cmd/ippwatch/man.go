package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (s *street) manCommand() *cobra.Command {
	var dir string
	var cmd *cobra.Command
	cmd = &cobra.Command{
		Use:         "man",
		Annotations: readsNoConfig,
		Short:       "Write manual pages",
		Example:     `  ippwatch man --out /usr/local/share/man/man1`,
		Args:        wants(),
		RunE: do(func(context.Context, []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // manual pages are for everybody
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			// The page is read on other machines than the one that wrote it.
			root.PersistentFlags().Lookup("data").DefValue = "$XDG_DATA_HOME/ippwatch"
			if scan, _, err := root.Find([]string{"scan"}); err == nil {
				scan.Flags().Lookup("vantage").DefValue = "name of the host"
			}
			head := &doc.GenManHeader{Title: "IPPWATCH", Section: "1", Source: "ippwatch " + version(), Manual: "ippwatch"}
			if err := doc.GenManTree(root, head, dir); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			s.Note("wrote manual pages to %s", dir)
			return nil
		}),
	}
	cmd.Flags().StringVar(&dir, "out", "man", "directory for the pages")
	return cmd
}
