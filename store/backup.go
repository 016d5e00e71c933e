package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Version returns the version of the schema.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var v int64
	err := s.reads.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("read schema version of %s: %w", s.path, explain(err))
	}
	return v, nil
}

// Check reads the whole database and returns an error that tells what is
// damaged.
func (s *Store) Check(ctx context.Context) error {
	rows, err := s.reads.QueryContext(ctx, "PRAGMA integrity_check(10)")
	if err != nil {
		return fmt.Errorf("check %s: %w", s.path, explain(err))
	}
	defer rows.Close()
	var damage []error
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return fmt.Errorf("check %s: %w", s.path, explain(err))
		}
		if line != "ok" {
			damage = append(damage, errors.New(line))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check %s: %w", s.path, explain(err))
	}
	if len(damage) > 0 {
		return fmt.Errorf("check %s: %w", s.path, errors.Join(damage...))
	}
	return nil
}

// Backup writes a whole copy of the database, as it is at one moment, to a file
// that must not exist; readers and writers go on meanwhile. Nobody but its owner
// can read the copy. Until it is complete, the file is empty.
func (s *Store) Backup(ctx context.Context, path string) error {
	// The claim keeps two backups from writing to one name.
	claim, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = claim.Close()
	}
	if err != nil {
		return fmt.Errorf("back up %s: %w", s.path, err)
	}
	if err := s.copyTo(ctx, path); err != nil {
		return fmt.Errorf("back up %s to %s: %w", s.path, path, errors.Join(explain(err), os.Remove(path)))
	}
	return nil
}

// copyTo writes the copy beside path and then puts it in its place.
func (s *Store) copyTo(ctx context.Context, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	part := f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	// A connection of its own: the pool of writers would wait for it, and the
	// readers' query_only forbids VACUUM.
	db, err := sql.Open("sqlite", source(s.path, "deferred"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return err
	}
	if f, err = os.OpenFile(part, os.O_RDWR, 0); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}
