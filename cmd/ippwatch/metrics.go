package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/tally"
)

// unknown is the group of what is not known.
const unknown = "unknown"

// metricsBy are the ways to group.
var metricsBy = []string{"constituent", "asn", "severity", "rule", "country", "arm"}

// holdoutFlags are the control group, as the rules for notices have it.
type holdoutFlags struct {
	percent, salt, by string
}

func (f *holdoutFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.percent, "holdout", "", "share that is not told on purpose, as 10%; without it there is no control group")
	fl.StringVar(&f.salt, "salt", "", "with --holdout: the word with which the control group is drawn")
	fl.StringVar(&f.by, "holdout-by", "recipient", "with --holdout: what is drawn, recipient or case")
}

func (f *holdoutFlags) parse() (tally.Holdout, error) {
	h := tally.Holdout{Salt: f.salt, By: tally.HoldoutUnit(f.by)}
	if h.By != tally.ByRecipient && h.By != tally.ByCase {
		return h, usage("--holdout-by %q: want recipient or case", f.by)
	}
	if f.percent == "" {
		if f.salt != "" {
			return h, usage("--salt needs --holdout PERCENT")
		}
		return h, nil
	}
	if err := h.Percent.UnmarshalText([]byte(f.percent)); err != nil {
		return h, usage("--holdout %w", err)
	}
	if f.salt == "" {
		return h, hint(usage("--holdout needs --salt"), "take the one with which the notices were held out; another draws another group")
	}
	return h, nil
}

type metricsFlags struct {
	since, by, constituents, svg   string
	turnbull, newOnly, definitions bool
	holdout                        holdoutFlags
}

