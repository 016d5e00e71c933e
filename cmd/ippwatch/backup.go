package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// kept are the files of a data directory.
var kept = []string{"cases.db", "observations.db"}

func (s *street) backupCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "backup --out FILE",
		Short:   "Write the data directory into one file, while it is in use",
		Example: `  ippwatch backup --out ippwatch-2026-11-23.tar`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if out == "" {
				return usage("backup needs --out FILE")
			}
			return s.read(ctx, func(h *house) error {
				if err := s.backup(ctx, h, out); err != nil {
					return fmt.Errorf("back up %s: %w", s.data, err)
				}
				s.Note("wrote %s", out)
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write; it must not exist")
	return cmd
}

func (s *street) backup(ctx context.Context, h *house, out string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(out), ".ippwatch-backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := h.store.Backup(ctx, filepath.Join(dir, kept[0])); err != nil {
		return err
	}
	if err := h.archive.Backup(ctx, filepath.Join(dir, kept[1])); err != nil {
		return err
	}
	file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return hint(err, "a backup never replaces a file: name another one")
	}
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	var sums strings.Builder
	for _, name := range kept {
		sum, err := pack(w, dir, name)
		if err != nil {
			return errors.Join(err, file.Close(), os.Remove(out))
		}
		sums.WriteString(sumLine(sum, name))
	}
	err = w.WriteHeader(&tar.Header{Name: sumsName, Mode: 0o600, Size: int64(sums.Len()), ModTime: s.now()})
	if err == nil {
		_, err = io.WriteString(w, sums.String())
	}
	if err = errors.Join(err, w.Close(), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	return nil
}

// sumsName is the last file of a backup: the sums of the others, as sha256sum
// writes them.
const sumsName = "SHA256SUMS"

func sumLine(sum []byte, name string) string { return fmt.Sprintf("%x  %s\n", sum, name) }

func pack(w *tar.Writer, dir, name string) (sum []byte, err error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
		return nil, err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(w, h), f)
	return h.Sum(nil), err
}

func (s *street) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory out of a backup",
		Long: `Restore unpacks a backup into the data directory, which must be empty or absent, and
checks it before it is put in place.`,
		Example: `  ippwatch restore ippwatch-2026-11-23.tar --data /var/lib/ippwatch`,
		Args:    wants("FILE"),
		RunE: do(func(ctx context.Context, args []string) error {
			if err := s.restore(ctx, args[0]); err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			s.Note("restored %s into %s", args[0], s.data)
			return nil
		}),
	}
}

func (s *street) restore(ctx context.Context, file string) (err error) {
	if entries, err := os.ReadDir(s.data); err == nil && len(entries) > 0 {
		return hint(fmt.Errorf("%s is not empty", s.data), "move it away first, or restore into another --data directory")
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Dir(s.data), 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(s.data), ".ippwatch-restore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := unpack(tar.NewReader(f), dir); err != nil {
		return err
	}
	trial := *s
	trial.data = dir
	if err := trial.with(ctx, func(h *house) error { return h.sound(ctx) }); err != nil {
		return err
	}
	if err := os.Remove(s.data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(dir, s.data)
}

// unpack takes the files that a backup has, and nothing else, and compares their
// sums: a flipped bit is no damage that a database would notice.
func unpack(r *tar.Reader, dir string) error {
	var want strings.Builder
	for _, name := range kept {
		head, err := r.Next()
		if err != nil || head.Name != name {
			return fmt.Errorf("not a backup of ippwatch: want %s", name)
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		h := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(f, h), r, head.Size); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		want.WriteString(sumLine(h.Sum(nil), name))
	}
	if head, err := r.Next(); err != nil || head.Name != sumsName {
		return fmt.Errorf("not a whole backup of ippwatch: want %s", sumsName)
	}
	got, err := io.ReadAll(io.LimitReader(r, int64(want.Len())+1))
	if err != nil {
		return fmt.Errorf("%s: %w", sumsName, err)
	}
	if string(got) != want.String() {
		return hint(errors.New("the backup was damaged after it was written: its sums differ"), "take an older backup")
	}
	return nil
}

// sound returns what is damaged in the stores.
func (h *house) sound(ctx context.Context) error {
	problems, err := h.archive.Check(ctx)
	for _, p := range problems {
		err = errors.Join(err, errors.New(p))
	}
	return errors.Join(h.store.Check(ctx), err)
}
