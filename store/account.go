package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"ippwatch/access"
)

// Errors of accounts.
var (
	// ErrRefused is all that a stranger is told: no such name, a wrong password, a
	// disabled or a locked account are not told apart.
	ErrRefused   = errors.New("the name or the password is wrong, or there were too many attempts")
	ErrTaken     = errors.New("there is one of this name")
	ErrNoAccount = errors.New("no such account")
)

// A BadAccountError says what cannot be: a name, a password, a role.
type BadAccountError struct{ error }

// Unwrap returns what is wrong.
func (b BadAccountError) Unwrap() error { return b.error }

// An Account is somebody who may log in.
type Account struct {
	Name        string      `json:"name"`
	Role        access.Role `json:"role"`
	Constituent string      `json:"constituent,omitempty"`
	Created     time.Time   `json:"created"`
	Changed     time.Time   `json:"changed"`               // the password
	Disabled    time.Time   `json:"disabled,omitzero"`     // since
	Locked      time.Time   `json:"locked_until,omitzero"` // after wrong passwords
	LastLogin   time.Time   `json:"last_login,omitzero"`
}

// cost is what one password costs: OWASP's second choice, a seventh of a second
// on a small machine. More would let strangers keep the machine busy.
var cost = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody is the hash of a random text that nobody has kept. A name that is not
// known is compared with it, so that it costs what a name costs that is.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$M85Tg36UvJPjFC4SpwHv0g$ao0m3BXOlpbr7cTnEtViao/5CgcMfL8JiPYPKSESxBE"

// hashers is how many passwords are hashed at once, for the sake of the memory.
const hashers = 2

// After freeAttempts wrong passwords an account is locked for firstLock, and
// twice as long after each further one, up to longestLock. It is short, because
// whoever knows a name can lock it; attempts while it lasts count for nothing.
const (
	freeAttempts = 5
	firstLock    = 30 * time.Second
	longestLock  = 15 * time.Minute
)

// Bounds of a password. The lower one is all that is asked of its form (NIST SP
// 800-63B, section 3.1.1.2).
const (
	MinPassword = 12
	maxPassword = 1024
)

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// AccountName returns the name as it is kept.
func AccountName(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func checkPassword(name, password string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case n < MinPassword:
		return BadAccountError{fmt.Errorf("the password has %d characters: want %d or more", n, MinPassword)}
	case len(password) > maxPassword:
		return BadAccountError{fmt.Errorf("the password has %d bytes: the limit is %d", len(password), maxPassword)}
	case strings.Contains(strings.ToLower(password), name) && len(name) > 3:
		return BadAccountError{errors.New("the password has the name in it")}
	}
	return nil
}

// checkPlace says whether a role and a constituent go together.
func checkPlace(r access.Role, constituent string) error {
	if _, err := access.ParseRole(string(r)); err != nil {
		return BadAccountError{err}
	}
	switch {
	case r == access.RoleConstituent && constituent == "":
		return BadAccountError{errors.New("the role constituent needs a constituent")}
	case r != access.RoleConstituent && constituent != "":
		return BadAccountError{fmt.Errorf("the role %s is of no constituent", r)}
	}
	return nil
}

func (s *Store) hash(ctx context.Context, password string) (string, error) {
	if err := s.hashing(ctx); err != nil {
		return "", err
	}
	defer s.hashed()
	return argon2id.CreateHash(password, cost)
}

// matches takes the same time for every hash of our cost.
func (s *Store) matches(ctx context.Context, password, hash string) (bool, error) {
	if err := s.hashing(ctx); err != nil {
		return false, err
	}
	defer s.hashed()
	return argon2id.ComparePasswordAndHash(password, hash)
}

func (s *Store) hashing(ctx context.Context) error {
	select {
	case s.hashes <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) hashed() { <-s.hashes }

// AddAccount adds an account, or fails with [ErrTaken].
func (s *Store) AddAccount(ctx context.Context, a Account, password, who string, at time.Time) error {
	a.Name = AccountName(a.Name)
	if !accountName.MatchString(a.Name) {
		return BadAccountError{fmt.Errorf("name %q: want up to 64 small letters, digits and . _ @ + -", a.Name)}
	}
	if err := errors.Join(checkPlace(a.Role, a.Constituent), checkPassword(a.Name, password)); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.changeAccount(ctx, "add account "+a.Name, Action{At: at, Who: who, What: "account add", Detail: a.Name + ": " + station(a.Role, a.Constituent)}, ErrTaken,
		func(q *Queries) (int64, error) {
			return q.addAccount(ctx, addAccountParams{Name: a.Name, Hash: hash, Role: string(a.Role), Party: a.Constituent, At: instant{at}})
		})
}

func station(r access.Role, constituent string) string {
	if constituent == "" {
		return string(r)
	}
	return string(r) + " " + constituent
}

// changeAccount makes a change and its entry in the audit log, or fails with
// none when it touches nothing.
func (s *Store) changeAccount(ctx context.Context, what string, did Action, none error, f func(*Queries) (int64, error)) error {
	return s.change(ctx, what, func(q *Queries) error {
		n, err := f(q)
		if err == nil && n == 0 {
			err = none
		}
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{did.At}, Who: did.Who, What: did.What, Detail: did.Detail})
	})
}

