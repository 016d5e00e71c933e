// Package office is the pages for those who work on cases: what needs a hand
// today, cases, hosts, constituents, the outbox, the search and the audit log.
package office

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/people"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/web"
)

//go:embed all:pages texts
var files embed.FS

// Errors of Options.Outreach, when the configuration does not say enough.
var (
	ErrNoRules = errors.New("the configuration has no outreach.rules")
	ErrNoMail  = errors.New("the configuration has no section mail")
)

// Options are what the pages need.
type Options struct {
	Store   *store.Store
	Archive *archive.Archive
	Tracker *track.Tracker
	People  *people.Registry
	// Outreach opens what plans, explains and writes messages; with mail, how they
	// leave is known too, or why not is the error.
	Outreach func(ctx context.Context, mail bool) (*outreach.Office, error)
	// Where says where an address is when no observation does.
	Where func(a netip.Addr) exposure.Where
}

// A desk serves the pages.
type desk struct {
	Options
	site  *web.Site
	texts *advisory.Texts

	counting sync.Mutex // is held by who counts
	mu       sync.Mutex // guards what follows
	counts   counts
}

var (
	staff    = []access.Role{access.RoleAnalyst, access.RoleOperator, access.RoleAuditor}
	everyone = access.Named // also constituents, for their own hosts
	hands    = []access.Role{access.RoleAnalyst, access.RoleOperator}
	keepers  = []access.Role{access.RoleOperator}
	watchers = []access.Role{access.RoleOperator, access.RoleAuditor}
)

// Add puts the pages into the site.
func Add(site *web.Site, o Options) error {
	texts, err := advisory.Parse(nil)
	if err != nil {
		return err
	}
	d := &desk{Options: o, site: site, texts: texts}
	page := func(pattern string, roles []access.Role, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodGet, Pattern: pattern, Kind: gate.Page, Roles: roles, Personal: true, Serve: serve}
	}
	form := func(pattern string, roles []access.Role, needs access.Right, written string, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodPost, Pattern: pattern, Kind: gate.Form, Roles: roles, Needs: needs, Written: written, Serve: serve}
	}
	log := page("/audit", watchers, d.audit)
	log.Needs = access.Audit
	today := page("/{$}", everyone, d.today)
	today.Personal = false
	return site.Add(web.Part{
		FS: files,
		Nav: []web.Link{
			{Path: "/", Text: "today.title", Roles: everyone, Order: 100, Key: "t", Group: "work"},
			{Path: "/cases", Text: "cases.title", Roles: everyone, Order: 200, Key: "c", Group: "work"},
			{Path: "/hosts", Text: "hosts.title", Roles: everyone, Order: 210, Key: "h", Group: "work"},
			{Path: "/constituents", Text: "constituents.title", Roles: staff, Order: 300, Key: "n", Group: "work"},
			{Path: "/outreach", Text: "outreach.title", Roles: staff, Order: 400, Key: "o", Group: "work"},
			{Path: "/intake", Text: "intake.title", Roles: staff, Order: 940, Key: "i", Group: "work"},
			{Path: "/audit", Text: "audit.title", Roles: watchers, Order: 950, Key: "a", Group: "house"},
		},
		Routes: []gate.Route{
			today,
			page("/cases", everyone, d.cases),
			page("/cases/{case}", everyone, d.oneCase),
			form("/cases/bulk", hands, access.Change, "nothing: it only counts", d.preview),
			form("/cases/do", hands, access.Change, "transition", d.do),
			page("/cases/done/{id}", hands, d.done),
			form("/cases/done/{id}/undo", hands, access.Change, "transition", d.undo),
			page("/hosts", everyone, d.hosts),
			page("/hosts/{address}", everyone, d.host),
			page("/constituents", staff, d.constituents),
			page("/constituents/{constituent}", staff, d.constituent),
			form("/constituents/{constituent}/set", keepers, access.Administer, people.DidEdit, d.setConstituent),
			form("/constituents/{constituent}/contact", keepers, access.Administer, people.DidEdit, d.setContact),
			form("/constituents/{constituent}/mark", keepers, access.Administer, people.DidMark, d.markContact),
			form("/constituents/{constituent}/undo", keepers, access.Administer, people.DidEdit, d.undoConstituent),
			page("/outreach", staff, d.outbox),
			page("/outreach/plan", staff, d.plan),
			page("/outreach/{id}", staff, d.message),
			form("/outreach/hold", hands, access.Change, "notify hold", d.hold),
			form("/outreach/{id}/{order}", hands, access.Change, "order to a message", d.order),
			page("/search", everyone, d.search),
			page("/intake", staff, d.intake),
			log,
		},
	})
}

