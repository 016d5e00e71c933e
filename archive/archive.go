// Package archive keeps observations, append-only and normalised, in one SQLite
// file that several processes may use at once.
package archive

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ippwatch/aside"
)

// File is the name of the database inside the data directory.
const File = "observations.db"

// ErrNewer means that a newer ippwatch wrote the database.
var ErrNewer = errors.New("the database was written by a newer ippwatch")

//go:embed migrations/*.sql
var migrations embed.FS

// An Archive is the kept observations of one data directory. Its methods may be
// called by several goroutines. Findings are not kept but for their tags: the
// rules make them again from the facts.
type Archive struct {
	path  string
	saved string  // copy that was made before the schema changed
	write *sql.DB // one connection, which the writer holds
	read  *sql.DB

	mu     sync.Mutex // guards writer
	writer *writer

	traitsMu sync.Mutex // guards traits
	traits   *recent[int64, trait]
}

// Open opens the archive in dir, which exists, and creates or migrates its file.
func Open(ctx context.Context, dir string) (*Archive, error) {
	path, err := filepath.Abs(filepath.Join(dir, File))
	if err != nil {
		return nil, fmt.Errorf("open archive in %s: %w", dir, err)
	}
	if err := ensureFile(path); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Archive{path: path, traits: newRecent[int64, trait](recentTraits)}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", path, err), a.Close())
	}
	return a, nil
}

func (a *Archive) open(ctx context.Context) error {
	var err error
	// A commit survives kill -9 and leaves the file whole in a power cut
	// (WAL with synchronous=NORMAL), when the last commits may be lost. Batches
	// come in scan order and touch pages everywhere: a long log lets several of
	// them write a page to the file once.
	a.write, err = sql.Open("sqlite", dsn(a.path,
		"busy_timeout(1000)", "journal_mode(wal)", "synchronous(normal)",
		"cache_size(-16000)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"))
	if err != nil {
		return err
	}
	a.write.SetMaxOpenConns(1)
	if err := a.migrate(ctx); err != nil {
		return err
	}
	a.read, err = sql.Open("sqlite", dsn(a.path, "busy_timeout(10000)", "query_only(1)", "cache_size(-8000)"))
	if err != nil {
		return err
	}
	a.read.SetMaxIdleConns(4)
	a.writer, err = newWriter(ctx, a.write)
	return err
}

// Close ends the use of the archive.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	if a.writer != nil {
		errs = append(errs, a.writer.close())
		a.writer = nil
	}
	if a.read != nil {
		errs = append(errs, a.read.Close())
	}
	if a.write != nil {
		errs = append(errs, a.write.Close())
	}
	return errors.Join(errs...)
}

// ensureFile creates the file for its owner alone, and refuses one that others
// may use. SQLite gives its side files the same mode.
func ensureFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if perm := info.Mode().Perm(); runtime.GOOS != "windows" && perm&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o: others may use it; want 0600", path, perm)
	}
	return nil
}

func dsn(path string, pragmas ...string) string {
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // a drive letter
	}
	return (&url.URL{Scheme: "file", Path: name, RawQuery: url.Values{"_pragma": pragmas}.Encode()}).String()
}

// Saved names the copy of the database that [Open] has made before it changed the
// schema; it is empty when there was nothing to change.
func (a *Archive) Saved() string { return a.saved }

// migrate brings the schema to this program's version. Two processes may do so
// at once: the loser of a race finds the work done when it looks again.
func (a *Archive) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, a.write, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	sources := p.ListSources()
	want := sources[len(sources)-1].Version
	return patiently(ctx, func() error {
		have, err := p.GetDBVersion(ctx)
		if err != nil {
			return err
		}
		if have > want {
			return fmt.Errorf("%w: its schema has version %d, this program knows %d", ErrNewer, have, want)
		}
		if have == want {
			return nil
		}
		if have > 0 && a.saved == "" {
			if a.saved, err = aside.Copy(ctx, dsn(a.path, "busy_timeout(10000)"), a.path, have, time.Now()); err != nil {
				return err
			}
		}
		_, failed := p.Up(ctx)
		if failed == nil {
			return nil
		}
		if have, err := p.GetDBVersion(ctx); err == nil && have == want {
			return nil
		}
		return failed
	})
}

// patiently calls f again while another process holds the database, for half a
// minute at most.
func patiently(ctx context.Context, f func() error) error {
	const step, most = 20 * time.Millisecond, 30 * time.Second
	for began := time.Now(); ; {
		err := f()
		if err == nil || !busy(err) || time.Since(began) > most {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step):
		}
	}
}

// busy reports whether err says that another connection was in the way. Two
// first openings at once also meet as "already exists".
func busy(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return true
		case sqlite3.SQLITE_ERROR:
			return strings.Contains(e.Error(), "already exists")
		}
	}
	return false
}
