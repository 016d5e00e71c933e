package notify_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/notify"
)

// eximConf takes mail for two domains: uni.example has one mailbox and one whose
// delivery fails for good, notify.example.org is where bounces come back.
const eximConf = `
spool_directory = %[1]s/spool
log_file_path = %[1]s/log-%%slog
pid_file_path = %[1]s/pid
primary_hostname = mail.example.net
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = rcpt
keep_environment =
begin acl
rcpt:
  warn control = dkim_disable_verify
  deny message = TLS first
       condition = ${if def:tls_in_cipher {no}{yes}}
  accept domains = uni.example
         local_parts = noc : full
  accept domains = notify.example.org
  deny message = no such person here
begin routers
bounces:
  driver = accept
  domains = notify.example.org
  transport = bounces
full:
  driver = redirect
  local_parts = full
  allow_fail
  data = :fail: this mailbox was closed
noc:
  driver = accept
  local_parts = noc
  transport = noc
begin transports
bounces:
  driver = appendfile
  maildir_format
  directory = %[1]s/bounces
  create_directory
  user = Debian-exim
noc:
  driver = appendfile
  maildir_format
  directory = %[1]s/noc
  create_directory
  user = Debian-exim
begin retry
* * F,1m,1s
`

// TestExim goes the whole way with a real mail server: a mail arrives as it was
// signed, an unknown recipient is refused, and a failed delivery comes back as
// a bounce that names the message it is about.
func TestExim(t *testing.T) {
	skip := t.Skip
	if os.Getenv("IPPWATCH_LAB") == "require" {
		skip = t.Fatal
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		skip("Exim takes a configuration of ours as root on Linux only")
	}
	exim, err := exec.LookPath("exim4")
	if err != nil {
		skip("no Exim here: apt-get install exim4-daemon-light")
	}
	o := &office{}
	key := ecKey(t)
	cert := o.certificate(t, key)
	// It works as a user of its own, whom a directory of the test keeps out.
	dir, err := os.MkdirTemp("/var/tmp", "ippwatch-exim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o.addr = startExim(t, exim, dir, cert.Certificate[0], key)

	w, m := writer(t), o.mailer(notify.StartTLS)
	if m.Signer, err = notify.NewSigner("example.org", "ippwatch", []byte(privateKey(t, "rsa"))); err != nil {
		t.Fatal(err)
	}
	var all []notify.Mail
	for _, to := range []string{"noc@uni.example", "nobody-here@uni.example", "full@uni.example"} {
		message := message()
		message.Key, message.To = to, to
		sealed, err := w.Seal(message)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sealed)
	}
	want := []string{"accepted at body 250", "refused at rcpt 550", "accepted at body 250"}
	if got := outcomes(t.Context(), m, all); !slices.Equal(got, want) {
		t.Fatalf("Send = %q, want %q", got, want)
	}
	arrived := awaitMail(t, filepath.Join(dir, "noc"))
	_, signed, _ := bytes.Cut(arrived, []byte("DKIM-Signature:"))
	verify(t, m.Signer, bytes.ReplaceAll(append([]byte("DKIM-Signature:"), signed...), []byte("\n"), []byte("\r\n")))

	awaitMail(t, filepath.Join(dir, "bounces"))
	for r, err := range notify.ReadReplies(filepath.Join(dir, "bounces"), w.Secret, func(string) bool { return false }) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != notify.HardBounce || r.Message != all[2].ID || !strings.HasPrefix(r.Status, "5.") {
			t.Errorf("what came back is %+v, want a hard bounce of %s", r, all[2].ID)
		}
	}
}

// startExim starts the server with a spool of its own on a socket that we
// listen at already: no port is let go of that another could take.
func startExim(t *testing.T, exim, dir string, cert []byte, key any) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // Exim has its own
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "exim.conf")
	for name, text := range map[string][]byte{
		filepath.Join(dir, "cert.pem"): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		filepath.Join(dir, "key.pem"):  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		conf:                           fmt.Appendf(nil, eximConf, dir),
	} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), exim, "-C", conf, "-bw") //nolint:gosec // a test; -bw is for inetd, and stays in the foreground
	cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log-*"))
			for _, name := range logs {
				text, _ := os.ReadFile(name)
				t.Logf("%s\n%s", name, text)
			}
			t.Logf("Exim said:\n%s", said.String())
		}
	})
	return l.Addr().(*net.TCPAddr)
}

// await polls up to a deadline, as one waits for a real program.
func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for began := time.Now(); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// awaitMail returns the first mail that arrives in the Maildir.
func awaitMail(t *testing.T, maildir string) []byte {
	t.Helper()
	var files []string
	await(t, "a mail in "+filepath.Base(maildir), func() bool {
		files, _ = filepath.Glob(filepath.Join(maildir, "new", "*"))
		return len(files) > 0
	})
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "\n\n") {
		t.Fatalf("no mail: %q", b)
	}
	return b
}
