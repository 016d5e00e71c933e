package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Errors of links. An owner with a link that is over may have another sent to
// the same contact; of one that is not known nothing is told.
var (
	ErrNoLink   = errors.New("no such link")
	ErrLinkOver = errors.New("the link is over")
)

// ErrTooSoon says that somebody has to wait before the same may be done again.
var ErrTooSoon = errors.New("too soon")

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
	Message     string    `json:"message,omitempty"` // that carries it
	Role        string    `json:"role,omitempty"`    // of the contact when it was made
	Language    string    `json:"language,omitempty"`
	Places      []Place   `json:"places,omitempty"` // the cases once more, and whose they were
	Resent      time.Time `json:"resent,omitzero"`  // when another was sent in its place
}

// A Place is a case of a link, and the constituent that was nearest to it when
// the link was made: when that is another, the address has moved.
type Place struct {
	exposure.Key
	Nearest string `json:"nearest"`
}

// AddLink keeps a link for the contact, constituent and cases of l until it
// expires, and returns its token, which is kept nowhere. The mail of a message has
// one: what an attempt made that was killed opens nothing.
func (s *Store) AddLink(ctx context.Context, l Link, who string, at time.Time) (Link, string, error) {
	l, token, hash, err := newLink(l, who, at)
	if err != nil {
		return l, "", err
	}
	err = s.change(ctx, "add link", func(q *Queries) error {
		// A webhook may have taken the first of two, and drops the second.
		if strings.HasPrefix(l.Contact, string(exposure.ByMail)+":") {
			if _, err := q.revokeLinksIn(ctx, revokeLinksInParams{At: instant{l.Created}, Message: l.Message}); err != nil {
				return err
			}
		}
		return addLink(ctx, q, l, hash)
	})
	return l, token, err
}

// ReplaceLink keeps a link in the place of a former one of the same contact. It
// fails with [ErrTooSoon] if the contact was sent one in the place of another
// within the time: a stranger with an old mail must not fill its mailbox.
func (s *Store) ReplaceLink(ctx context.Context, former string, l Link, within time.Duration, who string, at time.Time) (Link, string, error) {
	l, token, hash, err := newLink(l, who, at)
	if err != nil {
		return l, "", err
	}
	err = s.change(ctx, "replace link "+former, func(q *Queries) error {
		last, err := q.resentTo(ctx, l.Contact)
		if err != nil {
			return err
		}
		if within > 0 && last > 0 && at.Sub(time.Unix(0, last)) < within {
			return ErrTooSoon
		}
		if _, err := q.resendLink(ctx, resendLinkParams{At: instant{at}, ID: former}); err != nil {
			return err
		}
		return addLink(ctx, q, l, hash)
	})
	return l, token, err
}

func newLink(l Link, who string, at time.Time) (made Link, token string, hash []byte, err error) {
	for _, p := range l.Places {
		if name := p.Case(); !slices.Contains(l.Cases, name) {
			l.Cases = append(l.Cases, name)
		}
	}
	if l.Contact == "" || len(l.Cases) == 0 || !l.Expires.After(at) {
		return l, "", nil, BadAccountError{errors.New("a link needs a contact, a case and an end to come")}
	}
	token = newSecret()
	l.ID, l.Created, l.Creator = strings.ToLower(rand.Text()[:12]), at, who
	return l, token, hashOf(token), nil
}

// addLink writes a link down.
func addLink(ctx context.Context, q *Queries, l Link, hash []byte) error {
	cases, err := json.Marshal(l.Cases)
	if err != nil {
		return err
	}
	places, err := json.Marshal(l.Places)
	if err != nil {
		return err
	}
	err = q.putLink(ctx, putLinkParams{
		Token: hash, ID: l.ID, Contact: l.Contact, Party: l.Constituent, Cases: string(cases),
		Created: instant{l.Created}, Creator: l.Creator, Expires: instant{l.Expires},
		Message: l.Message, Role: l.Role, Language: l.Language, Places: string(places),
	})
	if err != nil {
		return err
	}
	return q.putAudit(ctx, putAuditParams{At: instant{l.Created}, Who: l.Creator, What: "link add", Detail: l.ID + " for " + l.Contact})
}

