package outreach

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/store"
)

// states are the messages of the outbox: "to state", in the order of addresses.
func (w *town) states(t testing.TB) []string {
	t.Helper()
	var all []string
	for m, err := range w.store.Messages(t.Context(), w.office.View, store.MessageFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.To.Address+" "+string(m.State))
	}
	slices.Sort(all)
	return all
}

func (w *town) message(t testing.TB, to string) store.Message {
	t.Helper()
	for m, err := range w.store.Messages(t.Context(), w.office.View, store.MessageFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.To.Address == to {
			return m
		}
	}
	t.Fatalf("no message to %s", to)
	return store.Message{}
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestOneOfManyIsRefused(t *testing.T) {
	s := openServer(t)
	s.behave(func(m *manner) {
		m.refuse["noc@north.example"] = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	})
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.200", "open-ipp"))
	if sum := w.send(t); sum.Sent != 1 || sum.Failed != 1 {
		t.Errorf("%+v", sum)
	}
	same(t, "first run", w.states(t), []string{"it@south.example sent", "noc@north.example failed"})
	if states, _ := w.contacts(t); states["192.0.2.1"] != exposure.Undeliverable || states["192.0.2.200"] != exposure.Notified {
		t.Errorf("%v", states)
	}
	w = w.reopen(t)
	w.send(t)
	same(t, "second run", w.states(t), []string{"abuse@north.example sent", "it@south.example sent", "noc@north.example failed"})
	if states, _ := w.contacts(t); states["192.0.2.1"] != exposure.Notified {
		t.Errorf("%v", states)
	}
}

func TestGreylisted(t *testing.T) {
	s := openServer(t)
	s.behave(func(m *manner) {
		m.refuse["it@south.example"] = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted, come back"}
	})
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.200", "open-ipp"))
	w.send(t)
	m := w.message(t, "it@south.example")
	if m.State != store.MessageDeferred || !m.Next.Equal(noon.Add(15*time.Minute)) {
		t.Fatalf("%s, next %s", m.State, m.Next)
	}
	w.now = noon.Add(5 * time.Minute)
	if sum := w.send(t); sum.Sent+sum.Deferred != 0 {
		t.Errorf("tried before its time: %+v", sum)
	}
	s.behave(func(m *manner) { delete(m.refuse, "it@south.example") })
	w.now = noon.Add(16 * time.Minute)
	first, err := w.store.Content(t.Context(), w.office.View, m.ID)
	if err != nil || len(first) == 0 {
		t.Fatal(err)
	}
	w.send(t)
	has := s.accepted()
	if has.got["it@south.example"] != 1 || !bytes.Equal(bytes.ReplaceAll(has.bodies[0], []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(first, []byte("\r\n"), []byte("\n"))) {
		t.Errorf("%d mails; the second attempt sends other bytes than the first", has.got["it@south.example"])
	}
}

func TestGivenUp(t *testing.T) {
	s := openServer(t)
	s.behave(func(m *manner) {
		m.refuse["noc@north.example"] = &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "mailbox full"}
	})
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"))
	for range 60 {
		w.send(t)
		w.now = w.now.Add(4 * time.Hour)
		w = w.reopen(t)
		if s.accepted().got["abuse@north.example"] > 0 {
			break
		}
	}
	same(t, "in the end", w.states(t), []string{"abuse@north.example sent", "noc@north.example failed"})
	if m := w.message(t, "noc@north.example"); !strings.HasPrefix(m.Reason, "given up after 5d: rcpt: 452 4.2.2 mailbox full") {
		t.Errorf("%s", m.Reason)
	}
}

func TestServerDown(t *testing.T) {
	w := openTown(t, filepath.Join(t.TempDir(), "data"), &net.TCPAddr{Port: 1}, noon) // nobody listens
	w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.200", "open-ipp"))
	sum := w.send(t)
	if sum.Sent != 0 || sum.Stopped == "" {
		t.Errorf("%+v", sum)
	}
	same(t, "all stays planned", w.states(t), []string{"it@south.example planned", "noc@north.example planned"})
	s := openServer(t)
	w.office.Mailer.Port = uint16(s.addr.Port)
	w.now = noon.Add(30 * 24 * time.Hour) // a month without a server is nobody else's fault
	w.send(t)
	same(t, "and goes when the server is back", w.states(t), []string{"it@south.example sent", "noc@north.example sent"})
}

func TestNobodyKnowsWhetherItArrived(t *testing.T) {
	s := openServer(t)
	s.behave(func(m *manner) { m.mute = true })
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.200", "open-ipp"))
	w.send(t)
	same(t, "the connection broke", w.states(t), []string{"it@south.example uncertain"})
	s.behave(func(m *manner) { m.mute = false })
	w.now = noon.Add(48 * time.Hour)
	w = w.reopen(t)
	w.send(t)
	if n := s.accepted().got["it@south.example"]; n != 1 {
		t.Fatalf("told %d times", n)
	}
	if states, _ := w.contacts(t); states["192.0.2.200"] != exposure.Notified {
		t.Errorf("%v", states)
	}
	m := w.message(t, "it@south.example")
	if err := w.office.Retry(t.Context(), Person{Who: "j.doe"}, m.ID); err != nil {
		t.Fatal(err)
	}
	w.send(t)
	if has := s.accepted(); len(has.ids) != 1 || has.got["it@south.example"] != 2 {
		t.Errorf("a person sent it again: %v %v, want twice under one Message-ID", has.ids, has.got)
	}
}

func TestOutOfDate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(e *exposure.Exposure)
		want   string
	}{
		{"it was fixed", func(e *exposure.Exposure) { e.Condition = exposure.Fixed }, "fixed"},
		{"the risk was accepted", func(e *exposure.Exposure) { e.Ruling = exposure.Accepted }, "accepted risk"},
		{"the device moved", func(e *exposure.Exposure) { e.MovedTo = netip.MustParseAddr("192.0.2.201") }, "moved"},
		{"the next cycle began", func(e *exposure.Exposure) { e.Cycle = 2 }, "confirmed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openServer(t)
			w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
			w.office.Rules.Limits.Messages = 1
			e := hole("192.0.2.200", "open-ipp")
			w.keep(t, e, hole("192.0.2.1", "open-ipp"))
			if sum := w.send(t); sum.Held != 2 || !strings.HasPrefix(sum.Approval, "2 messages, and the limit is 1") {
				t.Fatalf("%+v", sum)
			}
			c.change(&e)
			w.keep(t, e)
			if _, err := w.office.Approve(t.Context(), Person{Who: "j.doe"}, nil); err != nil {
				t.Fatal(err)
			}
			w.send(t)
			m := w.message(t, "noc@north.example")
			if m.State != store.MessageSent {
				t.Errorf("the other is %s: %s", m.State, m.Reason)
			}
			found := false
			for m, err := range w.store.Messages(t.Context(), w.office.View, store.MessageFilter{States: []store.MessageState{store.MessageCancelled}}) {
				found = err == nil && m.Reason == stale+"case "+e.Case()+" is "+c.want
			}
			if !found {
				t.Errorf("%q", w.states(t))
			}
		})
	}
}

