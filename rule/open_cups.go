package rule

import (
	"fmt"

	"ippwatch/exposure"
)

// openCUPS is a CUPS server that lists its queues to strangers.
var openCUPS = Rule{
	ID:        "open-cups",
	Title:     "A CUPS server lists its print queues to strangers",
	Severity:  exposure.High,
	Authority: []string{"CUPS, cupsd.conf(5), Location and Limit"},
	About: "The list tells every stranger which queues there are, where they stand and to which devices they lead: " +
		"it is the map for everything that can be tried next.",
	Remedy: Remedy{
		Owner: "Stop sharing with the Internet: in cupsd.conf set Listen to localhost or to the local network, " +
			"and in <Location /> put Order allow,deny with Allow @LOCAL or your own networks.",
		Provider: "Tell the customer; filter TCP and UDP destination port 631 towards customers by default, with exceptions on request.",
		CSIRT:    "Pass the host to the network's abuse contact; a server with many queues often belongs to an institution that can be named.",
		Commands: []string{
			"cupsctl --no-share-printers --no-remote-any --no-remote-admin",
			"cupsd -t && systemctl restart cups",
		},
	},
	Look:    lookOpenCUPS,
	Cleared: overTCP(lookOpenCUPS, clearedOpenCUPS),
}

func lookOpenCUPS(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.Verdict != exposure.Answered || o.CUPS == nil || !o.CUPS.Queues {
		return "", false
	}
	server := "CUPS"
	if o.CUPS.Server != "" {
		server = quote(o.CUPS.Server)
	}
	if len(o.Printers) == 0 {
		return fmt.Sprintf("%s lists its queues to a stranger", server), true
	}
	return fmt.Sprintf("%s listed %s to a stranger: %s",
		server, count(len(o.Printers), "queue", "queues"), names(o.Printers)), true
}

// clearedOpenCUPS wants the listing refused. A server that has no queue says
// 0x0406 or lists none, and would list the next one that is set up.
func clearedOpenCUPS(o *exposure.Observation) (Answer, string) {
	const listing = "CUPS-Get-Printers"
	by, ok := refused(o)
	if !ok {
		by, ok = refusedOperation(o, listing)
	}
	if ok {
		return Yes, "the queue list is refused to strangers (" + by + "); whether the port can be reached is another rule"
	}
	e, ok := asked(o, listing)
	switch {
	case !ok:
		return CannotTell, "the queue list was not asked for"
	case e.Status == nil:
		return CannotTell, "the request for the queue list was not answered in IPP"
	case *e.Status == 0x0501: // server-error-operation-not-supported, RFC 8011, appendix B.1.5.2
		return Yes, "what answers there now has no queue list (IPP status 0x0501)"
	case e.Status.Successful(), *e.Status == 0x0406:
		return CannotTell, fmt.Sprintf("it answers, and has no queue to list at the moment (IPP status 0x%04x)", uint16(*e.Status))
	}
	return CannotTell, fmt.Sprintf("the request for the queue list failed (IPP status 0x%04x), which is no refusal", uint16(*e.Status))
}
