package exposure

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// A FeedRow is what a feed says of a host beside the facts that have a place of
// their own in an [Observation]: its name for the kind of report, and the
// columns that nothing else holds. Bounded, not escaped.
type FeedRow struct {
	Type    string            `json:"type"` // such as "scan_ipp"
	Columns map[string]string `json:"columns,omitempty"`
}

// Column returns a column that has no other place, or "".
func (r *FeedRow) Column(name string) string {
	if r == nil {
		return ""
	}
	return r.Columns[name]
}

// NewFeedID returns the id of a row of a feed: a hash of the source, the kind
// of the row and its content by the names of the columns. Their order, empty
// ones and the name of the file do not matter, so that a row that is sent again
// has the id that it had.
func NewFeedID(s Source, kind string, row map[string]string) ID {
	h := sha256.New()
	var b []byte
	write := func(part string) {
		b = append(binary.AppendUvarint(b[:0], uint64(len(part))), part...)
		h.Write(b)
	}
	write("feed")
	write(string(s))
	write(kind)
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if value := row[name]; value != "" {
			write(name)
			write(value)
		}
	}
	return ID(hex.EncodeToString(h.Sum(nil)[:16]))
}

// An Intake is one file of a feed that was taken in, and what became of its rows.
type Intake struct {
	Source  Source    `json:"source"`
	Type    string    `json:"type"` // of the report; empty when it could not be told
	File    string    `json:"file"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"` // why it failed, or was parked
	Rows    int       `json:"rows"`
	New     int       `json:"new"`
	Known   int       `json:"known"`     // taken in before
	Other   int       `json:"other"`     // not about printing
	Aside   int       `json:"set_aside"` // could not be read
	// Day is the last day of which it told, at midnight UTC; zero if of none.
	Day time.Time `json:"day,omitzero"`
	// Ref names what was downloaded, so that it is not downloaded again. It is a
	// hash: the name itself opens the file to everybody.
	Ref string `json:"-"`
}

// An Outcome is what became of a file.
type Outcome string

// Outcomes.
const (
	Taken  Outcome = "taken"
	Parked Outcome = "parked" // of a type that is not known yet: kept whole
	Failed Outcome = "failed" // not readable to its end; the rows before it are in
)

// An Aside is a row that was set aside, because it could not be read.
type Aside struct {
	Source Source    `json:"source"`
	Type   string    `json:"type"`
	File   string    `json:"file"`
	Line   int       `json:"line"` // where the row begins
	Reason string    `json:"reason"`
	Row    string    `json:"row"` // its beginning, not escaped
	At     time.Time `json:"at"`
	Hash   string    `json:"-"` // of source and content: a row that is sent again is set aside once
}

// A ParkedFile is a file that waits until its type is known.
type ParkedFile struct {
	Digest string    `json:"digest"` // SHA-256 of its content; also its name under parked/
	Source Source    `json:"source"`
	Type   string    `json:"type"`
	File   string    `json:"file"` // as it was called
	Bytes  int64     `json:"bytes"`
	Kept   bool      `json:"kept"` // false: it was too large to be kept
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// A FeedAge is the last day for which a feed had data.
type FeedAge struct {
	Source Source    `json:"source"`
	Type   string    `json:"type"`
	Day    time.Time `json:"day"`   // midnight UTC
	Taken  time.Time `json:"taken"` // when its data came
}
