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

// ErrNoRun says that there is no such run, or none that the view may see.
var ErrNoRun = errors.New("no such run")

// CreateRun keeps a run that begins. Its id must be new.
func (s *Store) CreateRun(ctx context.Context, r exposure.Run) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	return s.change(ctx, "create run "+r.ID, func(q *Queries) error {
		n, err := q.createRun(ctx, createRunParams{
			ID: r.ID, State: string(r.State), Started: instant{r.Started}, Ended: instant{r.Ended}, Doc: string(doc),
		})
		if err == nil && n == 0 {
			err = errors.New("the run exists")
		}
		return err
	})
}

// FinishRun sets how far a run came, at the given time. A run that is resumed
// is Running again and has no end.
func (s *Store) FinishRun(ctx context.Context, id string, state exposure.RunState, at time.Time) error {
	if state == exposure.Running {
		at = time.Time{}
	}
	return s.change(ctx, fmt.Sprintf("set run %s to %s", id, state), func(q *Queries) error {
		n, err := q.finishRun(ctx, finishRunParams{State: string(state), Ended: instant{at}, ID: id})
		if err == nil && n == 0 {
			err = ErrNoRun
		}
		return err
	})
}

// Run returns one run. A run tells of networks and of their keeper: operators
// see it, for others it is not there.
func (s *Store) Run(ctx context.Context, v access.View, id string) (exposure.Run, error) {
	if v.Tier != access.Operator {
		return exposure.Run{}, fmt.Errorf("read run %s: %w", id, ErrNoRun)
	}
	row, err := s.read.run(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoRun
	}
	if err != nil {
		return exposure.Run{}, fmt.Errorf("read run %s: %w", id, explain(err))
	}
	return row.run()
}

// Runs returns the latest runs, the newest first; none to a view below
// operator.
func (s *Store) Runs(ctx context.Context, v access.View, limit int) ([]exposure.Run, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.runs(ctx, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", explain(err))
	}
	out := make([]exposure.Run, 0, len(rows))
	for _, row := range rows {
		r, err := row.run()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (row runRow) run() (exposure.Run, error) {
	var r exposure.Run
	if err := json.Unmarshal([]byte(row.Doc), &r); err != nil {
		return exposure.Run{}, fmt.Errorf("read run %s: %w", row.ID, err)
	}
	r.State, r.Started, r.Ended = exposure.RunState(row.State), row.Started.Time, row.Ended.Time
	return r, nil
}
