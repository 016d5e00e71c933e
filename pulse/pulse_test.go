package pulse

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ippwatch/exposure"
	"ippwatch/store"
)

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func sources() Sources {
	return Sources{
		Version: "v1", Now: func() time.Time { return now },
		Jobs: func(context.Context) ([]exposure.Job, error) {
			return []exposure.Job{
				{Kind: "scan", State: exposure.Running, Started: now.Add(-time.Minute), Succeeded: now.AddDate(0, 0, -1)},
				{Kind: "prune", State: exposure.JobFailed, Started: now.Add(-time.Hour), Ended: now.Add(-time.Hour + time.Second)},
			}, nil
		},
		Vitals: func(context.Context) (store.Vitals, error) {
			return store.Vitals{
				Exposures: []store.ExposureCount{{Condition: exposure.Confirmed, Severity: exposure.High, N: 7}},
				Runs:      map[exposure.RunState]int64{exposure.Done: 3},
				Calls:     map[store.CallKind]int64{store.Forged: 2},
			}, nil
		},
		Alerts: func(context.Context) ([]exposure.Alert, error) {
			return []exposure.Alert{{Name: "job-failed prune", Began: now}, {Name: "disk", Began: now, Ended: now}}, nil
		},
		Feeds: func(context.Context) (map[string]time.Time, error) {
			return map[string]time.Time{"shadowserver": now.Add(-time.Hour)}, nil
		},
		Outbox: func(context.Context) (map[string]int, error) { return map[string]int{"mail": 4}, nil },
	}
}

func TestMetrics(t *testing.T) {
	m := New(sources())
	m.Ended(exposure.Job{Kind: "prune", State: exposure.JobFailed})
	want := `
# HELP ippwatch_alert_began_timestamp_seconds Begin of an alert that lasts.
# TYPE ippwatch_alert_began_timestamp_seconds gauge
ippwatch_alert_began_timestamp_seconds{alert="job-failed prune"} 1.7794257e+09
# HELP ippwatch_callbacks_not_believed_total Call-backs that were counted and not believed.
# TYPE ippwatch_callbacks_not_believed_total counter
ippwatch_callbacks_not_believed_total{kind="forged"} 2
# HELP ippwatch_exposures Cases by condition and severity, at most a minute old.
# TYPE ippwatch_exposures gauge
ippwatch_exposures{condition="confirmed",severity="high"} 7
# HELP ippwatch_feed_age_seconds Age of the newest data of a feed.
# TYPE ippwatch_feed_age_seconds gauge
ippwatch_feed_age_seconds{feed="shadowserver"} 3600
# HELP ippwatch_job_last_duration_seconds How long the last run of a job took that has ended.
# TYPE ippwatch_job_last_duration_seconds gauge
ippwatch_job_last_duration_seconds{job="prune"} 1
# HELP ippwatch_job_runs_total Runs of scheduled jobs since the daemon began, by how they ended.
# TYPE ippwatch_job_runs_total counter
ippwatch_job_runs_total{job="prune",outcome="failed"} 1
# HELP ippwatch_outbox_messages Messages that wait to be sent.
# TYPE ippwatch_outbox_messages gauge
ippwatch_outbox_messages{kind="mail"} 4
# HELP ippwatch_scans Scans by state.
# TYPE ippwatch_scans gauge
ippwatch_scans{state="done"} 3
`
	want = strings.ReplaceAll(want, "1.7794257e+09", "1.7954262e+09")
	err := testutil.GatherAndCompare(m.registry, strings.NewReader(want),
		"ippwatch_alert_began_timestamp_seconds", "ippwatch_callbacks_not_believed_total", "ippwatch_exposures", "ippwatch_feed_age_seconds",
		"ippwatch_job_last_duration_seconds", "ippwatch_job_runs_total", "ippwatch_outbox_messages", "ippwatch_scans")
	if err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("the names: %v, %v", problems, err)
	}
}

func TestCountsAreTakenOnceAMinute(t *testing.T) {
	src := sources()
	asked, at := 0, now
	src.Now = func() time.Time { return at }
	src.Vitals = func(context.Context) (store.Vitals, error) { asked++; return store.Vitals{}, nil }
	m := New(src)
	for _, step := range []time.Duration{0, 10 * time.Second, 40 * time.Second, 20 * time.Second} {
		at = at.Add(step)
		if _, err := m.registry.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 {
		t.Errorf("the cases were counted %d times", asked)
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestServer(t *testing.T) {
	var problems []string
	src := sources()
	src.Jobs = func(context.Context) ([]exposure.Job, error) { return nil, errors.New("the disk is full") }
	s := &Server{Metrics: New(src), Log: slog.New(slog.DiscardHandler), Ready: func(context.Context) []string { return problems }}
	h := s.Handler()
	if code, body := get(t, h, "/healthz"); code != 200 || body != "alive\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get(t, h, "/readyz"); code != 200 || body != `{"ready":true,"problems":[]}`+"\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	problems = []string{"job scan is stuck"}
	if code, body := get(t, h, "/readyz"); code != 503 || body != `{"ready":false,"problems":["job scan is stuck"]}`+"\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	code, body := get(t, h, "/metrics")
	for _, want := range []string{`ippwatch_scrape_failed{source="jobs"} 1`, `ippwatch_scrape_failed{source="vitals"} 0`, `ippwatch_build_info{go=`, "go_goroutines"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics: %d, without %q", code, want)
		}
	}
	if code, _ := get(t, h, "/debug/pprof/"); code != 404 {
		t.Errorf("/debug/pprof/: %d", code)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Metrics: New(sources()), Log: slog.New(slog.DiscardHandler), Ready: func(context.Context) []string { return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx, l); err != nil {
			t.Error(err)
		}
	})
	res, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "alive\n" {
		t.Errorf("%q, %v", text, err)
	}
	_ = res.Body.Close()
	cancel()
	running.Wait()
}
