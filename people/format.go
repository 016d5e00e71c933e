package people

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"ippwatch/exposure"
)

// Format writes what ParseConstituents reads.
func Format(w io.Writer, all []exposure.Constituent) error {
	var b strings.Builder
	b.WriteString("constituents:")
	if len(all) == 0 {
		b.WriteString(" []")
	}
	b.WriteByte('\n')
	for _, c := range all {
		fmt.Fprintf(&b, "  - name: %s\n", quoted(c.Name))
		if c.Title != "" {
			fmt.Fprintf(&b, "    title: %s\n", quoted(c.Title))
		}
		if c.Language != "" {
			fmt.Fprintf(&b, "    language: %s\n", quoted(c.Language))
		}
		items(&b, "networks", c.Networks, func(i int) string { return quoted(c.Networks[i].String()) })
		items(&b, "asns", c.ASNs, func(i int) string { return strconv.FormatUint(uint64(c.ASNs[i]), 10) })
		items(&b, "countries", c.Countries, func(i int) string { return quoted(c.Countries[i]) })
		if len(c.Contacts) > 0 {
			b.WriteString("    contacts:\n")
		}
		for _, r := range c.Contacts {
			formatContact(&b, r)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// items writes a list with dashes: brackets cost the parser time.
func items[T any](b *strings.Builder, key string, all []T, text func(int) string) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "    %s:\n", key)
	for i := range all {
		fmt.Fprintf(b, "      - %s\n", text(i))
	}
}

func formatContact(b *strings.Builder, r exposure.Recipient) {
	dash := "      - "
	for _, key := range contactKeys {
		v := getField(r, key)
		if v == "" {
			continue
		}
		b.WriteString(dash + key + ": ")
		dash = "        "
		switch {
		case v == "true":
			b.WriteString(v)
		case strings.Contains(v, "\n"):
			b.WriteString("|\n          " + strings.ReplaceAll(strings.ReplaceAll(v, "\r", ""), "\n", "\n          "))
		default:
			b.WriteString(quoted(v))
		}
		b.WriteByte('\n')
	}
}

// quoted writes text for YAML: in quotes unless it is a word that nothing in
// YAML could take for something else.
func quoted(s string) string {
	plain := s != ""
	letter := false
	for _, c := range s {
		letter = letter || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		plain = plain && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-./@", c))
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		plain = false
	}
	dotted := strings.Count(s, ".") == 3 && strings.Contains(s, "/") // 198.51.100.0/24
	if plain && (letter && s[0] > '9' || dotted) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
