package feed

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of archives. A day's report of a whole country is some hundred
// megabytes; a bomb has no other use than to fill what reads it.
const (
	MaxPacked   = 1 << 29 // bytes of a zip that is not a file already
	MaxUnpacked = 1 << 31 // bytes of all files in one archive
	maxMembers  = 4096    // files in one zip
	maxRatio    = 500     // bytes of a file by those that it is packed in; reports pack to a tenth
	freeRatio   = 1 << 24 // bytes before the ratio counts
)

// Mistakes of archives.
var (
	errBomb      = errors.New("it unpacks to far more than a report has: a zip bomb")
	errTooLarge  = errors.New("it is larger than a report may be")
	errMembers   = errors.New("the archive has too many files")
	errTruncated = errors.New("the zip is truncated or damaged: its list of files is missing")
)

// Files opens what a user names: files, directories, zips, and "-".
type Files struct {
	Stdin io.Reader
	// Wants tells by its name whether a file inside a directory or an archive is
	// a document. What the user names is always one.
	Wants func(name string) bool
	// Skip reports whether the document of a [Document.Ref] was taken in before.
	// It is asked about what was found in a directory or a mailbox, which grow for
	// years; what the user names is always read. Nil skips nothing.
	Skip func(ref string) (bool, error)

	Passed  int // files in directories and archives that are no documents
	Skipped int // documents that were not read, because of Skip
}

// Ref returns a name for what the words identify, which tells nothing of them.
func Ref(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// skips reports whether the document was taken in before, and counts it.
func (f *Files) skips(ref string) (bool, error) {
	if ref == "" || f.Skip == nil {
		return false, nil
	}
	had, err := f.Skip(ref)
	if had {
		f.Skipped++
	}
	return had, err
}

// Open yields each document. One that cannot be opened comes with an error, and
// the rest follow.
func (f *Files) Open(ctx context.Context, names []string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				yield(Document{Name: name}, err)
				return
			}
			if !f.open(ctx, name, yield) {
				return
			}
		}
	}
}

