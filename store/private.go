package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// private sees to it that the data directory is there and that nobody but its
// owner may enter: it holds what hosts said, and keys. Windows keeps no such
// bits; there the directory is as private as the profile that it lies in.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return &hinted{
			error: fmt.Errorf("data directory %s: mode %04o lets others in: %w", dir, mode, fs.ErrPermission),
			hint:  fmt.Sprintf("chmod 0700 %q", dir),
		}
	}
	return nil
}

// own creates the database for its owner alone before SQLite does it for
// everybody; SQLite gives its side files the same mode. The files of earlier
// versions are narrowed.
func own(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}
