package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go4.org/netipx"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrChanged says that somebody else changed the constituents since they were
// read.
var ErrChanged = errors.New("somebody else changed the constituents meanwhile")

// Kinds of an import.
const (
	ImportConstituents = "constituents"
	ImportCustomers    = "customers"
)

// An Import is the last one of its source.
type Import struct {
	Kind   string    `json:"kind"`
	Source string    `json:"source"`
	File   string    `json:"file"`
	Who    string    `json:"who"`
	At     time.Time `json:"at"`
	Done   bool      `json:"done"`
}

// A Layer is what one import says of a constituent.
type Layer struct {
	Source string
	exposure.Constituent
}

// An Edit is what a hand set: one field of a constituent, or one element of a
// list. Package people says what the words mean.
type Edit struct {
	Name, Field, Element string
	Value                string
	Who                  string
	At                   time.Time
}

// A Status is what is known of a contact's address, whoever named it.
type Status struct {
	Contact string    `json:"contact"` // exposure.Recipient.Key
	Status  string    `json:"status"`  // OptOut or Invalid
	Reason  string    `json:"reason"`
	Source  string    `json:"source"` // how we learned of it
	Who     string    `json:"who"`
	At      time.Time `json:"at"`
}

// Statuses of an address.
const (
	OptOut  = "opt-out" // does not want to be told
	Invalid = "invalid" // a message came back for good
)

// People are the constituents as they are kept.
type People struct {
	Generation int64
	Imports    []Import
	Layers     []Layer // by name, then by source
	Edits      []Edit  // by name, field, element
	Statuses   []Status
}

// PeopleGeneration rises with every change of the constituents.
func (s *Store) PeopleGeneration(ctx context.Context) (int64, error) {
	n, err := s.read.peopleGeneration(ctx)
	if err != nil {
		return 0, fmt.Errorf("read constituents: %w", explain(err))
	}
	return n, nil
}

// People returns all that is kept of constituents; nothing to a view below
// operator, as contacts are other people's.
func (s *Store) People(ctx context.Context, v access.View) (People, error) {
	if v.Tier != access.Operator {
		return People{}, nil
	}
	p, err := s.people(ctx)
	if err != nil {
		return People{}, fmt.Errorf("read constituents: %w", explain(err))
	}
	return p, nil
}

func (s *Store) people(ctx context.Context) (p People, err error) {
	tx, err := s.reads.BeginTx(ctx, nil) // one moment for all tables
	if err != nil {
		return p, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	q := s.read.WithTx(tx)
	if p.Generation, err = q.peopleGeneration(ctx); err != nil {
		return p, err
	}
	if p.Imports, err = importsOf(ctx, q, ImportConstituents); err != nil {
		return p, err
	}
	layers, err := q.constituents(ctx)
	if err != nil {
		return p, err
	}
	for _, row := range layers {
		l := Layer{Source: row.Source}
		if err := json.Unmarshal([]byte(row.Doc), &l.Constituent); err != nil {
			return p, fmt.Errorf("constituent %s of %s: %w", row.Name, row.Source, err)
		}
		p.Layers = append(p.Layers, l)
	}
	edits, err := q.edits(ctx)
	if err != nil {
		return p, err
	}
	for _, row := range edits {
		p.Edits = append(p.Edits, Edit{row.Name, row.Field, row.Element, row.Value, row.Who, row.At.Time})
	}
	statuses, err := q.statuses(ctx)
	if err != nil {
		return p, err
	}
	for _, row := range statuses {
		p.Statuses = append(p.Statuses, Status{row.Contact, row.Status, row.Reason, row.Source, row.Who, row.At.Time})
	}
	return p, nil
}

func importsOf(ctx context.Context, q *Queries, kind string) ([]Import, error) {
	rows, err := q.imports(ctx, kind)
	if err != nil {
		return nil, err
	}
	var all []Import
	for _, row := range rows {
		all = append(all, Import{row.Kind, row.Source, row.File, row.Who, row.At.Time, row.Done != 0})
	}
	return all, nil
}

// Imports returns the last import of each source; none to a view below operator.
func (s *Store) Imports(ctx context.Context, v access.View, kind string) ([]Import, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	all, err := importsOf(ctx, s.read, kind)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", explain(err))
	}
	return all, nil
}

// A PeopleChange is a change of the constituents, made whole or not at all.
type PeopleChange struct {
	// Generation is that of the People the change was made from.
	Generation int64
	Import     *Import  // of which source it is, if of one
	Layers     []Layer  // to keep
	Dropped    []Layer  // to forget, by name and source
	Forgotten  string   // a source whose import is forgotten
	Edits      []Edit   // to keep
	Undone     []Edit   // to forget, by name, field and element
	Statuses   []Status // to keep
	Lifted     []Status // to forget, by contact and status
	// Audit says what was changed, from what to what.
	Audit []Action
}

// ChangePeople makes the change, or returns an error that wraps [ErrChanged].
func (s *Store) ChangePeople(ctx context.Context, c PeopleChange) error {
	return s.change(ctx, "change constituents", func(q *Queries) error {
		now, err := q.peopleGeneration(ctx)
		if err != nil {
			return err
		}
		if now != c.Generation {
			return ErrChanged
		}
		if err := q.raisePeople(ctx); err != nil {
			return err
		}
		return errors.Join(c.layers(ctx, q), c.hand(ctx, q), record(ctx, q, c.Audit))
	})
}

