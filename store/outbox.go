package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"ippwatch/access"
)

// An OutboxOrder is what messages are ordered by.
type OutboxOrder string

// Orders of the outbox; each has an index.
const (
	OutboxByPlanned     OutboxOrder = "planned"
	OutboxByID          OutboxOrder = "message"
	OutboxByState       OutboxOrder = "state"
	OutboxByKind        OutboxOrder = "kind"
	OutboxByRecipient   OutboxOrder = "to"
	OutboxByConstituent OutboxOrder = "constituent"
	OutboxByCases       OutboxOrder = "cases"
	OutboxByNext        OutboxOrder = "next"
	OutboxByEnded       OutboxOrder = "ended"
)

// outboxColumns are what the orders compare, as their indexes have it; the id
// comes last in each.
var outboxColumns = map[OutboxOrder][]string{
	OutboxByPlanned:     {"planned"},
	OutboxByID:          {},
	OutboxByState:       {"state", "next"},
	OutboxByKind:        {"kind", "planned"},
	OutboxByRecipient:   {"recipient", "party", "day"},
	OutboxByConstituent: {"party", "planned"},
	OutboxByCases:       {"ifnull(json_array_length(doc, '$.exposures'), 0)"},
	OutboxByNext:        {"next"},
	OutboxByEnded:       {"ended"},
}

// An OutboxFilter narrows and orders the outbox for a page. The zero filter takes
// all, the oldest first.
type OutboxFilter struct {
	States      []MessageState
	Run         string
	Constituent string
	To          string // is in the address
	Order       OutboxOrder
	Down        bool   // from the greatest
	Behind      string // go on behind the message of this id, in the order
}

// Outbox returns messages in an order of a page, with the exposures as they were
// planned; none to a view below operator. It ends at the first error.
func (s *Store) Outbox(ctx context.Context, v access.View, f OutboxFilter) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if v.Tier != access.Operator {
			return
		}
		fail := func(err error) { yield(Message{}, fmt.Errorf("read outbox: %w", explain(err))) }
		where, err := f.where()
		if err != nil {
			fail(err)
			return
		}
		for behind := f.Behind; ; {
			all, err := s.outboxPage(ctx, where, f, behind)
			if err != nil {
				fail(err)
				return
			}
			for _, m := range all {
				if !yield(m, nil) {
					return
				}
				behind = m.ID
			}
			if len(all) < page {
				return
			}
		}
	}
}

func (f OutboxFilter) where() (term, error) {
	where := term{"state <> '" + string(draft) + "'", nil}
	if len(f.States) > 0 {
		in, err := words("state", f.States, MessageStates)
		if err != nil {
			return where, err
		}
		// Few wait at a time, and an index finds them. Those that are over are most:
		// there the index of the order is the way.
		if slices.ContainsFunc(f.States, func(m MessageState) bool { return !m.Open() }) {
			in.text = "+" + in.text
		}
		where = in
	}
	for _, b := range []struct{ text, value string }{
		{"of_run = ?", f.Run},
		{"party = ?", f.Constituent},
		{"instr(lower(substr(recipient, instr(recipient, ':') + 1)), lower(?)) > 0", f.To},
	} {
		if b.value != "" {
			where = both(where, term{b.text, []any{b.value}})
		}
	}
	return where, nil
}

// page is the query for one page of messages.
func (f OutboxFilter) page(where term, behind string) (term, error) {
	columns, ok := outboxColumns[cmp.Or(f.Order, OutboxByPlanned)]
	if !ok {
		return term{}, fmt.Errorf("order %q: there is none", f.Order)
	}
	than, way := ">", ""
	if f.Down {
		than, way = "<", " DESC"
	}
	if behind != "" {
		var place []string
		for _, c := range columns {
			place = append(place, "(SELECT "+c+" FROM outbox WHERE id = ?)")
		}
		text := "(" + strings.Join(append(slices.Clone(columns), "id"), ", ") + ") " + than + " (" + strings.Join(append(place, "?"), ", ") + ")"
		where = both(where, term{text, slices.Repeat([]any{behind}, len(place)+1)})
	}
	order := strings.Join(append(slices.Clone(columns), "id"), way+", ") + way
	return term{`SELECT id, of_run, kind, rule, party, recipient, day, doc, state, reason, mail, planned, next, begun, ended, answered, attempts,
    first_try, texts, envelope, owed, owed_why, owed_at, length(content) FROM outbox WHERE ` + where.text + ` ORDER BY ` + order + fmt.Sprintf(" LIMIT %d", page), where.args}, nil
}

func (s *Store) outboxPage(ctx context.Context, where term, f OutboxFilter, behind string) ([]Message, error) {
	q, err := f.page(where, behind)
	if err != nil {
		return nil, err
	}
	return rowsOf(ctx, s, q, func(rows *sql.Rows) (Message, error) {
		var i messagesRow
		if err := rows.Scan(&i.ID, &i.OfRun, &i.Kind, &i.Rule, &i.Party, &i.Recipient, &i.Day, &i.Doc, &i.State, &i.Reason, &i.Mail, &i.Planned, &i.Next, &i.Begun,
			&i.Ended, &i.Answered, &i.Attempts, &i.FirstTry, &i.Texts, &i.Envelope, &i.Owed, &i.OwedWhy, &i.OwedAt, &i.Size); err != nil {
			return Message{}, err
		}
		return i.message()
	})
}
