package rule

import "ippwatch/exposure"

// logDisclosed is a CUPS server that gives its logs away. Found by status
// alone; the body was discarded.
var logDisclosed = Rule{
	ID:        "log-disclosed",
	Title:     "The log files are given to strangers",
	Severity:  exposure.High,
	Authority: []string{"CUPS, cupsd.conf(5), Location /admin/log"},
	About:     "The logs name users, documents, addresses and times: who printed what, and when.",
	Remedy: Remedy{
		Owner:    "Put back the stock section <Location /admin/log> with AuthType Default and Require user @SYSTEM, and switch remote administration off.",
		Provider: "Tell the customer.",
		CSIRT:    "Notify: personal data was readable, which may oblige the owner to report it.",
		Commands: []string{
			"cupsctl --no-remote-admin",
			"diff /etc/cups/cupsd.conf /usr/share/cups/cupsd.conf.default   # which sections are missing",
		},
	},
	Look:    lookLogDisclosed,
	Cleared: overTCP(lookLogDisclosed, clearedLogDisclosed),
}

func lookLogDisclosed(o *exposure.Observation) (string, bool) { return given(o, isLog) }

func clearedLogDisclosed(o *exposure.Observation) (Answer, string) { return withheld(o, isLog) }
