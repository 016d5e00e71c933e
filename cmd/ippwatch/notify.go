package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/report"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) notifyCommand() *cobra.Command {
	cmd := s.outreachCommand()
	cmd.AddCommand(s.templatesCommand(), s.previewCommand(), s.dkimCommand())
	return cmd
}

func (s *street) templatesCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "templates",
		Short: "Copy the texts of the mails, to edit them",
		Long: `Templates copies the texts of mails and advisories into a directory. Edit what you
like and remove the rest: a file that is not there is taken from those that come
with ippwatch. A file that is there already is left as it is.`,
		Example: `  ippwatch notify templates --out templates
  ippwatch notify preview --templates templates --template first --language en`,
		Args: wants(),
		RunE: do(func(context.Context, []string) error {
			if out == "" {
				return usage("templates: --out is missing: want a directory")
			}
			return s.copyTemplates(out)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "directory for the files")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

// A copied is a template file and what became of it.
type copied struct {
	File  string `json:"file"`
	State string `json:"state"` // written, or kept
}

func (s *street) copyTemplates(dir string) error {
	var files []copied
	own := advisory.Files()
	err := fs.WalkDir(own, ".", func(name string, d fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		}
		if _, err := os.Lstat(to); err == nil {
			files = append(files, copied{to, "kept"})
			return nil
		}
		text, err := fs.ReadFile(own, name)
		if err != nil {
			return err
		}
		files = append(files, copied{to, "written"})
		return os.WriteFile(to, text, 0o644) //nolint:gosec // texts that anybody may read
	})
	if err != nil {
		return fmt.Errorf("copy templates: %w", err)
	}
	return screen.Listing[copied]{
		Columns: []string{"state", "file"},
		Cells:   func(c copied) []string { return []string{c.State, c.File} },
	}.Show(&s.Screen, files)
}

// texts are the templates of the directory, or those that come with ippwatch.
func texts(dir string) (*advisory.Texts, error) {
	if dir == "" {
		return advisory.Parse(nil)
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("templates: %s is no directory", dir)
	}
	all, err := advisory.Parse(os.DirFS(dir))
	if err != nil {
		return nil, hint(err, "the file is in %s; a mistake is found before anything is sent", dir)
	}
	return all, nil
}

func (s *street) dkimCommand() *cobra.Command {
	var key, domain, selector, kind string
	cmd := &cobra.Command{
		Use:   "dkim",
		Short: "Make a DKIM key, and say what to publish",
		Long: `Dkim prints the DNS record that tells the world with which key mail of yours is
signed. The private key is made when the file is not there, and never overwritten.`,
		Example: `  ippwatch notify dkim --key dkim.pem --domain example.org --selector ippwatch
  ippwatch notify dkim --key dkim-rsa.pem --kind rsa --domain example.org --selector ippwatch-rsa`,
		Args: wants(),
		RunE: do(func(context.Context, []string) error {
			if key == "" || domain == "" {
				return usage("dkim: --key FILE and --domain NAME are needed")
			}
			if err := oneOf("kind", kind, notify.KeyKinds); err != nil {
				return err
			}
			return s.dkim(key, domain, selector, kind)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&key, "key", "", "file with the private key, in PEM")
	fl.StringVar(&domain, "domain", "", "domain of the sender's address")
	fl.StringVar(&selector, "selector", "ippwatch", "name of the key in the DNS")
	fl.StringVar(&kind, "kind", string(notify.KeyRSA), "kind of a new key: rsa, which everybody verifies, or ed25519")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(words(notify.KeyKinds), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("key", "pem")
	return cmd
}

// A record is what stands in the DNS.
type record struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Text string `json:"text"`
}

func (s *street) dkim(file, domain, selector, kind string) error {
	pem, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if pem, err = notify.NewKey(notify.KeyKind(kind)); err != nil {
			return err
		}
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			return err
		}
		s.Note("%s is a new key; keep it where only ippwatch can read it", file)
	} else if err != nil {
		return err
	}
	signer, err := notify.NewSigner(domain, selector, pem)
	if err != nil {
		return fmt.Errorf("dkim: %s: %w", file, err)
	}
	r := record{Type: "TXT"}
	if r.Name, r.Text, err = signer.Record(); err != nil {
		return err
	}
	if s.Format == "table" { // whole, as it is to be copied
		fmt.Fprintf(s.Out, "%s. IN TXT %s\n", r.Name, notify.Quoted(r.Text))
		return nil
	}
	return screen.Listing[record]{
		Columns: []string{"name", "type", "text"},
		Cells:   func(r record) []string { return []string{r.Name, r.Type, r.Text} },
	}.ShowOne(&s.Screen, r)
}

type previewFlags struct {
	kind, language, reader, only, templates, format string
	sample                                          bool
}

