package space

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite golden files")

var (
	noon     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	byPrefix = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})
)

func prefixes(words ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, w := range words {
		p, err := Parse(w)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

// scopeOf is a scope that holds at noon.
func scopeOf(networks ...string) Scope {
	return Scope{
		AuthorisedBy: "A. Person",
		Contact:      "scan@example.org",
		Expires:      noon.AddDate(0, 1, 0),
		Networks:     prefixes(networks...),
	}
}

func TestParseScope(t *testing.T) {
	const text = `# what we may probe
authorised_by: A. Person, Network Operations
contact: scan@example.org   # read every day
expires: 2026-12-31
networks:
  - 203.0.113.0/24
  - "2001:db8::"
  - ::1
exclude:
  - 203.0.113.7
note: |
  first line
  second line
`
	want := Scope{
		AuthorisedBy: "A. Person, Network Operations",
		Contact:      "scan@example.org",
		Expires:      time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		Networks:     prefixes("203.0.113.0/24", "2001:db8::", "::1"),
		Exclude:      prefixes("203.0.113.7"),
		Note:         "first line\nsecond line",
	}
	for name, in := range map[string]string{
		"as written":                    text,
		"with the ends of Windows":      strings.ReplaceAll(text, "\n", "\r\n"),
		"with a byte order mark":        "\ufeff" + text,
		"with a list in brackets":       strings.Replace(text, "exclude:\n  - 203.0.113.7", "exclude: [203.0.113.7]", 1),
		"with a time instead of a date": strings.Replace(text, "2026-12-31", "2027-01-01T02:00:00+02:00", 1),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseScope("scope.yaml", []byte(in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, byPrefix); diff != "" {
				t.Errorf("ParseScope: -want +got\n%s", diff)
			}
		})
	}
}

func TestParseScopeRefuses(t *testing.T) {
	const head = "authorised_by: A\ncontact: b\nexpires: 2026-12-31\n"
	tests := []struct {
		name, in string
		want     string
	}{
		{"an empty file", "", "s:1:1: the scope is empty"},
		{"only a comment", "# x\n", "s:1:1: the scope is empty"},
		{"a list", "- x\n", "s:1:1: want keys and values, such as authorised_by: ..., not a list"},
		{"a syntax error", "a: b: c\n", "s:1:4: mapping value is not allowed in this context"},
		{"a key twice", head + "contact: c\nnetworks: [192.0.2.1]\n", `s:4:1: mapping key "contact" already defined at [2:1]`},
		{"two documents", head + "networks: [192.0.2.1]\n---\na: b\n", "s:5:1: a second document: one file is one document"},
		{"a tab", "networks:\n\t- 192.0.2.1\n", "s:2:1: found character '\t' that cannot start any token"},
		{"not UTF-8", "authorised_by: A\ncontact: \xff\n", "s:2:1: the text is not UTF-8"},
		{"a typo in a key", head + "network: [192.0.2.1]\n", "s:1:1: networks is missing\n" +
			"s:4:1: unknown key \"network\": did you mean networks?"},
		{
			"a foreign key", head + "networks: [192.0.2.1]\nports: [631]\n",
			`s:5:1: unknown key "ports": the keys are authorised_by, contact, expires, networks, exclude, note`,
		},
		{"nothing but a typo", "autorized_by: x\n", "s:1:1: unknown key \"autorized_by\": did you mean authorised_by?\n" +
			"s:1:1: authorised_by is missing\ns:1:1: contact is missing\ns:1:1: expires is missing\ns:1:1: networks is missing"},
		{
			"a field not filled in", "authorised_by: \"\"\ncontact: b\nexpires: \"\"\nnetworks: [192.0.2.1]\n",
			"s:1:16: authorised_by is empty\n" +
				"s:3:10: expires is empty: write the last day on which the scope holds, such as 2026-12-31",
		},
		{
			"a number for a person", "authorised_by: 12\ncontact: b\nexpires: 2026-12-31\nnetworks: [192.0.2.1]\n",
			"s:1:16: authorised_by: want text, not a number: put it in quotes",
		},
		{
			"an alias", "authorised_by: &a x\ncontact: *a\nexpires: 2026-12-31\nnetworks: [192.0.2.1]\n",
			"s:1:16: an anchor, alias or tag: write it out, or put the text in quotes",
		},
		{
			"an escape sequence for the terminal", "authorised_by: \"A\\e[2J\"\ncontact: b\nexpires: 2026-12-31\nnetworks: [192.0.2.1]\n",
			`s:1:16: authorised_by: "A\x1b[2J" has a character that does not print`,
		},
		{
			"a day that is none", "authorised_by: A\ncontact: b\nexpires: 2026-02-30\nnetworks: [192.0.2.1]\n",
			`s:3:10: expires: "2026-02-30": want a day such as 2026-12-31 or a time such as 2026-12-31T18:00:00Z`,
		},
		{
			"a day in the German order", "authorised_by: A\ncontact: b\nexpires: 31.12.2026\nnetworks: [192.0.2.1]\n",
			`s:3:10: expires: "31.12.2026": want a day such as 2026-12-31 or a time such as 2026-12-31T18:00:00Z`,
		},
		{"no list", head + "networks: 192.0.2.0/24\n", "s:4:11: networks: want a list, such as [a, b], not text"},
		{"no network", head + "networks: []\n", "s:4:11: networks: the list is empty: nothing may be probed"},
		{"a null network", head + "networks:\n", "s:4:1: networks is empty"},
		{"many mistakes at once", head + `networks:
  - 198.51.100.0/33
  - 198.51.100.7/24
  - ::ffff:192.0.2.1
  - fe80::1%eth0
  - 192.0.2.1-192.0.2.9
  - 192.0.2.0-9
  - printer.example.org
  - 10.0
  - 2001:db8::
  - 192.0.2.0/024
  - [a, b]
exclude:
  - 192.0.2
`, `s:5:5: networks: "198.51.100.0/33": prefix length 33 is over 32
s:6:5: networks: "198.51.100.7/24": bits are set after the prefix length: write 198.51.100.0/24 for the network or 198.51.100.7 for the address
s:7:5: networks: "::ffff:192.0.2.1": an IPv4-mapped address: write 192.0.2.1
s:8:5: networks: "fe80::1%eth0": an address with a zone (%eth0) means another host on each machine
s:9:5: networks: "192.0.2.1-192.0.2.9": not an address: write a range as prefixes
s:10:5: networks: "192.0.2.0-9": not an address: write a range as prefixes
s:11:5: networks: "printer.example.org": not an address or a prefix; names are not resolved
s:12:5: networks: want a prefix or an address, not a number
s:13:5: networks: want a prefix or an address, not a key and its value: write "2001:db8::", in quotes
s:14:5: networks: "192.0.2.0/024": prefix length "024" is not a number
s:15:5: networks: want a prefix or an address, not a list
s:17:5: exclude: "192.0.2": not an address or a prefix; names are not resolved`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseScope("s", []byte(tt.in))
			if err == nil {
				t.Fatalf("ParseScope(%q) = %+v, want an error", tt.in, got)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("ParseScope(%q): -want +got\n%s", tt.in, diff)
			}
		})
	}
}