func (c *PeopleChange) layers(ctx context.Context, q *Queries) error {
	if c.Import != nil {
		if err := q.putImport(ctx, importParams(*c.Import)); err != nil {
			return err
		}
	}
	for _, l := range c.Layers {
		doc, err := json.Marshal(l.Constituent)
		if err != nil {
			return err
		}
		if err := q.putConstituent(ctx, putConstituentParams{Name: l.Name, Source: l.Source, Doc: string(doc)}); err != nil {
			return err
		}
	}
	for _, l := range c.Dropped {
		if err := q.dropConstituent(ctx, dropConstituentParams{Name: l.Name, Source: l.Source}); err != nil {
			return err
		}
	}
	if c.Forgotten != "" {
		_, err := q.dropImport(ctx, dropImportParams{Kind: ImportConstituents, Source: c.Forgotten})
		return err
	}
	return nil
}

func (c *PeopleChange) hand(ctx context.Context, q *Queries) error {
	for _, e := range c.Undone {
		if err := q.dropEdit(ctx, dropEditParams{Name: e.Name, Field: e.Field, Element: e.Element}); err != nil {
			return err
		}
	}
	for _, e := range c.Edits {
		err := q.putEdit(ctx, putEditParams{Name: e.Name, Field: e.Field, Element: e.Element, Value: e.Value, Who: e.Who, At: instant{e.At}})
		if err != nil {
			return err
		}
	}
	for _, st := range c.Statuses {
		err := q.putStatus(ctx, putStatusParams{
			Contact: st.Contact, Status: st.Status, Reason: st.Reason, Source: st.Source, Who: st.Who, At: instant{st.At},
		})
		if err != nil {
			return err
		}
	}
	for _, st := range c.Lifted {
		if _, err := q.dropStatus(ctx, dropStatusParams{Contact: st.Contact, Status: st.Status}); err != nil {
			return err
		}
	}
	return nil
}

func importParams(i Import) putImportParams {
	p := putImportParams{Kind: i.Kind, Source: i.Source, File: i.File, Who: i.Who, At: instant{i.At}}
	if i.Done {
		p.Done = 1
	}
	return p
}

func record(ctx context.Context, q *Queries, all []Action) error {
	for _, a := range all {
		if err := q.putAudit(ctx, putAuditParams{At: instant{a.At}, Who: a.Who, What: a.What, Detail: a.Detail}); err != nil {
			return err
		}
	}
	return nil
}

// AuditAbout returns the actions of the given words whose detail begins with
// about, the newest first; none to a view below operator.
func (s *Store) AuditAbout(ctx context.Context, v access.View, words []string, about string, limit int) ([]Action, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	in, err := list(words, nil)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.auditAbout(ctx, auditAboutParams{Words: in, About: about, N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", explain(err))
	}
	var out []Action
	for _, row := range rows {
		out = append(out, Action{At: row.At.Time, Who: row.Who, What: row.What, Detail: row.Detail})
	}
	return out, nil
}

// A Lookup is what was found, once, about the contact of a range of addresses.
type Lookup struct {
	Range   netipx.IPRange
	Source  string
	Contact *exposure.Recipient // nil: there is none
	Via     string              // the URL or file that said so
	At      time.Time
	Expires time.Time // zero: it does not say
}

// Lookups returns what was looked up about the address, by source and the
// narrowest range first; nothing to a view below operator.
func (s *Store) Lookups(ctx context.Context, v access.View, a netip.Addr) ([]Lookup, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.lookupsOf(ctx, address{a}.bytes())
	if err != nil {
		return nil, fmt.Errorf("read contacts of %s: %w", a, explain(err))
	}
	var all []Lookup
	for _, row := range rows {
		var lo, hi address
		if err := errors.Join(lo.Scan(row.Lo), hi.Scan(row.Hi)); err != nil {
			return nil, fmt.Errorf("read contacts of %s: %w", a, err)
		}
		l := Lookup{
			Range: netipx.IPRangeFrom(lo.Addr, hi.Addr), Source: row.Source, Via: row.Via, At: row.At.Time, Expires: row.Expires.Time,
		}
		if row.Contact != "" {
			l.Contact = new(exposure.Recipient)
			if err := json.Unmarshal([]byte(row.Doc), l.Contact); err != nil {
				return nil, fmt.Errorf("read contacts of %s: %w", a, err)
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// PutLookups keeps what one look-up found: all have the same range and source,
// and replace what was known of them.
func (s *Store) PutLookups(ctx context.Context, found []Lookup, audit Action) error {
	if len(found) == 0 {
		return nil
	}
	what := fmt.Sprintf("keep contacts of %s", found[0].Range)
	return s.change(ctx, what, func(q *Queries) error {
		lo, hi := address{found[0].Range.From()}.bytes(), address{found[0].Range.To()}.bytes()
		if err := q.dropLookups(ctx, dropLookupsParams{Source: found[0].Source, Lo: lo, Hi: hi}); err != nil {
			return err
		}
		for _, l := range found {
			p := putLookupParams{Lo: lo, Hi: hi, Source: l.Source, Via: l.Via, At: instant{l.At}, Expires: instant{l.Expires}}
			if l.Contact != nil {
				doc, err := json.Marshal(l.Contact)
				if err != nil {
					return err
				}
				p.Contact, p.Doc = l.Contact.Key(), string(doc)
			}
			if err := q.putLookup(ctx, p); err != nil {
				return err
			}
		}
		return record(ctx, q, []Action{audit})
	})
}
