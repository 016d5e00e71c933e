package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ippwatch/exposure"
)

// EventVersion is the version of the JSON form of an [Event], its field "v". It
// changes when a reader that knows the former version would be misled.
// docs/event.schema.json describes it.
const EventVersion = 1

// An Event is what a ticket system is told: the same as a mail would say, once
// for each recipient.
type Event struct {
	V int `json:"v"`
	// ID is the same when the event is sent again: whoever receives drops what
	// they know.
	ID        ID        `json:"id"`
	Kind      EventKind `json:"kind"`
	Time      time.Time `json:"time"`
	Reference string    `json:"reference,omitempty"`
	// Recipient is the constituent who is told, by its name.
	Recipient string      `json:"recipient"`
	Subject   string      `json:"subject,omitempty"`
	Page      string      `json:"page,omitempty"` // where the owner looks at it
	Again     time.Time   `json:"again,omitzero"` // when we look again
	Cases     []EventCase `json:"cases"`
}

// An EventKind is what an event tells.
type EventKind string

// Kinds of events.
const (
	EventFirst      EventKind = "first"
	EventReminder   EventKind = "reminder"
	EventEscalation EventKind = "escalation"
	EventFixed      EventKind = "fixed"
	EventTest       EventKind = "test" // nobody has to act
)

// An EventCase is one exposure with what to do about it. The strings are as
// they came from the host: escape them where they are shown.
type EventCase struct {
	Case string `json:"case"`
	exposure.Exposure
	Title    string   `json:"title"`
	Remedy   string   `json:"remedy"`
	Commands []string `json:"commands,omitempty"`
}

// maxEvent bounds an event; a recipient with more is told by several.
const maxEvent = 8 << 20

var (
	errEventSize = fmt.Errorf("an event of more than %d bytes: send several", maxEvent)
	errEventID   = errors.New("an event without id, kind or recipient")
)

// encode returns the event on one line, without the line break.
func (e Event) encode() ([]byte, error) {
	if e.ID == "" || e.Kind == "" || e.Recipient == "" {
		return nil, errEventID
	}
	e.V, e.Time = EventVersion, e.Time.UTC()
	if e.Cases == nil {
		e.Cases = []EventCase{}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	if len(b) > maxEvent {
		return nil, errEventSize
	}
	return b, nil
}
