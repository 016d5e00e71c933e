package owner

import (
	"context"
	"errors"
	"net/http"
	"time"

	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/people"
	"ippwatch/store"
	"ippwatch/web"
)

type own = outreach.Own

// overSheet is what everybody sees whose link shows nothing, whatever the cause.
type overSheet struct {
	Base, Query string
	Asked       bool
}

func (d *desk) over(w http.ResponseWriter, r *http.Request, v *gate.Visit, token string, asked bool) error {
	if len(token) > maxToken {
		token = "none"
	}
	return d.site.Page(w, r, v, "owner-over", overSheet{Base: outreach.PagePath + token, Query: query(r), Asked: asked}, web.Show{Status: http.StatusNotFound})
}

// again sends a new link in the place of one that has expired, to the contact
// that it belongs to. Who asks is told the same whatever the link was, and at
// once: the rest is done behind the answer.
func (d *desk) again(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	token := r.PathValue("token")
	r = speak(r, v, "")
	if len(token) <= maxToken {
		l, err := d.Store.LookLink(r.Context(), token, v.At)
		switch {
		case errors.Is(err, store.ErrLinkOver) && l.Revoked.IsZero():
			d.site.Gate.Beside(func(ctx context.Context) { d.resend(ctx, l) })
		case err != nil && !errors.Is(err, store.ErrNoLink) && !errors.Is(err, store.ErrLinkOver):
			return err
		}
	}
	return d.over(w, r, v, token, true)
}

// resend sends the link, or writes into the log why not. It begins when the answer
// has left, whose time then tells nothing.
func (d *desk) resend(ctx context.Context, l store.Link) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Second):
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	o, err := d.Office(ctx, true)
	if err == nil {
		var next store.Link
		if next, err = o.SendLink(ctx, &l, ""); err == nil {
			d.Log.Info("owner", "did", "again", "link", l.ID, "new", next.ID)
			return
		}
	}
	d.Log.Info("no new link is sent", "link", l.ID, "why", err.Error())
}

// unsubscribeSheet shows no address: who has the link of a mail may be another.
type unsubscribeSheet struct {
	Base string
	Step string // ask, done, undone
}

func (d *desk) subscription(w http.ResponseWriter, r *http.Request, v *gate.Visit, step string) error {
	token := r.PathValue("token")
	if len(token) > maxToken {
		token = "none"
	}
	return d.site.Page(w, r, v, "unsubscribe", unsubscribeSheet{Base: "/unsubscribe/" + token, Step: step})
}

// confirm asks: whoever opens every link of a mail opts nobody out.
func (d *desk) confirm(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return d.subscription(w, speak(r, v, ""), v, "ask")
}

// mailOf is the contact that a mail went to, by the token of its opt-out, and
// what names that mail; empty if it is none of ours.
func (d *desk) mailOf(r *http.Request) (contact, what string, err error) {
	token := r.PathValue("token")
	if d.Opened == nil || len(token) > maxToken {
		return "", "", nil
	}
	mail, ok := d.Opened(token)
	if !ok {
		return "", "", nil
	}
	contact, what, err = d.Store.ContactOfMail(r.Context(), mail)
	if errors.Is(err, store.ErrNoLink) {
		return "", "", nil
	}
	return contact, "opt-out of " + what, err
}

// unsubscribe is the one click of RFC 8058. The answer is the same for a token
// that is none of ours.
func (d *desk) unsubscribe(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	contact, what, err := d.mailOf(r)
	if err != nil {
		return err
	}
	if contact != "" {
		if err := d.Registry.Mark(r.Context(), d.hand("contact by "+what), address(contact), store.OptOut, "one click in a mail", what); err != nil {
			return err
		}
		d.Log.Info("owner", "did", "unsubscribe", "by", what)
	}
	return d.subscription(w, speak(r, v, ""), v, "done")
}

// resubscribe takes an opt-out of the same mail back.
func (d *desk) resubscribe(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	contact, what, err := d.mailOf(r)
	if err != nil {
		return err
	}
	if contact != "" {
		err := d.Registry.Lift(r.Context(), d.hand("contact by "+what), address(contact), store.OptOut, what)
		if err != nil && !errors.Is(err, people.ErrUnknown) {
			return err
		}
	}
	return d.subscription(w, speak(r, v, ""), v, "undone")
}
