package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) casesShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show CASE...",
		Short: "Show a case: what is wrong, since when, what closes it, and its whole history",
		Example: `  ippwatch cases show 4C8B0F6E52A1
  ippwatch cases show 198.51.100.20 --format json`,
		Args: wants("CASE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error { return s.showCases(ctx, h, args) })
		}),
		ValidArgsFunction: s.completeCase,
	}
}

// A caseFile is a case with its history.
type caseFile struct {
	caseRow
	Next    string                `json:"next"`
	History []exposure.Transition `json:"history"`
}

func (s *street) showCases(ctx context.Context, h *house, args []string) error {
	if _, err := h.tracker().Expire(ctx, s.now()); err != nil {
		return err
	}
	es, err := s.casesNamed(ctx, h, args)
	if err != nil {
		return err
	}
	files := make([]caseFile, 0, len(es))
	for _, e := range es {
		f := caseFile{caseRow: caseRow{e.Case(), e.Word(), e}, Next: next(&e)}
		for t, err := range h.store.Transitions(ctx, s.view(), store.Span{Key: e.Key}) {
			if err != nil {
				return err
			}
			f.History = append(f.History, t)
		}
		files = append(files, f)
	}
	if s.Format != "table" {
		return screen.Listing[caseFile]{
			Columns: s.caseListing("").Columns,
			Cells:   func(f caseFile) []string { return s.caseListing("").Cells(f.caseRow) },
		}.Show(&s.Screen, files)
	}
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := s.showCase(f); err != nil {
			return err
		}
	}
	return nil
}

// next says what must happen before the case is closed.
func next(e *exposure.Exposure) string {
	switch {
	case e.MovedTo.IsValid():
		return "it goes on at " + e.MovedTo.String()
	case e.Ruling == exposure.Accepted:
		return "work again on " + e.RuledUntil.UTC().Format("2006-01-02")
	case e.Ruling == exposure.FalsePositive:
		return "nothing, until the verdict is withdrawn"
	}
	switch e.Condition {
	case exposure.Fixed:
		return "nothing; if it is seen again it opens with its history"
	case exposure.Filtered:
		return "closed from outside only: it may still be open within"
	case exposure.Lapsed:
		return "unseen for 60 days, which proves nothing; if it is seen again it opens"
	case exposure.OneClean:
		if e.ClearedAt.IsZero() {
			return "no probe with a control has found it closed yet: ippwatch verify looks"
		}
		return "a second clean probe, a day after " + screen.Stamp(e.ClearedAt) + " UTC: ippwatch verify looks"
	case exposure.NotSeen:
		return "silence proves nothing: ippwatch verify looks again"
	case exposure.Reported:
		return "a feed says so and we have not looked: ippwatch scan or verify"
	}
	if e.Contact == exposure.Claimed {
		return "the owner says that it is fixed: ippwatch verify looks"
	}
	return "two clean probes a day apart: ippwatch verify looks"
}

func (s *street) showCase(f caseFile) error {
	line := func(head, text string) {
		if text != "" {
			fmt.Fprintf(s.Out, "%-12s %s\n", head, screen.Printable(text))
		}
	}
	title := f.Rule
	r, known := rule.ByID(f.Rule)
	if known {
		title = r.Title
	}
	fmt.Fprintf(s.Out, "%s (%s): %s\n", f.Case, f.Severity, screen.Printable(title))
	line("at", fmt.Sprintf("%s over %s, rule %s", netip.AddrPortFrom(f.Addr, f.Port), f.Transport, f.Rule))
	line("where", place(f.Where))
	line("state", fmt.Sprintf("%s (condition %s, contact %s, verdict %s)", f.State, f.Condition, f.Contact, f.Ruling))
	line("next", f.Next)
	line("evidence", f.Evidence)
	line("seen", fmt.Sprintf("first %s, last %s UTC, %s, cycle %d", screen.Stamp(f.FirstSeen), screen.Stamp(f.LastSeen), screen.Count(f.TimesSeen, "time", "times"), f.Cycle))
	line("device", f.Device)
	if f.MovedFrom.IsValid() {
		line("moved from", f.MovedFrom.String())
	}
	if f.RuledBy != "" {
		until := ""
		if !f.RuledUntil.IsZero() {
			until = " until " + f.RuledUntil.UTC().Format("2006-01-02")
		}
		line("decided by", f.RuledBy+until+": "+f.RuledWhy)
	}
	line("assigned to", f.Assignee)
	if known {
		fmt.Fprintf(s.Out, "\nWhat to do\n%s\n", screen.Wrap(r.Remedy.Owner, 76, "  "))
		for _, c := range r.Remedy.Commands {
			fmt.Fprintf(s.Out, "    %s\n", c)
		}
	}
	fmt.Fprintf(s.Out, "\nHistory\n")
	t := screen.Table{Head: []string{"at", "what", "from", "to", "by", "why"}}
	for _, step := range f.History {
		t.Rows = append(t.Rows, []string{screen.Stamp(step.At), string(step.Axis), step.From, step.To, step.Actor, step.Evidence})
	}
	return t.Write(s.Out)
}

// place says where a host is, as far as it is known.
func place(w exposure.Where) string {
	var words []string
	if w.ASN != 0 {
		words = append(words, strings.TrimSpace(fmt.Sprintf("AS%d %s", w.ASN, w.ASName)))
	}
	for _, word := range []string{w.City, w.Region, w.Country, w.Hostname} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}
