package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServeTellsSystemd listens where the manager of the service would.
func TestServeTellsSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "300000")
	s := newService(t, t.TempDir(), "metrics: {listen: ''}\n")
	d := s.start()
	// It is read to the end: the daemon would wait for room for its next sign of life.
	told := make(chan string, 10_000)
	go func() {
		b := make([]byte, 200)
		for {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			told <- string(b[:n])
		}
	}()
	hear := func(want string) {
		t.Helper()
		var all []string
		for late := time.After(patience); ; {
			select {
			case state := <-told:
				if all = append(all, state); state == want {
					return
				}
			case <-late:
				t.Fatalf("the daemon told %q, and never %s", all, want)
			}
		}
	}
	hear("READY=1")
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestUnit lets systemd look at the unit, where it is.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	text, err := os.ReadFile("../../packaging/ippwatch.service")
	if err != nil {
		t.Fatal(err)
	}
	// The binary is not installed here.
	text = bytes.ReplaceAll(text, []byte("/usr/bin/ippwatch"), []byte(os.Args[0]))
	unit := filepath.Join(t.TempDir(), "ippwatch.service")
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", unit).CombinedOutput()
	if err != nil && strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze does not look at units that are not loaded")
	}
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}
