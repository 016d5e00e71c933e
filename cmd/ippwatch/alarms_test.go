package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"ippwatch/alarm"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/pulse"
	"ippwatch/screen"
)

// aDaemon is one that has no jobs, with a clock that the test sets.
func aDaemon(t *testing.T, now *time.Time) *daemonry {
	t.Helper()
	s := &street{
		data: filepath.Join(t.TempDir(), "data"), config: config.Default(), now: func() time.Time { return *now },
		Screen: screen.Screen{Out: os.Stdout, Err: os.Stderr, Quiet: true},
	}
	s.config.Schedule.Jobs.Scan.Cron = "@daily"
	h, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &daemonry{street: s, h: h, log: slog.New(slog.DiscardHandler), metrics: pulse.New(s.metricSources(h))}
	d.board = &alarm.Board{Store: h.store, Checks: s.alarms(h), Now: s.now, Log: d.log}
	return d
}

// open are the names of the alerts that last.
func (d *daemonry) openAlerts(t *testing.T) string {
	t.Helper()
	all, err := d.h.store.Alerts(t.Context(), d.view(), d.now())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range all {
		if a.Ended.IsZero() {
			if a.Detail == "" || a.Step == "" {
				t.Errorf("%+v says too little", a)
			}
			names = append(names, a.Name)
		}
	}
	return strings.Join(names, "; ")
}

func TestWhatIsAlertedOf(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	d := aDaemon(t, &now)
	want := func(names string) {
		t.Helper()
		d.board.Round(t.Context())
		if got := d.openAlerts(t); got != names {
			t.Errorf("alerts are %q, want %q", got, names)
		}
		now = now.Add(time.Minute)
	}
	// A job as the scheduler ends it.
	end := func(state exposure.RunState, err error) {
		t.Helper()
		was, _, failed := d.h.store.Job(t.Context(), "scan")
		if failed != nil {
			t.Fatal(failed)
		}
		got, failed := d.h.store.Claim(t.Context(), exposure.Claim{Kind: "scan", Holder: "a", Was: was.Due, Due: now, At: now})
		if failed != nil || !got {
			t.Fatal(got, failed)
		}
		if state == exposure.Running {
			return
		}
		j := exposure.Job{Kind: "scan", Due: now, Started: now, Ended: now, State: state, Note: fmt.Sprint(err)}
		if failed := d.h.store.Finish(t.Context(), "a", j); failed != nil {
			t.Fatal(failed)
		}
		d.ended(j, err)
	}
	want("")
	end(exposure.JobFailed, errors.New("no route to host"))
	want("job-failed scan")
	end(exposure.Done, nil)
	want("")
	// A positive control that failed is told as such, until it comes out right.
	end(exposure.JobFailed, fmt.Errorf("run 1: %w", controlError{errors.New("what answers there is not this server")}))
	want("positive-control call-back, job scan; job-failed scan")
	end(exposure.JobFailed, errors.New("no route to host"))
	want("positive-control call-back, job scan; job-failed scan")
	end(exposure.Done, nil)
	want("")

	// A feed that has reported, and stops.
	report := func() {
		t.Helper()
		in := exposure.Intake{Source: exposure.Shadowserver, Type: "scan_ipp", File: "f", Begun: now, Ended: now, Outcome: exposure.Taken, Rows: 1, New: 1, Day: now.Truncate(24 * time.Hour)}
		if err := d.h.store.PutIntake(t.Context(), in, nil); err != nil {
			t.Fatal(err)
		}
	}
	report()
	want("")
	now = now.Add(55 * time.Hour)
	want("feed-missing shadowserver")
	report()
	want("")

	// A job that does not stop at its limit.
	end(exposure.Running, nil)
	now = now.Add(d.config.Schedule.Jobs.Scan.Limit + 11*time.Minute)
	want("job-stuck scan")
	if got := d.problems(t.Context()); len(got) != 1 || !strings.HasPrefix(got[0], "job-stuck scan: it runs since ") {
		t.Errorf("the daemon is not ready for %q", got)
	}
	d.config.Alerts.DiskFreeMB = 1 << 40 >> 20 * 1000
	want("job-stuck scan; disk-full")
}

// TestLogsShowNoStrangersBytes logs what a host may have said.
func TestLogsShowNoStrangersBytes(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var b strings.Builder
		s := &street{Screen: screen.Screen{Err: &b}, config: config.Default()}
		s.config.Log.Format = format
		s.logger().Info("failed", "err", errors.New("host says \x1b[2J\u202egnp\xff"), "note", "a\x00b")
		if text := b.String(); !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\u202e\x00") || !strings.Contains(text, `\\u202egnp`) {
			t.Errorf("%s: %q", format, text)
		}
	}
}

// TestAnEmptyConfigurationChangesNoFlag holds the defaults of the file and those
// of the flags together.
func TestAnEmptyConfigurationChangesNoFlag(t *testing.T) {
	s := &street{config: config.Default(), now: time.Now}
	for _, cmd := range s.root().Commands() {
		was := make(map[string]string)
		cmd.Flags().VisitAll(func(f *pflag.Flag) { was[f.Name] = f.Value.String() })
		if err := s.setDefaults(cmd.Name(), cmd.Flags()); err != nil {
			t.Fatal(err)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.String() != was[f.Name] {
				t.Errorf("%s --%s is %s by the flags and %s by the configuration", cmd.Name(), f.Name, was[f.Name], f.Value)
			}
			if f.Changed {
				t.Errorf("%s --%s counts as given by the user", cmd.Name(), f.Name)
			}
		})
	}
	for _, name := range []string{"scan", "verify", "report"} {
		cmd, _, err := s.root().Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range settings(&s.config, name) {
			if f := cmd.Flags().Lookup(set.flag); f == nil && name != "verify" && set.flag != "data" {
				t.Errorf("%s has no --%s", name, set.flag)
			}
		}
	}
}
