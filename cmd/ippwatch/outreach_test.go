package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
)

// A post is the mail server of one script.
type post struct {
	dir string

	mu     sync.Mutex
	refuse map[string]int
	from   map[string]string // the return path, by recipient
}

// mailOffice starts a mail server on loopback with STARTTLS and writes mail.yaml,
// which speaks of it; what it takes is in mails/ADDRESS.eml. With "refuse ADDR
// CODE" it refuses a recipient from then on, with CODE 0 no longer.
func mailOffice(ts *testscript.TestScript, _ bool, args []string) {
	p := openPost(ts)
	if len(args) == 3 && args[0] == "refuse" {
		code, err := strconv.Atoi(args[2])
		ts.Check(err)
		p.mu.Lock()
		p.refuse[args[1]] = code
		p.mu.Unlock()
	}
}

// posts are those of all scripts that run, by their directory: a script cannot
// set a value after its beginning.
var posts sync.Map

func openPost(ts *testscript.TestScript) *post {
	dir := ts.MkAbs(".")
	if known, ok := posts.Load(dir); ok {
		return known.(*post)
	}
	p, end, err := startPost(dir)
	ts.Check(err)
	posts.Store(dir, p)
	ts.Defer(func() { end(); posts.Delete(dir) })
	return p
}

// startPost starts a mail server that keeps what it takes in the directory, and
// writes mail.yaml there.
func startPost(dir string) (_ *post, end func(), err error) {
	p := &post{dir: dir, refuse: make(map[string]int), from: make(map[string]string)}
	cert, ca, err := certificate()
	if err != nil {
		return nil, nil, err
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &clerk{p: p}, nil }))
	s.Domain, s.MaxMessageBytes, s.ErrorLog = "mail.example.org", 20<<20, log.New(io.Discard, "", 0)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // ends with Close
	text := fmt.Sprintf(`host: 127.0.0.1
port: %d
ca_file: ca.pem
from: Example CSIRT <csirt@example.org>
domain: notify.example.org
secret_file: mail.secret
unsubscribe:
  mailto: stop@notify.example.org
`, l.Addr().(*net.TCPAddr).Port)
	err = errors.Join(os.MkdirAll(filepath.Join(dir, "mails"), 0o700),
		os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, "mail.secret"), []byte(strings.Repeat("nobody guesses this", 3)), 0o600),
		os.WriteFile(filepath.Join(dir, "mail.yaml"), []byte(text), 0o600))
	return p, func() { _ = s.Close(); _ = l.Close(); <-done }, err
}

// certificate makes a CA and a certificate of it for 127.0.0.1.
func certificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// A clerk is one session of a post.
type clerk struct {
	p        *post
	from, to string
}

func (c *clerk) Mail(from string, _ *smtp.MailOptions) error { c.from = from; return nil }

func (c *clerk) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if code := c.p.refuse[to]; code != 0 {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not today"}
	}
	c.to = to
	return nil
}

var errTwice = errors.New("that mail came before")

func (c *clerk) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	name := filepath.Join(c.p.dir, "mails", c.to+".eml")
	if _, err := os.Stat(name); err == nil {
		return errTwice
	}
	c.p.from[c.to] = c.from
	return os.WriteFile(name, bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), 0o600)
}

func (c *clerk) Reset()        { c.from, c.to = "", "" }
func (c *clerk) Logout() error { return nil }

// bounce puts a mail into the Maildir "back": RETURN stands for the return path
// of what was sent to the address, ID for its Message-ID.
func bounce(ts *testscript.TestScript, _ bool, args []string) {
	p := openPost(ts)
	sent, err := mail.ReadMessage(strings.NewReader(ts.ReadFile(filepath.Join("mails", args[0]+".eml"))))
	ts.Check(err)
	p.mu.Lock()
	from := p.from[args[0]]
	p.mu.Unlock()
	text := strings.NewReplacer("RETURN", from, "ID", sent.Header.Get("Message-Id")).Replace(ts.ReadFile(args[1]))
	ts.Check(os.MkdirAll(ts.MkAbs("back/new"), 0o700))
	ts.Check(os.WriteFile(ts.MkAbs("back/new/"+filepath.Base(args[1])), []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600))
}

// lastMessage sets $MESSAGE.
func lastMessage(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("ippwatch", "notify", "outbox", "--state", args[0], "--limit", "1", "--format", "csv"))
	_, line, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	id, _, _ := strings.Cut(line, ",")
	ts.Setenv("MESSAGE", id)
}
