package exposure

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var errStatusCode = errors.New(`IPP status code: want the form "0x0406"`)

// An Exposure is the long-lived case that findings are folded into.
type Exposure struct {
	Key
	Severity  Severity  `json:"severity"`
	Condition Condition `json:"condition"`
	Contact   Contact   `json:"contact"`
	Ruling    Ruling    `json:"verdict"`
	// Cycle counts how often the hole was opened: 1 at first, one more each
	// time it is seen again after it was fixed, filtered or lapsed.
	Cycle     int       `json:"cycle"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	TimesSeen int       `json:"times_seen"`
	Evidence  string    `json:"evidence"`    // of the last sighting
	Last      ID        `json:"observation"` // the last sighting
	Where     Where     `json:"where"`
	Simulated bool      `json:"simulated,omitempty"`
	// Device is the printer-uuid that the host gave when it was seen last, "" if
	// it gave none that tells devices apart.
	Device string `json:"device,omitempty"`
	// ClearedAt and SilentAt are the first clean and the first silent probe since
	// it was seen, in runs whose control answered. Two a day apart prove something.
	ClearedAt time.Time `json:"cleared_at,omitzero"`
	SilentAt  time.Time `json:"silent_at,omitzero"`

	// RuledBy, RuledWhy and RuledUntil belong to the verdict: who said so, why,
	// and when an accepted risk is asked about again.
	RuledBy    string    `json:"verdict_by,omitempty"`
	RuledWhy   string    `json:"verdict_reason,omitempty"`
	RuledUntil time.Time `json:"verdict_until,omitzero"`
	Assignee   string    `json:"assignee,omitempty"` // of ours, who works on it

	// MovedTo is where the same device answers now: this case rests, and the one
	// there goes on with its history. MovedFrom is the other end.
	MovedTo   netip.Addr `json:"moved_to,omitzero"`
	MovedFrom netip.Addr `json:"moved_from,omitzero"`
}

// Work reports whether somebody should still act on it: open, and nobody has
// decided otherwise.
func (e *Exposure) Work() bool {
	return e.Condition.Open() && e.Ruling == NoRuling && !e.MovedTo.IsValid()
}

// Word returns the one word or two that a page shows for the three axes: a
// human's verdict before what is known of the hole, and that before how far we
// came with the people.
func (e *Exposure) Word() string {
	switch {
	case e.MovedTo.IsValid():
		return "moved"
	case e.Ruling == Accepted:
		return "accepted risk"
	case e.Ruling == FalsePositive:
		return "false positive"
	}
	switch e.Condition {
	case OneClean:
		return "one clean probe"
	case NotSeen:
		return "not seen"
	case Reported, Confirmed:
	default:
		return string(e.Condition)
	}
	switch e.Contact {
	case Claimed:
		return "claimed fixed"
	case Notified, Undeliverable, Acknowledged:
		return string(e.Contact)
	}
	return string(e.Condition)
}

// Case returns the short public name of the exposure, twelve characters: the
// same key has the same name in every store. It is short for the telephone, so
// among many millions two may share one.
func (k Key) Case() string {
	text := make([]byte, 0, 128)
	text = append(text, "case "...)
	text = k.Addr.AppendTo(text)
	text = append(append(append(text, ' '), k.Transport...), ' ')
	text = append(strconv.AppendUint(text, uint64(k.Port), 10), ' ')
	sum := sha256.Sum256(append(text, k.Rule...))
	return strings.ToUpper(hex.EncodeToString(sum[:6]))
}

// Keys are those of the exposures, in their order.
func Keys(all []Exposure) []Key {
	keys := make([]Key, len(all))
	for i := range all {
		keys[i] = all[i].Key
	}
	return keys
}

// A Condition is what is known about the hole itself.
type Condition string

// Conditions.
const (
	Reported  Condition = "reported"  // a feed says so
	Confirmed Condition = "confirmed" // we saw it
	OneClean  Condition = "one_clean" // one of our probes found it closed; we look again
	Fixed     Condition = "fixed"     // verified
	Filtered  Condition = "filtered"  // closed from outside only
	NotSeen   Condition = "not_seen"  // a complete scan met silence
	Lapsed    Condition = "lapsed"    // unseen for 60 days; never counted as fixed
)

// Open reports whether the hole must be taken to be there still.
func (c Condition) Open() bool {
	switch c {
	case Reported, Confirmed, OneClean, NotSeen:
		return true
	}
	return false
}

// A Contact is how far we came with the people who can close it.
type Contact string

// Contacts.
const (
	NotContacted  Contact = "none"
	Notified      Contact = "notified"
	Undeliverable Contact = "undeliverable" // until another contact is reached
	Acknowledged  Contact = "acknowledged"
	Claimed       Contact = "claimed" // the owner says that it is fixed
)

// A Ruling is a human's verdict on the case. Imports never overwrite it.
type Ruling string

// Rulings.
const (
	NoRuling      Ruling = "none"
	Accepted      Ruling = "accepted"
	FalsePositive Ruling = "false_positive"
)

// An Axis is one of the three lines along which an exposure moves.
type Axis string

// Axes.
const (
	AxisCondition Axis = "condition"
	AxisContact   Axis = "contact"
	AxisVerdict   Axis = "verdict"
)

// Beside the axes, what is told in the history of a case.
const (
	AxisPlace    Axis = "place"    // the device answers at another address
	AxisAssignee Axis = "assignee" // who of ours works on it
)

// A Transition is one step of an exposure, with who made it and why.
type Transition struct {
	Key
	Axis     Axis      `json:"axis"`
	From     string    `json:"from"` // "" at birth
	To       string    `json:"to"`
	Cycle    int       `json:"cycle"`
	Actor    string    `json:"actor"`    // such as "scan 20261123T093000Z-7f3a" or a person
	Evidence string    `json:"evidence"` // why
	At       time.Time `json:"at"`
}
