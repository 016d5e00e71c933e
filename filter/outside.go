package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/acl"
	"ippwatch/exposure"
)

// An Outside holds what probes from outside heard against a policy: what should
// be dropped and came through all the same.
type Outside struct {
	Policy acl.Policy
	Form   acl.Form
	// From is our own address in each family, as the networks see it. Behind a
	// translator it is the translator's.
	From map[acl.Family]netip.Addr
	UDP  bool // is asked, too

	doors    map[door]exposure.Observation
	controls []string
}

type door struct {
	netip.AddrPort
	exposure.Transport
}

// A Way is one network of the policy and one leg, with what was heard.
type Way struct {
	Network string `json:"network"`
	Leg     string `json:"leg"`
	Rule    string `json:"rule"`
	Asked   int    `json:"asked"`   // doors that should be closed
	Silent  int    `json:"silent"`  // of them
	Leaked  int    `json:"leaked"`  // of them
	Unclear int    `json:"unclear"` // of them: ICMP from on the way, or broken off
	Except  int    `json:"excepted"`
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
}

// Verdicts of a way.
const (
	Holds    = "holds"
	Leaks    = "leaks"
	Unproven = "unproven"
	NotAsked = "not asked"
	// NotApplicable is UDP over IPv6: there is nothing to be asked.
	NotApplicable = "not applicable"
)

// A Passage is one door that should be closed and is not, or one packet that
// came through to where nothing listens.
type Passage struct {
	Addr      netip.Addr         `json:"ip"`
	Port      uint16             `json:"port"`
	Transport exposure.Transport `json:"transport"`
	Verdict   exposure.Verdict   `json:"verdict"`
	Rule      string             `json:"rule"` // that should have caught it
	Network   string             `json:"network"`
	Meaning   string             `json:"meaning"`
}

// Hear takes an observation of a probe that was sent from outside. The last
// one of a door counts.
func (v *Outside) Hear(o exposure.Observation) {
	if v.doors == nil {
		v.doors = make(map[door]exposure.Observation)
	}
	at := door{o.Target(), o.Transport}
	if old, ok := v.doors[at]; ok && old.Verdict.Spoke() && !o.Verdict.Spoke() {
		return // what once answered came through
	}
	v.doors[at] = o
}

// packet is what was sent to a door.
func (v *Outside) packet(d door) acl.Packet {
	p := acl.Packet{Dir: acl.In, Dst: d.Addr(), DPort: d.Port(), SPort: 40000, Proto: acl.TCP, Flags: acl.SYN, Frag: acl.Whole}
	if d.Transport == exposure.UDP {
		p.Proto, p.Flags = acl.UDP, 0
	}
	p.Src = v.From[p.Family()]
	return p
}

// Excepted tells which rule of the policy lets our own probes through to a host
// to which nobody else's come: then silence and answers say nothing about the
// filter. It is empty if there is none.
func (v *Outside) Excepted() (rule string, from netip.Addr) {
	for _, r := range v.Form.Rules {
		for _, a := range v.From {
			if r.Action == acl.Permit && !r.Match.Src.Any() && a.IsValid() && r.Match.Src.Has(a) {
				return r.Name, a
			}
		}
	}
	return "", netip.Addr{}
}

// Judge tells what became of every way, and names every passage.
func (v *Outside) Judge() ([]Way, []Passage) {
	var ways []Way
	var passages []Passage
	filter := v.Form.Filter()
	v.controls = nil
	for at, o := range v.doors {
		if fate, _ := filter.Walk(v.packet(at)); fate.Passes() && o.Verdict.Spoke() {
			v.controls = append(v.controls, at.String()+"/"+string(at.Transport))
		}
	}
	slices.Sort(v.controls)
	for _, network := range v.Policy.Networks {
		for _, leg := range acl.AllLegs {
			if leg.Dir != acl.In || !v.Policy.Legs.Drops(leg) {
				continue
			}
			way := Way{Network: network.String(), Leg: leg.Name, Rule: v.Policy.Name + "_" + leg.Name}
			for at, o := range v.doors {
				p := v.packet(at)
				if !network.Contains(at.Addr()) || uint16(p.Proto) != leg.Proto || !slices.Contains(v.Policy.Ports, at.Port()) || o.Verdict == exposure.NotApplicable {
					continue
				}
				fate, by := filter.Walk(p)
				if fate.Passes() {
					way.Except++
					continue
				}
				way.Asked++
				meaning := through(o.Verdict)
				switch {
				case meaning != "":
					way.Leaked++
					passages = append(passages, Passage{at.Addr(), at.Port(), at.Transport, o.Verdict, by[0].Name, way.Network, meaning})
				case o.Verdict == exposure.NoAnswer, o.Verdict == exposure.NoCallback:
					way.Silent++
				default:
					way.Unclear++
				}
			}
			v.conclude(&way)
			ways = append(ways, way)
		}
	}
	slices.SortFunc(passages, func(a, b Passage) int {
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
	return ways, passages
}

// through says how it is known that a packet came through, or nothing.
func through(v exposure.Verdict) string {
	switch {
	case v.Spoke():
		return "it answered"
	case v == exposure.Closed:
		return "it refused: the packet came through, unless the filter itself rejects"
	}
	return ""
}

// conclude: silence alone may be a network of ours that is down.
func (v *Outside) conclude(w *Way) {
	switch {
	case w.Leaked > 0:
		w.Verdict, w.Why = Leaks, fmt.Sprintf("%d of %d came through", w.Leaked, w.Asked)
	case w.Asked == 0 && w.Leg == "in_udp" && !v.UDP:
		w.Verdict, w.Why = NotAsked, "nothing was sent over UDP: --udp"
	case w.Asked == 0 && w.Leg == "in_udp" && strings.Contains(w.Network, ":"):
		w.Verdict, w.Why = NotApplicable, "cups-browsed is asked over IPv4 only"
	case w.Asked == 0:
		w.Verdict, w.Why = NotAsked, "no host of it was asked; of an IPv6 network, name the hosts"
	case len(v.controls) == 0:
		w.Verdict, w.Why = Unproven, "silence, and nothing answered that may: perhaps our own network; name a host that answers with --control"
	case w.Silent == 0:
		w.Verdict, w.Why = Unproven, "only errors from on the way came back"
	default:
		w.Verdict, w.Why = Holds, fmt.Sprintf("%d of %d silent while %s answered", w.Silent, w.Asked, v.controls[0])
	}
}

// Covers tells which rule of a policy closes a door from outside, if what is in
// use at every interface is proven to drop all that the policy drops there.
func Covers(form acl.Form, seen []Seen, addr netip.Addr, port uint16, tr exposure.Transport) (rule string, ok bool) {
	m := acl.Match{Dir: acl.In, Dst: acl.NetsOf(netip.PrefixFrom(addr, addr.BitLen())), DPort: acl.Number(port), Proto: acl.Number(acl.TCP)}
	if tr == exposure.UDP {
		m.Proto = acl.Number(acl.UDP)
	}
	want := form.Filter()
	for _, d := range acl.Within(acl.Filter{}, want, []acl.Match{m}) {
		if _, by := want.Walk(d.Witness); len(by) > 0 {
			rule = by[0].Name
		}
	}
	if rule == "" || len(seen) == 0 {
		return "", false
	}
	for _, one := range seen {
		if len(one.Unverified) > 0 {
			return "", false
		}
		for _, d := range acl.Within(want, one.Filter, []acl.Match{m}) {
			if d.Worst() {
				return "", false
			}
		}
	}
	return rule, true
}
