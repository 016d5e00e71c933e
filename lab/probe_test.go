package lab_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/callback"
	"ippwatch/exposure"
	"ippwatch/lab"
	"ippwatch/probe"
	"ippwatch/rule"
)

const legacy = "BrowseRemoteProtocols dnssd cups\n"

// reflects are the findings of a host that calls back.
var reflects = []string{"cups-browsed-callback", "reflector"}

// TestProbeOfRealDaemons asks cups-browsed as a scan does, in each configuration
// of facts/cups.md, section 1.2, and judges what comes back.
func TestProbeOfRealDaemons(t *testing.T) {
	t.Parallel()
	const drop = "table inet filter { chain in { type filter hook input priority filter; udp dport 631 drop; }; }\n"
	const deny = "table inet filter { chain in { type filter hook input priority filter; udp dport 631 reject with icmpx admin-prohibited; }; }\n"
	const mute = "table inet filter { chain out { type filter hook output priority filter; oifname eth0 tcp flags syn reject with tcp reset; }; }\n"
	tests := []struct {
		name    string
		conf    string // "" for as shipped
		avahi   bool
		filter  string
		verdict exposure.Verdict
		posts   int
		queues  int // left behind
		rules   []string
		cleared rule.Answer // of cups-browsed-callback
	}{
		{"as shipped", "", false, "", exposure.Closed, 0, 0, []string{}, rule.Yes},
		{"as shipped, with Avahi", "", true, "", exposure.Closed, 0, 0, []string{}, rule.Yes},
		{"legacy browsing", legacy, false, "", exposure.CalledBack, 3, 1, reflects, rule.No},
		{"legacy browsing, with Avahi", legacy, true, "", exposure.CalledBack, 6, 0, reflects, rule.No},
		{"allowed from elsewhere", legacy + "BrowseAllow 203.0.113.0/24\n", false, "", exposure.NoCallback, 0, 0, []string{}, rule.CannotTell},
		{"denied from everywhere", legacy + "BrowseDeny all\n", false, "", exposure.NoCallback, 0, 0, []string{}, rule.CannotTell},
		{"no queues for remote printers", legacy + "CreateRemoteCUPSPrinterQueues No\n", false, "", exposure.NoCallback, 0, 0, []string{}, rule.CannotTell},
		{"dropped by a packet filter", legacy, false, drop, exposure.NoCallback, 0, 0, []string{}, rule.CannotTell},
		{"denied by a packet filter", legacy, false, deny, exposure.Unreachable, 0, 0, []string{}, rule.CannotTell},
		{"calls that a packet filter keeps in", legacy, false, mute, exposure.NoCallback, 0, 1, []string{}, rule.CannotTell},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "desktop")
			if tt.avahi {
				h.Avahi()
			}
			c := h.CUPS(0)
			if tt.filter != "" {
				h.NFT(tt.filter)
			}
			conf := tt.conf
			if conf == "" {
				conf = h.AsShipped()
			}
			c.Browsed(conf)
			cfg := probe.BrowseConfig{}
			if tt.avahi {
				cfg.Grace = 10 * time.Second // the second burst comes after a second
			}
			o := newStation(t).scan(h.Port4(631), cfg)
			if o.Verdict != tt.verdict {
				t.Errorf("verdict %s (%s), want %s", o.Verdict, o.Reason, tt.verdict)
			}
			if got := posts(o); got != tt.posts {
				t.Errorf("%d POSTs, want %d", got, tt.posts)
			}
			judged(t, o, tt.rules, tt.cleared)
			// The queue comes up to a second later.
			await(t, fmt.Sprintf("%d queues", tt.queues), func() bool { return len(c.Queues()) == tt.queues })
			if o.Callback == nil {
				return
			}
			if o.Callback.From != h.Addr4 {
				t.Errorf("the call is from %s, want %s", o.Callback.From, h.Addr4)
			}
			// What the owner is told to remove is what is there.
			if tt.queues == 1 {
				c.Remove(o.Callback.Queue)
				if left := c.Queues(); len(left) > 0 {
					t.Errorf("after lpadmin -x %s there is %q, want nothing", o.Callback.Queue, left)
				}
			}
		})
	}
}

