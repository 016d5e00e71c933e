package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"
)

// Why a request that has an Idempotency-Key is not served.
var (
	ErrRepeatOther   = errors.New("the same Idempotency-Key was sent with another request")
	ErrRepeatRunning = errors.New("the request with this Idempotency-Key is still being worked on")
)

// How long an answer is kept for who asks again, and after which time a request
// without an answer is taken for one of a process that died.
const (
	repeatLife = 24 * time.Hour
	repeatDead = 5 * time.Minute
)

// A Repeat is the answer to a request, kept for who asks again.
type Repeat struct {
	Status      int
	ContentType string
	Body        []byte
}

// BeginRepeat takes the word of the caller for a request with the digest, and
// returns nil; or the answer that was given to the same request, or
// [ErrRepeatOther], or [ErrRepeatRunning].
func (s *Store) BeginRepeat(ctx context.Context, caller, word string, digest []byte, at time.Time) (*Repeat, error) {
	var was *Repeat
	err := s.change(ctx, "begin a request with an idempotency key", func(q *Queries) error {
		was = nil
		if err := q.dropRepeats(ctx, dropRepeatsParams{Before: instant{at.Add(-repeatLife)}, Dead: instant{at.Add(-repeatDead)}}); err != nil {
			return err
		}
		row, err := q.repeat(ctx, repeatParams{Caller: caller, Word: word})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return q.putRepeat(ctx, putRepeatParams{Caller: caller, Word: word, Digest: digest, At: instant{at}})
		case err != nil:
			return err
		case !bytes.Equal(row.Digest, digest):
			return ErrRepeatOther
		case row.Status == 0:
			return ErrRepeatRunning
		}
		was = &Repeat{Status: int(row.Status), ContentType: row.Kind, Body: row.Body}
		return nil
	})
	return was, err
}

// EndRepeat keeps the answer.
func (s *Store) EndRepeat(ctx context.Context, caller, word string, r Repeat) error {
	return s.change(ctx, "keep the answer to a request with an idempotency key", func(q *Queries) error {
		return q.endRepeat(ctx, endRepeatParams{Caller: caller, Word: word, Status: int64(r.Status), Kind: r.ContentType, Body: r.Body})
	})
}

// DropRepeat gives the word back: the request was not served.
func (s *Store) DropRepeat(ctx context.Context, caller, word string) error {
	return s.change(ctx, "give an idempotency key back", func(q *Queries) error {
		return q.dropRepeat(ctx, dropRepeatParams{Caller: caller, Word: word})
	})
}
