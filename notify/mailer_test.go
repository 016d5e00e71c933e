package notify_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"ippwatch/notify"
)

// mails returns a sealed mail to each address.
func mails(t *testing.T, to ...string) []notify.Mail {
	t.Helper()
	var all []notify.Mail
	for _, a := range to {
		m := message()
		m.Key, m.To = "first/"+a, a
		sealed, err := writer(t).Seal(m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sealed)
	}
	return all
}

// outcomes sends the mails and returns a line for each: what became of it, where, and the code.
func outcomes(ctx context.Context, m *notify.Mailer, all []notify.Mail) []string {
	var lines []string
	for o := range m.Send(ctx, slices.Values(all)) {
		line := fmt.Sprintf("%s at %s", o.Result, o.Stage)
		if o.Code != 0 {
			line += fmt.Sprintf(" %d", o.Code)
		}
		if o.Ours {
			line += ", ours"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestSend(t *testing.T) {
	three := []string{"a@example.net", "b@example.net", "c@example.net"}
	gone := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	tests := []struct {
		name  string
		mode  notify.TLSMode
		edit  func(o *office, s *smtp.Server)
		tune  func(m *notify.Mailer)
		to    []string
		want  []string
		taken []string // recipients whose mail arrived
	}{
		{
			name: "STARTTLS and a login", mode: notify.StartTLS, to: three,
			tune: func(m *notify.Mailer) { m.User, m.Password = officeUser, officePassword },
			want: []string{"accepted at body 250", "accepted at body 250", "accepted at body 250"}, taken: three,
		},
		{
			name: "TLS from the first byte", mode: notify.ImplicitTLS, to: three[:1],
			tune: func(m *notify.Mailer) { m.User, m.Password = officeUser, officePassword },
			want: []string{"accepted at body 250"}, taken: three[:1],
		},
		{
			name: "no TLS, as the operator says", mode: notify.NoTLS, to: three[:1],
			want: []string{"accepted at body 250"}, taken: three[:1],
		},
		{
			name: "one recipient of three is unknown", mode: notify.StartTLS, to: three,
			edit: func(o *office, _ *smtp.Server) { o.refuse[three[1]] = gone },
			want: []string{"accepted at body 250", "refused at rcpt 550", "accepted at body 250"}, taken: []string{three[0], three[2]},
		},
		{
			name: "one recipient is greylisted", mode: notify.StartTLS, to: three,
			edit: func(o *office, _ *smtp.Server) {
				o.refuse[three[0]] = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted, come back later"}
			},
			want: []string{"later at rcpt 451", "accepted at body 250", "accepted at body 250"}, taken: three[1:],
		},
		{
			name: "the server does not relay for us: no recipient is to blame", mode: notify.StartTLS, to: three[:1],
			edit: func(o *office, _ *smtp.Server) {
				o.refuse[three[0]] = &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Relay access denied"}
			},
			want: []string{"later at rcpt 554, ours"},
		},
		{
			name: "our sender is refused: no recipient is to blame", mode: notify.StartTLS, to: three[:2],
			edit: func(o *office, _ *smtp.Server) { o.sender = &smtp.SMTPError{Code: 553, Message: "not your domain"} },
			want: []string{"later at mail 553, ours", "later at mail 553, ours"},
		},
		{
			name: "the content is refused", mode: notify.StartTLS, to: three[:1],
			edit: func(o *office, _ *smtp.Server) { o.body = &smtp.SMTPError{Code: 554, Message: "looks like spam"} },
			want: []string{"refused at body 554"},
		},
		{
			name: "the disk of the server is full", mode: notify.StartTLS, to: three[:1],
			edit: func(o *office, _ *smtp.Server) { o.body = &smtp.SMTPError{Code: 452, Message: "insufficient storage"} },
			want: []string{"later at body 452"},
		},
		{
			name: "no STARTTLS on offer: nothing is sent", mode: notify.StartTLS, to: three,
			edit: func(_ *office, s *smtp.Server) { s.TLSConfig = nil },
			want: []string{"later at tls, ours", "later at tls, ours", "later at tls, ours"},
		},
		{
			name: "a certificate of somebody else", mode: notify.StartTLS, to: three[:1],
			tune: func(m *notify.Mailer) { m.TLSConfig.RootCAs = x509.NewCertPool() },
			want: []string{"later at tls, ours"},
		},
		{
			name: "a certificate of somebody else, from the first byte", mode: notify.ImplicitTLS, to: three[:1],
			tune: func(m *notify.Mailer) { m.TLSConfig = nil },
			want: []string{"later at tls, ours"},
		},
		{
			name: "a wrong password", mode: notify.StartTLS, to: three[:1],
			tune: func(m *notify.Mailer) { m.User, m.Password = officeUser, "sesame" },
			want: []string{"later at auth 535, ours"},
		},
		{
			name: "nobody listens", mode: notify.StartTLS, to: three,
			tune: func(m *notify.Mailer) { m.Port = 1 },
			want: []string{"later at connect, ours", "later at connect, ours", "later at connect, ours"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, tt.mode == notify.ImplicitTLS, tt.edit)
			m := o.mailer(tt.mode)
			if tt.tune != nil {
				tt.tune(m)
			}
			if diff := cmp.Diff(tt.want, outcomes(t.Context(), m, mails(t, tt.to...))); diff != "" {
				t.Errorf("Send: -want +got\n%s", diff)
			}
			var taken []string
			for _, r := range o.all() {
				taken = append(taken, r.to)
			}
			if diff := cmp.Diff(tt.taken, taken); diff != "" {
				t.Errorf("arrived: -want +got\n%s", diff)
			}
		})
	}
}

func TestSendUsesOneConnection(t *testing.T) {
	o := openOffice(t, false, nil)
	m := o.mailer(notify.StartTLS)
	m.User, m.Password = officeUser, officePassword
	var to []string
	for i := range 40 {
		to = append(to, fmt.Sprintf("r%d@example.net", i))
	}
	all := mails(t, to...)
	outcomes(t.Context(), m, all)
	if sessions, logins := o.counts(); len(o.all()) != 40 || sessions != 1 || logins != 1 {
		t.Errorf("%d mails over %d connections with %d logins, want 40, 1 and 1", len(o.all()), sessions, logins)
	}
	for i, r := range o.all() {
		if r.from != all[i].ReturnPath {
			t.Errorf("return path of %s = %s, want %s", r.to, r.from, all[i].ReturnPath)
		}
	}
}

// TestSendWhenTheServerHangsUp: at whichever command the connection breaks, the
// outcome says whether the mail may be sent again.
func TestSendWhenTheServerHangsUp(t *testing.T) {
	tests := []struct {
		at   string
		mode notify.TLSMode
		want string
	}{
		{"greeting", notify.StartTLS, "later at connect, ours"},
		{"EHLO", notify.StartTLS, "later at connect, ours"},
		{"STARTTLS", notify.StartTLS, "later at tls, ours"},
		{"AUTH", notify.NoTLS, "later at auth, ours"},
		{"MAIL", notify.NoTLS, "later at mail, ours"},
		{"RCPT", notify.NoTLS, "later at rcpt, ours"},
		{"DATA", notify.NoTLS, "later at data, ours"},
		{"\r\n.\r\n", notify.NoTLS, "unsure at body"},
		{"QUIT", notify.NoTLS, "accepted at body 250"},
	}
	for _, tt := range tests {
		for _, how := range []string{"hangs up", "falls silent"} {
			t.Run(fmt.Sprintf("%s at %q", how, strings.TrimSpace(tt.at)), func(t *testing.T) {
				t.Parallel()
				var got []string
				// On a busy machine the time may be over before the server falls silent:
				// then all is done again with more.
				for timeout := 300 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
					var silent atomic.Bool
					o := openOffice(t, false, func(o *office, s *smtp.Server) {
						s.AllowInsecureAuth = true
						if o.drop = tt.at; how == "falls silent" {
							o.drop, o.stall, o.hush = "", tt.at, func() { silent.Store(true) }
						}
					})
					m := o.mailer(tt.mode)
					m.User, m.Password = officeUser, officePassword
					if how == "falls silent" {
						m.Timeout = timeout
					}
					got = outcomes(t.Context(), m, mails(t, "a@example.net"))
					if how != "falls silent" || silent.Load() {
						break
					}
				}
				if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
					t.Errorf("Send: -want +got\n%s", diff)
				}
			})
		}
	}
}

