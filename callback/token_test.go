package callback

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	sealed = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	target = netip.MustParseAddrPort("192.0.2.77:631")
)

func newKey(t testing.TB, run string) *Key {
	t.Helper()
	key, err := NewKey(run, NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTokenTellsRunAndTarget(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	key := newKey(t, "run-1")
	seen := make(map[string]bool)
	for range 2000 {
		want := Token{
			Run:     "run-1",
			Target:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}), uint16(rng.Uint32())),
			Attempt: uint8(rng.Uint32()),
			Sealed:  sealed.Add(time.Duration(rng.IntN(1e6)) * time.Second),
		}
		text := key.Seal(want.Target, want.Attempt, want.Sealed)
		if len(text) != TokenLen {
			t.Fatalf("Seal(%v) = %q: %d letters, want %d", want, text, len(text), TokenLen)
		}
		if seen[text] {
			t.Fatalf("Seal(%v) = %q, which another target has", want, text)
		}
		seen[text] = true
		if got, ok := key.Open(text); !ok || got != want {
			t.Fatalf("Open(Seal(%v)) = %v, %t", want, got, ok)
		}
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	key := newKey(t, "run-1")
	text := key.Seal(target, 1, sealed)
	for i := range len(text) * 8 {
		b := []byte(text)
		b[i/8] ^= 1 << (i % 8)
		if got, ok := key.Open(string(b)); ok {
			t.Errorf("Open(%q), bit %d of %q flipped = %v", b, i, text, got)
		}
	}
	// The letters carry three bits more than the token has.
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz234567") {
		if b := append([]byte(text[:TokenLen-1]), c); string(b) != text {
			if got, ok := key.Open(string(b)); ok {
				t.Errorf("Open(%q) = %v, another spelling of %q", b, got, text)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	key := newKey(t, "run-1")
	text := key.Seal(target, 0, sealed)
	tests := []struct{ name, token string }{
		{"nothing", ""},
		{"a shorter token", text[:TokenLen-1]},
		{"a longer token", text + "a"},
		{"a token in upper case", string(bytes.ToUpper([]byte(text)))},
		{"a line break, which base32 skips", text[:10] + "\n" + text[11:]},
		{"the token of another run", newKey(t, "run-2").Seal(target, 0, sealed)},
		{"the token of the same run under another secret", newKey(t, "run-1").Seal(target, 0, sealed)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := key.Open(tt.token); ok {
				t.Errorf("Open(%q) = %v, want refused", tt.token, got)
			}
		})
	}
}

func TestKeyIsTheSameFromTheSameSecret(t *testing.T) {
	secret := NewSecret()
	a, err := NewKey("run-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKey("run-1", secret)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := b.Open(a.Seal(target, 0, sealed)); !ok || got.Target != target {
		t.Errorf("a key made again from its secret opens %v, %t", got, ok)
	}
	if _, err := NewKey("run-1", secret[1:]); err == nil {
		t.Error("NewKey takes a secret that is too short")
	}
}

func FuzzOpen(f *testing.F) {
	key, err := NewKey("run-1", make([]byte, SecretSize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.Seal(target, 0, sealed))
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := key.Open(text); ok && key.Seal(got.Target, got.Attempt, got.Sealed) != text {
			t.Errorf("Open(%q) = %v, which seals to something else", text, got)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	key := newKey(b, "run-1")
	b.ReportAllocs()
	for b.Loop() {
		key.Seal(target, 0, sealed)
	}
}

func BenchmarkOpen(b *testing.B) {
	key := newKey(b, "run-1")
	text := key.Seal(target, 0, sealed)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := key.Open(text); !ok {
			b.Fatal("refused")
		}
	}
}
