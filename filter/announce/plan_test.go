package announce

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
)

var update = flag.Bool("update", false, "rewrite golden files")

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

var own = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")}

// form is that of the example which filter init writes.
func form(t testing.TB, countOnly bool, change func(*acl.Policy)) acl.Form {
	t.Helper()
	p, err := acl.ParsePolicy("policy.yaml", []byte(acl.Example(now)))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&p)
	}
	return p.Form(now, countOnly)
}

// TestGolden shows the bytes that go out.
func TestGolden(t *testing.T) {
	var b strings.Builder
	syn := func(p *acl.Policy) {
		p.TCP, p.Ports = acl.SynOnly, []uint16{631, 9100, 9101, 9102}
	}
	for _, c := range []struct {
		title     string
		countOnly bool
		change    func(*acl.Policy)
	}{{"the example", false, nil}, {"count only", true, nil}, {"more ports, and only segments that open a connection", false, syn}} {
		p, err := New(form(t, c.countOnly, c.change), own, 100)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "==== %s\n", c.title)
		for _, r := range p.Routes {
			fmt.Fprintf(&b, "%s: %s: %s\n\tNLRI % x\n", r.Rule, r.Flow, r.Action(), r.NLRI)
			for _, c := range r.Communities {
				fmt.Fprintf(&b, "\tcommunity % x\n", c)
			}
		}
	}
	const file = "testdata/nlri.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is not what is sent now:\n%s", file, b.String())
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*acl.Policy)
		own    []netip.Prefix
		most   int
		want   error
	}{
		{"a prefix of others", nil, own[:1], 100, ErrForeign},
		{"a prefix that is larger than ours", nil, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/25"), own[1]}, 100, ErrForeign},
		{"none is ours", nil, nil, 100, ErrForeign},
		{"more than is allowed", nil, own, 3, ErrMany},
		{"a host", func(p *acl.Policy) { p.Profile = acl.Host }, own, 100, acl.ErrCannot},
		{"more exceptions than a router takes", func(p *acl.Policy) {
			for i := range 4000 {
				a := own[1].Addr().As16()
				a[14], a[15] = byte(i>>7), byte(i<<1)
				p.Exceptions = append(p.Exceptions, acl.Exception{To: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16(a), 128)}, Legs: []string{"in_tcp"}, Kind: "other", Owner: "a", Ticket: "T"})
			}
		}, own, 1 << 20, acl.ErrCannot},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(form(t, false, tt.change), tt.own, tt.most); !errors.Is(err, tt.want) {
				t.Errorf("New = %v, want %v", err, tt.want)
			}
		})
	}
}

// Bytes that were altered are not what the policy says.
func TestProveFindsAlteredBytes(t *testing.T) {
	f := form(t, false, nil)
	f.Torn = false
	p, err := New(f, own, 100)
	if err != nil {
		t.Fatal(err)
	}
	said := f.Undirected(false).WithoutLog()
	if err := p.prove(said); err != nil {
		t.Fatal(err)
	}
	for i, r := range p.Routes {
		for at := range r.NLRI {
			was := r.NLRI[at]
			// The host bits of 198.51.100.16/28 are none; and an exception may be for
			// either port, since only the destination's is dropped.
			if !r.Drop && (was == 16 || was == 5) {
				continue
			}
			r.NLRI[at] ^= 1
			if err := p.prove(said); err == nil {
				t.Errorf("route %d, %s: byte %d of % x is %#x instead: not found", i, r.Flow, at, r.NLRI, r.NLRI[at])
			}
			r.NLRI[at] = was
		}
		if !r.Drop {
			continue
		}
		p.Routes[i].Communities = nil
		if p.prove(said) == nil {
			t.Errorf("route %d: without its action: not found", i)
		}
		p.Routes[i].Communities = r.Communities
	}
}
