package verify_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/audit"
	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/verify"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type book struct{}

func (book) Cleared(id string, o *exposure.Observation) (bool, string) {
	r, _ := rule.ByID(id)
	answer, why := r.Cleared(o)
	return answer == rule.Yes, why
}

// A world is a store, a clock and what each door says to whom asks. Only the
// hosts are played: days must pass between two looks.
type world struct {
	*testing.T
	store *store.Store
	cases *track.Tracker
	now   time.Time
	says  map[verify.Door]exposure.Verdict
	asked int
	other string // where the host answers elsewhere
	after time.Duration
}

func begin(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &world{T: t, store: s, cases: track.New(s, book{}), now: noon, says: make(map[verify.Door]exposure.Verdict), after: track.VerifyAfter}
}

func door(text string) verify.Door {
	at, tr, _ := strings.Cut(text, "/")
	return verify.Door{AddrPort: netip.MustParseAddrPort(at), Transport: exposure.Transport(tr)}
}

func (w *world) observe(d verify.Door, src exposure.Source) exposure.Observation {
	w.asked++
	o := exposure.Observation{
		V: exposure.Version, ID: exposure.ID(fmt.Sprint(w.asked)), Observed: w.now, Received: w.now, Run: fmt.Sprint("run-", w.asked), Source: src,
		Addr: d.Addr(), Port: d.Port(), Transport: d.Transport, Probe: exposure.ProbeIPP, Verdict: w.says[d],
	}
	if d.Transport == exposure.UDP {
		o.Probe = exposure.ProbeBrowse
	}
	if o.Verdict == exposure.Answered {
		o.IPP = &exposure.IPP{Version: "2.0", Status: 0x0406}
	}
	if o.Verdict == exposure.CalledBack {
		o.Callback = &exposure.Callback{From: d.Addr(), Posts: 3, UserAgent: "CUPS/2.4.2"}
	}
	o.Findings = rule.Judge(&o)
	return o
}

// seen makes the cases of a door that a scan finds open.
func (w *world) seen(text string) verify.Door {
	w.Helper()
	d := door(text)
	w.says[d] = exposure.Answered
	if d.Transport == exposure.UDP {
		w.says[d] = exposure.CalledBack
	}
	if _, err := w.cases.Fold(w.Context(), []exposure.Observation{w.observe(d, exposure.Scan)}); err != nil {
		w.Fatal(err)
	}
	return d
}

// look verifies the first case at the door.
func (w *world) look(d verify.Door, controls ...verify.Door) verify.Result {
	w.Helper()
	es, err := w.store.ExposuresAt(w.Context(), access.CLI(w.now), d.AddrPort)
	if err != nil || len(es) == 0 {
		w.Fatal(err)
	}
	v := &verify.Verifier{
		Store: w.store, Cases: w.cases, Rules: book{}, After: w.after, Now: func() time.Time { return w.now },
		Run: func(ctx context.Context, g verify.Group, vouch func(*exposure.Observation) string, heard func(exposure.Observation)) error {
			for _, a := range append(g.Hosts, g.Controls...) {
				o := w.observe(verify.Door{AddrPort: netip.AddrPortFrom(a, g.Port), Transport: g.Transport}, exposure.Verification)
				if _, err := w.cases.Controlled(vouch, w.after).Fold(ctx, []exposure.Observation{o}); err != nil {
					return err
				}
				heard(o)
			}
			return nil
		},
		Elsewhere: func(context.Context, exposure.Exposure, time.Time) (string, error) { return w.other, nil },
	}
	results, err := v.Look(w.Context(), access.CLI(w.now), es[:1], controls)
	if err != nil || len(results) != 1 {
		w.Fatalf("Look = %v, %v", results, err)
	}
	return results[0]
}

func (w *world) want(name string, r verify.Result, c exposure.Condition, why string) {
	w.Helper()
	if r.Now.Condition != c || !strings.Contains(r.Why, why) {
		w.Errorf("%s: %s because %q, want %s because %q", name, r.Now.Condition, r.Why, c, why)
	}
}

func (w *world) later(d time.Duration) { w.now = w.now.Add(d) }

