package campaign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenPrinting/goipp"

	"ippwatch/callback"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/probe"
	"ippwatch/wire/browse"
)

// A street hears every packet that is sent to its port on any address of
// 127.0.0.0/8, and counts them by the host that the token names.
type street struct {
	port uint16
	key  *callback.Key

	mu      sync.Mutex
	packets map[netip.AddrPort]int
	at      map[netip.AddrPort]time.Time
	// calls says which hosts call back; none if nil.
	calls func(netip.Addr) bool
}

func newStreet(t testing.TB, key *callback.Key, calls func(netip.Addr) bool) *street {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	st := &street{port: conn.LocalAddr().(*net.UDPAddr).AddrPort().Port(), key: key, calls: calls, packets: make(map[netip.AddrPort]int), at: make(map[netip.AddrPort]time.Time)}
	var group sync.WaitGroup
	group.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			st.take(t, buf[:n], &group)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		group.Wait()
	})
	return st
}

// everyEighth host calls back.
func everyEighth(a netip.Addr) bool { return a.As4()[3]%8 == 0 }

func (st *street) take(t testing.TB, packet []byte, group *sync.WaitGroup) {
	p, err := browse.Parse(packet)
	if err != nil {
		t.Errorf("Parse(packet) = %v", err)
		return
	}
	_, text, _ := strings.Cut(p.URI, callback.Path)
	token, ok := st.key.Open(text)
	if !ok {
		t.Errorf("the token in %s is not of this run", p.URI)
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.packets[token.Target]++
	st.at[token.Target] = time.Now()
	if st.calls != nil && st.calls(token.Target.Addr()) {
		group.Go(func() { call(p.URI) })
	}
}

// call does what cups-browsed does: one POST of Get-Printer-Attributes.
func call(uri string) {
	u, err := url.Parse(uri)
	if err != nil {
		return
	}
	m := goipp.NewRequest(goipp.MakeVersion(2, 0), goipp.OpGetPrinterAttributes, 1)
	m.Operation.Add(goipp.MakeAttribute("attributes-charset", goipp.TagCharset, goipp.String("utf-8")))
	m.Operation.Add(goipp.MakeAttribute("attributes-natural-language", goipp.TagLanguage, goipp.String("en")))
	m.Operation.Add(goipp.MakeAttribute("printer-uri", goipp.TagURI, goipp.String("ipp://"+u.Host+u.Path)))
	body, err := m.EncodeBytes()
	if err != nil {
		return
	}
	resp, err := http.Post(uri, "application/ipp", bytes.NewReader(body))
	if err == nil {
		_ = resp.Body.Close()
	}
}

func (st *street) counts() map[netip.AddrPort]int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := make(map[netip.AddrPort]int)
	for target, packets := range st.packets {
		n[target] = packets
	}
	return n
}

func (st *street) total() int {
	n := 0
	for _, packets := range st.counts() {
		n += packets
	}
	return n
}

// hears waits for so many packets: the last may still lie in the socket.
func (st *street) hears(t testing.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d packets", n), func() bool { return st.total() >= n })
}

// A leg is what a process needs to ask over UDP, as the command wires it.
type leg struct {
	rate  int
	grace time.Duration
}

// wire gives the scan the real prober. The function that it returns ends the
// listener for call-backs.
func (l leg) wire(ctx context.Context, s *campaign.Scan, key *callback.Key) (*callback.Server, func(), error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	server := callback.New(listener, callback.Limits{})
	var group sync.WaitGroup
	group.Go(func() { _ = server.Run(serving) })
	end := func() {
		stop()
		group.Wait()
	}
	advertised, err := server.Check(ctx, server.Addr())
	if err != nil {
		end()
		return nil, nil, err
	}
	socket, err := probe.OpenUDP(ctx)
	if err != nil {
		end()
		return nil, nil, err
	}
	pacer := probe.PerSecond(l.rate).PerNetwork(l.rate)
	b, err := probe.NewBrowse(probe.BrowseConfig{
		Run: s.Run.ID, Source: exposure.Scan, Vantage: s.Run.Vantage, Key: key, Address: advertised, Contact: s.Run.ContactPoint,
		Grace: l.grace, Sender: socket, Pacer: pacer, Gate: campaign.Gate{Guard: s.Guard},
		Observe: s.Heard, Skipped: s.Skipped, Late: s.Late,
	})
	if err != nil {
		end()
		return nil, nil, err
	}
	server.Credit(key, b.Heard)
	s.Prober = b
	return server, func() {
		end()
		_ = socket.Close()
	}, nil
}

