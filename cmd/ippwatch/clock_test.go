package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/screen"
)

// TestClockThatJumps scans under a clock that is two days fast, and then under
// the right one.
func TestClockThatJumps(t *testing.T) {
	dir := t.TempDir()
	scope := filepath.Join(dir, "scope.yaml")
	text := "authorised_by: a test\ncontact: noc@example.net\nexpires: 2199-12-31\nnetworks: [127.0.0.1]\n"
	if err := os.WriteFile(scope, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(ahead time.Duration, args ...string) (text string, code int) {
		var out journal // a scan shows how far it is beside what it finds
		s := &street{in: strings.NewReader(""), Screen: screen.Screen{Out: &out, Err: &out}, now: func() time.Time { return time.Now().Add(ahead) }}
		root := s.root()
		root.SetArgs(append([]string{"--data", filepath.Join(dir, "data")}, args...))
		code = s.exit(root.ExecuteContext(t.Context()))
		return out.String(), code
	}
	scan := []string{"scan", "--scope", scope, "--port", "1"}
	if said, code := at(48*time.Hour, scan...); code != exitDone || strings.Contains(said, "clock") {
		t.Fatalf("the fast scan: exit %d\n%s", code, said)
	}
	if said, code := at(0, "doctor"); code != exitFailed || !strings.Contains(said, "set the clock") {
		t.Errorf("doctor: exit %d\n%s", code, said)
	}
	if said, code := at(0, scan...); code != exitDone || !strings.Contains(said, "is the clock right?") {
		t.Errorf("the scan after it: exit %d\n%s", code, said)
	}
}

// TestAskedUnderAClockThatIsSet sets the clock while a scan runs, back an hour and
// then forward a day. Whoever looks at that clock when he is asked, and asks us
// later, gets an answer that holds the time he saw.
func TestAskedUnderAClockThatIsSet(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux answers for all of 127.0.0.0/8")
	}
	dir := t.TempDir()
	scope := filepath.Join(dir, "scope.yaml")
	text := "authorised_by: a test\ncontact: noc@example.net\nexpires: 2199-12-31\nnetworks: [127.0.77.0/26]\n"
	if err := os.WriteFile(scope, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	clock := func() time.Time {
		now := time.Now().Round(0) // as a clock that was set has it: without a monotonic reading
		switch since := time.Since(began); {
		case since < 2*time.Second:
			return now
		case since < 4*time.Second:
			return now.Add(-time.Hour)
		default:
			return now.Add(24 * time.Hour)
		}
	}
	ln, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[netip.Addr]time.Time)
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			at := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
			if _, again := seen[at]; !again {
				seen[at] = clock()
			}
			_ = conn.Close()
		}
	})
	types := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		s := &street{in: strings.NewReader(""), Screen: screen.Screen{Out: &out, Err: &errs}, now: clock}
		root := s.root()
		root.SetArgs(append([]string{"--data", filepath.Join(dir, "data"), "--quiet"}, args...))
		if code := s.exit(root.ExecuteContext(t.Context())); code != exitDone {
			t.Fatalf("ippwatch %q: exit %d\n%s%s", args, code, &out, &errs)
		}
		return out.String()
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	types("scan", "--scope", scope, "--port", port, "--rate", "12", "--per-network", "12", "--timeout", "20s")
	_ = ln.Close()
	hearing.Wait()
	if len(seen) != 64 {
		t.Errorf("%d hosts were asked, want 64", len(seen))
	}
	for addr, at := range seen {
		var made []contactMade
		if err := json.Unmarshal([]byte(types("asked", addr.String(), "--at", at.UTC().Format(time.RFC3339), "--within", "2s", "--format", "json")), &made); err != nil {
			t.Fatal(err)
		}
		if len(made) != 1 || at.Before(made[0].NotBefore) || at.After(made[0].NotAfter) {
			t.Errorf("%s was asked at %v, and asked says %+v", addr, at, made)
		}
	}
}
