package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// Bounds of what is kept until it can be read.
const (
	mostParkedFile = 256 << 20 // bytes of one file
	mostParkedAll  = 2 << 30   // bytes of all
)

// A Yard is the directory in which parked files stand, named by their digests.
type Yard struct{ Dir string }

// A spool is a file on its way into the yard.
type spool struct {
	f     *os.File
	hash  hash.Hash
	bytes int64
	full  bool // it is larger than may be kept, or the yard is full
	err   error
	room  int64
}

// spool begins a file. What a killed process left is taken away first.
func (y Yard) spool(now time.Time) (*spool, error) {
	if err := os.MkdirAll(y.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("park a file: %w", err)
	}
	y.sweep(now)
	used, err := y.used()
	if err != nil {
		return nil, fmt.Errorf("park a file: %w", err)
	}
	f, err := os.CreateTemp(y.Dir, ".spool-")
	if err != nil {
		return nil, fmt.Errorf("park a file: %w", err)
	}
	return &spool{f: f, hash: sha256.New(), room: min(mostParkedFile, mostParkedAll-used)}, nil
}

// used counts the bytes in the yard.
func (y Yard) used() (int64, error) {
	entries, err := os.ReadDir(y.Dir)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n, nil
}

// Write keeps what there is room for, and hashes all. It never fails: that the
// copy could not be written must not end the reading.
func (s *spool) Write(p []byte) (int, error) {
	s.hash.Write(p)
	s.bytes += int64(len(p))
	if s.full = s.full || s.bytes > s.room; !s.full && s.err == nil {
		_, s.err = s.f.Write(p)
	}
	return len(p), nil
}

func (s *spool) discard() {
	if s == nil || s.f == nil {
		return
	}
	_ = s.f.Close()
	_ = os.Remove(s.f.Name()) // a copy
	s.f = nil
}

// park keeps a whole document that nobody can read yet.
func (w *work) park(ctx context.Context, r io.Reader, why string) (wrong, err error) {
	s, err := w.Park.spool(w.received)
	if err != nil {
		return nil, err
	}
	defer s.discard()
	if _, wrong := io.Copy(s, contextReader{ctx, r}); wrong != nil {
		return wrong, ctx.Err()
	}
	w.in.Outcome, w.in.Error = exposure.Parked, why
	return w.keepParked(ctx, s, why)
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// keepParked puts the copy in its place and writes it down.
func (w *work) keepParked(ctx context.Context, s *spool, why string) (wrong, err error) {
	if s.err != nil {
		return nil, fmt.Errorf("park a file: %w", s.err)
	}
	p := exposure.ParkedFile{
		Digest: hex.EncodeToString(s.hash.Sum(nil)), Source: w.Source, Type: w.in.Type, File: w.in.File,
		Bytes: s.bytes, Kept: !s.full, Reason: why, At: w.received,
	}
	if p.Kept {
		if err := s.f.Close(); err != nil {
			return nil, fmt.Errorf("park a file: %w", err)
		}
		if err := os.Rename(s.f.Name(), w.Park.path(p.Digest)); err != nil {
			return nil, fmt.Errorf("park a file: %w", err)
		}
		s.f = nil
	}
	return nil, w.Register.PutParked(ctx, p)
}

func (y Yard) path(digest string) string { return filepath.Join(y.Dir, digest) }

// Drop removes a parked file; one that is not there is no mistake.
func (y Yard) Drop(p exposure.ParkedFile) error {
	if !p.Kept || !digest.MatchString(p.Digest) {
		return nil
	}
	if err := os.Remove(y.path(p.Digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stale is the age at which a spool belongs to nobody any more.
const stale = 24 * time.Hour

// sweep takes away what a killed process left behind, and nothing of one that
// is at work.
func (y Yard) sweep(now time.Time) {
	left, _ := filepath.Glob(filepath.Join(y.Dir, ".spool-*")) // the pattern is well formed
	for _, name := range left {
		if info, err := os.Stat(name); err == nil && now.Sub(info.ModTime()) > stale {
			_ = os.Remove(name) // the next one tries again
		}
	}
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Documents opens the parked files that can be opened.
func (y Yard) Documents(files []exposure.ParkedFile) iter.Seq2[feed.Document, error] {
	return func(yield func(feed.Document, error) bool) {
		for _, p := range files {
			if !p.Kept || !digest.MatchString(p.Digest) {
				continue
			}
			f, err := os.Open(y.path(p.Digest))
			more := false
			if err != nil {
				more = yield(feed.Document{Name: p.File}, err)
			} else {
				more = yield(feed.Document{Name: p.File, Reader: f}, nil)
				_ = f.Close() // it was read
			}
			if !more {
				return
			}
		}
	}
}

// Again takes in those of the parked files that can be read now; a file that
// cannot, or of which some rows cannot, stays where it is.
func (s *Service) Again(ctx context.Context, files []exposure.ParkedFile, parse feed.Parser) ([]exposure.Intake, error) {
	var all []exposure.Intake
	for _, p := range files {
		if !s.readable(p, parse) {
			continue
		}
		for doc, wrong := range s.Park.Documents([]exposure.ParkedFile{p}) {
			in, left, err := s.one(ctx, doc, wrong, parse)
			if err != nil {
				return all, err
			}
			all = append(all, in)
			if s.Done != nil {
				s.Done(in)
			}
			if in.Outcome != exposure.Taken || left {
				continue
			}
			if err := s.Register.DropParked(ctx, p.Digest); err != nil {
				return all, err
			}
			if err := s.Park.Drop(p); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

// readable looks whether the file can be read now.
func (s *Service) readable(p exposure.ParkedFile, parse feed.Parser) bool {
	for doc, wrong := range s.Park.Documents([]exposure.ParkedFile{p}) {
		if wrong != nil {
			return true // to be told why not
		}
		table, err := parse(doc.Name, feed.NewBuffer(doc.Reader), s.Now())
		return err != nil || table.Unknown == ""
	}
	return false
}