// TestSendAfterAnIdleConnection: a server that hangs up between two mails has
// not seen the second, so it is asked again at once.
func TestSendAfterAnIdleConnection(t *testing.T) {
	o := openOffice(t, false, nil)
	m := o.mailer(notify.StartTLS)
	all := mails(t, "a@example.net", "b@example.net")
	var got []notify.Result
	for out := range m.Send(t.Context(), slices.Values(all)) {
		got = append(got, out.Result)
		o.tire()
	}
	if diff := cmp.Diff([]notify.Result{notify.Accepted, notify.Accepted}, got); diff != "" {
		t.Errorf("Send: -want +got\n%s", diff)
	}
	if sessions, _ := o.counts(); sessions != 2 {
		t.Errorf("%d connections, want 2", sessions)
	}
}

func TestSendStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := openOffice(t, false, func(o *office, _ *smtp.Server) { o.stall, o.hush = "STARTTLS", cancel })
	m := o.mailer(notify.StartTLS)
	m.Timeout = 10 * time.Minute
	began := time.Now()
	got := outcomes(ctx, m, mails(t, "a@example.net", "b@example.net"))
	if diff := cmp.Diff([]string{"later at tls, ours", "later at connect, ours"}, got); diff != "" {
		t.Errorf("Send: -want +got\n%s", diff)
	}
	if took := time.Since(began); took > m.Timeout/2 {
		t.Errorf("stopping took %s", took)
	}
}

