package rule

import "ippwatch/exposure"

// configDisclosed is a CUPS server that gives its configuration file away.
// Found by status alone; the body was discarded. It happens where cupsd.conf
// has no Location for it (facts/cups.md 2, configuration t7).
var configDisclosed = Rule{
	ID:        "config-disclosed",
	Title:     "The configuration file is given to strangers",
	Severity:  exposure.High,
	Authority: []string{"CUPS, cupsd.conf(5), Location /admin/conf"},
	About:     "The file tells who may do what, from where, and how it is checked: it shows which door to try.",
	Remedy: Remedy{
		Owner:    "Put back the stock section <Location /admin/conf> with AuthType Default and Require user @SYSTEM, and switch remote administration off.",
		Provider: "Tell the customer.",
		CSIRT:    "Notify: what was readable should be taken to have been read.",
		Commands: []string{
			"cupsctl --no-remote-admin",
			"diff /etc/cups/cupsd.conf /usr/share/cups/cupsd.conf.default   # which sections are missing",
		},
	},
	Look:    lookConfigDisclosed,
	Cleared: overTCP(lookConfigDisclosed, clearedConfigDisclosed),
}

func lookConfigDisclosed(o *exposure.Observation) (string, bool) { return given(o, isConfig) }

func clearedConfigDisclosed(o *exposure.Observation) (Answer, string) { return withheld(o, isConfig) }
