package outpost_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/lab"
	_ "ippwatch/outpost" // what is built and run: a result that is cached is of the same program
)

func TestMain(m *testing.M) { lab.Main(m) }

var bigEndian = binary.BigEndian

// build builds the small program as it is shipped: without cgo.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ippwatch-sensor")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "ippwatch-sensor")
	cmd := exec.Command("go", "build", "-o", name, "../cmd/ippwatch-sensor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return name, os.Chmod(dir, 0o755)
})

func program(t *testing.T) string {
	t.Helper()
	name, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// What leaves the host, on any link, is counted before anything can drop it.
const counters = `
table inet out {
	counter udp4 {}
	counter udp6 {}
	counter called {}
	counter names {}
	chain out {
		type filter hook output priority raw
		meta nfproto ipv4 meta l4proto udp counter name udp4
		meta nfproto ipv6 meta l4proto udp counter name udp6
		tcp flags & (syn|ack) == syn counter name called
		meta l4proto { tcp, udp } th dport { 53, 853, 5353, 5355 } counter name names
	}
}
`

var counted = regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`)

// left is how much of each sort left the host.
func left(t *testing.T, h *lab.Host) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, m := range counted.FindAllStringSubmatch(h.Run("nft", "list", "counters"), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = n
	}
	if len(all) != 4 {
		t.Fatalf("counters: %v", all)
	}
	return all
}

// TestMute is rule 8 of DESIGN.md: after a hundred thousand hostile packets, and
// requests that beg for it, no UDP has left the host, no connection, and no
// question for a name.
func TestMute(t *testing.T) {
	lab.Need(t, "ip", "nft")
	bin := program(t)
	h := lab.NewHost(t, "sensor")
	h.NFT(counters)

	// The counters count: what this test does itself is seen.
	h.Do(func() {
		for _, to := range []string{"127.0.0.1:53", "[::1]:5353"} {
			if c, err := net.Dial("udp", to); err == nil {
				_, _ = c.Write([]byte("x"))
				_ = c.Close()
			}
		}
		if c, err := net.Dial("tcp4", "127.0.0.1:9"); err == nil {
			_ = c.Close()
		}
	})
	before := left(t, h)
	for name, n := range before {
		if n == 0 {
			t.Fatalf("counter %s does not count: %v", name, before)
		}
	}

	d := start(t, h, "exec "+bin+" sensor --listen :631 --name mute --persona cups --data /tmp/data --own 203.0.113.0/24 >/dev/null")
	if !d.Wrote("seccomp") {
		t.Error("nothing was given up")
	}
	called := bait(t)
	sent := 0
	for _, to := range []netip.AddrPort{h.Port4(631), h.Port6(631)} {
		sent += shower(t, h, to, called.Addr().String())
		beg(t, to, called.Addr().String())
	}
	d.Stop()

	after := left(t, h)
	for name, n := range after {
		if n != before[name] {
			t.Errorf("%s: %d packets left the host", name, n-before[name])
		}
	}
	heard, lost := 0, 0
	for line := range strings.Lines(h.Run(bin, "sensor", "report", "--data", "/tmp/data", "--format", "csv")) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if n, err := strconv.Atoi(f[2]); err == nil && f[1] == "udp" {
			heard += n
		}
	}
	if m := regexp.MustCompile(`lost: (\d+) packets? dropped`).FindStringSubmatch(h.Run(bin, "sensor", "report", "--data", "/tmp/data")); m != nil {
		lost, _ = strconv.Atoi(m[1])
	}
	if heard+lost != sent || heard < sent/2 {
		t.Errorf("%d packets were sent, %d heard, %d dropped", sent, heard, lost)
	}
	t.Logf("%d packets sent, %d heard, %d dropped by the kernel and told so", sent, heard, lost)
}

// start runs a shell command on h that runs a sensor, and waits until it hears.
func start(t *testing.T, h *lab.Host, command string) *lab.Daemon {
	t.Helper()
	d := h.Start("sh", "-c", command)
	await(t, "the sensor", func() bool {
		if d.Ended() {
			t.Fatal("the sensor has ended")
		}
		return d.Wrote("events are kept")
	})
	return d
}

// bait is where the packets ask others to call; nobody may.
func bait(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(lab.Here4, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Errorf("%s called", c.RemoteAddr())
			_ = c.Close()
		}
	}()
	return l
}

// shower sends half of a hundred thousand packets that want an answer.
func shower(t *testing.T, h *lab.Host, to netip.AddrPort, called string) (sent int) {
	t.Helper()
	return packetsOf(t, h, to.String(), 50_000, called)
}

// packetsOf sends so many hostile packets.
func packetsOf(t *testing.T, h *lab.Host, to string, n int, called string) int {
	t.Helper()
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(631, uint64(len(to))))
	next := pace(t, h) // the test is of what is done, not of speed
	for i := range n {
		next()
		p := hostile(rng, i, called)
		if _, err := conn.Write(p); err != nil {
			t.Fatalf("send packet %d of %d bytes: %v", i, len(p), err)
		}
	}
	return n
}

func hostile(rng *rand.Rand, i int, called string) []byte {
	switch i % 12 {
	case 0:
		return fmt.Appendf(nil, `0 3 http://%s/printers/x%d "a" "b" "c"`, called, i)
	case 1:
		return fmt.Appendf(nil, "0 3 http://canary-%d.example.net:80/printers/x", i)
	case 2:
		return fmt.Appendf(nil, "0 3 ipp://localhost/printers/%d", i)
	case 3:
		return fmt.Appendf(nil, "0 3 http://203.0.113.%d/printers/%s", i%250, strings.Repeat("A", rng.IntN(3000)))
	case 4: // a question for a name
		return append(bigEndian.AppendUint16(nil, uint16(i)), "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03net\x00\x00\x01\x00\x01"...)
	case 5: // SNMP, SSDP: what reflectors answer
		return []byte("M-SEARCH * HTTP/1.1\r\nHOST:239.255.255.250:1900\r\nMAN:\"ssdp:discover\"\r\nST:ssdp:all\r\n\r\n")
	case 6: // IPP
		return []byte("\x02\x00\x00\x0b\x00\x00\x00\x01\x01\x47\x00\x12attributes-charset\x00\x05utf-8\x03")
	case 7:
		return nil
	case 8:
		return []byte{byte(i)}
	case 9:
		return fmt.Appendf(nil, "100000 3 http://%s/printers/x", called)
	case 10: // larger than a link: it comes in fragments
		return []byte("0 3 http://" + called + "/printers/" + strings.Repeat("B", 4000))
	}
	p := make([]byte, rng.IntN(1400))
	for k := range p {
		p[k] = byte(rng.Uint32())
	}
	return p
}

