// Package owner is the page to which the link of a mail leads: what of its reader
// is open, how to close it, and a button to have it looked at again.
//
// A link is asked at every use whose its cases are now. It changes nothing by
// being opened: programs that look for harm in mails open all of them.
package owner

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/people"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/verify"
	"ippwatch/web"
)

//go:embed all:pages texts assets
var files embed.FS

// Options are what the pages need.
type Options struct {
	Store    *store.Store
	Tracker  *track.Tracker
	Registry *people.Registry
	Texts    *advisory.Texts
	Sender   advisory.Sender // who writes the mails
	// Office knows whose cases are now; with mail, it can send.
	Office func(ctx context.Context, mail bool) (*outreach.Office, error)
	// Observed returns the last sighting of a case, as far as the view may see it.
	Observed func(ctx context.Context, v access.View, e exposure.Exposure) (exposure.Observation, bool, error)
	// Check looks at the cases, which are of one door, and at nothing else of theirs.
	Check func(ctx context.Context, cases []exposure.Exposure) ([]verify.Result, error)
	// Opened returns the name of the mail whose opt-out the token is. May be nil.
	Opened func(token string) (mail string, ok bool)
	Limits store.Checks
	Now    func() time.Time
	Log    *slog.Logger
}

// Limits are those of checks, of which all may be so many in an hour.
func Limits(all int) store.Checks {
	return store.Checks{Apart: 2 * time.Minute, Link: 12, All: all}
}

// A desk serves the pages.
type desk struct {
	Options
	site *web.Site
	tcp  chan struct{} // one for each look that goes on
	udp  chan struct{} // our call-back address is one
}

// Add puts the pages into the site.
func Add(s *web.Site, o Options) error {
	d := &desk{Options: o, site: s, tcp: make(chan struct{}, 4), udp: make(chan struct{}, 1)}
	all := access.Roles
	staff := []access.Role{access.RoleAnalyst, access.RoleOperator, access.RoleAuditor}
	hands := []access.Role{access.RoleAnalyst, access.RoleOperator}
	page := func(pattern string, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodGet, Pattern: pattern, Kind: gate.Page, Roles: all, Serve: serve}
	}
	form := func(pattern string, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodPost, Pattern: pattern, Kind: gate.Form, Roles: all, Written: "link use", Costly: true, MaxBody: 64 << 10, Serve: serve}
	}
	filter := page("/o/{token}/filter", d.filter)
	filter.Costly = true
	oneClick := form("/unsubscribe/{token}", d.unsubscribe)
	oneClick.Tokenless = "RFC 8058, section 3.2: a mail program posts it, without a page, a cookie or a session"
	oneClick.Costly, oneClick.Written = false, "mark contact" // the programs of a whole provider come from few addresses
	return s.Add(web.Part{
		FS:  files,
		Nav: []web.Link{{Path: "/pleas", Text: "pleas.title", Roles: staff, Order: 410, Group: "work"}},
		Routes: []gate.Route{
			page("/o/{token}", d.page),
			filter,
			{Method: http.MethodGet, Pattern: "/o/{token}/live", Kind: gate.Stream, Roles: all, Serve: d.live},
			form("/o/{token}/check", d.check),
			form("/o/{token}/plea", d.plea),
			form("/o/{token}/withdraw", d.withdraw),
			form("/o/{token}/stop", d.stop),
			form("/o/{token}/resume", d.resume),
			form("/o/{token}/again", d.again),
			page("/unsubscribe/{token}", d.confirm),
			oneClick,
			form("/unsubscribe/{token}/undo", d.resubscribe),
			{Method: http.MethodGet, Pattern: "/pleas", Kind: gate.Page, Roles: staff, Personal: true, Serve: d.pleas},
			{Method: http.MethodPost, Pattern: "/pleas/{id}", Kind: gate.Form, Roles: hands, Needs: access.Change, Written: "plea", Serve: d.decide},
		},
	})
}

// view is our own, for what is asked before anything is shown.
func (d *desk) view() access.View {
	return access.View{Who: "owner", Tier: access.Operator, At: d.Now()}
}

// A call is one use of a link.
type call struct {
	Link  store.Link
	Token string
	outreach.Holding
}

// Actor is who it is in the history of a case.
func (c *call) Actor() string { return "owner via link " + c.Link.ID }

// at returns the cases at a door.
func (c *call) at(door string) []outreach.Own {
	var all []outreach.Own
	for _, o := range c.Cases {
		if verify.DoorOf(o.Key).String() == door {
			all = append(all, o)
		}
	}
	return all
}

func (c *call) keys() []exposure.Key {
	var all []exposure.Key
	for _, o := range c.Cases {
		all = append(all, o.Key)
	}
	return all
}

