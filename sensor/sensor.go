// Package sensor listens where strangers come to a print service, and tells who
// came and how many there were. It is mute: it never sends on UDP, never asks
// for a name, and never opens a connection.
package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"ippwatch/exposure"
	"ippwatch/sensor/class"
)

// Options are how a sensor works.
type Options struct {
	Name  string // of the sensor, in all that it tells
	Judge *class.Judge
	// Tell is given visits, about every second. Count is given what was counted,
	// every minute and at the end. They are called one at a time, and while they
	// take their time packets are still received and counted.
	Tell  func([]exposure.Visit)
	Count func([]exposure.Census)
	// Health completes what the sensor says of itself; it may be nil.
	Health func(*exposure.Health)
	Log    *slog.Logger

	// Detail is how many new visits of one class are told a second. What comes
	// beyond is counted.
	Detail int
	// Workers are the sockets per address, each with a goroutine: 0 is one for
	// each core.
	Workers int
	// Buffer is what the kernel may hold for each socket, in bytes.
	Buffer int
}

// Bounds. All state of a sensor is bounded by them, whatever comes.
const (
	defaultDetail = 200
	defaultBuffer = 8 << 20
	mostTold      = 8192            // visits that may still repeat, of all workers
	leastTold     = 256             // of one
	mostVaried    = 16              // packets of one source and kind that are told apart
	keptPayload   = 2047            // of a packet: what cups-browsed reads
	foldFor       = time.Minute     // repeats within it are one visit
	tick          = time.Second     // how soon a visit is told
	countEvery    = time.Minute     // how often what was counted is told
	refill        = tick / 10       // how evenly the room for new visits comes
	burst         = 5 * time.Second // of room that is saved up
	lastBatches   = 1000            // that are still read at the end
)

// A Sensor hears visits and counts them.
type Sensor struct {
	o       Options
	room    room
	most    int // visits that may still repeat, of one worker
	workers []*worker
	heard   *fold // what is told of by others: see [Sensor.Hear]

	telling sync.Mutex // one at a time
	began   time.Time  // of the count that is going on
	dropped int64      // told already
}

// New returns a sensor that does not listen yet.
func New(o Options) *Sensor {
	if o.Detail <= 0 {
		o.Detail = defaultDetail
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Buffer <= 0 {
		o.Buffer = defaultBuffer
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sensor{o: o, room: room{each: int64(o.Detail)}, most: mostTold}
	s.room.fill(burst)
	s.heard = newFold(s)
	return s
}

// A worker is one socket and what came through it.
type worker struct {
	*socket
	*fold
}

// Listen opens the sockets, which may need a privilege that the process gives up
// afterwards. An address without a port of its own is refused by the kernel; one
// that is unspecified hears all of its family.
func (s *Sensor) Listen(ctx context.Context, addrs []netip.AddrPort) error {
	for _, at := range addrs {
		if err := s.listen(ctx, at); err != nil {
			return errors.Join(fmt.Errorf("listen at %s/udp: %w", at, err), s.Close())
		}
	}
	return nil
}

func (s *Sensor) listen(ctx context.Context, at netip.AddrPort) error {
	// Sockets that share a port would share it with another sensor, too, and
	// nobody would notice: the first one is alone.
	alone, err := listen(ctx, at, false, s.o.Buffer)
	if err != nil {
		return err
	}
	n := s.o.Workers
	if !canShare {
		n = 1
	}
	if n > 1 {
		at = alone.at
		if err := alone.close(); err != nil {
			return err
		}
	}
	for range n {
		socket := alone
		if n > 1 {
			if socket, err = listen(ctx, at, true, s.o.Buffer); err != nil {
				return err
			}
		}
		s.workers = append(s.workers, &worker{socket, newFold(s)})
	}
	return nil
}

// Listens are the addresses at which the sensor listens.
func (s *Sensor) Listens() (at []netip.AddrPort) {
	for i, w := range s.workers {
		if i == 0 || at[len(at)-1] != w.at {
			at = append(at, w.at)
		}
	}
	return at
}

// Buffer is what the kernel granted for each socket, in bytes.
func (s *Sensor) Buffer() int {
	if len(s.workers) == 0 {
		return 0
	}
	return s.workers[0].granted
}

// Blind reports whether the kernel does not tell how much it drops.
func (s *Sensor) Blind() bool {
	return slices.ContainsFunc(s.workers, func(w *worker) bool { return w.blind })
}

// Close closes the sockets.
func (s *Sensor) Close() error {
	var errs []error
	for _, w := range s.workers {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}

// Run hears until the context ends, then tells the rest.
func (s *Sensor) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		for _, w := range s.workers {
			w.stop()
		}
	})()
	s.began = time.Now()
	s.most = max(mostTold/max(len(s.workers), 1), leastTold)
	errs := make([]error, len(s.workers))
	var hearing sync.WaitGroup
	for i, w := range s.workers {
		hearing.Go(func() { errs[i] = w.hear() })
	}
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() { s.tellAll(done) })
	hearing.Wait()
	if len(s.workers) == 0 {
		<-ctx.Done()
	}
	close(done)
	telling.Wait()
	return errors.Join(errs...)
}

// hear receives until the socket is stopped.
func (w *worker) hear() error {
	b := newBatch()
	for {
		n, err := w.receive(b)
		if n > 0 {
			w.packets(b.got[:n], now())
		}
		if err != nil {
			// What came before the end is heard, if it is no flood.
			for range lastBatches {
				n := w.rest(b)
				if n == 0 {
					break
				}
				w.packets(b.got[:n], now())
			}
			return ended(err)
		}
	}
}

// tellAll tells what was heard, until the end and then the rest.
func (s *Sensor) tellAll(done <-chan struct{}) {
	t := time.NewTicker(refill)
	defer t.Stop()
	told, counted := now(), now()
	for ending := false; !ending; {
		select {
		case <-t.C:
			s.room.fill(refill)
		case <-done:
			ending = true
		}
		at := now()
		if at.since-told.since < tick && !ending {
			continue
		}
		told = at
		s.tell(at, ending)
		if at.since-counted.since >= countEvery || ending {
			counted = at
			s.count(at)
		}
	}
}

// tell passes on the visits that are due, or all.
func (s *Sensor) tell(at moment, all bool) {
	s.telling.Lock()
	defer s.telling.Unlock()
	var visits []exposure.Visit
	for _, f := range s.folds() {
		visits = f.due(visits, at, all)
	}
	if len(visits) > 0 {
		s.o.Tell(visits)
	}
}

// count passes on what was counted since the last time.
func (s *Sensor) count(at moment) {
	s.telling.Lock()
	defer s.telling.Unlock()
	var all counts
	for _, f := range s.folds() {
		all.merge(f.counted())
	}
	dropped := s.Dropped()
	health := exposure.Health{Dropped: dropped - s.dropped}
	s.dropped = dropped
	if s.o.Health != nil {
		s.o.Health(&health)
	}
	s.o.Count(all.censuses(s.o.Name, s.began, at.wall, health))
	s.began = at.wall
}

func (s *Sensor) folds() []*fold {
	all := []*fold{s.heard}
	for _, w := range s.workers {
		all = append(all, w.fold)
	}
	return all
}

// Dropped is how many packets the kernel dropped because the sensor was too slow.
func (s *Sensor) Dropped() (n int64) {
	for _, w := range s.workers {
		n += w.lost()
	}
	return n
}

// Heard is how many packets and requests came in.
func (s *Sensor) Heard() (n int64) {
	for _, f := range s.folds() {
		n += f.heard.Load()
	}
	return n
}

// Hear takes a visit over TCP, of which somebody else knows all but our name.
func (s *Sensor) Hear(v exposure.Visit) { s.heard.request(v, now()) }

// complete adds what all visits at this sensor have in common.
func (s *Sensor) complete(v *exposure.Visit) {
	v.V, v.Source, v.Sensor = exposure.Version, exposure.Sensor, s.o.Name
	v.Received = v.Ended
	v.ID = exposure.NewVisitID(v)
}

// A moment is one time by two clocks: what people call it, which somebody may
// set, and how long the process has lived, which nobody can.
type moment struct {
	wall  time.Time
	since time.Duration
}

var birth = time.Now()

func now() moment {
	t := time.Now()
	return moment{t.UTC().Round(0), t.Sub(birth)}
}