// beg asks the print service to fetch, to proxy, and to call.
func beg(t *testing.T, to netip.AddrPort, called string) {
	t.Helper()
	attribute := func(tag byte, name, value string) string {
		b := bigEndian.AppendUint16([]byte{tag}, uint16(len(name)))
		b = bigEndian.AppendUint16(append(b, name...), uint16(len(value)))
		return string(append(b, value...))
	}
	ipp := func(op byte, more string) string {
		body := "\x02\x00\x00" + string(op) + "\x00\x00\x00\x01\x01" + attribute(0x47, "attributes-charset", "utf-8") +
			attribute(0x48, "attributes-natural-language", "en") + attribute(0x45, "printer-uri", "ipp://"+to.String()+"/printers/office") + more + "\x03"
		return fmt.Sprintf("POST /printers/office HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n\r\n%s", to, len(body), body)
	}
	uri := attribute(0x45, "document-uri", "http://"+called+"/document")
	for _, text := range []string{
		ipp(0x03, uri), ipp(0x07, uri), ipp(0x16, attribute(0x45, "notify-recipient-uri", "http://"+called+"/notify")),
		fmt.Sprintf("GET http://%s/ HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n", called, called),
		fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", called, called),
		"GET / HTTP/1.1\r\nHost: canary.example.net\r\nReferer: http://canary.example.net/\r\n\r\n",
		"\x16\x03\x01\x00\x05hello", "\x00\x00\x00", "SSH-2.0-x\r\n",
	} {
		conn, err := net.DialTimeout("tcp", to.String(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
		_, _ = conn.Read(make([]byte, 512)) // any answer will do, or none
		_ = conn.Close()
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}
