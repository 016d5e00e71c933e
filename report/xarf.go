package report

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// A Reporter is who stands behind a report for machines. Its YAML is a section
// of the configuration.
type Reporter struct {
	Organisation string `yaml:"organisation" json:"org"`
	Contact      string `yaml:"contact" json:"contact"` // a mail address
	Domain       string `yaml:"domain" json:"domain"`
}

// xarfVersion is the version of XARF that is written.
const xarfVersion = "4.2.0"

// The documents of XARF v4, vulnerability/open_service and vulnerability/cve:
// the fields of the schema that we know, and no more.
type xarf struct {
	Version    string    `json:"xarf_version"`
	ID         string    `json:"report_id"`
	Timestamp  time.Time `json:"timestamp"`
	Reporter   Reporter  `json:"reporter"`
	Sender     Reporter  `json:"sender"`
	Source     string    `json:"source_identifier"`
	Port       uint16    `json:"source_port"`
	Category   string    `json:"category"`
	Type       string    `json:"type"`
	EvidenceBy string    `json:"evidence_source"`
	Confidence float64   `json:"confidence"`

	Service     string            `json:"service"`
	ServicePort uint16            `json:"service_port"`
	CVE         string            `json:"cve_id,omitempty"`
	Severity    exposure.Severity `json:"severity,omitempty"`
	Risk        exposure.Severity `json:"risk_level"`
	Description string            `json:"description"`
	Remediation string            `json:"remediation"`
	Evidence    []xarfEvidence    `json:"evidence"`
	Tags        []string          `json:"tags"`

	// What XARF has no field for.
	Transport exposure.Transport `json:"transport"`
	FirstSeen time.Time          `json:"first_seen"`
	TimesSeen int                `json:"times_seen"`
	Condition exposure.Condition `json:"condition"`
	Commands  []string           `json:"remediation_commands,omitempty"`
}

type xarfEvidence struct {
	ContentType string `json:"content_type"`
	Description string `json:"description"`
	Payload     string `json:"payload"`
	Hash        string `json:"hash"`
	Size        int    `json:"size"`
}

// XARF returns one exposure as a document of XARF v4, as the specification wants
// it: one incident, one report. The same exposure in the same cycle has the
// same report_id, so that a receiver knows it again. A CVE is named only where
// our own probe has proven it.
func XARF(r Reporter, e exposure.Exposure) ([]byte, error) {
	known, ok := rule.ByID(e.Rule)
	if !ok {
		return nil, fmt.Errorf("write XARF for case %s: no rule %q", e.Case(), e.Rule)
	}
	addr := e.Addr.Unmap().WithZone("").String()
	evidence := []byte(readable(e.Evidence))
	sum := sha256.Sum256(evidence)
	d := xarf{
		Version: xarfVersion, ID: reportID(e), Timestamp: e.LastSeen.UTC(), Reporter: r, Sender: r,
		Source: addr, Port: e.Port, Category: "vulnerability", Type: "open_service",
		Service: service(e.Transport), ServicePort: e.Port, Risk: e.Severity,
		Description: known.Title + ". " + known.About, Remediation: known.Remedy.Owner, Commands: known.Remedy.Commands,
		Evidence: []xarfEvidence{{
			ContentType: "text/plain; charset=utf-8", Description: "what was seen at " + e.LastSeen.UTC().Format(time.RFC3339),
			Payload: base64.StdEncoding.EncodeToString(evidence), Hash: "sha256:" + hex.EncodeToString(sum[:]), Size: len(evidence),
		}},
		Transport: e.Transport, FirstSeen: e.FirstSeen.UTC(), TimesSeen: e.TimesSeen, Condition: e.Condition,
		Tags: []string{
			"service:ipp", "rule:" + e.Rule, "severity:" + string(e.Severity), "condition:" + string(e.Condition),
			"case:" + strings.ToLower(e.Case()), fmt.Sprintf("cycle:%d", e.Cycle),
		},
	}
	d.EvidenceBy, d.Confidence = certainty(e.Condition)
	if e.Simulated {
		d.Tags = append(d.Tags, "simulated:true")
	}
	if ids := cves(e.Rule); len(ids) > 0 && e.Condition == exposure.Confirmed {
		d.Type, d.CVE, d.Severity = "cve", ids[0], xarfSeverity(e.Severity)
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write XARF for case %s: %w", e.Case(), err)
	}
	return append(b, '\n'), nil
}

// certainty is how sure we are, and how we know.
func certainty(c exposure.Condition) (source string, confidence float64) {
	switch c {
	case exposure.Confirmed:
		return "vulnerability_scan", 1
	case exposure.Reported: // by a feed; we did not look
		return "threat_intelligence", 0.7
	}
	return "vulnerability_scan", 0.5 // it was so, and may be so no longer
}

func service(t exposure.Transport) string {
	if t == exposure.UDP {
		return "cups-browsed"
	}
	return "ipp"
}

// xarfSeverity is the word of the schema for a CVE.
func xarfSeverity(s exposure.Severity) exposure.Severity {
	if s == exposure.Info {
		return "informational"
	}
	return s
}

// reportID makes the UUID out of case and cycle. The schema wants the form of
// version 4, so that a hash wears its bits.
func reportID(e exposure.Exposure) string {
	u := sha256.Sum256(fmt.Appendf(nil, "xarf %s %s %d %s %d", e.Addr, e.Transport, e.Port, e.Rule, e.Cycle))
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
