package notify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Lines writes events one a line, for a ticket system that reads a file or a
// pipe.
type Lines struct {
	mu   sync.Mutex
	path string
	w    io.Writer
}

// NewLines appends to a file, which it makes for its owner alone.
func NewLines(path string) *Lines { return &Lines{path: path} }

// NewLinesTo writes to w, such as stdout.
func NewLinesTo(w io.Writer) *Lines { return &Lines{w: w} }

// Send writes one event. What it says was accepted is on the disk. A line that
// a crash cut short is ended first, so that it spoils no other.
func (l *Lines) Send(e Event) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := Outcome{ID: e.ID, Result: Accepted, Stage: "file"}
	b, err := e.encode()
	if err != nil {
		o.Result, o.Said, o.Ours = Refused, plain(err.Error(), saidLimit), true
		return o
	}
	b = append(b, '\n')
	if l.w != nil {
		_, err = l.w.Write(b)
	} else {
		err = appendTo(l.path, b)
	}
	if err != nil {
		o.Result, o.Said, o.Ours = Later, plain(err.Error(), saidLimit), true
	}
	return o
}

func appendTo(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); info.Mode().IsRegular() && size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return fmt.Errorf("read the end of %s: %w", path, err)
		}
		if last[0] != '\n' {
			line = append([]byte("\n"), line...)
		}
	}
	if _, err := f.Write(line); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil // a pipe has no disk
	}
	return f.Sync()
}
