package space

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"
)

// set makes the set of a scope with these networks and exclusions.
func set(t testing.TB, networks, exclude string) Set {
	t.Helper()
	s := scopeOf(strings.Fields(networks)...)
	s.Exclude = prefixes(strings.Fields(exclude)...)
	got, _, err := s.Set(noon, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestScopeSet(t *testing.T) {
	tests := []struct {
		name                                 string
		networks, exclude, targets, excluded string
		want, dropped, err                   string
		is                                   error
	}{
		{name: "a network", networks: "8.8.8.0/24", want: "8.8.8.0/24"},
		{name: "networks that overlap and touch", networks: "8.8.8.0/24 8.8.8.128/25 8.8.9.0/24", want: "8.8.8.0/23"},
		{
			name: "exclusions of both kinds", networks: "8.8.8.0/24", exclude: "8.8.8.0/25", excluded: "8.8.8.192/26 9.0.0.0/8",
			want: "8.8.8.128/26",
			dropped: "8.8.8.0/25: 128 addresses: excluded (exclude, in the scope)\n" +
				"8.8.8.192/26: 64 addresses: excluded (ippwatch exclude)",
		},
		{
			name: "an exclusion with a careless form", networks: "8.8.8.0/24", excluded: "::ffff:8.8.8.77/121", want: "8.8.8.128/25",
			dropped: "8.8.8.0/25: 128 addresses: excluded (ippwatch exclude)",
		},
		{
			name: "a private network that is named", networks: "10.1.0.0/16", want: "10.1.0.0/16",
		},
		{
			name: "a private network that is not named", networks: "10.0.0.0/7", want: "11.0.0.0/8",
			dropped: "10.0.0.0/8: 16777216 addresses: special-purpose, and the scope does not name it (10.0.0.0/8, Private-Use, RFC 1918)",
		},
		{
			name: "a private network beside a wide one", networks: "10.0.0.0/7 10.1.0.0/30", want: "10.1.0.0/30 11.0.0.0/8",
			dropped: "10.0.0.0/8: 16777212 addresses: special-purpose, and the scope does not name it (10.0.0.0/8, Private-Use, RFC 1918)",
		},
		{
			name: "a block that is named does not name the blocks in it", networks: "255.255.255.254/31 240.0.0.0/4",
			targets: "255.255.255.252/30", want: "255.255.255.252/31 255.255.255.254/32",
			dropped: "255.255.255.255: 1 address: special-purpose, and the scope does not name it (255.255.255.255, Limited Broadcast, RFC 8190; RFC 919, section 7)",
		},
		{name: "targets narrow", networks: "8.8.8.0/24 2a00:1::/32", targets: "8.8.8.8 8.8.0.0/16 2a00:1::5", want: "8.8.8.0/24 2a00:1::5/128"},
		{
			name: "a target elsewhere", networks: "8.8.8.0/24", targets: "8.8.8.8 9.9.9.9", want: "8.8.8.8/32",
			err: "target 9.9.9.9: outside the scope", is: ErrOutside,
		},
		{
			name: "a target that is excluded", networks: "8.8.8.0/24", exclude: "8.8.8.0/28", targets: "8.8.8.8",
			dropped: "8.8.8.0/28: 1 address: excluded (exclude, in the scope)",
			err:     "target 8.8.8.8: excluded", is: ErrExcluded,
		},
		{
			name: "a target in a block that is not named", networks: "0.0.0.0/0", targets: "127.0.0.0/8",
			dropped: "127.0.0.0/8: 16777216 addresses: special-purpose, and the scope does not name it (127.0.0.0/8, Loopback, RFC 1122, section 3.2.1.3)",
			err:     "target 127.0.0.0/8: 127.0.0.0/8, Loopback, RFC 1122, section 3.2.1.3: special-purpose, and the scope does not name it", is: ErrSpecial,
		},
		{
			name: "a target that was given by hand and is no network", networks: "8.8.8.0/24", targets: "8.8.8.8/24",
			err: "target 8.8.8.8/24: bits are set after the prefix length: want 8.8.8.0/24",
		},
		{
			name: "nothing is left", networks: "8.8.8.0/24", excluded: "8.0.0.0/8",
			dropped: "8.0.0.0/8: 256 addresses: excluded (ippwatch exclude)",
			err:     "scope: nothing is left of networks: all of it is excluded", is: ErrExcluded,
		},
		{
			name: "a large IPv6 network", networks: "8.0.0.0/8 2a00:1::/64",
			err: "2a00:1::/64: too large to enumerate: the limit is 2^24 IPv6 addresses, and 2^32 of both", is: ErrTooLarge,
		},
		{name: "the largest IPv6 prefix", networks: "2a00:1::/104", want: "2a00:1::/104"},
		{
			name: "an address of everything", networks: "::/0", targets: "2a00:1::1", want: "2a00:1::1/128",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scopeOf(strings.Fields(tt.networks)...)
			s.Exclude = prefixes(strings.Fields(tt.exclude)...)
			got, dropped, err := s.Set(noon, byHand(tt.targets), byHand(tt.excluded))
			if msg := errText(err); msg != tt.err || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error = %q, want %q, which is %v", msg, tt.err, tt.is)
			}
			var words, lines []string
			for _, p := range got.Prefixes() {
				words = append(words, p.String())
			}
			for _, d := range dropped {
				lines = append(lines, d.String())
			}
			if diff := cmp.Diff(merged(byHand(tt.want)), got.Prefixes(), byPrefix); diff != "" {
				t.Errorf("Set = %v: -want +got\n%s", words, diff)
			}
			if diff := cmp.Diff(tt.dropped, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("dropped: -want +got\n%s", diff)
			}
		})
	}
}

