// Package read finds out what the text of a platform does to packets. It has
// its own tables of words, never those of acl/render, and fails closed: what it
// does not know is told as unverified and never taken for harmless.
package read

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"

	"ippwatch/acl"
)

// A Platform reads the text of one kind of device.
type Platform struct {
	Name string // as in acl/render
	// Read returns the filter that stands at the place. Texts that were not made
	// by acl/render are read as well: a whole running configuration, of which most
	// is about something else. An error is for a place that cannot be, such as
	// a router without interfaces; what is wrong with the text is in the Filter.
	Read func(texts []acl.Text, at acl.Attach) (acl.Filter, error)
}

// All are the platforms, in the order of acl/render.
var All = []Platform{
	{"nftables", readNftables},
	{"iptables", readIptables},
	{"pf", readPF},
	{"ios-xe", readXE},
	{"ios-xr", readXR},
	{"eos", readEOS},
	{"junos", readJunos},
	{"sros", readSROS},
	{"routeros", readRouterOS},
	{"flowspec-bird", readFlowBird},
	{"flowspec-gobgp", readFlowGoBGP},
}

// ByName returns the platform with the name.
func ByName(name string) (Platform, bool) {
	i := slices.IndexFunc(All, func(p Platform) bool { return p.Name == name })
	if i < 0 {
		return Platform{}, false
	}
	return All[i], true
}

// A place is where a reader is in a text.
type place struct {
	file string
	line int // from 1
}

// doubts collects what a reader does not know.
type doubts struct{ lines []acl.Line }

// most is how many lines are kept; a text with more is in another language.
const mostDoubts = 1000

func (d *doubts) at(p place, text, why string) {
	if len(d.lines) < mostDoubts {
		text = strings.TrimSpace(text)
		d.lines = append(d.lines, acl.Line{File: p.file, Number: p.line, Text: text[:min(len(text), 200)], Why: why})
	}
}

// mostCalled is how many rules a packet may come by, chains that are called
// twice counted twice: each call of a chain is another list to compare.
const mostCalled = 300_000

const tooManyCalls = "the chains call each other so often that their rules cannot be followed"

// weight is how many rules a list comes to, given those of the chains.
func weight(rules []acl.Rule) int {
	n := len(rules)
	for _, r := range rules {
		if n > mostCalled {
			break
		}
		n += weight(r.Rules)
	}
	return n
}

// prefix reads an address or a prefix. Host bits are dropped, as all platforms
// do that take them.
func prefix(word string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(word); err == nil && !p.Addr().Is4In6() {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	return netip.Prefix{}, false
}

// span reads an address, a prefix, or two addresses with a dash.
func span(word string) (netipx.IPRange, bool) {
	if p, ok := prefix(word); ok {
		return netipx.RangeOfPrefix(p), true
	}
	r, err := netipx.ParseIPRange(word)
	return r, err == nil && r.IsValid()
}

// number reads a number of 16 bits.
func number(word string) (uint16, bool) {
	n, err := strconv.ParseUint(word, 10, 16)
	return uint16(n), err == nil
}

// garbled adds to a rule that asks for ports or flags what it does to later
// fragments. Linux reads them out of whatever bytes stand there (nf_tables, and
// iptables that is translated to it; package lab shows it on 6.18): a fragment
// may match, or may not, as its sender likes.
func garbled(r acl.Rule) []acl.Rule {
	m := r.Match
	if m.SPort == nil && m.DPort == nil && m.Flags == 0 || r.Action == acl.Next || m.Never {
		return []acl.Rule{r}
	}
	if m.Proto == nil {
		m.Proto = acl.Number(6, 17)
	}
	m.SPort, m.DPort, m.Flags = nil, nil, 0
	later := acl.Rule{Name: r.Name, Match: m.And(acl.Match{Frag: acl.Later}), Action: r.Action, Unsure: true, Line: r.Line}
	if r.Action == acl.Call || r.Action == acl.Goto {
		later.Action = acl.Permit // what it may come to there
	}
	return []acl.Rule{r, later}
}

// decidesLater are the families of which the rule takes every later fragment off
// the list.
func decidesLater(r acl.Rule, dirs acl.Direction) acl.Family {
	m := r.Match
	all := m.Src.Any() && m.Dst.Any() && m.Proto == nil && m.SPort == nil && m.DPort == nil && m.Flags == 0 && m.Ext == acl.AnyExt &&
		(m.Frag == 0 || m.Frag&acl.Later != 0) && (m.Dir == 0 || m.Dir == dirs)
	if all && !m.Never && !r.Unsure && (r.Action == acl.Permit || r.Action == acl.Drop || r.Action == acl.Return) {
		return m.Families()
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }
