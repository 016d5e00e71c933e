package campaign_test

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ippwatch/exposure"
)

// A mute stands in for package grab: every host is silent, at once. It looks at
// the heap on the way.
type mute struct {
	run   exposure.Run
	asked atomic.Int64
	most  atomic.Uint64
}

func (m *mute) Grab(_ context.Context, target netip.AddrPort) exposure.Observation {
	if m.asked.Add(1)%200_000 == 199_999 {
		m.most.Store(max(m.most.Load(), heap()))
	}
	return tcp(m.run, target, exposure.NoAnswer, m.run.Started)
}

// heap is what is alive on it.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSilenceCostsNoMemory(t *testing.T) {
	const limit = 20 << 20
	w := newWorld(t, "10.0.0.0/12") // 1,048,576 addresses
	if raceDetector {
		w = newWorld(t, "10.0.0.0/16")
	}
	w.begin(t)
	s := w.scan(t)
	m := &mute{run: w.run}
	s.Grabber, s.Concurrency = m, 200
	before := heap()
	sum := wholly(t, s)
	m.most.Store(max(m.most.Load(), heap()))
	if most := m.most.Load(); most > before+limit {
		t.Errorf("the heap grew by %d bytes for %d silent hosts, want less than %d", most-before, sum.Total, limit)
	}
	if sum.Verdicts[exposure.NoAnswer] != int(sum.Total) {
		t.Errorf("%d of %d were silent", sum.Verdicts[exposure.NoAnswer], sum.Total)
	}
}

// A talker stands in for package grab: every host answers at once. It counts
// those whose answers nobody has kept yet, its own among them.
type talker struct {
	run  exposure.Run
	kept atomic.Int64

	mu          sync.Mutex // guards what follows
	asked, most int64
}

func (h *talker) Grab(_ context.Context, target netip.AddrPort) exposure.Observation {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	h.most = max(h.most, h.asked-h.kept.Load())
	return tcp(h.run, target, exposure.Answered, h.run.Started)
}

func TestAnswersWaitInABoundedRoom(t *testing.T) {
	const room = 512 // with fewer conversations at once than that
	w := newWorld(t, "10.0.0.0/20")
	w.begin(t)
	s := w.scan(t)
	h := &talker{run: w.run}
	s.Grabber, s.Concurrency = h, 400
	s.Emit = func(o []exposure.Observation) error {
		h.kept.Add(int64(len(o)))
		return nil
	}
	sum := wholly(t, s)
	if n := h.kept.Load(); n != int64(sum.Total) {
		t.Errorf("%d of %d answers were kept", n, sum.Total)
	}
	if h.most > room {
		t.Errorf("%d answers waited at once, want at most %d", h.most, room)
	}
}