// newUDPWorld is a world on loopback with a street to ask.
func newUDPWorld(t testing.TB, calls func(netip.Addr) bool, networks ...string) (*world, *street, *callback.Key) {
	t.Helper()
	w := newWorld(t, networks...)
	key, err := callback.NewKey(w.run.ID, callback.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	st := newStreet(t, key, calls)
	w.run.UDP, w.run.UDPPort = true, st.port
	w.begin(t)
	return w, st, key
}

// udpScan is a scan of the UDP leg alone.
func udpScan(t testing.TB, w *world, key *callback.Key, l leg) *campaign.Scan {
	t.Helper()
	s := w.scan(t)
	s.KeepAll = true
	_, end, err := l.wire(t.Context(), s, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return s
}

// checkOnce checks that no host was sent two packets and that each has exactly
// one verdict, which is one of those that it may have.
func checkOnce(t testing.TB, w *world, st *street) {
	t.Helper()
	packets, verdicts := st.counts(), w.verdicts(t)
	heard := func() bool {
		packets = st.counts()
		for target, got := range verdicts {
			if packets[target] == 0 && target.Addr().Is4() && !slices.Contains(got, exposure.Interrupted) {
				return false
			}
		}
		return true
	}
	// The last packets may still lie in the street's socket.
	for end := time.Now().Add(time.Minute); !heard() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	for _, target := range targets(w.set, st.port) {
		got := verdicts[target]
		switch n := packets[target]; {
		case n > 1:
			t.Errorf("%s was sent %d packets in the run", target, n)
		case len(got) != 1:
			t.Errorf("%s, sent %d packets, is kept as %v, want one verdict", target, n, got)
		case n == 0 && got[0] != exposure.Interrupted:
			t.Errorf("%s is kept as %s and was sent nothing", target, got[0])
		}
	}
	left, err := w.store.Unsettled(t.Context(), w.run.ID)
	if err != nil || len(left) != 0 {
		t.Errorf("Unsettled() = %v, %v, want none", left, err)
	}
}

func count(verdicts map[netip.AddrPort][]exposure.Verdict, v exposure.Verdict) int {
	n := 0
	for _, all := range verdicts {
		if slices.Contains(all, v) {
			n++
		}
	}
	return n
}

func TestEveryHostIsSentOnePacket(t *testing.T) {
	w, st, key := newUDPWorld(t, everyEighth, "127.3.0.0/26", "fd00::/126")
	// The calls take milliseconds, if the machine has the time.
	s := udpScan(t, w, key, leg{rate: 1000, grace: 5 * time.Second})
	sum := wholly(t, s)
	st.hears(t, 64)
	for target, got := range w.verdicts(t) {
		want := exposure.NoCallback
		switch {
		case !target.Addr().Is4():
			want = exposure.NotApplicable
		case st.calls(target.Addr()):
			want = exposure.CalledBack
		}
		if !slices.Equal(got, []exposure.Verdict{want}) {
			t.Errorf("%s is kept as %v, want %s", target, got, want)
		}
		if target.Addr().Is4() && st.counts()[target] != 1 {
			t.Errorf("%s was sent %d packets", target, st.counts()[target])
		}
	}
	if sum.Sent != 68 || sum.Answered != 8 || sum.Found != 8 || st.total() != 64 {
		t.Errorf("sum = %+v; %d packets", sum.Progress, st.total())
	}
	left, err := w.store.Unsettled(t.Context(), w.run.ID)
	if err != nil || len(left) != 0 {
		t.Errorf("Unsettled() = %v, %v, want none", left, err)
	}
}

func TestCtrlCDuringABatchAndResume(t *testing.T) {
	w, st, key := newUDPWorld(t, everyEighth, "127.3.0.0/24")
	for _, stopAt := range []int{40, 120} {
		ctx, stop := context.WithCancel(t.Context())
		// A second and more from the last packet that is waited for to the last of all.
		s := udpScan(t, w, key, leg{rate: 100, grace: 200 * time.Millisecond})
		s.Batch = 32
		var done sync.WaitGroup
		done.Go(func() {
			until(t, "packets", func() bool { return st.total() >= stopAt })
			stop()
		})
		if _, err := s.Do(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Do() = %v, want it cancelled", err)
		}
		done.Wait()
		left, err := w.store.Unsettled(t.Context(), w.run.ID)
		if err != nil || len(left) != 0 {
			t.Errorf("after a clean stop Unsettled() = %v, %v, want none", left, err)
		}
	}
	s := udpScan(t, w, key, leg{rate: 1000, grace: 200 * time.Millisecond})
	wholly(t, s)
	checkOnce(t, w, st)
	got := w.verdicts(t)
	lost := 0
	for target, n := range st.counts() {
		if n == 1 && st.calls(target.Addr()) && !slices.Contains(got[target], exposure.CalledBack) {
			lost++ // it was in its grace when the scan was stopped
		}
	}
	if lost > 2*20 || count(got, exposure.NoCallback) == 0 || count(got, exposure.Interrupted) == 0 {
		t.Errorf("%d callers were lost; no-callback %d, interrupted %d", lost, count(got, exposure.NoCallback), count(got, exposure.Interrupted))
	}
}

func TestAPauseHoldsABatch(t *testing.T) {
	w, st, key := newUDPWorld(t, nil, "127.3.0.0/26")
	s := udpScan(t, w, key, leg{rate: 20, grace: 100 * time.Millisecond})
	s.Batch = 32
	var done sync.WaitGroup
	done.Go(func() {
		until(t, "packets", func() bool { return st.total() >= 10 })
		began := time.Now()
		if err := w.store.Pause(t.Context(), "test", "", began); err != nil {
			t.Error(err)
		}
		// That it binds within a second is shown in a bubble; this is about batches.
		until(t, "the pause to bind", func() bool { return time.Since(began) > 3*time.Second })
		held := st.total()
		until(t, "another second", func() bool { return time.Since(began) > 4*time.Second })
		if got := st.total(); got != held || got >= 60 {
			t.Errorf("%d packets were sent three seconds after the pause, %d in all", got-held, got)
		}
		if err := w.store.Exclude(t.Context(), netip.MustParsePrefix("127.3.0.32/27"), "", "test", time.Now()); err != nil {
			t.Error(err)
		}
		// It binds with the end of the pause at the latest: both are read at once.
		before := st.counts()
		if err := w.store.Resume(t.Context(), "test", time.Now()); err != nil {
			t.Error(err)
		}
		t.Cleanup(func() {
			for target, n := range st.counts() {
				if target.Addr().As4()[3] >= 32 && n != before[target] {
					t.Errorf("%s was excluded, in a batch that was reserved, and asked", target)
				}
			}
		})
	})
	sum := wholly(t, s)
	done.Wait()
	st.hears(t, int(sum.Sent))
	if sum.Skipped == 0 || sum.Skipped+sum.Sent != 64 || int(sum.Sent) != st.total() {
		t.Errorf("skipped %d, sent %d of 64; %d packets", sum.Skipped, sum.Sent, st.total())
	}
}

func TestAFullDiskInAUDPLegIsAnErrorAndResumeAsksNobodyTwice(t *testing.T) {
	tests := []struct {
		name  string
		fills func(string) bool
	}{
		{"at a reservation", after(3, "reserve")},
		{"at a batch that was sent", after(2, "sent")},
		{"at a batch that has ended", after(1, "settle")},
		{"right after a batch has ended", behind(1, "settle")},
		{"right after all batches have ended", behind(8, "settle")},
		{"at a tick", after(2, "tick")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, st, key := newUDPWorld(t, nil, "127.3.0.0/25")
			fast := leg{rate: 400, grace: 60 * time.Millisecond}
			s := udpScan(t, w, key, fast)
			s.Store = &failingStore{Store: s.Store, fills: tt.fills}
			if sum, err := s.Do(t.Context()); !errors.Is(err, errFull) || sum.Complete {
				t.Fatalf("Do() = complete %t, %v, want %v", sum.Complete, err, errFull)
			}
			s = udpScan(t, w, key, leg{rate: 2000, grace: 60 * time.Millisecond})
			wholly(t, s)
			checkOnce(t, w, st)
		})
	}
}

// behind lets n writes of the method pass, and nothing after the last of them:
// what a kill -9 at that moment leaves behind.
func behind(n int, method string) func(string) bool {
	return func(m string) bool {
		if n == 0 {
			return true
		}
		if m == method {
			n--
		}
		return false
	}
}

// A quickProber stands in for probe's Browse: it sends nothing, and every port is
// closed before it returns.
type quickProber struct{ s *campaign.Scan }

func (p quickProber) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (p quickProber) Batch(_ context.Context, all []netip.AddrPort) (int, error) {
	for _, target := range all {
		p.s.Heard(udp(p.s.Run, target, exposure.Closed))
	}
	return len(all), nil
}

func (quickProber) Drain(context.Context) error { return nil }

// udp is an observation as probe makes it.
func udp(run exposure.Run, target netip.AddrPort, v exposure.Verdict) exposure.Observation {
	return exposure.Observation{
		V: exposure.Version, ID: exposure.NewID(run.ID, target, exposure.UDP, exposure.ProbeBrowse, 0), Run: run.ID,
		Observed: time.Now(), Received: time.Now(), Source: exposure.Scan, Vantage: run.Vantage, Addr: target.Addr(), Port: target.Port(),
		Transport: exposure.UDP, Probe: exposure.ProbeBrowse, Verdict: v,
	}
}

// A slowStore takes a second to write that a batch was sent.
type slowStore struct{ campaign.Store }

func (s slowStore) MarkSent(ctx context.Context, run string, from uint64, at time.Time) error {
	time.Sleep(time.Second)
	return s.Store.MarkSent(ctx, run, from, at)
}

func TestABatchThatHadItsAnswersBeforeItWasMarkedIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "127.3.0.0/28")
		w.run.UDP = true
		w.begin(t)
		s := w.scan(t)
		s.Prober, s.Store = quickProber{s}, slowStore{w.store}
		wholly(t, s)
		left, err := w.store.Unsettled(t.Context(), w.run.ID)
		if err != nil || len(left) != 0 {
			t.Errorf("Unsettled() = %v, %v, want none", left, err)
		}
	})
}

