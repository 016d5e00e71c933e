package people_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
	"ippwatch/people"
)

const example = `# who is told
constituents:
  - name: university
    title: "Universität Beispiel"
    networks:
      - 198.51.100.0/24
      - 2001:db8:1::/48
    language: de
    contacts:
      - abuse@uni.example
      - {address: "+49 30 123", role: technical, name: Netzbetrieb, language: de, interval: 36h, business_days: true, format: [text, csv], pgp_key: 0123 4567 89ab cdef 0123 4567 89ab cdef 0123 4567}
  - name: provider
    networks: [198.51.0.0/16, 203.0.113.7]
    asns: [64500, AS64501]
  - name: csirt
    countries: [de, NO]
`

func constituents(t *testing.T) []exposure.Constituent {
	t.Helper()
	all, err := people.ParseConstituents("people.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParseConstituents(t *testing.T) {
	p := netip.MustParsePrefix
	want := []exposure.Constituent{
		{
			Name: "university", Title: "Universität Beispiel", Language: "de",
			Networks: []netip.Prefix{p("198.51.100.0/24"), p("2001:db8:1::/48")}, Contacts: []exposure.Recipient{
				{Medium: exposure.ByMail, Address: "abuse@uni.example"},
				{
					Medium: exposure.ByPhone, Address: "+49 30 123", Role: "technical", Name: "Netzbetrieb", Language: "de", Interval: 36 * time.Hour, BusinessDays: true,
					Format: []exposure.Form{exposure.FormText, exposure.FormCSV}, PGPKey: "0123456789ABCDEF0123456789ABCDEF01234567",
				},
			},
		},
		{Name: "provider", Networks: []netip.Prefix{p("198.51.0.0/16"), p("203.0.113.7/32")}, ASNs: []uint32{64500, 64501}},
		{Name: "csirt", Countries: []string{"DE", "NO"}},
	}
	if diff := cmp.Diff(want, constituents(t), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("ParseConstituents: -want +got\n%s", diff)
	}
}

func TestParseConstituentsRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"f:1:1: the file is empty: want constituents: and a list"}},
		{"a list at the top", "- name: a\n", []string{"f:1:1: the file: want keys and values, such as constituents: ..., not a list"}},
		{"no list", "constituents: a\n", []string{"f:1:15: constituents: want a list, such as [a, b], not text"}},
		{"a second document", "constituents: []\n---\nconstituents: []\n", []string{"f:2:1: a second document: one file is one document"}},
		{"several mistakes at once", `constituents:
  - name: Big Net
    network: [198.51.100.0/24]
    asns: [0, 4294967296, 64500, 64500, [1]]
  - title: nameless
    networks: [198.51.100.1/24, "::ffff:198.51.100.0/120", fe80::1%eth0, example.net]
    countries: [Germany, UK]
  - name: all
    countries: [DE, de]
    language: german!
    contacts: ""
  - name: empty
  - name: twice
    asns: [1]
  - name: twice
    asns: [1]
`, []string{
			`f:2:11: name: "Big Net": want small letters, digits and single hyphens, as it becomes part of file names`,
			`f:3:5: unknown key "network": did you mean networks?`,
			`f:4:12: asns: "0": want a number from 1 to 4294967295`,
			`f:4:15: asns: "4294967296": want a number from 1 to 4294967295`,
			`f:4:34: asns: 64500 stands there twice`,
			`f:4:41: asns: want one value, not a list`,
			`f:5:5: a constituent: name is missing`,
			`f:6:16: networks: "198.51.100.1/24": bits are set after the prefix length: write 198.51.100.0/24 for the network or 198.51.100.1 for the address`,
			`f:6:33: networks: "::ffff:198.51.100.0/120": an IPv4-mapped address: write it as IPv4`,
			`f:6:60: networks: "fe80::1%eth0": not a prefix or an address`,
			`f:6:74: networks: "example.net": not a prefix or an address`,
			`f:7:17: countries: "Germany": want two letters of ISO 3166-1, such as DE`,
			`f:7:26: countries: UK is GB in ISO 3166-1`,
			`f:8:11: name: "all" is what reports call something else`,
			`f:9:21: countries: DE stands there twice`,
			`f:10:15: language: "german!": want a tag such as de or pt-BR`,
			`f:11:15: contacts: want a list, such as [a, b], not text`,
			`f:12:5: empty has no networks, asns or countries: it would match no host`,
			`f:15:11: name: "twice" stands in line 13 already`,
		}},
		{"contacts", `constituents:
  - name: a
    asns: [1]
    contacts: [nobody, {address: "+49", medium: phone}, {role: abuse}, {email: a@example.net}, a@example.net, A@example.net]
  - name: b
    asns: [2]
    contacts: [{address: ftp://example.net/}, {address: "http://hooks.example/", interval: never}, {address: b@example.net, format: [pdf], business_days: 1, role: Big Boss}, [x]]
`, []string{
			`f:4:16: contacts: "nobody": not a mail address such as abuse@example.net`,
			`f:4:25: contacts: "+49": not a telephone number such as +49 30 123456`,
			`f:4:58: contacts: a contact without an address`,
			`f:4:73: unknown key "email": the keys are address, name, role, language, medium, format, pgp_key, interval, business_days, opt_out`,
			`f:4:111: contacts: A@example.net stands there twice`,
			`f:7:17: contacts: "ftp://example.net/": want https, as it carries what is open where`,
			`f:7:92: interval: "never": want a time such as 12h or 7d, up to 366d`,
			`f:7:133: format: "pdf": want text, html, xarf, csv`,
			`f:7:155: business_days: "1": want true or false`,
			`f:7:164: role: "Big Boss": want a word such as abuse, technical or management`,
			`f:7:175: contacts: want text, not a list: put it in quotes`,
		}},
		{"broken YAML", "constituents:\n  - name: a\n   title: b\n", []string{"f:3:4: value is not allowed in this context"}},
		{"a key twice", "constituents: []\nconstituents: []\n", []string{`f:2:1: mapping key "constituents" already defined at [1:1]`}},
		{"a NUL", "constituents:\n\x00", []string{"f:2:1: the text has a NUL"}},
		{"another encoding", "constituents:\n\xff", []string{"f:2:1: the text is not UTF-8"}},
		{"brackets", "constituents: " + strings.Repeat("[", 200), []string{"f:1:35: too many brackets in brackets: write lists with dashes"}},
		{"an escape in a title", "constituents:\n  - name: a\n    title: \"\\e[2J\"\n    asns: [1]\n", []string{`f:3:12: title: "\x1b[2J" has a character that does not print`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := people.ParseConstituents("f", []byte(tt.text))
			if err == nil {
				t.Fatalf("ParseConstituents = %v, want an error", all)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("ParseConstituents: -want +got\n%s", diff)
			}
		})
	}
}

