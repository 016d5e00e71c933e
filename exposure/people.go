package exposure

import (
	"net/netip"
	"strings"
	"time"
)

// A Constituent is an organisation with networks.
type Constituent struct {
	Name      string         `json:"name"` // stable, fit for a file name: [a-z0-9-]
	Title     string         `json:"title,omitempty"`
	Networks  []netip.Prefix `json:"networks,omitempty"`
	ASNs      []uint32       `json:"asns,omitempty"`
	Countries []string       `json:"countries,omitempty"` // ISO 3166-1 alpha-2
	Language  string         `json:"language,omitempty"`
	// Contacts stand in the order in which they are told.
	Contacts []Recipient `json:"contacts,omitempty"`
}

// A Recipient is a contact: somebody who is told, by what medium and in which
// form.
type Recipient struct {
	Name     string  `json:"name,omitempty"`
	Role     string  `json:"role,omitempty"` // such as "abuse", "technical", "management"; [a-z0-9-]
	Language string  `json:"language,omitempty"`
	Medium   Channel `json:"medium"`
	Address  string  `json:"address"` // a mail address, an https URL, a telephone number
	// Format lists what the message carries; nil leaves it to the rule.
	Format []Form `json:"format,omitempty"`
	PGPKey string `json:"pgp_key,omitempty"` // armoured, or a fingerprint
	// Interval is the least time between two messages; 0 leaves it to the rule.
	Interval     time.Duration `json:"interval_ns,omitempty"`
	BusinessDays bool          `json:"business_days,omitempty"`
	OptOut       bool          `json:"opt_out,omitempty"` // asked not to be told again
	Invalid      bool          `json:"invalid,omitempty"` // a message came back for good
	// Source is who says that this is the contact: one of the words below, or
	// [ImportedFrom] a name.
	Source string    `json:"source,omitempty"`
	Found  time.Time `json:"found,omitzero"` // when the source said so last
}

// A Channel is a way to a recipient.
type Channel string

// Channels.
const (
	ByMail    Channel = "mail"
	ByWebhook Channel = "webhook"
	ByPhone   Channel = "phone"
)

// A Form is a part of a message.
type Form string

// Forms.
const (
	FormText Form = "text"
	FormHTML Form = "html"
	FormXARF Form = "xarf"
	FormCSV  Form = "csv"
)

// Sources of a contact.
const (
	OwnData       = "own"
	SecurityTxt   = "security.txt" // RFC 9116
	RDAP          = "rdap"         // the entity with the role abuse, RFC 9083
	NationalCSIRT = "cert"         // of the country, from a file of the operator's
	imported      = "import "
)

// ImportedFrom returns the source of what the import of that name brought.
func ImportedFrom(name string) string { return imported + name }

// Import returns the name of the import that a source stands for.
func Import(source string) (name string, ok bool) { return strings.CutPrefix(source, imported) }

// Key names the recipient: the same address is the same recipient, whoever
// brings it and however its domain is written. What is known about an address
// (opted out, bounced) hangs on it.
func (r Recipient) Key() string {
	address := r.Address
	switch r.Medium {
	case ByMail:
		address = strings.ToLower(address) // no provider tells apart two people by capitals
	case ByPhone:
		address = strings.Map(func(c rune) rune {
			if c >= '0' && c <= '9' || c == '+' {
				return c
			}
			return -1
		}, address)
	}
	return string(r.Medium) + ":" + address
}

// An Assignment says that a network belongs to a customer for a time.
type Assignment struct {
	Prefix   netip.Prefix `json:"prefix"`
	Customer string       `json:"customer"`
	From     time.Time    `json:"from,omitzero"` // From <= t < To; zero: no bound
	To       time.Time    `json:"to,omitzero"`
	Source   string       `json:"source,omitempty"`
}

// Holds reports whether the assignment is in force at the time.
func (a Assignment) Holds(at time.Time) bool {
	return !at.Before(a.From) && (a.To.IsZero() || at.Before(a.To))
}
