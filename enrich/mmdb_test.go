package enrich

import (
	"encoding/binary"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
)

// A tiny MMDB writer, by the MaxMind DB file format specification 2.0: a tree of
// nodes of two 24-bit records, 16 zero bytes, the data, and the metadata.
func writeMMDB(t testing.TB, version int, records map[string]any) string {
	t.Helper()
	const empty = -1
	nodes := [][2]int{{empty, empty}}
	leaves := make(map[[2]int]int) // node and side to offset in the data
	var data []byte
	prefixes := make([]string, 0, len(records))
	for p := range records {
		prefixes = append(prefixes, p)
	}
	slices.Sort(prefixes)
	for _, text := range prefixes {
		p := netip.MustParsePrefix(text)
		raw := p.Addr().AsSlice()
		bits := p.Bits()
		if version == 6 && p.Addr().Is4() {
			raw, bits = append(make([]byte, 12), raw...), bits+96
		}
		at := 0
		for i := range bits {
			side := int(raw[i/8] >> (7 - i%8) & 1)
			if i == bits-1 {
				leaves[[2]int{at, side}] = len(data)
				break
			}
			if nodes[at][side] == empty {
				nodes = append(nodes, [2]int{empty, empty})
				nodes[at][side] = len(nodes) - 1
			}
			at = nodes[at][side]
		}
		data = appendMMDB(data, records[text])
	}
	var out []byte
	for i, node := range nodes {
		for side, next := range node {
			if offset, ok := leaves[[2]int{i, side}]; ok {
				next = len(nodes) + 16 + offset
			} else if next == empty {
				next = len(nodes)
			}
			out = append(out, byte(next>>16), byte(next>>8), byte(next))
		}
	}
	out = append(out, make([]byte, 16)...)
	out = append(out, data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	out = appendMMDB(out, map[string]any{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1780666922),
		"database_type": "Test", "description": map[string]any{"en": "Test"}, "ip_version": uint16(version), "languages": []any{"en"},
		"node_count": uint32(len(nodes)), "record_size": uint16(24),
	})
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// appendMMDB encodes one value.
func appendMMDB(b []byte, v any) []byte {
	control := func(kind, size int) {
		first := byte(0)
		if kind <= 7 {
			first = byte(kind << 5)
		}
		ext := size
		if size >= 29 {
			ext = 29
		}
		b = append(b, first|byte(ext))
		if kind > 7 {
			b = append(b, byte(kind-7))
		}
		if size >= 29 {
			b = append(b, byte(size-29))
		}
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		b = append(b, v...)
	case float64:
		control(3, 8)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case uint16:
		control(5, 2)
		b = binary.BigEndian.AppendUint16(b, v)
	case uint32:
		control(6, 4)
		b = binary.BigEndian.AppendUint32(b, v)
	case uint64:
		control(9, 8)
		b = binary.BigEndian.AppendUint64(b, v)
	case map[string]any:
		control(7, len(v))
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			b = appendMMDB(b, k)
			b = appendMMDB(b, v[k])
		}
	case []any:
		control(11, len(v))
		for _, e := range v {
			b = appendMMDB(b, e)
		}
	}
	return b
}

type m = map[string]any

