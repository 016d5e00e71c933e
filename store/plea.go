package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrNoPlea says that there is no such plea, or that it is decided.
var ErrNoPlea = errors.New("no such plea, or it is decided")

// A PleaKind is what the contact of a case asks for.
type PleaKind string

// Kinds of pleas.
const (
	PleaAccept  PleaKind = "accept"   // it must stay open: the risk is taken
	PleaNotMine PleaKind = "not-mine" // somebody else answers for it
)

// A PleaState is how far a plea came.
type PleaState string

// States of a plea.
const (
	PleaOpen      PleaState = "open"
	PleaWithdrawn PleaState = "withdrawn" // by who asked
	PleaGranted   PleaState = "granted"
	PleaRefused   PleaState = "refused"
)

// A Plea is what the contact of a link asks for of one case, and a person of ours
// decides.
type Plea struct {
	ID          string `json:"id"`
	Link        string `json:"link"` // its name in listings
	Contact     string `json:"contact"`
	Constituent string `json:"constituent"`
	exposure.Key
	Cycle   int       `json:"cycle"`
	Kind    PleaKind  `json:"kind"`
	Reason  string    `json:"reason"`
	Until   time.Time `json:"until,omitzero"` // of PleaAccept
	Asked   time.Time `json:"asked"`
	State   PleaState `json:"state"`
	Decided time.Time `json:"decided,omitzero"`
	Decider string    `json:"decider,omitempty"`
	Answer  string    `json:"answer,omitempty"`
}

// PutPlea writes a plea down, in the place of an open one of the same kind for
// the same case by the same constituent.
func (s *Store) PutPlea(ctx context.Context, p Plea) (Plea, error) {
	p.ID, p.State = strings.ToLower(rand.Text()[:12]), PleaOpen
	err := s.change(ctx, "put plea", func(q *Queries) error {
		_, err := q.withdrawPleas(ctx, withdrawPleasParams{
			At: instant{p.Asked}, Decider: "link " + p.Link, Addr: address{p.Addr}, Transport: string(p.Transport), Port: int64(p.Port), Rule: p.Rule,
			Party: p.Constituent, Kind: string(p.Kind),
		})
		if err != nil {
			return err
		}
		err = q.putPlea(ctx, putPleaParams{
			ID: p.ID, OfLink: p.Link, Contact: p.Contact, Party: p.Constituent, Addr: address{p.Addr}, Transport: string(p.Transport), Port: int64(p.Port),
			Rule: p.Rule, Cycle: int64(p.Cycle), Kind: string(p.Kind), Reason: p.Reason, Until: instant{p.Until}, Asked: instant{p.Asked},
		})
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{p.Asked}, Who: "link " + p.Link, What: "plea " + string(p.Kind), Detail: p.ID + " about " + p.Case()})
	})
	return p, err
}

// DecidePlea moves a plea from one state to another, or returns an error that
// wraps [ErrNoPlea].
func (s *Store) DecidePlea(ctx context.Context, id string, was, state PleaState, who, answer string, at time.Time) error {
	return s.change(ctx, "decide plea "+id, func(q *Queries) error {
		n, err := q.decidePlea(ctx, decidePleaParams{State: string(state), At: instant{at}, Decider: who, Answer: answer, ID: id, Was: string(was)})
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNoPlea
		}
		return q.putAudit(ctx, putAuditParams{At: instant{at}, Who: who, What: "plea " + string(state), Detail: id})
	})
}

// Plea returns one plea; [ErrNoPlea] to a view below operator.
func (s *Store) Plea(ctx context.Context, v access.View, id string) (Plea, error) {
	if v.Tier != access.Operator {
		return Plea{}, ErrNoPlea
	}
	row, err := s.read.plea(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Plea{}, ErrNoPlea
	}
	if err != nil {
		return Plea{}, fmt.Errorf("read plea %s: %w", id, explain(err))
	}
	return row.plea(), nil
}

// Pleas returns the newest pleas in the state, or in all when it is empty; none
// to a view below operator.
func (s *Store) Pleas(ctx context.Context, v access.View, state PleaState, limit int) ([]Plea, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.pleasIn(ctx, pleasInParams{State: string(state), N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read pleas: %w", explain(err))
	}
	all := make([]Plea, 0, len(rows))
	for _, row := range rows {
		all = append(all, row.plea())
	}
	return all, nil
}

// PleasAt returns the pleas about cases at the addresses that the view may see,
// the newest first.
func (s *Store) PleasAt(ctx context.Context, v access.View, addrs []netip.Addr) ([]Plea, error) {
	in, err := hexed(addrs)
	if err != nil {
		return nil, err
	}
	rows, err := s.read.pleasAt(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read pleas: %w", explain(err))
	}
	var all []Plea
	for _, row := range rows {
		if v.Sees(row.Addr.Addr, row.Asked.Time) {
			all = append(all, row.plea())
		}
	}
	return all, nil
}

func (row pleaRow) plea() Plea {
	return Plea{
		ID: row.ID, Link: row.OfLink, Contact: row.Contact, Constituent: row.Party,
		Key:   exposure.Key{Addr: row.Addr.Addr, Transport: exposure.Transport(row.Transport), Port: uint16(row.Port), Rule: row.Rule},
		Cycle: int(row.Cycle), Kind: PleaKind(row.Kind), Reason: row.Reason, Until: row.Until.Time, Asked: row.Asked.Time,
		State: PleaState(row.State), Decided: row.Decided.Time, Decider: row.Decider, Answer: row.Answer,
	}
}