// SetPassword sets the password of an account, unlocks it and ends its sessions.
func (s *Store) SetPassword(ctx context.Context, name, password, who string, at time.Time) error {
	name = AccountName(name)
	if err := checkPassword(name, password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.changeAccount(ctx, "set password of "+name, Action{At: at, Who: who, What: "account password", Detail: name}, ErrNoAccount,
		func(q *Queries) (int64, error) {
			n, err := q.setPassword(ctx, setPasswordParams{Name: name, Hash: hash, At: instant{at}})
			if err != nil {
				return n, err
			}
			_, err = q.dropSessionsOf(ctx, dropSessionsOfParams{Owner: name, But: []byte{}})
			return n, err
		})
}

// Disable shuts an account and ends its sessions.
func (s *Store) Disable(ctx context.Context, name, who string, at time.Time) error {
	name = AccountName(name)
	return s.changeAccount(ctx, "disable account "+name, Action{At: at, Who: who, What: "account disable", Detail: name}, ErrNoAccount,
		func(q *Queries) (int64, error) {
			n, err := q.setDisabled(ctx, setDisabledParams{Name: name, Disabled: instant{at}})
			if err != nil {
				return n, err
			}
			_, err = q.dropSessionsOf(ctx, dropSessionsOfParams{Owner: name, But: []byte{}})
			return n, err
		})
}

// Enable opens an account again, also one that is locked.
func (s *Store) Enable(ctx context.Context, name, who string, at time.Time) error {
	name = AccountName(name)
	return s.changeAccount(ctx, "enable account "+name, Action{At: at, Who: who, What: "account enable", Detail: name}, ErrNoAccount,
		func(q *Queries) (int64, error) {
			return q.setDisabled(ctx, setDisabledParams{Name: name})
		})
}

// RemoveAccount removes an account and its sessions. What it did stays in the
// audit log.
func (s *Store) RemoveAccount(ctx context.Context, name, who string, at time.Time) error {
	name = AccountName(name)
	return s.changeAccount(ctx, "remove account "+name, Action{At: at, Who: who, What: "account remove", Detail: name}, ErrNoAccount,
		func(q *Queries) (int64, error) {
			n, err := q.dropAccount(ctx, name)
			if err != nil {
				return n, err
			}
			_, err = q.dropSessionsOf(ctx, dropSessionsOfParams{Owner: name, But: []byte{}})
			return n, err
		})
}

// Accounts returns all accounts by name; none to a view that does not
// administer.
func (s *Store) Accounts(ctx context.Context, v access.View) ([]Account, error) {
	if !v.May(access.Administer) {
		return nil, nil
	}
	rows, err := s.read.accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", explain(err))
	}
	out := make([]Account, 0, len(rows))
	for _, row := range rows {
		out = append(out, row.account())
	}
	return out, nil
}

func (row accountRow) account() Account {
	return Account{
		Name: row.Name, Role: access.Role(row.Role), Constituent: row.Party, Created: row.Created.Time, Changed: row.Changed.Time,
		Disabled: row.Disabled.Time, Locked: row.LockedUntil.Time, LastLogin: row.LastLogin.Time,
	}
}

// Login returns the account if the password is its own, and [ErrRefused] in
// every other case, by the same way: one write, one hash, one write.
func (s *Store) Login(ctx context.Context, name, password string, at time.Time) (Account, error) {
	name = AccountName(name)
	if len(name) > maxPassword || len(password) > maxPassword {
		name, password = "", "" // it costs what any other costs
	}
	row, open, err := s.attempt(ctx, name, at)
	if err != nil {
		return Account{}, err
	}
	match, err := s.matches(ctx, password, row.Hash)
	if err != nil {
		return Account{}, fmt.Errorf("log in: %w", err)
	}
	ok := match && open && row.Disabled.IsZero() && row.Name != ""
	did := Action{At: at, Who: row.Name, What: "login", Detail: row.Name}
	if !ok {
		// Not the name that was typed: now and then it is a password.
		did.What, did.Who = "login refused", "stranger"
	}
	err = s.change(ctx, "log in", func(q *Queries) error {
		known := row.Name
		if !ok {
			known = "" // touches no row
		}
		if _, err := q.setLogin(ctx, setLoginParams{Name: known, At: instant{at}}); err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{did.At}, Who: did.Who, What: did.What, Detail: did.Detail})
	})
	if err != nil {
		return Account{}, err
	}
	if !ok {
		return Account{}, ErrRefused
	}
	row.LastLogin = instant{at}
	return row.account(), nil
}

// attempt counts an attempt before its password is looked at, so that many at
// once are not more than many in turn. It reports whether the account is open.
func (s *Store) attempt(ctx context.Context, name string, at time.Time) (row accountRow, open bool, err error) {
	err = s.change(ctx, "log in", func(q *Queries) error {
		row, err = q.account(ctx, name)
		if errors.Is(err, sql.ErrNoRows) {
			row, err = accountRow{Hash: nobody}, nil
		}
		if err != nil {
			return err
		}
		open = !at.Before(row.LockedUntil.Time)
		arg := setAttemptsParams{Name: row.Name, Failures: row.Failures, LockedUntil: row.LockedUntil}
		if open {
			arg.Failures++
			arg.LockedUntil = instant{lockedUntil(int(arg.Failures), at)}
		}
		_, err = q.setAttempts(ctx, arg)
		return err
	})
	return row, open, err
}

// lockedUntil is when the attempt after so many wrong ones is looked at.
func lockedUntil(failures int, at time.Time) time.Time {
	if failures < freeAttempts {
		return time.Time{}
	}
	return at.Add(min(firstLock<<min(failures-freeAttempts, 10), longestLock))
}
