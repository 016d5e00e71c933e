package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
)

// What was announced is gone when the command is killed: nothing but its session
// holds the routes.
func TestKilledAnnouncementIsWithdrawn(t *testing.T) {
	bird, err := exec.LookPath("bird")
	if err != nil {
		if os.Getenv("IPPWATCH_LAB") == "require" {
			t.Fatal("bird is not installed: apt-get install --no-install-recommends bird2 (and IPPWATCH_LAB=require)")
		}
		t.Skip("bird is not installed: apt-get install --no-install-recommends bird2")
	}
	dir := t.TempDir()
	peer := freeAddr(t)
	conf, socket, policy := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "s"), filepath.Join(dir, "policy.yaml")
	for name, text := range map[string]string{
		policy: acl.Example(time.Now()),
		conf: fmt.Sprintf(`router id 192.0.2.1;
flow4 table f4;
flow6 table f6;
protocol device { }
protocol bgp ippwatch {
	local 127.0.0.1 port %d as 64501;
	neighbor 127.0.0.1 as 64500;
	multihop 2;
	passive yes;
	strict bind yes;
	flow4 { table f4; import all; export none; };
	flow6 { table f6; import all; export none; };
}
`, peer.Port()),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	started := func(cmd *exec.Cmd) *exec.Cmd {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd
	}
	started(exec.Command(bird, "-f", "-c", conf, "-s", socket))
	routes := func(ok func(n int) bool) {
		t.Helper()
		var out []byte
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if out, err = exec.Command("birdc", "-s", socket, "show", "route", "table", "f4").CombinedOutput(); err == nil && ok(strings.Count(string(out), "flow4 {")) {
				return
			}
		}
		t.Fatalf("bird still has:\n%s", out)
	}
	var said journal
	cmd := exec.Command(os.Args[0], "filter", "announce", "--own", "198.51.100.0/24", "--own", "2001:db8:100::/48", "--enforce", "--send",
		"--peer", peer.String(), "--peer-as", "64501", "--as", "64500", "--router-id", "192.0.2.10", "--hops", "2", policy)
	cmd.Env = append(os.Environ(), asMain+"=yes")
	cmd.Stderr = &said
	started(cmd)
	routes(func(n int) bool { return n > 3 })
	const told = "flows are announced to 127.0.0.1 for 1h0m0s"
	for began := time.Now(); !strings.Contains(said.String(), told); time.Sleep(50 * time.Millisecond) { // bird may hear of it before us
		if time.Since(began) > patience {
			t.Fatalf("it said:\n%s", said.String())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	routes(func(n int) bool { return n == 0 })
}
