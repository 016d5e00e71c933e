package gate

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

type prefix = netip.Prefix

// near is whom limits count as one: a customer has a /64 of IPv6 at least.
func near(a netip.Addr) prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return prefix{}
	}
	return p
}

// client returns who asks, and whether over TLS. X-Forwarded-For is a claim of
// whoever sent it: it is believed from our proxies only, from the right, as far
// as they are ours.
func (g *Gate) client(r *http.Request) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	a := at.Addr().Unmap().WithZone("")
	if err != nil || !g.trusted(a) {
		return a, r.TLS != nil
	}
	secure := r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		said, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return a, secure
		}
		if a = said.Unmap().WithZone(""); !g.trusted(a) {
			return a, secure
		}
	}
	return a, secure
}

func (g *Gate) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(g.proxies, func(p prefix) bool { return p.Contains(a) })
}
