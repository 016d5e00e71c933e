package shadowserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/edition"
	"ippwatch/gate"
	"ippwatch/report"
)

// A holder is whose reports are asked for.
type holder struct {
	constituent string // empty: who sees all
	view        access.View
}

func holderOf(v *gate.Visit) holder { return holder{v.Key.Constituent, v.View} }

// An issue is one report of one list.
type issue struct {
	list string
	day  time.Time
	kind report.Type
	file string
	rows int
	body []byte // gzip
}

// A volume is the issues of a day, in the order of lists and types.
type volume struct {
	all []issue
	// total counts each host once, whoever's it is.
	total map[report.Type]int
}

func (v *volume) find(list string, kind report.Type) (issue, bool) {
	for _, i := range v.all {
		if i.list == list && i.kind == kind {
			return i, true
		}
	}
	return issue{}, false
}

func (v *volume) size() (n int) {
	for _, i := range v.all {
		n += len(i.body)
	}
	return n
}

// bind makes the reports of a day. What one key sees is read as that key: no
// row of another's is in memory.
func (s *server) bind(ctx context.Context, h holder, day time.Time) (*volume, error) {
	rows, err := edition.Rows(ctx, h.view, s.Archive, s.Store, day, archive.Query{})
	if err != nil {
		return nil, err
	}
	shares := []report.Share{{Name: h.constituent, Rows: rows}}
	if h.constituent == "" {
		d, err := s.People.Directory(ctx, access.CLI(h.view.At))
		if err != nil {
			return nil, err
		}
		shares = edition.Shares(rows, d)
	}
	v := &volume{total: make(map[report.Type]int)}
	for i := range rows {
		for _, t := range report.Types {
			if t.Holds(&rows[i].Observation) {
				v.total[t]++
			}
		}
	}
	for _, job := range report.Jobs(shares, report.All, []report.Format{report.FormatCSV}) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		n, err := job.Write(z, report.Cover{Date: day})
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue // Shadowserver sends none, too
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		file, err := job.File(day)
		if err != nil {
			return nil, err
		}
		v.all = append(v.all, issue{job.Name, day, job.Type, file, n, b.Bytes()})
	}
	return v, nil
}

// How long a day stays on the shelf, and how much may. A collector lists a day
// and then gets each of its files: all of them are made in one go.
const (
	freshFor  = 5 * time.Minute
	shelfSize = 64 << 20
)

// A shelf has the days that were asked for lately.
type shelf struct {
	bind func(ctx context.Context, h holder, day time.Time) (*volume, error)

	making chan struct{} // one day is made at a time
	mu     sync.Mutex
	days   map[place]kept
}

type place struct {
	constituent string
	day         int64
}

type kept struct {
	*volume
	made time.Time
}

func newShelf(bind func(ctx context.Context, h holder, day time.Time) (*volume, error)) *shelf {
	return &shelf{bind: bind, making: make(chan struct{}, 1), days: make(map[place]kept)}
}

// of returns the reports of the day.
func (s *shelf) of(ctx context.Context, h holder, day time.Time) (*volume, error) {
	at := place{h.constituent, day.Unix()}
	if v := s.look(at, h.view.At); v != nil {
		return v, nil
	}
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if v := s.look(at, h.view.At); v != nil { // somebody made it while we waited
		return v, nil
	}
	v, err := s.bind(ctx, h, day)
	if err != nil {
		return nil, err
	}
	s.put(at, kept{v, h.view.At})
	return v, nil
}

func (s *shelf) look(at place, now time.Time) *volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.days[at]
	if !ok || now.Sub(k.made) >= freshFor {
		return nil
	}
	return k.volume
}

// put keeps a day, and takes away what is stale, and then the oldest until there
// is room.
func (s *shelf) put(at place, k kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.days[at] = k
	size := 0
	for p, other := range s.days {
		if k.made.Sub(other.made) >= freshFor {
			delete(s.days, p)
			continue
		}
		size += other.size()
	}
	for size > shelfSize && len(s.days) > 1 {
		oldest, found := at, false
		for p, other := range s.days {
			if p != at && (!found || other.made.Before(s.days[oldest].made)) {
				oldest, found = p, true
			}
		}
		size -= s.days[oldest].size()
		delete(s.days, oldest)
	}
}
