package track

import "ippwatch/exposure"

// Steps of the contact.
const (
	Notify      Step = "notify"      // a message about it left
	Bounce      Step = "bounce"      // it came back, and nobody else was reached
	Acknowledge Step = "acknowledge" // somebody answered
	Claim       Step = "claim"       // the owner says that it is fixed
	Refute      Step = "refute"      // our own probe saw it after the claim
	Reopen      Step = "reopen"      // the next cycle began: they are told anew
)

// contacts is the whole life of a contact. A reminder does not undo an answer,
// and a message that comes back does not either.
var contacts = map[exposure.Contact]map[Step]exposure.Contact{
	exposure.NotContacted: {
		Notify: exposure.Notified, Bounce: exposure.Undeliverable,
		Acknowledge: exposure.Acknowledged, Claim: exposure.Claimed, Reopen: exposure.NotContacted,
	},
	exposure.Notified: {
		Notify: exposure.Notified, Bounce: exposure.Undeliverable,
		Acknowledge: exposure.Acknowledged, Claim: exposure.Claimed, Reopen: exposure.NotContacted,
	},
	exposure.Undeliverable: {
		Notify: exposure.Notified, Bounce: exposure.Undeliverable,
		Acknowledge: exposure.Acknowledged, Claim: exposure.Claimed, Reopen: exposure.NotContacted,
	},
	exposure.Acknowledged: {
		Notify: exposure.Acknowledged, Bounce: exposure.Acknowledged,
		Acknowledge: exposure.Acknowledged, Claim: exposure.Claimed, Reopen: exposure.NotContacted,
	},
	exposure.Claimed: {
		Notify: exposure.Claimed, Bounce: exposure.Claimed, Acknowledge: exposure.Claimed,
		Claim: exposure.Claimed, Refute: exposure.Acknowledged, Reopen: exposure.NotContacted,
	},
}

// NextContact returns the contact after the step, or [ErrNoTransition].
func NextContact(c exposure.Contact, s Step) (exposure.Contact, error) {
	return follow(exposure.AxisContact, contacts, c, s)
}
