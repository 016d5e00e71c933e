package persona

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"ippwatch/desk"
	"ippwatch/exposure"
)

// A certificate is what a persona presents over TLS, always signed by itself,
// as cupsd makes its own (facts/cups.md section 2).
type certificate int

const (
	noTLS certificate = iota
	sound
	expired
	weak // RSA 1024, good in time
)

// A wardrobe holds the certificates of a street, made once at its opening.
type wardrobe map[certificate]*tls.Config

func dress(now time.Time) (wardrobe, error) {
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024) // the smallest that Go still makes
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	name := pkix.Name{CommonName: "printer.example", Organization: []string{exposure.SimulatedMark}}
	const day = 24 * time.Hour
	w := make(wardrobe)
	for _, c := range []struct {
		kind     certificate
		key      crypto.Signer
		from, to time.Time
	}{
		{sound, good, now.Add(-30 * day), now.Add(3650 * day)},
		{expired, good, now.Add(-800 * day), now.Add(-70 * day)},
		{weak, small, now.Add(-30 * day), now.Add(3650 * day)},
	} {
		cert, err := desk.SelfSigned(c.key, name, []string{"printer.example", "printer.local", "localhost"}, c.from, c.to)
		if err != nil {
			return nil, err
		}
		w[c.kind] = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	return w, nil
}
