// Package journal keeps events in files that only grow: one writer appends, any
// number of processes read behind it.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A line is the checksum of what follows it (CRC-32C, eight hexadecimal digits),
// the number of the event, and the event in JSON:
//
//	e3069283 17 {"v":1,...}
//
// cut -d' ' -f3- NAME-*.log is NDJSON.
const (
	sumLen  = 8
	maxLine = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options are where a journal is, and how large it may become.
type Options struct {
	Dir  string
	Name string // of its files, NAME-0000000001.log
	// Cap is how many bytes all files together may have; 0 is no limit. When it
	// is reached, the oldest file is removed.
	Cap int64
	// Segment is how many bytes a file has before the next one begins.
	Segment int64

	create func(name string) (file, error) // for tests; nil is os.OpenFile
}

// A file is what a journal needs of one.
type file interface {
	io.Writer
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// A Journal is written by one process.
type Journal struct {
	o      Options
	old    []segment // finished, the oldest first
	number int64     // of the file that is written
	file   file      // nil until there is something to write
	size   int64
	lines  int64
	next   uint64 // number of the next event
	shed   int64
	buf    []byte
}

// A segment is one file.
type segment struct {
	number, size, lines int64
}

const (
	defaultSegment = 8 << 20
	leastSegment   = 64 << 10
	mostAtOnce     = 256 << 10 // bytes of one write
)

// Open opens a journal, and makes it if need be. What a crash left unfinished at
// the end of the last file is cut off.
func Open(o Options) (*Journal, error) {
	if o.Segment <= 0 {
		o.Segment = defaultSegment
		if o.Cap > 0 {
			o.Segment = max(min(o.Segment, o.Cap/64), 1<<12)
		}
	}
	if o.create == nil {
		o.create = func(name string) (file, error) { return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) }
	}
	j := &Journal{o: o, next: 1}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	numbers, err := segments(o.Dir, o.Name)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for i, n := range numbers {
		s, last, err := j.survey(n, i == len(numbers)-1)
		if err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
		j.old = append(j.old, s)
		j.number = n
		j.next = max(j.next, last+1)
	}
	return j, nil
}

// survey reads a file through: its size, its lines, and the last number in it.
// Of the last file the unfinished end is cut off.
func (j *Journal) survey(n int64, isLast bool) (s segment, last uint64, err error) {
	name := j.path(n)
	text, err := os.ReadFile(name)
	if err != nil {
		return s, 0, err
	}
	s.number = n
	whole := 0
	for at := 0; at < len(text); {
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 {
			break
		}
		if number, _, ok := parse(text[at : at+end]); ok {
			last, whole = max(last, number), at+end+1
			s.lines++
		}
		at += end + 1
	}
	s.size = int64(len(text))
	if isLast && whole < len(text) {
		if err := os.Truncate(name, int64(whole)); err != nil {
			return s, 0, err
		}
		s.size = int64(whole)
	}
	return s, last, nil
}

// parse reads a line without its end.
func parse(line []byte) (number uint64, event []byte, ok bool) {
	if len(line) < sumLen+1 || line[sumLen] != ' ' {
		return 0, nil, false
	}
	sum, err := strconv.ParseUint(string(line[:sumLen]), 16, 32)
	rest := line[sumLen+1:]
	if err != nil || uint32(sum) != crc32.Checksum(rest, castagnoli) {
		return 0, nil, false
	}
	digits, event, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return 0, nil, false
	}
	number, err = strconv.ParseUint(string(digits), 10, 64)
	return number, event, err == nil
}

func appendLine(b []byte, number uint64, event []byte) []byte {
	at := len(b)
	b = append(b, "00000000 "...)
	b = strconv.AppendUint(b, number, 10)
	b = append(append(b, ' '), event...)
	const digits = "0123456789abcdef"
	sum := crc32.Checksum(b[at+sumLen+1:], castagnoli)
	for i := range sumLen {
		b[at+i] = digits[sum>>(28-4*i)&15]
	}
	return append(b, '\n')
}

func (j *Journal) path(n int64) string { return path(j.o.Dir, j.o.Name, n) }

func path(dir, name string, n int64) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%010d.log", name, n))
}

