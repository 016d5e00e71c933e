package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/enrich"
	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/screen"
	"ippwatch/space"
)

// A diagnosis is one thing that doctor looked at.
type diagnosis struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning, bad
	Detail string `json:"detail"`
}

func (s *street) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the data directory, the disk, the clock, the schedule and what this system can do",
		Long: `Doctor looks at everything that ippwatch needs: whether the databases are whole, the
disk, the clock against the newest records, the configuration and its jobs, the
call-back address where scans over UDP are planned, the mail server (it logs in and
sends nothing), the DKIM key and the outbox, the age of the feeds, who holds which
lease, and the alerts that last. Each line says what to do; it exits with 1 when
something is broken.`,
		Example: `  ippwatch doctor
  ippwatch doctor --config ippwatch.yaml --format json`,
		Args:        wants(),
		Annotations: map[string]string{tellsConfig: "yes"},
		RunE: do(func(ctx context.Context, _ []string) error {
			rows := s.diagnose(ctx)
			err := screen.Listing[diagnosis]{
				Columns: []string{"result", "check", "detail"},
				Cells:   func(d diagnosis) []string { return []string{d.Result, d.Check, d.Detail} },
			}.Show(&s.Screen, rows)
			if n := len(slices.DeleteFunc(rows, func(d diagnosis) bool { return d.Result != bad })); n > 0 {
				err = errors.Join(err, fmt.Errorf("%s bad", screen.Count(n, "check is", "checks are")))
			}
			return err
		}),
	}
}

// What a diagnosis says; one that is bad makes doctor fail.
const (
	fine    = "ok"
	warning = "warning"
	bad     = "bad"
)

const oldTable = 120 * 24 * time.Hour

// A check looks at one thing; it needs the data directory opened.
type check func(s *street, ctx context.Context, h *house) []diagnosis

// checks are what doctor looks at in a data directory, in the order in which it
// tells. A part of ippwatch that can be broken has a line here.
var checks = []check{
	(*street).checkWhole, (*street).checkClock, (*street).checkLastScan, (*street).checkSending,
	(*street).checkCallback, (*street).checkMail, (*street).checkFeeds, (*street).checkSchedule, (*street).checkLeases, (*street).checkAlerts,
}

// diagnose looks at everything that it can: what is broken is when somebody asks.
func (s *street) diagnose(ctx context.Context) []diagnosis {
	rows := s.diagnoseConfig()
	rows = append(rows, s.diagnoseData(ctx)...)
	if free, known := freeDisk(s.data); known {
		d := diagnosis{"disk", fine, fmt.Sprintf("%d MB are free", free>>20)}
		if alerts, _ := s.fullDisk(ctx, nil); len(alerts) > 0 {
			d = diagnosis{"disk", warning, alerts[0].Detail + "; " + alerts[0].Step}
		}
		rows = append(rows, d)
	}
	rows = append(rows, s.hearing(ctx))
	day := enrich.Date()
	if s.now().Sub(day) > oldTable {
		return append(rows, diagnosis{"countries", warning, fmt.Sprintf("the embedded table is of %s; name a newer one with --mmdb", day.Format(time.DateOnly))})
	}
	return append(rows, diagnosis{"countries", fine, "table of " + day.Format(time.DateOnly)})
}

// diagnoseConfig looks at the configuration, if there is one.
func (s *street) diagnoseConfig() []diagnosis {
	if s.configFile == "" {
		return nil
	}
	if s.misread != nil {
		return []diagnosis{{"config", bad, "all else is looked at without it: " + oneLine(s.misread)}}
	}
	if err := s.usable(&s.config); err != nil {
		return []diagnosis{{"config", bad, s.configFile + ": " + oneLine(err)}}
	}
	return []diagnosis{{"config", fine, s.configFile + " is right"}}
}

// oneLine is an error with its hints.
func oneLine(err error) string {
	return strings.Join(append(strings.Split(err.Error(), "\n"), answer.Hints(err)...), "; ")
}

