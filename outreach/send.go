package outreach

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/store"
	"ippwatch/track"
)

// A Summary is what a run of sending did.
type Summary struct {
	Run       string `json:"run,omitempty"`
	Planned   int    `json:"planned"`
	Held      int    `json:"held"` // wait for approval
	Sent      int    `json:"sent"`
	Failed    int    `json:"failed"`
	Deferred  int    `json:"deferred"`
	Uncertain int    `json:"uncertain"`
	Cancelled int    `json:"cancelled"` // out of date before they left
	Stopped   string `json:"stopped,omitempty"`
	Fault     string `json:"fault,omitempty"` // on our side: what it kept back waits
	Approval  string `json:"approval,omitempty"`
}

// Send mends what a crash left, plans, writes the plan down and delivers what is
// due. Nobody else plans, sends or reads replies meanwhile.
func (o *Office) Send(ctx context.Context) (sum Summary, err error) {
	unlock, err := o.Store.Lock(LockName)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if sum.Uncertain, err = o.mend(ctx); err != nil {
		return sum, err
	}
	o.at("mended")
	plan, err := o.Plan(ctx)
	if err != nil {
		return sum, err
	}
	o.at("planned")
	if err := o.enter(ctx, plan, &sum); err != nil {
		return sum, err
	}
	o.at("entered")
	err = o.deliver(ctx, &sum)
	return sum, err
}

// enter writes the plan down.
func (o *Office) enter(ctx context.Context, plan Plan, sum *Summary) error {
	state, reason := store.MessagePlanned, ""
	if plan.Approval != "" {
		state, reason = store.MessageHeld, plan.Approval
	}
	n, err := o.Store.PutRun(ctx, plan.Run, plan.Messages, state, reason)
	if err != nil || n == 0 {
		return err
	}
	sum.Run, sum.Planned, sum.Approval = plan.Run, n, plan.Approval
	if state == store.MessageHeld {
		sum.Held = n
	}
	return nil
}

// mend puts right what a crash left: whoever holds the lock knows that a message
// on its way was left there by a process that is dead. It returns of how many
// messages nobody knows whether they arrived.
func (o *Office) mend(ctx context.Context) (uncertain int, err error) {
	ids, err := o.Store.MessagesIn(ctx, store.MessageSending)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		m, err := o.Store.Message(ctx, o.View, id)
		if err != nil {
			return uncertain, err
		}
		c := store.Settlement{Was: store.MessageSending, State: store.MessagePlanned, At: o.Now(), Reason: "ippwatch ended before it was handed over"}
		switch {
		case m.Begun.IsZero():
		case m.To.Medium == exposure.ByWebhook: // its receiver knows the id, and takes it once
			c.State, c.Reason = store.MessageDeferred, "ippwatch ended while it was handed over"
		case o.Rules.ResendUncertain:
			c.State, c.Reason = store.MessageDeferred, "ippwatch ended while it was handed over; it is sent again, as resend_uncertain says"
		default:
			uncertain++
			o.doubt(&c, &m, m.Begun, "ippwatch ended while it was handed over")
		}
		if err := o.Store.SettleMessage(ctx, id, c); err != nil {
			return uncertain, err
		}
	}
	return uncertain, o.payAll(ctx)
}

// doubt settles a message of which nobody knows whether it arrived. Its cases
// count as told, because telling twice is what must not happen.
func (o *Office) doubt(c *store.Settlement, m *store.Message, at time.Time, why string) {
	c.State, c.Reason, c.Begun, c.Ended, c.At = store.MessageUncertain, why+": nobody knows whether it arrived", at, at, at
	c.Owed = string(track.Notify)
	c.OwedWhy = fmt.Sprintf("perhaps message %s to %s: %s, and nobody knows whether it arrived", m.ID, m.To.Address, why)
}

