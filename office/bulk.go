package office

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/web"
)

// An action is something that may be done with cases.
type action struct {
	Name     string
	Step     track.Step // none: assign
	Reason   bool       // it needs one
	Until    bool       // it needs a day
	To       bool       // it needs somebody
	Undoable bool
}

// assigning is the action that is no step of a case.
const assigning = "assign"

// undoable reports whether an action can be undone.
func undoable(name string) bool {
	return slices.ContainsFunc(actions, func(a action) bool { return a.Name == name && a.Undoable })
}

var actions = []action{
	{Name: "accept", Step: track.Accept, Reason: true, Until: true, Undoable: true},
	{Name: "dismiss", Step: track.Dismiss, Reason: true, Undoable: true},
	{Name: "withdraw", Step: track.Withdraw, Reason: true, Undoable: true},
	{Name: assigning, To: true, Undoable: true},
	{Name: "acknowledge", Step: track.Acknowledge, Reason: true},
	{Name: "claim", Step: track.Claim, Reason: true},
}

// Bounds of what may be done at once.
const (
	maxBulk     = 10_000
	maxReason   = 1000
	longestRisk = 3 // years
)

// fits reports whether a case takes the action.
func (a action) fits(e *exposure.Exposure) bool {
	var err error
	switch a.Step {
	case track.Accept, track.Dismiss, track.Withdraw:
		_, err = track.NextRuling(e.Ruling, a.Step)
	case track.Acknowledge, track.Claim:
		_, err = track.NextContact(e.Contact, a.Step)
	}
	return err == nil
}

func actionOf(r *http.Request) (action, error) {
	name := r.PostFormValue("action")
	i := slices.IndexFunc(actions, func(a action) bool { return a.Name == name })
	if i < 0 {
		return action{}, gate.Bad("action: want one of those under the table")
	}
	return actions[i], nil
}

// chosen returns the cases that a form names: those of its rows, or all that fit
// its filter.
func (d *desk) chosen(r *http.Request, v *gate.Visit) (es []exposure.Exposure, more bool, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, false, err
	}
	if r.PostFormValue("all") != "" {
		q, err := d.caseTable(v).ReadFilter(r)
		if err != nil {
			return nil, false, err
		}
		want, err := d.wanted(r, v, q)
		if err != nil {
			return nil, false, err
		}
		want.Size, want.Behind = maxBulk+1, ""
		for e, err := range d.Store.Cases(r.Context(), v.View, want) {
			if err != nil {
				return nil, false, err
			}
			es = append(es, e)
		}
		if len(es) > maxBulk {
			return es[:maxBulk], true, nil
		}
		return es, false, nil
	}
	seen := make(map[exposure.Key]bool)
	for _, name := range r.PostForm["row"] {
		if !caseName(name) {
			return nil, false, gate.Bad("row: want the name of a case")
		}
		named, err := d.Store.ExposuresNamed(r.Context(), v.View, strings.ToUpper(name))
		if errors.Is(err, store.ErrNoExposure) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		for _, e := range named {
			if !seen[e.Key] {
				seen[e.Key] = true
				es = append(es, e)
			}
		}
		if len(es) > maxBulk {
			return es[:maxBulk], true, nil
		}
	}
	return es, false, nil
}

// caseName reports whether the text is the name of a case: twelve hexadecimal
// digits.
func caseName(s string) bool {
	return len(s) == 12 && strings.Trim(strings.ToUpper(s), "0123456789ABCDEF") == ""
}

// previewData is what would be done.
type previewData struct {
	Action  action
	Name    string
	Cases   int64 // chosen
	Fit     int64 // that take it
	More    bool
	Max     int64
	Some    []web.Row
	Worst   []severityCount
	Rows    []string // to hand on
	All     bool
	Filter  string
	Expect  int64
	Reason  string
	Until   string
	To      string
	Mistake string // key of a text
	Undone  bool
	Back    string
}

// someCases are shown of those that were chosen.
const someCases = 10

func (d *desk) preview(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	a, err := actionOf(r)
	if err != nil {
		return err
	}
	es, more, err := d.chosen(r, v)
	if err != nil {
		return err
	}
	return d.showPreview(w, r, v, a, es, more, "")
}

