package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/archive"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/outreach"
	"ippwatch/people"
	"ippwatch/report"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/store"
)

// officeFlags say by which rules people are told, and how mail leaves.
type officeFlags struct{ rules, mail, constituents string }

func (f *officeFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.rules, "rules", "", "file that says who is told of what, when: the section outreach of ippwatch.yaml")
	fl.StringVar(&f.mail, "mail-config", "", "file that says how mail leaves")
	fl.StringVar(&f.constituents, "constituents", "", "file of constituents; default: those that were imported")
}

func (f *officeFlags) complete(cmd *cobra.Command) {
	for _, name := range []string{"rules", "mail-config", "constituents"} {
		if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.MarkPersistentFlagFilename(name, "yaml", "yml")
		}
	}
}

func (s *street) outreachCommand() *cobra.Command {
	f := &officeFlags{}
	var send, dry bool
	var lines, out, show string
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Tell those who can close what is open, and nobody twice",
		Long: `Notify plans who is told of which cases, by the rules of the file, and says for every
open case that nobody is told of why that is so. Nothing is sent without --send.

With --send the plan is written down before the first mail leaves. Killed at any
moment, the next run goes on where it was: what may have arrived is not sent again.
A run that is much larger than usual waits for notify approve.`,
		Example: `  ippwatch notify --rules outreach.yaml --mail-config mail.yaml
  ippwatch notify --rules outreach.yaml --mail-config mail.yaml --out preview
  ippwatch notify --rules outreach.yaml --mail-config mail.yaml --send
  ippwatch notify hold --reason "complaint from example-net"`,
		RunE: do(func(ctx context.Context, _ []string) error {
			switch {
			case send && dry:
				return usage("--send and --dry-run: want one of them")
			case send && (out != "" || show != ""):
				return usage("--out and --show are for what would be sent, not for --send")
			case show != "" && show != "eml":
				return usage("--show %q: want eml", show)
			case lines != "" && !send:
				return usage("--lines writes down what was told: it needs --send")
			}
			return s.office(ctx, f, true, func(o *outreach.Office) error {
				if send {
					return s.sendOut(ctx, o, lines)
				}
				return s.previewPlan(ctx, o, out, show)
			})
		}),
	}
	fl := cmd.Flags()
	fl.BoolVar(&send, "send", false, "send it")
	fl.BoolVar(&dry, "dry-run", false, "show what would be sent, and send nothing: the default")
	fl.StringVar(&out, "out", "", "directory for the very bytes that would be sent")
	fl.StringVar(&show, "show", "", "eml: print the very bytes that would be sent")
	fl.StringVar(&lines, "lines", "", "append what became of cases to this file, for a ticket system; - is stdout")
	f.add(cmd.PersistentFlags())
	f.complete(cmd)
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.RegisterFlagCompletionFunc("show", cobra.FixedCompletions([]string{"eml"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.AddCommand(
		s.notifyOutboxCommand(), s.notifyWhyCommand(f), s.notifyApproveCommand(f), s.notifyCancelCommand(f), s.notifyRetryCommand(f),
		s.notifyHoldCommand(f), s.notifyRepliesCommand(f),
	)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return group(&cobra.Command{Use: cmd.Use}).Args(cmd, args)
	}
	return cmd
}

// office opens what outreach needs and runs f; with mail, how it leaves too.
func (s *street) office(ctx context.Context, f *officeFlags, mail bool, do func(*outreach.Office) error) error {
	if err := s.officeNeeds(f, mail); err != nil {
		return err
	}
	return s.read(ctx, func(h *house) error {
		o, err := s.newOffice(ctx, h, f, mail)
		if err != nil {
			return err
		}
		return do(o)
	})
}

// officeNeeds says what is missing before anything is opened.
func (s *street) officeNeeds(f *officeFlags, mail bool) error {
	switch {
	case !mail:
	case f.rules == "" && len(s.config.Outreach.Rules) == 0:
		return hint(usage("--rules is missing: it says who is told of what"), "outreach.rules in ippwatch.yaml says it, too; docs/outreach.md has some to begin with")
	case f.mail == "" && s.config.Mail.Host == "":
		return hint(usage("--mail-config is missing: it says how mail leaves"), "mail in ippwatch.yaml says it, too; docs/outreach.md has one to begin with")
	}
	return nil
}

func (s *street) newOffice(ctx context.Context, h *house, f *officeFlags, mail bool) (*outreach.Office, error) {
	if err := s.pass(ctx, h); err != nil {
		return nil, err
	}
	return s.bareOffice(ctx, h, f, mail)
}

// bareOffice opens what outreach needs, and lets no time pass for the cases: a
// page that is looked at changes nothing.
func (s *street) bareOffice(ctx context.Context, h *house, f *officeFlags, mail bool) (*outreach.Office, error) {
	rules := s.config.Outreach // orders about a message need none
	if f.rules != "" {
		var err error
		if rules, err = f.readRules(); err != nil {
			return nil, err
		}
	}
	o := &outreach.Office{Store: h.store, Tracker: h.tracker(), Rules: &rules, View: s.view(), Now: s.now}
	var err error
	if o.Statuses, err = h.people.Statuses(ctx, s.view()); err != nil {
		return nil, err
	}
	if o.Directory, err = f.directory(ctx, s.view(), h.people, o.Statuses); err != nil {
		return nil, err
	}
	o.Mark = func(ctx context.Context, address, status, reason, source string) error {
		return h.people.Mark(ctx, people.Hand{View: s.view(), Who: "outreach", At: s.now()}, address, status, reason, source)
	}
	o.Texts = reading()
	o.Observe = h.observe
	if o.Pages = s.pages(); o.Pages.URL != "" && f.constituents != "" {
		s.Note("mails have no link to a page: whose a page is comes from the constituents that were imported, and not from %s", f.constituents)
		o.Pages = outreach.Pages{}
	}
	if !mail {
		return o, nil
	}
	name, how := s.configFile+": mail", s.config.Letters()
	if f.mail != "" {
		name = f.mail
		if how, err = readMailConfig(f.mail); err != nil {
			return nil, err
		}
		with := s.config
		with.Mail = how
		how = with.Letters()
	}
	if o.Writer, o.Mailer, err = how.Open(os.Getenv); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return o, nil
}

// pages are where contacts look at their own cases; the zero value if nobody
// serves them.
func (s *street) pages() outreach.Pages {
	return outreach.Pages{URL: s.config.Web.URL, Life: s.config.Web.Links}
}

func (f *officeFlags) readRules() (outreach.Rules, error) {
	text, err := os.ReadFile(f.rules)
	if err != nil {
		return outreach.Rules{}, fmt.Errorf("read rules: %w", err)
	}
	rules := outreach.DefaultRules()
	if err := config.Decode(f.rules, text, &rules); err != nil {
		return outreach.Rules{}, err
	}
	return rules, nil
}

func readMailConfig(path string) (notify.MailConfig, error) {
	var c notify.MailConfig
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read mail configuration: %w", err)
	}
	err = config.Decode(path, text, &c)
	return c, err
}

