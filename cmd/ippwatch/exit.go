package main

import (
	"context"

	"github.com/spf13/cobra"

	"ippwatch/answer"
)

// The words of package answer, which all commands use.
const (
	exitDone   = answer.Done
	exitFailed = answer.Failed
)

var errFound = answer.ErrFound

func hint(err error, format string, args ...any) error { return answer.Hint(err, format, args...) }

func usage(format string, args ...any) error { return answer.Usage(format, args...) }

func do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return answer.Do(f)
}

func wants(names ...string) cobra.PositionalArgs { return answer.Wants(names...) }

func group(cmd *cobra.Command) *cobra.Command { return answer.Group(cmd) }

// exit prints what there is to say and returns the exit code.
func (s *street) exit(err error) int { return answer.Exit(s.Err, err) }
