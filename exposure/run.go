package exposure

import (
	"net/netip"
	"time"
)

// A Run is one scan, with everything needed to go on with it and to answer a
// stranger who asks what we sent and under whose authority.
type Run struct {
	ID           string    `json:"id"` // such as "20261123T093000Z-7f3a"
	State        RunState  `json:"state"`
	Started      time.Time `json:"started"`
	Ended        time.Time `json:"ended"` // zero while running
	Vantage      string    `json:"vantage"`
	AuthorisedBy string    `json:"authorised_by"`
	ContactPoint string    `json:"contact"`
	Expires      time.Time `json:"expires"`
	// Scope is the scope file as it was read; Targets are the prefixes to which
	// the user narrowed it, empty for all of it.
	Scope   string         `json:"scope"`
	Targets []netip.Prefix `json:"targets,omitempty"`
	Ports   []uint16       `json:"ports"` // over TCP
	UDPPort uint16         `json:"udp_port,omitempty"`
	UDP     bool           `json:"udp"`
	// Shard i of Shards; 0 of 1 is the whole.
	Shard  int `json:"shard"`
	Shards int `json:"shards"`
	// Seed keys the order in which the targets are visited.
	Seed []byte `json:"seed"`
	// Options are the flags that change what is asked, for --resume.
	Options map[string]string `json:"options,omitempty"`
}

// A RunState is how far a run, or a job, came.
type RunState string

// States of a run.
const (
	Running RunState = "running" // or killed: see the time of the last tick
	Stopped RunState = "stopped" // by the user; can be resumed
	Done    RunState = "done"
	// JobFailed is of a job alone: a scan that fails is stopped.
	JobFailed RunState = "failed"
)

// A Leg is the part of a run that uses one probe; each leg walks the targets
// in an order of its own.
type Leg struct {
	Run   string
	Probe Probe
}

// A Tick is how far a leg was at one time. Ticks are the memory for resume
// (Finished) and for the question what was sent when (Handed).
type Tick struct {
	At       time.Time
	Handed   uint64 // positions below were handed to the engine
	Finished uint64 // positions below are done
}

// A Batch is a range of positions of a UDP leg that was reserved before it was
// sent. A batch that is found not settled after a crash was interrupted.
type Batch struct {
	From, To uint64 // From <= position < To
	Reserved time.Time
	Sent     time.Time // zero: not known sent
	Settled  time.Time // zero: the waiting had not ended
}
