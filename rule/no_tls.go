package rule

import (
	"strings"

	"ippwatch/exposure"
)

// noTLS is a print service that has no encryption at all. A handshake that was
// refused proves it, unless by an alert, which is TLS that did not suit us, or by
// a host that asks for TLS itself. Without one, a device is believed that states
// so itself; cupsd is not, as it says "none" on a plain connection and would have
// upgraded.
var noTLS = Rule{
	ID:        "no-tls",
	Title:     "The print service has no encryption",
	Severity:  exposure.Medium,
	Authority: []string{"RFC 7472 (IPP over HTTPS)", "RFC 8011, section 5.4.3 (uri-security-supported)"},
	About:     "Whoever sits on the way reads the documents and the passwords, and can change them.",
	Remedy: Remedy{
		Owner:    "Switch TLS on in the printer's settings and use ipps:// in the queues; a device that cannot do it belongs behind a print server.",
		Provider: "No notice needed for this alone.",
		CSIRT:    "Mention it in the notice for the open service.",
		Commands: []string{"cupsctl DefaultEncryption=Required"},
	},
	Look:    lookNoTLS,
	Cleared: overTCP(lookNoTLS, clearedNoTLS),
}

func lookNoTLS(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.Verdict != exposure.Answered && o.Verdict != exposure.Restricted {
		return "", false
	}
	if o.TLS != nil {
		asks := o.HTTP != nil && strings.Contains(o.HTTP.Upgrade, "TLS")
		if o.TLS.Offered || o.TLS.Required || asks || strings.HasPrefix(o.TLS.Error, "remote error: ") {
			return "", false
		}
		evidence := "A TLS handshake on the same port was tried and refused"
		if o.TLS.Error != "" {
			evidence += ": " + quote(o.TLS.Error)
		}
		return evidence, true
	}
	if o.CUPS != nil || len(o.Printers) == 0 {
		return "", false
	}
	for _, p := range o.Printers {
		stated := p.Attributes["uri-security-supported"]
		if len(stated) == 0 {
			return "", false
		}
		for _, s := range stated {
			if s != "none" {
				return "", false
			}
		}
		for _, uri := range p.Attributes["printer-uri-supported"] {
			if scheme, _, _ := strings.Cut(strings.ToLower(uri), ":"); scheme == "ipps" || scheme == "https" {
				return "", false
			}
		}
	}
	return "The device states that it has no security (uri-security-supported none); no handshake was tried", true
}

func clearedNoTLS(o *exposure.Observation) (Answer, string) {
	switch {
	case o.TLS != nil && o.TLS.Offered:
		return Yes, "a TLS handshake on the same port succeeded"
	case o.TLS != nil && strings.HasPrefix(o.TLS.Error, "remote error: "):
		return CannotTell, "it answered the TLS handshake with an alert"
	case o.TLS != nil:
		return CannotTell, "it asks for TLS, and the handshake failed"
	}
	return CannotTell, "no TLS handshake was tried"
}
