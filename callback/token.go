// Package callback hears the hosts that a browse packet of ours made call back,
// and credits each call to the packet that caused it.
package callback

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Sizes of tokens and of the secrets that seal them.
const (
	SecretSize = 32
	TokenLen   = 39 // letters and digits; one length, so that all packets of a run are equally long

	macSize = 8
	rawSize = aes.BlockSize + macSize
)

// tokenText is base32 in lower case, which no part of CUPS folds or escapes.
var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// A Token is what the path of a browse packet tells to whoever has the key: the
// run, and the host that was asked (DESIGN.md, rule 5).
type Token struct {
	Run     string
	Target  netip.AddrPort // IPv4
	Attempt uint8
	Sealed  time.Time // to the second
}

// A Key seals and opens the tokens of one run.
type Key struct {
	run   string
	short uint32 // of the hash of run
	block cipher.Block
	mac   []byte
}

// NewSecret returns a fresh secret for [NewKey].
func NewSecret() []byte {
	secret := make([]byte, SecretSize)
	_, _ = rand.Read(secret) // never fails: see crypto/rand
	return secret
}

// NewKey returns the key of the run. The caller keeps the secret for as long as
// calls are to be credited to the run.
func NewKey(run string, secret []byte) (*Key, error) {
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("call-back key of run %s: secret of %d bytes, want %d", run, len(secret), SecretSize)
	}
	keys, err := hkdf.Key(sha256.New, secret, nil, "ippwatch call-back token 1", 16+sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("call-back key of run %s: %w", run, err)
	}
	block, err := aes.NewCipher(keys[:16])
	if err != nil {
		return nil, fmt.Errorf("call-back key of run %s: %w", run, err)
	}
	sum := sha256.Sum256([]byte(run))
	return &Key{run: run, short: binary.BigEndian.Uint32(sum[:]), block: block, mac: keys[16:]}, nil
}

// Run returns the run whose tokens the key seals.
func (k *Key) Run() string { return k.run }

// Seal returns the token for one packet: a block of run, address, port, attempt
// and time encrypted by AES-128, and 64 bits of an HMAC over it. The target
// must be IPv4, as cups-browsed is.
func (k *Key) Seal(target netip.AddrPort, attempt uint8, at time.Time) string {
	var raw [rawSize]byte
	b := raw[:aes.BlockSize]
	b[0] = 1 // the layout
	b[1] = attempt
	binary.BigEndian.PutUint16(b[2:], target.Port())
	addr := target.Addr().As4()
	copy(b[4:], addr[:])
	binary.BigEndian.PutUint32(b[8:], uint32(at.Unix()&0xffffffff))
	binary.BigEndian.PutUint32(b[12:], k.short)
	k.block.Encrypt(b, b)
	copy(raw[aes.BlockSize:], k.sum(b))
	return tokenText.EncodeToString(raw[:])
}

// Open returns what the token says if this key sealed it.
func (k *Key) Open(token string) (Token, bool) {
	if len(token) != TokenLen {
		return Token{}, false
	}
	raw, err := tokenText.DecodeString(token)
	// 39 letters carry 195 bits for 192: only one spelling is ours.
	if err != nil || len(raw) != rawSize || tokenText.EncodeToString(raw) != token {
		return Token{}, false
	}
	b := raw[:aes.BlockSize]
	if !hmac.Equal(raw[aes.BlockSize:], k.sum(b)) {
		return Token{}, false
	}
	k.block.Decrypt(b, b)
	if b[0] != 1 || binary.BigEndian.Uint32(b[12:]) != k.short {
		return Token{}, false
	}
	return Token{
		Run:     k.run,
		Target:  netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])),
		Attempt: b[1],
		Sealed:  time.Unix(int64(binary.BigEndian.Uint32(b[8:])), 0).UTC(),
	}, true
}

func (k *Key) sum(b []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}
