// Package class says what a stranger at a sensor seems to want, with reasons
// and evidence, and never more than is known.
package class

import (
	"fmt"
	"net/netip"
	"strings"

	"ippwatch/exposure"
	"ippwatch/scanners"
	"ippwatch/wire/browse"
)

// maxPlainURI is the longest URI that nobody needs to explain: queues have short
// names. A longer one makes the call-back larger, which is what a flood wants
// (facts/sensor.md 6).
const maxPlainURI = 256

// A Judge reads what strangers sent. It asks nobody: a name in a packet is never
// resolved, because whoever owns it would hear of that.
type Judge struct {
	Scanners *scanners.Table // nil lists nobody
	Own      []netip.Prefix  // the networks that the operator calls his own
}

// A Reading is what one browse packet says, and its class. It holds no sentences,
// and its texts share the memory of the packet, so that a flood of packets costs
// no copies; [Reading.Tell] makes both.
type Reading struct {
	Class    exposure.Class
	Severity exposure.Severity
	Packet   browse.Packet
	// Call is whom the packet would make a host call, when Calls is true.
	Call     browse.Destination
	Calls    bool
	Host     netip.Addr // of Call, if it is an address
	Relation exposure.Relation

	wrong            error
	src, dst         netip.Addr
	marks            []mark
	listedSource     scanners.Entry
	listedHost       scanners.Entry
	isSource, isHost bool
}

// Listed reports whether the packet's source is listed as a scanner's.
func (r *Reading) Listed() bool { return r.isSource }

// Packet reads a packet that came to 631/UDP.
func (j *Judge) Packet(src, dst netip.Addr, payload []byte) Reading {
	r := Reading{src: src, dst: dst}
	if j.Scanners != nil {
		r.listedSource, r.isSource = j.Scanners.Lookup(src)
	}
	r.Packet, r.wrong = browse.Borrow(payload)
	if r.wrong == nil {
		r.Call, r.wrong = r.Packet.Destination()
		r.Calls = r.wrong == nil
	} else {
		r.Class, r.Severity = exposure.Unreadable, exposure.Info
		return r
	}
	if r.Calls {
		r.Host = Literal(r.Call.Host)
		r.Relation = j.relation(&r)
		if r.Host == dst && dst.IsValid() {
			// cups-browsed passes over announcements of its own host.
			r.Calls, r.wrong = false, errItself
		}
	}
	if !r.Calls {
		r.Class, r.Severity = exposure.NoEffect, exposure.Info
		if r.Packet.Type&browse.Delete != 0 {
			r.Class = exposure.Withdrawal
		}
		return r
	}
	if j.Scanners != nil && r.Host.IsValid() {
		r.listedHost, r.isHost = j.Scanners.Lookup(r.Host)
	}
	r.marks = marksOf(r.Packet, r.Call)
	r.Class = r.class()
	r.Severity = r.severity()
	return r
}

func (r *Reading) class() exposure.Class {
	switch {
	case len(r.Packet.URI) > maxPlainURI:
		return exposure.Padded
	case strong(r.marks):
		return exposure.KnownCheck
	case r.isSource || r.isHost:
		return exposure.Research
	}
	return exposure.Solicitation
}

// severity is lower by a step for who is known to check; lists and marks are
// what a spoofer would imitate, so it is never nothing.
func (r *Reading) severity() exposure.Severity {
	worst := r.Class == exposure.Padded || r.Relation == exposure.ToThird || r.Relation == exposure.ToOwn
	known := r.isSource || r.isHost || strong(r.marks)
	switch {
	case worst && !known:
		return exposure.High
	case worst || !known:
		return exposure.Medium
	}
	return exposure.Low
}

