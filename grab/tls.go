package grab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ippwatch/exposure"
)

// tlsConfig accepts whatever a printer of the last twenty years can speak: we
// look at the certificate, and trust nothing that comes.
func tlsConfig() *tls.Config {
	suites := make([]uint16, 0, 32)
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS10,
		CipherSuites:       suites,
		// Without the hybrid key exchanges: old stacks stumble over the long
		// hello, and nothing that we say is secret.
		CurvePreferences:       []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		SessionTicketsDisabled: true,
	}
}

// secureConnect opens a link and makes it TLS, by RFC 2817 if that is how the
// host wants it.
func (c *conversation) secureConnect() *fault {
	if f := c.connect(); f != nil {
		return f
	}
	if c.upgrades {
		return c.upgrade()
	}
	return c.handshake()
}

// handshake makes the link TLS and keeps what the host presents.
func (c *conversation) handshake() *fault {
	l := c.link
	until := time.Now().Add(l.lim.Handshake)
	if l.deadline.Before(until) {
		until = l.deadline
	}
	ctx, cancel := context.WithDeadline(c.ctx, until)
	defer cancel()
	conn := tls.Client(l.raw, c.g.tls)
	err := conn.HandshakeContext(ctx)
	if err != nil {
		c.hangUp()
		if c.ctx.Err() != nil {
			return &fault{verdict: exposure.Interrupted, reason: "stopped during the TLS handshake"}
		}
		why := clip(cause(err), maxField)
		// Silence is no refusal: a host with slow name service answers late.
		silent := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
		if !silent && (c.o.TLS == nil || !c.o.TLS.Offered) {
			// A certificate that cannot be read was offered all the same.
			c.o.TLS = &exposure.TLS{Offered: strings.Contains(why, "tls: failed to parse certificate"), Error: why}
		}
		return &fault{verdict: exposure.NotIPP, reason: "TLS handshake: " + why}
	}
	l.tls = conn
	state := conn.ConnectionState()
	c.o.TLS = &exposure.TLS{
		Offered:  true,
		Version:  tls.VersionName(state.Version),
		Cipher:   tls.CipherSuiteName(state.CipherSuite),
		Required: c.required,
	}
	if len(state.PeerCertificates) > 0 {
		c.o.TLS.Certificate = certificate(state.PeerCertificates[0])
	}
	return nil
}

// checkTLS learns whether a host that answered in plain does TLS as well. One
// that breaks off is asked once more: ippeveprinter and cupsd make their
// certificate when the first stranger asks, and a second one that comes at that
// moment is cut off. What goes wrong is kept in TLS.Error.
func (c *conversation) checkTLS() {
	c.triedTLS = true
	for try := range 2 {
		if try > 0 {
			select {
			case <-time.After(c.g.opt.Limits.Again):
			case <-c.ctx.Done():
			}
		}
		if c.ctx.Err() != nil {
			return
		}
		if f := c.connect(); f != nil {
			c.note("TLS check: " + cmp.Or(f.reason, string(f.verdict)))
			return
		}
		_ = c.handshake()
		// What is no TLS at all will be none a second later.
		if c.o.TLS == nil || c.o.TLS.Offered || strings.Contains(c.o.TLS.Error, notTLS) {
			return
		}
	}
}

// notTLS is how crypto/tls says that the answer was in another protocol.
const notTLS = "does not look like a TLS handshake"

// upgrade asks for TLS on a connection in plain (RFC 2817, section 3.2). After
// the handshake the host owes the answer to the request that asked for it.
func (c *conversation) upgrade() *fault {
	req := request{method: "OPTIONS", path: "*", upgrade: true}
	if f := c.link.send(req.append(nil, c.host, c.g.agent)); f != nil {
		return f
	}
	rep, f := c.link.readHead(true)
	switch {
	case f != nil:
		return f
	case rep.status != 101:
		return &fault{verdict: exposure.Restricted, reason: fmt.Sprintf("upgrade to TLS: HTTP %d", rep.status)}
	case c.link.r.Buffered() > 0:
		return &fault{verdict: exposure.Malformed, reason: "upgrade to TLS: bytes between the answer and the handshake"}
	}
	if f := c.handshake(); f != nil {
		return f
	}
	c.link.asked, c.link.got = time.Now(), 0
	rep, f = c.link.readHead(false)
	if f != nil {
		return f
	}
	buf := c.body()
	defer c.g.bodies.Put(buf)
	if f := c.link.readBody(&rep, buf); f != nil {
		return f
	}
	if !rep.keep {
		return &fault{verdict: exposure.Restricted, reason: "upgrade to TLS: the connection was closed after it"}
	}
	return nil
}

// secure turns the conversation to TLS, or says why not. Call it once.
func (c *conversation) secure() *fault {
	c.triedTLS, c.overTLS = true, true
	f := c.secureConnect()
	if f != nil && c.wantsUpgrade && f.verdict != exposure.Interrupted {
		c.upgrades = true
		f = c.secureConnect()
	}
	if f == nil {
		return nil
	}
	c.hangUp()
	c.overTLS, c.upgrades = false, false
	return f
}

// require turns the conversation to TLS because nothing is to be had in plain,
// and reports whether that worked.
func (c *conversation) require() bool {
	if c.triedTLS {
		return false
	}
	if f := c.secure(); f != nil {
		if f.verdict == exposure.Interrupted {
			c.judge(answer{f: f}, "")
		}
		c.note(f.reason)
		return false
	}
	c.required = true
	c.o.TLS.Required = true
	c.version = versions[0]
	return true
}

// certificate keeps what rules want to know of a certificate.
func certificate(x *x509.Certificate) *exposure.Certificate {
	sum := sha256.Sum256(x.Raw)
	cert := &exposure.Certificate{
		SHA256:    hex.EncodeToString(sum[:]),
		Subject:   clip(x.Subject.String(), maxField),
		Issuer:    clip(x.Issuer.String(), maxField),
		NotBefore: x.NotBefore.UTC(),
		NotAfter:  x.NotAfter.UTC(),
		Signature: x.SignatureAlgorithm.String(),
	}
	const maxNames = 32
	names := x.DNSNames
	for _, ip := range x.IPAddresses {
		names = append(names, ip.String())
	}
	for _, name := range names[:min(len(names), maxNames)] {
		cert.Names = append(cert.Names, clip(name, 255))
	}
	switch k := x.PublicKey.(type) {
	case *rsa.PublicKey:
		cert.KeyBits = k.N.BitLen()
		cert.Key = fmt.Sprintf("RSA %d", cert.KeyBits)
	case *ecdsa.PublicKey:
		cert.KeyBits = k.Params().BitSize
		cert.Key = "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		cert.KeyBits, cert.Key = 256, "Ed25519"
	default:
		cert.Key = x.PublicKeyAlgorithm.String()
	}
	if bytes.Equal(x.RawSubject, x.RawIssuer) {
		err := x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature)
		var old x509.InsecureAlgorithmError // x509 no longer checks SHA-1
		cert.SelfSigned = err == nil || errors.As(err, &old)
	}
	return cert
}
