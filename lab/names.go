package lab

import (
	"fmt"
	"net/netip"
)

// Names starts a name server on h, and makes h ask it and nobody else. It knows
// the names of the addresses, and that all others have none. What it is asked
// stands in what it writes.
func (h *Host) Names(names map[netip.Addr]string) *Daemon {
	h.t.Helper()
	Need(h.t, "dnsmasq")
	args := []string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--log-facility=-", "--log-queries",
		"--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces",
		"--local=/in-addr.arpa/", "--local=/ip6.arpa/",
	}
	for a, name := range names {
		args = append(args, "--ptr-record="+arpa(a)+","+name)
	}
	d := h.Start("dnsmasq", args...)
	h.await("dnsmasq", func() bool { return d.Wrote("started, version ") }, d)
	h.write("resolv.conf", "nameserver 127.0.0.1\n")
	return d
}

// arpa is the name under which the address is looked up (RFC 1035, section 3.5;
// RFC 3596, section 2.5).
func arpa(a netip.Addr) string {
	b, text := a.AsSlice(), ""
	for i := len(b) - 1; i >= 0; i-- {
		if a.Is4() {
			text += fmt.Sprintf("%d.", b[i])
		} else {
			text += fmt.Sprintf("%x.%x.", b[i]&0xf, b[i]>>4)
		}
	}
	if a.Is4() {
		return text + "in-addr.arpa"
	}
	return text + "ip6.arpa"
}
