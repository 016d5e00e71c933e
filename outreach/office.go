package outreach

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/report"
	"ippwatch/store"
	"ippwatch/track"
)

// A Tracker makes cases take steps; track.Tracker is one.
type Tracker interface {
	Take(ctx context.Context, keys []exposure.Key, o track.Order) ([]exposure.Exposure, error)
}

// Texts writes mails; advisory.Texts is one.
type Texts interface {
	Mail(n advisory.Notice) (advisory.Mail, error)
	Link(n advisory.LinkNotice) (advisory.Mail, error)
}

// An Office plans and sends. The fields up to Now are needed for planning, those
// behind it for what they say; New is inert.
type Office struct {
	Store   *store.Store
	Tracker Tracker
	Rules   *Rules
	// Directory are the constituents with their contacts and what is known of
	// them.
	Directory *people.Directory
	// Statuses tell of contacts that opted out or do not work, by their key: of
	// those that were looked up the directory knows nothing.
	Statuses []store.Status
	View     access.View // of the operator
	Now      func() time.Time

	// Texts returns the texts of a directory, "" for those that come along, and a
	// name for the version.
	Texts func(dir string) (t Texts, version string, err error)
	// Observe returns what was seen of an exposure last, as far as the view may
	// see it, for the files of a mail.
	Observe func(ctx context.Context, v access.View, e exposure.Exposure) (report.Row, bool, error)
	Writer  *notify.Writer
	Mailer  *notify.Mailer
	// Pages are where contacts look at their own cases; the zero Pages are none.
	Pages Pages
	// Mark writes down what is known of a contact now: store.OptOut, store.Invalid.
	Mark func(ctx context.Context, address, status, reason, source string) error

	customers map[string]exposure.Constituent // the directory by name
	marks     map[string][]store.Status       // the statuses by contact

	step func(name string) // told of each step, by tests that kill it there
}

// LockName is the lock of who plans, sends or reads replies.
const LockName = "outreach"

func (o *Office) at(step string) {
	if o.step != nil {
		o.step(step)
	}
}

// some is how many exposures are looked at together.
const some = 500

// Plan plans what would be sent now. It changes nothing.
func (o *Office) Plan(ctx context.Context) (Plan, error) {
	now := o.Now()
	s := Situation{Now: now, Run: fmt.Sprintf("%s-%06x", now.UTC().Format("20060102T150405Z"), now.Nanosecond()/1000&0xffffff), Rules: o.Rules}
	var err error
	if s.Holds, err = o.Store.OutboxHolds(ctx); err != nil {
		return Plan{}, err
	}
	if s.Contacts, err = o.Store.LastContacts(ctx, now.AddDate(0, -6, 0)); err != nil {
		return Plan{}, err
	}
	if s.Usual, err = o.usual(ctx, now); err != nil {
		return Plan{}, err
	}
	r := o.roll(ctx, now)
	defer r.close()
	s.Who = func(e *exposure.Exposure) ([]Party, error) { return r.who(ctx, e) }
	return Make(s, o.cases(ctx, r))
}

// usual is how many messages were sent on each of the last 14 days that had any.
func (o *Office) usual(ctx context.Context, now time.Time) ([]int, error) {
	days, err := o.Store.SentByDay(ctx, now.AddDate(0, -3, 0))
	if err != nil {
		return nil, err
	}
	return days[:min(len(days), 14)], nil
}

// cases reads the open exposures with what was done about them and, where a rule
// thanks, those that were fixed lately.
func (o *Office) cases(ctx context.Context, r *roll) iter.Seq2[Case, error] {
	open := store.Filter{Conditions: []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen}}
	fixed := store.Filter{
		Conditions: []exposure.Condition{exposure.Fixed}, Since: o.Now().AddDate(0, -3, 0),
		Contacts: []exposure.Contact{exposure.Notified, exposure.Acknowledged, exposure.Claimed},
	}
	return func(yield func(Case, error) bool) {
		filters := []store.Filter{open}
		if slices.ContainsFunc(o.Rules.Rules, func(r Rule) bool { return r.Thanks }) {
			filters = append(filters, fixed)
		}
		for _, f := range filters {
			r.rewind()
			chunk := make([]exposure.Exposure, 0, some)
			give := func() bool {
				all, err := o.past(ctx, chunk)
				chunk = chunk[:0]
				if err != nil {
					yield(Case{}, err)
					return false
				}
				for i := range all {
					if !yield(all[i], nil) {
						return false
					}
				}
				return true
			}
			for e, err := range o.Store.Exposures(ctx, o.View, f) {
				if err != nil {
					yield(Case{}, err)
					return
				}
				if chunk = append(chunk, e); len(chunk) == some && !give() {
					return
				}
			}
			if !give() {
				return
			}
		}
	}
}

