package outpost_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ippwatch/lab"
)

// packets sends so many packets to the sensor, each with a path of its own, to
// so many call-back hosts.
func packets(t *testing.T, h *lab.Host, from, n, size int) {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(h.Port4(631)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pad := strings.Repeat("A", size)
	next := pace(t, h)
	for i := from; i < from+n; i++ {
		next()
		if _, err := fmt.Fprintf(conn, "0 3 http://host-%d.example:80/printers/%s", i, pad); err != nil {
			t.Fatal(err)
		}
	}
}

// pace returns what is called before each packet to h: it waits for the packets
// that are still on the cable. A machine keeps a thousand that have come over
// cables, and drops the next without telling the sensor.
func pace(t *testing.T, h *lab.Host) (next func()) {
	t.Helper()
	const few = 200
	sent, before := 0, delivered(t, h)
	return func() {
		t.Helper()
		if sent%few == 0 {
			await(t, "the packets on the cable", func() bool { return delivered(t, h)-before >= sent })
		}
		sent++
	}
}

var deliveries = regexp.MustCompile(`(?m)^Ip6InDelivers\s+(\d+)$|^Ip: (?:\d+ ){8}(\d+) `)

// delivered is how many packets have come whole to those who listen on h, or to
// their sockets, which tell what they drop.
func delivered(t *testing.T, h *lab.Host) (n int) {
	t.Helper()
	var text []byte
	var err4, err6 error
	h.Do(func() {
		text, err4 = os.ReadFile("/proc/thread-self/net/snmp")
		var six []byte
		six, err6 = os.ReadFile("/proc/thread-self/net/snmp6")
		text = append(text, six...)
	})
	if err := errors.Join(err4, err6); err != nil {
		t.Fatal(err)
	}
	found := deliveries.FindAllSubmatch(text, -1)
	if len(found) != 2 {
		t.Fatalf("no counters in:\n%s", text)
	}
	for _, m := range found {
		one, err := strconv.Atoi(string(m[1]) + string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// counts returns what the sensor counted over UDP, and what it told of that.
func counts(t *testing.T, h *lab.Host, bin, data string) (all, told int) {
	t.Helper()
	for line := range strings.Lines(h.Run(bin, "sensor", "report", "--data", data, "--format", "csv")) {
		f := strings.Split(strings.TrimSpace(line), ",")
		n, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		all += n
		n, _ = strconv.Atoi(f[3])
		told += n
	}
	return all, told
}

// events returns how many packets the visits that are kept tell of.
func events(t *testing.T, h *lab.Host, bin, data string) (n int) {
	t.Helper()
	for _, m := range regexp.MustCompile(`"count":(\d+),`).FindAllStringSubmatch(h.Run(bin, "sensor", "report", "--data", data, "--type", "events"), -1) {
		one, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// TestDiskFull: on a disk of three megabytes, of which --keep would take a
// hundred, the oldest visits go and no count does.
func TestDiskFull(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	h := lab.NewHost(t, "full")
	h.Run("mkdir", "-m", "755", "/tmp/small")
	h.Run("mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", "/tmp/small")
	d := start(t, h, "exec "+bin+" sensor --listen :631 --persona none --data /tmp/small --keep 100MB --detail 100000 >/dev/null")
	const n = 6000
	packets(t, h, 0, n, 800)
	last := fmt.Sprintf("host-%d.example", n-1)
	await(t, "the last of the visits", func() bool {
		if d.Ended() {
			t.Fatal("the sensor has ended on a full disk")
		}
		return strings.Contains(h.Run(bin, "sensor", "report", "--data", "/tmp/small", "--type", "events"), last)
	})
	d.Stop()
	all, told := counts(t, h, bin, "/tmp/small")
	kept := events(t, h, bin, "/tmp/small")
	if all != n || told != n || kept == 0 || kept >= n {
		t.Errorf("%d packets came; counted %d, told %d, kept %d", n, all, told, kept)
	}
	t.Logf("of %d visits %d are kept", n, kept)
}

// TestKilled kills both processes in the middle of their work: what was written
// is there, and they go on.
func TestKilled(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	h := lab.NewHost(t, "killed")
	const command = " sensor --listen :631 --persona none --data /tmp/data --detail 100000 >/dev/null"
	for round := range 3 {
		d := start(t, h, "exec "+bin+command)
		packets(t, h, round*2000, 1000, 50)
		want := fmt.Sprintf("host-%d.example", round*2000+999)
		await(t, "the last of the visits", func() bool {
			return strings.Contains(h.Run(bin, "sensor", "report", "--data", "/tmp/data", "--type", "events"), want)
		})
		packets(t, h, round*2000+1000, 1000, 50)
		d.Kill()
	}
	d := start(t, h, "exec "+bin+command)
	packets(t, h, 6000, 1, 50)
	d.Stop()
	if n := events(t, h, bin, "/tmp/data"); n < 3001 || n > 6001 {
		t.Errorf("%d packets are in the visits, want 3001 at least", n)
	}
}

// TestEitherProcessDies: neither lives on without the other.
func TestEitherProcessDies(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	for _, tt := range []struct {
		name, kill, says string
	}{
		{"the one that hears", "sensor post", "the process that hears strangers ended: signal: killed"},
		{"the one that keeps", "sensor --listen", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := lab.NewHost(t, "dies")
			d := start(t, h, "exec "+bin+" sensor --listen :631 --persona none --data /tmp/data >/dev/null")
			if !h.Bound(631) {
				t.Fatal("nobody listens")
			}
			h.Run("sh", "-c", `for p in /proc/[0-9]*; do
				if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q "^`+bin+` `+tt.kill+`" && [ "$(readlink $p/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then kill -9 ${p#/proc/}; fi
			done`)
			await(t, "the end of both", func() bool { return d.Ended() && !h.Bound(631) })
			if tt.says != "" && !d.Wrote(tt.says) {
				t.Errorf("it does not say %q", tt.says)
			}
		})
	}
}

// TestSlowReader: whoever follows the events reads none of them. The sensor
// hears on, keeps all, and ends when it is told to.
func TestSlowReader(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	h := lab.NewHost(t, "slow")
	d := start(t, h, bin+" sensor --listen :631 --persona none --data /tmp/data --detail 100000 --format ndjson | sleep 1000")
	const n = 5000
	packets(t, h, 0, n, 50)
	await(t, "all visits", func() bool { return events(t, h, bin, "/tmp/data") == n })
	h.Run("sh", "-c", `for p in /proc/[0-9]*; do
		if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q "^`+bin+` sensor --listen" && [ "$(readlink $p/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then kill -TERM ${p#/proc/}; fi
	done`)
	await(t, "the end of the sensor", func() bool { return !h.Bound(631) && d.Wrote("not all was shown") })
	if all, told := counts(t, h, bin, "/tmp/data"); all != n || told != n {
		t.Errorf("counted %d, told %d, want %d", all, told, n)
	}
}

// TestBothGiveUp looks at what the kernel says of both processes.
func TestBothGiveUp(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	h := lab.NewHost(t, "meek")
	start(t, h, "exec "+bin+" sensor --listen :631 --persona none --data /tmp/data >/dev/null")
	said := h.Run("sh", "-c", `for p in /proc/[0-9]*; do
		if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q "^`+bin+` sensor" && [ "$(readlink $p/ns/net)" = "$(readlink /proc/self/ns/net)" ]; then
			for task in $p/task/*; do echo $(tr '\0' ' ' <$p/cmdline | cut -d' ' -f3) $(grep -E '^(Uid|CapPrm|CapEff|NoNewPrivs|Seccomp):' $task/status | cut -f2); done
		fi
	done`)
	keeps := "0 0000000000000002 0000000000000002 1 0"
	if !strings.Contains(said, " 0 ") { // not root
		keeps = ""
	}
	seen := map[string]int{}
	for line := range strings.Lines(said) {
		who, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		seen[who]++
		_, caps, _ := strings.Cut(what, " ")
		switch {
		case who == "post" && caps != "0000000000000000 0000000000000000 1 2":
			t.Errorf("a thread of the process that hears strangers: %s", line)
		case who != "post" && keeps != "" && what != keeps:
			t.Errorf("a thread of the process that keeps: %s", line)
		}
	}
	if seen["post"] == 0 || seen["--listen"] == 0 {
		t.Errorf("threads: %v\n%s", seen, said)
	}
}
