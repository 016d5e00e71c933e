package owner

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/store"
	"ippwatch/verify"
	"ippwatch/web"
)

// doorsShown bounds a page: somebody with more wants the file of the mail.
const doorsShown = 50

// A sheet is what the page shows.
type sheet struct {
	Base   string // of the addresses of the page
	Query  string // what they carry on
	Other  string // the language that can be chosen instead
	Title  string
	To     string
	Until  time.Time
	Sender advisory.Sender
	Doors  []door
	More   int
	Gone   int
	All    int // doors
	Open   int
	Once   int // that were clean once, and nothing worse
	Shut   int
	Runs   bool // a check does
	Did    string
	Wait   time.Time // until which no check is begun
	Checks bool      // can be asked for
	Least  string    // days of a plea, as inputs have them
	Most   string
	Past   []event
}

// A door is one address and port, with what is wrong there.
type door struct {
	N         int
	ID        string // of its part of the page
	Base      string
	Query     string
	Name      string // 198.51.100.10:631/tcp
	Addr      string
	Port      uint16
	Transport string
	Hostname  string
	State     string // key of a text
	Open      bool
	Severity  exposure.Severity
	First     time.Time
	Last      time.Time
	Simulated bool
	Rules     []finding
	Model     string
	System    System
	Commands  []string
	Remedies  []remedy
	Check     *store.Check
	Outcome   string // of the check; "" while it runs
	Runs      bool
	Pleas     []store.Plea
	Accepted  time.Time // until when the risk is accepted
	Checks    bool
	Browsed   bool // the hole of September 2024
	Unfolded  bool // from the start: the first, and what was just looked at
}

// A finding is one case in plain words.
type finding struct {
	Rule     string
	Case     string
	Severity exposure.Severity
	Evidence string
	State    string
}

// A remedy is what a rule says to somebody who knows about it.
type remedy struct{ Title, About, Remedy string }

// An event is one line of what happened.
type event struct {
	At   time.Time
	What string // key of a text
	Door string
}

func (d *desk) page(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.come(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	if c.OptedOut {
		return d.stopped(w, r, v, c)
	}
	return d.show(w, r, v, c, sheet{Did: did(r)}, 0)
}

// dids are what the page may be told of what was done a moment ago.
var dids = []string{"accept", "not-mine", "withdraw", "resume"}

func did(r *http.Request) string {
	if what := r.URL.Query().Get("did"); slices.Contains(dids, what) {
		return what
	}
	return ""
}

// show shows the page; s has what only the caller knows.
func (d *desk) show(w http.ResponseWriter, r *http.Request, v *gate.Visit, c *call, s sheet, status int) error {
	ctx := r.Context()
	lang := d.site.Language(r, v)
	s.Base, s.Query, s.Other = outreach.PagePath+c.Token, query(r), map[string]string{"en": "de", "de": "en"}[lang]
	s.Title, s.To, s.Until, s.Sender, s.Gone = clip(c.Title, 100), c.To.Address, c.Link.Expires, d.Sender, c.Gone
	s.Checks = d.Check != nil && d.Limits.All > 0
	s.Least, s.Most = v.At.AddDate(0, 0, 1).Format(time.DateOnly), v.At.AddDate(longest, 0, 0).Format(time.DateOnly)
	doors, err := d.doors(ctx, c, lang)
	if err != nil {
		return err
	}
	for i := range doors {
		doors[i].Base, doors[i].Query, doors[i].Checks = s.Base, s.Query, s.Checks
		doors[i].Unfolded = i == 0 || doors[i].Check != nil
		s.Runs = s.Runs || doors[i].Runs
		switch {
		case doors[i].Open:
			s.Open++
		case doors[i].State == "clean_once":
			s.Once++
		default:
			s.Shut++
		}
	}
	if s.Past, err = d.past(ctx, c); err != nil {
		return err
	}
	s.All, s.More = len(doors), max(0, len(doors)-doorsShown)
	s.Doors = doors[:len(doors)-s.More]
	return d.site.Page(w, r, v, "owner", s, web.Show{Status: status})
}

func query(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); lang == "en" || lang == "de" {
		return "?lang=" + lang
	}
	return ""
}

// doors gathers the cases of a call by where they are; those that are open first.
func (d *desk) doors(ctx context.Context, c *call, lang string) ([]door, error) {
	checks, err := d.Store.ChecksOf(ctx, d.view(), c.Link.ID, 500)
	if err != nil {
		return nil, err
	}
	pleas, err := d.Store.PleasAt(ctx, d.view(), addrs(c))
	if err != nil {
		return nil, err
	}
	var all []door
	group := make(map[string][]outreach.Own)
	var names []string
	for _, o := range sorted(c.Cases) {
		name := verify.DoorOf(o.Key).String()
		if group[name] == nil {
			names = append(names, name)
		}
		group[name] = append(group[name], o)
	}
	for i, name := range names {
		one, err := d.door(ctx, group[name], lang)
		if err != nil {
			return nil, err
		}
		one.N, one.Name, one.ID = i+1, name, anchor(name)
		for j := range checks {
			k := &checks[j]
			if verify.DoorOf(exposure.Key{Addr: k.Addr, Port: k.Port, Transport: k.Transport}).String() == name {
				one.Check, one.Runs, one.Outcome = k, k.Runs(d.Now()), outcomeOf(k, d.Now())
				break
			}
		}
		for _, p := range pleas {
			mine := p.Contact == c.Link.Contact && p.Constituent == c.Link.Constituent
			if mine && slices.ContainsFunc(group[name], func(o outreach.Own) bool { return o.Key == p.Key }) && !told(one.Pleas, p) {
				one.Pleas = append(one.Pleas, p)
			}
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b door) int {
		if a.Open != b.Open {
			return map[bool]int{true: -1, false: 1}[a.Open]
		}
		return a.Severity.Rank() - b.Severity.Rank()
	})
	return all, nil
}