// LookLink returns the link of a token as [Store.UseLink] does, and writes
// nothing down: programs that look for harm in mails open every link.
func (s *Store) LookLink(ctx context.Context, token string, at time.Time) (Link, error) {
	row, err := s.read.link(ctx, hashOf(token))
	if errors.Is(err, sql.ErrNoRows) {
		return Link{}, ErrNoLink
	}
	if err != nil {
		return Link{}, fmt.Errorf("read link: %w", explain(err))
	}
	l, err := row.link()
	if err == nil && l.Over(at) {
		err = ErrLinkOver
	}
	return l, err
}

// Over reports whether the link opens nothing any more.
func (l *Link) Over(at time.Time) bool { return !l.Revoked.IsZero() || !at.Before(l.Expires) }

// Link returns the link with the name in listings; [ErrNoLink] to a view below
// operator.
func (s *Store) Link(ctx context.Context, v access.View, id string) (Link, error) {
	if v.Tier != access.Operator {
		return Link{}, ErrNoLink
	}
	row, err := s.read.linkNamed(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Link{}, ErrNoLink
	}
	if err != nil {
		return Link{}, fmt.Errorf("read link %s: %w", id, explain(err))
	}
	return row.link()
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
		if l.Over(at) {
			did.What = "link refused"
			return q.putAudit(ctx, did)
		}
		l.Used, l.Uses = at, l.Uses+1
		if _, err := q.useLink(ctx, useLinkParams{Token: hashOf(token), At: instant{at}}); err != nil {
			return err
		}
		return q.putAudit(ctx, did)
	})
	if err == nil && l.Over(at) {
		err = ErrLinkOver
	}
	return l, err
}

func (row linkRow) link() (Link, error) {
	l := Link{
		ID: row.ID, Contact: row.Contact, Constituent: row.Party, Created: row.Created.Time, Creator: row.Creator,
		Expires: row.Expires.Time, Revoked: row.Revoked.Time, Used: row.Used.Time, Uses: int(row.Uses),
		Message: row.Message, Role: row.Role, Language: row.Language, Resent: row.Resent.Time,
	}
	if err := json.Unmarshal([]byte(row.Places), &l.Places); err != nil {
		return l, fmt.Errorf("read places of link %s: %w", row.ID, err)
	}
	if err := json.Unmarshal([]byte(row.Cases), &l.Cases); err != nil {
		return l, fmt.Errorf("read cases of link %s: %w", row.ID, err)
	}
	return l, nil
}

// MailLink writes down the name that the mail with the link has in opt-outs.
func (s *Store) MailLink(ctx context.Context, id, mail string) error {
	return s.change(ctx, "name the mail of link "+id, func(q *Queries) error {
		_, err := q.mailLink(ctx, mailLinkParams{Mail: mail, ID: id})
		return err
	})
}

// ContactOfMail returns the contact that a mail went to, by the name that it has
// in opt-outs, and the message or the link that it was.
func (s *Store) ContactOfMail(ctx context.Context, mail string) (contact, what string, err error) {
	id, err := s.MessageOfMail(ctx, mail)
	if err != nil {
		return "", "", err
	}
	if id != "" {
		row, err := s.read.message(ctx, id)
		if err != nil {
			return "", "", fmt.Errorf("read message %s: %w", id, explain(err))
		}
		return row.Recipient, "message " + id, nil
	}
	row, err := s.read.linkOfMail(ctx, mail)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", ErrNoLink
	}
	if err != nil {
		return "", "", fmt.Errorf("read link of a mail: %w", explain(err))
	}
	return row.Contact, "link " + row.ID, nil
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

// linkIn finds the token of a link in a mail: the words of its page, also where
// quoted-printable breaks the line.
var linkIn = regexp.MustCompile(`/(?:=\r?\n)?o(?:=\r?\n)?/(?:(?:=\r?\n)?[A-Za-z0-9_-]){43}`)

// blank takes the tokens of links out of a mail that is only read any more, so
// that it opens nothing to who reads it. It keeps the length.
func blank(content []byte) []byte {
	return linkIn.ReplaceAllFunc(content, func(found []byte) []byte {
		out := slices.Clone(found)
		head := slices.Index(out[1:], '/') + 2
		for i := head; i < len(out); i++ {
			if out[i] != '=' && out[i] != '\r' && out[i] != '\n' {
				out[i] = 'x'
			}
		}
		return out
	})
}
