// Package render writes the form of a filter as the text of a platform, with
// what a person needs to load it, to watch it and to take it back.
package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/acl"
)

// A Platform writes the text of one kind of device.
type Platform struct {
	Name  string // as on the command line
	Title string
	// Proven says how the output was checked on the real system. Empty: nobody
	// could, and the output says "unverified on device".
	Proven string
	// Authority is where the words come from: a manual, a schema.
	Authority string
	// Bound tells that the platform has to know the interfaces, but on a host.
	Bound bool
	// Shallow tells that the platform looks at the next header of IPv6 alone, and
	// does not find the upper layer behind extension headers.
	Shallow bool
	// Flows tells that the platform has FlowSpec routes: they have no direction, and
	// are counted one by one and not under the name of a rule. Nameless ones
	// have no name either.
	Flows, Nameless bool
	// Torn tells that the platform can tell torn packets ([acl.Torn]).
	Torn bool
	// TornDrops tells that it can only drop them, not count them alone.
	TornDrops bool
	// Logs tells that the platform can bound the log of a rule.
	Logs bool
	// Most bounds how many prefixes and rules a device takes; 0: not known.
	Most  int
	Write func(acl.Form) (Output, error)
}

// Fit is the form without what the platform cannot do and a filter can be
// without, and what to tell of it.
func (p Platform) Fit(f acl.Form) (acl.Form, []string) {
	var notes []string
	if p.Shallow && f.Networks.Families()&acl.V6 != 0 {
		f = f.Plain()
		notes = append(notes, "EXTENSION HEADER GAP: this platform finds no port behind an IPv6 extension header or in an IPv6 fragment: such packets pass; close it upstream, or on the hosts")
	}
	if p.Flows {
		f = f.Undirected(p.Nameless)
	}
	switch {
	case f.Torn && !p.Torn:
		f = f.WithoutTorn()
		notes = append(notes, "this platform cannot tell IPv6 packets whose upper layer is hidden (unknown_upper_layer): they are not dropped")
	case f.Torn && p.TornDrops && f.CountOnly:
		f = f.WithoutTorn()
		notes = append(notes, "this platform can drop IPv6 packets whose upper layer is hidden (unknown_upper_layer), and not count them alone: they are counted when the filter is enforced")
	}
	if !p.Logs && slices.ContainsFunc(f.Rules, func(r acl.Rule) bool { return r.Log.N > 0 }) {
		f = f.WithoutLog()
		notes = append(notes, "nothing is logged: this platform cannot bound the log of a rule; the counters tell")
	}
	return f, notes
}

// Render writes the form, which was made fit before, or says why it is refused.
func (p Platform) Render(f acl.Form) (Output, error) {
	if p.Bound && f.At.Profile != acl.Host && len(f.At.Interfaces) == 0 {
		return Output{}, fmt.Errorf("%s: the profile %s needs interfaces", p.Name, f.At.Profile)
	}
	if n := f.Size(); p.Most > 0 && n > p.Most {
		return Output{}, cannot("%s: the policy comes to %d lines: it takes %d; give exceptions as fewer prefixes", p.Name, n, p.Most)
	}
	out, err := p.Write(f)
	if err != nil {
		return Output{}, fmt.Errorf("%s: %w", p.Name, err)
	}
	// The file travels without what was said beside it.
	if p.Proven == "" {
		for i := range out.Texts {
			out.Texts[i].Body = strings.Replace(out.Texts[i].Body, made, made+", unverified on device", 1)
		}
	}
	return out, nil
}

// made stands in the first line of every text.
const made = "Made by ippwatch filter render"

// An Output is what is handed to a person.
type Output struct {
	// Texts are what a device reads; most platforms have one.
	Texts []acl.Text
	// Rollback takes the filter off again and leaves everything else as it was.
	Rollback []acl.Text
	// Load, Confirm, Counters and Undo are how: commands, a line each.
	Load     []string // try without changing anything, then load
	Confirm  []string // the platform's own way to go back by itself; none: says so
	Counters []string
	Undo     []string
	// Notes are what the platform does otherwise than a reader may think.
	Notes []string
}

// All are the platforms, in the order in which they are listed.
var All = []Platform{
	nftables,
	iptables,
	pf,
	iosXE,
	iosXR,
	eos,
	junos,
	sros,
	routerOS,
	flowBird,
	flowGoBGP,
}

// ByName returns the platform with the name.
func ByName(name string) (Platform, bool) {
	i := slices.IndexFunc(All, func(p Platform) bool { return p.Name == name })
	if i < 0 {
		return Platform{}, false
	}
	return All[i], true
}

// cannot says what the platform cannot do.
func cannot(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), acl.ErrCannot)
}

// A text is written line by line.
type text struct{ strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

// comment writes text that people read, behind the mark of a comment. It comes
// from a policy file: no line of it may end the comment.
func (t *text) comment(mark, words string) {
	for line := range strings.Lines(words) {
		t.line("%s %s", mark, plain(line))
	}
}

// plain keeps what stands in a comment of every platform: printable ASCII, and no
// backslash, which at the end of a line takes the next one into the comment.
func plain(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, strings.TrimRight(s, "\r\n")))
}

// families are those for which the rule has something to say, IPv4 first.
func families(r acl.Rule) []acl.Family {
	var all []acl.Family
	for _, f := range []acl.Family{acl.V4, acl.V6} {
		if r.Match.Families()&f != 0 {
			all = append(all, f)
		}
	}
	return all
}

// words are the elements as the platform writes them.
func words[T any](all []T, word func(T) string) []string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = word(one)
	}
	return out
}

func prefixWords(ps []netip.Prefix) []string { return words(ps, netip.Prefix.String) }
