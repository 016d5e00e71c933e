package probe

import (
	"fmt"
	"net/netip"

	"ippwatch/callback"
	"ippwatch/wire/browse"
)

// The info texts. They are constant for ever: cups-browsed 1.x names the queue
// that a packet may leave behind after them and the call-back host, so that
// thirty daily scans leave one queue and not thirty. A left-over queue can
// swallow the first text's call-back; then the second one asks
// (DESIGN.md, rule 6; facts/cups.md 1.6 and 1.7).
const (
	InfoScan   = "ippwatch open printer check"
	InfoVerify = "ippwatch open printer check 2"
)

// maxContact bounds the contact in a packet: a longer packet would make the
// measured amplification smaller than it is.
const maxContact = 80

// checkContact refuses a contact that a packet cannot carry whole: what is left
// of it might be somebody else's address.
func checkContact(contact string) error {
	if len(contact) > maxContact {
		return fmt.Errorf("ask over UDP: the contact has %d bytes, a packet carries %d", len(contact), maxContact)
	}
	for _, r := range contact {
		if r < ' ' || r > '~' || r == '"' {
			return fmt.Errorf("ask over UDP: the contact %q has %q, and a packet carries plain ASCII without quotes", contact, r)
		}
	}
	return nil
}

// A Wording is what the packets of a run say to whoever reads them, beside the
// token.
type Wording struct {
	Callback netip.AddrPort // the advertised address
	Contact  string         // from the scope file
	Verify   bool           // begins with InfoVerify and asks again with InfoScan
}

// Queue returns the name of the queue that the packet of that attempt leaves on
// hosts that run cups-browsed 1.x; "lpadmin -x NAME" removes it.
func (w Wording) Queue(attempt uint8) string {
	return browse.Queue(w.info(attempt), w.Callback.Addr().String())
}

// Size returns the size of the packet of that attempt, the same for all targets.
func (w Wording) Size(attempt uint8) int {
	var noToken [callback.TokenLen]byte
	for i := range noToken {
		noToken[i] = 'a'
	}
	return len(w.packet(nil, string(noToken[:]), attempt))
}

func (w Wording) info(attempt uint8) string {
	if w.Verify == (attempt == 0) {
		return InfoVerify
	}
	return InfoScan
}

// packet appends the packet to dst. Type and state are those of the lab's
// probes: a local printer that is idle (facts/cups.md 1.3).
func (w Wording) packet(dst []byte, token string, attempt uint8) []byte {
	contact := w.Contact[:min(len(w.Contact), maxContact)]
	return browse.Append(dst, browse.Packet{
		State:     3,
		URI:       "http://" + w.Callback.String() + callback.Path + token,
		Location:  fmt.Sprintf("security check, contact %s, remove with: lpadmin -x %s", contact, w.Queue(attempt)),
		Info:      w.info(attempt),
		MakeModel: "ippwatch",
	})
}