func TestParseScopeOfACountry(t *testing.T) {
	whole := "authorised_by: A\ncontact: b\nexpires: 2026-12-31\nnetworks:\n" + strings.Repeat("  - 192.0.2.0/24 # AS64500: [x] {y}\n", 70_000)
	if s, err := ParseScope("s", []byte(whole)); err != nil || len(s.Networks) != 70_000 {
		t.Errorf("a large country: %d networks, %v", len(s.Networks), err)
	}
	in := "networks:\n" + strings.Repeat("  - x\n", 1000)
	_, err := ParseScope("s", []byte(in))
	if got := strings.Count(fmt.Sprint(err), "\n"); got != 20 {
		t.Errorf("a thousand mistakes give %d lines, want %d", got+1, 21)
	}
}

func TestFormat(t *testing.T) {
	s := scopeOf("203.0.113.0/24", "2001:db8::", "2001:db8:1::/64")
	s.Exclude = prefixes("203.0.113.7")
	s.Note = "AS64500, from routes.tsv of 2026-11-20.\nRead by nobody yet."
	for name, s := range map[string]Scope{"full": s, "unsigned": {Networks: prefixes("192.0.2.0/24")}} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name+".golden")
			got := s.Format()
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("Format: -want +got\n%s", diff)
			}
		})
	}
	if _, err := ParseScope("s", Scope{Networks: prefixes("192.0.2.0/24")}.Format()); err == nil {
		t.Error("a scope that nobody signed was accepted")
	}
}