func TestAFixIsProvenOnTwoDays(t *testing.T) {
	w := begin(t)
	d := w.seen("192.0.2.1:631/tcp")
	control := w.seen("192.0.2.9:8631/tcp")
	w.later(time.Hour)
	w.want("still open", w.look(d, control), exposure.Confirmed, "it is open")
	w.says[d] = exposure.Closed
	w.later(time.Hour)
	w.want("closed, alone", w.look(d), exposure.Confirmed, "counts for no proof")
	w.later(25 * time.Hour)
	w.want("closed, alone, a day later", w.look(d), exposure.Confirmed, "counts for no proof")
	w.later(time.Hour)
	w.want("closed, with a control", w.look(d, control), exposure.OneClean, "is closed")
	w.later(23 * time.Hour)
	w.want("too early", w.look(d, control), exposure.OneClean, "is closed")
	w.says[control] = exposure.NoAnswer
	w.later(2 * time.Hour)
	w.want("the control is silent", w.look(d, control), exposure.OneClean, "counts for no proof")
	w.says[control] = exposure.Answered
	w.later(time.Hour)
	w.want("the second", w.look(d, control), exposure.Fixed, "is closed")

	w.says[d] = exposure.Answered
	w.later(10 * 24 * time.Hour)
	r := w.look(d, control)
	w.want("open again", r, exposure.Confirmed, "it is open")
	if r.Now.Cycle != 2 || !r.Now.FirstSeen.Equal(noon) {
		t.Errorf("cycle %d, first seen %s: the history is lost", r.Now.Cycle, r.Now.FirstSeen)
	}
}

func TestSilenceFixesNothing(t *testing.T) {
	w := begin(t)
	d := w.seen("192.0.2.1:631/tcp")
	control := w.seen("192.0.2.9:8631/tcp")
	w.says[d] = exposure.NoAnswer
	w.later(time.Hour)
	w.want("silent, alone", w.look(d), exposure.Confirmed, "perhaps our own network")
	w.want("silent, with a control", w.look(d, control), exposure.Confirmed, "a second silence after 2026-11-24 13:00 UTC")
	w.later(25 * time.Hour)
	w.want("silent a day later", w.look(d, control), exposure.Confirmed, "may be switched off")
	w.other = "it answered at port 8631/tcp"
	w.want("it answers elsewhere", w.look(d, control), exposure.Filtered, "closed from outside only: it answered at port 8631/tcp")
	w.later(24 * time.Hour)
	w.want("still filtered", w.look(d, control), exposure.Filtered, "still")
	w.says[d] = exposure.Answered
	w.later(time.Hour)
	r := w.look(d, control)
	w.want("the filter is gone", r, exposure.Confirmed, "it is open")
	if r.Now.Cycle != 2 || !r.Now.SilentAt.IsZero() {
		t.Errorf("cycle %d, silent at %s", r.Now.Cycle, r.Now.SilentAt)
	}
}

// TestUDP: ICMP from the host crossed the network that a control over TCP
// crossed; silence needs one that calls back.
func TestUDP(t *testing.T) {
	w := begin(t)
	d := w.seen("192.0.2.1:631/udp")
	control := w.seen("192.0.2.9:631/tcp")
	w.says[d] = exposure.NoCallback
	w.later(time.Hour)
	w.want("no call-back", w.look(d, control), exposure.Confirmed, "perhaps our own network")
	w.says[d] = exposure.Closed
	w.want("ICMP", w.look(d, control), exposure.OneClean, "ICMP")
	w.later(24 * time.Hour)
	w.want("ICMP again", w.look(d, control), exposure.Fixed, "ICMP")
}

func TestDue(t *testing.T) {
	now, day := noon, 24*time.Hour
	base := exposure.Exposure{Condition: exposure.Confirmed, Contact: exposure.Notified, Ruling: exposure.NoRuling, LastSeen: now.Add(-time.Hour)}
	for _, c := range []struct {
		name   string
		change func(*exposure.Exposure)
		want   bool
	}{
		{"seen an hour ago", func(*exposure.Exposure) {}, false},
		{"seen a day ago", func(e *exposure.Exposure) { e.LastSeen = now.Add(-day) }, true},
		{"claimed", func(e *exposure.Exposure) { e.Contact = exposure.Claimed }, true},
		{"reported", func(e *exposure.Exposure) { e.Condition = exposure.Reported }, true},
		{"not seen", func(e *exposure.Exposure) { e.Condition = exposure.NotSeen }, true},
		{"one clean without a control", func(e *exposure.Exposure) { e.Condition = exposure.OneClean }, true},
		{"one clean an hour ago", func(e *exposure.Exposure) { e.Condition, e.ClearedAt = exposure.OneClean, now.Add(-time.Hour) }, false},
		{"one clean a day ago", func(e *exposure.Exposure) { e.Condition, e.ClearedAt = exposure.OneClean, now.Add(-day) }, true},
		{"silent an hour ago", func(e *exposure.Exposure) { e.LastSeen, e.SilentAt = now.Add(-2*day), now.Add(-time.Hour) }, false},
		{"fixed", func(e *exposure.Exposure) { e.Condition = exposure.Fixed }, false},
		{"accepted", func(e *exposure.Exposure) { e.Contact, e.Ruling = exposure.Claimed, exposure.Accepted }, false},
		{"moved", func(e *exposure.Exposure) { e.Contact, e.MovedTo = exposure.Claimed, netip.MustParseAddr("192.0.2.7") }, false},
	} {
		e := base
		c.change(&e)
		if got := verify.Due(&e, now, day); got != c.want {
			t.Errorf("%s: Due = %t, want %t", c.name, got, c.want)
		}
	}
}

