package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/answer"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/store"
)

// settingFlags are what may be set of a constituent.
type settingFlags struct {
	title, language           string
	networks, asns, countries []string
	noNets, noASNs, noLands   []string
}

func (f *settingFlags) add(fl *pflag.FlagSet, removal bool) {
	fl.StringVar(&f.title, "title", "", "what it is called in reports")
	fl.StringVar(&f.language, "language", "", "language of its reports, such as de")
	fl.StringSliceVar(&f.networks, "network", nil, "prefix or address to add; repeats")
	fl.StringSliceVar(&f.asns, "asn", nil, "AS number to add; repeats")
	fl.StringSliceVar(&f.countries, "country", nil, "country to add; repeats")
	if removal {
		fl.StringSliceVar(&f.noNets, "remove-network", nil, "prefix or address to take out; repeats")
		fl.StringSliceVar(&f.noASNs, "remove-asn", nil, "AS number to take out; repeats")
		fl.StringSliceVar(&f.noLands, "remove-country", nil, "country to take out; repeats")
	}
}

func (f *settingFlags) settings(fl *pflag.FlagSet) []people.Setting {
	var all []people.Setting
	if fl.Changed("title") {
		all = append(all, people.Setting{Field: "title", Value: f.title})
	}
	if fl.Changed("language") {
		all = append(all, people.Setting{Field: "language", Value: f.language})
	}
	each := func(field string, values []string, remove bool) {
		for _, v := range values {
			all = append(all, people.Setting{Field: field, Value: v, Remove: remove})
		}
	}
	each("networks", f.networks, false)
	each("asns", f.asns, false)
	each("countries", f.countries, false)
	each("networks", f.noNets, true)
	each("asns", f.noASNs, true)
	each("countries", f.noLands, true)
	return all
}

func (s *street) addCommand() *cobra.Command {
	f := &settingFlags{}
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a constituent by hand",
		Example: `  ippwatch constituents add customer-c --title "Customer C" --network 203.0.113.0/24 --language en`,
		Args:    wants("NAME"),
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		return s.with(ctx, func(h *house) error {
			lines, err := h.people.Set(ctx, s.hand(), args[0], true, f.settings(cmd.Flags()))
			return s.told(args[0], lines, err)
		})
	})
	f.add(cmd.Flags(), false)
	return cmd
}

func (s *street) setCommand() *cobra.Command {
	f := &settingFlags{}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a constituent by hand",
		Long: `Set changes only what the flags name. What you set stays, whatever later imports
say; ippwatch constituents undo NAME makes it again what they say.`,
		Example: `  ippwatch constituents set customer-a --language de
  ippwatch constituents set customer-a --network 203.0.113.0/24 --remove-network 198.51.100.0/25`,
		Args:              wants("NAME"),
		ValidArgsFunction: s.completeConstituents,
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		settings := f.settings(cmd.Flags())
		if len(settings) == 0 {
			return usage("constituents set: say what, such as --language de")
		}
		return s.people(ctx, func(_ *house, r *people.Registry) error {
			lines, err := r.Set(ctx, s.hand(), args[0], false, settings)
			return s.told(args[0], lines, err)
		})
	})
	f.add(cmd.Flags(), true)
	return cmd
}

// told says what an edit changed.
func (s *street) told(name string, lines []string, err error) error {
	if _, wrong := errors.AsType[people.MistakeError](err); wrong {
		return answer.Misuse(err)
	}
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		lines = []string{"as it was; now it stays so whatever imports say"}
	}
	s.Note("%s: %s", name, screen.Printable(strings.Join(lines, "; ")))
	return nil
}

func (s *street) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a constituent out by hand",
		Long: `Remove takes a constituent out, and an import that has it still does not bring it
back: ippwatch constituents undo NAME, or add, does.`,
		Example:           `  ippwatch constituents remove customer-b`,
		Args:              wants("NAME"),
		ValidArgsFunction: s.completeConstituents,
		RunE: do(func(ctx context.Context, args []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				if err := r.Remove(ctx, s.hand(), args[0]); err != nil {
					return err
				}
				s.Note("%s is removed; %s brings it back if an import has it", args[0], s.again("constituents undo %s", args[0]))
				return nil
			})
		}),
	}
}

func (s *street) undoCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "undo NAME",
		Short:   "Forget every edit of a constituent: it is what imports say",
		Example: `  ippwatch constituents undo customer-a`,
		Args:    wants("NAME"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				lines, err := r.Undo(ctx, s.hand(), args[0])
				if err != nil {
					return err
				}
				if len(lines) == 0 {
					lines = []string{"as it was"}
				}
				s.Note("%s: edits undone; %s", args[0], screen.Printable(strings.Join(lines, "; ")))
				return nil
			})
		}),
		ValidArgsFunction: s.completeConstituents,
	}
}

