package lab_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ippwatch/acl"
	"ippwatch/filter"
	"ippwatch/lab"
)

// The networks of the policy, behind the router. Next to each is an address
// that is routed there as well and is not protected.
var (
	guarded  = []string{"192.0.2.64/26", "2001:db8:300:40::/58"}
	printers = []string{"192.0.2.80/28", "2001:db8:300:50::/64"}
)

// edgePolicy is what the router shall do.
func edgePolicy(iface string) acl.Policy {
	parse := func(words ...string) (ps []netip.Prefix) {
		for _, w := range words {
			ps = append(ps, netip.MustParsePrefix(w))
		}
		return ps
	}
	return acl.Policy{
		Name: "epf631", Profile: acl.Edge, Interfaces: []string{iface}, Networks: parse(guarded...), Ports: []uint16{631},
		Legs: acl.Legs{InTCP: true, InUDP: true, OutUDP: true}, TCP: acl.AllSegments, Log: acl.Rate{N: 5, Per: "second"},
		Exceptions: []acl.Exception{
			{To: parse(printers...), Legs: []string{"in_tcp"}, Kind: "print-server", Owner: "a", Ticket: "T-1"},
			{From: parse("198.18.2.10/32", "2001:db8:ffff::10/128"), Kind: "scanner", Owner: "b", Ticket: "T-2"},
			{From: parse("198.18.2.64/26"), To: parse("192.0.2.127/32"), Kind: "partner", Owner: "c", Ticket: "T-3"},
		},
	}
}

// A crossing is a router between the test, which is the Internet, and a customer
// who has whole networks.
type crossing struct {
	t                *testing.T
	router, customer *lab.Host
	inside, outside  int // sockets that hear every frame at the customer, and here
	marker           string
	mark             int // routes through this router
}

func cross(t *testing.T) *crossing {
	t.Helper()
	c := &crossing{t: t, router: lab.NewHost(t, "router"), marker: fmt.Sprintf("epf%08x", time.Now().UnixNano()&0xffffffff)}
	c.customer = c.router.Behind("customer")
	inner4, inner6 := c.customer.Addr4.String(), c.customer.Addr6.String()
	c.router.Run("ip", "route", "add", "192.0.2.0/24", "via", inner4, "dev", "inner")
	c.router.Run("ip", "route", "add", "2001:db8:300::/48", "via", inner6, "dev", "inner")
	// Every crossing leads to the same networks: a mark says by which router.
	c.mark = int(c.router.Addr4.As4()[3])
	table := strconv.Itoa(c.mark)
	here("rule", "add", "fwmark", table, "table", table)(t)
	here("-6", "rule", "add", "fwmark", table, "table", table)(t)
	here("route", "add", "192.0.2.0/24", "via", c.router.Addr4.String(), "table", table)(t)
	here("-6", "route", "add", "2001:db8:300::/48", "via", c.router.Addr6.String(), "table", table)(t)
	t.Cleanup(func() {
		here("rule", "del", "fwmark", table)(t)
		here("-6", "rule", "del", "fwmark", table)(t)
	})
	hear := func() (fd int, err error) {
		proto := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, int(proto))
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		}
		return fd, err
	}
	var err error
	c.customer.Do(func() { c.inside, err = hear() })
	if err == nil {
		c.outside, err = hear()
	}
	if err != nil {
		t.Fatalf("hear frames: %v", err)
	}
	t.Cleanup(func() {
		_ = unix.Close(c.inside)
		_ = unix.Close(c.outside)
	})
	c.acquaint()
	return c
}

// acquaint sends a packet each way until it arrives: while neighbours do not know
// each other's links, they keep few packets and drop the others.
func (c *crossing) acquaint() {
	c.t.Helper()
	var all []sent
	for _, way := range []struct {
		dir      acl.Direction
		src, dst string
	}{
		{acl.In, "198.18.2.1", "192.0.2.1"},
		{acl.In, "2001:db8:ffff::1", "2001:db8:300::1"},
		{acl.Out, "192.0.2.1", "198.18.2.1"},
		{acl.Out, "2001:db8:300::1", "2001:db8:ffff::1"},
	} {
		p := acl.Packet{Dir: way.dir, Src: netip.MustParseAddr(way.src), Dst: netip.MustParseAddr(way.dst), Proto: 253, Frag: acl.Whole}
		all = append(all, sent{Packet: p, wire: c.build(p, "", len(all))})
	}
	got := make(map[int]bool)
	await(c.t, "a packet each way", func() bool {
		c.send(all)
		c.arrived(all, got)
		return len(got) == len(all)
	})
	time.Sleep(quiet) // what is still on its way
	c.arrived(all, got)
}

// here runs ip where the test is.
func here(args ...string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Errorf("ip %s: %v\n%s", args, err, out)
		}
	}
}

