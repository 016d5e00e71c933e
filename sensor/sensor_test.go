package sensor

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/scanners"
	"ippwatch/sensor/class"
)

// A ledger keeps what a sensor tells.
type ledger struct {
	mu       sync.Mutex
	visits   []exposure.Visit
	censuses []exposure.Census
}

func (l *ledger) tell(v []exposure.Visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visits = append(l.visits, v...)
}

func (l *ledger) count(c []exposure.Census) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.censuses = append(l.censuses, c...)
}

func (l *ledger) options(t testing.TB) Options {
	t.Helper()
	table, err := scanners.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Name: "s1", Judge: &class.Judge{Scanners: table}, Tell: l.tell, Count: l.count, Detail: 1 << 20}
}

// listening runs a sensor at the addresses; end ends it and waits.
func listening(t *testing.T, o Options, addrs ...string) (s *Sensor, end func()) {
	t.Helper()
	s = New(o)
	var at []netip.AddrPort
	for _, a := range addrs {
		at = append(at, netip.MustParseAddrPort(a))
	}
	if err := s.Listen(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	end = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(end)
	return s, end
}

func send(t testing.TB, from, to string, packets ...string) {
	t.Helper()
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range packets {
		if _, err := conn.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// heard waits until the sensor has heard so many.
func heard(t testing.TB, s *Sensor, n int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.Heard() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("heard %d packets, want %d (%d were dropped)", s.Heard(), n, s.Dropped())
		}
	}
}

func TestPacketBecomesVisit(t *testing.T) {
	for _, tt := range []struct{ name, listen, from string }{
		{"over IPv4", "127.0.0.1:0", "127.0.0.7:0"},
		{"over IPv6", "[::1]:0", "[::1]:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ledger
			s, end := listening(t, l.options(t), tt.listen)
			const packet = `0 3 http://203.0.113.9:80/printers/x "loc" "info" "model"`
			send(t, tt.from, s.Listens()[0].String(), packet, packet, packet)
			heard(t, s, 3)
			end()
			if len(l.visits) != 1 {
				t.Fatalf("visits: %+v, want one", l.visits)
			}
			v := l.visits[0]
			if v.Addr != netip.MustParseAddrPort(tt.from).Addr() || v.Dst != s.Listens()[0].Addr() || v.Door != s.Listens()[0].Port() || v.Port == 0 {
				t.Errorf("from %s port %d to %s port %d", v.Addr, v.Port, v.Dst, v.Door)
			}
			if v.Count != 3 || v.Bytes != 3*int64(len(packet)) || string(v.Payload) != packet || v.PayloadBytes != len(packet) || len(v.PayloadSHA256) != 64 {
				t.Errorf("%d packets, %d bytes, payload %q", v.Count, v.Bytes, v.Payload)
			}
			if v.V != 1 || v.ID == "" || v.Sensor != "s1" || v.Class != exposure.Solicitation || !v.Spoofable || v.Ended.Before(v.Observed) || v.Browse.Info != "info" {
				t.Errorf("visit: %+v", v)
			}
			if canShare && v.TTL != 64 {
				t.Errorf("TTL %d, want 64", v.TTL)
			}
			if len(l.censuses) != 2 || l.censuses[0].Packets != 3 || l.censuses[0].Told != 3 || l.censuses[0].Sources.Estimate != 1 || l.censuses[1].Health == nil {
				t.Errorf("censuses: %+v", l.censuses)
			}
		})
	}
}

// TestDestinationIsKept has one socket hear for several addresses.
func TestDestinationIsKept(t *testing.T) {
	if !canShare {
		t.Skip("only Linux tells where a packet went to")
	}
	for _, tt := range []struct {
		listen, from string
		to           []string
	}{{"0.0.0.0:0", "127.0.0.9:0", []string{"127.0.0.1", "127.0.0.2", "127.63.1.3"}}, {"[::]:0", "[::1]:0", []string{"::1"}}} {
		var l ledger
		s, end := listening(t, l.options(t), tt.listen)
		port := s.Listens()[0].Port()
		for _, to := range tt.to {
			send(t, tt.from, netip.AddrPortFrom(netip.MustParseAddr(to), port).String(), "0 3 http://203.0.113.9/printers/x")
		}
		heard(t, s, int64(len(tt.to)))
		end()
		got := map[string]bool{}
		for _, v := range l.visits {
			got[v.Dst.String()] = true
		}
		for _, to := range tt.to {
			if !got[to] {
				t.Errorf("listening at %s: none of %v went to %s", tt.listen, got, to)
			}
		}
	}
}

// TestLossIsTold fills the kernel's buffer before anybody reads: what was dropped
// and what was heard is what was sent, also when nothing comes after the loss.
func TestLossIsTold(t *testing.T) {
	if !canShare {
		t.Skip("only Linux tells of loss")
	}
	var l ledger
	o := l.options(t)
	o.Buffer, o.Workers = 4096, 2
	s := New(o)
	if err := s.Listen(t.Context(), []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Blind() {
		t.Skip("this kernel does not tell how much it drops")
	}
	const n = 3000
	for i := range 30 {
		packets := make([]string, n/30)
		for k := range packets {
			packets[k] = "0 3 http://203.0.113.9/printers/x"
		}
		send(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i%10 + 2)}), 0).String(), s.Listens()[0].String(), packets...)
		// Before the socket there is a queue of all the machine, and it does not
		// tell what it drops.
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); s.Heard()+s.Dropped() < n && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var told, counted int64
	for _, c := range l.censuses {
		counted += c.Packets
		if c.Health != nil {
			told += c.Health.Dropped
		}
	}
	if told == 0 || told+counted != n || told != s.Dropped() {
		t.Errorf("%d packets were sent, %d counted, %d told to be lost (%d)", n, counted, told, s.Dropped())
	}
}

// TestPortIsNotShared: sockets that share a port would share it with a second
// sensor, too, and nobody would notice.
func TestPortIsNotShared(t *testing.T) {
	var l ledger
	s, _ := listening(t, l.options(t), "127.0.0.1:0")
	other := New(l.options(t))
	if err := other.Listen(t.Context(), s.Listens()); err == nil {
		t.Errorf("two sensors listen at %v", s.Listens())
		_ = other.Close()
	}
}
