package audit_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/audit"
	"ippwatch/exposure"
)

var (
	at      = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	compare = cmpopts.EquateComparable(netip.Addr{})
)

// proc is of a Debian with cupsd on all IPv4 addresses and on ::1, cups-browsed
// on UDP, a web server, and a connection that is no listener.
func proc() fstest.MapFS {
	return fstest.MapFS{
		"net/tcp": {Data: []byte(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1 0000000000000000 100 0 0 10 0
   2: 146433C6:0277 076433C6:D431 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0000000000000000 100 0 0 10 0
`)},
		"net/tcp6": {Data: []byte(`  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 104 1 0000000000000000 100 0 0 10 0
`)},
		"net/udp": {Data: []byte(`   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  77: 00000000:0277 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 105 2 0000000000000000 0
`)},
		"17/comm":  {Data: []byte("cupsd\n")},
		"17/fd/3":  {Data: []byte("socket:[101]"), Mode: fs.ModeSymlink},
		"17/fd/4":  {Data: []byte("socket:[104]"), Mode: fs.ModeSymlink},
		"17/fd/5":  {Data: []byte("/dev/null"), Mode: fs.ModeSymlink},
		"99/comm":  {Data: []byte("cups-browsed\n")},
		"99/fd/7":  {Data: []byte("socket:[105]"), Mode: fs.ModeSymlink},
		"self/foo": {Data: []byte("x")},
	}
}

func look(t *testing.T) audit.Report {
	t.Helper()
	addresses := []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("fe80::1"),
		netip.MustParseAddr("2001:db8:100::20"), netip.MustParseAddr("::ffff:198.51.100.20"),
	}
	r, err := audit.Look(proc(), "printserver", addresses, []uint16{631}, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLook(t *testing.T) {
	want := audit.Report{
		V: 1, Host: "printserver", At: at, Ports: []uint16{631},
		Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("2001:db8:100::20")},
		Listeners: []audit.Listener{
			{Transport: exposure.UDP, Addr: netip.IPv4Unspecified(), Port: 631, Program: "cups-browsed"},
			{Transport: exposure.TCP, Addr: netip.IPv4Unspecified(), Port: 631, Program: "cupsd"},
			{Transport: exposure.TCP, Addr: netip.IPv6Loopback(), Port: 631, Program: "cupsd"},
		},
	}
	got := look(t)
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Errorf("Look (-want +got):\n%s", d)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, again, compare); d != "" {
		t.Errorf("written and read (-want +got):\n%s", d)
	}
}

// TestLookHere looks at this very machine: a socket of ours is found with our
// name, and is not there any more when it is closed.
func TestLookHere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	r, err := audit.Look(os.DirFS("/proc"), "here", nil, []uint16{port}, at)
	if err != nil {
		t.Fatal(err)
	}
	// Others may have the same port over UDP, or have it as soon as we do not.
	ours := func() []audit.Listener {
		return slices.DeleteFunc(r.Listeners, func(l audit.Listener) bool { return l.Program != "audit.test" })
	}
	if got := ours(); len(got) != 1 || !got[0].Local() {
		t.Errorf("Look = %v, want one listener of audit.test on loopback", got)
	}
	l.Close()
	if r, err = audit.Look(os.DirFS("/proc"), "here", nil, []uint16{port}, at); err != nil || len(ours()) != 0 {
		t.Errorf("after the close: %v, %v; want none", r.Listeners, err)
	}
}

func TestListens(t *testing.T) {
	r := look(t)
	r.Listeners = append(r.Listeners, audit.Listener{Transport: exposure.TCP, Addr: netip.MustParseAddr("198.51.100.20"), Port: 8631})
	r.Addresses = append(r.Addresses, netip.MustParseAddr("198.51.100.21"))
	for _, test := range []struct {
		name, addr string
		transport  exposure.Transport
		port       uint16
		want       bool
	}{
		{"all IPv4 addresses", "198.51.100.20", exposure.TCP, 631, true},
		{"IPv6 on loopback alone", "2001:db8:100::20", exposure.TCP, 631, false},
		{"over UDP", "198.51.100.20", exposure.UDP, 631, true},
		{"cups-browsed has no IPv6", "2001:db8:100::20", exposure.UDP, 631, false},
		{"one address", "198.51.100.20", exposure.TCP, 8631, true},
		{"another address of the host", "198.51.100.21", exposure.TCP, 8631, false},
		{"the public address of a router", "203.0.113.7", exposure.TCP, 8631, true},
		{"a port without listener", "198.51.100.20", exposure.TCP, 9100, false},
	} {
		if _, got := r.Listens(netip.MustParseAddr(test.addr), test.transport, test.port); got != test.want {
			t.Errorf("%s: Listens(%s %s %d) = %v, want %v", test.name, test.addr, test.transport, test.port, got, test.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":              "hello",
		"another version":      `{"v":2,"at":"2026-11-23T09:30:00Z","ports":[631]}`,
		"no time":              `{"v":1,"ports":[631]}`,
		"no ports":             `{"v":1,"at":"2026-11-23T09:30:00Z"}`,
		"a field of its own":   `{"v":1,"at":"2026-11-23T09:30:00Z","ports":[631],"all_is":"well"}`,
		"a listener at no end": `{"v":1,"at":"2026-11-23T09:30:00Z","ports":[631],"listeners":[{"transport":"tcp","addr":"","port":631}]}`,
		"too long":             `{"v":1,"host":"` + strings.Repeat("a", 2<<20),
	} {
		if _, err := audit.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"v":1,"host":"h","at":"2026-11-23T09:30:00Z","addresses":["198.51.100.20"],"ports":[631],"listeners":[{"transport":"tcp","addr":"::","port":631,"program":"cupsd"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := audit.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := audit.Read(bytes.NewReader(again))
		if err != nil {
			t.Fatalf("written and not read: %v", err)
		}
		if d := cmp.Diff(r, back, compare, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("written and read (-want +got):\n%s", d)
		}
	})
}

func FuzzLook(f *testing.F) {
	for name, file := range proc() {
		if strings.HasPrefix(name, "net/") {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		r, err := audit.Look(fstest.MapFS{"net/tcp": {Data: table}, "net/udp": {Data: table}}, "h", nil, []uint16{631}, at)
		if err != nil {
			return
		}
		for _, l := range r.Listeners {
			if l.Port != 631 || !l.Addr.IsValid() {
				t.Errorf("a listener %+v", l)
			}
		}
	})
}
