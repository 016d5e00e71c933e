package office

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
)

// todayData is what there is to do, as the visitor may see it.
type todayData struct {
	Work     int64 // cases on which somebody should act
	Clean    int64 // looked at once and clean
	Closed   int64 // fixed or filtered
	Mine     int64 // that the visitor works on
	MineMore bool
	Who      string
	Severity []severityCount
	Staff    bool
	Changes  []change
	Hands    []needed
	Jobs     []exposure.Job
	Runs     []exposure.Run
	Waiting  int64 // messages
}

type severityCount struct {
	Severity exposure.Severity
	N        int64
	Share    int64 // of the most, in percent
}

// A change is what became of cases since yesterday.
type change struct {
	Key  string // of a text: today.KEY.one, today.KEY.other
	N    int64
	Link string
}

// A needed hand is something that waits for a person, and where.
type needed struct {
	Key    string // of a text with a number; empty: Text and Note say it
	N      int64
	Text   string
	Note   string
	Link   string
	Loud   bool
	At     time.Time
	Detail string
}

func (d *desk) today(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	x := todayData{Staff: whole(v), Who: v.Who}
	parts := []func(*http.Request, *gate.Visit, *todayData) error{d.countAll, d.countMine, d.changes, d.alarms, d.people, d.messages, d.ends, d.inputs, d.works}
	if !x.Staff {
		parts = []func(*http.Request, *gate.Visit, *todayData) error{d.countOwn}
	}
	for _, part := range parts {
		if err := part(r, v, &x); err != nil {
			return err
		}
	}
	slices.SortStableFunc(x.Hands, func(a, b needed) int {
		if a.Loud == b.Loud {
			return 0
		}
		if a.Loud {
			return -1
		}
		return 1
	})
	return d.site.Page(w, r, v, "today", x)
}

// countAll counts everything, for who may see it.
func (d *desk) countAll(r *http.Request, v *gate.Visit, x *todayData) error {
	c, err := d.counted(r.Context(), v)
	if err != nil {
		return err
	}
	by := make(map[exposure.Severity]int64)
	for _, n := range c.vitals.Exposures {
		x.count(by, n.Condition, n.Severity, n.N)
	}
	x.Severity = ranked(by)
	return nil
}

// countOwn counts the cases that the view sees, one by one: a constituent has few.
func (d *desk) countOwn(r *http.Request, v *gate.Visit, x *todayData) error {
	by := make(map[exposure.Severity]int64)
	since := v.At.Add(-24 * time.Hour)
	var fresh, closed int64
	for e, err := range d.Store.Exposures(r.Context(), v.View, store.Filter{}) {
		if err != nil {
			return err
		}
		x.count(by, e.Condition, e.Severity, 1)
		if e.FirstSeen.After(since) {
			fresh++
		}
		if e.Condition == exposure.Fixed && e.ClearedAt.After(since) {
			closed++
		}
	}
	x.Severity = ranked(by)
	x.Changes = changed(change{"new", fresh, "/cases?newer=1"}, change{"fixed", closed, "/cases?condition=fixed"})
	return nil
}

// maxMine is where counting what somebody works on stops.
const maxMine = 1000

func (d *desk) countMine(r *http.Request, v *gate.Visit, x *todayData) error {
	want := store.Desk{Filter: store.Work(), Order: store.CasesByAddr, Size: maxMine + 1}
	want.Assignee = v.Who
	for _, err := range d.Store.Cases(r.Context(), v.View, want) {
		if err != nil {
			return err
		}
		if x.Mine == maxMine {
			x.MineMore = true
			break
		}
		x.Mine++
	}
	return nil
}

// changed leaves out what did not happen.
func changed(all ...change) []change {
	return slices.DeleteFunc(all, func(c change) bool { return c.N == 0 })
}

