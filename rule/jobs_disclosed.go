package rule

import (
	"fmt"

	"ippwatch/exposure"
)

// jobsDisclosed is a print service that lists jobs to strangers. CUPS hides the
// job's name and owner by default and still gives the file's name away in
// document-name-supplied (facts/cups.md 2).
var jobsDisclosed = Rule{
	ID:        "jobs-disclosed",
	Title:     "Print jobs are listed to strangers",
	Severity:  exposure.High,
	Authority: []string{"RFC 8011, section 4.2.6 (Get-Jobs)", "RFC 8011, section 9.4 (restricted queries)"},
	About:     "The list tells when people print and, in names of files, often what.",
	Remedy: Remedy{
		Owner:    "Restrict Get-Jobs to the people who print: in the CUPS policy a <Limit Get-Jobs> with Require valid-user, and JobPrivateValues all.",
		Provider: "Tell the customer.",
		CSIRT:    "Notify: names of files are often personal data.",
		Commands: []string{"cupsctl --no-remote-any", "cupsctl PreserveJobHistory=No"},
	},
	Look:    lookJobsDisclosed,
	Cleared: overTCP(lookJobsDisclosed, clearedJobsDisclosed),
}

func lookJobsDisclosed(o *exposure.Observation) (string, bool) {
	j := o.Jobs
	if o.Transport != exposure.TCP || j == nil || !j.Status.Successful() || j.Listed <= 0 {
		return "", false
	}
	evidence := "Get-Jobs listed " + count(j.Listed, "job", "jobs") + " to a stranger"
	if len(j.Attributes) > 0 {
		var given []string
		for _, a := range j.Attributes {
			given = append(given, quote(a))
		}
		evidence += ", with " + list(given)
	}
	return evidence, true
}

// clearedJobsDisclosed wants the listing refused: an empty list is full tomorrow.
func clearedJobsDisclosed(o *exposure.Observation) (Answer, string) {
	if by, ok := refusedOperation(o, "Get-Jobs"); ok {
		return Yes, "the job list is refused to strangers: " + by
	}
	switch {
	case o.Jobs == nil:
		return CannotTell, "jobs were not asked for: that is done with --jobs only"
	case o.Jobs.Status >= 0x0401 && o.Jobs.Status <= 0x0403:
		return Yes, fmt.Sprintf("the job list is refused to strangers: IPP status 0x%04x", uint16(o.Jobs.Status))
	case o.Jobs.Status.Successful():
		return CannotTell, "the list is given to strangers, and was empty at the moment"
	}
	return CannotTell, fmt.Sprintf("the listing failed (IPP status 0x%04x), which is no refusal", uint16(o.Jobs.Status))
}