// segments are the numbers of the files that are there, in order.
func segments(dir, name string) (numbers []int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, isLog := strings.CutSuffix(strings.TrimPrefix(e.Name(), name+"-"), ".log")
		if n, err := strconv.ParseInt(digits, 10, 64); isLog && err == nil && path(dir, name, n) == filepath.Join(dir, e.Name()) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Append writes events, and says how many of them are whole in the file now. On
// a full disk the oldest make room, if there is a cap to this journal: then they
// are lost.
func (j *Journal) Append(events [][]byte) (written int, err error) {
	for len(events) > 0 {
		n, err := j.append(events)
		written += n
		events = events[n:]
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) || !j.makeRoom() {
			return written, fmt.Errorf("write journal %s: %w", filepath.Join(j.o.Dir, j.o.Name), err)
		}
	}
	return written, nil
}

// makeRoom removes the oldest file, be it the one that is written. From now on
// files are smaller, so that less goes at a time.
func (j *Journal) makeRoom() bool {
	j.o.Segment = min(j.o.Segment, max(j.o.Segment/2, leastSegment))
	if j.Shed() {
		return true
	}
	if j.o.Cap <= 0 || j.file == nil || j.size == 0 {
		return false
	}
	_ = j.finish() // it is removed next
	return j.Shed()
}

// append writes some of the events.
func (j *Journal) append(events [][]byte) (int, error) {
	if err := j.rotate(); err != nil {
		return 0, err
	}
	j.buf = j.buf[:0]
	n := 0
	for n < len(events) && (n == 0 || len(j.buf) < mostAtOnce && j.size+int64(len(j.buf)) < j.o.Segment) {
		if bytes.IndexByte(events[n], '\n') >= 0 || len(events[n]) > maxLine-64 {
			return 0, fmt.Errorf("event of %d bytes: too long, or more than a line", len(events[n]))
		}
		j.buf = appendLine(j.buf, j.next+uint64(n), events[n])
		n++
	}
	if _, err := j.file.Write(j.buf); err != nil {
		return 0, errors.Join(err, j.undo())
	}
	j.size += int64(len(j.buf))
	j.lines += int64(n)
	j.next += uint64(n)
	j.trim()
	return n, nil
}

// undo cuts off what was written of a batch that failed. Where that fails too,
// the file is left as it is and the next one begins: readers pass over a line
// that is not whole.
func (j *Journal) undo() error {
	if j.file.Truncate(j.size) == nil {
		if s, ok := j.file.(io.Seeker); ok {
			if _, err := s.Seek(j.size, io.SeekStart); err == nil {
				return nil
			}
		} else {
			return nil
		}
	}
	return j.finish()
}

// rotate begins a new file when the one that is written is full, or there is none.
func (j *Journal) rotate() error {
	if j.file != nil && j.size < j.o.Segment {
		return nil
	}
	if err := j.finish(); err != nil {
		return err
	}
	f, err := j.o.create(j.path(j.number + 1))
	if err != nil {
		return err
	}
	j.number++
	j.file, j.size, j.lines = f, 0, 0
	return nil
}

func (j *Journal) finish() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	j.old = append(j.old, segment{j.number, j.size, j.lines})
	return errors.Join(f.Sync(), f.Close())
}

// trim removes the oldest files until the cap is kept.
func (j *Journal) trim() {
	if j.o.Cap <= 0 {
		return
	}
	total := j.size
	for _, s := range j.old {
		total += s.size
	}
	for len(j.old) > 0 && total > j.o.Cap {
		total -= j.old[0].size
		if !j.Shed() {
			break
		}
	}
}

// Shed removes the oldest finished file of a journal that has a cap, and reports
// whether there was one.
func (j *Journal) Shed() bool {
	if j.o.Cap <= 0 || len(j.old) == 0 {
		return false
	}
	s := j.old[0]
	if err := os.Remove(j.path(s.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	j.old = j.old[1:]
	j.shed += s.lines
	return true
}

// TakeShed returns how many events were removed since it was last asked.
func (j *Journal) TakeShed() int64 {
	n := j.shed
	j.shed = 0
	return n
}

// Sync makes what was written outlive a power cut.
func (j *Journal) Sync() error {
	if j.file == nil {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync journal %s: %w", j.path(j.number), err)
	}
	return nil
}

// Close ends writing.
func (j *Journal) Close() error { return j.finish() }
