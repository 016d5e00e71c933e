package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// A Mailer hands mail to a server that delivers it.
type Mailer struct {
	Host           string
	Port           uint16
	TLS            TLSMode
	TLSConfig      *tls.Config   // nil: the system's roots
	User, Password string        // empty: no login
	Timeout        time.Duration // of one step; zero: a minute
	Hello          string        // who we say we are
	Signer         *Signer       // nil: mail is not signed
	// Begin is told of each mail right before the dot that ends it: from there on
	// only the server knows whether it arrived. An error ends the connection
	// instead, and the server forgets the mail. It may be nil.
	Begin func(ID) error
}

// tries is how often in a row a connection may fail before the rest of the mail
// is left for another time.
const tries = 2

// A failure is an error of one step of the conversation.
type failure struct {
	stage string
	ours  bool // of our side, whatever the mail
	err   error
}

func (f *failure) Error() string { return f.stage + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// reply is what the server answered, if it did.
func (f *failure) reply() (code int, said string, ok bool) {
	e, ok := errors.AsType[*textproto.Error](f.err)
	if !ok {
		return 0, plain(f.err.Error(), saidLimit), false
	}
	return e.Code, plain(e.Msg, saidLimit), true
}

// outcome is what the failure means for the mail that was being sent.
func (f *failure) outcome(id ID) Outcome {
	code, said, answered := f.reply()
	o := Outcome{ID: id, Result: Later, Stage: f.stage, Code: code, Said: said, Ours: f.ours}
	switch {
	case f.ours:
	case answered && code >= 500:
		o.Result = Refused
	case !answered && f.stage == stageBody:
		// The last dot was sent and nobody said whether it arrived.
		o.Result = Unsure
	}
	return o
}

// Stages of the conversation.
const (
	stageSign    = "sign"
	stageConnect = "connect"
	stageTLS     = "tls"
	stageAuth    = "auth"
	stageMail    = "mail"
	stageRcpt    = "rcpt"
	stageData    = "data"
	stageBody    = "body"
)

// Send hands the mails over one connection, one after another, and yields what
// became of each before it takes the next: the caller writes that down, so that
// a crash finds one mail at most of which it does not know.
func (m *Mailer) Send(ctx context.Context, mails iter.Seq[Mail]) iter.Seq[Outcome] {
	return func(yield func(Outcome) bool) {
		var s *session
		defer func() { s.quit() }()
		failed := 0 // connections in a row
		var last *failure
		for mail := range mails {
			var o Outcome
			switch {
			case ctx.Err() != nil:
				o = Outcome{ID: mail.ID, Result: Later, Stage: stageConnect, Said: "we were stopped before it was tried", Ours: true}
			case failed >= tries:
				o = last.outcome(mail.ID)
				o.Result, o.Ours = Later, true
				o.Said = plain("not tried, as those before it failed: "+o.Said, saidLimit)
			default:
				var f *failure
				s, f = m.deliver(ctx, s, mail)
				o = Outcome{ID: mail.ID, Result: Accepted, Stage: stageBody, Code: 250}
				if f != nil {
					o = f.outcome(mail.ID)
				} else {
					o.Said = s.said
				}
				if f != nil && s == nil {
					failed, last = failed+1, f
				} else {
					failed = 0
				}
			}
			if !yield(o) {
				return
			}
		}
	}
}

// Try connects, encrypts and logs in, and sends nothing.
func (m *Mailer) Try(ctx context.Context) error {
	s, f := m.dial(ctx)
	if f != nil {
		return fmt.Errorf("mail server %s: %w", m.address(), f)
	}
	s.quit()
	return nil
}

// deliver sends one mail over the session, or over a new one, and returns the
// session that may be used again.
func (m *Mailer) deliver(ctx context.Context, s *session, mail Mail) (*session, *failure) {
	body := mail.Bytes
	if m.Signer != nil {
		var err error
		if body, err = m.Signer.Sign(body); err != nil {
			return s, &failure{stageSign, true, err}
		}
	}
	fresh := s == nil
	for {
		if s == nil {
			var f *failure
			if s, f = m.dial(ctx); f != nil {
				return nil, f
			}
		}
		f := s.transact(mail, body, m.Begin)
		if f == nil {
			return s, nil
		}
		code, _, answered := f.reply()
		if answered && code != 421 { // RFC 5321, section 3.8: it closes the channel
			if s.reset() {
				return s, f
			}
			return nil, f
		}
		s.close()
		s = nil
		// A server that has waited long enough between two mails hangs up:
		// nothing was sent yet, so it is safe to ask again.
		if f.stage != stageMail || fresh || ctx.Err() != nil {
			return nil, f
		}
		fresh = true
	}
}

func (m *Mailer) timeout() time.Duration { return cmp.Or(m.Timeout, time.Minute) }

func (m *Mailer) address() string { return net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))) }