func merged(all []netip.Prefix) []netip.Prefix {
	var got []netip.Prefix
	for _, r := range merge(all, nil) {
		got = r.AppendPrefixes(got)
	}
	return got
}

// byHand reads prefixes that Parse may refuse.
func byHand(words string) []netip.Prefix {
	var all []netip.Prefix
	for _, w := range strings.Fields(words) {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a := netip.MustParseAddr(w)
			p = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, p)
	}
	return all
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestScopeSetNeedsAnAuthority(t *testing.T) {
	for name, edit := range map[string]func(*Scope){
		"nobody authorised it":     func(s *Scope) { s.AuthorisedBy = "" },
		"nobody can be reached":    func(s *Scope) { s.Contact = "" },
		"it has no network":        func(s *Scope) { s.Networks = nil },
		"it expired":               func(s *Scope) { s.Expires = noon },
		"it never had an end":      func(s *Scope) { *s = Scope{AuthorisedBy: "a", Contact: "b", Networks: s.Networks} },
		"a network is not masked":  func(s *Scope) { s.Networks = byHand("8.8.8.8/24") },
		"a network is IPv4-mapped": func(s *Scope) { s.Networks = byHand("::ffff:8.8.8.8/128") },
		"a network is zero":        func(s *Scope) { s.Networks = []netip.Prefix{{}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := scopeOf("8.8.8.0/24")
			edit(&s)
			if got, _, err := s.Set(noon, nil, nil); err == nil || got.Len() != 0 {
				t.Errorf("Set = %v, %v, want an error", got.Prefixes(), err)
			}
		})
	}
}

// TestScopeSetIsExact compares with an oracle that judges each address alone.
func TestScopeSetIsExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	// All prefixes lie in 192.0.0.0/22, which has ordinary and special addresses.
	some := func(most int) (all []netip.Prefix) {
		for range rnd.IntN(most + 1) {
			a := netip.AddrFrom4([4]byte{192, 0, byte(rnd.IntN(4)), byte(rnd.Uint32())})
			all = append(all, netip.PrefixFrom(a, 22+rnd.IntN(11)).Masked())
		}
		return all
	}
	contains := func(all []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for range 500 {
		s := scopeOf()
		s.Networks = append(some(4), netip.MustParsePrefix("192.0.3.0/24"))
		s.Exclude = some(3)
		targets, excluded := some(3), some(3)
		got, _, err := s.Set(noon, targets, excluded)
		if err != nil && !errors.Is(err, ErrOutside) && !errors.Is(err, ErrExcluded) && !errors.Is(err, ErrSpecial) {
			t.Fatal(err)
		}
		n := uint64(0)
		for a := netip.MustParseAddr("192.0.0.0"); a.Less(netip.MustParseAddr("192.0.4.0")); a = a.Next() {
			block, special := SpecialPurpose(a)
			named := slices.ContainsFunc(s.Networks, func(p netip.Prefix) bool {
				return p.Contains(a) && p.Bits() >= block.Prefix.Bits()
			})
			want := contains(s.Networks, a) && !contains(s.Exclude, a) && !contains(excluded, a) &&
				(len(targets) == 0 || contains(targets, a)) && (!special || named)
			i, ok := got.Index(a)
			if ok != want {
				t.Fatalf("%s in Set = %v, want %v\nnetworks %v\nexclude %v\ntargets %v\nexcluded %v",
					a, ok, want, s.Networks, s.Exclude, targets, excluded)
			}
			if ok && i != n {
				t.Fatalf("Index(%s) = %d, want %d", a, i, n)
			}
			if ok {
				n++
			}
		}
		if got.Len() != n {
			t.Fatalf("Len = %d, want %d", got.Len(), n)
		}
	}
}