// A sent packet is one of the model and the bytes that it is.
type sent struct {
	acl.Packet
	header string // of IPv6, for the failure
	wire   []byte
}

// assortment is every packet on the edges of what the policy speaks of.
func (c *crossing) assortment() []sent {
	var all []sent
	add := func(p acl.Packet, header string) {
		s := sent{Packet: p, header: header}
		s.wire = c.build(p, header, len(all))
		all = append(all, s)
	}
	addrs := func(words ...string) (as []netip.Addr) {
		for _, w := range words {
			as = append(as, netip.MustParseAddr(w))
		}
		return as
	}
	for _, dir := range []acl.Direction{acl.In, acl.Out} {
		for _, v4 := range []bool{true, false} {
			src, dst := addrs("198.18.2.1", "198.18.2.10", "198.18.2.64"), addrs("192.0.2.63", "192.0.2.64", "192.0.2.79", "192.0.2.80", "192.0.2.95", "192.0.2.96", "192.0.2.127", "192.0.2.128")
			headers := []string{""}
			if !v4 {
				src, dst = addrs("2001:db8:ffff::1", "2001:db8:ffff::10"), addrs("2001:db8:300:3f:ffff:ffff:ffff:ffff", "2001:db8:300:40::1", "2001:db8:300:4f::1", "2001:db8:300:50::1", "2001:db8:300:50:ffff:ffff:ffff:ffff", "2001:db8:300:51::", "2001:db8:300:7f:ffff:ffff:ffff:ffff", "2001:db8:300:80::")
				headers = []string{"", "hop-by-hop", "destination options", "hop-by-hop and destination options"}
			}
			if dir == acl.Out {
				src, dst = dst, src
			}
			for _, s := range src {
				for _, d := range dst {
					for _, proto := range []uint8{acl.TCP, acl.UDP} {
						for _, port := range []uint16{630, 631, 632} {
							for _, header := range headers {
								p := acl.Packet{Dir: dir, Src: s, Dst: d, Proto: proto, SPort: 40000, DPort: port, Frag: acl.Whole, Ext: header != ""}
								if proto == acl.TCP {
									p.Flags = acl.SYN
								}
								add(p, header)
								first := p
								first.Frag, first.Ext = acl.First, !v4
								add(first, header)
							}
						}
						later := acl.Packet{Dir: dir, Src: s, Dst: d, Proto: proto, Frag: acl.Later, Ext: !v4}
						add(later, "")
					}
					// An answer that a client with the port 631 gets, and one from a server.
					add(acl.Packet{Dir: dir, Src: s, Dst: d, Proto: acl.TCP, SPort: 443, DPort: 631, Frag: acl.Whole, Flags: acl.SYN | acl.ACK}, "")
					add(acl.Packet{Dir: dir, Src: s, Dst: d, Proto: acl.UDP, SPort: 631, DPort: 53, Frag: acl.Whole}, "")
					add(acl.Packet{Dir: dir, Src: s, Dst: d, Proto: 253, Frag: acl.Whole}, "")
				}
			}
		}
	}
	return all
}

// build makes the bytes. The payload has the marker and the number.
func (c *crossing) build(p acl.Packet, header string, n int) []byte {
	payload := fmt.Appendf(nil, "%s-%06d", c.marker, n)
	if p.Frag == acl.Later {
		// Where a first fragment would have its destination port.
		payload = append([]byte("\x00\x00\x02\x77...."), payload...)
	}
	for len(payload)%8 != 0 {
		payload = append(payload, '.')
	}
	body := payload
	if p.Frag != acl.Later {
		switch p.Proto {
		case acl.UDP:
			h := binary.BigEndian.AppendUint16(nil, p.SPort)
			h = binary.BigEndian.AppendUint16(h, p.DPort)
			h = binary.BigEndian.AppendUint16(h, uint16(8+len(payload)))
			body = append(append(h, 0, 0), payload...) // no checksum: nobody down there checks it
		case acl.TCP:
			h := binary.BigEndian.AppendUint16(nil, p.SPort)
			h = binary.BigEndian.AppendUint16(h, p.DPort)
			h = append(h, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, byte(p.Flags), 255, 255, 0, 0, 0, 0)
			body = append(h, payload...)
		}
	}
	for len(body)%8 != 0 {
		body = append(body, '.')
	}
	offset, more := uint16(0), false
	switch p.Frag {
	case acl.First:
		more = true
	case acl.Later:
		offset = 64 // in units of eight bytes
	}
	if p.Dst.Is4() {
		field := offset
		if more {
			field |= 0x2000
		}
		h := []byte{0x45, 0, 0, 0, byte(n >> 8), byte(n), byte(field >> 8), byte(field), 64, p.Proto, 0, 0}
		h = append(append(h, p.Src.AsSlice()...), p.Dst.AsSlice()...)
		h = append(h, body...)
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
		return h
	}
	// From the inside out: each header names the one behind it.
	next := p.Proto
	if p.Frag != acl.Whole {
		field := offset << 3
		if more {
			field |= 1
		}
		frag := []byte{next, 0, byte(field >> 8), byte(field), 0, 0, byte(n >> 8), byte(n)}
		body, next = append(frag, body...), 44
	}
	padded := []byte{0, 0, 1, 4, 0, 0, 0, 0} // PadN
	if strings.Contains(header, "destination") {
		body, next = append(append([]byte{next}, padded[1:]...), body...), 60
	}
	if strings.Contains(header, "hop-by-hop") {
		body, next = append(append([]byte{next}, padded[1:]...), body...), 0
	}
	h := []byte{0x60, 0, 0, 0, 0, 0, next, 64}
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	return append(append(append(h, p.Src.AsSlice()...), p.Dst.AsSlice()...), body...)
}

