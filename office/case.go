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
	Steps    []exposure.Transition
	Told     []store.Delivery
	Whose    []people.Reason
	Others   []web.Row // the other cases of the host
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
	return d.site.Page(w, r, v, "case", &f)
}

func (d *desk) fillCase(r *http.Request, v *gate.Visit, f *caseFile) error {
	ctx, lang := r.Context(), d.site.Language(r, v)
	f.Word, f.Door, f.Next, f.Title = word(&f.Exposure), door(f.Key), next(&f.Exposure), d.title(lang, f.Rule)
	if known, ok := rule.ByID(f.Rule); ok {
		f.Commands, f.Sources = known.Remedy.Commands, known.Authority
		f.About, f.Remedy = d.site.Word(lang, "rule", f.Rule+".about"), d.site.Word(lang, "rule", f.Rule+".owner")
	}
	for t, err := range d.Store.Transitions(ctx, v.View, store.Span{Key: f.Key}) {
		if err != nil {
			return err
		}
		f.Steps = append(f.Steps, t)
	}
	var err error
	if f.Whose, err = d.known(r, v, &f.Exposure); err != nil {
		return err
	}
	if f.Proof, err = d.lastProof(r, v, &f.Exposure); err != nil {
		return err
	}
	for e, err := range d.Store.Exposures(ctx, v.View, store.Filter{Prefix: single(f.Addr), Moved: true, Limit: 50}) {
		if err != nil {
			return err
		}
		if e.Key != f.Key {
			f.Others = append(f.Others, caseRow(&e))
		}
	}
	if !f.Staff {
		return nil
	}
	if f.Told, err = d.told(ctx, f.Addr, f.Key); err != nil {
		return err
	}
	if v.May(access.Change) {
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
