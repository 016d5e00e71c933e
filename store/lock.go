package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrLocked says that another process is at the same work.
var ErrLocked = errors.New("another process is at it")

// Lock takes the lock of the name in the data directory until unlock, or returns
// an error that wraps [ErrLocked]. The system takes it back from a process that
// dies, so whoever holds it knows that what is half done was left by the dead.
func (s *Store) Lock(name string) (unlock func() error, err error) {
	path := filepath.Join(filepath.Dir(s.path), name+".lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := lock(f); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, errors.Join(err, f.Close()))
	}
	return f.Close, nil
}
