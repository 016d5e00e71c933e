package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrNoMessage says that there is no such message, or none that the view may
// see.
var ErrNoMessage = errors.New("no such message")

// ErrMoved says that a message is not in the state any more from which it was
// to be moved.
var ErrMoved = errors.New("the message is in another state by now")

// A MessageState is how far a message came.
type MessageState string

// States of a message.
const (
	draft MessageState = "draft" // of a run that is being written down

	MessagePlanned   MessageState = "planned"
	MessageHeld      MessageState = "held" // waits for somebody to approve it
	MessageApproved  MessageState = "approved"
	MessageSending   MessageState = "sending"
	MessageDeferred  MessageState = "deferred"  // tried, and to be tried again
	MessageSent      MessageState = "sent"      // the far end took it
	MessageUncertain MessageState = "uncertain" // the far end may have taken it
	MessageFailed    MessageState = "failed"    // refused, or tried for too long
	MessageBounced   MessageState = "bounced"   // it was taken, and came back
	MessageCancelled MessageState = "cancelled"
)

// MessageStates are all of them, in the order of a message's life.
var MessageStates = []MessageState{
	MessagePlanned, MessageHeld, MessageApproved, MessageSending, MessageDeferred,
	MessageSent, MessageUncertain, MessageFailed, MessageBounced, MessageCancelled,
}

// Open reports whether the message may still go.
func (s MessageState) Open() bool {
	switch s {
	case MessagePlanned, MessageHeld, MessageApproved, MessageSending, MessageDeferred:
		return true
	}
	return false
}

// Told reports whether the recipient was told, as far as we know.
func (s MessageState) Told() bool { return s == MessageSent || s == MessageUncertain }

// A Message is one message to one recipient about exposures of one constituent.
type Message struct {
	ID          string             `json:"id"`
	Key         string             `json:"key"` // the send key: the same plan twice has the same
	Run         string             `json:"run"`
	Kind        string             `json:"kind"`
	Rule        string             `json:"rule"`
	Constituent string             `json:"constituent"`
	To          exposure.Recipient `json:"to"`
	Language    string             `json:"language"`
	Template    string             `json:"template"`
	Forms       []exposure.Form    `json:"forms,omitempty"`
	Why         string             `json:"why"` // this recipient
	InReplyTo   []string           `json:"in_reply_to,omitempty"`
	Day         string             `json:"day"`

	State     MessageState `json:"state"`
	Reason    string       `json:"reason,omitempty"` // of the state
	Mail      string       `json:"mail,omitempty"`
	Planned   time.Time    `json:"planned"`
	Next      time.Time    `json:"next,omitzero"`  // not to be sent before
	Begun     time.Time    `json:"begun,omitzero"` // when it was about to be handed over for good
	Ended     time.Time    `json:"ended,omitzero"`
	Answered  time.Time    `json:"answered,omitzero"`
	Attempts  int          `json:"attempts"`
	FirstTry  time.Time    `json:"first_try,omitzero"`
	Texts     string       `json:"texts,omitempty"` // the version it was written with
	Envelope  string       `json:"-"`
	Bytes     int64        `json:"bytes"` // of the content, once it is written
	Owed      string       `json:"-"`     // the step that its cases must still take
	OwedWhy   string       `json:"-"`
	OwedAt    time.Time    `json:"-"`
	Exposures []Item       `json:"exposures,omitempty"`
}

// An Item is one exposure in a message.
type Item struct {
	exposure.Key
	Cycle int    `json:"cycle"`
	Rung  int    `json:"rung"`    // of the ladder, 0 for the first
	By    string `json:"by_rule"` // of the configuration
	// Severity is that at the time of the plan.
	Severity exposure.Severity `json:"severity,omitempty"`
}

// A Delivery is an item with what became of its message.
type Delivery struct {
	Item
	Message     string
	Kind        string
	State       MessageState
	Recipient   string // exposure.Recipient.Key
	Constituent string
	Run         string
	Day         string
	Reason      string
	Planned     time.Time
	Next        time.Time
	Ended       time.Time
}

// An Attempt is one try to deliver a message.
type Attempt struct {
	N      int       `json:"n"`
	At     time.Time `json:"at"`
	Result string    `json:"result"`
	Stage  string    `json:"stage"`
	Code   int       `json:"code,omitempty"`
	Said   string    `json:"said,omitempty"`
}

