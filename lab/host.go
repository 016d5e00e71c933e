package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a real program may take to do what it will do; the
// machines that run the tests may be busy.
const patience = 2 * time.Minute

// A Host is one machine of the lab, with a network, mounts and a name of its own.
type Host struct {
	Name  string
	Addr4 netip.Addr
	Addr6 netip.Addr

	t    testing.TB
	room *room
	dir  string // what stands at its places
}

// NewHost adds a host, joined to the test by a cable of its own. It is removed
// when the test ends. Its link is eth0, its way to everywhere is the test,
// which forwards nothing.
func NewHost(t testing.TB, name string) *Host {
	t.Helper()
	Need(t, "ip")
	h := newHost(t, name)
	for n := byte(10); ; n++ {
		if n == 255 {
			t.Fatalf("add host %s: no address is free", name)
		}
		// The name of the link is the claim to the number: only one can have it.
		link := fmt.Sprintf("lab%d", n)
		if _, err := net.InterfaceByName(link); err == nil {
			continue
		}
		err := ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %s", link, h.room.net))
		if err != nil && strings.Contains(err.Error(), "File exists") {
			continue
		} else if err != nil {
			t.Fatalf("add host %s: %v", name, err)
		}
		t.Cleanup(func() { _ = ip("link del " + link) })
		h.Addr4 = netip.AddrFrom4([4]byte{198, 51, 100, n})
		h.Addr6 = Here6.Prev()
		for range n {
			h.Addr6 = h.Addr6.Next()
		}
		h.plug(
			ip(
				fmt.Sprintf("addr add %s/32 dev %s", Here4, link),
				fmt.Sprintf("addr add %s/128 dev %s nodad", Here6, link),
				fmt.Sprintf("link set %s up", link),
				fmt.Sprintf("route add %s/32 dev %s src %s", h.Addr4, link, Here4),
				fmt.Sprintf("route add %s/128 dev %s src %s", h.Addr6, link, Here6),
			), Here4, Here6)
		return h
	}
}

// Behind adds a host whose only way out is through h, which forwards for it
// from now on. The test has a route to it. There is room for one behind h.
func (h *Host) Behind(name string) *Host {
	h.t.Helper()
	inner := newHost(h.t, name)
	n := h.Addr4.As4()[3]
	gate4 := netip.MustParseAddr("203.0.113.1")
	inner.Addr4 = netip.AddrFrom4([4]byte{203, 0, 113, n})
	gate6 := netip.MustParseAddr("2001:db8:203::1")
	inner.Addr6 = netip.MustParseAddr(fmt.Sprintf("2001:db8:203::%x", n))

	var err error
	h.room.do(func() {
		if err = ip("link add inner type veth peer name eth0 netns " + inner.room.net); err != nil {
			return
		}
		err = ip(
			fmt.Sprintf("addr add %s/32 dev inner", gate4),
			fmt.Sprintf("addr add %s/128 dev inner nodad", gate6),
			"link set inner up",
			fmt.Sprintf("route add %s/32 dev inner src %s", inner.Addr4, gate4),
			fmt.Sprintf("route add %s/128 dev inner src %s", inner.Addr6, gate6),
		)
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err == nil {
				err = set(name, "1")
			}
		}
	})
	if err != nil {
		h.t.Fatalf("add host %s behind %s: %v", name, h.Name, err)
	}
	routes := []string{
		fmt.Sprintf("%s/32 via %s src %s", inner.Addr4, h.Addr4, Here4),
		fmt.Sprintf("%s/128 via %s src %s", inner.Addr6, h.Addr6, Here6),
	}
	inner.plug(ip("route add "+routes[0], "route add "+routes[1]), gate4, gate6)
	return inner
}

// newHost adds a host without a cable.
func newHost(t testing.TB, name string) *Host {
	t.Helper()
	h := &Host{Name: name, t: t, dir: t.TempDir()}
	var err error
	if h.room, err = newRoom(name); err != nil {
		t.Fatalf("add host %s: %v", name, err)
	}
	t.Cleanup(h.room.close)
	return h
}

// places are where a host has directories and files of its own. Everything else
// of the machine it sees and cannot change.
var places = []struct{ own, place string }{
	{"etc", "/etc/cups"},
	{"etc/ssl", "/etc/cups/ssl"},
	{"etc/ppd", "/etc/cups/ppd"},
	{"run", "/run/cups"},
	{"spool", "/var/spool/cups"},
	{"cache", "/var/cache/cups"},
	{"log", "/var/log/cups"},
	{"dbus", "/run/dbus"},
	{"avahi", "/run/avahi-daemon"},
	{"tmp", "/tmp"},
}

