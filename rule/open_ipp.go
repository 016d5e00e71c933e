package rule

import (
	"fmt"
	"strings"

	"ippwatch/exposure"
)

// openIPP is any print service that answers a stranger. The status code does
// not matter: a cupsd that says 0x0406 to Get-Printer-Attributes at "/" is as
// exposed as one that describes a printer (facts/cups.md 2).
var openIPP = Rule{
	ID:        "open-ipp",
	Title:     "A print service answers strangers",
	Severity:  exposure.High,
	Authority: []string{"Shadowserver, Open IPP report", "RFC 8010, section 8", "RFC 8011, section 9"},
	About: "Anybody who reaches this port can ask the print service about itself, and often can print, " +
		"use up its paper and toner, or attack its software. A printer has no reader on the whole Internet: " +
		"it should answer the network that it serves and no other.",
	Remedy: Remedy{
		Owner: "Let the service listen on the local network only, or restrict it to your own addresses, " +
			"and close TCP and UDP port 631 towards the Internet in your firewall.",
		Provider: "Tell the customer; filter TCP and UDP destination port 631 towards customers by default, with exceptions on request.",
		CSIRT:    "Pass the host to the network's abuse contact with this page, and probe again before you close the case.",
		Commands: []string{
			"cupsctl --no-share-printers --no-remote-any --no-remote-admin",
			"nft add rule inet filter input meta l4proto '{ tcp, udp }' th dport 631 drop   # after the rules that accept your own networks; table and chain as on your host",
			"ss -lntup 'sport = :631'   # what still listens, and on which addresses",
		},
	},
	Look:    lookOpenIPP,
	Cleared: overTCP(lookOpenIPP, clearedOpenIPP),
}

func lookOpenIPP(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.Verdict != exposure.Answered {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "TCP port %d answered a stranger in IPP", o.Port)
	if o.IPP != nil {
		if o.IPP.Version != "" {
			fmt.Fprintf(&b, " %s", bare(o.IPP.Version))
		}
		fmt.Fprintf(&b, " with status 0x%04x", uint16(o.IPP.Status))
		if o.IPP.Status == 0x0406 {
			b.WriteString(" (not found, yet the service is exposed)")
		}
	}
	if n := len(o.Printers); n > 0 {
		fmt.Fprintf(&b, " and described %s: %s", count(n, "printer", "printers"), names(o.Printers))
	}
	if o.Source.Feed() {
		fmt.Fprintf(&b, ", as %s reports", bare(string(o.Source)))
	}
	return b.String(), true
}

// clearedOpenIPP is asked about refusals only, as an answer is the finding. A
// refusal closes what was refused and not the way to the service: other paths,
// other operations and the code before the refusal can still be reached. So it
// does not clear this rule; ipp-restricted says what is left.
func clearedOpenIPP(o *exposure.Observation) (Answer, string) {
	if by, ok := refused(o); ok {
		return CannotTell, "it refused us (" + by + "), but it can still be reached: only a closed port clears this"
	}
	return CannotTell, "it asked for something else first, such as TLS, and can still be reached: only a closed port clears this"
}
