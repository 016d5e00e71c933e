package lab

import (
	"crypto/tls"
	"os"
	"time"
)

// Avahi gives h a D-Bus and an Avahi of its own, as an ordinary desktop or
// server has them: cups-browsed behaves differently with them (facts/cups.md,
// section 1.6), and ippeveprinter needs them (section 7). Call it before what
// shall use them.
func (h *Host) Avahi() {
	h.t.Helper()
	Need(h.t, "dbus-daemon", "avahi-daemon")
	bus := h.Start("dbus-daemon", "--system", "--nofork", "--nopidfile")
	h.awaitFile("/run/dbus/system_bus_socket", bus)
	avahi := h.Start("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits")
	h.await("avahi-daemon", func() bool { return avahi.Wrote("Server startup complete") }, bus, avahi)
}

func (h *Host) awaitFile(name string, by *Daemon) {
	h.t.Helper()
	h.await(name, func() bool {
		var err error
		h.room.do(func() { _, err = os.Stat(name) })
		return err == nil
	}, by)
}

// Eve starts an ippeveprinter, CUPS's own simple IPP Everywhere printer, at
// port 631 of h, which must have [Host.Avahi]. The arguments are more of its
// options, such as "-A" for authentication.
func (h *Host) Eve(args ...string) *Daemon {
	h.t.Helper()
	Need(h.t, "ippeveprinter")
	// No -n with an IPv4 address: it would want to listen on its IPv6 side too.
	all := []string{"-v", "-p", "631", "-d", h.t.TempDir(), "-K", h.t.TempDir()}
	d := h.Start("ippeveprinter", append(append(all, args...), "Lab Printer")...)
	h.answers("127.0.0.1:631", d)
	// It makes its certificate during the first handshake. A second that comes
	// meanwhile, to it or to another that keeps its keys in the same place, makes
	// one, too, and what is kept is the key of the one with the certificate of the
	// other, for ever: so each has a place of its own, and the first handshake time.
	h.shakes("127.0.0.1:631", d)
	return d
}

// shakes waits until something on h has held a handshake of TLS at the address.
func (h *Host) shakes(address string, by *Daemon) {
	h.t.Helper()
	h.await("TLS of "+by.name, func() bool {
		raw, err := h.DialContext(h.t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
		return tls.Client(raw, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(h.t.Context()) == nil //nolint:gosec // nobody vouches for it
	}, by)
}
