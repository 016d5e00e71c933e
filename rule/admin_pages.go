package rule

import "ippwatch/exposure"

// adminPages is a CUPS server whose administration page opens for strangers.
// CUPS asks for a password when something is changed, not when it is looked at
// (facts/cups.md 2).
var adminPages = Rule{
	ID:        "admin-pages",
	Title:     "The administration page opens for strangers",
	Severity:  exposure.Medium,
	Authority: []string{"CUPS, cupsd.conf(5), Location /admin"},
	About: "The page shows the state of the server and is one guessed password away from changing it. " +
		"Changes ask for a password of the host itself, which can be guessed at from here.",
	Remedy: Remedy{
		Owner:    "Switch remote administration off, or restrict <Location /admin> to your own networks and require a user of the system group.",
		Provider: "Tell the customer.",
		CSIRT:    "Mention it in the notice for the open service; it seldom needs one of its own.",
		Commands: []string{"cupsctl --no-remote-admin", "cupsctl WebInterface=No"},
	},
	Look:    lookAdminPages,
	Cleared: overTCP(lookAdminPages, clearedAdminPages),
}

func lookAdminPages(o *exposure.Observation) (string, bool) { return given(o, isAdmin) }

func clearedAdminPages(o *exposure.Observation) (Answer, string) { return withheld(o, isAdmin) }
