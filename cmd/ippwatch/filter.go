package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/acl"
	"ippwatch/acl/render"
	"ippwatch/filter"
	"ippwatch/screen"
)

func (s *street) filterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "filter",
		Short: "Write filters of exploitable ports for routers and firewalls, and prove them",
		Long: `A policy says what is to be dropped at which edge, and who is excepted until when.
Filter writes it in the words of a platform, reads its own output back and proves
that both treat every packet alike; it holds against the policy what an operator
runs today, and says what two filters do differently, whatever their platforms.`,
		Example: `  ippwatch filter init > policy.yaml
  ippwatch filter lint policy.yaml
  ippwatch filter render --platform nftables policy.yaml            counts, drops nothing
  ippwatch filter render --platform nftables --enforce policy.yaml
  ippwatch filter check --platform nftables --policy policy.yaml running.nft`,
	}
	cmd.AddCommand(
		s.filterInit(), s.filterLint(), s.filterPlatforms(),
		s.filterRender(), s.filterCheck(), s.filterDiff(), s.filterAnnounce(),
		s.filterVerify(), s.filterCustomers(), s.filterExceptions(), s.filterNotice(),
		s.filterApply(), s.filterConfirm(), s.filterGuard(), s.filterCounters(),
	)
	return group(cmd)
}

func (s *street) filterInit() *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		Short:   "Write a commented example of a policy",
		Example: `  ippwatch filter init > policy.yaml`,
		Args:    wants(),
		RunE: do(func(context.Context, []string) error {
			if _, err := fmt.Fprint(s.Out, acl.Example(s.now())); err != nil {
				return err
			}
			s.Note("write your networks, interfaces and exceptions into it: ippwatch filter lint FILE")
			return nil
		}),
	}
}

// policy reads a policy file.
func (s *street) policy(file string) (acl.Policy, error) {
	text, err := s.readFile(file)
	if err != nil {
		return acl.Policy{}, fmt.Errorf("read policy: %w", err)
	}
	return acl.ParsePolicy(file, text)
}

// readFile reads a file, or stdin for "-".
func (s *street) readFile(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(s.in)
	}
	return os.ReadFile(file)
}

// texts reads the files of a platform.
func (s *street) platformTexts(files []string) ([]acl.Text, error) {
	var all []acl.Text
	for _, file := range files {
		text, err := s.readFile(file)
		if err != nil {
			return nil, fmt.Errorf("read filter: %w", err)
		}
		all = append(all, acl.Text{Name: file, Body: string(text)})
	}
	return all, nil
}

func completePolicy(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// addPlatform adds --platform.
func addPlatform(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "platform", "", "platform, as in ippwatch filter platforms")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(filter.Names(), cobra.ShellCompDirectiveNoFileComp))
}

func knownPlatform(name string) error {
	switch {
	case name == "":
		return hint(usage("--platform is missing"), "one of %s", strings.Join(filter.Names(), ", "))
	case !filter.Has(name):
		return usage("--platform %q: want %s", name, strings.Join(filter.Names(), ", "))
	}
	return nil
}

type riskRow struct {
	Line   int    `json:"line,omitempty"`
	About  string `json:"about"`
	Risk   string `json:"risk"`
	Advice string `json:"advice"`
}

func (s *street) filterLint() *cobra.Command {
	var platform string
	var at spot
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Explain what is risky in a policy, or in a filter that is in use",
		Long: `Lint reads a policy and explains what is allowed in it and probably not meant: one
family only, exceptions that expired or undo the filter, a scanner that is locked
out. With --platform it reads the text of a filter that is in use, and explains
matches on the source port, logs without bound, and a family that is not filtered.`,
		Example: `  ippwatch filter lint policy.yaml
  ippwatch filter lint --platform nftables --interface wan running.nft`,
		Args:              wants("FILE..."),
		ValidArgsFunction: completePolicy,
		RunE: do(func(_ context.Context, args []string) error {
			if platform != "" {
				return s.lintText(platform, at, args)
			}
			if len(args) > 1 {
				return usage("filter lint: %q is one policy too many", args[1])
			}
			p, err := s.policy(args[0])
			if err != nil {
				return err
			}
			var rows []riskRow
			for _, r := range p.Lint(s.now()) {
				rows = append(rows, riskRow{Line: r.Line, About: r.About, Risk: r.Risk, Advice: r.Advice})
			}
			return s.showRisks(rows, fmt.Sprintf("%s: no risk is seen", args[0]))
		}),
	}
	addPlatform(cmd, &platform)
	at.add(cmd)
	return cmd
}

