package people

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"ippwatch/exposure"
	"ippwatch/store"
)

// Fields of an edit. Those of a contact are [contactField] and one of
// contactKeys; the element is then the contact.
const (
	fieldSelf      = "self" // whether the constituent is there
	fieldTitle     = "title"
	fieldLanguage  = "language"
	fieldNetworks  = "networks"
	fieldASNs      = "asns"
	fieldCountries = "countries"
	fieldContacts  = "contacts"
	contactField   = "contact."
)

// Values of an edit of something that is there or not.
const (
	add    = "add"
	remove = "remove"
)

// A Known is a constituent as it is: what imports say, and over it what a hand
// edited, field by field and element by element.
type Known struct {
	exposure.Constituent
	// Sources tells who says so, by element: "198.51.100.0/24", "AS64496", "DE",
	// and the fields title and language.
	Sources map[string]string
	Edited  []string // fields that a hand has set
}

// Merge returns the constituents in the order of their names.
func Merge(p store.People) []Known {
	imported := make(map[string]time.Time)
	for _, i := range p.Imports {
		imported[i.Source] = i.At
	}
	layers := make(map[string][]store.Layer)
	for _, l := range p.Layers {
		layers[l.Name] = append(layers[l.Name], l)
	}
	edits := make(map[string][]store.Edit)
	for _, e := range p.Edits {
		edits[e.Name] = append(edits[e.Name], e)
	}
	statuses := make(map[string][]store.Status)
	for _, s := range p.Statuses {
		statuses[s.Contact] = append(statuses[s.Contact], s)
	}
	names := make(map[string]bool)
	for name := range layers {
		names[name] = true
	}
	for name := range edits {
		names[name] = true
	}
	var all []Known
	for _, name := range slices.Sorted(maps.Keys(names)) {
		k, ok := merge(name, layers[name], edits[name], imported)
		if !ok {
			continue
		}
		for i := range k.Contacts {
			mark(&k.Contacts[i], statuses)
		}
		all = append(all, k)
	}
	return all
}

// mark sets what is known of the contact's address.
func mark(r *exposure.Recipient, statuses map[string][]store.Status) {
	for _, s := range statuses[r.Key()] {
		switch s.Status {
		case store.OptOut:
			r.OptOut = true
		case store.Invalid:
			r.Invalid = true
		}
	}
}

// merge puts one constituent together. Where two imports speak of it, their
// lists are joined, and the source that comes first in the alphabet names it.
func merge(name string, layers []store.Layer, edits []store.Edit, imported map[string]time.Time) (Known, bool) {
	m := merger{Known: Known{Constituent: exposure.Constituent{Name: name}, Sources: make(map[string]string)}}
	for _, l := range layers {
		m.layer(l, imported[l.Source])
	}
	there := len(layers) > 0
	gone := false
	for _, e := range edits {
		switch {
		case e.Field == fieldSelf:
			there, gone = there || e.Value == add, e.Value == remove
		case e.Value == add:
			there = true // who gave it a network or a contact wants it to be there
		}
	}
	if !there || gone {
		return Known{}, false
	}
	m.hand(edits)
	slices.SortFunc(m.Networks, comparePrefixes)
	slices.Sort(m.ASNs)
	slices.Sort(m.Countries)
	return m.Known, true
}

// A merger is a constituent on its way.
type merger struct{ Known }

func (m *merger) layer(l store.Layer, at time.Time) {
	source := exposure.ImportedFrom(l.Source)
	say := func(what string) bool {
		if m.Sources[what] != "" {
			return false
		}
		m.Sources[what] = source
		return true
	}
	if l.Title != "" && say(fieldTitle) {
		m.Title = l.Title
	}
	if l.Language != "" && say(fieldLanguage) {
		m.Language = l.Language
	}
	for _, p := range l.Networks {
		if say(p.String()) {
			m.Networks = append(m.Networks, p)
		}
	}
	for _, n := range l.ASNs {
		if say(asn(n)) {
			m.ASNs = append(m.ASNs, n)
		}
	}
	for _, c := range l.Countries {
		if say(c) {
			m.Countries = append(m.Countries, c)
		}
	}
	for _, r := range l.Contacts {
		if m.contact(r.Key()) < 0 {
			r.Source, r.Found = source, at
			m.Contacts = append(m.Contacts, r)
		}
	}
}