// A session is a connection on which we are logged in.
type session struct {
	client  *smtp.Client
	conn    *frugal
	timeout time.Duration
	forget  func() bool // ends the watch on the context
	said    string      // on the last mail
}

// dial connects, encrypts and logs in. Whatever fails here is on our side: it
// says nothing of a recipient.
func (m *Mailer) dial(ctx context.Context) (*session, *failure) {
	dialing, cancel := context.WithTimeout(ctx, m.timeout())
	defer cancel()
	raw, err := new(net.Dialer).DialContext(dialing, "tcp", m.address())
	if err != nil {
		return nil, &failure{stageConnect, true, err}
	}
	bounded := &frugal{Conn: raw, left: stepBytes}
	conn := net.Conn(bounded)
	forget := context.AfterFunc(ctx, func() { _ = raw.Close() }) // that is what ends the conversation
	fail := func(stage string, err error) (*session, *failure) {
		forget()
		_ = raw.Close() // the error before it counts
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return nil, &failure{stage, true, err}
	}
	if err := conn.SetDeadline(time.Now().Add(m.timeout())); err != nil {
		return fail(stageConnect, err)
	}
	if m.TLS == ImplicitTLS {
		secured := tls.Client(conn, m.tlsConfig())
		if err := secured.HandshakeContext(dialing); err != nil {
			return fail(stageTLS, err)
		}
		conn = secured
	}
	client, err := smtp.NewClient(conn, m.Host)
	if err != nil {
		return fail(stageConnect, err)
	}
	client.SkipSMTPUTF8(true) // our addresses are of ASCII
	if err := client.Hello(m.Hello); err != nil {
		return fail(stageConnect, err)
	}
	if m.TLS != ImplicitTLS && m.TLS != NoTLS {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return fail(stageTLS, errNoTLS)
		}
		if err := client.StartTLS(m.tlsConfig()); err != nil {
			return fail(stageTLS, err)
		}
	}
	if m.User != "" {
		auth, err := m.auth(client)
		if err != nil {
			return fail(stageAuth, err)
		}
		if err := client.Auth(auth); err != nil {
			return fail(stageAuth, err)
		}
	}
	return &session{client: client, conn: bounded, timeout: m.timeout(), forget: forget}, nil
}

var (
	errNoTLS  = errors.New("the server offers no STARTTLS, and without it nothing is sent")
	errNoAuth = errors.New("the server offers no login that we know")
)

func (m *Mailer) tlsConfig() *tls.Config {
	c := m.TLSConfig.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.ServerName = m.Host
	return c
}

