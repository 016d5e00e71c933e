package main

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/track"
)

// A decision is what a person makes cases take.
type decision struct {
	step          track.Step
	use, short    string
	long, example string
	until         bool   // needs --until
	done          string // what is said when it is done
}

// longestRisk is for how many years a risk may be accepted.
const longestRisk = 3

var decisions = []decision{
	{
		step: track.Accept, use: "accept", short: "Accept the risk until a day", until: true, done: "accepted",
		long: `The risk is taken by somebody who may, until a day; then the case is work again,
with its history. Scans and feeds do not change it.`,
		example: `  ippwatch cases accept 4C8B0F6E52A1 --until 2027-03-01 --reason "print server of the press office, ticket 4711"`,
	},
	{
		step: track.Dismiss, use: "dismiss", short: "Declare it a false positive", done: "dismissed",
		long:    `It is not what it seems, and will not be reported again, until withdrawn.`,
		example: `  ippwatch cases dismiss 4C8B0F6E52A1 --reason "our own honeypot"`,
	},
	{
		step: track.Withdraw, use: "withdraw", short: "Take a verdict back", done: "work again",
		long:    `The case is what scans and feeds say of it, and work again if it is open.`,
		example: `  ippwatch cases withdraw 4C8B0F6E52A1 --reason "the honeypot was moved"`,
	},
	{
		step: track.Acknowledge, use: "acknowledge", short: "Note that somebody answered, by telephone or otherwise", done: "acknowledged",
		long:    `Mails that are answered are noted by ippwatch itself.`,
		example: `  ippwatch cases acknowledge 198.51.100.20 --reason "called, Ms Roe looks at it"`,
	},
	{
		step: track.Claim, use: "claim", short: "Note that the owner says it is fixed", done: "claimed fixed",
		long:    `A claim closes nothing: ippwatch verify looks. If our own probe sees it again, the claim is gone.`,
		example: `  ippwatch cases claim 4C8B0F6E52A1 --reason "mail of 23 November"`,
	},
}

func (s *street) casesDecide(d decision) *cobra.Command {
	var reason, until string
	cmd := &cobra.Command{
		Use: d.use + " CASE...", Short: d.short, Long: d.long, Example: d.example, Args: wants("CASE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			if reason == "" {
				return usage("%s needs --reason: it stands in the history of the case", d.use)
			}
			o := track.Order{Step: d.step, Actor: whoami(), Evidence: reason, At: s.now().UTC()}
			if d.until {
				day, err := time.Parse(time.DateOnly, until)
				if err != nil || !day.After(o.At) {
					return usage("--until %q: want a day to come, such as %s", until, o.At.AddDate(0, 3, 0).Format(time.DateOnly))
				}
				if day.After(o.At.AddDate(longestRisk, 0, 0)) {
					return usage("--until %s: a risk is accepted for %d years at most, and then looked at again", until, longestRisk)
				}
				o.Until = day
			}
			if s.remote != nil {
				return s.decideThere(ctx, args, o, d.done)
			}
			return s.read(ctx, func(h *house) error { return s.decide(ctx, h, args, o, d.done) })
		}),
		ValidArgsFunction: s.completeCase,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why: it stands in the history of the case")
	if d.until {
		cmd.Flags().StringVar(&until, "until", "", "the day on which it is asked about again")
	}
	return there(cmd)
}

func (s *street) decide(ctx context.Context, h *house, args []string, o track.Order, done string) error {
	es, err := s.casesNamed(ctx, h, args)
	if err != nil {
		return err
	}
	taken, err := h.tracker().Take(ctx, exposure.Keys(es), o)
	for _, e := range taken {
		s.Note("%s %s (%s at %s): %s", done, e.Case(), e.Rule, netip.AddrPortFrom(e.Addr, e.Port), e.Word())
	}
	if errors.Is(err, track.ErrNoTransition) {
		return hint(err, "%s shows what was decided", s.again("cases show %s", args[0]))
	}
	return err
}

func (s *street) casesAssign() *cobra.Command {
	var to string
	var nobody bool
	cmd := &cobra.Command{
		Use: "assign CASE...", Short: "Say who of ours works on cases",
		Example: `  ippwatch cases assign 198.51.100.20 --to m.roe
  ippwatch cases assign 4C8B0F6E52A1 --nobody`,
		Args: wants("CASE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			if (to == "") != nobody {
				return usage("assign needs --to NAME, or --nobody")
			}
			if s.remote != nil {
				return s.assignThere(ctx, args, to)
			}
			return s.read(ctx, func(h *house) error {
				es, err := s.casesNamed(ctx, h, args)
				if err != nil {
					return err
				}
				taken, err := h.tracker().Assign(ctx, exposure.Keys(es), to, whoami(), s.now().UTC())
				for _, e := range taken {
					s.Note("%s (%s at %s) is assigned to %s", e.Case(), e.Rule, netip.AddrPortFrom(e.Addr, e.Port), cmp.Or(e.Assignee, "nobody"))
				}
				return err
			})
		}),
		ValidArgsFunction: s.completeCase,
	}
	cmd.Flags().StringVar(&to, "to", "", "name of the person")
	cmd.Flags().BoolVar(&nobody, "nobody", false, "take it from whoever has it")
	return there(cmd)
}