func asn(n uint32) string { return "AS" + strconv.FormatUint(uint64(n), 10) }

func (m *merger) contact(key string) int {
	return slices.IndexFunc(m.Contacts, func(r exposure.Recipient) bool { return r.Key() == key })
}

// hand applies what a hand edited. The order of the edits is that of time where
// it matters: of contacts that were added, the first stands first.
func (m *merger) hand(edits []store.Edit) {
	byTime := slices.Clone(edits)
	slices.SortStableFunc(byTime, func(a, b store.Edit) int { return a.At.Compare(b.At) })
	var own []exposure.Recipient
	for _, e := range byTime {
		switch e.Field {
		case fieldTitle:
			m.Title, m.Sources[fieldTitle] = e.Value, exposure.OwnData
		case fieldLanguage:
			m.Language, m.Sources[fieldLanguage] = e.Value, exposure.OwnData
		case fieldNetworks:
			if p, err := parseNetwork(e.Element); err == nil {
				m.Networks = elementOf(m, m.Networks, p, e)
			}
		case fieldASNs:
			if n, err := parseASN(e.Element); err == nil {
				m.ASNs = elementOf(m, m.ASNs, n, e)
			}
		case fieldCountries:
			m.Countries = elementOf(m, m.Countries, e.Element, e)
		case fieldContacts:
			i := m.contact(e.Element)
			if i >= 0 {
				r := m.Contacts[i]
				m.Contacts = slices.Delete(m.Contacts, i, i+1)
				if e.Value == add {
					r.Source, r.Found = exposure.OwnData, e.At
					own = append(own, r)
				}
			} else if e.Value == add {
				own = append(own, exposure.Recipient{Source: exposure.OwnData, Found: e.At})
				setKey(&own[len(own)-1], e.Element)
			}
		}
	}
	m.Contacts = append(own, m.Contacts...)
	for _, e := range edits {
		field, ok := cutField(e.Field)
		i := m.contact(e.Element)
		if ok && i >= 0 {
			assign(&m.Contacts[i], field, e.Value)
		}
		// The fields of a contact that is all a hand's are no news.
		if !ok || i >= 0 && m.Contacts[i].Source != exposure.OwnData {
			m.Edited = append(m.Edited, describe(e))
		}
	}
	slices.Sort(m.Edited)
}

// elementOf adds the value to the list, or takes it out.
func elementOf[T comparable](m *merger, all []T, v T, e store.Edit) []T {
	i := slices.Index(all, v)
	switch {
	case e.Value == remove && i >= 0:
		delete(m.Sources, e.Element)
		return slices.Delete(all, i, i+1)
	case e.Value == add && i < 0:
		all = append(all, v)
	}
	if e.Value == add {
		m.Sources[e.Element] = exposure.OwnData
	}
	return all
}

// describe names what an edit is about.
func describe(e store.Edit) string {
	switch {
	case e.Element == "":
		return e.Field
	case e.Value == add:
		return e.Field + " +" + e.Element
	case e.Value == remove:
		return e.Field + " -" + e.Element
	}
	return e.Field + " of " + e.Element
}

// own returns the constituents without what is beside them.
func own(all []Known) []exposure.Constituent {
	list := make([]exposure.Constituent, len(all))
	for i, k := range all {
		list[i] = k.Constituent
	}
	return list
}

func find(all []Known, name string) (Known, bool) {
	i, ok := slices.BinarySearchFunc(all, name, func(k Known, name string) int { return cmp.Compare(k.Name, name) })
	if !ok {
		return Known{}, false
	}
	return all[i], true
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