func (s *street) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "forget SOURCE",
		Short:   "Forget all that an import brought",
		Example: `  ippwatch constituents forget crm`,
		Args:    wants("SOURCE"),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return s.sources(cmd.Context(), store.ImportConstituents), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error {
				names, err := h.people.Forget(ctx, s.hand(), args[0])
				if err != nil {
					return s.unknownSource(ctx, h, store.ImportConstituents, err)
				}
				s.Note("forgot what %s said of %s: %s", args[0], screen.Count(len(names), "constituent", "constituents"), strings.Join(names, ", "))
				return nil
			})
		}),
	}
}

// sources are the names of the imports of a kind, for a shell that completes.
func (s *street) sources(ctx context.Context, kind string) []string {
	var words []string
	if !s.begun() {
		return nil
	}
	_ = s.read(ctx, func(h *house) error { // a shell that completes shows no errors
		all, err := h.store.Imports(ctx, s.view(), kind)
		for _, i := range all {
			words = append(words, i.Source+"\t"+screen.Printable(i.File))
		}
		return err
	})
	return words
}

func (s *street) unknownSource(ctx context.Context, h *house, kind string, err error) error {
	all, wrong := h.store.Imports(ctx, s.view(), kind)
	if wrong != nil || len(all) == 0 {
		return hint(err, "nothing was imported yet")
	}
	var words []string
	for _, i := range all {
		words = append(words, i.Source)
	}
	return hint(err, "there are %s", strings.Join(words, ", "))
}

func (s *street) contactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "contact",
		Short: "Say whom to tell, how, and whom not",
		Long: `Contacts are told in their order, those that were added by hand first. Whoever
opted out is told nothing, whatever imports or look-ups say.`,
	}
	cmd.AddCommand(
		s.contactSetCommand(true), s.contactSetCommand(false), s.contactRemoveCommand(),
		s.optOutCommand(), s.optInCommand(), s.contactListCommand(),
	)
	return group(cmd)
}

// contactFlags are the fields of a contact that a flag sets, with what they mean.
var contactFlags = []struct{ key, flag, help string }{
	{"name", "name", "name of the person or desk"},
	{"role", "role", "a word such as abuse, technical or management"},
	{"language", "language", "language of what is sent, such as de"},
	{"medium", "medium", "mail, webhook or phone; default: what the address looks like"},
	{"format", "with", "what messages carry: text, html, xarf, csv; several with commas"},
	{"pgp_key", "pgp-key", "fingerprint, or a file with the armoured public key"},
	{"interval", "interval", "least time between two messages, such as 24h or 7d"},
}