// furnish gives h its places, and a name service that knows only h itself: to
// ask another would take its programs many seconds.
func (h *Host) furnish() {
	h.t.Helper()
	h.write("hosts", fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%[1]s %[3]s %[3]s.local\n%[2]s %[3]s %[3]s.local\n", h.Addr4, h.Addr6, h.Name))
	h.write("resolv.conf", "")
	var err error
	for _, p := range places {
		if err == nil {
			err = os.MkdirAll(filepath.Join(h.dir, p.own), 0o755)
		}
		if err == nil && strings.HasPrefix(p.place, "/run/") {
			err = os.MkdirAll(p.place, 0o755)
		}
	}
	h.room.do(func() {
		files := []struct{ own, place string }{{"hosts", "/etc/hosts"}, {"resolv.conf", "/etc/resolv.conf"}}
		for _, p := range slices.Concat(places, files) {
			// Without the package there is no such place.
			if _, absent := os.Stat(p.place); absent == nil && err == nil {
				err = bind(filepath.Join(h.dir, p.own), p.place)
			}
		}
	})
	if err != nil {
		h.t.Fatalf("furnish %s: %v", h.Name, err)
	}
}

// write writes a file under the directory of h.
func (h *Host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
		h.t.Fatalf("furnish %s: %v", h.Name, err)
	}
}

// plug gives h its addresses on eth0 and the gateways for everything else, if
// the other end of the cable is in order, and furnishes it.
func (h *Host) plug(other error, gate4, gate6 netip.Addr) {
	h.t.Helper()
	err := other
	if err == nil {
		h.room.do(func() {
			err = ip(
				"link set lo up",
				fmt.Sprintf("addr add %s/24 dev eth0", h.Addr4),
				fmt.Sprintf("addr add %s/64 dev eth0 nodad", h.Addr6),
				"link set eth0 up",
				fmt.Sprintf("route replace %s/32 dev eth0 src %s", gate4, h.Addr4),
				fmt.Sprintf("route add default via %s src %s", gate4, h.Addr4),
				fmt.Sprintf("route replace %s/128 dev eth0 src %s", gate6, h.Addr6),
				fmt.Sprintf("route add default via %s src %s", gate6, h.Addr6),
			)
		})
	}
	if err != nil {
		h.t.Fatalf("plug in host %s: %v", h.Name, err)
	}
	h.furnish()
}

// Port4 is a port at the host's IPv4 address.
func (h *Host) Port4(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.Addr4, port) }

// Port6 is a port at the host's IPv6 address.
func (h *Host) Port6(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.Addr6, port) }

// Do runs f on h: what f opens, it opens there. f must do its work itself, in
// no other goroutine, must not call the methods of h and must not fail the test.
func (h *Host) Do(f func()) { h.room.do(f) }

// Listen opens a listener on h. The test uses it from where it stands.
func (h *Host) Listen(at netip.AddrPort) net.Listener {
	h.t.Helper()
	var ln net.Listener
	var err error
	h.room.do(func() { ln, err = new(net.ListenConfig).Listen(context.Background(), "tcp", at.String()) })
	if err != nil {
		h.t.Fatalf("on %s: %v", h.Name, err)
	}
	h.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// ListenUDP opens a UDP socket on h.
func (h *Host) ListenUDP(at netip.AddrPort) *net.UDPConn {
	h.t.Helper()
	var conn *net.UDPConn
	var err error
	h.room.do(func() { conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)) })
	if err != nil {
		h.t.Fatalf("on %s: %v", h.Name, err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// DialContext connects from h. The address is numeric; the method fits an
// [net/http.Transport].
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	h.room.do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
	return conn, err
}

// Run runs a program on h, which must succeed, and returns its output.
func (h *Host) Run(name string, args ...string) string {
	h.t.Helper()
	return h.run("", name, args)
}

// Feed runs a program on h that reads the text.
func (h *Host) Feed(text, name string, args ...string) string {
	h.t.Helper()
	return h.run(text, name, args)
}

// NFT loads a ruleset into the packet filter of h.
func (h *Host) NFT(ruleset string) {
	h.t.Helper()
	Need(h.t, "nft")
	h.run(ruleset, "nft", []string{"-f", "-"})
}

// Masquerade lets what is behind h speak with the address of h, in both families.
func (h *Host) Masquerade() {
	h.t.Helper()
	h.NFT(`table inet nat {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "eth0" masquerade
	}
}
`)
}

func (h *Host) run(stdin, name string, args []string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	var out strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	var err error
	h.room.do(func() { err = cmd.Start() })
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		h.t.Fatalf("on %s: %s %s: %v\n%s", h.Name, name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// await polls until done, and fails the test when that takes too long or when
// one of the daemons ends.
func (h *Host) await(what string, done func() bool, daemons ...*Daemon) {
	h.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		for _, d := range daemons {
			if d.Ended() && !done() {
				h.t.Fatalf("on %s: waiting for %s: %s ended: %v", h.Name, what, d.name, d.err)
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			h.t.Fatalf("on %s: waiting for %s: nothing in %s", h.Name, what, patience)
		}
	}
}