// auth chooses the best login that the server offers. The plain ones refuse to
// work without TLS.
func (m *Mailer) auth(client *smtp.Client) (smtp.Auth, error) {
	_, offered := client.Extension("AUTH")
	words := strings.Fields(strings.ToUpper(offered))
	has := func(mechanism string) bool {
		for _, w := range words {
			if w == mechanism {
				return true
			}
		}
		return false
	}
	state, encrypted := client.TLSConnectionState()
	switch {
	case has("SCRAM-SHA-256-PLUS") && encrypted:
		return smtp.ScramSHA256PlusAuth(m.User, m.Password, &state), nil
	case has("SCRAM-SHA-256"):
		return smtp.ScramSHA256Auth(m.User, m.Password), nil
	case has("PLAIN"):
		return smtp.PlainAuth("", m.User, m.Password, m.Host, false), nil
	case has("LOGIN"):
		return smtp.LoginAuth(m.User, m.Password, m.Host, false), nil
	}
	return nil, fmt.Errorf("%w: %s", errNoAuth, plain(offered, saidLimit))
}

// relaying is how servers say that they do not know us, where they seem to
// speak of a recipient.
var relaying = regexp.MustCompile(`(?i)\brelay`)

// transact sends one mail.
func (s *session) transact(mail Mail, body []byte, begin func(ID) error) *failure {
	step := func(stage string, limit time.Duration, do func() error) *failure {
		s.conn.left = stepBytes
		err := s.client.UpdateDeadline(limit)
		if err == nil {
			err = do()
		}
		if err == nil {
			return nil
		}
		f := &failure{stage: stage, err: err}
		code, said, answered := f.reply()
		switch {
		case stage == stageMail:
			f.ours = true // what is refused here is our sender, not a recipient
		case code == 530 || code == 534 || code == 535 || code == 538: // RFC 4954, section 6
			f.ours = true
		case stage == stageRcpt && answered && relaying.MatchString(said):
			f.ours = true
		case !answered && stage != stageBody:
			f.ours = true
		}
		return f
	}
	if f := step(stageMail, s.timeout, func() error { return s.client.Mail("<" + mail.ReturnPath + ">") }); f != nil {
		return f
	}
	if f := step(stageRcpt, s.timeout, func() error { return s.client.Rcpt("<" + mail.To + ">") }); f != nil {
		return f
	}
	var w io.WriteCloser
	f := step(stageData, s.timeout, func() (err error) {
		if w, err = s.client.Data(); err == nil {
			// Without the last dot nothing is accepted.
			_, err = w.Write(body)
		}
		return err
	})
	if f != nil {
		return f
	}
	if begin != nil {
		if err := begin(mail.ID); err != nil {
			return &failure{stageData, true, err}
		}
	}
	// Behind the dot a server looks for viruses, and takes its time.
	if f := step(stageBody, 5*s.timeout, w.Close); f != nil {
		return f
	}
	s.said = ""
	if d, ok := w.(*smtp.DataCloser); ok {
		s.said = plain(d.ServerResponse(), saidLimit)
	}
	return nil
}

// reset makes the session ready for the next mail and reports whether it is.
func (s *session) reset() bool {
	if s.client.UpdateDeadline(s.timeout) == nil && s.client.Reset() == nil {
		return true
	}
	s.close()
	return false
}

func (s *session) close() {
	s.forget()
	_ = s.client.Close() // the conversation is over either way
}

func (s *session) quit() {
	if s == nil {
		return
	}
	if s.client.UpdateDeadline(min(s.timeout, 5*time.Second)) == nil {
		_ = s.client.Quit() // what was accepted stays so
	}
	s.close()
}

// stepBytes is how much a server may say in one step, and before the first
// mail; an honest one says some 200 bytes, and a kilobyte of extensions.
const stepBytes = 64 << 10

var errTalkative = errors.New("the server talks without end")

// A frugal connection ends when the far end has said too much.
type frugal struct {
	net.Conn
	left int
}

func (f *frugal) Read(b []byte) (int, error) {
	if f.left <= 0 {
		return 0, errTalkative
	}
	n, err := f.Conn.Read(b[:min(len(b), f.left)])
	f.left -= n
	return n, err
}