func (s *street) contactSetCommand(create bool) *cobra.Command {
	values := make([]string, len(contactFlags))
	var business bool
	cmd := &cobra.Command{
		Use:     "set NAME ADDRESS",
		Short:   "Change a contact of a constituent",
		Long:    "Set changes only what the flags name; an empty value takes back what was set.",
		Example: `  ippwatch constituents contact set customer-a abuse@example.net --interval 7d`,
		Args:    wants("NAME", "ADDRESS"),
	}
	if create {
		cmd.Use, cmd.Short, cmd.Long = "add NAME ADDRESS", "Add a contact to a constituent", "The address is a mail address, a telephone number that begins with +, or an https URL."
		cmd.Example = `  ippwatch constituents contact add customer-a abuse@example.net --role technical --with text,csv --interval 24h --business-days`
	}
	cmd.ValidArgsFunction = s.completeContacts
	fl := cmd.Flags()
	for i, f := range contactFlags {
		fl.StringVar(&values[i], f.flag, "", f.help)
	}
	fl.BoolVar(&business, "business-days", false, "tell on working days only")
	_ = cmd.RegisterFlagCompletionFunc("medium", cobra.FixedCompletions([]string{"mail", "webhook", "phone"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("with", cobra.FixedCompletions([]string{"text", "html", "xarf", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"abuse", "technical", "management"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		var fields []people.Field
		for i, f := range contactFlags {
			if fl.Changed(f.flag) {
				fields = append(fields, people.Field{Key: f.key, Value: values[i]})
			}
		}
		if fl.Changed("business-days") {
			fields = append(fields, people.Field{Key: "business_days", Value: fmt.Sprint(business)})
		}
		if !create && len(fields) == 0 {
			return usage("constituents contact set: say what, such as --interval 7d")
		}
		if err := keyFile(fields); err != nil {
			return err
		}
		return s.people(ctx, func(_ *house, r *people.Registry) error {
			lines, err := r.SetContact(ctx, s.hand(), args[0], args[1], create, fields)
			return s.told(args[0], lines, err)
		})
	})
	return cmd
}

// keyFile reads the key from the file that was named.
func keyFile(fields []people.Field) error {
	for i, f := range fields {
		if f.Key != "pgp_key" || f.Value == "" {
			continue
		}
		text, err := os.ReadFile(f.Value)
		if err == nil {
			fields[i].Value = string(text)
		} else if strings.ContainsAny(f.Value, "/.") {
			return fmt.Errorf("read PGP key: %w", err)
		}
	}
	return nil
}

// completeContacts offers names, then addresses.
func (s *street) completeContacts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return s.constituentWords(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	if len(args) == 1 && s.begun() {
		_ = s.people(cmd.Context(), func(_ *house, r *people.Registry) error { // a shell that completes shows no errors
			k, err := r.Find(cmd.Context(), s.view(), args[0])
			for _, c := range k.Contacts {
				words = append(words, screen.Printable(c.Address)+"\t"+c.Role)
			}
			return err
		})
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (s *street) contactRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME ADDRESS",
		Short:             "Take a contact from a constituent",
		Example:           `  ippwatch constituents contact remove customer-a noc@example.net`,
		Args:              wants("NAME", "ADDRESS"),
		ValidArgsFunction: s.completeContacts,
		RunE: do(func(ctx context.Context, args []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				if err := r.RemoveContact(ctx, s.hand(), args[0], args[1]); err != nil {
					return err
				}
				s.Note("%s: %s is removed, whatever imports say", args[0], screen.Printable(args[1]))
				return nil
			})
		}),
	}
}

func (s *street) optOutCommand() *cobra.Command {
	var reason string
	var invalid bool
	cmd := &cobra.Command{
		Use:   "optout ADDRESS",
		Short: "Never tell an address again, whoever names it",
		Long: `The mark hangs on the address: it binds every constituent that has it, and no
import or look-up revives it.`,
		Example: `  ippwatch constituents contact optout abuse@example.net --reason "asked by mail, ticket 4711"`,
		Args:    wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.with(ctx, func(h *house) error {
				status, said := store.OptOut, "opted out"
				if invalid {
					status, said = store.Invalid, "does not work"
				}
				if err := h.people.Mark(ctx, s.hand(), args[0], status, reason, "by hand"); err != nil {
					return err
				}
				s.Note("%s %s: it is told nothing until %s", screen.Printable(args[0]), said, s.again("constituents contact optin %s", shellWord(args[0])))
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	cmd.Flags().BoolVar(&invalid, "invalid", false, "the address does not work, rather than: its owner does not want to be told")
	return cmd
}

func (s *street) optInCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "optin ADDRESS",
		Short:   "Tell an address again",
		Example: `  ippwatch constituents contact optin abuse@example.net`,
		Args:    wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				lifted, err := r.Unmark(ctx, s.hand(), args[0])
				if errors.Is(err, people.ErrUnknown) {
					return hint(fmt.Errorf("%s is not marked", args[0]), "%s lists who is", s.again("constituents contact list"))
				}
				if err != nil {
					return err
				}
				s.Note("%s is no longer marked as %s", screen.Printable(args[0]), strings.Join(lifted, ", "))
				return nil
			})
		}),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			if s.begun() {
				_ = s.people(cmd.Context(), func(_ *house, r *people.Registry) error { // a shell that completes shows no errors
					marks, err := r.Statuses(cmd.Context(), s.view())
					for _, m := range marks {
						_, address, _ := strings.Cut(m.Contact, ":")
						words = append(words, screen.Printable(address)+"\t"+m.Status)
					}
					return err
				})
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func (s *street) contactListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the addresses that opted out or do not work",
		Example: `  ippwatch constituents contact list --format csv`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.people(ctx, func(_ *house, r *people.Registry) error {
				marks, err := r.Statuses(ctx, s.view())
				if err != nil {
					return err
				}
				return screen.Listing[store.Status]{
					Columns: []string{"contact", "status", "at", "who", "source", "reason"},
					Cells: func(m store.Status) []string {
						return []string{m.Contact, m.Status, s.Stamp(m.At), m.Who, m.Source, m.Reason}
					},
					Empty: "no address is marked",
				}.Show(&s.Screen, marks)
			})
		}),
	}
}
