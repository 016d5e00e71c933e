package notify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ippwatch/notify"
)

// An office is a real mail server on loopback, with a certificate of a CA of
// its own. It keeps what it accepts and does to each recipient what it is told.
type office struct {
	addr   *net.TCPAddr
	caFile string
	roots  *x509.CertPool

	mu       sync.Mutex
	received []received
	logins   int
	sessions []*moody

	refuse map[string]*smtp.SMTPError // by recipient, at RCPT
	sender *smtp.SMTPError            // at MAIL
	body   *smtp.SMTPError            // behind the dot
	stall  string                     // never answers this command
	drop   string                     // hangs up when it reads this command
	hush   func()                     // told when it does not answer; it may be nil
	quiet  chan struct{}              // closed at the end of the test
}

type received struct {
	from, to string
	body     []byte
}

const (
	officeUser     = "ippwatch"
	officePassword = "let us in"
)

// openOffice starts the server; edit tells it how to behave before it listens.
func openOffice(t *testing.T, implicit bool, edit func(o *office, s *smtp.Server)) *office {
	t.Helper()
	o := &office{refuse: make(map[string]*smtp.SMTPError), quiet: make(chan struct{})}
	cert := o.certificate(t, ecKey(t))
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &desk{o: o}, nil }))
	s.Domain, s.MaxMessageBytes = "mail.example.net", 20<<20
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	s.ErrorLog = log.New(io.Discard, "", 0)
	if edit != nil {
		edit(o, s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().(*net.TCPAddr)
	l = &countingListener{l, o}
	if implicit {
		l = tls.NewListener(l, s.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { close(o.quiet); _ = s.Close(); _ = l.Close(); <-done })
	return o
}

// certificate makes a CA, and a certificate of it for 127.0.0.1 and the key.
func (o *office) certificate(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	caKey := ecKey(t)
	validity := x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SerialNumber: big.NewInt(1)}
	root, leaf := validity, validity
	root.Subject, root.IsCA, root.BasicConstraintsValid, root.KeyUsage = pkix.Name{CommonName: "Test CA"}, true, true, x509.KeyUsageCertSign
	leaf.Subject, leaf.IPAddresses = pkix.Name{CommonName: "mail.example.net"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	sign := func(c *x509.Certificate, public any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, &root, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	der := sign(&root, caKey.Public())
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	o.roots = x509.NewCertPool()
	o.roots.AddCert(ca)
	o.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(o.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{sign(&leaf, key.Public())}, PrivateKey: key}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// mailer returns one that knows the office.
func (o *office) mailer(mode notify.TLSMode) *notify.Mailer {
	return &notify.Mailer{
		Host: "127.0.0.1", Port: uint16(o.addr.Port), TLS: mode, Hello: "ippwatch.example.org", Timeout: time.Minute,
		TLSConfig: &tls.Config{RootCAs: o.roots, MinVersion: tls.VersionTLS12},
	}
}

func (o *office) all() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.received)
}

// counts are how many connections and logins there were.
func (o *office) counts() (sessions, logins int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sessions), o.logins
}

// tire has the office hang up on everybody, as on who says nothing for too
// long, and waits until it has.
func (o *office) tire() {
	o.mu.Lock()
	all := slices.Clone(o.sessions)
	o.mu.Unlock()
	for _, m := range all {
		_ = m.SetReadDeadline(time.Unix(1, 0)) // it may have hung up before
		<-m.gone
	}
}

// fallSilent waits for the end of the test.
func (o *office) fallSilent() {
	if o.hush != nil {
		o.hush()
	}
	<-o.quiet
}

// A desk is one session of the office.
type desk struct {
	o        *office
	from, to string
}

func (d *desk) AuthMechanisms() []string { return []string{sasl.Plain} }

func (d *desk) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != officeUser || password != officePassword {
			return smtp.ErrAuthFailed
		}
		d.o.mu.Lock()
		d.o.logins++
		d.o.mu.Unlock()
		return nil
	}), nil
}

func (d *desk) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	if d.o.sender != nil {
		return d.o.sender
	}
	return nil
}

func (d *desk) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := d.o.refuse[to]; err != nil {
		return err
	}
	d.to = to
	return nil
}

func (d *desk) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if d.o.body != nil {
		return d.o.body
	}
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	d.o.received = append(d.o.received, received{d.from, d.to, b})
	return nil
}

func (d *desk) Reset()        { d.from, d.to = "", "" }
func (d *desk) Logout() error { return nil }

// A countingListener counts the connections and lets the office see what
// comes in, so that it can hang up or fall silent in the middle.
type countingListener struct {
	net.Listener
	o *office
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m := &moody{Conn: c, o: l.o, gone: make(chan struct{})}
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.o.sessions = append(l.o.sessions, m)
	return m, nil
}

// A moody connection hangs up or falls silent at a command.
type moody struct {
	net.Conn
	o    *office
	tail []byte
	once sync.Once
	gone chan struct{} // closed with it
}

func (m *moody) Close() error {
	defer m.once.Do(func() { close(m.gone) })
	return m.Conn.Close()
}

var errHungUp = errors.New("the office hangs up")

func (m *moody) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.tail = append(m.tail[max(0, len(m.tail)-64):], b[:n]...)
	at := func(word string) bool { return word != "" && bytes.Contains(m.tail, []byte(word)) }
	if at(m.o.drop) {
		_ = m.Close()
		return 0, errHungUp
	}
	if at(m.o.stall) {
		m.o.fallSilent()
		return 0, errHungUp
	}
	return n, err
}

func (m *moody) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "220 ") && (m.o.drop == "greeting" || m.o.stall == "greeting") {
		if m.o.stall != "" {
			m.o.fallSilent()
		}
		_ = m.Close()
		return 0, errHungUp
	}
	return m.Conn.Write(b)
}
