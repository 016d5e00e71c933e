package exposure

import (
	"net/netip"
	"time"
)

// A Job is a kind of work that is done on a schedule, and how its last run went.
type Job struct {
	Kind string `json:"kind"` // "scan", "prune" ...
	// Due is the last time of the schedule that was dealt with.
	Due       time.Time `json:"due,omitzero"`
	Started   time.Time `json:"started,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Succeeded time.Time `json:"succeeded,omitzero"` // end of the last run that was done
	// State is Running, or killed while it ran; Stopped with the daemon, to go on
	// at its next start; Done or Failed.
	State    RunState `json:"state,omitempty"`
	Note     string   `json:"note,omitempty"`     // what came of it, in a sentence
	Mark     string   `json:"mark,omitempty"`     // where it goes on: a run, for a scan
	Attempts int      `json:"attempts,omitempty"` // begun since it last ended by itself
}

// A Lease says which process runs a kind of job. Beats rises while the holder
// lives; whether it does is judged by that and never by the clock, which may be set.
type Lease struct {
	Kind   string    `json:"kind"`
	Holder string    `json:"holder"`
	Beats  int64     `json:"beats"`
	Since  time.Time `json:"since"`
	Beat   time.Time `json:"beat"`
}

// A Claim is the wish to run a job.
type Claim struct {
	Kind, Holder string
	Was          time.Time // the job's Due, as the claimer has seen it
	Due, At      time.Time
	Stale        *Lease // of a holder that is gone; nil: nobody holds it
}

// An Alert is something that an operator must know of, from when it began until
// it ended.
type Alert struct {
	Seq    int64     `json:"seq"`
	Name   string    `json:"name"` // such as "job-failed scan"; one of a name at a time
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"` // zero while it lasts
	Detail string    `json:"detail"`
	Step   string    `json:"step"` // what to do next
	// Level rises when it gets worse by much: then it is told again.
	Level int `json:"level,omitempty"`
	// Again says that it was told before, at a lower level.
	Again bool `json:"-"`
}

// A Hold keeps what is known of an address range beyond its retention.
type Hold struct {
	What   string       `json:"what"` // a case or a prefix, as it was named
	Prefix netip.Prefix `json:"prefix"`
	Reason string       `json:"reason"`
	Who    string       `json:"who"`
	At     time.Time    `json:"at"`
}

// Pruned is what a prune removed, or would remove, and what it left because it
// is held.
type Pruned struct{ Removed, Held int64 }

// Add adds another part.
func (p *Pruned) Add(q Pruned) { p.Removed, p.Held = p.Removed+q.Removed, p.Held+q.Held }
