package watch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"ippwatch/wire/browse"
)

// A Sink hears what a log tells. A [Watcher] is one.
type Sink interface {
	Packet(p Packet)
	Name(name string, a netip.Addr)
	Call(c Call)
}

// maxLine is the longest line that is read: eve.json may have a packet of 64 kB
// in base64, twice.
const maxLine = 1 << 20

// A Bad line could not be read.
type Bad struct {
	Line   int // from 1
	Column int // from 1; 0: unknown
	Reason string
}

// A Log is one text file that is being read: Suricata's eve.json, or a log of
// Zeek in either of its forms. It goes on where it was when more is written.
type Log struct {
	Name  string
	Lines int
	Bad   int
	First Bad // of the bad lines

	sink   Sink
	kind   kind
	fields []string // of a log of Zeek in columns
	path   string
	sep    string
	set    string // between the values of a set
	empty  string
	unset  string
}

type kind int

const (
	unknown kind = iota
	eve
	zeekJSON
	zeekColumns
)

// ErrKind says that a file is none of those that are read.
var ErrKind = errors.New("neither Suricata's eve.json, nor a conn, http or dns log of Zeek, nor pcap")

// NewLog returns a log that tells the sink.
func NewLog(name string, s Sink) *Log {
	return &Log{Name: name, sink: s, sep: "\t", set: ",", empty: "(empty)", unset: "-"}
}

// Kind says what the log was found to be.
func (l *Log) Kind() string {
	if l.kind == zeekColumns && l.path == "" {
		return "a log of Zeek of another kind"
	}
	return [...]string{"unknown", "eve.json", "zeek json", "zeek " + l.path}[l.kind]
}

// Read reads to the end.
func (l *Log) Read(r io.Reader) error {
	b := bufio.NewReaderSize(r, 1<<16)
	for {
		line, long, err := readLine(b)
		if len(line) > 0 || long {
			if wrong := l.Line(line, long); wrong != nil {
				return wrong
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine returns a line without its end; of one that is too long only that it is.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !long {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, long = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), long, err
		}
	}
}

// Line reads one line. An error says that the file is of no kind that is read; a
// line that is bad is counted and passed over.
func (l *Log) Line(line []byte, long bool) error {
	l.Lines++
	if long {
		l.bad(0, "the line is longer than 1 MiB")
		return nil
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	if l.kind == unknown {
		if err := l.recognise(line); err != nil {
			return err
		}
	}
	switch {
	case l.kind == zeekColumns:
		l.columns(string(line))
	case line[0] != '{':
		l.bad(1, "no object of JSON")
	case l.kind == eve:
		l.eve(line)
	default:
		l.zeek(line)
	}
	return nil
}

// recognise finds out what the file is, by its first line.
func (l *Log) recognise(line []byte) error {
	if bytes.HasPrefix(line, []byte("#separator")) || bytes.HasPrefix(line, []byte("#fields")) {
		l.kind = zeekColumns
		return nil
	}
	var first map[string]json.RawMessage
	if err := json.Unmarshal(line, &first); err == nil {
		if _, ok := first["event_type"]; ok {
			l.kind = eve
			return nil
		}
		if _, ok := first["id.orig_h"]; ok || first["ts"] != nil {
			l.kind = zeekJSON
			return nil
		}
	}
	return ErrKind
}

func (l *Log) bad(column int, reason string) {
	if l.Bad == 0 {
		l.First = Bad{l.Lines, column, reason}
	}
	l.Bad++
}

func (l *Log) badJSON(err error) {
	column := 0
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		column = int(syntax.Offset)
	}
	if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		l.bad(int(typed.Offset), fmt.Sprintf("%s is no %s", typed.Field, typed.Type))
		return
	}
	l.bad(column, "broken JSON: "+err.Error())
}

func (l *Log) where() string { return l.Name + ":" + strconv.Itoa(l.Lines) }

// browsed reads a payload, if it asks for a call.
func browsed(p *Packet, payload []byte) {
	p.Read, p.Bytes = true, len(payload)
	p.Browse, _ = browse.Parse(payload) // what cannot be read asks for nothing
}

func portText(p uint16) string { return strconv.Itoa(int(p)) }

// addrPort reads an address and a port as logs have them.
func addrPort(addr string, port int) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || port < 0 || port > 65535 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(port)), true
}

// epoch reads seconds since 1970 with a fraction, to the microsecond.
func epoch(text string) (time.Time, error) {
	whole, part, _ := strings.Cut(text, ".")
	s, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	part = (part + "000000000")[:9]
	n, err := strconv.ParseUint(part, 10, 32)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(s, int64(n)).UTC(), nil
}
