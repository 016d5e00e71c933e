package outreach

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/store"
	"ippwatch/tally"
)

// Why an exposure is not told of, in a word. The words are stable: they stand
// in JSON and in the metrics of the daemon.
const (
	Ruled      = "verdict"
	Unproven   = "condition" // our last look did not see it
	Simulated  = "simulated"
	Nobody     = "nobody"  // answers for it
	NoRule     = "no_rule" // is about it
	OnHold     = "on_hold"
	TooNew     = "too_new"
	InOutbox   = "in_outbox" // a message about it waits to be sent
	Approval   = "waiting_for_approval"
	Uncertain  = "uncertain" // whether the last message arrived, and a person must say
	Answered   = "answered"
	MaxMails   = "at_most"
	LadderEnd  = "end_of_ladder"
	NotYet     = "not_yet" // the next rung's day has not come
	NoContact  = "no_contact"
	OptedOut   = "opted_out"
	HeldOut    = "held_out"
	InInterval = "in_interval"
	OffHours   = "outside_hours"
	Called     = "cancelled" // by a person, today
)

// A Silence is an exposure that gets no message, and why.
type Silence struct {
	exposure.Key
	Case        string            `json:"case"`
	Severity    exposure.Severity `json:"severity"`
	Constituent string            `json:"constituent,omitempty"`
	Rule        string            `json:"by_rule,omitempty"`
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	Until       time.Time         `json:"until,omitzero"` // when it may be another
}

// A Situation is all that a plan hangs on, beside the cases.
type Situation struct {
	Now   time.Time
	Run   string // the name of the run that is planned
	Rules *Rules
	// Who returns those that answer for an exposure, who is nearest first, with
	// their contacts and what is known of them.
	Who      func(e *exposure.Exposure) ([]Party, error)
	Contacts []store.LastContact
	Holds    []store.OutboxHold
	Usual    []int // messages on each of the last days that had any
}

// A Plan is what is to be sent, and why the rest is not.
type Plan struct {
	Run      string          `json:"run"`
	At       time.Time       `json:"at"`
	Messages []store.Message `json:"messages"`
	Silences []Silence       `json:"silences"`
	// Approval says why the run waits for a person; empty if it does not.
	Approval string `json:"approval,omitempty"`
}

// Make plans the messages for the cases, which come in the order of their keys.
// It reads nothing but its arguments: the same situation makes the same plan,
// down to the send keys.
func Make(s Situation, cases iter.Seq2[Case, error]) (Plan, error) {
	policies, err := s.Rules.policies()
	if err != nil {
		return Plan{}, err
	}
	p := planner{Situation: s, policies: policies, groups: make(map[group]int), last: make(map[group]store.LastContact, len(s.Contacts))}
	for _, c := range s.Contacts {
		p.last[group{c.Recipient, c.Constituent}] = c
	}
	plan := Plan{Run: s.Run, At: s.Now, Messages: []store.Message{}, Silences: []Silence{}}
	for c, err := range cases {
		if err != nil {
			return Plan{}, err
		}
		pick, silence, err := p.decide(&c)
		switch {
		case err != nil:
			return Plan{}, err
		case pick != nil:
			p.add(&plan, &c, pick)
		case silence != nil:
			silence.Key, silence.Case, silence.Severity = c.Key, c.Case(), c.Severity
			plan.Silences = append(plan.Silences, *silence)
		}
	}
	p.finish(&plan)
	return plan, nil
}

// A group is what one message is for: a recipient as the contact of one
// constituent.
type group struct{ recipient, constituent string }

type planner struct {
	Situation
	policies []policy
	last     map[group]store.LastContact
	groups   map[group]int // of Plan.Messages
}

// A pick is who is told of a case.
type pick struct {
	policy *policy
	party  *Party
	to     exposure.Recipient
	rung   int
	kind   string
	why    string
	former []string // ids of messages about it, the oldest first
}

