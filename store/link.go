package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ippwatch/access"
)

// Errors of links. An owner with a link that is over may have another sent to
// the same contact; of one that is not known nothing is told.
var (
	ErrNoLink   = errors.New("no such link")
	ErrLinkOver = errors.New("the link is over")
)

// A Link lets the contact of a mail see its own cases, and no others.
type Link struct {
	ID          string    `json:"id"` // in listings; it opens nothing
	Contact     string    `json:"contact"`
	Constituent string    `json:"constituent"`
	Cases       []string  `json:"cases"`
	Created     time.Time `json:"created"`
	Creator     string    `json:"creator"`
	Expires     time.Time `json:"expires"`
	Revoked     time.Time `json:"revoked,omitzero"`
	Used        time.Time `json:"used,omitzero"`
	Uses        int       `json:"uses"`
}

// AddLink keeps a link for the contact, constituent and cases of l until it
// expires, and returns its token, which is kept nowhere.
func (s *Store) AddLink(ctx context.Context, l Link, who string, at time.Time) (Link, string, error) {
	if l.Contact == "" || len(l.Cases) == 0 || !l.Expires.After(at) {
		return l, "", BadAccountError{errors.New("a link needs a contact, a case and an end to come")}
	}
	cases, err := json.Marshal(l.Cases)
	if err != nil {
		return l, "", err
	}
	token := newSecret()
	l.ID, l.Created, l.Creator = strings.ToLower(rand.Text()[:12]), at, who
	err = s.change(ctx, "add link", func(q *Queries) error {
		err := q.putLink(ctx, putLinkParams{
			Token: hashOf(token), ID: l.ID, Contact: l.Contact, Party: l.Constituent, Cases: string(cases),
			Created: instant{at}, Creator: who, Expires: instant{l.Expires},
		})
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{at}, Who: who, What: "link add", Detail: l.ID + " for " + l.Contact})
	})
	return l, token, err
}

// UseLink returns the link of a token and writes its use down. It fails with
// [ErrNoLink], or with [ErrLinkOver] and the link when it expired or was revoked.
func (s *Store) UseLink(ctx context.Context, token string, at time.Time) (l Link, err error) {
	err = s.change(ctx, "use link", func(q *Queries) error {
		row, err := q.link(ctx, hashOf(token))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoLink
		}
		if err != nil {
			return err
		}
		if l, err = row.link(); err != nil {
			return err
		}
		did := putAuditParams{At: instant{at}, Who: "link " + l.ID, What: "link use", Detail: l.ID + " for " + l.Contact}
		if !l.Revoked.IsZero() || !at.Before(l.Expires) {
			did.What = "link refused"
			return q.putAudit(ctx, did)
		}
		l.Used, l.Uses = at, l.Uses+1
		if _, err := q.useLink(ctx, useLinkParams{Token: hashOf(token), At: instant{at}}); err != nil {
			return err
		}
		return q.putAudit(ctx, did)
	})
	if err == nil && (!l.Revoked.IsZero() || !at.Before(l.Expires)) {
		err = ErrLinkOver
	}
	return l, err
}

func (row linkRow) link() (Link, error) {
	l := Link{
		ID: row.ID, Contact: row.Contact, Constituent: row.Party, Created: row.Created.Time, Creator: row.Creator,
		Expires: row.Expires.Time, Revoked: row.Revoked.Time, Used: row.Used.Time, Uses: int(row.Uses),
	}
	if err := json.Unmarshal([]byte(row.Cases), &l.Cases); err != nil {
		return l, fmt.Errorf("read cases of link %s: %w", row.ID, err)
	}
	return l, nil
}

// Links returns the newest links of a contact, or of all when it is empty; none
// to a view below operator, as contacts are other people's.
func (s *Store) Links(ctx context.Context, v access.View, contact string, limit int) ([]Link, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.linksOf(ctx, linksOfParams{Contact: contact, N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read links: %w", explain(err))
	}
	out := make([]Link, 0, len(rows))
	for _, row := range rows {
		l, err := row.link()
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// RevokeLink ends a link by its name in listings.
func (s *Store) RevokeLink(ctx context.Context, id, who string, at time.Time) error {
	return s.changeAccount(ctx, "revoke link "+id, Action{At: at, Who: who, What: "link revoke", Detail: id}, ErrNoLink,
		func(q *Queries) (int64, error) { return q.revokeLink(ctx, revokeLinkParams{ID: id, At: instant{at}}) })
}

// RevokeLinksOf ends all links of a contact, as when it wants no more mail.
func (s *Store) RevokeLinksOf(ctx context.Context, contact, who string, at time.Time) error {
	err := s.changeAccount(ctx, "revoke links of "+contact, Action{At: at, Who: who, What: "link revoke", Detail: "all of " + contact}, ErrNoLink,
		func(q *Queries) (int64, error) {
			return q.revokeLinksOf(ctx, revokeLinksOfParams{Contact: contact, At: instant{at}})
		})
	if errors.Is(err, ErrNoLink) {
		return nil
	}
	return err
}
