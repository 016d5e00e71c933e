package callback

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// MaxPosts is how many calls one token is good for: three and six are
	// normal (facts/cups.md 1.4 and 1.6). A daemon that calls without end is
	// heard this often; the rest is counted as replayed, and the ratio stays a
	// lower bound.
	MaxPosts = 24
	// Validity is how long a token is good for. The keys live as long.
	Validity = 24 * time.Hour
	// Path is under what a token stands.
	Path = "/printers/"
)

// Limits bound what strangers cost. A zero field stands for that of
// [DefaultLimits].
type Limits struct {
	Connections int           // open at one time
	PerAddress  int           // of them from one address; behind NAT many hosts share one
	Requests    int           // on one connection
	Idle        time.Duration // between two requests, and for a head to arrive
	Body        time.Duration // for a body to follow its head; then it is answered without
	Life        time.Duration // of a connection
}

// DefaultLimits returns limits that no real cups-browsed reaches.
func DefaultLimits() Limits {
	return Limits{Connections: 2048, PerAddress: 256, Requests: 100, Idle: 30 * time.Second, Body: time.Second, Life: 5 * time.Minute}
}

// The answer to everything. No other is safe: see facts/cups.md 1.5 for the
// daemons that loop or stall. It is never preceded by a 100: the body comes
// without.
const (
	answer     = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
	answerLast = answer + "Connection: close\r\n"
)

// A Server listens for calls.
type Server struct {
	listener net.Listener
	limits   Limits
	secret   [32]byte // of this very server, for Check

	mu      sync.Mutex
	runs    []credit
	posts   map[string]int // by token
	order   []string       // of posts, a ring
	oldest  int
	pending map[string]chan struct{} // challenges of Check; closed when heard
	open    map[netip.Addr]int
	total   int
	counts  Counts
}

type credit struct {
	key   *Key
	heard func(Call)
}

// maxTokens is how many tokens are remembered with their number of calls. Only
// hosts that we asked can fill it.
const maxTokens = 1 << 16

// New returns a server for the listener, which Run closes.
func New(listener net.Listener, lim Limits) *Server {
	def := DefaultLimits()
	orElse(&lim.Connections, def.Connections)
	orElse(&lim.PerAddress, def.PerAddress)
	orElse(&lim.Requests, def.Requests)
	orElse(&lim.Idle, def.Idle)
	orElse(&lim.Body, def.Body)
	orElse(&lim.Life, def.Life)
	s := &Server{
		listener: listener,
		limits:   lim,
		posts:    make(map[string]int),
		pending:  make(map[string]chan struct{}),
		open:     make(map[netip.Addr]int),
	}
	_, _ = rand.Read(s.secret[:]) // never fails: see crypto/rand
	return s
}

func orElse[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Addr returns the address on which the server listens, which may be
// unspecified.
func (s *Server) Addr() netip.AddrPort { return addrPort(s.listener.Addr()) }

// Counts returns what the server has met so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Credit makes the server believe the tokens of the key and hand their calls to
// heard, until Forget. It is called from many goroutines at once and must not
// block. A second Credit for the same run replaces the first.
func (s *Server) Credit(key *Key, heard func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.runs {
		if s.runs[i].key.run == key.run {
			s.runs[i] = credit{key, heard}
			return
		}
	}
	s.runs = append(s.runs, credit{key, heard})
}

// Forget makes tokens of the run count as forged from now on.
func (s *Server) Forget(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.runs {
		if s.runs[i].key.run == run {
			s.runs = append(s.runs[:i:i], s.runs[i+1:]...)
			return
		}
	}
}

// Run serves until the context ends, and returns when the last connection is
// closed.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stop()
	defer s.listener.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("listen for call-backs on %s: %w", s.listener.Addr(), err)
			}
			// Most likely out of descriptors: connections will end.
			if !pause(ctx, 50*time.Millisecond) {
				return nil
			}
			continue
		}
		from := addrPort(conn.RemoteAddr())
		if !s.admit(from.Addr()) {
			_ = conn.Close()
			continue
		}
		conns.Go(func() {
			defer s.leave(from.Addr())
			s.serve(ctx, conn, from)
		})
	}
}

func (s *Server) admit(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.limits.Connections || s.open[from] >= s.limits.PerAddress {
		s.counts.Refused++
		return false
	}
	s.total++
	s.open[from]++
	return true
}

