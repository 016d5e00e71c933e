package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ippwatch/lab"
)

// An ear answers every POST with 404 and notes who called, as facts/cups.md,
// section 1.5 tells.
type ear struct {
	ln    net.Listener
	mu    sync.Mutex
	calls []netip.Addr
	words []string // what was received, by connection that has ended
	open  sync.WaitGroup
}

func listen(t *testing.T) *ear {
	t.Helper()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(lab.Here4, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{ln: ln}
	e.open.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			e.open.Go(func() { e.hear(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		e.open.Wait()
	})
	return e
}

func (e *ear) hear(conn net.Conn) {
	defer conn.Close()
	var words strings.Builder
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.words = append(e.words, words.String())
	}()
	in := bufio.NewReader(io.TeeReader(conn, &words))
	for {
		// A daemon that keeps the connection open is not waited for longer.
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.Method == http.MethodPost {
			e.mu.Lock()
			e.calls = append(e.calls, netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr())
			e.mu.Unlock()
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// ask sends a browse packet and reports whether the host said by ICMP that
// nothing listens.
func (e *ear) ask(t *testing.T, host netip.Addr, token, info string) bool {
	t.Helper()
	conn := e.send(t, host, token, info)
	if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, syscall.ECONNREFUSED)
}

// send sends a browse packet and returns the socket.
func (e *ear) send(t *testing.T, host netip.Addr, token, info string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", netip.AddrPortFrom(host, 631).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "0 3 http://%s/printers/%s %q %q %q", e.ln.Addr(), token, "lab", info, "x"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// said returns what each connection that has ended was told, in order of their ends.
func (e *ear) said() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.words)
}

func (e *ear) callers() []netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

func (e *ear) await(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d calls", n), func() bool { return len(e.callers()) >= n })
}
