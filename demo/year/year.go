// Package year writes a year that never was, and tells in it what happened in
// September 2024: so that every page of a fresh data directory has something to
// show, and a bench has a year to read.
//
// Invented are all hosts, people, organisations and counts, but for the figures
// that were published (facts/shadowserver.md 5): 107,289 instances in the special
// report of 2024-09-27, over 20,000 of them in the United States, nearly 13,000 in
// Germany, 2,500 in the Netherlands. No address is anybody's: they are of the
// networks for documentation and benchmarks, and of 240.0.0.0/4, which nobody has.
// Everything is marked as simulated.
package year

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/store"
)

// The days of the story, each at its midnight in UTC.
var (
	Begin      = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	SensorsUp  = time.Date(2024, 8, 12, 0, 0, 0, 0, time.UTC)
	Disclosure = time.Date(2024, 9, 26, 0, 0, 0, 0, time.UTC)
	Special    = time.Date(2024, 9, 27, 0, 0, 0, 0, time.UTC)
	FirstUDP   = time.Date(2024, 9, 28, 0, 0, 0, 0, time.UTC)
	FirstMails = time.Date(2024, 9, 30, 0, 0, 0, 0, time.UTC)
	End        = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) // the first day after
)

// Now is when the story is looked at: the morning after it.
var Now = End.Add(8 * time.Hour)

// gaps are days on which nothing was scanned, and torn those on which a scan did
// not come to its end.
var (
	gaps = days("2024-02-17", "2024-02-18", "2024-05-09", "2024-07-20", "2024-07-21", "2024-07-22", "2024-11-12")
	torn = days("2024-03-14", "2024-08-05", "2024-10-21")
)

func days(list ...string) map[time.Time]bool {
	set := make(map[time.Time]bool)
	for _, text := range list {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			panic(err) // it stands above
		}
		set[day] = true
	}
	return set
}

// Options say how much of it there is.
type Options struct {
	Seed uint64
	// Hosts is about how many a daily scan finds before the disclosure; 0: 300.
	// The year of a country has 100,000.
	Hosts int
	// Since is the first day of which anything is written; zero: all of the year.
	Since time.Time
	// Scaled makes a special report that is as small as the daily scans, and Deaf
	// leaves the sensors out: for those who want neither.
	Scaled, Deaf bool
	// Step is told how far it is, in percent; nil: nobody wants to know.
	Step func(percent int, what string)
}

// DefaultHosts are few enough to be written in seconds. They stand for a
// constituency, not for the world: the special report is of the world.
const DefaultHosts = 300

func (o Options) size() int {
	if o.Hosts == 0 {
		return DefaultHosts
	}
	return o.Hosts
}

// A writer writes the year.
type writer struct {
	Options
	store   *store.Store
	archive *archive.Archive
	hosts   []host
	runs    []run // of the days on which something was scanned

	what     string // is being written
	from, to int    // percent
}

// Write writes the year into a data directory that has nothing else in it. The
// same options write the same year.
func Write(ctx context.Context, st *store.Store, ar *archive.Archive, o Options) error {
	w := &writer{Options: o, store: st, archive: ar}
	w.hosts = population(o.Seed, o.size())
	w.runs = w.planRuns()
	for _, s := range []struct {
		what string
		ends int // percent of the time
		do   func(context.Context) error
	}{
		{"constituents and customers", 1, w.people},
		{"the special report", 22, w.special},
		{"daily scans", 62, w.scans},
		{"sensors", 72, w.sensors},
		{"cases", 77, w.cases},
		{"messages", 78, w.outreach},
		{"counts", 100, w.rollups},
	} {
		if w.Deaf && s.what == "sensors" {
			continue
		}
		w.what, w.from, w.to = s.what, w.to, s.ends
		w.step(0, 1)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("write the generated year: %s: %w", s.what, err)
		}
		w.step(1, 1)
	}
	return nil
}

// step tells how much of a part is done.
func (w *writer) step(done, of int) {
	if w.Step != nil {
		w.Step(w.from+(w.to-w.from)*done/of, w.what)
	}
}

// dice are the random numbers of one thing: what is told of it does not hang on
// what is told of others.
func (w *writer) dice(what uint64) *rand.Rand { return rand.New(rand.NewPCG(w.Seed, what)) } //nolint:gosec // it is a story

// A run is one daily scan.
type run struct {
	exposure.Run
	day time.Time
}

// planRuns are the scans of the year, at half past three in the night.
func (w *writer) planRuns() []run {
	var runs []run
	for day := Begin; day.Before(End); day = day.AddDate(0, 0, 1) {
		if gaps[day] || day.Before(w.Since) {
			continue
		}
		dice := w.dice(uint64(day.Unix())) //nolint:gosec // after 1970
		seed := make([]byte, 16)
		for i := range seed {
			seed[i] = byte(dice.Uint32())
		}
		began := day.Add(3*time.Hour + 30*time.Minute)
		r := exposure.Run{
			ID: began.Format("20060102T150405Z-") + hex.EncodeToString(seed[:3]), State: exposure.Done, Started: began,
			Ended: began.Add(time.Duration(80+dice.IntN(30)) * time.Minute), Vantage: "demo", AuthorisedBy: "nobody: this year is generated",
			ContactPoint: "nobody@example.net", Expires: End.AddDate(1, 0, 0), Scope: "networks: [198.18.0.0/15, 2001:db8::/32, 240.0.0.0/4]\n",
			Ports: []uint16{631}, UDPPort: 631, UDP: !day.Before(FirstUDP), Shards: 1, Seed: seed,
		}
		if torn[day] {
			r.State, r.Ended = exposure.Stopped, began.Add(20*time.Minute)
		}
		runs = append(runs, run{r, day})
	}
	return runs
}

func (w *writer) rollups(ctx context.Context) error {
	dirty, err := w.archive.DirtyDays(ctx)
	if err != nil {
		return err
	}
	for i, day := range dirty {
		w.step(i, len(dirty))
		if err := w.archive.Rollup(ctx, day); err != nil {
			return err
		}
	}
	return nil
}
