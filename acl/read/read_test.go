package read

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"ippwatch/acl"
)

// A foreign text is one that somebody else wrote, with what it does to packets.
type foreign struct {
	name  string
	text  string
	at    acl.Attach // zero: the edge at wan
	fates []string   // "in tcp 198.51.100.7 631 dropped"
	// unverified are parts of the reasons for which lines are not understood;
	// none: every line is.
	unverified []string
}

var edge = acl.Attach{Profile: acl.Edge, Interfaces: []string{"wan"}}

func (f foreign) run(t *testing.T, read func([]acl.Text, acl.Attach) (acl.Filter, error)) {
	t.Helper()
	t.Run(f.name, func(t *testing.T) {
		at := f.at
		if at.Profile == "" {
			at = edge
		}
		var texts []acl.Text
		for part := range strings.SplitSeq(f.text, "\n==== ") {
			name := "running"
			if len(texts) > 0 || strings.HasPrefix(part, "==== ") {
				name, part, _ = strings.Cut(strings.TrimPrefix(part, "==== "), "\n")
			}
			texts = append(texts, acl.Text{Name: name, Body: part})
		}
		got, err := read(texts, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, fate := range f.fates {
			p, want := packet(t, fate)
			if o, by := got.Walk(p); o.String() != want {
				t.Errorf("%s is %s, want %s (by %+v)", p, o, want, by)
			}
		}
		for i, l := range got.Unverified {
			if i >= len(f.unverified) || !strings.Contains(l.Why+" "+l.Text, f.unverified[i]) {
				t.Errorf("unverified %d: %s:%d: %s (%s)", i, l.File, l.Number, l.Text, l.Why)
			}
		}
		if len(got.Unverified) < len(f.unverified) {
			t.Errorf("%d lines are unverified, want %q", len(got.Unverified), f.unverified)
		}
	})
}

// packet reads "in tcp 198.51.100.7 631 dropped", with words of the packet
// before the fate: first, later, ext, ack.
func packet(t *testing.T, s string) (acl.Packet, string) {
	t.Helper()
	w := strings.Fields(s)
	p := acl.Packet{
		Dir: map[string]acl.Direction{"in": acl.In, "out": acl.Out}[w[0]], Frag: acl.Whole, SPort: 40000,
		Proto: map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}[w[1]], Flags: acl.SYN, Dst: netip.MustParseAddr(w[2]), Src: netip.MustParseAddr("192.0.2.1"),
	}
	if p.Dst.Is6() {
		p.Src = netip.MustParseAddr("2001:db8:ffff::1")
	}
	if _, err := fmt.Sscan(w[3], &p.DPort); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	rest := w[4:]
	fates := map[string]string{"dropped": acl.Dropped.String(), "passes": acl.Passed.String(), "counted": acl.Hit.String()}
	for len(rest) > 1 {
		switch word := rest[0]; word {
		case "first":
			p.Frag, p.Ext = acl.First, p.Dst.Is6()
		case "later":
			p.Frag, p.Ext, p.SPort, p.DPort, p.Flags = acl.Later, p.Dst.Is6(), 0, 0, 0
		case "ext":
			p.Ext = true
		case "ack":
			p.Flags = acl.ACK
		case "from":
			rest = rest[1:]
			p.Src = netip.MustParseAddr(rest[0])
		case "sport":
			rest = rest[1:]
			_, _ = fmt.Sscan(rest[0], &p.SPort)
		default:
			t.Fatalf("%s: %q", s, word)
		}
		rest = rest[1:]
	}
	if p.Proto != 6 {
		p.Flags = 0
	}
	if p.Proto == 1 || p.Proto == 58 {
		p.SPort, p.DPort = 0, 0
	}
	fate, ok := fates[rest[0]]
	if !ok {
		t.Fatalf("%s: %q is no fate", s, rest[0])
	}
	return p, fate
}

// fuzz asserts what holds for every reader and every text: it ends, and what
// it returns can be compared.
func fuzz(f *testing.F, read func([]acl.Text, acl.Attach) (acl.Filter, error), seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			return
		}
		for _, at := range []acl.Attach{edge, {Profile: acl.Host}} {
			got, err := read([]acl.Text{{Name: "x.v4", Body: text}, {Name: "x.v6", Body: text}}, at)
			if err != nil {
				continue
			}
			for _, d := range acl.Compare(acl.Filter{}, got) {
				if o, _ := got.Walk(d.Witness); o != d.B {
					t.Fatalf("%s: the walk says %s, the diagram %s", d.Witness, o, d.B)
				}
			}
		}
	})
}
