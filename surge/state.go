package surge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"ippwatch/exposure"
)

// A State is all that is remembered between two looks. It is a summary of what
// the archive has, and can be computed again from it.
type State struct {
	V        int       `json:"v"`
	Detector *Detector `json:"detector"`
	Aims     *Aims     `json:"aims"`
	Visits   time.Time `json:"visits"` // until when they were looked at
}

const (
	version = 1
	// File is its name in the data directory.
	File = "surge.json"
	// history is how far back one begins that remembers nothing.
	history = 10 * 7 * 24 * time.Hour
	// grace is how long an hour waits for what sensors forward late; what comes
	// later is in no count of an hour.
	grace = 10 * time.Minute
	// overlap is how much of the visits is looked at again, for the same reason.
	overlap = time.Hour
)

// Load reads the state from a data directory. One that is not there, or of
// another version, is begun anew.
func Load(dir string) (*State, error) {
	s := &State{V: version, Detector: New(Config{}), Aims: NewAims()}
	b, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is usual: %w", err)
	}
	var had State
	if whole := json.Unmarshal(b, &had) == nil; whole && had.V == version && had.Detector != nil && had.Aims != nil {
		had.Detector.Restored(Config{})
		return &had, nil
	}
	return s, nil
}

// Save writes the state into a data directory, whole or not at all.
func (s *State) Save(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep what is usual: %w", err)
	}
	f, err := os.CreateTemp(dir, File+"-") // 0600
	if err != nil {
		return fmt.Errorf("keep what is usual: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, File))
	}
	if err != nil {
		return fmt.Errorf("keep what is usual: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Sources are where counts and visits come from, in the order of time, from a
// time up to another.
type Sources struct {
	Censuses func(from, to time.Time) iter.Seq2[exposure.Census, error]
	Visits   func(from, to time.Time) iter.Seq2[exposure.Visit, error]
}

// Advance takes in what has come since the last time.
func (s *State) Advance(now time.Time, from Sources) error {
	now = now.UTC()
	next := now.Add(-history).Truncate(time.Hour)
	if t := s.Detector.Through; !t.IsZero() && t.Add(time.Hour).After(next) {
		next = t.Add(time.Hour)
	}
	end := now.Add(-grace).Truncate(time.Hour)
	if next.Before(end) {
		if err := s.hours(next, end, from); err != nil {
			return err
		}
	}
	since := now.Add(-recent)
	if t := s.Visits.Add(-overlap); t.After(since) {
		since = t
	}
	for v, err := range from.Visits(since, now) {
		if err != nil {
			return err
		}
		s.Aims.Visit(&v)
	}
	s.Visits = now
	return nil
}

// hours takes in whole hours. Those of which no sensor told anything are passed
// over: nothing was seen in them.
func (s *State) hours(next, end time.Time, from Sources) error {
	var tally *Tally
	done := func() {
		if tally != nil {
			s.Detector.Hour(tally.hour, tally.Counts(s.Detector))
			tally = nil
		}
	}
	for c, err := range from.Censuses(next, end) {
		if err != nil {
			return err
		}
		hour := c.Began.UTC().Truncate(time.Hour)
		if tally == nil || !hour.Equal(tally.hour) {
			done()
			tally = NewTally(hour)
		}
		tally.Census(&c)
	}
	done()
	// Nothing that comes for these hours now is taken in any more.
	if last := end.Add(-time.Hour); s.Detector.Through.Before(last) {
		s.Detector.Hour(last, nil)
	}
	return nil
}

// Empty reports whether no sensor has told anything yet.
func (s *State) Empty() bool { return len(s.Detector.Sensors) == 0 && len(s.Aims.Hosts) == 0 }

// Alerts are what is open now.
func (s *State) Alerts(now time.Time) []exposure.Alert { return Alerts(s.Detector, s.Aims, now) }
