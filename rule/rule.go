// Package rule judges observations: each rule looks at the facts of one and
// says whether it finds what it is about, and whether that is over.
package rule

import (
	"slices"

	"ippwatch/exposure"
)

// A Rule is one thing that can be wrong with a print service. It is a value:
// its functions are pure, so that a rule of next year judges an observation of
// today as it would judge a fresh one.
type Rule struct {
	ID    string // stable for ever: it appears in reports and in cases
	Title string // what is wrong, in a few words
	// Severity is of the rule and not of the host: the scale and its words are
	// Shadowserver's (facts/shadowserver.md 1.7).
	Severity  exposure.Severity
	Authority []string // document and section, or CVE
	About     string   // why it matters, for somebody who runs the host
	Remedy    Remedy
	// Look tells whether the observation shows it, with one sentence of
	// evidence. What the host said stands in Go quotes, clipped.
	Look func(o *exposure.Observation) (evidence string, found bool)
	// Cleared tells whether the observation shows that it is over, with the
	// reason. The caller sees to it that the observation is of the same address
	// and port as the case; an observation by another probe is [CannotTell].
	Cleared func(o *exposure.Observation) (Answer, string)
}

// A Remedy is what each reader can do.
type Remedy struct {
	Owner    string   // who runs the host
	Provider string   // who runs the network
	CSIRT    string   // who is responsible for a country
	Commands []string // for the owner, on the host
}

// All are the rules, in the order in which they are listed to a reader.
var All = []Rule{
	cupsBrowsedCallback,
	reflector,
	openIPP,
	openCUPS,
	anonymousPrint,
	configDisclosed,
	logDisclosed,
	jobsDisclosed,
	adminPages,
	leaksPeople,
	leaksInternalAddress,
	noTLS,
	expiredOrWeakCertificate,
	reportedCUPSVersion,
	ippRestricted,
}

// ByID returns the rule with the id.
func ByID(id string) (Rule, bool) {
	for _, r := range All {
		if r.ID == id {
			return r, true
		}
	}
	return Rule{}, false
}

// IDs are those of all rules, in the same order.
func IDs() []string {
	ids := make([]string, len(All))
	for i := range All {
		ids[i] = All[i].ID
	}
	return ids
}

// Judge applies every rule and returns what they find, worst first and then in
// the order of [All]. The result is never nil, so that it is an array in JSON.
func Judge(o *exposure.Observation) []exposure.Finding {
	findings := []exposure.Finding{}
	for _, r := range All {
		if evidence, found := r.Look(o); found {
			findings = append(findings, exposure.Finding{Rule: r.ID, Severity: r.Severity, Evidence: evidence})
		}
	}
	slices.SortStableFunc(findings, func(a, b exposure.Finding) int {
		return a.Severity.Rank() - b.Severity.Rank()
	})
	return findings
}