func TestParseConstituentsEndsItsComplaints(t *testing.T) {
	_, err := people.ParseConstituents("f", []byte("constituents:\n"+strings.Repeat("  - nome: x\n", 1000)))
	if n := len(strings.Split(err.Error(), "\n")); n != 21 {
		t.Errorf("ParseConstituents: %d complaints, want 20 and a word about the rest", n)
	}
}

func TestMatch(t *testing.T) {
	d := people.NewDirectory(constituents(t))
	tests := []struct {
		name  string
		addr  string
		where exposure.Where
		want  []string
	}{
		{"all of them, who knows it best first", "198.51.100.7", exposure.Where{Country: "DE", ASN: 64500}, []string{"university", "provider", "csirt"}},
		{"an IPv4 address in IPv6 clothes", "::ffff:198.51.100.7", exposure.Where{}, []string{"university", "provider"}},
		{"the shorter prefix alone", "198.51.7.7", exposure.Where{}, []string{"provider"}},
		{"an AS comes before a country", "192.0.2.1", exposure.Where{Country: "DE", ASN: 64501}, []string{"provider", "csirt"}},
		{"a country in small letters", "192.0.2.1", exposure.Where{Country: "no"}, []string{"csirt"}},
		{"IPv6", "2001:db8:1::9", exposure.Where{}, []string{"university"}},
		{"nobody's", "192.0.2.1", exposure.Where{Country: "FR", ASN: 1}, nil},
		{"nowhere", "192.0.2.1", exposure.Where{}, nil},
	}
	for _, tt := range tests {
		got := d.Names(&exposure.Observation{Addr: netip.MustParseAddr(tt.addr), Where: tt.where})
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: Names(%s) = %v, want %v", tt.name, tt.addr, got, tt.want)
		}
	}
	if got := new(people.Directory).Match(netip.Addr{}, exposure.Where{}); len(got) != 0 {
		t.Errorf("the zero Directory: Match = %v", got)
	}
	if len(d.All()) != 3 {
		t.Errorf("All = %d constituents, want 3", len(d.All()))
	}
}

// TestMatchProperty compares with the obvious way, for random networks.
func TestMatchProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	addr := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{198, 51, byte(r.IntN(4)), byte(r.IntN(256))})
		}
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(r.IntN(3)), byte(r.IntN(256))})
	}
	var all []exposure.Constituent
	for i := range 60 {
		a := addr()
		p, err := a.Prefix(r.IntN(a.BitLen() + 1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, exposure.Constituent{Name: fmt.Sprint(i), Networks: []netip.Prefix{p}})
	}
	d := people.NewDirectory(all)
	for range 2000 {
		a := addr()
		var want []exposure.Constituent
		for _, c := range all {
			if c.Networks[0].Contains(a) {
				want = append(want, c)
			}
		}
		slices.SortStableFunc(want, func(x, y exposure.Constituent) int { return y.Networks[0].Bits() - x.Networks[0].Bits() })
		if diff := cmp.Diff(want, d.Match(a, exposure.Where{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatalf("Match(%s): -want +got\n%s", a, diff)
		}
	}
}

// FuzzParseConstituents: whatever the file holds, reading ends, and what is
// accepted is fit for file names and for a directory.
func FuzzParseConstituents(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("constituents: [{name: a, asns: [1]}]"))
	f.Add([]byte("constituents:\n  - &a name: x\n  - *a\n"))
	f.Add([]byte("constituents:\n  - <<: {name: a}\n    asns: [!!int 1]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := people.ParseConstituents("f", text)
		if err != nil {
			return
		}
		for _, c := range all {
			if c.Name == "" || strings.ContainsAny(c.Name, "/.\\ \n") {
				t.Errorf("accepted the name %q", c.Name)
			}
			if len(c.Networks)+len(c.ASNs)+len(c.Countries) == 0 {
				t.Errorf("accepted %q, which matches nobody", c.Name)
			}
		}
		people.NewDirectory(all)
	})
}
