package advisory

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"slices"
	"strings"
	texttemplate "text/template"

	"github.com/goccy/go-yaml"

	"ippwatch/rule"
)

//go:embed templates
var embedded embed.FS

// Files are the templates as they come with ippwatch, for an operator to copy
// and edit.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "templates")
	if err != nil {
		panic(err) // the name is right
	}
	return files
}

// Texts are the templates, read and tried.
type Texts struct {
	prose    map[Language]map[string]*texttemplate.Template // by name of the file's stem
	text     *texttemplate.Template
	html     *template.Template
	document map[Language]*texttemplate.Template
	rules    map[Language]map[string]words
}

// words are what a rule says, in one language.
type words struct {
	Title    string `yaml:"title"`
	About    string `yaml:"about"`
	Owner    string `yaml:"owner"`
	Provider string `yaml:"provider"`
	CSIRT    string `yaml:"csirt"`
}

// maxTemplate bounds one file.
const maxTemplate = 1 << 20

// Parse reads the templates in the directory; a file that is not there is taken
// from those that come with ippwatch. Every text is tried on a sample, so that
// a mistake is found before anything is sent: the error names file and line.
// Nil takes all as they come.
func Parse(over fs.FS) (*Texts, error) {
	p := parser{over: over, own: Files()}
	t := &Texts{
		prose:    make(map[Language]map[string]*texttemplate.Template),
		document: make(map[Language]*texttemplate.Template),
		rules:    make(map[Language]map[string]words),
	}
	var err error
	if t.text, err = p.text(nil, "mail.txt"); err != nil {
		return nil, err
	}
	if t.html, err = p.html("mail.html"); err != nil {
		return nil, err
	}
	for _, l := range Languages {
		t.prose[l] = make(map[string]*texttemplate.Template)
		common, err := p.text(nil, path.Join(string(l), "words.txt"))
		if err != nil {
			return nil, err
		}
		for _, k := range Kinds {
			base, err := common.Clone()
			if err != nil {
				return nil, err
			}
			if t.prose[l][string(k)], err = p.text(base, path.Join(string(l), string(k)+".txt")); err != nil {
				return nil, err
			}
		}
		alone, err := common.Clone()
		if err != nil {
			return nil, err
		}
		if t.prose[l][linkProse], err = p.text(alone, path.Join(string(l), linkProse+".txt")); err != nil {
			return nil, err
		}
		base, err := common.Clone()
		if err != nil {
			return nil, err
		}
		if t.document[l], err = p.text(base, path.Join(string(l), "advisory.md")); err != nil {
			return nil, err
		}
		if t.rules[l], err = p.rules(l); err != nil {
			return nil, err
		}
	}
	return t, t.try()
}

// try writes every text once.
func (t *Texts) try() error {
	for _, l := range Languages {
		if _, err := t.Link(sampleLink(l)); err != nil {
			return err
		}
		for _, r := range Readers {
			for _, k := range Kinds {
				if _, err := t.Mail(Sample(k, l, r)); err != nil {
					return err
				}
			}
			if _, err := t.Document(SampleReport(l, r)); err != nil {
				return err
			}
		}
	}
	return nil
}

type parser struct{ over, own fs.FS }