// relation is what the call-back's host is to the sender and to us.
func (j *Judge) relation(r *Reading) exposure.Relation {
	a := r.Host
	switch {
	case !a.IsValid():
		if isLocalhost(r.Call.Host) {
			return exposure.ToLoopback
		}
		return exposure.ToName
	case a == r.src:
		return exposure.ToSelf
	case j.own(a):
		return exposure.ToOwn
	case a.IsLoopback() || a.IsUnspecified(): // to connect to 0.0.0.0 is to connect to oneself
		return exposure.ToLoopback
	case !reachable(a):
		return exposure.ToPrivate
	}
	return exposure.ToThird
}

func (j *Judge) own(a netip.Addr) bool {
	for _, p := range j.Own {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sharedSpace is that of carriers (RFC 6598), which netip does not call private.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

func reachable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a)
}

// isLocalhost: these names lead to the host itself, whoever is asked (RFC 6761,
// section 6.3).
func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Tell writes the class, its reasons, and what was read into a visit.
func (r *Reading) Tell(v *exposure.Visit) {
	v.Class, v.Severity, v.Spoofable = r.Class, r.Severity, true
	if r.Class != exposure.Unreadable {
		p := r.Packet
		v.Browse = &exposure.Browse{Type: p.Type, State: p.State, URI: strings.Clone(p.URI), Location: p.Location, Info: p.Info, MakeModel: p.MakeModel}
	}
	if r.Calls {
		v.Callback = &exposure.Solicited{
			URL: v.Browse.URI, Host: strings.Clone(r.Call.Host), Port: r.Call.Port, Path: strings.Clone(r.Call.Path), Addr: r.Host, Relation: r.Relation,
		}
	}
	r.reasons(v)
}

func (r *Reading) reasons(v *exposure.Visit) {
	because := func(word, format string, args ...any) {
		v.Reasons = append(v.Reasons, word)
		v.Evidence = append(v.Evidence, fmt.Sprintf(format, args...))
	}
	if r.isSource {
		v.Scanners = append(v.Scanners, listed(r.listedSource, "source"))
	}
	if !r.Calls {
		word, sentence := silence(r.wrong)
		because(word, "%s", sentence)
		if r.isSource {
			because("listed_source", "%s lists the source %s", r.listedSource.List.Name, r.src)
		}
		return
	}
	because("asks_for_call", "the packet asks its receiver to call %q port %d; a check and an attack send the same", r.Call.Host, r.Call.Port)
	word, sentence := r.related()
	because(word, "%s", sentence)
	if n := len(r.Packet.URI); n > maxPlainURI {
		because("long_uri", "the URI has %d bytes: it makes the call-back larger", n)
	}
	for _, m := range r.marks {
		because(m.word, "%s", m.sentence)
	}
	if r.isSource {
		because("listed_source", "%s lists the source %s", r.listedSource.List.Name, r.src)
	}
	if r.isHost {
		v.Scanners = append(v.Scanners, listed(r.listedHost, "callback"))
		because("listed_callback", "%s lists the call-back host %s", r.listedHost.List.Name, r.Host)
	}
}

// related says in words what the relation is.
func (r *Reading) related() (word, sentence string) {
	switch r.Relation {
	case exposure.ToSelf:
		return "call_to_self", "the call-back host is the packet's source address"
	case exposure.ToThird:
		return "call_to_third_party", fmt.Sprintf("the call-back host %s is not the source %s: a victim, or the sender's second host", r.Host, r.src)
	case exposure.ToPrivate:
		return "call_to_private", fmt.Sprintf("the Internet does not lead to the call-back host %s: it is meant from within", r.Host)
	case exposure.ToLoopback:
		return "call_to_loopback", "the receiver would call itself"
	case exposure.ToOwn:
		return "call_into_own_network", fmt.Sprintf("the call-back host %s is in a network of this sensor's operator", r.Host)
	}
	return "call_to_name", "the call-back host is a name; the sensor asks nobody where it leads"
}

func listed(e scanners.Entry, of string) exposure.Scanner {
	return exposure.Scanner{Name: e.Name, Of: of, List: e.List.Name, Date: e.List.Date}
}
