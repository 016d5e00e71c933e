package outreach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"ippwatch/notify"
	"ippwatch/store"
	"ippwatch/track"
)

// A Received is what came back, and what was done about it.
type Received struct {
	notify.Reply
	About string `json:"about,omitempty"` // the message
	Done  string `json:"done"`
}

// ReadReplies reads what came back, each once. A bounce marks the contact and
// lets the next be asked, an answer is noted in the cases, an opt-out binds. It
// returns what it read; an error is of files that could not be read, and the
// others were.
func (o *Office) ReadReplies(ctx context.Context, path string) (all []Received, err error) {
	unlock, err := o.Store.Lock(LockName)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := o.mend(ctx); err != nil {
		return nil, err
	}
	var wrong error
	known := func(source string) bool {
		had, err := o.Store.HasReply(ctx, source)
		wrong = errors.Join(wrong, err)
		return had || err != nil
	}
	var unread []error
	for r, err := range notify.ReadReplies(path, o.Writer.Secret, known) {
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if err != nil {
			unread = append(unread, err)
			continue
		}
		one, err := o.receive(ctx, r)
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, errors.Join(append(unread, wrong)...)
}

// receive does what one reply asks for. Whatever it does can be done again: the
// reply is written down last, together with what it does to the message.
func (o *Office) receive(ctx context.Context, r notify.Reply) (Received, error) {
	got := Received{Reply: r, Done: "noted"}
	now := o.Now()
	reply := store.Reply{Digest: r.Source, File: r.File, At: now, Kind: string(r.Kind), Note: cmp.Or(r.Subject, r.Said)}
	if r.Message == "" {
		got.Done = "about no message of ours; left for a person"
		return got, o.Store.PutReply(ctx, reply, nil, false)
	}
	id, err := o.Store.MessageOfMail(ctx, string(r.Message))
	if err != nil {
		return got, err
	}
	if id == "" {
		got.Done = "about a message that is not in the outbox"
		return got, o.Store.PutReply(ctx, reply, nil, false)
	}
	m, err := o.Store.Message(ctx, o.View, id)
	if err != nil {
		return got, err
	}
	reply.Message, got.About = id, id
	c, answered, err := o.consequence(ctx, &m, r, now, &got)
	if err != nil {
		return got, err
	}
	o.at("received")
	if err := o.Store.PutReply(ctx, reply, c, answered); err != nil {
		return got, err
	}
	o.at("reply noted")
	return got, o.pay(ctx, id)
}

// consequence is what a reply does to its message.
func (o *Office) consequence(ctx context.Context, m *store.Message, r notify.Reply, now time.Time, got *Received) (c *store.Settlement, answered bool, err error) {
	came := cmp.Or(r.Status+" "+r.Said, string(r.Kind))
	switch r.Kind {
	case notify.HardBounce, notify.SoftBounce:
		if r.Kind == notify.HardBounce {
			if err := o.Mark(ctx, m.To.Address, store.Invalid, came, "message "+m.ID); err != nil {
				return nil, false, err
			}
		}
		if !m.State.Told() {
			got.Done = "the message was " + string(m.State) + " already"
			return nil, false, nil
		}
		got.Done = m.To.Address + " was not reached; the next contact is asked in the next run"
		return &store.Settlement{
			Was: m.State, State: store.MessageBounced, Reason: came, Begun: m.Begun, Ended: m.Ended, At: now,
			Owed: string(track.Bounce), OwedWhy: fmt.Sprintf("message %s came back from %s: %s", m.ID, m.To.Address, came),
		}, false, nil
	case notify.OptOut:
		got.Done = m.To.Address + " is not written to any more"
		return nil, false, o.Mark(ctx, m.To.Address, store.OptOut, cmp.Or(r.Subject, r.Said), "answer to message "+m.ID)
	case notify.Answer:
		got.Done = "noted in " + count(len(m.Exposures), "case", "cases")
		return &store.Settlement{
			At: now, Owed: string(track.Acknowledge),
			OwedWhy: fmt.Sprintf("answer to message %s: %s", m.ID, cmp.Or(r.Subject, r.Said, "without a word")),
		}, true, nil
	}
	return nil, false, nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