// diagnoseData looks at what the data directory holds.
func (s *street) diagnoseData(ctx context.Context) []diagnosis {
	if !s.begun() {
		return []diagnosis{{"data", warning, s.data + " has no data yet; the first scan makes it"}}
	}
	h, err := s.open(ctx)
	if err != nil {
		return []diagnosis{{"data", bad, oneLine(err)}}
	}
	defer h.Close()
	var rows []diagnosis
	for _, c := range checks {
		rows = append(rows, c(s, ctx, h)...)
	}
	return rows
}

func (s *street) checkWhole(ctx context.Context, h *house) []diagnosis {
	if err := h.sound(ctx); err != nil {
		return []diagnosis{{"data", bad, oneLine(err) + "; restore the last backup into a new directory: ippwatch restore FILE --data DIR"}}
	}
	return []diagnosis{{"data", fine, s.data + " is whole"}}
}

// ahead is how far beyond now a record may lie: other machines have clocks, too.
const ahead = time.Minute

// checkClock compares the clock with the newest records, and with time that
// passes: no server of time is asked.
func (s *street) checkClock(ctx context.Context, h *house) []diagnosis {
	at, what, err := h.store.Last(ctx)
	if err != nil {
		return []diagnosis{{"clock", bad, oneLine(err)}}
	}
	if seen, err := h.archive.Last(ctx); err != nil {
		return []diagnosis{{"clock", bad, oneLine(err)}}
	} else if seen.After(at) {
		at, what = seen, "observation"
	}
	if at.After(s.now().Add(ahead)) {
		return []diagnosis{{"clock", bad, fmt.Sprintf("it is %s UTC, and the newest record, a %s, is of %s: set the clock", screen.Stamp(s.now()), what, screen.Stamp(at))}}
	}
	const look, most = 100 * time.Millisecond, 50 * time.Millisecond
	began := time.Now()
	time.Sleep(look)
	ended := time.Now()
	if drift := ended.Round(0).Sub(began.Round(0)) - ended.Sub(began); drift.Abs() > most {
		return []diagnosis{{"clock", warning, fmt.Sprintf("it moved by %s while %s passed: is something setting it?", drift, look)}}
	}
	return []diagnosis{{"clock", fine, screen.Stamp(s.now()) + " UTC"}}
}

func (s *street) checkLastScan(ctx context.Context, h *house) []diagnosis {
	runs, err := h.store.Runs(ctx, s.view(), 1)
	if err != nil {
		return []diagnosis{{"scans", bad, oneLine(err)}}
	}
	var rows []diagnosis
	for _, r := range runs {
		rows = append(rows, s.diagnoseRun(ctx, h, r)...)
	}
	return rows
}

func (s *street) checkSending(ctx context.Context, h *house) []diagnosis {
	switch pause, on, err := h.store.Paused(ctx); {
	case err != nil:
		return []diagnosis{{"sending", bad, oneLine(err)}}
	case on:
		return []diagnosis{{"sending", warning, fmt.Sprintf("paused by %s since %s UTC (%s); %s", pause.Who, screen.Stamp(pause.Since), cmp.Or(pause.Reason, "no reason given"), s.again("pause --off"))}}
	}
	return []diagnosis{{"sending", fine, "not paused"}}
}

// checkCallback does what scan --udp does before its first packet, where the
// configuration says that it is done.
func (s *street) checkCallback(ctx context.Context, h *house) []diagnosis {
	if !s.config.Scan.UDP {
		return nil
	}
	fail := func(err error) []diagnosis { return []diagnosis{{"call-back", bad, oneLine(err)}} }
	if s.config.Scope == "" {
		return []diagnosis{{"call-back", warning, "scan.udp is on, and the configuration names no scope: write scope: FILE there"}}
	}
	text, err := os.ReadFile(s.config.Scope)
	if err != nil {
		return fail(err)
	}
	scope, err := space.ParseScope(s.config.Scope, text)
	if err != nil {
		return fail(err)
	}
	set, _, err := scope.Set(s.now(), nil, nil)
	if err != nil {
		return fail(err)
	}
	if _, scanning, err := h.store.Lease(ctx, "scan"); err == nil && scanning && s.config.Scan.Callback != "" {
		return []diagnosis{{"call-back", fine, "the scan that is running has proven it"}}
	}
	e, at, err := hear(ctx, s.config.Scan.Callback, set)
	if err != nil {
		return fail(err)
	}
	e.close()
	return []diagnosis{{"call-back", fine, at.AddrPort().String() + " leads to this machine"}}
}

