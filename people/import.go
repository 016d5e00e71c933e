package people

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ippwatch/exposure"
	"ippwatch/store"
	"ippwatch/strict"
)

var sourceName = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)

// CheckSource accepts the name of an import.
func CheckSource(s string) error {
	if len(s) > 64 || !sourceName.MatchString(s) {
		return fmt.Errorf("%s: want small letters, digits and single . _ or -, such as crm", strict.Quote(s))
	}
	return nil
}

// What an import does with a constituent.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed" // the source has it no longer
	Same    = "same"
	Kept    = "kept" // something stays as a hand edited it, though the import says otherwise
)

// A Step is what an import does with one constituent.
type Step struct {
	Name string `json:"constituent"`
	What string `json:"what"`
	// Lines are the changes of what the source says; of Kept, what a hand made
	// of it.
	Lines []string `json:"changes"`
}

// A Plan is what an import does.
type Plan struct {
	Source string         `json:"source"`
	Counts map[string]int `json:"counts"`
	Steps  []Step         `json:"steps"` // without what stays the same
}

// Import keeps what a source says of all its constituents, whole or not at all.
// Constituents that it said before and says no longer are forgotten, as far as
// this source brought them. What a hand edited stays. dry tells what would be
// done, and does nothing.
func (r *Registry) Import(ctx context.Context, h Hand, source, file string, all []exposure.Constituent, dry bool) (Plan, error) {
	var plan Plan
	if err := CheckSource(source); err != nil {
		return plan, fmt.Errorf("source: %w", err)
	}
	err := r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		var c store.PeopleChange
		plan, c = planImport(now.people, source, all)
		c.Import = &store.Import{Kind: store.ImportConstituents, Source: source, File: file, Who: h.Who, At: h.At, Done: true}
		for _, s := range plan.Steps {
			if s.What != Kept {
				c.Audit = append(c.Audit, h.log(DidImport, s.Name, append([]string{s.What + " by " + source}, s.Lines...))...)
			}
		}
		if dry {
			return c, errDry
		}
		return c, nil
	})
	if err == errDry { //nolint:errorlint // our own, never wrapped
		err = nil
	}
	return plan, err
}

var errDry = fmt.Errorf("nothing was to be done")

func planImport(p store.People, source string, all []exposure.Constituent) (Plan, store.PeopleChange) {
	plan := Plan{Source: source, Counts: map[string]int{Added: 0, Changed: 0, Removed: 0, Same: 0, Kept: 0}}
	var c store.PeopleChange
	before := make(map[string]exposure.Constituent)
	for _, l := range p.Layers {
		if l.Source == source {
			before[l.Name] = l.Constituent
		}
	}
	step := func(name, what string, lines []string) {
		plan.Counts[what]++
		if what != Same {
			plan.Steps = append(plan.Steps, Step{name, what, lines})
		}
	}
	after := make(map[string]bool)
	for _, one := range all {
		one = sorted(one)
		after[one.Name] = true
		was, there := before[one.Name]
		lines := Diff(was, one)
		switch {
		case !there:
			step(one.Name, Added, lines)
		case len(lines) > 0:
			step(one.Name, Changed, lines)
		case !slices.EqualFunc(was.Contacts, one.Contacts, func(a, b exposure.Recipient) bool { return a.Key() == b.Key() }):
			step(one.Name, Changed, []string{"contacts in another order"})
		default:
			step(one.Name, Same, nil)
			continue
		}
		c.Layers = append(c.Layers, store.Layer{Source: source, Constituent: one})
	}
	for _, l := range p.Layers {
		if l.Source == source && !after[l.Name] {
			step(l.Name, Removed, Diff(l.Constituent, exposure.Constituent{}))
			c.Dropped = append(c.Dropped, l)
		}
	}
	for _, s := range kept(p, c, after) {
		step(s.Name, Kept, s.Lines)
	}
	slices.SortStableFunc(plan.Steps, func(a, b Step) int { return strings.Compare(a.Name, b.Name) })
	return plan, c
}

// kept tells where a hand made something else of what the imports say, for the
// constituents of this import.
func kept(p store.People, c store.PeopleChange, names map[string]bool) []Step {
	edited := make(map[string]bool)
	for _, e := range p.Edits {
		edited[e.Name] = names[e.Name]
	}
	after := store.People{Imports: p.Imports}
	fresh := make(map[string]bool)
	for _, l := range c.Layers {
		fresh[l.Name+"\x00"+l.Source] = true
		if edited[l.Name] {
			after.Layers = append(after.Layers, l)
		}
	}
	for _, l := range p.Layers {
		if edited[l.Name] && !fresh[l.Name+"\x00"+l.Source] {
			after.Layers = append(after.Layers, l)
		}
	}
	imports := Merge(after)
	for _, e := range p.Edits {
		if edited[e.Name] {
			after.Edits = append(after.Edits, e)
		}
	}
	hand := Merge(after)
	var steps []Step
	for _, k := range imports {
		is, there := find(hand, k.Name)
		lines := Diff(k.Constituent, is.Constituent)
		if !there {
			lines = []string{"removed by hand"}
		}
		if len(lines) > 0 {
			steps = append(steps, Step{Name: k.Name, What: Kept, Lines: lines})
		}
	}
	return steps
}

// sorted orders what has no order of its own, so that a file that was merely
// shuffled changes nothing.
func sorted(c exposure.Constituent) exposure.Constituent {
	c.Networks = slices.Clone(c.Networks)
	slices.SortFunc(c.Networks, comparePrefixes)
	c.ASNs = slices.Sorted(slices.Values(c.ASNs))
	c.Countries = slices.Sorted(slices.Values(c.Countries))
	return c
}

// Forget forgets all that an import of the source brought, and returns the
// names of the constituents that it had.
func (r *Registry) Forget(ctx context.Context, h Hand, source string) (names []string, err error) {
	err = r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		c := store.PeopleChange{Forgotten: source}
		names = nil
		for _, l := range now.people.Layers {
			if l.Source == source {
				names = append(names, l.Name)
				c.Dropped = append(c.Dropped, l)
				c.Audit = append(c.Audit, h.log(DidForget, l.Name, append([]string{"forgotten with " + source}, Diff(l.Constituent, exposure.Constituent{})...))...)
			}
		}
		if len(names) == 0 {
			return c, fmt.Errorf("import %s: %w", strict.Quote(source), ErrUnknown)
		}
		return c, nil
	})
	return names, err
}
