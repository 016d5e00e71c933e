package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/api"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) casesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cases",
		Short: "List cases, look at one, and decide about them",
		Long: `A case is one thing that is wrong at one door of one host, for as long as it lasts.
What is known of it (condition), how far we came with the people (contact) and what
a person decided (verdict) are three things; the state that a listing shows is
derived from them. Scans and feeds never change a verdict.

A CASE is named by its twelve characters, or by an address: then all open cases
there are meant.`,
	}
	cmd.AddCommand(s.casesList(), s.casesShow())
	for _, d := range decisions {
		cmd.AddCommand(s.casesDecide(d))
	}
	cmd.AddCommand(s.casesAssign(), s.casesTie(), s.casesUntie())
	return group(cmd)
}

// caseFlags narrow a listing.
type caseFlags struct {
	state, severity, assignee, since, only, constituents string
	rules                                                []string
	limit                                                int
}

func (s *street) casesList() *cobra.Command {
	f := &caseFlags{}
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List cases; without a word on the state, those that somebody should act on",
		Example: `  ippwatch cases list
  ippwatch cases list 198.51.100.0/24 --severity high
  ippwatch cases list --state claimed --format csv
  ippwatch cases list --for example-net --state all --format ndjson`,
		Args: wants("[PREFIX]"),
		RunE: do(func(ctx context.Context, args []string) error {
			filter, err := s.caseFilter(f, args)
			if err != nil {
				return err
			}
			if s.remote != nil {
				return s.listCasesThere(ctx, f, filter)
			}
			return s.read(ctx, func(h *house) error {
				if err := s.partOf(ctx, h, f, &filter); err != nil {
					return err
				}
				return s.listCases(ctx, h, filter)
			})
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.state, "state", "work", "which: "+strings.Join(api.StateWords(), ", "))
	fl.StringVar(&f.severity, "severity", "", "this severity and worse")
	fl.StringSliceVar(&f.rules, "rule", nil, "only of these rules; repeats")
	fl.StringVar(&f.assignee, "assignee", "", "only those that this person of ours works on")
	fl.StringVar(&f.since, "since", "", "seen last since then: yesterday, a date, or how long ago (36h)")
	fl.StringVar(&f.only, "for", "", "only what belongs to this constituent")
	fl.StringVar(&f.constituents, "constituents", "", "file that says who is responsible for what, instead of what is kept")
	fl.IntVar(&f.limit, "limit", 0, "at most so many; 0 for all")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateHelp(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions(severityWords(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("rule", cobra.FixedCompletions(rule.IDs(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("for", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.constituentWords(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagFilename("constituents", "yaml", "yml")
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return s.refuseThere(cmd, "constituents") }
	return there(cmd)
}

func stateHelp() []string {
	var words []string
	for _, st := range api.States {
		words = append(words, st.Word+"\t"+st.About)
	}
	return words
}

func (s *street) caseFilter(f *caseFlags, args []string) (store.Filter, error) {
	var filter store.Filter
	if !api.InState(f.state, &filter) {
		return filter, usage("--state %q: want one of %s", f.state, strings.Join(api.StateWords(), ", "))
	}
	if f.severity != "" && !slices.Contains(exposure.Severities, exposure.Severity(f.severity)) {
		return filter, usage("--severity %q: want %s", f.severity, strings.Join(severityWords(), ", "))
	}
	for _, id := range f.rules {
		if !slices.Contains(rule.IDs(), id) {
			return filter, usage("--rule %q: want one of %s", id, strings.Join(rule.IDs(), ", "))
		}
	}
	if f.limit < 0 {
		return filter, usage("--limit %d: want 0 or more", f.limit)
	}
	filter.MinSeverity, filter.Rules, filter.Assignee, filter.Limit = exposure.Severity(f.severity), f.rules, f.assignee, f.limit
	if f.since != "" {
		since, err := parseSince(f.since, s.now())
		if err != nil {
			return filter, err
		}
		filter.Since = since
	}
	if len(args) > 0 {
		p, err := parsePrefixes(args)
		if err != nil {
			return filter, err
		}
		filter.Prefix = p[0]
	}
	return filter, nil
}

func (s *street) listCases(ctx context.Context, h *house, filter store.Filter) error {
	if _, err := h.tracker().Expire(ctx, s.now()); err != nil {
		return err
	}
	var rows []v1.Case
	for e, err := range h.store.Exposures(ctx, s.view(), filter) {
		if err != nil {
			return err
		}
		rows = append(rows, v1.NewCase(e))
	}
	return s.caseListing("no case of that kind").Show(&s.Screen, rows)
}

// caseListing is wide for machines and narrow for people.
func (s *street) caseListing(empty string) screen.Listing[v1.Case] {
	if s.Format == "table" {
		return screen.Listing[v1.Case]{
			Columns: []string{"case", "severity", "state", "at", "rule", "since", "last_seen", "assignee", "evidence"},
			Cells: func(r v1.Case) []string {
				state := r.State
				if r.Cycle > 1 {
					state += fmt.Sprintf(" (cycle %d)", r.Cycle)
				}
				return []string{
					r.Case, string(r.Severity), state, fmt.Sprintf("%s/%s", netip.AddrPortFrom(r.Addr, r.Port), r.Transport), r.Rule,
					r.FirstSeen.UTC().Format(time.DateOnly), s.Stamp(r.LastSeen), r.Assignee, r.Evidence,
				}
			},
			Empty: empty,
		}
	}
	return screen.Listing[v1.Case]{
		Columns: []string{
			"case", "severity", "state", "ip", "port", "transport", "rule", "condition", "contact", "verdict",
			"first_seen", "last_seen", "times_seen", "cycle", "assignee", "country", "asn", "device", "evidence",
		},
		Cells: func(r v1.Case) []string {
			return []string{
				r.Case, string(r.Severity), r.State, r.Addr.String(), fmt.Sprint(r.Port), string(r.Transport), r.Rule,
				string(r.Condition), string(r.Contact), string(r.Ruling), s.Stamp(r.FirstSeen), s.Stamp(r.LastSeen),
				fmt.Sprint(r.TimesSeen), fmt.Sprint(r.Cycle), r.Assignee, r.Where.Country, fmt.Sprint(r.Where.ASN), r.Device, r.Evidence,
			}
		},
	}
}

// caseName is how a case is called; addresses are the other way to name cases.
var caseName = regexp.MustCompile(`^[0-9A-Fa-f]{12}$`)

// casesNamed returns the cases that the words mean.
func (s *street) casesNamed(ctx context.Context, h *house, words []string) ([]exposure.Exposure, error) {
	var all []exposure.Exposure
	seen := make(map[exposure.Key]bool)
	take := func(es ...exposure.Exposure) {
		for _, e := range es {
			if !seen[e.Key] {
				seen[e.Key] = true
				all = append(all, e)
			}
		}
	}
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			filter := store.Filter{Prefix: netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), Conditions: store.Work().Conditions}
			n := len(all)
			for e, err := range h.store.Exposures(ctx, s.view(), filter) {
				if err != nil {
					return nil, err
				}
				take(e)
			}
			if len(all) == n {
				return nil, hint(fmt.Errorf("%s has no open case", addr), "%s", s.again("cases list %s --state all", addr))
			}
			continue
		}
		if !caseName.MatchString(word) {
			return nil, usage("%q: want the name of a case, such as 4C8B0F6E52A1, or an address", word)
		}
		es, err := h.store.ExposuresNamed(ctx, s.view(), strings.ToUpper(word))
		if errors.Is(err, store.ErrNoExposure) {
			return nil, hint(fmt.Errorf("there is no case %s", strings.ToUpper(word)), "%s lists them", s.again("cases list --state all"))
		}
		if err != nil {
			return nil, err
		}
		if len(es) > 1 {
			return nil, hint(fmt.Errorf("%d cases are called %s", len(es), word), "name the address instead: %s or %s", es[0].Addr, es[1].Addr)
		}
		take(es...)
	}
	return all, nil
}

// completeCase offers the cases that are work.
func (s *street) completeCase(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if s.server != "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
		filter := store.Work()
		filter.Limit = 200
		for e, err := range h.store.Exposures(cmd.Context(), s.view(), filter) {
			if err != nil {
				return err
			}
			words = append(words, fmt.Sprintf("%s\t%s at %s, %s", e.Case(), e.Rule, netip.AddrPortFrom(e.Addr, e.Port), e.Word()))
		}
		return nil
	})
	return words, cobra.ShellCompDirectiveNoFileComp
}

// partOf narrows the filter to what belongs to the constituent of --for.
func (s *street) partOf(ctx context.Context, h *house, f *caseFlags, filter *store.Filter) error {
	if f.only == "" {
		return nil
	}
	d, err := s.directory(ctx, h, f.constituents)
	if err != nil {
		return err
	}
	if d == nil {
		return hint(fmt.Errorf("--for %s: nobody is known", f.only), "%s says who is responsible for what", s.again("constituents import FILE"))
	}
	var names []string
	for _, c := range d.All() {
		if c.Name == f.only {
			filter.Of = store.PartOf(c)
			return nil
		}
		names = append(names, c.Name)
	}
	return usage("--for %q: want one of %s", f.only, strings.Join(names, ", "))
}