func TestPlanAsksNoDoorThatIsNotListed(t *testing.T) {
	made := func(text, id string) exposure.Exposure {
		d := door(text)
		return exposure.Exposure{Key: exposure.Key{Addr: d.Addr(), Port: d.Port(), Transport: d.Transport, Rule: id}}
	}
	got := verify.Plan([]exposure.Exposure{
		made("192.0.2.2:631/udp", "reflector"), made("192.0.2.2:631/tcp", "open-ipp"), made("192.0.2.2:631/tcp", "no-tls"),
		made("192.0.2.1:8631/tcp", "open-ipp"), made("192.0.2.3:631/tcp", "open-ipp"),
	}, []verify.Door{door("192.0.2.9:9631/tcp"), door("192.0.2.3:631/tcp")})
	addrs := func(words ...string) (out []netip.Addr) {
		for _, word := range words {
			out = append(out, netip.MustParseAddr(word))
		}
		return out
	}
	want := []verify.Group{
		{Transport: exposure.TCP, Port: 9631, Controls: addrs("192.0.2.9")},
		{Transport: exposure.TCP, Port: 631, Hosts: addrs("192.0.2.2", "192.0.2.3")},
		{Transport: exposure.TCP, Port: 8631, Hosts: addrs("192.0.2.1")},
		{Transport: exposure.UDP, Port: 631, Hosts: addrs("192.0.2.2")},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("Plan (-want +got):\n%s", d)
	}
}

func TestControlsAreKnownToAnswer(t *testing.T) {
	made := func(addr string, hours int, change func(*exposure.Exposure)) exposure.Exposure {
		e := exposure.Exposure{
			Key:       exposure.Key{Addr: netip.MustParseAddr(addr), Port: 631, Transport: exposure.TCP, Rule: "open-ipp"},
			Condition: exposure.Confirmed, LastSeen: noon.Add(-time.Duration(hours) * time.Hour),
		}
		if change != nil {
			change(&e)
		}
		return e
	}
	known := []exposure.Exposure{
		made("192.0.2.1", 1, nil), // verified itself
		made("192.0.2.2", 30, nil),
		made("192.0.2.3", 2, func(e *exposure.Exposure) { e.Contact = exposure.Claimed }),
		made("192.0.2.4", 2, func(e *exposure.Exposure) { e.Transport = exposure.UDP }),
		made("192.0.2.5", 20, nil), made("192.0.2.5", 20, func(e *exposure.Exposure) { e.Port = 8631 }),
		made("192.0.2.6", 200, nil),
		made("192.0.2.7", 40, nil),
	}
	got := verify.Controls(known, known[:1], noon, 2)
	if len(got) != 2 || got[0] != door("192.0.2.5:631/tcp") || got[1] != door("192.0.2.2:631/tcp") {
		t.Errorf("Controls = %v", got)
	}
}

// TestAnAuditIsEvidence: what was seen from inside counts without a control, and
// fixes no faster than a probe does.
func TestAnAuditIsEvidence(t *testing.T) {
	w := begin(t)
	d := w.seen("192.0.2.1:631/tcp")
	e, err := w.store.ExposuresAt(t.Context(), access.CLI(w.now), d.AddrPort)
	if err != nil || len(e) != 1 {
		t.Fatalf("%v, %v", e, err)
	}
	r := audit.Report{V: 1, Host: "printserver", Addresses: []netip.Addr{d.Addr()}, Ports: []uint16{631}}
	weigh := func(open map[verify.Door]string) verify.Result {
		t.Helper()
		var closed []exposure.Observation
		if open == nil {
			closed = append(closed, r.Closed(d.Addr(), d.Transport, d.Port(), w.now))
		}
		v := &verify.Verifier{Store: w.store, Cases: w.cases, Rules: book{}, After: w.after, Now: func() time.Time { return w.now }}
		results, err := v.Weigh(t.Context(), access.CLI(w.now), e, closed, open)
		if err != nil || len(results) != 1 {
			t.Fatalf("Weigh = %v, %v", results, err)
		}
		return results[0]
	}
	r.At = w.now.Add(-time.Hour)
	w.want("made before it was seen", weigh(nil), exposure.Confirmed, "is older than the last sighting")
	w.later(time.Hour)
	r.At = w.now
	w.want("it listens", weigh(map[verify.Door]string{d: "cupsd at 0.0.0.0:631/tcp"}), exposure.Confirmed, "cupsd at 0.0.0.0:631/tcp listens there")
	w.want("nothing listens", weigh(nil), exposure.OneClean, `as "printserver" itself was seen from inside`)
	w.want("the same again", weigh(nil), exposure.OneClean, "seen from inside")
	w.later(25 * time.Hour)
	w.want("the same, a day later", weigh(nil), exposure.OneClean, "seen from inside")
	r.At = w.now
	w.want("another, a day later", weigh(nil), exposure.Fixed, "seen from inside")
}