// payAll lets the cases of messages take the steps that they owe.
func (o *Office) payAll(ctx context.Context) error {
	ids, err := o.Store.Owing(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := o.pay(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// pay lets the cases of a message take the step that they owe, each once: those
// that took it before a crash are known by the evidence, which names the
// message.
func (o *Office) pay(ctx context.Context, id string) error {
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil || m.Owed == "" {
		return err
	}
	var keys []exposure.Key
	for _, item := range m.Exposures {
		key, ok, err := o.owes(ctx, &m, item)
		if err != nil {
			return err
		}
		if ok {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		_, err = o.Tracker.Take(ctx, keys, track.Order{Step: track.Step(m.Owed), Actor: "outreach", Evidence: m.OwedWhy, At: m.OwedAt})
		if err != nil && !errors.Is(err, track.ErrNoCase) && !errors.Is(err, track.ErrNoTransition) {
			return err
		}
	}
	o.at("tracked")
	return o.Store.Paid(ctx, id)
}

// owes returns the case that must take the step of the item's message: it, or
// the one at the address to which the device moved. It reports false if the
// case took it, began another cycle, or was told by another message that a
// bounce does not undo.
func (o *Office) owes(ctx context.Context, m *store.Message, item store.Item) (exposure.Key, bool, error) {
	key := item.Key
	for range hops {
		e, err := o.Store.Exposure(ctx, o.View, key)
		if errors.Is(err, store.ErrNoExposure) {
			return key, false, nil
		}
		if err != nil {
			return key, false, err
		}
		if !e.MovedTo.IsValid() {
			if key == item.Key && e.Cycle != item.Cycle {
				return key, false, nil
			}
			break
		}
		key.Addr = e.MovedTo
	}
	if m.Owed == string(track.Bounce) {
		sent, err := o.Store.Deliveries(ctx, []netip.Addr{key.Addr, item.Addr})
		if err != nil {
			return key, false, err
		}
		if slices.ContainsFunc(sent, func(d store.Delivery) bool {
			return d.Message != m.ID && (d.Key == key || d.Key == item.Key) && d.Cycle == item.Cycle && d.State.Told()
		}) {
			return key, false, nil
		}
	}
	took, err := o.Store.TookStep(ctx, key, m.OwedWhy, m.OwedAt)
	return key, !took, err
}

// atOnce is how many ids of messages are read together.
const atOnce = 100

// A round is one walk through the messages that are due.
type round struct {
	o       *Office
	sum     *Summary
	now     store.Message // the one on its way
	ours    int           // failures of our own in a row
	stopped bool
	err     error
	hooks   map[string]*notify.Webhook
}

// mostOurs is how many failures of our own in a row end a round: what befell two
// messages befalls the next.
const mostOurs = 2

// deliver sends what is due, one message after another, and writes down what
// became of each before it takes the next.
func (o *Office) deliver(ctx context.Context, sum *Summary) error {
	r := &round{o: o, sum: sum, hooks: make(map[string]*notify.Webhook)}
	if o.Mailer == nil {
		return errors.New("deliver: there is no mail server")
	}
	mailer := *o.Mailer
	mailer.Begin = func(notify.ID) error {
		o.at("before begin")
		err := o.Store.BeginMessage(context.WithoutCancel(ctx), r.now.ID, o.Now())
		o.at("begun")
		return err
	}
	sending, cancel := grace(ctx)
	defer cancel()
	for outcome := range mailer.Send(sending, r.mails(ctx)) {
		o.at("answered")
		if r.err = r.settle(context.WithoutCancel(ctx), outcome); r.err != nil {
			break
		}
	}
	return r.err
}

// graceTime is how long the message on its way may take when we are told to
// stop: broken off behind its end, nobody would know whether it arrived.
const graceTime = 10 * time.Second

// grace returns a context that ends a while after ctx does.
func grace(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, cancel) })
	return later, func() { stop(); cancel() }
}

// mails yields the mails that are due, each claimed; webhooks it posts itself on
// the way.
func (r *round) mails(ctx context.Context) iter.Seq[notify.Mail] {
	return func(yield func(notify.Mail) bool) {
		after := ""
		for {
			ids, err := r.o.Store.Due(ctx, r.o.Now(), after, atOnce)
			if err != nil {
				r.err = err
				return
			}
			for _, id := range ids {
				if r.err = r.stop(ctx); r.err != nil || r.stopped {
					return
				}
				mail, ok, err := r.prepare(ctx, id)
				if err != nil {
					r.err = err
					return
				}
				if ok && !yield(mail) || r.err != nil {
					return
				}
			}
			if len(ids) < atOnce {
				return
			}
			after = ids[len(ids)-1]
		}
	}
}

// stop looks, before each message, for an order to stop.
func (r *round) stop(ctx context.Context) error {
	halt := func(why string) { r.stopped, r.sum.Stopped = true, why }
	if ctx.Err() != nil {
		halt("we were stopped")
		return nil //nolint:nilerr // that we were stopped is an order, not a failure
	}
	if r.ours >= mostOurs {
		halt("what failed is on our side, and would fail for the others too: " + r.sum.Stopped)
		return nil
	}
	c, err := r.o.Store.Control(ctx)
	if err != nil {
		return err
	}
	if c.Paused {
		halt("ippwatch is paused")
		return nil
	}
	holds, err := r.o.Store.OutboxHolds(ctx)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h.Rule == "" {
			halt(holdText(h))
		}
	}
	return nil
}

