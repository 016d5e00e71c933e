package scanners

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestEmbeddedTable(t *testing.T) {
	table, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if n := table.Len(); n < 15_000 || len(table.Lists()) != 2 {
		t.Fatalf("%d networks of %d lists", n, len(table.Lists()))
	}
	for _, l := range table.Lists() {
		if l.Name == "" || l.Licence == "" || len(l.Date) != len("2026-08-20") {
			t.Errorf("list without provenance: %+v", l)
		}
	}
	tests := []struct{ name, addr, want, list string }{
		{"an address of one list", "134.209.95.237", "shodan", "OpenFilters internet-scanners"},
		{"the same, mapped into IPv6", "::ffff:134.209.95.237", "shodan", "OpenFilters internet-scanners"},
		{"within a network of the other", "145.220.91.29", "internetcleanup", "MISP warning-lists"},
		{"over IPv6", "2a00:5980:93::130", "circl-ssh", "MISP warning-lists"},
		{"nobody's", "192.0.2.1", "", ""},
		{"nobody's over IPv6", "2001:db8::1", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := table.Lookup(netip.MustParseAddr(tt.addr))
			if e.Name != tt.want || e.List.Name != tt.list || ok != (tt.want != "") {
				t.Errorf("Lookup(%s) = %+v, %t, want %s of %s", tt.addr, e, ok, tt.want, tt.list)
			}
		})
	}
	if e, ok := table.Lookup(netip.Addr{}); ok {
		t.Errorf("Lookup(no address) = %+v", e)
	}
}

func TestParseRefusesMistakes(t *testing.T) {
	const list = "list\tL\tCC0\t2026-01-01\n"
	for name, text := range map[string]string{
		"a network too wide": list + "10.0.0.0/8\tx\t0\n", "too wide over IPv6": list + "2000::/3\tx\t0\n",
		"no prefix": list + "x\tx\t0\n", "no such list": list + "192.0.2.0/24\tx\t1\n", "a negative list": list + "192.0.2.0/24\tx\t-1\n",
		"two fields": list + "192.0.2.0/24\tx\n",
	} {
		if _, err := Parse(strings.NewReader(text)); !errors.Is(err, errTable) {
			t.Errorf("%s: Parse = %v, want an error", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("list\tL\tCC0\t2026-01-01\n192.0.2.0/24\tx\t0\n", "192.0.2.1")
	f.Fuzz(func(t *testing.T, text, addr string) {
		table, err := Parse(strings.NewReader(text))
		a, wrong := netip.ParseAddr(addr)
		if err != nil || wrong != nil {
			return
		}
		if e, ok := table.Lookup(a); ok && (tooWide(e.Prefix) || !e.Prefix.Contains(a.Unmap().WithZone(""))) {
			t.Errorf("Lookup(%s) = %+v", a, e)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	table, err := Embedded()
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("134.209.95.237")
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup(a)
	}
}
