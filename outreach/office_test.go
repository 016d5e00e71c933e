package outreach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/people"
	"ippwatch/store"
	"ippwatch/track"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // a Thursday

// A server is a real mail server on loopback that counts what it accepts.
type server struct {
	addr *net.TCPAddr

	mu sync.Mutex // its sessions outlive what the client sees of them
	post
	manner
}

// A post is what a server accepted.
type post struct {
	got    map[string]int // mails by recipient
	ids    map[string]int // mails by Message-ID
	bodies [][]byte
}

// A manner is how a server answers.
type manner struct {
	refuse map[string]*smtp.SMTPError // at RCPT
	body   *smtp.SMTPError            // behind the dot
	mute   bool                       // accepts, and dies before it says so
}

// accepted is what the server has accepted until now.
func (o *server) accepted() post {
	o.mu.Lock()
	defer o.mu.Unlock()
	return post{got: maps.Clone(o.got), ids: maps.Clone(o.ids), bodies: slices.Clone(o.bodies)}
}

// behave changes how the server answers from now on.
func (o *server) behave(change func(m *manner)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.manner)
}

func openServer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &server{
		addr:   l.Addr().(*net.TCPAddr),
		post:   post{got: make(map[string]int), ids: make(map[string]int)},
		manner: manner{refuse: make(map[string]*smtp.SMTPError)},
	}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{o: o, conn: c}, nil }))
	s.Domain, s.MaxMessageBytes, s.ErrorLog = "mail.example.org", 20<<20, log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()          // ends with Close
	t.Cleanup(func() { _ = s.Close(); _ = l.Close(); <-done }) // l too: Serve may not have begun
	return o
}

type session struct {
	o    *server
	conn *smtp.Conn
	to   string
}

func (d *session) Mail(string, *smtp.MailOptions) error { return nil }
func (d *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	if err := d.o.refuse[to]; err != nil {
		return err
	}
	d.to = to
	return nil
}

func (d *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err // there was no dot
	}
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	if d.o.body != nil {
		return d.o.body
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return err
	}
	d.o.got[d.to]++
	d.o.ids[m.Header.Get("Message-Id")]++
	d.o.bodies = append(d.o.bodies, b)
	if d.o.mute {
		return d.conn.Conn().Close()
	}
	return nil
}

func (d *session) Reset()        {}
func (d *session) Logout() error { return nil }

// A town is a data directory with cases and people, and the office in it.
type town struct {
	dir    string
	store  *store.Store
	office *Office
	now    time.Time
	token  string // of a link
}

var townPeople = []exposure.Constituent{
	{
		Name: "north", Title: "North Networks", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}, Language: "de",
		Contacts: []exposure.Recipient{
			{Role: "technical", Medium: exposure.ByMail, Address: "noc@north.example", Source: exposure.OwnData},
			{Role: "abuse", Medium: exposure.ByMail, Address: "abuse@north.example", Source: exposure.OwnData},
			{Role: "management", Medium: exposure.ByMail, Address: "boss@north.example", Source: exposure.OwnData},
		},
	},
	{
		Name: "south", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")},
		Contacts: []exposure.Recipient{{Medium: exposure.ByMail, Address: "it@south.example", Source: exposure.OwnData}},
	},
	{
		Name: "cert", Title: "CERT Example", Countries: []string{"DE"},
		Contacts: []exposure.Recipient{{Role: "cert", Medium: exposure.ByMail, Address: "cert@example.org", Source: exposure.OwnData}},
	},
}

func openTown(t testing.TB, dir string, s *net.TCPAddr, now time.Time) *town {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return furnish(t, dir, st, s, now)
}

// texts are read once: they try themselves, which takes a while.
var texts = sync.OnceValues(func() (*advisory.Texts, error) { return advisory.Parse(nil) })

type fataler interface{ Fatal(...any) }