// checkMail connects to the mail server of the configuration, encrypts and logs
// in, and sends nothing; the key of the signature is read.
func (s *street) checkMail(ctx context.Context, h *house) []diagnosis {
	var rows []diagnosis
	if s.config.Mail.Host != "" {
		_, mailer, err := s.config.Letters().Open(os.Getenv)
		if err == nil {
			err = mailer.Try(ctx)
		}
		if err != nil {
			return []diagnosis{{"mail", bad, oneLine(err) + "; docs/outreach-mail.md says what the section mail needs"}}
		}
		rows = append(rows, diagnosis{"mail", fine, s.config.Mail.Host + " takes mail from us"})
		if s.config.Mail.DKIM == nil {
			rows = append(rows, diagnosis{"dkim", warning, "mail is not signed, and many will not take it: ippwatch notify dkim makes a key"})
		} else {
			rows = append(rows, diagnosis{"dkim", fine, "the key of " + s.config.Mail.DKIM.Selector + " can be read; ippwatch notify dkim prints the record that must be published"})
		}
	}
	stuck, err := s.stuckOutbox(ctx, h)
	if err != nil {
		return append(rows, diagnosis{"outbox", bad, oneLine(err)})
	}
	for _, a := range stuck {
		rows = append(rows, diagnosis{"outbox", warning, a.Detail + "; " + a.Step})
	}
	return rows
}

func (s *street) checkFeeds(ctx context.Context, h *house) []diagnosis {
	ends, err := s.feedEnds(ctx, h)
	if err != nil {
		return []diagnosis{{"feeds", bad, oneLine(err)}}
	}
	missing, err := s.missingFeeds(ctx, h)
	if err != nil {
		return []diagnosis{{"feeds", bad, oneLine(err)}}
	}
	var rows []diagnosis
	for _, feed := range slices.Sorted(maps.Keys(ends)) {
		end := ends[feed]
		d := diagnosis{"feed " + feed, fine, "its newest day ended at " + screen.Stamp(end) + " UTC"}
		for _, a := range missing {
			if strings.HasSuffix(a.Name, " "+feed) {
				d = diagnosis{"feed " + feed, warning, a.Detail + "; " + a.Step}
			}
		}
		rows = append(rows, d)
	}
	return rows
}

// checkSchedule tells of each planned job how it went and when it runs.
func (s *street) checkSchedule(ctx context.Context, h *house) []diagnosis {
	var rows []diagnosis
	for _, n := range s.config.Schedule.Jobs.Kinds() {
		if n.Times.Cron == "" {
			continue
		}
		plan, err := s.config.Schedule.Plan(n.Times)
		if err != nil {
			return append(rows, diagnosis{"job " + n.Kind, bad, oneLine(err)})
		}
		j, known, err := h.store.Job(ctx, n.Kind)
		next := "next " + screen.Stamp(plan.Next(s.now())) + " UTC"
		switch {
		case err != nil:
			rows = append(rows, diagnosis{"job " + n.Kind, bad, oneLine(err)})
		case !known:
			rows = append(rows, diagnosis{"job " + n.Kind, warning, "no ippwatch serve has looked at it yet; " + next})
		case j.Started.IsZero():
			rows = append(rows, diagnosis{"job " + n.Kind, fine, "it never ran; " + next})
		case j.State == exposure.JobFailed:
			rows = append(rows, diagnosis{"job " + n.Kind, warning, fmt.Sprintf("failed at %s UTC: %s; %s", screen.Stamp(j.Ended), firstLine(j.Note), next)})
		case j.State == exposure.Running:
			rows = append(rows, diagnosis{"job " + n.Kind, fine, fmt.Sprintf("running since %s UTC", screen.Stamp(j.Started))})
		case j.State == exposure.Stopped:
			rows = append(rows, diagnosis{"job " + n.Kind, warning, "stopped with the daemon; it goes on when ippwatch serve does"})
		default:
			rows = append(rows, diagnosis{"job " + n.Kind, fine, fmt.Sprintf("%s at %s UTC: %s; %s", j.State, screen.Stamp(j.Ended), firstLine(j.Note), next)})
		}
	}
	return rows
}

