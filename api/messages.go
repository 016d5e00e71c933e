package api

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"time"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/gate"
	"ippwatch/store"
)

type messageList struct {
	v1.Paging
	v1.MessageQuery
}

// An ID names a thing in a path.
type ID struct {
	ID string `path:"id" maxLength:"100" doc:"Its id."`
}

type holdIn struct{ Body v1.HoldOrder }

type messageWord struct {
	ID
	Body v1.Word
}

func (d *door) messages() {
	list(d, op{
		method: "GET", path: "/messages", id: "list-messages", tag: "messages", roles: staff, personal: true, summary: "List messages, the newest first",
		query: "?state=held",
	}, d.outbox)
	add(d, op{
		method: "GET", path: "/messages/{id}", id: "get-message", tag: "messages", roles: staff, personal: true, summary: "Get a message, with its tries and what came back",
	}, func(ctx context.Context, v *gate.Visit, in *ID) (v1.Message, error) {
		m, err := d.Store.Message(ctx, v.View, in.ID)
		if err != nil {
			return v1.Message{}, notThere(err, store.ErrNoMessage)
		}
		tries, err := d.Store.Attempts(ctx, v.View, in.ID)
		if err != nil {
			return v1.Message{}, err
		}
		replies, err := d.Store.Replies(ctx, v.View, in.ID)
		return v1.Message{Message: m, Tries: orElse(tries, []store.Attempt{}), Replies: orElse(replies, []store.Reply{})}, err
	})
	settle := func(word, summary, about string, f func(m store.Message, v *gate.Visit, why string) (store.Settlement, bool)) {
		add(d, op{
			method: "POST", path: "/messages/{id}/" + word, id: word + "-message", tag: "messages", roles: hands, needs: access.Change, personal: true, written: word + " message",
			summary: summary, about: about, example: `{"reason": "told by telephone"}`,
		}, func(ctx context.Context, v *gate.Visit, in *messageWord) (v1.Message, error) {
			return d.settle(ctx, v, in, word, f)
		})
	}
	settle("hold", "Keep a message until somebody releases it", "One that was not tried yet.", func(m store.Message, v *gate.Visit, why string) (store.Settlement, bool) {
		return store.Settlement{State: store.MessageHeld, Reason: "held by " + v.Who + ": " + why}, m.State == store.MessagePlanned || m.State == store.MessageApproved
	})
	settle("release", "Let a message go that waits for a person", "The next run sends it.", func(m store.Message, v *gate.Visit, why string) (store.Settlement, bool) {
		return store.Settlement{State: store.MessageApproved, Reason: "approved by " + v.Who + ": " + why, Next: v.At}, m.State == store.MessageHeld
	})
	settle("cancel", "Keep a message from being sent", "What it was about is planned anew on another day.", func(m store.Message, v *gate.Visit, why string) (store.Settlement, bool) {
		return store.Settlement{State: store.MessageCancelled, Reason: "cancelled by " + v.Who + ": " + why, Ended: v.At}, m.State.Open() && m.State != store.MessageSending
	})
	add(d, op{
		method: "GET", path: "/outbox/holds", id: "list-holds", tag: "messages", roles: staff, summary: "List which delivery is stopped",
	}, func(ctx context.Context, _ *gate.Visit, _ *none) (v1.Page[store.OutboxHold], error) {
		holds, err := d.Store.OutboxHolds(ctx)
		return v1.Page[store.OutboxHold]{Items: orElse(holds, []store.OutboxHold{})}, err
	})
	add(d, op{
		method: "POST", path: "/outbox/hold", id: "hold-outbox", tag: "messages", roles: hands, needs: access.Change, written: "hold outreach",
		summary: "Stop delivery at once, of one rule or of all", about: "What is planned stays planned.", example: `{"rule": "all-critical", "reason": "complaint from example-net"}`,
	}, func(ctx context.Context, v *gate.Visit, in *holdIn) (store.OutboxHold, error) {
		h := store.OutboxHold{Rule: in.Body.Rule, Reason: in.Body.Reason, Who: v.Who, At: v.At}
		return h, d.Store.HoldOutbox(ctx, h)
	})
	add(d, op{
		method: "POST", path: "/outbox/release", id: "release-outbox", tag: "messages", roles: hands, needs: access.Change, written: "release outreach",
		summary: "Let delivery go on", about: "404: it was not stopped.", example: `{"rule": "all-critical"}`,
	}, func(ctx context.Context, v *gate.Visit, in *holdIn) (v1.HoldOrder, error) {
		found, err := d.Store.ReleaseOutbox(ctx, in.Body.Rule, v.Who, v.At)
		if err == nil && !found {
			err = gate.NotFound
		}
		return in.Body, err
	})
}

// outbox pages by the time of the plan and the id.
func (d *door) outbox(ctx context.Context, v *gate.Visit, in *messageList, place []string, n int) iter.Seq2[entry[store.Message], error] {
	f := store.MessageFilter{Run: in.Run, States: wordsOf[store.MessageState](in.States), Limit: n}
	if place != nil {
		if len(place) != 2 || place[1] == "" {
			return failing[store.Message](badPlace())
		}
		ns, err := strconv.ParseInt(place[0], 10, 64)
		if err != nil {
			return failing[store.Message](badPlace())
		}
		f.Before, f.BeforeID = time.Unix(0, ns), place[1]
	}
	return func(yield func(entry[store.Message], error) bool) {
		for m, err := range d.Store.Messages(ctx, v.View, f) {
			e := entry[store.Message]{m, []string{strconv.FormatInt(m.Planned.UnixNano(), 10), m.ID}}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// settle moves a message to another state.
func (d *door) settle(ctx context.Context, v *gate.Visit, in *messageWord, word string, f func(m store.Message, v *gate.Visit, why string) (store.Settlement, bool)) (v1.Message, error) {
	m, err := d.Store.Message(ctx, v.View, in.ID.ID)
	if err != nil {
		return v1.Message{}, notThere(err, store.ErrNoMessage)
	}
	moved := &gate.Problem{Status: http.StatusConflict, Code: "state", Detail: "a message that is " + string(m.State) + " cannot take " + word}
	s, ok := f(m, v, in.Body.Reason)
	if !ok {
		return v1.Message{}, moved
	}
	s.Was, s.At = m.State, v.At
	s.Audit = &store.Action{At: v.At, Who: v.Who, What: word + " message", Detail: m.ID + ": " + in.Body.Reason}
	if err := d.Store.SettleMessage(ctx, m.ID, s); err != nil {
		if errors.Is(err, store.ErrMoved) {
			err = moved
		}
		return v1.Message{}, err
	}
	m, err = d.Store.Message(ctx, v.View, m.ID)
	return v1.Message{Message: m, Tries: []store.Attempt{}, Replies: []store.Reply{}}, err
}
