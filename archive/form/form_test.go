package form

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
)

var firstDay = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// asKept compares observations as far as they have parts.
var asKept = cmp.Options{
	cmpopts.IgnoreFields(exposure.Observation{}, "Findings", "V", "Source", "Vantage", "Addr", "Port", "Transport",
		"Probe", "Attempt", "Verdict", "Simulated", "Where"),
	cmp.Comparer(func(x, y netip.Addr) bool { return x == y }),
	cmp.Comparer(func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }),
}

func TestWhatIsSplitIsJoined(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Splitter
	var p Parts
	for range 3000 {
		want := anything(r)
		s.Split(&p, &want)
		got := exposure.Observation{Observed: want.Observed}
		if err := Join(&got, p.Stable, p.Moving); err != nil {
			t.Fatalf("Join(Split(%+v)): %v", want, err)
		}
		if diff := cmp.Diff(want, got, asKept); diff != "" {
			t.Fatalf("split and joined, -want +got:\n%s", diff)
		}
		var fresh Splitter
		var again Parts
		if fresh.Split(&again, &want); !bytes.Equal(p.Stable, again.Stable) || !bytes.Equal(p.Moving, again.Moving) || p.Stem != again.Stem {
			t.Fatalf("Split(%+v) depends on what was split before", want)
		}
		if err := Join(&got, p.Stable, append(p.Moving, 0)); !errors.Is(err, ErrTorn) {
			t.Fatalf("Join with a byte too many = %v, want %v", err, ErrTorn)
		}
	}
}

func TestOnlyWhatMovesIsInTheMovingPart(t *testing.T) {
	today := devices()[0]
	tomorrow := devices()[0]
	tomorrow.Observed = today.Observed.Add(24 * time.Hour)
	tomorrow.Received = tomorrow.Observed.Add(time.Second)
	tomorrow.Reason = "the second conversation broke off"
	attributes := tomorrow.Printers[0].Attributes
	attributes["printer-up-time"] = []string{"99999"}
	attributes["printer-state-reasons"] = []string{"media-low", "some-text"}
	attributes["printer-current-time"] = []string{tomorrow.Observed.Format(time.RFC3339)}
	attributes["printer-supply"] = []string{"index=1;level=7;"}
	var s Splitter
	var p, q Parts
	s.Split(&p, &today)
	s.Split(&q, &tomorrow)
	if !bytes.Equal(p.Stable, q.Stable) || p.Stem != q.Stem {
		t.Errorf("Stable = %q, the day after %q", p.Stable, q.Stable)
	}
	attributes["printer-location"] = []string{"elsewhere"}
	if s.Split(&q, &tomorrow); bytes.Equal(p.Stable, q.Stable) || p.Stem != q.Stem {
		t.Errorf("a printer that was moved has stable part %q of stem %d", q.Stable, q.Stem)
	}
	attributes["printer-kind"] = []string{"document"}
	if s.Split(&q, &tomorrow); p.Stem == q.Stem {
		t.Error("a printer with other attributes has the same stem")
	}
}

func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 500)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	text := bytes.Repeat([]byte("printer-location Room 7; "), 40)
	like := bytes.Replace(text, []byte("7"), []byte("12"), 1)
	var p Packer
	for _, c := range []struct {
		name       string
		body, base []byte
		want       Shape
	}{
		{"a short body", text[:50], nil, Plain},
		{"a body that stands alone", text, nil, Deflate},
		{"a body like its base", like, text, Delta},
		{"a body unlike its base", text, noise, Deflate},
		{"noise", noise, nil, Plain},
		{"noise like its base", noise, noise, Delta},
	} {
		var base *Base
		if c.base != nil {
			base = NewBase(c.base)
		}
		stored, how, err := p.Pack(c.body, base)
		if err != nil || how != c.want || len(stored) > len(c.body) {
			t.Errorf("%s: Pack = %d of %d bytes in shape %d, %v, want shape %d", c.name, len(stored), len(c.body), how, err, c.want)
		}
		if got, err := Unpack(stored, how, c.base); err != nil || !bytes.Equal(got, c.body) {
			t.Errorf("%s: Unpack(Pack(%q)) = %q, %v", c.name, c.body, got, err)
		}
	}
	if NewBase(make([]byte, MaxBase+1)) != nil {
		t.Error("NewBase took a body that is too long")
	}
	if _, err := Unpack(nil, 9, nil); !errors.Is(err, ErrTorn) {
		t.Errorf("Unpack of an unknown shape = %v, want %v", err, ErrTorn)
	}
}