// changes are the steps that cases took since yesterday.
func (d *desk) changes(r *http.Request, v *gate.Visit, x *todayData) error {
	c, err := d.counted(r.Context(), v)
	if err != nil {
		return err
	}
	n := make(map[string]int64)
	for _, s := range c.steps {
		switch {
		case s.Axis == exposure.AxisCondition && s.From == "":
			n["new"] += s.N
		case s.Axis == exposure.AxisCondition && s.From == s.To:
		case s.Axis == exposure.AxisCondition && slices.Contains([]exposure.Condition{exposure.Fixed, exposure.Filtered, exposure.Lapsed, exposure.NotSeen}, exposure.Condition(s.From)) &&
			(s.To == string(exposure.Confirmed) || s.To == string(exposure.Reported)):
			n["back"] += s.N
		case s.Axis == exposure.AxisCondition || s.Axis == exposure.AxisContact:
			n[s.To] += s.N
		case s.Axis == exposure.AxisVerdict && s.To != string(exposure.NoRuling):
			n["decided"] += s.N
		}
	}
	x.Changes = changed(
		change{"new", n["new"], "/cases?newer=1&sort=-seen"}, change{"back", n["back"], "/cases?condition=confirmed&sort=-seen"},
		change{"fixed", n[string(exposure.Fixed)], "/cases?condition=fixed&sort=-seen"},
		change{"filtered", n[string(exposure.Filtered)], "/cases?condition=filtered&sort=-seen"},
		change{"not_seen", n[string(exposure.NotSeen)], "/cases?condition=not_seen&sort=-seen"},
		change{"lapsed", n[string(exposure.Lapsed)], "/cases?condition=lapsed&sort=-seen"},
		change{"notified", n[string(exposure.Notified)], "/cases?contact=notified&sort=-seen"},
		change{"answered", n[string(exposure.Acknowledged)] + n[string(exposure.Claimed)], "/cases?contact=acknowledged&contact=claimed&sort=-seen"},
		change{"decided", n["decided"], "/cases?verdict=accepted&verdict=false_positive&show=all&sort=-seen"},
	)
	return nil
}

// alarmLinks lead from what an alarm is about to where the hand is needed.
var alarmLinks = []struct{ begins, link string }{
	{"job-failed scan", "/scans"},
	{"job-failed verify", "/verification"},
	{"job-failed notify", "/outreach"},
	{"job-failed ingest", "/intake"},
	{"scan", "/scans"},
	{"sensor", "/sensors"},
	{"surge", "/surges"},
	{"outbox", "/outreach"},
	{"mail", "/outreach"},
	{"bounce", "/outreach"},
	{"feed", "/intake"},
	{"parked", "/intake"},
	{"aside", "/intake"},
	{"cases", "/cases"},
	{"verify", "/verification"},
	{"job", "/settings"},
}

func (d *desk) alarms(r *http.Request, v *gate.Visit, x *todayData) error {
	alerts, err := d.Store.Alerts(r.Context(), v.View, v.At)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		if !a.Ended.IsZero() {
			continue
		}
		h := needed{Text: a.Name, Detail: a.Detail, Note: a.Step, At: a.Began, Loud: true}
		for _, l := range alarmLinks {
			if strings.HasPrefix(a.Name, l.begins) {
				h.Link = l.link
				break
			}
		}
		x.Hands = append(x.Hands, h)
	}
	pause, paused, err := d.Store.Paused(r.Context())
	if err == nil && paused {
		x.Hands = append(x.Hands, needed{Key: "today.paused", N: 1, Note: pause.Reason, At: pause.Since, Link: "/scans", Loud: true})
	}
	return err
}

// few is how many of something are counted one by one.
const few = 1000

// people are cases in which somebody outside did something, or cannot be reached.
func (d *desk) people(r *http.Request, v *gate.Visit, x *todayData) error {
	pleas, err := d.Store.Pleas(r.Context(), v.View, store.PleaOpen, few)
	if err != nil {
		return err
	}
	x.need("today.pleas", int64(len(pleas)), "/pleas", false)
	for _, c := range []struct {
		contact   exposure.Contact
		key, link string
	}{
		{exposure.Undeliverable, "today.undeliverable", "/cases?contact=undeliverable"},
		{exposure.Claimed, "today.claimed", "/cases?contact=claimed"},
	} {
		want := store.Desk{Filter: store.Work(), Order: store.CasesByAddr, Size: few}
		want.Contacts = []exposure.Contact{c.contact}
		n := int64(0)
		for _, err := range d.Store.Cases(r.Context(), v.View, want) {
			if err != nil {
				return err
			}
			n++
		}
		x.need(c.key, n, c.link, n == few)
	}
	return nil
}

// need adds a line if there is something; more says that there are more.
func (x *todayData) need(key string, n int64, link string, more bool) {
	if n == 0 {
		return
	}
	if more {
		key += "_more"
	}
	x.Hands = append(x.Hands, needed{Key: key, N: n, Link: link})
}

