package filter

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Customer is somebody whose hosts with open cases get a filter.
type Customer struct {
	Name           string
	Hosts          []netip.Addr
	Interfaces     []string
	Ports          []uint16 // none: 631
	Edge           bool     // it is for the customer's own edge, and faces the Internet
	Owner, Contact string
}

// CustomerPolicy is the text of a policy that closes the hosts of a customer, and
// nothing else of his.
func CustomerPolicy(c Customer, now time.Time) string {
	var b strings.Builder
	v4, v6 := 0, 0
	for _, a := range c.Hosts {
		if a.Is4() {
			v4++
		} else {
			v6++
		}
	}
	fmt.Fprintf(&b, "# For customer %s: the hosts with open cases on %s. Made by ippwatch filter customers.\n", quoted(c.Name), now.UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "# Write it again when cases are closed; an exception belongs to the customer's ticket.\n")
	profile := "customer-edge"
	if c.Edge {
		profile = "edge"
	}
	fmt.Fprintf(&b, "name: epf631\nprofile: %s\ninterfaces:\n", profile)
	for _, i := range c.Interfaces {
		fmt.Fprintf(&b, "  - %q\n", i)
	}
	fmt.Fprintf(&b, "owner: %s\ncontact: %s\nreview: %s\n", quoted(c.Owner), quoted(c.Contact), now.AddDate(0, 3, 0).UTC().Format(time.DateOnly))
	switch {
	case v4 == 0:
		fmt.Fprintf(&b, "one_family: no open case has an IPv4 address\n")
	case v6 == 0:
		fmt.Fprintf(&b, "one_family: no open case has an IPv6 address\n")
	}
	if len(c.Ports) > 0 {
		fmt.Fprintf(&b, "ports:\n")
		for _, p := range c.Ports {
			fmt.Fprintf(&b, "  - %d\n", p)
		}
	}
	b.WriteString("networks:\n")
	for _, a := range c.Hosts {
		fmt.Fprintf(&b, "  - \"%s\"\n", netip.PrefixFrom(a, a.BitLen()))
	}
	return b.String()
}

// quoted is text as YAML reads it back: what others wrote stays one line of text.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r > 0xffff:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// FileName is a name of a customer as the name of a file.
func FileName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
	if len(clean) > 64 {
		clean = clean[:64]
	}
	if clean == "" {
		return "_"
	}
	return clean
}
