package lab_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ippwatch/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// The quiet time after which a call-back that has not come is taken not to
// come. On these cables the real one takes two milliseconds.
const quiet = 500 * time.Millisecond

func TestNetworkLeadsNowhere(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "host")
	other := lab.NewHost(t, "other")
	ln := other.Listen(other.Port4(80))

	if conn, err := net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Errorf("the test does not reach a host: %v", err)
	} else {
		_ = conn.Close()
	}
	if _, err := net.Dial("tcp", "192.0.2.1:80"); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("Dial out of the lab: %v, want %v", err, syscall.ENETUNREACH)
	}
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	if conn, err := h.DialContext(ctx, "tcp", ln.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("a host reaches another, want every host alone on its cable")
	}
}

func TestHostLeavesMachineAlone(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "host")
	for _, dir := range []string{"/", "/etc", "/usr/bin", "/var/lib"} {
		name := filepath.Join(dir, "ippwatch-lab-was-here")
		var err error
		h.Do(func() { err = os.WriteFile(name, nil, 0o600) })
		if err == nil {
			t.Errorf("a host has written %s", name)
			_ = os.Remove(name)
		}
	}
	name := "/tmp/ippwatch-lab-was-here"
	var err error
	h.Do(func() { err = os.WriteFile(name, nil, 0o600) })
	if err != nil {
		t.Errorf("a host has no /tmp of its own: %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Errorf("%s of a host is seen outside", name)
	}
}

func TestCallFromBehindNAT(t *testing.T) {
	t.Parallel()
	router := lab.NewHost(t, "router")
	h := router.Behind("inner")
	h.CUPS(0).Browsed("BrowseRemoteProtocols cups\n")
	router.Masquerade()
	e := listen(t)
	e.ask(t, h.Addr4, "X", "ippwatch lab")
	e.await(t, 3)
	for _, from := range e.callers() {
		if from != router.Addr4 {
			t.Errorf("%s was asked and %s called, want %s", h.Addr4, from, router.Addr4)
		}
	}
}

func TestPacketFilterDrops(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "filtered")
	h.NFT("table inet filter { chain in { type filter hook input priority filter; udp dport 631 drop; }; }\n")
	c := h.CUPS(0)
	c.Browsed("BrowseRemoteProtocols cups\n")
	e := listen(t)
	if e.ask(t, h.Addr4, "X", "ippwatch lab") {
		t.Error("ICMP port unreachable, want silence")
	}
	time.Sleep(quiet)
	if from := e.callers(); len(from) > 0 {
		t.Errorf("calls from %v, want none", from)
	}
	if got := c.Queues(); len(got) > 0 {
		t.Errorf("queues %q, want none", got)
	}
}

// get returns status and Server header of a GET, zeroes where nothing listens.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, ""
	} else if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return resp.StatusCode, resp.Header.Get("Server")
}

// await polls until done.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}
