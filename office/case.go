package office

import (
	"net/http"
	"strings"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/web"
)

// A caseFile is one case with all that is known of it.
type caseFile struct {
	exposure.Exposure
	Name     string
	Word     string // key of a text
	Door     string
	Title    string
	About    string
	Remedy   string
	Commands []string
	Sources  []string
	Next     string // key of a text
	Steps    *web.Listing
	Told     *web.Listing
	Whose    []people.Reason
	Others   *web.Listing // the other cases of the host; nil: none
	Proof    *evidence
	Actions  []action
	Twins    []string // addresses of cases with the same name
	Until    string
	Staff    bool
}

func (d *desk) oneCase(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	name := strings.ToUpper(r.PathValue("case"))
	if !caseName(name) {
		return gate.NotFound
	}
	named, err := d.Store.ExposuresNamed(r.Context(), v.View, name)
	if err != nil {
		return missing(err)
	}
	at := 0
	f := caseFile{Name: name, Staff: whole(v)}
	for i := range named { // among many millions two may share a name
		if a := r.URL.Query().Get("at"); a != "" && named[i].Addr.String() == a {
			at = i
		}
	}
	for i := range named {
		if i != at {
			f.Twins = append(f.Twins, named[i].Addr.String())
		}
	}
	f.Exposure = named[at]
	if err := d.fillCase(r, v, &f); err != nil {
		return err
	}
	if done, err := d.caseTables(w, r, v, &f); err != nil || done {
		return err
	}
	return d.site.Page(w, r, v, "case", &f)
}

// caseTables are what happened to a case, who was told of it, and what else is
// open at its host. Done: one of them was sent as a file.
func (d *desk) caseTables(w http.ResponseWriter, r *http.Request, v *gate.Visit, f *caseFile) (done bool, err error) {
	t := &web.Table{
		Name: "history", Title: "case.history", Key: "h", Sort: "at", Empty: "case.no_history",
		Columns: []web.Column{
			{Name: "at", Text: "audit.at", Head: true, Sorts: true},
			{Name: "axis", Text: "case.axis", Sorts: true},
			{Name: "from", Text: "case.from", Sorts: true},
			{Name: "to", Text: "case.to", Sorts: true},
			{Name: "who", Text: "audit.who", Sorts: true, Long: true},
			{Name: "why", Text: "case.why", Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
	var steps []web.Row
	for t, err := range d.Store.Transitions(r.Context(), v.View, store.Span{Key: f.Key}) {
		if err != nil {
			return false, err
		}
		state := func(word string) web.Cell {
			c := web.Cell{Value: word}
			if key := string(t.Axis) + "." + word; d.site.Has(r, v, key) {
				c.Key = key
			}
			return c
		}
		steps = append(steps, row(numbered(len(steps)), web.Cell{Value: t.At}, web.Cell{Value: string(t.Axis), Key: "axis." + string(t.Axis)}, state(t.From), state(t.To),
			web.Cell{Value: t.Actor}, web.Cell{Value: t.Evidence, Kept: true}))
	}
	if f.Steps, done, err = d.site.Part(w, r, v, t, web.Few(t, steps)); err != nil || done {
		return done, err
	}
	var others []web.Row
	for e, err := range d.Store.Exposures(r.Context(), v.View, store.Filter{Prefix: single(f.Addr), Moved: true}) {
		if err != nil {
			return false, err
		}
		if e.Key != f.Key {
			others = append(others, caseRow(&e))
		}
	}
	if len(others) > 0 {
		t = d.fewCases(v, "cases", "case.others", "host.no_cases")
		if f.Others, done, err = d.site.Part(w, r, v, t, web.Few(t, others)); err != nil || done {
			return done, err
		}
	}
	if f.Staff {
		f.Told, done, err = d.deliveries(w, r, v, f.Addr, f.Key)
	}
	return done, err
}

func (d *desk) fillCase(r *http.Request, v *gate.Visit, f *caseFile) error {
	lang := d.site.Language(r, v)
	f.Word, f.Door, f.Next, f.Title = word(&f.Exposure), door(f.Key), next(&f.Exposure), d.title(lang, f.Rule)
	if known, ok := rule.ByID(f.Rule); ok {
		f.Commands, f.Sources = known.Remedy.Commands, known.Authority
		f.About, f.Remedy = d.site.Word(lang, "rule", f.Rule+".about"), d.site.Word(lang, "rule", f.Rule+".owner")
	}
	var err error
	if f.Whose, err = d.known(r, v, &f.Exposure); err != nil {
		return err
	}
	if f.Proof, err = d.lastProof(r, v, &f.Exposure); err != nil {
		return err
	}
	if v.May(access.Change) && f.Staff {
		for _, a := range actions {
			if a.fits(&f.Exposure) {
				f.Actions = append(f.Actions, a)
			}
		}
		f.Until = v.At.AddDate(0, 3, 0).UTC().Format("2006-01-02")
	}
	return nil
}

// next says by the key of a text what must happen before the case is closed.
func next(e *exposure.Exposure) string {
	switch {
	case e.MovedTo.IsValid():
		return "next.moved"
	case e.Ruling == exposure.Accepted:
		return "next.accepted"
	case e.Ruling == exposure.FalsePositive:
		return "next.false_positive"
	case e.Condition != exposure.Confirmed && e.Condition != exposure.Reported:
		return "next." + string(e.Condition)
	case e.Contact == exposure.Claimed:
		return "next.claimed"
	}
	return "next." + string(e.Condition)
}
