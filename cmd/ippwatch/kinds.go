package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/retention"
	"ippwatch/schedule"
	"ippwatch/screen"
	"ippwatch/store"
)

// A kind is work that can be put on the schedule. It does what the command of
// its name does, with what the configuration says; its street writes into the
// log.
type kind struct {
	name string
	work func(*street, context.Context, *house, schedule.Turn) (note string, err error)
}

// kinds are all of them; the sections of the schedule have the same names.
func kinds() []kind {
	return []kind{
		{"scan", (*street).scanJob},
		{"ingest", (*street).ingestJob},
		{"verify", (*street).verifyJob},
		{"notify", (*street).notifyJob},
		{"report", (*street).reportJob},
		{"backup", (*street).backupJob},
		{"prune", (*street).pruneJob},
	}
}

func (s *street) kind(name string) (kind, bool) {
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return all[i], true
}

// staleRun is how old a scan may be that the schedule goes on with: what a host
// said a week ago is no part of today's picture.
const staleRun = 7 * 24 * time.Hour

// scanJob goes on with the scan that was interrupted, or begins a new one.
func (s *street) scanJob(ctx context.Context, h *house, t schedule.Turn) (string, error) {
	cmd, f := s.newScanCommand()
	if err := s.setDefaults("scan", cmd.Flags()); err != nil {
		return "", err
	}
	run, going, err := s.unfinished(ctx, h, f, t.Mark)
	if err != nil {
		return "", err
	}
	if !going {
		f.resume = ""
		var targets []string // of an order: they narrow the scope
		if t.Order != nil {
			targets = t.Order.What
		}
		if err := f.check(targets); err != nil {
			return "", err
		}
		if run, err = s.newRun(ctx, h, f, targets); err != nil {
			return "", err
		}
	}
	if err := t.Remember(ctx, run.ID); err != nil {
		return "", err
	}
	sum, err := s.perform(ctx, h, f, run)
	if err != nil && !errors.Is(err, errFound) {
		return "", fmt.Errorf("run %s: %w", run.ID, err)
	}
	return fmt.Sprintf("run %s: %s", run.ID, summary(sum)), nil
}

func summary(sum campaign.Summary) string {
	text := fmt.Sprintf("asked %d, answered %d, found %d", sum.Sent, sum.Answered, sum.Found)
	for _, sev := range exposure.Severities {
		if n := sum.Severity[sev]; n > 0 {
			text += fmt.Sprintf(", %s %d", sev, n)
		}
	}
	return text
}

