package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/callback"
	"ippwatch/exposure"
	"ippwatch/wire/browse"
)

// advertised returns an address that passed its self-check, on loopback.
func advertised(t *testing.T) (*callback.Server, callback.Advertised) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := callback.New(ln, callback.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	checked, err := s.Check(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return s, checked
}

// A fakeNet keeps what is sent and answers as told.
type fakeNet struct {
	mu      sync.Mutex
	packets []sentPacket
	refused func(Refused)
	fail    error
	onSend  func(to netip.AddrPort, p browse.Packet)
}

type sentPacket struct {
	to     netip.AddrPort
	at     time.Time
	packet browse.Packet
}

func (n *fakeNet) Send(_ context.Context, to netip.AddrPort, payload []byte) error {
	p, err := browse.Parse(payload)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	n.packets = append(n.packets, sentPacket{to, time.Now(), p})
	if n.onSend != nil {
		n.onSend(to, p)
	}
	return nil
}

func (n *fakeNet) Run(ctx context.Context, refused func(Refused)) error {
	n.mu.Lock()
	n.refused = refused
	n.mu.Unlock()
	<-ctx.Done()
	return nil
}

type gateFunc func(netip.Addr, time.Time) error

func (g gateFunc) Allow(a netip.Addr, at time.Time) error { return g(a, at) }

// A bench is a Browse on a fake net, and what it observed.
type bench struct {
	*Browse
	net     *fakeNet
	cfg     BrowseConfig
	seen    []exposure.Observation
	late    []exposure.Observation
	skipped map[netip.AddrPort]error
	stop    func()
}

const run = "20261123T093000Z-7f3a"

func newBench(t *testing.T, at callback.Advertised, change func(*BrowseConfig)) *bench {
	t.Helper()
	key, err := callback.NewKey(run, callback.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{net: &fakeNet{}, skipped: make(map[netip.AddrPort]error)}
	b.cfg = BrowseConfig{
		Run: run, Source: exposure.Scan, Vantage: "lab", Key: key, Address: at, Contact: "noc@example.org",
		Sender: b.net, Pacer: PerSecond(100).PerNetwork(100),
		Gate:    gateFunc(func(netip.Addr, time.Time) error { return nil }),
		Observe: func(o exposure.Observation) { b.seen = append(b.seen, o) },
		Late:    func(o exposure.Observation) { b.late = append(b.late, o) },
		Skipped: func(a netip.AddrPort, err error) { b.skipped[a] = err },
	}
	if change != nil {
		change(&b.cfg)
	}
	if b.Browse, err = NewBrowse(b.cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return b
}

// batch asks the targets and drains.
func (b *bench) batch(t *testing.T, targets ...netip.AddrPort) {
	t.Helper()
	if n, err := b.Batch(t.Context(), targets); n != len(targets) || err != nil {
		t.Fatalf("Batch = %d, %v, want %d", n, err, len(targets))
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) call(p browse.Packet) {
	token, ok := b.cfg.Key.Open(p.URI[strings.LastIndexByte(p.URI, '/')+1:])
	if !ok {
		panic("a token that is not ours: " + p.URI)
	}
	b.Heard(callback.Call{
		Token: token, From: netip.MustParseAddrPort("198.51.100.7:40000"), UserAgent: "CUPS/2.4.2",
		At: time.Now(), BytesIn: 400, BytesOut: 45, Conn: &callback.Conn{},
	})
}

func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 631)
}

// inBubble runs f in a synctest bubble with an address that was checked outside.
func inBubble(t *testing.T, f func(*testing.T, callback.Advertised)) {
	t.Helper()
	_, at := advertised(t)
	synctest.Test(t, func(t *testing.T) { f(t, at) })
}

func TestSilenceIsNoCallbackAfterTheGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.batch(t, host(1))
		b.stop()
		if len(b.seen) != 1 || len(b.net.packets) != 1 {
			t.Fatalf("%d observations of %d packets, want one of one", len(b.seen), len(b.net.packets))
		}
		o := b.seen[0]
		if o.Verdict != exposure.NoCallback || o.Target() != host(1) || o.Run != run || o.Source != exposure.Scan || o.Vantage != "lab" || o.Transport != exposure.UDP {
			t.Errorf("observation %+v", o)
		}
		if got := o.Observed.Sub(b.net.packets[0].at); got != DefaultGrace {
			t.Errorf("waited %v, want %v", got, DefaultGrace)
		}
		if want := exposure.NewID(run, host(1), exposure.UDP, exposure.ProbeBrowse, 0); o.ID != want {
			t.Errorf("id %s, want %s", o.ID, want)
		}
	})
}

