package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"ippwatch/alarm"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/pulse"
	"ippwatch/schedule"
	"ippwatch/screen"
)

func (s *street) serveCommand() *cobra.Command {
	var now []string
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Work unattended: run the jobs of the configuration at their times",
		Long: `Serve runs scans, ingest, verification, outreach, reports, backups and prunes at the
times that the configuration names, one at a time of a kind, also beside another
ippwatch serve on the same data directory. It logs JSON to stderr, answers /metrics, /healthz and /readyz on
127.0.0.1:9631 unless the configuration says otherwise, and alerts once when
something needs a person.

With web.listen in the configuration, or --listen, it also serves the pages and the
API to those who have an account: ippwatch accounts add makes one.

SIGTERM and Ctrl-C stop it cleanly: a running scan keeps what it has, and goes on
at the next start. A second one ends it at once; then, as after a crash, the scan
goes on when its lease has run out.`,
		Example: `  ippwatch config init > ippwatch.yaml
  ippwatch config check ippwatch.yaml
  ippwatch serve --config ippwatch.yaml
  ippwatch serve --listen 127.0.0.1:8080 --data DIR`,
		Args: wants(),
	}
	cmd.RunE = do(func(ctx context.Context, _ []string) error {
		if cmd.Flags().Changed("listen") {
			s.config.Web.Listen = listen
		}
		return s.serve(ctx, now)
	})
	cmd.Flags().StringVar(&listen, "listen", "", "address and port of the pages and the API; goes before web.listen")
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	cmd.Flags().StringSliceVar(&now, "now", nil, "run this job at once, beside its times; repeats")
	_ = cmd.RegisterFlagCompletionFunc("now", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// A daemonry is what serve keeps running.
type daemonry struct {
	*street
	h         *house
	log       *slog.Logger
	scheduler *schedule.Scheduler
	board     *alarm.Board
	metrics   *pulse.Metrics
	gate      *gate.Gate // nil: no pages are served
}

func (s *street) serve(ctx context.Context, now []string) error {
	if err := s.checkWeb(); err != nil {
		return err
	}
	if s.configFile == "" && s.config.Web.Listen == "" {
		return hint(usage("serve needs a configuration"), "ippwatch config init > ippwatch.yaml writes one; then ippwatch serve --config ippwatch.yaml")
	}
	if err := s.usable(&s.config); err != nil {
		return err
	}
	for _, name := range now {
		if !s.plans(name) {
			return hint(usage("--now %s: the configuration plans no such job", name), "ippwatch config check lists those that it plans")
		}
	}
	return s.with(ctx, func(h *house) error {
		d, err := s.newDaemon(h, now)
		if err != nil {
			return err
		}
		return d.run(ctx)
	})
}

// logger writes as the configuration says. What hosts said may be in an error:
// it is made printable in every format.
func (s *street) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: s.config.Log.Level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case string:
			a.Value = slog.StringValue(screen.Printable(v))
		case error:
			a.Value = slog.StringValue(screen.Printable(v.Error()))
		case time.Time:
			a.Value = slog.TimeValue(v.UTC())
		}
		return a
	}}
	if s.config.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(s.Err, o))
	}
	return slog.New(slog.NewJSONHandler(s.Err, o))
}

