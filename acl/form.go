package acl

import "slices"

// A Form is a filter as a policy wants it, before a platform has words for it:
// rules in order, the first that matches decides, no chains. Everything
// that no rule decides passes: a filter of exploitable ports lets through what
// it is not about.
type Form struct {
	// Name begins every name that a platform is given, so that none is a keyword:
	// nftables takes no chain fwd, BIRD no protocol rr.
	Name  string
	At    Attach
	Rules []Rule
	// Networks are the prefixes that the policy protects.
	Networks Nets
	// CountOnly tells that the rules permit and count what they are going to
	// drop; their names end in HitSuffix.
	CountOnly bool
	// Torn tells that the policy wants torn packets dropped where the platform
	// can tell them. A platform that can (Filter.Torn) has to have the rule; with
	// others these packets are not compared.
	Torn bool
}

// An Attach says where a filter stands, in the platform's words.
type Attach struct {
	Profile Profile
	// Interfaces are those to which it is bound; a host may have none and filters
	// what is sent to itself.
	Interfaces []string
	// Others are further interfaces that face the same way: a reader looks at one
	// at a time, since a list that is bound to two is missing where it is bound to
	// one. What neither arrives nor leaves at Interfaces does not use these.
	Others []string
}

// Each is the place once for each of its interfaces.
func (a Attach) Each() []Attach {
	if len(a.Interfaces) < 2 {
		return []Attach{a}
	}
	all := make([]Attach, len(a.Interfaces))
	for i, iface := range a.Interfaces {
		others := slices.Delete(slices.Clone(a.Interfaces), i, i+1)
		all[i] = Attach{Profile: a.Profile, Interfaces: []string{iface}, Others: append(others, a.Others...)}
	}
	return all
}

// A Profile is the place of a filter in the network.
type Profile string

// The interfaces of an edge face the Internet; those of a customer edge and of
// a segment face the networks that are protected; a host is protected itself.
const (
	Edge         Profile = "edge"
	CustomerEdge Profile = "customer-edge"
	Segment      Profile = "segment"
	Host         Profile = "host"
)

// Profiles are all of them.
var Profiles = []Profile{Edge, CustomerEdge, Segment, Host}

// Inward reports whether the interfaces face what is protected: what arrives
// there goes Out.
func (p Profile) Inward() bool { return p == CustomerEdge || p == Segment }

// Arriving is the direction of what comes in at the interfaces.
func (p Profile) Arriving() Direction {
	if p.Inward() {
		return Out
	}
	return In
}

// Leaving is the direction of what goes out at the interfaces.
func (p Profile) Leaving() Direction { return In | Out ^ p.Arriving() }

// Filter is the form as a filter, to be compared with others.
func (f Form) Filter() Filter {
	return Filter{Stages: []Stage{{Name: f.Name, Rules: f.Rules, Default: Permit}}, Torn: f.Torn}
}

// Directions are those about which a rule says something.
func (f Form) Directions() Direction {
	var d Direction
	for _, r := range f.Rules {
		if r.Match.Dir == 0 {
			return In | Out
		}
		d |= r.Match.Dir
	}
	return d
}

// WithoutTorn is the form for a platform that cannot tell torn packets.
func (f Form) WithoutTorn() Form {
	f.Torn = false
	f.Rules = slices.DeleteFunc(slices.Clone(f.Rules), func(r Rule) bool { return r.Match.Frag == Torn })
	return f
}

// Plain is the form for a platform that looks at the next header of IPv6 alone:
// behind an extension header, no rule finds its ports.
func (f Form) Plain() Form {
	f.Rules = slices.Clone(f.Rules)
	for i := range f.Rules {
		if f.Rules[i].Match.Proto != nil {
			f.Rules[i].Match.Ext = Without
		}
	}
	return f
}

// Undirected is the form for FlowSpec, whose routes hold wherever a packet
// comes from and are not counted under the names of rules.
func (f Form) Undirected(nameless bool) Form {
	f.Rules = slices.Clone(f.Rules)
	for i := range f.Rules {
		f.Rules[i].Match.Dir, f.Rules[i].Count = 0, false
		if nameless {
			f.Rules[i].Name = ""
		}
	}
	return f
}

// WithoutLog is the form for a platform that cannot bound a log.
func (f Form) WithoutLog() Form {
	f.Rules = slices.Clone(f.Rules)
	for i := range f.Rules {
		f.Rules[i].Log = Rate{}
	}
	return f
}

// Size is how many lines the form comes to on a platform that has no lists:
// for each rule its prefixes, its protocols and its ports, multiplied.
func (f Form) Size() int {
	total := 0
	for _, r := range f.Rules {
		for _, family := range []Family{V4, V6} {
			if r.Match.Families()&family != 0 {
				total += len(r.Match.Src.Prefixes(family)) * len(r.Match.Dst.Prefixes(family)) *
					max(1, len(r.Match.Proto)) * max(1, len(r.Match.DPort))
			}
		}
	}
	return total
}
