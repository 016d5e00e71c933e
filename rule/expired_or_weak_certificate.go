package rule

import (
	"fmt"
	"strings"
	"time"

	"ippwatch/exposure"
)

// expiredOrWeakCertificate looks at the leaf that the host presented, with the
// time of the observation as the clock. Self-signed ones are the rule on
// printers and are not held against them.
var expiredOrWeakCertificate = Rule{
	ID:       "expired-or-weak-certificate",
	Title:    "The TLS certificate is expired or weak",
	Severity: exposure.Low,
	Authority: []string{
		"RFC 5280, section 4.1.2.5 (validity)",
		"RFC 9325, section 4.5 (key length), RFC 9155 (SHA-1 and MD5)",
	},
	About: "Clients that check are locked out or get used to ignoring the warning, and whoever sits on the way can pose as the printer.",
	Remedy: Remedy{
		Owner:    "Make a new certificate with RSA 2048 bits or ECDSA P-256 and SHA-256, in the printer's settings or by letting cupsd make one.",
		Provider: "No notice needed for this alone.",
		CSIRT:    "Mention it in the notice for the open service.",
		Commands: []string{"rm /etc/cups/ssl/$(hostname).crt /etc/cups/ssl/$(hostname).key && systemctl restart cups   # cupsd makes a new pair"},
	},
	Look:    lookCertificate,
	Cleared: overTCP(lookCertificate, clearedCertificate),
}

// clockSkew is how far ahead of ours a printer's clock may be. CUPS signs its
// certificate while we look, and few printers know the time.
const clockSkew = 24 * time.Hour

func lookCertificate(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.TLS == nil || o.TLS.Certificate == nil {
		return "", false
	}
	c := o.TLS.Certificate
	var wrong []string
	if !o.Observed.IsZero() && !c.NotAfter.IsZero() && o.Observed.After(c.NotAfter) {
		wrong = append(wrong, "expired on "+c.NotAfter.UTC().Format(time.DateOnly))
	}
	if !o.Observed.IsZero() && !c.NotBefore.IsZero() && c.NotBefore.Sub(o.Observed) > clockSkew {
		wrong = append(wrong, "is not valid before "+c.NotBefore.UTC().Format(time.DateOnly))
	}
	if least := leastBits(c.Key); c.KeyBits > 0 && c.KeyBits < least {
		wrong = append(wrong, fmt.Sprintf("has a key of %d bits (%s), fewer than %d", c.KeyBits, quote(c.Key), least))
	}
	if weakHash(c.Signature) {
		wrong = append(wrong, "is signed with "+quote(c.Signature))
	}
	if len(wrong) == 0 {
		return "", false
	}
	return fmt.Sprintf("The certificate of %s %s", quote(c.Subject), strings.Join(wrong, " and ")), true
}

// leastBits returns how long a key of the kind must be (RFC 9325, section 4.5).
func leastBits(key string) int {
	switch kind, _, _ := strings.Cut(strings.ToUpper(key), " "); kind {
	case "RSA", "DSA":
		return 2048
	case "ECDSA", "ED25519":
		return 224
	}
	return 0
}

func weakHash(signature string) bool {
	s := strings.ReplaceAll(strings.ToUpper(signature), "-", "")
	for _, weak := range []string{"MD2", "MD5", "SHA1"} {
		if strings.Contains(s, weak) {
			return true
		}
	}
	return false
}

func clearedCertificate(o *exposure.Observation) (Answer, string) {
	if o.TLS == nil || o.TLS.Certificate == nil {
		return CannotTell, "no certificate was seen"
	}
	return Yes, fmt.Sprintf("the certificate is valid until %s and its key (%s) is long enough",
		o.TLS.Certificate.NotAfter.UTC().Format(time.DateOnly), quote(o.TLS.Certificate.Key))
}