// directory is that of the file, or what was imported; whichever it is, who
// opted out has opted out.
func (f *officeFlags) directory(ctx context.Context, v access.View, r *people.Registry, statuses []store.Status) (*people.Directory, error) {
	if f.constituents == "" {
		return r.Directory(ctx, v)
	}
	text, err := os.ReadFile(f.constituents)
	if err != nil {
		return nil, fmt.Errorf("read constituents: %w", err)
	}
	list, err := people.ParseConstituents(f.constituents, text)
	if err != nil {
		return nil, err
	}
	for i := range list {
		for j := range list[i].Contacts {
			c := &list[i].Contacts[j]
			c.Source = cmp.Or(c.Source, exposure.OwnData)
			for _, st := range statuses {
				c.OptOut = c.OptOut || st.Contact == c.Key() && st.Status == store.OptOut
				c.Invalid = c.Invalid || st.Contact == c.Key() && st.Status == store.Invalid
			}
		}
	}
	return people.NewDirectory(list), nil
}

// reading reads each directory of texts once.
func reading() func(dir string) (outreach.Texts, string, error) {
	read := make(map[string]*advisory.Texts)
	return func(dir string) (outreach.Texts, string, error) {
		if read[dir] == nil {
			t, err := texts(dir)
			if err != nil {
				return nil, "", err
			}
			read[dir] = t
		}
		return read[dir], cmp.Or(dir, "ippwatch "+version()), nil
	}
}

