package plant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/web"
)

// shownRuns is how many runs the list has.
const shownRuns = 300

// scansPage is what the list of scans shows.
type scansPage struct {
	Paused   *store.Pause
	Scope    scopeSeen
	CanStart bool
	Orders   int  // that wait
	Asked    bool // an order was just taken
	Mistake  string
	Targets  string
	Runs     *web.Listing
	More     bool // runs than are listed
}

// scopeSeen is the authority under which a scan would be made.
type scopeSeen struct {
	File    string // empty: the configuration names none
	Wrong   string // why it cannot be used
	Expired bool
	space.Scope
}

// scope reads the file of the configuration, each time: it may have been signed
// anew.
func (p *Plant) scope(at time.Time) scopeSeen {
	s := scopeSeen{File: p.Scope}
	if p.Scope == "" {
		return s
	}
	text, err := os.ReadFile(p.Scope)
	if err == nil {
		s.Scope, err = space.ParseScope(p.Scope, text)
	}
	switch {
	case err != nil:
		s.Wrong = err.Error()
	case s.Scope.Expired(at) != nil:
		s.Expired = true
	}
	return s
}

// Usable reports whether a scan may be made under it.
func (s scopeSeen) Usable() bool { return s.File != "" && s.Wrong == "" && !s.Expired }

func (p *Plant) scans(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return p.showScans(w, r, v, scansPage{Asked: r.URL.Query().Has("asked")}, 0)
}

func (p *Plant) showScans(w http.ResponseWriter, r *http.Request, v *gate.Visit, d scansPage, status int) error {
	var err error
	if d.Paused, err = p.paused(r); err != nil {
		return err
	}
	t := &web.Table{
		Name: "scans", Title: "scans.title", Path: "/scans", Sort: "-started", Empty: "scans.none",
		Columns: []web.Column{
			{Name: "run", Text: "scans.run", Head: true, Sorts: true},
			{Name: "state", Text: "scans.state", Sorts: true},
			{Name: "kind", Text: "scans.kind", Sorts: true},
			{Name: "started", Text: "scans.started", Sorts: true},
			{Name: "ended", Text: "scans.ended", Sorts: true},
			{Name: "targets", Text: "scans.targets", Sorts: true, Number: true},
			{Name: "asked", Text: "scans.asked", Sorts: true, Number: true},
			{Name: "vantage", Text: "scans.vantage", Sorts: true},
			{Name: "authorised_by", Text: "scans.authorised", Sorts: true, Long: true},
		},
		Fields: []web.Field{
			{Name: "state", Text: "scans.state", Kind: web.Many, Options: web.Choices("scans.state", states...)},
			web.Find(),
			{Name: "kind", Text: "scans.kind", Kind: web.Choice, Options: web.Choices("scans.kind", "scan", "verification")},
		},
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		runs, err := p.Store.Runs(r.Context(), v.View, shownRuns+1)
		if err != nil {
			return nil, err
		}
		if d.More = len(runs) > shownRuns; d.More {
			runs = runs[:shownRuns]
		}
		far, err := p.far(r.Context(), runs, d.Paused != nil)
		var rows []web.Row
		for _, g := range far {
			if states := q.All("state"); len(states) > 0 && !slices.Contains(states, g.Word) || q.Get("kind") != "" && q.Get("kind") != g.kind() {
				continue
			}
			rows = append(rows, runRow(g))
		}
		return rows, err
	})
	if err != nil || done {
		return err
	}
	d.Runs, d.Scope = l, p.scope(v.At)
	d.CanStart = p.Order != nil && d.Scope.Usable()
	if p.Orders != nil {
		d.Orders = len(p.Orders("scan"))
	}
	return p.site.Page(w, r, v, "scans", d, web.Show{Status: status})
}

// states are the words for how a run is.
var states = []string{"running", "paused", "interrupted", "stopped", "done"}

var stateBadge = map[string]string{"running": "low", "paused": "medium", "interrupted": "high", "stopped": "medium", "failed": "high"}

func (g progress) kind() string {
	if g.Verify {
		return "verification"
	}
	return "scan"
}

func runRow(g progress) web.Row {
	var total any
	if g.Total > 0 {
		total = int64(g.Total) //nolint:gosec // addresses times ports
	}
	badge := stateBadge[g.Word]
	if badge == "" {
		badge = "info"
	}
	return web.Row{ID: g.ID, Cells: []web.Cell{
		{Value: g.ID, Link: "/scans/" + g.ID, Code: true},
		{Value: g.Word, Key: "scans.state." + g.Word, Badge: badge},
		{Value: g.kind(), Key: "scans.kind." + g.kind()},
		{Value: g.Started},
		{Value: g.Ended},
		{Value: total},
		{Value: int64(g.Asked)},
		{Value: g.Vantage},
		{Value: g.AuthorisedBy}, //nolint:gosec // likewise
	}}
}

// paused is the order to send nothing, or nil.
func (p *Plant) paused(r *http.Request) (*store.Pause, error) {
	pause, on, err := p.Store.Paused(r.Context())
	if err != nil || !on {
		return nil, err
	}
	return &pause, nil
}

