package pulse

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ippwatch/exposure"
	"ippwatch/store"
)

// Sources are where the numbers come from; those that are nil are left out.
type Sources struct {
	Version string
	Now     func() time.Time
	Jobs    func(ctx context.Context) ([]exposure.Job, error)
	Vitals  func(ctx context.Context) (store.Vitals, error)
	Alerts  func(ctx context.Context) ([]exposure.Alert, error)
	// Feeds are the ends of the newest data, by feed.
	Feeds func(ctx context.Context) (map[string]time.Time, error)
	// Outbox is how much waits, by kind: mail, webhook ...
	Outbox func(ctx context.Context) (map[string]int, error)
	// DiskFree is of the data directory, in bytes.
	DiskFree func() (uint64, bool)
}

// cacheFor is how long a count is good: counting reads every case.
const cacheFor = time.Minute

// Metrics are all that is told to Prometheus, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry
	src      Sources
	runs     *prometheus.CounterVec

	// Gauges by their description; the rest of each comes from the sources.
	build, success, duration, outcome, running *prometheus.Desc
	exposures, scans, calls                    *prometheus.Desc
	alerts, feeds, outbox, disk, failed        *prometheus.Desc

	mu     sync.Mutex // guards vitals and taken
	vitals store.Vitals
	taken  time.Time
}

// New returns the metrics of one daemon.
func New(src Sources) *Metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ippwatch_"+name, help, labels, nil)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(), src: src,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ippwatch_job_runs_total", Help: "Runs of scheduled jobs since the daemon began, by how they ended.",
		}, []string{"job", "outcome"}),
		build:     desc("build_info", "Always 1.", "version", "go"),
		success:   desc("job_last_success_timestamp_seconds", "End of the last run of a job that was done.", "job"),
		duration:  desc("job_last_duration_seconds", "How long the last run of a job took that has ended.", "job"),
		outcome:   desc("job_last_outcome", "1 for how the last run of a job went.", "job", "outcome"),
		running:   desc("job_running_since_timestamp_seconds", "Begin of the run of a job that is running.", "job"),
		exposures: desc("exposures", "Cases by condition and severity, at most a minute old.", "condition", "severity"),
		scans:     desc("scans", "Scans by state.", "state"),
		calls:     desc("callbacks_not_believed_total", "Call-backs that were counted and not believed.", "kind"),
		alerts:    desc("alert_began_timestamp_seconds", "Begin of an alert that lasts.", "alert"),
		feeds:     desc("feed_age_seconds", "Age of the newest data of a feed.", "feed"),
		outbox:    desc("outbox_messages", "Messages that wait to be sent.", "kind"),
		disk:      desc("disk_free_bytes", "Free space of the data directory."),
		failed:    desc("scrape_failed", "1 when the source could not be read.", "source"),
	}

	m.registry.MustRegister(m.runs, m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Ended counts a run of a job.
func (m *Metrics) Ended(j exposure.Job) { m.runs.WithLabelValues(j.Kind, string(j.State)).Inc() }

// Describe lets the registry find out by collecting: which there are depends on
// the sources.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect asks every source.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	set(m.build, 1, m.src.Version, runtime.Version())
	for _, s := range []struct {
		name    string
		collect func(context.Context, func(*prometheus.Desc, float64, ...string)) error
	}{
		{"jobs", m.jobs}, {"vitals", m.counts}, {"alerts", m.open}, {"feeds", m.ages}, {"outbox", m.waiting},
	} {
		failed := 0.0
		if err := s.collect(ctx, set); err != nil {
			failed = 1
		}
		set(m.failed, failed, s.name)
	}
	if m.src.DiskFree != nil {
		if free, known := m.src.DiskFree(); known {
			set(m.disk, float64(free))
		}
	}
	if m.src.Vitals != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for kind, n := range m.vitals.Calls {
			to <- prometheus.MustNewConstMetric(m.calls, prometheus.CounterValue, float64(n), string(kind))
		}
	}
}

type setter = func(*prometheus.Desc, float64, ...string)

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func (m *Metrics) jobs(ctx context.Context, set setter) error {
	if m.src.Jobs == nil {
		return nil
	}
	all, err := m.src.Jobs(ctx)
	for _, j := range all {
		if !j.Succeeded.IsZero() {
			set(m.success, seconds(j.Succeeded), j.Kind)
		}
		switch {
		case j.State == exposure.Running:
			set(m.running, seconds(j.Started), j.Kind)
		case !j.Ended.IsZero():
			set(m.duration, j.Ended.Sub(j.Started).Seconds(), j.Kind)
		}
		for _, s := range []exposure.RunState{exposure.Running, exposure.Done, exposure.JobFailed, exposure.Stopped} {
			is := 0.0
			if j.State == s {
				is = 1
			}
			set(m.outcome, is, j.Kind, string(s))
		}
	}
	return err
}

func (m *Metrics) counts(ctx context.Context, set setter) error {
	if m.src.Vitals == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if now := m.src.Now(); m.taken.IsZero() || now.Sub(m.taken).Abs() >= cacheFor {
		var v store.Vitals
		if v, err = m.src.Vitals(ctx); err == nil {
			m.vitals, m.taken = v, now
		}
	}
	for _, e := range m.vitals.Exposures {
		set(m.exposures, float64(e.N), string(e.Condition), string(e.Severity))
	}
	for state, n := range m.vitals.Runs {
		set(m.scans, float64(n), string(state))
	}
	return err
}

func (m *Metrics) open(ctx context.Context, set setter) error {
	if m.src.Alerts == nil {
		return nil
	}
	all, err := m.src.Alerts(ctx)
	for _, a := range all {
		if a.Ended.IsZero() {
			set(m.alerts, seconds(a.Began), a.Name)
		}
	}
	return err
}

func (m *Metrics) ages(ctx context.Context, set setter) error {
	if m.src.Feeds == nil {
		return nil
	}
	all, err := m.src.Feeds(ctx)
	for feed, end := range all {
		set(m.feeds, m.src.Now().Sub(end).Seconds(), feed)
	}
	return err
}

func (m *Metrics) waiting(ctx context.Context, set setter) error {
	if m.src.Outbox == nil {
		return nil
	}
	all, err := m.src.Outbox(ctx)
	for kind, n := range all {
		set(m.outbox, float64(n), kind)
	}
	return err
}
