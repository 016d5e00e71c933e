package archive

import (
	"context"
	"database/sql"
	"fmt"
	"os"
)

// Backup writes a whole copy of the archive to a new file; others may read and
// write meanwhile.
func (a *Archive) Backup(ctx context.Context, path string) error {
	// SQLite fills an empty file that is there: made first, it is its owner's alone.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("back up archive: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("back up archive: %w", err)
	}
	// VACUUM INTO only reads this file, but query_only would not let it.
	db, err := sql.Open("sqlite", dsn(a.path, "busy_timeout(10000)"))
	if err != nil {
		return fmt.Errorf("back up archive: %w", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		_ = os.Remove(path) // what is there is no backup
		return fmt.Errorf("back up archive to %s: %w", path, err)
	}
	return nil
}

// Check looks for damage and returns each as a sentence. That the schema is a
// newer program's is found by [Open].
func (a *Archive) Check(ctx context.Context) ([]string, error) {
	var problems []string
	err := a.each(ctx, `PRAGMA integrity_check`, nil, func(rows *sql.Rows) error {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			problems = append(problems, "integrity: "+line)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", a.path, err)
	}
	err = a.each(ctx, `SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2`, nil, func(rows *sql.Rows) error {
		var table, parent string
		var n int64
		if err := rows.Scan(&table, &parent, &n); err != nil {
			return err
		}
		problems = append(problems, fmt.Sprintf("%d rows of %s refer to no %s", n, table, parent))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check references of %s: %w", a.path, err)
	}
	return problems, nil
}

// Stats are sizes of an archive.
type Stats struct {
	Observations int64
	Runs         int64
	Contents     int64 // distinct stable parts
	Days         int64
	DirtyDays    int64
	Bytes        int64 // of the file, without its log
}

// Stats counts what the archive holds. It reads every key.
func (a *Archive) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := a.read.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM observation), (SELECT count(*) FROM run), (SELECT count(*) FROM content),
		(SELECT count(*) FROM day), (SELECT count(*) FROM day WHERE changed > rolled AND NOT pruned),
		(SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)`).
		Scan(&s.Observations, &s.Runs, &s.Contents, &s.Days, &s.DirtyDays, &s.Bytes)
	if err != nil {
		return s, fmt.Errorf("count %s: %w", a.path, err)
	}
	return s, nil
}
