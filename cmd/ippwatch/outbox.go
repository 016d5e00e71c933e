package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/outreach"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) notifyOutboxCommand() *cobra.Command {
	var states []string
	var run string
	var limit int
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "List messages, the newest first",
		Long: `Outbox lists messages: planned, held (waits for approval), approved, sending,
deferred (tried, and tried again), sent, uncertain (a crash left unknown whether it
arrived), failed, bounced, cancelled.`,
		Example: `  ippwatch notify outbox
  ippwatch notify outbox --state held,uncertain`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			f := store.MessageFilter{Run: run, Limit: limit}
			for _, w := range states {
				if !slices.Contains(store.MessageStates, store.MessageState(w)) {
					return usage("--state %q: want %s", w, strings.Join(words(store.MessageStates), ", "))
				}
				f.States = append(f.States, store.MessageState(w))
			}
			if limit < 1 {
				return usage("--limit %d: want a number above 0", limit)
			}
			return s.read(ctx, func(h *house) error {
				var rows []store.Message
				for m, err := range h.store.Messages(ctx, s.view(), f) {
					if err != nil {
						return err
					}
					rows = append(rows, m)
				}
				return screen.Listing[store.Message]{
					Columns: []string{"message", "state", "kind", "to", "constituent", "cases", "planned", "ended", "reason"},
					Cells: func(m store.Message) []string {
						return []string{
							m.ID, string(m.State), m.Kind, m.To.Address, m.Constituent, fmt.Sprint(len(m.Exposures)),
							s.Stamp(m.Planned), s.Stamp(m.Ended), m.Reason,
						}
					},
					Empty: "the outbox has no such message",
				}.Show(&s.Screen, rows)
			})
		}),
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only messages in these states; several with commas")
	cmd.Flags().StringVar(&run, "run", "", "only messages of this run")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(words(store.MessageStates), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// messageNames completes messages in the states.
func (s *street) messageNames(states ...store.MessageState) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var words []string
		_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
			for m, err := range h.store.Messages(cmd.Context(), s.view(), store.MessageFilter{States: states, Limit: 100}) {
				if err != nil {
					return err
				}
				words = append(words, m.ID+"\t"+screen.Printable(string(m.State)+" to "+m.To.Address))
			}
			return nil
		})
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *street) notifyWhyCommand(f *officeFlags) *cobra.Command {
	return &cobra.Command{
		Use:               "why MESSAGE",
		Short:             "Explain a message: who was chosen and why, what happened, what comes next",
		Example:           `  ippwatch notify why M-0123456789AB --rules outreach.yaml`,
		Args:              wants("MESSAGE"),
		ValidArgsFunction: s.messageNames(),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.office(ctx, f, false, func(o *outreach.Office) error {
				story, err := o.Why(ctx, args[0])
				if err != nil {
					return s.noMessage(err)
				}
				if s.Format != "table" {
					return screen.Listing[outreach.Story]{
						Columns: []string{"message", "state", "to", "constituent", "rule", "why", "then"},
						Cells: func(x outreach.Story) []string {
							return []string{x.ID, string(x.State), x.To.Address, x.Constituent, x.Rule, x.Why, x.Next}
						},
					}.ShowOne(&s.Screen, story)
				}
				s.tell(story)
				return nil
			})
		}),
	}
}

