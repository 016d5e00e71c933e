package people

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
	"ippwatch/strict"
)

// ErrUnknown says that there is no such constituent, contact or element.
var ErrUnknown = errors.New("not known")

// A MistakeError is in what a hand wrote: a name or a value that cannot be one.
type MistakeError struct{ error }

// Unwrap returns what is wrong.
func (m MistakeError) Unwrap() error { return m.error }

// errTier is for a reader who may not see other people's contacts.
var errTier = errors.New("constituents are shown to operators only")

// A Store keeps constituents; package store is one.
type Store interface {
	PeopleGeneration(ctx context.Context) (int64, error)
	People(ctx context.Context, v access.View) (store.People, error)
	ChangePeople(ctx context.Context, c store.PeopleChange) error
	HostsIn(ctx context.Context, v access.View, part store.Part) ([]netip.Addr, error)
}

// A Registry is the constituents of a store. It may be used by many goroutines
// at once, and the store by many processes.
type Registry struct {
	store Store

	mu     sync.Mutex // guards what follows
	kept   *state
	placed map[string]placed // by constituent
}

// A state is what the store held at one generation.
type state struct {
	people    store.People
	known     []Known
	directory *Directory
}

// NewRegistry returns the registry of the store.
func NewRegistry(s Store) *Registry { return &Registry{store: s} }

// Directory returns the constituents for looking them up. As long as nobody
// changes them it costs one read of one row.
func (r *Registry) Directory(ctx context.Context, v access.View) (*Directory, error) {
	now, err := r.state(ctx, v)
	if err != nil {
		return nil, err
	}
	return now.directory, nil
}

// All returns the constituents in the order of their names. They are shared: do
// not change them.
func (r *Registry) All(ctx context.Context, v access.View) ([]Known, error) {
	now, err := r.state(ctx, v)
	if err != nil {
		return nil, err
	}
	return now.known, nil
}

// Find returns one constituent, or an error that wraps [ErrUnknown].
func (r *Registry) Find(ctx context.Context, v access.View, name string) (Known, error) {
	now, err := r.state(ctx, v)
	if err != nil {
		return Known{}, err
	}
	k, ok := find(now.known, name)
	if !ok {
		return Known{}, fmt.Errorf("constituent %s: %w", strict.Quote(name), ErrUnknown)
	}
	return k, nil
}

// Statuses are the addresses that opted out or are known not to work.
func (r *Registry) Statuses(ctx context.Context, v access.View) ([]store.Status, error) {
	now, err := r.state(ctx, v)
	if err != nil {
		return nil, err
	}
	return now.people.Statuses, nil
}

func (r *Registry) state(ctx context.Context, v access.View) (*state, error) {
	if v.Tier != access.Operator {
		return nil, errTier
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.store.PeopleGeneration(ctx)
	if err != nil {
		return nil, err
	}
	if r.kept != nil && r.kept.people.Generation == now {
		return r.kept, nil
	}
	p, err := r.store.People(ctx, v)
	if err != nil {
		return nil, err
	}
	known := Merge(p)
	r.kept = &state{people: p, known: known, directory: directory(known)}
	return r.kept, nil
}

// retries bounds how often a change is made anew because somebody else was
// quicker.
const retries = 5

// change makes a change out of what there is now.
func (r *Registry) change(ctx context.Context, v access.View, f func(*state) (store.PeopleChange, error)) error {
	for try := 1; ; try++ {
		now, err := r.state(ctx, v)
		if err != nil {
			return err
		}
		c, err := f(now)
		if err != nil {
			return err
		}
		c.Generation = now.people.Generation
		if err = r.store.ChangePeople(ctx, c); !errors.Is(err, store.ErrChanged) || try == retries {
			return err
		}
	}
}

// A Hand is somebody who edits, and when.
type Hand struct {
	View access.View
	Who  string
	At   time.Time
}

// edit applies edits to one constituent, which must be a right one afterwards,
// and writes down what they changed.
func (r *Registry) edit(ctx context.Context, h Hand, name string, edits func(before Known, there bool) ([]store.Edit, error)) ([]string, error) {
	var lines []string
	err := r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		before, there := find(now.known, name)
		list, err := edits(before, there)
		if err != nil {
			return store.PeopleChange{}, err
		}
		for i := range list {
			list[i].Name, list[i].Who, list[i].At = name, h.Who, h.At
		}
		after, still := remerge(now.people, name, list)
		if still && len(after.Networks)+len(after.ASNs)+len(after.Countries) == 0 {
			return store.PeopleChange{}, fmt.Errorf("%s would have no networks, asns or countries: it would match no host", name)
		}
		lines = Diff(before.Constituent, after.Constituent)
		if there != still {
			lines = append([]string{map[bool]string{true: "added", false: "removed"}[still]}, lines...)
		}
		return store.PeopleChange{Edits: list, Audit: h.log(DidEdit, name, lines)}, nil
	})
	return lines, err
}

// remerge is the constituent as it is with the edits.
func remerge(p store.People, name string, edits []store.Edit) (Known, bool) {
	return mergeOne(p, name, func(all []store.Edit) []store.Edit {
		for _, e := range edits {
			all = slices.DeleteFunc(all, func(old store.Edit) bool { return old.Field == e.Field && old.Element == e.Element })
		}
		return append(all, edits...)
	})
}

