package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"ippwatch/feed"
)

// A Read is what became of one file.
type Read struct {
	File  string
	Kind  string
	Lines int // or packets
	Bad   int
	First Bad
	Cut   string // why a capture ended before its end
}

// ReadFiles reads files to their ends, twice: first for packets and names, then
// for calls, because logs write a flow when it is over, long after the call that
// it caused. What cannot be read comes as an error with its name; the others are
// read all the same.
func (w *Watcher) ReadFiles(ctx context.Context, names []string) ([]Read, error) {
	var all []Read
	var wrong error
	for pass, sink := range []Sink{early{w}, late{w}} {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return all, err
			}
			r, err := readFile(ctx, name, sink)
			if pass > 0 {
				continue // what is wrong with it was said
			}
			if err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %w", name, err))
				continue
			}
			all = append(all, r)
		}
	}
	return all, wrong
}

// An early sink hears of packets and names, a late one of calls.
type (
	early struct{ w *Watcher }
	late  struct{ w *Watcher }
)

func (s early) Packet(p Packet)                { s.w.Packet(p) }
func (s early) Name(name string, a netip.Addr) { s.w.Name(name, a) }
func (early) Call(Call)                        {}

func (late) Packet(Packet)           {}
func (late) Name(string, netip.Addr) {}
func (s late) Call(c Call)           { s.w.Call(c) }

// readFile reads one file, packed or not.
func readFile(ctx context.Context, name string, s Sink) (Read, error) {
	r := Read{File: name}
	files := &feed.Files{Wants: func(string) bool { return true }}
	var failed error
	for doc, err := range files.Open(ctx, []string{name}) {
		if err == nil {
			err = r.read(doc, s)
		}
		failed = errors.Join(failed, plain(err))
	}
	return r, failed
}

// plain takes the name of the file out of an error that says it already.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (r *Read) read(doc feed.Document, s Sink) error {
	b := bufio.NewReaderSize(doc, 1<<16)
	if IsPcap(b) {
		p, err := ReadPcap(doc.Name, b, s)
		r.Kind, r.Cut = "pcap", p.Cut
		r.Lines += p.N
		return err
	}
	l := NewLog(doc.Name, s)
	if err := l.Read(b); err != nil {
		return err
	}
	r.Kind = l.Kind()
	if l.kind == unknown {
		r.Kind = "empty"
	}
	r.Lines += l.Lines
	if r.Bad == 0 {
		r.First = l.First
	}
	r.Bad += l.Bad
	return nil
}

// A tail is a file that is being written, and may be rotated.
type tail struct {
	log  *Log
	file *os.File
	rest []byte // of a line that is not whole
	long bool   // the rest is of a line that is too long
	at   int64
}

// Follow reads logs from their beginnings and goes on as they are written, also
// when they are rotated or cut, until the context ends. After each round of the
// tick it calls round. A file that is not there yet is waited for; one that is no
// log ends it.
func (w *Watcher) Follow(ctx context.Context, names []string, tick <-chan time.Time, round func() error) ([]Read, error) {
	tails := make([]*tail, len(names))
	for i, name := range names {
		tails[i] = &tail{log: NewLog(name, w)}
		defer tails[i].close()
	}
	read := func() (all []Read) {
		for _, t := range tails {
			all = append(all, Read{File: t.log.Name, Kind: t.log.Kind(), Lines: t.log.Lines, Bad: t.log.Bad, First: t.log.First})
		}
		return all
	}
	for {
		for _, t := range tails {
			if err := t.poll(); err != nil {
				return read(), fmt.Errorf("%s: %w", t.log.Name, plain(err))
			}
		}
		if err := round(); err != nil {
			return read(), err
		}
		select {
		case <-ctx.Done():
			return read(), ctx.Err()
		case <-tick:
		}
	}
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
		t.file = nil
	}
}

// poll reads what is new. A file that was renamed is read to its end before the
// new one of its name is begun.
func (t *tail) poll() error {
	if t.file == nil {
		f, err := os.Open(t.log.Name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		t.file, t.at, t.rest, t.long = f, 0, nil, false
	}
	if err := t.read(); err != nil {
		return err
	}
	have, err := t.file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(t.log.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // it was moved away, and the new one is not there yet
	case err != nil:
		return err
	case !os.SameFile(have, now):
		if err := t.read(); err != nil {
			return err
		}
		t.close()
		return t.poll()
	case now.Size() < t.at: // cut, by copytruncate
		t.at, t.rest, t.long = 0, nil, false
		if _, err := t.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return t.read()
	}
	return nil
}

func (t *tail) read() error {
	buf := make([]byte, 1<<16)
	for {
		n, err := t.file.Read(buf)
		t.at += int64(n)
		if wrong := t.take(buf[:n]); wrong != nil {
			return wrong
		}
		if errors.Is(err, io.EOF) || n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take splits what was read into lines; the last may not be whole yet.
func (t *tail) take(b []byte) error {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		if !t.long {
			t.rest = append(t.rest, b[:end]...)
		}
		if err := t.log.Line(t.rest, t.long); err != nil {
			return err
		}
		t.rest, t.long = t.rest[:0], false
		b = b[end+1:]
	}
	if t.rest = append(t.rest, b...); len(t.rest) > maxLine {
		t.rest, t.long = t.rest[:0], true
	}
	return nil
}
