package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"ippwatch/access"
)

const right = "correct horse battery"

var life = Life{Whole: 12 * time.Hour, Idle: 2 * time.Hour}

func withAccount(t *testing.T) *Store {
	t.Helper()
	s := fresh(t)
	if err := s.AddAccount(t.Context(), Account{Name: "Ann", Role: access.RoleAnalyst}, right, "j.doe", noon); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNobodyCostsWhatAnyoneCosts holds that a name that is not known is hashed
// at the same cost.
func TestNobodyCostsWhatAnyoneCosts(t *testing.T) {
	p, salt, key, err := argon2id.DecodeHash(nobody)
	if err != nil || *p != *cost || len(salt) != int(cost.SaltLength) || len(key) != int(cost.KeyLength) {
		t.Errorf("nobody has %+v, want %+v: %v", p, cost, err)
	}
}

func TestLogin(t *testing.T) {
	s := withAccount(t)
	if a, err := s.Login(t.Context(), " ANN ", right, noon); err != nil || a.Name != "ann" || a.Role != access.RoleAnalyst {
		t.Errorf("Login = %+v, %v", a, err)
	}
	for name, password := range map[string]string{
		"ann": "wrong horse battery", "bob": right, "": "", "ann ": "", "ann\x00": right, strings.Repeat("a", 5000): right,
	} {
		if a, err := s.Login(t.Context(), name, password, noon); !errors.Is(err, ErrRefused) || a.Name != "" {
			t.Errorf("Login(%.10q) = %+v, %v", name, a, err)
		}
	}
	log, err := s.Audit(t.Context(), operator(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	whats := make(map[string]int)
	for _, a := range log {
		whats[a.What]++
		if strings.Contains(a.Detail+a.Who, "bob") {
			t.Errorf("the log has a name that is not known: %+v", a)
		}
	}
	if whats["account add"] != 1 || whats["login"] != 1 || whats["login refused"] != 6 {
		t.Errorf("the log has %v", whats)
	}
}

func TestLockout(t *testing.T) {
	s := withAccount(t)
	wrong := func(at time.Time) {
		t.Helper()
		if _, err := s.Login(t.Context(), "ann", "wrong horse battery", at); !errors.Is(err, ErrRefused) {
			t.Errorf("a wrong password: %v", err)
		}
	}
	for range freeAttempts - 1 {
		wrong(noon)
	}
	if _, err := s.Login(t.Context(), "ann", right, noon); err != nil {
		t.Fatalf("the right password after %d wrong ones: %v", freeAttempts-1, err)
	}
	for range freeAttempts {
		wrong(noon)
	}
	if _, err := s.Login(t.Context(), "ann", right, noon.Add(firstLock-1)); !errors.Is(err, ErrRefused) {
		t.Errorf("the right password while it is locked: %v", err)
	}
	// Attempts while it is locked do not make it longer.
	for range 3 {
		wrong(noon.Add(firstLock - 1))
	}
	if _, err := s.Login(t.Context(), "ann", right, noon.Add(firstLock)); err != nil {
		t.Errorf("the right password after the lock: %v", err)
	}
	for range freeAttempts {
		wrong(noon)
	}
	if err := s.Enable(t.Context(), "ann", "j.doe", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(t.Context(), "ann", right, noon); err != nil {
		t.Errorf("after an operator unlocked it: %v", err)
	}
	if got := lockedUntil(1000, noon).Sub(noon); got != longestLock {
		t.Errorf("the longest lock = %s", got)
	}
}

// TestManyAttemptsAtOnce holds that a crowd learns no more than a queue.
func TestManyAttemptsAtOnce(t *testing.T) {
	s := withAccount(t)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() { _, _ = s.Login(t.Context(), "ann", "wrong horse battery", noon) })
	}
	wg.Wait()
	row, err := s.read.account(t.Context(), "ann")
	if err != nil || row.Failures != freeAttempts || !row.LockedUntil.Equal(noon.Add(firstLock)) {
		t.Errorf("after 12 at once: %d looked at, locked until %s, %v", row.Failures, row.LockedUntil, err)
	}
}

func TestAccountsRefuse(t *testing.T) {
	s := withAccount(t)
	for name, a := range map[string]struct {
		Account
		password string
	}{
		"a short password":           {Account{Name: "bob", Role: access.RoleOperator}, "elevenchars"},
		"a long password":            {Account{Name: "bob", Role: access.RoleOperator}, strings.Repeat("x", 2000)},
		"the name in it":             {Account{Name: "robert", Role: access.RoleOperator}, "Robert and more"},
		"a name with a space":        {Account{Name: "b ob", Role: access.RoleOperator}, right},
		"no role":                    {Account{Name: "bob"}, right},
		"the public":                 {Account{Name: "bob", Role: access.RolePublic}, right},
		"a constituent of nobody":    {Account{Name: "bob", Role: access.RoleConstituent}, right},
		"an operator of constituent": {Account{Name: "bob", Role: access.RoleOperator, Constituent: "a"}, right},
	} {
		err := s.AddAccount(t.Context(), a.Account, a.password, "j.doe", noon)
		if _, bad := errors.AsType[BadAccountError](err); !bad {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.AddAccount(t.Context(), Account{Name: "ANN", Role: access.RoleOperator}, right, "j.doe", noon); !errors.Is(err, ErrTaken) {
		t.Errorf("a name twice: %v", err)
	}
	for _, err := range []error{
		s.Disable(t.Context(), "bob", "j.doe", noon), s.Enable(t.Context(), "bob", "j.doe", noon),
		s.RemoveAccount(t.Context(), "bob", "j.doe", noon), s.SetPassword(t.Context(), "bob", right, "j.doe", noon),
	} {
		if !errors.Is(err, ErrNoAccount) {
			t.Errorf("an account that is not there: %v", err)
		}
	}
	if all, err := s.Accounts(t.Context(), operator()); err != nil || len(all) != 1 {
		t.Errorf("Accounts = %v, %v", all, err)
	}
	if all, err := s.Accounts(t.Context(), access.RoleAnalyst.View("ann", noon)); err != nil || len(all) != 0 {
		t.Errorf("an analyst sees accounts %v, %v", all, err)
	}
}

func TestSessions(t *testing.T) {
	s := withAccount(t)
	begin := func(at time.Time) string {
		t.Helper()
		token, err := s.BeginSession(t.Context(), "ann", "192.0.2.1", "a browser", life, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	lasts := func(token string, at time.Time) bool {
		t.Helper()
		sess, a, err := s.Session(t.Context(), token, life, at)
		if err != nil && !errors.Is(err, ErrNoSession) {
			t.Fatal(err)
		}
		return err == nil && a.Name == "ann" && len(sess.CSRF) == secretBytes
	}
	one, two := begin(noon), begin(noon)
	if !lasts(one, noon) || one == two || lasts("", noon) || lasts(one+"x", noon) {
		t.Error("a session is not what its token says")
	}
	if lasts(one, noon.Add(life.Idle)) {
		t.Error("a session that nobody used lasts")
	}
	for at := noon; at.Before(noon.Add(life.Whole)); at = at.Add(time.Hour) {
		if !lasts(one, at) {
			t.Errorf("a session in use ended after %s", at.Sub(noon))
		}
	}
	if lasts(one, noon.Add(life.Whole)) {
		t.Error("a session lasts for ever")
	}

	// Each of these ends sessions at once.
	for name, end := range map[string]func(token string) error{
		"logout": func(token string) error { return s.EndSession(t.Context(), token, "ann", noon) },
		"by name": func(token string) error {
			return s.EndSessionNamed(t.Context(), "ann", sessionName(hashOf(token)), "ann", noon)
		},
		"all others":     func(string) error { return s.EndOtherSessions(t.Context(), "ann", "none", noon) },
		"a new password": func(string) error { return s.SetPassword(t.Context(), "ann", right+"!", "ann", noon) },
		"disabled": func(string) error {
			return errors.Join(s.Disable(t.Context(), "ann", "j.doe", noon), s.Enable(t.Context(), "ann", "j.doe", noon))
		},
		"removed": func(string) error {
			return errors.Join(s.RemoveAccount(t.Context(), "ann", "j.doe", noon),
				s.AddAccount(t.Context(), Account{Name: "ann", Role: access.RoleAnalyst}, right, "j.doe", noon))
		},
	} {
		token := begin(noon)
		if err := end(token); err != nil || lasts(token, noon) {
			t.Errorf("%s: the session goes on: %v", name, err)
		}
	}
	if err := s.EndSessionNamed(t.Context(), "bob", sessionName(hashOf(begin(noon))), "bob", noon); !errors.Is(err, ErrNoSession) {
		t.Errorf("somebody else ended a session: %v", err)
	}
	for v, want := range map[string]int{"ann": 1, "bob": 0} {
		if all, err := s.Sessions(t.Context(), access.RoleAnalyst.View(v, noon), "ann", life); err != nil || len(all) != want {
			t.Errorf("%s sees %d sessions, want %d: %v", v, len(all), want, err)
		}
	}
}

// TestSecretsAreNotKept looks for every secret in the whole database.
func TestSecretsAreNotKept(t *testing.T) {
	s := withAccount(t)
	session, err := s.BeginSession(t.Context(), "ann", "192.0.2.1", "", life, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, bearer, err := s.AddKey(t.Context(), APIKey{Kind: KeyBearer, Label: "x", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}}, "j.doe", noon)
	if err != nil {
		t.Fatal(err)
	}
	_, signing, err := s.AddKey(t.Context(), APIKey{Kind: KeyHMAC, Label: "x", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}}, "j.doe", noon)
	if err != nil {
		t.Fatal(err)
	}
	_, link, err := s.AddLink(t.Context(), Link{Contact: "mail:a@example.net", Cases: []string{"C1"}, Expires: noon.Add(time.Hour)}, "j.doe", noon)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("mail:a@example.net")) {
		t.Error("the copy is not what it should be")
	}
	for name, secret := range map[string]string{"password": right, "session": session, "key": bearer[len(bearer)-20:], "HMAC key": signing, "link": link} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the database has the %s", name)
		}
	}
}

func TestKeys(t *testing.T) {
	s := fresh(t)
	add := func(k APIKey) (APIKey, string) {
		t.Helper()
		k, secret, err := s.AddKey(t.Context(), k, "j.doe", noon)
		if err != nil {
			t.Fatal(err)
		}
		return k, secret
	}
	own := APIKey{
		Kind: KeyBearer, Label: "siem", Role: access.RoleConstituent, Constituent: "customer-a",
		Scopes: []access.Right{access.Read}, Expires: noon.Add(24 * time.Hour),
	}
	k, secret := add(own)
	got, err := s.Key(t.Context(), secret, noon)
	if err != nil || got.ID != k.ID || got.Constituent != "customer-a" || len(got.Scopes) != 1 {
		t.Errorf("Key = %+v, %v", got, err)
	}
	_, other := add(own)
	for name, c := range map[string]struct {
		token string
		at    time.Time
	}{
		"nothing": {"", noon}, "a half": {secret[:len(secret)-1], noon}, "another's secret": {keyPrefix + k.ID + other[len(keyPrefix)+12:], noon},
		"without its prefix": {secret[len(keyPrefix):], noon}, "over": {secret, noon.Add(24 * time.Hour)}, "not known": {keyPrefix + "aaaa_bbbb", noon},
	} {
		if _, err := s.Key(t.Context(), c.token, c.at); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	signer, signing := add(APIKey{Kind: KeyHMAC, Label: "intelmq", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}})
	body := []byte(`{"apikey": "` + signer.ID + `"}`)
	sign := func(secret string, body []byte) string {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(body)
		return hex.EncodeToString(h.Sum(nil))
	}
	if got, err := s.SignedKey(t.Context(), signer.ID, body, sign(signing, body), noon); err != nil || got.Label != "intelmq" {
		t.Errorf("SignedKey = %+v, %v", got, err)
	}
	for name, c := range map[string]struct{ id, mac string }{
		"another body": {signer.ID, sign(signing, append(body, ' '))}, "no signature": {signer.ID, ""},
		"a bearer key": {k.ID, sign(secret, body)}, "not known": {"aaaa", sign("", body)},
	} {
		if _, err := s.SignedKey(t.Context(), c.id, body, c.mac, noon); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Key(t.Context(), signing, noon); !errors.Is(err, ErrNoKey) {
		t.Errorf("a signing secret as a bearer: %v", err)
	}
	if err := errors.Join(s.RevokeKey(t.Context(), k.ID, "j.doe", noon), s.RevokeKey(t.Context(), signer.ID, "j.doe", noon)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Key(t.Context(), secret, noon); !errors.Is(err, ErrNoKey) {
		t.Errorf("a revoked key: %v", err)
	}
	if _, err := s.SignedKey(t.Context(), signer.ID, body, sign(signing, body), noon); !errors.Is(err, ErrNoKey) {
		t.Errorf("a revoked key: %v", err)
	}
	if err := s.RevokeKey(t.Context(), k.ID, "j.doe", noon); !errors.Is(err, ErrNoKey) {
		t.Errorf("revoked twice: %v", err)
	}
	for name, k := range map[string]APIKey{
		"a right that the role has not": {Kind: KeyBearer, Label: "x", Role: access.RoleAuditor, Scopes: []access.Right{access.Change}},
		"no label":                      {Kind: KeyBearer, Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}},
		"no scope":                      {Kind: KeyBearer, Label: "x", Role: access.RoleAnalyst},
		"over":                          {Kind: KeyBearer, Label: "x", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}, Expires: noon},
		"no kind":                       {Label: "x", Role: access.RoleAnalyst, Scopes: []access.Right{access.Read}},
	} {
		if _, _, err := s.AddKey(t.Context(), k, "j.doe", noon); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestLinks(t *testing.T) {
	s := fresh(t)
	add := func(contact string) (Link, string) {
		t.Helper()
		l, token, err := s.AddLink(t.Context(), Link{Contact: contact, Constituent: "a", Cases: []string{"C1", "C2"}, Expires: noon.Add(time.Hour)}, "outreach", noon)
		if err != nil {
			t.Fatal(err)
		}
		return l, token
	}
	one, token := add("mail:a@example.net")
	l, err := s.UseLink(t.Context(), token, noon)
	if err != nil || l.Contact != one.Contact || len(l.Cases) != 2 || l.Uses != 1 {
		t.Errorf("UseLink = %+v, %v", l, err)
	}
	if l, err := s.UseLink(t.Context(), token, noon.Add(time.Hour)); !errors.Is(err, ErrLinkOver) || l.Contact != one.Contact {
		t.Errorf("a link that expired = %+v, %v", l, err)
	}
	if l, err := s.UseLink(t.Context(), token+"x", noon); !errors.Is(err, ErrNoLink) || l.Contact != "" {
		t.Errorf("a link that is not known = %+v, %v", l, err)
	}
	if err := s.RevokeLink(t.Context(), one.ID, "j.doe", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UseLink(t.Context(), token, noon); !errors.Is(err, ErrLinkOver) {
		t.Errorf("a revoked link: %v", err)
	}
	_, second := add("mail:a@example.net")
	_, other := add("mail:b@example.net")
	if err := s.RevokeLinksOf(t.Context(), "mail:a@example.net", "j.doe", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UseLink(t.Context(), second, noon); !errors.Is(err, ErrLinkOver) {
		t.Errorf("a link of a contact whose links are revoked: %v", err)
	}
	if _, err := s.UseLink(t.Context(), other, noon); err != nil {
		t.Errorf("another contact's link: %v", err)
	}
	if all, err := s.Links(t.Context(), operator(), "mail:a@example.net", 10); err != nil || len(all) != 2 {
		t.Errorf("Links = %v, %v", all, err)
	}
	if all, err := s.Links(t.Context(), access.RoleConstituent.View("a", noon), "", 10); err != nil || len(all) != 0 {
		t.Errorf("a constituent sees links %v, %v", all, err)
	}
}

func TestMasterSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, two := open0(t, dir), open0(t, dir)
	a, err := s.master()
	if err != nil || len(a) != secretBytes {
		t.Fatal(a, err)
	}
	if b, err := two.master(); err != nil || !bytes.Equal(a, b) {
		t.Errorf("another process has another secret: %v", err)
	}
	path := filepath.Join(dir, MasterFile)
	if runtime.GOOS == "windows" {
		return
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.master(); err == nil || !strings.Contains(err.Error(), "lets others read it") {
		t.Errorf("a secret that others can read: %v", err)
	}
}

// TestTheAuditLogIsForWhoMayReadIt holds the one right that no tier tells.
func TestTheAuditLogIsForWhoMayReadIt(t *testing.T) {
	s := withAccount(t)
	for role, want := range map[access.Role]bool{
		access.RolePublic: false, access.RoleConstituent: false, access.RoleAnalyst: false, access.RoleOperator: true, access.RoleAuditor: true,
	} {
		log, err := s.Audit(t.Context(), role.View("x", noon), time.Time{}, 10)
		if err != nil || len(log) > 0 != want {
			t.Errorf("%s reads %d entries, %v", role, len(log), err)
		}
	}
}

// TestAFailedEntryUndoesTheChange holds that nothing is changed that is not
// written down.
func TestAFailedEntryUndoesTheChange(t *testing.T) {
	s := withAccount(t)
	if _, err := s.writes.ExecContext(t.Context(), "CREATE TRIGGER shut BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"); err != nil {
		t.Fatal(err)
	}
	if err := s.Disable(t.Context(), "ann", "j.doe", noon); err == nil {
		t.Error("an account is disabled without an entry")
	}
	if row, err := s.read.account(t.Context(), "ann"); err != nil || !row.Disabled.IsZero() {
		t.Errorf("the change is there: %v", err)
	}
	if err := s.AddAccount(t.Context(), Account{Name: "bob", Role: access.RoleOperator}, right, "j.doe", noon); err == nil {
		t.Error("an account is added without an entry")
	}
	if _, err := s.read.account(t.Context(), "bob"); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("the account is there: %v", err)
	}
}
