package office

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/rule"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/web"
)

// The words that cases are told apart by.
var (
	conditions = []exposure.Condition{
		exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen, exposure.Fixed, exposure.Filtered, exposure.Lapsed,
	}
	contacts = []exposure.Contact{exposure.NotContacted, exposure.Notified, exposure.Undeliverable, exposure.Acknowledged, exposure.Claimed}
	rulings  = []exposure.Ruling{exposure.NoRuling, exposure.Accepted, exposure.FalsePositive}
)

// casePatience is how long the cases that fit a filter are looked for.
const casePatience = 10 * time.Second

// seldom is told when they were not found in that time: a filter that few cases
// fit, of a kind that no index knows, among very many.
var seldom = &gate.Problem{Status: http.StatusServiceUnavailable, Code: "seldom", Detail: "so few cases fit that finding them takes too long"}

// caseTable is the listing of cases; who may change them may choose some.
func (d *desk) caseTable(v *gate.Visit) *web.Table {
	t := &web.Table{
		Name: "cases", Title: "cases.title", Sort: "-severity", Empty: "cases.empty",
		Columns: []web.Column{
			{Name: "case", Text: "cases.case", Head: true},
			{Name: "severity", Text: "cases.severity", Sorts: true},
			{Name: "state", Text: "cases.state"},
			{Name: "addr", Text: "cases.at", Sorts: true},
			{Name: "rule", Text: "cases.rule", Long: true},
			{Name: "place", Text: "cases.place"},
			{Name: "first", Text: "cases.first"},
			{Name: "seen", Text: "cases.seen", Sorts: true},
			{Name: "assignee", Text: "cases.assignee"},
			{Name: "port", Export: true},
			{Name: "transport", Export: true},
			{Name: "condition", Export: true},
			{Name: "contact", Export: true},
			{Name: "verdict", Export: true},
			{Name: "country", Export: true},
			{Name: "asn", Export: true},
			{Name: "cycle", Export: true},
			{Name: "times_seen", Export: true},
			{Name: "device", Export: true},
			{Name: "evidence", Export: true},
		},
		Fields: []web.Field{
			{Name: "show", Text: "cases.show", Kind: web.Choice, Options: web.Choices("cases.show", "work", "all")},
			{Name: "net", Text: "cases.net", Kind: web.Words, Hint: "198.51.100.0/24"},
			{Name: "severity", Text: "cases.severity", Kind: web.Many, Options: web.Choices("severity", exposure.Severities...)},
			{Name: "condition", Text: "cases.condition", Kind: web.Many, Options: web.Choices("condition", conditions...)},
			{Name: "contact", Text: "cases.contact", Kind: web.Many, Options: web.Choices("contact", contacts...)},
			{Name: "verdict", Text: "cases.verdict", Kind: web.Many, Options: web.Choices("verdict", rulings...)},
			{Name: "rule", Text: "cases.rule", Kind: web.Choice, Options: web.Choices("", rule.IDs()...)},
			{Name: "country", Text: "cases.country", Kind: web.Words, Hint: "DE"},
			{Name: "asn", Text: "cases.asn", Kind: web.Number, Hint: "64496"},
			{Name: "older", Text: "cases.older", Kind: web.Number, Hint: "30"},
			{Name: "newer", Text: "cases.newer", Kind: web.Number, Hint: "7"},
		},
	}
	if whole(v) {
		t.Fields = append(t.Fields,
			web.Field{Name: "constituent", Text: "cases.constituent", Kind: web.Words, Hint: "example-net"},
			web.Field{Name: "assignee", Text: "cases.assignee", Kind: web.Words, Hint: "m.roe"})
	}
	if v.May(access.Change) && whole(v) {
		t.Post = "/cases/bulk"
		for _, a := range actions {
			t.Actions = append(t.Actions, web.Action{Name: a.Name, Text: "act." + a.Name})
		}
	}
	return t
}

func (d *desk) cases(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	t := d.caseTable(v)
	lang := d.site.Language(r, v)
	return d.site.List(w, r, v, "cases", t, func(q web.Query) iter.Seq2[web.Row, error] {
		return func(yield func(web.Row, error) bool) {
			want, err := d.wanted(r, v, q)
			if err != nil {
				yield(web.Row{}, err)
				return
			}
			ctx := r.Context()
			if q.Format == "" { // an export may take as long as it must
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, casePatience)
				defer cancel()
			}
			for e, err := range d.Store.Cases(ctx, v.View, want) {
				if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
					err = seldom
				}
				if !yield(d.caseRow(lang, &e), err) || err != nil {
					return
				}
			}
		}
	}, nil)
}

