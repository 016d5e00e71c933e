package enrich

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameserver answers PTR questions from the table on a loopback address; "" is
// silence. It returns a resolver that asks it and the count of questions.
func nameserver(t *testing.T, names map[string]string) (*net.Resolver, *atomic.Int32) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			var q dnsmessage.Message
			if err := q.Unpack(buf[:n]); err != nil || len(q.Questions) != 1 {
				t.Errorf("nameserver: question: %v", err)
				continue
			}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true}, Questions: q.Questions}
			name, known := names[q.Questions[0].Name.String()]
			switch {
			case !known:
				answer.RCode = dnsmessage.RCodeNameError
			case name == "":
				continue
			default:
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET, TTL: 60},
					Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name)},
				}}
			}
			out, err := answer.Pack()
			if err != nil {
				t.Errorf("nameserver: answer: %v", err)
				continue
			}
			if _, err := conn.WriteTo(out, from); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("nameserver: %v", err)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}, &asked
}

func TestHostname(t *testing.T) {
	resolver, asked := nameserver(t, map[string]string{
		"1.8.8.8.in-addr.arpa.": "Printer-1.Example.COM.",
		"2.8.8.8.in-addr.arpa.": "<script>.example.",
		"3.8.8.8.in-addr.arpa.": "_ipp.example.",
		"4.8.8.8.in-addr.arpa.": "",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.4.0.5.4.1.0.0.a.2.ip6.arpa.": "six.example.",
	})
	patient, err := New(Options{Reverse: &Reverse{Resolver: resolver, PerSecond: 1000, Timeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	hasty, err := New(Options{Reverse: &Reverse{Resolver: resolver, PerSecond: 1000, Timeout: 200 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer hasty.Close()
	for _, test := range []struct{ name, addr, want string }{
		{"a name", "8.8.8.1", "printer-1.example.com"},
		{"a hostile name", "8.8.8.2", ""},
		{"an underscore", "8.8.8.3", "_ipp.example"},
		{"silence", "8.8.8.4", ""},
		{"no such name", "8.8.8.5", ""},
		{"IPv6", "2a00:1450:4001::1", "six.example"},
		{"mapped", "::ffff:8.8.8.1", "printer-1.example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := patient
			if test.name == "silence" {
				e = hasty
			}
			if got := e.Hostname(t.Context(), netip.MustParseAddr(test.addr)); got != test.want {
				t.Errorf("Hostname(%s) = %q, want %q", test.addr, got, test.want)
			}
		})
	}
	before := asked.Load()
	for _, addr := range []string{"127.0.0.1", "224.0.0.1", "fe80::1"} {
		if got := patient.Hostname(t.Context(), netip.MustParseAddr(addr)); got != "" {
			t.Errorf("Hostname(%s) = %q", addr, got)
		}
	}
	off, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	if got := off.Hostname(t.Context(), netip.MustParseAddr("8.8.8.1")); got != "" || asked.Load() != before {
		t.Errorf("Hostname where nobody enabled it = %q, after %d questions", got, asked.Load()-before)
	}
}

func TestReverseKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Reverse{PerSecond: 10}
		r.prepare()
		start := time.Now()
		for range 11 {
			if !r.wait(t.Context()) {
				t.Fatal("wait gave up")
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("11 questions took %v, want 1s", took)
		}
		time.Sleep(10 * time.Second) // of the bubble: what was not asked is not saved up
		start = time.Now()
		for range 3 {
			r.wait(t.Context())
		}
		if took := time.Since(start); took != 200*time.Millisecond {
			t.Errorf("3 questions after a rest took %v, want 200ms", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r.wait(ctx) {
			t.Error("wait went on after the end")
		}
	})
}

func TestReverseAsksFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		r := &Reverse{PerSecond: 1000, AtOnce: 3, Timeout: time.Second, Resolver: &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer now.Add(-1)
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}}
		for range 10 {
			go func() {
				if got := r.name(t.Context(), netip.MustParseAddr("8.8.8.8")); got != "" {
					t.Errorf("name = %q", got)
				}
			}()
		}
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if got := most.Load(); got < 1 || got > 3 {
			t.Errorf("%d questions at once, want at most 3", got)
		}
	})
}

func TestIsHostname(t *testing.T) {
	for _, test := range []struct {
		name string
		want bool
	}{
		{"example", true},
		{"a-b.example.com", true},
		{"1.2.3.4.dyn.example", true},
		{"host_1.example", true},
		{"XN--KLN-SNA.example", true},
		{"", false},
		{".", false},
		{"a..b", false},
		{"-a.example", false},
		{"a-.example", false},
		{"a b", false},
		{"a\x00b", false},
		{"é.example", false},
		{"[x]", false},
		{"@", false},
		{"a`b", false},
		{strings.Repeat("a", 63), true},
		{strings.Repeat("a", 64), false},
		{strings.Repeat("a.", 127) + "a", false},
		{strings.Repeat("a.", 126) + "a", true},
	} {
		if got := isHostname(test.name); got != test.want {
			t.Errorf("isHostname(%.80q) = %v, want %v", test.name, got, test.want)
		}
	}
}
