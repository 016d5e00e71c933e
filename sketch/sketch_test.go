package sketch

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"testing"
)

func addr(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// TestEstimates holds that the estimate is near, also of what several counted.
func TestEstimates(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1000, 100_000} {
		addrs, networks, texts, merged := New(), New(), New(), New()
		for i := range n {
			part := New()
			if i%1000 == 0 { // somebody else counted this one, and some of ours
				part.Addr(addr(uint32(i)))
				part.Addr(addr(0))
				if err := merged.Merge(part.Bytes()); err != nil {
					t.Fatal(err)
				}
			}
			addrs.Addr(addr(uint32(i)))
			networks.Network(addr(uint32(i)))
			texts.Text(fmt.Sprint(i))
		}
		merged.Join(addrs)
		for name, got := range map[string]*Sketch{"addresses": addrs, "texts": texts, "merged": merged} {
			near(t, fmt.Sprintf("%d %s", n, name), got.Estimate(), n)
			again := New()
			if err := again.Merge(got.Bytes()); err != nil || again.Estimate() != got.Estimate() {
				t.Errorf("%d %s: read back %d, %v, want %d", n, name, again.Estimate(), err, got.Estimate())
			}
			if b := got.Bytes(); len(b) > 5000 {
				t.Errorf("%d %s: %d bytes", n, name, len(b))
			}
		}
		near(t, fmt.Sprintf("networks of %d", n), networks.Estimate(), (n+255)/256)
	}
	six := New()
	for i := range 100 {
		six.Network(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", i/10, i)))
	}
	near(t, "/48s", six.Estimate(), 10)
}

func near(t *testing.T, what string, got uint64, want int) {
	t.Helper()
	if math.Abs(float64(got)-float64(want)) > 0.06*float64(want)+0.5 {
		t.Errorf("%s: estimate %d, want about %d", what, got, want)
	}
}

func FuzzMerge(f *testing.F) {
	s := New()
	s.Text("x")
	f.Add(s.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) {
		s := New()
		s.Text("ours")
		_ = s.Merge(b) // any error will do
		s.Estimate()
		s.Text("more")
	})
}

func TestPointsCountWhatTheyStandFor(t *testing.T) {
	var both, even, odd Register
	for i := range uint64(100_000) {
		p := PointOf(mix(7, i))
		both.Add(p)
		if i%2 == 0 {
			even.Add(p)
		} else {
			odd.Add(p)
		}
		switch n := i + 1; n {
		case 1, 3, 30, 1000, 20_000, 100_000:
			if got := both.Estimate(); math.Abs(float64(got)-float64(n)) > max(0.5, 3*Error*float64(n)) {
				t.Errorf("after %d: about %d", n, got)
			}
		}
	}
	even.Join(&odd)
	if even != both {
		t.Error("the union of two halves is not the whole")
	}
	if n := new(Register).Estimate(); n != 0 {
		t.Errorf("nothing is about %d", n)
	}
}