// past finds what was done about exposures in their present cycle.
func (o *Office) past(ctx context.Context, list []exposure.Exposure) ([]Case, error) {
	addrs := make([]netip.Addr, len(list))
	for i := range list {
		addrs[i] = list[i].Addr
	}
	sent, err := o.Store.Deliveries(ctx, addrs)
	if err != nil {
		return nil, err
	}
	answers, err := o.Store.Answers(ctx, addrs)
	if err != nil {
		return nil, err
	}
	pleas, err := o.Store.PleasAt(ctx, o.View, addrs)
	if err != nil {
		return nil, err
	}
	cases := make([]Case, len(list))
	at := make(map[exposure.Key]*Case, len(list))
	for i, e := range list {
		cases[i].Exposure = e
		at[e.Key] = &cases[i]
	}
	for _, d := range sent {
		if c := at[d.Key]; c != nil && d.Cycle == c.Cycle {
			c.Past = append(c.Past, d)
		}
	}
	for _, a := range answers {
		if c := at[a.Key]; c != nil && a.Cycle == c.Cycle {
			c.Answered = a.At
		}
	}
	for i := range pleas {
		if c := at[pleas[i].Key]; c != nil && disowned(&pleas[i]) {
			c.NotOf = append(c.NotOf, pleas[i].Constituent)
			if pleas[i].Decided.After(c.NotSince) {
				c.NotSince = pleas[i].Decided
			}
		}
	}
	for i := range cases {
		if c := &cases[i]; c.MovedFrom.IsValid() && c.Contact != exposure.NotContacted {
			if err := o.lineage(ctx, c); err != nil {
				return nil, err
			}
		}
	}
	return cases, nil
}

// hops bounds how far back a device that moves every day is followed.
const hops = 400

// lineage adds what was sent while the same device answered elsewhere, unless
// the hole was closed and opened again since then.
func (o *Office) lineage(ctx context.Context, c *Case) error {
	e := c.Exposure
	for range hops {
		if !e.MovedFrom.IsValid() {
			return nil
		}
		cycle, err := o.Store.PlaceCycle(ctx, e.Key, e.MovedFrom)
		if err != nil || cycle != e.Cycle {
			return err
		}
		key := e.Key
		key.Addr = e.MovedFrom
		e, err = o.Store.Exposure(ctx, o.View, key)
		if errors.Is(err, store.ErrNoExposure) {
			return nil // forgotten
		}
		if err != nil {
			return err
		}
		sent, err := o.Store.Deliveries(ctx, []netip.Addr{key.Addr})
		if err != nil {
			return err
		}
		sent = slices.DeleteFunc(sent, func(d store.Delivery) bool { return d.Key != key || d.Cycle != e.Cycle || d.State.Open() })
		c.Past = append(sent, c.Past...)
		answers, err := o.Store.Answers(ctx, []netip.Addr{key.Addr})
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.Key == key && a.Cycle == e.Cycle && a.At.After(c.Answered) {
				c.Answered = a.At
			}
		}
	}
	return nil
}

// A roll tells who answers for exposures that come in the order of addresses.
// It reads assignments beside them, one after another, so that a million cost
// no memory.
type roll struct {
	o       *Office
	now     time.Time
	lookUps bool

	next  func() (exposure.Assignment, error, bool)
	stop  func()
	ahead *exposure.Assignment
	stack []exposure.Assignment // those that may hold the present address
	last  netip.Addr
	err   error
	begin func()
}

// leased is how long an exposure may be unseen before it lapses: no older lease
// matters.
const leased = 61 * 24 * time.Hour

