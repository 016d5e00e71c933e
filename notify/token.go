package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// An ID is the short name of a message: it stands in its Message-ID, its return
// path and its opt-out. The same send key has the same ID for ever.
type ID string

// A Purpose is what a token may be used for; a token for one is worthless for
// another.
type Purpose string

// Purposes.
const (
	ForMessageID   Purpose = "message-id"
	ForReturnPath  Purpose = "return-path"
	ForUnsubscribe Purpose = "unsubscribe"
)

// A Secret makes the tokens that prove that a bounce, a reply or an opt-out
// belongs to a message of ours: without it nobody can opt out or bounce others.
type Secret struct{ key [sha256.Size]byte }

const (
	idBytes   = 10
	macBytes  = 10
	secretMin = 32
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// errSecret is for a secret that could be guessed.
var errSecret = fmt.Errorf("want at least %d bytes that nobody can guess", secretMin)

// NewSecret returns the secret that the bytes are.
func NewSecret(b []byte) (Secret, error) {
	if len(b) < secretMin {
		return Secret{}, errSecret
	}
	return Secret{sha256.Sum256(b)}, nil
}

// readSecret reads a file that nobody else may read.
func readSecret(name string) (Secret, error) {
	text, err := readPrivate(name)
	if err != nil {
		return Secret{}, err
	}
	s, err := NewSecret([]byte(text))
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// maxPrivate bounds the files with keys and passwords.
const maxPrivate = 64 << 10

var errOpenToAll = errors.New("others may read it: chmod 0640 or less")

// readPrivate returns the content without the line break at its end. A file
// that others may read is no place for a secret.
func readPrivate(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("read %s: %w", name, errOpenToAll)
	}
	if info.Size() > maxPrivate {
		return "", fmt.Errorf("read %s: more than %d bytes", name, maxPrivate)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// ID returns the name of the message with the send key.
func (s Secret) ID(key string) ID {
	return ID(letters.EncodeToString(s.mac("id", key)[:idBytes]))
}

func (s Secret) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}

// Token returns the proof for one purpose that its holder saw the message. It
// is of small letters and digits: mail servers change the case of addresses.
func (s Secret) Token(p Purpose, id ID) string {
	return string(id) + letters.EncodeToString(s.mac(string(p), string(id))[:macBytes])
}

// Open returns the message that the token is of.
func (s Secret) Open(p Purpose, token string) (ID, bool) {
	token = strings.ToLower(token)
	n := letters.EncodedLen(idBytes)
	if len(token) != n+letters.EncodedLen(macBytes) {
		return "", false
	}
	id := ID(token[:n])
	want := s.Token(p, id)
	return id, subtle.ConstantTimeCompare([]byte(want), []byte(token)) == 1
}