// checkLeases tells who runs what. Whether a holder lives, only somebody who
// watches for longer than a lease can tell.
func (s *street) checkLeases(ctx context.Context, h *house) []diagnosis {
	leases, err := h.store.Leases(ctx, s.view())
	if err != nil {
		return []diagnosis{{"leases", bad, oneLine(err)}}
	}
	var rows []diagnosis
	for _, l := range leases {
		host, _, _ := strings.Cut(l.Holder, " ")
		pid, _, _ := strings.Cut(strings.TrimPrefix(l.Holder, host+" "), " ")
		d := diagnosis{"lease " + l.Kind, fine, fmt.Sprintf("held by process %s on %s since %s UTC", pid, host, screen.Stamp(l.Since))}
		if age := s.now().Sub(l.Beat); age > 2*s.config.Schedule.Lease {
			d.Result, d.Detail = warning, d.Detail+fmt.Sprintf("; its last sign of life came %s ago: an ippwatch serve that runs takes it over", age.Round(time.Second))
		}
		rows = append(rows, d)
	}
	return rows
}

func (s *street) checkAlerts(ctx context.Context, h *house) []diagnosis {
	alerts, err := h.store.Alerts(ctx, s.view(), s.now())
	if err != nil {
		return []diagnosis{{"alerts", bad, oneLine(err)}}
	}
	var rows []diagnosis
	for _, a := range alerts {
		if a.Ended.IsZero() {
			rows = append(rows, diagnosis{"alert", warning, fmt.Sprintf("%s since %s UTC: %s; %s", a.Name, screen.Stamp(a.Began), a.Detail, a.Step)})
		}
	}
	return rows
}

// diagnoseRun tells of a run that is not done whether somebody still works on it.
func (s *street) diagnoseRun(ctx context.Context, h *house, r exposure.Run) []diagnosis {
	said, err := h.lastWord(ctx, r)
	switch again := s.again("scan --resume %s", r.ID); {
	case err != nil:
		return []diagnosis{{"last scan", bad, err.Error()}}
	case r.State == exposure.Done:
		return nil
	case s.alive(r, said):
		return []diagnosis{{"last scan", fine, fmt.Sprintf("run %s is running", r.ID)}}
	case r.State == exposure.Running:
		return []diagnosis{{"last scan", warning, fmt.Sprintf("run %s ended without a word after %s UTC; to go on: %s", r.ID, screen.Stamp(said), again)}}
	default:
		return []diagnosis{{"last scan", warning, fmt.Sprintf("run %s was %s; to go on: %s", r.ID, r.State, again)}}
	}
}

// hearing tells whether a closed UDP port can be told from silence here.
func (s *street) hearing(ctx context.Context) diagnosis {
	u, err := probe.OpenUDP(ctx)
	if err != nil {
		return diagnosis{"udp", warning, err.Error()}
	}
	defer u.Close()
	if !u.HearsICMP() {
		return diagnosis{"udp", warning, "this system does not tell of ICMP errors: a closed port looks like silence"}
	}
	return diagnosis{"udp", fine, "ICMP errors are heard"}
}
