package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/answer"
	"ippwatch/config"
	"ippwatch/schedule"
	"ippwatch/screen"
	"ippwatch/space"
)

// ownConfig marks the commands that do not begin with reading the configuration:
// they must work when it is broken.
const ownConfig = "own-config"

var readsNoConfig = map[string]string{ownConfig: "yes"}

// tellsConfig marks the command that tells what is wrong with the configuration,
// beside all else that it finds.
const tellsConfig = "tells-config"

// defaultConfig is $XDG_CONFIG_HOME/ippwatch/ippwatch.yaml, or what stands for
// it here; empty when there is no such place.
func defaultConfig() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "ippwatch", config.File)
}

// configure reads the configuration, if there is one, and makes its values the
// defaults of the command's flags.
func (s *street) configure(cmd *cobra.Command) error {
	s.config = config.Default()
	for c := cmd; c != nil; c = c.Parent() {
		if c.Annotations[ownConfig] != "" || c.Name() == "completion" || c.Name() == "help" {
			return nil
		}
	}
	named := cmd.Flags().Changed("config")
	if !named {
		s.configFile = defaultConfig()
		if _, err := os.Stat(s.configFile); errors.Is(err, fs.ErrNotExist) {
			s.configFile = ""
		}
	}
	if s.configFile == "" {
		return nil
	}
	c, err := config.Load(s.configFile)
	if err != nil {
		if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
			return nil // a shell that completes shows no errors
		}
		if named && errors.Is(err, fs.ErrNotExist) {
			err = hint(err, "ippwatch config init > %s writes one", shellWord(s.configFile))
		}
		if cmd.Annotations[tellsConfig] != "" {
			s.misread = err
			return nil
		}
		return answer.Fail(err)
	}
	s.config, s.configured = c, named
	return s.setDefaults(cmd.Name(), cmd.Flags())
}

// A setting is what the configuration says about a flag.
type setting struct {
	flag  string
	value any
}

// settings are what the configuration says about the flags of a command. What is
// empty there says nothing.
func settings(c *config.Config, command string) []setting {
	all := []setting{{"data", c.Data}}
	switch command {
	case "scan", "verify":
		all = append(all, []setting{
			{"scope", c.Scope},
			{"vantage", c.Vantage},
			{"port", inText(c.Scan.Ports)},
			{"udp", c.Scan.UDP},
			{"udp-port", c.Scan.UDPPort},
			{"callback", c.Scan.Callback},
			{"grace", c.Scan.Grace},
			{"rate", c.Scan.Rate},
			{"per-network", c.Scan.PerNetwork},
			{"concurrency", c.Scan.Concurrency},
			{"timeout", c.Scan.Timeout},
			{"admin", c.Scan.Admin},
			{"jobs", c.Scan.Jobs},
			{"mmdb", c.Scan.MMDB},
			{"asn", c.Scan.ASN},
			{"rdns", c.Scan.RDNS},
			{"out", c.Scan.Out},
		}...)
		if command == "verify" {
			all = append(all, setting{"after", c.Verify.After}, setting{"control", c.Verify.Controls})
		}
		return all
	case "report":
		return append(all, setting{"constituents", c.Report.Constituents})
	}
	return all
}

func inText[T any](list []T) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = fmt.Sprint(v)
	}
	return all
}

// setDefaults gives the flags that the user has not set the values of the
// configuration.
func (s *street) setDefaults(command string, fl *pflag.FlagSet) error {
	for _, set := range settings(&s.config, command) {
		f := fl.Lookup(set.flag)
		if f == nil || f.Changed {
			continue
		}
		var err error
		switch v := set.value.(type) {
		case []string:
			if list, ok := f.Value.(pflag.SliceValue); ok && len(v) > 0 {
				err = list.Replace(v)
			}
		default:
			if text := fmt.Sprint(v); text != "" {
				err = f.Value.Set(text)
			}
		}
		if err != nil {
			return answer.Fail(fmt.Errorf("%s: %s: %w", s.configFile, set.flag, err))
		}
	}
	return nil
}