// anchor names the part of the page that a door has.
func anchor(door string) string {
	return "door-" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, door)
}

// told reports whether there is a newer plea of the kind: one of each is shown for
// a door.
func told(all []store.Plea, p store.Plea) bool {
	return slices.ContainsFunc(all, func(o store.Plea) bool { return o.Kind == p.Kind })
}

func addrs(c *call) []netip.Addr {
	var all []netip.Addr
	for _, o := range c.Cases {
		if !slices.Contains(all, o.Addr) {
			all = append(all, o.Addr)
		}
	}
	return all
}

// outcomeOf is what a check came to; one that was killed came to nothing.
func outcomeOf(c *store.Check, now time.Time) string {
	switch {
	case c.Runs(now):
		return ""
	case c.Outcome == "":
		return "lost"
	}
	return c.Outcome
}

// door puts the cases of one door together.
func (d *desk) door(ctx context.Context, cases []outreach.Own, lang string) (door, error) {
	e := &cases[0]
	one := door{
		Addr: e.Addr.Unmap().String(), Port: e.Port, Transport: string(e.Transport), Hostname: clip(e.Where.Hostname, 100),
		State: state(cases), First: e.FirstSeen, Last: e.LastSeen, System: Unknown,
	}
	var rules []string
	var newest *outreach.Own
	for i := range cases {
		o := &cases[i]
		one.Severity = worst(one.Severity, o.Severity)
		one.Open = one.Open || pressing(o)
		one.Simulated = one.Simulated || o.Simulated
		one.Browsed = one.Browsed || slices.Contains(browsedRules, o.Rule)
		if o.Ruling == exposure.Accepted {
			one.Accepted = o.RuledUntil
		}
		if o.FirstSeen.Before(one.First) {
			one.First = o.FirstSeen
		}
		if o.LastSeen.After(one.Last) {
			one.Last = o.LastSeen
		}
		if newest == nil || o.LastSeen.After(newest.LastSeen) {
			newest = o
		}
		rules = append(rules, o.Rule)
		one.Rules = append(one.Rules, finding{Rule: o.Rule, Case: o.Case(), Severity: o.Severity, Evidence: clip(o.Evidence, 300), State: state(cases[i : i+1])})
		l := advisory.Speak(lang)
		title, fix := d.Texts.Rule(l, advisory.Owner, o.Rule)
		one.Remedies = append(one.Remedies, remedy{title, d.Texts.About(l, o.Rule), fix})
	}
	seen, ok, err := d.Observed(ctx, newest.View, newest.Exposure)
	if err != nil {
		return one, err
	}
	if ok {
		one.System, one.Model = SystemOf(&seen), model(&seen)
	}
	one.Commands = Commands(one.System, rules, e.Port)
	return one, nil
}

// pressing reports whether the owner has something to do. What a look with a
// control found closed is looked at once more by us, and by nobody else.
func pressing(o *outreach.Own) bool {
	return o.Condition.Open() && o.Ruling == exposure.NoRuling && (o.Condition != exposure.OneClean || o.ClearedAt.IsZero())
}

// state is the word for the worst of some cases at one door.
func state(cases []outreach.Own) string {
	rank := []string{"open", "reported", "unproven", "silent", "clean_once", "filtered", "lapsed", "accepted", "dismissed", "fixed"}
	at := len(rank) - 1
	for _, o := range cases {
		var word string
		switch {
		case o.Ruling == exposure.Accepted:
			word = "accepted"
		case o.Ruling == exposure.FalsePositive:
			word = "dismissed"
		case o.Condition == exposure.Confirmed:
			word = "open"
		case o.Condition == exposure.OneClean && o.ClearedAt.IsZero():
			word = "unproven"
		case o.Condition == exposure.OneClean:
			word = "clean_once"
		case o.Condition == exposure.NotSeen:
			word = "silent"
		default:
			word = string(o.Condition) // reported, filtered, lapsed, fixed
		}
		if i := slices.Index(rank, word); i >= 0 && i < at {
			at = i
		}
	}
	return rank[at]
}

// pastShown is how many lines of what happened are shown.
const pastShown = 30

// past tells what happened, in words of ours: the evidence of a step may name
// other people's hosts.
func (d *desk) past(ctx context.Context, c *call) ([]event, error) {
	var all []event
	for _, o := range c.Cases {
		name := verify.DoorOf(o.Key).String()
		for t, err := range d.Store.Transitions(ctx, o.View, store.Span{Key: o.Key}) {
			if err != nil {
				return nil, err
			}
			what := ""
			switch t.Axis {
			case exposure.AxisCondition:
				what = "condition." + t.To
			case exposure.AxisVerdict:
				what = "verdict." + t.To
			case exposure.AxisContact:
				if t.To == string(exposure.Notified) {
					what = "notified"
				}
			}
			if one := (event{t.At.Truncate(time.Minute), what, name}); what != "" && !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	slices.Reverse(all) // the steps of one minute, too, stand with the last first
	slices.SortStableFunc(all, func(a, b event) int { return b.At.Compare(a.At) })
	return all[:min(len(all), pastShown)], nil
}