// A brokenProber stands in for probe's Browse with a socket that fails at the
// end: as Browse does, it first observes whom it waits for as interrupted.
type brokenProber struct {
	s       *campaign.Scan
	sent    chan netip.AddrPort
	drained chan struct{}
}

var errSocket = errors.New("the socket broke")

func (p *brokenProber) Run(context.Context) error {
	for target := range p.sent {
		p.s.Heard(udp(p.s.Run, target, exposure.Interrupted))
	}
	close(p.drained)
	return errSocket
}

func (p *brokenProber) Batch(_ context.Context, all []netip.AddrPort) (int, error) {
	for _, target := range all {
		p.sent <- target
	}
	return len(all), nil
}

func (p *brokenProber) Drain(context.Context) error {
	close(p.sent)
	<-p.drained
	return nil
}

func TestASocketThatBreaksWhileWaitingIsAnError(t *testing.T) {
	w := newWorld(t, "127.3.0.0/28")
	w.run.UDP = true
	w.begin(t)
	s := w.scan(t)
	s.Prober = &brokenProber{s: s, sent: make(chan netip.AddrPort), drained: make(chan struct{})}
	if sum, err := s.Do(t.Context()); !errors.Is(err, errSocket) || sum.Complete {
		t.Errorf("Do() = complete %t, %v, want %v", sum.Complete, err, errSocket)
	}
}

