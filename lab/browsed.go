package lab

import (
	"fmt"
	"os"
	"strings"
)

// Browsed starts a cups-browsed beside the cupsd, with conf as its whole
// configuration, and waits until it has bound what it will ever bind. Without
// Avahi and without legacy browsing it has nothing to do and ends by itself. It
// starts afresh, unless a cups-browsed before it has left a queue in c.
func (c *CUPS) Browsed(conf string) *Daemon {
	h := c.host
	h.t.Helper()
	Need(h.t, "cups-browsed")
	h.write("etc/cups-browsed.conf", conf)
	d := h.Start("cups-browsed", "-v")
	h.await("cups-browsed", func() bool {
		// At the start of its main loop it tells when it will look at its
		// queues: never, or at some time if it found left-over ones.
		return d.Wrote(" listening\n") || d.Wrote(" checking queues in ") || d.Wrote(" nothing left to do\n")
	}, d)
	return d
}

// AsShipped returns the cups-browsed.conf that Debian's package installed.
func (h *Host) AsShipped() string {
	h.t.Helper()
	Need(h.t, "cups-browsed")
	text, err := os.ReadFile("/etc/cups/cups-browsed.conf")
	if err != nil {
		h.t.Fatalf("read cups-browsed.conf as shipped: %v", err)
	}
	return string(text)
}

// Bound reports whether something on h has bound the UDP port over IPv4.
func (h *Host) Bound(port uint16) bool {
	h.t.Helper()
	var table []byte
	var err error
	// Not /proc/net: that is the network of the process's main thread.
	h.room.do(func() { table, err = os.ReadFile("/proc/thread-self/net/udp") })
	if err != nil {
		h.t.Fatalf("sockets of %s: %v", h.Name, err)
	}
	return strings.Contains(string(table), fmt.Sprintf(":%04X 00000000:0000 ", port))
}