var keys = []Key{
	{Addr: netip.MustParseAddr("192.0.2.1"), Door: 1},
	{Addr: netip.MustParseAddr("192.0.2.1"), Door: 200, Attempt: 1},
	{Addr: netip.MustParseAddr("192.0.2.2"), Door: 1, ID: "00112233445566778899aabbccddeeff"},
	{Addr: netip.MustParseAddr("192.0.2.2"), Door: 1, Attempt: 2, ID: "00112233445566778899AABBCCDDEEFF"},
	{Addr: netip.MustParseAddr("2001:db8::1"), Door: 1, ID: "row 1"},
	{Addr: netip.MustParseAddr("fe80::1%eth0"), Door: 3},
}

func TestKeysComeBackInOrder(t *testing.T) {
	var last []byte
	for _, k := range keys {
		b := k.Append(nil)
		if got, err := ParseKey(b); err != nil || got != k {
			t.Errorf("ParseKey(%+v.Append) = %+v, %v", k, got, err)
		}
		if bytes.Compare(last, b) >= 0 {
			t.Errorf("%+v does not come after the one before", k)
		}
		last = b
	}
	from, to := PrefixRange(netip.MustParsePrefix("192.0.2.0/31"))
	for _, k := range keys {
		b := k.Append(nil)
		in := bytes.Compare(from, b) <= 0 && bytes.Compare(b, to) <= 0
		if want := k.Addr == netip.MustParseAddr("192.0.2.1"); in != want {
			t.Errorf("%+v within 192.0.2.0/31: %t, want %t", k, in, want)
		}
	}
}

// devices returns printers of one model.
func devices() []exposure.Observation {
	var all []exposure.Observation
	for i := range 3 {
		at := firstDay.Add(time.Duration(i) * time.Second)
		attributes := map[string][]string{
			"printer-name":          {fmt.Sprintf("printer-%d", i)},
			"printer-location":      {fmt.Sprintf("Room %d", i*7)},
			"printer-up-time":       {fmt.Sprint(1000 + i)},
			"printer-current-time":  {at.Format(time.RFC3339)},
			"printer-state-reasons": {"none"},
			"printer-supply":        {fmt.Sprintf("index=1;level=%d;", i)},
		}
		for j := range 20 {
			attributes[fmt.Sprintf("feature-%d-supported", j)] = []string{"na_letter_8.5x11in", "iso_a4_210x297mm"}
		}
		all = append(all, exposure.Observation{
			Observed: at, Received: at, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
			HTTP:     &exposure.HTTP{Status: 200, Server: "CUPS/2.4 IPP/2.1"},
			IPP:      &exposure.IPP{Version: "2.0", Exchanges: []exposure.Exchange{{Operation: "Get-Printer-Attributes", Error: "late"}}},
			Printers: []exposure.Printer{{Attributes: attributes}},
		})
	}
	return all
}

