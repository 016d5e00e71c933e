package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"ippwatch/access"
)

// ErrNoSession says that a token is of no session that lasts.
var ErrNoSession = errors.New("no such session")

// Life is how long a session lasts: in all, and without being used.
type Life struct{ Whole, Idle time.Duration }

// A Session is one browser of an account.
type Session struct {
	Name    string    `json:"name"` // in listings; it opens nothing
	Account string    `json:"account"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"` // to the minute
	Expires time.Time `json:"expires"`
	Remote  string    `json:"remote"`
	Agent   string    `json:"agent"`
	CSRF    []byte    `json:"-"`
}

// seenEvery is how exactly it is written down when something was used.
const seenEvery = time.Minute

// secretBytes is the length of every token: nobody guesses it, so looking its
// hash up in an index tells nothing by its time.
const secretBytes = 32

func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

func sessionName(token []byte) string { return hex.EncodeToString(token[:min(8, len(token))]) }

func (row sessionRow) session() Session {
	return Session{
		Name: sessionName(row.Token), Account: row.Owner, Created: row.Created.Time, Seen: row.Seen.Time, Expires: row.Expires.Time,
		Remote: row.Remote, Agent: row.Agent, CSRF: row.Csrf,
	}
}

// BeginSession begins a session of an account that has logged in, and returns
// its token, which is kept nowhere. Sessions that are over are forgotten.
func (s *Store) BeginSession(ctx context.Context, account, remote, agent string, life Life, at time.Time) (string, error) {
	token := newSecret()
	csrf := make([]byte, secretBytes)
	_, _ = rand.Read(csrf)
	err := s.change(ctx, "begin session", func(q *Queries) error {
		if _, err := q.dropSessionsOver(ctx, dropSessionsOverParams{At: instant{at}, IdleSince: instant{at.Add(-life.Idle)}}); err != nil {
			return err
		}
		err := q.putSession(ctx, putSessionParams{
			Token: hashOf(token), Owner: account, Csrf: csrf, Created: instant{at}, Seen: instant{at}, Expires: instant{at.Add(life.Whole)},
			Remote: remote, Agent: agent[:min(len(agent), 200)],
		})
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{at}, Who: account, What: "session begin", Detail: sessionName(hashOf(token)) + " from " + remote})
	})
	return token, err
}

// Session returns the session of a token and its account as it is now, or
// [ErrNoSession].
func (s *Store) Session(ctx context.Context, token string, life Life, at time.Time) (Session, Account, error) {
	hash := hashOf(token)
	row, err := s.read.session(ctx, sessionParams{Token: hash, At: instant{at}, IdleSince: instant{at.Add(-life.Idle)}})
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, Account{}, ErrNoSession
	}
	if err != nil {
		return Session{}, Account{}, fmt.Errorf("read session: %w", explain(err))
	}
	// What the account may do is read at every use.
	account, err := s.read.account(ctx, row.Owner)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !account.Disabled.IsZero() {
		return Session{}, Account{}, ErrNoSession
	}
	if err != nil {
		return Session{}, Account{}, fmt.Errorf("read session: %w", explain(err))
	}
	if at.Sub(row.Seen.Time) >= seenEvery {
		if err := s.noteSession(ctx, hash, at); err != nil {
			return Session{}, Account{}, err
		}
	}
	return row.session(), account.account(), nil
}

// notePatience is how long a page waits until it is written down that somebody
// looks at it.
const notePatience = 2 * time.Second

// noteSession writes down that a session was used. That is no change by anybody:
// it is not in the audit log. And where it cannot be written just now, on a full
// disk, people must still see their pages.
func (s *Store) noteSession(ctx context.Context, hash []byte, at time.Time) error {
	soon, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	err := s.change(soon, "note session", func(q *Queries) error {
		return q.seeSession(soon, seeSessionParams{Token: hash, At: instant{at}})
	})
	if TroubleOf(err) != NoTrouble || ctx.Err() == nil && soon.Err() != nil {
		return nil
	}
	return err
}

// Sessions returns the sessions of an account that last, the newest first: to
// itself, and to who administers.
func (s *Store) Sessions(ctx context.Context, v access.View, account string, life Life) ([]Session, error) {
	if v.Who != account && !v.May(access.Administer) {
		return nil, nil
	}
	rows, err := s.read.sessionsOf(ctx, sessionsOfParams{Owner: account, At: instant{v.At}, IdleSince: instant{v.At.Add(-life.Idle)}})
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", explain(err))
	}
	out := make([]Session, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.session())
	}
	return out, nil
}

// EndSession ends the session of a token; one that is over already is no error.
func (s *Store) EndSession(ctx context.Context, token, who string, at time.Time) error {
	err := s.changeAccount(ctx, "end session", Action{At: at, Who: who, What: "session end", Detail: sessionName(hashOf(token))}, ErrNoSession,
		func(q *Queries) (int64, error) { return q.dropSession(ctx, hashOf(token)) })
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	return err
}

// EndSessionNamed ends a session of an account by its name in listings.
func (s *Store) EndSessionNamed(ctx context.Context, account, name, who string, at time.Time) error {
	return s.changeAccount(ctx, "end session", Action{At: at, Who: who, What: "session end", Detail: name + " of " + account}, ErrNoSession,
		func(q *Queries) (int64, error) {
			return q.dropSessionNamed(ctx, dropSessionNamedParams{Owner: account, Name: name})
		})
}

// EndOtherSessions ends all sessions of an account but that of the token.
func (s *Store) EndOtherSessions(ctx context.Context, account, token string, at time.Time) error {
	err := s.changeAccount(ctx, "end sessions", Action{At: at, Who: account, What: "session end", Detail: "all others of " + account}, ErrNoSession,
		func(q *Queries) (int64, error) {
			return q.dropSessionsOf(ctx, dropSessionsOfParams{Owner: account, But: hashOf(token)})
		})
	if errors.Is(err, ErrNoSession) {
		return nil
	}
	return err
}
