package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// An OutboxHold is the order to send nothing of a rule, or nothing at all.
type OutboxHold struct {
	Rule   string    `json:"rule"` // "" stands for all
	Reason string    `json:"reason"`
	Who    string    `json:"who"`
	At     time.Time `json:"at"`
}

// HoldOutbox stops the delivery of what the rule plans, or of everything.
func (s *Store) HoldOutbox(ctx context.Context, h OutboxHold) error {
	return s.change(ctx, "hold outreach", func(q *Queries) error {
		if err := q.putOutboxHold(ctx, putOutboxHoldParams{Rule: h.Rule, Reason: h.Reason, Who: h.Who, At: instant{h.At}}); err != nil {
			return err
		}
		return record(ctx, q, []Action{{At: h.At, Who: h.Who, What: "hold outreach", Detail: held(h.Rule) + ": " + h.Reason}})
	})
}

// ReleaseOutbox takes a hold back. It reports false if there is none.
func (s *Store) ReleaseOutbox(ctx context.Context, rule, who string, at time.Time) (found bool, err error) {
	err = s.change(ctx, "release outreach", func(q *Queries) error {
		n, err := q.dropOutboxHold(ctx, rule)
		if found = n > 0; err != nil || !found {
			return err
		}
		return record(ctx, q, []Action{{At: at, Who: who, What: "release outreach", Detail: held(rule)}})
	})
	return found, err
}

func held(rule string) string {
	if rule == "" {
		return "all rules"
	}
	return "rule " + rule
}

// OutboxHolds returns what is held; it is asked before every message.
func (s *Store) OutboxHolds(ctx context.Context) ([]OutboxHold, error) {
	rows, err := s.read.outboxHolds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", explain(err))
	}
	var all []OutboxHold
	for _, r := range rows {
		all = append(all, OutboxHold{r.Rule, r.Reason, r.Who, r.At.Time})
	}
	return all, nil
}

// A Reply is something that came back.
type Reply struct {
	Digest  string    `json:"digest"` // of its bytes
	File    string    `json:"file"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Message string    `json:"message,omitempty"` // which it is about
	Note    string    `json:"note,omitempty"`
}

// HasReply reports whether exactly these bytes were read before.
func (s *Store) HasReply(ctx context.Context, digest string) (bool, error) {
	found, err := s.read.hasReply(ctx, digest)
	if err != nil {
		return false, fmt.Errorf("look for a reply: %w", explain(err))
	}
	return found, nil
}

// PutReply writes down that something came back and, in the same transaction,
// what that does to the message: a settlement, or an answer.
func (s *Store) PutReply(ctx context.Context, r Reply, c *Settlement, answered bool) error {
	return s.change(ctx, "note reply "+r.File, func(q *Queries) error {
		n, err := q.putReply(ctx, putReplyParams{Digest: r.Digest, File: r.File, At: instant{r.At}, Kind: r.Kind, Message: r.Message, Note: r.Note})
		if err != nil || n == 0 {
			return err
		}
		switch {
		case c == nil:
			return nil
		case answered:
			return q.answerMessage(ctx, answerMessageParams{At: instant{c.At}, Owed: c.Owed, OwedWhy: c.OwedWhy, ID: r.Message})
		}
		_, err = q.settleMessage(ctx, settleMessageParams{
			State: string(c.State), Reason: c.Reason, Next: instant{c.Next}, Begun: instant{c.Begun}, Ended: instant{c.Ended},
			Owed: c.Owed, OwedWhy: c.OwedWhy, OwedAt: instant{c.At}, ID: r.Message, Was: string(c.Was),
		})
		return err
	})
}

// Replies returns what came back about a message; nothing to a view below
// operator.
func (s *Store) Replies(ctx context.Context, v access.View, message string) ([]Reply, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.repliesTo(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("read replies to %s: %w", message, explain(err))
	}
	var all []Reply
	for _, r := range rows {
		all = append(all, Reply{r.Digest, r.File, r.At.Time, r.Kind, r.Message, r.Note})
	}
	return all, nil
}

// Cursor returns how far the reader of that name came in the history.
func (s *Store) Cursor(ctx context.Context, name string) (int64, error) {
	n, err := s.read.outboxCursor(ctx, name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read cursor %s: %w", name, explain(err))
	}
	return n, nil
}

// SetCursor writes down how far the reader came.
func (s *Store) SetCursor(ctx context.Context, name string, seq int64) error {
	return s.change(ctx, "set cursor "+name, func(q *Queries) error {
		return q.putOutboxCursor(ctx, putOutboxCursorParams{Name: name, Seq: seq})
	})
}

// A Numbered step has its place in the history of all cases.
type Numbered struct {
	Seq int64
	exposure.Transition
}

// TransitionsAfter returns the steps behind the place, in the order in which
// they were written down; none to a view below operator. It ends at the first
// error.
func (s *Store) TransitionsAfter(ctx context.Context, v access.View, seq int64) iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		if v.Tier != access.Operator {
			return
		}
		for {
			rows, err := s.read.transitionsAfter(ctx, transitionsAfterParams{Seq: seq, Limit: page})
			if err != nil {
				yield(Numbered{}, fmt.Errorf("read history: %w", explain(err)))
				return
			}
			for _, row := range rows {
				if !yield(Numbered{row.Seq, row.transition()}, nil) {
					return
				}
				seq = row.Seq
			}
			if len(rows) < page {
				return
			}
		}
	}
}