// decide says who is told of the case, or why nobody is.
func (p *planner) decide(c *Case) (*pick, *Silence, error) {
	if c.Simulated && !p.Rules.Simulated {
		return nil, silent(Simulated, "the host says of itself that it is simulated"), nil
	}
	if !c.Condition.Open() {
		return p.thank(c)
	}
	if s := p.untold(c); s != nil {
		return nil, s, nil
	}
	parties, err := p.Who(&c.Exposure)
	if err != nil {
		return nil, nil, err
	}
	parties = c.without(parties)
	if len(parties) == 0 && len(c.NotOf) > 0 {
		return nil, silent(Nobody, "it is not of %s, and nobody else answers for the address", strings.Join(c.NotOf, ", ")), nil
	}
	if len(parties) == 0 {
		return nil, silent(Nobody, "nobody answers for the address"), nil
	}
	rule := p.rule(c, parties)
	if rule == nil {
		s := silent(NoRule, "no rule is about it")
		s.Constituent = parties[0].Name
		return nil, s, nil
	}
	parties = rule.takes(parties)
	past := own(c.Past, &parties[0])
	one, s := p.climb(c, rule, parties, past)
	if s != nil {
		s.Constituent, s.Rule = parties[0].Name, rule.Name
	}
	return one, s, nil
}

// without drops those of whom the case is not, as they said and one of us agreed,
// with what they were told and have answered: whoever else answers for it begins
// at the first rung.
func (c *Case) without(parties []Party) []Party {
	if len(c.NotOf) == 0 {
		return parties
	}
	c.Past = slices.DeleteFunc(slices.Clone(c.Past), func(d store.Delivery) bool { return slices.Contains(c.NotOf, d.Constituent) })
	if !c.Answered.After(c.NotSince) {
		c.Answered = time.Time{}
	}
	return slices.DeleteFunc(parties, func(p Party) bool { return slices.Contains(c.NotOf, p.Name) })
}