func TestSetNumbersItsAddresses(t *testing.T) {
	for name, s := range map[string]Set{
		"one address":   set(t, "8.8.8.8", ""),
		"both families": set(t, "8.8.0.0/16 9.9.9.9 2a00:1::/120 2a00:2::ffff:ffff:ffff:ff00/121", "8.8.7.0/25 8.8.8.8 2a00:1::7"),
		"the edges":     set(t, "255.255.255.255 0.0.0.0/32 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ff00::/120", ""),
		"an upper half": set(t, "2a00:1:0:1:ffff:ffff:ffff:ffff 2a00:1:0:2::", ""),
	} {
		t.Run(name, func(t *testing.T) {
			last := netip.Addr{}
			for i := range s.Len() {
				a := s.At(i)
				if !last.Less(a) {
					t.Fatalf("At(%d) = %s, not after %s", i, a, last)
				}
				if got, ok := s.Index(a); !ok || got != i {
					t.Fatalf("Index(At(%d)) = %d, %v", i, got, ok)
				}
				last = a
			}
			for _, r := range s.Ranges() {
				for _, a := range []netip.Addr{r.From().Prev(), r.To().Next()} {
					if a.IsValid() && s.Contains(a) {
						t.Errorf("%s is outside of %s, and Contains says otherwise", a, r)
					}
				}
			}
		})
	}
}

func TestSetRefusesStrangeAddresses(t *testing.T) {
	s := set(t, "8.8.8.0/24 fe80::/120", "")
	for name, a := range map[string]netip.Addr{
		"the zero address":    {},
		"an IPv4-mapped one":  netip.MustParseAddr("::ffff:8.8.8.8"),
		"one with a zone":     netip.MustParseAddr("fe80::1%eth0"),
		"below the first":     netip.MustParseAddr("1.1.1.1"),
		"above the last":      netip.MustParseAddr("fe80::100"),
		"between the ranges":  netip.MustParseAddr("8.8.9.0"),
		"far above":           netip.MustParseAddr("fe80::1:0:0:1"),
		"with the same low 8": netip.MustParseAddr("fe81::1"),
	} {
		if s.Contains(a) {
			t.Errorf("Contains(%s), %s, = true", a, name)
		}
	}
	if (Set{}).Contains(netip.MustParseAddr("8.8.8.8")) || (Set{}).Len() != 0 || len(Set{}.Ranges()) != 0 {
		t.Error("the zero Set is not empty")
	}
}

func TestSetOfEverything(t *testing.T) {
	// The scope names each block itself, so that nothing is left out.
	networks := []string{"0.0.0.0/0"}
	for _, s := range specials() {
		if s.Prefix.Addr().Is4() {
			networks = append(networks, s.Prefix.String())
		}
	}
	s := set(t, strings.Join(networks, " "), "")
	if s.Len() != 1<<32 || s.At(1<<32-1) != netip.MustParseAddr("255.255.255.255") {
		t.Errorf("Len = %d, last = %s", s.Len(), s.At(s.Len()-1))
	}
	if diff := cmp.Diff([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, s.Prefixes(), byPrefix); diff != "" {
		t.Errorf("Prefixes: -want +got\n%s", diff)
	}
}

func TestTooLargeHasAHint(t *testing.T) {
	_, _, err := scopeOf("2a00:1::/64").Set(noon, nil, nil)
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "/104") {
		t.Errorf("error %v has no hint that names /104", err)
	}
}