// showRisks ends with "found" when there is one.
func (s *street) showRisks(rows []riskRow, none string) error {
	if s.Format == "table" {
		for _, r := range rows {
			at := r.About
			if r.Line > 0 {
				at = fmt.Sprintf("line %d: %s", r.Line, r.About)
			}
			fmt.Fprintf(s.Out, "%s: %s\n", screen.Printable(at), screen.Printable(r.Risk))
			fmt.Fprintf(s.Out, "%s\n", screen.Wrap(screen.Printable(r.Advice), 76, "    "))
		}
		if len(rows) == 0 {
			fmt.Fprintln(s.Out, none)
			return nil
		}
		return errFound
	}
	err := screen.Listing[riskRow]{
		Columns: []string{"line", "about", "risk", "advice"},
		Cells: func(r riskRow) []string {
			return []string{fmt.Sprint(r.Line), r.About, r.Risk, r.Advice}
		},
	}.Show(&s.Screen, rows)
	if err == nil && len(rows) > 0 {
		return errFound
	}
	return err
}

func (s *street) lintText(platform string, at spot, files []string) error {
	if err := knownPlatform(platform); err != nil {
		return err
	}
	where, err := at.attach(acl.Attach{})
	if err != nil {
		return err
	}
	texts, err := s.platformTexts(files)
	if err != nil {
		return err
	}
	got, err := filter.Read(platform, texts, where)
	if err != nil {
		return err
	}
	var rows []riskRow
	lists := 0
	for _, one := range got {
		lists += len(one.Stages)
		for _, r := range filter.Lint(one.Filter) {
			row := riskRow{Line: r.Line, About: r.About, Risk: r.Risk, Advice: r.Advice}
			if !slices.Contains(rows, row) {
				rows = append(rows, row)
			}
		}
	}
	return s.showRisks(rows, "no risk is seen in "+screen.Count(lists, "list", "lists"))
}

type platformRow struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Checked   string `json:"checked"`
	Authority string `json:"authority"`
	Most      int    `json:"most_lines,omitempty"`
}

func (s *street) filterPlatforms() *cobra.Command {
	return &cobra.Command{
		Use:   "platforms",
		Short: "List the platforms for which filters are written and read",
		Args:  wants(),
		RunE: do(func(context.Context, []string) error {
			var rows []platformRow
			for _, p := range render.All {
				checked := p.Proven
				if checked == "" {
					checked = filter.Unverified
				}
				rows = append(rows, platformRow{p.Name, p.Title, checked, p.Authority, p.Most})
			}
			return screen.Listing[platformRow]{
				Columns: []string{"platform", "title", "checked", "words_from"},
				Cells:   func(r platformRow) []string { return []string{r.Name, r.Title, r.Checked, r.Authority} },
			}.Show(&s.Screen, rows)
		}),
	}
}

// A spot is where a filter stands, when no policy says it.
type spot struct {
	profile    string
	interfaces []string
}

func (p *spot) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&p.interfaces, "interface", nil, "interface at which the filter stands, if the policy does not say it; repeats")
	cmd.Flags().StringVar(&p.profile, "profile", "", "edge, customer-edge, segment or host; default: the policy's, else edge")
	var names []string
	for _, one := range acl.Profiles {
		names = append(names, string(one))
	}
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// attach is the place of the policy, with what the flags say otherwise.
func (p *spot) attach(at acl.Attach) (acl.Attach, error) {
	where, err := filter.Place(at, p.profile, p.interfaces)
	if err != nil {
		return where, usage("--%w", err)
	}
	return where, nil
}

type renderFlags struct {
	platform, out     string
	enforce, rollback bool
}

