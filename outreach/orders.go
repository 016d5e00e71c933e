package outreach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/store"
)

// A Person gives an order.
type Person struct {
	Who    string
	Reason string
}

// errState is for an order that a message's state does not take.
var errState = errors.New("the message does not take that")

// Approve lets messages go that wait for a person: those named, or those of the
// runs named, or all that wait. It returns the ids.
func (o *Office) Approve(ctx context.Context, by Person, names []string) ([]string, error) {
	var ids []string
	take := func(f store.MessageFilter) error {
		f.States = []store.MessageState{store.MessageHeld}
		for m, err := range o.Store.Messages(ctx, o.View, f) {
			if err != nil {
				return err
			}
			ids = append(ids, m.ID)
		}
		return nil
	}
	if len(names) == 0 {
		if err := take(store.MessageFilter{}); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "M-") {
			m, err := o.Store.Message(ctx, o.View, name)
			if err != nil {
				return nil, err
			}
			if m.State != store.MessageHeld {
				return nil, fmt.Errorf("approve message %s: it is %s: %w", name, m.State, errState)
			}
			ids = append(ids, name)
			continue
		}
		before := len(ids)
		if err := take(store.MessageFilter{Run: name}); err != nil {
			return nil, err
		}
		if len(ids) == before {
			return nil, fmt.Errorf("approve run %s: none of its messages waits", name)
		}
	}
	for _, id := range ids {
		c := store.Settlement{Was: store.MessageHeld, State: store.MessageApproved, Reason: "approved by " + by.Who, Next: o.Now(), At: o.Now()}
		if err := o.order(ctx, id, by, "approve message", c); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Cancel keeps a message from being sent.
func (o *Office) Cancel(ctx context.Context, by Person, id string) error {
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return err
	}
	if !m.State.Open() || m.State == store.MessageSending {
		return fmt.Errorf("cancel message %s: it is %s: %w", id, m.State, errState)
	}
	why := "cancelled by " + by.Who
	if by.Reason != "" {
		why += ": " + by.Reason
	}
	return o.order(ctx, id, by, "cancel message", store.Settlement{Was: m.State, State: store.MessageCancelled, Reason: why, Ended: o.Now(), At: o.Now()})
}

// Retry sends a message again, at the next run. Of one of which nobody knows
// whether it arrived, a person decides that it may arrive twice.
func (o *Office) Retry(ctx context.Context, by Person, id string) error {
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return err
	}
	switch m.State {
	case store.MessageFailed, store.MessageUncertain, store.MessageDeferred, store.MessagePlanned, store.MessageApproved:
	default:
		return fmt.Errorf("retry message %s: it is %s: %w", id, m.State, errState)
	}
	to := store.MessageDeferred // the same bytes
	if m.Bytes == 0 {
		to = store.MessagePlanned
	}
	return o.order(ctx, id, by, "retry message", store.Settlement{Was: m.State, State: to, Reason: "to be sent again, says " + by.Who, Next: o.Now(), At: o.Now()})
}

func (o *Office) order(ctx context.Context, id string, by Person, what string, c store.Settlement) error {
	detail := id
	if by.Reason != "" {
		detail += ": " + by.Reason
	}
	c.Audit = &store.Action{At: o.Now(), Who: by.Who, What: what, Detail: detail}
	return o.Store.SettleMessage(ctx, id, c)
}

// A Story explains a message.
type Story struct {
	store.Message
	Cases    []Told          `json:"cases"`
	Attempts []store.Attempt `json:"tries,omitempty"`
	Replies  []store.Reply   `json:"replies,omitempty"`
	Next     string          `json:"then"` // what comes next
}

// Told is an exposure in a message with all that was sent about it.
type Told struct {
	store.Item
	Case    string     `json:"case"`
	Word    string     `json:"state"`
	History []Delivery `json:"history"`
}

// Delivery is one message about an exposure.
type Delivery struct {
	Message   string             `json:"message"`
	State     store.MessageState `json:"state"`
	Recipient string             `json:"recipient"`
	Rung      int                `json:"rung"`
	At        time.Time          `json:"at"`
}

// Why explains a message: who was chosen and why, about what, what happened and
// what comes next.
func (o *Office) Why(ctx context.Context, id string) (Story, error) {
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return Story{}, err
	}
	s := Story{Message: m, Cases: []Told{}}
	if s.Attempts, err = o.Store.Attempts(ctx, o.View, id); err != nil {
		return s, err
	}
	if s.Replies, err = o.Store.Replies(ctx, o.View, id); err != nil {
		return s, err
	}
	for _, item := range m.Exposures {
		t := Told{Item: item, Case: item.Case(), Word: "not known any more"}
		e, err := o.Store.Exposure(ctx, o.View, item.Key)
		switch {
		case errors.Is(err, store.ErrNoExposure):
		case err != nil:
			return s, err
		default:
			t.Word = e.Word()
			cases, err := o.past(ctx, []exposure.Exposure{e})
			if err != nil {
				return s, err
			}
			for _, d := range cases[0].Past {
				at := d.Ended
				if at.IsZero() {
					at = d.Planned
				}
				t.History = append(t.History, Delivery{d.Message, d.State, d.Recipient, d.Rung + 1, at})
			}
		}
		s.Cases = append(s.Cases, t)
	}
	s.Next, err = o.then(&m)
	return s, err
}

// then says what comes next.
func (o *Office) then(m *store.Message) (string, error) {
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
	switch m.State {
	case store.MessageHeld:
		return "it waits until somebody approves it: ippwatch notify approve " + m.ID, nil
	case store.MessagePlanned, store.MessageApproved, store.MessageDeferred:
		return "it is sent by the first ippwatch notify --send after " + stamp(m.Next), nil
	case store.MessageSending:
		return "it is on its way; if it is not, the next ippwatch notify --send finds out", nil
	case store.MessageUncertain:
		return "it counts as sent; ippwatch notify retry " + m.ID + " sends it again under the same Message-ID", nil
	case store.MessageFailed, store.MessageBounced:
		return "another contact is told in its place, if there is one", nil
	case store.MessageCancelled:
		return "nothing; the next run plans anew what is still open", nil
	}
	if !m.Answered.IsZero() {
		return "it was answered; the ladder rests until " + stamp(m.Answered.Add(time.Duration(o.Rules.Patience))), nil
	}
	policies, err := o.Rules.policies()
	if err != nil {
		return "", err
	}
	rung := 0
	for _, i := range m.Exposures {
		rung = max(rung, i.Rung+1)
	}
	if !slices.ContainsFunc(policies, func(p policy) bool { return p.Name == m.Rule }) {
		return "rule " + m.Rule + " says it, and the rules that were given have no such rule", nil
	}
	for i := range policies {
		if p := &policies[i]; p.Name == m.Rule && rung < len(p.Ladder) {
			return fmt.Sprintf("if it is still open, another contact (%s) is told %s after the first message", strings.Join(p.Ladder[rung].Roles, ", "), p.Ladder[rung].After), nil
		}
	}
	return "nobody else is told", nil
}
