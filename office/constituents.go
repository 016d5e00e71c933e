package office

import (
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/store"
	"ippwatch/web"
)

// mentions reports whether the text is in what a constituent is known by.
func mentions(k *people.Known, q string) bool {
	if contains(k.Name, q) || contains(k.Title, q) {
		return true
	}
	return slices.ContainsFunc(k.Contacts, func(c exposure.Recipient) bool { return contains(c.Address, q) || contains(c.Name, q) })
}

func constituentTable() *web.Table {
	return &web.Table{
		Name: "constituents", Title: "constituents.title", Sort: "name", Empty: "constituents.empty",
		Columns: []web.Column{
			{Name: "name", Text: "constituents.name", Head: true, Sorts: true},
			{Name: "title", Text: "constituents.called", Sorts: true, Long: true},
			{Name: "networks", Text: "constituents.networks", Number: true, Sorts: true},
			{Name: "asns", Text: "constituents.asns", Long: true, Sorts: true},
			{Name: "countries", Text: "constituents.countries", Sorts: true},
			{Name: "contacts", Text: "constituents.contacts", Number: true, Sorts: true},
			{Name: "reachable", Text: "constituents.reachable", Sorts: true},
			{Name: "language", Text: "constituents.language", Sorts: true},
			{Name: "edited", Text: "constituents.edited", Sorts: true},
		},
		Fields: []web.Field{
			{Name: "q", Text: "constituents.search", Kind: web.Words},
			{Name: "mute", Text: "constituents.mute", Kind: web.Flag},
			{Name: "edited", Text: "constituents.by_hand", Kind: web.Flag},
		},
	}
}

func (d *desk) constituents(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	t := constituentTable()
	return d.site.List(w, r, v, "constituents", t, func(q web.Query) iter.Seq2[web.Row, error] {
		all, err := d.People.All(r.Context(), v.View)
		if err != nil {
			return func(yield func(web.Row, error) bool) { yield(web.Row{}, err) }
		}
		var rows []web.Row
		for _, k := range all {
			reachable := slices.ContainsFunc(k.Contacts, func(c exposure.Recipient) bool { ok, _ := people.Usable(c); return ok })
			if q.Get("q") != "" && !mentions(&k, q.Get("q")) || q.Get("mute") != "" && reachable || q.Get("edited") != "" && len(k.Edited) == 0 {
				continue
			}
			var asns []string
			for _, n := range k.ASNs {
				asns = append(asns, "AS"+numbered(int(n)))
			}
			rows = append(rows, row(k.Name, web.Cell{Value: k.Name, Link: "/constituents/" + k.Name, Code: true}, web.Cell{Value: k.Title}, web.Cell{Value: len(k.Networks)},
				web.Cell{Value: asns}, web.Cell{Value: k.Countries}, web.Cell{Value: len(k.Contacts)}, web.Cell{Value: reachable},
				web.Cell{Value: k.Language}, web.Cell{Value: len(k.Edited) > 0}))
		}
		return web.Sorted(t, q, rows)
	}, nil)
}

// A constituentFile is one constituent with all that is known of it.
type constituentFile struct {
	people.Known
	Networks []element
	Contacts *web.Listing // each row is of a contactRow
	History  []store.Action
	Counts   []severityCount
	Open     int64
	More     bool
	May      bool
	Mistake  string
	Done     string
}

// An element is one of a list, and who says so.
type element struct{ Text, Source string }

type contactRow struct {
	exposure.Recipient
	Days   int64 // since the source said so; -1: not known
	Usable bool
	Why    string
	Marks  []store.Status
}

// maxCounted is where counting the cases of one constituent stops.
const maxCounted = 20_000

func (d *desk) constituent(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return d.showConstituent(w, r, v, "")
}

func (d *desk) showConstituent(w http.ResponseWriter, r *http.Request, v *gate.Visit, mistake string) error {
	ctx := r.Context()
	k, err := d.People.Find(ctx, v.View, r.PathValue("constituent"))
	if err != nil {
		return missing(err)
	}
	f := constituentFile{Known: k, May: v.May(access.Administer), Mistake: mistake}
	if done := r.URL.Query().Get("done"); slices.Contains([]string{"set", "contact", "mark", "undo", "nothing"}, done) {
		f.Done = "constituent.done_" + done
	}
	for _, p := range k.Networks {
		f.Networks = append(f.Networks, element{p.String(), k.Sources[p.String()]})
	}
	for _, n := range k.ASNs {
		name := "AS" + numbered(int(n))
		f.Networks = append(f.Networks, element{name, k.Sources[name]})
	}
	for _, c := range k.Countries {
		f.Networks = append(f.Networks, element{c, k.Sources[c]})
	}
	statuses, err := d.People.Statuses(ctx, v.View)
	if err != nil {
		return err
	}
	t := contactTable()
	t.Path = "/constituents/" + url.PathEscape(k.Name)
	if f.May {
		t.Acts = "account.action"
	}
	var done bool
	if f.Contacts, done, err = d.site.Part(w, r, v, t, web.Few(t, contactRows(k.Contacts, statuses, v.At))); err != nil || done {
		return err
	}
	if f.History, err = d.Store.AuditAbout(ctx, v.View, people.Words, k.Name, 50); err != nil {
		return err
	}
	if err := d.countCases(r, v, &f); err != nil {
		return err
	}
	show := web.Show{}
	if mistake != "" {
		show.Status = http.StatusUnprocessableEntity
	}
	return d.site.Page(w, r, v, "constituent", &f, show)
}