// observe returns the last sighting of a case, as far as the view may see it.
func (h *house) observe(ctx context.Context, v access.View, e exposure.Exposure) (report.Row, bool, error) {
	addr := e.Addr.Unmap().WithZone("")
	q := archive.Query{From: e.LastSeen, To: e.LastSeen.Add(time.Second), Addr: netip.PrefixFrom(addr, addr.BitLen()), Transport: e.Transport}
	for r, err := range h.archive.Observations(ctx, v, q) {
		if err != nil {
			return report.Row{}, false, err
		}
		if r.ID != e.Last {
			continue
		}
		row := report.Row{Observation: r.Observation, FirstSeen: e.FirstSeen, LastSeen: e.LastSeen}
		row.Findings = rule.Judge(&row.Observation)
		return row, true, nil
	}
	return report.Row{}, false, nil // of another machine, or forgotten
}

// previewPlan shows what would be sent, and to whom not and why.
func (s *street) previewPlan(ctx context.Context, o *outreach.Office, out, show string) error {
	plan, err := o.Plan(ctx)
	if err != nil {
		return err
	}
	if show == "eml" || out != "" {
		return s.previewBytes(ctx, o, plan, out)
	}
	switch s.Format {
	case "json":
		return s.Document(plan)
	case "table":
		return s.previewTables(plan)
	}
	return planned.Show(&s.Screen, planLines(plan))
}

// A planLine is what a plan says of one case.
type planLine struct {
	outreach.Silence
	Message string `json:"message,omitempty"`
	To      string `json:"to,omitempty"`
	Rung    int    `json:"rung,omitempty"`
}

var planned = screen.Listing[planLine]{
	Columns: []string{"case", "severity", "ip", "port", "rule", "constituent", "message", "to", "rung", "reason", "detail", "until"},
	Cells: func(d planLine) []string {
		until, rung := "", ""
		if !d.Until.IsZero() {
			until = d.Until.UTC().Format("2006-01-02T15:04:05Z")
		}
		if d.Rung > 0 {
			rung = fmt.Sprint(d.Rung)
		}
		return []string{
			d.Case, string(d.Severity), d.Addr.String(), fmt.Sprint(d.Port), d.Key.Rule, d.Constituent,
			d.Message, d.To, rung, d.Reason, d.Detail, until,
		}
	},
	Empty: "nothing is open",
}

func planLines(p outreach.Plan) []planLine {
	var all []planLine
	for _, m := range p.Messages {
		for _, x := range m.Exposures {
			all = append(all, planLine{
				outreach.Silence{Key: x.Key, Case: x.Case(), Severity: x.Severity, Constituent: m.Constituent, Rule: x.By, Detail: m.Why}, m.ID, m.To.Address, x.Rung + 1,
			})
		}
	}
	for _, one := range p.Silences {
		all = append(all, planLine{Silence: one})
	}
	return all
}

func (s *street) previewTables(plan outreach.Plan) error {
	err := screen.Listing[store.Message]{
		Columns: []string{"message", "kind", "to", "constituent", "cases", "language", "rule", "why"},
		Cells: func(m store.Message) []string {
			return []string{m.ID, m.Kind, m.To.Address, m.Constituent, fmt.Sprint(len(m.Exposures)), m.Language, m.Rule, m.Why}
		},
		Empty: "nothing would be sent now",
	}.Show(&s.Screen, plan.Messages)
	if err != nil {
		return err
	}
	if len(plan.Silences) > 0 {
		fmt.Fprintln(s.Out)
		err = screen.Listing[outreach.Silence]{
			Columns: []string{"case", "ip", "rule", "constituent", "reason", "until", "detail"},
			Cells: func(q outreach.Silence) []string {
				return []string{q.Case, q.Addr.String(), q.Key.Rule, q.Constituent, q.Reason, s.Stamp(q.Until), q.Detail}
			},
		}.Show(&s.Screen, plan.Silences)
	}
	if plan.Approval != "" {
		s.Note("the run would wait for approval: %s", plan.Approval)
	}
	if len(plan.Messages) > 0 {
		s.Note("nothing was sent; --send sends it")
	}
	return err
}

