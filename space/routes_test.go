package space

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func table(t testing.TB, name string) Routes {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRoutes(name, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoutes(t *testing.T) {
	tests := []struct {
		name, file, format string
		find               func(Routes) ([]netip.Prefix, error)
		want, err          string
	}{
		{"an AS of pfx2as", "pfx2as.txt", "RouteViews pfx2as", asn(64500), "192.0.2.0/24 198.51.100.0/24 2001:db8::/32", ""},
		{"one of several origins", "pfx2as.txt", "RouteViews pfx2as", asn(64502), "203.0.113.0/25", ""},
		{"one of an AS set", "pfx2as.txt", "RouteViews pfx2as", asn(64504), "203.0.113.128/25", ""},
		{"one in braces", "pfx2as.txt", "RouteViews pfx2as", asn(64506), "2001:db8:8000::/33", ""},
		{"an AS that is not there", "pfx2as.txt", "RouteViews pfx2as", asn(1), "", "AS1 in pfx2as.txt: not in the table"},
		{"AS 0, which is none", "iptoasn.tsv", "iptoasn", asn(0), "", "AS0 in iptoasn.tsv: not in the table"},
		{
			"a country of pfx2as", "pfx2as.txt", "RouteViews pfx2as", cc("DE"), "",
			"country DE: pfx2as.txt has no countries: it is a RouteViews pfx2as table",
		},
		{"an AS of iptoasn, in ranges that join", "iptoasn.tsv", "iptoasn", asn(64500), "192.0.2.0/24 2001:db8::/33", ""},
		{"a country of iptoasn", "iptoasn.tsv", "iptoasn", cc("de"), "192.0.2.0/24 2001:db8::/33", ""},
		{"an odd range of iptoasn", "iptoasn.tsv", "iptoasn", cc("FR"), "198.51.100.1/32 198.51.100.2/31 198.51.100.4/30", ""},
		{"a country of a registry", "delegated.txt", "RIR delegated-extended", cc("DE"), "192.0.2.0/25 192.0.2.128/26 2001:db8::/32", ""},
		{"space that is only reserved", "delegated.txt", "RIR delegated-extended", cc("FR"), "", "country FR in delegated.txt: not in the table"},
		{
			"an AS of a registry", "delegated.txt", "RIR delegated-extended", asn(64500), "",
			"AS64500: delegated.txt has no AS numbers: it is a RIR delegated-extended table",
		},
		{
			"a country by its name", "delegated.txt", "RIR delegated-extended", cc("Germany"), "",
			`country "Germany": want two letters, such as DE`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := table(t, tt.file)
			if r.Format() != tt.format {
				t.Errorf("Format = %q, want %q", r.Format(), tt.format)
			}
			got, err := tt.find(r)
			if diff := cmp.Diff(tt.err, errText(err)); diff != "" {
				t.Errorf("error: -want +got\n%s", diff)
			}
			if want := byHand(tt.want); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func asn(n uint32) func(Routes) ([]netip.Prefix, error) {
	return func(r Routes) ([]netip.Prefix, error) { return r.ByASN(n) }
}

func cc(s string) func(Routes) ([]netip.Prefix, error) {
	return func(r Routes) ([]netip.Prefix, error) { return r.ByCountry(s) }
}

func TestParseRoutesRefuses(t *testing.T) {
	const (
		good4  = "192.0.2.0\t192.0.2.255\t64500\tDE\tEXAMPLE\n"
		goodRV = "192.0.2.0\t24\t64500\n"
		goodD  = "ripencc|DE|ipv4|192.0.2.0|256|20100101|allocated|x\n"
	)
	tests := []struct{ name, in, want string }{
		{"an empty file", "", "r: the table is empty"},
		{"only comments", "# x\n\n", "r: the table is empty"},
		{"another file", "hello world\n", `r:1:1: "hello world": want a line of RouteViews pfx2as, iptoasn or RIR delegated-extended`},
		{
			"pfx2as: a prefix with host bits", goodRV + "192.0.2.1\t24\t1\n",
			`r:2:1: RouteViews pfx2as: "192.0.2.1/24": bits are set after the prefix length: write 192.0.2.0/24 for the network or 192.0.2.1 for the address`,
		},
		{"pfx2as: a wrong origin", goodRV + "192.0.2.0\t24\t1_x\n", `r:2:14: RouteViews pfx2as: AS number "x": want a number of 32 bits`},
		{"pfx2as: no origin", goodRV + "192.0.2.0\t24\t{}\n", `r:2:14: RouteViews pfx2as: origin "{}": want an AS number`},
		{"pfx2as: a field too many", goodRV + "192.0.2.0 24 1 2\n", `r:2:1: RouteViews pfx2as: 4 fields: want prefix, length and origins`},
		{
			"iptoasn: the end before the start", good4 + "192.0.2.9\t192.0.2.8\t1\tDE\tX\n",
			"r:2:11: iptoasn: end 192.0.2.8 is not after start 192.0.2.9",
		},
		{"iptoasn: two families", good4 + "192.0.2.9\t2001:db8::\t1\tDE\tX\n", "r:2:11: iptoasn: end 2001:db8:: is not after start 192.0.2.9"},
		{
			"iptoasn: a country of three letters", good4 + "192.0.2.8\t192.0.2.9\t1\tDEU\tX\n",
			`r:2:23: iptoasn: country "DEU": want two letters, such as DE`,
		},
		{
			"iptoasn: an AS number of 33 bits", good4 + "192.0.2.8\t192.0.2.9\t4294967296\tDE\tX\n",
			`r:2:21: iptoasn: AS number "4294967296": want a number of 32 bits`,
		},
		{"iptoasn: integers", "16777216\t16777471\t13335\tUS\tX\n", `r:1:1: iptoasn: start "16777216": not an address or a prefix; names are not resolved`},
		{
			"delegated: past the end", goodD + "x|DE|ipv4|255.255.255.0|257|20100101|allocated|x\n",
			`r:2:25: RIR delegated-extended: value "257": want the number of addresses after 255.255.255.0`,
		},
		{
			"delegated: no addresses", goodD + "x|DE|ipv4|192.0.2.0|0|20100101|allocated|x\n",
			`r:2:21: RIR delegated-extended: value "0": want the number of addresses after 192.0.2.0`,
		},
		{
			"delegated: a family that is not the address's", goodD + "x|DE|ipv6|192.0.2.0|24|20100101|allocated|x\n",
			`r:2:6: RIR delegated-extended: type "ipv6" with start 192.0.2.0: want ipv4, ipv6 or asn`,
		},
		{
			"delegated: a line cut off", goodD + "x|DE|ipv6\n",
			"r:2:1: RIR delegated-extended: 3 fields: want registry|country|type|start|value|date|status",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseRoutes("r", strings.NewReader(tt.in))
			if diff := cmp.Diff(tt.want, errText(err)); diff != "" {
				t.Errorf("error: -want +got\n%s", diff)
			}
		})
	}
}

func TestRoutesOfTheWrongKindGiveAHint(t *testing.T) {
	_, err := table(t, "delegated.txt").ByASN(64500)
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || hint.Hint() != "give a table of iptoasn or RouteViews pfx2as" {
		t.Errorf("error %v has no such hint", err)
	}
}

func TestZeroRoutesAreEmpty(t *testing.T) {
	var r Routes
	if got, err := r.ByASN(64500); err == nil || len(got) != 0 || r.Len() != 0 || r.Format() != "" {
		t.Errorf("ByASN = %v, %v", got, err)
	}
}

func TestRoutesOfTheWholeInternet(t *testing.T) {
	const n = 1 << 20
	text := wholeInternet(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := ParseRoutes("r", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; per > 32 {
		t.Errorf("%d bytes a route", per)
	}
	got, err := r.ByASN(64503)
	if err != nil || len(got) != n/1024 {
		t.Errorf("ByASN: %d prefixes, %v, want %d", len(got), err, n/1024)
	}
	runtime.KeepAlive(text)
}

func wholeInternet(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%d.%d.%d.0\t24\t%d\n", 1+i>>16, i>>8&255, i&255, 64500+i%1024)
	}
	return b.Bytes()
}

func FuzzParseRoutes(f *testing.F) {
	for _, name := range []string{"pfx2as.txt", "iptoasn.tsv", "delegated.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRoutes("r", bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "r:") {
				t.Errorf("error without a place: %v", err)
			}
			return
		}
		for i := range r.v4 {
			if i > 16 {
				break
			}
			route := r.v4[i]
			if route.asn == 0 {
				continue
			}
			got, err := r.ByASN(route.asn)
			if err != nil || !slices.ContainsFunc(got, func(p netip.Prefix) bool { return p.Contains(netip.AddrFrom4(route.from)) }) {
				t.Errorf("AS%d = %v, %v: %v is missing", route.asn, got, err, route.from)
			}
		}
	})
}

func BenchmarkParseRoutes(b *testing.B) {
	text := wholeInternet(10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for range b.N {
		if _, err := ParseRoutes("r", bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