func (s *Server) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
}

// serve answers the requests of one connection.
func (s *Server) serve(ctx context.Context, conn net.Conn, from netip.AddrPort) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var (
		account = &Conn{}
		end     = time.Now().Add(s.limits.Life)
		r       = bufio.NewReaderSize(conn, maxLine)
		payload = 0
	)
	within := func(d time.Duration) {
		_ = conn.SetDeadline(earlier(time.Now().Add(d), end))
		if ctx.Err() != nil {
			_ = conn.SetDeadline(time.Unix(1, 0))
		}
	}
	for n := 1; ; n++ {
		within(s.limits.Idle)
		var q request
		err := q.readHead(r)
		payload += q.bytes
		if err == nil {
			within(s.limits.Body)
			headBytes := q.bytes
			err = q.readBody(r)
			payload += q.bytes - headBytes
		} else if !errors.Is(err, errHead) && !errors.Is(err, errBody) {
			account.ipBytes.Store(int64(ipBytes(conn, payload, n-1)))
			return
		}
		last := err != nil || q.last || n >= s.limits.Requests
		account.ipBytes.Store(int64(ipBytes(conn, payload, n)))
		out := s.reply(&q, from, account, err == nil, last)
		within(s.limits.Idle)
		if _, err := io.WriteString(conn, out); err != nil {
			return
		}
		if last {
			s.hangUp(conn, r, within)
			account.ipBytes.Store(int64(ipBytes(conn, payload, n)))
			return
		}
	}
}

// hangUp closes so that the answer arrives: to close with unread bytes resets
// the connection and throws the answer away (RFC 9112, section 9.6).
func (s *Server) hangUp(conn net.Conn, r io.Reader, within func(time.Duration)) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		within(s.limits.Body)
		_, _ = io.CopyN(io.Discard, r, maxBody)
	}
}

// reply judges the request, hands it on if it is genuine, and returns the
// answer, which is the same whatever it was.
func (s *Server) reply(q *request, from netip.AddrPort, account *Conn, whole, last bool) string {
	out := answer
	if last {
		out = answerLast
	}
	if nonce, ok := strings.CutPrefix(q.path, checkPath); ok {
		if proof, ours := s.prove(nonce); ours {
			return out + checkHeader + ": " + proof + "\r\n\r\n"
		}
	}
	out += "\r\n"
	heard, call, ok := s.judge(q, whole, time.Now())
	if ok {
		call.From, call.UserAgent, call.Conn = from, q.userAgent, account
		call.BytesIn, call.BytesOut = q.bytes, len(out)
		heard(call)
	}
	return out
}

// judge counts the request and returns the token's handler if it is genuine.
func (s *Server) judge(q *request, whole bool, now time.Time) (func(Call), Call, bool) {
	uri, isCall := "", false
	if whole {
		uri, isCall = q.printerURI()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isCall {
		s.counts.NotACall++
		return nil, Call{}, false
	}
	text, under := strings.CutPrefix(q.path, Path)
	by, token, ok := s.openToken(text)
	switch {
	case !under || !ok || uri != q.path:
		s.counts.Forged++
	case now.Sub(token.Sealed) > Validity:
		s.counts.Expired++
	case !s.countPost(text):
		s.counts.Replayed++
	default:
		s.counts.Genuine++
		return by.heard, Call{Token: token, At: now}, true
	}
	return nil, Call{}, false
}

func (s *Server) openToken(text string) (credit, Token, bool) {
	for _, by := range s.runs {
		if token, ok := by.key.Open(text); ok {
			return by, token, true
		}
	}
	return credit{}, Token{}, false
}

// countPost counts one more call for the token and reports whether it is good
// for it. The oldest token is forgotten when there are too many.
func (s *Server) countPost(token string) bool {
	n, known := s.posts[token]
	if n >= MaxPosts {
		return false
	}
	if !known {
		token = strings.Clone(token)
		if len(s.order) < maxTokens {
			s.order = append(s.order, token)
		} else {
			delete(s.posts, s.order[s.oldest])
			s.order[s.oldest] = token
			s.oldest = (s.oldest + 1) % maxTokens
		}
	}
	s.posts[token] = n + 1
	return true
}

// pause waits and reports whether the context still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
