// Package audit looks at a host from inside: what listens at the ports of print
// services, and for whom.
package audit

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
)

// Bounds of a report that somebody sends us.
const (
	maxReport    = 1 << 20 // bytes
	maxAddresses = 1024
	maxListeners = 10000
)

// A Report is what was seen on one host at one time. It knows the network
// namespace that it was made in, and no firewall.
type Report struct {
	V         int          `json:"v"` // 1
	Host      string       `json:"host"`
	At        time.Time    `json:"at"`
	Addresses []netip.Addr `json:"addresses"` // of its interfaces, without loopback and link-local ones
	Ports     []uint16     `json:"ports"`     // that were looked at
	Listeners []Listener   `json:"listeners"` // at these ports
}

// A Listener is a socket that waits for strangers.
type Listener struct {
	Transport exposure.Transport `json:"transport"`
	Addr      netip.Addr         `json:"addr"` // unspecified: all addresses of the host
	Port      uint16             `json:"port"`
	Program   string             `json:"program,omitempty"` // empty when we may not see whose it is
}

// String returns "cupsd at [::]:631/tcp".
func (l Listener) String() string {
	at := netip.AddrPortFrom(l.Addr, l.Port).String() + "/" + string(l.Transport)
	if l.Program == "" {
		return at
	}
	return l.Program + " at " + at
}

// Local reports whether only the host itself reaches it.
func (l Listener) Local() bool { return l.Addr.Unmap().IsLoopback() }

// tables are where Linux lists its sockets (proc_net(5)), with the state of one
// that waits: TCP_LISTEN, and for UDP that of a socket without a peer.
var tables = []struct {
	name      string
	transport exposure.Transport
	waits     string
}{
	{"net/tcp", exposure.TCP, "0A"},
	{"net/tcp6", exposure.TCP, "0A"},
	{"net/udp", exposure.UDP, "07"},
	{"net/udp6", exposure.UDP, "07"},
}

// Look reads what listens at the ports from proc, the file system of that name.
// Addresses are those of the host's interfaces.
func Look(proc fs.FS, host string, addresses []netip.Addr, ports []uint16, now time.Time) (Report, error) {
	r := Report{V: 1, Host: host, At: now.UTC().Truncate(time.Second), Addresses: []netip.Addr{}, Ports: ports, Listeners: []Listener{}}
	for _, a := range addresses {
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !a.IsLinkLocalUnicast() && !slices.Contains(r.Addresses, a) {
			r.Addresses = append(r.Addresses, a)
		}
	}
	slices.SortFunc(r.Addresses, netip.Addr.Compare)
	inodes := make(map[string][]int) // indices of listeners
	for _, t := range tables {
		text, err := fs.ReadFile(proc, t.name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(t.name, "6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			return r, fmt.Errorf("read what listens: %w", err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if n == 0 || len(fields) < 10 || fields[3] != t.waits {
				continue
			}
			at, err := address(fields[1])
			if err != nil {
				return r, fmt.Errorf("%s: line %d: %w", t.name, n+1, err)
			}
			if slices.Contains(ports, at.Port()) {
				inodes[fields[9]] = append(inodes[fields[9]], len(r.Listeners))
				r.Listeners = append(r.Listeners, Listener{Transport: t.transport, Addr: at.Addr(), Port: at.Port()})
			}
		}
	}
	owners(proc, inodes, r.Listeners)
	slices.SortFunc(r.Listeners, func(a, b Listener) int { return strings.Compare(a.String(), b.String()) })
	r.Listeners = slices.Compact(r.Listeners)
	return r, nil
}

// address reads "0100007F:0277": words of four bytes in the order of the machine,
// little on all that Linux runs CUPS on today.
func address(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	p, wrong := strconv.ParseUint(port, 16, 16)
	if err != nil || wrong != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("no address: %q", s)
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("no address: %q", s)
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}

// owners names the programs behind the sockets, as far as we may look.
func owners(proc fs.FS, inodes map[string][]int, listeners []Listener) {
	if len(inodes) == 0 {
		return
	}
	processes, err := fs.ReadDir(proc, ".")
	if err != nil {
		return
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		files, err := fs.ReadDir(proc, p.Name()+"/fd")
		if err != nil {
			continue // another user's, or gone
		}
		for _, f := range files {
			link, err := fs.ReadLink(proc, p.Name()+"/fd/"+f.Name())
			inode, ok := strings.CutPrefix(link, "socket:[")
			if err != nil || !ok {
				continue
			}
			for _, i := range inodes[strings.TrimSuffix(inode, "]")] {
				name, _ := fs.ReadFile(proc, p.Name()+"/comm")
				listeners[i].Program = strings.TrimSpace(string(name))
			}
		}
	}
}

// Read reads a report that was made elsewhere.
func Read(from io.Reader) (Report, error) {
	var r Report
	d := json.NewDecoder(bufio.NewReader(io.LimitReader(from, maxReport)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("no audit of ippwatch: %w", err)
	}
	switch {
	case r.V != 1:
		return r, fmt.Errorf("no audit of ippwatch that we can read: v is %d, want 1", r.V)
	case r.At.IsZero(), len(r.Ports) == 0:
		return r, errors.New("no audit of ippwatch: it does not say when it was made, or of which ports")
	case len(r.Addresses) > maxAddresses, len(r.Listeners) > maxListeners:
		return r, errors.New("no audit of ippwatch: no host has so many addresses and listeners")
	}
	for _, l := range r.Listeners {
		if !l.Addr.IsValid() || l.Transport != exposure.TCP && l.Transport != exposure.UDP {
			return r, fmt.Errorf("no audit of ippwatch: a listener at %q over %q", l.Addr, l.Transport)
		}
	}
	return r, nil
}

// Covers reports whether the port was looked at.
func (r Report) Covers(port uint16) bool { return slices.Contains(r.Ports, port) }

// Listens returns what listens for strangers at the port of the address, if
// anything does. An address that the host does not have itself stands for all
// that it has: a router in front of it translates.
func (r Report) Listens(a netip.Addr, t exposure.Transport, port uint16) (Listener, bool) {
	own := slices.Contains(r.Addresses, a)
	for _, l := range r.Listeners {
		if l.Transport != t || l.Port != port || l.Local() {
			continue
		}
		// "::" takes IPv4, too, unless the program asked otherwise, which is not seen.
		if all := l.Addr.IsUnspecified() && (l.Addr.Is6() || a.Is4() || !own); all || !own || l.Addr.Unmap() == a {
			return l, true
		}
	}
	return Listener{}, false
}

// Closed returns the observation that nothing listens at the port of the address.
func (r Report) Closed(a netip.Addr, t exposure.Transport, port uint16, received time.Time) exposure.Observation {
	o := exposure.Observation{
		V: exposure.Version, Observed: r.At, Received: received, Source: exposure.Audit, Vantage: r.Host,
		Addr: a, Port: port, Transport: t, Probe: exposure.ProbeIPP, Verdict: exposure.Closed,
	}
	if t == exposure.UDP {
		o.Probe = exposure.ProbeBrowse
	}
	o.ID = exposure.NewFeedID(exposure.Audit, string(t), map[string]string{
		"host": r.Host, "at": r.At.Format(time.RFC3339), "addr": a.String(), "port": strconv.Itoa(int(port)),
	})
	return o
}