func (s *street) metricsCommand() *cobra.Command {
	f := &metricsFlags{}
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Does it help: how long cases stay open, and what came of notices",
		Long: `Metrics tells how long exposures stay open (Kaplan-Meier, with what is still open
counted as such), what became of notices, and how often a hole comes back. With
--holdout it compares those who are told with those who are held out on purpose.
--definitions explains every figure; one that rests on too little is not given.`,
		Example: `  ippwatch metrics
  ippwatch metrics --by severity --since 2026-09-01 --svg curve.svg
  ippwatch metrics --by constituent --format csv
  ippwatch metrics --by arm --holdout 10% --salt autumn-2026`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error { return s.metrics(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "only what happened since then: a date, a time, or how long ago (2160h); default: all")
	fl.StringVar(&f.by, "by", "", "group by "+strings.Join(metricsBy, ", "))
	fl.StringVar(&f.constituents, "constituents", "", "file that says who is responsible for what, instead of what is kept")
	fl.BoolVar(&f.turnbull, "turnbull", false, "make no guess when between two probes a case ended")
	fl.BoolVar(&f.newOnly, "new-only", false, "leave out what the first look of all found: nobody knows how old it was")
	fl.StringVar(&f.svg, "svg", "", "write the curves to this file")
	fl.BoolVar(&f.definitions, "definitions", false, "explain every figure, and count nothing")
	f.holdout.add(fl)
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(metricsBy, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("holdout-by", cobra.FixedCompletions([]string{"recipient", "case"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("constituents", "yaml", "yml")
	_ = cmd.MarkFlagFilename("svg", "svg")
	return cmd
}

func (s *street) metrics(ctx context.Context, f *metricsFlags) error {
	if f.definitions {
		return s.defineFigures()
	}
	o := tally.Options{Until: s.now().UTC(), Turnbull: f.turnbull, NewOnly: f.newOnly}
	if f.since != "" {
		since, err := parseSince(f.since, s.now())
		if err != nil {
			return err
		}
		o.Since = since.UTC()
	}
	if f.by != "" && !slices.Contains(metricsBy, f.by) {
		return usage("--by %q: want %s", f.by, strings.Join(metricsBy, ", "))
	}
	holdout, err := f.holdout.parse()
	switch {
	case err != nil:
		return err
	case f.by == "arm" && holdout.Percent == 0:
		return usage("--by arm needs --holdout PERCENT and --salt, which say who was held out")
	}
	o.Arms, o.ByArm = holdout.Percent > 0, f.by == "arm"
	return s.read(ctx, func(h *house) error {
		report, simulated, err := s.countMetrics(ctx, h, f, &o, holdout)
		if err != nil {
			return err
		}
		if simulated > 0 {
			s.Note("%s of simulated hosts", screen.Count(simulated, "case is", "cases are"))
		}
		if err := s.drawCurves(f, &report); err != nil {
			return err
		}
		return s.showMetrics(&report, o)
	})
}

// countMetrics counts what the flags ask for, and how many cases are of simulated
// hosts.
func (s *street) countMetrics(ctx context.Context, h *house, f *metricsFlags, o *tally.Options, holdout tally.Holdout) (report tally.Report, simulated int, err error) {
	directory, err := s.whom(ctx, h, f.constituents, f.by == "constituent", "--by constituent")
	if err != nil {
		return report, 0, err
	}
	if o.FirstLook, err = h.firstLook(ctx, s.view()); err != nil {
		return report, 0, err
	}
	return h.measure(ctx, s.view(), *o, sorter{by: f.by, directory: directory, holdout: holdout})
}

// measure counts the cases that a view sees, in groups; without a way to group
// them in none.
func (h *house) measure(ctx context.Context, v access.View, o tally.Options, by sorter) (report tally.Report, simulated int, err error) {
	counted := tally.New(o)
	for spell, err := range tally.Spells(h.store.ExposuresInBrief(ctx, v), h.store.TransitionsByHost(ctx, v), h.former(ctx, v)) {
		if err != nil {
			return report, simulated, err
		}
		if spell.Case.Simulated {
			simulated++
		}
		counted.Add(&spell, by.place(&spell.Case))
	}
	report = counted.Report()
	switch by.by {
	case "severity":
		slices.SortStableFunc(report.Groups, func(a, b tally.Group) int {
			return exposure.Severity(a.Name).Rank() - exposure.Severity(b.Name).Rank()
		})
	case "":
		report.Groups = nil
	}
	return report, simulated, nil
}

// whom is the directory of who is responsible for what; nobody is an error if
// somebody is needed, for what the user asked.
func (s *street) whom(ctx context.Context, h *house, file string, needed bool, asked string) (*people.Directory, error) {
	d, err := s.directory(ctx, h, file)
	if err != nil {
		return nil, err
	}
	if d == nil && needed {
		return nil, hint(usage("%s: no constituent is known", asked), "name a file with --constituents, or import one: %s", s.again("constituents import FILE"))
	}
	if d == nil {
		d = people.NewDirectory(nil)
	}
	return d, nil
}

// firstLook is when the oldest case began.
func (h *house) firstLook(ctx context.Context, v access.View) (time.Time, error) {
	for t, err := range h.store.Transitions(ctx, v, store.Span{}) {
		return t.At, err
	}
	return time.Time{}, nil
}

// mostMoves bounds how far back the moves of a device are followed.
const mostMoves = 100

// former reads the history that a case goes on with.
func (h *house) former(ctx context.Context, v access.View) tally.Former {
	return func(e exposure.Exposure) ([][]exposure.Transition, error) {
		var past [][]exposure.Transition
		for range mostMoves {
			if !e.MovedFrom.IsValid() {
				break
			}
			k := e.Key
			k.Addr = e.MovedFrom
			before, err := h.store.Exposure(ctx, v, k)
			if errors.Is(err, store.ErrNoExposure) {
				break
			} else if err != nil {
				return nil, err
			}
			var there []exposure.Transition
			for t, err := range h.store.Transitions(ctx, v, store.Span{Key: k}) {
				if err != nil {
					return nil, err
				}
				there = append(there, t)
			}
			past = append(past, there)
			e = before
		}
		slices.Reverse(past)
		return past, nil
	}
}

// A sorter says in which group and on which side a case is.
type sorter struct {
	by        string
	directory *people.Directory
	holdout   tally.Holdout

	last    exposure.Exposure // of the answer below: cases come host by host
	matched string
}

// recipient is the constituent that is told first, or "".
func (t *sorter) recipient(e *exposure.Exposure) string {
	if e.Addr != t.last.Addr || e.Where != t.last.Where {
		t.last, t.matched = *e, ""
		if all := t.directory.Match(e.Addr, e.Where); len(all) > 0 {
			t.matched = all[0].Name
		}
	}
	return t.matched
}

func (t *sorter) place(e *exposure.Exposure) tally.Place {
	var p tally.Place
	if t.holdout.Percent > 0 {
		p.Arm, p.Unit = t.holdout.Arm(e.Key, t.recipient(e)), t.holdout.Unit(e.Key, t.recipient(e))
	}
	switch t.by {
	case "constituent":
		p.Group = cmp.Or(t.recipient(e), unassigned)
	case "asn":
		p.Group = unknown
		if e.Where.ASN != 0 {
			p.Group = "AS" + strconv.FormatUint(uint64(e.Where.ASN), 10)
		}
	case "severity":
		p.Group = string(e.Severity)
	case "rule":
		p.Group = e.Rule
	case "country":
		p.Group = cmp.Or(e.Where.Country, unknown)
	case "arm":
		p.Group = string(p.Arm)
	default:
		p.Group = "all"
	}
	return p
}

func (s *street) drawCurves(f *metricsFlags, r *tally.Report) error {
	if f.svg == "" {
		return nil
	}
	title := "How long print services stay open to strangers"
	if f.by != "" {
		title += ", by " + f.by
	}
	var b strings.Builder
	missing, err := tally.SVG(&b, r, title)
	if err != nil {
		return err
	}
	if err := replace(f.svg, []byte(b.String())); err != nil {
		return fmt.Errorf("write %s: %w", f.svg, err)
	}
	if missing > 0 {
		s.Note("%s not in the picture: too few cases, or more than six groups", screen.Count(missing, "group is", "groups are"))
	}
	return nil
}

func (s *street) showMetrics(r *tally.Report, o tally.Options) error {
	groups := append([]tally.Group{r.All}, r.Groups...)
	switch s.Format {
	case "json":
		return s.Document(metricsDocument(r, o))
	case "table":
		if err := metricsTable(groups).Show(&s.Screen, groups); err != nil {
			return err
		}
		s.explainMetrics(r, o)
		return nil
	}
	return metricsColumns(groups).Show(&s.Screen, groups)
}

// metricsTable is for people: figures with their words, intervals where they
// matter most.
func metricsTable(groups []tally.Group) screen.Listing[tally.Group] {
	columns := []string{"group", "cases", "fixed", "censored", "half_life"}
	for _, c := range groups[0].Closed {
		columns = append(columns, fmt.Sprintf("fixed_%.0fd", c.Day))
	}
	columns = append(columns, "notice", "answer", "delivered", "bounced", "reopened", "exposure_days")
	alone := func(f tally.Figure) tally.Figure {
		if f.Given() {
			f.Low, f.High = math.NaN(), math.NaN()
		}
		return f
	}
	return screen.Listing[tally.Group]{
		Columns: columns,
		Cells: func(g tally.Group) []string {
			cells := []string{g.Name, fmt.Sprint(g.Spells), fmt.Sprint(g.Events), fmt.Sprint(g.Censored), g.HalfLife.Days()}
			for _, c := range g.Closed {
				cells = append(cells, alone(c.Figure).Percent())
			}
			return append(cells, alone(g.Notice).Days(), alone(g.Answer).Days(), alone(g.Delivered).Percent(),
				alone(g.Bounced).Percent(), alone(g.Reopened).Percent(), fmt.Sprintf("%.0f", g.ExposureDays))
		},
	}
}

// metricsColumns is for machines: each figure with the ends of its interval and
// the word for why it is empty.
func metricsColumns(groups []tally.Group) screen.Listing[tally.Group] {
	columns := []string{"group", "cases", "fixed", "censored", "left_out"}
	figure := func(name string) {
		columns = append(columns, name, name+"_low", name+"_high", name+"_why")
	}
	figure("half_life_days")
	for _, c := range groups[0].Closed {
		figure(fmt.Sprintf("fixed_%.0fd", c.Day))
	}
	for _, name := range []string{"time_to_notice_days", "time_to_acknowledge_days", "delivered", "bounced", "reopened_90d"} {
		figure(name)
	}
	columns = append(columns, "notified", "exposure_days")
	return screen.Listing[tally.Group]{
		Columns: columns,
		Cells: func(g tally.Group) []string {
			cells := []string{g.Name, fmt.Sprint(g.Spells), fmt.Sprint(g.Events), fmt.Sprint(g.Censored), fmt.Sprint(g.LeftOut)}
			figures := []tally.Figure{g.HalfLife}
			for _, c := range g.Closed {
				figures = append(figures, c.Figure)
			}
			for _, f := range append(figures, g.Notice, g.Answer, g.Delivered, g.Bounced, g.Reopened) {
				cells = append(cells, value(f.Value), value(f.Low), value(f.High), string(f.Word))
			}
			return append(cells, fmt.Sprint(g.Notified), value(g.ExposureDays))
		},
	}
}

// value is a number for a machine, nothing if there is none.
func value(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// method is how the figures were made, in a sentence.
func method(r *tally.Report, o tally.Options) string {
	if !o.Turnbull {
		return "Kaplan-Meier, right-censored; a case that ended between two probes counts at the middle."
	}
	text := "Turnbull estimate from intervals; the interval of a figure is what the data leave open, not a 95 % interval."
	if r.Grid > 0 {
		text += fmt.Sprintf(" Intervals were rounded outward to %.3g days.", r.Grid)
	}
	if r.Gap > tally.TurnbullGap {
		text += fmt.Sprintf(" It was stopped when the logarithm of the likelihood was within %.2g a case of its maximum.", r.Gap)
	}
	return text
}

// explainMetrics says below the table how the figures were made, and what was
// found between the groups.
func (s *street) explainMetrics(r *tally.Report, o tally.Options) {
	say := func(format string, args ...any) { fmt.Fprintf(s.Out, format+"\n", args...) }
	say("")
	if t := r.Test; t != nil {
		say("log-rank: chi-square %.2f, %s, p %s", t.ChiSquare, screen.Count(t.Degrees, "degree of freedom", "degrees of freedom"), probability(t.P))
	}
	if t := r.Drawn; t != nil {
		say("log-rank for what was drawn (%d units): chi-square %.2f, p %s", t.Units, t.ChiSquare, probability(t.P))
	}
	for _, d := range r.Differences {
		if !d.Closed.Given() {
			say("told less held out at %.0f days: %s", d.Day, d.Closed.Word)
			continue
		}
		say("told less held out at %.0f days: %+.1f points fixed (%+.1f to %+.1f), cumulative hazard %+.2f (%+.2f to %+.2f)",
			d.Day, 100*d.Closed.Value, 100*d.Closed.Low, 100*d.Closed.High, d.Hazard.Value, d.Hazard.Low, d.Hazard.High)
	}
	say("%s", method(r, o))
	if !o.Since.IsZero() {
		say("Since %s UTC; %s over by then or too old to count.", screen.Stamp(o.Since), screen.Count(r.Before, "case was", "cases were"))
	}
	if r.Prevalent > 0 {
		word := "counted; --new-only leaves them out"
		if o.NewOnly {
			word = "left out"
		}
		say("%s found by the first look, at an unknown age: %s.", screen.Count(r.Prevalent, "case was", "cases were"), word)
	}
	if n := r.All.LeftOut; n > 0 {
		say("%s left out as false positive.", screen.Count(n, "case is", "cases are"))
	}
	say("What each figure means: ippwatch metrics --definitions")
}

func probability(p float64) string {
	if p < .0001 {
		return "< 0.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

// A metricsReport is the whole as JSON.
type metricsReport struct {
	Method        string             `json:"method"`
	Since         *time.Time         `json:"since"`
	Until         time.Time          `json:"until"`
	All           tally.Group        `json:"all"`
	Groups        []tally.Group      `json:"groups"`
	LogRank       *tally.Test        `json:"log_rank"`
	LogRankDrawn  *tally.Test        `json:"log_rank_drawn"`
	Differences   []tally.Difference `json:"differences"`
	FirstLook     int                `json:"first_look"`
	LeftOutBefore int                `json:"left_out_before"`
}

func metricsDocument(r *tally.Report, o tally.Options) metricsReport {
	d := metricsReport{
		Method: method(r, o), Until: o.Until, All: r.All, Groups: r.Groups, LogRank: r.Test, LogRankDrawn: r.Drawn,
		Differences: r.Differences, FirstLook: r.Prevalent, LeftOutBefore: r.Before,
	}
	if !o.Since.IsZero() {
		d.Since = &o.Since
	}
	if d.Groups == nil {
		d.Groups = []tally.Group{}
	}
	if d.Differences == nil {
		d.Differences = []tally.Difference{}
	}
	return d
}

func (s *street) defineFigures() error {
	if s.Format != "table" {
		return screen.Listing[tally.Definition]{
			Columns: []string{"name", "text"},
			Cells:   func(d tally.Definition) []string { return []string{d.Name, d.Text} },
		}.Show(&s.Screen, tally.Definitions)
	}
	for i, d := range tally.Definitions {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		fmt.Fprintf(s.Out, "%s\n%s\n", d.Name, screen.Wrap(d.Text, 76, "  "))
	}
	return nil
}