func contactTable() *web.Table {
	return &web.Table{
		Name: "contacts", Title: "constituents.contacts", Key: "k", Empty: "constituent.no_contact",
		Columns: []web.Column{
			{Name: "address", Text: "constituent.address", Head: true, Sorts: true, Long: true},
			{Name: "role", Text: "constituent.role", Sorts: true},
			{Name: "medium", Text: "constituent.medium", Sorts: true},
			{Name: "source", Text: "host.source", Sorts: true},
			{Name: "age", Text: "constituent.age", Sorts: true, Number: true},
			{Name: "reachable", Text: "constituents.reachable", Sorts: true},
			{Name: "name", Export: true},
			{Name: "language", Export: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func contactRows(all []exposure.Recipient, statuses []store.Status, at time.Time) []web.Row {
	var rows []web.Row
	for _, c := range all {
		k := contactRow{Recipient: people.Marked(c, statuses), Days: -1}
		k.Usable, k.Why = people.Usable(k.Recipient)
		if !c.Found.IsZero() {
			k.Days = int64(at.Sub(c.Found) / (24 * time.Hour))
		}
		for _, s := range statuses {
			if s.Contact == c.Key() {
				k.Marks = append(k.Marks, s)
			}
		}
		rows = append(rows, web.Row{ID: c.Key() + " " + c.Role, Of: k, Cells: []web.Cell{
			{Value: c.Address}, {Value: c.Role}, {Value: string(c.Medium)}, {Value: c.Source}, {Value: k.Days}, {Value: k.Usable, Text: k.Why}, {Value: c.Name}, {Value: c.Language},
		}})
	}
	return rows
}

// countCases counts the cases that are work.
func (d *desk) countCases(r *http.Request, v *gate.Visit, f *constituentFile) error {
	of := store.PartOf(f.Constituent)
	if len(of.Networks)+len(of.ASNs)+len(of.Countries) == 0 {
		return nil
	}
	by := make(map[exposure.Severity]int64)
	want := store.Desk{Filter: store.Work(), Order: store.CasesByAddr, Size: maxCounted + 1}
	want.Of = of
	for e, err := range d.Store.Cases(r.Context(), v.View, want) {
		if err != nil {
			return err
		}
		if f.Open == maxCounted {
			f.More = true
			break
		}
		f.Open++
		by[e.Severity]++
	}
	f.Counts = ranked(by)
	return nil
}

func (d *desk) hand(v *gate.Visit) people.Hand {
	return people.Hand{View: v.View, Who: v.Who, At: v.At.UTC()}
}

// edited goes back to the constituent, or says there what was wrong.
func (d *desk) edited(w http.ResponseWriter, r *http.Request, v *gate.Visit, lines []string, err error, done string) error {
	if _, mistake := errors.AsType[people.MistakeError](err); mistake || errors.Is(err, store.ErrChanged) {
		return d.showConstituent(w, r, v, firstLine(err.Error()))
	}
	if err != nil {
		return missing(err)
	}
	if len(lines) == 0 && done != "mark" {
		done = "nothing"
	}
	return gate.SeeOther("/constituents/" + url.PathEscape(r.PathValue("constituent")) + "?done=" + done)
}

// setConstituent sets or takes out one thing.
func (d *desk) setConstituent(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	s := people.Setting{Field: r.PostFormValue("field"), Value: clean(r, "value"), Remove: r.PostFormValue("remove") != ""}
	if !slices.Contains([]string{"title", "language", "networks", "asns", "countries"}, s.Field) || len(s.Value) > 500 {
		return gate.Bad("field: want title, language, networks, asns or countries")
	}
	lines, err := d.People.Set(r.Context(), d.hand(v), r.PathValue("constituent"), false, []people.Setting{s})
	return d.edited(w, r, v, lines, err, "set")
}

// contactFields are what the form asks of a contact.
var contactFields = []string{"name", "role", "language"}

// setContact adds, changes or removes a contact.
func (d *desk) setContact(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	name, address := r.PathValue("constituent"), clean(r, "address")
	if address == "" || len(address) > 500 {
		return d.showConstituent(w, r, v, "constituent.no_address")
	}
	if r.PostFormValue("remove") != "" {
		err := d.People.RemoveContact(r.Context(), d.hand(v), name, address)
		return d.edited(w, r, v, []string{address}, err, "contact")
	}
	var set []people.Field
	for _, f := range contactFields {
		if value := clean(r, f); value != "" {
			set = append(set, people.Field{Key: f, Value: value})
		}
	}
	lines, err := d.People.SetContact(r.Context(), d.hand(v), name, address, r.PostFormValue("change") == "", set)
	return d.edited(w, r, v, lines, err, "contact")
}

// markContact notes that an address opted out or does not work, or takes that
// back: the undo of a mark.
func (d *desk) markContact(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	address, status := clean(r, "address"), r.PostFormValue("status")
	var err error
	if r.PostFormValue("off") != "" {
		_, err = d.People.Unmark(r.Context(), d.hand(v), address)
	} else {
		if status != store.OptOut && status != store.Invalid {
			return gate.Bad("status: want %s or %s", store.OptOut, store.Invalid)
		}
		err = d.People.Mark(r.Context(), d.hand(v), address, status, first(clean(r, "reason"), "by hand"), "hand")
	}
	return d.edited(w, r, v, nil, err, "mark")
}

// undoConstituent forgets what hands edited.
func (d *desk) undoConstituent(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	lines, err := d.People.Undo(r.Context(), d.hand(v), r.PathValue("constituent"))
	return d.edited(w, r, v, lines, err, "undo")
}
