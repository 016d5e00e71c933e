// Command ippwatch finds print services that answer people they should not,
// tells those who can close them, and proves that the hole is closed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // a schedule has a zone, and a container no table of them
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ippwatch/access"
	"ippwatch/answer"
	"ippwatch/api/client"
	"ippwatch/config"
	"ippwatch/people/lookup"
	"ippwatch/plant"
	"ippwatch/schedule"
	"ippwatch/screen"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is the whole program but for the exit.
func run(args []string) int {
	// A second Ctrl-C ends at once: after the first the context is done, and
	// stop gives the signal its default meaning back.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// A reader who goes away must not end a scan before it has written down how
	// far it came.
	signal.Ignore(syscall.SIGPIPE)

	out := &answer.Faithful{W: os.Stdout}
	s := &street{
		in: os.Stdin, now: time.Now,
		Screen: screen.Screen{
			Out: out, Err: os.Stderr,
			OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
			ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		},
	}
	root := s.root()
	root.SetArgs(args)
	err := out.Join(root.ExecuteContext(ctx))
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, errStopped) {
		err = answer.Fail(errors.New("stopped"))
	}
	return s.exit(err)
}

// street is what every subcommand has: the streams, the clock and the flags
// that all share.
type street struct {
	screen.Screen
	in  io.Reader
	now func() time.Time
	// look is how others are asked whom to tell; the zero value asks the Internet.
	look lookup.Options

	data      string
	elsewhere bool   // data was named by the user
	server    string // --server
	keyFile   string
	remote    *client.Client // that is asked instead of the data directory; nil: nobody
	eyes      *access.View   // of who came through a door; nil: our own

	config     config.Config // as it is in force
	configFile string        // where it comes from; empty: from nowhere
	configured bool          // configFile was named by the user
	misread    error         // what is wrong with configFile, for who tells it

	foreman *schedule.Scheduler // of the daemon that this is; nil: it is none
	plant   *plant.Plant        // whose work beside the requests ends before the stores close; nil: none are served
}

// again is a command line that continues this one on the same data directory,
// ready to be copied.
func (s *street) again(format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	if s.server != "" {
		text = fmt.Sprintf("--server %s %s", shellWord(s.server), text)
	}
	if s.elsewhere {
		text = fmt.Sprintf("--data %s %s", shellWord(s.data), text)
	}
	if s.configured {
		text = fmt.Sprintf("--config %s %s", shellWord(s.configFile), text)
	}
	return "ippwatch " + text
}

// shellWord quotes what a shell would take apart.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+:@%,", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func (s *street) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ippwatch",
		Short: "Find print services that answer strangers, and prove them closed",
		Long: `ippwatch finds print services (IPP/CUPS, port 631) that answer people they
should not, tells those who can close them, hands them the fix, and proves that
the hole is closed. It probes only what a scope file authorises.`,
		Example: `  ippwatch demo                              see the whole of it on simulated hosts
  ippwatch scope init > scope.yaml           say where you may look, and who says so
  ippwatch scan --scope scope.yaml           look
  ippwatch report --type all --out reports   write reports for the owners`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	group(root)
	root.SetVersionTemplate(inShort(aboutUs()) + "\n")
	root.Flags().Bool("version", false, "show the version") // cobra's own has -v, which is verbose to most
	root.SetFlagErrorFunc(answer.BadFlag)
	root.SetIn(s.in)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.PersistentFlags().StringVar(&s.data, "data", defaultData(), "directory in which cases and observations are kept")
	root.PersistentFlags().StringVar(&s.configFile, "config", "", "configuration file; default: $XDG_CONFIG_HOME/ippwatch/ippwatch.yaml if it is there")
	root.PersistentFlags().StringVar(&s.Format, "format", "table", "output format: table, json, ndjson or csv")
	root.PersistentFlags().BoolVar(&s.Quiet, "quiet", false, "no progress and no notes on stderr")
	_ = root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(screen.Formats, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentFlags().StringVar(&s.server, "server", "", "ask this ippwatch serve instead of the data directory; the key is in "+client.KeyVariable)
	root.PersistentFlags().StringVar(&s.keyFile, "key-file", "", "with --server: file that has the key")
	_ = root.MarkPersistentFlagDirname("data")
	_ = root.MarkPersistentFlagFilename("key-file")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		s.elsewhere = cmd.Flags().Changed("data")
		if !slices.Contains(screen.Formats, s.Format) {
			return usage("--format %q: want %s", s.Format, strings.Join(screen.Formats, ", "))
		}
		if err := s.configure(cmd); err != nil {
			return err
		}
		return s.chooseServer(cmd)
	}
	root.AddCommand(
		s.demoCommand(),
		s.scanCommand(), s.scopeCommand(), s.rulesCommand(), s.judgeCommand(),
		s.ingestCommand(), s.watchCommand(), s.surgesCommand(),
		s.reportCommand(), s.changesCommand(), s.rollupCommand(),
		s.casesCommand(), s.verifyCommand(), s.auditCommand(),
		s.metricsCommand(), s.rankCommand(),
		s.constituentsCommand(), s.customersCommand(),
		s.runsCommand(), s.excludeCommand(), s.pauseCommand(), s.askedCommand(),
		s.notifyCommand(), s.linksCommand(), s.advisoryCommand(),
		s.filterCommand(),
		s.sensorCommand(),
		s.accountsCommand(), s.keysCommand(),
		s.serveCommand(), s.configCommand(), s.pruneCommand(), s.holdCommand(),
		s.backupCommand(), s.restoreCommand(), s.doctorCommand(),
		s.versionCommand(), s.manCommand(),
	)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			group(c) // a shell that it does not know is a mistake
		}
	}
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

// version is the version of the module, or "devel" with the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, kv := range info.Settings {
		if kv.Key == "vcs.revision" && len(kv.Value) >= 12 {
			return "devel-" + kv.Value[:12]
		}
	}
	return "devel"
}