func (s *street) filterRender() *cobra.Command {
	f := &renderFlags{}
	cmd := &cobra.Command{
		Use:   "render POLICY",
		Short: "Write the filter of a policy for a platform, proven",
		Long: `Render writes the filter in the words of the platform, reads it back with a reader
that shares nothing with the writer, and proves that text and policy treat every
packet alike; otherwise it shows a packet and hands nothing out. Without --enforce
the filter counts what it would drop and drops nothing: begin with that.

Exceptions that have expired are left out. What stands on stderr says how to load
the filter, how to watch it and how to take it back.`,
		Example: `  ippwatch filter render --platform nftables policy.yaml
  ippwatch filter render --platform nftables --enforce --out filters policy.yaml
  ippwatch filter render --platform nftables --rollback policy.yaml`,
		Args:              wants("POLICY"),
		ValidArgsFunction: completePolicy,
		RunE:              do(func(_ context.Context, args []string) error { return s.render(f, args[0]) }),
	}
	addPlatform(cmd, &f.platform)
	fl := cmd.Flags()
	fl.BoolVar(&f.enforce, "enforce", false, "drop; otherwise what would be dropped is only counted")
	fl.BoolVar(&f.rollback, "rollback", false, "write what takes the filter off again")
	fl.StringVar(&f.out, "out", "", "directory to write filter, rollback and instructions into; default: the filter to stdout")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func (s *street) render(f *renderFlags, file string) error {
	if err := knownPlatform(f.platform); err != nil {
		return err
	}
	p, err := s.policy(file)
	if err != nil {
		return err
	}
	rendered, err := filter.Render(f.platform, p.Form(s.now(), !f.enforce))
	if err != nil {
		return explainRender(err)
	}
	for _, e := range p.Exceptions {
		if !e.Holds(s.now()) {
			s.Note("line %d: the exception %s expired on %s and is left out", e.Line, screen.Printable(e.Ticket), e.LastDay())
		}
	}
	if f.out != "" {
		return s.writeRendered(f.out, rendered)
	}
	if s.Format == "json" {
		return s.Document(renderedDocument(rendered))
	}
	texts := rendered.Texts
	if f.rollback {
		texts = rendered.Rollback
	}
	for _, t := range texts {
		if len(texts) > 1 {
			fmt.Fprintf(s.Out, "# ==== %s ====\n", t.Name)
		}
		if _, err := fmt.Fprint(s.Out, t.Body); err != nil {
			return err
		}
	}
	s.Note("%s", strings.TrimRight(rendered.How(), "\n"))
	return nil
}

func explainRender(err error) error {
	if errors.Is(err, acl.ErrCannot) {
		return hint(err, "another platform can, or the policy asks for less; docs/filters.md says what each can")
	}
	return err
}

// A renderedFile is one of the texts of a document.
type renderedFile struct {
	Name string `json:"name"`
	Body string `json:"body"`
}

// renderedDocument is all that belongs to a filter, for a program.
func renderedDocument(r filter.Rendered) any {
	files := func(texts []acl.Text) []renderedFile {
		all := make([]renderedFile, len(texts))
		for i, t := range texts {
			all[i] = renderedFile(t)
		}
		return all
	}
	return struct {
		Platform  string         `json:"platform"`
		Checked   string         `json:"checked"`
		CountOnly bool           `json:"count_only"`
		Files     []renderedFile `json:"files"`
		Rollback  []renderedFile `json:"rollback"`
		Load      []string       `json:"load"`
		Confirm   []string       `json:"confirm"`
		Counters  []string       `json:"counters"`
		Undo      []string       `json:"undo"`
		Notes     []string       `json:"notes"`
	}{
		r.Platform.Name, orElse(r.Platform.Proven, filter.Unverified), r.Form.CountOnly, files(r.Texts), files(r.Rollback),
		r.Load, r.Confirm, r.Counters, r.Undo, r.Notes,
	}
}

// writeRendered writes all that belongs to a filter into a directory.
func (s *street) writeRendered(dir string, r filter.Rendered) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := slices.Concat(r.Texts, r.Rollback, []acl.Text{{Name: r.Form.Name + "-how.txt", Body: r.How()}})
	for _, t := range files {
		path := filepath.Join(dir, t.Name)
		if err := replace(path, []byte(t.Body)); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		fmt.Fprintln(s.Out, path)
	}
	return nil
}