// mostTargets bounds to what somebody may narrow a scan in a form.
const mostTargets = 1000

// start orders a scan of the scope that the configuration names, or of a part of
// it. Nothing in the form widens it.
func (p *Plant) start(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	text := r.PostFormValue("targets")
	refuse := func(err error) error {
		return p.showScans(w, r, v, scansPage{Mistake: err.Error(), Targets: text}, http.StatusUnprocessableEntity)
	}
	s := p.scope(v.At)
	switch {
	case s.File == "":
		return refuse(errors.New("the configuration names no scope"))
	case s.Wrong != "":
		return refuse(errors.New(s.Wrong))
	case s.Expired:
		return refuse(fmt.Errorf("the authorisation expired at %s UTC", s.Expires.UTC().Format("2006-01-02 15:04")))
	}
	var what []string
	var targets []netip.Prefix
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r <= ' ' }) {
		prefix, err := space.Parse(word)
		if err != nil {
			return refuse(err)
		}
		if len(targets) == mostTargets {
			return refuse(fmt.Errorf("more than %d targets: use ippwatch scan --targets FILE", mostTargets))
		}
		targets, what = append(targets, prefix), append(what, prefix.String())
	}
	if len(targets) > 0 {
		excluded, err := p.Store.Exclusions(r.Context(), v.View)
		if err != nil {
			return err
		}
		var out []netip.Prefix
		for _, e := range excluded {
			out = append(out, e.Prefix)
		}
		if _, _, err := s.Set(v.At, targets, out); err != nil {
			return refuse(err)
		}
	}
	detail := "scan of " + s.File
	if len(what) > 0 {
		detail += ": " + strings.Join(what[:min(20, len(what))], " ")
	}
	if err := p.order(r.Context(), v, "scan", what, detail); err != nil {
		return err
	}
	return gate.SeeOther("/scans?asked")
}

// mostReason bounds what people write.
const mostReason = 500

func reason(r *http.Request) string {
	text := strings.TrimSpace(r.PostFormValue("reason"))
	return text[:min(len(text), mostReason)]
}

// pause is the operator's switch.
func (p *Plant) pause(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	var err error
	switch r.PostFormValue("do") {
	case "pause":
		err = p.Store.Pause(r.Context(), v.Who, reason(r), v.At)
	case "resume":
		err = p.Store.Resume(r.Context(), v.Who, v.At)
	default:
		return gate.Bad("do: want pause or resume")
	}
	if err != nil {
		return err
	}
	return gate.SeeOther(backTo(r, "/scans"))
}

// backTo is where a form wants to go back to, among our pages of scans.
func backTo(r *http.Request, or string) string {
	if back := r.PostFormValue("back"); strings.HasPrefix(back, "/scans") {
		return gate.LocalPath(back)
	}
	return or
}

// askedPage answers what we sent to an address.
type askedPage struct {
	Address, At, Within string
	Mistake             string
	Looked              bool
	Made                *web.Listing
}

func (p *Plant) asked(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	q := r.URL.Query()
	d := askedPage{Address: strings.TrimSpace(q.Get("address")), At: strings.TrimSpace(q.Get("at")), Within: strings.TrimSpace(q.Get("within"))}
	if d.Within == "" {
		d.Within = "5"
	}
	status := 0
	if d.Address != "" {
		addr, from, to, err := d.read()
		switch {
		case err != nil:
			d.Mistake, status = err.Error(), http.StatusUnprocessableEntity
		case !v.View.Host(addr):
			return gate.NotFound
		case p.Asked != nil:
			ctx, cancel := context.WithTimeout(r.Context(), proofTime)
			defer cancel()
			made, err := p.Asked(ctx, addr, from, to)
			if err != nil {
				return err
			}
			// Whoever has the address for a time sees what was sent to it then.
			made = slices.DeleteFunc(made, func(c Contact) bool { return !v.View.Sees(addr, c.NotBefore) })
			var done bool
			if d.Made, done, err = p.few(w, r, v, madeTable(), madeRows(made, v)); err != nil || done {
				return err
			}
			d.Looked = true
		}
	}
	return p.site.Page(w, r, v, "asked", d, web.Show{Status: status})
}