func (f *Files) open(ctx context.Context, name string, yield func(Document, error) bool) bool {
	if name == "-" {
		return f.Reader("stdin", "", f.Stdin, yield)
	}
	info, err := os.Stat(name)
	if err != nil {
		return yield(Document{Name: name}, err)
	}
	if !info.IsDir() {
		return f.file(name, "", yield)
	}
	more := true
	err = filepath.WalkDir(name, func(at string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if more = yield(Document{Name: at}, err); !more {
				return fs.SkipAll
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir():
			return nil
		case !d.Type().IsRegular(), !f.wanted(at):
			f.Passed++
			return nil
		}
		ref, err := fileRef(at, d)
		if err != nil {
			more = yield(Document{Name: at}, err)
		} else {
			more = f.file(at, ref, yield)
		}
		if !more {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil && more {
		return yield(Document{Name: name}, err)
	}
	return more
}

// wanted reports whether a file in a directory is a document, or has some.
func (f *Files) wanted(name string) bool {
	base := strings.ToLower(filepath.Base(name))
	if strings.HasPrefix(base, ".") {
		return false
	}
	return strings.HasSuffix(base, ".zip") || f.Wants(strings.TrimSuffix(base, ".gz"))
}

// fileRef names a file as it is now: one that was written again is another.
func fileRef(at string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	whole, err := filepath.Abs(at)
	if err != nil {
		return "", err
	}
	return Ref("file", whole, strconv.FormatInt(info.Size(), 10), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

func (f *Files) file(name, ref string, yield func(Document, error) bool) bool {
	file, err := os.Open(name)
	if err != nil {
		return yield(Document{Name: name}, err)
	}
	defer file.Close()
	return f.Reader(name, ref, file, yield)
}

var (
	zipMark  = []byte("PK\x03\x04")
	zipEmpty = []byte("PK\x05\x06")
	gzipMark = []byte("\x1f\x8b")
)

// Reader yields the documents in what it reads, packed or not: what it is is
// told by its first bytes. With a ref each document has one, and those that were
// taken in before are passed over. It reports whether more are wanted.
func (f *Files) Reader(name, ref string, r io.Reader, yield func(Document, error) bool) bool {
	b := bufio.NewReader(r)
	head, err := b.Peek(len(zipMark))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return yield(Document{Name: name}, err)
	case bytes.Equal(head, zipMark), bytes.Equal(head, zipEmpty):
		return f.zipped(name, ref, r, b, yield)
	}
	if had, err := f.skips(ref); err != nil || had {
		return err == nil || yield(Document{Name: name}, err)
	}
	if !bytes.HasPrefix(head, gzipMark) {
		return yield(Document{Name: name, Ref: ref, Reader: b}, nil)
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return yield(Document{Name: name}, err)
	}
	return yield(Document{Name: strings.TrimSuffix(name, ".gz"), Ref: ref, Reader: &bounded{r: z, left: MaxUnpacked, err: errBomb}}, nil)
}

// zipped yields the documents in a zip. Its list stands at its end, so what is
// no file is copied into one first.
func (f *Files) zipped(name, ref string, r io.Reader, b *bufio.Reader, yield func(Document, error) bool) bool {
	file, ok := r.(*os.File)
	if ok {
		info, err := file.Stat()
		ok = err == nil && info.Mode().IsRegular()
	}
	if !ok {
		spool, err := os.CreateTemp("", "ippwatch-*.zip")
		if err != nil {
			return yield(Document{Name: name}, err)
		}
		defer func() {
			_ = spool.Close()
			_ = os.Remove(spool.Name()) // it was a copy
		}()
		if _, err := io.Copy(spool, &bounded{r: b, left: MaxPacked, err: errTooLarge}); err != nil {
			return yield(Document{Name: name}, err)
		}
		file = spool
	}
	info, err := file.Stat()
	if err != nil {
		return yield(Document{Name: name}, err)
	}
	z, err := zip.NewReader(file, info.Size())
	// Names that lead elsewhere are no danger: nothing is written under them.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return yield(Document{Name: name}, errTruncated)
	}
	if len(z.File) > maxMembers {
		return yield(Document{Name: name}, errMembers)
	}
	return f.members(name, ref, z, yield)
}

func (f *Files) members(name, ref string, z *zip.Reader, yield func(Document, error) bool) bool {
	left := int64(MaxUnpacked)
	for _, m := range z.File {
		// The last element alone: a name may say ../../etc, or C:\.
		base := path.Base(strings.ReplaceAll(m.Name, `\`, "/"))
		if m.FileInfo().IsDir() {
			continue
		}
		if !f.Wants(strings.ToLower(base)) {
			f.Passed++
			continue
		}
		inner, itself := name+"/"+base, ""
		if ref != "" { // by its whole name: two directories may have one of a name
			itself = Ref(ref, m.Name)
		}
		had, err := f.skips(itself)
		if had {
			continue
		}
		var r io.ReadCloser
		if err == nil {
			r, err = m.Open()
		}
		if err != nil {
			if !yield(Document{Name: inner}, fmt.Errorf("open in zip: %w", err)) {
				return false
			}
			continue
		}
		bound := min(left, max(freeRatio, maxRatio*int64(min(m.CompressedSize64, MaxUnpacked/maxRatio))))
		counted := &bounded{r: r, left: bound, err: errBomb}
		more := yield(Document{Name: inner, Ref: itself, Reader: counted}, nil)
		left -= bound - counted.left
		_ = r.Close() // what was read was checked
		if !more {
			return false
		}
	}
	return true
}

// A bounded reader fails after so many bytes, where io.LimitReader would make
// a cut file look whole.
type bounded struct {
	r    io.Reader
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// A file of exactly the bound is whole.
		var one [1]byte
		if n, err := b.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
