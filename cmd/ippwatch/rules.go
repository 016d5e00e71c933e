package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/rule"
	"ippwatch/screen"
)

func (s *street) rulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rules [ID]",
		Short: "List what is looked for, or explain one rule",
		Example: `  ippwatch rules
  ippwatch rules cups-browsed-callback`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return wants("ID")(cmd, args)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			for _, r := range rule.All {
				if len(args) == 0 {
					words = append(words, r.ID+"\t"+r.Title)
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: do(func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return s.listRules()
			}
			r, ok := rule.ByID(args[0])
			if !ok {
				return hint(usage("no rule %q; there are %s", args[0], strings.Join(rule.IDs(), ", ")), "ippwatch rules lists them with their titles")
			}
			return s.explain(r)
		}),
	}
}

// A ruleRow is a rule as the listings show it.
type ruleRow struct {
	ID        string   `json:"id"`
	Severity  string   `json:"severity"`
	Title     string   `json:"title"`
	Authority []string `json:"authority"`
	About     string   `json:"about"`
	Owner     string   `json:"owner"`
	Provider  string   `json:"provider"`
	CSIRT     string   `json:"csirt"`
	Commands  []string `json:"commands,omitempty"`
}

func row(r rule.Rule) ruleRow {
	return ruleRow{
		ID: r.ID, Severity: string(r.Severity), Title: r.Title, Authority: r.Authority, About: r.About,
		Owner: r.Remedy.Owner, Provider: r.Remedy.Provider, CSIRT: r.Remedy.CSIRT, Commands: r.Remedy.Commands,
	}
}

func (s *street) listRules() error {
	rows := make([]ruleRow, len(rule.All))
	for i, r := range rule.All {
		rows[i] = row(r)
	}
	return screen.Listing[ruleRow]{
		Columns: []string{"id", "severity", "title"},
		Cells:   func(r ruleRow) []string { return []string{r.ID, r.Severity, r.Title} },
	}.Show(&s.Screen, rows)
}

func (s *street) explain(r rule.Rule) error {
	if s.Format != "table" {
		return screen.Listing[ruleRow]{
			Columns: []string{"id", "severity", "title", "about"},
			Cells:   func(r ruleRow) []string { return []string{r.ID, r.Severity, r.Title, r.About} },
		}.ShowOne(&s.Screen, row(r))
	}
	part := func(head, text string) {
		if text != "" {
			fmt.Fprintf(s.Out, "\n%s\n%s\n", head, screen.Wrap(text, 76, "  "))
		}
	}
	fmt.Fprintf(s.Out, "%s (%s): %s\n", r.ID, r.Severity, r.Title)
	part("What it means", r.About)
	part("Authority", strings.Join(r.Authority, "; "))
	part("Owner", r.Remedy.Owner)
	part("Provider", r.Remedy.Provider)
	part("CSIRT", r.Remedy.CSIRT)
	if len(r.Remedy.Commands) > 0 {
		fmt.Fprintf(s.Out, "\nCommands\n")
		for _, c := range r.Remedy.Commands {
			fmt.Fprintf(s.Out, "  %s\n", c)
		}
	}
	return nil
}
