package desk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Caps bound what strangers' documents take of the disk. A zero field stands
// for that of [DefaultCaps].
type Caps struct {
	Document int64 // bytes of one
	Source   int64 // of one address (IPv6: of its /64) in a day
	Total    int64 // of all that is there
}

// DefaultCaps returns caps that leave room on a small disk.
func DefaultCaps() Caps { return Caps{Document: 16 << 20, Source: 64 << 20, Total: 1 << 30} }

const (
	mostSources = 1 << 16 // whose use is remembered; beyond it nothing more is kept
	spoolTemp   = "incoming-"
)

// A Spool keeps documents by the digest of what is in them, readable by the
// owner alone. Nobody opens, expands or renders them.
type Spool struct {
	dir  string
	caps Caps
	now  func() time.Time

	mu    sync.Mutex
	used  int64
	day   time.Time
	taken map[netip.Addr]int64
}

// OpenSpool opens a directory, which it makes if it is not there, and counts
// what lies in it. What an earlier process left unfinished is removed.
func OpenSpool(dir string, c Caps, now func() time.Time) (*Spool, error) {
	d := DefaultCaps()
	for _, f := range []struct{ have, or *int64 }{{&c.Document, &d.Document}, {&c.Source, &d.Source}, {&c.Total, &d.Total}} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{dir: dir, caps: c, now: now, taken: make(map[netip.Addr]int64)}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if strings.HasPrefix(d.Name(), spoolTemp) {
			return os.Remove(at)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s.used += info.Size()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

// Used is how many bytes lie there.
func (s *Spool) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// claim takes room for n bytes from a source, or less when a cap is near.
func (s *Spool) claim(from netip.Addr, n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if day := s.now().UTC().Truncate(24 * time.Hour); !day.Equal(s.day) {
		s.day = day
		clear(s.taken)
	}
	if _, known := s.taken[from]; !known && len(s.taken) >= mostSources {
		return 0
	}
	n = max(0, min(n, s.caps.Source-s.taken[from], s.caps.Total-s.used))
	s.taken[from] += n
	s.used += n
	return n
}

// release gives room back that turned out not to be needed.
func (s *Spool) release(from netip.Addr, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if s.taken[from] -= n; s.taken[from] <= 0 {
		delete(s.taken, from)
	}
}

// A deposit is one document on its way in. What a cap or the disk refuses is
// counted and hashed all the same. The zero deposit counts only.
type deposit struct {
	spool *Spool
	from  netip.Addr
	file  *os.File
	whole hash.Hash // of all that came
	kept  hash.Hash // of what was written, when that is less
	got   int64
	wrote int64
	held  int64 // claimed
	cut   string
}

// begin opens a deposit; a nil spool keeps nothing.
func (s *Spool) begin(from netip.Addr) *deposit {
	d := &deposit{spool: s, from: sourceOf(from), whole: sha256.New()}
	if s == nil {
		d.cut = "no-spool"
	}
	return d
}

// sourceOf is whom an address is counted to: of IPv6 one host has a /64.
func sourceOf(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		p, _ := a.WithZone("").Prefix(64) // 64 is never too long
		return p.Addr()
	}
	return a
}

// Write never fails: a full disk is not the stranger's business.
func (d *deposit) Write(p []byte) (int, error) {
	d.whole.Write(p)
	d.got += int64(len(p))
	if d.cut != "" {
		return len(p), nil
	}
	if d.file == nil {
		if d.open(); d.file == nil {
			return len(p), nil
		}
	}
	n := min(int64(len(p)), d.spool.caps.Document-d.wrote)
	if n < int64(len(p)) {
		d.cut = "document-cap"
	}
	room := d.spool.claim(d.from, n)
	if room < n {
		d.cut = "spool-cap"
	}
	d.held += room
	wrote, err := d.file.Write(p[:room])
	if err != nil {
		d.cut = "disk"
	}
	d.kept.Write(p[:wrote])
	d.wrote += int64(wrote)
	return len(p), nil
}

// open makes the file, readable by the owner alone.
func (d *deposit) open() {
	f, err := os.CreateTemp(d.spool.dir, spoolTemp)
	if err != nil {
		d.cut = "disk"
		return
	}
	d.file, d.kept = f, sha256.New()
}

// finish puts the document at its place, and says what became of it.
func (d *deposit) finish() (Document, error) {
	doc := Document{SHA256: hex.EncodeToString(d.whole.Sum(nil)), Bytes: d.got, Kept: d.wrote, Cut: d.cut}
	if d.file == nil {
		return doc, nil
	}
	temp := d.file.Name()
	err := d.file.Close()
	name := hex.EncodeToString(d.kept.Sum(nil))
	if d.wrote < d.got {
		doc.KeptSHA256 = name
	}
	at := filepath.Join(d.spool.dir, name[:2], name)
	spare := d.held - d.wrote
	_, there := os.Stat(at)
	switch {
	case err != nil, d.wrote == 0, there == nil:
		spare = d.held
		err = errors.Join(err, os.Remove(temp))
	default:
		if err = os.MkdirAll(filepath.Dir(at), 0o700); err == nil {
			err = os.Rename(temp, at)
		}
		if err != nil {
			spare = d.held
			err = errors.Join(err, os.Remove(temp))
		}
	}
	if spare > 0 {
		d.spool.release(d.from, spare)
	}
	if err != nil {
		doc.Kept, doc.Cut = 0, "disk"
	}
	return doc, err
}

// A Document is what a stranger wanted printed.
type Document struct {
	SHA256 string // of all that came
	Bytes  int64
	Kept   int64 // bytes; fewer than came when a cap was reached
	// KeptSHA256 is the name in the spool when only the beginning was kept.
	KeptSHA256 string
	Cut        string // which cap, or "disk"; empty when all was kept
}
