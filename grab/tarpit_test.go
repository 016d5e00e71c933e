package grab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// TestTarpitsCostSeconds runs in a bubble, over pipes.
func TestTarpitsCostSeconds(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:631")
	list := inIPP(ipp.StatusOK, aPrinter)
	head, body, _ := strings.Cut(list, "\r\n\r\n")
	drip := func(c net.Conn, s string) {
		for i := range len(s) {
			if _, err := io.WriteString(c, s[i:i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	tests := []struct {
		name    string
		play    func(net.Conn)
		verdict exposure.Verdict
		within  time.Duration
		reason  string
	}{
		{
			name: "a byte a second from the head on", play: func(c net.Conn) { drip(c, list) },
			verdict: exposure.Tarpit, within: 4 * time.Second, reason: "bytes in 3s, within the status line",
		},
		{
			name: "a byte a second in the body",
			play: func(c net.Conn) {
				fmt.Fprint(c, head+"\r\n\r\n")
				drip(c, body)
			},
			verdict: exposure.Tarpit, within: 4 * time.Second, reason: "within the body",
		},
		{
			name: "300 bytes a second, without end",
			play: func(c net.Conn) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\n\r\n")
				for {
					if _, err := io.WriteString(c, strings.Repeat("\x01", 300)); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
			verdict: exposure.Tarpit, within: 15 * time.Second, reason: "within the body",
		},
		{
			name: "no byte at all", play: func(net.Conn) { time.Sleep(time.Minute) },
			verdict: exposure.Tarpit, within: 5 * time.Second, reason: "connected, then no byte for 5s",
		},
		{
			name: "slow to start, then quick",
			play: func(c net.Conn) {
				time.Sleep(4 * time.Second)
				fmt.Fprint(c, list)
			},
			verdict: exposure.Answered, within: 5 * time.Second,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var playing sync.WaitGroup
				dial := func(context.Context, netip.AddrPort) (net.Conn, error) {
					near, far := net.Pipe()
					playing.Go(func() {
						defer far.Close()
						r := bufio.NewReader(far)
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, req.Body)
						test.play(far)
					})
					return near, nil
				}
				start := time.Now()
				o := New(Options{Gate: &gate{}, NoTLSCheck: true, Dial: dial}).Grab(t.Context(), target)
				took := time.Since(start)
				playing.Wait()
				if o.Verdict != test.verdict || !strings.Contains(o.Reason, test.reason) || took > test.within {
					t.Errorf("verdict = %s (%s) after %v, want %s (%s) within %v",
						o.Verdict, o.Reason, took, test.verdict, test.reason, test.within)
				}
			})
		})
	}
}

func TestSilenceAfterTheConnectIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		}
		start := time.Now()
		o := New(Options{Gate: &gate{}, Dial: dial}).Grab(t.Context(), netip.MustParseAddrPort("192.0.2.1:631"))
		if took := time.Since(start); o.Verdict != exposure.NoAnswer || took != 3*time.Second {
			t.Errorf("verdict = %s after %v, want no-answer after 3s", o.Verdict, took)
		}
	})
}