func (d *desk) showPreview(w http.ResponseWriter, r *http.Request, v *gate.Visit, a action, es []exposure.Exposure, more bool, mistake string) error {
	p := previewData{
		Action: a, Name: a.Name, Cases: int64(len(es)), More: more, Max: maxBulk, All: r.PostFormValue("all") != "", Filter: r.PostFormValue("filter"),
		Reason: clean(r, "reason"), Until: clean(r, "until"), To: clean(r, "to"), Mistake: mistake, Undone: a.Undoable, Back: "/cases",
	}
	if p.Until == "" {
		p.Until = v.At.AddDate(0, 3, 0).UTC().Format(time.DateOnly)
	}
	if p.To == "" && r.PostFormValue("nobody") == "" {
		p.To = v.Who
	}
	if p.Filter != "" {
		p.Back += "?" + p.Filter
	}
	lang := d.site.Language(r, v)
	by := make(map[exposure.Severity]int64)
	for i := range es {
		e := &es[i]
		if !a.fits(e) {
			continue
		}
		p.Fit++
		by[e.Severity]++
		if len(p.Some) < someCases {
			p.Some = append(p.Some, d.caseRow(lang, e))
		}
		if !p.All {
			p.Rows = append(p.Rows, e.Case())
		}
	}
	p.Expect, p.Worst = p.Fit, ranked(by)
	show := web.Show{}
	if mistake != "" {
		show.Status = http.StatusUnprocessableEntity
	}
	return d.site.Page(w, r, v, "bulk", p, show)
}

// order reads what the form asks, and says by the key of a text what is wrong
// with it.
func (a action) order(r *http.Request, v *gate.Visit) (track.Order, string) {
	o := track.Order{Step: a.Step, Actor: v.Who, Evidence: clean(r, "reason"), At: v.At.UTC()}
	if a.Reason && o.Evidence == "" {
		return o, "bulk.no_reason"
	}
	if len(o.Evidence) > maxReason {
		return o, "bulk.long_reason"
	}
	if a.Until {
		day, err := time.Parse(time.DateOnly, clean(r, "until"))
		if err != nil || !day.After(o.At) {
			return o, "bulk.past"
		}
		if day.After(o.At.AddDate(longestRisk, 0, 0)) {
			return o, "bulk.too_long"
		}
		o.Until = day
	}
	if a.To && r.PostFormValue("nobody") == "" && (clean(r, "to") == "" || len(clean(r, "to")) > 64) {
		return o, "bulk.no_one"
	}
	return o, ""
}

// do does it. When other cases fit the filter by now than were previewed, it
// shows the preview again.
func (d *desk) do(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	a, err := actionOf(r)
	if err != nil {
		return err
	}
	es, more, err := d.chosen(r, v)
	if err != nil {
		return err
	}
	fit := slices.DeleteFunc(slices.Clone(es), func(e exposure.Exposure) bool { return !a.fits(&e) })
	o, mistake := a.order(r, v)
	switch {
	case mistake != "":
	case len(fit) == 0:
		mistake = "bulk.none_fits"
	case more:
		mistake = "bulk.too_many"
	case r.PostFormValue("expect") != "" && r.PostFormValue("expect") != fmt.Sprint(len(fit)):
		mistake = "bulk.changed"
	}
	if mistake != "" {
		return d.showPreview(w, r, v, a, es, more, mistake)
	}
	taken, err := d.take(r, v, a, o, clean(r, "to"), exposure.Keys(fit))
	if err != nil && !errors.Is(err, track.ErrNoTransition) && !errors.Is(err, track.ErrNoCase) {
		return err
	}
	deed := newDeed(a, v, fit, taken, int64(len(es)-len(taken)))
	did := store.Action{At: v.At, Who: v.Who, What: a.Name + " cases", Detail: fmt.Sprintf("%s: %d cases%s", deed.ID, len(taken), because(o.Evidence))}
	if err := d.Store.Record(r.Context(), did); err != nil {
		return err
	}
	if err := d.Store.KeepDeed(r.Context(), deed); err != nil {
		return err
	}
	return gate.SeeOther("/cases/done/" + deed.ID)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + firstLine(reason)
}

// take makes the cases take the step, or assigns them.
func (d *desk) take(r *http.Request, v *gate.Visit, a action, o track.Order, to string, keys []exposure.Key) ([]exposure.Exposure, error) {
	if a.Step == "" {
		if r.PostFormValue("nobody") != "" {
			to = ""
		}
		return d.Tracker.Assign(r.Context(), keys, to, v.Who, v.At.UTC())
	}
	return d.Tracker.Take(r.Context(), keys, o)
}

