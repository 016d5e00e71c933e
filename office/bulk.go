package office

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
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

var actions = []action{
	{Name: "accept", Step: track.Accept, Reason: true, Until: true, Undoable: true},
	{Name: "dismiss", Step: track.Dismiss, Reason: true, Undoable: true},
	{Name: "withdraw", Step: track.Withdraw, Reason: true, Undoable: true},
	{Name: "assign", To: true, Undoable: true},
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
	d.deeds.keep(deed)
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

// A deed is what somebody did with cases, so that it can be undone.
type deed struct {
	ID     string
	Action action
	Who    string
	At     time.Time
	Cases  []exposure.Exposure // as they were before
	N      int64
	Left   int64 // that did not take it
	Undone time.Time
	Back   int64 // that were undone
}

func newDeed(a action, v *gate.Visit, before, taken []exposure.Exposure, left int64) *deed {
	id := make([]byte, 10)
	_, _ = rand.Read(id) // it cannot fail
	was := make(map[exposure.Key]exposure.Exposure, len(before))
	for _, e := range before {
		was[e.Key] = e
	}
	done := &deed{ID: base32.StdEncoding.EncodeToString(id), Action: a, Who: v.Who, At: v.At, N: int64(len(taken)), Left: left}
	for _, e := range taken {
		done.Cases = append(done.Cases, was[e.Key])
	}
	return done
}

// deeds are the last ones, in memory: after a restart a verdict is withdrawn as
// any other.
type deeds struct {
	mu  sync.Mutex
	all []*deed
}

const maxDeeds = 50

func (d *deeds) keep(done *deed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, done)
	if len(d.all) > maxDeeds {
		d.all = slices.Delete(d.all, 0, len(d.all)-maxDeeds)
	}
}

// find returns a deed of the visitor.
func (d *deeds) find(id, who string) (deed, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, done := range d.all {
		if done.ID == id && done.Who == who {
			return *done, true
		}
	}
	return deed{}, false
}

// begin marks a deed as undone, once.
func (d *deeds) begin(id, who string, at time.Time) (deed, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, done := range d.all {
		if done.ID == id && done.Who == who && done.Action.Undoable && done.Undone.IsZero() {
			done.Undone = at
			return *done, true
		}
	}
	return deed{}, false
}

func (d *deeds) end(id string, back int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, done := range d.all {
		if done.ID == id {
			done.Back = back
		}
	}
}

type doneData struct {
	Deed  deed
	Cases *web.Listing
	Rest  int64 // that are not listed
	CanGo bool
}

// doneShown is how many cases of what was done are listed, as they are now.
const doneShown = 1000

func (d *desk) done(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	done, ok := d.deeds.find(r.PathValue("id"), v.Who)
	if !ok {
		return gate.NotFound
	}
	p := doneData{Deed: done, CanGo: done.Action.Undoable && done.Undone.IsZero() && done.N > 0}
	lang := d.site.Language(r, v)
	var rows []web.Row
	for i := range done.Cases {
		if i == doneShown {
			p.Rest = int64(len(done.Cases) - doneShown)
			break
		}
		e, err := d.Store.Exposure(r.Context(), v.View, done.Cases[i].Key) // as it is now
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
	var err error
	if p.Cases, over, err = d.site.Part(w, r, v, t, web.Few(t, rows)); err != nil || over {
		return err
	}
	return d.site.Page(w, r, v, "done", p)
}

// undo makes the cases what they were, as far as nobody changed them since.
func (d *desk) undo(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	id := r.PathValue("id")
	done, ok := d.deeds.begin(id, v.Who, v.At)
	if !ok {
		return gate.NotFound
	}
	back := int64(0)
	// Cases that were alike before go back together.
	type before struct {
		ruling       exposure.Ruling
		why, by, who string
		until        time.Time
	}
	groups := make(map[before][]exposure.Key)
	for _, e := range done.Cases {
		b := before{who: e.Assignee}
		if done.Action.Step != "" {
			b = before{ruling: e.Ruling, why: e.RuledWhy, by: e.RuledBy, until: e.RuledUntil}
		}
		groups[b] = append(groups[b], e.Key)
	}
	for _, b := range slices.SortedFunc(maps.Keys(groups), func(x, y before) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) }) {
		o := track.Order{Step: track.Withdraw, Actor: v.Who, Evidence: "undo of " + done.Action.Name + " (" + id + ")", At: v.At.UTC()}
		var taken []exposure.Exposure
		var err error
		switch {
		case done.Action.Step == "":
			taken, err = d.Tracker.Assign(r.Context(), groups[b], b.who, v.Who, v.At.UTC())
		case b.ruling == exposure.NoRuling:
			taken, err = d.Tracker.Take(r.Context(), groups[b], o)
		default: // a verdict that was there before is given again
			o.Step = track.Dismiss
			if b.ruling == exposure.Accepted {
				o.Step, o.Until = track.Accept, b.until
			}
			o.Evidence = first(b.why, "as before") + " (decided by " + first(b.by, "nobody") + "; undo of " + done.Action.Name + ")"
			taken, err = d.Tracker.Take(r.Context(), groups[b], o)
		}
		back += int64(len(taken))
		if err != nil && !errors.Is(err, track.ErrNoTransition) && !errors.Is(err, track.ErrNoCase) && !errors.Is(err, track.ErrMissing) {
			return err
		}
	}
	d.deeds.end(id, back)
	did := store.Action{At: v.At, Who: v.Who, What: "undo " + done.Action.Name + " cases", Detail: fmt.Sprintf("%s: %d cases", id, back)}
	if err := d.Store.Record(r.Context(), did); err != nil {
		return err
	}
	return gate.SeeOther("/cases/done/" + id)
}
