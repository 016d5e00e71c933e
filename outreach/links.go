package outreach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/store"
)

// Pages are where contacts look at their own cases.
type Pages struct {
	URL  string        // of the site, as people type it
	Life time.Duration // of a link
}

// PagePath stands before the token of a link.
const PagePath = "/o/"

// unissued stands in the place of a token until the mail is sent.
const unissued = "the-link-is-made-when-the-mail-is-sent"

// page is the address of the page of a token.
func (p Pages) page(token string) string { return strings.TrimRight(p.URL, "/") + PagePath + token }

// pageCases is how many cases a page has at most: each is asked at each use whose
// it is. Whoever answers for more wants an account.
const pageCases = 300

// page is the address of the page that a message leads to, "" if to none; with
// issue its link is made.
func (o *Office) page(ctx context.Context, m *store.Message, places []store.Place, issue bool) (string, error) {
	if o.Pages.URL == "" || len(places) > pageCases {
		return "", nil
	}
	token := unissued
	if issue {
		var err error
		if token, err = o.issue(ctx, m, places); err != nil {
			return "", err
		}
	}
	return o.Pages.page(token), nil
}

// issue makes the link of a message, in the place of any that an attempt made
// which was killed.
func (o *Office) issue(ctx context.Context, m *store.Message, places []store.Place) (token string, err error) {
	now := o.Now()
	_, token, err = o.Store.AddLink(ctx, store.Link{
		Contact: m.To.Key(), Constituent: m.Constituent, Expires: now.Add(o.Pages.Life),
		Message: m.ID, Role: m.To.Role, Language: m.Language, Places: places,
	}, "outreach", now)
	return token, err
}

// An Own is a case as the contact of a link may see it now.
type Own struct {
	exposure.Exposure
	View access.View // for whatever else is read of it
}

// A Holding is what a link shows now.
type Holding struct {
	Cases []Own
	Title string             // of the constituent
	To    exposure.Recipient // the contact as it is now
	Gone  int                // cases that are not, or no longer, its own
	// OptedOut: the contact wants no mail, and is shown nothing.
	OptedOut bool
}

// Holding returns the cases of a link that are its contact's own now: each is
// looked for among those who answer for the address at this time, and when it was
// last seen. Whoever was nearest when the link was made must be nearest still,
// and the contact must be in the role that it had.
func (o *Office) Holding(ctx context.Context, l *store.Link) (Holding, error) {
	var h Holding
	r := o.roll(ctx, o.Now())
	pleas, err := o.Store.PleasAt(ctx, o.View, addresses(l))
	if err != nil {
		return h, err
	}
	for _, place := range l.Places {
		if slices.ContainsFunc(pleas, func(p store.Plea) bool {
			return p.Key == place.Key && p.Constituent == l.Constituent && disowned(&p)
		}) {
			h.Gone++
			continue
		}
		own, party, err := o.own(ctx, r, l, place)
		switch {
		case err != nil:
			return h, err
		case party == nil:
			h.Gone++
			continue
		}
		at := slices.IndexFunc(party.Contacts, func(c exposure.Recipient) bool { return c.Key() == l.Contact })
		to := party.Contacts[at]
		if to.OptOut {
			h.OptedOut = true
			h.Gone++
			continue
		}
		h.To, h.Title = to, party.Title
		if h.Title == "" {
			h.Title = party.Name
		}
		h.Cases = append(h.Cases, own)
	}
	return h, nil
}

func addresses(l *store.Link) []netip.Addr {
	var all []netip.Addr
	for _, p := range l.Places {
		if !slices.Contains(all, p.Addr) {
			all = append(all, p.Addr)
		}
	}
	return all
}

// disowned reports whether the constituent said that the case is not its own, and
// one of us agreed.
func disowned(p *store.Plea) bool {
	return p.Kind == store.PleaNotMine && p.State == store.PleaGranted
}

// own returns the case as the link's contact may see it, and its party; nil if it
// is not the contact's.
func (o *Office) own(ctx context.Context, r *roll, l *store.Link, place store.Place) (Own, *Party, error) {
	e, err := o.Store.Exposure(ctx, o.View, place.Key)
	if errors.Is(err, store.ErrNoExposure) || err == nil && e.MovedTo.IsValid() {
		return Own{}, nil, nil
	}
	if err != nil {
		return Own{}, nil, err
	}
	then, err := o.partyOf(ctx, r, l, place, &e)
	if err != nil || then == nil {
		return Own{}, nil, err
	}
	today := e
	today.LastSeen = o.Now()
	now, err := o.partyOf(ctx, r, l, place, &today)
	if err != nil || now == nil || now.By != then.By || now.Window != then.Window {
		return Own{}, nil, err
	}
	v := now.view(&today, o.Now())
	v.Who = "link " + l.ID
	clipped, err := o.Store.Exposure(ctx, v, place.Key)
	if errors.Is(err, store.ErrNoExposure) {
		return Own{}, nil, nil
	}
	return Own{Exposure: clipped, View: v}, now, err
}

