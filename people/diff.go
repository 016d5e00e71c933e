package people

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/exposure"
	"ippwatch/strict"
)

// Diff tells what makes b out of a, a line each: for the audit log and for who
// tries an import out first. Of a contact it tells what a person writes.
func Diff(a, b exposure.Constituent) []string {
	var lines []string
	if a.Title != b.Title {
		lines = append(lines, fmt.Sprintf("title %q -> %q", a.Title, b.Title))
	}
	if a.Language != b.Language {
		lines = append(lines, fmt.Sprintf("language %q -> %q", a.Language, b.Language))
	}
	lines = append(lines, elements("network", a.Networks, b.Networks, netip.Prefix.String)...)
	lines = append(lines, elements("", a.ASNs, b.ASNs, asn)...)
	lines = append(lines, elements("country", a.Countries, b.Countries, func(s string) string { return s })...)
	return append(lines, contactDiff(a.Contacts, b.Contacts)...)
}

// elements tells which are in one list only, those that go first.
func elements[T comparable](noun string, a, b []T, text func(T) string) []string {
	var lines []string
	in := func(sign string, these, those []T) {
		there := make(map[T]bool, len(those))
		for _, v := range those {
			there[v] = true
		}
		for _, v := range these {
			if !there[v] {
				lines = append(lines, strings.TrimLeft(noun+" ", " ")+sign+text(v))
			}
		}
	}
	in("-", a, b)
	in("+", b, a)
	return lines
}

func contactDiff(a, b []exposure.Recipient) []string {
	var lines []string
	index := func(all []exposure.Recipient, key string) int {
		return slices.IndexFunc(all, func(r exposure.Recipient) bool { return r.Key() == key })
	}
	for _, r := range a {
		if index(b, r.Key()) < 0 {
			lines = append(lines, "contact -"+r.Address+Properties(r))
		}
	}
	for _, r := range b {
		i := index(a, r.Key())
		if i < 0 {
			lines = append(lines, "contact +"+r.Address+Properties(r))
			continue
		}
		for _, key := range contactKeys {
			if was, is := getField(a[i], key), getField(r, key); was != is {
				lines = append(lines, fmt.Sprintf("contact %s: %s %s -> %s", r.Address, key, strict.Quote(was), strict.Quote(is)))
			}
		}
	}
	return lines
}

// Properties are the fields of a contact beside its address, in brackets.
func Properties(r exposure.Recipient) string {
	var words []string
	for _, key := range contactKeys[1:] {
		v := getField(r, key)
		switch {
		case v == "", key == "medium" && r.Medium == exposure.ByMail:
			continue
		case key == "pgp_key" && strings.HasPrefix(v, armour):
			v = fmt.Sprintf("of %d bytes", len(v))
		case v == "true":
			words = append(words, key)
			continue
		}
		words = append(words, key+" "+v)
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}
