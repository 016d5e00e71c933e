package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/exposure"
	"ippwatch/screen"
)

// keptFlags are the flags that a resumed run has again unless the user says
// otherwise: a pace that was promised to a network holds after a stop, too.
var keptFlags = []string{
	"admin", "jobs", "all", "callback", "grace", "rate", "per-network", "concurrency", "timeout",
	"mmdb", "asn", "rdns", "out", "fail-on",
}

// fixedFlags are those that make a run what it is; another value is another run.
var fixedFlags = []string{"targets", "shard", "port", "udp", "udp-port", "vantage", "admin", "jobs", "all"}

// pathFlags name files and directories, which must be found from elsewhere.
var pathFlags = map[string]bool{"mmdb": true, "asn": true, "out": true}

// options writes the kept flags down, and the name of the scope.
func (f *scanFlags) options() map[string]string {
	o := map[string]string{"scope": f.scope}
	if f.verify {
		o["source"] = string(exposure.Verification)
	}
	for _, name := range keptFlags {
		value := f.flags.Lookup(name).Value
		if list, ok := value.(pflag.SliceValue); ok {
			if words := slices.Clone(list.GetSlice()); len(words) > 0 {
				for i := range words {
					words[i] = absolute(name, words[i])
				}
				text, _ := json.Marshal(words) // strings marshal
				o[name] = string(text)
			}
			continue
		}
		if text := value.String(); text != "" && text != "false" {
			o[name] = absolute(name, text)
		}
	}
	return o
}

func absolute(flag, value string) string {
	if pathFlags[flag] {
		if path, err := filepath.Abs(value); err == nil {
			return path
		}
	}
	return value
}

// restore gives the flags that the user has not set the values they had.
func (f *scanFlags) restore(options map[string]string) error {
	for _, name := range keptFlags {
		text, had := options[name]
		if f.flags.Changed(name) {
			continue
		}
		value := f.flags.Lookup(name).Value
		if !had && value.Type() == "bool" {
			// What the run did not ask, a configuration of today does not add.
			text, had = "false", true
		}
		if !had {
			continue
		}
		var err error
		if list, ok := value.(pflag.SliceValue); ok {
			var words []string
			if err = json.Unmarshal([]byte(text), &words); err == nil {
				err = list.Replace(words)
			}
		} else {
			err = value.Set(text)
		}
		if err != nil {
			return fmt.Errorf("option %s of the run, %q: %w", name, text, err)
		}
	}
	return nil
}

// runSource is what a run's observations are: to find, or to verify.
func runSource(r exposure.Run) exposure.Source {
	return cmp.Or(exposure.Source(r.Options["source"]), exposure.Scan)
}

// lifeSign is how old the last word of a run may be for it to be alive: running
// scans write one a second.
const lifeSign = 5 * time.Second

// lastWord is when a run last said how far it is, or when it began.
func (h *house) lastWord(ctx context.Context, r exposure.Run) (time.Time, error) {
	var last time.Time
	for _, leg := range runLegs(r) {
		tick, _, err := h.store.LastTick(ctx, exposure.Leg{Run: r.ID, Probe: leg.probe})
		if err != nil {
			return time.Time{}, err
		}
		if tick.At.After(last) {
			last = tick.At
		}
	}
	if last.IsZero() {
		last = r.Started
	}
	return last, nil
}

// alive reports whether a process works on a run that said its last word then.
func (s *street) alive(r exposure.Run, said time.Time) bool {
	return r.State == exposure.Running && s.now().Sub(said).Abs() < lifeSign
}

var errAlive = errors.New("is running")

// resumed is a stopped run, with the options it had.
func (s *street) resumed(ctx context.Context, h *house, f *scanFlags) (exposure.Run, error) {
	run, err := h.store.Run(ctx, s.view(), f.resume)
	if err != nil {
		return exposure.Run{}, hint(err, "%s lists the runs", s.again("runs"))
	}
	if run.State == exposure.Done {
		return exposure.Run{}, hint(fmt.Errorf("run %s is done: nothing is left to ask", run.ID), "%s", s.again("report --type all --date %s --out reports", run.Started.UTC().Format(time.DateOnly)))
	}
	said, err := h.lastWord(ctx, run)
	if err != nil {
		return exposure.Run{}, err
	}
	if s.alive(run, said) {
		return exposure.Run{}, hint(fmt.Errorf("run %s %w: its last word came %s ago", run.ID, errAlive, s.now().Sub(said).Round(time.Second)),
			"if it was killed just now, try again in %s", lifeSign)
	}
	if err := f.restore(run.Options); err != nil {
		return exposure.Run{}, err
	}
	f.udp, f.udpPort, f.verify = run.UDP, run.UDPPort, runSource(run) == exposure.Verification
	return run, nil
}

// completeRun offers the runs that can be resumed.
func (s *street) completeRun(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	ctx := cmd.Context()
	_ = s.read(ctx, func(h *house) error { // a shell that completes shows no errors
		runs, err := h.store.Runs(ctx, s.view(), 50)
		for _, r := range runs {
			if r.State != exposure.Done {
				ids = append(ids, fmt.Sprintf("%s\t%s, began %s UTC", r.ID, r.State, screen.Stamp(r.Started)))
			}
		}
		return err
	})
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// doubtClock warns when the last scan lies in the future: either the clock was
// wrong then or it is wrong now, and authorisations end by it.
func (s *street) doubtClock(ctx context.Context, h *house) error {
	runs, err := h.store.Runs(ctx, s.view(), 1)
	if err != nil {
		return err
	}
	if len(runs) > 0 && runs[0].Started.After(s.now().Add(time.Minute)) {
		s.Note("warning: the last scan began at %s UTC, and now it is %s: is the clock right?", screen.Stamp(runs[0].Started), screen.Stamp(s.now()))
	}
	return nil
}