// send sends all, those that come in from here and those that go out from the
// customer.
func (c *crossing) send(all []sent) {
	c.t.Helper()
	out := func(dir acl.Direction) (err error) {
		fds := make(map[bool]int)
		for v4, family := range map[bool]int{true: unix.AF_INET, false: unix.AF_INET6} {
			fd, err := unix.Socket(family, unix.SOCK_RAW, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, c.mark); err != nil {
				return err
			}
			fds[v4] = fd
		}
		for _, s := range all {
			if s.Dir != dir {
				continue
			}
			var to unix.Sockaddr
			if s.Dst.Is4() {
				to = &unix.SockaddrInet4{Addr: s.Dst.As4()}
			} else {
				to = &unix.SockaddrInet6{Addr: s.Dst.As16()}
			}
			if err := unix.Sendto(fds[s.Dst.Is4()], s.wire, 0, to); err != nil {
				return fmt.Errorf("send %s: %w", s.Packet, err)
			}
		}
		return nil
	}
	if err := out(acl.In); err != nil {
		c.t.Fatal(err)
	}
	var err error
	c.customer.Do(func() { err = out(acl.Out) })
	if err != nil {
		c.t.Fatal(err)
	}
}

// arrived adds the numbers of the packets that came out on the other side.
func (c *crossing) arrived(all []sent, got map[int]bool) {
	frame := make([]byte, 4096)
	for dir, fd := range map[acl.Direction]int{acl.In: c.inside, acl.Out: c.outside} {
		for {
			n, from, err := unix.Recvfrom(fd, frame, 0)
			if err != nil {
				break
			}
			// What this side itself sends is heard as well.
			if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			i := bytes.Index(frame[:n], []byte(c.marker+"-"))
			if i < 0 {
				continue
			}
			var number int
			if _, err := fmt.Sscanf(string(frame[i+len(c.marker)+1:n]), "%06d", &number); err == nil && number < len(all) && all[number].Dir == dir {
				got[number] = true
			}
		}
	}
}

