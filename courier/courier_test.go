package courier

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/exposure"
	"ippwatch/journal"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func visitOf(n int) exposure.Visit {
	v := exposure.Visit{
		V: 1, Source: exposure.Sensor, Sensor: "edge-1", Kind: exposure.Knock, Transport: exposure.UDP, Spoofable: true,
		Observed: noon.Add(time.Duration(n) * time.Second), Ended: noon.Add(time.Duration(n) * time.Second), Received: noon,
		Addr: netip.MustParseAddr("198.51.100.7"), Dst: netip.MustParseAddr("192.0.2.1"), Door: 631, Count: 1, Class: exposure.Unreadable, Severity: exposure.Info,
		Reasons: []string{"not_a_browse_packet"}, Evidence: []string{"it is none"},
	}
	v.ID = exposure.NewVisitID(&v)
	return v
}

func censusOf(n int) exposure.Census {
	c := exposure.Census{V: 1, Sensor: "edge-1", Transport: exposure.UDP, Class: exposure.Unreadable, Began: noon.Add(time.Duration(n) * time.Minute), Packets: 5}
	c.ID = exposure.NewCensusID(&c)
	return c
}

// A shelf keeps what comes, by id.
type shelf struct {
	mu       sync.Mutex
	fail     error
	parcels  int
	visits   map[exposure.ID]exposure.Visit
	censuses map[exposure.ID]exposure.Census
}

func (s *shelf) AppendVisits(_ context.Context, all []exposure.Visit) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if s.visits == nil {
		s.visits = map[exposure.ID]exposure.Visit{}
	}
	before := len(s.visits)
	for _, v := range all {
		s.visits[v.ID] = v
	}
	s.parcels++
	return len(s.visits) - before, nil
}

func (s *shelf) AppendCensuses(_ context.Context, all []exposure.Census) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if s.censuses == nil {
		s.censuses = map[exposure.ID]exposure.Census{}
	}
	before := len(s.censuses)
	for _, c := range all {
		s.censuses[c.ID] = c
	}
	return len(s.censuses) - before, nil
}

func (s *shelf) deliver(ctx context.Context, p Parcel) error {
	_, err := Keep(ctx, s, nil, p)
	return err
}

func write(t *testing.T, dir string, limit int64, visits, censuses []int) {
	t.Helper()
	for _, part := range []struct {
		name  string
		limit int64
		n     []int
		one   func(int) any
	}{{Visits, limit, visits, func(n int) any { return visitOf(n) }}, {Counts, 0, censuses, func(n int) any { return censusOf(n) }}} {
		j, err := journal.Open(journal.Options{Dir: dir, Name: part.name, Cap: part.limit, Segment: 4096})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range part.n {
			b, err := json.Marshal(part.one(n))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Append([][]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(from, to int) (all []int) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func newCourier(dir string, deliver func(context.Context, Parcel) error) *Courier {
	return &Courier{Dir: dir, Cursor: filepath.Join(dir, "cursor.json"), Deliver: deliver, Log: slog.New(slog.DiscardHandler), Most: 10}
}

// TestOutageLosesNothing fails a delivery for a day, and at every possible moment
// of the first parcels; what arrives in the end is all, once.
func TestOutageLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var s shelf
		s.fail = errors.New("away")
		write(t, dir, 0, numbers(0, 35), numbers(0, 25))
		c := newCourier(dir, s.deliver)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		write(t, dir, 0, numbers(35, 70), numbers(25, 30))
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(s.visits) != 70 || len(s.censuses) != 30 {
			t.Errorf("%d visits and %d censuses arrived, want 70 and 30", len(s.visits), len(s.censuses))
		}
	})
}

// TestRestartGoesOn: the place is kept, and what was delivered is not again.
func TestRestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	var s shelf
	write(t, dir, 0, numbers(0, 35), nil)
	for range 2 {
		if n, err := newCourier(dir, s.deliver).Carry(t.Context()); err != nil || n != 10 {
			t.Fatalf("Carry = %d, %v", n, err)
		}
	}
	if len(s.visits) != 20 {
		t.Fatalf("%d visits arrived, want 20", len(s.visits))
	}
	s.parcels = 0
	if err := newCourier(dir, s.deliver).Drain(t.Context()); err != nil || len(s.visits) != 35 || s.parcels != 2 {
		t.Errorf("Drain: %v; %d visits in %d parcels, want 35 in 2", err, len(s.visits), s.parcels)
	}
}

