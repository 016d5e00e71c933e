package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) constituentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "constituents",
		Short: "Say who is responsible for what, and whom to tell",
		Long: `A constituent is an organisation with networks (prefixes, AS numbers, countries)
and contacts. What an import brings and what you edit by hand stand side by side:
an import never overwrites a hand's edit, and takes away only what it brought.
Every change is in the audit log. Reports and messages go by these constituents.`,
	}
	cmd.AddCommand(
		s.importCommand(), s.listCommand(), s.showCommand(), s.exportCommand(), s.whoCommand(), s.lookupCommand(),
		s.addCommand(), s.setCommand(), s.removeCommand(), s.undoCommand(), s.forgetCommand(), s.contactCommand(), s.logCommand(),
	)
	return group(cmd)
}

// people runs f on the registry of the data directory.
func (s *street) people(ctx context.Context, f func(*house, *people.Registry) error) error {
	return s.read(ctx, func(h *house) error { return s.advised(f(h, h.people)) })
}

// advised says what helps when a name is not known.
func (s *street) advised(err error) error {
	if errors.Is(err, people.ErrUnknown) && len(answer.Hints(err)) == 0 {
		return hint(err, "%s lists who is", s.again("constituents list"))
	}
	return err
}

func (s *street) hand() people.Hand {
	return people.Hand{View: s.view(), Who: whoami(), At: s.now().UTC()}
}

// completeConstituents offers the names for the first argument.
func (s *street) completeConstituents(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.constituentWords(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

func (s *street) constituentWords(ctx context.Context) []string {
	var words []string
	if !s.begun() {
		return nil
	}
	_ = s.people(ctx, func(_ *house, r *people.Registry) error { // a shell that completes shows no errors
		all, err := r.All(ctx, s.view())
		for _, k := range all {
			words = append(words, k.Name+"\t"+screen.Printable(k.Title))
		}
		return err
	})
	return words
}

func (s *street) importCommand() *cobra.Command {
	var source string
	var dry bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in constituents from YAML or CSV",
		Long: `Import keeps what a source says of all its constituents, whole or not at all: a
file with a mistake changes nothing, and all mistakes are told at once. What the
source said before and says no longer is forgotten. What you edited by hand stays.

A CSV file has a row for each contact, with a head that names its columns:
name, title, language, networks, asns, countries, and of the contact contact,
contact_name, role, contact_language, medium, format, pgp_key, interval,
business_days, opt_out. Only name is needed; lists are separated by spaces; what
a constituent has once need not be repeated in its further rows.`,
		Example: `  ippwatch constituents import constituents.yaml --dry-run
  ippwatch constituents import customers.csv --source crm`,
		Args: wants("FILE"),
		RunE: do(func(ctx context.Context, args []string) error { return s.importConstituents(ctx, args[0], source, dry) }),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "name of the source; default: that of the file")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would change, and change nothing")
	return cmd
}

// importSource is the name of an import that has none: that of the file.
func importSource(file, source string) (string, error) {
	if source == "" {
		base := filepath.Base(file)
		source = strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base)))
	}
	if err := people.CheckSource(source); err != nil {
		return "", usage("--source: %w", err)
	}
	return source, nil
}

// readConstituents reads a file: CSV if its name says so, YAML otherwise.
func readConstituents(file string) ([]exposure.Constituent, error) {
	parse := people.ParseConstituents
	if strings.EqualFold(filepath.Ext(file), ".csv") {
		parse = people.ParseTable
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read constituents: %w", err)
	}
	return parse(file, text)
}

func (s *street) importConstituents(ctx context.Context, file, source string, dry bool) error {
	source, err := importSource(file, source)
	if err != nil {
		return err
	}
	all, err := readConstituents(file)
	if err != nil {
		return err
	}
	return s.with(ctx, func(h *house) error {
		plan, err := h.people.Import(ctx, s.hand(), source, file, all, dry)
		if err != nil {
			return err
		}
		err = screen.Listing[people.Step]{
			Columns: []string{"what", "constituent", "changes"},
			Cells:   func(st people.Step) []string { return []string{st.What, st.Name, strings.Join(st.Lines, "; ")} },
			Empty:   "nothing changes",
		}.Show(&s.Screen, plan.Steps)
		n := plan.Counts
		text := fmt.Sprintf("import %s: %d added, %d changed, %d removed, %d the same", source, n[people.Added], n[people.Changed], n[people.Removed], n[people.Same])
		if n[people.Kept] > 0 {
			text += fmt.Sprintf("; %d stay as a hand edited them", n[people.Kept])
		}
		if dry {
			text += "; this was a dry run, nothing was changed"
		}
		s.Note("%s", text)
		return err
	})
}

