package people

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"ippwatch/exposure"
)

// Limits on a file of constituents. The parser takes time that grows with the
// square of open brackets.
const (
	maxFile     = 16 << 20
	maxBrackets = 200_000
	maxOpen     = 100
	maxErrors   = 20
)

// Keys of the file and of a constituent.
var (
	fileKeys        = []string{"constituents"}
	constituentKeys = []string{"name", "title", "networks", "asns", "countries", "language", "contacts"}
)

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
	f := file{name: name}
	f.read(strings.TrimPrefix(string(text), "\ufeff"))
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.all, nil
}

// A file is what was read of it, and what was wrong with it.
type file struct {
	name string
	errs []complaint
	more bool // than maxErrors
	all  []exposure.Constituent
}

// A complaint is a mistake and its place, both counted from 1.
type complaint struct {
	line, column int
	err          error
}

func (f *file) at(line, column int, format string, args ...any) {
	if f.more = f.more || len(f.errs) == maxErrors; !f.more {
		f.errs = append(f.errs, complaint{line, column, fmt.Errorf(format, args...)})
	}
}

// err returns the complaints in the order of the file, a line each, or nil.
func (f *file) err() error {
	slices.SortStableFunc(f.errs, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var all []error
	for _, c := range f.errs {
		all = append(all, fmt.Errorf("%s:%d:%d: %w", f.name, c.line, c.column, c.err))
	}
	if f.more {
		all = append(all, errors.New("and more of the kind"))
	}
	return errors.Join(all...)
}

func (f *file) node(n ast.Node, format string, args ...any) {
	for {
		m, ok := n.(*ast.MappingNode)
		if !ok || len(m.Values) == 0 {
			break
		}
		n = m.Values[0].Key // the token of a mapping is its first colon
	}
	p := n.GetToken().Position
	f.at(p.Line, p.Column, format, args...)
}

func (f *file) read(text string) {
	if line, err := readable(text); err != nil {
		f.at(line, 1, "%w", err)
		return
	}
	parsed, err := parser.ParseBytes([]byte(text), 0)
	if bad, ok := errors.AsType[yaml.Error](err); ok && bad.GetToken() != nil {
		p := bad.GetToken().Position
		message, _, _ := strings.Cut(bad.GetMessage(), "\n")
		f.at(p.Line, p.Column, "%s", message)
		return
	} else if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		f.at(1, 1, "%s", message)
		return
	}
	var body ast.Node
	for _, d := range parsed.Docs {
		if d.Body == nil {
			continue
		}
		if body != nil {
			f.node(d.Body, "a second document: the constituents are one document")
			return
		}
		body = d.Body
	}
	if body == nil {
		f.at(1, 1, "the file is empty: want constituents: and a list")
		return
	}
	values := f.mapping(body, "the file", fileKeys)
	if values == nil {
		return
	}
	list, ok := values["constituents"].(*ast.SequenceNode)
	if !ok {
		f.node(body, "constituents: want a list, a dash before each name")
		return
	}
	named := make(map[string]int)
	for _, n := range list.Values {
		f.constituent(n, named)
	}
}

// readable refuses what the parser would read at great cost, or wrongly.
func readable(text string) (line int, err error) {
	if len(text) > maxFile {
		return 1, fmt.Errorf("the file has %d bytes: the limit is %d", len(text), maxFile)
	}
	if line, err = plain(text); err != nil {
		return line, err
	}
	brackets, open := 0, 0
	for i, r := range text {
		switch r {
		case '[', '{':
			brackets++
			if open++; open > maxOpen || brackets > maxBrackets {
				err = errors.New("too many brackets: write lists with dashes")
			}
		case ']', '}':
			open = max(0, open-1)
		}
		if err != nil {
			return strings.Count(text[:i], "\n") + 1, err
		}
	}
	return 0, nil
}

// plain refuses what is no text.
func plain(text string) (line int, err error) {
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			err = errors.New("the text is not UTF-8")
		case r == 0:
			err = errors.New("the text has a NUL")
		}
		if err != nil {
			return strings.Count(text[:i], "\n") + 1, err
		}
	}
	return 0, nil
}

// mapping returns the values of a node by their keys, or nil.
func (f *file) mapping(n ast.Node, what string, keys []string) map[string]ast.Node {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		f.node(n, "%s: want keys and values, such as %s: ...", what, keys[0])
		return nil
	}
	values := make(map[string]ast.Node, len(m.Values))
	for _, v := range m.Values {
		key := v.Key.GetToken().Value
		if !slices.Contains(keys, key) {
			f.node(v.Key, "unknown key %q: the keys are %s", short(key), strings.Join(keys, ", "))
			continue
		}
		values[key] = v.Value
	}
	return values
}

