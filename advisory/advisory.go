// Package advisory writes what people are told: the mails to those who can
// close a hole, and advisories from the data, each for its reader and in their
// language.
package advisory

import (
	"time"

	"ippwatch/exposure"
)

// A Language is one in which there are texts.
type Language string

// Languages.
const (
	English  Language = "en"
	German   Language = "de"
	Japanese Language = "ja"
)

// Languages are all of them.
var Languages = []Language{English, German, Japanese}

// Speak returns the language of a tag such as "de-AT", English when there are
// no texts in it.
func Speak(tag string) Language {
	if len(tag) >= 2 {
		for _, l := range Languages {
			if tag[:2] == string(l) && (len(tag) == 2 || tag[2] == '-') {
				return l
			}
		}
	}
	return English
}

// A Reader is who reads: it decides which remedy stands first.
type Reader string

// Readers.
const (
	Owner    Reader = "owner"    // runs the host
	Provider Reader = "provider" // runs the network
	CSIRT    Reader = "csirt"    // is responsible for a country or a sector
)

// Readers are all of them.
var Readers = []Reader{Owner, Provider, CSIRT}

// A Kind is the occasion of a mail.
type Kind string

// Kinds. A reminder is never the first notice once more: repeating it helps
// nobody (Li et al., USENIX Security 2016). It goes to another contact and says
// who was told before, and when.
const (
	First      Kind = "first"
	Reminder   Kind = "reminder"
	Escalation Kind = "escalation"
	Fixed      Kind = "fixed" // verified by a probe of ours: thank you
)

// Kinds are all of them.
var Kinds = []Kind{First, Reminder, Escalation, Fixed}

// A Sender is who writes.
type Sender struct {
	Organisation string `yaml:"organisation"`
	Contact      string `yaml:"contact"` // where people ask, such as a mail address
	Phone        string `yaml:"phone"`
	About        string `yaml:"about"` // an URL that says who we are and that we scan
}

// An Earlier is a message on the same matter that somebody got before.
type Earlier struct {
	At        time.Time
	To        string // as the recipient of this mail may know it, such as "the network's contact"
	Reference string
}

// A Notice is everything that a mail says. It names only hosts that its
// recipient may see: the caller has seen to that.
type Notice struct {
	Kind      Kind
	Language  Language
	Reader    Reader
	Reference string
	Title     string // whose hosts these are
	Date      time.Time
	Exposures []exposure.Exposure
	Again     time.Time // when we look again; zero: it is not said
	Page      string    // where the owner looks at it; empty: there is none
	// Unsubscribe is where the recipient opts out, an URL or an address; empty
	// when a reply is the only way.
	Unsubscribe string
	Sender      Sender
	Earlier     []Earlier
	Attached    []string // names of the files that go with the mail
}

// A Mail is a notice in words.
type Mail struct{ Subject, Text, HTML string }