// prepare makes a message ready, and claims it. It reports false if it is not to
// be sent now.
func (r *round) prepare(ctx context.Context, id string) (notify.Mail, bool, error) {
	o := r.o
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return notify.Mail{}, false, err
	}
	if held, err := r.heldUp(ctx, &m); held || err != nil {
		return notify.Mail{}, false, err
	}
	retry := m.State == store.MessageDeferred && m.Bytes > 0 && m.To.Medium == exposure.ByMail
	letter, err := o.write(ctx, &m, !retry)
	switch {
	case errors.Is(err, errStale):
		r.sum.Cancelled++
		return notify.Mail{}, false, o.Store.SettleMessage(ctx, id, store.Settlement{
			Was: m.State, State: store.MessageCancelled, Reason: stale + cut(err), Ended: o.Now(), At: o.Now(),
		})
	case errors.Is(err, errUnfit) && ctx.Err() == nil:
		// A mail that cannot be written to this one, such as to a key that has
		// expired, must not hold up the others.
		r.sum.Failed++
		return notify.Mail{}, false, o.fail(ctx, &m, m.State, err.Error(), nil)
	case err != nil && ctx.Err() == nil:
		return notify.Mail{}, false, r.unwritten(ctx, &m, err)
	case err != nil:
		return notify.Mail{}, false, err
	}
	if retry {
		content, err := o.Store.Content(ctx, o.View, id)
		if err != nil {
			return notify.Mail{}, false, err
		}
		letter.Version = m.Texts
		letter.Mail = notify.Mail{ID: notify.ID(m.Mail), To: letter.Mail.To, ReturnPath: m.Envelope, Bytes: content}
	}
	name := string(letter.Mail.ID)
	if m.To.Medium == exposure.ByWebhook {
		name = string(letter.Event.ID)
	}
	o.at("before claim")
	ok, err := o.Store.ClaimMessage(ctx, id, name, letter.Version, letter.Mail.ReturnPath, letter.Mail.Bytes, o.Now())
	if err != nil || !ok {
		return notify.Mail{}, false, err
	}
	o.at("claimed")
	r.now = m
	if m.To.Medium == exposure.ByWebhook {
		return notify.Mail{}, false, r.post(ctx, letter.Event)
	}
	return letter.Mail, true, nil
}

// unwritten leaves a message that we cannot write, such as for a mistake in the
// texts, for another time. It says nothing of the recipient: the next contact
// would be asked in the same words, and the last be lost.
func (r *round) unwritten(ctx context.Context, m *store.Message, err error) error {
	r.ours++
	r.sum.Deferred++
	r.sum.Stopped, r.sum.Fault = err.Error(), err.Error()
	now := r.o.Now()
	return r.o.Store.SettleMessage(ctx, m.ID, store.Settlement{
		Was: m.State, State: m.State, Next: now.Add(backOff(1)), Reason: err.Error(), At: now,
	})
}

// cut returns what an error that wraps errStale says behind it.
func cut(err error) string {
	text := err.Error()
	if n := len(errStale.Error()) + 2; len(text) > n {
		return text[n:]
	}
	return text
}

// heldUp reports whether a rule of the message is on hold, or its hour has not
// come. If neither, it is to be written in the texts of the rule as it is now.
func (r *round) heldUp(ctx context.Context, m *store.Message) (bool, error) {
	o := r.o
	holds, err := o.Store.OutboxHolds(ctx)
	if err != nil {
		return false, err
	}
	policies, err := o.Rules.policies()
	if err != nil {
		return false, err
	}
	for _, item := range m.Exposures {
		for _, h := range holds {
			if h.Rule == item.By {
				return true, nil
			}
		}
		for i := range policies {
			if policies[i].Name == item.By && policies[i].Hold {
				return true, nil
			}
		}
	}
	for i := range policies {
		if policies[i].Name != m.Rule {
			continue
		}
		m.Template = policies[i].Template // as it is now: what was wrong with it may be mended
		if open := policies[i].opens(o.Now(), m.To); open.After(o.Now()) {
			return true, o.Store.SettleMessage(ctx, m.ID, store.Settlement{
				Was: m.State, State: m.State, Next: open, Reason: "waits for " + policies[i].times(m.To), At: o.Now(),
			})
		}
	}
	return false, nil
}

