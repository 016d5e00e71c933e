package store

import (
	"context"
	"fmt"
	"time"

	"ippwatch/access"
)

// An Action is one thing that an operator did.
type Action struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	What   string    `json:"what"` // "exclude", "unexclude", "pause", "resume" ...
	Detail string    `json:"detail"`
}

type entry struct {
	at                time.Time
	who, what, detail string
}

// Record writes down what an operator did elsewhere; the orders of this package
// write themselves down.
func (s *Store) Record(ctx context.Context, a Action) error {
	return s.change(ctx, "record "+a.What, func(q *Queries) error {
		return q.putAudit(ctx, putAuditParams{At: instant{a.At}, Who: a.Who, What: a.What, Detail: a.Detail})
	})
}

// Audit returns what operators did since the given time, the newest first; none
// to a view that may not read it.
func (s *Store) Audit(ctx context.Context, v access.View, since time.Time, limit int) ([]Action, error) {
	if !v.May(access.Audit) {
		return nil, nil
	}
	rows, err := s.read.auditSince(ctx, auditSinceParams{Since: instant{since}, N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", explain(err))
	}
	var out []Action
	for _, row := range rows {
		out = append(out, Action{At: row.At.Time, Who: row.Who, What: row.What, Detail: row.Detail})
	}
	return out, nil
}