func furnish(t fataler, dir string, st *store.Store, s *net.TCPAddr, now time.Time) *town {
	rules := DefaultRules()
	rules.Rules = []Rule{{Name: "all"}}
	rules.Sender = advisory.Sender{Organisation: "Example CSIRT", Contact: "csirt@example.org"}
	secret, err := notify.NewSecret([]byte(strings.Repeat("secret", 10)))
	if err != nil {
		t.Fatal(err)
	}
	w := &town{dir: dir, store: st, now: now}
	registry := people.NewRegistry(st)
	view := access.View{Who: "test", Tier: access.Operator}
	statuses, err := registry.Statuses(context.Background(), view)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]exposure.Constituent, len(townPeople))
	for i, c := range townPeople {
		c.Contacts = slices.Clone(c.Contacts)
		for j := range c.Contacts {
			for _, one := range statuses {
				r := &c.Contacts[j]
				r.OptOut = r.OptOut || one.Contact == r.Key() && one.Status == store.OptOut
				r.Invalid = r.Invalid || one.Contact == r.Key() && one.Status == store.Invalid
			}
		}
		list[i] = c
	}
	texts, err := texts()
	if err != nil {
		t.Fatal(err)
	}
	w.office = &Office{
		Store: st, Tracker: track.New(st, nobody{}), Rules: &rules, View: view, Now: func() time.Time { return w.now },
		Directory: people.NewDirectory(list), Statuses: statuses,
		Texts:  func(string) (Texts, string, error) { return texts, "test", nil },
		Writer: &notify.Writer{From: mail.Address{Name: "Example CSIRT", Address: "csirt@example.org"}, Domain: "example.org", Secret: secret, UnsubscribeMailto: "stop@example.org"},
		Mark: func(ctx context.Context, address, status, reason, source string) error {
			return registry.Mark(ctx, people.Hand{View: view, Who: "outreach", At: w.now}, address, status, reason, source)
		},
	}
	if s != nil {
		w.office.Mailer = &notify.Mailer{Host: "127.0.0.1", Port: uint16(s.Port), TLS: notify.NoTLS, Hello: "example.org", Timeout: time.Minute}
	}
	return w
}

type nobody struct{}

func (nobody) Cleared(string, *exposure.Observation) (bool, string) { return false, "" }

// reopen is the town as the next command finds it.
func (w *town) reopen(t testing.TB) *town {
	t.Helper()
	next := furnish(t, w.dir, w.store, &net.TCPAddr{Port: int(w.office.Mailer.Port)}, w.now)
	next.office.Rules = w.office.Rules
	return next
}

func hole(addr, rule string) exposure.Exposure {
	return exposure.Exposure{
		Key:      exposure.Key{Addr: netip.MustParseAddr(addr), Transport: exposure.TCP, Port: 631, Rule: rule},
		Severity: exposure.High, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
		FirstSeen: noon.Add(-48 * time.Hour), LastSeen: noon.Add(-time.Hour), TimesSeen: 2, Evidence: "TCP port 631 answered a stranger",
		Where: exposure.Where{Country: "DE", ASN: 64500},
	}
}

