package soc

import (
	"net/netip"
	"slices"

	"ippwatch/exposure"
)

// A Blocklist gathers the addresses that may be blocked for what they did: each
// held a conversation over TCP, in which it wanted something printed or changed.
// The source of a UDP packet is whatever somebody wrote there, so no packet, and
// no number of packets, puts anybody on it; nor is a listed scanner put on it.
type Blocklist struct {
	addrs map[netip.Addr]bool
}

// Add looks at one visit.
func (b *Blocklist) Add(v *exposure.Visit) {
	if v.Transport != exposure.TCP || v.Spoofable || v.Kind != exposure.Request || len(v.Scanners) > 0 {
		return
	}
	if v.Class != exposure.PrintAttempt && v.Class != exposure.AdminAttempt {
		return
	}
	if b.addrs == nil {
		b.addrs = make(map[netip.Addr]bool)
	}
	b.addrs[v.Addr.WithZone("")] = true
}

// Addrs are the addresses, in order.
func (b *Blocklist) Addrs() []netip.Addr {
	all := make([]netip.Addr, 0, len(b.addrs))
	for a := range b.addrs {
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