func (s *street) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Write, check and show the configuration file",
		Long: `The configuration says how ippwatch works unattended, and gives the commands their
defaults; a flag wins. It is read from --config FILE, or else from
$XDG_CONFIG_HOME/ippwatch/ippwatch.yaml if that is there.`,
	}
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration, by line, and when its jobs run next",
		Example: `  ippwatch config check
  ippwatch config check ippwatch.yaml`,
		Args:        cobra.MaximumNArgs(1),
		Annotations: readsNoConfig,
		RunE:        do(s.configCheck),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	initialise := &cobra.Command{
		Use:         "init",
		Short:       "Write a commented configuration with every key and its default",
		Example:     `  ippwatch config init > ippwatch.yaml`,
		Args:        wants(),
		Annotations: readsNoConfig,
		RunE: do(func(context.Context, []string) error {
			_, err := s.Out.Write(config.Reference)
			return err
		}),
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Show the values that are in force; secrets are never among them",
		Args:  wants(),
		RunE: do(func(context.Context, []string) error {
			text, err := s.config.Show()
			if err != nil {
				return err
			}
			switch s.Format {
			case "json", "ndjson":
				if text, err = yaml.YAMLToJSON(text); err != nil {
					return err
				}
			case "csv":
				return usage("config show has no --format csv: want table, which is YAML, or json")
			}
			_, err = s.Machine().Write(text)
			return err
		}),
	}
	cmd.AddCommand(check, initialise, show)
	return group(cmd)
}

// A jobPlan is a line of config check.
type jobPlan struct {
	Job  string    `json:"job"`
	Cron string    `json:"cron"`
	Zone string    `json:"zone"`
	Next time.Time `json:"next"`
}

func (s *street) configCheck(_ context.Context, args []string) error {
	file := s.configFile
	if len(args) > 0 {
		file = args[0]
	} else if file == "" {
		file = defaultConfig()
	}
	c, err := config.Load(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = hint(err, "ippwatch config init > %s writes one", shellWord(file))
		}
		return err
	}
	if err := s.usable(&c); err != nil {
		return err
	}
	var rows []jobPlan
	for _, n := range c.Schedule.Jobs.Kinds() {
		if n.Times.Cron == "" {
			continue
		}
		p, err := c.Schedule.Plan(n.Times)
		if err != nil {
			return err
		}
		rows = append(rows, jobPlan{n.Kind, n.Times.Cron, p.Zone().String(), p.Next(s.now())})
	}
	s.Note("%s is right", file)
	return screen.Listing[jobPlan]{
		Columns: []string{"job", "cron", "zone", "next"},
		Cells:   func(p jobPlan) []string { return []string{p.Job, p.Cron, p.Zone, s.Stamp(p.Next)} },
		Empty:   "no job is planned: ippwatch serve would do nothing",
	}.Show(&s.Screen, rows)
}

// usable looks at what a configuration names: a daemon that begins must not find
// out at three in the morning.
func (s *street) usable(c *config.Config) error {
	var wrong []error
	for _, n := range c.Schedule.Jobs.Kinds() {
		if _, known := s.kind(n.Kind); n.Times.Cron != "" && !known {
			wrong = append(wrong, fmt.Errorf("schedule.jobs.%s: %w", n.Kind, schedule.ErrNoKind))
		}
	}
	if c.Scope != "" {
		text, err := os.ReadFile(c.Scope)
		if err == nil {
			var scope space.Scope
			if scope, err = space.ParseScope(c.Scope, text); err == nil && scope.Expired(s.now()) != nil {
				err = fmt.Errorf("%s: the authorisation expired at %s UTC", c.Scope, screen.Stamp(scope.Expires))
			}
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("scope: %w", err))
		}
	}
	for key, file := range map[string]string{
		"report.constituents": c.Report.Constituents, "scan.asn": c.Scan.ASN, "scan.mmdb": strings.Join(c.Scan.MMDB[:min(1, len(c.Scan.MMDB))], ""),
	} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", key, err))
		}
	}
	if _, err := s.alerters(c, nil); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}
