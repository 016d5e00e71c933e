package plant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/verify"
	"ippwatch/web"
)

const (
	// shownCases is how many cases a list has.
	shownCases = 300
	// shownSteps is how many results are shown, of how long.
	shownSteps = 200
	resultsOf  = 7 * 24 * time.Hour
	// mostCases bounds one order to look again.
	mostCases = 1000
	// controlsAge is how old the list of controls may be.
	controlsAge = 10 * time.Minute
	// controlsShown is more than a verification takes, for people to choose.
	controlsShown = 5
)

// verificationPage is what waits for a proof, and what was proven.
type verificationPage struct {
	Waiting  *web.Listing
	More     bool // than are listed
	Clean    int
	Ready    int
	Named    []string
	Known    []control
	KnownAt  time.Time
	Computed bool
	Results  *web.Listing
	Listed   bool // Results are known
	Runs     []progress
	Orders   int
	Scope    scopeSeen
	Asked    int
	Mistake  string
	After    time.Duration
}

// A waitingCase is a case that is to be looked at again.
type waitingCase struct {
	exposure.Exposure
	Why   string    // key of a text
	From  time.Time // when a probe can prove something; zero: now
	Ready bool
}

// A control is a host that is known to answer.
type control struct {
	Door string
	Seen time.Time
}

func (p *Plant) verification(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := verificationPage{}
	if n := r.URL.Query().Get("asked"); n != "" {
		_, _ = fmt.Sscanf(n, "%d", &d.Asked) // a number that is none is not shown
	}
	return p.showVerification(w, r, v, d, 0)
}

func (p *Plant) showVerification(w http.ResponseWriter, r *http.Request, v *gate.Visit, d verificationPage, status int) error {
	ctx := r.Context()
	d.After, d.Named, d.Scope = p.After, p.Controls, p.scope(v.At)
	proven, _, listed, err := p.proven.get(ctx, p, 2*time.Second, p.findProven)
	if err != nil {
		return err
	}
	var done bool
	if d.Waiting, done, err = p.list(w, r, v, p.waitingTable(v), func(q web.Query) ([]web.Row, error) { return p.waitingRows(ctx, v, q, &d) }); err != nil || done {
		return err
	}
	d.Listed = listed
	if d.Results, done, err = p.list(w, r, v, resultsTable(), func(web.Query) ([]web.Row, error) { return resultRows(proven), nil }); err != nil || done {
		return err
	}
	runs, err := p.Store.Runs(ctx, v.View, shownRuns)
	if err != nil {
		return err
	}
	runs = slices.DeleteFunc(runs, func(r exposure.Run) bool { return r.Options["source"] != string(exposure.Verification) })
	pause, err := p.paused(r)
	if err != nil {
		return err
	}
	if d.Runs, err = p.far(ctx, runs[:min(10, len(runs))], pause != nil); err != nil {
		return err
	}
	if d.Known, d.KnownAt, d.Computed, err = p.known.get(ctx, p, controlsAge, p.findControls); err != nil {
		return err
	}
	if p.Orders != nil {
		d.Orders = len(p.Orders("verify"))
	}
	return p.site.Page(w, r, v, "verification", d, web.Show{Status: status})
}

// findProven gathers what verifications came to lately, the newest first.
func (p *Plant) findProven(ctx context.Context, _ []exposure.Transition) ([]exposure.Transition, error) {
	var all []exposure.Transition
	for t, err := range p.Store.TransitionsSince(ctx, p.own(), p.Now().Add(-resultsOf)) {
		if err != nil {
			return nil, err
		}
		if !proves(&t) {
			continue
		}
		if all = append(all, t); len(all) > 4*shownSteps { // they come the oldest first
			all = slices.Delete(all, 0, 2*shownSteps)
		}
	}
	slices.Reverse(all)
	return all[:min(len(all), shownSteps)], nil
}

// proves reports whether a step is what a verification comes to.
func proves(t *exposure.Transition) bool {
	if t.Axis != exposure.AxisCondition {
		return false
	}
	switch exposure.Condition(t.To) {
	case exposure.OneClean, exposure.Fixed, exposure.Filtered:
		return true
	case exposure.Confirmed:
		return t.From == string(exposure.OneClean) || t.From == string(exposure.Fixed) || t.From == string(exposure.Filtered)
	}
	return false
}

