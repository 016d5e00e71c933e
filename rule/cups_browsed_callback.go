package rule

import (
	"fmt"
	"strings"
	"time"

	"ippwatch/exposure"
)

// cupsBrowsedCallback is CVE-2024-47176, proven: one datagram of ours made the
// host call the address that the datagram named. No version is looked at: the
// same package is open with one line of configuration and closed without it
// (facts/cups.md 1.1).
var cupsBrowsedCallback = Rule{
	ID:        "cups-browsed-callback",
	Title:     "One UDP packet makes the host call an address of a stranger's choice",
	Severity:  exposure.Critical,
	Authority: []string{"CVE-2024-47176", "OpenPrinting cups-browsed 2.1.0, CHANGES.md"},
	About: "cups-browsed believes any packet on UDP port 631 and asks the address in it for a printer's attributes. " +
		"This is the first step of the chain of September 2024 (CVE-2024-47076, CVE-2024-47175, CVE-2024-47177), " +
		"which ends with a stranger's command run on this host when somebody prints.",
	Remedy: Remedy{
		Owner: "Switch cups-browsed off; hardly any host needs it. If yours does, update it and see that cups-browsed.conf " +
			"has no \"cups\" in BrowseRemoteProtocols: an old line survives the update. " +
			"Then remove the queue that a probe may have left behind.",
		Provider: "Filter UDP destination port 631 towards customers now, and tell the customer. Filtering outgoing TCP does not stop it: the packet names the port.",
		CSIRT:    "Notify at once: it was proven by the host's own call, not inferred from a version.",
		Commands: []string{
			"systemctl disable --now cups-browsed",
			"sed -i 's/^BrowseRemoteProtocols.*/BrowseRemoteProtocols dnssd/' /etc/cups/cups-browsed.conf   # if it must stay",
			"apt-get install --only-upgrade cups-browsed cups-filters   # Debian, Ubuntu; dnf upgrade cups-filters cups-browsed on Fedora, RHEL",
			"ss -lnup 'sport = :631'   # must print no cups-browsed",
			"lpstat -v | grep implicitclass   # queues left behind; remove one with: lpadmin -x NAME",
		},
	},
	Look:    lookCupsBrowsedCallback,
	Cleared: overUDP(lookCupsBrowsedCallback),
}

func lookCupsBrowsedCallback(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.UDP || o.Verdict != exposure.CalledBack {
		return "", false
	}
	c := o.Callback
	if c == nil || o.Source.Feed() { // a feed has only the verdict, and perhaps who called
		as := ""
		if c != nil && c.UserAgent != "" {
			as = " as " + quote(c.UserAgent)
		}
		return fmt.Sprintf("A packet to UDP port %d made the host call back%s, as %s reports", o.Port, as, bare(string(o.Source))), true
	}
	var b strings.Builder
	fmt.Fprintf(&b, "One packet to UDP port %d made the host call us over TCP with %s", o.Port, count(c.Posts, "POST", "POSTs"))
	if c.From.IsValid() && c.From.WithZone("").Unmap() != o.Addr.WithZone("").Unmap() {
		fmt.Fprintf(&b, " from %s", c.From.WithZone(""))
	}
	switch {
	case c.After >= time.Millisecond:
		fmt.Fprintf(&b, " after %s", c.After.Round(time.Millisecond))
	case c.After > 0: // a clock that rounds to nothing would say that it knew before
		b.WriteString(" within a millisecond")
	}
	if c.UserAgent != "" {
		fmt.Fprintf(&b, ", as %s", quote(c.UserAgent))
	}
	if c.Late {
		b.WriteString(", after the run had ended")
	}
	return b.String(), true
}