func TestProbeOverIPv6IsNotApplicable(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "desktop")
	h.CUPS(0).Browsed(legacy)
	o := newStation(t).scan(h.Port6(631), probe.BrowseConfig{})
	if o.Verdict != exposure.NotApplicable {
		t.Errorf("verdict %s (%s), want %s", o.Verdict, o.Reason, exposure.NotApplicable)
	}
	judged(t, o, []string{}, rule.CannotTell)
}

func TestProbeCreditsCallFromBehindNAT(t *testing.T) {
	t.Parallel()
	router := lab.NewHost(t, "router")
	h := router.Behind("inner")
	h.CUPS(0).Browsed(legacy)
	router.Masquerade()
	o := newStation(t).scan(h.Port4(631), probe.BrowseConfig{})
	if o.Verdict != exposure.CalledBack || o.Addr != h.Addr4 || o.Callback.From != router.Addr4 {
		t.Errorf("%s: %s, called by %+v, want %s, %s, called by %s", o.Addr, o.Verdict, o.Callback, h.Addr4, exposure.CalledBack, router.Addr4)
	}
	judged(t, o, reflects, rule.No)
}

// TestProbeAgainAfterFix verifies with the second text, as verify does.
func TestProbeAgainAfterFix(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		conf    string // "" for as shipped
		verdict exposure.Verdict
		rules   []string
		cleared rule.Answer
	}{
		{"legacy browsing is switched off", "", exposure.Closed, []string{}, rule.Yes},
		{"others are allowed", legacy + "BrowseAllow 203.0.113.0/24\n", exposure.NoCallback, []string{}, rule.CannotTell},
		{"nothing was done", legacy, exposure.CalledBack, reflects, rule.No},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "desktop")
			c := h.CUPS(0)
			b := c.Browsed(legacy)
			s := newStation(t)
			o := s.scan(h.Port4(631), probe.BrowseConfig{})
			judged(t, o, reflects, rule.No)

			b.Stop()
			conf := tt.conf
			if conf == "" {
				conf = h.AsShipped()
			}
			c.Browsed(conf)
			o = s.scan(h.Port4(631), probe.BrowseConfig{Source: exposure.Verification, Verify: true})
			if o.Verdict != tt.verdict {
				t.Errorf("verdict %s (%s), want %s", o.Verdict, o.Reason, tt.verdict)
			}
			judged(t, o, tt.rules, tt.cleared)
		})
	}
}

// TestThirtyScansLeaveOneQueue is DESIGN.md, rule 6, on a host without D-Bus.
func TestThirtyScansLeaveOneQueue(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "minimal")
	c := h.CUPS(0)
	c.Browsed(legacy)
	s := newStation(t)
	s.enough = 3
	var last exposure.Observation
	for day := range 30 {
		last = s.scan(h.Port4(631), probe.BrowseConfig{Grace: probe.DefaultGrace})
		if last.Verdict != exposure.CalledBack {
			t.Fatalf("day %d: verdict %s (%s), want %s", day, last.Verdict, last.Reason, exposure.CalledBack)
		}
		await(t, "the queue", func() bool { return len(c.Queues()) > 0 })
	}
	if got, want := c.Queues(), []string{last.Callback.Queue}; !slices.Equal(got, want) {
		t.Errorf("thirty scans left %q, want %q", got, want)
	}
}

