package owner

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/store"
	"ippwatch/track"
)

// longest is for how many years an owner may ask that a risk be accepted.
const longest = 1

const reasonLimit = 500

// plea takes what an owner asks for and a person of ours decides: that a door is
// not its own, or has to stay open.
func (d *desk) plea(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.use(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	if c.OptedOut {
		return gate.SeeOther(here(r, c))
	}
	cases := c.at(r.PostFormValue("door"))
	if len(cases) == 0 {
		return gate.NotFound
	}
	kind := store.PleaKind(r.PostFormValue("kind"))
	reason := clip(r.PostFormValue("reason"), reasonLimit)
	var until time.Time
	switch kind {
	case store.PleaAccept:
		until, err = time.Parse(time.DateOnly, r.PostFormValue("until"))
		if err != nil || !until.After(v.At) || until.After(v.At.AddDate(longest, 0, 1)) {
			return d.show(w, r, v, c, sheet{Did: "until"}, http.StatusUnprocessableEntity)
		}
	case store.PleaNotMine:
	default:
		return gate.Bad("a plea of no kind")
	}
	if reason == "" {
		return d.show(w, r, v, c, sheet{Did: "reason"}, http.StatusUnprocessableEntity)
	}
	var keys []exposure.Key
	what := map[store.PleaKind]string{store.PleaAccept: "asked to accept the risk until " + until.Format(time.DateOnly), store.PleaNotMine: "said that it is not theirs"}[kind]
	for _, o := range cases {
		if !o.Condition.Open() || o.Ruling != exposure.NoRuling {
			continue
		}
		if _, err := d.Store.PutPlea(r.Context(), store.Plea{
			Link: c.Link.ID, Contact: c.Link.Contact, Constituent: c.Link.Constituent, Key: o.Key, Cycle: o.Cycle, Kind: kind, Reason: reason, Until: until, Asked: v.At,
		}); err != nil {
			return err
		}
		keys = append(keys, o.Key)
	}
	if len(keys) > 0 {
		if err := d.note(r.Context(), c, keys, what+": "+reason); err != nil {
			return err
		}
	}
	d.Log.Info("owner", "did", "plea "+string(kind), "link", c.Link.ID)
	return done(r, c, string(kind), "#now")
}

// withdraw takes a plea back: one that nobody has decided yet, or a risk that was
// accepted because of it.
func (d *desk) withdraw(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.use(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	cases := c.at(r.PostFormValue("door"))
	if len(cases) == 0 || c.OptedOut {
		return gate.NotFound
	}
	pleas, err := d.Store.PleasAt(r.Context(), d.view(), addrs(c))
	if err != nil {
		return err
	}
	kind := store.PleaKind(r.PostFormValue("kind"))
	var keys []exposure.Key
	for _, p := range pleas {
		at := slices.IndexFunc(cases, func(o own) bool { return o.Key == p.Key })
		if at < 0 || p.Contact != c.Link.Contact || p.Constituent != c.Link.Constituent || p.Kind != kind {
			continue
		}
		switch {
		case p.State == store.PleaOpen:
		case p.State == store.PleaGranted && p.Kind == store.PleaAccept && ruledBy(&cases[at].Exposure, p.ID):
			_, err := d.Tracker.Take(r.Context(), []exposure.Key{p.Key}, track.Order{
				Step: track.Withdraw, Actor: c.Actor(), Evidence: "the owner takes it back: " + p.Reason, At: d.Now().UTC(),
			})
			if err != nil && !errors.Is(err, track.ErrNoTransition) {
				return err
			}
		default:
			continue
		}
		if err := d.Store.DecidePlea(r.Context(), p.ID, p.State, store.PleaWithdrawn, "link "+c.Link.ID, "", v.At); err != nil && !errors.Is(err, store.ErrNoPlea) {
			return err
		}
		keys = append(keys, p.Key)
	}
	if len(keys) > 0 {
		if err := d.note(r.Context(), c, keys, "took back what they had asked for"); err != nil {
			return err
		}
	}
	return done(r, c, "withdraw", "#now")
}

// ruledBy reports whether the verdict of a case came of the plea.
func ruledBy(e *exposure.Exposure, plea string) bool {
	return e.Ruling == exposure.Accepted && strings.Contains(e.RuledWhy, "plea "+plea)
}

// hand is who changes a contact.
func (d *desk) hand(who string) people.Hand {
	return people.Hand{View: d.view(), Who: who, At: d.Now()}
}

// stop keeps us from writing to the contact.
func (d *desk) stop(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.use(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	if c.OptedOut {
		return gate.SeeOther(here(r, c))
	}
	if err := d.note(r.Context(), c, c.keys(), "asked that nobody writes to them any more"); err != nil {
		return err
	}
	if err := d.Registry.Mark(r.Context(), d.hand(c.Actor()), address(c.Link.Contact), store.OptOut, "asked on the page of a link", "link "+c.Link.ID); err != nil {
		return err
	}
	d.Log.Info("owner", "did", "stop", "link", c.Link.ID)
	return gate.SeeOther(here(r, c))
}

// address is that of a contact, whose key begins with its medium.
func address(contact string) string {
	_, a, _ := strings.Cut(contact, ":")
	return a
}

// resume takes a stop of the same link back.
func (d *desk) resume(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.use(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	err = d.Registry.Lift(r.Context(), d.hand(c.Actor()), address(c.Link.Contact), store.OptOut, "link "+c.Link.ID)
	if err != nil && !errors.Is(err, people.ErrUnknown) {
		return err
	}
	if err == nil {
		d.Log.Info("owner", "did", "resume", "link", c.Link.ID)
	}
	return done(r, c, "resume", "")
}

// stoppedSheet is what somebody sees who wants no mail: nothing of its hosts.
type stoppedSheet struct {
	Base, Query string
	Undo        bool
}

func (d *desk) stopped(w http.ResponseWriter, r *http.Request, v *gate.Visit, c *call) error {
	undo, err := d.stoppedBy(r.Context(), c.Link.Contact, "link "+c.Link.ID)
	if err != nil {
		return err
	}
	return d.site.Page(w, r, v, "owner-stopped", stoppedSheet{Base: "/o/" + c.Token, Query: query(r), Undo: undo})
}

// stoppedBy reports whether the contact opted out by this very way.
func (d *desk) stoppedBy(ctx context.Context, contact, source string) (bool, error) {
	marks, err := d.Registry.Statuses(ctx, d.view())
	return slices.ContainsFunc(marks, func(s store.Status) bool {
		return s.Contact == contact && s.Status == store.OptOut && s.Source == source
	}), err
}
