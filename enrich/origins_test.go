package enrich

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
)

func TestReadOrigins(t *testing.T) {
	type where = exposure.Where
	for _, test := range []struct {
		name, text string
		want       map[string]where
	}{
		{
			"iptoasn", "192.0.2.0\t192.0.2.127\t64500\tDE\tEXAMPLE-AS Example, Inc.\n192.0.2.128\t192.0.2.255\t0\tNone\tNot routed\n2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64501\tFR\tSIX\n",
			map[string]where{
				"192.0.2.1": {ASN: 64500, ASName: "EXAMPLE-AS Example, Inc."}, "192.0.2.127": {ASN: 64500, ASName: "EXAMPLE-AS Example, Inc."},
				"192.0.2.200": {}, "192.0.1.255": {}, "2001:db8::1": {ASN: 64501, ASName: "SIX"}, "2001:db8:1::": {}, "2001:db7::": {},
			},
		},
		{"iptoasn in numbers", "3221225984\t3221226239\t64500\tDE\tEXAMPLE\r\n", map[string]where{"192.0.2.9": {ASN: 64500, ASName: "EXAMPLE"}}},
		{
			"pfx2as, the longest match", "10.0.0.0\t8\t64500\n10.1.0.0\t16\t64501\n10.1.2.0\t24\t64502_64503\n10.1.3.0\t24\t{64504,64505}\n2001:db8::\t32\t64506\n",
			map[string]where{
				"10.0.0.1": {ASN: 64500}, "10.1.0.1": {ASN: 64501}, "10.1.2.3": {ASN: 64502}, "10.1.3.3": {ASN: 64504}, "10.1.4.0": {ASN: 64501},
				"10.2.0.0": {ASN: 64500}, "11.0.0.0": {}, "2001:db8:ffff::": {ASN: 64506},
			},
		},
		{
			"CSV of ranges", "192.0.2.0,192.0.2.255,64500,\"Example \"\"Net\"\", Inc.\"\n2001:db8::,2001:db8::ffff,64501,Plain\n",
			map[string]where{"192.0.2.255": {ASN: 64500, ASName: `Example "Net", Inc.`}, "2001:db8::1": {ASN: 64501, ASName: "Plain"}},
		},
		{
			"CSV of GeoLite2", "\ufeffnetwork,autonomous_system_number,autonomous_system_organization\n192.0.2.0/24,64500,\"Example\"\n",
			map[string]where{"192.0.2.5": {ASN: 64500, ASName: "Example"}},
		},
		{
			"CSV with its columns in another order", "asn,organization,start_ip,end_ip\nAS64500,Example,192.0.2.0,192.0.2.9\n",
			map[string]where{"192.0.2.5": {ASN: 64500, ASName: "Example"}},
		},
		{
			"CSV of prefixes without a head", "# comment\n\n192.0.2.0/24,AS64500,Example\n",
			map[string]where{"192.0.2.5": {ASN: 64500, ASName: "Example"}},
		},
		{
			"delegated statistics", "2|ripencc|20261123|3|19830101|20261122|+0100\nripencc|*|ipv4|*|2|summary\nripencc|DE|ipv4|192.0.2.0|384|20000101|allocated|x\nripencc|NL|ipv6|2001:db8::|32|20000101|assigned\nripencc|FR|asn|64500|1|20000101|allocated\nripencc||ipv4|203.0.113.0|256||available\n",
			map[string]where{"192.0.2.1": {Country: "DE"}, "192.0.3.127": {Country: "DE"}, "192.0.3.128": {}, "2001:db8:1::": {Country: "NL"}, "203.0.113.1": {}},
		},
		{
			"ranges that overlap without lying in each other", "10.0.0.0,10.0.0.10,1,A\n10.0.0.5,10.0.0.20,2,B\n",
			map[string]where{"10.0.0.4": {ASN: 1, ASName: "A"}, "10.0.0.5": {ASN: 2, ASName: "B"}, "10.0.0.20": {ASN: 2, ASName: "B"}, "10.0.0.21": {}},
		},
		{
			"the ends of the space", "0.0.0.0,0.0.0.255,1,A\n255.0.0.0,255.255.255.255,2,B\n::,::1,3,C\n",
			map[string]where{"0.0.0.0": {ASN: 1, ASName: "A"}, "255.255.255.255": {ASN: 2, ASName: "B"}, "::": {ASN: 3, ASName: "C"}, "::2": {}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := readOrigins(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			for addr, want := range test.want {
				var got where
				o.tell(netip.MustParseAddr(addr), &got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", addr, diff)
				}
			}
		})
	}
}

func TestReadOriginsRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "no network"},
		{"comments only", "# a\n", "no network"},
		{"prose", "hello\n", "line 1: column 1"},
		{"a bad address", "192.0.2.0\t192.0.2.9\t1\tDE\tA\n192.0.2.x\t192.0.2.9\t1\tDE\tA\n", `line 2: column 1: "192.0.2.x"`},
		{"a bad AS number", "192.0.2.0\t192.0.2.9\tmany\tDE\tA\n", `line 1: column 3: "many"`},
		{"an AS number of 33 bits", "192.0.2.0,192.0.2.9,4294967296,A\n", "line 1: column 3"},
		{"a range backwards", "192.0.2.9,192.0.2.0,1,A\n", "line 1: column 2"},
		{"a range from IPv4 to IPv6", "192.0.2.9,2001:db8::,1,A\n", "line 1: column 2"},
		{"a bad length", "192.0.2.0\t33\t1\n", "line 1: column 2"},
		{"a bad prefix", "192.0.2.0/24,1,A\n192.0.2.0/33,1,A\n", "line 2: column 1"},
		{"a bad count", "ripencc|DE|ipv4|255.255.255.0|512|20000101|allocated\n", "line 1: column 5"},
		{"a line without end", strings.Repeat("x", maxLine+1), "line 1: bufio.Scanner: token too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readOrigins(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("readOrigins(%.40q) = %v, want %q in it", test.text, err, test.want)
			}
		})
	}
}

