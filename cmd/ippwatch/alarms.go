package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"ippwatch/alarm"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
)

// alarms are what a daemon looks at every minute. Each names what to do next.
func (s *street) alarms(h *house) []alarm.Check {
	look := func(f func(context.Context, *house) ([]exposure.Alert, error)) func(context.Context, time.Time) ([]exposure.Alert, error) {
		return func(ctx context.Context, _ time.Time) ([]exposure.Alert, error) { return f(ctx, h) }
	}
	return []alarm.Check{
		{Name: "job-failed", Look: look(s.failedJobs)},
		{Name: "job-stuck", Look: look(s.stuckJobs)},
		{Name: "feed-missing", Look: look(s.missingFeeds)},
		{Name: "disk-full", Look: look(s.fullDisk)},
		{Name: "scope-expires", Look: look(s.expiringScope)},
		{Name: "outbox-stuck", Look: look(s.stuckOutbox)},
		{Name: "surge", Look: look(s.surges)},
	}
}

// alerters are the ways to tell that the configuration names. A nil log is for a
// check of the configuration alone.
func (s *street) alerters(c *config.Config, log *slog.Logger) ([]alarm.Alerter, error) {
	all := []alarm.Alerter{alarm.Log{Logger: log}}
	w := c.Alerts.Webhook
	if w.On() {
		secret, err := config.Secret(w.SecretFile, w.SecretEnv)
		if err != nil {
			return nil, fmt.Errorf("alerts.webhook: %w", err)
		}
		url := w.URL
		if w.URLFile != "" {
			text, err := config.Secret(w.URLFile, "")
			if err != nil {
				return nil, fmt.Errorf("alerts.webhook.url_file: %w", err)
			}
			url = string(text)
		}
		all = append(all, &alarm.Webhook{URL: url, Secret: secret, Host: hostname()})
	}
	if c.Alerts.Mail != "" {
		w, m, err := c.Letters().Open(os.Getenv)
		if err != nil {
			return nil, hint(fmt.Errorf("alerts.mail: mail: %w", err), "the section mail says how mail leaves")
		}
		all = append(all, &mailAlerter{writer: w, mailer: m, to: c.Alerts.Mail, now: s.now})
	}
	return all, nil
}

func (s *street) failedJobs(ctx context.Context, h *house) ([]exposure.Alert, error) {
	jobs, err := h.store.Jobs(ctx, s.view())
	var found []exposure.Alert
	for _, j := range jobs {
		if j.State == exposure.JobFailed && s.plans(j.Kind) {
			found = append(found, exposure.Alert{
				Name: "job-failed " + j.Kind, Detail: fmt.Sprintf("%s, at %s UTC", firstLine(j.Note), screen.Stamp(j.Ended)),
				Step: "ippwatch doctor looks for what is broken; the log of that time tells the rest; the job runs again at its next time",
			})
		}
	}
	return found, err
}

// plans reports whether the configuration has times for a kind.
func (s *street) plans(kind string) bool {
	for _, n := range s.config.Schedule.Jobs.Kinds() {
		if n.Kind == kind {
			return n.Times.Cron != ""
		}
	}
	return false
}

// slack is how much longer than its time limit a job may take to stop.
const slack = 10 * time.Minute

func (s *street) stuckJobs(ctx context.Context, h *house) ([]exposure.Alert, error) {
	jobs, err := h.store.Jobs(ctx, s.view())
	var found []exposure.Alert
	for _, j := range jobs {
		for _, n := range s.config.Schedule.Jobs.Kinds() {
			t := n.Times
			if n.Kind != j.Kind || j.State != exposure.Running || t.Limit == 0 || s.now().Sub(j.Started) < t.Limit+slack {
				continue
			}
			found = append(found, exposure.Alert{
				Name: "job-stuck " + j.Kind, Detail: fmt.Sprintf("it runs since %s UTC, and its limit is %s", screen.Stamp(j.Started), t.Limit),
				Step: "ippwatch doctor tells who runs it; end that process, and ippwatch serve goes on with it",
			})
		}
	}
	return found, err
}

// feedEnds are the ends of the newest days of which each feed that reports every
// day has told, of whatever type.
func (s *street) feedEnds(ctx context.Context, h *house) (map[string]time.Time, error) {
	ages, err := h.store.FeedAges(ctx, s.view())
	ends := make(map[string]time.Time)
	for _, a := range ages {
		if end := a.Day.AddDate(0, 0, 1); a.Source == exposure.Shadowserver && end.After(ends[string(a.Source)]) {
			ends[string(a.Source)] = end
		}
	}
	return ends, err
}

// missingFeeds looks at feeds that have reported before: of one that never has,
// nothing is expected.
func (s *street) missingFeeds(ctx context.Context, h *house) ([]exposure.Alert, error) {
	most := s.config.Alerts.FeedMaxAge
	ends, err := s.feedEnds(ctx, h)
	var found []exposure.Alert
	for feed, end := range ends {
		if age := s.now().Sub(end); most > 0 && age > most {
			found = append(found, exposure.Alert{
				Name: "feed-missing " + feed, Detail: fmt.Sprintf("its newest day ended %s ago, at %s UTC", age.Round(time.Hour), screen.Stamp(end)),
				Step: "look whether the report was sent and whether the job ingest takes it in; nothing is closed by a feed that stops",
			})
		}
	}
	return found, err
}

