package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A Cursor is how far somebody has read. The zero value is the beginning.
type Cursor struct {
	Segment int64  `json:"segment"`
	Offset  int64  `json:"offset"`
	Next    uint64 `json:"next"` // number of the next event
}

// A Reader reads behind a writer of another process, or after it.
type Reader struct {
	Dir  string
	Name string
	At   Cursor
	// Lost is how many events were gone before they were read.
	Lost int64
}

// chunk is how many bytes are read at once.
const chunk = 1 << 18

// Read returns the next events, at most so many, and moves on. None and no error
// means that there is none yet.
func (r *Reader) Read(most int) (events [][]byte, err error) {
	for len(events) < most {
		more, behind, err := r.read(most - len(events))
		if err != nil {
			return events, fmt.Errorf("read journal: %w", err)
		}
		events = append(events, more...)
		if len(more) == 0 && !behind {
			break
		}
	}
	return events, nil
}

// read reads in one file; behind says that there is more behind it.
func (r *Reader) read(most int) (events [][]byte, behind bool, err error) {
	// Which files there are is looked at before this one's end: the writer begins
	// a file only when it has finished the one before.
	numbers, err := segments(r.Dir, r.Name)
	if err != nil || len(numbers) == 0 {
		return nil, false, err
	}
	next := int64(0)
	for _, n := range numbers {
		if n > r.At.Segment {
			next = n
			break
		}
	}
	if r.At.Segment == 0 {
		r.At.Segment, r.At.Offset = numbers[0], 0
		return nil, true, nil
	}
	part, err := r.part()
	if errors.Is(err, fs.ErrNotExist) {
		part, err = nil, nil // it was removed
	}
	if err != nil {
		return nil, false, err
	}
	used := 0
	for len(events) < most {
		end := bytes.IndexByte(part[used:], '\n')
		if end < 0 {
			break
		}
		if number, event, ok := parse(part[used : used+end]); ok {
			if number > r.At.Next && r.At.Next > 0 {
				r.Lost += int64(number - r.At.Next)
			}
			r.At.Next = number + 1
			events = append(events, event)
		}
		used += end + 1
	}
	r.At.Offset += int64(used)
	switch {
	case used > 0:
		return events, true, nil
	case len(part) >= maxLine: // no line of ours
		r.At.Offset += int64(len(part))
		return nil, true, nil
	case next > 0:
		r.At.Segment, r.At.Offset = next, 0
		return nil, true, nil
	}
	return nil, false, nil
}

// part reads from where we are; more where a line is longer.
func (r *Reader) part() ([]byte, error) {
	f, err := os.Open(path(r.Dir, r.Name, r.At.Segment))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	left := info.Size() - r.At.Offset
	for size := int64(chunk); left > 0; size *= 2 {
		b := make([]byte, min(size, left))
		n, err := f.ReadAt(b, r.At.Offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if size >= left || size >= maxLine || bytes.IndexByte(b[:n], '\n') >= 0 {
			return b[:n], nil
		}
	}
	return nil, nil
}

// End returns the place behind all that is there.
func End(dir, name string) (Cursor, error) {
	numbers, err := segments(dir, name)
	if err != nil || len(numbers) == 0 {
		return Cursor{}, err
	}
	last := numbers[len(numbers)-1]
	info, err := os.Stat(path(dir, name, last))
	if err != nil {
		return Cursor{}, fmt.Errorf("end of journal: %w", err)
	}
	return Cursor{Segment: last, Offset: info.Size()}, nil
}

// Since returns the beginning of the first file that was written to at that time
// or later: what comes before it is older.
func Since(dir, name string, at time.Time) (Cursor, error) {
	numbers, err := segments(dir, name)
	if err != nil {
		return Cursor{}, err
	}
	for _, n := range numbers {
		info, err := os.Stat(path(dir, name, n))
		if err == nil && !info.ModTime().Before(at) {
			return Cursor{Segment: n}, nil
		}
	}
	return Cursor{}, nil
}
