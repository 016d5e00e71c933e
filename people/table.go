package people

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ippwatch/exposure"
	"ippwatch/strict"
)

// columns of a table of constituents: one row for each contact. What stands
// there once for a constituent need not be repeated; lists are joined.
var columns = []string{
	"name", "title", "language", "networks", "asns", "countries",
	"contact", "contact_name", "role", "contact_language", "medium", "format", "pgp_key", "interval", "business_days", "opt_out",
}

// contactColumns are the columns of a contact with the keys that they stand for.
var contactColumns = map[string]string{
	"contact": "address", "contact_name": "name", "role": "role", "contact_language": "language", "medium": "medium",
	"format": "format", "pgp_key": "pgp_key", "interval": "interval", "business_days": "business_days", "opt_out": "opt_out",
}

// ParseTable reads constituents from CSV: the columns by their names in any
// order, only name is needed. Lists are separated by spaces, commas or
// semicolons. An error names file, line and column as ParseConstituents does.
func ParseTable(name string, text []byte) ([]exposure.Constituent, error) {
	t := table{file: file{File: strict.File{Name: name}}, at: make(map[string]int)}
	t.read(text)
	if err := t.Err(); err != nil {
		return nil, err
	}
	return t.all, nil
}

// A table is a file of rows, on its way.
type table struct {
	file
	at    map[string]int // where in all a name stands
	first []strict.Place // beside all
	csv   *csv.Reader
	head  []string
}

func (t *table) complain(i int, format string, args ...any) {
	line, column := t.csv.FieldPos(i)
	t.At(line, column, format, args...)
}

func (t *table) read(text []byte) {
	plain, ok := t.Plain(text, maxFile)
	if !ok {
		return
	}
	t.csv = csv.NewReader(strings.NewReader(plain))
	t.csv.ReuseRecord, t.csv.FieldsPerRecord = true, -1
	head, ok := t.row()
	if !ok || !t.heads(head) {
		return
	}
	for !t.Full() {
		row, ok := t.row()
		if !ok {
			break
		}
		if len(row) != len(t.head) {
			t.complain(0, "%d fields, and the head has %d", len(row), len(t.head))
			continue
		}
		t.constituent(row)
	}
	if t.Mistakes() > 0 {
		return
	}
	if len(t.all) == 0 {
		t.At(1, 1, "the file has no row below the head")
	}
	for i, c := range t.all {
		if len(c.Networks)+len(c.ASNs)+len(c.Countries) == 0 {
			t.At(t.first[i].Line, t.first[i].Column, "%s has no networks, asns or countries: it would match no host", c.Name)
		}
	}
}

// row returns the next row; a broken one ends the reading.
func (t *table) row() ([]string, bool) {
	row, err := t.csv.Read()
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		t.At(wrong.Line, wrong.Column, "%w", wrong.Err)
		return nil, false
	}
	if errors.Is(err, io.EOF) && t.head == nil {
		t.At(1, 1, "the file is empty: want a head such as %s", strings.Join(columns[:6], ","))
	}
	return row, err == nil
}

func (t *table) heads(row []string) bool {
	t.head = slices.Clone(row)
	for i, h := range t.head {
		switch {
		case !slices.Contains(columns, h):
			t.complain(i, "unknown column %s: the columns are %s", strict.Quote(h), strings.Join(columns, ", "))
		case slices.Index(t.head, h) < i:
			t.complain(i, "the column %s stands there twice", h)
		}
	}
	if !slices.Contains(t.head, "name") {
		t.complain(0, "the column name is missing")
	}
	return t.Mistakes() == 0
}

func (t *table) constituent(row []string) {
	i := slices.Index(t.head, "name")
	name := strings.TrimSpace(row[i])
	if name == "" {
		t.complain(i, "a constituent without a name")
		return
	}
	if err := checkName(name); err != nil {
		t.complain(i, "name: %w", err)
		return
	}
	at, there := t.at[name]
	if !there {
		at = len(t.all)
		t.at[name] = at
		line, column := t.csv.FieldPos(i)
		t.all, t.first = append(t.all, exposure.Constituent{Name: name}), append(t.first, strict.Place{Line: line, Column: column})
	}
	c := &t.all[at]
	var r exposure.Recipient
	contact, wrong := -1, false
	for i, cell := range row {
		cell = strings.TrimSpace(cell)
		if cell == "" {
			continue
		}
		key, of := contactColumns[t.head[i]]
		if !of {
			t.cell(c, i, cell)
			continue
		}
		if contact < 0 || key == "address" {
			contact = i
		}
		if err := setField(&r, key, strings.ReplaceAll(cell, ";", ",")); err != nil {
			t.complain(i, "%s: %w", t.head[i], err)
			wrong = true
		}
	}
	if contact < 0 || wrong {
		return
	}
	switch err := complete(&r); {
	case err != nil:
		t.complain(contact, "contact: %w", err)
	case slices.ContainsFunc(c.Contacts, func(other exposure.Recipient) bool { return other.Key() == r.Key() }):
		t.complain(contact, "contact: %s stands there twice", r.Address)
	default:
		c.Contacts = append(c.Contacts, r)
	}
}

// cell reads a column of the constituent itself.
func (t *table) cell(c *exposure.Constituent, i int, cell string) {
	switch t.head[i] {
	case "title":
		t.once(&c.Title, i, cell, func(s string) (string, error) { return s, checkText(s) })
	case "language":
		t.once(&c.Language, i, cell, parseLanguage)
	case "networks":
		c.Networks = joined(t, c.Networks, i, cell, parseNetwork)
	case "asns":
		c.ASNs = joined(t, c.ASNs, i, cell, parseASN)
	case "countries":
		c.Countries = joined(t, c.Countries, i, cell, parseCountry)
	}
}

// once sets a value that a constituent has one of.
func (t *table) once(v *string, i int, cell string, parse func(string) (string, error)) {
	s, err := parse(cell)
	switch {
	case err != nil:
		t.complain(i, "%s: %w", t.head[i], err)
	case *v != "" && *v != s:
		t.complain(i, "%s: %s, and a row above says %s", t.head[i], strict.Quote(s), strict.Quote(*v))
	default:
		*v = s
	}
}

// joined adds the elements of a cell to the list; rows of one constituent may
// repeat them.
func joined[T comparable](t *table, all []T, i int, cell string, parse func(string) (T, error)) []T {
	for _, word := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(" ,;", r) }) {
		v, err := parse(word)
		if err != nil {
			t.complain(i, "%s: %w", t.head[i], err)
		} else if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// FormatTable writes what ParseTable reads.
func FormatTable(w io.Writer, all []exposure.Constituent) error {
	out := csv.NewWriter(w)
	_ = out.Write(columns) // Error tells
	for _, c := range all {
		row := make([]string, len(columns))
		row[0], row[1], row[2] = c.Name, c.Title, c.Language
		row[3], row[4], row[5] = spaced(c.Networks), spaced(c.ASNs), strings.Join(c.Countries, " ")
		if len(c.Contacts) == 0 {
			_ = out.Write(row) // as above
		}
		for i, r := range c.Contacts {
			if i > 0 {
				row = make([]string, len(columns))
				row[0] = c.Name
			}
			for j, column := range columns {
				if key, of := contactColumns[column]; of {
					row[j] = getField(r, key)
				}
			}
			_ = out.Write(row) // as above
		}
	}
	out.Flush()
	return out.Error()
}

func spaced[T any](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, " ")
}
