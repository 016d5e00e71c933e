package exposure

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// A Census is what a sensor counted during a minute, all of it, in one class.
// Visits tell of what was worth telling; a census tells how many there were,
// also while a flood made single visits too many.
type Census struct {
	V         int       `json:"v"`
	ID        ID        `json:"id"`
	Began     time.Time `json:"time"`  // UTC
	Ended     time.Time `json:"ended"` // exclusive
	Sensor    string    `json:"sensor"`
	Transport Transport `json:"transport"`
	// Class is what was counted. Empty, this is how the sensor itself fared.
	Class   Class `json:"class,omitempty"`
	Packets int64 `json:"packets"`
	Bytes   int64 `json:"bytes"`
	// Told are those of the packets of which visits tell.
	Told int64 `json:"told"`
	// Listed are those of the packets that came from a listed scanner.
	Listed int64 `json:"listed,omitempty"`
	// Unique sources, their /24 and /48 networks, and the hosts of call-backs:
	// estimates, and the sketches (HyperLogLog) behind them, which can be merged
	// over time and over sensors.
	Sources  Distinct `json:"sources"`
	Networks Distinct `json:"networks"`
	Hosts    Distinct `json:"hosts"`
	// The most frequent ones. A count may be too high by at most its Over.
	TopSources []Frequent `json:"top_sources,omitempty"`
	TopHosts   []Frequent `json:"top_hosts,omitempty"`
	// Of a sensor itself:
	Health *Health `json:"health,omitempty"`
}

// A Distinct is how many different ones there were.
type Distinct struct {
	Estimate uint64 `json:"n"`
	Sketch   []byte `json:"sketch,omitempty"`
}

// A Frequent is one of the most frequent.
type Frequent struct {
	What string `json:"what"` // bounded, not escaped
	N    int64  `json:"n"`
	Over int64  `json:"over,omitempty"`
}

// Health is what a sensor lost, so that nobody takes its counts for all there was.
type Health struct {
	Dropped   int64 `json:"dropped"`   // by the kernel, because the sensor was too slow
	Unwritten int64 `json:"unwritten"` // visits that the disk had no room for
	Shed      int64 `json:"shed"`      // visits removed to stay below the disk cap
	Refused   int64 `json:"refused"`   // connections that came above a limit of the print service
}

// NewCensusID returns the id of a census.
func NewCensusID(c *Census) ID {
	h := sha256.New()
	for _, part := range []string{"census", c.Sensor, string(c.Transport), string(c.Class), c.Began.UTC().Format(time.RFC3339Nano)} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return ID(hex.EncodeToString(h.Sum(nil)[:16]))
}
