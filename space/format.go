package space

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Format writes the scope as a file with comments for the person who signs it.
// What was parsed and written parses to the same scope. A field that is still
// empty is written as such, and ParseScope refuses the file until it is filled.
func (s Scope) Format() []byte {
	var b bytes.Buffer
	b.WriteString(`# The networks that ippwatch may probe. What is not listed here is never asked.
# After every change: ippwatch scope check FILE

# Who authorised this: a person or an office.
`)
	fmt.Fprintf(&b, "%s: %s\n", keyAuthorisedBy, quoted(s.AuthorisedBy))
	b.WriteString("\n# Where somebody who was probed reaches you: a mail address or a page.\n")
	fmt.Fprintf(&b, "%s: %s\n", keyContact, quoted(s.Contact))
	b.WriteString("\n# The last day (UTC), or a time such as 2026-12-31T18:00:00Z. After it, nothing is probed.\n")
	fmt.Fprintf(&b, "%s: %s\n", keyExpires, formatExpires(s.Expires))
	b.WriteString(`
# Prefixes and addresses, IPv4 and IPv6. Special-purpose ones, such as private
# networks, are probed only when they are listed here themselves.
`)
	writeList(&b, keyNetworks, s.Networks)
	b.WriteString("\n# Never asked, even inside of networks.\n")
	writeList(&b, keyExclude, s.Exclude)
	if s.Note != "" {
		b.WriteString("\n# For people.\n")
		writeNote(&b, s.Note)
	}
	return b.Bytes()
}

func formatExpires(t time.Time) string {
	t = t.UTC()
	switch {
	case t.IsZero():
		return `""`
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// writeList quotes each item: 2001:db8:: without quotes is a key to YAML.
func writeList(b *bytes.Buffer, key string, prefixes []netip.Prefix) {
	if len(prefixes) == 0 {
		fmt.Fprintf(b, "%s: []\n", key)
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for _, p := range prefixes {
		fmt.Fprintf(b, "  - %q\n", bare(p))
	}
}

// writeNote writes a block where that keeps every line as it is, else one
// string in quotes.
func writeNote(b *bytes.Buffer, note string) {
	lines := strings.Split(note, "\n")
	for _, l := range lines {
		if l == "" || strings.TrimSpace(l) != l {
			lines = nil
		}
	}
	if len(lines) < 2 {
		fmt.Fprintf(b, "%s: %s\n", keyNote, quoted(note))
		return
	}
	fmt.Fprintf(b, "%s: |-\n", keyNote)
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
}

// quoted writes a double-quoted scalar (YAML 1.2.2, section 7.3.1).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
