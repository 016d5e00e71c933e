package form

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
)

// FuzzJoin feeds the reader of stored parts; what it takes must come back from
// being split and joined again.
func FuzzJoin(f *testing.F) {
	var s Splitter
	var p Parts
	for _, o := range devices() {
		s.Split(&p, &o)
		f.Add([]byte(p.Stable), []byte(p.Moving))
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 40 {
		o := anything(r)
		s.Split(&p, &o)
		f.Add([]byte(p.Stable), []byte(p.Moving))
	}
	f.Fuzz(func(t *testing.T, stable, moving []byte) {
		first := exposure.Observation{Observed: firstDay}
		if Join(&first, stable, moving) != nil {
			return
		}
		var s Splitter
		var p Parts
		s.Split(&p, &first)
		second := exposure.Observation{Observed: firstDay}
		if err := Join(&second, p.Stable, p.Moving); err != nil {
			t.Fatalf("Join(Split(%+v)): %v", first, err)
		}
		if diff := cmp.Diff(first, second, asKept); diff != "" {
			t.Fatalf("joined, split and joined, -want +got:\n%s", diff)
		}
	})
}

// FuzzDelta writes one body against another and reads it back, and reads what
// nobody wrote.
func FuzzDelta(f *testing.F) {
	var bodies [][]byte
	var s Splitter
	var p Parts
	for _, o := range devices() {
		s.Split(&p, &o)
		bodies = append(bodies, bytes.Clone(p.Stable))
	}
	f.Add(bodies[0], bodies[1])
	f.Add(bodies[0], bodies[0])
	f.Add([]byte("abcdefabcdef"), []byte("xabcdefyabcdefabcdef"))
	f.Add([]byte{}, []byte("alone"))
	f.Fuzz(func(t *testing.T, base, body []byte) {
		b := NewBase(base)
		if b == nil {
			return
		}
		written := b.delta(nil, body)
		got, err := undelta(base, written)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("undelta(delta(%q)) over %q = %q, %v", body, base, got, err)
		}
		if got, err := undelta(base, body); err == nil && len(got) > maxBody {
			t.Fatalf("undelta made %d bytes", len(got))
		}
	})
}

// FuzzKey reads keys that nobody wrote.
func FuzzKey(f *testing.F) {
	for _, k := range keys {
		f.Add(k.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil || !k.Addr.IsValid() {
			return
		}
		again := k.Append(nil)
		if got, err := ParseKey(again); err != nil || got != k {
			t.Fatalf("ParseKey(%+v.Append) = %+v, %v", k, got, err)
		}
		if from, to := AddrRange(k.Addr); k.Door >= 0 && (bytes.Compare(again, from) < 0 || bytes.Compare(again, to) > 0) {
			t.Errorf("key %x is not within %v", again, k.Addr)
		}
		prefix, err := k.Addr.WithZone("").Prefix(k.Addr.BitLen() - 3)
		if err != nil {
			t.Fatal(err)
		}
		if from, to := PrefixRange(prefix); k.Door >= 0 && k.Addr.Zone() == "" && (bytes.Compare(again, from) < 0 || bytes.Compare(again, to) > 0) {
			t.Errorf("key %x is not within %v", again, prefix)
		}
	})
}
