package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrNoDeed says that there is no such deed, or that it is another's.
var ErrNoDeed = errors.New("no such deed")

// A Deed is what somebody did with many cases at once, kept so that it can be
// undone.
type Deed struct {
	ID     string
	Who    string
	Action string
	At     time.Time
	Took   int64 // cases that took it
	Others int64 // that did not
	Undone time.Time
	Back   int64 // cases that were undone
	Was    []Was
}

// A Was is what some cases were before, which were alike.
type Was struct {
	Ruling   exposure.Ruling `json:"ruling,omitempty"`
	Why      string          `json:"why,omitempty"`
	By       string          `json:"by,omitempty"`
	Until    time.Time       `json:"until,omitzero"`
	Assignee string          `json:"assignee,omitempty"`
	Keys     []exposure.Key  `json:"keys"`
}

// keptDeeds are the last ones; an older verdict is withdrawn as any other.
const keptDeeds = 50

// KeepDeed keeps a deed, and forgets the oldest.
func (s *Store) KeepDeed(ctx context.Context, d Deed) error {
	was, err := json.Marshal(d.Was)
	if err != nil {
		return err
	}
	return s.transact(ctx, "keep deed "+d.ID, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO deeds (id, who, action, at, took, others, undone, back, was) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?)",
			d.ID, d.Who, d.Action, d.At.UnixNano(), d.Took, d.Others, string(was)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM deeds WHERE seq <= (SELECT max(seq) FROM deeds) - ?", keptDeeds)
		return err
	})
}

// Deed returns a deed of who looks.
func (s *Store) Deed(ctx context.Context, v access.View, id string) (Deed, error) {
	if v.Tier != access.Operator {
		return Deed{}, fmt.Errorf("read deed %s: %w", id, ErrNoDeed)
	}
	var d Deed
	var at, undone instant
	var was string
	err := s.reads.QueryRowContext(ctx, "SELECT id, who, action, at, took, others, undone, back, was FROM deeds WHERE id = ? AND who = ?", id, v.Who).
		Scan(&d.ID, &d.Who, &d.Action, &at, &d.Took, &d.Others, &undone, &d.Back, &was)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoDeed
	}
	if err == nil {
		err = json.Unmarshal([]byte(was), &d.Was)
	}
	if err != nil {
		return Deed{}, fmt.Errorf("read deed %s: %w", id, explain(err))
	}
	d.At, d.Undone = at.Time, undone.Time
	return d, nil
}

// BeginUndo marks a deed of who looks as undone. It fails with [ErrNoDeed] when it
// is already: of two who press the button, one undoes.
func (s *Store) BeginUndo(ctx context.Context, v access.View, id string, at time.Time) error {
	return s.transact(ctx, "undo deed "+id, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE deeds SET undone = ? WHERE id = ? AND who = ? AND undone = 0", at.UnixNano(), id, v.Who)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNoDeed)
		}
		return nil
	})
}

// EndUndo keeps how many cases went back.
func (s *Store) EndUndo(ctx context.Context, id string, back int64) error {
	return s.transact(ctx, "undo deed "+id, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE deeds SET back = ? WHERE id = ?", back, id)
		return err
	})
}
