package people

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ippwatch/exposure"
	"ippwatch/store"
	"ippwatch/strict"
)

func cutField(field string) (key string, ok bool) { return strings.CutPrefix(field, contactField) }

// setKey fills in a contact what its key tells.
func setKey(r *exposure.Recipient, key string) {
	medium, address, _ := strings.Cut(key, ":")
	r.Medium, r.Address = exposure.Channel(medium), address
}

// assign sets a field to a text that was checked when it was kept; "" empties it.
func assign(r *exposure.Recipient, key, s string) {
	if s != "" {
		_ = setField(r, key, s) // what an older version kept and this one refuses stays as it is
		return
	}
	switch key {
	case "name":
		r.Name = ""
	case "role":
		r.Role = ""
	case "language":
		r.Language = ""
	case "format":
		r.Format = nil
	case "pgp_key":
		r.PGPKey = ""
	case "interval":
		r.Interval = 0
	case "business_days":
		r.BusinessDays = false
	}
}

// A Field is one field of a contact as a person writes it; the keys are those
// of the file.
type Field struct{ Key, Value string }

// SetContact adds a contact to the constituent, or changes the one that it has:
// only the fields that are given. It returns what that changed.
func (r *Registry) SetContact(ctx context.Context, h Hand, name, address string, create bool, fields []Field) ([]string, error) {
	c := exposure.Recipient{Address: address}
	for _, f := range fields {
		if f.Value == "" {
			continue
		}
		if err := setField(&c, f.Key, f.Value); err != nil {
			return nil, MistakeError{fmt.Errorf("%s: %w", f.Key, err)}
		}
	}
	if err := complete(&c); err != nil {
		return nil, MistakeError{err}
	}
	key := c.Key()
	return r.edit(ctx, h, name, func(before Known, there bool) ([]store.Edit, error) {
		if !there {
			return nil, fmt.Errorf("constituent %s: %w", strict.Quote(name), ErrUnknown)
		}
		has := slices.ContainsFunc(before.Contacts, func(r exposure.Recipient) bool { return r.Key() == key })
		switch {
		case create && has:
			return nil, fmt.Errorf("%s has the contact %s already", name, address)
		case !create && !has:
			return nil, fmt.Errorf("contact %s of %s: %w", address, name, ErrUnknown)
		}
		var list []store.Edit
		if create {
			list = append(list, store.Edit{Field: fieldContacts, Element: key, Value: add},
				store.Edit{Field: contactField + "address", Element: key, Value: address})
			for _, k := range contactKeys[1:] { // of an earlier life of the contact
				if k != "medium" && k != "opt_out" && !slices.ContainsFunc(fields, func(f Field) bool { return f.Key == k }) {
					list = append(list, store.Edit{Field: contactField + k, Element: key})
				}
			}
		}
		for _, f := range fields {
			if f.Key == "medium" {
				continue // the key has it
			}
			value := f.Value
			if value != "" {
				value = getField(c, f.Key)
			}
			list = append(list, store.Edit{Field: contactField + f.Key, Element: key, Value: value})
		}
		return list, nil
	})
}

// RemoveContact takes a contact from the constituent; an import that has it
// still does not bring it back.
func (r *Registry) RemoveContact(ctx context.Context, h Hand, name, address string) error {
	_, err := r.edit(ctx, h, name, func(before Known, there bool) ([]store.Edit, error) {
		if !there {
			return nil, fmt.Errorf("constituent %s: %w", strict.Quote(name), ErrUnknown)
		}
		key, ok := keyOf(before.Contacts, address)
		if !ok {
			return nil, fmt.Errorf("contact %s of %s: %w", address, name, ErrUnknown)
		}
		return []store.Edit{{Field: fieldContacts, Element: key, Value: remove}}, nil
	})
	return err
}

// keyOf finds a contact by its address, as a person writes it.
func keyOf(contacts []exposure.Recipient, address string) (string, bool) {
	c := exposure.Recipient{Address: strings.TrimSpace(address)}
	if complete(&c) != nil {
		return "", false
	}
	for _, r := range contacts {
		if r.Key() == c.Key() {
			return r.Key(), true
		}
	}
	return "", false
}

// Mark writes down that the address opted out or does not work; it binds
// whoever names the address, now and later. source is how we learned of it.
func (r *Registry) Mark(ctx context.Context, h Hand, address, status, reason, source string) error {
	c := exposure.Recipient{Address: strings.TrimSpace(address)}
	if err := complete(&c); err != nil {
		return err
	}
	return r.change(ctx, h.View, func(*state) (store.PeopleChange, error) {
		s := store.Status{Contact: c.Key(), Status: status, Reason: reason, Source: source, Who: h.Who, At: h.At}
		line := status
		if reason != "" {
			line += ": " + reason
		}
		return store.PeopleChange{Statuses: []store.Status{s}, Audit: h.log(DidMark, c.Address, []string{line + " (" + source + ")"})}, nil
	})
}

// Unmark takes every mark of the address back, and returns which they were.
func (r *Registry) Unmark(ctx context.Context, h Hand, address string) (lifted []string, err error) {
	c := exposure.Recipient{Address: strings.TrimSpace(address)}
	if err := complete(&c); err != nil {
		return nil, err
	}
	err = r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		var change store.PeopleChange
		lifted = nil
		for _, s := range now.people.Statuses {
			if s.Contact == c.Key() {
				change.Lifted = append(change.Lifted, s)
				lifted = append(lifted, s.Status)
			}
		}
		if len(lifted) == 0 {
			return change, fmt.Errorf("a mark of %s: %w", c.Address, ErrUnknown)
		}
		change.Audit = h.log(DidMark, c.Address, []string{"no longer " + strings.Join(lifted, ", ")})
		return change, nil
	})
	return lifted, err
}

// Lift takes one mark of the address back, if it has this source: whoever opted
// out by a link may change its mind by the same link, and undoes nobody else's.
func (r *Registry) Lift(ctx context.Context, h Hand, address, status, source string) error {
	c := exposure.Recipient{Address: strings.TrimSpace(address)}
	if err := complete(&c); err != nil {
		return err
	}
	return r.change(ctx, h.View, func(now *state) (store.PeopleChange, error) {
		i := slices.IndexFunc(now.people.Statuses, func(s store.Status) bool {
			return s.Contact == c.Key() && s.Status == status && s.Source == source
		})
		if i < 0 {
			return store.PeopleChange{}, fmt.Errorf("a mark of %s: %w", c.Address, ErrUnknown)
		}
		return store.PeopleChange{
			Lifted: []store.Status{now.people.Statuses[i]}, Audit: h.log(DidMark, c.Address, []string{"no longer " + status + " (" + source + ")"}),
		}, nil
	})
}

// Marked returns the contact with what is known of its address.
func Marked(r exposure.Recipient, marks []store.Status) exposure.Recipient {
	mark(&r, map[string][]store.Status{r.Key(): slices.DeleteFunc(slices.Clone(marks), func(s store.Status) bool { return s.Contact != r.Key() })})
	return r
}

// Usable reports whether a message may go to the contact, and says why not.
// Contacts of our own and of imports may be used; those that were looked up
// only if a rule of the operator names their source.
func Usable(r exposure.Recipient, allowed ...string) (ok bool, why string) {
	_, imported := exposure.Import(r.Source)
	switch {
	case r.OptOut:
		return false, "opted out"
	case r.Invalid:
		return false, "does not work"
	case imported, r.Source == exposure.OwnData, slices.Contains(allowed, r.Source):
		return true, ""
	case r.Source == "":
		return false, "of no known source"
	}
	return false, "looked up by " + r.Source + ", and no rule allows that"
}
