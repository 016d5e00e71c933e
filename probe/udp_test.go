package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/callback"
	"ippwatch/exposure"
	"ippwatch/wire/browse"
)

// A cupsBrowsed listens for browse packets on a loopback address and calls back
// with the requests that a real one sent.
type cupsBrowsed struct {
	t     *testing.T
	at    netip.AddrPort
	posts int
	from  netip.Addr // calls from there if valid
}

func (c *cupsBrowsed) start() {
	c.t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(c.at))
	if err != nil {
		c.t.Fatal(err)
	}
	var all sync.WaitGroup
	c.t.Cleanup(func() {
		conn.Close()
		all.Wait()
	})
	all.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			p, err := browse.Parse(buf[:n])
			if err != nil {
				c.t.Errorf("browse packet %q: %v", buf[:n], err)
				continue
			}
			if err := c.call(p); err != nil {
				c.t.Errorf("call back: %v", err)
			}
		}
	})
}

func (c *cupsBrowsed) call(p browse.Packet) error {
	to, err := p.Destination()
	if err != nil {
		return err
	}
	addr := net.JoinHostPort(to.Host, fmt.Sprint(to.Port))
	for i := range c.posts {
		b, err := os.ReadFile(fmt.Sprintf("testdata/10-404.c%02d.bin", i%3+1))
		if err != nil {
			return err
		}
		d := net.Dialer{Timeout: time.Minute}
		if c.from.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 0))
		}
		conn, err := d.Dial("tcp4", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write(rewrite(b, addr, to.Path)); err != nil {
			return err
		}
		answer := make([]byte, 256)
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 404 ") {
			return fmt.Errorf("answer %q, %w", answer[:n], err)
		}
	}
	return nil
}

// rewrite makes a captured request one for this address and path.
func rewrite(b []byte, addr, path string) []byte {
	const oldAddr, oldPath = "10.63.1.1:12345", "/printers/TOKEN0001"
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	uri := func(s string) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
	}
	oldLen := len(body)
	body = bytes.Replace(body, uri("ipp://"+oldAddr+oldPath), uri("ipp://"+addr+path), 1)
	text := strings.NewReplacer(oldAddr, addr, oldPath, path,
		fmt.Sprintf("Content-Length: %d", oldLen), fmt.Sprintf("Content-Length: %d", len(body))).Replace(string(head))
	return append([]byte(text+"\r\n\r\n"), body...)
}

// freePort returns a port below those that the system gives away, another one
// in each process.
func freePort() uint16 { return uint16(20000 + os.Getpid()%10000) }

// TestAskingOverLoopback goes the whole way: socket, packet, call, server.
func TestAskingOverLoopback(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives the whole of 127.0.0.0/8 to loopback")
	}
	addr := func(last byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), freePort())
	}
	three, six, elsewhere, silent, closed := addr(21), addr(22), addr(23), addr(24), addr(25)
	for _, c := range []cupsBrowsed{
		{t: t, at: three, posts: 3},
		{t: t, at: six, posts: 6},
		{t: t, at: elsewhere, posts: 3, from: netip.MustParseAddr("127.0.0.2")},
		{t: t, at: silent, posts: 0},
	} {
		c.start()
	}
	server, at := advertised(t)
	udp, err := OpenUDP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	key, err := callback.NewKey(run, callback.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[netip.AddrPort]exposure.Observation)
	b, err := NewBrowse(BrowseConfig{
		Run: run, Source: exposure.Scan, Key: key, Address: at, Contact: "noc@example.org",
		Grace: 5 * time.Second, Sender: udp, Pacer: PerSecond(1000).PerNetwork(1000),
		Gate: gateFunc(func(netip.Addr, time.Time) error { return nil }),
		Observe: func(o exposure.Observation) {
			if _, twice := seen[o.Target()]; twice {
				t.Errorf("%v is observed twice", o.Target())
			}
			seen[o.Target()] = o
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Credit(key, b.Heard)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	if _, err := b.Batch(t.Context(), []netip.AddrPort{closed, three, six, elsewhere, silent}); err != nil {
		t.Fatal(err)
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for target, posts := range map[netip.AddrPort]int{three: 3, six: 6, elsewhere: 3} {
		o := seen[target]
		if o.Verdict != exposure.CalledBack || o.Callback.Posts != posts || o.Callback.Connections != posts {
			t.Errorf("%v: %s, %+v, want a callback with %d posts", target, o.Verdict, o.Callback, posts)
			continue
		}
		if o.Callback.RatioApp < 4 || o.Callback.RatioIP < o.Callback.RatioApp*0.9 || o.Callback.After <= 0 {
			t.Errorf("%v: %+v", target, o.Callback)
		}
		want := netip.MustParseAddr("127.0.0.1") // where the kernel calls from when not told
		if target == elsewhere {
			want = netip.MustParseAddr("127.0.0.2")
		}
		if o.Callback.From != want || o.Addr != target.Addr() {
			t.Errorf("%v: called from %v, want %v", target, o.Callback.From, want)
		}
	}
	if got := seen[silent].Verdict; got != exposure.NoCallback {
		t.Errorf("silent host: %s, want %s", got, exposure.NoCallback)
	}
	if got := seen[closed].Verdict; got != exposure.Closed {
		t.Errorf("closed port: %s, want %s", got, exposure.Closed)
	}
	if n := server.Counts(); n.Genuine != 12 || n.NotACall+n.Forged+n.Expired+n.Replayed != 0 {
		t.Errorf("counts: %v", n)
	}
}

// TestErrorsAreAttributedToTheirPackets sends to many closed ports at once: on
// Linux each error also stands before some later send.
func TestErrorsAreAttributedToTheirPackets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ICMP errors are heard on Linux only")
	}
	udp, err := OpenUDP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	if !udp.HearsICMP() {
		t.Fatal("HearsICMP() = false on Linux")
	}
	var mu sync.Mutex
	closed := make(map[netip.AddrPort]int)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- udp.Run(ctx, func(r Refused) {
			mu.Lock()
			defer mu.Unlock()
			if r.Verdict != exposure.Closed {
				t.Errorf("%v: %s, %s", r.Target, r.Verdict, r.Reason)
			}
			closed[r.Target]++
		})
	}()
	heard := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			n := len(closed)
			mu.Unlock()
			if n == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d closed ports heard", n, want)
			}
		}
	}
	// No more at a time than the socket's buffer holds errors for.
	const targets, burst = 500, 100
	for i := range targets {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1 + byte(i>>8), byte(i)}), freePort())
		if err := udp.Send(t.Context(), to, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if (i+1)%burst == 0 {
			heard(i + 1)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	for to, n := range closed {
		if n != 1 {
			t.Errorf("%v: %d errors for one packet", to, n)
		}
	}
}

func TestSendFailsForWhatCannotBeSent(t *testing.T) {
	udp, err := OpenUDP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort())
	err = udp.Send(t.Context(), to, make([]byte, 1<<17))
	if err == nil || !strings.Contains(err.Error(), to.String()) {
		t.Errorf("Send of 128 KiB = %v, want an error that names %v", err, to)
	}
}