func TestHoldStopsARunningRound(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.200", "open-ipp"))
	w.office.step = func(name string) {
		if name == "settled" { // of the first message
			if err := w.store.HoldOutbox(context.Background(), store.OutboxHold{Who: "j.doe", Reason: "complaint", At: noon}); err != nil {
				t.Error(err)
			}
		}
	}
	sum := w.send(t)
	if sum.Sent != 1 || sum.Stopped != "j.doe holds everything: complaint" {
		t.Errorf("%+v", sum)
	}
	w.office.step = nil
	if sum := w.send(t); sum.Sent != 0 {
		t.Errorf("on hold, and sends: %+v", sum)
	}
	if _, err := w.store.ReleaseOutbox(t.Context(), "", "j.doe", noon); err != nil {
		t.Fatal(err)
	}
	if sum := w.send(t); sum.Sent != 1 || sum.Planned != 0 {
		t.Errorf("released: %+v", sum)
	}
}

func TestOneAtATime(t *testing.T) {
	w := openTown(t, filepath.Join(t.TempDir(), "data"), &net.TCPAddr{Port: 1}, noon)
	unlock, err := w.store.Lock(LockName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.office.Send(t.Context()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("two at once: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

// last is the header of what the server has last.
func (o *server) last(t *testing.T) mail.Header {
	t.Helper()
	bodies := o.accepted().bodies
	m, err := mail.ReadMessage(bytes.NewReader(bodies[len(bodies)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

func drop(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new", name), []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReplies(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"))
	w.send(t)
	m := w.message(t, "noc@north.example")
	box := t.TempDir()
	drop(t, box, "1.bounce", `From: MAILER-DAEMON@mail.north.example
To: <`+m.Envelope+`>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

No such user.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.north.example

Final-Recipient: rfc822; noc@north.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
`)
	got, err := w.office.ReadReplies(t.Context(), box)
	if err != nil || len(got) != 1 || got[0].Kind != notify.HardBounce || got[0].About != m.ID {
		t.Fatalf("%+v, %v", got, err)
	}
	if again, err := w.office.ReadReplies(t.Context(), box); err != nil || len(again) != 0 {
		t.Errorf("read twice: %+v, %v", again, err)
	}
	if states, _ := w.contacts(t); states["192.0.2.1"] != exposure.Undeliverable {
		t.Errorf("%v", states)
	}
	w = w.reopen(t)
	w.send(t)
	same(t, "the next contact", w.states(t), []string{"abuse@north.example sent", "noc@north.example bounced"})

	id := s.last(t).Get("Message-Id")
	drop(t, box, "2.reply", "From: Anna <abuse@north.example>\nTo: csirt@example.org\nSubject: Re: your notice\nIn-Reply-To: "+id+"\n\nThank you, we are looking.\n")
	got, err = w.office.ReadReplies(t.Context(), box)
	if err != nil || len(got) != 1 || got[0].Kind != notify.Answer || got[0].Done != "noted in 1 case" {
		t.Fatalf("%+v, %v", got, err)
	}
	states, steps := w.contacts(t)
	if states["192.0.2.1"] != exposure.Acknowledged || len(steps) != 4 {
		t.Errorf("%v %v", states, steps)
	}
	p, err := w.office.Plan(t.Context())
	if err != nil || len(p.Silences) != 1 || p.Silences[0].Reason != Answered {
		t.Errorf("%+v, %v", p, err)
	}
	abuse := w.message(t, "abuse@north.example")
	drop(t, box, "3.stop", "From: abuse@north.example\nTo: stop+"+w.office.Writer.Secret.Token(notify.ForUnsubscribe, notify.ID(abuse.Mail))+"@example.org\nSubject: unsubscribe\n\n\n")
	if got, err = w.office.ReadReplies(t.Context(), box); err != nil || len(got) != 1 || got[0].Kind != notify.OptOut {
		t.Fatalf("%+v, %v", got, err)
	}
	w = w.reopen(t)
	w.now = noon.Add(30 * 24 * time.Hour)
	w.send(t)
	if got := s.accepted().got; got["abuse@north.example"] != 1 || got["boss@north.example"] != 1 {
		t.Errorf("%v: want the next contact when one opted out", got)
	}
}

func TestALongLadder(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"))
	for range 60 {
		w.send(t)
		w.now = w.now.Add(24 * time.Hour)
	}
	if got := fmt.Sprint(s.accepted().got); got != "map[abuse@north.example:1 boss@north.example:1 noc@north.example:1]" {
		t.Errorf("in two months: %s", got)
	}
	if h := s.last(t); h.Get("In-Reply-To") == "" || !strings.Contains(h.Get("Subject"), "M-") {
		t.Errorf("%v: want it in the thread, with its number", h)
	}
	e := hole("192.0.2.1", "open-ipp")
	e.Cycle, e.Contact = 2, exposure.NotContacted // it was fixed, and is open again
	w.keep(t, e)
	w.send(t)
	if got := s.accepted().got; got["noc@north.example"] != 2 {
		t.Errorf("the next cycle: %v", got)
	}
}

// TestMovedCaseWasToldOnce holds that a device that moves takes with it what was
// sent about it.
func TestMovedCaseWasToldOnce(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"))
	w.send(t)
	former, heir := hole("192.0.2.1", "open-ipp"), hole("192.0.2.2", "open-ipp")
	former.MovedTo, former.Contact = heir.Addr, exposure.Notified
	heir.MovedFrom, heir.Contact, heir.Cycle = former.Addr, exposure.Notified, 1
	err := w.store.Apply(t.Context(), []netip.AddrPort{netip.AddrPortFrom(heir.Addr, 631)}, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return []exposure.Exposure{former, heir}, []exposure.Transition{{Key: heir.Key, Axis: exposure.AxisPlace, To: former.Addr.String(), Cycle: 1, Actor: "test", At: noon}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for day := range 60 {
		w.now = noon.Add(time.Duration(day) * 24 * time.Hour)
		w.send(t)
	}
	if got := fmt.Sprint(s.accepted().got); got != "map[abuse@north.example:1 boss@north.example:1 noc@north.example:1]" {
		t.Errorf("in two months: %s", got)
	}
}

func TestWebhook(t *testing.T) {
	var bodies []string
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		if !notify.Verify([]byte(strings.Repeat("s", 40)), b.Bytes(), r.Header.Get(notify.SignatureHeader), noon) {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		bodies = append(bodies, b.String())
		if len(bodies) == 1 {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer hook.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	old := townPeople[1].Contacts
	defer func() { townPeople[1].Contacts = old }()
	townPeople[1].Contacts = []exposure.Recipient{{Medium: exposure.ByWebhook, Address: hook.URL, Source: exposure.OwnData}}
	w = w.reopen(t)
	w.office.Rules.Webhooks = []notify.WebhookConfig{{URL: hook.URL, SecretFile: secret}}
	w.office.Pages = pages
	w.keep(t, hole("192.0.2.200", "open-ipp"))
	w.send(t)
	same(t, "first", w.states(t), []string{hook.URL + " deferred"})
	w.now = noon.Add(time.Minute * 3) // the signature is of these minutes
	if err := w.office.Retry(t.Context(), Person{Who: "j.doe"}, w.message(t, hook.URL).ID); err != nil {
		t.Fatal(err)
	}
	w.send(t)
	same(t, "second", w.states(t), []string{hook.URL + " sent"})
	var a, b notify.Event
	if len(bodies) != 2 || json.Unmarshal([]byte(bodies[0]), &a) != nil || json.Unmarshal([]byte(bodies[1]), &b) != nil || a.ID != b.ID || b.Recipient != "south" || len(b.Cases) != 1 {
		t.Errorf("%q", bodies)
	}
	// Whichever of the two the receiver keeps, its link opens the page.
	for _, e := range []notify.Event{a, b} {
		_, token, _ := strings.Cut(e.Page, pages.URL+PagePath)
		if got := w.held(t, token); !slices.Equal(got, []string{"192.0.2.200"}) {
			t.Errorf("the page %s shows %q", e.Page, got)
		}
	}
}

func TestLinesComeOnce(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.200", "open-ipp"))
	w.send(t)
	path := filepath.Join(t.TempDir(), "lines.ndjson")
	if n, err := w.office.Lines(t.Context(), path); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if n, err := w.office.Lines(t.Context(), path); err != nil || n != 0 {
		t.Error(n, err)
	}
	// Killed behind the write and before the place was written down, in the middle
	// of a line.
	if err := w.store.SetCursor(t.Context(), "lines "+path, 0); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := w.office.Lines(t.Context(), path); err != nil || n != 1 {
		t.Error(n, err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(again, whole) {
		t.Errorf("got\n%swant\n%s", again, whole)
	}
}

// TestOurMistakeLosesNoContact breaks the texts: who was not told for that is
// told when they are mended, and no other contact was asked meanwhile.
func TestOurMistakeLosesNoContact(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.200", "open-ipp"))
	whole := w.office.Texts
	w.office.Texts = func(string) (Texts, string, error) { return nil, "", errors.New("templates: de/first.txt: line 3") }
	sum := w.send(t)
	if sum.Failed != 0 || sum.Deferred != 2 || !strings.Contains(sum.Stopped, "de/first.txt: line 3") {
		t.Errorf("%+v", sum)
	}
	same(t, "with a mistake", w.states(t), []string{"it@south.example planned", "noc@north.example planned"})
	if states, _ := w.contacts(t); states["192.0.2.1"] != exposure.NotContacted {
		t.Errorf("%v", states)
	}
	w.office.Texts = whole
	w.now = noon.Add(time.Hour)
	w.send(t)
	same(t, "mended", w.states(t), []string{"it@south.example sent", "noc@north.example sent"})
}

// TestSlowServer hangs before the dot, where nothing was sent yet, and behind
// it, where nobody knows.
func TestSlowServer(t *testing.T) {
	for _, c := range []struct {
		name, at, want string
		mails          int // in the end
	}{
		{"greeting", "", "planned", 1},
		{"recipient", "RCPT", "planned", 1},
		{"data", "DATA", "planned", 1},
		{"behind the dot", ".", "uncertain", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// On a busy machine the time may be over before the server hangs: then
			// all is done again with more.
			var w *town
			for timeout := 100 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
				slow := openSlow(t, c.at)
				w = openTown(t, filepath.Join(t.TempDir(), "data"), slow.addr, noon)
				w.office.Mailer.Timeout = timeout
				w.keep(t, hole("192.0.2.200", "open-ipp"))
				w.send(t)
				if slow.hangs.Load() {
					break
				}
			}
			same(t, "slow", w.states(t), []string{"it@south.example " + c.want})
			s := openServer(t)
			w.office.Mailer.Port, w.office.Mailer.Timeout = uint16(s.addr.Port), time.Minute
			w.now = noon.Add(time.Hour)
			w.send(t)
			if n := s.accepted().got["it@south.example"]; n != c.mails {
				t.Errorf("sent %d times by a server that is not, want %d", n, c.mails)
			}
		})
	}
}

// A slow server says nothing more from some moment on.
type slow struct {
	addr  *net.TCPAddr
	hangs atomic.Bool // that moment has come
}

// openSlow is a mail server that says nothing more once a line begins with the
// word; without one it does not even greet.
func openSlow(t *testing.T, word string) *slow {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{addr: l.Addr().(*net.TCPAddr)}
	var all sync.WaitGroup
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		lines := bufio.NewScanner(c)
		if word == "" {
			s.hangs.Store(true)
		} else {
			fmt.Fprint(c, "220 slow\r\n")
		}
		body := false
		for lines.Scan() {
			line := lines.Text()
			switch {
			case word == "", line == word, word != "." && strings.HasPrefix(line, word):
				s.hangs.Store(true)
				for lines.Scan() { // until they hang up
				}
			case body:
				body = line != "."
			case line == "DATA":
				body = true
				fmt.Fprint(c, "354 go on\r\n")
			default:
				fmt.Fprint(c, "250 OK\r\n")
			}
		}
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return s
}

// TestFullDiskAtEveryStep fills the disk at each step of a run and frees it
// behind it, and asks the mail server as if the run had been killed.
func TestFullDiskAtEveryStep(t *testing.T) {
	if testing.Short() {
		t.Skip("runs some fifty times")
	}
	if os.Geteuid() != 0 {
		t.Skip("a small disk of its own needs root")
	}
	felt := 0
	for full, last := 1, false; !last; full++ {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", dir).CombinedOutput(); err != nil {
				t.Skipf("no small disk here: %v: %s", err, out)
			}
			t.Cleanup(func() {
				if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
					t.Errorf("umount: %v: %s", err, out)
				}
			})
			s := openServer(t)
			w := openTown(t, dir, s.addr, noon)
			w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.2", "open-ipp"), hole("192.0.2.200", "open-ipp"))
			filler, n := filepath.Join(dir, "filler"), 0
			w.office.step = func(string) {
				if n++; n == full {
					fill(t, filler)
				}
			}
			_, err := w.office.Send(t.Context()) // it may fail, at whatever it was writing
			if last = n < full; last {
				if err != nil || n < 15 {
					t.Errorf("with space all the time: %d steps, %v", n, err)
				}
				return
			}
			if err != nil {
				felt++
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if err := w.store.Check(t.Context()); err != nil {
				t.Error(err)
			}
			w.now = noon.Add(time.Hour) // what failed on our side waits a while
			whole(t, w, s)
		})
		if t.Failed() {
			return
		}
	}
	if felt == 0 {
		t.Error("no run failed on a full disk: it was not full")
	}
}

// fill writes until nothing more fits.
func fill(t *testing.T, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRepliesBrokenOff ends the reading of an answer at each of its steps: the
// next reading does the rest, and nothing twice.
func TestRepliesBrokenOff(t *testing.T) {
	for _, step := range []string{"received", "reply noted", "tracked"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := openServer(t)
			w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
			w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.2", "open-ipp"))
			w.send(t)
			box := t.TempDir()
			drop(t, box, "1.reply", "From: Anna <noc@north.example>\nTo: csirt@example.org\nSubject: Re: your notice\nIn-Reply-To: "+s.last(t).Get("Message-Id")+"\n\nThank you.\n")
			w.office.step = func(name string) {
				if name == step {
					panic(step) // nothing behind it is done
				}
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("it came to its end")
					}
				}()
				_, _ = w.office.ReadReplies(t.Context(), box)
			}()
			w = w.reopen(t)
			if _, err := w.office.ReadReplies(t.Context(), box); err != nil {
				t.Fatal(err)
			}
			states, steps := w.contacts(t)
			for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
				if states[addr] != exposure.Acknowledged {
					t.Errorf("%s is %s, want acknowledged", addr, states[addr])
				}
			}
			for step, n := range steps {
				if n != 1 {
					t.Errorf("%q was taken %d times", step, n)
				}
			}
		})
	}
}