// mergeOne puts one constituent together from what is kept, its edits changed.
func mergeOne(p store.People, name string, change func([]store.Edit) []store.Edit) (Known, bool) {
	one := store.People{Imports: p.Imports, Statuses: p.Statuses}
	for _, l := range p.Layers {
		if l.Name == name {
			one.Layers = append(one.Layers, l)
		}
	}
	for _, e := range p.Edits {
		if e.Name == name {
			one.Edits = append(one.Edits, e)
		}
	}
	one.Edits = change(one.Edits)
	return find(Merge(one), name)
}

// log writes a change down, one line of the audit log.
func (h Hand) log(what, about string, lines []string) []store.Action {
	return []store.Action{{At: h.At, Who: h.Who, What: what, Detail: about + ": " + strings.Join(lines, "; ")}}
}

// Words of the audit log.
const (
	DidImport = "import constituents"
	DidForget = "forget constituents"
	DidEdit   = "edit constituent"
	DidMark   = "mark contact"
	DidLookUp = "look up contact"
)

// Words are all of them.
var Words = []string{DidImport, DidForget, DidEdit, DidMark, DidLookUp}

// Set sets title or language, adds and removes elements: each key with a value.
// It returns what that changed.
func (r *Registry) Set(ctx context.Context, h Hand, name string, create bool, wanted []Setting) ([]string, error) {
	if err := checkName(name); err != nil {
		return nil, MistakeError{fmt.Errorf("name: %w", err)}
	}
	return r.edit(ctx, h, name, func(before Known, there bool) ([]store.Edit, error) {
		switch {
		case create && there:
			return nil, fmt.Errorf("constituent %s is there already", name)
		case !create && !there:
			return nil, fmt.Errorf("constituent %q: %w", name, ErrUnknown)
		}
		var list []store.Edit
		if create {
			list = append(list, store.Edit{Field: fieldSelf, Value: add})
		}
		for _, s := range wanted {
			e, err := s.edit(before.Constituent)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
		return list, nil
	})
}

// A Setting is one thing that a hand wants of a constituent.
type Setting struct {
	Field  string // title, language, networks, asns, countries
	Value  string
	Remove bool // an element of a list
}

func (s Setting) edit(before exposure.Constituent) (e store.Edit, err error) {
	e = store.Edit{Field: s.Field, Value: s.Value}
	there := false
	switch s.Field {
	case fieldTitle:
		if s.Value != "" {
			err = checkText(s.Value)
		}
	case fieldLanguage:
		if s.Value != "" {
			_, err = parseLanguage(s.Value)
		}
	case fieldNetworks:
		p, wrong := parseNetwork(s.Value)
		err, there, e.Element = wrong, slices.Contains(before.Networks, p), p.String()
	case fieldASNs:
		n, wrong := parseASN(s.Value)
		err, there, e.Element = wrong, slices.Contains(before.ASNs, n), asn(n)
	case fieldCountries:
		c, wrong := parseCountry(s.Value)
		err, there, e.Element = wrong, slices.Contains(before.Countries, c), c
	default:
		err = fmt.Errorf("no field %q", s.Field)
	}
	if err != nil {
		return e, MistakeError{fmt.Errorf("%s: %w", s.Field, err)}
	}
	if e.Element == "" {
		return e, nil
	}
	e.Value = add
	if s.Remove {
		e.Value = remove
		if !there {
			return e, fmt.Errorf("%s: %s: %w", s.Field, e.Element, ErrUnknown)
		}
	}
	return e, nil
}

// Remove takes a constituent out; an import that has it still does not bring it
// back.
func (r *Registry) Remove(ctx context.Context, h Hand, name string) error {
	_, err := r.edit(ctx, h, name, func(_ Known, there bool) ([]store.Edit, error) {
		if !there {
			return nil, fmt.Errorf("constituent %s: %w", strict.Quote(name), ErrUnknown)
		}
		return []store.Edit{{Field: fieldSelf, Value: remove}}, nil
	})
	return err
}

// Undo forgets every edit of the constituent: it is what imports say again. It
// returns what that changed.
func (r *Registry) Undo(ctx context.Context, h Hand, name string) (lines []string, err error) {
	err = r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		var undone []store.Edit
		for _, e := range now.people.Edits {
			if e.Name == name {
				undone = append(undone, e)
			}
		}
		if len(undone) == 0 {
			return store.PeopleChange{}, fmt.Errorf("edits of constituent %s: %w", strict.Quote(name), ErrUnknown)
		}
		before, there := find(now.known, name)
		after, still := mergeOne(now.people, name, func([]store.Edit) []store.Edit { return nil })
		lines = Diff(before.Constituent, after.Constituent)
		if there != still {
			lines = append([]string{map[bool]string{true: "added", false: "removed"}[still]}, lines...)
		}
		return store.PeopleChange{Undone: undone, Audit: h.log(DidEdit, name, append([]string{"edits undone"}, lines...))}, nil
	})
	return lines, err
}