func (o *Office) roll(ctx context.Context, now time.Time) *roll {
	if o.customers == nil {
		o.customers, o.marks = make(map[string]exposure.Constituent), make(map[string][]store.Status)
		for _, c := range o.Directory.All() {
			o.customers[c.Name] = c
		}
		for _, s := range o.Statuses {
			o.marks[s.Contact] = append(o.marks[s.Contact], s)
		}
	}
	r := &roll{o: o, now: now}
	looked := func(sources []string) bool {
		return slices.ContainsFunc(sources, func(s string) bool { return s != exposure.OwnData && s != sourceImport })
	}
	r.lookUps = looked(o.Rules.Sources) || slices.ContainsFunc(o.Rules.Rules, func(one Rule) bool { return looked(one.Sources) })
	r.begin = func() {
		r.next, r.stop = iter.Pull2(o.Store.AssignmentsDuring(ctx, o.View, now.Add(-leased), now.Add(time.Second)))
		r.advance()
	}
	return r
}

// rewind begins anew, at the lowest address.
func (r *roll) rewind() {
	r.close()
	r.stack, r.last, r.ahead = nil, netip.Addr{}, nil
	r.begin()
}

func (r *roll) close() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func (r *roll) advance() {
	a, err, ok := r.next()
	if err != nil {
		r.err = err
	}
	r.ahead = nil
	if ok && err == nil {
		r.ahead = &a
	}
}

// assignments returns those whose prefix holds the address, the widest first.
func (r *roll) assignments(a netip.Addr) []exposure.Assignment {
	r.stack = slices.DeleteFunc(r.stack, func(x exposure.Assignment) bool { return !x.Prefix.Contains(a) })
	for r.ahead != nil && r.ahead.Prefix.Addr().Compare(a) <= 0 {
		if r.ahead.Prefix.Contains(a) {
			r.stack = append(r.stack, *r.ahead)
		}
		r.advance()
	}
	return r.stack
}

// who returns those that answer for the exposure, who is nearest first. The
// exposures must come in the order of their addresses.
func (r *roll) who(ctx context.Context, e *exposure.Exposure) ([]Party, error) {
	held := r.assignments(e.Addr.Unmap().WithZone(""))
	if r.err != nil {
		return nil, r.err
	}
	return r.parties(ctx, e, held)
}

func (r *roll) parties(ctx context.Context, e *exposure.Exposure, held []exposure.Assignment) ([]Party, error) {
	var all []Party
	holder := lease.Hold(held, e.LastSeen)
	if c, known := r.o.customers[holder.Customer]; known && holder.Customer != "" {
		all = append(all, Party{
			Constituent: c, By: ByLease, Window: access.Window{Prefix: holder.By.Prefix, From: holder.From, To: holder.To},
		})
	}
	for _, reason := range r.o.Directory.Explain(e.Addr, e.Where) {
		if !slices.ContainsFunc(all, func(p Party) bool { return p.Name == reason.Name }) {
			all = append(all, Party{Constituent: reason.Constituent, By: reason.By})
		}
	}
	if !r.lookUps {
		return all, nil
	}
	found, err := r.o.Store.Lookups(ctx, r.o.View, e.Addr)
	if err != nil {
		return nil, err
	}
	for _, l := range found {
		if l.Contact == nil || !l.Expires.IsZero() && l.Expires.Before(r.now) {
			continue
		}
		contact := *l.Contact
		contact.Source = l.Source
		for _, s := range r.o.marks[contact.Key()] {
			contact.OptOut = contact.OptOut || s.Status == store.OptOut
			contact.Invalid = contact.Invalid || s.Status == store.Invalid
		}
		all = append(all, Party{By: ByLookUp, Constituent: exposure.Constituent{
			Name: "look-up-" + strings.ReplaceAll(l.Source, ".", "-"), Networks: l.Range.Prefixes(), Contacts: []exposure.Recipient{contact},
		}})
	}
	return all, nil
}

// answers returns those that answer for one exposure.
func (o *Office) answers(ctx context.Context, r *roll, e *exposure.Exposure) ([]Party, error) {
	held, err := o.Store.AssignmentsOf(ctx, o.View, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("who answers for %s: %w", e.Addr, err)
	}
	return r.parties(ctx, e, held)
}
