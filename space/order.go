package space

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// An Order visits every address of a set on every port exactly once, in an
// order that no network feels: neighbours in the order are strangers in the
// address space. It is computed, not stored, so a run resumes from one number
// and a /8 costs no more than a host. The seed keys it: same set, ports and
// seed, same order. An Order may be used by many goroutines at once.
//
// The construction is the generalised Feistel network on Z_a x Z_b, with
// a*b a little over the number of targets, and cycle walking for the rest:
// J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002.
// The round function is fast, not cryptographic: the order spreads load; secrecy
// is the business of tokens.
type Order struct {
	set    Set
	ports  []uint16 // ascending
	n      uint64   // addresses times ports
	a, b   uint64
	keys   [rounds]roundKey
	shard  uint64
	shards uint64
}

// Six rounds, two more than the four after which a Feistel network of random
// functions passes for a random permutation (Luby and Rackoff, 1988): ours are
// not random, and a round costs a few nanoseconds.
const rounds = 6

type roundKey struct{ pre, post uint64 }

// NewOrder returns the order in which shard number shard, from 0, of shards
// visits its part: the positions of the whole order that are congruent to shard
// modulo shards. The order of ports does not matter.
func NewOrder(set Set, ports []uint16, seed []byte, shard, shards int) (*Order, error) {
	switch {
	case len(seed) == 0:
		return nil, errors.New("order of targets: the seed is empty")
	case shards < 1 || shard < 0 || shard >= shards:
		return nil, fmt.Errorf("order of targets: shard %d of %d: want one of 0 to n-1", shard, shards)
	case len(ports) == 0:
		return nil, errors.New("order of targets: no port")
	}
	ports = slices.Sorted(slices.Values(ports))
	if ports[0] == 0 {
		return nil, errors.New("order of targets: port 0")
	}
	for i := range ports[1:] {
		if ports[i] == ports[i+1] {
			return nil, fmt.Errorf("order of targets: port %d is given twice", ports[i])
		}
	}
	o := &Order{
		set:    set,
		ports:  ports,
		n:      set.Len() * uint64(len(ports)), // below 2^48
		shard:  uint64(shard),
		shards: uint64(shards),
	}
	if o.n > 0 {
		o.a = max(1, uint64(math.Sqrt(float64(o.n))))
		o.b = (o.n + o.a - 1) / o.a
	}
	for i := range o.keys {
		sum := sha256.Sum256(fmt.Appendf(nil, "ippwatch order, round %d: %s", i, seed))
		o.keys[i] = roundKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
	}
	return o, nil
}

// Len returns the number of positions of this shard.
func (o *Order) Len() uint64 {
	if o.n <= o.shard {
		return 0
	}
	return (o.n - o.shard + o.shards - 1) / o.shards
}

// At returns the target at the position. It panics unless pos < Len.
func (o *Order) At(pos uint64) netip.AddrPort {
	if pos >= o.Len() {
		panic("space: Order.At: no target has that position")
	}
	x := o.forward(pos*o.shards + o.shard)
	for x >= o.n {
		x = o.forward(x)
	}
	p := uint64(len(o.ports))
	return netip.AddrPortFrom(o.set.At(x/p), o.ports[x%p])
}

// Position returns the position at which this shard visits the target. It is
// not ok for a target that is not in the order, or is visited by another shard.
func (o *Order) Position(t netip.AddrPort) (pos uint64, ok bool) {
	x, ok := o.whole(t)
	if !ok || x%o.shards != o.shard {
		return 0, false
	}
	return x / o.shards, true
}

// Shard returns the number of the shard that visits the target.
func (o *Order) Shard(t netip.AddrPort) (shard int, ok bool) {
	x, ok := o.whole(t)
	if !ok {
		return 0, false
	}
	return int(x % o.shards), true
}

// whole returns the position of the target in the whole order.
func (o *Order) whole(t netip.AddrPort) (uint64, bool) {
	i, ok := o.set.Index(t.Addr())
	if !ok {
		return 0, false
	}
	port, ok := slices.BinarySearch(o.ports, t.Port())
	if !ok {
		return 0, false
	}
	x := o.backward(i*uint64(len(o.ports)) + uint64(port))
	for x >= o.n {
		x = o.backward(x)
	}
	return x, true
}

// forward is a permutation of the numbers below a*b.
func (o *Order) forward(x uint64) uint64 {
	l, r := x/o.b, x%o.b
	for i := 0; i < rounds; i += 2 {
		l = addMod(l, o.keys[i].below(r, o.a), o.a)
		r = addMod(r, o.keys[i+1].below(l, o.b), o.b)
	}
	return l*o.b + r
}

// backward is its inverse.
func (o *Order) backward(x uint64) uint64 {
	l, r := x/o.b, x%o.b
	for i := rounds - 2; i >= 0; i -= 2 {
		r = addMod(r, o.b-o.keys[i+1].below(l, o.b), o.b)
		l = addMod(l, o.a-o.keys[i].below(r, o.a), o.a)
	}
	return l*o.b + r
}

// addMod returns x+y modulo m, for an x below m and a y not above it.
func addMod(x, y, m uint64) uint64 {
	if x += y; x >= m {
		x -= m
	}
	return x
}

// below returns a number below m that depends on all bits of x and the key: the
// finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a second key, and
// one more multiplication to carry that key into the high bits.
func (k roundKey) below(x, m uint64) uint64 {
	x ^= k.pre
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x = (x ^ x>>31) + k.post
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	hi, _ := bits.Mul64(x, m)
	return hi
}
