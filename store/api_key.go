package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
)

// ErrNoKey says that a key is not known, not right, over or revoked.
var ErrNoKey = errors.New("no such key")

// A KeyKind is how a program shows that it has a key.
type KeyKind string

// Kinds of a key.
const (
	// KeyBearer is sent whole; only a hash of it is kept.
	KeyBearer KeyKind = "bearer"
	// KeyHMAC signs each request, as Shadowserver's API wants it. To check that
	// we must know the secret: it is derived from the master secret and the key's
	// name, and kept nowhere.
	KeyHMAC KeyKind = "hmac"
)

// keyPrefix marks our keys, for those who look for secrets that leaked.
const keyPrefix = "ippwatch_"

// An APIKey is a program's way in.
type APIKey struct {
	ID          string         `json:"id"`
	Kind        KeyKind        `json:"kind"`
	Label       string         `json:"label"`
	Role        access.Role    `json:"role"`
	Constituent string         `json:"constituent,omitempty"`
	Scopes      []access.Right `json:"scopes"` // what of the role's rights it has
	Created     time.Time      `json:"created"`
	Creator     string         `json:"creator"`
	Expires     time.Time      `json:"expires,omitzero"`
	Revoked     time.Time      `json:"revoked,omitzero"`
	Used        time.Time      `json:"used,omitzero"` // last, to the minute
}

// Holds reports whether the key may be used at the time.
func (k *APIKey) Holds(at time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || at.Before(k.Expires))
}

// AddKey keeps a key of the label, role, constituent, scopes, kind and expiry of
// k, and returns it with its secret, which is shown this once.
func (s *Store) AddKey(ctx context.Context, k APIKey, who string, at time.Time) (APIKey, string, error) {
	if err := checkPlace(k.Role, k.Constituent); err != nil {
		return k, "", err
	}
	for _, r := range k.Scopes {
		if !k.Role.May(r) {
			return k, "", BadAccountError{fmt.Errorf("scope %s: the role %s may not do it", r, k.Role)}
		}
	}
	switch {
	case strings.TrimSpace(k.Label) == "" || len(k.Label) > 200:
		return k, "", BadAccountError{errors.New("a key needs a label of up to 200 bytes: who uses it")}
	case len(k.Scopes) == 0:
		return k, "", BadAccountError{errors.New("a key needs a scope")}
	case !k.Expires.IsZero() && !k.Expires.After(at):
		return k, "", BadAccountError{errors.New("the key would be over already")}
	}
	var scopes []byte
	k.ID, k.Created, k.Creator = strings.ToLower(rand.Text()[:12]), at, who
	scopes, err := json.Marshal(k.Scopes)
	if err != nil {
		return k, "", err
	}
	arg := putAPIKeyParams{
		ID: k.ID, Kind: string(k.Kind), Hash: []byte{}, Label: k.Label, Role: string(k.Role), Party: k.Constituent, Scopes: string(scopes),
		Created: instant{at}, Creator: who, Expires: instant{k.Expires},
	}
	var secret string
	switch k.Kind {
	case KeyBearer:
		half := newSecret()
		arg.Hash, secret = hashOf(half), keyPrefix+k.ID+"_"+half
	case KeyHMAC:
		if secret, err = s.derive(k.ID); err != nil {
			return k, "", err
		}
	default:
		return k, "", BadAccountError{fmt.Errorf("kind %q: want %s or %s", k.Kind, KeyBearer, KeyHMAC)}
	}
	err = s.change(ctx, "add key", func(q *Queries) error {
		if err := q.putAPIKey(ctx, arg); err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{at}, Who: who, What: "key add", Detail: k.ID + " (" + k.Label + "): " + station(k.Role, k.Constituent)})
	})
	return k, secret, err
}

// derive returns the secret of an HMAC key.
func (s *Store) derive(id string) (string, error) {
	master, err := s.master()
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, master)
	fmt.Fprintf(h, "ippwatch api key 1\n%s", id)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Key returns the key of what a program sent as its bearer token, or [ErrNoKey].