func (s *street) newDaemon(h *house, now []string) (*daemonry, error) {
	d := &daemonry{street: s, h: h, log: s.logger()}
	via, err := s.alerters(&s.config, d.log)
	if err != nil {
		return nil, err
	}
	d.board = &alarm.Board{Store: h.store, Alerters: via, Checks: s.alarms(h), Now: s.now, Log: d.log}
	d.metrics = pulse.New(s.metricSources(h))
	d.scheduler = &schedule.Scheduler{
		Store: h.store, Holder: s.holder(), Now: s.now, Log: d.log, Lease: s.config.Schedule.Lease, Ended: d.ended,
	}
	for _, n := range s.config.Schedule.Jobs.Kinds() {
		if n.Times.Cron == "" && !s.orderable(n.Kind) {
			continue
		}
		k, known := s.kind(n.Kind)
		if !known {
			return nil, fmt.Errorf("schedule.jobs.%s: %w", n.Kind, schedule.ErrNoKind)
		}
		var plan schedule.Plan
		if n.Times.Cron != "" {
			if plan, err = s.config.Schedule.Plan(n.Times); err != nil {
				return nil, err
			}
		}
		d.scheduler.Jobs = append(d.scheduler.Jobs, schedule.Job{
			Kind: n.Kind, Plan: plan, CatchUp: n.Times.CatchUp, Jitter: n.Times.Jitter, Limit: n.Times.Limit,
			Now: slices.Contains(now, n.Kind), Work: d.worker(k),
		})
	}
	s.foreman = d.scheduler
	if s.config.Web.Listen != "" {
		if d.gate, err = s.newSite(h, d.log); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// worker does the work of a kind on a street of its own, that writes into the
// log what a user would read.
func (d *daemonry) worker(k kind) func(context.Context, schedule.Turn) (string, error) {
	return func(ctx context.Context, t schedule.Turn) (string, error) {
		s := *d.street
		s.in, s.elsewhere, s.configured = strings.NewReader(""), true, false
		s.Screen = screen.Screen{Out: io.Discard, Format: "ndjson", Err: logLines{func(line string) { t.Log.Info(line) }}}
		return k.work(&s, ctx, d.h, t)
	}
}

// ended counts a run of a job and looks at once whether it must be told.
func (d *daemonry) ended(j exposure.Job, err error) {
	d.metrics.Ended(j)
	ctx := context.Background() // the daemon may be ending
	if failed := d.control(ctx, j, err); failed != nil {
		d.log.Error("cannot raise an alert", "err", failed.Error())
	}
	d.board.Round(ctx)
}

// control raises the alert that an error of a job has for itself, and ends it
// when the job is done.
func (d *daemonry) control(ctx context.Context, j exposure.Job, err error) error {
	if own, ok := errors.AsType[alarming](err); ok {
		name, step := own.Alarm()
		return d.h.store.Raise(ctx, exposure.Alert{Name: name + ", job " + j.Kind, Began: d.now(), Detail: own.Error(), Step: step})
	}
	if j.State != exposure.Done {
		return nil
	}
	open, err := d.h.store.Alerts(ctx, d.view(), d.now())
	for _, a := range open {
		if a.Ended.IsZero() && strings.HasSuffix(a.Name, ", job "+j.Kind) {
			err = errors.Join(err, d.h.store.Clear(ctx, a.Name, d.now()))
		}
	}
	return err
}

// run works until the context ends and everything has stopped.
func (d *daemonry) run(ctx context.Context) error {
	var listener net.Listener
	if at := d.config.Metrics.Listen; at != "" {
		var cfg net.ListenConfig
		var err error
		if listener, err = cfg.Listen(ctx, "tcp", at); err != nil {
			return hint(fmt.Errorf("serve metrics: %w", err), "is another ippwatch serve running? metrics.listen names another address, or none")
		}
		d.log.Info("listens", "metrics", listener.Addr().String())
	}
	pages, err := d.openWeb(ctx)
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	d.log.Info("begins", "version", version(), "data", d.data, "config", d.configFile, "jobs", len(d.scheduler.Jobs), "pid", os.Getpid())
	// Who asks whether we live is answered while we drain, too.
	aside, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var besides sync.WaitGroup
	if listener != nil {
		server := &pulse.Server{Metrics: d.metrics, Ready: d.problems, Log: d.log}
		besides.Go(func() {
			if err := server.Run(aside, listener); err != nil {
				d.log.Error("metrics", "err", err.Error())
			}
		})
	}
	if pages != nil {
		besides.Go(func() {
			if err := d.gate.Run(aside, pages); err != nil {
				d.log.Error("web", "err", err.Error())
			}
		})
	}
	besides.Go(func() { d.board.Run(aside) })
	besides.Go(func() { d.keepCounts(aside) })
	besides.Go(func() { d.watchdog(aside) })
	d.tellSystemd(daemon.SdNotifyReady)
	besides.Go(func() {
		<-ctx.Done()
		d.log.Info("stops: jobs are told to; a second signal ends at once")
		d.tellSystemd(daemon.SdNotifyStopping)
	})
	d.scheduler.Run(ctx)
	<-ctx.Done() // without jobs the scheduler ends at once
	end()
	besides.Wait()
	if d.plant != nil {
		d.plant.Close()
	}
	d.log.Info("ended")
	return nil
}

// tellSystemd tells the manager of the service how we are, if there is one.
func (d *daemonry) tellSystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		d.log.Warn("cannot tell systemd", "err", err.Error())
	}
}

// watchdog gives systemd the signs of life that the unit asks for.
func (d *daemonry) watchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	t := time.NewTicker(every / 3)
	defer t.Stop()
	for {
		d.tellSystemd(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// problems are what keeps the daemon from its work.
func (d *daemonry) problems(ctx context.Context) []string {
	var all []string
	if err := d.h.store.Touch(ctx, d.now()); err != nil {
		all = append(all, screen.Printable(err.Error()))
	}
	stuck, err := d.stuckJobs(ctx, d.h)
	if err != nil {
		return append(all, screen.Printable(err.Error()))
	}
	for _, a := range stuck {
		all = append(all, a.Name+": "+a.Detail)
	}
	return all
}

// metricSources are where the metrics come from.
func (s *street) metricSources(h *house) pulse.Sources {
	return pulse.Sources{
		Version: version(), Now: s.now,
		Jobs:     func(ctx context.Context) ([]exposure.Job, error) { return h.store.Jobs(ctx, s.view()) },
		Alerts:   func(ctx context.Context) ([]exposure.Alert, error) { return h.store.Alerts(ctx, s.view(), s.now()) },
		Feeds:    func(ctx context.Context) (map[string]time.Time, error) { return s.feedEnds(ctx, h) },
		Vitals:   s.vitals(h),
		Outbox:   func(ctx context.Context) (map[string]int, error) { return s.outbox(ctx, h) },
		DiskFree: func() (uint64, bool) { return freeDisk(s.data) },
	}
}