// TestCapCostsOldestVisitsAndNoCount lets the disk's cap remove visits while the
// other side is away.
func TestCapCostsOldestVisitsAndNoCount(t *testing.T) {
	dir := t.TempDir()
	var s shelf
	c := newCourier(dir, s.deliver)
	write(t, dir, 1<<20, numbers(0, 10), numbers(0, 1))
	if _, err := c.Carry(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, dir, 20_000, numbers(10, 500), numbers(1, 200))
	if err := c.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.censuses) != 200 {
		t.Errorf("%d censuses arrived, want 200", len(s.censuses))
	}
	newest := visitOf(499)
	if _, ok := s.visits[newest.ID]; !ok || len(s.visits) > 60 || len(s.visits) < 15 {
		t.Errorf("%d visits arrived, the newest %t", len(s.visits), ok)
	}
	if missing := int64(500 - len(s.visits)); c.visits.Lost != missing {
		t.Errorf("lost %d, told %d", missing, c.visits.Lost)
	}
}

func TestPlaceThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	c := newCourier(dir, nil)
	if err := os.WriteFile(c.Cursor, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, errPlace) {
		t.Errorf("Run = %v, want %v", err, errPlace)
	}
}

// pair makes keys for both sides.
func pair(t *testing.T, names ...string) map[string]Keys {
	t.Helper()
	dir := t.TempDir()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "CA"},
	}
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Keys{}
	caFile := file("ca", "CERTIFICATE", der)
	for i, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		one := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, Subject: pkix.Name{CommonName: name},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, one, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = Keys{Certificate: file(name+".crt", "CERTIFICATE", der), Key: file(name+".key", "PRIVATE KEY", secret), CA: caFile}
	}
	return all
}

// receiving runs a receiver and returns its URL.
func receiving(t *testing.T, s *shelf, k Keys) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{Archive: s, Now: func() time.Time { return noon.Add(time.Hour) }, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, l, k) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}

func TestOverMutualTLS(t *testing.T) {
	keys := pair(t, "central", "edge-1", "edge-2")
	stranger := pair(t, "edge-1")["edge-1"]
	stranger.CA = keys["central"].CA
	var s shelf
	url := receiving(t, &s, keys["central"])
	p := Parcel{Visits: []exposure.Visit{visitOf(1), visitOf(2)}, Censuses: []exposure.Census{censusOf(1)}}
	deliver := func(k Keys, p Parcel) error {
		r, err := NewRemote(url, k)
		if err != nil {
			t.Fatal(err)
		}
		return r.Deliver(t.Context(), p)
	}
	for range 2 { // twice: it may be sent again
		if err := deliver(keys["edge-1"], p); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.visits) != 2 || len(s.censuses) != 1 {
		t.Errorf("%d visits and %d censuses are kept", len(s.visits), len(s.censuses))
	}
	if v := s.visits[p.Visits[0].ID]; !v.Received.Equal(noon.Add(time.Hour)) {
		t.Errorf("received at %s", v.Received)
	}
	if err := deliver(keys["edge-2"], p); err == nil || !strings.Contains(err.Error(), `the certificate is of \"edge-2\"`) {
		t.Errorf("another sensor's events: %v", err)
	}
	if err := deliver(stranger, p); err == nil {
		t.Error("a stranger's certificate is accepted")
	}
	s.fail = errors.New("full")
	if err := deliver(keys["edge-1"], p); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("an archive that fails: %v", err)
	}
}

