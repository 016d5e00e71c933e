package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ippwatch/exposure"
	"ippwatch/people/lookup"
	"ippwatch/screen"
)

// fakeRDAP is a fake: it answers as RFC 9083 shapes it and registries do, the
// abuse contact inside the registrant, for one network; and it knows a customer.
// $RDAP is its URL.
func fakeRDAP(ts *testscript.TestScript, _ bool, _ []string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ip/198.51.100.7", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/rdap+json")
		fmt.Fprint(w, `{"rdapConformance":["rdap_level_0"],"objectClassName":"ip network","handle":"NET-EXAMPLE",
"startAddress":"198.51.100.0","endAddress":"198.51.100.255","ipVersion":"v4","entities":[
{"objectClassName":"entity","roles":["registrant"],"vcardArray":["vcard",[["version",{},"text","4.0"],["email",{},"text","info@example.net"]]],
"entities":[{"objectClassName":"entity","roles":["abuse"],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Abuse desk"],["email",{},"text","abuse@provider.example"]]]}]}]}`)
	})
	mux.HandleFunc("GET /lease", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("ip") == "203.0.113.9" {
			fmt.Fprint(w, `{"customer":"c-9","from":"2026-11-01T00:00:00Z","to":"2026-11-30T00:00:00Z"}`)
			return
		}
		http.NotFound(w, r)
	})
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv("RDAP", server.URL)
	ts.Setenv("PORT", server.URL[strings.LastIndex(server.URL, ":")+1:])
}

// TestLookupOfSecurityTxt asks a host by the name that it had when it was
// scanned, and shows how long its answer is good.
func TestLookupOfSecurityTxt(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "example.com" || r.URL.Path != "/.well-known/security.txt" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "Contact: mailto:security@example.com\nExpires: 2026-12-01T00:00:00Z\n")
	}))
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	data := filepath.Join(t.TempDir(), "data")
	typed := func(args ...string) (string, int) {
		var out bytes.Buffer
		s := &street{
			in: strings.NewReader(""), Screen: screen.Screen{Out: &out, Err: &out}, now: func() time.Time { return now },
			look: lookup.Options{
				Roots: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
				},
			},
		}
		root := s.root()
		root.SetArgs(append([]string{"--data", data}, args...))
		code := s.exit(root.ExecuteContext(t.Context()))
		return out.String(), code
	}
	s := &street{Screen: screen.Screen{Out: io.Discard, Err: io.Discard}, now: func() time.Time { return now }, data: data}
	h, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target := netip.MustParseAddrPort("203.0.113.7:631")
	_, err = h.archive.Append(t.Context(), []exposure.Observation{{
		V: exposure.Version, ID: exposure.NewID("r", target, exposure.TCP, exposure.ProbeIPP, 0), Observed: now, Received: now, Run: "r",
		Source: exposure.Scan, Vantage: "test", Addr: target.Addr(), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
		Verdict: exposure.Answered, Where: exposure.Where{Hostname: "example.com"},
	}})
	if err := errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
	const row = "security.txt  203.0.113.7/32  security@example.com  security  2026-12-01 00:00:00  https://example.com/.well-known/security.txt"
	if said, code := typed("constituents", "lookup", "203.0.113.7", "--security-txt"); code != exitDone || !strings.Contains(said, row) {
		t.Fatalf("lookup: exit %d\n%s\nwant the row\n%s", code, said, row)
	}
	for when, want := range map[time.Duration]string{
		30 * time.Hour:      "security.txt  30 h  no: looked up by security.txt, and no rule allows that",
		30 * 24 * time.Hour: "security.txt  30 d  no: has expired at 2026-12-01 00:00:00",
	} {
		was := now
		now = now.Add(when)
		if said, code := typed("constituents", "who", "203.0.113.7"); code != exitDone || !strings.Contains(said, want) {
			t.Errorf("who after %s: exit %d\n%s\nwant %s", when, code, said, want)
		}
		now = was
	}
}