// errOver is for a link that shows nothing: unknown, expired, revoked, or of
// cases that are its contact's no more. Nobody is told which.
var errOver = errors.New("the link shows nothing")

// maxToken bounds what is taken for a token.
const maxToken = 100

// come returns what the link of a request shows now. It writes nothing.
func (d *desk) come(r *http.Request, v *gate.Visit) (*call, *http.Request, error) {
	c := &call{Token: r.PathValue("token")}
	r = speak(r, v, "")
	if len(c.Token) > maxToken {
		return c, r, errOver
	}
	var err error
	c.Link, err = d.Store.LookLink(r.Context(), c.Token, v.At)
	if errors.Is(err, store.ErrNoLink) || errors.Is(err, store.ErrLinkOver) {
		return c, r, errOver
	}
	if err != nil {
		return c, r, err
	}
	o, err := d.Office(r.Context(), false)
	if err != nil {
		return c, r, err
	}
	c.Holding, err = o.Holding(r.Context(), &c.Link)
	if err == nil && len(c.Cases) == 0 && !c.OptedOut {
		err = errOver
	}
	return c, speak(r, v, c.Link.Language), err
}

// use is come for what changes something: it counts.
func (d *desk) use(r *http.Request, v *gate.Visit) (*call, *http.Request, error) {
	c, r, err := d.come(r, v)
	if err != nil {
		return c, r, err
	}
	if _, err = d.Store.UseLink(r.Context(), c.Token, v.At); errors.Is(err, store.ErrNoLink) || errors.Is(err, store.ErrLinkOver) {
		err = errOver
	}
	return c, r, err
}

// note writes into the history of cases what their owner did. That the contact
// answered ends no verdict and closes nothing.
func (d *desk) note(ctx context.Context, c *call, keys []exposure.Key, what string) error {
	_, err := d.Tracker.Take(ctx, keys, track.Order{Step: track.Acknowledge, Actor: c.Actor(), Evidence: what, At: d.Now().UTC()})
	if errors.Is(err, track.ErrNoCase) {
		return nil // forgotten a moment ago
	}
	return err
}

// Languages of the pages, English first.
var spoken = language.NewMatcher([]language.Tag{language.English, language.German})

// speak returns the request with the language that its page is to have: what was
// chosen on the page, what the browser asks for, or that of the mail.
func speak(r *http.Request, v *gate.Visit, mail string) *http.Request {
	chosen := r.URL.Query().Get("lang")
	if chosen == "en" || chosen == "de" {
		out := r.Clone(r.Context())
		out.Header.Set("Accept-Language", chosen)
		out.Header.Del("Cookie")
		for _, c := range r.Cookies() {
			if !strings.HasSuffix(c.Name, "lang") {
				out.AddCookie(c)
			}
		}
		return out
	}
	if mail == "" || v.Cookie(r, "lang") != "" {
		return r
	}
	wanted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err == nil && len(wanted) > 0 {
		if _, _, sure := spoken.Match(wanted...); sure != language.No {
			return r
		}
	}
	out := r.Clone(r.Context())
	out.Header.Set("Accept-Language", mail)
	return out
}

// here is the address of the page, in the language that was chosen on it.
func here(r *http.Request, c *call) string {
	if lang := r.URL.Query().Get("lang"); lang == "en" || lang == "de" {
		return outreach.PagePath + c.Token + "?lang=" + lang
	}
	return outreach.PagePath + c.Token
}

// clip bounds what somebody typed, and makes it one line.
func clip(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\ufffd")), " ")
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit]) + "…"
	}
	return s
}

// done sends the visitor back to the page behind a form.
func done(r *http.Request, c *call, what, anchor string) error {
	to := here(r, c)
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	return gate.SeeOther(to + sep + "did=" + what + anchor)
}

// failed answers a use of a link that could not be served.
func (d *desk) failed(w http.ResponseWriter, r *http.Request, v *gate.Visit, c *call, err error) error {
	if errors.Is(err, errOver) {
		return d.over(w, r, v, c.Token, false)
	}
	return err
}

// worst is the severity that counts.
func worst(a, b exposure.Severity) exposure.Severity {
	if a == "" || b.Rank() < a.Rank() {
		return b
	}
	return a
}

// byDoor sorts cases by where they are, the worst first there.
func byDoor(a, b outreach.Own) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Severity.Rank(), b.Severity.Rank()),
		cmp.Compare(a.Rule, b.Rule))
}

func sorted(all []outreach.Own) []outreach.Own {
	all = slices.Clone(all)
	slices.SortFunc(all, byDoor)
	return all
}
