// Package courier carries what a sensor heard from its journal to where it is
// kept: over mutual TLS to another ippwatch, or to the archive beside it.
package courier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"ippwatch/exposure"
	"ippwatch/journal"
)

// Names of a sensor's journals. Counts are never shed.
const (
	Visits = "visits"
	Counts = "counts"
)

// A Parcel is what is carried at once.
type Parcel struct {
	Visits   []exposure.Visit
	Censuses []exposure.Census

	alien int // events of another sensor
}

// Empty reports whether there is nothing in it.
func (p *Parcel) Empty() bool { return len(p.Visits)+len(p.Censuses) == 0 }

// A Courier carries parcels out of a directory with journals. Everything is
// carried at least once: who keeps it knows it by its id.
type Courier struct {
	Dir string
	// Cursor is the file that says how far it came. It stands where only who runs
	// the courier can write: the directory of the journals belongs to whoever
	// hears strangers.
	Cursor  string
	Deliver func(context.Context, Parcel) error
	Log     *slog.Logger
	// Most is how many events go into one parcel; 0 is 500.
	Most int

	visits, counts journal.Reader
	loaded         bool
	spoiled        int64 // events that could not be read
	failing        bool
}

const (
	defaultMost = 500
	poll        = 500 * time.Millisecond
	firstRetry  = time.Second
	lastRetry   = time.Minute
)

// place is what the cursor's file holds.
type place struct {
	Visits journal.Cursor `json:"visits"`
	Counts journal.Cursor `json:"counts"`
}

// Run carries until the context ends. What fails is tried again, later and later
// up to a minute.
func (c *Courier) Run(ctx context.Context) error {
	retry := firstRetry
	for {
		n, err := c.Carry(ctx)
		wait := poll
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case errors.Is(err, errPlace):
			return err
		case err != nil:
			if !c.failing {
				c.Log.Warn("cannot deliver; what is heard waits on the disk", "err", err.Error())
			}
			c.failing = true
			wait = retry/2 + rand.N(retry/2)
			retry = min(2*retry, lastRetry)
		case n > 0:
			if c.failing {
				c.Log.Info("delivers again")
			}
			c.failing, retry = false, firstRetry
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// Drain carries what is left, until there is nothing or something fails.
func (c *Courier) Drain(ctx context.Context) error {
	for {
		n, err := c.Carry(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
}

// Carry carries one parcel, and says how many events were in it.
func (c *Courier) Carry(ctx context.Context) (int, error) {
	if err := c.load(); err != nil {
		return 0, err
	}
	before, after := c.visits, c.counts
	back := func() { c.visits, c.counts = before, after }
	p, n, err := c.parcel()
	if err != nil {
		back()
		return 0, err
	}
	if n == 0 {
		return 0, nil
	}
	if !p.Empty() {
		if err := c.Deliver(ctx, p); err != nil {
			back()
			return 0, err
		}
	}
	if lost := c.visits.Lost - before.Lost + c.counts.Lost - after.Lost; lost > 0 {
		c.Log.Warn("events were removed from the full disk, or damaged, before they could be delivered; they are in the counts", "events", lost)
	}
	return n, c.save()
}

// parcel reads what is next: counts first, because there are few and all hangs on them.
func (c *Courier) parcel() (p Parcel, n int, err error) {
	most := c.Most
	if most <= 0 {
		most = defaultMost
	}
	lines, err := c.counts.Read(most)
	if err != nil {
		return p, 0, err
	}
	n = len(lines)
	for _, line := range lines {
		var one exposure.Census
		if json.Unmarshal(line, &one) != nil {
			c.spoiled++
			continue
		}
		p.Censuses = append(p.Censuses, one)
	}
	if lines, err = c.visits.Read(most); err != nil {
		return p, 0, err
	}
	n += len(lines)
	for _, line := range lines {
		var one exposure.Visit
		if json.Unmarshal(line, &one) != nil {
			c.spoiled++
			continue
		}
		p.Visits = append(p.Visits, one)
	}
	return p, n, nil
}

var errPlace = errors.New("how far events were delivered")

func (c *Courier) load() error {
	if c.loaded {
		return nil
	}
	c.visits = journal.Reader{Dir: c.Dir, Name: Visits}
	c.counts = journal.Reader{Dir: c.Dir, Name: Counts}
	text, err := os.ReadFile(c.Cursor)
	if errors.Is(err, fs.ErrNotExist) {
		c.loaded = true
		return nil
	}
	var at place
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil {
		return fmt.Errorf("read %w: %w", errPlace, err)
	}
	c.visits.At, c.counts.At, c.loaded = at.Visits, at.Counts, true
	return nil
}

// save remembers how far it came. On a full disk it is remembered in memory
// only: after a restart some is delivered once more.
func (c *Courier) save() error {
	text, err := json.Marshal(place{c.visits.At, c.counts.At})
	if err != nil {
		return err
	}
	err = os.WriteFile(c.Cursor+".new", append(text, '\n'), 0o600)
	if err == nil {
		err = os.Rename(c.Cursor+".new", c.Cursor)
	}
	if err != nil && !c.failing {
		c.Log.Warn("cannot remember how far events were delivered", "err", err.Error())
	}
	return nil
}
