package people

import (
	"strings"

	"github.com/goccy/go-yaml/ast"

	"ippwatch/exposure"
	"ippwatch/strict"
)

// maxFile bounds a file of constituents.
const maxFile = 16 << 20

// ParseConstituents reads the file of constituents: YAML, strict. An error
// names file, line and column, one line for each mistake, up to twenty.
//
//	constituents:
//	  - name: example-net        # fit for a file name
//	    title: Example Networks
//	    networks: [198.51.100.0/24, "2001:db8::/32"]
//	    asns: [64500]
//	    countries: [DE]
//	    language: de
//	    contacts:
//	      - abuse@example.net      # the address alone, or
//	      - address: "+49 30 123456"
//	        role: management
//
// The fields of a contact are address, name, role, language, medium (mail,
// webhook, phone), format (text, html, xarf, csv), pgp_key, interval,
// business_days and opt_out.
func ParseConstituents(name string, text []byte) ([]exposure.Constituent, error) {
	f := file{File: strict.File{Name: name}, named: make(map[string]int)}
	if root := f.YAML(text, maxFile); root != nil {
		f.Keys(root, "the file", []strict.Key{{Name: "constituents", Must: true, Read: func(n ast.Node) {
			for _, item := range f.List("constituents", n) {
				f.constituent(item)
			}
		}}})
	} else if f.Mistakes() == 0 {
		f.At(1, 1, "the file is empty: want constituents: and a list")
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return f.all, nil
}

// A file is what was read of it, and what was wrong with it.
type file struct {
	strict.File
	all   []exposure.Constituent
	named map[string]int // the line of each name
}

func (f *file) constituent(n ast.Node) {
	before := f.Mistakes()
	var c exposure.Constituent
	f.Keys(n, "a constituent", []strict.Key{
		{Name: "name", Must: true, Read: func(v ast.Node) { c.Name = f.name(v) }},
		{Name: "title", Read: func(v ast.Node) { c.Title = f.Line("title", v, maxText) }},
		{Name: "networks", Read: func(v ast.Node) { c.Networks = list(f, "networks", v, parseNetwork) }},
		{Name: "asns", Read: func(v ast.Node) { c.ASNs = list(f, "asns", v, parseASN) }},
		{Name: "countries", Read: func(v ast.Node) { c.Countries = list(f, "countries", v, parseCountry) }},
		{Name: "language", Read: func(v ast.Node) {
			if s := f.Line("language", v, maxText); s != "" {
				var err error
				if c.Language, err = parseLanguage(s); err != nil {
					f.Node(v, "language: %w", err)
				}
			}
		}},
		{Name: "contacts", Read: func(v ast.Node) { c.Contacts = f.contacts(v) }},
	})
	if f.Mistakes() == before && len(c.Networks)+len(c.ASNs)+len(c.Countries) == 0 {
		f.Node(n, "%s has no networks, asns or countries: it would match no host", c.Name)
	}
	f.all = append(f.all, c)
}

func (f *file) name(v ast.Node) string {
	s := f.Line("name", v, maxText)
	line, twice := f.named[s]
	switch err := checkName(s); {
	case s == "":
	case err != nil:
		f.Node(v, "name: %w", err)
	case twice:
		f.Node(v, "name: %q stands in line %d already", s, line)
	default:
		f.named[s] = strict.PlaceOf(v).Line
	}
	return s
}

// list reads the elements of a list, no two of them the same.
func list[T comparable](f *file, key string, n ast.Node, parse func(string) (T, error)) []T {
	var all []T
	seen := make(map[T]bool)
	for _, item := range f.List(key, n) {
		s, ok := f.word(key, item)
		v, err := parse(s)
		switch {
		case !ok:
		case err != nil:
			f.Node(item, "%s: %w", key, err)
		case seen[v]:
			f.Node(item, "%s: %v stands there twice", key, v)
		default:
			all, seen[v] = append(all, v), true
		}
	}
	return all
}

func (f *file) word(key string, n ast.Node) (string, bool) {
	s, ok := strict.Word(n)
	if _, mapping := n.(*ast.MappingNode); mapping {
		f.Node(n, "%s: want one value, not %s: what ends in a colon needs quotes", key, strict.Kind(n))
	} else if !ok {
		f.Node(n, "%s: want one value, not %s", key, strict.Kind(n))
	}
	return strings.TrimSpace(s), ok
}

// contacts reads contacts: a text alone is an address.
func (f *file) contacts(n ast.Node) []exposure.Recipient {
	var all []exposure.Recipient
	seen := make(map[string]bool)
	for _, item := range f.List("contacts", n) {
		var r exposure.Recipient
		before := f.Mistakes()
		if _, ok := item.(*ast.MappingNode); ok {
			keys := make([]strict.Key, len(contactKeys))
			for i, key := range contactKeys {
				keys[i] = strict.Key{Name: key, Read: func(v ast.Node) { f.field(&r, key, v) }}
			}
			f.Keys(item, "a contact", keys)
		} else {
			r.Address = f.Line("contacts", item, maxText)
		}
		if f.Mistakes() > before || f.Full() {
			continue
		}
		switch err := complete(&r); {
		case err != nil:
			f.Node(item, "contacts: %w", err)
		case seen[r.Key()]:
			f.Node(item, "contacts: %s stands there twice", r.Address)
		default:
			all, seen[r.Key()] = append(all, r), true
		}
	}
	return all
}

func (f *file) field(r *exposure.Recipient, key string, n ast.Node) {
	var s string
	var ok bool
	if forms, many := n.(*ast.SequenceNode); many && key == "format" {
		var words []string
		for _, item := range forms.Values {
			words = append(words, f.Line(key, item, maxText))
		}
		s = strings.Join(words, ",")
	} else if s, ok = f.word(key, n); !ok {
		return
	}
	if err := setField(r, key, s); err != nil {
		f.Node(n, "%s: %w", key, err)
	}
}
