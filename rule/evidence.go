package rule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"ippwatch/exposure"
)

// What one sentence of evidence may carry of a stranger's words.
const (
	quoteLimit = 80 // bytes of one value
	listLimit  = 3  // values
)

// clip returns at most limit bytes of s, whole characters only.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// quote returns what a host said, clipped, with everything that is not
// printable written as an escape: no control or direction mark survives.
func quote(s string) string { return strconv.Quote(clip(s, quoteLimit)) }

// bare is [quote] without its quotes, for a word that is ours unless somebody
// tampered with it.
func bare(s string) string {
	q := strconv.Quote(clip(s, 20))
	return q[1 : len(q)-1]
}

// list returns the first few items and the number of the rest.
func list(items []string) string {
	if len(items) <= listLimit {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:listLimit], ", "), len(items)-listLimit)
}

// count returns "1 printer", "2 printers".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// said reports whether a value says something. The out-of-band values of
// RFC 8010, section 3.5.2, say that there is nothing to say.
func said(value string) bool {
	switch strings.TrimSpace(value) {
	case "", "no-value", "unknown", "unsupported", "not-settable", "delete-attribute", "admin-define":
		return false
	}
	return true
}

// name returns how a printer is called in evidence.
func name(p exposure.Printer) string {
	for _, attribute := range []string{"printer-name", "printer-dns-sd-name", "printer-make-and-model"} {
		if v := p.Get(attribute); said(v) {
			return quote(v)
		}
	}
	return "a printer without a name"
}

// names returns how the printers are called.
func names(printers []exposure.Printer) string {
	var all []string
	for _, p := range printers {
		all = append(all, name(p))
	}
	return list(all)
}