// anything returns an observation with any field, and any bytes in its texts.
func anything(r *rand.Rand) exposure.Observation {
	text := func() string {
		pool := []string{
			"", "none", "plain", "nul\x00inside", "bad\xff\xfeutf8", "007", "level=70;max=100", "1234567890123456789012",
			"2026-11-23T10:00:00Z", "2026-11-23T10:00:00+01:00", "2026-11-23T10:00:00.5Z", "2026-02-30T10:00:00Z", "-3",
			`Digest realm="CUPS", nonce="4f5e", qop`, `nonce="open`, "ünïcode", string(make([]byte, 300)),
		}
		return pool[r.IntN(len(pool))]
	}
	texts := func() []string {
		n := r.IntN(5) - 1
		if n < 0 {
			return nil
		}
		s := make([]string, n)
		for i := range s {
			s[i] = text()
		}
		return s
	}
	maybe := func(f func()) {
		if r.IntN(2) == 0 {
			f()
		}
	}
	code := func() exposure.StatusCode { return exposure.StatusCode(r.IntN(1 << 16)) }
	var raw [16]byte
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	addr := netip.AddrFrom16(raw)
	maybe(func() { addr = netip.AddrFrom4([4]byte(raw[:4])) })
	at := firstDay.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
	o := exposure.Observation{
		V: r.IntN(3), Observed: at, Received: at, Source: exposure.Source(text()), Vantage: text(),
		Addr: addr, Port: uint16(r.Uint32()), Transport: exposure.Transport(text()), Probe: exposure.Probe(text()),
		Attempt: r.IntN(3), Verdict: exposure.Verdict(text()), Reason: text(), Simulated: r.IntN(2) == 0,
		Where: exposure.Where{Country: text(), Region: text(), City: text(), ASN: r.Uint32(), ASName: text(), Hostname: text()},
	}
	maybe(func() { o.Received = at.Add(time.Duration(r.Int64N(1e12)) - 1e9) })
	maybe(func() {
		if r.IntN(3) == 0 {
			o.Received = time.Time{}
		}
	})
	maybe(func() {
		o.HTTP = &exposure.HTTP{
			Status: r.IntN(600) - 1, Server: text(), Authenticate: texts(), Upgrade: text(),
			ContentType: text(), Location: text(), Title: text(),
		}
		maybe(func() { o.HTTP.Pages = map[string]int{text(): 200, text(): 403} })
	})
	maybe(func() {
		o.IPP = &exposure.IPP{Version: text(), Status: code(), Versions: texts(), Lenient: texts(), Stopped: text()}
		for range r.IntN(4) {
			x := exposure.Exchange{Operation: text(), Path: text(), Version: text(), TLS: r.IntN(2) == 0, HTTP: r.IntN(600), Error: text()}
			maybe(func() { x.Status = new(code()) })
			o.IPP.Exchanges = append(o.IPP.Exchanges, x)
		}
	})
	maybe(func() { o.CUPS = &exposure.CUPS{Server: text(), Reported: text(), Queues: r.IntN(2) == 0} })
	maybe(func() {
		o.TLS = &exposure.TLS{Offered: true, Required: r.IntN(2) == 0, Version: text(), Cipher: text(), Error: text()}
		maybe(func() {
			o.TLS.Certificate = &exposure.Certificate{
				SHA256: text(), Subject: text(), Issuer: text(), Names: texts(),
				NotBefore: firstDay, NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 1, time.UTC), Key: text(),
				KeyBits: r.IntN(4096), Signature: text(), SelfSigned: r.IntN(2) == 0,
			}
			maybe(func() { o.TLS.Certificate.NotBefore = time.Time{} })
		})
	})
	maybe(func() { o.Jobs = &exposure.Jobs{Status: code(), Listed: r.IntN(99), Attributes: texts()} })
	maybe(func() {
		o.Callback = &exposure.Callback{
			UserAgent: text(), Posts: r.IntN(9), Connections: r.IntN(9),
			After: time.Duration(r.Int64()), Late: r.IntN(2) == 0, Asked: r.IntN(999), BytesIn: r.IntN(1 << 20),
			BytesOut: r.IntN(1 << 20), RatioApp: r.Float64() * 100, RatioIP: math.NaN(), Queue: text(),
		}
		maybe(func() { o.Callback.From = addr })
	})
	maybe(func() {
		o.Feed = &exposure.FeedRow{Type: text()}
		maybe(func() { o.Feed.Columns = map[string]string{text(): text(), "b" + text(): text()} })
	})
	maybe(func() {
		o.Printers = []exposure.Printer{}
		for range r.IntN(3) {
			p := exposure.Printer{}
			maybe(func() {
				p.Attributes = map[string][]string{text(): texts()}
				for _, v := range volatile {
					maybe(func() { p.Attributes[v.attribute] = texts() })
				}
			})
			o.Printers = append(o.Printers, p)
		}
	})
	return o
}