// TestLeftOverQueueDoesNotHideHost is the other half of rule 6: after a restart
// of cups-browsed the first text is swallowed, and a host that once called is
// asked with the second.
func TestLeftOverQueueDoesNotHideHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		again   bool
		verdict exposure.Verdict
		attempt int
	}{
		{"one text does not see it", false, exposure.NoCallback, 0},
		{"the second text does", true, exposure.CalledBack, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "minimal")
			c := h.CUPS(0)
			b := c.Browsed(legacy)
			s := newStation(t)
			first := s.scan(h.Port4(631), probe.BrowseConfig{})
			judged(t, first, reflects, rule.No)
			await(t, "the queue", func() bool { return len(c.Queues()) == 1 })
			b.Kill()
			c.Browsed(legacy)

			o := s.scan(h.Port4(631), probe.BrowseConfig{Again: func(a netip.Addr) bool { return tt.again && a == first.Addr }})
			if o.Verdict != tt.verdict || o.Attempt != tt.attempt {
				t.Errorf("verdict %s of attempt %d, want %s of attempt %d", o.Verdict, o.Attempt, tt.verdict, tt.attempt)
			}
			// What was swallowed is swallowed once: the next scan needs no second text.
			o = s.scan(h.Port4(631), probe.BrowseConfig{})
			if o.Verdict != exposure.CalledBack {
				t.Errorf("the next day: verdict %s, want %s", o.Verdict, exposure.CalledBack)
			}
		})
	}
}

// A station is a scanner: a call-back server, and the scans that it was used for.
type station struct {
	t      *testing.T
	server *callback.Server
	runs   int
	enough int // calls after which a scan is stopped; 0 to wait for its end
}

func newStation(t *testing.T) *station {
	t.Helper()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(lab.Here4, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	s := &station{t: t, server: callback.New(ln, callback.Limits{})}
	s.start(s.server.Run)
	return s
}

// start runs f until the test ends.
func (s *station) start(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// scan asks one target and returns the observation of it.
func (s *station) scan(target netip.AddrPort, cfg probe.BrowseConfig) (got exposure.Observation) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	s.runs++
	cfg.Run = fmt.Sprintf("%s-%d", s.t.Name(), s.runs)
	key, err := callback.NewKey(cfg.Run, callback.NewSecret())
	if err != nil {
		s.t.Fatal(err)
	}
	if cfg.Address, err = s.server.Check(ctx, s.server.Addr()); err != nil {
		s.t.Fatal(err)
	}
	udp, err := probe.OpenUDP(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer udp.Close()
	if cfg.Source == "" {
		cfg.Source = exposure.Scan
	}
	if cfg.Grace == 0 {
		cfg.Grace = 5 * time.Second // the call takes two milliseconds here, and on a busy machine three seconds
	}
	cfg.Vantage, cfg.Contact = "lab", "lab@example.net"
	cfg.Key, cfg.Sender, cfg.Pacer, cfg.Gate = key, udp, probe.PerSecond(1000), anywhere{}
	cfg.Observe = func(o exposure.Observation) { got = o }
	cfg.Late = func(o exposure.Observation) { s.t.Logf("late: %+v", o.Callback) }
	cfg.Skipped = func(target netip.AddrPort, err error) { s.t.Errorf("%s was skipped: %v", target, err) }
	b, err := probe.NewBrowse(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.Credit(key, b.Heard)
	before := s.server.Counts().Genuine
	stop := s.start(b.Run)
	if _, err := b.Batch(ctx, []netip.AddrPort{target}); err != nil {
		s.t.Fatal(err)
	}
	if s.enough > 0 {
		await(s.t, "the calls", func() bool { return s.server.Counts().Genuine >= before+uint64(s.enough) })
	} else if err := b.Drain(ctx); err != nil {
		s.t.Fatal(err)
	}
	stop()
	return got
}

func posts(o exposure.Observation) int {
	if o.Callback == nil {
		return 0
	}
	return o.Callback.Posts
}

// judged compares what the rules find, and whether the finding of a call-back is
// cleared.
func judged(t *testing.T, o exposure.Observation, want []string, cleared rule.Answer) {
	t.Helper()
	got := []string{}
	for _, f := range rule.Judge(&o) {
		got = append(got, f.Rule)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	r, ok := rule.ByID("cups-browsed-callback")
	if !ok {
		t.Fatal("no rule cups-browsed-callback")
	}
	if got, why := r.Cleared(&o); got != cleared {
		t.Errorf("cleared: %s (%s), want %s", got, why, cleared)
	}
}