func madeTable() *web.Table {
	return &web.Table{
		Name: "contacts", Title: "asked.list", Empty: "asked.none", Sort: "from",
		Columns: []web.Column{
			{Name: "from", Text: "asked.from", Sorts: true},
			{Name: "to", Text: "asked.to", Sorts: true},
			{Name: "target", Text: "asked.target", Head: true, Sorts: true},
			{Name: "what", Text: "asked.what", Sorts: true},
			{Name: "run", Text: "scans.run", Sorts: true},
			{Name: "authorised_by", Text: "scans.authorised", Sorts: true, Long: true},
			{Name: "contact", Text: "scans.contact", Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

// madeRows are contacts to the second: that is what a complaint names.
func madeRows(made []Contact, v *gate.Visit) []web.Row {
	var rows []web.Row
	at := func(t time.Time) web.Cell {
		return web.Cell{Value: t, Text: t.UTC().Format("2006-01-02 15:04:05") + " UTC"}
	}
	for i, c := range made {
		run := web.Cell{Value: c.Run, Code: true}
		if v.May(access.Change) {
			run.Link = "/scans/" + c.Run
		}
		rows = append(rows, web.Row{ID: strconv.Itoa(i), Cells: []web.Cell{
			at(c.NotBefore), at(c.NotAfter), {Value: c.Target, Code: true}, {Value: c.What}, run, {Value: c.AuthorisedBy}, {Value: c.Contact},
		}})
	}
	return rows
}

// read reads the question.
func (d *askedPage) read() (addr netip.Addr, from, to time.Time, err error) {
	if addr, err = netip.ParseAddr(d.Address); err != nil {
		return addr, from, to, errors.New("the address is none, such as 198.51.100.20")
	}
	minutes, err := strconv.Atoi(d.Within)
	if err != nil || minutes < 1 || minutes > 7*24*60 {
		return addr, from, to, errors.New("minutes: want 1 to 10080")
	}
	if d.At == "" {
		return addr.Unmap(), from, to, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if at, err := time.Parse(layout, d.At); err == nil {
			within := time.Duration(minutes) * time.Minute
			return addr.Unmap(), at.Add(-within), at.Add(within), nil
		}
	}
	return addr, from, to, errors.New("the time is none, such as 2026-11-23 09:30 (UTC)")
}

// exclusionsPage is who is never asked.
type exclusionsPage struct {
	All     *web.Listing
	Mistake string
	Prefix  string
	Reason  string
	Done    bool
}

func (p *Plant) exclusions(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return p.showExclusions(w, r, v, exclusionsPage{Done: r.URL.Query().Has("done"), Prefix: r.URL.Query().Get("prefix")}, 0)
}

func (p *Plant) showExclusions(w http.ResponseWriter, r *http.Request, v *gate.Visit, d exclusionsPage, status int) error {
	t := &web.Table{
		Name: "exclusions", Title: "exclusions.title", Path: "/scans/exclusions", Sort: "-at", Empty: "exclusions.none",
		Columns: []web.Column{
			{Name: "prefix", Text: "exclusions.prefix", Head: true, Sorts: true},
			{Name: "at", Text: "exclusions.at", Sorts: true},
			{Name: "who", Text: "exclusions.who", Sorts: true},
			{Name: "reason", Text: "exclusions.reason", Long: true},
		},
		Fields: []web.Field{{Name: "holds", Text: "exclusions.holds", Kind: web.Words, Hint: "198.51.100.20"}},
	}
	if v.May(access.Administer) {
		t.Post, t.Actions = "/scans/exclusions/remove", []web.Action{{Name: "remove", Text: "exclusions.remove"}}
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		all, err := p.Store.Exclusions(r.Context(), v.View)
		var rows []web.Row
		for _, e := range all {
			if word := q.Get("holds"); word != "" && !holds(e.Prefix, word) {
				continue
			}
			rows = append(rows, web.Row{ID: e.Prefix.String(), Cells: []web.Cell{{Value: e.Prefix, Code: true}, {Value: e.At}, {Value: e.Who}, {Value: e.Reason}}})
		}
		return rows, err
	})
	if err != nil || done {
		return err
	}
	d.All = l
	return p.site.Page(w, r, v, "exclusions", d, web.Show{Status: status})
}

// holds reports whether the prefix has to do with an address or a network; a word
// that is none is looked for in its text.
func holds(p netip.Prefix, word string) bool {
	if other, err := space.Parse(word); err == nil {
		return p.Overlaps(other)
	}
	return strings.Contains(p.String(), word)
}

func (p *Plant) exclude(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	prefix, err := space.Parse(strings.TrimSpace(r.PostFormValue("prefix")))
	if err != nil {
		return p.showExclusions(w, r, v, exclusionsPage{Mistake: err.Error(), Prefix: r.PostFormValue("prefix"), Reason: reason(r)}, http.StatusUnprocessableEntity)
	}
	if err := p.Store.Exclude(r.Context(), prefix, reason(r), v.Who, v.At); err != nil {
		return err
	}
	return gate.SeeOther("/scans/exclusions?done")
}

func (p *Plant) unexclude(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	for _, word := range r.PostForm["row"] {
		prefix, err := space.Parse(word)
		if err != nil {
			return gate.Bad("row: %v", err)
		}
		found, err := p.Store.Unexclude(r.Context(), prefix, v.Who, v.At)
		switch {
		case err != nil:
			return err
		case !found:
			return gate.NotFound
		}
	}
	return gate.SeeOther("/scans/exclusions?done")
}

// runOf is the run of a route.
func (p *Plant) runOf(r *http.Request, v *gate.Visit) (exposure.Run, error) {
	run, err := p.Store.Run(r.Context(), v.View, r.PathValue("run"))
	if errors.Is(err, store.ErrNoRun) {
		return run, gate.NotFound
	}
	return run, err
}
