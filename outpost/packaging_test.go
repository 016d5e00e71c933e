package outpost_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ippwatch/lab"
)

// TestUnit has systemd read the unit, and the program the command in it.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("not installed: systemd-analyze: apt-get install --no-install-recommends systemd; go test ./outpost")
	}
	text, err := os.ReadFile("../packaging/ippwatch-sensor.service")
	if err != nil {
		t.Fatal(err)
	}
	bin := program(t)
	unit := filepath.Join(t.TempDir(), "ippwatch-sensor.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/ippwatch-sensor", bin)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out[max(0, len(out)-200):])
	}
	line := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*) \$OPTIONS$`).FindStringSubmatch(string(text))
	if line == nil {
		t.Fatal("no ExecStart")
	}
	if out, err := exec.Command(bin, append(strings.Fields(line[1]), "--help")...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line[1], err, out)
	}
}

// TestBareContainer runs the program as the container file does: alone in a root
// that is read-only, as nobody, without a capability. It tells systemd, too.
func TestBareContainer(t *testing.T) {
	lab.Need(t, "ip")
	for _, name := range []string{"setpriv", "chroot"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("not installed: %s: apt-get install --no-install-recommends util-linux coreutils; go test ./outpost", name)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("only root can change the root: as root, go test ./outpost")
	}
	bin := program(t)
	h := lab.NewHost(t, "container")
	h.Run("sh", "-ec", `mkdir -p /tmp/root/proc /tmp/root/data /tmp/root/run
		cp `+bin+` /tmp/root/ippwatch-sensor
		mount --bind /tmp/root /tmp/root
		mount -t proc proc /tmp/root/proc
		mount -o remount,ro,bind /tmp/root
		mount -t tmpfs -o uid=65532,mode=700 tmpfs /tmp/root/data
		mount -t tmpfs -o mode=777 tmpfs /tmp/root/run
		echo 631 >/proc/sys/net/ipv4/ip_unprivileged_port_start`)
	var socket *net.UnixConn
	var err error
	h.Do(func() {
		socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/tmp/root/run/notify", Net: "unixgram"})
		if err == nil {
			err = os.Chmod("/tmp/root/run/notify", 0o777)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	d := start(t, h, `NOTIFY_SOCKET=/run/notify exec chroot --userspec=65532:65532 /tmp/root /ippwatch-sensor sensor --data /data --name edge-1`)
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		_ = socket.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := socket.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("systemd hears %q, %v, want %s", b[:n], err, want)
		}
	}
	hear("READY=1")
	packets(t, h, 0, 3, 10)
	await(t, "the visits", func() bool { return d.Wrote("host-2.example") })
	d.Stop()
	hear("STOPPING=1")
	if !d.Wrote("gave up: all capabilities; Landlock") || !d.Wrote("seccomp") {
		t.Error("it has not given up what it could")
	}
}
