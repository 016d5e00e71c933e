package rule

import (
	"fmt"

	"ippwatch/exposure"
)

// ippRestricted is a print service that can be reached and refuses strangers.
var ippRestricted = Rule{
	ID:        "ipp-restricted",
	Title:     "A print service can be reached, and refuses strangers",
	Severity:  exposure.Info,
	Authority: []string{"RFC 9110, sections 15.5.2, 15.5.4 and 15.5.22"},
	About: "The access rules of the print service hold, which is good. But the service itself can still be reached: " +
		"a flaw in the code that runs before the refusal, or a guessed password, is all that is missing.",
	Remedy: Remedy{
		Owner:    "Nothing is urgent. Close TCP port 631 towards the Internet, or listen on the local network only, when nobody outside needs it.",
		Provider: "No notice needed; a default filter for destination port 631 covers it.",
		CSIRT:    "Count it, and do not notify on this alone.",
		Commands: []string{"cupsctl --no-remote-any", "ss -lntp 'sport = :631'"},
	},
	Look:    lookIPPRestricted,
	Cleared: overTCP(lookIPPRestricted, clearedIPPRestricted),
}

func lookIPPRestricted(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.Verdict != exposure.Restricted {
		return "", false
	}
	how := "it refused us"
	if o.HTTP != nil {
		switch o.HTTP.Status {
		case 401:
			how = "it asked for a password (HTTP 401)"
		case 403:
			how = "it refused us (HTTP 403)"
		case 426:
			how = "it asked for TLS (HTTP 426) and gave nothing without"
		default:
			how = fmt.Sprintf("it refused us (HTTP %d)", o.HTTP.Status)
		}
	}
	return fmt.Sprintf("A print service can be reached on TCP port %d, and %s", o.Port, how), true
}

// clearedIPPRestricted is asked about answers only: a service that now answers
// strangers can be reached all the more.
func clearedIPPRestricted(*exposure.Observation) (Answer, string) {
	return No, "the service can still be reached, and no longer refuses strangers"
}
