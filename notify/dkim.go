package notify

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// A Signer signs mail with DKIM.
type Signer struct {
	domain, selector string
	key              crypto.Signer
}

var errKey = errors.New("want a private key in PEM: RSA of 1024 bits at least (RFC 8301), or Ed25519")

// A KeyKind is a kind of DKIM key.
type KeyKind string

// Kinds of keys. RSA is what every receiver verifies; Ed25519 (RFC 8463) is
// short, and not known everywhere.
const (
	KeyRSA     KeyKind = "rsa"
	KeyEd25519 KeyKind = "ed25519"
)

// KeyKinds are all of them.
var KeyKinds = []KeyKind{KeyRSA, KeyEd25519}

// NewKey returns a new private key in PEM.
func NewKey(kind KeyKind) ([]byte, error) {
	var key any
	var err error
	switch kind {
	case KeyRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case KeyEd25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("DKIM key %q: want rsa or ed25519", string(kind))
	}
	if err != nil {
		return nil, fmt.Errorf("make a DKIM key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a DKIM key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Quoted returns the text of a TXT record as a zone file has it: strings of 255
// bytes at most (RFC 1035, section 3.3.14).
func Quoted(text string) string {
	var parts []string
	for chunk := range slices.Chunk([]byte(text), 255) {
		parts = append(parts, `"`+string(chunk)+`"`)
	}
	return "( " + strings.Join(parts, " ") + " )"
}

// NewSigner returns a signer for the domain with a private key in PEM.
func NewSigner(domain, selector string, key []byte) (*Signer, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errKey
	}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 1024 {
			return nil, errKey
		}
		return &Signer{domain, selector, k}, nil
	case ed25519.PrivateKey:
		return &Signer{domain, selector, k}, nil
	}
	return nil, errKey
}

// signed are the headers under the signature (RFC 6376, section 5.4.1). RFC
// 8058, section 4, wants those of the opt-out among them. A name that stands
// here twice, or is not in the mail, cannot be added on the way.
var signed = []string{
	"From", "From", "To", "To", "Subject", "Subject", "Date", "Date", "Reply-To", "Reply-To",
	"Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Language",
	"List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted",
}

// Sign returns the mail with a signature before it.
func (s *Signer) Sign(message []byte) ([]byte, error) {
	var out bytes.Buffer
	err := dkim.Sign(&out, bytes.NewReader(message), &dkim.SignOptions{
		Domain: s.domain, Selector: s.selector, Signer: s.key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: signed,
	})
	if err != nil {
		return nil, fmt.Errorf("sign mail for %s: %w", s.domain, err)
	}
	return out.Bytes(), nil
}

// Record returns the name and the text of the TXT record that tells the world
// the public key.
func (s *Signer) Record() (name, text string, err error) {
	kind, public := "ed25519", []byte(nil)
	switch k := s.key.Public().(type) {
	case ed25519.PublicKey:
		public = k
	default:
		kind = "rsa"
		if public, err = x509.MarshalPKIXPublicKey(k); err != nil {
			return "", "", fmt.Errorf("public key of %s: %w", s.domain, err)
		}
	}
	return s.selector + "._domainkey." + s.domain, "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public), nil
}
