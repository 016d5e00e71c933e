package filter

import (
	"fmt"
	"slices"

	"ippwatch/acl"
)

// A Row is a set of packets in a listing.
type Row struct {
	What    string `json:"what"` // passes, may pass, blocked, unverified, differs
	At      string `json:"interface,omitempty"`
	Packets string `json:"packets,omitempty"`
	Witness string `json:"witness,omitempty"`
	Rule    string `json:"rule,omitempty"` // of the policy
	A       string `json:"a,omitempty"`
	B       string `json:"b,omitempty"`
	By      string `json:"by,omitempty"` // what decided
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Text    string `json:"text,omitempty"`
	Why     string `json:"why,omitempty"`
}

// Rows are the report as a listing, the worst first.
func (r Report) Rows() []Row {
	var rows []Row
	leak := func(what string, l Leak) {
		rows = append(rows, Row{What: what, At: l.Interface, Packets: l.Packets.String(), Witness: l.Witness.String(), Rule: l.Rule, By: l.Decided(), Line: l.By.Line})
	}
	for _, l := range r.Leaks {
		leak(l.Word(), l)
	}
	for _, l := range r.Blocked {
		leak("blocked", l)
	}
	for _, l := range r.Unverified {
		rows = append(rows, Row{What: "unverified", File: l.File, Line: l.Number, Text: l.Text, Why: l.Why})
	}
	return rows
}

// Word says whether a leak is certain.
func (l Leak) Word() string {
	if l.By.Unsure {
		return "may pass"
	}
	return "passes"
}

// Unread is a line and why it is not understood; some of it is about no line.
func Unread(l acl.Line) string {
	if l.Number == 0 {
		return l.Why
	}
	return fmt.Sprintf("%s:%d: %s (%s)", l.File, l.Number, l.Text, l.Why)
}

// Differences compares what is seen at each interface with what is seen at each
// of the other side.
func Differences(left, right []Seen) []Row {
	var rows []Row
	add := func(r Row) {
		if !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	for _, a := range left {
		for _, b := range right {
			for _, d := range acl.Compare(a.Filter, b.Filter) {
				add(Row{What: "differs", Packets: d.Packets.String(), Witness: d.Witness.String(), A: d.A.String(), B: d.B.String()})
			}
		}
	}
	for _, one := range slices.Concat(left, right) {
		for _, l := range one.Unverified {
			add(Row{What: "unverified", File: l.File, Line: l.Number, Text: l.Text, Why: l.Why})
		}
	}
	return rows
}

// Place is the place of a policy, with what somebody says otherwise.
func Place(at acl.Attach, profile string, interfaces []string) (acl.Attach, error) {
	if at.Profile == "" {
		at.Profile = acl.Edge
	}
	if profile != "" {
		if !slices.Contains(acl.Profiles, acl.Profile(profile)) {
			return at, PlaceError{"profile", fmt.Sprintf("%q: want edge, customer-edge, segment or host", profile)}
		}
		at.Profile = acl.Profile(profile)
	}
	for _, name := range interfaces {
		if !acl.InterfaceName(name) {
			return at, PlaceError{"interface", fmt.Sprintf("%q: want the name of an interface as the platform has it", name)}
		}
	}
	if len(interfaces) > 0 {
		at.Interfaces = interfaces
	}
	if at.Profile != acl.Host && len(at.Interfaces) == 0 {
		return at, PlaceError{"interface", "is missing: a filter stands at one, as the platform calls it"}
	}
	return at, nil
}

// A PlaceError says that a filter cannot stand there.
type PlaceError struct{ What, Why string }

func (e PlaceError) Error() string { return e.What + " " + e.Why }