func silent(reason, format string, args ...any) *Silence {
	return &Silence{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// untold says why an open exposure is told to nobody, whoever that is.
func (p *planner) untold(c *Case) *Silence {
	switch c.Ruling {
	case exposure.Accepted:
		s := silent(Ruled, "%s accepted the risk: %s", c.RuledBy, c.RuledWhy)
		s.Until = c.RuledUntil
		return s
	case exposure.FalsePositive:
		return silent(Ruled, "%s says that it is none: %s", c.RuledBy, c.RuledWhy)
	}
	switch c.Condition {
	case exposure.OneClean:
		if c.ClearedAt.IsZero() { // perhaps our own network refuses
			return silent(Unproven, "a probe found it closed, and nothing else answered in its run, so that it counts for no proof: verify it with --control")
		}
		return silent(Unproven, "one probe found it closed; it is told of when the next sees it")
	case exposure.NotSeen:
		return silent(Unproven, "the last scan met silence; it is told of when it is seen again")
	}
	return nil
}

// rule returns the first that is about the case.
func (p *planner) rule(c *Case, parties []Party) *policy {
	for i := range p.policies {
		if p.policies[i].fits(&c.Exposure, parties) {
			return &p.policies[i]
		}
	}
	return nil
}

// own drops what was sent to those who had the address before: a new customer
// was told nothing yet.
func own(past []store.Delivery, nearest *Party) []store.Delivery {
	if nearest.By != ByLease {
		return past
	}
	return slices.DeleteFunc(slices.Clone(past), func(d store.Delivery) bool { return d.Planned.Before(nearest.Window.From) })
}

// climb finds the rung that is due, and who stands on it.
func (p *planner) climb(c *Case, rule *policy, parties []Party, past []store.Delivery) (*pick, *Silence) {
	if s := p.waits(c, rule, past); s != nil {
		return nil, s
	}
	var told []store.Delivery
	for _, d := range past {
		if d.State.Told() && d.Kind != advisoryFixed {
			told = append(told, d)
		}
	}
	rung := 0
	if len(told) > 0 {
		first, last := told[0], told[len(told)-1]
		for _, d := range told {
			rung = max(rung, d.Rung+1)
		}
		switch {
		case len(told) >= p.Rules.MaxMails:
			return nil, silent(MaxMails, "%d messages were sent, the last %s", len(told), p.day(rule, last.Ended))
		case rung >= len(rule.Ladder):
			return nil, silent(LadderEnd, "everybody on the ladder was told, the last %s", p.day(rule, last.Ended))
		}
		// By the calendar, as the intervals.
		t := first.Ended.In(rule.zone)
		due := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, rule.zone).Add(time.Duration(rule.Ladder[rung].After))
		if p.Now.Before(due) {
			s := silent(NotYet, "told %s (%s); the next contact is told after %s", p.day(rule, last.Ended), last.Message, rule.Ladder[rung].After)
			s.Until = due
			return nil, s
		}
	} else if s := p.heldOut(c, parties); s != nil {
		return nil, s
	}
	one, s := p.choose(rule, parties, past, rung)
	if s != nil {
		return nil, s
	}
	for _, d := range told {
		one.former = append(one.former, d.Message)
	}
	return p.moment(one)
}

// waits says what holds the case up before anybody is chosen.
func (p *planner) waits(c *Case, rule *policy, past []store.Delivery) *Silence {
	if rule.Hold {
		return silent(OnHold, "rule %s is on hold in the configuration", rule.Name)
	}
	for _, h := range p.Holds {
		if h.Rule == "" || h.Rule == rule.Name {
			return silent(OnHold, "%s", holdText(h))
		}
	}
	if old := c.FirstSeen.Add(time.Duration(rule.MinAge)); p.Now.Before(old) {
		s := silent(TooNew, "seen first %s ago; rule %s waits for %s", Span(p.Now.Sub(c.FirstSeen).Round(time.Minute)), rule.Name, rule.MinAge)
		s.Until = old
		return s
	}
	today := p.Now.In(rule.zone).Format(time.DateOnly)
	for _, d := range past {
		switch {
		case d.State == store.MessageHeld:
			return silent(Approval, "message %s of run %s waits for approval: %s", d.Message, d.Run, d.Reason)
		case d.State.Open():
			s := silent(InOutbox, "message %s is %s", d.Message, d.State)
			if d.Reason != "" {
				s.Detail += ": " + d.Reason
			}
			s.Until = d.Next
			return s
		case d.State == store.MessageCancelled && d.Day == today && !strings.HasPrefix(d.Reason, stale):
			return silent(Called, "message %s was cancelled today: %s", d.Message, d.Reason)
		}
	}
	answered := c.Contact == exposure.Acknowledged || c.Contact == exposure.Claimed
	if until := c.Answered.Add(time.Duration(p.Rules.Patience)); answered && p.Now.Before(until) {
		s := silent(Answered, "%s %s", c.Contact, p.day(rule, c.Answered))
		s.Until = until
		return s
	}
	return nil
}

func holdText(h store.OutboxHold) string {
	what := "rule " + h.Rule
	if h.Rule == "" {
		what = "everything"
	}
	text := h.Who + " holds " + what
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

func (p *planner) heldOut(c *Case, parties []Party) *Silence {
	h := p.Rules.Holdout
	if h.Percent == 0 || p.Rules.HoldoutExempt != "" && c.Severity.AtLeast(p.Rules.HoldoutExempt) {
		return nil
	}
	if h.Arm(c.Key, parties[0].Name) != tally.Held {
		return nil
	}
	return silent(HeldOut, "of the control group of %g %%", float64(h.Percent))
}

// choose finds a contact for the rung that was not told yet.
func (p *planner) choose(rule *policy, parties []Party, past []store.Delivery, rung int) (*pick, *Silence) {
	tried := make(map[string]string)
	for _, d := range past {
		switch {
		case d.State.Told():
			tried[d.Recipient] = "was told " + p.day(rule, d.Ended)
		case d.State == store.MessageFailed, d.State == store.MessageBounced:
			tried[d.Recipient] = "was not reached (" + d.Message + ": " + d.Reason + ")"
		}
	}
	var not []string
	code := NoContact
	seen := make(map[string]bool)
	for _, way := range ways(parties, rule.Ladder[rung].Roles, rung) {
		for _, r := range ranked(way.party, way.role, rung) {
			key := r.Key()
			if seen[key+" "+way.party.Name] {
				continue
			}
			seen[key+" "+way.party.Name] = true
			ok, why, text := rule.usable(r)
			if before, again := tried[key]; again {
				ok, why, text = false, NoContact, before
			}
			if ok {
				return &pick{policy: rule, party: way.party, to: r, rung: rung, why: explain(way.party, r, way.role, rung, not)}, nil
			}
			if why == OptedOut {
				code = why
			}
			not = append(not, r.Address+" "+text)
		}
	}
	if len(not) == 0 {
		return nil, silent(NoContact, "%s has no contact for rung %d (%s)", parties[0].Name, rung+1, strings.Join(rule.Ladder[rung].Roles, ", "))
	}
	return nil, silent(code, "%s", strings.Join(not, "; "))
}

// A way to a contact: a role at a party.
type way struct {
	party *Party
	role  string
}

// ways returns the ways in the order in which they are tried. At first whoever
// is nearest counts, whatever the role; later it is the role that has not acted
// yet, and then who is nearest.
func ways(parties []Party, roles []string, rung int) []way {
	var all []way
	for i := range parties {
		for _, role := range roles {
			all = append(all, way{&parties[i], role})
		}
	}
	if rung > 0 {
		slices.SortStableFunc(all, func(a, b way) int { return cmp.Compare(slices.Index(roles, a.role), slices.Index(roles, b.role)) })
	}
	return all
}

// ranked returns the contacts of a party that a role of the ladder stands for.
// Those above a country are asked at first only when nobody nearer is there:
// later they are asked by their name.
func ranked(party *Party, role string, rung int) []exposure.Recipient {
	var list []exposure.Recipient
	for _, r := range party.Contacts {
		above := party.By == ByCountry || r.Role == roleCERT || r.Role == "csirt" || r.Source == exposure.NationalCSIRT
		switch {
		case role == roleOther && (!above || rung == 0), role == roleCERT && above, role != roleOther && r.Role == role:
			list = append(list, r)
		}
	}
	if role == roleOther { // whoever can do something, before whoever can order it
		slices.SortStableFunc(list, func(a, b exposure.Recipient) int {
			return cmp.Compare(b2i(a.Role == "management"), b2i(b.Role == "management"))
		})
	}
	return list
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// explain says in a sentence why the contact was chosen.
func explain(party *Party, r exposure.Recipient, role string, rung int, not []string) string {
	as := "contact"
	if r.Role != "" {
		as = r.Role + " contact"
	}
	text := fmt.Sprintf("%s of %s (by %s, known from %s), for rung %d as %q", as, party.Name, party.By, r.Source, rung+1, role)
	if len(not) > 0 {
		text += "; before it: " + strings.Join(not, "; ")
	}
	return text
}

// moment says whether now is the time for the contact.
func (p *planner) moment(one *pick) (*pick, *Silence) {
	last := p.last[group{one.to.Key(), one.party.Name}]
	if last.Open != "" {
		return nil, silent(InOutbox, "%s waits for message %s", one.to.Address, last.Open)
	}
	if !last.At.IsZero() {
		if next := one.policy.again(last.At, one.to); p.Now.Before(next) {
			s := silent(InInterval, "%s was written to %s", one.to.Address, p.day(one.policy, last.At))
			s.Until = next
			return nil, s
		}
	}
	if open := one.policy.opens(p.Now, one.to); open.After(p.Now) {
		s := silent(OffHours, "%s is written to on %s", one.to.Address, one.policy.times(one.to))
		s.Until = open
		return nil, s
	}
	return one, nil
}

// times says in words when the contact may be written to.
func (p *policy) times(r exposure.Recipient) string {
	text := "all days"
	if p.business || r.BusinessDays {
		text = "business days"
	}
	if p.Hours != (Hours{}) {
		text += ", " + p.Hours.String()
	}
	return text + " " + p.zone.String()
}

func (p *planner) day(rule *policy, t time.Time) string { return t.In(rule.zone).Format(time.DateOnly) }

// thank says who is told that a hole is closed: those who were told of it.
func (p *planner) thank(c *Case) (*pick, *Silence, error) {
	if c.Condition != exposure.Fixed || c.Ruling != exposure.NoRuling || len(c.Past) == 0 {
		return nil, nil, nil
	}
	var to store.Delivery
	for _, d := range c.Past {
		switch {
		case d.Kind == advisoryFixed:
			return nil, nil, nil
		case d.State.Told() && !slices.Contains(c.NotOf, d.Constituent):
			to = d
		}
	}
	if to.Message == "" || p.Now.Sub(to.Ended) > 2*365*24*time.Hour {
		return nil, nil, nil
	}
	parties, err := p.Who(&c.Exposure)
	if err != nil || len(parties) == 0 {
		return nil, nil, err
	}
	rule := p.rule(c, parties)
	if rule == nil || !rule.Thanks || p.waits(c, rule, nil) != nil {
		return nil, nil, nil
	}
	for i := range parties {
		for _, r := range parties[i].Contacts {
			if ok, _, _ := rule.usable(r); !ok || r.Key() != to.Recipient || parties[i].Name != to.Constituent {
				continue
			}
			one := &pick{
				policy: rule, party: &parties[i], to: r, rung: to.Rung, kind: advisoryFixed, former: []string{to.Message},
				why: "was told of it (" + to.Message + "), and it is verified that it is closed",
			}
			one, _ = p.moment(one) // a day later is soon enough
			return one, nil, nil
		}
	}
	return nil, nil, nil
}

// add puts the case into the message for the one who is told.
func (p *planner) add(plan *Plan, c *Case, one *pick) {
	g := group{one.to.Key(), one.party.Name}
	if one.kind != "" {
		g.constituent += "\x00" + one.kind
	}
	i, ok := p.groups[g]
	if !ok {
		i = len(plan.Messages)
		p.groups[g] = i
		plan.Messages = append(plan.Messages, store.Message{
			Run: p.Run, Kind: one.kind, Rule: one.policy.Name, Constituent: one.party.Name, To: one.to,
			Language: one.policy.language(one.party.Constituent, one.to), Template: one.policy.Template, Forms: or(one.to.Format, one.policy.Forms),
			Why: one.why, Day: p.day(one.policy, p.Now), Planned: p.Now, Next: p.Now, State: store.MessagePlanned,
		})
	}
	m := &plan.Messages[i]
	if lead := p.position(m.Rule); one.policy.position < lead {
		m.Rule, m.Template, m.Forms, m.Why = one.policy.Name, one.policy.Template, or(one.to.Format, one.policy.Forms), one.why
	}
	m.Exposures = append(m.Exposures, store.Item{Key: c.Key, Cycle: c.Cycle, Rung: one.rung, By: one.policy.Name, Severity: c.Severity})
	for _, id := range one.former {
		if !slices.Contains(m.InReplyTo, id) && len(m.InReplyTo) < 20 {
			m.InReplyTo = append(m.InReplyTo, id)
		}
	}
}

func (p *planner) position(name string) int {
	for i := range p.policies {
		if p.policies[i].Name == name {
			return i
		}
	}
	return len(p.policies)
}

// finish gives the messages their kinds and names, and looks at how many they
// are. A recipient gets one message a day: thanks wait when there is bad news.
func (p *planner) finish(plan *Plan) {
	kept := plan.Messages[:0]
	for _, m := range plan.Messages {
		if _, bad := p.groups[group{m.To.Key(), m.Constituent}]; m.Kind == advisoryFixed && bad {
			continue
		}
		if m.Kind == "" {
			m.Kind = occasion(m.Exposures)
		}
		m.Key = sendKey(&m)
		m.ID = messageID(m.Key)
		kept = append(kept, m)
	}
	plan.Messages = kept
	slices.SortStableFunc(plan.Messages, func(a, b store.Message) int {
		return cmp.Or(strings.Compare(a.Constituent, b.Constituent), strings.Compare(a.To.Key(), b.To.Key()), strings.Compare(a.Kind, b.Kind))
	})
	plan.Approval = p.approval(len(plan.Messages))
}

// The kinds of a message are those of package advisory.
const (
	advisoryFirst      = "first"
	advisoryReminder   = "reminder"
	advisoryEscalation = "escalation"
	advisoryFixed      = "fixed"
)

// occasion is the kind of a message: it reminds only if there is nothing in it
// of which nobody was told.
func occasion(items []store.Item) string {
	least := items[0].Rung
	for _, i := range items {
		least = min(least, i.Rung)
	}
	switch least {
	case 0:
		return advisoryFirst
	case 1:
		return advisoryReminder
	}
	return advisoryEscalation
}

// Of fewer days or messages than these, nothing is usual.
const (
	usualDays = 5
	usualLow  = 10
)

// approval says why so many messages wait for a person.
func (p *planner) approval(n int) string {
	if n > p.Rules.Limits.Messages {
		return fmt.Sprintf("%d messages, and the limit is %d", n, p.Rules.Limits.Messages)
	}
	if len(p.Usual) < usualDays || n <= usualLow {
		return ""
	}
	sorted := slices.Sorted(slices.Values(p.Usual))
	median := float64(sorted[len(sorted)/2])
	if even := len(sorted)%2 == 0; even {
		median = float64(sorted[len(sorted)/2-1]+sorted[len(sorted)/2]) / 2
	}
	if float64(n) <= p.Rules.Limits.Surge*median {
		return ""
	}
	return fmt.Sprintf("%d messages, more than %g times the usual %g", n, p.Rules.Limits.Surge, median)
}

// stale begins the reason of a message that was dropped because what it would
// have said is not so any more; the next plan says what is.
const stale = "out of date: "
