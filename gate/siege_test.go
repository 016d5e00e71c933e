package gate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// onSocket runs the gate on loopback while f visits it at the address.
func onSocket(t *testing.T, f func(t *testing.T, at string), routes ...Route) {
	t.Helper()
	g := bare(t, routes...)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, l) }()
	f(t, l.Addr().String())
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// dial connects, for a minute at most.
func dial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// until waits for what must become true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for begun := time.Now(); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

// TestWhoLeavesInTheMiddle holds that nothing goes on for clients that are gone:
// in the middle of a stream that is written, and of one that waits.
func TestWhoLeavesInTheMiddle(t *testing.T) {
	writes := func(w http.ResponseWriter, _ *http.Request, _ *Visit) error {
		for {
			if _, err := w.Write([]byte(strings.Repeat("{\"line\":1}\n", 100))); err != nil {
				return err
			}
		}
	}
	waits := func(w http.ResponseWriter, r *http.Request, _ *Visit) error {
		e, err := Events(w)
		if err != nil {
			return err
		}
		if err := e.Send("hello", "one"); err != nil {
			return err
		}
		<-r.Context().Done()
		return nil
	}
	onSocket(t, func(t *testing.T, at string) {
		if got := ask(dial(t, at)); got != "hello" { // all that serves has begun
			t.Fatalf("the first gets %q", got)
		}
		before := 0
		until(t, "nothing goes on", func() bool {
			was := before
			before = runtime.NumGoroutine()
			return was == before
		})
		for _, path := range []string{"/writes", "/waits"} {
			var conns []net.Conn
			for range 20 {
				c := dial(t, at)
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
				if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
			}
			if n := runtime.NumGoroutine(); n < before+20 {
				t.Errorf("%s: %d goroutines for 20 streams", path, n-before)
			}
			for _, c := range conns {
				_ = c.Close()
			}
			until(t, "all goroutines of "+path+" have ended", func() bool { return runtime.NumGoroutine() <= before })
		}
	}, public("GET", "/writes", Stream, writes), public("GET", "/waits", Stream, waits), public("GET", "/{$}", Page, hello))
}

// TestAHundredMegabytes are refused before they are in memory, whether they say
// how many they are or not.
func TestAHundredMegabytes(t *testing.T) {
	const size = 100 << 20
	read := func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		if err := readForm(r); err != nil {
			return err
		}
		return hello(w, r, v)
	}
	all := func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		if _, err := io.ReadAll(r.Body); err != nil {
			return err
		}
		return hello(w, r, v)
	}
	onSocket(t, func(t *testing.T, at string) {
		for name, head := range map[string]string{
			"a form":                   "POST /form HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n",
			"a form of unknown length": "POST /form HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n",
			"a file":                   "POST /form HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n",
			"an API":                   "POST /api HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
			"an API that is told":      "POST /api HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
		} {
			// What the client sends is made before: it is not the server's memory.
			piece := bytes.Repeat([]byte("x"), 64<<10)
			if strings.Contains(head, "multipart") {
				copy(piece, "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n")
			}
			if strings.Contains(head, "chunked") {
				piece = fmt.Appendf(nil, "%x\r\n%s\r\n", len(piece), piece)
			}
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			c := dial(t, at)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				w := bufio.NewWriter(c)
				if strings.Contains(head, "%d") {
					fmt.Fprintf(w, head, size)
				} else {
					_, _ = w.WriteString(head)
				}
				_, _ = w.WriteString("Host: x\r\n\r\n")
				for range size / len(piece) {
					if _, err := w.Write(piece); err != nil {
						return // as it should be
					}
				}
				_ = w.Flush()
			}()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			runtime.ReadMemStats(&is)
			_ = c.Close() // nothing of it goes on while the next is measured
			<-sent
			if used := is.TotalAlloc - was.TotalAlloc; res.StatusCode != http.StatusRequestEntityTooLarge || used > 32<<20 {
				t.Errorf("%s: %s %s after %d bytes of memory", name, res.Status, body, used)
			}
		}
	}, public("POST", "/form", Form, read), public("POST", "/api", API, all))
}

// TestOddRequests are answered, refused or cut off, each within its time.
func TestOddRequests(t *testing.T) {
	onSocket(t, func(t *testing.T, at string) {
		for name, test := range map[string]struct{ say, want string }{
			"three at once":           {strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2) + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200 200 200"},
			"a header of 100 kB":      {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n", "431"},
			"ten thousand headers":    {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n", "431"},
			"an address of 100 kB":    {"GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
			"no host":                 {"GET / HTTP/1.1\r\n\r\n", "400"},
			"two lengths":             {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400"},
			"an unknown coding":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "501"},
			"a method of its own":     {"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"},
			"a proxy's request":       {"CONNECT example.net:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "40"},
			"TLS where there is none": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
			"nonsense":                {"\x00\x01\x02\x03\r\n\r\n", "400"},
			"dots":                    {"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "30"},
			"HTTP/1.0":                {"GET / HTTP/1.0\r\n\r\n", "200"},
		} {
			c := dial(t, at)
			go func() {
				_, _ = io.WriteString(c, test.say)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			r := bufio.NewReader(c)
			var got []string
			for {
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				got = append(got, fmt.Sprint(res.StatusCode))
			}
			if all := strings.Join(got, " ") + " "; !strings.HasPrefix(all, test.want) || test.want != "200 200 200" && len(got) != 1 {
				t.Errorf("%s: %q, want %s", name, got, test.want)
			}
		}
	}, public("GET", "/{$}", Page, hello))
}