// previewBytes writes the very bytes of each message.
func (s *street) previewBytes(ctx context.Context, o *outreach.Office, plan outreach.Plan, out string) error {
	if out != "" {
		if err := os.MkdirAll(out, 0o700); err != nil {
			return err
		}
	}
	for i := range plan.Messages {
		m := &plan.Messages[i]
		letter, err := o.Write(ctx, m)
		if err != nil {
			return err
		}
		body, ext := letter.Mail.Bytes, "eml"
		if m.To.Medium == exposure.ByWebhook {
			ext = "json"
			if body, err = letter.Body(); err != nil {
				return err
			}
		}
		if out == "" {
			if _, err := s.Machine().Write(append(body, '\n')); err != nil {
				return err
			}
			continue
		}
		name := filepath.Join(out, m.ID+"."+ext)
		if err := replace(name, body); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		s.Note("%s: to %s", name, m.To.Address)
	}
	if len(plan.Messages) == 0 {
		s.Note("nothing would be sent now")
	}
	return nil
}

func (s *street) sendOut(ctx context.Context, o *outreach.Office, lines string) error {
	sum, err := o.Send(ctx)
	if errors.Is(err, store.ErrLocked) {
		return hint(err, "another ippwatch notify is sending, or the daemon is; it ends by itself")
	}
	if err != nil {
		return err
	}
	if lines != "" {
		n, err := 0, error(nil)
		if lines == "-" {
			n, err = o.LinesTo(ctx, lines, s.Machine())
		} else {
			n, err = o.Lines(ctx, lines)
		}
		if err != nil {
			return err
		}
		s.Note("%s: %s", lines, screen.Count(n, "line", "lines"))
	}
	if sum.Approval != "" {
		s.Note("%s wait for approval: %s", screen.Count(sum.Held, "message", "messages"), sum.Approval)
		s.Note("see them with %s, and let them go with %s", s.again("notify outbox --state held"), s.again("notify approve %s", sum.Run))
	}
	if sum.Stopped != "" && sum.Fault == "" {
		s.Note("stopped: %s", sum.Stopped)
	}
	if sum.Uncertain > 0 {
		s.Note("of %s nobody knows whether it arrived: %s", screen.Count(sum.Uncertain, "message", "messages"), s.again("notify outbox --state uncertain"))
	}
	if sum.Failed > 0 {
		s.Note("%s did not reach the recipient; the next run asks another contact: %s", screen.Count(sum.Failed, "message", "messages"), s.again("notify outbox --state failed"))
	}
	if err := s.noteWaiting(ctx, o); err != nil {
		return err
	}
	var fault error
	if sum.Fault != "" {
		fault = hint(fmt.Errorf("not all was sent, for a fault on our side: %s", sum.Fault),
			"nothing is lost: mend it, and notify --send tries again a quarter of an hour later, or at once after notify retry MESSAGE; ippwatch doctor looks at the mail server")
	}
	if lines == "-" {
		return fault
	}
	return errors.Join(fault, screen.Listing[outreach.Summary]{
		Columns: []string{"planned", "held", "sent", "deferred", "failed", "uncertain", "out_of_date"},
		Cells: func(x outreach.Summary) []string {
			var cells []string
			for _, n := range []int{x.Planned, x.Held, x.Sent, x.Deferred, x.Failed, x.Uncertain, x.Cancelled} {
				cells = append(cells, fmt.Sprint(n))
			}
			return cells
		},
	}.ShowOne(&s.Screen, sum))
}

// noteWaiting tells of messages whose time has not come: without it a run that
// sends nothing looks as if there were nothing to send.
func (s *street) noteWaiting(ctx context.Context, o *outreach.Office) error {
	n, first := 0, time.Time{}
	f := store.MessageFilter{States: []store.MessageState{store.MessagePlanned, store.MessageApproved, store.MessageDeferred}}
	for m, err := range o.Store.Messages(ctx, s.view(), f) {
		if err != nil {
			return err
		}
		if n++; first.IsZero() || m.Next.Before(first) {
			first = m.Next
		}
	}
	switch {
	case n == 0:
	case first.After(s.now()):
		s.Note("%s, the first from %s UTC on: %s", screen.Count(n, "message waits", "messages wait"), screen.Stamp(first), s.again("notify outbox"))
	default:
		s.Note("%s: %s", screen.Count(n, "message waits", "messages wait"), s.again("notify outbox"))
	}
	return nil
}
