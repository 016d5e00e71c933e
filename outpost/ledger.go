package outpost

import (
	"encoding/json"
	"log/slog"
	"sync"

	"ippwatch/courier"
	"ippwatch/exposure"
	"ippwatch/journal"
)

// A ledger writes down what the sensor tells. A full disk costs visits, the
// oldest first, and never counts: those wait in memory until there is room.
type ledger struct {
	log *slog.Logger

	mu        sync.Mutex
	visits    *journal.Journal
	counts    *journal.Journal
	waiting   []exposure.Census
	unwritten int64
	ill       bool
	// refused is how many connections the print service refused so far; nil is none.
	refused func() int64
	told    int64 // of those
}

// mostWaiting is how many censuses wait one by one. Of more, those of a kind
// become one.
const mostWaiting = 2000

func (l *ledger) open(dir string, keep int64) (err error) {
	if l.visits, err = journal.Open(journal.Options{Dir: dir, Name: courier.Visits, Cap: keep}); err != nil {
		return err
	}
	l.counts, err = journal.Open(journal.Options{Dir: dir, Name: courier.Counts})
	return err
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range []*journal.Journal{l.visits, l.counts} {
		if err := j.Close(); err != nil {
			l.log.Error("cannot close the journal", "err", err.Error())
		}
	}
}

func (l *ledger) tell(visits []exposure.Visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := make([][]byte, 0, len(visits))
	for i := range visits {
		b, err := json.Marshal(&visits[i])
		if err != nil {
			l.unwritten++
			l.trouble(err)
			continue
		}
		lines = append(lines, b)
	}
	n, err := l.visits.Append(lines)
	l.unwritten += int64(len(lines) - n)
	if err == nil {
		err = l.visits.Sync()
	}
	l.trouble(err)
}

func (l *ledger) count(censuses []exposure.Census) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, censuses...)
	err := l.settle()
	for err != nil && l.visits.Shed() {
		err = l.settle() // counts matter more than the oldest visits
	}
	if err == nil {
		err = l.counts.Sync()
	}
	l.trouble(err)
	if len(l.waiting) > mostWaiting {
		l.waiting = thin(l.waiting)
	}
}

// settle writes the censuses that wait.
func (l *ledger) settle() error {
	for len(l.waiting) > 0 {
		b, err := json.Marshal(&l.waiting[0])
		if err != nil {
			return err
		}
		if _, err := l.counts.Append([][]byte{b}); err != nil {
			return err
		}
		l.waiting = l.waiting[1:]
	}
	l.waiting = nil
	return nil
}

// trouble tells of the first error, and of its end.
func (l *ledger) trouble(err error) {
	switch {
	case err != nil && !l.ill:
		l.log.Error("cannot write the journal; visits are lost, counts wait in memory", "err", err.Error())
	case err == nil && l.ill:
		l.log.Info("the journal is written again")
	}
	l.ill = err != nil
}

// health says what was lost since it was last asked.
func (l *ledger) health(h *exposure.Health) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.Unwritten, h.Shed = l.unwritten, l.visits.TakeShed()
	l.unwritten = 0
	if l.refused != nil {
		n := l.refused()
		h.Refused, l.told = n-l.told, n
	}
}

// thin makes one census of all of a kind. What is unique cannot be added up: of
// that the highest estimate stays, which is too low.
func thin(all []exposure.Census) []exposure.Census {
	type kind struct {
		transport exposure.Transport
		class     exposure.Class
	}
	at := make(map[kind]int)
	var few []exposure.Census
	for _, c := range all {
		k := kind{c.Transport, c.Class}
		i, had := at[k]
		if !had {
			at[k] = len(few)
			few = append(few, c)
			continue
		}
		t := &few[i]
		t.Ended = c.Ended
		t.Packets += c.Packets
		t.Bytes += c.Bytes
		t.Told += c.Told
		t.Listed += c.Listed
		for _, d := range [][2]*exposure.Distinct{{&t.Sources, &c.Sources}, {&t.Networks, &c.Networks}, {&t.Hosts, &c.Hosts}} {
			if d[1].Estimate > d[0].Estimate {
				*d[0] = *d[1]
			}
		}
		if t.Health != nil && c.Health != nil {
			sum := exposure.Health{
				Dropped: t.Health.Dropped + c.Health.Dropped, Unwritten: t.Health.Unwritten + c.Health.Unwritten, Shed: t.Health.Shed + c.Health.Shed,
				Refused: t.Health.Refused + c.Health.Refused,
			}
			t.Health = &sum
		}
	}
	return few
}