func (s *street) previewCommand() *cobra.Command {
	f := &previewFlags{}
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show a mail without sending it",
		Long: `Preview shows a mail as it would be written: about a case that is there, or about
sample hosts whose addresses are set aside for documentation. Nothing is sent.`,
		Example: `  ippwatch notify preview --template first --language de
  ippwatch notify preview --template reminder --language ja --format html > mail.html
  ippwatch notify preview --template first --case 0123456789AB
  ippwatch notify preview --template first --format eml > mail.eml`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error { return s.preview(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kind, "template", "first", "first, reminder, escalation or fixed")
	fl.StringVar(&f.language, "language", "en", "en, de or ja")
	fl.StringVar(&f.reader, "reader", "owner", "owner, provider or csirt")
	fl.StringVar(&f.only, "case", "", "about this case")
	fl.BoolVar(&f.sample, "sample", false, "about sample hosts; the default without --case")
	fl.StringVar(&f.templates, "templates", "", "directory with texts of your own")
	fl.StringVar(&f.format, "format", "text", "text, html or eml")
	for flag, words := range map[string][]string{
		"template": words(advisory.Kinds), "language": words(advisory.Languages), "reader": words(advisory.Readers), "format": {"text", "html", "eml"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.MarkFlagDirname("templates")
	cmd.MarkFlagsMutuallyExclusive("case", "sample")
	return cmd
}

// words are the values as words of the command line.
func words[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// oneOf complains about a flag that has none of the words.
func oneOf[T ~string](flag, value string, values []T) error {
	if slices.Contains(values, T(value)) {
		return nil
	}
	all := words(values)
	return usage("--%s %q: want %s or %s", flag, value, strings.Join(all[:len(all)-1], ", "), all[len(all)-1])
}

func (s *street) preview(ctx context.Context, f *previewFlags) error {
	if err := errors.Join(
		oneOf("template", f.kind, advisory.Kinds), oneOf("language", f.language, advisory.Languages),
		oneOf("reader", f.reader, advisory.Readers), oneOf("format", f.format, []string{"text", "html", "eml"}),
	); err != nil {
		return err
	}
	all, err := texts(f.templates)
	if err != nil {
		return err
	}
	n := advisory.Sample(advisory.Kind(f.kind), advisory.Language(f.language), advisory.Reader(f.reader))
	var rows []report.Row
	if f.only == "" {
		for _, o := range advisory.SampleObservations() {
			rows = append(rows, report.Row{Observation: o})
		}
	} else {
		n.Title, n.Page, n.Date = "", "", s.now()
		err := s.read(ctx, func(h *house) error {
			n.Exposures, err = h.store.ExposuresNamed(ctx, s.view(), strings.ToUpper(f.only))
			if errors.Is(err, store.ErrNoExposure) {
				return hint(fmt.Errorf("no case %s", f.only), "ippwatch changes lists cases")
			}
			return err
		})
		if err != nil {
			return err
		}
		s.Note("sender, dates to come and opt-out are samples; the case is real")
	}
	return s.showMail(all, n, rows, f.format)
}

// showMail writes the mail as it would be sent, but for its sender.
func (s *street) showMail(all *advisory.Texts, n advisory.Notice, rows []report.Row, format string) error {
	files, err := attachments(n, rows)
	if err != nil {
		return err
	}
	n.Attached = nil
	for _, a := range files {
		n.Attached = append(n.Attached, a.Name)
	}
	m, err := all.Mail(n)
	if err != nil {
		return err
	}
	switch format {
	case "html":
		_, err = fmt.Fprint(s.Machine(), m.HTML)
	case "text":
		_, err = fmt.Fprintf(s.Machine(), "Subject: %s\n\n%s", m.Subject, m.Text)
	case "eml":
		var sealed notify.Mail
		sealed, err = sampleWriter().Seal(notify.Message{
			Key: "preview", Reference: n.Reference, To: "noc@example.net", Subject: m.Subject, Text: m.Text, HTML: m.HTML,
			Language: string(n.Language), Date: n.Date, Attachments: files,
		})
		if err == nil {
			_, err = s.Machine().Write(sealed.Bytes)
		}
	}
	return err
}

// attachments are the files of a mail: what was seen in Shadowserver's columns,
// and each open case in XARF.
func attachments(n advisory.Notice, rows []report.Row) ([]notify.Attachment, error) {
	if n.Kind == advisory.Fixed {
		return nil, nil // nothing is open
	}
	var files []notify.Attachment
	csv, err := report.Files(report.Share{Name: "sample", Rows: rows}, report.Cover{Date: n.Date})
	if err != nil {
		return nil, err
	}
	for _, f := range csv {
		files = append(files, notify.Attachment{Name: f.Name, ContentType: f.ContentType, Body: f.Body})
	}
	reporter := report.Reporter{Organisation: n.Sender.Organisation, Contact: n.Sender.Contact, Domain: "example.org"}
	for _, e := range n.Exposures {
		if e.Severity == exposure.Info {
			continue
		}
		body, err := report.XARF(reporter, e)
		if err != nil {
			return nil, err
		}
		files = append(files, notify.Attachment{Name: "xarf-" + e.Case() + ".json", ContentType: "application/json", Body: body})
	}
	return files, nil
}

// sampleWriter writes in the name of nobody.
func sampleWriter() *notify.Writer {
	secret, err := notify.NewSecret([]byte("the secret of a preview is no secret"))
	if err != nil {
		panic(err) // it is long enough
	}
	return &notify.Writer{
		From: mail.Address{Name: "CERT Example", Address: "cert@example.org"}, Domain: "notify.example.org", Secret: secret,
		UnsubscribeURL: "https://ippwatch.example.org/unsubscribe", UnsubscribeMailto: "unsubscribe@notify.example.org",
	}
}
