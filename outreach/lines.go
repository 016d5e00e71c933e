package outreach

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ippwatch/exposure"
	"ippwatch/store"
)

// A Line is one step of a case, for a ticket system. V changes when a reader
// that knows the former version would be misled.
type Line struct {
	V    int    `json:"v"`
	Seq  int64  `json:"seq"` // rises with every line; the same step has the same for ever
	Case string `json:"case"`
	exposure.Transition
	Constituents []string `json:"constituents"`
}

// LineVersion is the version of a [Line].
const LineVersion = 1

// linesAtOnce is how many lines are written before the place is written down.
const linesAtOnce = 500

// Lines appends what became of cases to a file, one line a step, each once: after
// a crash it goes on behind the last whole line of the file.
func (o *Office) Lines(ctx context.Context, path string) (n int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write lines: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("write lines: %w", err)
	}
	if !info.Mode().IsRegular() {
		return o.LinesTo(ctx, path, f)
	}
	seq, end, err := lastLine(f, info.Size())
	if err != nil {
		return 0, fmt.Errorf("write lines: read the end of %s: %w", path, err)
	}
	if err := f.Truncate(end); err != nil {
		return 0, fmt.Errorf("write lines: %w", err)
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return 0, fmt.Errorf("write lines: %w", err)
	}
	return o.lines(ctx, path, f, seq, f.Sync)
}

// LinesTo writes to a pipe, which nobody can read again: after a crash the lines
// since the last sign of life come twice, with the same seq.
func (o *Office) LinesTo(ctx context.Context, name string, w io.Writer) (int, error) {
	return o.lines(ctx, name, w, 0, func() error { return nil })
}

func (o *Office) lines(ctx context.Context, name string, w io.Writer, seq int64, sync func() error) (n int, err error) {
	cursor := "lines " + name
	kept, err := o.Store.Cursor(ctx, cursor)
	if err != nil {
		return 0, err
	}
	seq = max(seq, kept)
	out := bufio.NewWriter(w)
	flush := func() error {
		if err := errors.Join(out.Flush(), sync()); err != nil {
			return fmt.Errorf("write lines to %s: %w", name, err)
		}
		o.at("lines written")
		return o.Store.SetCursor(ctx, cursor, seq)
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for t, err := range o.Store.TransitionsAfter(ctx, o.View, seq) {
		if err != nil {
			return n, err
		}
		l := Line{V: LineVersion, Seq: t.Seq, Case: t.Case(), Transition: t.Transition, Constituents: []string{}}
		if l.Constituents, err = o.names(ctx, t); err != nil {
			return n, err
		}
		if err := enc.Encode(l); err != nil {
			return n, fmt.Errorf("write lines to %s: %w", name, err)
		}
		seq = t.Seq
		if n++; n%linesAtOnce == 0 {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

// names are those who answer for a case, who is nearest first.
func (o *Office) names(ctx context.Context, t store.Numbered) ([]string, error) {
	names := []string{}
	e, err := o.Store.Exposure(ctx, o.View, t.Key)
	if errors.Is(err, store.ErrNoExposure) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	for _, c := range o.Directory.Match(e.Addr, e.Where) {
		names = append(names, c.Name)
	}
	return names, nil
}

// tail is how much of a file is read to find its last line.
const tail = 1 << 20

// lastLine returns the seq of the last whole line and where it ends.
func lastLine(f io.ReaderAt, size int64) (seq, end int64, err error) {
	from := max(0, size-tail)
	b := make([]byte, size-from)
	if _, err := f.ReadAt(b, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	i := bytes.LastIndexByte(b, '\n')
	if i < 0 {
		if from > 0 {
			return 0, 0, errors.New("no line ends in its last megabyte: is it a file of ours?")
		}
		return 0, 0, nil
	}
	var l struct {
		Seq int64     `json:"seq"`
		At  time.Time `json:"at"`
	}
	line := b[bytes.LastIndexByte(b[:i], '\n')+1 : i]
	if err := json.Unmarshal(line, &l); err != nil {
		return 0, 0, fmt.Errorf("its last line is none of ours: %w", err)
	}
	return l.Seq, from + int64(i) + 1, nil
}
