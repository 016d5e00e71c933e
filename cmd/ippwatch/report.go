package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/edition"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/report"
	"ippwatch/screen"
	"ippwatch/store"
)

// unassigned is the name under which hosts of nobody are reported.
const unassigned = edition.Unassigned

type reportFlags struct {
	kind, date, only, constituents, out string
	formats                             []string
	opt                                 report.Options
}

func (s *street) reportCommand() *cobra.Command {
	f := &reportFlags{}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write the day's reports, for machines and for people",
		Long: `Report writes what was found on a UTC day. scan_ipp and scan6_ipp have the columns,
the dialect and the file names of Shadowserver's Open IPP report; special those of
its report on vulnerable CUPS, and scan_cups_browsed the same with what was measured.
html is a page for each constituent: what is open, why it matters, what to do. It
holds what the type holds.`,
		Example: `  ippwatch report --type all --format csv,html --out reports
  ippwatch report --type scan_ipp --for customer-a
  ippwatch report --type special --date yesterday --format ndjson`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if _, err := s.reportDay(f.date); err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			if s.remote != nil {
				return s.reportThere(ctx, f)
			}
			return s.read(ctx, func(h *house) error { return s.report(ctx, h, f) })
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kind, "type", "all", "all, scan_ipp, scan6_ipp, special or scan_cups_browsed")
	fl.StringVar(&f.date, "date", "today", "UTC day: yesterday, today, or as 2026-11-23")
	fl.StringVar(&f.only, "for", "", "only this constituent, or "+unassigned)
	fl.StringVar(&f.constituents, "constituents", "", "file that says who is responsible for what; default: the constituents that were imported, if any")
	fl.StringVar(&f.out, "out", "", "directory for the files; without it one report goes to stdout")
	fl.StringSliceVar(&f.formats, "format", []string{"csv"}, "csv, ndjson, html; several with commas")
	fl.BoolVar(&f.opt.Extended, "extended", false, "append our own columns")
	fl.BoolVar(&f.opt.Spreadsheet, "spreadsheet", false, "defuse formulas, for files that are opened in a spreadsheet")
	_ = cmd.RegisterFlagCompletionFunc("date", cobra.FixedCompletions(days, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(typeWords(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"csv", "ndjson", "html"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("for", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return s.shareNames(cmd.Context(), f), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagFilename("constituents", "yaml", "yml")
	_ = cmd.MarkFlagDirname("out")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return s.refuseThere(cmd, "constituents") }
	return there(cmd)
}

func typeWords() []string {
	words := []string{string(report.All)}
	for _, t := range report.Types {
		words = append(words, string(t))
	}
	return words
}

// shareNames are those that --for takes, as far as they are known.
func (s *street) shareNames(ctx context.Context, f *reportFlags) []string {
	words := []string{unassigned + "\thosts of no constituent"}
	if f.constituents == "" {
		return append(words, s.constituentWords(ctx)...)
	}
	list, err := readConstituents(f.constituents)
	if err != nil {
		return nil
	}
	for _, c := range list {
		words = append(words, c.Name+"\t"+screen.Printable(c.Title))
	}
	return words
}

// check refuses what no report can be made of, before anything is opened.
func (f *reportFlags) check() error {
	if !slices.Contains(typeWords(), f.kind) {
		return usage("--type %q: want %s", f.kind, strings.Join(typeWords(), ", "))
	}
	for _, format := range f.formats {
		if !slices.Contains([]string{"csv", "ndjson", "html"}, format) {
			return usage("--format %q: want csv, ndjson or html", format)
		}
	}
	return nil
}

// report writes what the flags say.
func (s *street) report(ctx context.Context, h *house, f *reportFlags) error {
	day, err := s.reportDay(f.date)
	if err != nil {
		return err
	}
	rows, err := s.reportRows(ctx, h, day)
	if err != nil {
		return err
	}
	contact, err := s.contactPoint(ctx, h, rows)
	if err != nil {
		return err
	}
	shares, err := s.shares(ctx, h, f, rows)
	if err != nil {
		return err
	}
	var formats []report.Format
	for _, format := range f.formats {
		formats = append(formats, report.Format(format))
	}
	jobs := report.Jobs(shares, report.Type(f.kind), formats)
	cover := report.Cover{Date: day, Made: s.now().UTC(), Contact: contact, Options: f.opt}
	if f.out == "" {
		if len(jobs) != 1 {
			return hint(usage("%d files would be written, and stdout takes one", len(jobs)), "name a directory with --out, or one --type, --for and --format")
		}
		_, err := jobs[0].Write(s.Machine(), cover)
		return err
	}
	return s.writeAll(f.out, jobs, cover)
}

func (s *street) reportDay(text string) (time.Time, error) {
	if day, ok := namedDay(text, s.now()); ok {
		return day, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, usage("--date %q: want yesterday, today, or a day such as 2026-11-23", text)
	}
	return day, nil
}

// reportRows are the rows of the day.
func (s *street) reportRows(ctx context.Context, h *house, day time.Time) ([]report.Row, error) {
	return edition.Rows(ctx, s.view(), h.archive, h.store, day, archive.Query{})
}

// directory is who is responsible for what: by the file that was named, else by
// what was imported. It is nil when nobody is known.
func (s *street) directory(ctx context.Context, h *house, file string) (*people.Directory, error) {
	if file != "" {
		list, err := readConstituents(file)
		if err != nil {
			return nil, err
		}
		return people.NewDirectory(list), nil
	}
	d, err := h.people.Directory(ctx, s.view())
	if err != nil || len(d.All()) == 0 {
		return nil, err
	}
	return d, nil
}

// shares gives each constituent its rows, in the order of their names; all rows
// to one share when nobody is known.
func (s *street) shares(ctx context.Context, h *house, f *reportFlags, rows []report.Row) ([]report.Share, error) {
	d, err := s.directory(ctx, h, f.constituents)
	if err != nil {
		return nil, err
	}
	if d == nil {
		if f.only != "" {
			return nil, hint(usage("--for %s: no constituent is known", f.only), "name a file with --constituents, or import one: %s", s.again("constituents import FILE"))
		}
		return edition.Shares(rows, nil), nil
	}
	shares := edition.Shares(rows, d)
	if f.only == "" {
		return shares, nil
	}
	var names []string
	for _, one := range shares {
		if one.Name == f.only {
			return []report.Share{one}, nil
		}
		names = append(names, one.Name)
	}
	if f.constituents == "" {
		return nil, hint(usage("--for %s: no such constituent", f.only), "%s lists who is", s.again("constituents list"))
	}
	return nil, usage("%s has no constituent %q; it has %s", f.constituents, f.only, strings.Join(names, ", "))
}

// contactPoint is whom to ask about the rows: the contact in the scope of the
// newest run among them.
func (s *street) contactPoint(ctx context.Context, h *house, rows []report.Row) (string, error) {
	var newest report.Row
	for _, r := range rows {
		if r.Run != "" && r.Observed.After(newest.Observed) {
			newest = r
		}
	}
	if newest.Run == "" {
		return "", nil
	}
	run, err := h.store.Run(ctx, s.view(), newest.Run)
	if errors.Is(err, store.ErrNoRun) {
		return "", nil // an observation of another machine
	}
	return run.ContactPoint, err
}

// A written is a file of a report.
type written struct {
	File        string `json:"file"`
	Constituent string `json:"constituent"`
	Type        string `json:"type"`
	Rows        int    `json:"rows"`
}

// writeAll writes the files; a report without a row is not written, as
// Shadowserver sends none.
func (s *street) writeAll(dir string, jobs []report.Job, cover report.Cover) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var files []written
	for _, j := range jobs {
		name, err := j.File(cover.Date)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		n, err := j.Write(&b, cover)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				s.Note("warning: %s is of an earlier report of the day and has no row now", filepath.Join(dir, name))
			}
			continue
		}
		if err := replace(filepath.Join(dir, name), b.Bytes()); err != nil {
			return err
		}
		files = append(files, written{filepath.Join(dir, name), j.Name, string(j.Type), n})
	}
	return s.showWritten(files, cover.Date)
}

func (s *street) showWritten(files []written, day time.Time) error {
	return screen.Listing[written]{
		Columns: []string{"rows", "constituent", "type", "file"},
		Cells:   func(w written) []string { return []string{fmt.Sprint(w.Rows), w.Constituent, w.Type, w.File} },
		Empty:   "nothing was found on " + day.Format(time.DateOnly) + "; no report was written",
	}.Show(&s.Screen, files)
}

// replace writes a file whole or not at all.
func replace(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".ippwatch-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o600), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// door is where a case is.
func door(k exposure.Key) doorKey { return doorKey{netip.AddrPortFrom(k.Addr, k.Port), k.Transport} }