// compare sends everything through the router and holds what arrives against the
// model.
func (c *crossing) compare(f acl.Filter) (counts map[string]uint64) {
	c.t.Helper()
	all := c.assortment()
	counts = make(map[string]uint64)
	want := make(map[int]bool)
	for i, s := range all {
		fate, by := f.Walk(s.Packet)
		if fate.Passes() {
			want[i] = true
		}
		for _, r := range by {
			if r.Name != "" && r.Count {
				counts[r.Name]++
			}
		}
	}
	got := make(map[int]bool)
	// A machine keeps a thousand packets that have come over a cable, of all tests
	// that run at once, and drops the next: so a few at a time, and what shall
	// arrive of them is waited for.
	const few = 100
	deadline := time.Now().Add(2 * time.Minute)
	for from := 0; from < len(all); from += few {
		end := min(from+few, len(all))
		c.send(all[from:end])
		complete := func() bool {
			c.arrived(all, got)
			for i := from; i < end; i++ {
				if want[i] && !got[i] && !unsure(f, all[i].Packet) {
					return false
				}
			}
			return true
		}
		for !complete() && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	// What was sent before has gone through the router before: the cables keep
	// the order, but for what another core still has in hand.
	time.Sleep(quiet)
	c.arrived(all, got)
	wrong := 0
	for i, s := range all {
		if got[i] != want[i] && (got[i] || !unsure(f, s.Packet)) {
			if wrong++; wrong < 20 {
				fate, by := f.Walk(s.Packet)
				c.t.Errorf("%s %s: arrived %v, the model says %s by %+v", s.Packet, s.header, got[i], fate, by)
			}
		}
	}
	c.t.Logf("%d packets, %d arrive, %d otherwise than in the model", len(all), len(got), wrong)
	return counts
}

// unsure reports whether a rule may match the packet of which the reader does not
// know: then it says that the packet passes, and the kernel may drop it.
func unsure(f acl.Filter, p acl.Packet) bool {
	var look func([]acl.Rule) bool
	look = func(rules []acl.Rule) bool {
		return slices.ContainsFunc(rules, func(r acl.Rule) bool { return r.Match.Has(p) && (r.Unsure || look(r.Rules)) })
	}
	return slices.ContainsFunc(f.Stages, func(s acl.Stage) bool { return look(s.Rules) })
}

// load puts the texts of a platform into force on the router.
func (c *crossing) load(platform string, texts []acl.Text) {
	c.t.Helper()
	for _, text := range texts {
		switch {
		case platform == "nftables":
			c.router.NFT(text.Body)
		case strings.HasSuffix(text.Name, "v6"):
			c.router.Feed(text.Body, "ip6tables-restore", "--noflush")
		default:
			c.router.Feed(text.Body, "iptables-restore", "--noflush")
		}
	}
}

// running is what the platform prints of the rules in force.
func (c *crossing) running(platform string) []acl.Text {
	c.t.Helper()
	if platform == "nftables" {
		return []acl.Text{{Name: "ruleset", Body: c.router.Run("nft", "list", "ruleset")}}
	}
	return []acl.Text{{Name: "rules.v4", Body: c.router.Run("iptables-save", "-c")}, {Name: "rules.v6", Body: c.router.Run("ip6tables-save", "-c")}}
}

// TestFiltersDropWhatThePolicySays sends thousands of packets through the real
// filters: every one has the fate that the policy gives it, every counter what
// the policy counts, and what the kernel prints is read back as the policy.
func TestFiltersDropWhatThePolicySays(t *testing.T) {
	for _, platform := range []string{"nftables", "iptables"} {
		for _, countOnly := range []bool{false, true} {
			name := platform + " enforced"
			if countOnly {
				name = platform + " counting"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				lab.Need(t, "nft", "iptables", "ip6tables")
				form := edgePolicy("eth0").Form(time.Now(), countOnly)
				rendered, err := filter.Render(platform, form)
				if err != nil {
					t.Fatal(err)
				}
				c := cross(t)
				if all := c.compare(acl.Filter{}); len(all) != 0 {
					t.Fatalf("without a filter: %v", all)
				}
				c.load(platform, rendered.Texts)
				counts := c.compare(form.Filter())

				printed := c.running(platform)
				seen, err := filter.Read(platform, printed, form.At)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range seen {
					if proof := acl.Prove(form, one.Filter); !proof.Proven() {
						t.Errorf("what the kernel prints is not the policy: %+v\n%s", proof, printed)
					}
				}
				texts := make([]string, len(printed))
				for i, p := range printed {
					texts[i] = p.Body
				}
				counters, err := filter.Counters(platform, texts)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range counters {
					if one.Packets != counts[one.Name] {
						t.Errorf("counter %s: %d, want %d", one.Name, one.Packets, counts[one.Name])
					}
					delete(counts, one.Name)
				}
				for name, n := range counts {
					t.Errorf("counter %s is not there, want %d", name, n)
				}

				c.load(platform, rendered.Rollback)
				c.compare(acl.Filter{})
				if left := c.running(platform); slices.ContainsFunc(left, func(t acl.Text) bool { return strings.Contains(t.Body, "epf631") }) {
					t.Errorf("after the rollback there is still: %s", left)
				}
			})
		}
	}
}

// TestNextHeaderLeaks shows the mistake for which the proof has a dimension: a
// filter that looks at the next header is passed behind eight bytes of options.
func TestNextHeaderLeaks(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	text := acl.Text{Name: "nexthdr.nft", Body: `table ip6 edge {
	chain forward {
		type filter hook forward priority 0; policy accept;
		iifname "eth0" ip6 daddr 2001:db8:300:40::/58 ip6 nexthdr udp udp dport 631 drop
		iifname "eth0" ip6 daddr 2001:db8:300:40::/58 ip6 nexthdr tcp tcp dport 631 drop
	}
}
`}
	at := acl.Attach{Profile: acl.Edge, Interfaces: []string{"eth0"}}
	seen, err := filter.Read("nftables", []acl.Text{text}, at)
	if err != nil {
		t.Fatal(err)
	}
	c := cross(t)
	c.load("nftables", []acl.Text{text})
	c.compare(seen[0].Filter) // the reader says of every packet what the kernel does

	report := filter.Check(edgePolicy("eth0").Form(time.Now(), false), seen)
	told := slices.ContainsFunc(report.Leaks, func(l filter.Leak) bool {
		return l.Witness.Ext && l.Witness.Frag == acl.Whole && l.Witness.Proto == acl.UDP
	})
	if !told {
		t.Errorf("the leak is not told: %+v", report.Leaks)
	}
}