// messagesAtOnce is how many messages one transaction writes.
const messagesAtOnce = 200

// PutRun writes down a run of messages in short transactions; none of them can
// be sent before all are there. Messages that are known are left as they are.
// It returns how many are new.
func (s *Store) PutRun(ctx context.Context, run string, messages []Message, state MessageState, reason string) (int, error) {
	what := fmt.Sprintf("write down %d messages of run %s", len(messages), run)
	if err := s.DropDrafts(ctx); err != nil {
		return 0, err
	}
	for part := range slices.Chunk(messages, messagesAtOnce) {
		err := s.change(ctx, what, func(q *Queries) error {
			for i := range part {
				if err := keepMessage(ctx, q, run, &part[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	var n int64
	err := s.change(ctx, what, func(q *Queries) (err error) {
		n, err = q.releaseRun(ctx, releaseRunParams{State: string(state), Reason: reason, Name: run})
		return err
	})
	return int(n), err
}

func keepMessage(ctx context.Context, q *Queries, run string, m *Message) error {
	doc, err := json.Marshal(m)
	if err != nil {
		return err
	}
	n, err := q.putMessage(ctx, putMessageParams{
		ID: m.ID, OfRun: run, Kind: m.Kind, Rule: m.Rule, Party: m.Constituent, Recipient: m.To.Key(), Day: m.Day, Doc: string(doc),
		State: string(draft), Planned: instant{m.Planned}, Next: instant{m.Next},
	})
	if err != nil || n == 0 {
		return err
	}
	for _, i := range m.Exposures {
		if err := q.putItem(ctx, putItemParams{
			Addr: address{i.Addr}, Transport: string(i.Transport), Port: int64(i.Port), Rule: i.Rule,
			Message: m.ID, Cycle: int64(i.Cycle), Rung: int64(i.Rung), ByRule: i.By,
		}); err != nil {
			return err
		}
	}
	return nil
}

// DropDrafts forgets the messages of a run that was killed while it was written
// down. Who calls it holds the outbox: see [Store.Lock].
func (s *Store) DropDrafts(ctx context.Context) error {
	return s.change(ctx, "drop drafts", func(q *Queries) error {
		if err := q.dropDraftItems(ctx); err != nil {
			return err
		}
		_, err := q.dropDrafts(ctx)
		return err
	})
}

// Message returns one message with its exposures.
func (s *Store) Message(ctx context.Context, v access.View, id string) (Message, error) {
	if v.Tier != access.Operator {
		return Message{}, fmt.Errorf("read message %s: %w", id, ErrNoMessage)
	}
	row, err := s.read.message(ctx, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.State == string(draft) {
		err = ErrNoMessage
	}
	if err != nil {
		return Message{}, fmt.Errorf("read message %s: %w", id, explain(err))
	}
	m, err := messagesRow(row).message()
	if err != nil {
		return Message{}, fmt.Errorf("read message %s: %w", id, err)
	}
	items, err := s.read.itemsOf(ctx, id)
	if err != nil {
		return Message{}, fmt.Errorf("read message %s: %w", id, explain(err))
	}
	m.Exposures = nil
	for _, i := range items {
		m.Exposures = append(m.Exposures, i.item())
	}
	return m, nil
}

func (row messagesRow) message() (m Message, err error) {
	if err := json.Unmarshal([]byte(row.Doc), &m); err != nil {
		return m, err
	}
	m.ID, m.Run, m.State, m.Reason, m.Mail = row.ID, row.OfRun, MessageState(row.State), row.Reason, row.Mail
	m.Planned, m.Next, m.Begun, m.Ended, m.Answered = row.Planned.Time, row.Next.Time, row.Begun.Time, row.Ended.Time, row.Answered.Time
	m.Attempts, m.FirstTry, m.Texts, m.Envelope, m.Bytes = int(row.Attempts), row.FirstTry.Time, row.Texts, row.Envelope, row.Size.Int64
	m.Owed, m.OwedWhy, m.OwedAt = row.Owed, row.OwedWhy, row.OwedAt.Time
	return m, nil
}

func (row itemRow) item() Item {
	return Item{
		Key:   exposure.Key{Addr: row.Addr.Addr, Transport: exposure.Transport(row.Transport), Port: uint16(row.Port), Rule: row.Rule},
		Cycle: int(row.Cycle), Rung: int(row.Rung), By: row.ByRule,
	}
}

// A MessageFilter narrows a listing of messages. The zero filter takes all.
type MessageFilter struct {
	States []MessageState
	Run    string
	Limit  int // 0: none
	// Before and BeforeID go on behind the message that was planned then.
	Before   time.Time
	BeforeID string
}

// Messages returns messages, the newest first, with the exposures as they were
// planned; none to a view below operator. It ends at the first error.
func (s *Store) Messages(ctx context.Context, v access.View, f MessageFilter) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if v.Tier != access.Operator {
			return
		}
		states := f.States
		if len(states) == 0 {
			states = MessageStates
		}
		in, err := list(states, nil)
		if err != nil {
			yield(Message{}, err)
			return
		}
		arg := messagesParams{Before: math.MaxInt64, States: in, Name: f.Run, N: page}
		if f.BeforeID != "" {
			arg.Before, arg.BeforeID = instant{f.Before}.nanoseconds(), f.BeforeID
		}
		for n := 0; ; {
			rows, err := s.read.messages(ctx, arg)
			if err != nil {
				yield(Message{}, fmt.Errorf("read outbox: %w", explain(err)))
				return
			}
			for _, row := range rows {
				m, err := row.message()
				if !yield(m, err) || err != nil {
					return
				}
				if n++; n == f.Limit {
					return
				}
			}
			if len(rows) < page {
				return
			}
			end := rows[page-1]
			arg.Before, arg.BeforeID = end.Planned.nanoseconds(), end.ID
		}
	}
}

// Due returns the messages that may be sent at the time, in the order of their
// ids behind the given one.
func (s *Store) Due(ctx context.Context, at time.Time, after string, n int) ([]string, error) {
	ids, err := s.read.dueMessages(ctx, dueMessagesParams{Now: instant{at}, AfterID: after, N: int64(n)})
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	return ids, nil
}

// MessagesIn returns the ids of the messages in the state.
func (s *Store) MessagesIn(ctx context.Context, state MessageState) ([]string, error) {
	ids, err := s.read.messageIDsIn(ctx, string(state))
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	return ids, nil
}

// Owing returns the ids of the messages whose cases must still take a step.
func (s *Store) Owing(ctx context.Context) ([]string, error) {
	ids, err := s.read.owing(ctx)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	return ids, nil
}

// MessageOfMail returns the message with the name in return paths, or "".
func (s *Store) MessageOfMail(ctx context.Context, mail string) (string, error) {
	id, err := s.read.messageOfMail(ctx, mail)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read outbox: %w", explain(err))
	}
	return id, nil
}

// Attempts returns the tries to deliver a message, the first first.
func (s *Store) Attempts(ctx context.Context, v access.View, id string) ([]Attempt, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.attemptsOf(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read attempts of %s: %w", id, explain(err))
	}
	var all []Attempt
	for _, r := range rows {
		all = append(all, Attempt{int(r.N), r.At.Time, r.Result, r.Stage, int(r.Code), r.Said})
	}
	return all, nil
}

// Content returns the very bytes of a message, none before its first attempt or
// when they were forgotten. The link of a mail opens its recipient's page: who
// comes through a door reads it without, and nobody finds it when the mail has
// gone.
func (s *Store) Content(ctx context.Context, v access.View, id string) ([]byte, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	b, err := s.read.contentOf(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read content of %s: %w", id, explain(err))
	}
	if v.Role != "" {
		b = blank(b)
	}
	return b, nil
}

// ForgetContents drops the bytes of messages that ended before the time; that
// they were sent, to whom and why is kept. What their recipients did with a link
// goes with them. With dry it only counts the messages.
func (s *Store) ForgetContents(ctx context.Context, before time.Time, dry bool) (n int64, err error) {
	if dry {
		if n, err = s.read.countContents(ctx, instant{before}); err != nil {
			return 0, fmt.Errorf("count contents of old messages: %w", explain(err))
		}
		return n, nil
	}
	err = s.change(ctx, "forget contents of old messages", func(q *Queries) (err error) {
		for _, drop := range []func(context.Context, instant) (int64, error){q.dropLinks, q.dropChecks, q.dropPleas} {
			if _, err := drop(ctx, instant{before}); err != nil {
				return err
			}
		}
		n, err = q.forgetContents(ctx, instant{before})
		return err
	})
	return n, err
}

// ClaimMessage takes a message for sending, with the bytes that are sent now and at
// every later attempt. It reports false if it is not to be sent any more.
func (s *Store) ClaimMessage(ctx context.Context, id, mail, texts, envelope string, content []byte, at time.Time) (ok bool, err error) {
	err = s.change(ctx, "claim message "+id, func(q *Queries) error {
		n, err := q.claimMessage(ctx, claimMessageParams{Mail: mail, Texts: texts, Envelope: envelope, Content: append([]byte{}, content...), At: instant{at}, ID: id})
		ok = n > 0
		return err
	})
	return ok, err
}

// BeginMessage writes down that the message is about to be handed over for
// good: from here on nobody but the far end knows whether it arrived. A power cut
// must not forget that, or it is handed over again.
func (s *Store) BeginMessage(ctx context.Context, id string, at time.Time) error {
	return s.surely(ctx, "begin message "+id, func(tx *sql.Tx) error {
		n, err := s.write.WithTx(tx).beginMessage(ctx, beginMessageParams{At: instant{at}, ID: id})
		if err == nil && n == 0 {
			err = ErrMoved
		}
		return err
	})
}

// A Settlement is what became of a message.
type Settlement struct {
	Was, State MessageState
	Reason     string
	Next       time.Time
	Begun      time.Time
	Ended      time.Time
	Attempt    *Attempt // one more, if it was one
	Owed       string   // the step that its cases must take
	OwedWhy    string
	At         time.Time
	Audit      *Action // of a person
}

// SettleMessage moves a message from one state to another, or returns an error
// that wraps [ErrMoved].
func (s *Store) SettleMessage(ctx context.Context, id string, c Settlement) error {
	return s.change(ctx, fmt.Sprintf("note that message %s is %s", id, c.State), func(q *Queries) error {
		n, err := q.settleMessage(ctx, settleMessageParams{
			State: string(c.State), Reason: c.Reason, Next: instant{c.Next}, Begun: instant{c.Begun}, Ended: instant{c.Ended},
			Owed: c.Owed, OwedWhy: c.OwedWhy, OwedAt: instant{c.At}, ID: id, Was: string(c.Was),
		})
		if err == nil && n == 0 {
			err = ErrMoved
		}
		if err != nil {
			return err
		}
		if c.Audit != nil {
			if err := record(ctx, q, []Action{*c.Audit}); err != nil {
				return err
			}
		}
		if c.State == MessageSent {
			content, err := q.contentOf(ctx, id)
			if err != nil {
				return err
			}
			if bare := blank(content); !bytes.Equal(bare, content) {
				if err := q.setContent(ctx, setContentParams{Content: bare, ID: id}); err != nil {
					return err
				}
			}
		}
		if c.Attempt == nil {
			return nil
		}
		return q.putAttempt(ctx, putAttemptParams{
			Message: id, At: instant{c.Attempt.At}, Result: c.Attempt.Result, Stage: c.Attempt.Stage, Code: int64(c.Attempt.Code), Said: c.Attempt.Said,
		})
	})
}

// Paid writes down that the cases of the message took the step they owed.
func (s *Store) Paid(ctx context.Context, id string) error {
	return s.change(ctx, "note steps of message "+id, func(q *Queries) error { return q.paidMessage(ctx, id) })
}

// TookStep reports whether the case took a contact step with exactly this
// evidence since the time.
func (s *Store) TookStep(ctx context.Context, k exposure.Key, evidence string, since time.Time) (bool, error) {
	found, err := s.read.tookStep(ctx, tookStepParams{
		Addr: address{k.Addr}, Transport: string(k.Transport), Port: int64(k.Port), Rule: k.Rule, Evidence: evidence, At: instant{since},
	})
	if err != nil {
		return false, fmt.Errorf("read history of case %s: %w", k.Case(), explain(err))
	}
	return found, nil
}

// Deliveries returns what was sent, or is about to be, about the exposures at
// the addresses, in the order of their keys.
func (s *Store) Deliveries(ctx context.Context, addrs []netip.Addr) ([]Delivery, error) {
	in, err := hexed(addrs)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.deliveriesAt(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", explain(err))
	}
	all := make([]Delivery, 0, len(rows))
	for _, r := range rows {
		all = append(all, Delivery{
			Item: itemRow{
				Addr: r.Addr, Transport: r.Transport, Port: r.Port, Rule: r.Rule, Cycle: r.Cycle, Rung: r.Rung, ByRule: r.ByRule,
			}.item(),
			Message: r.Message, Kind: r.Kind, State: MessageState(r.State), Recipient: r.Recipient, Constituent: r.Party,
			Run: r.OfRun, Day: r.Day, Reason: r.Reason, Planned: r.Planned.Time, Next: r.Next.Time, Ended: r.Ended.Time,
		})
	}
	return all, nil
}

// An Answer says when the people of a case last answered, in one cycle.
type Answer struct {
	exposure.Key
	Cycle int
	At    time.Time
}

// Answers returns when the people of cases at the addresses last answered, or
// said that it is fixed.
func (s *Store) Answers(ctx context.Context, addrs []netip.Addr) ([]Answer, error) {
	in, err := hexed(addrs)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.answersAt(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read answers: %w", explain(err))
	}
	var all []Answer
	for _, r := range rows {
		all = append(all, Answer{
			Key:   exposure.Key{Addr: r.Addr.Addr, Transport: exposure.Transport(r.Transport), Port: uint16(r.Port), Rule: r.Rule},
			Cycle: int(r.Cycle), At: time.Unix(0, r.Newest).UTC(),
		})
	}
	return all, nil
}

func hexed(addrs []netip.Addr) (string, error) {
	seen := make(map[netip.Addr]bool, len(addrs))
	var words []string
	for _, a := range addrs {
		if !seen[a] {
			seen[a] = true
			words = append(words, hex.EncodeToString(address{a}.bytes()))
		}
	}
	return list(words, nil)
}

// PlaceCycle returns the cycle of the case when it took over the history of the
// one at the former address, 0 if it never did.
func (s *Store) PlaceCycle(ctx context.Context, k exposure.Key, from netip.Addr) (int, error) {
	n, err := s.read.placeCycle(ctx, placeCycleParams{
		Addr: address{k.Addr}, Transport: string(k.Transport), Port: int64(k.Port), Rule: k.Rule, Became: from.String(),
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read history of case %s: %w", k.Case(), explain(err))
	}
	return int(n), nil
}

// A LastContact is when a recipient was last told as a contact of one
// constituent, and the message to it that waits, if one does.
type LastContact struct {
	Recipient   string // exposure.Recipient.Key
	Constituent string
	At          time.Time
	Open        string // the id of a message
}

// LastContacts returns whom we told since the day.
func (s *Store) LastContacts(ctx context.Context, since time.Time) ([]LastContact, error) {
	rows, err := s.read.lastContacts(ctx, since.Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	var all []LastContact
	for _, r := range rows {
		c := LastContact{Recipient: r.Recipient, Constituent: r.Party, Open: r.OpenID}
		if r.Newest != 0 {
			c.At = time.Unix(0, r.Newest).UTC()
		}
		all = append(all, c)
	}
	return all, nil
}

// SentByDay returns how many messages were sent on each day since then that had
// any, the newest day first.
func (s *Store) SentByDay(ctx context.Context, since time.Time) ([]int, error) {
	rows, err := s.read.sentByDay(ctx, since.Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	var all []int
	for _, r := range rows {
		all = append(all, int(r.N))
	}
	return all, nil
}

// An OutboxCount is how many messages are in a state, and when the oldest of
// them was planned.
type OutboxCount struct {
	State  MessageState `json:"state"`
	N      int          `json:"n"`
	Oldest time.Time    `json:"oldest"`
}

// OutboxCounts returns how full the outbox is; nothing to a view below operator.
func (s *Store) OutboxCounts(ctx context.Context, v access.View) ([]OutboxCount, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.outboxStates(ctx)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", explain(err))
	}
	var all []OutboxCount
	for _, r := range rows {
		all = append(all, OutboxCount{MessageState(r.State), int(r.N), time.Unix(0, r.Oldest).UTC()})
	}
	return all, nil
}