// TestSendToAServerThatTalksWithoutEnd: what it says is not kept.
func TestSendToAServerThatTalksWithoutEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					if _, err := c.Write([]byte(strings.Repeat("220-\x1b[2Jhello\r\n", 1000))); err != nil {
						return
					}
				}
			}()
		}
	}()
	m := &notify.Mailer{Host: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port), TLS: notify.StartTLS, Hello: "x.example", Timeout: time.Minute}
	for o := range m.Send(t.Context(), slices.Values(mails(t, "a@example.net"))) {
		if o.Result != notify.Later || !o.Ours || len(o.Said) > 1000 || strings.Contains(o.Said, "\x1b") {
			t.Errorf("Send = %+v", o)
		}
	}
}

func TestTry(t *testing.T) {
	o := openOffice(t, false, nil)
	m := o.mailer(notify.StartTLS)
	if err := m.Try(t.Context()); err != nil {
		t.Errorf("Try = %v", err)
	}
	m.User, m.Password = officeUser, "sesame"
	if err := m.Try(t.Context()); err == nil || !strings.Contains(err.Error(), "auth") {
		t.Errorf("Try with a wrong password = %v", err)
	}
	if len(o.all()) != 0 {
		t.Error("Try sent something")
	}
}

// TestConfigOpen goes the way of the operator: files, a server, a mail that a
// stranger can verify.
func TestConfigOpen(t *testing.T) {
	for _, kind := range []string{"rsa", "ed25519", "rsa, as openssl wrote it"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			file := func(name, text string) string {
				name = filepath.Join(dir, name)
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return name
			}
			o := openOffice(t, false, nil)
			c := notify.MailConfig{
				Host: "127.0.0.1", Port: uint16(o.addr.Port), CAFile: o.caFile,
				UserFile: file("user", officeUser+"\n"), PasswordFile: file("password", officePassword+"\n"),
				From: "CERT Example <cert@example.org>", Domain: "notify.example.org", SecretFile: file("secret", strings.Repeat("k", 32)),
				DKIM:        &notify.DKIMConfig{Selector: "ippwatch", KeyFile: file("dkim.pem", privateKey(t, kind))},
				Unsubscribe: notify.UnsubscribeConfig{URL: "https://ippwatch.example.org/unsubscribe"},
			}
			w, m, err := c.Open(func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := w.Seal(message())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"accepted at body 250"}, outcomes(t.Context(), m, []notify.Mail{sealed})); diff != "" {
				t.Fatalf("Send: -want +got\n%s", diff)
			}
			verify(t, m.Signer, o.all()[0].body)
		})
	}
}

