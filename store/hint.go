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
	hint    string
	trouble Trouble
}

// A Trouble is what keeps a database from its work, and that a person can end.
type Trouble string

// Troubles.
const (
	Full      Trouble = "full"      // the disk
	Busy      Trouble = "busy"      // another process holds it
	Damaged   Trouble = "damaged"   // a backup is needed
	Guarded   Trouble = "read-only" // it may not be written
	NoTrouble Trouble = ""
)

// TroubleOf tells which trouble an error is about, of this database or of any
// other of SQLite; NoTrouble for any other error.
func TroubleOf(err error) Trouble {
	if h, ok := errors.AsType[*hinted](explain(err)); ok {
		return h.trouble
	}
	return NoTrouble
}

// Hint returns what would help.
func (h *hinted) Hint() string { return h.hint }

// Unwrap returns the error itself.
func (h *hinted) Unwrap() error { return h.error }

// explain adds a hint to those errors of SQLite that a user can end.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	// The index of the log is the one file whose growth on a full disk is no
	// SQLITE_FULL.
	if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE || e.Code() == sqlite3.SQLITE_IOERR_WRITE {
		return &hinted{err, "is the disk full? df tells; what was written before is whole", Full}
	}
	switch e.Code() & 0xff { // the primary code: https://sqlite.org/rescode.html
	case sqlite3.SQLITE_FULL:
		return &hinted{err, "free some space on the disk; what was written before is whole", Full}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return &hinted{err, "another process holds the database; is a backup tool or an sqlite3 shell at it?", Busy}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &hinted{err, "restore the last backup into a new directory: ippwatch restore FILE --data DIR", Damaged}
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return &hinted{err, "is the data directory writable, and yours?", Guarded}
	}
	return err
}