// read returns the file of the operator, or else the one that comes along.
func (p parser) read(name string) (string, error) {
	for _, files := range []fs.FS{p.over, p.own} {
		if files == nil {
			continue
		}
		b, err := fs.ReadFile(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && len(b) > maxTemplate {
			err = fmt.Errorf("more than %d bytes", maxTemplate)
		}
		if err != nil {
			return "", fmt.Errorf("template %s: %w", name, err)
		}
		return strings.ReplaceAll(string(b), "\r\n", "\n"), nil
	}
	return "", fmt.Errorf("template %s: %w", name, fs.ErrNotExist)
}

// text parses a file, beside what base has.
func (p parser) text(base *texttemplate.Template, name string) (*texttemplate.Template, error) {
	source, err := p.read(name)
	if err != nil {
		return nil, err
	}
	if base == nil {
		base = texttemplate.New(name)
	}
	// What a file says is replaced at the time of writing; here only the names count.
	t, err := base.New(name).Funcs(functions(nil)).Option("missingkey=error").Parse(source)
	if err != nil {
		return nil, err // it begins with "template: NAME:LINE:"
	}
	return t, nil
}

func (p parser) html(name string) (*template.Template, error) {
	source, err := p.read(name)
	if err != nil {
		return nil, err
	}
	return template.New(name).Funcs(template.FuncMap(functions(nil))).Option("missingkey=error").Parse(source)
}

// rules reads what the rules say in a language; English is what they say of
// themselves, where no file says otherwise.
func (p parser) rules(l Language) (map[string]words, error) {
	all := make(map[string]words)
	for _, r := range rule.All {
		all[r.ID] = words{r.Title, r.About, r.Remedy.Owner, r.Remedy.Provider, r.Remedy.CSIRT}
	}
	name := path.Join(string(l), "rules.yaml")
	source, err := p.read(name)
	if l == English && errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	var said map[string]words
	if err := yaml.UnmarshalWithOptions([]byte(source), &said, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("template %s: %s", name, firstLine(err.Error()))
	}
	for id, w := range said {
		if _, ok := all[id]; !ok {
			return nil, fmt.Errorf("template %s: no rule %q", name, id)
		}
		if slices.Contains([]string{w.Title, w.About, w.Owner, w.Provider, w.CSIRT}, "") {
			return nil, fmt.Errorf("template %s: %s: want title, about, owner, provider and csirt", name, id)
		}
		all[id] = w
	}
	return all, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// functions are what templates call. Without a speaker they only have names.
func functions(s *speaker) map[string]any {
	return map[string]any{
		"word":       s.word,
		"paragraphs": func(name string) ([]string, error) { text, err := s.word(name); return paragraphs(text), err },
		"fold":       func(text string) string { return fold(text, "", "") },
		"list":       func(text string) string { return fold(text, "- ", "  ") },
		"indent": func(n int, text string) string {
			return fold(text, strings.Repeat(" ", n), strings.Repeat(" ", n))
		},
		"heading": func(text string) string { return text + "\n" + strings.Repeat("-", min(textWidth, textCells(text))) },
		"capital": func(text string) string { return text + "\n" + strings.Repeat("=", min(textWidth, textCells(text))) },
		"count":   count,
		"join":    strings.Join,
		"md":      markdown,
		"link":    func(text string) bool { return strings.HasPrefix(text, "https://") },
	}
}

// textWidth is the longest line of a plain text.
const textWidth = 72

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// A speaker says the words of one language about one thing.
type speaker struct {
	prose *texttemplate.Template
	data  any
}

// word executes a named piece of prose.
func (s *speaker) word(name string) (string, error) {
	var b strings.Builder
	if err := s.prose.ExecuteTemplate(&b, name, s.data); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// write executes a layout with the speaker's words.
func (s *speaker) write(layout *texttemplate.Template) (string, error) {
	t, err := layout.Clone()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Funcs(functions(s)).Execute(&b, s.data); err != nil {
		return "", innermost(err)
	}
	return b.String(), nil
}

func (s *speaker) writeHTML(layout *template.Template) (string, error) {
	t, err := layout.Clone()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Funcs(template.FuncMap(functions(s))).Execute(&b, s.data); err != nil {
		return "", innermost(err)
	}
	return b.String(), nil
}

// innermost returns the mistake where it was made: in the prose that a layout
// called, if it is there.
func innermost(err error) error {
	for {
		outer, ok := errors.AsType[texttemplate.ExecError](err)
		if !ok {
			return err
		}
		if _, ok := errors.AsType[texttemplate.ExecError](outer.Err); !ok {
			return outer
		}
		err = outer.Err
	}
}

// Rule returns what a rule says of itself to a reader, for machines that carry
// the words on: its title and its remedy.
func (t *Texts) Rule(l Language, r Reader, id string) (title, remedy string) {
	w, ok := t.rules[l][id]
	if !ok {
		return id, ""
	}
	switch r {
	case Provider:
		return w.Title, w.Provider
	case CSIRT:
		return w.Title, w.CSIRT
	}
	return w.Title, w.Owner
}

// About returns why a rule matters, for somebody who runs the host.
func (t *Texts) About(l Language, id string) string { return t.rules[l][id].About }
