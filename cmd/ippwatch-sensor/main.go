// Command ippwatch-sensor is ippwatch with nothing but the sensor: small, and
// without a database. It is used in the same way: ippwatch-sensor sensor.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ippwatch/answer"
	"ippwatch/outpost"
	"ippwatch/screen"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is the whole program but for the exit.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	signal.Ignore(syscall.SIGPIPE)
	out := &answer.Faithful{W: os.Stdout}
	s := &screen.Screen{
		Out: out, Err: os.Stderr,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())), ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
	root := command(s)
	root.SetArgs(args)
	return answer.Exit(os.Stderr, out.Join(root.ExecuteContext(ctx)))
}

func command(s *screen.Screen) *cobra.Command {
	var data string
	root := &cobra.Command{
		Use:   "ippwatch-sensor",
		Short: "Listen where strangers look for printers, and tell who came",
		Long: `ippwatch-sensor is ippwatch with nothing but the sensor: small, and without a
database. What it hears is kept in a journal, reported from there, and forwarded to
an ippwatch that has more.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	answer.Group(root)
	root.SetFlagErrorFunc(answer.BadFlag)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.PersistentFlags().StringVar(&data, "data", defaultData(), "directory in which events are kept")
	root.PersistentFlags().StringVar(&s.Format, "format", "table", "output format: table, json, ndjson or csv")
	root.PersistentFlags().BoolVar(&s.Quiet, "quiet", false, "no notes on stderr")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(screen.Formats, s.Format) {
			return answer.Usage("--format %q: want %s", s.Format, strings.Join(screen.Formats, ", "))
		}
		return nil
	}
	root.AddCommand(outpost.Command(&outpost.Host{Screen: s, Data: &data, Now: time.Now}))
	return root
}

// defaultData is $XDG_DATA_HOME/ippwatch, or what stands for it here.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "ippwatch")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "ippwatch-data"
	}
	return filepath.Join(home, ".local", "share", "ippwatch")
}