func (f *file) constituent(n ast.Node, named map[string]int) {
	values := f.mapping(n, "a constituent", constituentKeys)
	if values == nil {
		return
	}
	before := len(f.errs)
	var c exposure.Constituent
	for _, key := range constituentKeys {
		v, ok := values[key]
		if !ok {
			continue
		}
		switch key {
		case "name":
			c.Name = f.named(v, named)
		case "title":
			c.Title = f.text(key, v)
		case "language":
			if text := f.text(key, v); text != "" {
				c.Language = value(f, key, v, text, parseLanguage)
			}
		case "networks":
			for _, item := range f.list(key, v) {
				c.Networks = f.network(c.Networks, item)
			}
		case "asns":
			for _, item := range f.list(key, v) {
				c.ASNs = f.asn(c.ASNs, item)
			}
		case "countries":
			for _, item := range f.list(key, v) {
				c.Countries = f.country(c.Countries, item)
			}
		case "contacts":
			for _, item := range f.list(key, v) {
				c.Contacts = f.contact(c.Contacts, item)
			}
		}
	}
	if values["name"] == nil {
		f.node(n, "a constituent without a name")
	}
	if len(f.errs) == before && len(c.Networks)+len(c.ASNs)+len(c.Countries) == 0 {
		f.node(n, "%s has no networks, asns or countries: it would match no host", c.Name)
	}
	f.all = append(f.all, c)
}

func (f *file) named(v ast.Node, named map[string]int) string {
	s := f.text("name", v)
	line, twice := named[s]
	switch err := checkName(s); {
	case s == "":
	case err != nil:
		f.node(v, "name: %w", err)
	case twice:
		f.node(v, "name: %q stands in line %d already", s, line)
	default:
		named[s] = v.GetToken().Position.Line
	}
	return s
}

// text returns a value that pages, mails and terminals show.
func (f *file) text(key string, n ast.Node) string {
	s, ok := scalar(n)
	s = strings.TrimSpace(s)
	switch err := checkText(s); {
	case !ok:
		f.node(n, "%s: want text: put it in quotes", key)
	case errors.Is(err, errEmpty):
		f.node(n, "%s is empty", key)
	case err != nil:
		f.node(n, "%s: %w", key, err)
	default:
		return s
	}
	return ""
}

// value reads a text of the file, or complains.
func value[T any](f *file, key string, n ast.Node, s string, parse func(string) (T, error)) T {
	v, err := parse(s)
	if err != nil {
		f.node(n, "%s: %w", key, err)
	}
	return v
}

func (f *file) list(key string, n ast.Node) []ast.Node {
	if _, ok := n.(*ast.NullNode); ok {
		return nil // the key alone, as people leave it
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.node(n, "%s: want a list, such as [a, b]", key)
		return nil
	}
	return list.Values
}

func (f *file) network(all []netip.Prefix, n ast.Node) []netip.Prefix {
	s, ok := scalar(n)
	if !ok {
		f.node(n, `networks: want a prefix or an address; one that ends in ":" needs quotes`)
		return all
	}
	switch p, err := parseNetwork(s); {
	case err != nil:
		f.node(n, "networks: %w", err)
	case slices.Contains(all, p):
		f.node(n, "networks: %s stands there twice", p)
	default:
		return append(all, p)
	}
	return all
}

func (f *file) asn(all []uint32, n ast.Node) []uint32 {
	s := n.GetToken().Value
	if _, nested := n.(ast.MapNode); nested {
		s = "a mapping"
	}
	switch number, err := parseASN(s); {
	case err != nil:
		f.node(n, "asns: %w", err)
	case slices.Contains(all, number):
		f.node(n, "asns: %d stands there twice", number)
	default:
		return append(all, number)
	}
	return all
}

func (f *file) country(all []string, n ast.Node) []string {
	s, ok := scalar(n)
	if !ok {
		s = n.GetToken().Value
	}
	switch country, err := parseCountry(s); {
	case err != nil:
		f.node(n, "countries: %w", err)
	case slices.Contains(all, country):
		f.node(n, "countries: %s stands there twice", country)
	default:
		return append(all, country)
	}
	return all
}

// contact reads a contact: a text alone is its address.
func (f *file) contact(all []exposure.Recipient, n ast.Node) []exposure.Recipient {
	var r exposure.Recipient
	before := len(f.errs)
	if _, ok := n.(*ast.MappingNode); !ok {
		r.Address = f.text("contacts", n)
	} else {
		values := f.mapping(n, "a contact", contactKeys)
		for _, key := range contactKeys {
			if v, ok := values[key]; ok {
				f.field(&r, key, v)
			}
		}
	}
	if len(f.errs) > before || f.more {
		return all
	}
	switch err := complete(&r); {
	case err != nil:
		f.node(n, "contacts: %w", err)
	case slices.ContainsFunc(all, func(other exposure.Recipient) bool { return other.Key() == r.Key() }):
		f.node(n, "contacts: %s stands there twice", r.Address)
	default:
		return append(all, r)
	}
	return all
}

func (f *file) field(r *exposure.Recipient, key string, n ast.Node) {
	var s string
	switch n := n.(type) {
	case *ast.NullNode:
		return // the key alone, as people leave it
	case *ast.SequenceNode:
		if key != "format" {
			f.node(n, "%s: want one value, not a list", key)
			return
		}
		var words []string
		for _, item := range n.Values {
			words = append(words, f.text(key, item))
		}
		s = strings.Join(words, ",")
	case *ast.BoolNode, *ast.IntegerNode:
		s = n.GetToken().Value
	default:
		text, ok := scalar(n)
		if !ok {
			f.node(n, "%s: want text: put it in quotes", key)
			return
		}
		s = strings.TrimSpace(text)
	}
	if err := setField(r, key, s); err != nil {
		f.node(n, "%s: %w", key, err)
	}
}

// scalar returns the text of a node that is text in YAML.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}
