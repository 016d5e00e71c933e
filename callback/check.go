package callback

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	checkPath   = "/ippwatch-check/"
	checkHeader = "Ippwatch-Check"
	checkTime   = 5 * time.Second
)

// ErrNotOurs is returned by Check when another service than this very server
// answers at the advertised address.
var ErrNotOurs = errors.New("what answers there is not this server")

// An Advertised is an address that has been proven to lead to a server of ours.
// Only [Server.Check] makes one, so that no packet can name another host
// (DESIGN.md, rule 3).
type Advertised struct {
	addr netip.AddrPort
}

// AddrPort returns the address; it is not valid in the zero Advertised.
func (a Advertised) AddrPort() netip.AddrPort { return a.addr }

// Check connects to the advertised address, sends a challenge, and wants to see
// two things: its HMAC under a secret that only this server has, and that this
// server's own listener heard the challenge. A service that echoes, and another
// ippwatch, fail. The server must be running.
func (s *Server) Check(ctx context.Context, advertised netip.AddrPort) (Advertised, error) {
	nonce := rand.Text()
	heard := make(chan struct{})
	s.mu.Lock()
	s.pending[nonce] = heard
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.pending, nonce)
		s.mu.Unlock()
	}()

	proof, err := challenge(ctx, advertised, nonce)
	if err != nil {
		return Advertised{}, fmt.Errorf("check the call-back address %s: %w", advertised, err)
	}
	select {
	case <-heard:
	default:
		return Advertised{}, fmt.Errorf("check the call-back address %s: %w", advertised, ErrNotOurs)
	}
	if !hmac.Equal([]byte(proof), []byte(s.proof(nonce))) {
		return Advertised{}, fmt.Errorf("check the call-back address %s: %w", advertised, ErrNotOurs)
	}
	return Advertised{advertised}, nil
}

// challenge asks for the nonce at the address and returns the proof in the
// answer, "" if there is none.
func challenge(ctx context.Context, addr netip.AddrPort, nonce string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", addr.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", checkPath, nonce, addr); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(io.LimitReader(conn, 1<<10))
	for n := 0; lines.Scan() && lines.Text() != ""; n++ {
		if n == 0 && !strings.HasPrefix(lines.Text(), "HTTP/1.1 404 ") {
			return "", nil
		}
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.EqualFold(name, checkHeader) {
			return strings.TrimSpace(value), nil
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return "", err
	}
	return "", nil
}

// prove returns the proof for a challenge that a Check of this server is
// waiting for; others get none.
func (s *Server) prove(nonce string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard, ok := s.pending[nonce]
	if !ok {
		return "", false
	}
	select {
	case <-heard: // the same challenge again
	default:
		close(heard)
	}
	return s.proof(nonce), true
}

func (s *Server) proof(nonce string) string {
	h := hmac.New(sha256.New, s.secret[:])
	h.Write([]byte(nonce))
	return hex.EncodeToString(h.Sum(nil))
}
