package dashboard

import (
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed notes.yaml
var ownNotes []byte

// A Note is what happened on a day that numbers may have to do with.
type Note struct {
	Day    string            `yaml:"day" json:"day"`
	Title  map[string]string `yaml:"title" json:"title"` // by language
	Source string            `yaml:"source" json:"source"`

	At time.Time `yaml:"-" json:"-"`
}

// Say is the note in a language, or in English.
func (n Note) Say(lang string) string {
	if t := n.Title[lang]; t != "" {
		return t
	}
	return n.Title["en"]
}

// readNotes reads our notes and those of the operator's file; empty: none.
func readNotes(file string) ([]Note, error) {
	all, err := parseNotes(ownNotes)
	if err != nil {
		return nil, fmt.Errorf("notes.yaml: %w", err)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("web.annotations: %w", err)
		}
		theirs, err := parseNotes(b)
		if err != nil {
			return nil, fmt.Errorf("web.annotations: %s: %w", file, err)
		}
		all = append(all, theirs...)
	}
	slices.SortStableFunc(all, func(a, b Note) int { return a.At.Compare(b.At) })
	return all, nil
}

func parseNotes(b []byte) ([]Note, error) {
	var all []Note
	if err := yaml.UnmarshalWithOptions(b, &all, yaml.Strict()); err != nil {
		return nil, err
	}
	for i := range all {
		n := &all[i]
		var err error
		if n.At, err = time.Parse(time.DateOnly, n.Day); err != nil {
			return nil, fmt.Errorf("note %d: day %q: want one such as 2024-09-26", i+1, n.Day)
		}
		if n.Title["en"] == "" {
			return nil, fmt.Errorf("note %d of %s: it has no title in English (title: {en: ...})", i+1, n.Day)
		}
		if u, err := url.Parse(n.Source); err != nil || n.Source != "" && u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("note %d of %s: source %q: want an address that begins with https://", i+1, n.Day, n.Source)
		}
	}
	return all, nil
}
