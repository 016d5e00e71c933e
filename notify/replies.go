package notify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// replyBytes is how much of one mail is looked at; what tells it apart stands
// at its beginning.
const replyBytes = 1 << 20

var errNoMailbox = errors.New("want a Maildir, with new and cur in it, or an mbox file")

// ReadReplies reads what came back: a Maildir, or an mbox file. Each mail has a
// [Reply.Source] that stays the same when the mail program moves or flags it;
// those that are known are not read again. An error is of one file, or of all
// when nothing can be read; reading goes on behind it.
func ReadReplies(path string, s Secret, known func(source string) bool) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			yield(Reply{}, fmt.Errorf("read replies: %w", err))
		case info.IsDir():
			readMaildir(path, s, known, yield)
		default:
			readMbox(path, s, known, yield)
		}
	}
}

// readMaildir reads new and cur. The name of a file is unique for ever up to
// its colon, behind which the flags change.
func readMaildir(path string, s Secret, known func(string) bool, yield func(Reply, error) bool) {
	found := false
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(path, sub)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		if err != nil && !yield(Reply{}, fmt.Errorf("read replies: %w", err)) {
			return
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			source, _, _ := strings.Cut(e.Name(), ":")
			source = "maildir:" + source
			if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || known(source) {
				continue
			}
			r, err := readFile(filepath.Join(dir, e.Name()), s)
			if errors.Is(err, fs.ErrNotExist) {
				continue // the mail program moved it: next time
			}
			r.Source = source
			if !yield(r, err) {
				return
			}
		}
	}
	if !found {
		yield(Reply{}, fmt.Errorf("read replies: %s: %w", path, errNoMailbox))
	}
}

func readFile(name string, s Secret) (Reply, error) {
	f, err := os.Open(name)
	if err != nil {
		return Reply{File: name}, fmt.Errorf("read reply: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, replyBytes))
	if err != nil {
		return Reply{File: name}, fmt.Errorf("read reply %s: %w", name, err)
	}
	r := ParseReply(b, s)
	r.File = name
	return r, nil
}

// readMbox reads an mbox file, in which a mail begins with "From " behind an
// empty line (RFC 4155). A mail is known by its content, as it has no name.
func readMbox(path string, s Secret, known func(string) bool, yield func(Reply, error) bool) {
	f, err := os.Open(path)
	if err != nil {
		yield(Reply{}, fmt.Errorf("read replies: %w", err))
		return
	}
	defer f.Close()
	seen := make(map[string]bool)
	for text, sum := range mboxMails(bufio.NewReaderSize(f, 64<<10), &err) {
		source := "mbox:" + sum
		if seen[source] || known(source) {
			continue
		}
		seen[source] = true
		r := ParseReply(text, s)
		r.File, r.Source = path, source
		if !yield(r, nil) {
			return
		}
	}
	if err != nil {
		yield(Reply{}, fmt.Errorf("read replies: %s: %w", path, err))
	}
}

// mboxMails yields the beginning of each mail and the hash of all of it.
func mboxMails(in *bufio.Reader, failed *error) iter.Seq2[[]byte, string] {
	return func(yield func([]byte, string) bool) {
		var text []byte
		hash, started, empty, whole := sha256.New(), false, true, true
		give := func() bool {
			if !started {
				return true
			}
			ok := yield(text, hex.EncodeToString(hash.Sum(nil)[:16]))
			text = nil
			hash.Reset()
			return ok
		}
		for n := 0; ; n++ {
			line, err := in.ReadSlice('\n')
			if len(line) > 0 {
				begins := whole && empty && bytes.HasPrefix(line, []byte("From "))
				switch {
				case n == 0 && !begins:
					*failed = errNoMailbox
					return
				case begins:
					if !give() {
						return
					}
					started = true
				default:
					hash.Write(line)
					if whole && mboxQuoted(line) {
						line = line[1:]
					}
					text = append(text, line[:min(len(line), replyBytes-len(text))]...)
				}
				if whole {
					empty = len(bytes.TrimRight(line, "\r\n")) == 0
				}
				whole = bytes.HasSuffix(line, []byte("\n"))
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if !errors.Is(err, io.EOF) {
					*failed = err
				}
				give()
				return
			}
		}
	}
}

// mboxQuoted reports whether the line was "From " before the mbox was written.
func mboxQuoted(line []byte) bool {
	rest := bytes.TrimLeft(line, ">")
	return len(rest) < len(line) && bytes.HasPrefix(rest, []byte("From "))
}