// tell writes a story for a person.
func (s *street) tell(x outreach.Story) {
	line := func(key, text string) {
		if text != "" {
			fmt.Fprintf(s.Out, "%-12s %s\n", key, screen.Printable(text))
		}
	}
	line("message", fmt.Sprintf("%s (%s) of run %s", x.ID, x.Kind, x.Run))
	line("to", strings.TrimSpace(x.To.Name+" "+x.To.Address)+" by "+string(x.To.Medium))
	line("for", x.Constituent)
	line("rule", x.Rule)
	line("because", x.Why)
	line("texts", x.Texts)
	state := string(x.State)
	if x.Reason != "" {
		state += ": " + x.Reason
	}
	line("state", state)
	line("planned", screen.Stamp(x.Planned)+" UTC")
	for _, a := range x.Attempts {
		code := ""
		if a.Code != 0 {
			code = fmt.Sprint(a.Code) + " "
		}
		line("try "+fmt.Sprint(a.N), fmt.Sprintf("%s UTC: %s at %s: %s%s", screen.Stamp(a.At), a.Result, a.Stage, code, a.Said))
	}
	for _, r := range x.Replies {
		line("came back", fmt.Sprintf("%s UTC: %s: %s", screen.Stamp(r.At), r.Kind, r.Note))
	}
	for _, c := range x.Cases {
		line("case "+c.Case, fmt.Sprintf("%s %s/%d %s: %s; rung %d by rule %s", c.Addr, c.Transport, c.Port, c.Rule, c.Word, c.Rung+1, c.By))
		for _, d := range c.History {
			if d.Message != x.ID {
				line("", fmt.Sprintf("%s UTC: %s to %s, rung %d, %s", screen.Stamp(d.At), d.Message, d.Recipient, d.Rung, d.State))
			}
		}
	}
	line("then", x.Next)
}

// noMessage says how to find one.
func (s *street) noMessage(err error) error {
	if errors.Is(err, store.ErrNoMessage) {
		return hint(err, "%s lists them", s.again("notify outbox"))
	}
	return err
}

func (s *street) notifyApproveCommand(f *officeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "approve [RUN|MESSAGE...]",
		Short: "Let messages go that wait for a person",
		Long:  `Approve lets the messages of a run go, or single ones, or all that wait. The next --send sends them.`,
		Example: `  ippwatch notify approve
  ippwatch notify approve M-0123456789AB`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: s.messageNames(store.MessageHeld),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.office(ctx, f, false, func(o *outreach.Office) error {
				ids, err := o.Approve(ctx, outreach.Person{Who: whoami()}, args)
				if err != nil {
					return s.noMessage(err)
				}
				if len(ids) == 0 {
					s.Note("no message waits")
					return nil
				}
				s.Note("approved %s; the next notify --send sends them", screen.Count(len(ids), "message", "messages"))
				return nil
			})
		}),
	}
}

