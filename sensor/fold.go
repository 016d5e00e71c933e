package sensor

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ippwatch/exposure"
	"ippwatch/sensor/class"
	"ippwatch/sketch"
)

// A datagram is one packet as it was received. Its payload is good until the
// next batch.
type datagram struct {
	src     netip.AddrPort
	dst     netip.AddrPort
	ttl     uint8
	payload []byte
}

// A fold makes visits of packets: what repeats within a minute is one visit with
// a count. It holds the most recent ones only, and what it has no room for is
// counted.
type fold struct {
	s     *Sensor
	seed  maphash.Seed
	heard atomic.Int64

	mu     sync.Mutex
	known  map[key]*entry
	there  [1 << 16]uint16 // how many entries there are of sources with this hash
	oldest entry           // the ring of all entries, the least recently used first
	n      int
	out    []exposure.Visit // made room for others before they were due
	counts counts
}

// A key is what repeats: one source, one receiver, and either the same packet or
// the same class and call-back host.
type key struct {
	src, dst [16]byte
	sum      uint64
}

// An entry is a visit that may still repeat.
type entry struct {
	prev, next *entry
	keys       [2]key // by which it is known; the second may be zero
	varied     int    // of its second key: how many packets were told apart

	visit       exposure.Visit // as it was first told, or will be
	class       int
	listed      bool
	host        string // of the call-back
	told        bool
	first, last moment // of what was not told yet
	n           int64  // not told yet
	bytes       int64
	uncounted   int64 // of n and what was told, not in counts yet
	ungauged    int64 // bytes of those
}

func newFold(s *Sensor) *fold {
	f := &fold{s: s, seed: maphash.MakeSeed(), known: make(map[key]*entry)}
	f.oldest.prev, f.oldest.next = &f.oldest, &f.oldest
	return f
}

// packets takes a batch.
func (f *fold) packets(batch []datagram, at moment) {
	f.heard.Add(int64(len(batch)))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range batch {
		f.packet(&batch[i], at)
	}
}

func (f *fold) packet(d *datagram, at moment) {
	src := d.src.Addr()
	same := key{src: src.As16(), dst: d.dst.Addr().As16()}
	// Of most sources of a flood there is nothing yet.
	familiar := f.there[slot(src)] > 0
	if familiar {
		same.sum = f.sum(d.payload)
		if e := f.known[same]; e != nil {
			f.again(e, len(d.payload), at)
			return
		}
	}
	r := f.s.o.Judge.Packet(src, d.dst.Addr(), d.payload)
	n := number(r.Class)
	alike := key{src: same.src, dst: same.dst}
	var group *entry
	if familiar {
		alike.sum = f.kind(n, &r)
		group = f.known[alike]
	}
	if group != nil && group.varied >= mostVaried {
		f.again(group, len(d.payload), at)
		return
	}
	told := f.s.room.take(n)
	c := f.counts.class(n, exposure.UDP)
	c.add(1, int64(len(d.payload)), r.Listed(), told)
	c.who(src, r.Call.Host, r.Calls, 1)
	if !told {
		return
	}
	e := &entry{class: n, listed: r.Listed(), first: at, last: at, n: 1, bytes: int64(len(d.payload))}
	if r.Calls {
		e.host = strings.Clone(r.Call.Host)
	}
	if !familiar {
		same.sum, alike.sum = f.sum(d.payload), f.kind(n, &r)
	}
	e.keys[0] = same
	if group == nil {
		e.keys[1] = alike
	} else {
		group.varied++
	}
	f.describe(&e.visit, d, &r)
	f.insert(e)
}

// slot is where a source is counted in there.
func slot(src netip.Addr) uint16 { return uint16(sketch.HashAddr(src)) }

// sum is a hash of the packet that nobody outside can aim at.
func (f *fold) sum(payload []byte) uint64 {
	return maphash.Bytes(f.seed, payload[:min(len(payload), keptPayload)])<<1 ^ uint64(len(payload))<<1
}

// kind is a hash of the class and the call-back host; it is odd, as no sum is.
func (f *fold) kind(class int, r *class.Reading) uint64 {
	h := uint64(class)
	if r.Calls {
		h = maphash.String(f.seed, r.Call.Host) + h*0x9e3779b97f4a7c15 + uint64(r.Call.Port)
	}
	return h<<1 | 1
}

// again counts one more of the same.
func (f *fold) again(e *entry, size int, at moment) {
	if e.n == 0 {
		e.first = at
	}
	e.n++
	e.bytes += int64(size)
	e.uncounted++
	e.ungauged += int64(size)
	e.last = at
	if f.oldest.prev != e {
		e.prev.next, e.next.prev = e.next, e.prev
		f.push(e)
	}
}