func (s *Store) Key(ctx context.Context, token string, at time.Time) (APIKey, error) {
	id, half, _ := strings.Cut(strings.TrimPrefix(token, keyPrefix), "_")
	row, found, err := s.keyRow(ctx, id)
	if err != nil {
		return APIKey{}, err
	}
	sum := hashOf(half)
	if subtle.ConstantTimeCompare(sum, row.Hash)&found != 1 || row.Kind != string(KeyBearer) || !strings.HasPrefix(token, keyPrefix) {
		return APIKey{}, ErrNoKey
	}
	return s.useKey(ctx, row, at)
}

// SignedKey returns the HMAC key of the name if mac is the HMAC-SHA-256 of the
// body under its secret, in hexadecimal, and otherwise [ErrNoKey].
func (s *Store) SignedKey(ctx context.Context, id string, body []byte, mac string, at time.Time) (APIKey, error) {
	row, found, err := s.keyRow(ctx, id)
	if err != nil {
		return APIKey{}, err
	}
	secret, err := s.derive(id)
	if err != nil {
		return APIKey{}, err
	}
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	want := hex.EncodeToString(h.Sum(nil))
	if subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(mac)))&found != 1 || row.Kind != string(KeyHMAC) {
		return APIKey{}, ErrNoKey
	}
	return s.useKey(ctx, row, at)
}

// keyRow returns the row, and found 1, or for a name that is not known a row of
// the same form, and found 0.
func (s *Store) keyRow(ctx context.Context, id string) (row apiKeyRow, found int, err error) {
	row, err = s.read.apiKey(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return apiKeyRow{ID: id, Hash: make([]byte, sha256.Size)}, 0, nil
	}
	if err != nil {
		return row, 0, fmt.Errorf("read key: %w", explain(err))
	}
	return row, 1, nil
}

func (s *Store) useKey(ctx context.Context, row apiKeyRow, at time.Time) (APIKey, error) {
	k, err := row.key()
	if err != nil {
		return APIKey{}, err
	}
	if !k.Holds(at) {
		return APIKey{}, ErrNoKey
	}
	if at.Sub(k.Used) < seenEvery {
		return k, nil
	}
	k.Used = at
	return k, s.change(ctx, "note key", func(q *Queries) error {
		return q.useAPIKey(ctx, useAPIKeyParams{ID: k.ID, At: instant{at}})
	})
}

func (row apiKeyRow) key() (APIKey, error) {
	k := APIKey{
		ID: row.ID, Kind: KeyKind(row.Kind), Label: row.Label, Role: access.Role(row.Role), Constituent: row.Party,
		Created: row.Created.Time, Creator: row.Creator, Expires: row.Expires.Time, Revoked: row.Revoked.Time, Used: row.Used.Time,
	}
	if err := json.Unmarshal([]byte(row.Scopes), &k.Scopes); err != nil {
		return k, fmt.Errorf("read scopes of key %s: %w", row.ID, err)
	}
	k.Scopes = slices.DeleteFunc(k.Scopes, func(r access.Right) bool { return !k.Role.May(r) })
	return k, nil
}

// APIKeys returns all keys, the oldest first; none to a view that does not
// administer.
func (s *Store) APIKeys(ctx context.Context, v access.View) ([]APIKey, error) {
	if !v.May(access.Administer) {
		return nil, nil
	}
	rows, err := s.read.apiKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", explain(err))
	}
	out := make([]APIKey, 0, len(rows))
	for _, row := range rows {
		k, err := row.key()
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// RevokeKey ends a key for good, or fails with [ErrNoKey].
func (s *Store) RevokeKey(ctx context.Context, id, who string, at time.Time) error {
	return s.changeAccount(ctx, "revoke key "+id, Action{At: at, Who: who, What: "key revoke", Detail: id}, ErrNoKey,
		func(q *Queries) (int64, error) {
			return q.revokeAPIKey(ctx, revokeAPIKeyParams{ID: id, At: instant{at}})
		})
}
