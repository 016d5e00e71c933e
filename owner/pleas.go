package owner

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/track"
)

// pleaRow is a plea with the case that it is about.
type pleaRow struct {
	store.Plea
	Name     string // of the case
	Door     string
	Severity exposure.Severity
	State    store.PleaState
	Late     bool // the day until which it asks has come
}

type pleasSheet struct {
	Open, Decided []pleaRow
	Did           string
}

// pleasShown bounds the list of those that are decided.
const pleasShown = 200

// pleas lists what owners ask for.
func (d *desk) pleas(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	all, err := d.Store.Pleas(r.Context(), v.View, "", pleasShown)
	if err != nil {
		return err
	}
	var s pleasSheet
	for _, p := range all {
		e, err := d.Store.Exposure(r.Context(), v.View, p.Key)
		if errors.Is(err, store.ErrNoExposure) {
			continue
		}
		if err != nil {
			return err
		}
		row := pleaRow{
			Plea: p, Name: p.Case(), Severity: e.Severity, State: p.State, Late: p.Kind == store.PleaAccept && !p.Until.After(v.At),
			Door: fmt.Sprintf("%s port %d/%s", p.Addr, p.Port, p.Transport),
		}
		if p.State == store.PleaOpen {
			s.Open = append(s.Open, row)
		} else {
			s.Decided = append(s.Decided, row)
		}
	}
	return d.site.Page(w, r, v, "pleas", s)
}

// decide grants or refuses a plea, or takes a decision back.
func (d *desk) decide(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	p, err := d.Store.Plea(r.Context(), v.View, r.PathValue("id"))
	if errors.Is(err, store.ErrNoPlea) {
		return gate.NotFound
	}
	if err != nil {
		return err
	}
	answer := clip(r.PostFormValue("answer"), reasonLimit)
	was, to := store.PleaOpen, store.PleaRefused
	var order *track.Order
	by := track.Order{Actor: v.Who, At: d.Now().UTC()}
	switch r.PostFormValue("decision") {
	case "grant":
		to = store.PleaGranted
		by.Step, by.Evidence, by.Until = track.Accept, fmt.Sprintf("plea %s of the owner via link %s: %s", p.ID, p.Link, p.Reason), p.Until
		if p.Kind == store.PleaNotMine {
			by.Step, by.Evidence, by.Until = track.Acknowledge, fmt.Sprintf("it is not of %s (plea %s): %s", p.Constituent, p.ID, p.Reason), time.Time{}
		} else if !p.Until.After(v.At) {
			return &gate.Problem{Status: http.StatusConflict, Code: "plea-late", Detail: "the day until which it asks has come"}
		}
		order = &by
	case "refuse":
	case "reopen":
		was, to = p.State, store.PleaOpen
		if p.State != store.PleaGranted && p.State != store.PleaRefused {
			return &gate.Problem{Status: http.StatusConflict, Code: "plea-decided", Detail: "it was decided in the meantime"}
		}
		if p.State == store.PleaGranted && p.Kind == store.PleaAccept {
			by.Step, by.Evidence = track.Withdraw, "the decision on plea "+p.ID+" was taken back"
			order = &by
		}
	default:
		return gate.Bad("no decision")
	}
	if order != nil && p.State == was {
		_, err := d.Tracker.Take(r.Context(), []exposure.Key{p.Key}, *order)
		if err != nil && !errors.Is(err, track.ErrNoTransition) && !errors.Is(err, track.ErrNoCase) {
			return err
		}
	}
	err = d.Store.DecidePlea(r.Context(), p.ID, was, to, v.Who, answer, v.At)
	if errors.Is(err, store.ErrNoPlea) {
		return &gate.Problem{Status: http.StatusConflict, Code: "plea-decided", Detail: "it was decided in the meantime"}
	}
	if err != nil {
		return err
	}
	return gate.SeeOther("/pleas")
}