// stuckOutbox looks for mail that waits too long: for a server, or for a person.
func (s *street) stuckOutbox(ctx context.Context, h *house) ([]exposure.Alert, error) {
	most := s.config.Alerts.OutboxMaxAge
	counts, err := h.store.OutboxCounts(ctx, s.view())
	var found []exposure.Alert
	for _, c := range counts {
		step := ""
		switch c.State {
		case store.MessagePlanned, store.MessageApproved, store.MessageDeferred:
			step = "ippwatch notify outbox --state " + string(c.State) + " tells why; does the mail server answer, and does the job notify run?"
		case store.MessageHeld:
			step = "ippwatch notify outbox --state held shows them, and ippwatch notify approve lets them go"
		case store.MessageUncertain:
			step = "ippwatch notify outbox --state uncertain shows them: ask the receiver, then ippwatch notify retry or cancel"
		}
		if age := s.now().Sub(c.Oldest); step != "" && most > 0 && age > most {
			found = append(found, exposure.Alert{
				Name: "outbox-stuck " + string(c.State), Detail: fmt.Sprintf("%s %s, the oldest for %s", screen.Count(c.N, "message is", "messages are"), c.State, age.Round(time.Minute)),
				Step: step,
			})
		}
	}
	return found, err
}

// outbox is how much waits, for the metrics.
func (s *street) outbox(ctx context.Context, h *house) (map[string]int, error) {
	counts, err := h.store.OutboxCounts(ctx, s.view())
	all := make(map[string]int)
	for _, c := range counts {
		all[string(c.State)] = c.N
	}
	return all, err
}

// A mailAlerter writes to the operator.
type mailAlerter struct {
	writer *notify.Writer
	mailer *notify.Mailer
	to     string
	now    func() time.Time
}

// Name is remembered with what it told.
func (m *mailAlerter) Name() string { return "mail " + m.to }

// Alert sends one mail, at the beginning and at the end of what is wrong.
func (m *mailAlerter) Alert(ctx context.Context, a exposure.Alert) error {
	word, at := "begins", a.Began
	switch {
	case !a.Ended.IsZero():
		word, at = "is over", a.Ended
	case a.Again:
		word, at = fmt.Sprintf("gets worse (%d)", a.Level), m.now()
	}
	text := fmt.Sprintf("%s %s on %s at %s UTC.\n\n%s\n\nNext: %s\n", a.Name, word, hostname(), screen.Stamp(at), screen.Printable(a.Detail), screen.Printable(a.Step))
	mail, err := m.writer.Seal(notify.Message{
		Key: fmt.Sprintf("alert %s %s %d", a.Name, word, at.UnixNano()), To: m.to,
		Subject: screen.Printable(fmt.Sprintf("[ippwatch] %s %s", a.Name, word)), Text: text, Date: m.now(),
	})
	if err != nil {
		return err
	}
	for o := range m.mailer.Send(ctx, slices.Values([]notify.Mail{mail})) {
		if o.Result != notify.Accepted && o.Result != notify.Unsure {
			return fmt.Errorf("mail to %s: %s", m.to, o.Said)
		}
	}
	return nil
}

func (s *street) fullDisk(context.Context, *house) ([]exposure.Alert, error) {
	free, known := freeDisk(s.data)
	if least := uint64(s.config.Alerts.DiskFreeMB) << 20; !known || free >= least {
		return nil, nil
	}
	return []exposure.Alert{{
		Name: "disk-full", Detail: fmt.Sprintf("%d MB are free at %s", free>>20, s.data),
		Step: "free some space, or shorten retention and run ippwatch prune; old copies named *-schema*.db and backups may lie there",
	}}, nil
}

// soon is how long before its end a scope is somebody's business.
const soon = 7 * 24 * time.Hour

func (s *street) expiringScope(context.Context, *house) ([]exposure.Alert, error) {
	if s.config.Scope == "" || s.config.Schedule.Jobs.Scan.Cron == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.config.Scope)
	if err != nil {
		return nil, err
	}
	scope, err := space.ParseScope(s.config.Scope, text)
	if err != nil || scope.Expires.Sub(s.now()) > soon {
		return nil, err
	}
	return []exposure.Alert{{
		Name: "scope-expires", Detail: fmt.Sprintf("%s holds until %s UTC", s.config.Scope, screen.Stamp(scope.Expires)),
		Step: fmt.Sprintf("ask %s to authorise the scans anew and write the new date there", scope.AuthorisedBy),
	}}, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// vitals counts what the metrics tell of the store.
func (s *street) vitals(h *house) func(context.Context) (store.Vitals, error) {
	return func(ctx context.Context) (store.Vitals, error) { return h.store.Vitals(ctx, s.view()) }
}
