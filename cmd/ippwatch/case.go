package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/api"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) casesShow() *cobra.Command {
	return there(&cobra.Command{
		Use:   "show CASE...",
		Short: "Show a case: what is wrong, since when, what closes it, and its whole history",
		Example: `  ippwatch cases show 4C8B0F6E52A1
  ippwatch cases show 198.51.100.20 --format json`,
		Args: wants("CASE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			if s.remote != nil {
				return s.showCasesThere(ctx, args)
			}
			return s.read(ctx, func(h *house) error { return s.showCases(ctx, h, args) })
		}),
		ValidArgsFunction: s.completeCase,
	})
}

func (s *street) showCases(ctx context.Context, h *house, args []string) error {
	if _, err := h.tracker().Expire(ctx, s.now()); err != nil {
		return err
	}
	es, err := s.casesNamed(ctx, h, args)
	if err != nil {
		return err
	}
	files := make([]v1.CaseFile, 0, len(es))
	for _, e := range es {
		f := v1.CaseFile{Case: v1.NewCase(e), Next: api.Next(&e)}
		for t, err := range h.store.Transitions(ctx, s.view(), store.Span{Key: e.Key}) {
			if err != nil {
				return err
			}
			f.History = append(f.History, t)
		}
		files = append(files, f)
	}
	return s.showFiles(files)
}

func (s *street) showCase(f v1.CaseFile) error {
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
	fmt.Fprintf(s.Out, "%s (%s): %s\n", f.Case.Case, f.Severity, screen.Printable(title))
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