// messages are those that wait for a person.
func (d *desk) messages(r *http.Request, v *gate.Visit, x *todayData) error {
	counts, err := d.Store.OutboxCounts(r.Context(), v.View)
	if err != nil {
		return err
	}
	for _, c := range counts {
		n, link := int64(c.N), "/outreach?state="+string(c.State)
		switch c.State {
		case store.MessageHeld:
			x.Waiting += n
			x.need("today.held", n, link, false)
		case store.MessagePlanned, store.MessageApproved, store.MessageDeferred:
			x.Waiting += n
		case store.MessageUncertain:
			x.need("today.uncertain", n, link, false)
		case store.MessageFailed:
			x.need("today.failed", n, link, false)
		}
	}
	holds, err := d.Store.OutboxHolds(r.Context())
	for _, h := range holds {
		x.Hands = append(x.Hands, needed{Key: "today.on_hold", N: 1, Text: h.Rule, Note: h.Reason, At: h.At, Link: "/outreach"})
	}
	return err
}

// soon is how long before its end something is told of.
const soon = 14 * 24 * time.Hour

// ends are accepted risks, authorisations and keys that end soon.
func (d *desk) ends(r *http.Request, v *gate.Visit, x *todayData) error {
	accepted, err := d.Store.AcceptedUntil(r.Context(), v.At.Add(soon))
	if err != nil {
		return err
	}
	x.need("today.accepted", int64(len(accepted)), "/cases?verdict=accepted&show=all", false)
	if x.Runs, err = d.Store.Runs(r.Context(), v.View, 5); err != nil {
		return err
	}
	if len(x.Runs) > 0 {
		if last := x.Runs[0]; !last.Expires.IsZero() && last.Expires.Before(v.At.Add(soon)) {
			x.Hands = append(x.Hands, needed{Key: "today.scope", N: 1, Note: last.AuthorisedBy, At: last.Expires, Link: "/scans/" + url.PathEscape(last.ID), Loud: last.Expires.Before(v.At)})
		}
	}
	if !v.May(access.Administer) {
		return nil
	}
	keys, err := d.Store.APIKeys(r.Context(), v.View)
	n := int64(0)
	for i := range keys {
		if keys[i].Holds(v.At) && !keys[i].Expires.IsZero() && keys[i].Expires.Before(v.At.Add(soon)) {
			n++
		}
	}
	x.need("today.keys", n, "/settings", false)
	return err
}

// inputs are files and rows that could not be read.
func (d *desk) inputs(r *http.Request, v *gate.Visit, x *todayData) error {
	parked, err := d.Store.ParkedFiles(r.Context(), v.View)
	if err != nil {
		return err
	}
	x.need("today.parked", int64(len(parked)), "/intake#table-parked", false)
	asides, err := d.Store.Asides(r.Context(), v.View, few)
	if err != nil {
		return err
	}
	n := int64(0)
	for _, a := range asides {
		if a.At.After(v.At.Add(-7 * 24 * time.Hour)) {
			n++
		}
	}
	x.need("today.aside", n, "/intake#table-aside", n == few)
	return nil
}

// works are the jobs of the daemon.
func (d *desk) works(r *http.Request, v *gate.Visit, x *todayData) (err error) {
	x.Jobs, err = d.Store.Jobs(r.Context(), v.View)
	return err
}

func (x *todayData) count(by map[exposure.Severity]int64, c exposure.Condition, s exposure.Severity, n int64) {
	switch c {
	case exposure.Reported, exposure.Confirmed, exposure.NotSeen:
		x.Work += n
		by[s] += n
	case exposure.OneClean:
		x.Clean += n
	case exposure.Fixed, exposure.Filtered:
		x.Closed += n
	case exposure.Lapsed:
	}
}

// ranked are the counts of all severities, the worst first.
func ranked(by map[exposure.Severity]int64) []severityCount {
	most := int64(1)
	for _, n := range by {
		most = max(most, n)
	}
	var all []severityCount
	for _, s := range exposure.Severities {
		all = append(all, severityCount{s, by[s], 100 * by[s] / most})
	}
	slices.SortStableFunc(all, func(a, b severityCount) int { return cmp.Compare(a.Severity.Rank(), b.Severity.Rank()) })
	return all
}
