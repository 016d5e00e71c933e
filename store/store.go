// Package store keeps what ippwatch must remember to act: runs and how far they
// came, exposures and their history, exclusions, the pause, keys and counters.
//
// It is one SQLite file in the data directory, which the command line and the
// daemon share. Every read for a person takes an [access.View]. What a running
// scan reads of its own notes (ticks, batches, keys, control) leaves to nobody
// and takes none.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"ippwatch/aside"
)

// File is the name of the database in the data directory.
const File = "cases.db"

// busyTimeout is how long a write waits for the write of another process. None
// lasts a tenth of a second, so who waits longer waits for something broken.
const busyTimeout = 10 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer says that a newer ippwatch has written the database.
var ErrNewer = errors.New("written by a newer ippwatch")

// A Store is an open database. It may be used by many goroutines at once, and
// the file by many processes.
type Store struct {
	path  string
	saved string // copy that was made before the schema changed
	// Readers never wait for a writer (WAL). Writers wait for each other here,
	// where a context can end the waiting, and not in SQLite.
	reads, writes *sql.DB
	read, write   *Queries
	many          map[string]many // of the statements that Apply writes with
	hashes        chan struct{}   // a place in it lets one password be hashed

	mu      sync.Mutex // guards control
	control *Control
}

// Open opens the store in the data directory, which it creates if it is not
// there. It refuses a directory that others may enter, and a database that a
// newer ippwatch has written.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, File)
	if err := own(path); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, explain(err))
	}
	return s, nil
}

func open(ctx context.Context, path string) (_ *Store, err error) {
	s := &Store{path: path, hashes: make(chan struct{}, hashers)}
	defer func() {
		if err != nil {
			_ = s.Close() // err is the one that tells
		}
	}()
	// Exposures come in scan order and touch pages everywhere: a long log lets
	// several transactions of them write a page to the file once. What undoes a
	// statement of many rows is kept in memory, not in a file.
	if s.writes, err = sql.Open("sqlite", source(path, "immediate", "journal_mode(WAL)", "journal_size_limit(67108864)",
		"wal_autocheckpoint(16000)", "temp_store(memory)")); err != nil {
		return nil, err
	}
	s.writes.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	if s.reads, err = sql.Open("sqlite", source(path, "deferred", "query_only(1)")); err != nil {
		return nil, err
	}
	s.reads.SetMaxOpenConns(4)
	if s.write, err = Prepare(ctx, s.writes); err != nil {
		return nil, err
	}
	if s.read, err = Prepare(ctx, s.reads); err != nil {
		return nil, err
	}
	s.many = make(map[string]many)
	for _, text := range []string{bearExposure, sightExposure, putExposure, putTransition} {
		if s.many[text], err = prepareMany(ctx, s.writes, text); err != nil {
			delete(s.many, text) // nothing to close
			return nil, err
		}
	}
	return s, nil
}

// source returns the driver's name for the file. With synchronous(NORMAL) a
// killed process loses nothing and a power cut the last commits at most; the
// database is whole after both.
func source(path, lock string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if abs, err := filepath.Abs(path); err == nil {
		path = filepath.ToSlash(abs)
	}
	if !strings.HasPrefix(path, "/") { // C:/...
		path = "/" + path
	}
	q := url.Values{"_txlock": {lock}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(NORMAL)", "cache_size(-8000)",
	}}
	q["_pragma"] = append(q["_pragma"], pragmas...)
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// Saved names the copy of the database that [Open] has made before it changed the
// schema; it is empty when there was nothing to change.
func (s *Store) Saved() string { return s.saved }

// migrate brings the schema up to date. Two processes that begin at once both
// try; the one that loses finds the work done when it looks again.
func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := s.up(ctx, dir)
		if err == nil || errors.Is(err, ErrNewer) || try == 5 || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) up(ctx context.Context, dir fs.FS) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, s.writes, dir)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	now, latest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if now > latest {
		return &hinted{
			error: fmt.Errorf("schema %d, this binary knows %d: %w", now, latest, ErrNewer),
			hint:  "use the newer ippwatch, or restore a backup that this one has made",
		}
	}
	if now > 0 && now < latest && s.saved == "" {
		if s.saved, err = aside.Copy(ctx, source(s.path, "deferred"), s.path, now, time.Now()); err != nil {
			return explain(err)
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema %d to %d: %w", now, latest, err)
	}
	return nil
}

// Close closes the database.
func (s *Store) Close() error {
	var errs []error
	for _, m := range s.many {
		errs = append(errs, m.close())
	}
	for _, q := range []*Queries{s.read, s.write} {
		if q != nil {
			errs = append(errs, q.Close())
		}
	}
	for _, db := range []*sql.DB{s.reads, s.writes} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// change runs f in one write transaction. f must be short: while it runs,
// nobody else writes.
func (s *Store) change(ctx context.Context, what string, f func(*Queries) error) error {
	return s.transact(ctx, what, func(tx *sql.Tx) error { return f(s.write.WithTx(tx)) })
}

// changeMany is change for an f that writes many rows: none of them is to be
// seen before f has ended.
func (s *Store) changeMany(ctx context.Context, what string, f func(read, write *Queries) error) error {
	return s.transact(ctx, what, func(tx *sql.Tx) error {
		rows := &gathering{Tx: tx, known: s.many, waiting: make(map[string][]any)}
		if err := f(s.write.WithTx(tx), New(rows)); err != nil {
			return err
		}
		return rows.flush(ctx)
	})
}

// surely is change for what the world is told right behind it: it is on the
// disk, and not only on its way there, when surely returns (see source).
func (s *Store) surely(ctx context.Context, what string, f func(*sql.Tx) error) (err error) {
	conn, err := s.writes.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous=FULL"); err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	defer func() {
		_, back := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous=NORMAL")
		err = errors.Join(err, back)
	}()
	return transact(ctx, conn, what, f)
}

func (s *Store) transact(ctx context.Context, what string, f func(*sql.Tx) error) error {
	return transact(ctx, s.writes, what, f)
}

// A beginner begins transactions: all connections, or one.
type beginner interface {
	BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error)
}

func transact(ctx context.Context, on beginner, what string, f func(*sql.Tx) error) error {
	tx, err := on.BeginTx(ctx, nil) // BEGIN IMMEDIATE: see source
	if err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, and otherwise the first error tells
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	return nil
}
