// Package aside puts a whole copy of a database beside it before its schema is
// changed.
package aside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept is how many copies of one database are kept.
const Kept = 2

// Copy writes a copy of the SQLite database at path, which dsn opens, beside it:
// cases.db of schema 1 becomes cases-schema1-20261126T093000Z.db. It returns the
// name, or none if the database has another schema by now: then another process
// was quicker, and has made a copy. One that holds nothing is not copied: it is
// new, and another process is making it. Copies beyond the last two are removed.
func Copy(ctx context.Context, dsn, path string, schema int64, at time.Time) (name string, err error) {
	stem := strings.TrimSuffix(path, filepath.Ext(path)) + "-schema"
	name = fmt.Sprintf("%s%d-%s.db", stem, schema, at.UTC().Format("20060102T150405Z"))
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy %s before its schema changes: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	part := f.Name()
	defer func() {
		if failed := os.Remove(part); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}()
	if err := f.Close(); err != nil {
		return "", err
	}
	if err := vacuum(ctx, dsn, part); err != nil {
		return "", err
	}
	if is, err := version(ctx, part); err != nil || is != schema {
		return "", err
	}
	if nothing, err := empty(ctx, part); err != nil || nothing {
		return "", err
	}
	if f, err = os.OpenFile(part, os.O_RDWR, 0); err != nil {
		return "", err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(part, name); err != nil {
		return "", err
	}
	return name, removeOld(stem)
}

func vacuum(ctx context.Context, dsn, into string) error {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", into)
	return errors.Join(err, db.Close())
}

// version returns the schema of a copy.
func version(ctx context.Context, path string) (v int64, err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path))
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	return v, errors.Join(err, db.Close())
}

// empty reports whether no table of the copy has a row, but for those that are
// born with one.
func empty(ctx context.Context, path string) (bool, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path))
	if err != nil {
		return false, err
	}
	nothing, err := rowless(ctx, db)
	return nothing, errors.Join(err, db.Close())
}

func rowless(ctx context.Context, db *sql.DB) (bool, error) {
	var each string
	err := db.QueryRowContext(ctx, `SELECT coalesce(group_concat('EXISTS (SELECT 1 FROM "' || name || '")', ' OR '), '0')
		FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('goose_db_version', 'control', 'people', 'pulse', 'epoch') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`).Scan(&each)
	if err != nil {
		return false, err
	}
	var some bool
	err = db.QueryRowContext(ctx, "SELECT "+each).Scan(&some) //nolint:gosec // names of our own tables
	return !some, err
}

func removeOld(stem string) error {
	all, err := filepath.Glob(stem + "[0-9]*-*.db")
	if err != nil {
		return err
	}
	stamp := func(name string) string { return name[strings.LastIndexByte(name, '-'):] }
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(stamp(b), stamp(a)) })
	for _, name := range all[min(Kept, len(all)):] {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