// wanted is what a query asks of the store.
func (d *desk) wanted(r *http.Request, v *gate.Visit, q web.Query) (store.Desk, error) {
	w := store.Desk{
		Filter: store.Filter{
			Conditions: web.ValuesOf[exposure.Condition](q, "condition"), Contacts: web.ValuesOf[exposure.Contact](q, "contact"),
			Rulings: web.ValuesOf[exposure.Ruling](q, "verdict"), Rules: q.All("rule"), Assignee: q.Get("assignee"), Moved: q.Get("show") == "all",
		},
		Severities: web.ValuesOf[exposure.Severity](q, "severity"), Country: strings.ToUpper(q.Get("country")),
		Order: store.CaseOrder(q.Sort), Down: q.Down, Behind: q.After,
	}
	if q.Limit > 0 {
		w.Size = q.Limit + 1 // one more tells that there are more
	}
	if w.Behind != "" && !store.IsCaseMark(w.Behind) {
		return w, gate.Bad("after: that is no place in this list")
	}
	if q.Get("show") != "all" { // what somebody should act on, unless another state is asked for
		if len(w.Conditions) == 0 && len(w.Rulings) == 0 {
			w.Conditions = store.Work().Conditions
		}
		if len(w.Rulings) == 0 && !closedOnly(w.Conditions) {
			w.Rulings = store.Work().Rulings
		}
	}
	asn := q.Int("asn")
	if asn > 1<<32-1 {
		return w, gate.Bad("asn %d: there is none so high", asn)
	}
	w.ASN = uint32(asn)
	if n := q.Int("older"); n > 0 {
		w.FirstBefore = v.At.AddDate(0, 0, -int(min(n, 36500)))
	}
	if n := q.Int("newer"); n > 0 {
		w.FirstSince = v.At.AddDate(0, 0, -int(min(n, 36500)))
	}
	if net := q.Get("net"); net != "" {
		p, err := space.Parse(net)
		if err != nil {
			return w, gate.Bad("net: %s", firstLine(err.Error()))
		}
		w.Prefix = p
	}
	if name := q.Get("constituent"); name != "" {
		k, err := d.People.Find(r.Context(), v.View, name)
		if err != nil {
			return w, missing(err)
		}
		w.Of = store.PartOf(k.Constituent)
		if len(w.Of.Networks)+len(w.Of.ASNs)+len(w.Of.Countries) == 0 {
			return w, gate.Bad("constituent %s has no networks, so that no case is its own", name)
		}
	}
	return w, nil
}

// closedOnly reports whether all of the conditions are of cases that are over.
func closedOnly(all []exposure.Condition) bool {
	for _, c := range all {
		if c.Open() || c == exposure.OneClean {
			return false
		}
	}
	return len(all) > 0
}

func (d *desk) caseRow(lang string, e *exposure.Exposure) web.Row {
	place := e.Where.Country
	if e.Where.ASN != 0 {
		place = strings.TrimSpace(place + " AS" + numbered(int(e.Where.ASN)))
	}
	return web.Row{
		ID: e.Case(), After: store.CaseMark(e),
		Cells: []web.Cell{
			{Value: e.Case(), Link: "/cases/" + e.Case(), Code: true},
			severityCell(e.Severity),
			{Value: e.Word(), Key: word(e)},
			{Value: e.Addr, Text: door(e.Key), Link: hostLink(e.Addr.String()), Code: true},
			{Value: e.Rule, Text: d.title(lang, e.Rule)},
			{Value: place},
			{Value: e.FirstSeen, Day: true},
			{Value: e.LastSeen},
			{Value: e.Assignee},
			{Value: e.Port},
			{Value: string(e.Transport)},
			{Value: string(e.Condition)},
			{Value: string(e.Contact)},
			{Value: string(e.Ruling)},
			{Value: e.Where.Country},
			{Value: e.Where.ASN},
			{Value: e.Cycle},
			{Value: e.TimesSeen},
			{Value: e.Device},
			{Value: e.Evidence},
		},
	}
}

func severityCell(s exposure.Severity) web.Cell {
	if s == "" {
		return web.Cell{Value: s}
	}
	return web.Cell{Value: s, Key: "severity." + string(s), Badge: string(s)}
}

// fewCases is a table of cases that are all in memory, as those of one host are.
func (d *desk) fewCases(v *gate.Visit, name, title, empty string) *web.Table {
	t := d.caseTable(v)
	t.Name, t.Title, t.Empty, t.Key, t.Sort, t.Post, t.Actions = name, title, empty, "c", "-severity", "", nil
	t.Columns, t.Fields = slices.Clone(t.Columns), []web.Field{web.Find()}
	for i := range t.Columns {
		t.Columns[i].Sorts = !t.Columns[i].Export
	}
	return t
}

// hostLink leads to the page of an address.
func hostLink(addr string) string { return "/hosts/" + strings.ReplaceAll(addr, "%", "%25") }

// known finds the constituents that a host concerns, who is told first at the
// head; nobody for who does not see contacts.
func (d *desk) known(r *http.Request, v *gate.Visit, e *exposure.Exposure) ([]people.Reason, error) {
	if !whole(v) {
		return nil, nil
	}
	dir, err := d.People.Directory(r.Context(), v.View)
	if err != nil {
		return nil, err
	}
	return dir.Explain(e.Addr, e.Where), nil
}