// TestFormatRoundTrip writes scopes of every shape and reads them again.
func TestFormatRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := []string{
		"a", "Ä", "日本", `"`, `\`, ":", "#", " #", "- ", "\n", "'", "%", "{", "[", "&x", "*x", "!", "|", ">", "@", "`",
		"null", "true", "0x10", "\n\n", " ", "---", "?", "<<",
	}
	text := func() string {
		var b strings.Builder
		b.WriteString("x")
		for range rnd.IntN(8) {
			b.WriteString(words[rnd.IntN(len(words))])
		}
		b.WriteString("x")
		return b.String()
	}
	for range 2000 {
		want := Scope{
			AuthorisedBy: strings.ReplaceAll(text(), "\n", ""),
			Contact:      strings.ReplaceAll(text(), "\n", ""),
			Expires:      noon.Add(time.Duration(rnd.Int64N(1e18))).Truncate(time.Duration(1) << rnd.IntN(60)),
			Note:         text(),
		}
		for range 1 + rnd.IntN(4) {
			want.Networks = append(want.Networks, anyPrefix(rnd))
		}
		for range rnd.IntN(3) {
			want.Exclude = append(want.Exclude, anyPrefix(rnd))
		}
		got, err := ParseScope("s", want.Format())
		if err != nil {
			t.Fatalf("%v\n%s", err, want.Format())
		}
		if diff := cmp.Diff(want, got, byPrefix, cmpopts.EquateApproxTime(0)); diff != "" {
			t.Fatalf("-want +got\n%s\n%s", diff, want.Format())
		}
	}
}

func anyPrefix(rnd *rand.Rand) netip.Prefix {
	if rnd.IntN(2) == 0 {
		n := rnd.Uint32()
		a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		return netip.PrefixFrom(a, rnd.IntN(33)).Masked()
	}
	a := number{rnd.Uint64() | 1<<61, rnd.Uint64()}.plus(0)
	return netip.PrefixFrom(a, 3+rnd.IntN(126)).Masked()
}

func FuzzParseScope(f *testing.F) {
	for _, name := range []string{"full", "unsigned"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("networks: [::1, 2001:db8::]\nnote: >-\n  a\n\n  b\nexclude:\n"))
	f.Add([]byte("a: &x [*x]\n<<: *x\n? k\n: v\n--- !!str x\n...\n%YAML 1.2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseScope("s", text)
		if err != nil {
			if !bytes.HasPrefix([]byte(err.Error()), []byte("s:")) {
				t.Errorf("error without a place: %v", err)
			}
			return
		}
		again, err := ParseScope("s", s.Format())
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, s.Format())
		}
		if diff := cmp.Diff(s, again, byPrefix, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("parse, write, parse: -first +second\n%s", diff)
		}
	})
}

func TestParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"an address", "192.0.2.1", "192.0.2.1/32"},
		{"an IPv6 address", "2001:db8::1", "2001:db8::1/128"},
		{"a prefix", "192.0.2.0/24", "192.0.2.0/24"},
		{"everything", "::/0", "::/0"},
		{"a negative length", "192.0.2.0/-1", `"192.0.2.0/-1": prefix length "-1" is not a number`},
		{"an empty length", "192.0.2.0/", `"192.0.2.0/": prefix length "" is not a number`},
		{"nothing", "", `"": not an address or a prefix; names are not resolved`},
		{"a URL", "ipp://192.0.2.1/ipp", `"ipp://192.0.2.1/ipp": not an address or a prefix; names are not resolved`},
		{"an octal octet", "192.0.02.1", `"192.0.02.1": not an address or a prefix; names are not resolved`},
		{"a mapped prefix", "::ffff:0:0/96", `"::ffff:0:0/96": an IPv4-mapped address: write 0.0.0.0`},
		{
			"a line of garbage", strings.Repeat("x", 100),
			`"` + strings.Repeat("x", 60) + `…": not an address or a prefix; names are not resolved`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.in)
			got := p.String()
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Parse(%q) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	s, err := ParseScope("s", []byte("authorised_by: A\ncontact: b\nexpires: 2026-12-31\nnetworks: [192.0.2.1]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Expired(time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)); err != nil {
		t.Errorf("on its last day: %v", err)
	}
	if err := s.Expired(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its last day: %v, want ErrExpired", err)
	}
}