// post posts an event to the receiver that the contact names.
func (r *round) post(ctx context.Context, e notify.Event) error {
	o := r.o
	url := r.now.To.Address
	if r.hooks[url] == nil {
		i := slices.IndexFunc(o.Rules.Webhooks, func(w notify.WebhookConfig) bool { return w.URL == url })
		if i < 0 {
			return r.settle(ctx, notify.Outcome{ID: e.ID, Result: notify.Later, Stage: "http", Said: "outreach.webhooks does not name its URL and secret", Ours: true})
		}
		hook, err := o.Rules.Webhooks[i].Open()
		if err != nil {
			return r.settle(ctx, notify.Outcome{ID: e.ID, Result: notify.Later, Stage: "http", Said: err.Error(), Ours: true})
		}
		r.hooks[url] = hook
	}
	if err := o.Store.BeginMessage(ctx, r.now.ID, o.Now()); err != nil {
		return err
	}
	outcome := r.hooks[url].Send(ctx, e, o.Now())
	o.at("answered")
	err := r.settle(context.WithoutCancel(ctx), outcome)
	r.ours = 0 // another receiver is another matter
	return err
}

// settle writes down what became of the message on its way.
func (r *round) settle(ctx context.Context, out notify.Outcome) error {
	o, m := r.o, &r.now
	now := o.Now()
	try := &store.Attempt{At: now, Result: string(out.Result), Stage: out.Stage, Code: out.Code, Said: out.Said}
	c := store.Settlement{Was: store.MessageSending, Attempt: try, At: now, Reason: said(out)}
	r.ours++
	if !out.Ours {
		r.ours = 0
	}
	switch {
	case out.Result == notify.Accepted:
		r.sum.Sent++
		c.State, c.Ended, c.Owed = store.MessageSent, now, string(track.Notify)
		c.OwedWhy = fmt.Sprintf("message %s to %s", m.ID, m.To.Address)
	case out.Result == notify.Unsure:
		r.sum.Uncertain++
		o.doubt(&c, m, now, "the connection broke when it was handed over")
	case out.Result == notify.Refused:
		r.sum.Failed++
		if out.Unknown() {
			if err := o.Mark(ctx, m.To.Address, store.Invalid, out.Said, "message "+m.ID); err != nil {
				return err
			}
		}
		return o.fail(ctx, m, store.MessageSending, said(out), try)
	case out.Ours:
		try.Result = "ours"
		r.sum.Stopped, r.sum.Fault = said(out), said(out)
		r.sum.Deferred++
		c.State, c.Next = store.MessagePlanned, now.Add(max(out.Wait, backOff(1)))
		if m.State == store.MessageDeferred {
			c.State = store.MessageDeferred
		}
	default:
		tired, err := o.tired(ctx, m.ID, now)
		if err != nil {
			return err
		}
		if tired {
			r.sum.Failed++
			return o.fail(ctx, m, store.MessageSending, "given up after "+o.Rules.GiveUp.String()+": "+said(out), try)
		}
		r.sum.Deferred++
		c.State, c.Next = store.MessageDeferred, now.Add(max(out.Wait, backOff(m.Attempts+1)))
	}
	o.at("before settle")
	if err := o.Store.SettleMessage(ctx, m.ID, c); err != nil {
		return err
	}
	o.at("settled")
	return o.pay(ctx, m.ID)
}

// fail settles a message that its recipient will not get: another contact is
// told in the next run.
func (o *Office) fail(ctx context.Context, m *store.Message, was store.MessageState, why string, try *store.Attempt) error {
	now := o.Now()
	if err := o.Store.SettleMessage(ctx, m.ID, store.Settlement{
		Was: was, State: store.MessageFailed, Reason: why, Ended: now, At: now, Attempt: try,
		Owed: string(track.Bounce), OwedWhy: fmt.Sprintf("message %s did not reach %s: %s", m.ID, m.To.Address, why),
	}); err != nil {
		return err
	}
	return o.pay(ctx, m.ID)
}

// said is an outcome in words.
func said(o notify.Outcome) string {
	if o.Code != 0 {
		return fmt.Sprintf("%s: %d %s", o.Stage, o.Code, o.Said)
	}
	return o.Stage + ": " + o.Said
}

// backOff is how long to wait behind the nth attempt: long enough for greylists,
// which want some minutes, and no longer than a working day.
func backOff(n int) time.Duration {
	return min(15*time.Minute<<min(n-1, 5), 8*time.Hour)
}

// tired reports whether the far end has put us off for as long as we try.
// Failures of our own do not count: they say nothing of the recipient.
func (o *Office) tired(ctx context.Context, id string, now time.Time) (bool, error) {
	tries, err := o.Store.Attempts(ctx, o.View, id)
	if err != nil {
		return false, err
	}
	for _, t := range tries {
		if t.Result == string(notify.Later) {
			return now.Sub(t.At) >= time.Duration(o.Rules.GiveUp), nil
		}
	}
	return false, nil
}