// whole says that the visitor sees everything, and not only own hosts.
func whole(v *gate.Visit) bool { return v.View.Tier == access.Operator }

// title is what a rule is called in the language.
func (d *desk) title(lang, id string) string {
	title, _ := d.texts.Rule(advisory.Speak(lang), advisory.Owner, id)
	if title == "" || title == id {
		if r, ok := rule.ByID(id); ok {
			return r.Title
		}
	}
	return title
}

// word is the key of the text for the state of a case.
func word(e *exposure.Exposure) string { return "word." + strings.ReplaceAll(e.Word(), " ", "_") }

// door is a case's address with its port.
func door(k exposure.Key) string {
	return netip.AddrPortFrom(k.Addr, k.Port).String() + "/" + string(k.Transport)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 400)]
}

// missing turns what is not there into what the visitor is told then.
func missing(err error) error {
	if errors.Is(err, store.ErrNoExposure) || errors.Is(err, store.ErrNoMessage) || errors.Is(err, store.ErrNoDeed) || errors.Is(err, people.ErrUnknown) || errors.Is(err, archive.ErrDenied) {
		return gate.NotFound
	}
	return err
}

// counts are numbers that take a while where there are many cases.
type counts struct {
	at     time.Time
	took   time.Duration
	vitals store.Vitals
	steps  []store.StepCount
}

// fresh is how old numbers on the first page may be: a minute, and where counting
// takes long so long that it takes a hundredth of the time.
func (c *counts) fresh(at time.Time) bool {
	age := at.Sub(c.at)
	return !c.at.IsZero() && age >= 0 && age < max(time.Minute, 100*c.took)
}

// counted returns the numbers for who sees everything. While one visitor waits
// for new ones, the others get the last.
func (d *desk) counted(ctx context.Context, v *gate.Visit) (counts, error) {
	d.mu.Lock()
	c := d.counts
	d.mu.Unlock()
	if c.fresh(v.At) {
		return c, nil
	}
	if !c.at.IsZero() && !d.counting.TryLock() {
		return c, nil
	} else if c.at.IsZero() {
		d.counting.Lock()
	}
	defer d.counting.Unlock()
	d.mu.Lock()
	c = d.counts // another may have counted meanwhile
	d.mu.Unlock()
	if c.fresh(v.At) {
		return c, nil
	}
	began := time.Now()
	var err error
	if c.vitals, err = d.Store.Vitals(ctx, v.View); err != nil {
		return c, err
	}
	if c.steps, err = d.Store.StepCounts(ctx, v.View, v.At.Add(-24*time.Hour)); err != nil {
		return c, err
	}
	c.at, c.took = v.At, time.Since(began)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts = c
	return c, nil
}

// clean returns what somebody typed, without the space around it.
func clean(r *http.Request, field string) string { return strings.TrimSpace(r.PostFormValue(field)) }

// row makes a row of cells with an id.
func row(id string, cells ...web.Cell) web.Row { return web.Row{ID: id, Cells: cells} }

// first returns the first that is not empty.
func first(texts ...string) string { return cmp.Or(texts...) }

// sameNet reports whether a prefix holds an address of whichever family.
func sameNet(p netip.Prefix, a netip.Addr) bool { return p.Contains(a.Unmap().WithZone("")) }

// numbered is a text for a list of things that are too many.
func numbered(n int) string { return fmt.Sprintf("%d", n) }
