package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ippwatch/access"
	"ippwatch/answer"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/track"
)

// A house is the data directory, opened.
type house struct {
	store   *store.Store
	archive *archive.Archive
	people  *people.Registry // one, as it remembers what it read
}

func newHouse(st *store.Store, ar *archive.Archive) *house {
	return &house{st, ar, people.NewRegistry(st)}
}

// open opens the data directory of the command line, and makes it if need be.
func (s *street) open(ctx context.Context) (*house, error) {
	st, err := store.Open(ctx, s.data)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) && len(answer.Hints(err)) == 0 {
			err = hint(err, "name a directory of yours with --data")
		}
		return nil, err
	}
	ar, err := archive.Open(ctx, s.data)
	if err != nil {
		return nil, errors.Join(s.explainArchive(err), st.Close())
	}
	for _, copied := range []string{st.Saved(), ar.Saved()} {
		if copied != "" {
			s.Note("the schema changed with this version; what was there before is in %s", copied)
		}
	}
	return newHouse(st, ar), nil
}

// explainArchive says what helps when the observations cannot be opened.
func (s *street) explainArchive(err error) error {
	file := filepath.Join(s.data, archive.File)
	if info, wrong := os.Stat(file); wrong == nil && info.Mode().Perm()&0o077 != 0 {
		return hint(err, "chmod 0600 %s", shellWord(file))
	}
	if errors.Is(err, archive.ErrNewer) {
		return hint(err, "use the newer ippwatch, or restore a backup that this one has made")
	}
	return hint(err, "restore the last backup into a new directory: ippwatch restore FILE --data DIR")
}

func (h *house) Close() error {
	return errors.Join(h.archive.Close(), h.store.Close())
}

// with runs f on the opened data directory and closes it.
func (s *street) with(ctx context.Context, f func(*house) error) error {
	begun := s.begun()
	h, err := s.open(ctx)
	if err != nil {
		return err
	}
	if !begun {
		s.Note("%s is a new data directory", s.data)
	}
	return errors.Join(f(h), h.Close())
}

// read is with for commands that only look: an empty directory would answer
// "we sent nothing" to whoever mistyped its name.
func (s *street) read(ctx context.Context, f func(*house) error) error {
	if !s.begun() {
		return hint(fmt.Errorf("%s has no data of ippwatch", s.data), "the first ippwatch scan makes it; another directory is named with --data")
	}
	return s.with(ctx, f)
}

// begun reports whether the data directory has data; what cannot be looked at
// is for open to complain about.
func (s *street) begun() bool {
	_, err := os.Stat(filepath.Join(s.data, store.File))
	return !errors.Is(err, fs.ErrNotExist)
}

// view is what the user of the command line may see: whoever can read the
// files may see what is in them.
func (s *street) view() access.View {
	if s.eyes != nil {
		return *s.eyes
	}
	return access.CLI(s.now())
}

// as is the street for somebody who came through a door, at the time of the visit.
func (s *street) as(v access.View) *street {
	theirs := *s
	theirs.eyes = &v
	if !v.At.IsZero() {
		theirs.now = func() time.Time { return v.At }
	}
	return &theirs
}

func (h *house) tracker() *track.Tracker { return track.New(h.store, book{}) }

// pass lets time do to the cases what it does: accepted risks end, and what
// nobody has seen for 60 days lapses. A complete scan does the latter, too, but
// who lives on feeds alone never makes one.
func (s *street) pass(ctx context.Context, h *house) error {
	if _, err := h.tracker().Expire(ctx, s.now()); err != nil {
		return err
	}
	_, err := h.tracker().Lapse(ctx, s.now())
	return err
}

// book answers the tracker's questions out of package rule.
type book struct{}

func (book) Cleared(id string, o *exposure.Observation) (bool, string) {
	r, ok := rule.ByID(id)
	if !ok {
		return false, ""
	}
	answer, why := r.Cleared(o)
	return answer == rule.Yes, why
}
