package space

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"ippwatch/strict"
)

// A Scope says which networks may be probed, who authorised it and until when
// (DESIGN.md, rule 1).
type Scope struct {
	AuthorisedBy string // a person or an office
	Contact      string // where somebody who was probed reaches us
	// Expires is the first moment at which the scope does not hold any more. In
	// the file, the date 2026-12-31 means the end of that day in UTC.
	Expires  time.Time
	Networks []netip.Prefix
	Exclude  []netip.Prefix
	Note     string // for people, may have several lines
}

// The keys of a scope file, in the order in which they are written.
const (
	keyAuthorisedBy = "authorised_by"
	keyContact      = "contact"
	keyExpires      = "expires"
	keyNetworks     = "networks"
	keyExclude      = "exclude"
	keyNote         = "note"
)

// Limits on a scope file; a test reads one of 70,000 networks.
const (
	maxScope = 16 << 20
	maxText  = 300  // bytes of authorised_by and contact
	maxNote  = 8000 // bytes of note
)

// ParseScope reads a scope file: YAML, strict. An error names the text, line
// and column, and there is one for each mistake, up to twenty.
func ParseScope(name string, text []byte) (Scope, error) {
	f := strict.File{Name: name}
	var s Scope
	if root := f.YAML(text, maxScope); root != nil {
		f.Keys(root, "", []strict.Key{
			{Name: keyAuthorisedBy, Must: true, Read: func(n ast.Node) { s.AuthorisedBy = f.Line(keyAuthorisedBy, n, maxText) }},
			{Name: keyContact, Must: true, Read: func(n ast.Node) { s.Contact = f.Line(keyContact, n, maxText) }},
			{Name: keyExpires, Must: true, Read: func(n ast.Node) { s.Expires = moment(&f, keyExpires, n) }},
			{Name: keyNetworks, Must: true, Read: func(n ast.Node) { s.Networks = networks(&f, n) }},
			{Name: keyExclude, Read: func(n ast.Node) { s.Exclude = Prefixes(&f, keyExclude, n) }},
			{Name: keyNote, Read: func(n ast.Node) { s.Note = note(&f, n) }},
		})
	} else if f.Mistakes() == 0 {
		f.At(1, 1, "the scope is empty")
	}
	if err := f.Err(); err != nil {
		return Scope{}, err
	}
	return s, nil
}

func note(f *strict.File, n ast.Node) string {
	s, _ := f.Lines(keyNote, n, maxNote)
	return strings.TrimSpace(s)
}

func moment(f *strict.File, key string, n ast.Node) time.Time {
	s, ok := strict.Text(n)
	if ok && strings.TrimSpace(s) == "" {
		f.Node(n, "%s is empty: write the last day on which the scope holds, such as 2026-12-31", key)
		return time.Time{}
	}
	t, err := parseExpires(s)
	if !ok || err != nil {
		f.Node(n, "%s: %s: want a day such as 2026-12-31 or a time such as 2026-12-31T18:00:00Z", key, strict.Shown(n))
	}
	return t
}

func parseExpires(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	t, err := time.Parse(time.DateOnly, s)
	if err == nil {
		t = t.AddDate(0, 0, 1)
	} else if t, err = time.Parse(time.RFC3339, s); err != nil {
		return time.Time{}, fmt.Errorf("read the time: %w", err)
	}
	t = t.UTC()
	if t.Year() < 2000 || t.Year() > 9999 {
		return time.Time{}, errors.New("read the time: the year is out of range")
	}
	return t, nil
}

func networks(f *strict.File, n ast.Node) []netip.Prefix {
	if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == 0 {
		f.Node(n, "%s: the list is empty: nothing may be probed", keyNetworks)
	}
	return Prefixes(f, keyNetworks, n)
}

// Prefixes returns a list of addresses and prefixes in a file, each as [Parse]
// reads it.
func Prefixes(f *strict.File, key string, n ast.Node) []netip.Prefix {
	var all []netip.Prefix
	for _, item := range f.List(key, n) {
		if f.Full() {
			return nil
		}
		s, ok := strict.Text(item)
		if !ok {
			f.Node(item, "%s: want a prefix or an address, not %s%s", key, strict.Kind(item), colonHint(item))
			continue
		}
		p, err := Parse(s)
		if err != nil {
			f.Node(item, "%s: %w", key, err)
			continue
		}
		all = append(all, p)
	}
	return all
}

// colonHint explains why 2001:db8:: is not read as text: YAML takes the colon
// at the end of a word for the mark of a key.
func colonHint(n ast.Node) string {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 {
		return ""
	}
	s := m.Values[0].Key.GetToken().Value + ":"
	if _, err := netip.ParseAddr(s); err != nil {
		return ""
	}
	return fmt.Sprintf(": write %q, in quotes", s)
}