func TestLayoutsOfMMDB(t *testing.T) {
	for _, test := range []struct {
		name   string
		record m
		want   exposure.Where
	}{
		{
			"GeoLite2 City",
			m{"country": m{"iso_code": "DE", "names": m{"en": "Germany"}}, "city": m{"names": m{"de": "Köln", "en": "Cologne"}}, "subdivisions": []any{m{"iso_code": "NW", "names": m{"en": "North Rhine-Westphalia"}}}, "location": m{"latitude": 50.9}},
			exposure.Where{Country: "DE", City: "Cologne", Region: "North Rhine-Westphalia"},
		},
		{
			"GeoLite2 ASN",
			m{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example"},
			exposure.Where{Country: "US", ASN: 64500, ASName: "Example"},
		},
		{
			"ip-location-db city",
			m{"country_code": "FR", "city": "Paris", "state1": "Île-de-France", "state2": "", "latitude": 48.8},
			exposure.Where{Country: "FR", City: "Paris", Region: "Île-de-France"},
		},
		{
			"IPinfo",
			m{"country": "Norway", "country_code": "NO", "asn": "AS64501", "as_name": "Example AS"},
			exposure.Where{Country: "NO", ASN: 64501, ASName: "Example AS"},
		},
		{
			"IPinfo, older",
			m{"country": "NO", "country_name": "Norway", "asn": "AS64501", "as_name": "Example AS"},
			exposure.Where{Country: "NO", ASN: 64501, ASName: "Example AS"},
		},
		{"a country without the rest", m{"country": m{"iso_code": "SE"}}, exposure.Where{Country: "SE"}},
		{"facts of other types", m{"country_code": uint32(7), "country": m{"iso_code": []any{"x"}}, "asn": uint64(64502)}, exposure.Where{Country: "US", ASN: 64502}},
		{"a long name", m{"asn": uint32(1), "as_name": strings.Repeat("é", 140)}, exposure.Where{Country: "US", ASN: 1, ASName: strings.Repeat("é", 100)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, version := range []int{4, 6} {
				e, err := New(Options{MMDB: []string{writeMMDB(t, version, m{"8.8.8.0/24": test.record})}})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, e.Where(netip.MustParseAddr("8.8.8.8"))); diff != "" {
					t.Errorf("Where, IP version %d (-want +got):\n%s", version, diff)
				}
				if got := e.Where(netip.MustParseAddr("2a00:1450:4001::1")); got.ASN != 0 || got.Country == "" {
					t.Errorf("Where of an address outside = %+v", got)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestFileOfMaxMindsWriter reads a file that this package's tests did not write:
// 28-bit records, shared by pointers, IPv4 in the tree of IPv6.
func TestFileOfMaxMindsWriter(t *testing.T) {
	const path = "testdata/city.mmdb" // gen_mmdb.go.txt beside it
	e, err := New(Options{MMDB: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	cologne := exposure.Where{Country: "DE", City: "Cologne", Region: "North Rhine-Westphalia"}
	austria := exposure.Where{Country: "AT", ASN: 64500, ASName: "Example"}
	for addr, want := range map[string]exposure.Where{
		"198.51.100.0": cologne, "198.51.100.191": cologne, "::ffff:198.51.100.9": cologne, "2001:db8:100:ffff::1": cologne,
		"198.51.100.192": austria, "2001:db8:201::1": austria,
		"203.0.113.1": {}, "2001:db8:101::": {}, "8.8.8.8": {Country: "US"},
	} {
		if diff := cmp.Diff(want, e.Where(netip.MustParseAddr(addr))); diff != "" {
			t.Errorf("Where(%s) (-want +got):\n%s", addr, diff)
		}
	}
	for country, want := range map[string]string{
		"DE": "198.51.100.0/25 198.51.100.128/26 2001:db8:100::/48", "AT": "198.51.100.192/26 2001:db8:200::/47",
	} {
		if got, _, err := CountryPrefixes(path, country); err != nil || words(got) != want {
			t.Errorf("CountryPrefixes(%s) = %s, %v, want %s", country, words(got), err, want)
		}
	}
}

func TestSourcesInTheirOrder(t *testing.T) {
	first := writeMMDB(t, 6, m{"8.8.8.0/24": m{"country_code": "DE"}})
	second := writeMMDB(t, 6, m{
		"8.8.8.0/24": m{"country_code": "FR", "city": "Paris", "asn": uint32(64500)},
		"8.8.4.0/24": m{"city": "Oslo", "country_code": "NO"},
	})
	text := filepath.Join(t.TempDir(), "asn.tsv")
	if err := os.WriteFile(text, []byte("8.0.0.0\t8.255.255.255\t64501\tUS\tTEXT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{MMDB: []string{first, second}, ASN: text})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, test := range []struct {
		name, addr string
		want       exposure.Where
	}{
		{"the first file, without the city of another country", "8.8.8.8", exposure.Where{Country: "DE", ASN: 64500}},
		{"the second file, then the text", "8.8.4.4", exposure.Where{Country: "NO", City: "Oslo", ASN: 64501, ASName: "TEXT"}},
		{"the text, then the embedded table", "8.9.0.1", exposure.Where{Country: "US", ASN: 64501, ASName: "TEXT"}},
		{"the embedded table alone", "193.99.144.80", exposure.Where{Country: "DE"}},
		{"mapped", "::ffff:8.8.8.8", exposure.Where{Country: "DE", ASN: 64500}},
		{"loopback", "127.0.63.1", exposure.Where{}},
		{"private", "10.0.0.1", exposure.Where{}},
		{"for documentation", "2001:db8::1", exposure.Where{}},
		{"link-local with a zone", "fe80::1%eth0", exposure.Where{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, e.Where(netip.MustParseAddr(test.addr))); diff != "" {
				t.Errorf("Where(%s) (-want +got):\n%s", test.addr, diff)
			}
		})
	}
	if got := e.Where(netip.Addr{}); got != (exposure.Where{}) {
		t.Errorf("Where of no address = %+v", got)
	}
}

func TestBadFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := writeMMDB(t, 4, m{"8.8.8.0/24": m{"user_type": "business"}})
	for _, test := range []struct {
		name    string
		options Options
		want    []string
	}{
		{"an MMDB that is not there", Options{MMDB: []string{filepath.Join(dir, "none.mmdb")}}, []string{"none.mmdb"}},
		{"an MMDB that is none", Options{MMDB: []string{file("text.mmdb", "hello")}}, []string{"text.mmdb"}},
		{"an MMDB of something else", Options{MMDB: []string{other}}, []string{"test.mmdb", "neither country"}},
		{"an AS file that is not there", Options{ASN: filepath.Join(dir, "none.tsv")}, []string{"none.tsv"}},
		{"an AS file with a mistake", Options{ASN: file("bad.tsv", "8.0.0.0\t8.255.255.255\tx\tUS\tTEXT\n")}, []string{"bad.tsv", "line 1: column 3", `"x"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.options)
			if err == nil {
				t.Fatal("New succeeded")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New: %v, want %q in it", err, want)
				}
			}
		})
	}
}

func BenchmarkWhere(b *testing.B) {
	for _, test := range []struct {
		name string
		mmdb []string
	}{{"embedded", nil}, {"city", []string{writeMMDB(b, 4, m{"0.0.0.0/1": m{"country": m{"iso_code": "DE"}, "city": m{"names": m{"en": "Cologne"}}}})}}} {
		b.Run(test.name, func(b *testing.B) {
			e, err := New(Options{MMDB: test.mmdb})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			b.ReportAllocs()
			for n := uint32(0); b.Loop(); n += 2654435761 {
				e.Where(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
			}
		})
	}
}