func (s *street) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the constituents",
		Example: `  ippwatch constituents list --format csv`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				all, err := r.All(ctx, s.view())
				if err != nil {
					return err
				}
				return screen.Listing[people.Known]{
					Columns: []string{"name", "title", "networks", "asns", "countries", "language", "contacts", "edited"},
					Cells: func(k people.Known) []string {
						return []string{
							k.Name, k.Title, list(k.Networks), list(k.ASNs), list(k.Countries), k.Language,
							fmt.Sprint(len(k.Contacts)), fmt.Sprint(len(k.Edited)),
						}
					},
					Empty: "nobody is known yet; ippwatch constituents import FILE makes them known",
				}.Show(&s.Screen, all)
			})
		}),
	}
}

// list joins the elements of a list in a cell.
func list[T any](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, " ")
}

// A fact is one line of what is known of a constituent.
type fact struct {
	What   string `json:"what"`
	Source string `json:"source"`
	Value  string `json:"value"`
}

func (s *street) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show one constituent, and who says what of it",
		Example:           `  ippwatch constituents show customer-a`,
		Args:              wants("NAME"),
		ValidArgsFunction: s.completeConstituents,
		RunE: do(func(ctx context.Context, args []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				k, err := r.Find(ctx, s.view(), args[0])
				if err != nil {
					return err
				}
				if s.Format == "json" {
					return s.Document(k)
				}
				return screen.Listing[fact]{
					Columns: []string{"what", "source", "value"},
					Cells:   func(f fact) []string { return []string{f.What, f.Source, f.Value} },
				}.Show(&s.Screen, s.facts(k))
			})
		}),
	}
}

func (s *street) facts(k people.Known) []fact {
	facts := []fact{{"name", "", k.Name}}
	put := func(what, value, key string) {
		if value != "" {
			facts = append(facts, fact{what, k.Sources[key], value})
		}
	}
	put("title", k.Title, "title")
	put("language", k.Language, "language")
	for _, p := range k.Networks {
		put("network", p.String(), p.String())
	}
	for _, n := range k.ASNs {
		put("asn", fmt.Sprintf("AS%d", n), fmt.Sprintf("AS%d", n))
	}
	for _, c := range k.Countries {
		put("country", c, c)
	}
	for _, r := range k.Contacts {
		text := r.Address + people.Properties(r)
		if ok, why := people.Usable(r); !ok {
			text += ": not used, " + why
		}
		facts = append(facts, fact{"contact", r.Source, text})
	}
	for _, e := range k.Edited {
		facts = append(facts, fact{"edited", exposure.OwnData, e})
	}
	return facts
}

func (s *street) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the constituents as a file that import takes",
		Long: `Export writes the constituents as they are, imports and edits together: YAML, or a
table with --format csv.`,
		Example: `  ippwatch constituents export > constituents.yaml`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				all, err := r.All(ctx, s.view())
				if err != nil {
					return err
				}
				plain := make([]exposure.Constituent, len(all))
				for i, k := range all {
					plain[i] = k.Constituent
				}
				switch s.Format {
				case "csv":
					return people.FormatTable(s.Machine(), plain)
				case "json", "ndjson":
					return screen.Listing[exposure.Constituent]{}.Show(&s.Screen, plain)
				}
				return people.Format(s.Machine(), plain)
			})
		}),
	}
}

func (s *street) logCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:               "log [NAME]",
		Short:             "Show who changed what, from what to what",
		Example:           `  ippwatch constituents log customer-a`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeConstituents,
		RunE: do(func(ctx context.Context, args []string) error {
			about := ""
			if len(args) == 1 {
				about = args[0] + ": "
			}
			return s.read(ctx, func(h *house) error {
				rows, err := h.store.AuditAbout(ctx, s.view(), people.Words, about, limit)
				if err != nil {
					return err
				}
				return screen.Listing[store.Action]{
					Columns: []string{"at", "who", "what", "detail"},
					Cells:   func(a store.Action) []string { return []string{s.Stamp(a.At), a.Who, a.What, a.Detail} },
					Empty:   "nothing was changed",
				}.Show(&s.Screen, rows)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, the newest first")
	return cmd
}

// age is how old something is, in words for a cell.
func age(now, then time.Time) string {
	const day = 24 * time.Hour
	switch d := now.Sub(then); {
	case then.IsZero():
		return "-"
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d d", d/day)
	}
}
