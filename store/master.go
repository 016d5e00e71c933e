package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// MasterFile is the file in the data directory from which secrets are derived
// that we must know to check. It is in no backup: whoever finds one cannot sign
// with our keys.
const MasterFile = "master.key"

// master returns the master secret, which it makes if there is none yet.
func (s *Store) master() ([]byte, error) {
	path := filepath.Join(filepath.Dir(s.path), MasterFile)
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			return masterOf(path, text)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read master secret: %w", err)
		}
		if err := makeMaster(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make master secret: %w", err)
		}
	}
}

func masterOf(path string, text []byte) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read master secret: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, &hinted{error: fmt.Errorf("read master secret: %s: mode %04o lets others read it", path, mode), hint: fmt.Sprintf("chmod 0600 %q", path)}
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("read master secret: %s: want %d bytes in hexadecimal", path, secretBytes)
	}
	return secret, nil
}

// makeMaster writes a new secret beside its place and links it there, so that
// of two processes that begin at once both go on with the same one.
func makeMaster(path string) (err error) {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret)
	f, err := os.CreateTemp(filepath.Dir(path), ".master-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// Secret returns a secret for a purpose, always the same one: what is sealed with
// it is good as long as the data directory has its master secret.
func (s *Store) Secret(purpose string) ([]byte, error) {
	master, err := s.master()
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, master)
	fmt.Fprintf(h, "ippwatch secret 1\n%s", purpose)
	return h.Sum(nil), nil
}
