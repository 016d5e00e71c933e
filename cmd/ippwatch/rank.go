package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/tally"
)

type rankFlags struct {
	by, only, constituents string
	limit                  int
	weights                bool
	holdout                holdoutFlags
}

func (s *street) rankCommand() *cobra.Command {
	f := &rankFlags{}
	cmd := &cobra.Command{
		Use:   "rank",
		Short: "Whom to call first, and why",
		Long: `Rank lists hosts or constituents in the order in which to call them: by severity,
proof, age, amplification, how often a hole came back, and whether anybody was told.
Each column is points, and the line says for what; below it is whom to call and what
to say. Only open cases count that nobody accepted or dismissed.`,
		Example: `  ippwatch rank
  ippwatch rank --by host --limit 5
  ippwatch rank --for customer-a --format csv`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error { return s.rank(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.by, "by", "", "host or constituent; default: constituent if any is known, else host")
	fl.StringVar(&f.only, "for", "", "only hosts of this constituent, or "+unassigned)
	fl.StringVar(&f.constituents, "constituents", "", "file that says who is responsible for what, instead of what is kept")
	fl.IntVar(&f.limit, "limit", 10, "how many; 0: all")
	fl.BoolVar(&f.weights, "weights", false, "show what is worth how many points, and rank nothing")
	f.holdout.add(fl)
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"host", "constituent"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("for", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return append([]string{unassigned + "\thosts of no constituent"}, s.constituentWords(cmd.Context())...), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagFilename("constituents", "yaml", "yml")
	return cmd
}

func (f *rankFlags) check() error {
	switch {
	case f.by != "" && f.by != "host" && f.by != "constituent":
		return usage("--by %q: want host or constituent", f.by)
	case f.limit < 0:
		return usage("--limit %d: want 0 or more", f.limit)
	}
	return nil
}

func (s *street) rank(ctx context.Context, f *rankFlags) error {
	if f.weights {
		return screen.Listing[tally.Weight]{
			Columns: []string{"column", "points", "for"},
			Cells:   func(w tally.Weight) []string { return []string{w.Column, w.Points, w.For} },
		}.Show(&s.Screen, tally.Weights())
	}
	if err := f.check(); err != nil {
		return err
	}
	holdout, err := f.holdout.parse()
	if err != nil {
		return err
	}
	return s.read(ctx, func(h *house) error {
		asked := "--by constituent"
		if f.only != "" {
			asked = "--for " + f.only
		}
		directory, err := s.whom(ctx, h, f.constituents, f.only != "" || f.by == "constituent", asked)
		if err != nil {
			return err
		}
		known := make(map[string]exposure.Constituent)
		names := []string{unassigned}
		for _, c := range directory.All() {
			known[c.Name] = c
			names = append(names, c.Name)
		}
		if f.only != "" && !slices.Contains(names, f.only) {
			return usage("--for %q: want one of %s", f.only, strings.Join(names, ", "))
		}
		if f.by == "" {
			if f.by = "host"; len(known) > 0 && f.only == "" {
				f.by = "constituent"
			}
		}
		list, held, err := s.ranking(ctx, h, f, &sorter{directory: directory, holdout: holdout})
		if err != nil {
			return err
		}
		if held > 0 {
			s.Note("%s held out as control group, and not on the list", screen.Count(held, "case is", "cases are"))
		}
		rows := make([]call, len(list))
		for i, r := range list {
			who := r.Name
			if f.by == "host" {
				who = ""
				if all := directory.Match(r.Lead.Addr, r.Lead.Where); len(all) > 0 {
					who = all[0].Name
				}
			}
			rows[i] = newCall(r, known[who])
		}
		return s.showCalls(rows)
	})
}

// ranking reads the cases and ranks them; held is how many are not to be told.
func (s *street) ranking(ctx context.Context, h *house, f *rankFlags, t *sorter) (list []tally.Ranked, held int, err error) {
	if err := s.pass(ctx, h); err != nil {
		return nil, 0, err
	}
	ratios, err := s.ratios(ctx, h)
	if err != nil {
		return nil, 0, err
	}
	ranking := tally.NewRanking(f.by == "host", f.limit)
	former := h.former(ctx, s.view())
	for e, err := range h.store.Exposures(ctx, s.view(), store.Work()) {
		if err != nil {
			return nil, 0, err
		}
		who := cmp.Or(t.recipient(&e), unassigned)
		if f.only != "" && !concerns(t.directory, &e, f.only) {
			continue
		}
		if f.only != "" {
			who = f.only
		}
		if t.holdout.Arm(e.Key, t.recipient(&e)) == tally.Held {
			held++
			continue
		}
		c := tally.Candidate{Exposure: e, Opened: e.FirstSeen, Ratio: ratios[e.Last]}
		if e.Cycle > 1 {
			// The first sighting is of an earlier cycle.
			if c.Opened, err = s.opened(ctx, h, former, e); err != nil {
				return nil, 0, err
			}
		}
		ranking.Add(&c, who)
	}
	return ranking.List(), held, nil
}

// concerns reports whether the case is one of the constituent's, though perhaps
// another is told first.
func concerns(d *people.Directory, e *exposure.Exposure, name string) bool {
	all := d.Match(e.Addr, e.Where)
	if name == unassigned {
		return len(all) == 0
	}
	return slices.ContainsFunc(all, func(c exposure.Constituent) bool { return c.Name == name })
}

func (s *street) opened(ctx context.Context, h *house, former tally.Former, e exposure.Exposure) (at time.Time, err error) {
	past, err := former(e)
	if err != nil {
		return at, err
	}
	var steps []exposure.Transition
	for t, err := range h.store.Transitions(ctx, s.view(), store.Span{Key: e.Key}) {
		if err != nil {
			return at, err
		}
		steps = append(steps, t)
	}
	if since, ok := tally.Open(tally.Of(e, past, steps)); ok {
		return since, nil
	}
	return e.FirstSeen, nil
}

// ratios are the amplification that the last observation of each host that
// called back has measured.
func (s *street) ratios(ctx context.Context, h *house) (map[exposure.ID]float64, error) {
	ratios := make(map[exposure.ID]float64)
	filter := store.Work()
	filter.Rules = []string{"cups-browsed-callback", "reflector"}
	var oldest time.Time
	for e, err := range h.store.Exposures(ctx, s.view(), filter) {
		if err != nil {
			return nil, err
		}
		ratios[e.Last] = 0
		if oldest.IsZero() || e.LastSeen.Before(oldest) {
			oldest = e.LastSeen
		}
	}
	if len(ratios) == 0 {
		return nil, nil
	}
	for r, err := range h.archive.Observations(ctx, s.view(), archive.Query{From: oldest, Verdict: exposure.CalledBack}) {
		if err != nil {
			return nil, err
		}
		if _, wanted := ratios[r.ID]; wanted && r.Callback != nil {
			ratios[r.ID] = r.Callback.RatioApp
		}
	}
	return ratios, nil
}

// A call is a line of the list, with whom to call.
type call struct {
	tally.Ranked
	Title    string               `json:"title,omitempty"`
	Contacts []exposure.Recipient `json:"contacts"`
}

// newCall chooses the contacts that a person can use, those with a telephone
// first.
func newCall(r tally.Ranked, who exposure.Constituent) call {
	c := call{Ranked: r, Title: who.Title, Contacts: []exposure.Recipient{}}
	for _, medium := range []exposure.Channel{exposure.ByPhone, exposure.ByMail} {
		for _, to := range who.Contacts {
			if to.Medium == medium && !to.OptOut && !to.Invalid {
				c.Contacts = append(c.Contacts, to)
			}
		}
	}
	return c
}

// who is the name that somebody reads.
func (c *call) who() string {
	name := c.Name
	if c.Simulated {
		name += " (simulated)"
	}
	return name
}

// reach is how to get hold of them, in a line.
func (c *call) reach() string {
	var ways []string
	for _, to := range c.Contacts {
		way := to.Address
		if name := cmp.Or(to.Name, to.Role); name != "" {
			way = name + " " + way
		}
		ways = append(ways, way)
	}
	return strings.Join(ways, ", ")
}

// nobody says whom to ask when nobody is named.
func (c *call) nobody() string {
	if n := c.Lead.Where.ASN; n != 0 {
		return fmt.Sprintf("nobody is named: ask the abuse contact of AS%d", n)
	}
	return "nobody is named: ask the abuse contact of the network"
}

func (s *street) showCalls(rows []call) error {
	listing := screen.Listing[call]{
		Columns: []string{"rank", "name", "points", "severity", "proof", "age", "ratio", "reopened", "contact", "more", "why"},
		Cells: func(c call) []string {
			cells := []string{fmt.Sprint(c.Rank), c.who()}
			for _, n := range []int{c.Points, c.Parts.Severity, c.Parts.Proof, c.Parts.Age, c.Parts.Ratio, c.Parts.Reopened, c.Parts.Contact, c.Parts.More} {
				cells = append(cells, fmt.Sprint(n))
			}
			return append(cells, c.Why)
		},
		Empty: "nobody has to be called: no case is open",
	}
	if s.Format == "csv" {
		cells := listing.Cells
		listing.Columns = append(listing.Columns, "call", "say", "hosts", "cases", "case_numbers")
		listing.Cells = func(c call) []string {
			return append(cells(c), c.reach(), c.Say, fmt.Sprint(c.Hosts), fmt.Sprint(c.Cases), strings.Join(c.Numbers, " "))
		}
	}
	if err := listing.Show(&s.Screen, rows); err != nil || s.Format != "table" {
		return err
	}
	for _, c := range rows {
		title := c.who()
		if c.Title != "" {
			title = c.Title + " (" + title + ")"
		}
		more := ""
		if n := c.Cases - len(c.Numbers); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(s.Out, "\n%d. %s\n", c.Rank, screen.Printable(title))
		fmt.Fprintf(s.Out, "   call   %s\n", screen.Printable(cmp.Or(c.reach(), c.nobody())))
		fmt.Fprintf(s.Out, "   say    %s\n", strings.TrimLeft(screen.Wrap(screen.Printable(c.Say), 76, "          "), " "))
		fmt.Fprintf(s.Out, "   cases  %s%s\n", strings.Join(c.Numbers, " "), more)
	}
	return nil
}