// waitingCases are those that a verification would look at, and those that wait
// for the time of their second probe.
func (p *Plant) waitingCases(ctx context.Context, v *gate.Visit) (all []waitingCase, more bool, err error) {
	clean := store.Work()
	clean.Conditions = []exposure.Condition{exposure.OneClean}
	clean.Limit = shownCases + 1
	for e, err := range p.Store.Exposures(ctx, v.View, clean) {
		if err != nil {
			return nil, false, err
		}
		c := waitingCase{Exposure: e, Why: "clean"}
		if !e.ClearedAt.IsZero() {
			c.From = e.ClearedAt.Add(p.After)
		}
		c.Ready = verify.Due(&e, v.At, p.After)
		all = append(all, c)
	}
	if more = len(all) > shownCases; more {
		all = all[:shownCases]
	}
	due := 0
	old := func(change func(*store.Filter)) store.Filter {
		f := store.Work()
		f.Limit = shownCases + 1
		change(&f)
		return f
	}
	for _, f := range []store.Filter{
		old(func(f *store.Filter) { f.Contacts = []exposure.Contact{exposure.Claimed} }),
		old(func(f *store.Filter) { f.Conditions = []exposure.Condition{exposure.NotSeen, exposure.Reported} }),
		old(func(f *store.Filter) {
			f.Conditions, f.Before = []exposure.Condition{exposure.Confirmed}, v.At.Add(-p.After)
		}),
	} {
		for e, err := range p.Store.Exposures(ctx, v.View, f) {
			if err != nil {
				return nil, false, err
			}
			same := func(c waitingCase) bool { return c.Key == e.Key }
			if e.Condition == exposure.OneClean || !verify.Due(&e, v.At, p.After) || slices.ContainsFunc(all, same) {
				continue
			}
			if due == shownCases {
				more = true
				break
			}
			due++
			all = append(all, waitingCase{Exposure: e, Why: whyDue(&e), Ready: true})
		}
	}
	return all, more, nil
}

// whys are the reasons to look again.
var whys = []string{"clean", "claimed", "silent", "reported", "old"}

func (p *Plant) waitingTable(v *gate.Visit) *web.Table {
	t := &web.Table{
		Name: "waiting", Title: "verification.waiting", Path: "/verification", Sort: "from", Empty: "verification.none",
		Columns: []web.Column{
			{Name: "case", Text: "verification.case", Head: true, Sorts: true},
			{Name: "severity", Text: "verification.severity", Sorts: true},
			{Name: "at", Text: "verification.at", Sorts: true},
			{Name: "rule", Text: "verification.rule", Sorts: true},
			{Name: "why", Text: "verification.why", Sorts: true},
			{Name: "from", Text: "verification.from", Sorts: true},
			{Name: "seen", Text: "verification.seen", Sorts: true},
		},
		Fields: []web.Field{
			{Name: "why", Text: "verification.why", Kind: web.Many, Options: web.Choices("verification.why", whys...)},
			{Name: "severity", Text: "verification.severity", Kind: web.Many, Options: web.Choices("severity", exposure.Severities...)},
			{Name: "ready", Text: "verification.ready", Kind: web.Flag},
		},
	}
	if p.Order != nil && v.May(access.Change) {
		t.Post, t.Actions = "/verification/look", []web.Action{{Name: "look", Text: "verification.look"}}
	}
	return t
}

func (p *Plant) waitingRows(ctx context.Context, v *gate.Visit, q web.Query, d *verificationPage) ([]web.Row, error) {
	all, more, err := p.waitingCases(ctx, v)
	if err != nil {
		return nil, err
	}
	d.More = more
	var rows []web.Row
	for _, c := range all {
		if c.Why == "clean" {
			d.Clean++
		}
		if c.Ready {
			d.Ready++
		}
		if q.Narrowed() && (len(q.All("why")) > 0 && !q.Has("why", c.Why) || len(q.All("severity")) > 0 && !q.Has("severity", string(c.Severity)) || q.Get("ready") != "" && !c.Ready) {
			continue
		}
		from := web.Cell{Value: c.From}
		if c.Ready {
			from.Key = "verification.now"
		}
		rows = append(rows, web.Row{ID: c.Case(), Cells: []web.Cell{
			{Value: c.Case(), Link: "/cases/" + c.Case(), Code: true},
			{Value: c.Severity, Key: "severity." + string(c.Severity), Badge: string(c.Severity)},
			{Value: verify.DoorOf(c.Key).String(), Link: "/hosts/" + c.Addr.String(), Code: true},
			{Value: c.Rule},
			{Value: c.Why, Key: "verification.why." + c.Why},
			from,
			{Value: c.LastSeen},
		}})
	}
	return rows, nil
}

