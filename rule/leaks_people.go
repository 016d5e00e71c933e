package rule

import (
	"fmt"
	"regexp"

	"ippwatch/exposure"
)

// leaksPeople is a printer that tells strangers whose it is and where it stands.
var leaksPeople = Rule{
	ID:       "leaks-people",
	Title:    "People and places are told to strangers",
	Severity: exposure.Medium,
	Authority: []string{
		"RFC 8011, section 9.4 (restricted queries)",
		"RFC 8011, section 5.4.5 (printer-location)",
		"PWG 5100.13, printer-organization and printer-geo-location",
	},
	About: "Location, organisation, names and the wireless network's name lead a stranger from an address to a person or a room, " +
		"and make a letter that asks for a password believable.",
	Remedy: Remedy{
		Owner:    "Close the service towards the Internet, and take names of people and rooms out of the printer's settings.",
		Provider: "Tell the customer without repeating the values.",
		CSIRT:    "Use the organisation to find the right contact, and do not pass the values on to others.",
		Commands: []string{"lpadmin -p QUEUE -L '' -D ''"},
	},
	Look:    lookLeaksPeople,
	Cleared: overTCP(lookLeaksPeople, clearedLeaksPeople),
}

// tellingAttributes speak of people or places whenever they say anything.
var tellingAttributes = []string{
	"printer-location", "printer-organization", "printer-organizational-unit", "printer-geo-location",
	"printer-contact", "printer-contact-col", "printer-owner", "printer-fax-modem-number", "printer-wifi-ssid",
}

// namingAttributes hold a model or a purpose on most printers, and on some the
// name of a person.
var namingAttributes = []string{"printer-info", "printer-dns-sd-name", "printer-name"}

// person is what betrays one: a genitive, "of Jane Doe", or an address of mail.
var person = regexp.MustCompile(`\p{L}['’]s(\PL|$)|(^|\PL)(?:of|for|by|von|für|de|di|owner:?)\s+\p{Lu}\p{Ll}+\s+\p{Lu}\p{Ll}+|[\w.+-]+@[\w-]+\.\w+`)

func lookLeaksPeople(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP {
		return "", false
	}
	var told []string
	seen := make(map[string]bool)
	tell := func(attribute, value string) {
		if fact := attribute + " " + quote(value); !seen[fact] {
			seen[fact] = true
			told = append(told, fact)
		}
	}
	for _, p := range o.Printers {
		for _, a := range tellingAttributes {
			if v := p.Get(a); said(v) && v != "{}" {
				tell(a, v)
			}
		}
		for _, a := range namingAttributes {
			if v := p.Get(a); person.MatchString(clip(v, 1024)) {
				tell(a, v)
			}
		}
	}
	if len(told) == 0 {
		return "", false
	}
	return fmt.Sprintf("The printers tell strangers %s about people or places: %s", count(len(told), "fact", "facts"), list(told)), true
}

func clearedLeaksPeople(o *exposure.Observation) (Answer, string) {
	return undescribed(o, "people or places")
}
