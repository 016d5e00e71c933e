package class

import (
	"strings"

	"ippwatch/wire/browse"
)

// A mark is something by which a published checker can be told. Anybody can
// write it.
type mark struct {
	word, sentence string
	weak           bool // fits much else, too: a reason, and no class
}

// OurInfo is how the info text of ippwatch's own packets begins; see package
// probe, which holds it constant.
const OurInfo = "ippwatch open printer check"

// Marks of what is published (facts/cups.md 5).
var (
	markMalwareTech = mark{word: "mark_malwaretech", sentence: "the path is that of MalwareTech's scanner"}
	markNuclei      = mark{word: "mark_nuclei", sentence: "the path is that of the nuclei template for CVE-2024-47176"}
	markOurs        = mark{word: "mark_ippwatch", sentence: "the info text is that of ippwatch's own check"}
	markCollector   = mark{word: "public_collector", sentence: "the call-back host is in a domain of a public collector of call-backs (interactsh)", weak: true}
	markRandom      = mark{word: "random_path", sentence: "the queue is one word of 10 to 16 letters and digits, as that of Metasploit's checker is; so is much else", weak: true}
)

// collectors are the public servers of interactsh, to which checkers and
// attackers alike send call-backs.
var collectors = []string{".oast.pro", ".oast.live", ".oast.site", ".oast.online", ".oast.fun", ".oast.me", ".interact.sh"}

func marksOf(p browse.Packet, d browse.Destination) (marks []mark) {
	queue := strings.TrimPrefix(d.Path, "/printers/")
	switch {
	case queue == "cups_vulnerability_scan":
		marks = append(marks, markMalwareTech)
	case strings.HasPrefix(queue, "VulnPrinter"):
		marks = append(marks, markNuclei)
	case len(queue) >= 10 && len(queue) <= 16 && alphanumeric(queue):
		marks = append(marks, markRandom)
	}
	if strings.HasPrefix(p.Info, OurInfo) {
		marks = append(marks, markOurs)
	}
	if c := d.Host[len(d.Host)-1]; c >= '0' && c <= '9' {
		return marks // an address: this is read for every packet of a flood
	}
	host := strings.ToLower(d.Host)
	for _, domain := range collectors {
		if strings.HasSuffix(host, domain) {
			marks = append(marks, markCollector)
		}
	}
	return marks
}

func alphanumeric(s string) bool {
	digit, letter := false, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			letter = true
		default:
			return false
		}
	}
	return digit && letter
}

func strong(marks []mark) bool {
	for _, m := range marks {
		if !m.weak {
			return true
		}
	}
	return false
}