func resultsTable() *web.Table {
	return &web.Table{
		Name: "results", Title: "verification.results", Path: "/verification", Key: "r", Sort: "-at", Empty: "verification.no_results", Limit: 25,
		Columns: []web.Column{
			{Name: "at", Text: "verification.time", Sorts: true},
			{Name: "case", Text: "verification.case", Head: true, Sorts: true},
			{Name: "door", Text: "verification.at", Sorts: true},
			{Name: "before", Text: "verification.before", Sorts: true},
			{Name: "after", Text: "verification.after", Sorts: true},
			{Name: "evidence", Text: "verification.evidence", Long: true},
			{Name: "actor", Text: "verification.actor", Sorts: true, Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func resultRows(all []exposure.Transition) []web.Row {
	var rows []web.Row
	for i, t := range all {
		rows = append(rows, web.Row{ID: fmt.Sprintf("%s.%d", t.Case(), i), Cells: []web.Cell{
			{Value: t.At},
			{Value: t.Case(), Link: "/cases/" + t.Case(), Code: true},
			{Value: verify.DoorOf(t.Key).String(), Code: true},
			{Value: t.From, Key: "verification.condition." + t.From},
			{Value: t.To, Key: "verification.condition." + t.To},
			{Value: t.Evidence},
			{Value: t.Actor},
		}})
	}
	return rows
}

// whyDue names the reason in the order in which package verify asks.
func whyDue(e *exposure.Exposure) string {
	switch {
	case e.Contact == exposure.Claimed:
		return "claimed"
	case e.Condition == exposure.NotSeen, !e.SilentAt.IsZero():
		return "silent"
	case e.Condition == exposure.Reported:
		return "reported"
	}
	return "old"
}

// findControls are the hosts that a verification would take to vouch for our
// network.
func (p *Plant) findControls(ctx context.Context, _ []control) ([]control, error) {
	now := p.Now()
	f := store.Work()
	f.Conditions, f.Since = []exposure.Condition{exposure.Confirmed}, now.AddDate(0, 0, -7)
	var set *space.Set
	if s := p.scope(now); s.Usable() {
		whole, _, err := s.Set(now, nil, nil)
		if err == nil {
			set = &whole
		}
	}
	var known []exposure.Exposure
	for e, err := range p.Store.Exposures(ctx, p.own(), f) {
		if err != nil {
			return nil, err
		}
		if set != nil && !set.Contains(e.Addr) {
			continue
		}
		// Of many thousands the newest are enough.
		if known = append(known, e); len(known) >= 2000 {
			known = newest(known)
		}
	}
	byDoor := make(map[string]time.Time)
	for _, e := range known {
		byDoor[verify.DoorOf(e.Key).String()] = e.LastSeen
	}
	var all []control
	for _, door := range verify.Controls(known, nil, now, controlsShown) {
		all = append(all, control{door.String(), byDoor[door.String()]})
	}
	return all, nil
}

func newest(all []exposure.Exposure) []exposure.Exposure {
	slices.SortFunc(all, func(a, b exposure.Exposure) int { return b.LastSeen.Compare(a.LastSeen) })
	return all[:1000]
}

// lookAgain orders a verification of some cases. What is outside of the scope is
// refused here as it is at the last moment before something is sent.
func (p *Plant) lookAgain(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	names := slices.Compact(slices.Sorted(slices.Values(append(r.PostForm["case"], r.PostForm["row"]...))))
	refuse := func(err error) error {
		page := r.Clone(r.Context()) // its links lead to the page
		page.URL.Path, page.URL.RawQuery = "/verification", ""
		return p.showVerification(w, page, v, verificationPage{Mistake: err.Error()}, http.StatusUnprocessableEntity)
	}
	if r.PostFormValue("all") != "" { // all that the filter takes
		q, err := p.waitingTable(v).ReadFilter(r)
		if err != nil {
			return err
		}
		rows, err := p.waitingRows(r.Context(), v, q, &verificationPage{})
		if err != nil {
			return err
		}
		names = nil
		for _, row := range rows {
			names = append(names, row.ID)
		}
		names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	switch {
	case len(names) == 0:
		return refuse(errors.New("no case is chosen"))
	case len(names) > mostCases:
		return refuse(fmt.Errorf("%d cases are chosen: at most %d at once", len(names), mostCases))
	}
	var cases []exposure.Exposure
	for _, name := range names {
		found, err := p.Store.ExposuresNamed(r.Context(), v.View, name)
		if errors.Is(err, store.ErrNoExposure) {
			return gate.NotFound
		}
		if err != nil {
			return err
		}
		cases = append(cases, found...)
	}
	if s := p.scope(v.At); s.File != "" {
		if !s.Usable() {
			return refuse(fmt.Errorf("%s authorises nothing now", s.File))
		}
		set, _, err := s.Set(v.At, nil, nil)
		if err != nil {
			return refuse(err)
		}
		for _, e := range cases {
			if !set.Contains(e.Addr) {
				return refuse(fmt.Errorf("%s at %s is outside of %s, or excluded: nothing is asked", e.Case(), verify.DoorOf(e.Key), s.File))
			}
		}
	}
	detail := "verify " + strings.Join(names[:min(20, len(names))], " ")
	if err := p.order(r.Context(), v, "verify", names, detail); err != nil {
		return err
	}
	return gate.SeeOther(fmt.Sprintf("/verification?asked=%d", len(names)))
}