// unfinished is the scan that the job left when it was interrupted, ready to go
// on, unless it is done, too old, or cannot go on.
func (s *street) unfinished(ctx context.Context, h *house, f *scanFlags, id string) (run exposure.Run, going bool, err error) {
	if id == "" {
		return run, false, nil
	}
	run, err = h.store.Run(ctx, s.view(), id)
	if errors.Is(err, store.ErrNoRun) {
		return run, false, nil // killed before it began
	}
	if err != nil || run.State == exposure.Done || s.now().Sub(run.Started) > staleRun {
		return run, false, err
	}
	f.resume = id
	for began := s.now(); ; {
		run, err = s.resumed(ctx, h, f)
		if !errors.Is(err, errAlive) || s.now().Sub(began).Abs() > 2*lifeSign {
			break
		}
		// It was killed a moment ago.
		select {
		case <-ctx.Done():
			return run, false, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	if err == nil {
		_, _, err = s.territory(ctx, h, run)
	}
	if err != nil && ctx.Err() == nil {
		s.Note("run %s does not go on: %v", id, err)
		return run, false, nil
	}
	return run, err == nil, err
}

// ingestJob takes in what Shadowserver reported, from wherever it is to be had.
// One place that fails does not keep the others from being looked at.
func (s *street) ingestJob(ctx context.Context, h *house, _ schedule.Turn) (string, error) {
	c := s.config.Feeds.Shadowserver
	f := &shadowserverFlags{
		credentials: cmp.Or(c.Credentials, defaultCredentials()), lists: c.Lists, types: c.Types, mail: c.Mail,
		where: whereFlags{mmdb: s.config.Scan.MMDB, asn: s.config.Scan.ASN},
	}
	began := s.now()
	var failed []error
	if c.API {
		f.api = true
		failed = append(failed, s.ingestReports(ctx, h, f, nil))
		f.api = false
	}
	if c.Mail != "" {
		failed = append(failed, s.ingestReports(ctx, h, f, nil))
	}
	if c.Dir != "" {
		failed = append(failed, s.ingestReports(ctx, h, f, []string{c.Dir}))
	}
	if _, err := s.tieDay(ctx, h, began); err != nil {
		failed = append(failed, err)
	}
	failed = append(failed, s.pass(ctx, h))              // also when the feed stopped
	intakes, err := h.store.Intakes(ctx, s.view(), 1000) // the newest first
	if err := errors.Join(append(failed, err)...); err != nil {
		for _, in := range intakes {
			if in.Outcome == exposure.Failed && !in.Begun.Before(began) {
				return "", fmt.Errorf("%s: %s; %w", screen.Printable(in.File), screen.Printable(in.Error), err)
			}
		}
		return "", err
	}
	var files, fresh, aside int
	for _, in := range intakes {
		if in.Begun.Before(began) {
			continue
		}
		files, fresh, aside = files+1, fresh+in.New, aside+in.Aside
	}
	if files == 0 {
		return "nothing new", nil
	}
	return fmt.Sprintf("%s, %d new rows, %d set aside", filesOf(files), fresh, aside), nil
}

// verifyJob looks again at the cases that are due, or that were ordered.
func (s *street) verifyJob(ctx context.Context, h *house, t schedule.Turn) (string, error) {
	cmd, f := s.newVerifyCommand()
	if err := s.setDefaults("verify", cmd.Flags()); err != nil {
		return "", err
	}
	var cases []string
	switch {
	case t.Order != nil:
		cases = t.Order.What
		if err := t.Remember(ctx, strings.Join(cases, " ")); err != nil {
			return "", err
		}
	case t.Resumed:
		cases = strings.Fields(t.Mark)
	}
	results, err := s.verify(ctx, h, f, cases)
	if err != nil {
		return "", err
	}
	count := make(map[string]int)
	controlled, needed := false, false
	for _, r := range results {
		count[r.State]++
		controlled = controlled || r.Control != ""
		needed = needed || r.Verdict != "" && r.Now.Condition != exposure.Confirmed
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	note := fmt.Sprintf("looked at %s: %s", screen.Count(len(results), "case", "cases"), cmp.Or(strings.Join(parts, ", "), "none is due"))
	if needed && !controlled {
		return "", uncontrolled{fmt.Errorf("%s, and no control answered: nothing can be closed", note)}
	}
	return note, nil
}

// notifyJob reads what came back and then tells who is to be told.
func (s *street) notifyJob(ctx context.Context, h *house, _ schedule.Turn) (string, error) {
	o, err := s.newOffice(ctx, h, &officeFlags{}, true)
	if err != nil {
		return "", err
	}
	if s.config.Replies != "" {
		if _, err := o.ReadReplies(ctx, s.config.Replies); err != nil {
			return "", err
		}
		// Whoever bounced or opted out a moment ago is not written to.
		if o, err = s.newOffice(ctx, h, &officeFlags{}, true); err != nil {
			return "", err
		}
	}
	sum, err := o.Send(ctx)
	if err != nil {
		return "", err
	}
	if s.config.Lines != "" {
		if _, err := o.Lines(ctx, s.config.Lines); err != nil {
			return "", err
		}
	}
	note := fmt.Sprintf("sent %d, deferred %d, failed %d, waiting for approval %d", sum.Sent, sum.Deferred, sum.Failed, sum.Held)
	if sum.Uncertain > 0 {
		note += fmt.Sprintf(", uncertain %d: ippwatch notify outbox --state uncertain", sum.Uncertain)
	}
	if why := cmp.Or(sum.Fault, sum.Stopped); why != "" {
		note += "; stopped: " + why
	}
	return note, nil
}

// reportJob writes the reports of the UTC day before the one that is due.
func (s *street) reportJob(ctx context.Context, h *house, t schedule.Turn) (string, error) {
	c := s.config.Report
	f := &reportFlags{
		kind: c.Type, formats: c.Formats, constituents: c.Constituents, out: c.Out,
		date: t.Due.UTC().AddDate(0, 0, -1).Format(time.DateOnly),
	}
	if err := s.report(ctx, h, f); err != nil {
		return "", err
	}
	return "reports of " + f.date + " are in " + c.Out, nil
}

const backupName = "ippwatch-20060102T150405Z.tar"

// backupJob writes a backup, and removes those beyond the newest once it is whole.
func (s *street) backupJob(ctx context.Context, h *house, _ schedule.Turn) (string, error) {
	c := s.config.Backup
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	name := filepath.Join(c.Dir, s.now().UTC().Format(backupName))
	if err := s.backup(ctx, h, name); err != nil {
		return "", err
	}
	var old []string
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if _, err := time.Parse(backupName, e.Name()); err == nil {
			old = append(old, filepath.Join(c.Dir, e.Name()))
		}
	}
	slices.Sort(old)
	for _, file := range old[:max(0, len(old)-c.Keep)] {
		if err := os.Remove(file); err != nil {
			return "", err
		}
	}
	return "wrote " + name, nil
}

// pruneJob removes what was kept long enough.
func (s *street) pruneJob(ctx context.Context, h *house, _ schedule.Turn) (string, error) {
	lines, err := s.pruner(h).Prune(ctx, s.now(), false)
	return removed(lines), err
}

func removed(lines []retention.Line) string {
	var parts []string
	for _, l := range lines {
		if l.Removed > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s", l.Removed, l.Class))
		}
	}
	return "removed " + cmp.Or(strings.Join(parts, ", "), "nothing")
}

// controlError is a failure of what proves that we would see what is there. The
// alert for it is not that of a failed job.
type controlError struct{ error }

// Unwrap returns what failed.
func (e controlError) Unwrap() error { return e.error }

// Alarm names the alert and the next step.
func (e controlError) Alarm() (name, step string) {
	return "positive-control call-back", "ippwatch doctor tells what answers at the call-back address; until it leads here, no scan over UDP can find anything"
}

// uncontrolled is a verification in which nothing answered that should.
type uncontrolled struct{ error }

// Unwrap returns what failed.
func (e uncontrolled) Unwrap() error { return e.error }

// Alarm names the alert and the next step.
func (e uncontrolled) Alarm() (name, step string) {
	return "positive-control verify", "look whether our own network reaches port 631 outside; name hosts that should answer in verify.controls"
}

// An alarming error has an alert of its own. A job of another package says so by
// this method; see controlError.
type alarming interface {
	error
	Alarm() (name, step string)
}

// logLines turns what a command says to people into lines of the log.
type logLines struct{ write func(line string) }

func (l logLines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "progress: ") {
			l.write(screen.Printable(line))
		}
	}
	return len(b), nil
}
