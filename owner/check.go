package owner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/store"
	"ippwatch/verify"
)

// Outcomes of a check; they are keys of texts, and kept.
const (
	isOpen      = "open"
	isFixed     = "fixed"      // clean twice, a day apart
	isClean     = "clean"      // clean, and something else answered
	isUnproven  = "unproven"   // clean, and nothing else answered
	isFiltered  = "filtered"   // closed from outside
	isSilent    = "silent"     // no answer, which proves nothing
	isUnclear   = "unclear"    // an answer that decides nothing
	isNotAsked  = "not_asked"  // nothing was sent: excluded, out of scope, paused
	isImpatient = "impossible" // a fault of ours
	isMoved     = "moved"      // it was its contact's no more when its turn came
)

// checkTime is how long a look may take.
const checkTime = 4 * time.Minute

// check has a door looked at.
func (d *desk) check(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.use(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	name := r.PostFormValue("door")
	cases := c.at(name)
	switch {
	case c.OptedOut:
		return gate.SeeOther(here(r, c))
	case len(cases) == 0:
		return gate.NotFound // of somebody else, or of nobody
	case d.Check == nil || d.Limits.All == 0:
		return d.show(w, r, v, c, sheet{Did: "unavailable"}, http.StatusServiceUnavailable)
	}
	control, err := d.Store.Control(r.Context())
	if err != nil {
		return err
	}
	if control.Paused {
		return d.show(w, r, v, c, sheet{Did: "paused"}, http.StatusServiceUnavailable)
	}
	k := cases[0].Key
	begun, err := d.Store.BeginCheck(r.Context(), store.Check{Link: c.Link.ID, Addr: k.Addr, Transport: k.Transport, Port: k.Port, Asked: v.At}, d.Limits)
	if soon, ok := errors.AsType[store.TooSoonError](err); ok {
		w.Header().Set("Retry-After", fmt.Sprint(max(1, int(soon.Until.Sub(v.At).Seconds()))))
		return d.show(w, r, v, c, sheet{Did: "wait", Wait: soon.Until}, http.StatusTooManyRequests)
	}
	if err != nil {
		return err
	}
	var keys []exposure.Key
	for _, o := range cases {
		keys = append(keys, o.Key)
	}
	if err := d.note(r.Context(), c, keys, "asked for a look at "+name+" (check "+begun.ID+")"); err != nil {
		return errors.Join(err, d.Store.EndCheck(r.Context(), begun.ID, isImpatient, d.Now()))
	}
	link := c.Link
	d.site.Gate.Beside(func(ctx context.Context) { d.look(ctx, link, begun, name) })
	d.Log.Info("owner", "did", "check", "link", c.Link.ID, "check", begun.ID, "door", name)
	return gate.SeeOther(here(r, c) + "#" + anchor(name))
}

// look does what a check asks for, and writes down what it came to.
func (d *desk) look(ctx context.Context, l store.Link, k store.Check, name string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	outcome, err := d.outcome(ctx, l, k, name)
	if err != nil {
		d.Log.Warn("a check that an owner asked for", "check", k.ID, "link", l.ID, "door", name, "err", err.Error())
	}
	if err := d.Store.EndCheck(context.WithoutCancel(ctx), k.ID, outcome, d.Now()); err != nil {
		d.Log.Error("cannot end a check", "check", k.ID, "err", err.Error())
	}
}

func (d *desk) outcome(ctx context.Context, l store.Link, k store.Check, name string) (string, error) {
	turn := d.tcp
	if k.Transport == exposure.UDP {
		turn = d.udp
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return isImpatient, ctx.Err()
	}
	// Whose it is may have changed while it waited.
	now, err := d.Store.Link(ctx, d.view(), l.ID)
	if err != nil {
		return isImpatient, err
	}
	o, err := d.Office(ctx, false)
	if err != nil {
		return isImpatient, err
	}
	c := &call{Link: now}
	if c.Holding, err = o.Holding(ctx, &now); err != nil {
		return isImpatient, err
	}
	cases := c.at(name)
	if len(cases) == 0 || now.Over(d.Now()) {
		return isMoved, nil
	}
	// What is closed already is asked, too: it may be open again.
	var all []exposure.Exposure
	for _, own := range cases {
		e, err := d.Store.Exposure(ctx, d.view(), own.Key)
		if err != nil {
			return isImpatient, err
		}
		all = append(all, e)
	}
	results, err := d.Check(ctx, all)
	return sum(all, results, err), err
}

// sum is what a look came to for the owner: the worst of its cases, which were
// as before says.
func sum(before []exposure.Exposure, results []verify.Result, err error) string {
	seen := make(map[exposure.Key]time.Time)
	for _, e := range before {
		seen[e.Key] = e.LastSeen
	}
	rank := []string{isOpen, isUnclear, isSilent, isUnproven, isClean, isFiltered, isFixed}
	at, asked := len(rank), false
	for _, r := range results {
		word := isUnclear
		switch {
		case r.Verdict == "":
			continue
		case r.Now.Condition == exposure.Confirmed && r.Now.LastSeen.After(seen[r.Now.Key]):
			word = isOpen
		case r.Now.Condition == exposure.Fixed:
			word = isFixed
		case r.Now.Condition == exposure.Filtered:
			word = isFiltered
		case r.Verdict == exposure.NoAnswer, r.Verdict == exposure.NoCallback, r.Verdict == exposure.Unreachable:
			word = isSilent
		case r.Now.Condition == exposure.OneClean && r.Control != "":
			word = isClean
		case r.Now.Condition == exposure.OneClean, r.Control == "" && r.Verdict != exposure.Interrupted && r.Verdict != exposure.NotApplicable:
			word = isUnproven
		}
		asked = true
		for i, known := range rank {
			if known == word && i < at {
				at = i
			}
		}
	}
	switch {
	case asked:
		return rank[at]
	case err != nil:
		return isImpatient
	}
	return isNotAsked
}

// lookEvery is how often a stream looks whether a check has ended.
const lookEvery = 300 * time.Millisecond

// live tells a page what becomes of a check. It writes nothing down.
func (d *desk) live(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.come(r, v)
	if errors.Is(err, errOver) || err == nil && c.OptedOut {
		return gate.NotFound
	}
	if err != nil {
		return err
	}
	id := r.URL.Query().Get("check")
	events, err := gate.Events(w)
	if err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		one, err := d.checked(r.Context(), c, id)
		if err != nil {
			return err
		}
		one.Base, one.Query = outreach.PagePath+c.Token, query(r)
		if now := fmt.Sprint(one.Outcome, one.State); now != said {
			said = now
			for name, block := range map[string]string{"state": "owner-state", "result": "owner-result"} {
				html, err := d.fragment(r, v, block, one)
				if err != nil {
					return err
				}
				if err := events.Send(name, html); err != nil {
					return nil // who went away needs none
				}
			}
		}
		if !one.Runs {
			return events.Send("end", "")
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// checked is the door of a check as its owner may see it now. Once the check has
// ended it is asked again whose it is.
func (d *desk) checked(ctx context.Context, c *call, id string) (door, error) {
	checks, err := d.Store.ChecksOf(ctx, d.view(), c.Link.ID, 100)
	if err != nil {
		return door{}, err
	}
	for i := range checks {
		k := &checks[i]
		if k.ID != id {
			continue
		}
		one := door{Check: k, Runs: k.Runs(d.Now()), Outcome: outcomeOf(k, d.Now()), State: "checking"}
		if one.Runs {
			return one, nil
		}
		o, err := d.Office(ctx, false)
		if err != nil {
			return one, err
		}
		now := &call{Link: c.Link}
		if now.Holding, err = o.Holding(ctx, &c.Link); err != nil {
			return one, err
		}
		cases := now.at(verify.DoorOf(exposure.Key{Addr: k.Addr, Port: k.Port, Transport: k.Transport}).String())
		if len(cases) == 0 {
			one.Outcome, one.State = isMoved, "moved"
			return one, nil
		}
		one.State = state(cases)
		return one, nil
	}
	return door{Outcome: "lost", State: "moved"}, nil
}

// A paper takes what would be sent.
type paper struct {
	bytes.Buffer
	header http.Header
}

func (p *paper) Header() http.Header { return p.header }
func (p *paper) WriteHeader(int)     {}

// fragment is a block of the page as text.
func (d *desk) fragment(r *http.Request, v *gate.Visit, block string, data any) (string, error) {
	plain := r.Clone(r.Context())
	plain.Header.Del("Accept-Encoding")
	p := &paper{header: make(http.Header)}
	if err := d.site.Fragment(p, plain, v, "owner", block, data); err != nil {
		return "", err
	}
	return p.String(), nil
}