func TestLint(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Scope)
		want []string
	}{
		{"a good scope", func(*Scope) {}, nil},
		{
			"it ends soon", func(s *Scope) { s.Expires = noon.AddDate(0, 0, 6) },
			[]string{"expires: the scope ends in less than 7 days, at 2026-11-29T12:00:00Z"},
		},
		{"it ended", func(s *Scope) { s.Expires = noon }, []string{"expires: the scope expired at 2026-11-23T12:00:00Z"}},
		{
			"it never ends", func(s *Scope) { s.Expires = noon.AddDate(3, 0, 0) },
			[]string{"expires: the scope ends in more than a year, at 2029-11-23T12:00:00Z"},
		},
		{
			"an exclusion elsewhere", func(s *Scope) { s.Exclude = prefixes("9.9.9.0/24") },
			[]string{"exclude: 9.9.9.0/24 covers nothing: no network touches it"},
		},
		{
			"exclusions that overlap", func(s *Scope) { s.Exclude = prefixes("8.8.8.0/28", "8.8.8.1", "8.8.8.0/28") },
			[]string{"exclude: 8.8.8.0/28 is listed twice", "exclude: 8.8.8.1 lies within 8.8.8.0/28"},
		},
		{
			"networks that overlap", func(s *Scope) { s.Networks = prefixes("8.8.8.0/24", "8.8.8.128/25", "8.8.9.0/24") },
			[]string{"networks: 8.8.8.128/25 lies within 8.8.8.0/24"},
		},
		{
			"a network that two exclusions cover", func(s *Scope) { s.Exclude = prefixes("8.8.8.0/25", "8.8.8.128/25") },
			[]string{"networks: 8.8.8.0/24 is excluded as a whole"},
		},
		{
			"a private network", func(s *Scope) { s.Networks = prefixes("10.1.0.0/16") },
			[]string{"networks: 10.1.0.0/16 is special-purpose (10.0.0.0/8, Private-Use, RFC 1918) and will be probed because it is named"},
		},
		{
			"a block with blocks in it", func(s *Scope) { s.Networks = prefixes("192.0.0.0/24") },
			[]string{"networks: 192.0.0.0/24 is special-purpose (192.0.0.0/24, IETF Protocol Assignments, RFC 6890, section 2.1) and will be probed because it is named"},
		},
		{"a large IPv6 network with a hole", func(s *Scope) {
			s.Networks, s.Exclude = prefixes("2a00:1::/48"), prefixes("2a00:1::/64")
		}, []string{"networks: 2a00:1::/48 is too large to enumerate: scans need targets in it"}},
		{"many large IPv6 networks", func(s *Scope) {
			s.Networks = prefixes("2a00:1::/48", "2a00:2::/48", "2a00:3::/48", "2a00:4::/48", "2a00:5::/48")
		}, []string{
			"networks: 2a00:1::/48 is too large to enumerate: scans need targets in it",
			"networks: 2a00:2::/48 is too large to enumerate: scans need targets in it",
			"networks: 2a00:3::/48 is too large to enumerate: scans need targets in it",
			"networks: 2 more are too large to enumerate",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scopeOf("8.8.8.0/24")
			tt.edit(&s)
			if diff := cmp.Diff(tt.want, s.Lint(noon)); diff != "" {
				t.Errorf("Lint: -want +got\n%s", diff)
			}
		})
	}
}
