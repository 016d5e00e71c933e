package rule

import (
	"fmt"
	"slices"

	"ippwatch/exposure"
)

// anonymousPrint is a printer that says it would print for anybody. It is read
// from what the printer states and never tried: a print job is not a probe.
var anonymousPrint = Rule{
	ID:       "anonymous-print",
	Title:    "Strangers may print",
	Severity: exposure.High,
	Authority: []string{
		"RFC 8011, section 5.4.2 (uri-authentication-supported)",
		"RFC 8011, section 5.4.15 (operations-supported)",
		"RFC 8011, section 5.4.23 (printer-is-accepting-jobs)",
	},
	About: "The printer states that it takes print jobs without a password. Strangers can use up paper and toner, " +
		"print threats or forged letters in your name, and feed files to the printer's interpreter.",
	Remedy: Remedy{
		Owner: "Require authentication or restrict printing to your own networks: on a printer in its access control settings, " +
			"on CUPS in the policy's <Limit Create-Job Print-Job> and in <Location />.",
		Provider: "Tell the customer; filter TCP destination port 631 towards customers by default.",
		CSIRT:    "Notify with the printer's name, so that the owner finds the right one.",
		Commands: []string{"cupsctl --no-remote-any", "lpadmin -p QUEUE -u allow:@GROUP"},
	},
	Look:    lookAnonymousPrint,
	Cleared: overTCP(lookAnonymousPrint, clearedAnonymousPrint),
}

// printJob is Print-Job (RFC 8011, section 5.4.15), as exposure.Printer holds
// an enum: in decimal.
const printJob = "2"

// anonymous returns the way in which a printer takes jobs without a proof of
// who sends them, or "". requesting-user-name is what the client says of itself.
func anonymous(p exposure.Printer) string {
	for _, way := range []string{"none", "requesting-user-name"} {
		if p.Has("uri-authentication-supported", way) {
			return way
		}
	}
	return ""
}

func lookAnonymousPrint(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.Verdict != exposure.Answered {
		return "", false
	}
	var open []string
	first := ""
	for _, p := range o.Printers {
		way := anonymous(p)
		if way == "" || !p.Has("operations-supported", printJob) || p.Get("printer-is-accepting-jobs") != "true" {
			continue
		}
		if first == "" {
			first = way
		}
		open = append(open, name(p))
	}
	if len(open) == 0 {
		return "", false
	}
	return fmt.Sprintf("Print-Job is offered, jobs are accepted and no proof of identity is asked for (uri-authentication-supported %s) by %s: %s",
		first, count(len(open), "printer", "printers"), list(open)), true
}

// clearedAnonymousPrint wants every printer to say that it does not. A printer
// that does not accept jobs may do so tomorrow, and a refusal to describe itself
// is not a refusal to print: the paths and the policies differ.
func clearedAnonymousPrint(o *exposure.Observation) (Answer, string) {
	if by, ok := refused(o); ok {
		return CannotTell, "it refused to describe its printers (" + by + "), which says nothing about printing"
	}
	if o.Verdict != exposure.Answered || len(o.Printers) == 0 {
		return CannotTell, "no printer described itself this time"
	}
	if o.IPP != nil && o.IPP.Stopped != "" {
		return CannotTell, "the description could not be read to its end: " + quote(o.IPP.Stopped)
	}
	for _, p := range o.Printers {
		asks := len(p.Attributes["uri-authentication-supported"]) > 0 && anonymous(p) == ""
		operations := p.Attributes["operations-supported"]
		lacks := len(operations) > 0 && !slices.Contains(operations, printJob)
		if !asks && !lacks {
			return CannotTell, name(p) + " does not say that it asks for authentication; perhaps it only does not accept jobs at the moment"
		}
	}
	return Yes, fmt.Sprintf("%s authentication, or without Print-Job", count(len(o.Printers), "printer describes itself with", "printers describe themselves with"))
}