func TestGzippedOrigins(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("8.8.0.0\t8.8.255.255\t64500\tDE\tEXAMPLE\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ip2asn.tsv.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{ASN: path})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want := exposure.Where{Country: "US", ASN: 64500, ASName: "EXAMPLE"}
	if diff := cmp.Diff(want, e.Where(netip.MustParseAddr("8.8.8.8"))); diff != "" {
		t.Errorf("Where(8.8.8.8) (-want +got):\n%s", diff)
	}
}

// What is flat tells of the first and last address of every claim the same as a
// search through all claims does.
func FuzzReadOrigins(f *testing.F) {
	f.Add("192.0.2.0\t192.0.2.127\t64500\tDE\tEXAMPLE\n192.0.2.64\t192.0.2.70\t64501\tDE\tX\n")
	f.Add("10.0.0.0\t8\t1\n10.1.0.0\t16\t2\n10.1.0.0\t24\t3\n10.1.255.0\t24\t4\n2001:db8::\t32\t5\n")
	f.Add("network,asn,name\n192.0.2.0/24,1,\"a,\"\"b\"\n")
	f.Add("ripencc|DE|ipv4|192.0.2.0|384|20000101|allocated\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := readOrigins(strings.NewReader(text))
		if err != nil {
			return
		}
		p := parser{known: make(map[owner]int32)}
		p.index(owner{})
		var claims []claim
		for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
			line = strings.TrimRight(line, "\r")
			if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if c, ok, _ := p.parse(line); ok {
				claims = append(claims, c)
			}
		}
		if len(claims) > 200 {
			return
		}
		for _, c := range claims {
			for _, a := range []netip.Addr{c.From(), c.To()} {
				best := -1
				for i, d := range claims {
					if !d.Contains(a) {
						continue
					}
					if best < 0 || d.From().Compare(claims[best].From()) > 0 ||
						d.From() == claims[best].From() && d.To().Compare(claims[best].To()) <= 0 {
						best = i
					}
				}
				who := p.owners[claims[best].who]
				want := exposure.Where{ASN: who.asn, ASName: who.name, Country: who.country}
				var got exposure.Where
				if o.tell(a, &got); got != want {
					t.Errorf("%s: %+v, want %+v in\n%s", a, got, want, text)
				}
			}
		}
	})
}

func BenchmarkOrigins(b *testing.B) {
	var text strings.Builder
	for i := range 1 << 16 {
		a := netip.AddrFrom4([4]byte{byte(i>>8)&0x7f + 1, byte(i), 0, 0})
		text.WriteString(a.String() + "\t16\t" + "64500\n")
	}
	o, err := readOrigins(strings.NewReader(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n += 2654435761 {
		var w exposure.Where
		o.tell(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), &w)
	}
}