// verify checks the signature against the record that the signer would publish.
func verify(t *testing.T, s *notify.Signer, body []byte) {
	t.Helper()
	name, record, err := s.Record()
	if err != nil {
		t.Fatal(err)
	}
	check := func(body string) error {
		found, err := dkim.VerifyWithOptions(strings.NewReader(body), &dkim.VerifyOptions{LookupTXT: func(domain string) ([]string, error) {
			if domain != name {
				return nil, fmt.Errorf("asked for %s, not %s", domain, name)
			}
			return []string{record}, nil
		}})
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return fmt.Errorf("%d signatures", len(found))
		}
		for _, header := range []string{"From", "Subject", "List-Unsubscribe", "List-Unsubscribe-Post", "Message-ID"} {
			if !slices.Contains(found[0].HeaderKeys, header) {
				return fmt.Errorf("%s is not signed", header)
			}
		}
		return found[0].Err
	}
	text := string(body)
	if err := check(text); err != nil {
		t.Errorf("our own signature: %v", err)
	}
	for what, forged := range map[string]string{
		"another body":     strings.Replace(text, "cupsctl", "rm -rf /", 1),
		"another opt-out":  strings.Replace(text, "https://ippwatch.example.org/", "https://evil.example/", 1),
		"a second subject": "Subject: you have won\r\n" + text,
		"a second sender":  "From: ceo@example.org\r\n" + text,
	} {
		if forged == text {
			t.Errorf("%s: nothing was forged", what)
		}
		if check(forged) == nil {
			t.Errorf("%s verifies", what)
		}
	}
}

func privateKey(t *testing.T, kind string) string {
	t.Helper()
	if kind == "rsa, as openssl wrote it" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	}
	key, err := notify.NewKey(notify.KeyKind(kind))
	if err != nil {
		t.Fatal(err)
	}
	return string(key)
}

func TestConfigRefuses(t *testing.T) {
	good := notify.MailConfig{
		Host: "mail.example.org", From: "cert@example.org", Domain: "example.org", SecretFile: "secret",
		Unsubscribe: notify.UnsubscribeConfig{Mailto: "unsubscribe@example.org"},
	}
	if err := good.Check(); err != nil {
		t.Fatalf("Check(good) = %v", err)
	}
	tests := []struct {
		name string
		edit func(c *notify.MailConfig)
		want string
	}{
		{"no host", func(c *notify.MailConfig) { c.Host = "" }, `host: "": want the name of the mail server that takes our mail`},
		{"a line break in the host", func(c *notify.MailConfig) { c.Host = "a\r\nb" }, `host: "a\r\nb": want the name of the mail server that takes our mail`},
		{"an invented mode", func(c *notify.MailConfig) { c.TLS = "maybe" }, `tls: "maybe": want starttls, implicit or none`},
		{"two senders", func(c *notify.MailConfig) { c.From = "a@example.org, b@example.org" }, `from: "a@example.org, b@example.org": want one mail address, such as noc@example.net`},
		{"a signature of another domain", func(c *notify.MailConfig) {
			c.DKIM = &notify.DKIMConfig{Domain: "example.com", Selector: "s", KeyFile: "k"}
		}, `dkim.domain: "example.com" signs for others than from: its domain is example.org`},
		{"an opt-out without TLS", func(c *notify.MailConfig) { c.Unsubscribe.URL = "http://example.org/" }, `unsubscribe.url: "http://example.org/": want https://host/path`},
		{"no opt-out", func(c *notify.MailConfig) { c.Unsubscribe = notify.UnsubscribeConfig{} }, `unsubscribe: missing: whoever is written to can opt out, want url or mailto or both`},
	}
	for _, tt := range tests {
		c := good
		tt.edit(&c)
		if err := c.Check(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Check = %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestSecretsAreNotForOthers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(strings.Repeat("k", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	c := notify.MailConfig{
		Host: "mail.example.org", From: "cert@example.org", Domain: "example.org", SecretFile: name,
		Unsubscribe: notify.UnsubscribeConfig{Mailto: "unsubscribe@example.org"},
	}
	if _, _, err := c.Open(os.Getenv); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("Open = %v, want a word about the file's mode", err)
	}
	if err := os.WriteFile(name, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Open(os.Getenv); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("Open = %v, want a word about the length", err)
	}
}