func TestCallsAreCreditedToTheHostThatWasAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.net.onSend = func(to netip.AddrPort, p browse.Packet) {
			if to == host(2) {
				for range 3 {
					go b.call(p)
				}
			}
		}
		b.batch(t, host(1), host(2), host(3))
		b.stop()
		if len(b.seen) != 3 {
			t.Fatalf("%d observations, want 3", len(b.seen))
		}
		o := b.seen[1]
		if o.Verdict != exposure.CalledBack || o.Target() != host(2) || o.Callback.From != netip.MustParseAddr("198.51.100.7") || o.Callback.Posts != 3 {
			t.Errorf("observation %+v, callback %+v", o, o.Callback)
		}
		size := b.Origin().Wording.Size(0)
		if o.Callback.Asked != size || o.Callback.RatioApp < 1200/float64(size)-0.01 || o.Callback.RatioApp > 1200/float64(size) {
			t.Errorf("asked %d, ratio %v, want 1200 bytes for %d", o.Callback.Asked, o.Callback.RatioApp, size)
		}
		if want := "ippwatch_open_printer_check_127_0_0_1"; o.Callback.Queue != want {
			t.Errorf("queue %q, want %q", o.Callback.Queue, want)
		}
	})
}

func TestACallCountsMoreThanAnICMPError(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.net.onSend = func(to netip.AddrPort, p browse.Packet) {
			verdict := exposure.Closed
			if to == host(2) {
				verdict = exposure.Unreachable
			}
			refused := Refused{Target: to, Verdict: verdict, Reason: "why", At: time.Now()}
			go func() {
				b.net.refused(refused)
				if to == host(3) {
					b.call(p)
				}
			}()
		}
		b.batch(t, host(1), host(2), host(3))
		b.stop()
		for i, want := range []exposure.Verdict{exposure.Closed, exposure.Unreachable, exposure.CalledBack} {
			if got := b.seen[i].Verdict; got != want {
				t.Errorf("%v: %s, want %s", b.seen[i].Target(), got, want)
			}
		}
	})
}

func TestAHostThatOnceCalledIsAskedASecondTime(t *testing.T) {
	for _, verify := range []bool{false, true} {
		t.Run(fmt.Sprintf("verify %t", verify), func(t *testing.T) {
			inBubble(t, func(t *testing.T, at callback.Advertised) {
				b := newBench(t, at, func(c *BrowseConfig) {
					c.Verify = verify
					c.Again = func(a netip.Addr) bool { return a != host(3).Addr() }
				})
				b.net.onSend = func(to netip.AddrPort, p browse.Packet) {
					// Host 1 has a left-over queue: it swallows the first packet.
					if to == host(1) && len(b.net.packets) > 3 {
						go b.call(p)
					}
				}
				b.batch(t, host(1), host(2), host(3))
				b.stop()
				var infos []string
				for _, p := range b.net.packets {
					if p.to == host(1) {
						infos = append(infos, p.packet.Info)
					}
				}
				want := []string{InfoScan, InfoVerify}
				if verify {
					want = []string{InfoVerify, InfoScan}
				}
				if fmt.Sprint(infos) != fmt.Sprint(want) {
					t.Errorf("host 1 was told %q, want %q", infos, want)
				}
				if len(b.net.packets) != 5 || len(b.seen) != 3 {
					t.Fatalf("%d packets, %d observations, want 5 and 3", len(b.net.packets), len(b.seen))
				}
				got := make(map[netip.AddrPort]string)
				for _, o := range b.seen {
					got[o.Target()] = fmt.Sprint(o.Verdict, o.Attempt)
				}
				for h, want := range map[int]string{1: "callback1", 2: "no-callback1", 3: "no-callback0"} {
					if got[host(h)] != want {
						t.Errorf("host %d: %s, want %s", h, got[host(h)], want)
					}
				}
			})
		})
	}
}

func TestThirtyDailyScansNameOneQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		queues, uris := make(map[string]bool), make(map[string]bool)
		for range 30 {
			b := newBench(t, at, nil)
			b.batch(t, host(1))
			b.stop()
			p := b.net.packets[0].packet
			queues[browse.Queue(p.Info, "127.0.0.1")] = true
			uris[p.URI] = true
			if !strings.Contains(p.Location, "noc@example.org") || !strings.Contains(p.Location, "lpadmin -x ippwatch_open_printer_check_127_0_0_1") {
				t.Errorf("location %q names no contact and no command", p.Location)
			}
		}
		if len(queues) != 1 || len(uris) != 30 {
			t.Errorf("%d queue names and %d URIs, want 1 and 30", len(queues), len(uris))
		}
	})
}

func TestStopInterruptsTheSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.net.onSend = func(to netip.AddrPort, p browse.Packet) {
			if to == host(1) {
				go b.call(p)
			}
		}
		if _, err := b.Batch(t.Context(), []netip.AddrPort{host(1), host(2)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.stop()
		got := make(map[netip.AddrPort]exposure.Verdict)
		for _, o := range b.seen {
			got[o.Target()] = o.Verdict
		}
		if len(b.seen) != 2 || got[host(1)] != exposure.CalledBack || got[host(2)] != exposure.Interrupted {
			t.Errorf("observed %v, want a callback and an interruption", got)
		}
		if n, err := b.Batch(t.Context(), []netip.AddrPort{host(3)}); n != 0 || err == nil || len(b.net.packets) != 2 {
			t.Errorf("Batch after the end = %d, %v, %d packets", n, err, len(b.net.packets))
		}
	})
}

func TestBatchStopsWhereTheContextEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, func(c *BrowseConfig) { c.Pacer = PerSecond(1).PerNetwork(1) })
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		n, err := b.Batch(ctx, []netip.AddrPort{host(1), host(2), host(3), host(4), host(5)})
		if n != 3 || !errors.Is(err, context.DeadlineExceeded) || len(b.net.packets) != 3 {
			t.Errorf("Batch = %d, %v, %d packets, want 3 and the deadline", n, err, len(b.net.packets))
		}
		if err := b.Drain(t.Context()); err != nil || len(b.seen) != 3 {
			t.Errorf("Drain: %v, %d observations, want 3", err, len(b.seen))
		}
		b.stop()
	})
}

func TestGateIsAskedAtTheLastMoment(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		excluded, held := errors.New("excluded"), fmt.Errorf("paused: %w", ErrHold)
		b := newBench(t, at, func(c *BrowseConfig) {
			c.Gate = gateFunc(func(a netip.Addr, _ time.Time) error {
				switch a {
				case host(2).Addr():
					return excluded
				case host(4).Addr():
					return held
				}
				return nil
			})
		})
		n, err := b.Batch(t.Context(), []netip.AddrPort{host(1), host(2), host(3), host(4), host(5)})
		if n != 3 || !errors.Is(err, ErrHold) {
			t.Errorf("Batch = %d, %v, want 3 and the hold", n, err)
		}
		if len(b.net.packets) != 2 || !errors.Is(b.skipped[host(2)], excluded) || len(b.skipped) != 1 {
			t.Errorf("%d packets, skipped %v", len(b.net.packets), b.skipped)
		}
		b.stop()
		if len(b.seen) != 2 {
			t.Errorf("%d observations, want 2", len(b.seen))
		}
	})
}

func TestNothingIsSentOverIPv6(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.batch(t, netip.MustParseAddrPort("[2001:db8::1]:631"))
		b.stop()
		if len(b.net.packets) != 0 || len(b.seen) != 1 || b.seen[0].Verdict != exposure.NotApplicable {
			t.Errorf("%d packets, observed %+v", len(b.net.packets), b.seen)
		}
	})
}

func TestATargetIsNotAskedWhileItMayAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.batch(t, host(1), host(1))
		b.stop()
		if len(b.net.packets) != 1 || len(b.seen) != 1 || !errors.Is(b.skipped[host(1)], ErrAsked) {
			t.Errorf("%d packets, %d observations, skipped %v", len(b.net.packets), len(b.seen), b.skipped)
		}
	})
}

func TestWhatTheKernelDoesNotSendIsObservedAsSuch(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.net.fail = errors.New("operation not permitted")
		b.batch(t, host(1))
		b.stop()
		if len(b.seen) != 1 || b.seen[0].Verdict != exposure.Interrupted || !strings.Contains(b.seen[0].Reason, "not permitted") {
			t.Errorf("observed %+v", b.seen)
		}
	})
}

// TestMemoryGrowsWithThePaceOnly asks more hosts than can be waited for at one
// time.
func TestMemoryGrowsWithThePaceOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		const hosts, pace = 6000, 100
		most := 0
		b := newBench(t, at, nil)
		b.net.onSend = func(netip.AddrPort, browse.Packet) {
			b.mu.Lock()
			defer b.mu.Unlock()
			most = max(most, len(b.waiting))
		}
		var targets []netip.AddrPort
		for i := range hosts {
			targets = append(targets, host(i))
		}
		b.batch(t, targets...)
		b.stop()
		if limit := pace*int(DefaultGrace/time.Second) + 2; most > limit {
			t.Errorf("waited for %d at one time, want at most %d", most, limit)
		}
		seen := make(map[exposure.ID]bool)
		for _, o := range b.seen {
			seen[o.ID] = true
		}
		if len(b.seen) != hosts || len(seen) != hosts || len(b.waiting) != 0 {
			t.Errorf("%d observations with %d ids of %d hosts, %d waited for", len(b.seen), len(seen), hosts, len(b.waiting))
		}
	})
}

func TestLateCallsAreObservedOnTheirOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.batch(t, host(1))
		p := b.net.packets[0].packet
		for range 3 {
			b.call(p)
			time.Sleep(300 * time.Millisecond) // of the bubble
		}
		time.Sleep(2 * quiet)
		b.stop()
		if len(b.seen) != 1 || len(b.late) != 1 {
			t.Fatalf("%d observations and %d late ones, want one of each", len(b.seen), len(b.late))
		}
		o := b.late[0]
		if o.Verdict != exposure.CalledBack || !o.Callback.Late || o.Callback.Posts != 3 || o.Target() != host(1) || o.Run != run {
			t.Errorf("late observation %+v, %+v", o, o.Callback)
		}
		if o.ID == b.seen[0].ID {
			t.Error("the late observation has the id of the silence")
		}
		if got := o.Callback.After; got < DefaultGrace || got > DefaultGrace+2*time.Second {
			t.Errorf("called after %v, want a little more than %v", got, DefaultGrace)
		}
	})
}

func TestFurtherCallsOfACallerAreNoNews(t *testing.T) {
	inBubble(t, func(t *testing.T, at callback.Advertised) {
		b := newBench(t, at, nil)
		b.net.onSend = func(_ netip.AddrPort, p browse.Packet) { go b.call(p) }
		b.batch(t, host(1))
		b.call(b.net.packets[0].packet)
		b.stop()
		if len(b.seen) != 1 || len(b.late) != 0 {
			t.Errorf("%d observations and %d late ones, want one and none", len(b.seen), len(b.late))
		}
	})
}

func TestALateOfAnotherProcessCreditsTheRunThatAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []exposure.Observation
		origin := Origin{Run: run, Source: exposure.Scan, Vantage: "lab", Wording: Wording{Callback: netip.MustParseAddrPort("192.0.2.9:631"), Contact: "noc@example.org"}}
		l := NewLate(origin, func(o exposure.Observation) { seen = append(seen, o) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()
		sealed := time.Now().Add(-time.Hour)
		for i := range 5 {
			l.Heard(callback.Call{Token: callback.Token{Run: run, Target: host(i % 2), Sealed: sealed}, At: time.Now(), BytesIn: 1, Conn: &callback.Conn{}})
		}
		cancel() // whoever is not quiet yet is observed at the end
		<-done
		if len(seen) != 2 || seen[0].Run != run || !seen[0].Callback.Late || seen[0].Callback.Posts+seen[1].Callback.Posts != 5 {
			t.Errorf("observed %+v", seen)
		}
	})
}

func TestBrowseNeedsACheckedAddressAndItsOwnKey(t *testing.T) {
	key, err := callback.NewKey("another run", callback.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBrowse(BrowseConfig{Run: "another run", Key: key}); err == nil {
		t.Error("NewBrowse takes an address that was not checked")
	}
	_, at := advertised(t)
	if _, err := NewBrowse(BrowseConfig{Run: run, Key: key, Address: at}); err == nil {
		t.Error("NewBrowse takes the key of another run")
	}
}

func TestContactIsCarriedWholeOrRefused(t *testing.T) {
	for contact, carried := range map[string]bool{
		"noc@example.net": true, "https://example.net/scan": true, "": true,
		"ünï@example.net": false, "a\nb": false, `a"b`: false, strings.Repeat("c", maxContact+1): false,
	} {
		if err := checkContact(contact); (err == nil) != carried {
			t.Errorf("checkContact(%q) = %v", contact, err)
		}
	}
}

func TestPacketsAreOfOneSizeAndWithinBounds(t *testing.T) {
	key, err := callback.NewKey(run, callback.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	w := Wording{Callback: netip.MustParseAddrPort("203.0.113.255:65535"), Contact: strings.Repeat("c", 500) + "\"\n"}
	for attempt := range uint8(2) {
		for i := range 100 {
			p := w.packet(nil, key.Seal(host(i*257), attempt, time.Unix(int64(i)*1e6, 0)), attempt)
			if len(p) != w.Size(attempt) || len(p) > 400 || bytes.Count(p, []byte(`"`)) != 6 {
				t.Fatalf("%d bytes, want %d and less than 400: %s", len(p), w.Size(attempt), p)
			}
		}
	}
}
