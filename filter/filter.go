// Package filter joins what writes filters with what reads them: nothing is
// handed out that was not read back and proven, and what others run is compared
// with a policy.
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ippwatch/acl"
	"ippwatch/acl/read"
	"ippwatch/acl/render"
)

// Unverified stands in the output of a platform that nobody could try on the
// real system.
const Unverified = "unverified on device"

// A Rendered is a filter in the words of a platform, proven.
type Rendered struct {
	Platform render.Platform
	Form     acl.Form
	render.Output
}

// An UnprovenError is for a text that does not do what the form says. It is a
// mistake in ippwatch, or in what a platform was said to be able to.
type UnprovenError struct {
	Platform string
	Proof    acl.Proof
}

func (e *UnprovenError) Error() string {
	lines := []string{e.Platform + ": the text was read back and is not what the policy says: it is not handed out"}
	for i, d := range e.Proof.Differences {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more sets of packets", len(e.Proof.Differences)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%s: the policy says %s, the text says %s", d.Witness, d.A, d.B))
	}
	lines = append(lines, e.Proof.Lost...)
	for _, l := range e.Proof.Unverified {
		lines = append(lines, fmt.Sprintf("%s:%d: unverified: %s (%s)", l.File, l.Number, l.Text, l.Why))
	}
	return strings.Join(lines, "\n")
}

// Names are the platforms, in the order in which they are listed.
func Names() []string {
	var names []string
	for _, p := range render.All {
		names = append(names, p.Name)
	}
	return names
}

// errUnknown is for a platform that nobody has written.
func errUnknown(name string) error {
	return fmt.Errorf("platform %q: want %s", name, strings.Join(Names(), ", "))
}

// Render writes a form for a platform, reads it back and proves it.
func Render(platform string, form acl.Form) (Rendered, error) {
	p, ok := render.ByName(platform)
	if !ok {
		return Rendered{}, errUnknown(platform)
	}
	form, notes := p.Fit(form)
	out, err := p.Render(form)
	if err != nil {
		return Rendered{}, err
	}
	out.Notes = slices.Concat(notes, out.Notes)
	seen, err := Read(platform, out.Texts, form.At)
	if err != nil {
		return Rendered{}, err
	}
	for _, one := range seen {
		if proof := acl.Prove(form, one.Filter); !proof.Proven() {
			return Rendered{}, &UnprovenError{platform, proof}
		}
	}
	return Rendered{p, form, out}, nil
}

// Seen is a filter as packets meet it at one interface; a host's own may have
// none.
type Seen struct {
	Interface string
	acl.Filter
}

// Read finds out what texts of a platform do at a place, at each of its
// interfaces.
func Read(platform string, texts []acl.Text, at acl.Attach) ([]Seen, error) {
	p, ok := read.ByName(platform)
	if !ok {
		return nil, errUnknown(platform)
	}
	if at.Profile != acl.Host && len(at.Interfaces) == 0 {
		return nil, errNoInterface
	}
	var all []Seen
	for _, one := range at.Each() {
		f, err := p.Read(texts, one)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		all = append(all, Seen{strings.Join(one.Interfaces, ""), f})
	}
	return all, nil
}

var errNoInterface = errors.New("a filter stands at an interface: none is named")

// A Report is what is found when a platform's text is held against a policy.
type Report struct {
	// Leaks are packets that the policy drops and the text may let pass, worst
	// first.
	Leaks []Leak
	// Blocked are packets that an exception lets pass and the text drops.
	Blocked []Leak
	// Unverified are lines that could change the answer.
	Unverified []acl.Line
	// Stages are the lists on the path that were understood.
	Stages  []string
	Skipped int
}

// A Leak is a set of packets, one of them, and the rule of the policy that is
// about them.
type Leak struct {
	acl.Difference
	Interface string
	Rule      string
	// By is the rule of the text that decided, as far as it has a name or a line.
	By acl.Rule
}

// Fine reports whether nothing was found.
func (r Report) Fine() bool {
	return len(r.Leaks) == 0 && len(r.Blocked) == 0 && len(r.Unverified) == 0
}

// Check holds what a reader found against a form, at each interface.
func Check(form acl.Form, seen []Seen) Report {
	var r Report
	told := make(map[string]bool) // what is the same at all interfaces is told once
	add := func(list *[]Leak, kind string, leaks []Leak) {
		for _, l := range leaks {
			key := kind + l.Packets.String() + l.Witness.String()
			if !told[key] {
				told[key] = true
				*list = append(*list, l)
			}
		}
	}
	for i, one := range seen {
		leaks, blocked := check(form, one)
		add(&r.Leaks, "leak", leaks)
		add(&r.Blocked, "blocked", blocked)
		if i == 0 {
			r.Unverified, r.Skipped = one.Unverified, one.Skipped
		}
		for _, s := range one.Stages {
			if name := s.Name; !slices.Contains(r.Stages, name) {
				r.Stages = append(r.Stages, name)
			}
		}
	}
	for _, one := range seen[min(1, len(seen)):] {
		for _, l := range one.Unverified {
			if !slices.Contains(r.Unverified, l) {
				r.Unverified = append(r.Unverified, l)
			}
		}
	}
	return r
}

func check(form acl.Form, got Seen) (leaks, blocked []Leak) {
	if !got.Torn {
		form = form.WithoutTorn()
	}
	want := form.Filter()
	var drops, exempt []acl.Match
	for _, rule := range form.Rules {
		if rule.Action == acl.Drop {
			drops = append(drops, rule.Match)
		}
	}
	// An exception is about what would be dropped without it, and no more.
	for _, rule := range form.Rules {
		for _, drop := range drops {
			if rule.Action == acl.Permit {
				exempt = append(exempt, rule.Match.And(drop))
			}
		}
	}
	leak := func(d acl.Difference) Leak {
		l := Leak{Difference: d, Interface: got.Interface}
		if _, by := want.Walk(d.Witness); len(by) > 0 {
			l.Rule = by[0].Name
		}
		if _, by := got.Walk(d.Witness); len(by) > 0 {
			l.By = by[len(by)-1]
		}
		return l
	}
	for _, d := range acl.Within(want, got.Filter, drops) {
		if d.Worst() {
			leaks = append(leaks, leak(d))
		}
	}
	for _, d := range acl.Within(want, got.Filter, exempt) {
		if d.A.Passes() && !d.B.Passes() {
			blocked = append(blocked, leak(d))
		}
	}
	return leaks, blocked
}

// How says in words what to do with a rendered filter.
func (r Rendered) How() string {
	var b strings.Builder
	say := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s:\n", title)
			for _, l := range lines {
				fmt.Fprintf(&b, "  %s\n", l)
			}
		}
	}
	checked := r.Platform.Proven
	if checked == "" {
		checked = Unverified
	}
	fmt.Fprintf(&b, "%s (%s)\n", r.Platform.Title, checked)
	say("load", r.Load)
	say("confirm or go back", r.Confirm)
	say("counters", r.Counters)
	say("back out", r.Undo)
	say("notes", r.Notes)
	if r.Form.CountOnly {
		say("next", []string{"this filter drops nothing: watch the counters that end in " + acl.HitSuffix + " for a week, then render with --enforce"})
	}
	return b.String()
}

// Has reports whether there is a platform with the name.
func Has(name string) bool { return slices.Contains(Names(), name) }