func TestRemoteRefusesOtherWays(t *testing.T) {
	k := pair(t, "edge-1")["edge-1"]
	for _, to := range []string{"http://central.example", "https://", "central.example:6310", "https://u:p@central.example", "https://central.example/?x"} {
		if _, err := NewRemote(to, k); err == nil {
			t.Errorf("NewRemote(%q) is accepted", to)
		}
	}
	for _, k := range []Keys{{}, {Certificate: k.Certificate, Key: k.Key}, {Certificate: k.Certificate, Key: k.Certificate, CA: k.CA}, {Certificate: k.Certificate, Key: k.Key, CA: k.Key}} {
		if _, err := NewRemote("https://central.example", k); err == nil {
			t.Errorf("NewRemote with %+v is accepted", k)
		}
	}
}

// TestReceiverIsNotFooled: a sensor may have been taken over.
func TestReceiverIsNotFooled(t *testing.T) {
	line := func(change func(*exposure.Visit)) string {
		v := visitOf(1)
		change(&v)
		b, err := json.Marshal(envelope{Visit: &v})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := line(func(*exposure.Visit) {})
	tests := []struct {
		name, body    string
		status        int
		kept, refused int
	}{
		{"one that is right", good, 200, 1, 0},
		{"among others that are not", good + "\nx\n{}\n" + line(func(v *exposure.Visit) { v.Count = 7 }), 200, 1, 3},
		{"another's", line(func(v *exposure.Visit) { v.Sensor = "edge-2"; v.ID = exposure.NewVisitID(v) }), 403, 0, 0},
		{"no sensor's", line(func(v *exposure.Visit) { v.Source = exposure.Shadowserver }), 200, 0, 1},
		{"of no class", line(func(v *exposure.Visit) { v.Class = "An attack" }), 200, 0, 1},
		{"of a class that came later", line(func(v *exposure.Visit) { v.Class = "of_tomorrow" }), 200, 1, 0},
		{"of the future", line(func(v *exposure.Visit) { v.Observed = noon.AddDate(1, 0, 0); v.ID = exposure.NewVisitID(v) }), 200, 0, 1},
		{"a line without an end", strings.Repeat("x", maxLine+1), 400, 0, 0},
		{"too many lines", strings.Repeat("{}\n", maxEvents+1), 400, 0, 0},
		{"nothing", "", 200, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s shelf
			r := &Receiver{Archive: &s, Now: func() time.Time { return noon.Add(time.Hour) }, Log: slog.New(slog.DiscardHandler)}
			w := post(r, []byte(tt.body), false)
			if w.Code != tt.status || len(s.visits) != tt.kept {
				t.Fatalf("%d: %s; %d kept, want %d and %d", w.Code, w.Body, len(s.visits), tt.status, tt.kept)
			}
			var got Receipt
			if w.Code == 200 && (json.Unmarshal(w.Body.Bytes(), &got) != nil || got.Refused != tt.refused) {
				t.Errorf("receipt %s, want %d refused", w.Body, tt.refused)
			}
		})
	}
	t.Run("a parcel that grows", func(t *testing.T) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range 1200 {
			fmt.Fprintln(z, strings.Repeat("x", 60_000))
		}
		_ = z.Close()
		w := post(&Receiver{Archive: &shelf{}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, b.Bytes(), true)
		if w.Code != 400 {
			t.Errorf("%d bytes that become 72 MB: %d %s", b.Len(), w.Code, w.Body)
		}
	})
}

func post(r *Receiver, body []byte, packed bool) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	if packed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "edge-1"}}}}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func FuzzReceive(f *testing.F) {
	v, c := visitOf(1), censusOf(1)
	for _, e := range []envelope{{Visit: &v}, {Census: &c}} {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	f.Add([]byte{0x1f, 0x8b}, true)
	f.Fuzz(func(t *testing.T, body []byte, packed bool) {
		var s shelf
		r := &Receiver{Archive: &s, Now: func() time.Time { return noon.Add(time.Hour) }, Log: slog.New(slog.DiscardHandler)}
		w := post(r, body, packed)
		for _, v := range s.visits {
			if v.Sensor != "edge-1" || v.Source != exposure.Sensor || v.Class == "" {
				t.Errorf("kept %+v", v)
			}
		}
		if w.Code != 200 && len(s.visits)+len(s.censuses) > 0 {
			t.Errorf("%d, and something is kept", w.Code)
		}
	})
}