// newDeed is what somebody did with cases, so that it can be undone.
func newDeed(a action, v *gate.Visit, before, taken []exposure.Exposure, others int64) store.Deed {
	id := make([]byte, 10)
	_, _ = rand.Read(id) // it cannot fail
	was := make(map[exposure.Key]*exposure.Exposure, len(before))
	for i := range before {
		was[before[i].Key] = &before[i]
	}
	done := store.Deed{ID: base32.StdEncoding.EncodeToString(id), Action: a.Name, Who: v.Who, At: v.At, Took: int64(len(taken)), Others: others}
	type state struct {
		ruling       exposure.Ruling
		why, by, who string
		until        int64
	}
	at := make(map[state]int) // those that were alike go back together
	for i := range taken {
		e := was[taken[i].Key]
		if e == nil {
			continue // it was not asked for
		}
		w := state{who: e.Assignee}
		if a.Step != "" {
			w = state{ruling: e.Ruling, why: e.RuledWhy, by: e.RuledBy, until: e.RuledUntil.UnixNano()}
		}
		n, ok := at[w]
		if !ok {
			n = len(done.Was)
			at[w] = n
			done.Was = append(done.Was, store.Was{Ruling: w.ruling, Why: w.why, By: w.by, Assignee: w.who})
			if w.ruling != "" && !e.RuledUntil.IsZero() {
				done.Was[n].Until = e.RuledUntil
			}
		}
		done.Was[n].Keys = append(done.Was[n].Keys, e.Key)
	}
	return done
}

type doneData struct {
	Deed  store.Deed
	Cases *web.Listing
	Rest  int64 // that are not listed
	CanGo bool
}

// doneShown is how many cases of what was done are listed, as they are now.
const doneShown = 1000

func (d *desk) done(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	done, err := d.Store.Deed(r.Context(), v.View, r.PathValue("id"))
	if err != nil {
		return missing(err)
	}
	p := doneData{Deed: done, CanGo: undoable(done.Action) && done.Undone.IsZero() && done.Took > 0}
	lang := d.site.Language(r, v)
	var rows []web.Row
	var keys []exposure.Key
	for _, w := range done.Was {
		keys = append(keys, w.Keys...)
	}
	for i, k := range keys {
		if i == doneShown {
			p.Rest = int64(len(keys) - doneShown)
			break
		}
		e, err := d.Store.Exposure(r.Context(), v.View, k) // as it is now
		if errors.Is(err, store.ErrNoExposure) {
			continue
		}
		if err != nil {
			return err
		}
		rows = append(rows, d.caseRow(lang, &e))
	}
	t := d.fewCases(v, "cases", "cases.title", "host.no_cases")
	var over bool
	if p.Cases, over, err = d.site.Part(w, r, v, t, web.Few(t, rows)); err != nil || over {
		return err
	}
	return d.site.Page(w, r, v, "done", p)
}

// undo makes the cases what they were, as far as nobody changed them since.
func (d *desk) undo(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	id := r.PathValue("id")
	done, err := d.Store.Deed(r.Context(), v.View, id)
	if err == nil && !undoable(done.Action) {
		err = store.ErrNoDeed
	}
	if err == nil {
		err = d.Store.BeginUndo(r.Context(), v.View, id, v.At)
	}
	if err != nil {
		return missing(err)
	}
	back := int64(0)
	for _, b := range done.Was {
		o := track.Order{Step: track.Withdraw, Actor: v.Who, Evidence: "undo of " + done.Action + " (" + id + ")", At: v.At.UTC()}
		var taken []exposure.Exposure
		var err error
		switch {
		case done.Action == assigning:
			taken, err = d.Tracker.Assign(r.Context(), b.Keys, b.Assignee, v.Who, v.At.UTC())
		case b.Ruling == exposure.NoRuling:
			taken, err = d.Tracker.Take(r.Context(), b.Keys, o)
		default: // a verdict that was there before is given again
			o.Step = track.Dismiss
			if b.Ruling == exposure.Accepted {
				o.Step, o.Until = track.Accept, b.Until
			}
			o.Evidence = first(b.Why, "as before") + " (decided by " + first(b.By, "nobody") + "; undo of " + done.Action + ")"
			taken, err = d.Tracker.Take(r.Context(), b.Keys, o)
		}
		back += int64(len(taken))
		if err != nil && !errors.Is(err, track.ErrNoTransition) && !errors.Is(err, track.ErrNoCase) && !errors.Is(err, track.ErrMissing) {
			return err
		}
	}
	if err := d.Store.EndUndo(r.Context(), id, back); err != nil {
		return err
	}
	did := store.Action{At: v.At, Who: v.Who, What: "undo " + done.Action + " cases", Detail: fmt.Sprintf("%s: %d cases", id, back)}
	if err := d.Store.Record(r.Context(), did); err != nil {
		return err
	}
	return gate.SeeOther("/cases/done/" + id)
}
