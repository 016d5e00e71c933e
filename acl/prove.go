package acl

import (
	"fmt"
	"slices"
	"strings"
)

// A Proof is what a comparison of a form with a platform's text came to.
type Proof struct {
	// Differences are sets of packets: A is the form, B the text.
	Differences []Difference
	// Lost are rules of the form whose bookkeeping the text has not: their name,
	// counter or bound of the log.
	Lost []string
	// Unverified are lines that the reader did not understand.
	Unverified []Line
}

// Proven reports whether the text does what the form says, to every packet.
func (p Proof) Proven() bool {
	return len(p.Differences) == 0 && len(p.Lost) == 0 && len(p.Unverified) == 0
}

// Prove compares a form with what a reader found in a text that was rendered
// from it.
func Prove(form Form, read Filter) Proof {
	if !read.Torn {
		form = form.WithoutTorn()
	}
	// What the policy says of torn packets is known also when that is nothing: they
	// pass.
	want := form.Filter()
	want.Torn = true
	return Proof{
		Differences: certain(want, read),
		Lost:        lost(form, read),
		Unverified:  read.Unverified,
	}
}

// A book is what is kept of packets, and under which name.
type book struct {
	name  string
	count bool
	log   Rate
}

// mostLost bounds what is told of a text that keeps other books.
const mostLost = 20

// lost compares under which names each packet is counted, and logged, and at
// what rate. A log without a name is one as well: one that is unbounded falls
// over, whoever wrote it.
func lost(form Form, read Filter) []string {
	counts := func(r Rule) string {
		if r.Name != "" && r.Count {
			return r.Name
		}
		return ""
	}
	logs := func(r Rule) string {
		if r.Log == (Rate{}) {
			return ""
		}
		name := r.Name
		if name == "" {
			name = "a line without a name"
		}
		if r.Log.N == 0 {
			return name + " for each packet"
		}
		return fmt.Sprintf("%s at %d/%s", name, r.Log.N, r.Log.Per)
	}
	l := newLedger()
	f := l.forest
	among := f.real(read.Torn)
	var all []string
	for _, what := range []struct {
		word string
		kept func(Rule) string
	}{{"counted", counts}, {"logged", logs}} {
		a, b := l.books(form.Filter(), what.kept), l.books(read, what.kept)
		said := func(r ref) string {
			if r == no {
				return "not " + what.word
			}
			return what.word + " as " + strings.Join(l.entries(r), " and ")
		}
		for m, p := range f.boxes(f.and(among, f.unequal(a, b))) {
			if len(all) == mostLost {
				break
			}
			all = append(all, fmt.Sprintf("%s: the policy says %s, the text says %s, such as %s", m, said(f.at(a, p)), said(f.at(b, p)), p))
		}
	}
	if l.full {
		all = append(all, "packets are counted and logged under too many combinations of names to compare them")
	}
	slices.Sort(all)
	return append(all, strange(form, read)...)
}

// strange are names of the policy's that no rule of it has, and those of which
// the text has nothing: their counters would be looked for.
func strange(form Form, read Filter) []string {
	known, found := make(map[string]bool), make(map[string]bool)
	for _, r := range form.Rules {
		known[r.Name] = true
	}
	var all []string
	for _, r := range read.all() {
		if strings.HasPrefix(r.Name, form.Name+"_") && !known[r.Name] && !found[r.Name] {
			all = append(all, fmt.Sprintf("%s (line %d) is of no rule of the policy", r.Name, r.Line))
		}
		found[r.Name] = true
	}
	for _, r := range form.Rules {
		if r.Name != "" && !found[r.Name] {
			all = append(all, r.Name+" is not in the text")
		}
	}
	return all
}

// all are the rules of a filter, those of its chains as well.
func (f Filter) all() []Rule {
	var all []Rule
	var collect func([]Rule)
	collect = func(rules []Rule) {
		for _, r := range rules {
			all = append(all, r)
			collect(r.Rules)
		}
	}
	for _, s := range f.Stages {
		collect(s.Rules)
	}
	return all
}
