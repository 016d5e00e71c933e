package rule

import (
	"fmt"

	"ippwatch/exposure"
)

// reflector is CVE-2024-47850: the same call, looked at by its victim. Its
// severity is Shadowserver's for whatever can take part in denial of service,
// whatever the ratio: ours is a lower bound, so a small one excuses nobody
// (facts/cups.md 1.5, 1.8).
var reflector = Rule{
	ID:        "reflector",
	Title:     "The host can be used to flood others",
	Severity:  exposure.Medium,
	Authority: []string{"CVE-2024-47850", "Akamai, When CUPS Runneth Over, 2024"},
	About: "One small packet to UDP port 631 makes the host send several requests over TCP to an address of the sender's choice. " +
		"Many such hosts together flood a victim, and some answers of the victim make a host repeat them without end.",
	Remedy: Remedy{
		Owner:    "Switch cups-browsed off, or update it to 2.1.0 or to your distribution's fixed package.",
		Provider: "Filter UDP destination port 631 towards and from customers, and validate source addresses (BCP 38).",
		CSIRT:    "Count such hosts as reflectors; the sum of the ratios is a lower bound of what they could send.",
		Commands: []string{"systemctl disable --now cups-browsed", "nft add rule inet filter input udp dport 631 drop   # table and chain as on your host"},
	},
	Look:    lookReflector,
	Cleared: overUDP(lookReflector),
}

func lookReflector(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.UDP || o.Verdict != exposure.CalledBack {
		return "", false
	}
	c := o.Callback
	if c == nil || c.Asked <= 0 || c.BytesIn <= 0 {
		return "The host sends requests to an address that a packet names; how much it sends was not measured", true
	}
	atIP := ""
	if c.RatioIP > 0 {
		atIP = fmt.Sprintf(" (%.1f counted as IP bytes)", c.RatioIP)
	}
	if o.Source.Feed() {
		return fmt.Sprintf("A packet of %s brought back %s over TCP: a ratio of %.1f%s, as %s reports",
			count(c.Asked, "byte", "bytes"), count(c.BytesIn, "byte", "bytes"), c.RatioApp, atIP, bare(string(o.Source))), true
	}
	return fmt.Sprintf("%s of ours brought back %s over TCP: a ratio of %.1f%s, a lower bound, as we answer 404 and complete the handshake",
		count(c.Asked, "byte", "bytes"), count(c.BytesIn, "byte", "bytes"), c.RatioApp, atIP), true
}