func TestRangesAndPrefixesAgree(t *testing.T) {
	s := set(t, "8.8.0.0/16 2a00:1::/110", "8.8.1.3 8.8.200.0/23 2a00:1::5")
	var b netipx.IPSetBuilder
	for _, p := range s.Prefixes() {
		b.AddPrefix(p)
	}
	from, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(from.Ranges(), s.Ranges()) {
		t.Errorf("Ranges = %v, from Prefixes %v", s.Ranges(), from.Ranges())
	}
}

func TestSpecialPurpose(t *testing.T) {
	tests := []struct{ in, want string }{
		{"10.255.255.255", "10.0.0.0/8, Private-Use, RFC 1918"},
		{"192.0.0.9", "192.0.0.9, Port Control Protocol Anycast, RFC 7723"},
		{"192.0.0.200", "192.0.0.0/24, IETF Protocol Assignments, RFC 6890, section 2.1"},
		{"239.1.2.3", "224.0.0.0/4, Multicast, RFC 5771"},
		{"255.255.255.255", "255.255.255.255, Limited Broadcast, RFC 8190; RFC 919, section 7"},
		{"::1", "::1, Loopback Address, RFC 4291"},
		{"::ffff:8.8.8.8", "::ffff:0.0.0.0/96, IPv4-mapped Address, RFC 4291"},
		{"64:ff9b:1::7f00:1", "64:ff9b:1::/48, IPv4-IPv6 Translation, RFC 8215"},
		{"100:0:0:1::1", "100:0:0:1::/64, Dummy IPv6 Prefix, RFC 9780"},
		{"2001:0:1::1", "2001::/32, TEREDO, RFC 4380; RFC 8190"},
		{"3fff::1", "3fff::/20, Documentation, RFC 9637"},
		{"5f00::1", "5f00::/16, Segment Routing (SRv6) SIDs, RFC 9602"},
		{"fe80::1%eth0", "fe80::/10, Link-Local Unicast, RFC 4291"},
		{"ff02::fb", "ff00::/8, Multicast, RFC 4291, section 2.7"},
		{"8.8.8.8", ""},
		{"172.32.0.0", ""},
		{"2a00:1450::1", ""},
		{"2001:200::", ""},
	}
	for _, tt := range tests {
		got := ""
		if s, ok := SpecialPurpose(netip.MustParseAddr(tt.in)); ok {
			got = s.String()
		}
		if got != tt.want {
			t.Errorf("SpecialPurpose(%s) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if _, ok := SpecialPurpose(netip.Addr{}); ok {
		t.Error("the zero address has a block")
	}
	if got := SpecialDate(); got != "2026-07-18" {
		t.Errorf("SpecialDate() = %q", got)
	}
	if len(specials()) < 50 {
		t.Errorf("%d blocks: some are missing", len(specials()))
	}
	for _, s := range specials() {
		if s.Prefix != s.Prefix.Masked() || s.Name == "" || !strings.HasPrefix(s.RFC, "RFC ") {
			t.Errorf("block %v is not well made", s)
		}
	}
}

func BenchmarkSetIndex(b *testing.B) {
	for name, s := range map[string]Set{"one range": set(b, "11.0.0.0/8", ""), "a million ranges": hitList(b, 1<<20)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range uint64(b.N) {
				if _, ok := s.Index(s.At(i * 2654435761 % s.Len())); !ok {
					b.Fatal("lost an address")
				}
			}
		})
	}
}

// hitList is a set of n single IPv6 addresses.
func hitList(t testing.TB, n int) Set {
	t.Helper()
	targets := make([]netip.Prefix, n)
	for i := range targets {
		targets[i] = netip.PrefixFrom(number{0x2a00_0001_0000_0000, uint64(i) << 20}.plus(1), 128)
	}
	s, _, err := scopeOf("2a00:1::/32").Set(noon, targets, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHitList(t *testing.T) {
	s := hitList(t, 1<<20)
	if s.Len() != 1<<20 || !s.Contains(netip.MustParseAddr("2a00:1::1")) || s.Contains(netip.MustParseAddr("2a00:1::2")) {
		t.Errorf("Len = %d", s.Len())
	}
}