func (s *street) notifyCancelCommand(f *officeFlags) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:               "cancel MESSAGE",
		Short:             "Keep a message from being sent",
		Long:              `Cancel keeps a message from being sent. What it was about is planned anew on another day; cases accept or dismiss ends that.`,
		Example:           `  ippwatch notify cancel M-0123456789AB --reason "told by telephone"`,
		Args:              wants("MESSAGE"),
		ValidArgsFunction: s.messageNames(store.MessagePlanned, store.MessageHeld, store.MessageApproved, store.MessageDeferred),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.office(ctx, f, false, func(o *outreach.Office) error {
				if err := o.Cancel(ctx, outreach.Person{Who: whoami(), Reason: reason}, args[0]); err != nil {
					return s.noMessage(err)
				}
				s.Note("%s is cancelled", args[0])
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	return cmd
}

func (s *street) notifyRetryCommand(f *officeFlags) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "retry MESSAGE",
		Short: "Send a message again at the next run",
		Long: `Retry sends a failed or deferred message again. Of an uncertain one you decide that
it may arrive twice; it has the same Message-ID, so that mail programs show it once.`,
		Example:           `  ippwatch notify retry M-0123456789AB`,
		Args:              wants("MESSAGE"),
		ValidArgsFunction: s.messageNames(store.MessageFailed, store.MessageUncertain, store.MessageDeferred),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.office(ctx, f, false, func(o *outreach.Office) error {
				if err := o.Retry(ctx, outreach.Person{Who: whoami(), Reason: reason}, args[0]); err != nil {
					return s.noMessage(err)
				}
				s.Note("%s is sent by the next notify --send", args[0])
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	return cmd
}

func (s *street) notifyHoldCommand(f *officeFlags) *cobra.Command {
	var off bool
	var reason string
	cmd := &cobra.Command{
		Use:   "hold [RULE]",
		Short: "Stop delivery at once, of one rule or of all",
		Long: `Hold stops delivery: a notify --send that runs sends what is on its way and nothing
more. Without a rule it stops everything. What is planned stays planned.`,
		Example: `  ippwatch notify hold --reason "complaint from example-net"
  ippwatch notify hold all-critical
  ippwatch notify hold --off`,
		Args: cobra.MaximumNArgs(1),
		RunE: do(func(ctx context.Context, args []string) error {
			rule := strings.Join(args, "")
			what, order := "everything", "notify hold"
			if rule != "" {
				what, order = "rule "+rule, order+" "+rule
			}
			if rule != "" && !off {
				if err := s.ruleIsThere(f, rule); err != nil {
					return err
				}
			}
			return s.read(ctx, func(h *house) error {
				if off {
					found, err := h.store.ReleaseOutbox(ctx, rule, whoami(), s.now())
					if err == nil && !found {
						s.Note("%s was not on hold", what)
					} else if err == nil {
						s.Note("%s may be sent again", what)
					}
					return err
				}
				if err := h.store.HoldOutbox(ctx, store.OutboxHold{Rule: rule, Reason: reason, Who: whoami(), At: s.now()}); err != nil {
					return err
				}
				s.Note("on hold: %s, until %s", what, s.again("%s --off", order))
				return nil
			})
		}),
	}
	cmd.Flags().BoolVar(&off, "off", false, "take the hold back")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	return cmd
}

// ruleIsThere refuses to hold a rule that is none: whoever misspelt it would
// believe that nothing leaves.
func (s *street) ruleIsThere(f *officeFlags, name string) error {
	where, rules := s.configFile, s.config.Outreach
	if f.rules != "" {
		var err error
		if rules, err = f.readRules(); err != nil {
			return err
		}
		where = f.rules
	}
	var names []string
	for _, r := range rules.Rules {
		names = append(names, r.Name)
	}
	switch {
	case slices.Contains(names, name):
		return nil
	case len(names) == 0:
		s.Note("no rules were named, so that nobody knows whether there is a rule %s: --rules FILE tells", screen.Printable(name))
		return nil
	}
	return hint(fmt.Errorf("hold rule %q: %s has no such rule", name, where), "it has %s; without a name everything is held", strings.Join(names, ", "))
}

func (s *street) notifyRepliesCommand(f *officeFlags) *cobra.Command {
	var maildir string
	cmd := &cobra.Command{
		Use:   "replies --maildir DIR",
		Short: "Read bounces, opt-outs and answers, each once",
		Long: `Replies reads a Maildir, or an mbox file. A hard bounce marks the contact as one that
does not work, and the next run asks the next. An opt-out binds at once. The
answer of a person is noted in the cases, and rests the ladder. Only mail that
proves by a token that it is about a message of ours does anything.`,
		Example: `  ippwatch notify replies --maildir /var/mail/bounces --rules outreach.yaml --mail-config mail.yaml`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if maildir == "" {
				return usage("--maildir is missing: want a Maildir, or an mbox file")
			}
			return s.office(ctx, f, true, func(o *outreach.Office) error {
				got, err := o.ReadReplies(ctx, maildir)
				if err != nil && len(got) == 0 {
					return err
				}
				show := screen.Listing[outreach.Received]{
					Columns: []string{"kind", "message", "from", "subject", "done"},
					Cells: func(r outreach.Received) []string {
						return []string{string(r.Kind), r.About, r.From, r.Subject, r.Done}
					},
					Empty: "nothing new came back",
				}.Show(&s.Screen, got)
				return errors.Join(err, show)
			})
		}),
	}
	cmd.Flags().StringVar(&maildir, "maildir", "", "Maildir or mbox file with what came back")
	_ = cmd.MarkFlagDirname("maildir")
	return cmd
}
