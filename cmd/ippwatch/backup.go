package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// kept are the databases of a data directory, in the order of a backup.
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
	add := func(dir, name string) error {
		sum, err := pack(w, dir, name)
		if err == nil {
			sums.WriteString(sumLine(sum, name))
		}
		return err
	}
	for _, name := range kept {
		if err = add(dir, name); err != nil {
			return errors.Join(err, file.Close(), os.Remove(out))
		}
	}
	if err = s.parked(func(name string) error { return add(s.data, name) }); err != nil {
		return errors.Join(err, file.Close(), os.Remove(out))
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

// parked yields the names of the reports that wait, whole, until their type is
// known: a database does not have them.
func (s *street) parked(f func(name string) error) error {
	root := filepath.Join(s.data, parkedDir)
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // none is parked, or this one was taken in meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(s.data, path)
		if err != nil {
			return err
		}
		if err := f(filepath.ToSlash(name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
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
	for n := 0; ; n++ {
		head, err := r.Next()
		if err == nil && n >= len(kept) && head.Name == sumsName {
			break
		}
		if n < len(kept) && (err != nil || head.Name != kept[n]) {
			return fmt.Errorf("not a backup of ippwatch: want %s", kept[n])
		}
		if err != nil || n >= len(kept) && !isParked(head.Name) {
			return fmt.Errorf("not a whole backup of ippwatch: want %s", sumsName)
		}
		sum, err := unpackOne(r, head, dir)
		if err != nil {
			return err
		}
		want.WriteString(sumLine(sum, head.Name))
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

// isParked reports whether the name in a backup is that of a parked report.
func isParked(name string) bool {
	return strings.HasPrefix(name, parkedDir+"/") && filepath.IsLocal(filepath.FromSlash(name))
}

func unpackOne(r io.Reader, head *tar.Header, dir string) ([]byte, error) {
	path := filepath.Join(dir, filepath.FromSlash(head.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), r, head.Size); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", head.Name, err), f.Close())
	}
	return h.Sum(nil), errors.Join(f.Sync(), f.Close())
}

// sound returns what is damaged in the stores.
func (h *house) sound(ctx context.Context) error {
	problems, err := h.archive.Check(ctx)
	for _, p := range problems {
		err = errors.Join(err, errors.New(p))
	}
	return errors.Join(h.store.Check(ctx), err)
}
