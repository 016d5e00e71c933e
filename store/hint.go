package store

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A hinted is an error with what would help against it; the command line
// prints the hint on a line of its own.
type hinted struct {
	error
	hint string
}

// Hint returns what would help.
func (h *hinted) Hint() string { return h.hint }

// Unwrap returns the error itself.
func (h *hinted) Unwrap() error { return h.error }

// A Trouble is why a database cannot be used just now, though it is whole.
type Trouble string

// Troubles.
const (
	NoTrouble Trouble = ""
	// Locked says that another process holds the database.
	Locked Trouble = "locked"
	// FullDisk says that there is no room to write.
	FullDisk Trouble = "full"
)

// TroubleOf tells the trouble that an error comes from, of this database or of
// any other of SQLite.
func TroubleOf(err error) Trouble {
	var e *sqlite.Error
	switch {
	case !errors.As(err, &e):
	case e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE, e.Code() == sqlite3.SQLITE_IOERR_WRITE, e.Code()&0xff == sqlite3.SQLITE_FULL:
		return FullDisk
	case e.Code()&0xff == sqlite3.SQLITE_BUSY, e.Code()&0xff == sqlite3.SQLITE_LOCKED:
		return Locked
	}
	return NoTrouble
}

// explain adds a hint to those errors of SQLite that a user can end.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	// The index of the log is the one file whose growth on a full disk is no
	// SQLITE_FULL.
	if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE || e.Code() == sqlite3.SQLITE_IOERR_WRITE {
		return &hinted{err, "is the disk full? df tells; what was written before is whole"}
	}
	switch e.Code() & 0xff { // the primary code: https://sqlite.org/rescode.html
	case sqlite3.SQLITE_FULL:
		return &hinted{err, "free some space on the disk; what was written before is whole"}
	case sqlite3.SQLITE_BUSY:
		return &hinted{err, "another process holds the database; is a backup tool or an sqlite3 shell at it?"}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &hinted{err, "restore the last backup into a new directory: ippwatch restore FILE --data DIR"}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return &hinted{err, "is the data directory writable, and yours?"}
	}
	return err
}
