package shadowserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/edition"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/report"
)

// places are the fields of which a query must have one, unless it names a list:
// theirs wants one that matches the filters of the reports.
var places = []string{"ip", "asn", "geo", "region", "city", "hostname", "naics", "sector"}

// A filter is what rows must have in each field: any of the values.
type filter struct {
	fields map[string]words
	within []netip.Prefix // of "ip"
	kinds  []report.Type
}

// An event is a row that was found, as one of a type.
type event struct {
	at   time.Time
	kind report.Type
	row  *report.Row
}

// query answers from the observations themselves, also those of today.
func (s *server) query(c *call) (any, error) {
	from, to, err := c.ask.days(c.v.At, 1)
	if err != nil {
		return nil, err
	}
	f, err := s.filter(c)
	if err != nil {
		return nil, err
	}
	narrow := archive.Query{}
	if len(f.within) == 1 {
		narrow.Addr = f.within[0]
	}
	belongs, err := s.belongs(c)
	if err != nil {
		return nil, err
	}
	var found []event
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		rows, err := edition.Rows(c.ctx, c.v.View, s.Archive, s.Store, day, narrow)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			for _, t := range f.kinds {
				if t.Holds(&rows[i].Observation) && f.match(t, &rows[i]) && belongs(&rows[i]) {
					found = append(found, event{rows[i].Observed, t, &rows[i]})
				}
			}
		}
	}
	if c.ask.Facet != "" {
		return facet(c.ask.Facet, f.kinds, found, c.ask.limit())
	}
	down := c.ask.Sort == "descending"
	if !down && c.ask.Sort != "" && c.ask.Sort != "ascending" {
		return nil, gate.Bad("sort %.40q: want ascending or descending", c.ask.Sort)
	}
	slices.SortStableFunc(found, func(a, b event) int {
		if down {
			a, b = b, a
		}
		return a.at.Compare(b.at)
	})
	return page(found, c.ask.limit(), max(int(c.ask.Page), 1))
}

// page is the n-th part of what was found. Behind the last there is nothing: so
// clients know that they have all.
func page(found []event, limit, n int) (any, error) {
	first := min((n-1)*limit, len(found))
	if n > len(found) { // and the product may be no number at all
		first = len(found)
	}
	all := make([]json.RawMessage, 0, min(limit, len(found)-first))
	for _, e := range found[first:min(first+limit, len(found))] {
		object, err := e.object()
		if err != nil {
			return nil, err
		}
		all = append(all, object)
	}
	return all, nil
}

// object is the row with its columns as keys, in their order; what is not known
// is left out.
func (e event) object() (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteString(`{"type":"` + string(e.kind) + `"`)
	for _, c := range e.kind.Definition() {
		value := c.Value(e.row)
		if value == "" {
			continue
		}
		text := []byte(value)
		if !c.Number {
			var err error
			if text, err = json.Marshal(value); err != nil {
				return nil, err
			}
		}
		b.WriteString(`,"` + c.Name + `":`)
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// filter reads the query. A field that no row has is a mistake that is told: to
// leave it out would answer another question.
func (s *server) filter(c *call) (f filter, err error) {
	f.fields = c.ask.Query
	c.ask.Types = append(c.ask.Types, f.fields["type"]...)
	f.kinds = c.ask.kinds()
	named := len(c.ask.lists()) > 0
	for name, values := range f.fields {
		if name != "type" && !hasField(theirsAndOurs, name) {
			return f, gate.Bad("%s: no row has a field %.40q; reports/schema has those that there are", noFilters, name)
		}
		named = named || slices.Contains(places, name) && len(values) > 0
	}
	if !named {
		return f, gate.Bad("%s: the query must have one of %s, or name a report", noFilters, strings.Join(places, ", "))
	}
	for _, text := range f.fields["ip"] {
		p, err := prefixOf(strings.TrimPrefix(text, "|"))
		if err != nil {
			return f, gate.Bad("ip %.60q: want an address or a network", text)
		}
		if !c.v.View.Overlaps(p) {
			return f, gate.Bad("%s: %s is not among your networks", noFilters, p)
		}
		f.within = append(f.within, p)
	}
	return f, nil
}

var theirsAndOurs = report.Types

func hasField(kinds []report.Type, name string) bool {
	return slices.ContainsFunc(kinds, func(t report.Type) bool { return slices.Contains(t.Columns(false), name) })
}

func prefixOf(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// match reports whether the row has one of the values in each of the fields.
func (f *filter) match(t report.Type, r *report.Row) bool {
	if len(f.within) > 0 && !slices.ContainsFunc(f.within, func(p netip.Prefix) bool { return p.Contains(r.Addr.Unmap()) }) {
		return false
	}
	matched := 0
	for _, c := range t.Definition() {
		values, asked := f.fields[c.Name]
		if !asked || c.Name == "ip" {
			continue
		}
		matched++
		has := c.Value(r)
		if !slices.ContainsFunc(values, func(want string) bool { return same(c.Name, has, strings.TrimPrefix(want, "|")) }) {
			return false
		}
	}
	for name := range f.fields { // a field that the type has not is no match
		if name == "ip" || name == "type" {
			matched++
		}
	}
	return matched == len(f.fields)
}

func same(field, has, want string) bool {
	switch field {
	case "tag":
		return slices.ContainsFunc(strings.Split(has, ";"), func(one string) bool { return strings.EqualFold(one, want) })
	case "asn":
		return has == strings.TrimPrefix(strings.ToUpper(want), "AS")
	}
	return strings.EqualFold(has, want)
}

// belongs reports whose rows are wanted, when lists are named.
func (s *server) belongs(c *call) (func(*report.Row) bool, error) {
	lists, err := s.wanted(c)
	if err != nil {
		return nil, err
	}
	if len(c.ask.lists()) == 0 || c.v.Key.Constituent != "" {
		return func(*report.Row) bool { return true }, nil // a constituent sees its own alone
	}
	d, err := s.People.Directory(c.ctx, access.CLI(c.v.At))
	if err != nil {
		return nil, err
	}
	return func(r *report.Row) bool { return dealt(d, r, lists) }, nil
}

func dealt(d *people.Directory, r *report.Row, lists []string) bool {
	names := d.Names(&r.Observation)
	if len(names) == 0 {
		return slices.Contains(lists, edition.Unassigned) || slices.Contains(lists, edition.Everybody)
	}
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(lists, name) })
}

// A facetValue is how often a value was found.
type facetValue struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// facet counts the values of a field, the most frequent first.
func facet(field string, kinds []report.Type, found []event, limit int) (any, error) {
	if field != "type" && !hasField(kinds, field) {
		return nil, gate.Bad("facet %.40q: no row has that field", field)
	}
	column := make(map[report.Type]report.Column)
	for _, t := range kinds {
		for _, c := range t.Definition() {
			if c.Name == field {
				column[t] = c
			}
		}
	}
	counts := make(map[string]int)
	for _, e := range found {
		if field == "type" {
			counts[string(e.kind)]++
			continue
		}
		c, ok := column[e.kind]
		if !ok {
			continue
		}
		values := []string{c.Value(e.row)}
		if field == "tag" {
			values = strings.Split(values[0], ";")
		}
		for _, v := range values {
			if v != "" {
				counts[v]++
			}
		}
	}
	all := make([]facetValue, 0, len(counts))
	for v, n := range counts {
		all = append(all, facetValue{v, n})
	}
	slices.SortFunc(all, func(a, b facetValue) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value)) })
	return all[:min(len(all), limit)], nil
}
