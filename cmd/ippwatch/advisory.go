package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/language"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

type advisoryFlags struct {
	only, constituents, country, reader, language, format, templates, out string
	all                                                                   bool
	sender                                                                advisory.Sender
}

func (s *street) advisoryCommand() *cobra.Command {
	f := &advisoryFlags{}
	cmd := &cobra.Command{
		Use:   "advisory",
		Short: "Write an advisory from the data",
		Long: `Advisory writes what is known about the open print services of a constituent, of a
country or of everybody: how many and what kind, what every number and word means,
why it matters, the fix, the filter, dates and sources. What a feed has reported and
what we have seen are told apart. For a csirt it names no host, so that it can be
passed on; for an owner or a provider it lists theirs.`,
		Example: `  ippwatch advisory --for university --constituents constituents.yaml --language de
  ippwatch advisory --country DE --reader csirt --out advisory.md
  ippwatch advisory --all --reader csirt --format mail`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error { return s.advisory(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.only, "for", "", "about this constituent's networks")
	fl.StringVar(&f.constituents, "constituents", "", "file that says who is responsible for what; default: the constituents that were imported")
	fl.StringVar(&f.country, "country", "", "about this country: two letters of ISO 3166-1")
	fl.BoolVar(&f.all, "all", false, "about all that is known")
	fl.StringVar(&f.reader, "reader", "", "owner, provider or csirt; default: owner with --for, else csirt")
	fl.StringVar(&f.language, "language", "", "en, de or ja; default: the constituent's, else en")
	fl.StringVar(&f.format, "format", "markdown", "markdown or mail")
	fl.StringVar(&f.templates, "templates", "", "directory with texts of your own")
	fl.StringVar(&f.out, "out", "", "file to write; default: stdout")
	fl.StringVar(&f.sender.Organisation, "organisation", "", "who writes")
	fl.StringVar(&f.sender.Contact, "contact", "", "where questions go")
	for flag, list := range map[string][]string{
		"reader": words(advisory.Readers), "language": words(advisory.Languages), "format": {"markdown", "mail"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.RegisterFlagCompletionFunc("for", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.constituentWords(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagFilename("constituents", "yaml", "yml")
	_ = cmd.MarkFlagDirname("templates")
	return cmd
}

// country reports whether there is one of that code: a slip would read as good
// news.
func country(code string) bool {
	r, err := language.ParseRegion(code)
	return err == nil && len(code) == 2 && r.IsCountry()
}

func (s *street) advisory(ctx context.Context, f *advisoryFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	all, err := texts(f.templates)
	if err != nil {
		return err
	}
	return s.read(ctx, func(h *house) error {
		r, match, err := s.subject(ctx, h, f)
		if err != nil {
			return err
		}
		for e, err := range h.store.Exposures(ctx, s.view(), store.Filter{}) {
			if err != nil {
				return err
			}
			if match(e) {
				r.Exposures = append(r.Exposures, e)
			}
		}
		text, err := all.Document(r)
		if err != nil {
			return err
		}
		if f.format == "mail" {
			m := advisory.DocumentMail(text)
			text = "Subject: " + m.Subject + "\n\n" + m.Text
		}
		if f.out == "" {
			_, err = fmt.Fprint(s.Machine(), text)
			return err
		}
		if err := replace(f.out, []byte(text)); err != nil {
			return fmt.Errorf("write %s: %w", f.out, err)
		}
		return nil
	})
}

// check finds what is wrong with the flags before anything is opened.
func (f *advisoryFlags) check() error {
	whom := 0
	for _, said := range []bool{f.only != "", f.country != "", f.all} {
		if said {
			whom++
		}
	}
	if whom != 1 {
		return usage("say about whom, one of --for NAME, --country CC and --all")
	}
	if f.country != "" && !country(f.country) {
		return usage("--country %q: want two letters of ISO 3166-1, such as DE", f.country)
	}
	if f.reader != "" {
		if err := oneOf("reader", f.reader, advisory.Readers); err != nil {
			return err
		}
	}
	if f.language != "" {
		if err := oneOf("language", f.language, advisory.Languages); err != nil {
			return err
		}
	}
	return oneOf("format", f.format, []string{"markdown", "mail"})
}

// subject is whom the advisory is about, without the cases, and which are theirs.
func (s *street) subject(ctx context.Context, h *house, f *advisoryFlags) (advisory.Report, func(exposure.Exposure) bool, error) {
	r := advisory.Report{Date: s.now(), Sender: f.sender, Reader: advisory.CSIRT, Language: advisory.English}
	match := func(exposure.Exposure) bool { return true }
	switch {
	case f.only != "":
		c, err := s.constituent(ctx, h, f)
		if err != nil {
			return r, nil, err
		}
		one := people.NewDirectory([]exposure.Constituent{c})
		match = func(e exposure.Exposure) bool { return len(one.Match(e.Addr, e.Where)) > 0 }
		r.Title, r.Reader, r.Language = cmp.Or(c.Title, c.Name), advisory.Owner, advisory.Speak(c.Language)
	case f.country != "":
		r.Country = strings.ToUpper(f.country)
		r.Title = r.Country
		match = func(e exposure.Exposure) bool { return strings.EqualFold(e.Where.Country, r.Country) }
	}
	r.Reader = cmp.Or(advisory.Reader(f.reader), r.Reader)
	r.Language = cmp.Or(advisory.Language(f.language), r.Language)
	return r, match, nil
}

// constituent is the one that --for names.
func (s *street) constituent(ctx context.Context, h *house, f *advisoryFlags) (exposure.Constituent, error) {
	d, err := s.directory(ctx, h, f.constituents)
	if err != nil {
		return exposure.Constituent{}, err
	}
	if d == nil {
		return exposure.Constituent{}, hint(usage("--for %s: no constituent is known", f.only), "name a file with --constituents, or import one: %s", s.again("constituents import FILE"))
	}
	var names []string
	for _, c := range d.All() {
		if c.Name == f.only {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if f.constituents == "" {
		return exposure.Constituent{}, hint(usage("--for %s: no such constituent", f.only), "%s lists who is", s.again("constituents list"))
	}
	return exposure.Constituent{}, usage("%s has no constituent %q; it has %s", f.constituents, f.only, strings.Join(names, ", "))
}
