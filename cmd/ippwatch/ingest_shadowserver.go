package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/feed/shadowserver"
	"ippwatch/screen"
)

// shadowserverFlags are where the reports come from, and which are wanted.
type shadowserverFlags struct {
	api         bool
	credentials string
	since       string
	until       string
	lists       []string
	types       []string
	mail        string
	noLinks     bool
	again       bool
	as          string
	where       whereFlags
}

// lookBack is how many days before today the API is asked for: reports come a
// day late, and some two.
const lookBack = 2

func (s *street) ingestShadowserverCommand() *cobra.Command {
	f := &shadowserverFlags{}
	cmd := &cobra.Command{
		Use:   "shadowserver [FILE|DIR|ZIP|-]...",
		Short: "Take in Shadowserver's daily reports: files, mail, or the reports API",
		Long: `Shadowserver takes in the reports of the Shadowserver Foundation: CSV files, zips and
directories of them, "-" for stdin; a mailbox of report mails (--mail), or what the
reports API has (--api), two days back unless --since says otherwise.

It reads ` + strings.Join(shadowserver.Types(), ", ") + `.
Of special it takes rows about CUPS, of device_id and device_id6 printers, of the
honeypot reports what came to port 631; of event4_honeypot_ddos_amp the source is
the VICTIM. A file of any other type is parked whole, and taken in when a newer
ippwatch can read it. Columns go by their names in the header.

The key of the API comes from the environment (` + shadowserver.EnvKey + `,
` + shadowserver.EnvSecret + `) or from the file of Shadowserver's own tools,
never from the command line.`,
		Example: `  ippwatch ingest shadowserver 2026-11-22-scan_ipp-example-asn.csv
  ippwatch ingest shadowserver --mail ~/Maildir/.shadowserver
  ippwatch ingest shadowserver --api --type scan_ipp --type scan6_ipp`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"csv", "zip", "gz"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: do(func(ctx context.Context, args []string) error { return s.ingestShadowserver(ctx, f, args) }),
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.api, "api", false, "ask the reports API")
	fl.StringVar(&f.credentials, "credentials", defaultCredentials(), "file with the key and the secret of the API")
	fl.StringVar(&f.since, "since", "", "first day to ask the API for; default: two days ago")
	fl.StringVar(&f.until, "until", "", "last day to ask the API for; default: today")
	fl.StringArrayVar(&f.lists, "list", nil, "name of a list of reports to ask the API for; repeats; default: all")
	fl.StringArrayVar(&f.types, "type", nil, "type to ask the API for; repeats; default: those that can be read")
	fl.StringVar(&f.mail, "mail", "", "maildir or mbox of report mails")
	fl.BoolVar(&f.noLinks, "no-links", false, "take attachments only, and follow no link in a mail")
	fl.BoolVar(&f.again, "again", false, "read also what was taken in before: after a loss, say")
	fl.StringVar(&f.as, "as", "", "type of the files, whatever they are called")
	f.where.add(fl)
	_ = cmd.RegisterFlagCompletionFunc("as", cobra.FixedCompletions(shadowserver.Types(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(shadowserver.Types(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("since", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("until", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("list", cobra.NoFileCompletions)
	_ = cmd.MarkFlagFilename("credentials")
	_ = cmd.MarkFlagFilename("mail")
	return cmd
}

// defaultCredentials is where Shadowserver's own tools keep the key.
func defaultCredentials() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ".shadowserver.api"
	}
	return filepath.Join(home, ".shadowserver.api")
}

func (s *street) ingestShadowserver(ctx context.Context, f *shadowserverFlags, args []string) error {
	ways := 0
	for _, way := range []bool{f.api, f.mail != "", len(args) > 0} {
		if way {
			ways++
		}
	}
	if ways != 1 {
		return usage("want one of: files, --mail MAILBOX, --api")
	}
	if f.as != "" && !slices.Contains(shadowserver.Types(), f.as) {
		return usage("--as %q: want %s", f.as, strings.Join(shadowserver.Types(), ", "))
	}
	if !f.api && (f.since != "" || f.until != "" || len(f.lists) > 0 || len(f.types) > 0) {
		return usage("--since, --until, --list and --type say what to ask the API for: they go with --api")
	}
	return s.with(ctx, func(h *house) error { return s.ingestReports(ctx, h, f, args) })
}

// ingestReports takes in files if any are named, else what the API or the
// mailbox has.
func (s *street) ingestReports(ctx context.Context, h *house, f *shadowserverFlags, args []string) error {
	files := &feed.Files{Stdin: s.in, Wants: shadowserver.WantsFile, Skip: f.had(ctx, h)}
	parse := shadowserver.ParseAs(f.as)
	switch {
	case len(args) > 0:
		err := s.takeIn(ctx, h, exposure.Shadowserver, f.where, files.Open(ctx, args), parse, func() string {
			if files.Skipped > 0 {
				return "nothing new"
			}
			return "no report was found there: names of reports end in .csv, .csv.zip or .csv.gz; what is named itself is read whatever its name"
		})
		s.passed(files)
		return err
	case f.api:
		return s.ingestAPI(ctx, h, f, files, parse)
	}
	return s.ingestMail(ctx, h, f, files, parse)
}

// had tells what was taken in before, so that it need not be read again.
func (f *shadowserverFlags) had(ctx context.Context, h *house) func(ref string) (bool, error) {
	return func(ref string) (bool, error) {
		if f.again {
			return false, nil
		}
		return h.store.HasIntake(ctx, exposure.Shadowserver, ref)
	}
}

// days reads the window that the API is asked for.
func (f *shadowserverFlags) days(now time.Time) (w shadowserver.Window, err error) {
	w = shadowserver.Window{To: now.UTC().Truncate(24 * time.Hour), Lists: f.lists, Types: f.types}
	w.From = w.To.AddDate(0, 0, -lookBack)
	for _, d := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &w.From}, {"until", f.until, &w.To}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.Parse(time.DateOnly, d.text); err != nil {
			return w, usage("--%s %q: want a day such as 2026-11-23", d.flag, d.text)
		}
	}
	if w.From.After(w.To) {
		return w, usage("--since %s is after --until %s", date(w.From), date(w.To))
	}
	if len(w.Types) == 0 {
		w.Types = slices.DeleteFunc(shadowserver.Types(), func(t string) bool { return t == "scan_cups_browsed" }) // our own
	}
	return w, nil
}

// ingestAPI takes in what the API lists and was not taken in before.
func (s *street) ingestAPI(ctx context.Context, h *house, f *shadowserverFlags, files *feed.Files, parse feed.Parser) error {
	w, err := f.days(s.now())
	if err != nil {
		return err
	}
	cred, err := shadowserver.ReadCredentials(f.credentials, os.Getenv)
	if err != nil {
		return err
	}
	client, err := shadowserver.NewClient(cred)
	if err != nil {
		return err
	}
	listed, err := client.List(ctx, w)
	if err != nil {
		return err
	}
	var fresh []shadowserver.Listed
	for _, l := range listed {
		had, err := files.Skip(l.Ref())
		if err != nil {
			return err
		}
		if !had {
			fresh = append(fresh, l)
		}
	}
	if had := len(listed) - len(fresh); had > 0 {
		s.Note("%s taken in before: not downloaded again", filesOf(had))
	}
	var why string
	if len(listed) == 0 {
		if why, err = client.WhyNone(ctx, w); err != nil {
			return err
		}
	}
	return s.takeIn(ctx, h, exposure.Shadowserver, f.where, downloads(ctx, client, files, fresh), parse, func() string {
		if why == "" {
			return fmt.Sprintf("nothing new from %s to %s", date(w.From), date(w.To))
		}
		return "no report: " + screen.Printable(why)
	})
}

// downloads opens what is listed, one after another.
func downloads(ctx context.Context, c *shadowserver.Client, files *feed.Files, listed []shadowserver.Listed) iter.Seq2[feed.Document, error] {
	return func(yield func(feed.Document, error) bool) {
		for _, l := range listed {
			if ctx.Err() != nil {
				return
			}
			doc, body, err := c.Download(ctx, l)
			if err != nil {
				if !yield(feed.Document{Name: doc.Name, Ref: doc.Ref}, err) {
					return
				}
				continue
			}
			more := files.Reader(doc.Name, "", doc.Reader, func(inner feed.Document, err error) bool {
				if inner.Name == doc.Name { // a zip is done when all that is in it is: it comes again
					inner.Ref = doc.Ref
				}
				return yield(inner, err)
			})
			_ = body.Close() // what was read was checked
			if !more {
				return
			}
		}
	}
}

// ingestMail takes in the reports in a mailbox. Links open without a key.
func (s *street) ingestMail(ctx context.Context, h *house, f *shadowserverFlags, files *feed.Files, parse feed.Parser) error {
	cred, err := shadowserver.ReadCredentials(f.credentials, os.Getenv)
	if err != nil {
		cred = shadowserver.NewCredentials("", "", "") // none is needed
	}
	client, err := shadowserver.NewClient(cred)
	if err != nil {
		return err
	}
	box := &shadowserver.Mail{Files: files, Hosts: client.Hosts(), Skip: func(link string) (bool, error) { return files.Skip(shadowserver.Ref(link)) }}
	if !f.noLinks {
		box.Fetch = func(ctx context.Context, link string) (feed.Document, io.Closer, error) {
			return client.Fetch(ctx, link)
		}
	}
	err = s.takeIn(ctx, h, exposure.Shadowserver, f.where, box.Open(ctx, f.mail), parse, func() string {
		switch {
		case box.Messages == 0:
			return "the mailbox has no message"
		case box.Skipped+files.Skipped > 0:
			return "nothing new"
		}
		return "no message has a report: neither an attached .csv or .zip, nor a link to " + strings.Join(box.Hosts, " or ")
	})
	if box.Skipped > 0 {
		s.Note("%s taken in before: not downloaded again", filesOf(box.Skipped))
	}
	s.passed(files)
	if box.Links > 0 {
		s.Note("%d links not followed, because of --no-links", box.Links)
	}
	return err
}