func (f *fold) push(e *entry) {
	e.prev, e.next = f.oldest.prev, &f.oldest
	e.prev.next, e.next.prev = e, e
}

func (f *fold) insert(e *entry) {
	if f.n >= f.s.most {
		oldest := f.oldest.next
		if oldest.n > 0 {
			f.out = append(f.out, f.finish(oldest))
		}
		f.drop(oldest)
	}
	f.push(e)
	f.n++
	f.there[slot(e.visit.Addr)]++
	for _, k := range e.keys {
		if k != (key{}) {
			f.known[k] = e
		}
	}
}

func (f *fold) drop(e *entry) {
	f.settle(e)
	e.prev.next, e.next.prev = e.next, e.prev
	f.n--
	f.there[slot(e.visit.Addr)]--
	for _, k := range e.keys {
		if k != (key{}) && f.known[k] == e {
			delete(f.known, k)
		}
	}
}

// settle brings what repeated into the counts.
func (f *fold) settle(e *entry) {
	if e.uncounted == 0 {
		return
	}
	c := f.counts.class(e.class, exposure.UDP)
	c.who(e.visit.Addr, e.host, e.visit.Callback != nil, e.uncounted)
	c.Packets += e.uncounted
	c.Bytes += e.ungauged
	c.Told += e.uncounted
	if e.listed {
		c.Listed += e.uncounted
	}
	e.uncounted, e.ungauged = 0, 0
}

// describe writes down what does not change when it repeats.
func (f *fold) describe(v *exposure.Visit, d *datagram, r *class.Reading) {
	digest := sha256.Sum256(d.payload)
	*v = exposure.Visit{
		Kind: exposure.Knock, Transport: exposure.UDP, Addr: d.src.Addr(), Port: d.src.Port(), Dst: d.dst.Addr(), Door: d.dst.Port(), TTL: d.ttl,
		Payload: append([]byte(nil), d.payload[:min(len(d.payload), keptPayload)]...), PayloadSHA256: hex.EncodeToString(digest[:]), PayloadBytes: len(d.payload),
	}
	r.Tell(v)
}

// finish returns the visit with what was not told yet.
func (f *fold) finish(e *entry) exposure.Visit {
	v := e.visit
	v.Observed = e.first.wall
	// Not the wall clock's: it may have been set back meanwhile.
	v.Ended = v.Observed.Add(e.last.since - e.first.since)
	v.Count, v.Bytes = int(e.n), e.bytes
	f.s.complete(&v)
	e.n, e.bytes, e.told = 0, 0, true
	return v
}

// due appends the visits that are to be told now, and forgets what has not
// repeated for a while.
func (f *fold) due(visits []exposure.Visit, at moment, all bool) []exposure.Visit {
	f.mu.Lock()
	defer f.mu.Unlock()
	visits = append(visits, f.out...)
	f.out = nil
	for e := f.oldest.next; e != &f.oldest; {
		next := e.next
		switch {
		case e.n > 0 && (all || !e.told || at.since-e.first.since >= foldFor):
			visits = append(visits, f.finish(e))
		case e.n == 0 && at.since-e.last.since >= foldFor:
			f.drop(e)
		}
		e = next
	}
	return visits
}

// counted returns what was counted, and begins anew.
func (f *fold) counted() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.oldest.next; e != &f.oldest; e = e.next {
		f.settle(e)
	}
	all := f.counts
	f.counts = counts{}
	return all
}

// request takes a visit over TCP. Each is one, if there is room.
func (f *fold) request(v exposure.Visit, at moment) {
	f.heard.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	n := number(v.Class)
	told := f.s.room.take(n)
	c := f.counts.class(n, exposure.TCP)
	c.add(1, v.Bytes, len(v.Scanners) > 0, told)
	c.who(v.Addr, "", false, 1)
	if !told {
		return
	}
	v.Transport, v.Kind = exposure.TCP, exposure.Request
	if v.Observed.IsZero() {
		v.Observed = at.wall
	}
	if v.Ended.Before(v.Observed) {
		v.Ended = v.Observed
	}
	v.Observed, v.Ended = v.Observed.UTC(), v.Ended.UTC()
	v.Count = max(v.Count, 1)
	v.Reasons = slices.Clone(v.Reasons)
	for i, word := range v.Reasons {
		v.Reasons[i] = strings.ReplaceAll(word, "-", "_") // as over UDP
	}
	f.s.complete(&v)
	f.out = append(f.out, v)
}