// keep puts cases into the store as they are.
func (w *town) keep(t fataler, list ...exposure.Exposure) {
	for part := range slices.Chunk(list, 500) {
		doors := make([]netip.AddrPort, len(part))
		for i, e := range part {
			doors[i] = netip.AddrPortFrom(e.Addr, e.Port)
		}
		err := w.store.Apply(context.Background(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
			return part, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (w *town) send(t testing.TB) Summary {
	t.Helper()
	w.office.customers = nil
	sum, err := w.office.Send(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// contacts are the contact states of all cases, and how often each took a step.
func (w *town) contacts(t testing.TB) (states map[string]exposure.Contact, steps map[string]int) {
	t.Helper()
	states, steps = make(map[string]exposure.Contact), make(map[string]int)
	for e, err := range w.store.Exposures(context.Background(), w.office.View, store.Filter{Moved: true}) {
		if err != nil {
			t.Fatal(err)
		}
		states[e.Addr.String()] = e.Contact
	}
	for x, err := range w.store.Transitions(context.Background(), w.office.View, store.Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Axis == exposure.AxisContact {
			steps[x.Addr.String()+" "+x.Evidence]++
		}
	}
	return states, steps
}

// The environment that turns the test binary into another process that sends.
const (
	envDir  = "IPPWATCH_OUTREACH_TEST_DIR"
	envPort = "IPPWATCH_OUTREACH_TEST_PORT"
	envStep = "IPPWATCH_OUTREACH_TEST_STEP"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDir) == "" {
		os.Exit(m.Run())
	}
	child()
}

// child sends, and kills itself at the nth step.
func child() {
	var port, die int
	_, _ = fmt.Sscan(os.Getenv(envPort), &port)
	_, _ = fmt.Sscan(os.Getenv(envStep), &die)
	var f childFatal
	st, err := store.Open(context.Background(), os.Getenv(envDir))
	if err != nil {
		f.Fatal(err)
	}
	w := furnish(f, os.Getenv(envDir), st, &net.TCPAddr{Port: port}, noon)
	n := 0
	w.office.step = func(name string) {
		if n++; n == die {
			fmt.Println(name)
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill() // as the power goes: nothing is closed
			select {}
		}
	}
	sum, err := w.office.Send(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(sum)
	os.Exit(0)
}

type childFatal struct{}

func (childFatal) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

// TestKilledAtEveryStep kills a run at each of its steps, lets the next run end,
// and asks the mail server: nothing came twice, nothing was forgotten, and the
// cases tell what happened.
func TestKilledAtEveryStep(t *testing.T) {
	if testing.Short() {
		t.Skip("re-executes itself some fifty times")
	}
	for die := 1; ; die++ {
		s := openServer(t)
		dir := filepath.Join(t.TempDir(), "data")
		w := openTown(t, dir, s.addr, noon)
		w.keep(t, hole("192.0.2.1", "open-ipp"), hole("192.0.2.2", "open-ipp"), hole("192.0.2.200", "open-ipp"))
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), envDir+"="+dir, fmt.Sprintf("%s=%d", envPort, s.addr.Port), fmt.Sprintf("%s=%d", envStep, die))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, t.Output()
		err := cmd.Run()
		step := strings.TrimSpace(out.String())
		if err == nil {
			if die < 15 {
				t.Fatalf("it ended after %d steps: %s", die, step)
			}
			t.Logf("a run has %d steps", die-1)
			return
		}
		t.Run(fmt.Sprintf("%d %s", die, step), func(t *testing.T) { whole(t, w, s) })
	}
}

// whole lets the next runs end and looks at everything.
func whole(t *testing.T, w *town, s *server) {
	first := w.reopen(t).send(t)
	second := w.reopen(t).send(t)
	if second.Planned+second.Sent+second.Uncertain > 0 {
		t.Errorf("a third run does something: %+v", second)
	}
	got := s.accepted().got
	states, steps := w.contacts(t)
	uncertain := make(map[string]bool)
	for m, err := range w.store.Messages(t.Context(), w.office.View, store.MessageFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch m.State {
		case store.MessageUncertain:
			uncertain[m.To.Address] = true
		case store.MessageSent:
			if n := got[m.To.Address]; n != 1 {
				t.Errorf("%s was sent %s and the server has it %d times", m.ID, m.To.Address, n)
			}
		default:
			t.Errorf("%s to %s is %s at the end", m.ID, m.To.Address, m.State)
		}
	}
	for _, to := range []string{"noc@north.example", "it@south.example"} {
		switch n := got[to]; {
		case n > 1:
			t.Errorf("%s was told %d times", to, n)
		case n == 0 && !uncertain[to]:
			t.Errorf("%s was forgotten: %+v", to, first)
		}
	}
	if len(uncertain) > 1 {
		t.Errorf("one crash left %d messages uncertain", len(uncertain))
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.200"} {
		if states[addr] != exposure.Notified {
			t.Errorf("%s is %s, want notified", addr, states[addr])
		}
	}
	if len(steps) != 3 {
		t.Errorf("%d different steps, want one for each case: %v", len(steps), steps)
	}
	for step, n := range steps {
		if n != 1 {
			t.Errorf("%q was taken %d times", step, n)
		}
	}
}
