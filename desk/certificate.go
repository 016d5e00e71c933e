package desk

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"
)

// OpenCertificate returns the certificate of the face, which it makes and keeps
// in the file when it is not there: one that changed at each start would look
// like nobody's.
func OpenCertificate(file string, f Face) (*tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = newCertificate(f); err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("certificate of the print service: %w", err)
	}
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("certificate of the print service: %s: %w", file, err)
	}
	return &c, nil
}

// newCertificate signs for itself, as cupsd does when it has none (facts/cups.md,
// section 2): the name of the host, and ten years.
func newCertificate(f Face) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	made := origin
	if f.CUPS != nil {
		made = f.CUPS.Life.Made
	} else if f.Device != nil {
		made = f.Device.Life.Made
	}
	c, err := SelfSigned(key, pkix.Name{CommonName: f.Host}, []string{f.Host, f.Host + ".local", "localhost"}, made, made.AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: c.Certificate[0]}, {Type: "PRIVATE KEY", Bytes: private}} {
		if err := pem.Encode(&b, block); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// SelfSigned makes a certificate that nobody vouches for.
func SelfSigned(key crypto.Signer, name pkix.Name, hosts []string, from, to time.Time) (tls.Certificate, error) {
	form := x509.Certificate{
		SerialNumber: big.NewInt(from.Unix()),
		Subject:      name, NotBefore: from, NotAfter: to,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              hosts,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &form, &form, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
