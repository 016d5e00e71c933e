package store

import (
	"context"
	"fmt"
	"time"
)

// keyLife is how long a call-back can be credited (DESIGN.md, rule 5).
const keyLife = 24 * time.Hour

// A Key is the secret under the call-back tokens of a run.
type Key struct {
	Run    string
	Secret []byte
	Made   time.Time
}

// PutKey keeps a key of the run for 24 hours from the given time, and forgets
// those whose time is over. A run that lasts longer puts another.
func (s *Store) PutKey(ctx context.Context, run string, secret []byte, at time.Time) error {
	return s.change(ctx, "keep key of run "+run, func(q *Queries) error {
		if err := q.dropKeys(ctx, instant{at.Add(-keyLife)}); err != nil {
			return err
		}
		return q.putKey(ctx, putKeyParams{RunID: run, Made: instant{at}, Secret: secret})
	})
}

// Keys returns the keys that are valid at the given time, the newest first.
func (s *Store) Keys(ctx context.Context, at time.Time) ([]Key, error) {
	rows, err := s.read.keys(ctx, instant{at.Add(-keyLife)})
	if err != nil {
		return nil, fmt.Errorf("read call-back keys: %w", explain(err))
	}
	var out []Key
	for _, row := range rows {
		out = append(out, Key{Run: row.RunID, Secret: row.Secret, Made: row.Made.Time})
	}
	return out, nil
}
