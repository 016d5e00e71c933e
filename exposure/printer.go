package exposure

import (
	"net/netip"
	"slices"
)

// A Printer is one queue or device, as it described itself to a stranger.
type Printer struct {
	// Attributes are all attributes it gave, by name (RFC 8011, section 5.4),
	// each with its values in text: numbers in decimal, booleans as "true" and
	// "false", ranges as "1-5", resolutions as "600x600dpi", dates by RFC 3339,
	// collections as "{name=value ...}", out-of-band values as "no-value",
	// "unknown" ... Bounded, not escaped.
	Attributes map[string][]string `json:"attributes"`
}

// Get returns the first value of the attribute, or "".
func (p Printer) Get(name string) string {
	if v := p.Attributes[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Has reports whether the attribute has the value.
func (p Printer) Has(name, value string) bool { return slices.Contains(p.Attributes[name], value) }

// A Severity is one of Shadowserver's five words (facts/shadowserver.md 1.7).
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities are all of them, worst first.
var Severities = []Severity{Critical, High, Medium, Low, Info}

// Rank orders severities: 0 is the worst; one that is none of the five comes last.
func (s Severity) Rank() int {
	if i := slices.Index(Severities, s); i >= 0 {
		return i
	}
	return len(Severities)
}

// AtLeast reports whether s is as bad as limit or worse.
func (s Severity) AtLeast(limit Severity) bool { return s.Rank() <= limit.Rank() }

// Worst returns the worst severity among the findings, or "".
func Worst(findings []Finding) Severity {
	worst := Severity("")
	for _, f := range findings {
		if f.Severity.Rank() < worst.Rank() {
			worst = f.Severity
		}
	}
	return worst
}

// A Finding is one rule's verdict on an observation.
type Finding struct {
	Rule     string   `json:"rule"` // the rule's id, stable for ever
	Severity Severity `json:"severity"`
	// Evidence is one sentence with the facts that the verdict rests on. It may
	// carry what the host said: escape it for the place where it is shown.
	Evidence string `json:"evidence"`
}

// A Key names an exposure: one rule at one door of one host.
type Key struct {
	Addr      netip.Addr `json:"ip"`
	Transport Transport  `json:"transport"`
	Port      uint16     `json:"port"`
	Rule      string     `json:"rule"`
}