// partyOf returns the party of the link as it answers for the exposure when that
// was last seen.
func (o *Office) partyOf(ctx context.Context, r *roll, l *store.Link, place store.Place, e *exposure.Exposure) (*Party, error) {
	parties, err := o.answers(ctx, r, e)
	if err != nil || len(parties) == 0 || parties[0].Name != place.Nearest {
		return nil, err
	}
	for i := range parties {
		p := &parties[i]
		if p.Name != l.Constituent || !p.Answers(e) {
			continue
		}
		if slices.ContainsFunc(p.Contacts, func(c exposure.Recipient) bool {
			return c.Key() == l.Contact && c.Role == l.Role && !c.Invalid
		}) {
			return p, nil
		}
	}
	return nil, nil //nolint:nilnil // that it is nobody's is an answer
}

// Errors of sending a link.
var (
	ErrNotOwn  = errors.New("nothing of it is its contact's any more")
	ErrStopped = errors.New("sending is paused or on hold")
	errNoPages = errors.New("there are no pages: web.url names none")
	errNoMail  = errors.New("a link is sent by mail only")
)

// resendEvery is how often one contact is sent a link in the place of another,
// when somebody with an old mail asks.
const resendEvery = 24 * time.Hour

// SendLink sends the contact of a link another one to its own page: to the
// address that the contact has, whoever asks. A person of ours is not kept
// waiting.
func (o *Office) SendLink(ctx context.Context, former *store.Link, person string) (store.Link, error) {
	h, err := o.Holding(ctx, former)
	switch {
	case err != nil:
		return store.Link{}, err
	case o.Pages.URL == "":
		return store.Link{}, errNoPages
	case len(h.Cases) == 0:
		return store.Link{}, ErrNotOwn
	case h.To.Medium != exposure.ByMail:
		return store.Link{}, errNoMail
	}
	if err := o.mayMail(ctx); err != nil {
		return store.Link{}, err
	}
	next, within, who := *former, resendEvery, "link "+former.ID
	if person != "" {
		within, who = 0, person
	}
	next.Cases, next.Places = nil, nil
	for _, c := range h.Cases {
		i := slices.IndexFunc(former.Places, func(p store.Place) bool { return p.Key == c.Key })
		next.Places = append(next.Places, former.Places[i])
	}
	next.Expires = o.Now().Add(o.Pages.Life)
	next, token, err := o.Store.ReplaceLink(ctx, former.ID, next, within, who, o.Now())
	if err != nil {
		return next, err
	}
	if err = o.mailLink(ctx, &next, &h, token); err != nil {
		err = errors.Join(err, o.Store.RevokeLink(context.WithoutCancel(ctx), next.ID, "outreach", o.Now()))
	}
	return next, err
}

// SendLinkOf is SendLink for a message that went without a link, or with one that
// is over.
func (o *Office) SendLinkOf(ctx context.Context, id, person string) (store.Link, error) {
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return store.Link{}, err
	}
	l := store.Link{Contact: m.To.Key(), Constituent: m.Constituent, Message: m.ID, Role: m.To.Role, Language: m.Language}
	r := o.roll(ctx, o.Now())
	for _, item := range m.Exposures {
		e, err := o.Store.Exposure(ctx, o.View, item.Key)
		if errors.Is(err, store.ErrNoExposure) {
			continue
		}
		if err != nil {
			return store.Link{}, err
		}
		parties, err := o.answers(ctx, r, &e)
		if err != nil {
			return store.Link{}, err
		}
		if len(parties) > 0 && len(l.Places) < pageCases {
			l.Places = append(l.Places, store.Place{Key: item.Key, Nearest: parties[0].Name})
		}
	}
	return o.SendLink(ctx, &l, person)
}

// mayMail says why no mail may leave now.
func (o *Office) mayMail(ctx context.Context) error {
	c, err := o.Store.Control(ctx)
	if err != nil {
		return err
	}
	holds, err := o.Store.OutboxHolds(ctx)
	if err != nil {
		return err
	}
	if c.Paused || slices.ContainsFunc(holds, func(h store.OutboxHold) bool { return h.Rule == "" }) {
		return ErrStopped
	}
	return nil
}

// mailLink writes the mail with a link and hands it to the server.
func (o *Office) mailLink(ctx context.Context, l *store.Link, h *Holding, token string) error {
	if o.Writer == nil || o.Mailer == nil {
		return errors.New("send a link: there is no mail server")
	}
	texts, _, err := o.Texts(o.Rules.Template)
	if err != nil {
		return err
	}
	key := "link " + l.ID
	words, err := texts.Link(advisory.LinkNotice{
		Language: advisory.Speak(l.Language), Title: h.Title, Page: o.Pages.page(token), Until: l.Expires, Sender: o.Rules.Sender,
		Unsubscribe: o.Writer.Unsubscribe(key), Reference: l.Message,
	})
	if err != nil {
		return fmt.Errorf("write the mail with link %s: %w", l.ID, err)
	}
	mail, err := o.Writer.Seal(notify.Message{
		Key: key, Reference: l.Message, To: h.To.Address, Subject: words.Subject, Text: words.Text, Language: l.Language, Date: o.Now(), PGPKey: h.To.PGPKey,
	})
	if err != nil {
		return err
	}
	if err := o.Store.MailLink(ctx, l.ID, string(mail.ID)); err != nil {
		return err
	}
	for out := range o.Mailer.Send(ctx, slices.Values([]notify.Mail{mail})) {
		if out.Result != notify.Accepted && out.Result != notify.Unsure {
			return fmt.Errorf("send link %s to %s: %s", l.ID, h.To.Address, said(out))
		}
	}
	return nil
}
