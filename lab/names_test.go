package lab_test

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/lab"
)

// TestStreetKnowsWhere scans with an MMDB, which package enrich's tests have of
// MaxMind's own writer, and with a real name server.
func TestStreetKnowsWhere(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "office")
	four, six := netip.MustParseAddr("198.51.100.250"), netip.MustParseAddr("2001:db8:200::250")
	nameless, hostile := netip.MustParseAddr("198.51.100.251"), netip.MustParseAddr("198.51.100.252")
	all := []netip.Addr{four, six, nameless, hostile}
	var networks []string
	for _, a := range all {
		h.Run("ip", "addr", "add", a.String(), "dev", "lo")
		networks = append(networks, a.String())
	}
	// No cupsd: it looks the host's own addresses up itself.
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(refuseInIPP)}
	ln := h.Listen(netip.MustParseAddrPort("[::]:631"))
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	names := h.Names(map[netip.Addr]string{four: "Printer-4.Example.NET", six: "printer-6.example.net", hostile: `x"><b.example.net`})
	o := newOperator(t, networks...)
	// A host sees nothing below /tmp, where a checkout may be.
	mmdb := filepath.Join(o.dir, "city.mmdb")
	table, err := os.ReadFile("../enrich/testdata/city.mmdb")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mmdb, table, 0o600); err != nil {
		t.Fatal(err)
	}
	scan := []string{"--data", filepath.Join(o.dir, "data"), "scan", "--scope", o.scope, "--format", "ndjson", "--quiet", "--vantage", "lab"}

	got := make(map[string]exposure.Where)
	for _, ob := range observations(t, h.Run(o.binary, scan...)) {
		got[ob.Addr.String()] = ob.Where
	}
	if want := map[string]exposure.Where{four.String(): {}, six.String(): {}, nameless.String(): {}, hostile.String(): {}}; !cmp.Equal(want, got) {
		t.Errorf("a scan that was told of nothing knows %v", got)
	}
	if names.Wrote("query[") {
		t.Error("a scan without --rdns asked for names")
	}

	austria := exposure.Where{Country: "AT", ASN: 64500, ASName: "Example"}
	named := func(name string) exposure.Where { w := austria; w.Hostname = name; return w }
	clear(got)
	for _, ob := range observations(t, h.Run(o.binary, append(scan, "--rdns", "--mmdb", mmdb)...)) {
		got[ob.Addr.String()] = ob.Where
	}
	want := map[string]exposure.Where{
		four.String(): named("printer-4.example.net"), six.String(): named("printer-6.example.net"),
		nameless.String(): austria, hostile.String(): austria,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("where (-want +got):\n%s", diff)
	}
	if !names.Wrote("query[PTR] 251.100.51.198.in-addr.arpa") {
		t.Error("the name server was not asked for a host that has no name")
	}
}
