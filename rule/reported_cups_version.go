package rule

import (
	"fmt"
	"strconv"
	"strings"

	"ippwatch/exposure"
)

// reportedCUPSVersion says which upstream fixes are later than the version that
// the host states. It never says "vulnerable": the number is upstream's, and
// distributions put fixes into old versions without changing it (facts/cups.md 3).
var reportedCUPSVersion = Rule{
	ID:        "reported-cups-version",
	Title:     "The reported CUPS version is older than upstream fixes",
	Severity:  exposure.Info,
	Authority: []string{"OpenPrinting CUPS, CHANGES.md"},
	About: "The host states a version of CUPS. Upstream fixed flaws in later versions; whether this host has those fixes " +
		"cannot be seen from outside, because distributions backport them and keep the number.",
	Remedy: Remedy{
		Owner:    "Ask the package manager of the host, not this number, and install what it offers.",
		Provider: "No notice needed for this alone.",
		CSIRT:    "Count it with care, and never publish it as a number of vulnerable hosts.",
		Commands: []string{
			"apt-get install --only-upgrade cups   # Debian, Ubuntu; dnf upgrade cups on Fedora, RHEL",
			"apt-get changelog cups | grep CVE-   # what the package has fixed",
		},
	},
	Look:    lookReportedCUPSVersion,
	Cleared: overTCP(lookReportedCUPSVersion, clearedReportedCUPSVersion),
}

// upstream are the fixes in cupsd and libcups of facts/cups.md 3, oldest first.
var upstream = []struct {
	in   version
	cves string
}{
	{version{2, 4, 9}, "CVE-2024-35235"},
	{version{2, 4, 13}, "CVE-2025-58060, CVE-2025-58364"},
	{version{2, 4, 15}, "CVE-2025-58436, CVE-2025-61915"},
	{version{2, 4, 17}, "CVE-2026-27447, CVE-2026-34978, CVE-2026-34979, CVE-2026-34980, CVE-2026-34990, CVE-2026-39314, CVE-2026-39316, CVE-2026-41079"},
}

// A version is of CUPS: major, minor, patch; the patch is -1 where the host
// keeps it to itself, as the Server header does by default.
type version [3]int

func (v version) String() string {
	if v[2] < 0 {
		return fmt.Sprintf("%d.%d", v[0], v[1])
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}

// before reports whether v is certainly older than w.
func (v version) before(w version) bool {
	if v[0] != w[0] {
		return v[0] < w[0]
	}
	if v[1] != w[1] {
		return v[1] < w[1]
	}
	return v[2] >= 0 && v[2] < w[2]
}

// parseVersion reads "2.4.2", "CUPS/2.4", "CUPS v2.3.3op2". A pre-release has
// an order of its own and is not read.
func parseVersion(s string) (version, bool) {
	s, _, _ = strings.Cut(clip(strings.TrimSpace(s), 64), " (")
	for _, prefix := range []string{"CUPS/", "CUPS v", "CUPS ", "v"} {
		s = strings.TrimPrefix(s, prefix)
	}
	s, _, _ = strings.Cut(s, " ")
	v := version{0, 0, -1}
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, false
	}
	for i, part := range parts {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		n, err := strconv.Atoi(part[:digits])
		if err != nil || digits > 4 {
			return v, false
		}
		if suffix := part[digits:]; suffix != "" && (i != len(parts)-1 || !strings.HasPrefix(suffix, "op")) {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func lookReportedCUPSVersion(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP || o.CUPS == nil {
		return "", false
	}
	v, ok := parseVersion(o.CUPS.Reported)
	if !ok {
		return "", false
	}
	var later []string
	for _, fix := range upstream {
		if v.before(fix.in) {
			later = append(later, fmt.Sprintf("%s fixed %s", fix.in, fix.cves))
		}
	}
	if len(later) == 0 {
		return "", false
	}
	return fmt.Sprintf("Reported version %s; upstream's later versions: %s; distributions backport fixes without changing this number, so it proves nothing by itself",
		quote(o.CUPS.Reported), strings.Join(later, "; ")), true
}

func clearedReportedCUPSVersion(o *exposure.Observation) (Answer, string) {
	if o.CUPS == nil || o.CUPS.Reported == "" {
		return CannotTell, "no CUPS version was reported"
	}
	v, ok := parseVersion(o.CUPS.Reported)
	newest := upstream[len(upstream)-1].in
	if !ok || v[2] < 0 && v[0] == newest[0] && v[1] == newest[1] {
		return CannotTell, "the reported version " + quote(o.CUPS.Reported) + " is not precise enough"
	}
	return Yes, fmt.Sprintf("the reported version %s is not older than %s, the last upstream fix that we know", v, newest)
}
