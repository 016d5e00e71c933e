// Package outreach decides who is told of which exposures, when, and what
// happens when nobody answers; it keeps the outbox and sees to it that nobody
// is told twice and nobody is forgotten.
package outreach

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

// A Case is an exposure with what was done about it.
type Case struct {
	exposure.Exposure
	// Past is what was sent, or waits to be, in the present cycle, here and
	// where the same device answered before; the oldest first.
	Past     []store.Delivery
	Answered time.Time // when its people last answered, in this cycle
	// NotOf are the constituents that it is not of, as they said and one of us
	// agreed at NotSince.
	NotOf    []string
	NotSince time.Time
}

// How somebody comes to answer for a host, nearest first.
const (
	ByLease   = "lease" // it is the customer's address at the time
	ByNetwork = "network"
	ByASN     = "asn"
	ByCountry = "country"
	ByLookUp  = "look-up" // nobody of ours: somebody else's register says so
)

// A Party is somebody who answers for a host, and how we know.
type Party struct {
	exposure.Constituent
	By string
	// Window is the time during which a customer's address is its own. What was
	// before or comes after is not shown to it.
	Window access.Window
}

// Answers reports whether the party answers for the exposure. It is asked when a
// message is planned and again before every byte of it leaves.
func (p *Party) Answers(e *exposure.Exposure) bool {
	switch p.By {
	case ByLease:
		return p.Window.Prefix.Contains(e.Addr) && p.Window.Holds(e.LastSeen)
	case ByNetwork, ByLookUp:
		return slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(e.Addr.Unmap().WithZone("")) })
	case ByASN:
		return e.Where.ASN != 0 && slices.Contains(p.ASNs, e.Where.ASN)
	case ByCountry:
		return e.Where.Country != "" && slices.ContainsFunc(p.Countries, func(c string) bool { return strings.EqualFold(c, e.Where.Country) })
	}
	return false
}

// view is what the party may see of the exposure.
func (p *Party) view(e *exposure.Exposure, at time.Time) access.View {
	v := access.View{Who: "outreach " + p.Name, Tier: access.Constituent, At: at}
	if p.By == ByLease {
		v.Windows = []access.Window{p.Window}
	} else if p.Answers(e) {
		v.Networks = []netip.Prefix{netip.PrefixFrom(e.Addr, e.Addr.BitLen())}
	}
	return v
}

// sendKey is what makes a message the same one after a crash.
func sendKey(m *store.Message) string {
	h := sha256.New()
	fmt.Fprintf(h, "outreach 1\n%s\n%q\n%q\n%s\n%s\n", m.Kind, m.To.Key(), m.Constituent, m.Rule, m.Day)
	lines := make([]string, len(m.Exposures))
	for i, x := range m.Exposures {
		lines[i] = fmt.Sprintf("%s %s %d %s %d %d\n", x.Addr, x.Transport, x.Port, x.Rule, x.Cycle, x.Rung)
	}
	slices.Sort(lines)
	for _, l := range lines {
		h.Write([]byte(l))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// messageID is the number that people quote.
func messageID(key string) string { return "M-" + strings.ToUpper(key[:12]) }