// A call for a run of yesterday that comes before this one has begun, or while
// it ends, is kept for the run that asked.
func TestLateCallsAreKept(t *testing.T) {
	w := newWorld(t, "10.1.0.0/30")
	w.begin(t)
	late := func(n byte) exposure.Observation {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, n}), 631)
		return exposure.Observation{
			V: exposure.Version, ID: exposure.NewID("yesterday", target, exposure.UDP, exposure.ProbeBrowse, 2), Run: "yesterday", Attempt: 2,
			Observed: time.Now(), Received: time.Now(), Source: exposure.Scan, Addr: target.Addr(), Port: target.Port(),
			Transport: exposure.UDP, Probe: exposure.ProbeBrowse, Verdict: exposure.CalledBack,
			Callback: &exposure.Callback{From: target.Addr(), Posts: 3, Late: true},
		}
	}
	s := w.scan(t)
	s.Grabber = &fakeGrabber{w: w}
	s.Late(late(1)) // too early for anybody: it must not block
	s.Beside = append(s.Beside, func(ctx context.Context) {
		s.Late(late(2))
		<-ctx.Done()
		s.Late(late(3))
	})
	sum := wholly(t, s)
	s.Late(late(4)) // too late
	var got []string
	for _, e := range exposures(t, w) {
		if e.Rule == "cups-browsed-callback" {
			got = append(got, fmt.Sprint(e.Addr))
		}
	}
	if want := []string{"198.51.100.2", "198.51.100.3"}; !slices.Equal(got, want) {
		t.Errorf("late callers = %v, want %v", got, want)
	}
	if sum.Answered != 6 || sum.Total != 4 {
		t.Errorf("sum = %+v, want 4 targets and 6 hosts that answered", sum.Progress)
	}
}
